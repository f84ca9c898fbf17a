"""Clients that go: whoever works for them is told, and nothing of them stays."""

from __future__ import annotations

import asyncio

import pytest

from mizzen.http.exchange import Exchange

GET = "GET {} HTTP/1.1\r\nHost: a\r\n\r\n"
POST = "POST {} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{}"


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_a_client_that_goes_is_told_to_the_handler(start, connect, eventually, how):
    gone = []

    def wait(exchange: Exchange) -> None:
        exchange.on_disconnect = lambda: gone.append(exchange)

    server, port = await start(wait)
    raw = await connect(port)
    raw.send(GET.format("/") * 3)
    await eventually(lambda: server.connections == 1)
    await asyncio.sleep(0.02)
    getattr(raw, how)()
    await eventually(lambda: len(gone) == 3)
    assert all(exchange.gone for exchange in gone)
    gone[0].respond(200, b"nobody reads this")
    await eventually(lambda: server.connections == 0)


async def test_a_client_that_goes_ends_the_coroutine_that_works_for_it(start, connect, eventually):
    states = []

    async def work(exchange: Exchange) -> None:
        states.append("begun")
        try:
            await asyncio.Event().wait()
        finally:
            states.append("ended")

    server, port = await start(lambda exchange: exchange.spawn(work(exchange)))
    raw = await connect(port)
    raw.send(GET.format("/"))
    await eventually(lambda: states == ["begun"])
    raw.reset()
    await eventually(lambda: states == ["begun", "ended"] and not server.tasks)


@pytest.mark.parametrize("part", ["GET / HTTP/1.1\r\nHos", POST.format("/", 10, "12345")])
async def test_a_request_that_is_cut_off_is_answered_if_anybody_listens(start, connect, eventually, part):
    server, port = await start(lambda exchange: exchange.respond(200))
    raw = await connect(port)
    raw.send(part)
    raw.writer.write_eof()
    answer = await raw.answer()
    assert answer.status == 400 and b"cut off" in answer.body
    raw.close()
    await eventually(lambda: server.connections == 0)


async def test_a_request_that_is_cut_off_leaves_nothing_behind(start, connect, eventually):
    seen = []
    server, port = await start(seen.append)
    for part in ("GE", "GET / HT", "GET / HTTP/1.1\r\nHos", POST.format("/", 10, "12345"), ""):
        raw = await connect(port)
        raw.send(part)
        await asyncio.sleep(0.01)
        raw.reset()
    await eventually(lambda: server.connections == 0)
    assert seen == []
