"""How a server ends: nothing new, what is under way finishes, and then nothing is left."""

from __future__ import annotations

import asyncio

import pytest

from mizzen.http.exchange import Exchange
from mizzen.http.server import Server

GET = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"


async def test_idle_connections_close_and_no_new_ones_are_taken(start, connect):
    server, port = await start(lambda exchange: exchange.respond(200))
    raw = await connect(port)
    raw.send(GET)
    assert (await raw.answer()).status == 200
    assert await server.close(5)
    assert await raw.ended()
    with pytest.raises(OSError):
        await connect(port)


async def test_requests_under_way_are_answered_and_told_that_it_is_the_last(start, connect, eventually):
    waiting: list[Exchange] = []
    server, port = await start(waiting.append)
    raw = await connect(port)
    raw.send(GET * 2)
    await eventually(lambda: len(waiting) == 2)
    closing = asyncio.create_task(server.close(10))
    await asyncio.sleep(0.05)
    assert not closing.done()
    for exchange in waiting:
        exchange.respond(200, b"done")
    answers = [await raw.answer(), await raw.answer()]
    assert [answer.body for answer in answers] == [b"done", b"done"]
    assert answers[-1].headers["connection"] == "close"
    assert await raw.ended()
    raw.close()
    assert await closing


async def test_a_request_that_is_arriving_is_still_served(start, connect):
    server, port = await start(lambda exchange: exchange.respond(200, exchange.body))
    raw = await connect(port)
    raw.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\nhalf")
    await asyncio.sleep(0.05)
    closing = asyncio.create_task(server.close(10))
    await asyncio.sleep(0.05)
    raw.send("half")
    answer = await raw.answer()
    assert (answer.body, answer.headers["connection"]) == (b"halfhalf", "close")
    raw.close()
    assert await closing


async def test_a_streamed_answer_that_had_begun_finishes(start, connect, eventually):
    go = asyncio.Event()
    begun = asyncio.Event()

    async def stream(exchange: Exchange) -> None:
        exchange.start(200)
        exchange.write(b"begun ")
        begun.set()
        await go.wait()
        exchange.write(b"ended")
        exchange.finish()

    server, port = await start(lambda exchange: exchange.spawn(stream(exchange)))
    raw = await connect(port)
    raw.send(GET)
    await begun.wait()
    closing = asyncio.create_task(server.close(10))
    await asyncio.sleep(0.05)
    go.set()
    assert (await raw.answer()).body == b"begun ended"
    assert await raw.ended()
    raw.close()
    assert await closing


async def test_what_outlasts_the_grace_is_cut_off(start, connect, eventually):
    ended = []

    async def forever(exchange: Exchange) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(exchange)

    server, port = await start(lambda exchange: exchange.spawn(forever(exchange)))
    raw = await connect(port)
    raw.send(GET)
    await eventually(lambda: server.tasks)
    assert not await server.close(0.1)
    assert len(ended) == 1
    assert not server.tasks
    assert await raw.ended()
    await eventually(lambda: server.connections == 0)


async def test_an_idle_server_keeps_no_timer(start, connect, eventually):
    server, port = await start(lambda exchange: exchange.respond(200))
    raw = await connect(port)
    raw.send(GET)
    await raw.answer()
    assert server._timer is not None
    raw.close()
    await eventually(lambda: server._timer is None)


async def test_a_socket_that_was_bound_before_can_be_served(connect):
    import socket

    sock = socket.create_server(("127.0.0.1", 0))
    server = Server(lambda exchange: exchange.respond(200, b"bound"))
    assert await server.listen(sock=sock) == [sock.getsockname()]
    raw = await connect(sock.getsockname()[1])
    raw.send(GET)
    assert (await raw.answer()).body == b"bound"
    await server.close(0)


async def test_https(contexts):
    context, trusting = contexts()
    server = Server(lambda exchange: exchange.respond(200, b"secret"))
    [(_, port)] = await server.listen("127.0.0.1", 0, ssl=context)
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting, server_hostname="localhost")
    writer.write(GET.encode() + b"nonsense\r\n\r\n")
    async with asyncio.timeout(10):
        text = await reader.read()
    assert b"secret" in text
    assert b"HTTP/1.1 400" in text
    writer.close()
    assert await server.close(5)
