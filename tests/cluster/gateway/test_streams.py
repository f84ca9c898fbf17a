"""Bodies on their way: large ones, slow ones, and the memory that they may cost."""

import asyncio
import hashlib

import pytest

from gateway_front import PATIENCE, until

MEGABYTE = 1024 * 1024
# What may lie about between two sockets: our own marks, the buffers of both, and the kernel's on four ends.
BOUND = 40 * MEGABYTE


def echoing(exchange):
    """Answers with what it is sent, as it comes."""

    async def answer():
        exchange.start(200, b"content-type: application/octet-stream\r\n", exchange.length)
        while piece := await exchange.stream.read():
            exchange.write(piece)
            await exchange.drain()
        exchange.finish()

    exchange.spawn(answer())


@pytest.mark.parametrize("chunked", [False, True])
async def test_large_bodies_pass_both_ways_at_once(front, chunked):
    await front.serving("a.example.com", echoing, streaming=True)
    raw = await front.connect()
    size = 32 * MEGABYTE
    framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {size}"
    raw.send(f"POST / HTTP/1.1\r\nHost: a.example.com\r\n{framing}\r\n\r\n")
    sent, got = hashlib.sha256(), hashlib.sha256()

    async def send():
        for number in range(size // 65536):
            piece = number.to_bytes(4, "big") * 16384
            sent.update(piece)
            raw.send(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
            await raw.writer.drain()
        if chunked:
            raw.send("0\r\n\r\n")

    sending = asyncio.create_task(send())
    status, headers, _ = await raw.head()
    assert status == 200
    async with asyncio.timeout(PATIENCE):
        if chunked:
            assert headers["transfer-encoding"] == "chunked"
            while piece := await raw.chunk():
                got.update(piece)
        else:
            left = int(headers["content-length"])
            while left:
                piece = await raw.reader.read(left)
                assert piece
                got.update(piece)
                left -= len(piece)
        await sending
    assert sent.digest() == got.digest()


async def test_a_client_that_does_not_read_slows_its_server(front):
    written = 0

    def endless(exchange):
        async def answer():
            nonlocal written
            exchange.start(200)
            while True:
                exchange.write(b"x" * 65536)
                written += 65536
                await exchange.drain()

        exchange.spawn(answer())

    await front.serving("a.example.com", endless)
    raw = await front.connect()
    raw.writer.transport.pause_reading()
    raw.get("a.example.com")
    await settled(lambda: written)
    assert 0 < written < BOUND
    before = written
    raw.writer.transport.resume_reading()
    for _ in range(1000):
        await raw.reader.read(MEGABYTE)
    assert written > before


async def test_a_server_that_does_not_read_slows_its_client(front):
    gate = asyncio.Event()
    got = 0

    def lazy(exchange):
        async def answer():
            nonlocal got
            await gate.wait()
            while piece := await exchange.stream.read():
                got += len(piece)
            exchange.respond(200, b"%d" % got)

        exchange.spawn(answer())

    await front.serving("a.example.com", lazy, streaming=True)
    raw = await front.connect()
    size = 64 * MEGABYTE
    raw.send(f"POST / HTTP/1.1\r\nHost: a.example.com\r\nContent-Length: {size}\r\n\r\n")
    sent = 0

    async def send():
        nonlocal sent
        while sent < size:
            raw.send(b"x" * 65536)
            sent += 65536
            await raw.writer.drain()

    sending = asyncio.create_task(send())
    await settled(lambda: sent)
    assert 0 < sent < BOUND
    gate.set()
    await sending
    assert (await raw.answer()).body == b"%d" % size


async def settled(value):
    """Wait until a number has stopped growing."""
    last, same = -1, 0
    async with asyncio.timeout(20):
        while same < 10:
            await asyncio.sleep(0.02)
            now = value()
            same = same + 1 if now == last and now else 0
            last = now


async def test_a_client_that_waits_to_be_asked_is_asked_once_its_server_is_there(front):
    await front.serving("a.example.com", echoing, streaming=True)
    raw = await front.connect()
    raw.send("POST / HTTP/1.1\r\nHost: a.example.com\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
    assert (await raw.answer()).status == 100
    raw.send("hello")
    assert (await raw.answer()).body == b"hello"


@pytest.mark.parametrize(("host", "status"), [("unknown.example.com", 404), ("empty.example.com", 503)])
async def test_a_client_that_waits_to_be_asked_need_not_send_in_vain(front, host, status):
    front.service("empty")
    front.host("empty.example.com", "empty")
    raw = await front.connect()
    raw.send(f"POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
    answer = await raw.answer()
    assert answer.status == status and answer.headers["connection"] == "close"


async def test_a_server_that_answers_before_it_has_read_everything(front):
    def refuse(exchange):
        exchange.respond(413, b"too much")

    await front.serving("a.example.com", refuse, streaming=True)
    raw = await front.connect()
    raw.send("POST / HTTP/1.1\r\nHost: a.example.com\r\nContent-Length: 100000000\r\n\r\n")
    raw.send(b"x" * 100_000)
    answer = await raw.answer()
    assert (answer.status, answer.body, answer.headers["connection"]) == (413, b"too much", "close")
    await until(lambda: not front.proxy.server.tasks)


async def test_a_short_answer_to_a_request_that_pauses_comes_whole(front):
    """The body comes a byte at a time, so that every piece is a stream's."""
    await front.serving("a.example.com", echoing, streaming=True)
    raw = await front.connect()
    raw.send("POST / HTTP/1.1\r\nHost: a.example.com\r\nContent-Length: 5\r\n\r\n")
    for byte in b"hello":
        await asyncio.sleep(0.01)
        raw.send(bytes([byte]))
    assert (await raw.answer()).body == b"hello"
