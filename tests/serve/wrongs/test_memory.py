"""What is promised and never comes, and what grows when it is unpacked: memory follows neither."""

from __future__ import annotations

import asyncio
import gzip
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mizzen.http.http2.client import Http2Client
from serve.wrongs.kit import (
    FLOWER,
    GRPC,
    HEADER,
    INFER,
    MIB,
    PATIENCE,
    Server,
    binary,
    block,
    eventually,
    framed,
    message,
    serving,
    tensor,
)

V1, V2 = "/v1/models/iris:predict", "/v2/models/iris/infer"
PROMISED = 2**31
CLIENTS = 20

# A server that takes bodies of 4 GB, so that no limit keeps it from believing whoever promises 2.
LAVISH = ["--max_request_bytes", str(2**32), "--grpc_max_receive_message_length", str(2**31 - 1)]

# Past its peak before; some for each client's buffers, none for what was promised.
ALLOWED = 64 * MIB


@pytest.fixture(scope="module")
def lavish(models: Path) -> Iterator[Server]:
    with serving("--model_dir", str(models), *LAVISH) as running:
        yield running


async def test_a_body_that_is_promised_takes_memory_only_as_it_comes(lavish: Server) -> None:
    heads = [
        f"POST {V2} HTTP/1.1\r\nHost: a\r\nContent-Length: {PROMISED}\r\n\r\n",
        f"POST {V2} HTTP/1.1\r\nHost: a\r\nContent-Length: {PROMISED}\r\n{HEADER}: {PROMISED}\r\n\r\n",
        f"POST {V1} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{PROMISED:x}\r\n",
    ]
    held, before = await lavish.warm(), lavish.forget_peak()
    writers = []
    for number in range(CLIENTS * len(heads)):
        _, writer = await lavish.connect()
        writer.write(heads[number % len(heads)].encode() + b'{"inputs": [' + b" " * 1000)
        await writer.drain()
        writers.append(writer)
    assert await lavish.rest(V1, {"instances": [FLOWER]}) == (200, {"predictions": [0]})
    assert lavish.memory("VmHWM") - before < ALLOWED
    for writer in writers:
        writer.close()
    await lavish.lets_go(held)


async def test_a_message_that_is_promised_takes_memory_only_as_it_comes(lavish: Server) -> None:
    held, before = await lavish.warm(), lavish.forget_peak()
    row = np.array([FLOWER])
    async with Http2Client(environ={}) as client, asyncio.timeout(PATIENCE):
        calls = [client.open("POST", lavish.url + INFER, headers=[GRPC]) for _ in range(CLIENTS)]
        begun = []
        for call in calls:
            begun.append(await call.__aenter__())
            begun[-1].write(b"\0" + struct.pack(">I", PROMISED - 1) + b"abc")
        assert (await lavish.grpc(framed(message("iris", row)), client=client))[0] == "OK"
        assert lavish.memory("VmHWM") - before < ALLOWED
        for call in calls:
            await call.__aexit__(None, None, None)
    await lavish.lets_go(held)


async def test_a_promise_within_a_body_is_not_believed(lavish: Server) -> None:
    """Their sentences are in ``test_requests.py``; here, under a limit that would let them pass, what they cost."""
    row = np.array([FLOWER])
    texts = np.frombuffer(b"\xff\xff\xff\x7fabc", np.uint8)
    size = {"parameters": {"binary_data_size": PROMISED}}
    before = lavish.forget_peak()
    for _ in range(CLIENTS):
        for told in (block(row, "FP64", **size), block(row, "FP64", shape=[2**28]), block(texts, "BYTES", shape=[1])):
            status, answer = await lavish.rest(V2, *binary([told], row.tobytes()))
            assert status == 400, answer
        for shape in ([2**28], [2**62, 2**62], [-(2**40), 1]):
            assert (await lavish.rest(V2, {"inputs": [tensor([FLOWER], shape=shape)]}))[0] == 400
            assert (await lavish.grpc(framed(message("iris", row, shape=shape))))[0] == "INVALID_ARGUMENT"
        text = message("iris", row, "BYTES", shape=[1], raw=texts.tobytes())
        assert (await lavish.grpc(framed(text)))[0] == "INVALID_ARGUMENT"
    assert lavish.memory("VmHWM") - before < ALLOWED


GROWN = 512 * MIB
LIMIT = 4 * MIB


@pytest.fixture(scope="module")
def frugal(models: Path) -> Iterator[Server]:
    limits = ["--max_request_bytes", str(LIMIT), "--grpc_max_receive_message_length", str(LIMIT)]
    with serving("--model_dir", str(models), *limits) as running:
        yield running


def bomb(wbits: int) -> bytes:
    """Half a gigabyte of spaces, packed a thousandfold."""
    one = zlib.compressobj(9, wbits=wbits)
    spaces = b" " * MIB
    return b"".join([one.compress(spaces) for _ in range(GROWN // MIB)]) + one.flush()


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
async def test_a_body_that_grows_is_refused_while_it_grows(frugal: Server, coding: str) -> None:
    packed = bomb(31 if coding == "gzip" else 15)
    assert len(packed) < LIMIT
    said = f"the request's body is larger, uncompressed, than the {LIMIT} bytes that this server takes"
    before = frugal.forget_peak()
    asked = [(path, headers) for path in (V1, V2) for headers in ({}, {HEADER: "100"})] * 2
    answers = await asyncio.gather(
        *(frugal.rest(path, packed, {"content-encoding": coding, **headers}) for path, headers in asked),
        *(frugal.rest(V1, {"instances": [FLOWER]}) for _ in range(8)),
    )
    assert answers[: len(asked)] == [(413, {"error": said})] * len(asked)
    assert answers[len(asked) :] == [(200, {"predictions": [0]})] * 8
    assert frugal.memory("VmHWM") - before < 12 * LIMIT + ALLOWED


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
async def test_a_message_that_grows_is_refused_while_it_grows(frugal: Server, coding: str) -> None:
    packed = bomb(31 if coding == "gzip" else 15)
    body = struct.pack(">BI", 1, len(packed)) + packed
    row = np.array([FLOWER])
    before = frugal.forget_peak()
    bombs = [frugal.grpc(body, (b"grpc-encoding", coding.encode())) for _ in range(8)]
    answers = await asyncio.gather(*bombs, *(frugal.grpc(framed(message("iris", row))) for _ in range(8)))
    for code, says in answers[:8]:
        assert code == "RESOURCE_EXHAUSTED"
        assert f"larger, unpacked, than the {LIMIT} bytes" in says
    assert {code for code, _ in answers[8:]} == {"OK"}
    assert frugal.memory("VmHWM") - before < 12 * LIMIT + ALLOWED


async def test_bombs_within_bombs(frugal: Server) -> None:
    twice = gzip.compress(bomb(31))
    status, answer = await frugal.rest(V2, twice, {"content-encoding": "gzip, gzip"})
    assert (status, "gzip and deflate are taken here" in answer["error"]) == (400, True)
    status, answer = await frugal.rest(V2, twice, {"content-encoding": "gzip"})
    assert status == 400 and answer["error"].startswith("Unrecognized request format")


async def test_an_archive_that_grows_ends_the_start_in_words(tmp_path: Path, start) -> None:
    """``tests/storage/test_unpack.py`` has every kind of archive; here a server that is told to serve one."""
    with zipfile.ZipFile(tmp_path / "model.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        with archive.open("model.pkl", "w", force_zip64=True) as file:
            for _ in range(300):
                file.write(b"\0" * MIB)
    from mizzen.http.server import Server as HttpServer

    packed = (tmp_path / "model.zip").read_bytes()
    http = HttpServer(lambda exchange: exchange.respond(200, packed))
    [(_, port)] = await http.listen("127.0.0.1", 0)
    process = start(f"--model_dir=http://127.0.0.1:{port}/model.zip", "--http_port=0", no_proxy="*")
    assert await process.ended() == 1
    await http.close(1)
    [line] = [line for line in process.lines if line.startswith("mizzen: ")]
    assert "as one does that is made to fill a disk" in line
    assert "Traceback" not in "\n".join(process.lines)


async def test_ten_thousand_wrong_requests_leave_the_memory_as_it_was(frugal: Server) -> None:
    """On one connection after another: bodies that are too large, cut off, or nonsense."""
    nonsense = f"POST {V2} HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\nnonsense".encode()
    large = f"POST {V2} HTTP/1.1\r\nHost: a\r\nContent-Length: {LIMIT + 1}\r\n\r\n".encode()

    async def one() -> None:
        reader, writer = await frugal.connect()
        writer.write(nonsense * 50 + large)
        async with asyncio.timeout(PATIENCE):
            answers = await reader.read()
        assert answers.count(b"HTTP/1.1 400 ") == 50 and answers.count(b"HTTP/1.1 413 ") == 1
        writer.close()

    for _ in range(20):
        await one()
    held, before = await frugal.warm(), frugal.memory()
    for _ in range(10):
        await asyncio.gather(*(one() for _ in range(20)))
    await frugal.lets_go(held)
    await eventually(lambda: frugal.memory() - before < 16 * MIB)
