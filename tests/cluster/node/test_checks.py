"""What a probe does once, against real servers."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import h2.config
import h2.connection
import h2.events
import pytest
from hpack import Encoder
from hyperframe.frame import DataFrame, Frame, GoAwayFrame, HeadersFrame, RstStreamFrame, SettingsFrame

from mizzen.cluster.apiserver.auth import ensure_credentials, server_context
from mizzen.cluster.node import checks, hooks
from mizzen.cluster.node.checks import Result, Target
from mizzen.cluster.node.runtime.errors import UnknownContainer
from mizzen.cluster.node.runtime.spec import ExecResult

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(handler: Handler, context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A server on 127.0.0.1; gives its port."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, EOFError):
            await handler(reader, writer)
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def answering(answer: bytes, requests: list[bytes] | None = None, *, stay: bool = False) -> Handler:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        if requests is not None:
            requests.append(request)
        writer.write(answer)
        await writer.drain()
        if stay:
            await reader.read()

    return handle


async def no_command(command: Sequence[str], timeout: float) -> ExecResult:
    raise AssertionError("no command was to be run")


def target(port: int, run: checks.Run = no_command) -> Target:
    return Target("127.0.0.1", {"web": port}, run)


async def check(handler: dict[str, Any], port: int = 0, timeout: float = 10.0) -> Result:
    return await checks.check(handler, target(port), timeout)


@pytest.mark.parametrize(
    ("answer", "ok"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", True),
        (b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", True),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", True),
        (b"HTTP/1.0 200 OK\r\n\r\nuntil the end", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n" + b"x" * 50_000, True),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", False),
        (b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", False),
        (b"SSH-2.0-OpenSSH\r\n", False),
        (b"", False),
    ],
)
@pytest.mark.parametrize("stay", [False, True])
async def test_http(answer: bytes, ok: bool, stay: bool) -> None:
    # A server that keeps the connection has to say how long its answer is.
    stay = stay and answer[:8] == b"HTTP/1.1" and b"99999" not in answer
    async with serving(answering(answer, stay=stay)) as port:
        assert (await check({"httpGet": {"port": port}})).ok is ok


async def test_what_an_http_probe_sends() -> None:
    requests: list[bytes] = []
    async with serving(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", requests)) as port:
        headers = [{"name": "Host", "value": "example.com"}, {"name": "X-A", "value": "1"}, {"name": "X-A2"}]
        assert (await check({"httpGet": {"port": "web", "path": "ready?x=1", "httpHeaders": headers}}, port)).ok
    (request,) = requests
    lines = request.decode().split("\r\n")
    assert lines[0] == "GET /ready?x=1 HTTP/1.1"
    assert "Host: example.com" in lines and "X-A: 1" in lines and "Connection: close" in lines
    assert not any(line.startswith("Host: 127") for line in lines)


async def test_https_with_any_certificate(tmp_path: Path) -> None:
    context = server_context(ensure_credentials(tmp_path))
    async with serving(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), context) as port:
        assert (await check({"httpGet": {"port": port, "scheme": "HTTPS"}})).ok
        assert not (await check({"httpGet": {"port": port}})).ok


async def test_tcp() -> None:
    async with serving(answering(b"")) as port:
        assert (await check({"tcpSocket": {"port": port}})).ok
    found = await check({"tcpSocket": {"port": port}})
    assert (found.ok, found.message) == (False, f"127.0.0.1:{port}: connection refused")


async def test_no_answer_in_time() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with serving(silent) as port:
        for handler in ({"httpGet": {"port": port}}, {"grpc": {"port": port}}):
            found = await check(handler, timeout=0.1)
            assert (found.ok, found.message) == (False, f"127.0.0.1:{port}: no answer within 0.1 s")


@pytest.mark.parametrize(
    ("handler", "said"),
    [
        ({"tcpSocket": {"port": "metrics"}}, "no port named 'metrics' (it has: web)"),
        ({"httpGet": {"port": "web", "path": "/a\nb"}}, "line break"),
        ({}, "it has no handler"),
    ],
)
async def test_a_probe_that_cannot_be(handler: dict[str, Any], said: str) -> None:
    found = await check(handler, 1)
    assert not found.ok and said in found.message


@pytest.mark.parametrize(
    ("done", "ok", "message"),
    [
        (ExecResult(exit_code=0, output=b"fine\n"), True, "fine"),
        (ExecResult(exit_code=2, output=b"no\n"), False, "no"),
        (ExecResult(exit_code=2), False, "the command ended with exit code 2"),
        (ExecResult(exit_code=137, timed_out=True), False, "the command had not ended after 3 s"),
        (UnknownContainer("it has ended"), False, "it has ended"),
    ],
)
async def test_commands(done: ExecResult | UnknownContainer, ok: bool, message: str) -> None:
    async def run(command: Sequence[str], timeout: float) -> ExecResult:
        assert (command, timeout) == (["true"], 3)
        if isinstance(done, UnknownContainer):
            raise done
        return done

    found = await checks.check({"exec": {"command": ["true"]}}, target(0, run), 3)
    assert (found.ok, found.message) == (ok, message)


def health(status: bytes, *, code: str | None = "0", http: str = "200") -> Handler:
    """A gRPC server whose health service answers with ``status``, the bytes of a HealthCheckResponse."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        connection.initiate_connection()
        writer.write(connection.data_to_send())
        asked: dict[str, str] = {}
        body = b""
        while data := await reader.read(65536):
            for event in connection.receive_data(data):
                if isinstance(event, h2.events.RequestReceived):
                    asked = {str(name): str(value) for name, value in event.headers or ()}
                elif isinstance(event, h2.events.DataReceived):
                    body += event.data or b""
                elif isinstance(event, h2.events.StreamEnded):
                    assert asked[":path"] == "/grpc.health.v1.Health/Check"
                    stream = event.stream_id or 0
                    good = body in (b"\0\0\0\0\0", b"\0\0\0\0\x06\x0a\x04iris")
                    said = code if good else "5"
                    headers = [(":status", http), ("content-type", "application/grpc")]
                    if said == "0":
                        connection.send_headers(stream, headers)
                        connection.send_data(stream, b"\0" + len(status).to_bytes(4, "big") + status)
                        connection.send_headers(stream, [("grpc-status", "0")], end_stream=True)
                    elif said is None:
                        connection.send_headers(stream, headers, end_stream=True)
                    else:
                        answer = [*headers, ("grpc-status", said), ("grpc-message", "sorry")]
                        connection.send_headers(stream, answer, end_stream=True)
            writer.write(connection.data_to_send())

    return handle


def telling(*frames: Frame) -> Handler:
    """An HTTP/2 server that says this to the first call, whatever it is."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(SettingsFrame(0).serialize())
        asked = b""
        while b"grpc.health" not in asked:
            asked += await reader.read(65536)
        for frame in frames:
            writer.write(frame.serialize())
        while await reader.read(65536):
            pass

    return handle


def head(*fields: tuple[str, str], flags: tuple[str, ...] = ("END_HEADERS",)) -> Frame:
    return HeadersFrame(1, data=Encoder().encode([(":status", "200"), *fields]), flags=flags)


ENDLESS = [DataFrame(1, data=bytes(16 * 1024))] * 5


@pytest.mark.parametrize(
    ("server", "service", "ok", "said"),
    [
        (health(b"\x08\x01"), "", True, ""),
        (health(b"\x08\x01"), "iris", True, ""),
        (health(b"\x08\x01"), "other", False, "gRPC status 5: sorry"),
        (health(b"\x08\x02"), "", False, "responded with NOT_SERVING"),
        (health(b"\x08\x03"), "", False, "responded with SERVICE_UNKNOWN"),
        (health(b""), "", False, "responded with UNKNOWN"),
        (health(b"\x12\x01"), "", False, "no HealthCheckResponse"),
        (health(b"", code="12"), "", False, "does not implement the grpc health protocol"),
        (health(b"", code=None, http="404"), "", False, "does not speak gRPC: HTTP status 404"),
        (health(b"", code=None), "", False, "answer is empty"),
        (answering(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"), "", False, "does not speak gRPC"),
        (answering(b"SSH-2.0-OpenSSH\r\n", stay=True), "", False, "its first words are not those of HTTP/2"),
        (answering(b""), "", False, "closed the connection before it answered"),
        (telling(RstStreamFrame(1, error_code=8)), "", False, "broke the call off (HTTP/2 error 8)"),
        (telling(GoAwayFrame(0, last_stream_id=0)), "", False, "did not take the call: the server goes away"),
        (telling(head(), *ENDLESS), "", False, "answer is too large for a health check"),
        (telling(head(), DataFrame(1, data=b"\1\0\0\0\2\x08\1", flags=["END_STREAM"])), "", False, "compressed"),
        (telling(HeadersFrame(1, data=b"\x80", flags=["END_HEADERS"])), "", False, "does not speak gRPC: the server"),
        (
            telling(head(("grpc-status", "14"), ("grpc-message", "gone%20away"), flags=("END_HEADERS", "END_STREAM"))),
            "",
            False,
            "gRPC status 14: gone away",
        ),
    ],
)
async def test_grpc(server: Handler, service: str, ok: bool, said: str) -> None:
    async with serving(server) as port:
        found = await check({"grpc": {"port": port, "service": service}})
    assert found.ok is ok
    assert said in found.message


async def test_hooks() -> None:
    assert await hooks.run({}, "preStop", target(0), 1.0) is None
    slept = await hooks.run({"lifecycle": {"preStop": {"sleep": {"seconds": 0}}}}, "preStop", target(0), 1.0)
    assert slept is not None and slept.ok
    long = await hooks.run({"lifecycle": {"preStop": {"sleep": {"seconds": 60}}}}, "preStop", target(0), 0.01)
    assert long is not None and not long.ok
