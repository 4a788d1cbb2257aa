"""Files elsewhere: fetched once per version, bounded, and never shown with the keys in their addresses."""

import gzip
import socket
import threading
import zlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from rlmbox.context.load import remote, web
from rlmbox.context.load.remote import fetch, is_remote, shown
from rlmbox.context.storage.caching import cache_folder
from rlmbox.errors import ContextError


class Place(BaseHTTPRequestHandler):
    """Answers with what the test put there: path -> (status, headers, body)."""

    pages: ClassVar[dict[str, tuple[int, dict[str, str], bytes]]] = {}
    asked: ClassVar[list[tuple[str, str]]] = []

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.asked.append((self.command, self.path))
        status, headers, body = self.pages.get(self.path.partition("?")[0], (404, {}, b""))
        self.send_response(status)
        if "Content-Length" not in headers and "chunked" not in headers.values():
            self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    Place.pages, Place.asked = {}, []
    with ThreadingHTTPServer(("127.0.0.1", 0), Place) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def gets() -> list[str]:
    return [path for command, path in Place.asked if command == "GET"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *(
            (name, True)
            for name in ("http://x/y", "HTTPS://x", "s3://b/k", "gs://b/k", "file:///x", "zip://a::http://b")
        ),
        *((name, False) for name in ("notes.txt", "/a/b", "C:/x", "c://x", "a:b", "", "://x", "logs/*.txt", "-")),
    ],
)
def test_an_address_is_told_from_a_path(name: str, expected: bool):
    assert is_remote(name) is expected


def test_a_file_is_fetched_under_its_own_name(server: str):
    Place.pages["/data/r%C3%A9port.csv"] = (200, {}, b"a,b\n1,2\n")
    path = fetch(f"{server}/data/r%C3%A9port.csv?key=secret")
    assert (path.name, path.read_bytes()) == ("réport.csv", b"a,b\n1,2\n")
    assert "secret" not in str(path)


@pytest.mark.parametrize(
    ("address", "mime", "name"),
    [
        ("/", "text/html; charset=utf-8", "page.html"),
        ("/files/", "application/pdf", "page.pdf"),
        ("/article", "text/html", "article.html"),
        ("/a.txt", "text/html", "a.txt"),
        ("/.hidden", "text/plain", "hidden"),
        ("/x%2F..%2F..%2Fetc", "text/plain", "etc"),
        ("/" + "n" * 300 + ".txt", "text/plain", "n" * 96 + ".txt"),
    ],
)
def test_a_name_is_safe_and_its_ending_tells_the_kind(server: str, address: str, mime: str, name: str):
    Place.pages[address] = (200, {"Content-Type": mime}, b"text")
    path = fetch(server + address)
    assert path.name == name
    assert path.is_relative_to(cache_folder("remote"))


@pytest.mark.parametrize("header", ["ETag", "Last-Modified"])
def test_what_has_not_changed_is_not_fetched_again(server: str, header: str):
    Place.pages["/a"] = (200, {header: "one"}, b"first")
    first = fetch(f"{server}/a")
    assert fetch(f"{server}/a") == first
    assert gets() == ["/a"]
    Place.pages["/a"] = (200, {header: "two"}, b"second")
    second = fetch(f"{server}/a")
    assert second.read_bytes() == b"second"
    assert not first.exists()


def test_what_tells_no_version_is_fetched_each_time(server: str):
    Place.pages["/a"] = (200, {}, b"first")
    fetch(f"{server}/a")
    Place.pages["/a"] = (200, {}, b"other")
    assert fetch(f"{server}/a").read_bytes() == b"other"
    assert gets() == ["/a", "/a"]


# ---- where an address leads, and what its content unpacks to ------------------------------------------------------


@pytest.fixture
def public(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets ::1 be an address of the public internet, where no test goes."""
    monkeypatch.setattr(web, "is_public", lambda address: address == "::1")


class IPv6Server(ThreadingHTTPServer):
    address_family = socket.AF_INET6


@pytest.fixture
def outside(public: None, server: str) -> Iterator[str]:
    try:
        other = IPv6Server(("::1", 0), Place)
    except OSError:
        pytest.skip("there is no second loopback address")
    with other:
        thread = threading.Thread(target=other.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://[::1]:{other.server_port}"
        other.shutdown()
        thread.join()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_public_address_does_not_lead_inside(outside: str, server: str, host: str):
    Place.pages["/secret"] = (200, {}, b"inside")
    Place.pages["/go"] = (302, {"Location": server.replace("127.0.0.1", host) + "/secret"}, b"")
    with pytest.raises(ContextError, match="/go: it leads into a private network; give the address there itself"):
        fetch(f"{outside}/go")
    assert all(path == "/go" for _, path in Place.asked)


def test_a_name_that_changes_its_address_does_not_lead_inside(
    outside: str, server: str, monkeypatch: pytest.MonkeyPatch
):
    async def says_public(host: str) -> bool:
        return True

    monkeypatch.setattr(web, "_is_public_host", says_public)
    Place.pages["/a"] = (200, {}, b"inside")
    with pytest.raises(ContextError, match="it leads into a private network"):
        fetch(f"{server}/a")
    assert not Place.asked


def test_redirects_that_stay_outside_and_a_private_address_that_is_named_are_followed(outside: str, server: str):
    Place.pages["/a"] = (200, {}, b"text")
    Place.pages["/far"] = (302, {"Location": f"{outside}/a"}, b"")
    Place.pages["/near"] = (302, {"Location": "/a"}, b"")
    for address in (f"{outside}/far", f"{outside}/near", f"{server}/near", f"{server}/far"):
        assert fetch(address).read_bytes() == b"text"


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("93.184.215.14", True),
        ("2606:2800:21f:cb07:6820:80da:af6b:8b2c", True),
        *((private, False) for private in ("127.0.0.1", "10.0.0.1", "169.254.169.254", "192.168.1.1", "0.0.0.0")),
        *((private, False) for private in ("::1", "fe80::1%eth0", "::ffff:127.0.0.1", "fd00::1", "100.64.0.1")),
    ],
)
def test_private_addresses_are_known(address: str, expected: bool):
    assert web.is_public(address) is expected


def packed(size_bytes: int) -> bytes:
    packing = zlib.compressobj(wbits=31)
    return packing.compress(b"x" * size_bytes) + packing.flush()


def test_what_a_server_packs_although_it_should_not_is_unpacked(server: str):
    for number, body in enumerate([gzip.compress(b"plain text"), zlib.compress(b"plain text")]):
        Place.pages[f"/{number}"] = (200, {"Content-Encoding": ["gzip", "deflate"][number]}, body)
        assert fetch(f"{server}/{number}").read_bytes() == b"plain text"


def test_what_unpacks_to_far_more_than_it_is_ends_early(server: str):
    Place.pages["/bomb"] = (200, {"Content-Encoding": "gzip"}, packed(100_000_000))
    with pytest.raises(ContextError, match="/bomb: unpacks to more than 200 times its size"):
        fetch(f"{server}/bomb")
    assert not [path for path in cache_folder("remote").rglob("*") if path.is_file()]


def test_a_packing_that_is_not_known_is_named(server: str):
    Place.pages["/a"] = (200, {"Content-Encoding": "br"}, b"????")
    with pytest.raises(ContextError, match="/a: uses an unsupported content encoding"):
        fetch(f"{server}/a")


@pytest.mark.parametrize("chunked", [False, True], ids=["its length is said", "its length is not said"])
def test_a_file_that_is_too_long_is_refused_and_leaves_nothing(server: str, chunked: bool):
    body = b"x" * 5_000
    chunks = b"1388\r\n" + body + b"\r\n0\r\n\r\n"
    Place.pages["/long"] = (200, {"Transfer-Encoding": "chunked"}, chunks) if chunked else (200, {}, body)
    with pytest.raises(ContextError, match=r"/long: has more than 0 MiB; fetch a part"):
        fetch(f"{server}/long", max_bytes=1_000)
    assert not [path for path in cache_folder("remote").rglob("*") if path.is_file()]


def test_a_fetch_that_takes_too_long_ends(server: str):
    Place.pages["/a"] = (200, {}, b"text")
    with pytest.raises(ContextError, match="takes too long to download; download it yourself"):
        fetch(f"{server}/a", timeout_s=0)


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (404, "cannot be fetched (not found); check the address"),
        (403, "cannot be fetched (status 403); check that your account may read it"),
        (401, "cannot be fetched (status 401); check that your account may read it"),
        (500, "cannot be fetched (status 500); check the address and the network"),
    ],
)
def test_an_error_says_what_it_was_and_shows_no_key(server: str, status: int, message: str):
    Place.pages["/x"] = (status, {}, b"")
    address = server.replace("http://", "http://user:hunter2@") + "/x?sig=hunter2#hunter2"
    with pytest.raises(ContextError) as caught:
        fetch(address)
    assert message in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("file:///etc/passwd", "the scheme must be one of"),
        ("zip://a.txt::http://127.0.0.1/x", "the scheme must be one of"),
        ("simplecache::http://127.0.0.1/x", "the scheme must be one of"),
        ("local:///etc/passwd", "the scheme must be one of"),
        ("memory://x", "the scheme must be one of"),
        ("s3://bucket/key::file:///etc/passwd", "joins addresses"),
        ("s3://bucket/key", "s3 needs other packages: pip install 'rlmbox[remote]' (Install s3fs"),
        ("http://127.0.0.1:9/x", "cannot be fetched (ClientConnectorError)"),
        ("http://[::1/x", "the address: cannot be fetched"),
        ("http:///x", "cannot be fetched"),
    ],
)
def test_an_address_that_cannot_be_had_says_why(server: str, address: str, message: str):
    with pytest.raises(ContextError) as caught:
        fetch(address)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_package_that_is_missing_is_named_with_the_command(server: str, monkeypatch: pytest.MonkeyPatch):
    import sys

    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(ContextError, match=r"http needs other packages: pip install 'rlmbox\[remote\]'"):
        fetch(f"{server}/a")


def test_other_schemes_are_read_by_their_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import fsspec

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(remote, "SCHEMES", remote.SCHEMES | {"memory"})
    with fsspec.open("memory://bucket/folder/a.txt", "wb") as file:
        file.write(b"from a bucket")
    assert fetch("memory://bucket/folder/a.txt").read_bytes() == b"from a bucket"
    with pytest.raises(ContextError, match="is a folder; give the address of a file"):
        fetch("memory://bucket/folder")
    with pytest.raises(ContextError, match=r"cannot be fetched \(not found\)"):
        fetch("memory://bucket/other")


def test_the_cache_stays_within_its_bound(server: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(remote, "CACHE_BYTES", 30_000)
    for number in range(4):
        Place.pages[f"/{number}"] = (200, {"ETag": "x"}, b"x" * 12_000)
        path = fetch(f"{server}/{number}")
        assert path.exists()
    kept = [path for path in cache_folder("remote").rglob("*") if path.is_file()]
    assert len(kept) < 4
    assert path in kept


def test_a_cache_that_others_may_write_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "rlmbox").mkdir()
    (tmp_path / "rlmbox").chmod(0o777)
    with pytest.raises(ContextError, match="other users can write to it; run chmod 700"):
        cache_folder("remote")


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("https://u:p@host:8080/a/b?x=1#y", "https://host:8080/a/b"),
        ("s3://bucket/key with space", "s3://bucket/key with space"),
        ("http://host/\x1b[31m\n", "http://host/\N{REPLACEMENT CHARACTER}[31m"),
    ],
)
def test_an_address_is_shown_without_what_is_secret(address: str, expected: str):
    assert shown(address) == expected
