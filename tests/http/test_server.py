"""Requests and answers: order, persistence, streaming, and what a client may not do."""

from __future__ import annotations

import asyncio
import json
import logging
import re

import pytest

from mizzen.http.exchange import Exchange
from mizzen.http.headers import JSON
from mizzen.http.server import Limits

GET = "GET {} HTTP/1.1\r\nHost: a\r\n\r\n"
POST = "POST {} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{}"


def echo(exchange: Exchange) -> None:
    told = {
        "method": exchange.method.decode(),
        "target": exchange.target.decode(),
        "body": exchange.body.decode("latin-1"),
    }
    exchange.respond(200, json.dumps(told).encode(), JSON)


async def test_a_request_is_answered_and_the_connection_kept(start, connect):
    server, port = await start(echo)
    raw = await connect(port)
    for turn in range(3):
        raw.send(POST.format(f"/a?b={turn}", 5, "hello"))
        answer = await raw.answer()
        assert answer.status == 200
        assert json.loads(answer.body) == {"method": "POST", "target": f"/a?b={turn}", "body": "hello"}
        assert answer.headers["content-type"] == "application/json"
        assert "connection" not in answer.headers
        assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", answer.headers["date"])
    assert server.connections == 1


@pytest.mark.parametrize("size", [1, 2, 3, 7, 30])
async def test_a_request_may_come_in_pieces_of_any_size(start, connect, size):
    _, port = await start(echo)
    raw = await connect(port)
    data = b"POST /pieces HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    data += b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: u\r\n\r\n"
    for at in range(0, len(data), size):
        raw.send(data[at : at + size])
        await asyncio.sleep(0)
    assert json.loads((await raw.answer()).body) == {"method": "POST", "target": "/pieces", "body": "abcde"}


async def test_pipelined_requests_are_answered_in_their_order_whatever_is_ready_first(start, connect):
    waiting: list[Exchange] = []
    _, port = await start(waiting.append)
    raw = await connect(port)
    raw.send("".join(GET.format(f"/{n}") for n in range(6)))
    async with asyncio.timeout(10):
        while len(waiting) < 6:
            await asyncio.sleep(0.001)
    for at in (3, 5, 1, 0, 4, 2):
        waiting[at].respond(200, b"%d" % at)
    assert [(await raw.answer()).body for _ in range(6)] == [b"%d" % n for n in range(6)]


async def test_streamed_and_whole_answers_keep_their_order_too(start, connect):
    waiting: list[Exchange] = []
    _, port = await start(waiting.append)
    raw = await connect(port)
    raw.send("".join(GET.format(f"/{n}") for n in range(3)))
    async with asyncio.timeout(10):
        while len(waiting) < 3:
            await asyncio.sleep(0.001)
    first, second, third = waiting
    third.respond(200, b"third")
    second.start(200)
    second.write(b"sec")
    first.start(200, length=5)
    first.write(b"fir")
    second.write(b"ond")
    first.write(b"st")
    first.finish()
    second.finish()
    assert [(await raw.answer()).body for _ in range(3)] == [b"first", b"second", b"third"]


async def test_a_flood_of_pipelined_requests_is_taken_bit_by_bit(start, connect, eventually):
    waiting: list[Exchange] = []
    _, port = await start(waiting.append, Limits(pipelined=8))
    raw = await connect(port)
    # More than the sockets hold, so that most of it is not read before the first are answered.
    count = 100_000
    raw.send(GET.format("/x") * count)
    await eventually(lambda: len(waiting) > 8)
    await asyncio.sleep(0.1)
    assert len(waiting) < count / 2
    seen = 0
    while seen < count:
        ready, waiting[:] = list(waiting), []
        for exchange in ready:
            exchange.respond(200)
        for _ in ready:
            assert (await raw.answer()).status == 200
        seen += len(ready)


@pytest.mark.parametrize(
    ("version", "connection", "kept", "told"),
    [
        ("1.1", None, True, None),
        ("1.1", "close", False, "close"),
        ("1.0", None, False, "close"),
        ("1.0", "keep-alive", True, "keep-alive"),
    ],
)
async def test_who_keeps_the_connection(start, connect, version, connection, kept, told):
    _, port = await start(echo)
    raw = await connect(port)
    field = f"Connection: {connection}\r\n" if connection else ""
    raw.send(f"GET /1 HTTP/{version}\r\nHost: a\r\n{field}\r\n")
    answer = await raw.answer()
    assert answer.status == 200
    assert answer.headers.get("connection") == told
    if kept:
        raw.send(f"GET /2 HTTP/{version}\r\nHost: a\r\n{field}\r\n")
        assert json.loads((await raw.answer()).body)["target"] == "/2"
    else:
        assert await raw.ended()


async def test_what_follows_a_closing_request_is_not_served(start, connect):
    seen = []

    def note(exchange: Exchange) -> None:
        seen.append(exchange.target)
        exchange.respond(200)

    _, port = await start(note)
    raw = await connect(port)
    raw.send("GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" + GET.format("/more"))
    assert (await raw.answer()).status == 200
    assert await raw.ended()
    assert seen == [b"/last"]


async def test_head_gets_the_length_and_no_body(start, connect):
    _, port = await start(lambda exchange: exchange.respond(200, b"12345"))
    raw = await connect(port)
    raw.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n" + GET.format("/"))
    assert (await raw.answer(head_only=True)).headers["content-length"] == "5"
    assert (await raw.answer()).body == b"12345"


async def test_no_content_has_no_length(start, connect):
    _, port = await start(lambda exchange: exchange.respond(204))
    raw = await connect(port)
    raw.send(GET.format("/") * 2)
    for _ in range(2):
        answer = await raw.answer()
        assert (answer.status, "content-length" in answer.headers) == (204, False)


@pytest.mark.parametrize("streaming", [False, True])
async def test_a_body_is_asked_for_when_the_client_waits_to_be_asked(start, connect, streaming):
    async def read(exchange: Exchange) -> None:
        assert exchange.stream is not None
        exchange.respond(200, await exchange.stream.read_all())

    def handler(exchange: Exchange) -> None:
        if streaming:
            exchange.spawn(read(exchange))
        else:
            exchange.respond(200, exchange.body)

    _, port = await start(handler, streaming=streaming)
    raw = await connect(port)
    raw.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
    assert (await raw.answer()).status == 100
    raw.send("body")
    answer = await raw.answer()
    assert (answer.status, answer.body) == (200, b"body")


async def test_a_body_that_is_too_large_is_refused_before_it_is_sent(start, connect):
    _, port = await start(echo, Limits(body=1000))
    raw = await connect(port)
    raw.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1001\r\n\r\n")
    answer = await raw.answer()
    assert answer.status == 413
    assert "1000 bytes" in json.loads(answer.body)["error"]
    assert await raw.ended()


@pytest.mark.parametrize("version", ["1.1", "1.0"])
@pytest.mark.parametrize("upgrade", ["h2c", "websocket"])
async def test_an_offer_to_upgrade_is_passed_over(start, connect, version, upgrade):
    """curl --http2 sends this; llhttp would take the body for another protocol."""
    _, port = await start(echo)
    raw = await connect(port)
    raw.send(
        f"POST /up HTTP/{version}\r\nHost: a\r\nConnection: keep-alive, Upgrade, HTTP2-Settings\r\n"
        f"Upgrade: {upgrade}\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\nContent-Length: 4\r\n\r\nbo"
    )
    await asyncio.sleep(0.01)
    raw.send("dy" + GET.format("/next"))
    assert json.loads((await raw.answer()).body) == {"method": "POST", "target": "/up", "body": "body"}
    assert json.loads((await raw.answer()).body)["target"] == "/next"


async def test_a_handler_that_fails_is_answered_for(start, connect, caplog):
    def broken(exchange: Exchange) -> None:
        raise RuntimeError("a defect")

    _, port = await start(broken)
    raw = await connect(port)
    with caplog.at_level(logging.ERROR):
        raw.send(GET.format("/") * 2)
        assert [(await raw.answer()).status for _ in range(2)] == [500, 500]
    assert "a defect" in caplog.text


async def test_a_coroutine_that_fails_or_forgets_is_answered_for(start, connect, caplog):
    async def broken(exchange: Exchange) -> None:
        if exchange.target == b"/raise":
            raise RuntimeError("a defect")

    _, port = await start(lambda exchange: exchange.spawn(broken(exchange)))
    raw = await connect(port)
    with caplog.at_level(logging.ERROR):
        raw.send(GET.format("/raise") + GET.format("/forget"))
        assert [(await raw.answer()).status for _ in range(2)] == [500, 500]
    assert "a defect" in caplog.text
    assert "/forget" in caplog.text


async def test_answering_twice_is_a_defect(start, connect):
    errors = []

    def twice(exchange: Exchange) -> None:
        exchange.respond(200, b"once")
        try:
            exchange.respond(200, b"twice")
        except RuntimeError as error:
            errors.append(str(error))

    _, port = await start(twice)
    raw = await connect(port)
    raw.send(GET.format("/") * 2)
    assert [(await raw.answer()).body for _ in range(2)] == [b"once", b"once"]
    assert len(errors) == 2
