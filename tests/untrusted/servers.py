"""A server on loopback that plays the web, as a context."""

import contextlib
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Seen(list):
    """(path, Host header) of each request, in order."""

    root: str

    @property
    def paths(self):
        return [path for path, _ in self]


@contextlib.contextmanager
def playing(pages, pause_s=0.02):
    """Serve pages until the end of the block.

    Parameters
    ----------
    pages : dict of str to bytes, str or int
        By path. A str is a target to redirect to, an int a status. A path that starts
        with ``/slow`` sends its bytes one by one.
    """
    seen = Seen()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append((self.path, self.headers["Host"]))
            page = pages.get(self.path, 404)
            with contextlib.suppress(OSError):  # the other side may hang up
                if isinstance(page, str):
                    self.send_response(302)
                    self.send_header("Location", page)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                self.send_response(page if isinstance(page, int) else 200)
                content = b"" if isinstance(page, int) else page
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if not self.path.startswith("/slow"):
                    self.wfile.write(content)
                    return
                for byte in content:
                    self.wfile.write(bytes([byte]))
                    self.wfile.flush()
                    time.sleep(pause_s)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    seen.root = f"http://127.0.0.1:{server.server_port}"
    try:
        yield seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
