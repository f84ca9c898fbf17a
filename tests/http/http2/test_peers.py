"""Programs that others wrote, against our server and our client: curl, h2load, httpx, the library h2, and grpcio."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from mizzen.http.client import Timeouts
from mizzen.http.errors import Reset, TimedOut
from mizzen.http.exchange import Exchange
from mizzen.http.headers import encode
from mizzen.http.http2.client import Http2Client
from mizzen.http.server import Limits
from mizzen.http.sniff import offer_http2

GRPC = encode([(b"content-type", b"application/grpc")])
FINE = ((b"grpc-status", b"0"),)
PEER = Path(__file__).with_name("grpc_peer.py")

needs_grpcio = pytest.mark.skipif(importlib.util.find_spec("grpc") is None, reason="no grpcio")
needs_httpx = pytest.mark.skipif(importlib.util.find_spec("httpx") is None, reason="no httpx")
needs_h2 = pytest.mark.skipif(importlib.util.find_spec("h2") is None, reason="no h2")


async def run(*command: str, timeout: float = 120) -> str:
    """What a program prints; it must end well."""
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(timeout):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, (out + err).decode()
    return out.decode()


def curl() -> str:
    program = shutil.which("curl")
    if program is None or "HTTP2" not in subprocess.check_output([program, "-V"], text=True):
        pytest.skip("no curl that speaks HTTP/2")
    return program


def h2load() -> str:
    program = shutil.which("h2load")
    if program is None:
        pytest.skip("no h2load (Debian: nghttp2-client)")
    return program


def echo(exchange: Exchange) -> None:
    exchange.respond(200, exchange.version.encode() + b" " + exchange.body)


async def test_curl(serve, tmp_path):
    program = curl()
    _, port = await serve(echo)
    url = f"http://127.0.0.1:{port}/"
    assert await run(program, "-sS", "--http2-prior-knowledge", "-d", "hi", url) == "2 hi"
    assert await run(program, "-sS", "--http2", "-d", "hi", url) == "1.1 hi", "an offer to upgrade is passed over"
    assert await run(program, "-sS", "--http1.1", "-d", "hi", url) == "1.1 hi"
    large = tmp_path / "large"
    large.write_bytes(bytes(range(256)) * 16_384)
    out = tmp_path / "out"
    # -H Expect: as curl sends it for large bodies, which HTTP/2 knows too.
    await run(
        program, "-sS", "--http2-prior-knowledge", "-H", "Expect: 100-continue",
        "--data-binary", f"@{large}", "-o", str(out), url,
    )  # fmt: skip
    assert out.read_bytes() == b"2 " + large.read_bytes()
    head = await run(program, "-sS", "--http2-prior-knowledge", "-I", url)
    assert head.startswith("HTTP/2 200") and "content-length: 2\r\n" in head


@pytest.mark.parametrize(("connections", "streams"), [(16, 8), (16, 1), (1, 100)])
async def test_h2load_loses_nothing(serve, tmp_path, connections, streams):
    program = h2load()
    served = 0

    def count(exchange: Exchange) -> None:
        nonlocal served
        served += 1
        exchange.respond(200, exchange.body, GRPC, FINE)

    _, port = await serve(count)
    data = tmp_path / "data"
    data.write_bytes(b"x" * 300)
    out = await run(
        program, "-n", "20000", "-c", str(connections), "-m", str(streams), "-d", str(data), f"http://127.0.0.1:{port}/"
    )
    assert "20000 done, 20000 succeeded, 0 failed, 0 errored, 0 timeout" in out
    assert served == 20_000
    assert re.search(r"traffic: .*\((\d+)\) data", out).group(1) == str(20_000 * 300)  # type: ignore[union-attr]


@needs_httpx
async def test_httpx(serve):
    import httpx

    _, port = await serve(echo)
    async with httpx.AsyncClient(http1=False, http2=True, trust_env=False) as client:
        url = f"http://127.0.0.1:{port}/"
        answers = await asyncio.gather(*(client.post(url, content=b"%d" % n) for n in range(50)))
        assert [answer.text for answer in answers] == [f"2 {n}" for n in range(50)]
        body = bytes(1_000_000)
        assert (await client.post(url, content=body)).content == b"2 " + body


class H2Client:
    """The library h2 as a client, which checks every frame that it gets."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from h2.config import H2Configuration
        from h2.connection import H2Connection

        self.reader, self.writer = reader, writer
        self.h2 = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self.h2.initiate_connection()
        self.flush()

    def flush(self) -> None:
        self.writer.write(self.h2.data_to_send())

    async def events(self) -> list[Any]:
        async with asyncio.timeout(10):
            events = self.h2.receive_data(await self.reader.read(65_536))
        self.flush()
        return events


@needs_h2
async def test_the_library_h2_finds_nothing_wrong(serve):
    from h2 import events

    def handler(exchange: Exchange) -> None:
        exchange.respond(200, exchange.body * 3, GRPC, [(b"grpc-status", b"0"), (b"grpc-message", b"ok")])

    _, port = await serve(handler)
    client = H2Client(*await asyncio.open_connection("127.0.0.1", port))
    head = [(":method", "POST"), (":scheme", "http"), (":authority", "a"), (":path", "/"), ("cookie", "secret")]
    bodies: dict[int, bytes] = {}
    trailers: dict[int, Any] = {}
    for stream in range(1, 41, 2):
        client.h2.send_headers(stream, head)
        client.h2.send_data(stream, b"x" * stream * 100, end_stream=True)
    client.flush()
    while len(trailers) < 20:
        for event in await client.events():
            if isinstance(event, events.DataReceived):
                bodies[event.stream_id] = bodies.get(event.stream_id, b"") + event.data
                client.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, events.TrailersReceived):
                trailers[event.stream_id] = event.headers
            assert not isinstance(event, events.StreamReset | events.ConnectionTerminated)
        client.flush()
    assert bodies == {stream: b"x" * stream * 300 for stream in range(1, 41, 2)}
    assert all(fields == [("grpc-status", "0"), ("grpc-message", "ok")] for fields in trailers.values())
    client.writer.close()


async def test_tls_and_curl(serve, contexts):
    program = curl()
    context, _ = contexts()
    offer_http2(context)
    server, _ = await serve(echo)
    [(_, port)] = await server.listen("127.0.0.1", 0, ssl=context)
    url = f"https://127.0.0.1:{port}/"
    assert await run(program, "-sSk", "-d", "hi", url) == "2 hi"
    assert await run(program, "-sSk", "--http1.1", "-d", "hi", url) == "1.1 hi"
    assert await run(program, "-sSk", "--no-alpn", "-d", "hi", url) == "1.1 hi"


class Calls:
    """A handler of gRPC calls with plain bytes for messages, enough to have grpcio play its scenarios."""

    def __init__(self) -> None:
        self.gone: list[bytes] = []

    def __call__(self, exchange: Exchange) -> None:
        method = exchange.target.rpartition(b"/")[2]
        assert exchange.version == "2" and exchange.header(b"te") == b"trailers"
        if method == b"Echo":
            back = exchange.header(b"x-key") or b""
            exchange.respond(200, exchange.body, GRPC, [*FINE, (b"x-back", back)])
        elif method == b"Error":
            exchange.respond(200, b"", GRPC + encode([(b"grpc-status", b"3"), (b"grpc-message", b"not %25 good")]))
        elif method == b"Never":
            exchange.on_disconnect = lambda: self.gone.append(method)
        else:
            exchange.spawn(getattr(self, method.decode().lower())(exchange))

    async def stream(self, exchange: Exchange) -> None:
        exchange.start(200, GRPC)
        async for piece in exchange.stream:
            exchange.write(piece)
            await exchange.drain()
        exchange.finish(FINE)

    async def forever(self, exchange: Exchange) -> None:
        exchange.start(200, GRPC)
        count = 0
        try:
            while True:
                text = b"%d" % count
                exchange.write(b"\0" + struct.pack(">I", len(text)) + text)
                await exchange.drain()
                await asyncio.sleep(0.001)
                count += 1
        finally:
            self.gone.append(b"Forever")

    async def slow(self, exchange: Exchange) -> None:
        await asyncio.sleep(1)
        exchange.respond(200, exchange.body, GRPC, FINE)


@needs_grpcio
async def test_grpcio_as_client(serve, eventually):
    calls = Calls()
    server, port = await serve(calls, streaming=lambda exchange: exchange.target == b"/test/Stream")
    results = json.loads(await run(sys.executable, str(PEER), "client", str(port)))
    assert results == {
        "unary": ["hello", "OK", "value"],
        "error": ["INVALID_ARGUMENT", "not % good"],
        "large": [True, True, True],
        "many": True,
        "turn_about": [50, "49"],
        "pour": 20_000_000,
        "cancel": ["0", "1", "2"],
        "deadline": "DEADLINE_EXCEEDED",
        "pings": "slow",
    }
    await eventually(lambda: sorted(calls.gone) == [b"Forever", b"Never"])
    await eventually(lambda: server.connections == 0 and not server.tasks)


@needs_grpcio
async def test_a_call_of_grpcio_that_is_under_way_when_the_server_ends(serve, eventually):
    server, port = await serve(Calls())
    client = asyncio.create_task(run(sys.executable, str(PEER), "ending", str(port)))
    await eventually(lambda: server.tasks)
    assert await server.close(20)
    assert json.loads(await client) == ["first", "UNAVAILABLE"]


@pytest.fixture
async def grpcio_server() -> AsyncIterator[Any]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(PEER), "server", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    yield process
    if process.returncode is None:
        process.kill()
        await process.wait()


@needs_grpcio
async def test_grpcio_as_server(grpcio_server):
    async with asyncio.timeout(60):
        port = int(await grpcio_server.stdout.readline())
    url = f"http://127.0.0.1:{port}/test"
    headers = [(b"te", b"trailers"), (b"content-type", b"application/grpc"), (b"x-key", b"value")]

    def message(text: bytes) -> bytes:
        return b"\0" + struct.pack(">I", len(text)) + text

    async with Http2Client(environ={}, timeouts=Timeouts(total=60)) as client:
        answer = await client.request("POST", f"{url}/Echo", headers=headers, body=message(b"hello"))
        assert (answer.status, answer.body) == (200, message(b"hello"))
        assert dict(answer.trailers)[b"grpc-status"] == b"0" and dict(answer.trailers)[b"x-back"] == b"value"
        answer = await client.request("POST", f"{url}/Unknown", headers=headers, body=message(b""))
        assert (answer.header(b"grpc-status"), answer.body) == (b"12", b"")
        large = message(bytes(3_000_000))
        answers = await asyncio.gather(
            *(client.request("POST", f"{url}/Echo", headers=headers, body=large) for _ in range(20))
        )
        assert all(answer.body == large for answer in answers)
        assert client.connections == 1
        async with client.open("POST", f"{url}/Stream", headers=headers) as call:
            for turn in range(20):
                call.write(message(b"%02d" % turn))
                await call.drain()
                seen = b""
                while len(seen) < 7:
                    seen += await call.piece()
                assert seen == message(b"%02d" % turn)
            call.finish()
            assert await call.piece() == b""
            assert (b"grpc-status", b"0") in call.trailers
        with pytest.raises((TimedOut, Reset)):
            await client.request(
                "POST", f"{url}/Never", headers=headers, body=message(b""), timeouts=Timeouts(total=0.3)
            )
        # A call that is under way when the server says that it goes away.
        async with client.open("POST", f"{url}/Stream", headers=headers) as call:
            call.write(message(b"before"))
            await call.piece()
            grpcio_server.stdin.write(b"stop\n")
            await asyncio.sleep(0.3)
            call.write(message(b"after!"))
            assert await call.piece() == message(b"after!")
            call.finish()
            assert await call.piece() == b""


@pytest.mark.parametrize("size", [5_000, 5_000_000])
async def test_curl_is_told_why_its_body_is_not_taken(serve, tmp_path, size):
    """Even while it still sends it."""
    program = curl()
    _, port = await serve(echo, Limits(body=1000))
    data = tmp_path / "data"
    data.write_bytes(b"x" * size)
    out = await run(
        program, "-sS", "--http2-prior-knowledge", "--data-binary", f"@{data}", "-w", "%{http_code}",
        f"http://127.0.0.1:{port}/",
    )  # fmt: skip
    assert "1000 bytes" in out and out.endswith("413")
