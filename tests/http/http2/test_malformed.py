"""What is not HTTP/2, or could be read in two ways: refused in words where one request is wrong, else with a GOAWAY."""

from __future__ import annotations

import asyncio
import json

import pytest
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mizzen.http.errors import Malformed
from mizzen.http.exchange import Exchange
from mizzen.http.http2 import fields
from mizzen.http.http2.connection import Http2Connection
from mizzen.http.server import Limits, Server

PROTOCOL_ERROR, FLOW_CONTROL_ERROR, STREAM_CLOSED, FRAME_SIZE_ERROR, REFUSED, CALM = 1, 3, 5, 6, 7, 11


def ok(exchange: Exchange) -> None:
    exchange.respond(200, exchange.body)


GOOD = [(":method", "POST"), (":scheme", "http"), (":authority", "a"), (":path", "/")]


def without(*names: str) -> list[tuple[str, str]]:
    return [pair for pair in GOOD if pair[0] not in names]


HEADS = [
    pytest.param([*GOOD, ("Upper", "x")], 400, id="upper case"),
    pytest.param([*GOOD, ("", "x")], 400, id="no name"),
    pytest.param([*GOOD, ("a b", "x")], 400, id="space in a name"),
    pytest.param([*GOOD, ("a:b", "x")], 400, id="colon in a name"),
    pytest.param([*GOOD, ("a\r\nb", "x")], 400, id="line end in a name"),
    pytest.param([*GOOD, ("a", "x\r\nhost: evil")], 400, id="line end in a value"),
    pytest.param([*GOOD, ("a", "x\ny")], 400, id="line feed in a value"),
    pytest.param([*GOOD, ("a", "x\ry")], 400, id="carriage return in a value"),
    pytest.param([*GOOD, ("a", "x\0y")], 400, id="NUL in a value"),
    pytest.param([*GOOD, ("a", " x")], 400, id="space before a value"),
    pytest.param([*GOOD, ("a", "x\t")], 400, id="tab after a value"),
    pytest.param([*GOOD, ("connection", "close")], 400, id="connection"),
    pytest.param([*GOOD, ("keep-alive", "5")], 400, id="keep-alive"),
    pytest.param([*GOOD, ("proxy-connection", "x")], 400, id="proxy-connection"),
    pytest.param([*GOOD, ("transfer-encoding", "chunked")], 400, id="transfer-encoding"),
    pytest.param([*GOOD, ("upgrade", "h2c")], 400, id="upgrade"),
    pytest.param([*GOOD, ("te", "gzip")], 400, id="te"),
    pytest.param([*GOOD, (":path", "/other")], 400, id="pseudo after fields"),
    pytest.param([GOOD[0], *GOOD], 400, id="pseudo twice"),
    pytest.param([*GOOD[:2], ("a", "b"), *GOOD[2:]], 400, id="field among pseudo"),
    pytest.param([(":status", "200"), *GOOD], 400, id="status in a request"),
    pytest.param([(":unknown", "x"), *GOOD], 400, id="unknown pseudo"),
    pytest.param([(":protocol", "websocket"), *GOOD], 400, id="protocol"),
    pytest.param(without(":method"), 400, id="no method"),
    pytest.param(without(":scheme"), 400, id="no scheme"),
    pytest.param(without(":path"), 400, id="no path"),
    pytest.param(without(":authority"), 400, id="no authority"),
    pytest.param([*without(":path"), (":path", "")], 400, id="empty path"),
    pytest.param([*without(":path"), (":path", "no-slash")], 400, id="path without slash"),
    pytest.param([*without(":path"), (":path", "*")], 400, id="asterisk"),
    pytest.param([*without(":path"), (":path", "http://b/")], 400, id="absolute path"),
    pytest.param([*without(":path"), (":path", "/a b")], 400, id="space in path"),
    pytest.param([*without(":path"), (":path", "/a HTTP/1.1\r\nhost: b\r\n\r\n")], 400, id="request in path"),
    pytest.param([*without(":method"), (":method", "GET / HTTP/1.1\r\n")], 400, id="request in method"),
    pytest.param([*without(":method"), (":method", "")], 400, id="empty method"),
    pytest.param([*without(":scheme"), (":scheme", "ht tp")], 400, id="space in scheme"),
    pytest.param([*without(":authority"), (":authority", "")], 400, id="empty authority"),
    pytest.param([*without(":authority"), (":authority", "a b")], 400, id="space in authority"),
    pytest.param([*without(":authority"), (":authority", "user@a")], 400, id="user in authority"),
    pytest.param([*GOOD, ("host", "b")], 400, id="another host"),
    pytest.param([*GOOD, ("host", "a"), ("host", "a")], 400, id="two hosts"),
    pytest.param([*GOOD, ("content-length", "x")], 400, id="length in words"),
    pytest.param([*GOOD, ("content-length", "-1")], 400, id="negative length"),
    pytest.param([*GOOD, ("content-length", "+1")], 400, id="signed length"),
    pytest.param([*GOOD, ("content-length", "1, 1")], 400, id="list of lengths"),
    pytest.param([*GOOD, ("content-length", "1"), ("content-length", "2")], 400, id="two lengths"),
    pytest.param([*GOOD, ("content-length", "9" * 30)], 400, id="length without end"),
    pytest.param([*without(":method"), (":method", "CONNECT")], 501, id="CONNECT"),
    pytest.param([(":method", "CONNECT"), (":authority", "a:80")], 501, id="CONNECT as it should be"),
    pytest.param([*GOOD, *[("a", "b")] * 200], 431, id="fields"),
    pytest.param([*GOOD, ("a", "b" * 12_000)], 431, id="one field"),
]


@pytest.mark.parametrize("end", [True, False])
@pytest.mark.parametrize(("head", "status"), HEADS)
async def test_a_wrong_request_is_refused_alone(serve, peer, head, status, end):
    served = []

    def note(exchange: Exchange) -> None:
        served.append(exchange.target)
        exchange.respond(200)

    _, port = await serve(note, Limits(head=10_000))
    client = await peer(port)
    client.request(1)
    client.headers(3, head, end=end)
    client.request(5)
    answer = await client.answer(3)
    assert answer.status == status
    assert json.loads(answer.body)["error"]
    assert (await client.answer(1)).status == (await client.answer(5)).status == 200
    await client.settled()
    assert answer.reset == (PROTOCOL_ERROR if status == 400 else None)
    assert served == [b"/", b"/"]
    assert not client.goaways


@pytest.mark.parametrize(
    "head",
    [
        pytest.param([*without(":authority"), ("host", "a")], id="host alone"),
        pytest.param([*GOOD, ("host", "a")], id="host and authority"),
        pytest.param([*GOOD, ("te", "trailers")], id="te"),
        pytest.param([*GOOD, ("a", "")], id="empty value"),
        pytest.param([*GOOD, ("a", "b\tc d")], id="tab and space"),
        pytest.param([*GOOD, ("a", "b"), ("a", "c")], id="repeated"),
        pytest.param([*GOOD, ("content-length", "0"), ("content-length", "0")], id="the same length twice"),
        pytest.param([(":method", "OPTIONS"), (":scheme", "https"), (":authority", "a"), (":path", "*")], id="OPTIONS"),
    ],
)
async def test_unusual_but_right(serve, peer, head):
    _, port = await serve(lambda exchange: exchange.respond(200, exchange.header(b"host") or b""))
    client = await peer(port)
    client.headers(1, head)
    answer = await client.answer(1)
    assert (answer.status, answer.body) == (200, b"a")


@pytest.mark.parametrize(
    ("length", "pieces"),
    [("5", [b"1234"]), ("5", [b"123", b"456"]), ("5", [b"123456"]), ("0", [b"1"]), ("5", [])],
)
@pytest.mark.parametrize("streaming", [False, True])
async def test_a_body_that_is_not_as_long_as_it_says_resets_the_request(serve, peer, length, pieces, streaming):
    served = []

    async def read(exchange: Exchange) -> None:
        exchange.respond(200, await exchange.stream.read_all())

    def handler(exchange: Exchange) -> None:
        served.append(exchange)
        if exchange.stream is not None:
            exchange.spawn(read(exchange))
        else:
            exchange.respond(200)

    _, port = await serve(handler, streaming=streaming)
    client = await peer(port)
    client.request(1, ("content-length", length), end=not pieces)
    for at, piece in enumerate(pieces):
        client.data(1, piece, end=at == len(pieces) - 1)
    answer = await client.answer(1)
    assert (answer.reset, answer.status) == (PROTOCOL_ERROR, 0)
    if not streaming:
        assert served == []
    client.request(3)
    assert (await client.answer(3)).status == 200


@pytest.mark.parametrize("head", [[("x", "y"), (":path", "/")], [("Upper", "x")], [("connection", "close")]])
async def test_wrong_trailers_reset_the_request(serve, peer, head):
    _, port = await serve(ok)
    client = await peer(port)
    client.request(1, end=False)
    client.data(1, b"body", end=False)
    client.headers(1, head)
    assert (await client.answer(1)).reset == PROTOCOL_ERROR
    client.request(3, end=False)
    client.data(3, b"body", end=False)
    client.headers(3, [("fine", "trailer")])
    assert (await client.answer(3)).body == b"body"


async def test_trailers_that_do_not_end_the_request_reset_it(serve, peer):
    _, port = await serve(ok)
    client = await peer(port)
    client.request(1, end=False)
    client.headers(1, [("fine", "trailer")], end=False)
    assert (await client.answer(1)).reset == PROTOCOL_ERROR


@pytest.mark.parametrize("declared", [True, False])
async def test_a_body_that_is_too_large_is_refused_and_its_neighbours_are_not(serve, peer, declared):
    _, port = await serve(ok, Limits(body=1000, linger=0.2))
    client = await peer(port)
    client.request(1, *([("content-length", "2000")] if declared else []), end=False)
    for _ in range(0 if declared else 2):
        client.data(1, b"x" * 600, end=False)
    answer = await client.answer(1)
    assert answer.status == 413
    assert "1000 bytes" in json.loads(answer.body)["error"]
    client.data(1, b"what was on its way", end=False)
    await client.until(lambda: answer.reset is not None)
    assert answer.reset == 0
    client.data(1, b"and more", end=False)
    client.request(3)
    assert (await client.answer(3)).status == 200


async def test_one_request_too_many_is_refused_and_may_be_sent_again(serve, peer):
    waiting: list[Exchange] = []
    _, port = await serve(waiting.append, Limits(streams=2))
    client = await peer(port)
    await client.until(lambda: client.settings)
    assert client.settings[SettingsFrame.MAX_CONCURRENT_STREAMS] == 2
    for stream in (1, 3, 5):
        client.request(stream)
    assert (await client.answer(5)).reset == REFUSED
    for exchange in waiting:
        exchange.respond(200)
    assert [(await client.answer(stream)).status for stream in (1, 3)] == [200, 200]
    client.request(7)
    await client.settled()
    waiting[-1].respond(200)
    assert (await client.answer(7)).status == 200


def head_frame(client, stream: int, flags: tuple[str, ...] = ("END_HEADERS", "END_STREAM"), **extra) -> HeadersFrame:
    return HeadersFrame(stream, data=client.encoder.encode(GOOD), flags=flags, **extra)


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


FAULTS = [
    pytest.param(lambda c: [frame(0, 0, 0, b"x")], PROTOCOL_ERROR, id="DATA of no stream"),
    pytest.param(lambda c: [DataFrame(5, data=b"x")], PROTOCOL_ERROR, id="DATA of an idle stream"),
    pytest.param(lambda c: [frame(1, 5, 0, b"\x82\x86\x84\x41\x01a")], PROTOCOL_ERROR, id="HEADERS of no stream"),
    pytest.param(lambda c: [head_frame(c, 2)], PROTOCOL_ERROR, id="HEADERS of an even stream"),
    pytest.param(lambda c: [head_frame(c, 9), head_frame(c, 5)], STREAM_CLOSED, id="streams out of order"),
    pytest.param(lambda c: [head_frame(c, 1)], STREAM_CLOSED, id="HEADERS after the end"),
    pytest.param(lambda c: [DataFrame(1, data=b"x")], STREAM_CLOSED, id="DATA after the end"),
    pytest.param(lambda c: [frame(3, 0, 0, b"\0\0\0\0")], PROTOCOL_ERROR, id="RST_STREAM of no stream"),
    pytest.param(lambda c: [RstStreamFrame(5)], PROTOCOL_ERROR, id="RST_STREAM of an idle stream"),
    pytest.param(lambda c: [frame(3, 0, 1, b"abc")], FRAME_SIZE_ERROR, id="RST_STREAM too short"),
    pytest.param(lambda c: [frame(2, 0, 0, b"abcde")], PROTOCOL_ERROR, id="PRIORITY of no stream"),
    pytest.param(lambda c: [frame(2, 0, 1, b"abc")], FRAME_SIZE_ERROR, id="PRIORITY too short"),
    pytest.param(lambda c: [frame(4, 0, 1, b"")], PROTOCOL_ERROR, id="SETTINGS of a stream"),
    pytest.param(lambda c: [frame(4, 0, 0, b"abc")], FRAME_SIZE_ERROR, id="SETTINGS cut"),
    pytest.param(lambda c: [frame(4, 1, 0, b"abcdef")], FRAME_SIZE_ERROR, id="SETTINGS acknowledged with values"),
    pytest.param(lambda c: [SettingsFrame(0, settings={2: 2})], PROTOCOL_ERROR, id="ENABLE_PUSH of 2"),
    pytest.param(lambda c: [SettingsFrame(0, settings={4: 2**31})], FLOW_CONTROL_ERROR, id="window too large"),
    pytest.param(lambda c: [SettingsFrame(0, settings={5: 100})], PROTOCOL_ERROR, id="frames too small"),
    pytest.param(lambda c: [SettingsFrame(0, settings={5: 2**24})], PROTOCOL_ERROR, id="frames too large"),
    pytest.param(lambda c: [frame(5, 4, 1, b"\0\0\0\2")], PROTOCOL_ERROR, id="PUSH_PROMISE"),
    pytest.param(lambda c: [frame(6, 0, 1, b"12345678")], PROTOCOL_ERROR, id="PING of a stream"),
    pytest.param(lambda c: [frame(6, 0, 0, b"1234567")], FRAME_SIZE_ERROR, id="PING too short"),
    pytest.param(lambda c: [frame(7, 0, 1, b"12345678")], PROTOCOL_ERROR, id="GOAWAY of a stream"),
    pytest.param(lambda c: [frame(7, 0, 0, b"1234")], FRAME_SIZE_ERROR, id="GOAWAY too short"),
    pytest.param(lambda c: [frame(8, 0, 0, b"\0\0\0\0")], PROTOCOL_ERROR, id="WINDOW_UPDATE by nothing"),
    pytest.param(lambda c: [frame(8, 0, 0, b"\0\0\0")], FRAME_SIZE_ERROR, id="WINDOW_UPDATE too short"),
    pytest.param(lambda c: [WindowUpdateFrame(5, window_increment=1)], PROTOCOL_ERROR, id="WINDOW_UPDATE when idle"),
    pytest.param(
        lambda c: [WindowUpdateFrame(0, window_increment=2**31 - 1)], FLOW_CONTROL_ERROR, id="WINDOW_UPDATE too large"
    ),
    pytest.param(lambda c: [ContinuationFrame(1, data=b"")], PROTOCOL_ERROR, id="CONTINUATION of nothing"),
    pytest.param(
        lambda c: [head_frame(c, 3, ()), PingFrame(0, opaque_data=b"12345678")], PROTOCOL_ERROR, id="PING amid a head"
    ),
    pytest.param(lambda c: [head_frame(c, 3, ()), frame(77, 0, 0, b"")], PROTOCOL_ERROR, id="unknown amid a head"),
    pytest.param(
        lambda c: [head_frame(c, 3, ()), ContinuationFrame(5, data=b"")], PROTOCOL_ERROR, id="CONTINUATION elsewhere"
    ),
    pytest.param(lambda c: [HeadersFrame(3, data=b"\xff\xff\xff", flags=["END_HEADERS"])], 9, id="no HPACK"),
    pytest.param(lambda c: [HeadersFrame(3, data=b"\xc0", flags=["END_HEADERS"])], 9, id="index out of the table"),
    pytest.param(lambda c: [HeadersFrame(3, data=b"\x3f\xff\xff\x03", flags=["END_HEADERS"])], 9, id="table too large"),
    pytest.param(lambda c: [frame(1, 0x8 | 0x4, 3, b"\x05abc")], PROTOCOL_ERROR, id="HEADERS all padding"),
    pytest.param(lambda c: [frame(1, 0x8 | 0x4, 3, b"")], PROTOCOL_ERROR, id="HEADERS without padding's length"),
    pytest.param(lambda c: [frame(1, 0x20 | 0x4, 3, b"abc")], FRAME_SIZE_ERROR, id="HEADERS without priority"),
    pytest.param(lambda c: [head_frame(c, 3, ("END_HEADERS",)), frame(0, 8, 3, b"\3ab")], PROTOCOL_ERROR, id="padding"),
    pytest.param(lambda c: [frame(0, 0, 1, b"x" * 70_000)], FRAME_SIZE_ERROR, id="frame too large"),
    pytest.param(lambda c: [b"\xff" * 9], FRAME_SIZE_ERROR, id="no frame"),
    pytest.param(lambda c: [head_frame(c, 3), *[HeadersFrame(5, data=b"\x82" * 9000)]], CALM, id="head too large"),
]


@pytest.mark.parametrize(("frames", "code"), FAULTS)
async def test_what_makes_the_rest_unreadable_ends_the_connection(serve, peer, eventually, frames, code):
    server, port = await serve(ok, Limits(head=1000, linger=0.3))
    client = await peer(port)
    client.request(1)
    assert (await client.answer(1)).status == 200
    for item in frames(client):
        client.raw(item if isinstance(item, bytes) else item.serialize())
    if code == CALM:
        client.send(ContinuationFrame(5, data=b"\x82" * 9000, flags=["END_HEADERS"]))
    goaway = await client.goaway()
    assert goaway.error_code == code, goaway
    assert goaway.additional_data
    assert await client.ended()
    client.close()
    await eventually(lambda: server.connections == 0)


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        pytest.param(lambda: [WindowUpdateFrame(3, window_increment=2**31 - 1)], FLOW_CONTROL_ERROR, id="window"),
        pytest.param(lambda: [frame(8, 0, 3, b"\0\0\0\0")], PROTOCOL_ERROR, id="by nothing"),
        pytest.param(lambda: [DataFrame(3, data=b"x", flags=["END_STREAM"]), DataFrame(3, data=b"x")], 5, id="DATA"),
    ],
)
async def test_what_is_wrong_with_one_stream_ends_that(serve, peer, frames, code):
    waiting: list[Exchange] = []
    _, port = await serve(waiting.append, streaming=True)
    client = await peer(port)
    client.request(1)
    client.request(3, end=False)
    await client.settled()
    for item in frames():
        client.raw(item if isinstance(item, bytes) else item.serialize())
    assert (await client.answer(3)).reset == code
    assert waiting[1].gone
    waiting[0].respond(200, b"fine")
    assert (await client.answer(1)).body == b"fine"


async def test_unknown_frames_and_settings_are_passed_over(serve, peer):
    _, port = await serve(ok)
    client = await peer(port)
    client.send(SettingsFrame(0, settings={99: 1, 8: 1}))
    client.raw(frame(0xBE, 0xFF, 7, b"whatever"))
    client.send(GoAwayFrame(0), PriorityFrame(99))
    client.request(1)
    assert (await client.answer(1)).status == 200


@pytest.mark.parametrize("first", [b"", frame(6, 0, 0, b"12345678"), frame(4, 1, 0, b"")])
async def test_a_connection_begins_with_settings(serve, peer, first):
    _, port = await serve(ok, Limits(head_timeout=0.3))
    client = await peer(port, None)
    client.raw(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + first)
    assert (await client.goaway()).error_code == PROTOCOL_ERROR
    assert await client.ended()


TEXT = st.binary(max_size=6) | st.sampled_from([b"a", b"GET", b"/", b"http", b"trailers", b"5", b"x\r\ny", b" x"])
NAMES = TEXT | st.sampled_from(
    [b":method", b":path", b":scheme", b":authority", b":status", b"host", b"te", b"cookie", b"content-length"]
)


@given(st.lists(st.tuples(NAMES, TEXT), max_size=8))
def test_what_passes_can_be_written_as_http_1_and_means_the_same(extra):
    """Whatever is accepted holds nothing that could end a line, a name or a target early."""
    pairs = [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"a"), *extra]
    for candidate in (pairs, extra):
        try:
            head = fields.request(candidate)
        except Malformed:
            continue
        assert head.headers[0][0] == b"host" and sum(name == b"host" for name, _ in head.headers) == 1
        assert b" " not in head.method + head.target and head.target[:1] in (b"/", b"*")
        for name, value in head.headers:
            assert name == name.lower() and name and b":" not in name and b" " not in name
            assert not {0, 10, 13} & set(name + value) and value == value.strip(b" \t")
            assert name not in (b"connection", b"transfer-encoding", b"upgrade", b"keep-alive")


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

    close = abort = write_eof

    def pause_reading(self) -> None:
        pass

    resume_reading = pause_reading

    def get_write_buffer_size(self) -> int:
        return 0

    def get_extra_info(self, name: str) -> None:
        return None


SMALL = st.integers(0, 12)
PIECES = st.one_of(
    st.builds(
        frame,
        st.sampled_from([0, 0, 1, 1, 1, 2, 3, 4, 5, 6, 7, 8, 8, 9, 20]),
        st.sampled_from([0, 1, 4, 5, 8, 13, 0x20, 0x25, 0xFF]),
        SMALL,
        st.binary(max_size=12)
        | st.sampled_from(
            [
                b"\x82\x86\x84\x41\x01a",
                b"\x83\x86\x84\x41\x01a",
                b"\x83\x87\x44\x02/x\x41\x01a\x0f\x0d\x013",
                b"\x83\x87\x84\x41\x01a\x40\x01b\x01c",
                b"\x3f\x00\x82\x86\x84\xbe",
                b"abc",
                b"\0\0\0\1",
                b"\0\4\0\0\0\5",
            ]
        ),
    ),
    st.binary(max_size=10),
)


@pytest.mark.parametrize("streaming", [False, True])
def test_no_bytes_make_the_connection_fail(streaming):
    """Whatever comes, in whatever pieces: no exception, whole frames only, and nothing is left behind."""

    @settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.lists(PIECES, max_size=16), st.lists(st.integers(1, 60), max_size=12), st.booleans())
    def check(pieces: list[bytes], cuts: list[int], answers: bool) -> None:
        async def run() -> None:
            pending: list[Exchange] = []

            async def read(exchange: Exchange) -> None:
                exchange.respond(200, await exchange.stream.read_all())

            def handler(exchange: Exchange) -> None:
                if not answers:
                    pending.append(exchange)
                elif exchange.stream is not None:
                    exchange.spawn(read(exchange))
                else:
                    exchange.respond(200, b"ok " + exchange.body, b"", [(b"t", b"u")])

            limits = Limits(body=20, stream_window=100, connection_window=100_000)
            server = Server(handler, limits=limits, streaming=streaming, http2=True)
            connection, sink = Http2Connection(server), Sink()
            connection.connection_made(sink)
            data = frame(4, 0, 0, b"") + b"".join(pieces)
            sizes = list(cuts)
            while data:
                size = sizes.pop() if sizes else len(data)
                connection.data_received(data[:size])
                data = data[size:]
                await asyncio.sleep(0)
            if not connection._deaf:
                # No byte of the connection's window is ever lost.
                held = sum(stream.withheld for stream in connection.streams.values())
                assert connection._allowance + connection._owed + held + connection._rest == limits.connection_window
            for exchange in pending:
                exchange.start(200)
                exchange.finish()
            await asyncio.sleep(0)
            for tick in range(3):
                connection.check_time(tick)
            connection.connection_lost(None)
            connection.connection_lost(None)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert not connection.streams
            out = sink.data
            while out:
                size = int.from_bytes(out[:3], "big")
                assert out[3] <= 9 and len(out) >= 9 + size
                out = out[9 + size :]
            assert server.connections == 0
            await server.close(0)

        asyncio.run(run())

    check()


async def test_random_bytes_over_sockets_leave_nothing_behind(serve, peer, eventually):
    import random

    server, port = await serve(ok, Limits(linger=0.2, keep_alive=0.5, head_timeout=0.3))
    dice = random.Random(7)
    good = await peer(port)
    for turn in range(60):
        client = await peer(port, {} if turn % 2 else None)
        for _ in range(dice.randrange(1, 20)):
            client.raw(
                frame(dice.randrange(12), dice.randrange(256), dice.randrange(8), dice.randbytes(dice.randrange(40)))
            )
        client.raw(dice.randbytes(dice.randrange(50)))
        await asyncio.sleep(0.002)
        if turn % 3:
            client.close()
        good.request(2 * turn + 1, path=f"/{turn}")
        assert (await good.answer(2 * turn + 1)).status == 200
    good.close()
    await eventually(lambda: server.connections == 0)
