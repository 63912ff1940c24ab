"""Fetching URLs: deadline, redirects, proxies, addresses, once."""

import socket
import threading
import time

import numpy as np
import pytest
from conftest import encoded
from servers import playing
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from sktransfer import ImageEncoder
from sktransfer._untrusted import addresses, web
from sktransfer._untrusted.web import Fetcher, FetchError, PrivateHostError, fetch
from sktransfer.exceptions import UnreadableRowError

pytestmark = pytest.mark.loopback


@pytest.fixture(autouse=True)
def no_proxy_of_the_machine(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def loopback_allowed(monkeypatch):
    """Allow 127.0.0.1, where tests have their servers, and no other address more."""
    why_refused = addresses.why_refused

    def rule(address, *, private):
        is_ours = str(address) == "127.0.0.1"
        return None if is_ours else why_refused(address, private=private)

    monkeypatch.setattr(addresses, "why_refused", rule)


@pytest.fixture
def names(monkeypatch):
    """Give a dict of names to addresses, and count look-ups under "n"."""
    table = {"n": 0}
    real = socket.getaddrinfo

    def look_up(host, port, *args, **options):
        table["n"] += 1
        if host in table:
            host = table[host]
        elif host.isalpha():
            raise socket.gaierror(f"no {host}")
        return real(host, port, *args, flags=socket.AI_NUMERICHOST, **options)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return table


def test_a_page_is_fetched(loopback_allowed):
    with playing({"/a%20b.png?c=%C3%BC": b"content", "/there": "/a b.png?c=ü"}) as seen:
        assert fetch(f"{seen.root}/a b.png?c=ü") == b"content"
        assert fetch(f"{seen.root}/a%20b.png?c=%C3%BC#part") == b"content"


def test_one_deadline_holds_for_headers_and_content(loopback_allowed, monkeypatch):
    monkeypatch.setattr(web, "TIMEOUT_S", 0.3)
    with playing({"/slow": b"x" * 1000}, pause_s=0.05) as seen:
        start = time.monotonic()
        with pytest.raises(FetchError, match=r"longer than 0\.3 s"):
            fetch(f"{seen.root}/slow")
        assert time.monotonic() - start < 2


def test_redirects_share_the_deadline(loopback_allowed, monkeypatch):
    monkeypatch.setattr(web, "TIMEOUT_S", 0.3)
    monkeypatch.setattr(web, "MAX_REDIRECTS", 10**6)
    with playing({"/round": "/round"}) as seen:
        with pytest.raises(FetchError, match="longer than"):
            fetch(f"{seen.root}/round")


def test_a_name_that_nobody_answers_is_given_up(monkeypatch):
    monkeypatch.setattr(web, "TIMEOUT_S", 0.2)
    leave = threading.Event()

    def wait(*args, **options):
        leave.wait(10)
        raise socket.gaierror("late")

    monkeypatch.setattr(socket, "getaddrinfo", wait)
    with pytest.raises(FetchError, match="longer than"):
        fetch("http://images.example/a.png")
    leave.set()


def test_at_most_five_redirects_are_followed(loopback_allowed):
    pages = {f"/{i}": f"/{i + 1}" for i in range(6)}
    with playing({**pages, "/6": b"content"}) as seen:
        assert fetch(f"{seen.root}/1") == b"content"
        with pytest.raises(FetchError, match="more than 5 times"):
            fetch(f"{seen.root}/0")
        assert seen.paths[-1] == "/5"


@pytest.mark.parametrize(
    "target",
    [
        "file:///etc/hostname",
        "ftp://127.0.0.1/x",
        "http://127.0.0.2/latest/meta-data",
        "http://169.254.169.254/latest/meta-data",
        "http://[::1]/",
        "http://10.0.0.1/",
        "//10.0.0.1/",
        "http://user:word@127.0.0.1/",
        "gopher:x",
    ],
)
def test_the_target_of_a_redirect_is_checked_like_the_first(target, loopback_allowed):
    with playing({"/there": target}) as seen:
        with pytest.raises(FetchError, match=r"only http|its host has|user name"):
            fetch(f"{seen.root}/there")
        assert seen.paths == ["/there"]


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:1/",
        "http://2130706433:1/",
        "http://0x7f.1:1/",
        "http://0177.0.0.1:1/",
        "http://127.1:1/",
        "http://0:1/",
        "http://[::ffff:127.0.0.1]:1/",
        "http://[::1]:1/",
        "http://１２７。０。０。１:1/",
        "http://169.254.169.254/",
    ],
)
def test_no_form_of_an_address_leads_home(url):
    for private in (False, True):
        with pytest.raises(FetchError, match="from which nothing is fetched"):
            fetch(url, private=private)


def test_a_private_address_is_asked_on_the_intranet_only(names):
    names["images.example"] = "10.1.2.3"
    with pytest.raises(PrivateHostError, match="has a private address"):
        fetch("http://images.example/")
    with pytest.raises(FetchError, match="may not connect to"):  # the tests' own guard
        fetch("http://images.example/", private=True)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://user:word@images.example/", "user name"),
        ("http://images.example\\@evil.example/", r"user name|no name"),
        ("http://a b/", "no name"),
        ("http:///a.png", "no name"),
        ("http://a..b/", "label"),
        ("http://[fe80::1%25eth0]/", "link-local|valid"),
        ("http://[x]/", "address"),
        ("http://a:99999/", "Port"),
        ("HTTPX://a/", "only http"),
        ("a.png", "only http"),
    ],
)
def test_urls_that_programs_read_in_different_ways_are_refused(url, reason, names):
    with pytest.raises(FetchError, match=reason):
        fetch(url)
    assert names["n"] == 0


def test_the_address_that_was_checked_is_connected_to(loopback_allowed, names):
    """A second look-up could lead elsewhere; the name stays in the Host header."""
    names["bilder.example"] = names["xn--mnchen-3ya.example"] = "127.0.0.1"
    with playing({"/a.png": b"content"}) as seen:
        port = seen.root.rpartition(":")[2]
        assert fetch(f"http://Bilder.example:{port}/a.png") == b"content"
        assert names["n"] == 1
        assert fetch(f"http://münchen.example:{port}/a.png") == b"content"
        assert [host for _, host in seen] == [
            f"bilder.example:{port}",
            f"xn--mnchen-3ya.example:{port}",
        ]


def test_tls_asks_for_the_name_and_not_for_the_address(loopback_allowed, names):
    names["images.example"] = "127.0.0.1"
    heard = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            with server.accept()[0] as connection:
                heard.append(connection.recv(4096))

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(FetchError):
            fetch(f"https://images.example:{server.getsockname()[1]}/a.png")
        thread.join()
    assert b"images.example" in heard[0]


def test_an_address_that_does_not_answer_is_followed_by_the_next(monkeypatch):
    def rule(address, *, private):
        return None if address.startswith("127.") else "another address"

    monkeypatch.setattr(addresses, "why_refused", rule)
    with playing({"/a.png": b"content"}) as seen:
        port = int(seen.root.rpartition(":")[2])
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            ports = [closed.getsockname()[1], port]
        kind = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
        found = [(*kind, ("10.0.0.1", port))]
        found += [(*kind, ("127.0.0.1", number)) for number in ports]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **options: found)
        assert fetch(f"http://images.example:{port}/a.png") == b"content"


def test_a_proxy_of_the_environment_is_asked(monkeypatch, names):
    with playing({"http://images.example/a.png": b"content"}) as seen:
        monkeypatch.setenv("http_proxy", seen.root)
        monkeypatch.setenv("https_proxy", seen.root)
        names[seen.root.rpartition("/")[2]] = "127.0.0.1"
        assert fetch("http://images.example/a.png") == b"content"
        assert seen.paths == ["http://images.example/a.png"]
        with pytest.raises(FetchError, match=r"501|[Tt]unnel"):
            fetch("https://images.example/a.png")  # it knows no CONNECT
        for url in ("http://127.1/", "http://localhost/", "http://169.254.169.254/"):
            with pytest.raises(FetchError, match="from which nothing is fetched"):
                fetch(url, private=True)
        with pytest.raises(PrivateHostError, match="has a private address"):
            fetch("http://10.0.0.1/")
        monkeypatch.setenv("no_proxy", "images.example")
        names["images.example"] = "127.0.0.9"
        with pytest.raises(FetchError, match="a loopback address"):
            fetch("http://images.example/a.png")
        assert len(seen) == 1


def test_what_a_server_answers_is_said(loopback_allowed, monkeypatch):
    monkeypatch.setattr(web, "MAX_BYTES", 10)
    with playing({"/long": b"x" * 11, "/full": b"x" * 10, "/empty": b""}) as seen:
        assert fetch(f"{seen.root}/full") == b"x" * 10
        for path, reason in (
            ("/long", "more than 0 MiB"),
            ("/empty", "0 bytes"),
            ("/none", "404"),
        ):
            with pytest.raises(FetchError, match=reason):
                fetch(seen.root + path)


def test_an_answer_that_breaks_off_is_no_content(loopback_allowed):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            with server.accept()[0] as connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(FetchError, match="ended before"):
            fetch(f"http://127.0.0.1:{server.getsockname()[1]}/")
        thread.join()


def test_many_threads_fetch_a_url_once(loopback_allowed):
    with playing({"/slow": b"content"}) as seen:
        fetcher, got = Fetcher(), []

        def ask():
            got.append(fetcher.fetch(f"{seen.root}/slow"))

        threads = [threading.Thread(target=ask) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert got == [b"content"] * 6
        assert len(seen) == 1
        for _ in range(2):
            with pytest.raises(FetchError, match="404"):
                fetcher.fetch(f"{seen.root}/none")
        assert len(seen) == 2


def test_what_is_kept_has_a_bound(loopback_allowed, monkeypatch):
    monkeypatch.setattr(web, "KEPT_BYTES", 10)
    with playing({"/a": b"x" * 6, "/b": b"x" * 6}) as seen:
        fetcher = Fetcher()
        for path in ("/a", "/b", "/b", "/a"):
            fetcher.fetch(seen.root + path)
        assert seen.paths == ["/a", "/b", "/a"]


def test_an_encoder_fetches_each_url_once_a_call(loopback_allowed, pixels):
    pages = {f"/{i}.png": encoded(array) for i, array in enumerate(pixels)}
    with playing(pages) as seen:
        urls = [seen.root + path for path in pages]
        out = ImageEncoder("tiny-cnn", source="url").fit_transform([*urls, *urls])
        want = ImageEncoder("tiny-cnn").fit_transform(pixels)
        np.testing.assert_array_equal(out, np.vstack([want, want]))
        assert len(seen) == len(pages)
        seen.clear()
        model = make_pipeline(
            ImageEncoder("tiny-cnn", source="url"), LogisticRegression()
        )
        grid = {"logisticregression__C": [0.1, 1]}
        GridSearchCV(model, grid, cv=2).fit(urls, [0, 1] * 3)
        # Two candidates and two folds: train to fit, test to score; then the refit.
        assert len(seen) == 2 * len(urls) * 2 + len(urls)


def test_an_encoder_asks_public_hosts_unless_it_is_told(pixels):
    with playing({"/a.png": encoded(pixels[0])}) as seen:
        for source in ("url", "intranet"):
            encoder = ImageEncoder("tiny-cnn", source=source)
            with pytest.raises(UnreadableRowError, match="a loopback address"):
                encoder.fit_transform([f"{seen.root}/a.png"])
        assert not seen
