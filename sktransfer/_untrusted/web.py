"""Fetching what a URL leads to: with a deadline, and from allowed addresses only.

The address that was checked is the address that is connected to: a name is looked up
once. Where the environment names a proxy, the proxy looks names up, and only what the
URL itself tells is checked.
"""

import concurrent.futures
import contextlib
import functools
import http.client
import re
import socket
import ssl
import string
import threading
import urllib.error
import urllib.parse
import urllib.request

from . import addresses

TIMEOUT_S = 10.0  # for names, connections, redirects and the content together
MAX_BYTES = 64 * 2**20
MAX_REDIRECTS = 5
KEPT_BYTES = 128 * 2**20  # of the content that `Fetcher` keeps
REDIRECTS = (301, 302, 303, 307, 308)
PORTS = {"http": 80, "https": 443}


class FetchError(Exception):
    """Nothing was fetched; the text says why."""


class PrivateHostError(FetchError):
    """The host has a private address, and those are not asked."""


class Fetcher:
    """Fetches each URL once; for one call of an estimator.

    Parameters
    ----------
    private : bool, default=False
        Allow private addresses.
    """

    def __init__(self, *, private=False):
        self.private = private
        self._lock = threading.Lock()
        self._found: dict[str, concurrent.futures.Future[bytes]] = {}  # oldest first
        self._n_bytes = 0

    def fetch(self, url):
        """Return the content of a URL.

        Many threads may ask; the first one fetches. The content fetched last is kept,
        up to KEPT_BYTES.

        Raises
        ------
        FetchError
            If there is none.
        """
        with self._lock:
            is_first = url not in self._found
            if is_first:
                self._found[url] = concurrent.futures.Future()
            future = self._found[url]
        if is_first:
            try:
                content = fetch(url, private=self.private)
            except BaseException as err:
                future.set_exception(err)
            else:
                future.set_result(content)
                self._keep(len(content))
        return future.result()

    def _keep(self, n_bytes):
        with self._lock:
            self._n_bytes += n_bytes
            for url, future in list(self._found.items()):
                if self._n_bytes <= KEPT_BYTES:
                    break
                if future.done() and future.exception() is None:
                    self._n_bytes -= len(future.result())
                    del self._found[url]


def fetch(url, *, private=False):
    """Return the content of a URL.

    Parameters
    ----------
    url : str
    private : bool, default=False
        Allow private addresses.

    Returns
    -------
    bytes

    Raises
    ------
    FetchError
        If there is none, or not within TIMEOUT_S.
    """
    return _Job(private).result(url)


class _Job:
    """One URL, in a thread of its own, which can be left behind at the deadline."""

    def __init__(self, private):
        self.private = private
        self._outcome: concurrent.futures.Future[bytes] = concurrent.futures.Future()
        self._lock = threading.Lock()
        self._is_over = False
        self._socket: socket.socket | None = (
            None  # a second handle of the one that is read
        )

    def result(self, url):
        """Return the content, or give up."""
        threading.Thread(
            target=self._run, args=(url,), name="sktransfer-url", daemon=True
        ).start()
        try:
            done, _ = concurrent.futures.wait([self._outcome], TIMEOUT_S)
        finally:
            self._end()
        if not done:
            raise FetchError(f"it took longer than {TIMEOUT_S:g} s")
        return self._outcome.result()

    def _run(self, url):
        try:
            content = self._follow(url)
        except (OSError, http.client.HTTPException, ValueError) as err:
            failure = FetchError(str(err) or type(err).__name__)
            failure.__cause__ = err
            self._outcome.set_exception(failure)
        except Exception as err:
            self._outcome.set_exception(err)
        else:
            self._outcome.set_result(content)

    def _follow(self, url):
        # No handler of redirects or of other schemes: each target is looked at here.
        opener = urllib.request.OpenerDirector()
        for handler in (
            urllib.request.ProxyHandler(),
            _Handler(self),
            urllib.request.HTTPDefaultErrorHandler(),
            urllib.request.HTTPErrorProcessor(),
        ):
            opener.add_handler(handler)
        for _ in range(MAX_REDIRECTS + 1):
            url = _plain(url)
            request = urllib.request.Request(url, headers={"User-Agent": "sktransfer"})
            try:
                with opener.open(request, timeout=TIMEOUT_S) as response:
                    return _content(response)
            except urllib.error.HTTPError as err:
                with err:
                    target = err.headers.get("Location")
                    if err.code not in REDIRECTS or not target:
                        raise
                    url = urllib.parse.urljoin(url, target)
        raise FetchError(f"it is redirected more than {MAX_REDIRECTS} times")

    def connect(self, targets, address, timeout, source_address=None):
        """Connect to one of the checked targets, or to the proxy at `address`."""
        if targets is None:
            return self._hold(socket.create_connection(address, timeout))
        failure: OSError | None = None
        for family, kind, protocol, _, target in targets:
            sock = socket.socket(family, kind, protocol)
            sock.settimeout(timeout)
            try:
                sock.connect(target)
            except OSError as err:
                sock.close()
                failure = err
            else:
                return self._hold(sock)
        raise failure or OSError("it has no address")

    def _hold(self, sock):
        with self._lock:
            if self._is_over:
                sock.close()
                raise FetchError("nobody waits for it any more")
            if self._socket is not None:
                self._socket.close()
            self._socket = sock.dup()  # TLS takes the first handle over
        return sock

    def _end(self):
        """End the connection, whatever the thread waits for."""
        with self._lock:
            self._is_over = True
            if self._socket is not None:
                with contextlib.suppress(OSError):  # the server was faster
                    self._socket.shutdown(socket.SHUT_RDWR)
                self._socket.close()


class _Handler(urllib.request.AbstractHTTPHandler):
    """Opens http: and https: URLs with connections to checked addresses."""

    def __init__(self, job):
        super().__init__()
        self.job = job

    def http_open(self, request):
        """Open a request, as OpenerDirector asks for."""
        return self.do_open(self._factory(http.client.HTTPConnection, request), request)

    def https_open(self, request):
        """Open a request, as OpenerDirector asks for."""
        kind = self._factory(http.client.HTTPSConnection, request)
        return self.do_open(kind, request, context=_tls())

    http_request = https_request = urllib.request.AbstractHTTPHandler.do_request_

    def _factory(self, kind, request):
        url = urllib.parse.urlsplit(request.full_url)
        if request.host == url.netloc:
            targets = self._look_up(url)
        else:  # the proxy's
            _refuse(addresses.why_refused_by_name(url.hostname, private=self._private))
            targets = None

        def make(host, **options):
            connection = kind(host, **options)
            connection._create_connection = functools.partial(self.job.connect, targets)
            return connection

        return make

    def _look_up(self, url):
        """Return what of a host's addresses may be connected to."""
        found = socket.getaddrinfo(
            url.hostname, url.port or PORTS[url.scheme], type=socket.SOCK_STREAM
        )
        reasons = [
            addresses.why_refused(target[4][0], private=self._private)
            for target in found
        ]
        allowed = [t for t, why in zip(found, reasons, strict=True) if why is None]
        if not allowed:
            _refuse(reasons[0] if reasons else "no address")
        return allowed

    @property
    def _private(self):
        return self.job.private


def _refuse(reason):
    if reason == addresses.PRIVATE:
        raise PrivateHostError(
            "its host has a private address, and only public ones are asked"
        )
    if reason is not None:
        raise FetchError(f"its host has {reason}, from which nothing is fetched")


def _plain(url):
    """Return a URL in ASCII, without what programs read in different ways."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in PORTS:
        raise FetchError("only http:// and https:// URLs are fetched")
    if "@" in parts.netloc:
        raise FetchError("it has a user name in it, and none is sent")
    host = parts.hostname or ""
    if ":" not in host:
        host = (
            host.encode("idna").decode().lower()
        )  # also makes digits of all scripts 0-9
        if not re.fullmatch(r"[a-z0-9._-]+", host):
            raise FetchError(f"its host {host[:80]!r} is no name")
    else:
        if "%" in host:
            raise FetchError("its host has a link-local address")
        host = f"[{host}]"
    port = "" if parts.port is None else f":{parts.port}"
    path, query = (
        urllib.parse.quote(part, safe=string.punctuation)
        for part in (parts.path or "/", parts.query)
    )
    return urllib.parse.urlunsplit((parts.scheme, host + port, path, query, ""))


def _content(response):
    content = response.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise FetchError(f"it sends more than {MAX_BYTES >> 20} MiB")
    if response.length:
        raise FetchError("the connection ended before all of it had come")
    if not content:
        raise FetchError("it sends 0 bytes")
    return content


@functools.cache
def _tls():
    return ssl.create_default_context()
