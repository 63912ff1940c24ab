"""URLs from anywhere: fetched in time and from allowed addresses, or refused."""

import collections
import contextlib
import random
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np

TIMEOUT_S = 1.0
LATE_S = 5.0  # what a call may take longer on a busy machine; trickling takes minutes
# Forms of addresses that nothing may be fetched from.
FORBIDDEN = (
    "127.0.0.1",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0177.0.0.1",
    "0.0.0.0",
    "[::1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "169.254.169.254",
    "[::ffff:a9fe:a9fe]",
    "100.100.100.200",
    "168.63.129.16",
    "[fd00:ec2::254]",
    "１２７。０。０。１",
    "home.example",
    "metadata.example",
)
OTHER_SCHEMES = ("file:///etc/hostname", "ftp://x/", "gopher:x", "data:,x")
PRIVATE = ("10.1.2.3", "192.168.7.7", "[fd12::1]", "3232235777", "intranet.example")
NAMES = {
    "images.example": "127.0.0.5",
    "other.example": "127.0.0.5",
    "home.example": "127.0.0.1",
    "metadata.example": "169.254.169.254",
    "intranet.example": "10.9.9.9",
}
PUBLIC = "127.0.0.5"  # stands for a public address, as the campaign has no network


def urls(folder, *, n_urls=100, seed=0):
    """Fetch URLs of a local server: redirects, trickling bytes, forbidden hosts."""
    from sktransfer import ImageEncoder

    rng = random.Random(seed)
    ImageEncoder("tiny-cnn").fit(
        np.zeros((1, 9, 9, 3), np.uint8)
    )  # loads what it needs
    with _serving() as (port, asked), _local_web() as connected:
        counts: collections.Counter = collections.Counter()
        slowest = 0.0
        for _ in range(n_urls):
            kind = rng.choice(KINDS)
            url, is_good = kind(rng, port)
            private = rng.random() < 0.5 and kind is not _private_host
            encoder = ImageEncoder(
                "tiny-cnn",
                source="intranet" if private else "url",
                on_error="nan",
                cache=None,
            )
            start = time.monotonic()
            vector = _quietly(encoder, [url, url])
            slowest = max(slowest, time.monotonic() - start)
            is_read = bool(np.isfinite(vector).all())
            assert is_read == is_good, f"{kind.__name__}: {url}"
            counts[
                f"{kind.__name__.strip('_')}: {'read' if is_read else 'refused'}"
            ] += 1
        assert slowest <= TIMEOUT_S + LATE_S, (slowest, counts)
        assert connected <= {(PUBLIC, port)}, connected
        repeated = [path for path, n in collections.Counter(asked).items() if n > 1]
        assert not repeated, f"fetched more than once in a call: {repeated}"
    return {
        "urls": n_urls,
        "outcomes": dict(sorted(counts.items())),
        "connections to other addresses": 0,
        "slowest, s": round(slowest, 2),
    }


def _quietly(encoder, rows):
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return encoder.fit_transform(rows)


# -- URLs, and whether an image comes --------------------------------------------------


def _mark(rng):
    return rng.getrandbits(64)


def _image(rng, port):
    host = rng.choice(["images.example", "IMAGES.example", PUBLIC])
    return f"http://{host}:{port}/image/{_mark(rng)}", True


def _forbidden_host(rng, port):
    return f"http://{rng.choice(FORBIDDEN)}:{port}/image/{_mark(rng)}", False


def _private_host(rng, port):
    return f"http://{rng.choice(PRIVATE)}:{port}/image/{_mark(rng)}", False


def _redirects(rng, port):
    n = rng.randint(1, 8)
    return f"http://images.example:{port}/hops/{n}/{_mark(rng)}", n <= 5


def _redirect_to_forbidden(rng, port):
    host = FORBIDDEN.index(rng.choice(FORBIDDEN))
    return f"http://other.example:{port}/to/{host}/{_mark(rng)}", False


def _redirect_to_another_scheme(rng, port):
    return f"http://other.example:{port}/scheme/{rng.randrange(4)}/{_mark(rng)}", False


def _trickle(rng, port):
    return f"http://images.example:{port}/trickle/{_mark(rng)}", False


def _slow_headers(rng, port):
    return f"http://images.example:{port}/headers/{_mark(rng)}", False


def _breaks_off(rng, port):
    return f"http://images.example:{port}/half/{_mark(rng)}", False


def _odd(rng, port):
    forms = (
        "http://user:word@images.example:{}/image/1",
        "http://images.example\\@other.example:{}/image/1",
        "http://images.example:{}0000/image/1",
        "http://images..example:{}/image/1",
        "http://:{}/image/1",
        "file:///etc/hostname#{}",
        "ftp://images.example:{}/image/1",
    )
    return rng.choice(forms).format(port), False


KINDS = (
    _image,
    _forbidden_host,
    _private_host,
    _redirects,
    _redirect_to_forbidden,
    _redirect_to_another_scheme,
    _trickle,
    _slow_headers,
    _breaks_off,
    _odd,
)


# -- the web ---------------------------------------------------------------------------


@contextlib.contextmanager
def _local_web():
    """Look names up in NAMES, let PUBLIC pass for public, and note connections."""
    from sktransfer._untrusted import addresses, web

    rule, look_up, connect = (
        addresses.why_refused,
        socket.getaddrinfo,
        socket.socket.connect,
    )
    before, connected = web.TIMEOUT_S, set()

    def allow_public(address, *, private):
        return None if str(address) == PUBLIC else rule(address, private=private)

    def known_names(host, *args, **options):
        return look_up(NAMES.get(host, host), *args, flags=4, **options)

    def note(self, address):
        connected.add(address[:2])
        return connect(self, address)

    addresses.why_refused, socket.getaddrinfo = allow_public, known_names
    socket.socket.connect, web.TIMEOUT_S = note, TIMEOUT_S
    try:
        yield connected
    finally:
        addresses.why_refused, socket.getaddrinfo = rule, look_up
        socket.socket.connect, web.TIMEOUT_S = connect, before


@contextlib.contextmanager
def _serving():
    """Serve images and mischief on loopback; yield the port and the paths asked for."""
    import io

    from PIL import Image

    buffer = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, "PNG")
    image, asked = buffer.getvalue(), []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            kind, *rest = self.path.strip("/").split("/")
            with contextlib.suppress(OSError):  # the client hung up
                if kind == "hops":
                    n, mark = int(rest[0]), rest[1]
                    hop = f"/hops/{n - 1}/{mark}" if n > 1 else f"/image/{mark}"
                    self._redirect(hop)
                elif kind == "to":
                    port = self.server.server_port
                    self._redirect(f"http://{FORBIDDEN[int(rest[0])]}:{port}/image/1")
                elif kind == "scheme":
                    schemes = (
                        "file:///etc/hostname",
                        "ftp://x/",
                        "gopher:x",
                        "data:,x",
                    )
                    self._redirect(schemes[int(rest[0])])
                else:
                    self._content(kind)

        def _redirect(self, target):
            self.send_response(302)
            # Not `send_header`, which knows no other scripts than Latin.
            self.send_header("Location", target.encode("utf-8").decode("latin-1"))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def _content(self, kind):
            if kind == "headers":
                self.wfile.write(b"HTTP/1.1 200 OK\r\n")
                for number in range(1000):
                    self.wfile.write(f"X-{number}: 1\r\n".encode())
                    time.sleep(0.1)
            self.send_response(200)
            self.send_header("Content-Length", str(len(image)))
            self.end_headers()
            if kind == "trickle":
                for byte in image:
                    self.wfile.write(bytes([byte]))
                    time.sleep(0.05)
            self.wfile.write(image[: len(image) // 2] if kind == "half" else image)
            self.close_connection = True

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.5", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server.server_port, asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
