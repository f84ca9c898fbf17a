"""Bodies in pieces, in both directions, at the pace of the slower side."""

from __future__ import annotations

import asyncio

import pytest

from mizzen.http.errors import Disconnected, Malformed
from mizzen.http.exchange import Exchange
from mizzen.http.headers import encode

GET = "GET {} HTTP/1.1\r\nHost: a\r\n\r\n"


async def test_an_answer_of_unknown_length_comes_in_chunks_and_keeps_the_connection(start, connect):
    async def count(exchange: Exchange) -> None:
        exchange.start(200, encode([(b"content-type", b"text/plain")]))
        for n in range(3):
            exchange.write(b"%d\n" % n)
            await exchange.drain()
        exchange.finish()

    _, port = await start(lambda exchange: exchange.spawn(count(exchange)))
    raw = await connect(port)
    for _ in range(2):
        raw.send(GET.format("/"))
        answer = await raw.answer()
        assert answer.headers["transfer-encoding"] == "chunked"
        assert answer.body == b"0\n1\n2\n"


async def test_an_old_client_gets_a_streamed_answer_ended_by_the_connection(start, connect):
    def stream(exchange: Exchange) -> None:
        exchange.start(200)
        exchange.write(b"some")
        exchange.finish()

    _, port = await start(stream)
    raw = await connect(port)
    raw.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    answer = await raw.answer()
    assert "transfer-encoding" not in answer.headers
    assert answer.headers["connection"] == "close"
    assert answer.body == b"some"


async def test_an_answer_that_breaks_off_never_looks_complete(start, connect):
    async def break_off(exchange: Exchange) -> None:
        exchange.start(200, length=10 if exchange.target == b"/length" else None)
        exchange.write(b"half")
        await exchange.drain()
        raise RuntimeError("a defect")

    _, port = await start(lambda exchange: exchange.spawn(break_off(exchange)))
    for target in ("/length", "/chunks"):
        raw = await connect(port)
        raw.send(GET.format(target))
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await raw.answer()


async def test_an_answer_shorter_than_promised_breaks_off(start, connect):
    def short(exchange: Exchange) -> None:
        exchange.start(200, length=10)
        exchange.write(b"short")
        exchange.finish()

    _, port = await start(short)
    raw = await connect(port)
    raw.send(GET.format("/"))
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await raw.answer()


async def test_a_slow_reader_slows_the_writer(start, connect, eventually):
    written = 0
    piece = b"x" * 65536
    total = 64 * 1024 * 1024

    async def pour(exchange: Exchange) -> None:
        nonlocal written
        exchange.start(200, length=total)
        while written < total:
            exchange.write(piece)
            written += len(piece)
            await exchange.drain()
        exchange.finish()

    _, port = await start(lambda exchange: exchange.spawn(pour(exchange)))
    raw = await connect(port)
    raw.send(GET.format("/"))
    await eventually(lambda: written)
    await asyncio.sleep(0.2)
    assert written < total
    assert len((await raw.answer()).body) == total


async def test_a_streamed_body_waits_for_its_reader(start, connect, eventually):
    begun = asyncio.Event()
    go = asyncio.Event()
    sizes = []

    async def read(exchange: Exchange) -> None:
        begun.set()
        await go.wait()
        async for piece in exchange.stream:
            sizes.append(len(piece))
        exchange.respond(200, b"%d" % sum(sizes))

    _, port = await start(lambda exchange: exchange.spawn(read(exchange)), streaming=True)
    raw = await connect(port)
    total = 64 * 1024 * 1024
    raw.send(f"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {total}\r\n\r\n")
    sent = 0

    async def pour() -> None:
        nonlocal sent
        while sent < total:
            raw.send(b"x" * 65536)
            sent += 65536
            await raw.writer.drain()

    task = asyncio.create_task(pour())
    await begun.wait()
    await asyncio.sleep(0.2)
    assert sent < total, "nobody reads, so the sender must be held"
    go.set()
    assert (await raw.answer()).body == b"%d" % total
    await task


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_a_body_that_is_cut_off_never_looks_complete(start, connect, how):
    readers = []
    _, port = await start(
        lambda exchange: readers.append(asyncio.create_task(exchange.stream.read_all())), streaming=True
    )
    raw = await connect(port)
    raw.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf")
    await asyncio.sleep(0.05)
    getattr(raw, how)()
    with pytest.raises((Disconnected, Malformed), match=r"in the middle|cut off"):
        async with asyncio.timeout(10):
            await readers[0]


async def test_a_streamed_body_that_is_no_http_is_refused_unless_its_reader_answers(start, connect):
    async def read(exchange: Exchange) -> None:
        exchange.respond(200, await exchange.stream.read_all())

    _, port = await start(lambda exchange: exchange.spawn(read(exchange)), streaming=True)
    raw = await connect(port)
    raw.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n")
    await asyncio.sleep(0.05)
    raw.send("zz\r\n")
    assert (await raw.answer()).status == 400
    assert await raw.ended()


async def test_an_answer_before_the_body_ends_the_connection(start, connect):
    """What is left of the body must not be read as the next request."""

    def refuse(exchange: Exchange) -> None:
        exchange.respond(404, b"no")

    _, port = await start(refuse, streaming=True)
    raw = await connect(port)
    raw.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 60\r\n\r\n")
    raw.send(GET.format("/smuggled"))
    answer = await raw.answer()
    assert (answer.status, answer.headers["connection"]) == (404, "close")
    raw.close()


async def test_requests_without_a_body_keep_the_connection_of_a_streaming_server(start, connect):
    _, port = await start(lambda exchange: exchange.respond(200, exchange.target), streaming=True)
    raw = await connect(port)
    for target in ("/1", "/2"):
        raw.send(GET.format(target))
        assert (await raw.answer()).body == target.encode()
