"""The serving example behind uvicorn, asked over loopback by another process."""

import contextlib
import http.client
import os
import socket
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

from ._shared import IMAGE_BACKBONE, ROOT, TIMEOUT_S, write_images

BAD_UPLOADS = (b"/etc/passwd", b"http://127.0.0.1", b"", b"<html>404</html>")


def serving(folder, *, n_requests=300, n_clients=4, n_bad=50, backbone=IMAGE_BACKBONE):
    """Ask for each image alone, then from several threads, then send bad uploads."""
    folder = Path(folder)
    uploads = [Path(p).read_bytes() for p in write_images(folder / "images", 32)]
    model, digest = _save_model(folder / "model", uploads, backbone)
    with _server(folder / "model", digest) as port:
        _ask(port, uploads)
        alone = _ask(port, [uploads[i % len(uploads)] for i in range(n_requests)])
        each = n_requests // n_clients
        start = time.perf_counter()
        together = _ask_together(port, uploads, n_clients, each)
        wall = time.perf_counter() - start
        bad = [BAD_UPLOADS[i % len(BAD_UPLOADS)] for i in range(n_bad)]
        refused = _ask(port, bad, status=422)
    here = []
    for upload in uploads * 2:
        start = time.perf_counter()
        model.predict_proba([upload])
        here.append(time.perf_counter() - start)
    return {
        "requests": n_requests,
        "latency, ms": _summary(alone),
        "the same call without a server, ms": _summary(here[len(uploads) :]),
        "threads that ask together": n_clients,
        "requests/s": round(each * n_clients / wall, 1),
        "latency then, ms": _summary(together),
        "bad uploads, each answered with 422": n_bad,
        "latency of a refusal, ms": _summary(refused),
    }


def _save_model(folder, uploads, backbone):
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    from sktransfer import ImageEncoder, save

    model = make_pipeline(
        ImageEncoder(backbone, source="bytes", batch_size=1, cache=None),
        LogisticRegression(max_iter=1000),
    )
    model.fit(uploads, [i % 2 for i in range(len(uploads))])
    return model, save(model, folder)


@contextlib.contextmanager
def _server(folder, digest):
    """Run uvicorn on a free port until the block ends."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "serving:app", "--port", str(port)]
    command += ["--app-dir", str(ROOT / "docs" / "examples"), "--log-level", "warning"]
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "MODEL_FOLDER": str(folder),
        "MODEL_SHA256": digest,
    }
    process = subprocess.Popen(command, env=environment)
    try:
        deadline = time.monotonic() + TIMEOUT_S
        while not _answers(port):
            assert process.poll() is None, "the server ended before it answered"
            assert time.monotonic() < deadline, "the server does not answer"
            time.sleep(0.1)
        yield port
        assert process.poll() is None, "the server ended while it was asked"
    finally:
        process.terminate()
        process.wait(TIMEOUT_S)


def _answers(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _ask(port, uploads, status=200):
    """Post each upload over one connection; return the seconds of each."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    seconds = []
    for upload in uploads:
        start = time.perf_counter()
        connection.request("POST", "/predict", body=upload)
        answer = connection.getresponse()
        content = answer.read()
        seconds.append(time.perf_counter() - start)
        assert answer.status == status, content
        assert b"root:" not in content
    connection.close()
    return seconds


def _ask_together(port, uploads, n_clients, n_each):
    seconds, errors = [], []

    def ask(first):
        mine = [uploads[(first + i) % len(uploads)] for i in range(n_each)]
        try:
            seconds.extend(_ask(port, mine))
        except BaseException as err:
            errors.append(err)

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(n_clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors, errors
    return seconds


def _summary(seconds):
    """Return median and 95th percentile in milliseconds."""
    return {
        "median": round(1000 * statistics.median(seconds), 1),
        "95 %": round(1000 * statistics.quantiles(seconds, n=20)[-1], 1),
    }
