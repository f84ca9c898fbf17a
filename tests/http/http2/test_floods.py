"""Clients that mean harm, or never come to an end: each kind is bounded, in frames and in time."""

from __future__ import annotations

import asyncio

import pytest
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from mizzen.http.errors import HttpError
from mizzen.http.exchange import Exchange
from mizzen.http.http2.frames import Broken
from mizzen.http.http2.guard import Guard
from mizzen.http.server import Limits

CALM = 11


def ok(exchange: Exchange) -> None:
    exchange.respond(200)


FLOODS = {
    "PING": lambda n: PingFrame(0, opaque_data=b"%08d" % n),
    "SETTINGS": lambda n: SettingsFrame(0, settings={3: n}),
    "PRIORITY": lambda n: PriorityFrame(n * 2 + 1, depends_on=0),
    "empty DATA": lambda n: DataFrame(1, data=b""),
    "padded DATA": lambda n: DataFrame(1, data=b"", flags=["PADDED"], pad_length=1),
    "WINDOW_UPDATE": lambda n: WindowUpdateFrame(n % 2, window_increment=1),
}


@pytest.mark.parametrize("kind", FLOODS)
async def test_frames_that_bring_nothing_forward(serve, peer, eventually, kind):
    server, port = await serve(ok, Limits(noise=500, linger=0.3))
    client = await peer(port)
    client.request(1, end=False)
    for n in range(2000):
        client.send(FLOODS[kind](n))
    goaway = await client.goaway()
    assert goaway.error_code == CALM
    assert b"too many frames" in goaway.additional_data
    client.close()
    await eventually(lambda: server.connections == 0)


async def test_unknown_frames(serve, peer):
    _, port = await serve(ok, Limits(noise=500))
    client = await peer(port)
    client.raw((b"\0\0\1\x99\0\0\0\0\0x") * 2000)
    assert (await client.goaway()).error_code == CALM


async def test_rapid_reset(serve, peer, eventually):
    """CVE-2023-44487: each request makes work, and none counts as open."""
    seen = []
    server, port = await serve(seen.append, Limits(resets=100, linger=0.3))
    client = await peer(port)
    for n in range(1000):
        client.request(n * 2 + 1)
        client.reset(n * 2 + 1)
    assert (await client.goaway()).error_code == CALM
    assert len(seen) < 150
    client.close()
    await eventually(lambda: server.connections == 0 and all(exchange.gone for exchange in seen))


async def test_provoked_resets(serve, peer):
    """CVE-2025-8671: we are made to reset the streams."""
    _, port = await serve(lambda exchange: None, Limits(resets=100))
    client = await peer(port)
    for n in range(1000):
        client.request(n * 2 + 1)
        client.raw(b"\0\0\4\x08\0" + (n * 2 + 1).to_bytes(4, "big") + b"\0\0\0\0")
    assert (await client.goaway()).error_code == CALM


async def test_malformed_requests_without_end(serve, peer):
    _, port = await serve(ok, Limits(resets=100))
    client = await peer(port)
    for n in range(1000):
        client.request(n * 2 + 1, ("connection", "close"))
    assert (await client.goaway()).error_code == CALM


async def test_refused_streams_without_end(serve, peer):
    _, port = await serve(lambda exchange: None, Limits(streams=2, noise=500))
    client = await peer(port)
    for n in range(2000):
        client.request(n * 2 + 1)
    assert (await client.goaway()).error_code == CALM


async def test_a_client_that_takes_its_answers_may_cancel_as_many(serve, peer):
    waiting = []

    def handler(exchange: Exchange) -> None:
        if exchange.target == b"/wait":
            waiting.append(exchange)
        else:
            exchange.respond(200)

    _, port = await serve(handler, Limits(resets=20))
    client = await peer(port)
    for n in range(200):
        client.request(n * 4 + 1)
        client.request(n * 4 + 3, path="/wait")
        client.reset(n * 4 + 3)
    assert (await client.answer(797)).status == 200
    await client.settled()
    assert not client.goaways
    assert len(waiting) == 200


async def test_updates_and_pings_that_belong_to_work_are_no_noise(serve, peer):
    _, port = await serve(lambda exchange: exchange.respond(200, b"x" * 16_384), Limits(noise=50))
    client = await peer(port)
    for n in range(300):
        client.request(n * 2 + 1)
        assert len((await client.answer(n * 2 + 1)).body) == 16_384
        client.window(0, 16_384)
        client.window(n * 2 + 1, 16_384)
        client.send(PingFrame(0, opaque_data=b"bdp-ping"))
    assert not client.goaways


@pytest.mark.parametrize("size", [0, 1, 16_000])
async def test_a_header_block_without_end(serve, peer, size):
    _, port = await serve(ok)
    client = await peer(port)
    client.send(HeadersFrame(1, data=b"\x82"))
    for _ in range(200):
        client.send(ContinuationFrame(1, data=b"\x82" * size))
    assert (await client.goaway()).error_code == CALM


async def test_a_small_block_that_unfolds_into_a_large_one(serve, peer):
    """The HPACK bomb: one large entry, referred to again and again."""
    _, port = await serve(ok, Limits(head=16_000))
    client = await peer(port)
    client.request(1, ("x", "y" * 3900))
    assert (await client.answer(1)).status == 200
    block = client.encoder.encode([("x", "y" * 3900)])
    assert len(block) == 1
    client.send(HeadersFrame(3, data=block * 10_000, flags=["END_HEADERS"]))
    assert (await client.goaway()).error_code == CALM


async def test_acknowledgements_do_not_pile_up(serve, peer, eventually):
    """A client that reads nothing can make no more of them than a socket holds."""
    server, port = await serve(ok, Limits(noise=10**9, write_timeout=0.5))
    client = await peer(port)
    await client.settled()
    client.writer.transport.pause_reading()
    pings = PingFrame(0, opaque_data=b"12345678").serialize() * 10_000
    sent = 0
    try:
        async with asyncio.timeout(10):
            while server.connections:
                client.raw(pings)
                sent += len(pings)
                if client.writer.transport.get_write_buffer_size() > 8 * 1024 * 1024:
                    break
                await asyncio.sleep(0)
    except TimeoutError:
        pytest.fail("the server went on reading")
    await eventually(lambda: server.connections == 0)


TIMES = [
    pytest.param(Limits(head_timeout=0.3), lambda c: c.raw(b"\0\0\x10"), id="half a frame's head"),
    pytest.param(Limits(head_timeout=0.3), lambda c: c.raw(b"\0\0\x10\1\5\0\0\0\1\x82"), id="half a HEADERS"),
    pytest.param(Limits(head_timeout=0.3), lambda c: c.send(HeadersFrame(1, data=b"\x82")), id="no CONTINUATION"),
    pytest.param(Limits(keep_alive=0.3), lambda c: None, id="idle"),
    pytest.param(Limits(keep_alive=0.3), lambda c: c.request(1), id="idle after a request"),
]


@pytest.mark.parametrize(("limits", "act"), TIMES)
async def test_what_takes_too_long_is_ended(serve, peer, eventually, limits, act):
    server, port = await serve(ok, limits)
    client = await peer(port)
    await client.settled()
    act(client)
    goaway = await client.goaway()
    assert goaway.error_code == (0 if limits.keep_alive < 1 else 1)
    assert await client.ended()
    client.close()
    await eventually(lambda: server.connections == 0)


@pytest.mark.parametrize("sent", [b"", b"P", b"PRI * HTTP/2.0\r\n\r\nSM"])
async def test_a_connection_that_never_says_what_it_speaks(serve, peer, sent):
    _, port = await serve(ok, Limits(head_timeout=0.3, keep_alive=0.5))
    client = await peer(port, None)
    client.raw(sent)
    assert await client.ended()


async def test_settings_that_never_come(serve, peer):
    _, port = await serve(ok, Limits(head_timeout=0.3))
    client = await peer(port, None)
    client.raw(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    await client.goaway()
    assert await client.ended()


async def test_dripping_does_not_buy_a_header_time(serve, peer):
    _, port = await serve(ok, Limits(head_timeout=0.3))
    client = await peer(port)
    await client.settled()

    async def drip() -> None:
        client.raw(b"\0\1\0\1\5\0\0\0\1")
        for _ in range(256):
            client.raw(b"\x82")
            await asyncio.sleep(0.02)

    task = asyncio.create_task(drip())
    assert (await client.goaway()).error_code == 1
    task.cancel()


async def test_a_body_that_does_not_come_is_refused_alone(serve, peer):
    waiting = []

    def handler(exchange: Exchange) -> None:
        if exchange.target == b"/wait":
            waiting.append(exchange)
        else:
            exchange.respond(200)

    _, port = await serve(handler, Limits(body_timeout=0.3, linger=0.2))
    client = await peer(port)
    client.request(1, path="/wait")
    client.request(3, end=False)
    client.data(3, b"half", end=False)
    answer = await client.answer(3)
    await client.until(lambda: answer.reset is not None)
    assert (answer.status, answer.reset) == (408, 0)
    waiting[0].respond(200, b"fine")
    assert (await client.answer(1)).body == b"fine"


async def test_a_large_frame_may_come_slowly(serve, peer):
    """As long as it comes: each byte buys time."""
    limits = Limits(body_timeout=5, body_rate=0.5)
    server, port = await serve(lambda exchange: exchange.respond(200, exchange.body), limits)
    client = await peer(port)
    client.request(1, end=False)
    await client.settled()
    frame = DataFrame(1, data=b"x" * 16, flags=["END_STREAM"]).serialize()
    client.raw(frame[:9])
    for byte in frame[9:]:
        client.raw(bytes([byte]))
        await asyncio.sleep(0.02)
        server.ticks += 3
        for connection in list(server._connections):
            connection.check_time(server.ticks)
    assert (await client.answer(1)).body == b"x" * 16


async def test_dripping_a_body_does_not_buy_time_for_ever(serve, peer):
    _, port = await serve(ok, Limits(body_timeout=0.4))
    client = await peer(port)
    client.request(1, end=False)

    async def drip() -> None:
        while True:
            client.data(1, b"x", end=False)
            await asyncio.sleep(0.02)

    task = asyncio.create_task(drip())
    answer = await client.answer(1)
    assert answer.status == 408
    assert b"1024 a second are expected after the first 0.4 s" in answer.body
    task.cancel()


async def test_a_body_that_waits_its_turn_is_not_late(serve, peer, eventually):
    """Two bodies come to more than may be held, so the later one waits; its time counts anew when it may go on."""
    server, port = await serve(lambda exchange: exchange.respond(200, b"%d" % len(exchange.body)), Limits(body=100_000))
    client = await peer(port)
    await client.settled()
    server._timer.cancel()  # here time is what the test says
    [connection] = server._connections

    def pass_time(seconds: float) -> None:
        for _ in range(int(seconds / server.tick)):
            server.ticks += 1
            connection.heard = server.ticks
            connection.check_time(server.ticks)

    for stream in (1, 3):
        client.request(stream, end=False)
    for stream in (1, 3) * 4:
        client.data(stream, bytes(15_000), end=False)
    await eventually(lambda: 3 in connection.streams and connection._intake.waits(connection.streams[3]))
    for _ in range(4):  # 60,000 bytes have come of the first: it has 88 s, if it is never silent for long
        pass_time(20)
        connection.streams[1].since = server.ticks
    client.data(1, bytes(1))
    assert (await client.answer(1)).body == b"60001"
    pass_time(25)
    client.data(3, bytes(1))
    assert (await client.answer(3)).body == b"60001"


async def test_a_frame_that_stops_in_the_middle(serve, peer):
    _, port = await serve(ok, Limits(body_timeout=0.3))
    client = await peer(port)
    await client.settled()
    client.request(1, end=False)
    client.raw(DataFrame(1, data=b"x" * 16, flags=["END_STREAM"]).serialize()[:-1])
    assert (await client.answer(1)).status == 408


async def test_a_window_that_never_opens_ends_the_answer_alone(serve, peer, eventually):
    gone = []

    async def pour(exchange: Exchange) -> None:
        exchange.start(200)
        try:
            while True:
                exchange.write(b"x" * 10_000)
                await exchange.drain()
        finally:
            gone.append(exchange)

    def handler(exchange: Exchange) -> None:
        if exchange.target == b"/pour":
            exchange.spawn(pour(exchange))
        else:
            exchange.respond(200)

    _, port = await serve(handler, Limits(write_timeout=0.3))
    client = await peer(port, {"INITIAL_WINDOW_SIZE": 100})
    client.request(1, path="/pour")
    client.request(3, path="/pour")
    assert (await client.answer(1)).reset == 8
    await eventually(lambda: len(gone) == 2)
    client.request(5)
    assert (await client.answer(5)).status == 200


async def test_a_streamed_body_may_be_silent_for_long(serve, peer):
    async def read(exchange: Exchange) -> None:
        exchange.respond(200, await exchange.stream.read_all())

    limits = Limits(body_timeout=0.2, keep_alive=0.2)
    _, port = await serve(lambda exchange: exchange.spawn(read(exchange)), limits, streaming=True)
    client = await peer(port)
    client.request(1, end=False)
    await client.until(lambda: client.pings)
    await asyncio.sleep(0.6)
    client.data(1, b"at last")
    assert (await client.answer(1)).body == b"at last"


async def test_a_client_that_is_not_there_any_more_is_given_up(serve, peer, eventually):
    gone = []

    def wait(exchange: Exchange) -> None:
        exchange.on_disconnect = lambda: gone.append(exchange)

    server, port = await serve(wait, Limits(body_timeout=0.2, keep_alive=0.2))
    client = await peer(port)
    await client.settled()
    client.acks = False
    client.request(1)
    await client.until(lambda: client.pings)
    await eventually(lambda: gone and server.connections == 0)


def test_budgets_refill_with_time_and_with_work():
    guard = Guard(resets=10, noise=10)

    def exhaust(draw) -> int:
        for count in range(1000):
            try:
                draw()
            except Broken as error:
                assert isinstance(error, HttpError)
                return count
        return 1000

    assert exhaust(guard.noise) == exhaust(guard.reset) == 10
    guard.passed(5)
    assert exhaust(guard.noise) == exhaust(guard.reset) == 4
    guard.progress()
    guard.answered()
    guard.passed(1000)
    assert exhaust(guard.noise) == exhaust(guard.reset) == 10
    for _ in range(6):
        guard.progress()
        guard.answered()
    assert exhaust(guard.noise) == 11
    assert exhaust(guard.reset) == 5


async def test_resets_by_hand_and_by_frame_are_one(serve, peer):
    _, port = await serve(lambda exchange: None, Limits(resets=30))
    client = await peer(port)
    for n in range(100):
        client.request(n * 2 + 1)
        client.send(RstStreamFrame(n * 2 + 1, error_code=n))
    assert (await client.goaway()).error_code == CALM
