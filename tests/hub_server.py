"""A server on loopback that plays the Hugging Face hub."""

import contextlib
import hashlib
import http.server
import json
import threading
from pathlib import Path

COMMIT = "a" * 40


class Hub(http.server.ThreadingHTTPServer):
    """Repositories by name: ``hub.add(name, folder)``; what was asked is in `log`."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folders, self.tokens, self.revisions = {}, {}, {}
        self.log, self.cut_after = [], None
        self.before_weights = lambda: None

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    def add(self, name, folder, *, token=None, revisions=("main",)):
        """Publish a folder; with a token it is gated."""
        self.tokens[name] = token
        for number, revision in enumerate(revisions):
            commit = chr(ord("a") + len(self.folders) + number) * 40
            self.revisions[name, revision] = self.revisions[name, commit] = commit
            self.folders[name, commit] = Path(folder)

    def asked_for(self, end):
        return [path for method, path in self.log if method == "GET" and end in path]


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        """Stay silent."""

    def do_HEAD(self):
        self._answer(has_body=False)

    def do_GET(self):
        self._answer(has_body=True)

    def _answer(self, has_body):
        path = self.path.partition("?")[0]
        self.server.log.append((self.command, path))
        parts = path.strip("/").split("/")
        kind, file = None, None
        if parts[:2] == ["api", "models"]:
            name, (kind, revision) = "/".join(parts[2:4]), [*parts[4:6], "", "main"][:2]
        elif parts[2:3] == ["resolve"]:
            name, revision, file = "/".join(parts[:2]), parts[3], "/".join(parts[4:])
        else:
            return self._refuse(404, "EntryNotFound", "no such page", has_body)
        commit = self.server.revisions.get((name, revision))
        if name not in self.server.tokens:
            return self._refuse(404, "RepoNotFound", "no such repository", has_body)
        token = self.server.tokens[name]
        given = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if token is not None and given != token:
            code = 403 if given else 401
            return self._refuse(code, "GatedRepo", "access is restricted", has_body)
        if commit is None:
            return self._refuse(404, "RevisionNotFound", "no such revision", has_body)
        folder = self.server.folders[name, commit]
        if file is None:
            make = _tree if kind == "tree" else _record
            content = json.dumps(make(name, commit, folder)).encode()
            json_type = {"Content-Type": "application/json"}
            return self._send(200, content, json_type, has_body)
        if not (folder / file).is_file():
            return self._refuse(404, "EntryNotFound", "no such file", has_body)
        return self._file((folder / file).read_bytes(), commit, has_body)

    def _file(self, content, commit, has_body):
        headers = {
            "ETag": f'"{hashlib.sha256(content).hexdigest()}"',
            "X-Repo-Commit": commit,
            "Accept-Ranges": "bytes",
        }
        if has_body and self.path.endswith(".safetensors"):
            self.server.before_weights()
        first, code = 0, 200
        wanted = self.headers.get("Range", "")
        if wanted.startswith("bytes=") and has_body:
            first, code = int(wanted[6:].split("-")[0]), 206
            end = f"{first}-{len(content) - 1}/{len(content)}"
            headers["Content-Range"] = f"bytes {end}"
        body = content[first:]
        cut = self.server.cut_after
        if cut is not None and has_body and len(body) > cut:
            self.server.cut_after = None
            self._send(code, body, headers, True, cut)
            self.close_connection = True
        else:
            self._send(code, body, headers, has_body)

    def _refuse(self, code, kind, message, has_body):
        headers = {"X-Error-Code": kind, "X-Error-Message": message}
        self._send(code, json.dumps({"error": message}).encode(), headers, has_body)

    def _send(self, code, body, headers, has_body, cut=None):
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if has_body:
            self.wfile.write(body[:cut])


def _names(folder):
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return [path.relative_to(folder).as_posix() for path in paths]


def _record(name, commit, folder):
    files = [{"rfilename": name} for name in _names(folder)]
    record = {"id": name, "modelId": name, "sha": commit, "siblings": files}
    return record | {"private": False, "tags": [], "downloads": 0, "likes": 0}


def _tree(name, commit, folder):
    return [
        {
            "type": "file",
            "path": file,
            "size": (folder / file).stat().st_size,
            "oid": hashlib.sha1((folder / file).read_bytes()).hexdigest(),
        }
        for file in _names(folder)
    ]


@contextlib.contextmanager
def running_hub():
    """Serve until the end."""
    hub = Hub()
    thread = threading.Thread(target=hub.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()
        thread.join()
