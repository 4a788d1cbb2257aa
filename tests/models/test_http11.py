"""What servers do with a connection, and what becomes of the request and of the connection."""

from __future__ import annotations

import asyncio
import datetime as dt
import gc
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from rlmbox.models import http11
from rlmbox.models.http11 import Http11
from rlmbox.models.providers import provider_model
from rlmbox.models.templates import WrittenRequest
from rlmbox.testing import ProviderServer
from rlmbox.types import Message

Converse = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
WAITS = {"connect": 10.0, "write": 10.0, "read": 10.0, "pool": 10.0}


@dataclass
class Server:
    """A server that answers in bytes; `seen` has the requests by connection."""

    port: int = 0
    seen: list[list[bytes]] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)


@asynccontextmanager
async def serving(
    *answers: bytes, converse: Converse | None = None, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Server]:
    """Answer the requests of each connection in turn, and close it after the last."""
    server = Server()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.seen.append([])
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            if converse is not None:
                await converse(reader, writer)
            for answer in answers:
                server.seen[-1].append(await read_request(reader))
                writer.write(answer)
                await writer.drain()
        server.ended.set()

    tasks: set[asyncio.Task[None]] = set()
    writers: list[asyncio.StreamWriter] = []

    async def closing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        writers.append(writer)
        with suppress(asyncio.CancelledError):
            await connected(reader, writer)
        writer.close()

    listening = await asyncio.start_server(closing, "127.0.0.1", 0, ssl=tls)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks)
        for writer in writers:
            writer.transport.abort()
        await asyncio.sleep(0.01)


async def read_request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
    )
    return head + await reader.readexactly(length)


@asynccontextmanager
async def open_wire(trusted: ssl.SSLContext | None = None) -> AsyncIterator[Http11]:
    wire = Http11(trusted or ssl.create_default_context())
    try:
        yield wire
    finally:
        await wire.aclose()


def request_to(server: Server, *, host: str = "127.0.0.1", scheme: str = "http", body: bytes = b"{}") -> WrittenRequest:
    return WrittenRequest(
        "POST", f"{scheme}://{host}:{server.port}/v1/x?y=z", (("Host", f"{host}:{server.port}"),), body
    )


async def ask(wire: Http11, request: WrittenRequest, **waits: float) -> tuple[int, bytes]:
    reply = await wire.send(request, {**WAITS, **waits}, lambda: None)
    try:
        return reply.status, b"".join([part async for part in reply])
    finally:
        await reply.aclose()


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.mark.parametrize(
    ("answer", "body", "is_kept"),
    [
        (OK, b"ok", True),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1;x=y\r\nk\r\n0\r\nDigest: z\r\n\r\n",
            b"ok",
            True,
        ),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, b"ok", True),
        (b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK, b"ok", True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b"", True),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", b"ok", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", b"ok", False),
        (OK + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", b"ok", False),
    ],
)
async def test_a_reply_is_read_to_its_end_and_its_connection_used_again_where_that_is_safe(
    answer: bytes, body: bytes, is_kept: bool
) -> None:
    async with serving(answer, answer) as server, open_wire() as wire:
        for _ in range(2):
            status, came = await ask(wire, request_to(server))
            assert (status, came) == (204 if b"204" in answer else 200, body)
        assert len(server.seen) == (1 if is_kept else 2)
    head = server.seen[0][0]
    assert head.startswith(b"POST /v1/x?y=z HTTP/1.1\r\n")
    assert head.endswith(b"\r\n\r\n{}")


async def test_a_reply_without_a_length_ends_with_its_connection() -> None:
    async with serving(b"HTTP/1.1 200 OK\r\n\r\nall of it") as server, open_wire() as wire:
        assert await ask(wire, request_to(server)) == (200, b"all of it")


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"", httpx2.RemoteProtocolError),
        (b"HTTP/1.1 200 OK\r\nContent-Le", httpx2.RemoteProtocolError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", httpx2.RemoteProtocolError),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", httpx2.RemoteProtocolError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok", httpx2.RemoteProtocolError),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000, httpx2.RemoteProtocolError),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", httpx2.RemoteProtocolError),
    ],
)
async def test_what_is_no_reply_is_an_error(answer: bytes, error: type[Exception]) -> None:
    async with serving(answer) as server, open_wire() as wire:
        with pytest.raises(error):
            await ask(wire, request_to(server))


async def test_a_connection_that_the_server_has_closed_meanwhile_is_not_used_again() -> None:
    async with serving(OK) as server, open_wire() as wire:
        await ask(wire, request_to(server))
        await server.ended.wait()
        # The event loop may have seen the end by now, or not; either way it is found out.
        assert await ask(wire, request_to(server)) == (200, b"ok")
        assert len(server.seen) == 2


async def test_what_comes_unasked_on_an_idle_connection_is_no_reply_to_the_next_request() -> None:
    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(OK)
        await asyncio.sleep(0.05)
        writer.write(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
        await reader.read()

    async with serving(converse=converse) as server, open_wire() as wire:
        assert await ask(wire, request_to(server)) == (200, b"ok")
        await asyncio.sleep(0.1)
        assert await ask(wire, request_to(server)) == (200, b"ok")


async def test_a_connection_that_was_idle_for_long_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http11, "KEPT_S", 0.0)
    async with serving(OK, OK) as server, open_wire() as wire:
        for _ in range(2):
            await ask(wire, request_to(server))
        assert len(server.seen) == 2


async def test_a_long_request_is_refused_before_it_was_read() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 4\r\n\r\nlong")
        await asyncio.sleep(5)

    async with serving(converse=refuse) as server, open_wire() as wire:
        assert await ask(wire, request_to(server, body=b"x" * 30_000_000)) == (413, b"long")


@pytest.mark.parametrize(
    ("body", "waits", "error"),
    [(b"{}", {"read": 0.05}, httpx2.ReadTimeout), (b"x" * 30_000_000, {"write": 0.05}, httpx2.WriteTimeout)],
)
async def test_each_phase_has_its_longest_wait(body: bytes, waits: dict[str, float], error: type[Exception]) -> None:
    async def hang(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(5)

    async with serving(converse=hang) as server, open_wire() as wire:
        with pytest.raises(error):
            await ask(wire, request_to(server, body=body), **waits)


async def test_a_slow_body_is_no_timeout_as_long_as_something_comes() -> None:
    async def slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n")
        for _ in range(12):
            await asyncio.sleep(0.1)
            writer.write(b"x")

    async with serving(converse=slowly) as server, open_wire() as wire:
        assert await ask(wire, request_to(server), read=1.0) == (200, b"x" * 12)


async def test_a_reader_that_is_slow_holds_the_server_up_and_not_the_memory() -> None:
    sent = 0

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 400000000\r\n\r\n")
        for _ in range(400):
            writer.write(b"x" * 1_000_000)
            await writer.drain()
            sent += 1

    async with serving(converse=flood) as server, open_wire() as wire:
        reply = await wire.send(request_to(server), WAITS, lambda: None)
        await asyncio.sleep(0.3)
        assert sent < 100
        await reply.aclose()  # in the middle of it
        assert len(server.seen) == 1


async def test_a_request_that_is_cancelled_closes_its_connection() -> None:
    async def hang(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await read_request(reader)
        await reader.read()

    async with serving(converse=hang) as server, open_wire() as wire:
        sent = asyncio.Event()
        task = asyncio.create_task(wire.send(request_to(server), WAITS, sent.set))
        await sent.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await server.ended.wait()


async def test_what_is_under_way_when_the_connections_are_closed_fails_at_once() -> None:
    async def hang(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    async with serving(converse=hang) as server, open_wire() as wire:
        sent = asyncio.Event()
        task = asyncio.create_task(wire.send(request_to(server), WAITS, sent.set))
        await sent.wait()
        await wire.aclose()
        with pytest.raises(httpx2.TransportError):
            await task


async def test_a_connection_that_opens_while_the_others_are_closed_is_not_kept() -> None:
    async with serving(OK) as server, open_wire() as wire:
        task = asyncio.create_task(ask(wire, request_to(server)))
        await asyncio.sleep(0)
        await wire.aclose()
        assert await task == (200, b"ok")
        await server.ended.wait()


async def test_what_is_not_sent_is_not_said_to_be() -> None:
    async with serving(OK) as server:
        pass
    sent = False

    def note() -> None:
        nonlocal sent
        sent = True

    async with open_wire() as wire:
        with pytest.raises(httpx2.ConnectError):
            await wire.send(request_to(server), WAITS, note)
        async with serving(OK) as other:
            request = request_to(other)
            evil = WrittenRequest("POST", request.url, (*request.headers, ("X", "a\r\nHost: b")), b"")
            with pytest.raises(httpx2.LocalProtocolError):
                await wire.send(evil, WAITS, note)
        with pytest.raises(httpx2.UnsupportedProtocol):
            await wire.send(WrittenRequest("POST", "ftp://127.0.0.1/", (), b""), WAITS, note)
    assert not sent


async def test_a_request_waits_for_room_and_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http11, "MAX_CONNECTIONS", 2)

    async def slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            await asyncio.sleep(0.05)
            writer.write(OK)

    async with serving(converse=slowly) as server, open_wire() as wire:
        asked = [ask(wire, request_to(server)) for _ in range(6)]
        assert await asyncio.gather(*asked) == [(200, b"ok")] * 6
        assert len(server.seen) == 2
        late = [asyncio.create_task(ask(wire, request_to(server), pool=0.001)) for _ in range(3)]
        came = await asyncio.gather(*late, return_exceptions=True)
        assert [type(each) for each in came].count(httpx2.PoolTimeout) == 1


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """Write a certificate for 127.0.0.1 and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    named = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder(named, named, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / f"{name}.pem", folder / f"{name}.key"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    paths[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, *private))
    return paths


async def test_tls_is_checked_against_the_certificates_that_are_trusted(tmp_path: Path) -> None:
    trusted, other = certificate(tmp_path, "trusted"), certificate(tmp_path, "other")
    client = ssl.create_default_context(cafile=str(trusted[0]))
    async with open_wire(client) as wire:
        for pair, is_good in ((trusted, True), (other, False)):
            tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            tls.load_cert_chain(*pair)
            async with serving(OK, OK, tls=tls) as server:
                for _ in range(2):
                    request = request_to(server, scheme="https", body=b"x" * 300_000)
                    if is_good:
                        assert await ask(wire, request) == (200, b"ok")
                    else:
                        with pytest.raises(httpx2.ConnectError, match="certificate verify failed"):
                            await ask(wire, request)
                assert len(server.seen) <= 1


async def test_the_next_address_of_a_name_is_tried_where_one_refuses_or_does_not_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http11, "_NEXT_ADDRESS_S", 0.05)
    loop = asyncio.get_running_loop()
    connect = loop.create_connection
    tried: list[str] = []
    addresses = ["127.0.0.9", "127.0.0.8", "127.0.0.1", "127.0.0.7"]

    async def resolved(host: str, port: int, **_: object) -> list[object]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in addresses]

    async def connected(factory: Callable[[], asyncio.Protocol], host: str, port: int, **options: object) -> object:
        tried.append(host)
        if host == "127.0.0.9":
            raise ConnectionRefusedError
        if host == "127.0.0.8":
            await asyncio.sleep(60)
        return await connect(factory, host, port, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(loop, "getaddrinfo", resolved)
    monkeypatch.setattr(loop, "create_connection", connected)
    async with serving(OK) as server, open_wire() as wire:
        assert await ask(wire, request_to(server, host="name.test")) == (200, b"ok")
        assert tried == ["127.0.0.9", "127.0.0.8", "127.0.0.1"]  # refused, silent, answers
        addresses[2:] = []
        with pytest.raises(httpx2.ConnectTimeout):
            await ask(wire, request_to(Server(9), host="name.test"), connect=0.2)
        addresses[1:] = []
        with pytest.raises(httpx2.ConnectError):
            await ask(wire, request_to(Server(9), host="name.test"))


async def test_connections_that_are_cancelled_as_they_open_are_closed() -> None:
    async with serving(OK) as server, open_wire() as wire:
        for turns in range(40):
            task = asyncio.create_task(ask(wire, request_to(server, host="localhost" if turns % 2 else "127.0.0.1")))
            for _ in range(turns // 2):
                await asyncio.sleep(0)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        gc.collect()  # a socket that is left is found here, as a warning


async def test_a_proxy_of_the_environment_is_asked_and_a_host_that_needs_none_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    body = b'{"choices":[{"message":{"role":"assistant","content":"by the proxy"},"finish_reason":"stop"}]}'
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
    async with serving(head + body, head + body) as proxy, ProviderServer("directly") as server:
        monkeypatch.setenv("http_proxy", f"http://user:word@127.0.0.1:{proxy.port}")
        for exempt, said in (("", "by the proxy"), ("127.0.0.1", "directly")):
            monkeypatch.setenv("no_proxy", exempt)
            model = provider_model("openai:llama3", base_url=server.openai_url, api_key="k")
            for _ in range(2):  # the second is filled in
                assert (await model.complete([Message("user", f"a {said}")], max_output_tokens=5)).text == said
            await model.aclose()
    first = proxy.seen[0][0]
    assert first.startswith(f"POST {server.openai_url}/chat/completions HTTP/1.1".encode())
    assert b"proxy-authorization: basic dxnlcjp3b3jk" in first.lower()
