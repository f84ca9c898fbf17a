"""Windows: nobody is sent more than it takes, and nothing piles up."""

from __future__ import annotations

import asyncio

import pytest
from hyperframe.frame import DataFrame, SettingsFrame

from mizzen.http.exchange import Exchange
from mizzen.http.http2.exchange import Http2Exchange
from mizzen.http.http2.fields import RequestHead
from mizzen.http.http2.intake import Intake
from mizzen.http.http2.stream import Stream
from mizzen.http.server import Limits

MIB = 1024 * 1024


async def test_an_answer_waits_for_both_windows(serve, peer):
    _, port = await serve(lambda exchange: exchange.respond(200, b"x" * 100_000))
    client = await peer(port, {"INITIAL_WINDOW_SIZE": 1000})
    client.request(1)
    client.request(3)
    await client.until(lambda: len(client.of(1).body) == 1000 and len(client.of(3).body) == 1000)
    client.window(1, 500)
    await client.until(lambda: len(client.of(1).body) == 1500)
    client.window(1, 100_000)
    # The connection's window is left: 65,535 in all.
    await client.until(lambda: len(client.of(1).body) == 65_535 - 1000)
    client.window(3, 100_000)
    await client.settled()
    assert len(client.of(3).body) == 1000
    client.window(0, 200_000)
    assert [len((await client.answer(stream)).body) for stream in (1, 3)] == [100_000, 100_000]


async def test_a_window_that_shrinks_below_nothing_and_grows_again(serve, peer):
    _, port = await serve(lambda exchange: exchange.respond(200, b"x" * 5000))
    client = await peer(port, {"INITIAL_WINDOW_SIZE": 1000})
    client.request(1)
    await client.until(lambda: len(client.of(1).body) == 1000)
    client.send(SettingsFrame(0, settings={SettingsFrame.INITIAL_WINDOW_SIZE: 10}))
    client.window(1, 980)
    await client.settled()
    assert len(client.of(1).body) == 1000
    client.window(1, 11)
    await client.until(lambda: len(client.of(1).body) == 1001)
    client.send(SettingsFrame(0, settings={SettingsFrame.INITIAL_WINDOW_SIZE: 10_000}))
    assert len((await client.answer(1)).body) == 5000


async def test_a_window_that_shrinks_while_its_stream_waits_for_the_connection(serve, peer):
    _, port = await serve(lambda exchange: exchange.respond(200, b"x" * 100_000))
    client = await peer(port, {"INITIAL_WINDOW_SIZE": 80_000})
    client.request(1)
    await client.until(lambda: len(client.of(1).body) == 65_535)
    client.send(SettingsFrame(0, settings={SettingsFrame.INITIAL_WINDOW_SIZE: 10}))
    client.window(0, 50_000)
    await client.settled()
    assert len(client.of(1).body) == 65_535
    client.window(1, 100_000)
    assert len((await client.answer(1)).body) == 100_000


async def test_frames_are_no_larger_than_the_client_takes(serve, peer):
    _, port = await serve(lambda exchange: exchange.respond(200, b"x" * 60_000))
    client = await peer(port)
    client.request(1)
    assert (await client.answer(1)).frames == ["HEADERS"] + ["DATA"] * 4
    larger = await peer(port, {"MAX_FRAME_SIZE": 40_000})
    larger.request(1)
    assert (await larger.answer(1)).frames == ["HEADERS"] + ["DATA"] * 2


async def test_trailers_and_ends_need_no_window(serve, peer):
    def handler(exchange: Exchange) -> None:
        exchange.start(200)
        if exchange.target == b"/some":
            exchange.write(b"x" * 10)
        exchange.finish([(b"t", b"u")] if exchange.target != b"/none" else ())

    _, port = await serve(handler)
    client = await peer(port, {"INITIAL_WINDOW_SIZE": 0})
    client.request(1, path="/trailers")
    client.request(3, path="/none")
    client.request(5, path="/some")
    assert (await client.answer(1)).trailers == {"t": "u"}
    assert (await client.answer(3)).frames == ["HEADERS", "DATA"]
    await client.settled()
    assert not client.of(5).ended
    client.window(5, 10)
    answer = await client.answer(5)
    assert (answer.body, answer.trailers) == (b"x" * 10, {"t": "u"})


async def test_streams_share_the_connection_fairly(serve, peer):
    _, port = await serve(lambda exchange: exchange.respond(200, b"x" * 8 * MIB))
    client = await peer(port, {"INITIAL_WINDOW_SIZE": 2**31 - 1})
    client.request(1)
    client.request(3)
    client.window(0, 4 * MIB)
    await client.until(lambda: len(client.of(1).body) + len(client.of(3).body) == 4 * MIB + 65_535)
    client.request(5)
    client.window(0, 4 * MIB)
    await client.until(lambda: sum(len(client.of(stream).body) for stream in (1, 3, 5)) == 8 * MIB + 65_535)
    # The third had a third of what was left to give when it came.
    assert len(client.of(5).body) > MIB
    assert abs(len(client.of(1).body) - len(client.of(3).body)) < MIB


async def test_a_slow_reader_slows_its_writer_and_nobody_else(serve, peer, eventually):
    written = 0
    total = 8 * MIB

    async def pour(exchange: Exchange) -> None:
        nonlocal written
        exchange.start(200)
        while written < total:
            exchange.write(b"x" * 8192)
            written += 8192
            await exchange.drain()
        exchange.finish()

    def handler(exchange: Exchange) -> None:
        if exchange.target == b"/pour":
            exchange.spawn(pour(exchange))
        else:
            exchange.respond(200, b"quick")

    _, port = await serve(handler)
    client = await peer(port)
    client.window(0, 2**30)
    client.request(1, path="/pour")
    await client.until(lambda: len(client.of(1).body) == 65_535)
    await asyncio.sleep(0.05)
    assert written < 65_535 + 128 * 1024
    client.request(3)
    assert (await client.answer(3)).body == b"quick"
    client.window(1, total)
    assert len((await client.answer(1)).body) == total


async def test_a_reader_that_reads_nothing_of_the_socket_slows_its_writer(serve, peer):
    written = 0

    async def pour(exchange: Exchange) -> None:
        nonlocal written
        exchange.start(200)
        while written < 256 * MIB:
            exchange.write(b"x" * 65_536)
            written += 65_536
            await exchange.drain()

    _, port = await serve(lambda exchange: exchange.spawn(pour(exchange)))
    client = await peer(port, {"INITIAL_WINDOW_SIZE": 2**31 - 1})
    client.window(0, 2**30)
    client.writer.transport.pause_reading()
    client.request(1)
    before = -1
    async with asyncio.timeout(10):
        while written != before or not written:
            before = written
            await asyncio.sleep(0.1)
    assert written < 64 * MIB


async def test_an_unread_body_is_not_acknowledged_past_a_bound(serve, peer, eventually):
    go = asyncio.Event()
    read = 0

    async def later(exchange: Exchange) -> None:
        nonlocal read
        await go.wait()
        async for piece in exchange.stream:
            read += len(piece)
        exchange.respond(200, b"%d" % read)

    window = 256 * 1024
    limits = Limits(stream_window=window, connection_window=4 * window)
    _, port = await serve(lambda exchange: exchange.spawn(later(exchange)), limits, streaming=True)
    client = await peer(port)
    client.request(1, end=False)
    allowed, sent = window, 0

    def granted() -> int:
        return window + sum(size for stream, size in client.updates if stream == 1)

    for _ in range(1000):
        await client.settled()
        allowed = granted()
        if allowed == sent:
            break
        size = min(16_384, allowed - sent)
        client.data(1, b"x" * size, end=False)
        sent += size
    # One window on the wire, and what a body keeps before it has enough.
    assert sent <= 2 * window + 300 * 1024
    go.set()
    while sent < 2 * MIB:
        await client.until(lambda sent=sent: granted() > sent)
        size = min(16_384, granted() - sent)
        client.data(1, b"x" * size, end=False)
        sent += size
    client.data(1, b"")
    assert (await client.answer(1)).body == b"%d" % sent


async def test_the_connection_gets_back_what_nobody_will_read(serve, peer):
    """Streams that end with unread bodies must not eat up the connection's window."""
    limits = Limits(stream_window=65_536, connection_window=131_072, resets=10_000)

    def handler(exchange: Exchange) -> None:
        if exchange.target == b"/refuse":
            exchange.respond(404)

    _, port = await serve(handler, limits, streaming=True)
    client = await peer(port)
    await client.settled()
    given = 65_535
    sent = 0
    for turn in range(100):
        stream = turn * 2 + 1
        client.request(stream, path="/refuse" if turn % 2 else "/wait", end=False)
        given = 65_535 + sum(size for number, size in client.updates if number == 0)
        assert given - sent >= 16_000, "the window has run dry"
        client.data(stream, b"x" * 16_000, end=False)
        sent += 16_000
        if not turn % 2:
            client.reset(stream)
        await client.settled()


@pytest.mark.parametrize("limits", [Limits(stream_window=65_536), Limits(connection_window=65_536)])
async def test_more_than_the_window_is_a_fault(serve, peer, limits):
    """Of one stream, or of the connection. A body takes some without being read, so it has to be much more."""
    waiting: list[Exchange] = []
    _, port = await serve(waiting.append, limits, streaming=True)
    client = await peer(port)
    client.request(1, end=False)
    client.raw(b"".join(DataFrame(1, data=b"x" * 10_000).serialize() for _ in range(60)))
    if limits.stream_window == 65_536:
        assert (await client.answer(1)).reset == 3
        assert waiting[0].gone
        assert not client.goaways
    else:
        assert (await client.goaway()).error_code == 3


async def test_large_messages_both_ways(serve, peer):
    _, port = await serve(lambda exchange: exchange.respond(200, exchange.body), Limits(body=8 * MIB))
    client = await peer(port, {"INITIAL_WINDOW_SIZE": 2**31 - 1, "MAX_FRAME_SIZE": 2**20})
    client.window(0, 2**30)
    client.request(1, end=False)
    data = bytes(range(256)) * 4096 * 4
    sent = 0

    def room() -> int:
        return MIB + sum(size for number, size in client.updates if number == 1) - sent

    while sent < len(data):
        await client.until(room)
        size = min(65_536, room())
        client.data(1, data[sent : sent + size], end=sent + size == len(data))
        sent += size
    assert (await client.answer(1)).body == data


async def test_many_unfinished_bodies_take_turns(serve, peer):
    """One client cannot make the server hold many times the largest body; and none of its bodies waits for ever."""
    limits = Limits(body=200_000, stream_window=65_536, connection_window=1024 * 1024)
    _, port = await serve(lambda exchange: exchange.respond(200, b"%d" % len(exchange.body)), limits)
    client = await peer(port)
    streams = [1, 3, 5, 7, 9, 11]
    sent = dict.fromkeys(streams, 0)

    def room(stream: int) -> int:
        given = 65_536 + sum(size for number, size in client.updates if number == stream)
        connection = 65_535 + sum(size for number, size in client.updates if number == 0)
        return min(given - sent[stream], connection - sum(sent.values()), 190_000 - sent[stream], 16_384)

    for stream in streams:
        client.request(stream, end=False)
    held = 0
    while any(sent[stream] < 190_000 for stream in streams):
        await client.settled()
        moved = False
        for stream in reversed(streams):
            if (size := room(stream)) > 0:
                client.data(stream, b"x" * size, end=sent[stream] + size == 190_000)
                sent[stream] += size
                moved = True
        held = max(held, sum(size for size in sent.values() if size < 190_000))
        assert moved, f"nobody may send: {sent}"
    for stream in streams:
        assert (await client.answer(stream)).body == b"190000"
    assert held < 200_000 + len(streams) * 2 * 65_536


def test_intake_frees_the_oldest_first():
    streams = [Stream(number, None, 0, 0, True, 0) for number in (1, 3, 5)]
    intake = Intake(100)
    assert intake.grew(streams[0], 60)
    assert intake.grew(streams[1], 40)
    assert not intake.grew(streams[1], 10)
    assert not intake.grew(streams[2], 5)
    assert intake.grew(streams[0], 500), "the oldest may always go on"
    assert intake.waits(streams[1]) and not intake.waits(streams[0])
    assert intake.done(streams[0]) == [(streams[1], 10), (streams[2], 5)]
    assert intake.grew(streams[1], 50)
    assert not intake.grew(streams[2], 200)
    assert intake.done(streams[1]) == [(streams[2], 200)]
    assert intake.done(streams[2]) == []
    assert intake.done(streams[2]) == []


async def test_a_body_in_tiny_pieces_weighs_what_it_holds(serve, peer):
    seen: list[Exchange] = []
    _, port = await serve(seen.append)
    client = await peer(port)
    client.request(1, end=False)
    data = bytes(range(256)) * 200
    client.raw(b"".join(DataFrame(1, data=data[at : at + 2]).serialize() for at in range(0, len(data), 2)))
    client.data(1, b"end")
    await client.until(lambda: seen)
    assert seen[0].body == data + b"end"


def test_pieces_are_kept_as_few():
    head = RequestHead(b"POST", b"/", [], None, False)
    exchange = Http2Exchange(StubConnection(), 1, head, False)
    for _ in range(10_000):
        exchange.collect(b"xy")
    exchange.collect(b"z" * 5000)
    assert exchange.collect(b"xy") == 25_002
    assert len(exchange._pieces) == 3
    exchange.collected()
    assert exchange.body == b"xy" * 10_000 + b"z" * 5000 + b"xy"


class StubConnection:
    """Just enough for an exchange that is never answered."""

    def open(self, number: int, exchange: Http2Exchange, ended: bool) -> Stream[Http2Exchange]:
        return Stream(number, exchange, 0, 0, not ended, 0)


async def test_windows_that_open_bit_by_bit_are_noise(serve, peer):
    """CVE-2019-9511: an answer is asked for in single bytes."""
    _, port = await serve(lambda exchange: exchange.respond(200, b"x" * 100_000), Limits(noise=500))
    client = await peer(port, {"INITIAL_WINDOW_SIZE": 0})
    client.request(1)
    for _ in range(2000):
        client.window(1, 1)
    assert (await client.goaway()).error_code == 11
