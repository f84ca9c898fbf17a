"""How a server ends towards HTTP/2: told twice, nothing lost, nothing left."""

from __future__ import annotations

import asyncio

import pytest
from hyperframe.frame import PingFrame

from mizzen.http.exchange import Exchange
from mizzen.http.server import Limits

LAST = 2**31 - 1


async def test_idle_connections_end_at_once(serve, peer):
    server, port = await serve(lambda exchange: exchange.respond(200))
    client = await peer(port)
    client.request(1)
    assert (await client.answer(1)).status == 200
    assert await server.close(5)
    assert await client.ended()
    assert [(goaway.last_stream_id, goaway.error_code) for goaway in client.goaways] == [(LAST, 0), (1, 0)]
    assert client.pings


async def test_what_is_under_way_finishes_and_what_was_on_its_way_is_served(serve, peer):
    waiting: list[Exchange] = []
    server, port = await serve(waiting.append)
    client = await peer(port)
    client.acks = False
    client.request(1)
    client.request(3, end=False)
    await client.settled()
    closing = asyncio.create_task(server.close(10))
    await client.until(lambda: client.goaways)
    assert client.goaways[0].last_stream_id == LAST
    # Sent before the client knew.
    client.request(5)
    client.send(PingFrame(0, opaque_data=client.pings[0], flags=["ACK"]))
    await client.until(lambda: len(client.goaways) == 2)
    assert client.goaways[1].last_stream_id == 5
    client.request(7)
    assert (await client.answer(7)).reset == 7, "refused: it may be sent elsewhere"
    client.data(3, b"the rest")
    await client.settled()
    assert not closing.done()
    for exchange in waiting:
        exchange.respond(200, exchange.body or b"done")
    assert [(await client.answer(stream)).body for stream in (1, 3, 5)] == [b"done", b"the rest", b"done"]
    assert await client.ended()
    client.close()
    assert await closing


async def test_a_client_that_does_not_say_that_it_heard_is_not_waited_for(serve, peer):
    server, port = await serve(lambda exchange: exchange.respond(200), Limits(linger=0.2))
    client = await peer(port)
    await client.settled()
    client.acks = False
    assert await server.close(10)
    assert len(client.goaways) == 2


async def test_a_streamed_answer_that_had_begun_finishes(serve, peer):
    go = asyncio.Event()

    async def stream(exchange: Exchange) -> None:
        exchange.start(200)
        exchange.write(b"begun ")
        await go.wait()
        exchange.write(b"ended")
        exchange.finish([(b"t", b"u")])

    server, port = await serve(lambda exchange: exchange.spawn(stream(exchange)))
    client = await peer(port)
    client.request(1)
    await client.until(lambda: client.of(1).body)
    closing = asyncio.create_task(server.close(10))
    await client.until(lambda: len(client.goaways) == 2)
    go.set()
    answer = await client.answer(1)
    assert (answer.body, answer.trailers) == (b"begun ended", {"t": "u"})
    assert await client.ended()
    client.close()
    assert await closing


async def test_an_answer_that_waits_for_its_window_finishes(serve, peer):
    server, port = await serve(lambda exchange: exchange.respond(200, b"x" * 100_000))
    client = await peer(port)
    client.request(1)
    await client.until(lambda: len(client.of(1).body) == 65_535)
    closing = asyncio.create_task(server.close(10))
    await client.until(lambda: len(client.goaways) == 2)
    client.window(0, 100_000)
    client.window(1, 100_000)
    assert len((await client.answer(1)).body) == 100_000
    client.close()
    assert await closing


@pytest.mark.parametrize("streaming", [False, True])
async def test_what_outlasts_the_grace_is_cut_off(serve, peer, eventually, streaming):
    ended = []

    async def forever(exchange: Exchange) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(exchange)

    server, port = await serve(lambda exchange: exchange.spawn(forever(exchange)), streaming=streaming)
    client = await peer(port)
    client.request(1)
    client.request(3)
    await client.settled()
    assert not await server.close(0.1)
    assert len(ended) == 2
    assert not server.tasks
    assert await client.ended()
    await eventually(lambda: server.connections == 0)


async def test_connections_that_have_not_said_what_they_speak_end_too(serve, connect, peer):
    server, port = await serve(lambda exchange: exchange.respond(200), Limits(head_timeout=0.2))
    silent = await connect(port)
    begun = await connect(port)
    begun.send("PRI")
    late = await peer(port, None)
    late.raw(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    await asyncio.sleep(0.05)
    assert await server.close(5)
    assert await silent.ended() and await begun.ended() and await late.ended()


async def test_a_client_that_comes_while_the_server_ends_is_told(serve, peer):
    """Its connection was accepted before, and its first words came after."""
    waiting: list[Exchange] = []
    server, port = await serve(waiting.append)
    first = await peer(port)
    first.request(1)
    await first.settled()
    late = await peer(port, None)
    late.raw(b"P")
    await asyncio.sleep(0.05)
    closing = asyncio.create_task(server.close(10))
    await first.until(lambda: first.goaways)
    late.raw(b"RI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0")
    assert (await late.goaway()).error_code == 0
    waiting[0].respond(200)
    assert (await first.answer(1)).status == 200
    assert await first.ended() and await late.ended()
    first.close()
    late.close()
    assert await closing


async def test_an_idle_server_keeps_no_timer(serve, peer, eventually):
    server, port = await serve(lambda exchange: exchange.respond(200))
    client = await peer(port)
    client.request(1)
    await client.answer(1)
    assert server._timer is not None
    client.close()
    await eventually(lambda: server._timer is None)
