"""Requests and answers over HTTP/2, as a handler and a client see them."""

from __future__ import annotations

import asyncio
import gc
import json
import logging

import pytest
from hyperframe.frame import ContinuationFrame, DataFrame, HeadersFrame, PriorityFrame, WindowUpdateFrame

from mizzen.http.errors import Disconnected
from mizzen.http.exchange import Exchange
from mizzen.http.headers import JSON, encode
from mizzen.http.http2.stream import Stream
from mizzen.http.server import Limits

GRPC = encode([(b"content-type", b"application/grpc")])


def echo(exchange: Exchange) -> None:
    seen = {
        "version": exchange.version,
        "method": exchange.method.decode(),
        "target": exchange.target.decode(),
        "headers": [[name.decode(), value.decode()] for name, value in exchange.headers],
        "body": exchange.body.decode(),
        "length": exchange.length,
        "peer": exchange.peer,
    }
    exchange.respond(200, json.dumps(seen).encode(), JSON)


async def test_a_request_looks_as_in_any_other_version(serve, peer):
    server, port = await serve(echo)
    client = await peer(port)
    client.request(
        1, ("a", "1"), ("cookie", "x=1"), ("cookie", "y=2"), ("b", "2"), path="/p?q", authority="host:1", end=False
    )
    client.data(1, b"hel", end=False)
    client.data(1, b"lo")
    answer = await client.answer(1)
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["content-length"] == str(len(answer.body))
    assert "date" in answer.headers
    assert json.loads(answer.body) == {
        "version": "2",
        "method": "POST",
        "target": "/p?q",
        "headers": [["host", "host:1"], ["a", "1"], ["b", "2"], ["cookie", "x=1; y=2"]],
        "body": "hello",
        "length": None,
        "peer": "127.0.0.1",
    }
    assert server.connections == 1


async def test_both_versions_are_spoken_on_one_port(serve, peer, connect):
    _, port = await serve(echo)
    raw = await connect(port)
    raw.send("POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi")
    seen = json.loads((await raw.answer()).body)
    assert (seen["version"], seen["target"], seen["body"]) == ("1.1", "/1", "hi")
    raw.send("GET /0 HTTP/1.0\r\nHost: a\r\n\r\n")
    assert json.loads((await raw.answer()).body)["version"] == "1.0"
    client = await peer(port)
    client.request(1)
    assert json.loads((await client.answer(1)).body)["version"] == "2"


async def test_headers_of_one_request_are_not_shared_with_the_next(serve, peer):
    def spoil(exchange: Exchange) -> None:
        count = len(exchange.headers)
        exchange.headers.append((b"x", b"y"))
        exchange.respond(200, b"%d" % count)

    _, port = await serve(spoil)
    client = await peer(port)
    for stream in (1, 3, 5):
        client.request(stream, ("same", "same"))
        assert (await client.answer(stream)).body == b"2"


async def test_answers_come_as_they_are_ready(serve, peer):
    waiting: list[Exchange] = []
    _, port = await serve(waiting.append)
    client = await peer(port)
    for stream in (1, 3, 5):
        client.request(stream, path=f"/{stream}")
    await client.settled()
    assert [exchange.target for exchange in waiting] == [b"/1", b"/3", b"/5"]
    waiting[2].respond(200, b"third")
    assert (await client.answer(5)).body == b"third"
    waiting[0].respond(200, b"first")
    assert (await client.answer(1)).body == b"first"
    assert not client.of(3).status


async def test_trailers(serve, peer):
    trailers = [(b"grpc-status", b"0"), (b"grpc-message", b"fine")]

    def handler(exchange: Exchange) -> None:
        if exchange.target == b"/respond":
            exchange.respond(200, b"body", GRPC, trailers)
        elif exchange.target == b"/empty":
            exchange.respond(200, b"", GRPC, trailers)
        elif exchange.target == b"/only":
            exchange.respond(200, b"", GRPC + encode(trailers))
        else:
            exchange.start(200, GRPC)
            exchange.write(b"bo")
            exchange.write(b"dy")
            exchange.finish(trailers)

    _, port = await serve(handler)
    client = await peer(port)
    expected = {"grpc-status": "0", "grpc-message": "fine"}
    cases = {
        "/respond": (["HEADERS", "DATA", "HEADERS"], b"body"),
        "/empty": (["HEADERS", "HEADERS"], b""),
        "/only": (["HEADERS"], b""),
        "/stream": (["HEADERS", "DATA", "DATA", "HEADERS"], b"body"),
    }
    for stream, (path, (frames, body)) in zip((1, 3, 5, 7), cases.items(), strict=True):
        client.request(stream, path=path)
        answer = await client.answer(stream)
        assert (answer.frames, answer.body) == (frames, body), path
        assert "content-length" not in answer.headers
        if path == "/only":
            assert answer.headers | expected == answer.headers
        else:
            assert answer.trailers == expected


async def test_http_1_drops_trailers(serve, connect):
    _, port = await serve(lambda exchange: exchange.respond(200, b"body", b"", [(b"grpc-status", b"0")]))
    raw = await connect(port)
    raw.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    answer = await raw.answer()
    assert answer.body == b"body"
    assert "grpc-status" not in answer.headers


@pytest.mark.parametrize(
    ("method", "status", "length"), [("HEAD", 200, "5"), ("GET", 204, None), ("GET", 304, "5"), ("GET", 200, "5")]
)
async def test_answers_without_a_body(serve, peer, method, status, length):
    _, port = await serve(lambda exchange: exchange.respond(status, b"12345"))
    client = await peer(port)
    client.request(1, method=method)
    answer = await client.answer(1)
    assert answer.headers.get("content-length") == length
    assert answer.body == (b"12345" if (method, status) == ("GET", 200) else b"")


async def test_a_body_is_asked_for_when_the_client_waits_to_be_asked(serve, peer):
    async def read(exchange: Exchange) -> None:
        exchange.respond(200, await exchange.stream.read_all())

    def handler(exchange: Exchange) -> None:
        if exchange.stream is not None:
            exchange.spawn(read(exchange))
        else:
            exchange.respond(200, exchange.body)

    _, port = await serve(handler, streaming=lambda exchange: exchange.target == b"/stream")
    client = await peer(port)
    for stream, path in ((1, "/"), (3, "/stream")):
        client.request(stream, ("expect", "100-continue"), path=path, end=False)
        await client.until(lambda stream=stream: client.of(stream).interim == [100])
        client.data(stream, b"body")
        answer = await client.answer(stream)
        assert (answer.status, answer.body) == (200, b"body")


async def test_only_what_the_server_wants_streamed_is_streamed(serve, peer, connect):
    async def read(exchange: Exchange) -> None:
        exchange.respond(200, b"streamed " + await exchange.stream.read_all())

    def handler(exchange: Exchange) -> None:
        if exchange.stream is None:
            exchange.respond(200, b"whole " + exchange.body)
        else:
            exchange.spawn(read(exchange))

    _, port = await serve(handler, streaming=lambda exchange: exchange.header(b"te") == b"trailers")
    client = await peer(port)
    client.request(1, ("te", "trailers"), end=False)
    client.request(3, end=False)
    client.request(5, ("te", "trailers"))
    client.data(1, b"a")
    client.data(3, b"b")
    assert (await client.answer(1)).body == b"streamed a"
    assert (await client.answer(3)).body == b"whole b"
    assert (await client.answer(5)).body == b"streamed "
    raw = await connect(port)
    for te, expected in (("", b"whole hi"), ("TE: trailers\r\n", b"streamed hi")):
        raw.send(f"POST / HTTP/1.1\r\nHost: a\r\n{te}Content-Length: 2\r\n\r\nhi")
        assert (await raw.answer()).body == expected


async def test_a_predicate_that_fails_is_a_logged_no(serve, peer, caplog):
    def broken(exchange: Exchange) -> bool:
        raise RuntimeError("a defect")

    _, port = await serve(lambda exchange: exchange.respond(200, exchange.body), streaming=broken)
    client = await peer(port)
    with caplog.at_level(logging.ERROR):
        client.request(1, end=False)
        client.data(1, b"whole")
        assert (await client.answer(1)).body == b"whole"
    assert "a defect" in caplog.text


async def test_both_directions_at_once(serve, peer):
    async def turn_about(exchange: Exchange) -> None:
        exchange.start(200)
        async for piece in exchange.stream:
            exchange.write(piece.upper())
            await exchange.drain()
        exchange.finish([(b"done", b"yes")])

    _, port = await serve(lambda exchange: exchange.spawn(turn_about(exchange)), streaming=True)
    client = await peer(port)
    client.request(1, end=False)
    so_far = b""
    for word in (b"one ", b"two ", b"three"):
        client.data(1, word, end=False)
        so_far += word.upper()
        await client.until(lambda so_far=so_far: client.of(1).body == so_far)
    client.data(1, b"")
    answer = await client.answer(1)
    assert answer.trailers == {"done": "yes"}


async def test_an_answer_before_the_end_of_the_request(serve, peer):
    """What is left of the request is thrown away for a while; then the client is told that nobody wants it."""
    streams = []

    def refuse(exchange: Exchange) -> None:
        streams.append(exchange.stream)
        exchange.respond(404, b"no")

    _, port = await serve(refuse, Limits(linger=0.2), streaming=True)
    client = await peer(port)
    client.request(1, end=False)
    client.request(3, end=False)
    answer = await client.answer(1)
    assert (answer.status, answer.body, answer.reset) == (404, b"no", None)
    for _ in range(100):
        client.data(1, b"what was on its way " * 500, end=False)
    client.data(3, b"the end")
    await client.settled()
    client.send(WindowUpdateFrame(1, window_increment=1))
    await client.until(lambda: answer.reset is not None)
    assert answer.reset == 0
    assert client.of(3).reset is None
    client.request(5)
    assert (await client.answer(5)).status == 404
    for stream in streams[:2]:
        with pytest.raises(Disconnected):
            await stream.read_all()


async def test_an_answer_is_broken_off_alone(serve, peer):
    async def half(exchange: Exchange) -> None:
        exchange.start(200)
        exchange.write(b"half")
        if exchange.target == b"/raise":
            raise RuntimeError("a defect")
        exchange.abort(11)
        exchange.write(b"dropped")
        with pytest.raises(Disconnected):
            await exchange.drain()

    waiting: list[Exchange] = []

    def handler(exchange: Exchange) -> None:
        if exchange.target == b"/wait":
            waiting.append(exchange)
        elif exchange.target == b"/short":
            exchange.start(200, length=10)
            exchange.write(b"short")
            exchange.finish()
        else:
            exchange.spawn(half(exchange))

    server, port = await serve(handler)
    client = await peer(port)
    client.request(1, path="/wait")
    for stream, path, code, body in ((3, "/raise", 2, b"half"), (5, "/abort", 11, b"half"), (7, "/short", 2, b"short")):
        client.request(stream, path=path)
        answer = await client.answer(stream)
        assert (answer.reset, answer.body, answer.ended) == (code, body, False)
    waiting[0].respond(200, b"still here")
    assert (await client.answer(1)).body == b"still here"
    assert not server.tasks


async def test_more_than_the_promised_length_is_a_defect(serve, peer):
    errors = []

    def long(exchange: Exchange) -> None:
        exchange.start(200, length=3)
        try:
            exchange.write(b"long")
        except ValueError as error:
            errors.append(str(error))
        exchange.write(b"lon")
        exchange.finish()

    _, port = await serve(long)
    client = await peer(port)
    client.request(1)
    answer = await client.answer(1)
    assert (answer.body, answer.headers["content-length"]) == (b"lon", "3")
    assert len(errors) == 1


async def test_a_reset_stops_whoever_works_for_it_and_nobody_else(serve, peer, eventually):
    gone: list[Exchange] = []
    states: list[str] = []
    waiting: list[Exchange] = []

    async def work(exchange: Exchange) -> None:
        states.append("begun")
        try:
            await asyncio.Event().wait()
        finally:
            states.append("ended")

    def handler(exchange: Exchange) -> None:
        if exchange.target == b"/task":
            exchange.spawn(work(exchange))
            return
        waiting.append(exchange)
        exchange.on_disconnect = lambda: gone.append(exchange)

    server, port = await serve(handler)
    client = await peer(port)
    client.request(1)
    client.request(3)
    client.request(5, path="/task")
    await client.settled()
    client.reset(1)
    client.reset(5)
    await eventually(lambda: states == ["begun", "ended"] and not server.tasks)
    assert gone == [waiting[0]]
    assert waiting[0].gone and not waiting[1].gone
    waiting[0].respond(200, b"nobody reads this")
    waiting[1].respond(200, b"heard")
    assert (await client.answer(3)).body == b"heard"
    assert not client.of(1).status


async def test_a_reset_reaches_the_reader_of_the_body(serve, peer):
    errors: list[BaseException] = []

    async def read(exchange: Exchange) -> None:
        try:
            await exchange.stream.read_all()
        except Disconnected as error:
            errors.append(error)
            raise

    _, port = await serve(lambda exchange: exchange.spawn(read(exchange)), streaming=True)
    client = await peer(port)
    client.request(1, end=False)
    client.data(1, b"half", end=False)
    await client.settled()
    client.reset(1)
    await client.settled()
    assert errors == [] or isinstance(errors[0], Disconnected)


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_a_client_that_goes_is_told_to_every_handler(serve, peer, eventually, how):
    gone: list[Exchange] = []

    def wait(exchange: Exchange) -> None:
        exchange.on_disconnect = lambda: gone.append(exchange)

    server, port = await serve(wait)
    client = await peer(port)
    for stream in (1, 3, 5):
        client.request(stream)
    await client.settled()
    client.writer.close() if how == "close" else client.close()
    await eventually(lambda: len(gone) == 3 and server.connections == 0)
    assert all(exchange.gone for exchange in gone)


async def test_who_cannot_be_told_does_not_keep_others_from_it(serve, peer, eventually, caplog):
    told = []

    def wait(exchange: Exchange) -> None:
        def stop() -> None:
            told.append(exchange)
            raise RuntimeError("a defect")

        exchange.on_disconnect = stop

    server, port = await serve(wait)
    client = await peer(port)
    client.request(1)
    client.request(3)
    await client.settled()
    with caplog.at_level(logging.ERROR):
        client.close()
        await eventually(lambda: len(told) == 2 and server.connections == 0)


async def test_handlers_that_fail_or_forget_are_answered_for(serve, peer, caplog):
    async def coroutine(exchange: Exchange) -> None:
        if exchange.target == b"/raise":
            raise RuntimeError("a defect")

    def handler(exchange: Exchange) -> None:
        if exchange.target == b"/plain":
            raise RuntimeError("a defect")
        if exchange.target == b"/line":
            exchange.respond(200, b"", b"no colon\r\n")
        exchange.spawn(coroutine(exchange))

    _, port = await serve(handler)
    client = await peer(port)
    with caplog.at_level(logging.ERROR):
        for stream, path in ((1, "/plain"), (3, "/raise"), (5, "/forget"), (7, "/line")):
            client.request(stream, path=path)
            answer = await client.answer(stream)
            assert (answer.status, answer.ended) == (500, True), path
    assert caplog.text.count("a defect") >= 2
    assert "/forget" in caplog.text


async def test_answering_twice_is_a_defect(serve, peer):
    errors = []

    def twice(exchange: Exchange) -> None:
        exchange.respond(200, b"once")
        for again in (lambda: exchange.respond(200), lambda: exchange.start(200), exchange.finish):
            try:
                again()
            except RuntimeError as error:
                errors.append(error)

    _, port = await serve(twice)
    client = await peer(port)
    client.request(1)
    assert (await client.answer(1)).body == b"once"
    assert len(errors) == 3


async def test_errors_before_the_handler_may_be_answered_in_a_protocol_of_their_own(serve, peer):
    def refuse(exchange: Exchange, status: int, message: str) -> None:
        exchange.respond(200, b"", encode([(b"grpc-status", b"8"), (b"grpc-message", message.encode())]))

    _, port = await serve(lambda exchange: exchange.respond(200), Limits(body=10), refuse=refuse)
    client = await peer(port)
    client.request(1, end=False)
    client.data(1, b"x" * 11)
    answer = await client.answer(1)
    assert (answer.headers["grpc-status"], answer.frames) == ("8", ["HEADERS"])
    assert "10 bytes" in answer.headers["grpc-message"]


async def test_a_refusal_that_fails_breaks_off(serve, peer, caplog):
    def refuse(exchange: Exchange, status: int, message: str) -> None:
        raise RuntimeError("a defect")

    def fail(exchange: Exchange) -> None:
        raise RuntimeError("another")

    _, port = await serve(fail, refuse=refuse)
    client = await peer(port)
    with caplog.at_level(logging.ERROR):
        client.request(1)
        assert (await client.answer(1)).reset == 2


async def test_large_headers_are_continued_both_ways(serve, peer):
    def handler(exchange: Exchange) -> None:
        exchange.respond(200, b"ok", encode([(b"x", exchange.header(b"x") or b"")]))

    _, port = await serve(handler)
    client = await peer(port)
    value = "v" * 40_000
    block = client.encoder.encode(
        [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/"), ("x", value)], huffman=False
    )
    client.send(HeadersFrame(1, data=block[:10], flags=["END_STREAM"]))
    client.send(ContinuationFrame(1, data=block[10:16_000]))
    client.send(ContinuationFrame(1, data=block[16_000:32_000]))
    client.send(ContinuationFrame(1, data=block[32_000:], flags=["END_HEADERS"]))
    answer = await client.answer(1)
    assert answer.headers["x"] == value


async def test_padding_and_priority_are_passed_over(serve, peer):
    _, port = await serve(lambda exchange: exchange.respond(200, exchange.body))
    client = await peer(port)
    block = client.encoder.encode([(":method", "POST"), (":scheme", "http"), (":authority", "a"), (":path", "/")])
    client.send(
        PriorityFrame(1, depends_on=0, stream_weight=3),
        HeadersFrame(
            1, data=block, flags=["END_HEADERS", "PADDED", "PRIORITY"], pad_length=7, depends_on=0, stream_weight=3
        ),
        DataFrame(1, data=b"bo", flags=["PADDED"], pad_length=9),
        DataFrame(1, data=b"dy", flags=["PADDED", "END_STREAM"], pad_length=0),
    )
    assert (await client.answer(1)).body == b"body"


async def test_the_same_bytes_mean_something_else_once_the_table_has_changed(serve, peer):
    """What a block means is remembered only as long as that is so."""
    _, port = await serve(lambda exchange: exchange.respond(200, exchange.target))
    client = await peer(port)
    for turn in range(200):
        # Each new path goes into the dynamic table and moves the ones before by one place.
        client.request(turn * 4 + 1, path=f"/{turn}")
        client.request(turn * 4 + 3, path=f"/{max(0, turn - turn % 3)}")
        assert (await client.answer(turn * 4 + 1)).body == b"/%d" % turn
        assert (await client.answer(turn * 4 + 3)).body == b"/%d" % max(0, turn - turn % 3)


async def test_a_smaller_table_is_respected(serve, peer):
    _, port = await serve(lambda exchange: exchange.respond(200, b"", encode([(b"x", b"y")])))
    client = await peer(port, {"HEADER_TABLE_SIZE": 0})
    client.decoder.max_allowed_table_size = 0
    client.request(1)
    assert (await client.answer(1)).headers["x"] == "y"
    client.encoder.header_table_size = 100
    client.request(3, ("some", "thing"))
    client.request(5, ("some", "thing"))
    assert (await client.answer(5)).headers["x"] == "y"


async def test_no_request_waits_for_the_cycle_collector(serve, peer):
    async def work(exchange: Exchange) -> None:
        exchange.start(200)
        async for piece in exchange.stream:
            exchange.write(piece)
        exchange.finish()

    def handler(exchange: Exchange) -> None:
        exchange.on_disconnect = exchange.abort
        if exchange.stream is not None:
            exchange.spawn(work(exchange))
        elif exchange.target != b"/reset":
            exchange.respond(200, exchange.body)

    _, port = await serve(handler, streaming=lambda exchange: exchange.target == b"/stream")
    client = await peer(port)
    await client.settled()
    gc.collect()
    # What other tests have left is theirs.
    before = {id(thing) for thing in gc.get_objects() if isinstance(thing, Exchange | Stream)}
    gc.disable()
    try:
        for turn in range(20):
            stream = turn * 6 + 1
            client.request(stream, path="/stream", end=False)
            client.data(stream, b"body")
            client.request(stream + 2, end=False)
            client.data(stream + 2, b"body")
            client.request(stream + 4, path="/reset")
            client.reset(stream + 4)
            assert (await client.answer(stream)).body == (await client.answer(stream + 2)).body == b"body"
        await client.settled()
        left = [thing for thing in gc.get_objects() if isinstance(thing, Exchange | Stream)]
        assert len([thing for thing in left if id(thing) not in before]) < 5
    finally:
        gc.enable()
