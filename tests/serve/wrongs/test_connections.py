"""Clients that are slow, that cut requests anywhere, or that hide one request in another.

The rules themselves, case by case, have their tests in ``tests/http``; here they stand before models, and what would be
smuggled in would let one of them go.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hpack import Decoder, Encoder
from hyperframe.frame import DataFrame, Frame, GoAwayFrame, HeadersFrame, RstStreamFrame, SettingsFrame

from mizzen.http.http2.frames import PREFACE
from serve.wrongs.kit import FLOWER, PATIENCE, Server, serving

V1 = "/v1/models/iris:predict"
BODY = json.dumps({"instances": [FLOWER]}).encode()
ANSWER = b'{"predictions":[0]}'
UNLOAD = b"POST /v2/repository/models/moody/unload HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
POST = f"POST {V1} HTTP/1.1\r\nHost: a\r\n".encode()
GOOD = POST + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY

IMPATIENT = """
import functools, sys
from mizzen.http.server import Limits
from mizzen.serve.running import process
process.Limits = functools.partial(Limits, head_timeout=0.5, body_timeout=0.5, linger=0.2)
from mizzen.serve.main import container
sys.exit(container(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def impatient(models: Path) -> Iterator[Server]:
    """A server that gives clients half a second."""
    arguments = ["--model_dir", str(models), "--timeout-keep-alive=1"]
    with serving(*arguments, code=IMPATIENT) as running:
        yield running


def head2(*fields: tuple[str, str], path: str = V1, end: bool = False) -> Frame:
    """HEADERS of a request, its first on the connection."""
    pseudo = [(":method", "POST"), (":scheme", "http"), (":authority", "a"), (":path", path)]
    frame = HeadersFrame(1, data=Encoder().encode([*pseudo, *fields], huffman=False), flags=["END_HEADERS"])
    if end:
        frame.flags.add("END_STREAM")
    return frame


BEGIN2 = PREFACE + SettingsFrame(0).serialize()

# What a slow client has sent when it stops, or goes on a byte at a time; and what it is told, if anything.
SLOW = {
    "nothing": (b"", None),
    "half a line": (b"POST /v1/mod", b"408"),
    "half a head": (POST + b"X-Slow: ", b"408"),
    "half a body": (POST + b"Content-Length: 100\r\n\r\n" + BODY, b"408"),
    "half a chunk": (POST + b"Transfer-Encoding: chunked\r\n\r\n64\r\n" + BODY, b"408"),
    "a body that drips": (POST + b"Content-Length: 10000\r\n\r\n" + BODY, b"408"),
    "a chunk that drips": (POST + b"Transfer-Encoding: chunked\r\n\r\n2710\r\n" + BODY, b"408"),
    "half of HTTP/2's preface": (PREFACE[:15], None),
    "half a frame": (BEGIN2 + head2().serialize()[:12], b""),
    "half a body over HTTP/2": (BEGIN2 + head2().serialize() + DataFrame(1, data=BODY).serialize(), b"408"),
    "a body over HTTP/2 that drips": (
        BEGIN2 + head2().serialize() + DataFrame(1, data=bytes(10_000)).serialize()[:20],
        b"408",
    ),
    "a message over gRPC that drips": (
        BEGIN2
        + head2(("content-type", "application/grpc"), path="/inference.GRPCInferenceService/ModelInfer").serialize()
        + DataFrame(1, data=b"\0\0\0\1\0" + bytes(10_000)).serialize()[:20],
        b"",
    ),
    "half a message over gRPC": (
        BEGIN2
        + head2(("content-type", "application/grpc"), path="/inference.GRPCInferenceService/ModelInfer").serialize()
        + DataFrame(1, data=b"\0\0\0\1\0abc").serialize(),
        b"",
    ),
}


async def test_slow_clients_are_ended_and_keep_nobody_waiting(impatient: Server) -> None:
    held = await impatient.warm()
    over = asyncio.Event()

    async def slow(sent: bytes, drips: bool) -> bytes:
        reader, writer = await impatient.connect()
        writer.write(sent)

        async def drip() -> None:
            while not over.is_set():
                await asyncio.sleep(0.1)
                writer.write(b"a")

        dripping = asyncio.create_task(drip() if drips else over.wait())
        try:
            async with asyncio.timeout(PATIENCE):
                return await reader.read()
        except ConnectionError:
            return b""
        finally:
            dripping.cancel()
            writer.close()

    # A byte now and then buys a head no time, and a body little.
    clients = [
        (what, kind.endswith(("line", "head", "preface", "frame", "drips"))) for kind, (what, _) in SLOW.items()
    ] * 12
    waiting = [asyncio.create_task(slow(*client)) for client in clients]
    answered = 0
    while not all(task.done() for task in waiting):
        assert await impatient.rest(V1, {"instances": [FLOWER]}) == (200, {"predictions": [0]})
        answered += 1
    over.set()
    assert answered > 5
    for task, (kind, (_, status)) in zip(waiting, list(SLOW.items()) * 12, strict=True):
        told = await task
        if "HTTP/2" in kind and status:
            assert b"seconds" in told or b'{"error":' in told, kind
        elif status:
            assert told.startswith(b"HTTP/1.1 " + status) and b'{"error":' in told, kind
    await impatient.lets_go(held)


@pytest.mark.parametrize("size", [1, 2, 7, 64])
async def test_requests_may_come_in_pieces_and_several_in_one(nothing_left, server: Server, size: int) -> None:
    """Cut anywhere, also where one request ends and the next begins; a wrong one among them moves no answer."""
    wrong = POST + b"Content-Length: 8\r\n\r\nnonsense"
    chunked = POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\n" + BODY[:5] + b"\r\n"
    chunked += b"%x\r\n" % (len(BODY) - 5) + BODY[5:] + b"\r\n0\r\n\r\n"
    data = (GOOD + wrong + chunked) * 10

    async def one() -> bytes:
        reader, writer = await server.connect()
        for at in range(0, len(data), size):
            writer.write(data[at : at + size])
            if at % (5 * size) == 0:
                await asyncio.sleep(0)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        async with asyncio.timeout(PATIENCE):
            found = await reader.read()
        writer.close()
        return found

    for found in await asyncio.gather(*(one() for _ in range(8))):
        statuses = re.findall(rb"HTTP/1\.1 (\d+)", found)
        assert statuses == [b"200", b"400", b"200"] * 10 + [b"200"]
        assert found.count(ANSWER) == 20


def chunks(*lines: bytes) -> bytes:
    return POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(lines)


# Each could be read as ending in two places; in one of the two readings UNLOAD is a request of its own.
SMUGGLED = {
    "length and chunks": POST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + UNLOAD,
    "chunks and length": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" + UNLOAD,
    "two lengths": POST + b"Content-Length: 0\r\nContent-Length: %d\r\n\r\n" % len(UNLOAD) + UNLOAD,
    "the same length twice": POST + b"Content-Length: 0\r\nContent-Length: 0\r\n\r\n" + UNLOAD,
    "a list of lengths": POST + b"Content-Length: 0, %d\r\n\r\n" % len(UNLOAD) + UNLOAD,
    "a signed length": POST + b"Content-Length: +0\r\n\r\n" + UNLOAD,
    "a length with a space before the colon": POST + b"Content-Length : %d\r\n\r\n" % len(UNLOAD) + UNLOAD,
    "a folded length": POST + b"X: y\r\n Content-Length: 0\r\n\r\n" + UNLOAD,
    "a length after a bare line feed": POST + b"X: y\nContent-Length: 0\r\n\r\n" + UNLOAD,
    "a coding that only looks like chunks": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + UNLOAD,
    "chunks twice": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + UNLOAD,
    "chunks that are not the last coding": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + UNLOAD,
    "chunks in HTTP/1.0": POST.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + UNLOAD,
    "a chunk's size with a sign": chunks(b"+0\r\n\r\n", UNLOAD),
    "a chunk's size in another base": chunks(b"0x0\r\n\r\n", UNLOAD),
    "a chunk's size past 64 bits": chunks(b"10000000000000000\r\n\r\n", UNLOAD),
    "a chunk that is longer than it says": chunks(b"1\r\nab\r\n0\r\n\r\n", UNLOAD),
    "chunks with bare line feeds": chunks(b"0\n\n", UNLOAD),
    "a chunk's extension with a line feed": chunks(b"1;a=\nb\r\nx\r\n0\r\n\r\n", UNLOAD),
    "two hosts": GOOD.replace(b"Host: a\r\n", b"Host: a\r\nHost: b\r\n") + UNLOAD,
}


@pytest.mark.parametrize("trick", SMUGGLED)
async def test_no_request_is_smuggled_in(nothing_left, server: Server, trick: str) -> None:
    reader, writer = await server.connect()
    writer.write(SMUGGLED[trick])
    async with asyncio.timeout(PATIENCE):
        found = await reader.read()
    writer.close()
    head, _, body = found.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ") and b"connection: close" in head.lower()
    assert set(json.loads(body)) == {"error"}, "one answer, and nothing after it"
    assert await server.rest("/v1/models/moody:predict", {"instances": [[2]]}) == (200, {"predictions": [4]})


async def test_what_stands_in_a_body_is_no_request(nothing_left, server: Server) -> None:
    reader, writer = await server.connect()
    writer.write(POST + b"Content-Length: %d\r\n\r\n" % len(UNLOAD) + UNLOAD)
    writer.write(chunks(b"%x\r\n" % len(UNLOAD), UNLOAD, b"\r\n0\r\n\r\n"))
    writer.write(b"GET /v1/models/moody HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    async with asyncio.timeout(PATIENCE):
        found = await reader.read()
    writer.close()
    assert re.findall(rb"HTTP/1\.1 (\d+)", found) == [b"400", b"400", b"200"]


def data2(data: bytes, end: bool = True) -> Frame:
    frame = DataFrame(1, data=data)
    if end:
        frame.flags.add("END_STREAM")
    return frame


# The same over HTTP/2, for whoever hands it on as HTTP/1.1.
SMUGGLED2 = {
    "a length that is too small": [head2(("content-length", "0")), data2(UNLOAD)],
    "a length that is too large": [head2(("content-length", "500")), data2(UNLOAD)],
    "two lengths": [head2(("content-length", "0"), ("content-length", f"{len(UNLOAD)}")), data2(UNLOAD)],
    "a length in words": [head2(("content-length", "0 ")), data2(UNLOAD)],
    "a coding": [head2(("transfer-encoding", "chunked")), data2(b"0\r\n\r\n" + UNLOAD)],
    "a field of one hop": [head2(("connection", "keep-alive")), data2(UNLOAD)],
    "a line end in a value": [head2(("x", "y\r\ncontent-length: 0\r\n\r\n" + UNLOAD.decode()), end=True)],
    "a line end in a name": [head2(("x: y\r\nhost", "b"), end=True)],
    "a line end in the path": [head2(path="/ HTTP/1.1\r\nHost: a\r\n\r\n" + UNLOAD.decode(), end=True)],
    "a NUL in a value": [head2(("x", "a\0b"), end=True)],
    "capital letters": [head2(("Content-Length", "0")), data2(UNLOAD)],
    "another host": [head2(("host", "b")), data2(UNLOAD)],
}


@pytest.mark.parametrize("trick", SMUGGLED2)
async def test_no_request_is_smuggled_in_over_http2(nothing_left, server: Server, trick: str) -> None:
    reader, writer = await server.connect()
    writer.write(BEGIN2 + b"".join(frame.serialize() for frame in SMUGGLED2[trick]))
    decoder, ended = Decoder(), False
    statuses, body, reset = [], b"", None
    async with asyncio.timeout(PATIENCE):
        while not ended:
            head = await reader.readexactly(9)
            frame, length = Frame.parse_frame_header(memoryview(head))
            frame.parse_body(memoryview(await reader.readexactly(length)))
            if isinstance(frame, HeadersFrame):
                statuses += [value for name, value in decoder.decode(frame.data) if name == ":status"]
            elif isinstance(frame, DataFrame):
                body += frame.data
            elif isinstance(frame, RstStreamFrame):
                reset = frame.error_code
            # A refusal is followed by a reset; what cannot be taken at its word has nothing but that.
            ended = reset is not None or isinstance(frame, GoAwayFrame)
    writer.close()
    assert reset == 1  # PROTOCOL_ERROR (RFC 9113, section 8.1.1)
    assert statuses in ([], ["400"])
    assert not statuses or set(json.loads(body)) == {"error"}
    assert await server.rest("/v1/models/moody:predict", {"instances": [[2]]}) == (200, {"predictions": [4]})
