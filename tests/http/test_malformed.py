"""What is not HTTP, or could be read in two ways, or never ends: refused in words, and the connection with it."""

from __future__ import annotations

import asyncio
import json
import tracemalloc

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mizzen.http.connection import Connection
from mizzen.http.exchange import Exchange
from mizzen.http.server import Limits, Server

HEAD = "POST / HTTP/1.1\r\nHost: a\r\n"
CHUNKED = HEAD + "Transfer-Encoding: chunked\r\n\r\n"


def ok(exchange: Exchange) -> None:
    exchange.respond(200, b"{}")


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        pytest.param("hello\r\n\r\n", 400, id="no HTTP"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, id="TLS"),
        pytest.param("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, id="HTTP/2"),
        pytest.param("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505, id="version 2.0"),
        pytest.param("GET / HTTP/0.9\r\nHost: a\r\n\r\n", 505, id="version 0.9"),
        pytest.param("GET / HTTP/1.1\r\n\r\n", 400, id="no host"),
        pytest.param("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, id="two hosts"),
        pytest.param("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400, id="two hosts, old"),
        pytest.param("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400, id="space in target"),
        pytest.param("GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n", 400, id="NUL in target"),
        pytest.param("GET / HTTP/1.1\nHost: a\n\n", 400, id="bare line feeds"),
        pytest.param("GET / HTTP/1.1\r\nHost: a\r\nA: b\rC: d\r\n\r\n", 400, id="bare carriage return"),
        pytest.param("GET / HTTP/1.1\r\nHost: a\r\nA: b\x00c\r\n\r\n", 400, id="NUL in a field"),
        pytest.param("GET / HTTP/1.1\r\nHost: a\r\nA : b\r\n\r\n", 400, id="space before colon"),
        pytest.param("GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n c\r\n\r\n", 400, id="folded field"),
        pytest.param("CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 501, id="CONNECT"),
        # Two readers must not see two ends (RFC 9112, section 6.3).
        pytest.param(HEAD + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, id="both"),
        pytest.param(HEAD + "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", 400, id="both, turned"),
        pytest.param(HEAD + "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400, id="two lengths"),
        pytest.param(HEAD + "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400, id="two different lengths"),
        pytest.param(HEAD + "Content-Length: 3, 3\r\n\r\nabc", 400, id="list of lengths"),
        pytest.param(HEAD + "Content-Length: -3\r\n\r\nabc", 400, id="negative length"),
        pytest.param(HEAD + "Content-Length: +3\r\n\r\nabc", 400, id="signed length"),
        pytest.param(HEAD + "Content-Length: 0x3\r\n\r\nabc", 400, id="hexadecimal length"),
        pytest.param(HEAD + "Content-Length: three\r\n\r\nabc", 400, id="length in words"),
        pytest.param(HEAD + "Content-Length:\r\n\r\nabc", 400, id="empty length"),
        pytest.param(HEAD + f"Content-Length: {10**30}\r\n\r\nabc", 400, id="length without end"),
        pytest.param(HEAD + f"Content-Length: {2 * 1024**3}\r\n\r\nabc", 413, id="2 GB promised"),
        pytest.param(HEAD + "Transfer-Encoding: gzip\r\n\r\nabc", 400, id="gzip"),
        pytest.param(HEAD + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400, id="gzip and chunked"),
        pytest.param(HEAD + "Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", 400, id="chunked and gzip"),
        pytest.param(HEAD + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400, id="xchunked"),
        pytest.param(HEAD + "Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n", 400, id="vertical tab"),
        pytest.param(HEAD + "Transfer-Encoding: chunked\r\n" * 2 + "\r\n0\r\n\r\n", 400, id="chunked twice"),
        pytest.param(CHUNKED.replace("1.1", "1.0") + "0\r\n\r\n", 400, id="chunked, old"),
        pytest.param(CHUNKED + "zz\r\n\r\n", 400, id="chunk size"),
        pytest.param(CHUNKED + "-1\r\n\r\n", 400, id="negative chunk"),
        pytest.param(CHUNKED + "f" * 17 + "\r\n", 400, id="chunk without end"),
        pytest.param(CHUNKED + "3\r\nabcd\r\n0\r\n\r\n", 400, id="chunk too long"),
        pytest.param(CHUNKED + "3\nabc\n0\n\n", 400, id="chunk with bare line feeds"),
    ],
)
async def test_it_is_refused_with_a_sentence_and_the_connection_ends(start, connect, request_, status):
    served = []

    def note(exchange: Exchange) -> None:
        served.append(exchange.target)
        exchange.respond(200)

    _, port = await start(note)
    raw = await connect(port)
    raw.send(request_)
    answer = await raw.answer()
    assert answer.status == status
    assert json.loads(answer.body)["error"]
    assert answer.headers["connection"] == "close"
    assert await raw.ended()
    assert served == []


async def test_who_speaks_tls_is_told_what_is_spoken_here(start, connect):
    _, port = await start(ok)
    hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
    raw = await connect(port)
    raw.send(hello)
    assert json.loads((await raw.answer()).body)["error"] == "this port speaks plain HTTP, and this is TLS: use http://"
    raw = await connect(port)
    raw.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    await asyncio.sleep(0.05)
    raw.send(hello)
    assert "TLS" not in json.loads((await raw.answer()).body)["error"]


async def test_requests_before_a_broken_one_get_their_answers_first(start, connect):
    waiting: list[Exchange] = []
    _, port = await start(waiting.append)
    raw = await connect(port)
    raw.send("GET /good HTTP/1.1\r\nHost: a\r\n\r\nbroken\r\n\r\n")
    await asyncio.sleep(0.05)
    waiting[0].respond(200, b"good")
    assert [(await raw.answer()).status, (await raw.answer()).status] == [200, 400]
    assert await raw.ended()


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        pytest.param("GET / HTTP/1.1\r\nHost: a\r\n" + "A: b\r\n" * 200 + "\r\n", 431, id="fields"),
        pytest.param("GET / HTTP/1.1\r\nHost: a\r\nA: " + "b" * 20_000 + "\r\n\r\n", 431, id="one field"),
        pytest.param("GET /" + "x" * 20_000 + " HTTP/1.1\r\nHost: a\r\n\r\n", 431, id="target"),
        pytest.param("GET / HTTP/1.1\r\nHost: a\r\nA: " + "b" * 500_000, 431, id="endless field"),
        pytest.param(HEAD + "Content-Length: 20001\r\n\r\n", 413, id="length"),
        pytest.param(CHUNKED + "7530\r\n" + "x" * 0x7530, 413, id="chunks"),
        pytest.param(CHUNKED + "0\r\n" + "T: u\r\n" * 10_000 + "\r\n", 431, id="trailers"),
    ],
)
async def test_what_weighs_too_much(start, connect, request_, status):
    _, port = await start(ok, Limits(head=10_000, body=20_000))
    raw = await connect(port)
    raw.send(request_)
    assert (await raw.answer()).status == status
    assert await raw.ended()


async def test_a_head_that_grows_slowly_is_too_large_too(start, connect):
    _, port = await start(ok, Limits(head=2_000))
    raw = await connect(port)
    raw.send("GET / HTTP/1.1\r\nHost: a\r\n")
    for _ in range(60):
        raw.send("A: " + "b" * 50 + "\r\n")
        await asyncio.sleep(0.001)
    assert (await raw.answer()).status == 431


async def test_a_large_body_that_nobody_reads_still_gets_the_refusal_across(start, connect):
    """Closing on unread bytes would reset the connection and may destroy the answer."""
    _, port = await start(ok, Limits(body=1000))
    raw = await connect(port)
    raw.send(HEAD + "Content-Length: 3000000\r\n\r\n")
    raw.send(b"x" * 3_000_000)
    assert (await raw.answer()).status == 413


@pytest.mark.parametrize(
    ("limits", "sent", "status"),
    [
        pytest.param(Limits(head_timeout=0.2), "GET / HTTP/1.1\r\nHost:", 408, id="head"),
        pytest.param(Limits(body_timeout=0.2), HEAD + "Content-Length: 9\r\n\r\nhalf", 408, id="body"),
        pytest.param(Limits(keep_alive=0.2), "", None, id="nothing"),
        pytest.param(Limits(keep_alive=0.2), "\r\n\r\n", None, id="empty lines"),
        pytest.param(Limits(keep_alive=0.2), "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 200, id="idle"),
    ],
)
async def test_what_takes_too_long_is_ended(start, connect, eventually, limits, sent, status):
    server, port = await start(ok, limits)
    raw = await connect(port)
    raw.send(sent)
    if status is not None:
        assert (await raw.answer()).status == status
    assert await raw.ended()
    raw.close()
    await eventually(lambda: server.connections == 0)


async def test_dripping_a_head_does_not_buy_time(start, connect):
    _, port = await start(ok, Limits(head_timeout=0.3))
    raw = await connect(port)

    async def drip() -> None:
        for byte in "GET / HTTP/1.1\r\nHost: a\r\nX: " + "y" * 10_000:
            raw.send(byte)
            await asyncio.sleep(0.02)

    task = asyncio.create_task(drip())
    assert (await raw.answer()).status == 408
    task.cancel()


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        pytest.param(HEAD + "Content-Length: 1000000\r\n\r\n", "x", id="length"),
        pytest.param(CHUNKED, "1\r\nx\r\n", id="chunks"),
        pytest.param(CHUNKED + "100;", "extension", id="a chunk's extension"),
    ],
)
async def test_dripping_a_body_does_not_buy_time_for_ever(start, connect, head, piece):
    _, port = await start(ok, Limits(body_timeout=0.4))
    raw = await connect(port)
    raw.send(head)

    async def drip() -> None:
        while True:
            raw.send(piece)
            await asyncio.sleep(0.02)

    task = asyncio.create_task(drip())
    answer = await raw.answer()
    assert answer.status == 408
    assert "1024 a second are expected after the first 0.4 s" in json.loads(answer.body)["error"]
    task.cancel()


@pytest.mark.parametrize("streaming", [False, True])
async def test_a_body_may_take_its_time_as_long_as_it_comes(start, connect, streaming):
    """A rate that is kept buys time; a streamed body is its handler's to end."""

    async def read(exchange: Exchange) -> None:
        exchange.respond(200, await exchange.stream.read_all())

    def handler(exchange: Exchange) -> None:
        if exchange.stream is None:
            exchange.respond(200, exchange.body)
        else:
            exchange.spawn(read(exchange))

    limits = Limits(body_timeout=0.4, body_rate=1e9 if streaming else 10)
    _, port = await start(handler, limits, streaming=streaming)
    raw = await connect(port)
    raw.send(HEAD + "Content-Length: 60\r\n\r\n")
    for _ in range(60):
        raw.send("x")
        await asyncio.sleep(0.02)
    assert (await raw.answer()).body == b"x" * 60


@pytest.mark.parametrize("before", ["", "GET /before HTTP/1.1\r\nHost: a\r\n\r\n"])
@pytest.mark.parametrize(
    ("begins", "goes_on"),
    [
        pytest.param("GET /x HTTP/1.1\r\nHost: a\r\nA: " + "b" * 12_000, "", id="field"),
        pytest.param("GET /" + "x" * 12_000, "", id="target"),
        pytest.param("GET /x HTTP/1.1\r\n" + "A: b\r\n" * 2_000, "", id="fields"),
        # Neither piece alone is too large.
        pytest.param("GET /x HTTP/1.1\r\nHost: a\r\nA: " + "b" * 7_000, "b" * 7_000 + "\r\n\r\n", id="two pieces"),
    ],
)
async def test_a_head_that_is_too_large_and_not_complete(start, connect, before, begins, goes_on):
    """It is said at once, not after a wait for the rest."""
    _, port = await start(ok, Limits(head=10_000, head_timeout=600, linger=60))
    raw = await connect(port)
    raw.send(before + begins)
    if before:
        assert (await raw.answer()).status == 200
    if goes_on:
        await asyncio.sleep(0.05)
        raw.send(goes_on)
    answer = await raw.answer()
    assert answer.status == 431
    assert json.loads(answer.body)["error"] == "the request's header is larger than 10000 bytes"


async def test_what_came_before_a_head_does_not_count_against_it(start, connect):
    _, port = await start(ok, Limits(head=10_000))
    raw = await connect(port)
    large = HEAD + "Content-Length: 20000\r\n\r\n" + "x" * 20_000
    for begun in ("GET", "GET /", "GET / HTTP/1.1\r\nHost: a\r\nA: " + "b" * 9_000):
        raw.send(large + begun)
        assert (await raw.answer()).status == 200
        await asyncio.sleep(0.05)
        raw.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n"[len(begun) :] if len(begun) < 10 else "\r\n\r\n")
        assert (await raw.answer()).status == 200


@pytest.mark.parametrize("streaming", [False, True])
def test_tiny_chunks_weigh_what_they_hold(streaming):
    """Half a million chunks of two bytes: as bytes of their own they would weigh 28 times as much."""

    async def run() -> tuple[int, bytes]:
        kept: list[Exchange] = []
        server = Server(kept.append, streaming=streaming)
        connection = Connection(server)
        connection.connection_made(Sink())
        connection.data_received(CHUNKED.encode())
        chunks = b"2\r\nab\r\n2\r\ncd\r\n" * 1000
        for _ in range(25 if streaming else 250):  # of a stream no more is read than its reader takes
            connection.data_received(chunks)
        held, _ = tracemalloc.get_traced_memory()
        connection.data_received(b"0\r\n\r\n")
        body = kept[0].body or await kept[0].stream.read_all()
        connection.connection_lost(None)
        await server.close(0)
        return held, body

    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        held, body = asyncio.run(run())
    finally:
        tracemalloc.stop()
    assert body == b"abcd" * (25_000 if streaming else 250_000)
    assert held - before < len(body) * 1.5 + 200_000


async def test_a_client_that_never_reads_is_let_go(start, connect, eventually):
    server, port = await start(
        lambda exchange: exchange.respond(200, b"x" * 32 * 1024 * 1024), Limits(write_timeout=0.3, linger=0.3)
    )
    raw = await connect(port)
    raw.reader._transport.pause_reading()
    raw.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    await eventually(lambda: server.connections == 1)
    await eventually(lambda: server.connections == 0)


class Sink:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.data = b""
        self.closed = False

    def write(self, data: bytes) -> None:
        self.data += data

    def writelines(self, parts: list[bytes]) -> None:
        self.data += b"".join(parts)

    def is_closing(self) -> bool:
        return self.closed

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.closed = True

    def close(self) -> None:
        self.closed = True

    abort = close

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0


FRAGMENTS = st.sampled_from(
    [
        b"GET / HTTP/1.1\r\n",
        b"POST /x HTTP/1.1\r\n",
        b"GET / HTTP/1.0\r\n",
        b"Host: a\r\n",
        b"Content-Length: 3\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Connection: close\r\n",
        b"Connection: upgrade\r\nUpgrade: h2c\r\n",
        b"Expect: 100-continue\r\n",
        b"\r\n",
        b"abc",
        b"3\r\nabc\r\n",
        b"0\r\n\r\n",
        b"\x00",
        b"\xff",
    ]
)


@pytest.mark.parametrize("streaming", [False, True])
def test_no_bytes_make_the_parser_fail_or_answer_out_of_turn(streaming):
    """Whatever comes, in whatever pieces: whole answers only, one for each request served, no exception."""

    @settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.lists(FRAGMENTS | st.binary(max_size=8), max_size=24), st.lists(st.integers(1, 40), max_size=20))
    def check(fragments: list[bytes], cuts: list[int]) -> None:
        async def run() -> None:
            served = 0

            def note(exchange: Exchange) -> None:
                nonlocal served
                served += 1
                exchange.respond(200, b"ok")

            server = Server(note, streaming=streaming)
            connection, sink = Connection(server), Sink()
            connection.connection_made(sink)
            data = b"".join(fragments)
            sizes = list(cuts)
            while data:
                size = sizes.pop() if sizes else len(data)
                connection.data_received(data[:size])
                data = data[size:]
            connection.connection_lost(None)
            assert sink.data.count(b"HTTP/1.1 200 OK") == served
            refused = sink.data.count(b"HTTP/1.1 ") - served - sink.data.count(b"HTTP/1.1 100 ")
            assert refused <= 1
            await server.close(0)

        asyncio.run(run())

    check()
