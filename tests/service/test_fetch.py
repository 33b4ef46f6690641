"""Recordings by path and by URL: only those that the settings allow, wherever a name or a redirect leads."""

import contextlib
import http.server
import ipaddress
import os
import socket
import threading

import pytest

from hub.contract.errors import Forbidden, InvalidRequest, TooLarge
from hub.service.library.fetch import fetch, is_public, read_path
from hub.settings import ReferenceSettings

LOCAL = ReferenceSettings(urls=True, private_addresses=True, url_timeout=5)
PUBLIC = ReferenceSettings(urls=True, url_timeout=5)


class Site(http.server.BaseHTTPRequestHandler):
    """A site that answers well, badly, for ever, or not at all."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        site = self.server
        site.seen.append((self.path, dict(self.headers)))
        if self.path.startswith("/to/"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/to/").replace("PORT", str(site.server_port)))
            self.send_header("Set-Cookie", "a=b")
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif self.path == "/endless":
            self.send_response(200)
            self.end_headers()
            with contextlib.suppress(OSError):
                while True:
                    self.wfile.write(bytes(65536))
        elif self.path == "/silent":
            site.over.wait(30)
        elif self.path == "/packed":
            self._answer(200, b"x" * 10, ("Content-Encoding", "gzip"))
        else:
            self._answer(200 if self.path == "/take.wav" else 404, b"a recording")

    def _answer(self, status, body, *headers):
        self.send_response(status)
        for name, value in (("Content-Length", str(len(body))), *headers):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def site():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        server.seen, server.over = [], threading.Event()
        server.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.over.set()
        server.shutdown()
        thread.join()


@pytest.mark.anyio
async def test_nothing_is_fetched_unless_it_is_allowed(site):
    with pytest.raises(Forbidden, match=r"references\.urls"):
        await fetch(f"{site.url}/take.wav", ReferenceSettings(), 1000)
    with pytest.raises(Forbidden, match="private address"):
        await fetch(f"{site.url}/take.wav", PUBLIC, 1000)
    assert site.seen == []


@pytest.mark.anyio
async def test_an_allowed_url_is_fetched_by_its_name_from_the_address_that_was_checked(site):
    url = f"http://localhost:{site.server_port}"
    assert await fetch(f"{url}/take.wav", LOCAL, 1000) == b"a recording"
    assert await fetch(f"{url}/to//take.wav", LOCAL, 1000) == b"a recording"
    assert await fetch(f"{url}/to/http://127.0.0.1:PORT/to//take.wav", LOCAL, 1000) == b"a recording"
    path, headers = site.seen[0]
    assert (path, headers["Host"]) == ("/take.wav", f"localhost:{site.server_port}")
    assert not {"Cookie", "Authorization"} & {name for _, headers in site.seen for name in headers}


@pytest.fixture
def names(monkeypatch):
    """Names that resolve to the addresses that a test lists, each time to the next one."""
    import asyncio

    places = {}
    real = asyncio.BaseEventLoop.getaddrinfo

    async def look_up(loop, host, port, **arguments):
        if host not in places:
            return await real(loop, host, port, **arguments)
        address = places[host].pop(0)
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        return [(family, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", look_up)
    return places


@pytest.mark.anyio
@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.0.0.8", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1"),
        *("255.255.255.255", "::1", "::", "fe80::1", "fd00::1", "ff02::1", "::ffff:127.0.0.1", "::127.0.0.1"),
        *("64:ff9b::7f00:1", "2002:7f00:1::"),
    ],
)
async def test_a_name_that_leads_to_a_private_address_is_refused(names, address):
    names["innocent.example"] = [address]
    with pytest.raises(Forbidden, match="private address"):
        await fetch("http://innocent.example/take.wav", PUBLIC, 1000)


@pytest.mark.anyio
async def test_a_redirect_to_a_private_address_is_refused(site, names, monkeypatch):
    """The first address counts as public, and its request is the only one."""
    names["outside.example"] = ["127.0.0.1"]
    url = f"http://outside.example:{site.server_port}/to/http://127.0.0.1:PORT/take.wav"
    calls = iter([True, False])
    monkeypatch.setattr("hub.service.library.fetch.is_public", lambda address: next(calls))
    with pytest.raises(Forbidden, match="private address"):
        await fetch(url, PUBLIC, 1000)
    assert [path for path, _ in site.seen] == ["/to/http://127.0.0.1:PORT/take.wav"]


@pytest.mark.anyio
async def test_a_name_is_looked_up_once_for_each_request(site, names):
    """A second lookup, between the check and the connection, could return another address."""
    names["rebound.example"] = ["127.0.0.1"]
    url = f"http://rebound.example:{site.server_port}/take.wav"
    assert await fetch(url, LOCAL, 1000) == b"a recording"
    assert names["rebound.example"] == []
    assert site.seen[0][1]["Host"].startswith("rebound.example")


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("path", "error", "words"),
    [
        ("/nothing", InvalidRequest, "404"),
        ("/packed", InvalidRequest, "compressed"),
        ("/endless", TooLarge, "1000 bytes"),
        ("/to/file:///etc/passwd", InvalidRequest, "http://"),
        ("/to/gopher://127.0.0.1/", InvalidRequest, "http://"),
        ("/to/http://user:word@127.0.0.1:PORT/take.wav", InvalidRequest, "password"),
        ("/to/" * 7, InvalidRequest, "more than 5 times"),
        ("/to/", InvalidRequest, "more than 5 times"),
    ],
)
async def test_sites_that_misbehave(site, path, error, words):
    with pytest.raises(error, match=words):
        await fetch(site.url + path, LOCAL, 1000)


@pytest.mark.anyio
async def test_a_site_that_never_answers_is_an_error_in_time(site):
    with pytest.raises(InvalidRequest, match=r"within 0\.2 s"):
        await fetch(f"{site.url}/silent", ReferenceSettings(urls=True, private_addresses=True, url_timeout=0.2), 1000)


@pytest.mark.anyio
@pytest.mark.parametrize(
    "url",
    [
        "",
        "take.wav",
        "file:///etc/passwd",
        "ftp://a/b",
        "http://",
        "http://[",
        "http://a:99999/",
        "http://\0/",
        "x" * 70000,
    ],
)
async def test_an_invalid_url_is_refused(url):
    with pytest.raises(InvalidRequest):
        await fetch(url, LOCAL, 1000)


def test_public_addresses():
    for address in ("1.1.1.1", "2606:4700:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"):
        assert is_public(ipaddress.ip_address(address)), address


def test_paths_only_below_the_roots(tmp_path):
    (tmp_path / "takes/deep").mkdir(parents=True)
    (tmp_path / "takes/deep/a.wav").write_bytes(b"inside")
    (tmp_path / "secret").write_bytes(b"outside")
    os.symlink(tmp_path / "secret", tmp_path / "takes/link")
    os.symlink(tmp_path / "takes/circle", tmp_path / "takes/circle")
    settings = ReferenceSettings(roots=(str(tmp_path / "gone"), str(tmp_path / "takes")))
    for path in ("deep/a.wav", "./deep/../deep/a.wav", str(tmp_path / "takes/deep/a.wav")):
        assert read_path(path, settings, 100) == b"inside"
    messages = set()
    for path in (
        "../secret",
        str(tmp_path / "secret"),
        "link",
        "circle",
        "deep",
        "none",
        "",
        "a\0b",
        "/etc/passwd",
        "x" * 9999,
    ):
        with pytest.raises(Forbidden) as refusal:
            read_path(path, settings, 100)
        messages.add(refusal.value.message)
    assert len(messages) == 1
    with pytest.raises(Forbidden):
        read_path(str(tmp_path / "takes/deep/a.wav"), ReferenceSettings(), 100)
    with pytest.raises(TooLarge):
        read_path("deep/a.wav", settings, 3)
