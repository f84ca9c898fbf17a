"""Our client of HTTP/2, against our server and against servers that behave badly, frame by frame."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from typing import Any

import pytest
from hyperframe.frame import GoAwayFrame, PingFrame, SettingsFrame

from mizzen.http.client import Timeouts
from mizzen.http.errors import ConnectFailed, ConnectTimedOut, Disconnected, HttpError, Malformed, Reset, TimedOut
from mizzen.http.exchange import Exchange
from mizzen.http.headers import encode
from mizzen.http.http2.client import Http2Client
from mizzen.http.server import Limits
from mizzen.http.sniff import offer_http2


@pytest.fixture
async def client():
    async with Http2Client(environ={}, timeouts=Timeouts(connect=5, head=10, total=10)) as made:
        yield made


def echo(exchange: Exchange) -> None:
    seen = {
        "method": exchange.method.decode(),
        "target": exchange.target.decode(),
        "headers": [[name.decode(), value.decode()] for name, value in exchange.headers],
        "body": exchange.body.decode(),
    }
    exchange.respond(200, json.dumps(seen).encode(), encode([(b"a", b"1"), (b"a", b"2")]))


async def test_a_request_and_its_answer(serve, client):
    server, port = await serve(echo)
    url = f"http://127.0.0.1:{port}"
    for turn in range(3):
        answer = await client.request(
            "POST", f"{url}/p?q={turn}", headers=[(b"X", b"y"), (b"te", b"trailers")], body=b"hello"
        )
        assert answer.status == 200
        assert [value for name, value in answer.headers if name == b"a"] == [b"1", b"2"]
        assert answer.header(b"a") == b"1" and answer.trailers == []
        assert json.loads(answer.body) == {
            "method": "POST",
            "target": f"/p?q={turn}",
            "headers": [["host", f"127.0.0.1:{port}"], ["x", "y"], ["te", "trailers"]],
            "body": "hello",
        }
    seen = json.loads((await client.request("GET", url, headers=[(b"host", b"other"), (b"connection", b"x")])).body)
    assert (seen["method"], seen["target"], seen["headers"]) == ("GET", "/", [["host", "other"]])
    assert client.connections == server.connections == 1


async def test_trailers_and_empty_answers(serve, client):
    def handler(exchange: Exchange) -> None:
        if exchange.target == b"/only":
            exchange.respond(200, b"", encode([(b"grpc-status", b"5")]))
        else:
            exchange.respond(200, exchange.body, b"", [(b"grpc-status", b"0")])

    _, port = await serve(handler)
    answer = await client.request("POST", f"http://127.0.0.1:{port}/a", body=b"body")
    assert (answer.body, answer.trailers) == (b"body", [(b"grpc-status", b"0")])
    answer = await client.request("POST", f"http://127.0.0.1:{port}/only")
    assert (answer.body, answer.trailers, answer.header(b"grpc-status")) == (b"", [], b"5")
    assert (await client.request("HEAD", f"http://127.0.0.1:{port}/a")).body == b""


async def test_many_at_once_share_a_connection(serve, client):
    async def later(exchange: Exchange) -> None:
        await asyncio.sleep(0.001 * (int(exchange.target[1:]) % 7))
        exchange.respond(200, exchange.target)

    server, port = await serve(lambda exchange: exchange.spawn(later(exchange)))
    answers = await asyncio.gather(*(client.request("GET", f"http://127.0.0.1:{port}/{n}") for n in range(200)))
    assert [answer.body for answer in answers] == [b"/%d" % n for n in range(200)]
    assert client.connections == server.connections == 1


async def test_more_than_the_server_takes_wait_or_use_another_connection(serve):
    running = most = 0

    async def work(exchange: Exchange) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.005)
        running -= 1
        exchange.respond(200, exchange.target)

    server, port = await serve(lambda exchange: exchange.spawn(work(exchange)), Limits(streams=4))
    async with Http2Client(environ={}, connections=3) as client:
        url = f"http://127.0.0.1:{port}"
        await client.request("GET", f"{url}/first")
        answers = await asyncio.gather(*(client.request("GET", f"{url}/{n}") for n in range(100)))
        assert [answer.body for answer in answers] == [b"/%d" % n for n in range(100)]
        assert client.connections == server.connections == 3
        assert most <= 12


async def test_large_bodies_both_ways(serve, client):
    _, port = await serve(lambda exchange: exchange.respond(200, exchange.body))
    body = bytes(range(256)) * 40_000
    answers = await asyncio.gather(*(client.request("POST", f"http://127.0.0.1:{port}/", body=body) for _ in range(4)))
    assert all(answer.body == body for answer in answers)


async def test_both_directions_at_once(serve, client):
    async def turn_about(exchange: Exchange) -> None:
        exchange.start(200, encode([(b"x", b"y")]))
        async for piece in exchange.stream:
            exchange.write(piece.upper())
            await exchange.drain()
        exchange.finish([(b"done", b"yes")])

    _, port = await serve(lambda exchange: exchange.spawn(turn_about(exchange)), streaming=True)
    async with client.open("POST", f"http://127.0.0.1:{port}/s", headers=[(b"te", b"trailers")]) as call:
        assert await call.head() == 200
        assert call.headers[0] == (b"x", b"y")
        for word in (b"one", b"two"):
            call.write(word)
            await call.drain()
            assert await call.piece() == word.upper()
        call.finish()
        assert [piece async for piece in call] == []
        assert call.trailers == [(b"done", b"yes")]
        assert call.complete


async def test_a_slow_server_holds_the_writer(serve, client, eventually):
    go = asyncio.Event()

    async def later(exchange: Exchange) -> None:
        await go.wait()
        exchange.respond(200, b"%d" % len(await exchange.stream.read_all()))

    _, port = await serve(lambda exchange: exchange.spawn(later(exchange)), streaming=True)
    written = 0
    async with client.open("POST", f"http://127.0.0.1:{port}/") as call:

        async def pour() -> None:
            nonlocal written
            while written < 8 * 1024 * 1024:
                call.write(b"x" * 65_536)
                written += 65_536
                await call.drain()
            call.finish()

        task = asyncio.create_task(pour())
        await asyncio.sleep(0.2)
        assert 0 < written < 4 * 1024 * 1024
        go.set()
        answer = await call.answer()
        await task
        assert answer.body == b"%d" % written


async def test_a_slow_reader_holds_the_server(serve, client):
    written = 0

    async def pour(exchange: Exchange) -> None:
        nonlocal written
        exchange.start(200)
        while written < 16 * 1024 * 1024:
            exchange.write(b"x" * 65_536)
            written += 65_536
            await exchange.drain()
        exchange.finish()

    _, port = await serve(lambda exchange: exchange.spawn(pour(exchange)))
    async with client.open("GET", f"http://127.0.0.1:{port}/") as call:
        call.finish()
        await call.head()
        await asyncio.sleep(0.2)
        assert written < 8 * 1024 * 1024
        assert len((await call.answer()).body) == 16 * 1024 * 1024


@pytest.mark.parametrize("how", ["cancel", "time", "leave"])
async def test_what_is_given_up_resets_its_request_alone(serve, client, eventually, how):
    gone: list[Exchange] = []
    others: list[Exchange] = []

    def handler(exchange: Exchange) -> None:
        if exchange.target == b"/other":
            others.append(exchange)
        exchange.on_disconnect = lambda: gone.append(exchange)

    server, port = await serve(handler, streaming=True)
    url = f"http://127.0.0.1:{port}"
    other = asyncio.create_task(client.request("GET", f"{url}/other"))
    await eventually(lambda: others)
    if how == "cancel":
        task = asyncio.create_task(client.request("POST", url, body=b"x"))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    elif how == "time":
        with pytest.raises(TimedOut, match=r"0\.1 s"):
            await client.request("POST", url, body=b"x", timeouts=Timeouts(total=0.1))
        with pytest.raises(TimedOut, match=r"no answer within 0\.1 s"):
            await client.request("POST", url, body=b"x", timeouts=Timeouts(head=0.1))
    else:
        async with client.open("POST", url) as call:
            call.write(b"half")
            await asyncio.sleep(0.05)
    await eventually(lambda: len(gone) == (2 if how == "time" else 1))
    others[0].respond(200, b"fine")
    assert (await other).body == b"fine"
    assert server.connections == 1


async def test_nobody_listens(client):
    sock = __import__("socket").socket()
    sock.bind(("127.0.0.1", 0))
    with pytest.raises(ConnectFailed):
        await client.request("GET", f"http://127.0.0.1:{sock.getsockname()[1]}/")
    sock.close()
    assert client.connections == 0


@pytest.mark.parametrize("url", ["ftp://a/", "http:///", "https://a/", "http://a/\n", "nonsense", "http://é/"])
async def test_what_is_no_url(client, url):
    with pytest.raises(HttpError):
        await client.request("GET", url)


@pytest.mark.parametrize("headers", [[(b"a", b"x\r\ny")], [(b"a\n", b"x")], [(b":path", b"/x")], [(b"", b"x")]])
async def test_fields_that_would_forge_others(client, headers):
    with pytest.raises(ValueError, match="field"):
        await client.request("GET", "http://127.0.0.1:1/", headers=headers)


async def accept(accepted: asyncio.Queue[Any]) -> Any:
    async with asyncio.timeout(10):
        return await accepted.get()


async def asked(server: Any, stream: int) -> None:
    """Wait for a request to be whole."""
    await server.until(lambda: server.of(stream).ended)


def reply(server: Any, stream: int, body: bytes = b"ok") -> None:
    server.headers(stream, [(":status", "200")], end=False)
    server.data(stream, body)


async def test_a_server_that_goes_away_finishes_what_it_has(upstream, client, eventually):
    port, accepted = await upstream()
    url = f"http://127.0.0.1:{port}/"
    requests = [asyncio.create_task(client.request("GET", url)) for _ in range(3)]
    first = await accept(accepted)
    await asked(first, 5)
    # The third was not worked on: it goes elsewhere.
    first.send(GoAwayFrame(0, last_stream_id=3))
    second = await accept(accepted)
    await asked(second, 1)
    reply(second, 1, b"second")
    reply(first, 1, b"first")
    reply(first, 3, b"first")
    assert sorted([(await request).body for request in requests]) == [b"first", b"first", b"second"]
    await first.ended()
    await eventually(lambda: client.connections == 1)


async def test_a_server_that_says_so_twice(upstream, client):
    port, accepted = await upstream()
    url = f"http://127.0.0.1:{port}/"
    request = asyncio.create_task(client.request("GET", url))
    first = await accept(accepted)
    await asked(first, 1)
    first.send(GoAwayFrame(0, last_stream_id=2**31 - 1), PingFrame(0, opaque_data=b"12345678"))
    await first.until(lambda: first.pongs)
    another = asyncio.create_task(client.request("GET", url))
    second = await accept(accepted)
    await asked(second, 1)
    reply(second, 1)
    assert (await another).status == 200
    first.send(GoAwayFrame(0, last_stream_id=1))
    reply(first, 1)
    assert (await request).status == 200


async def test_a_refused_request_is_sent_again_and_not_for_ever(upstream, client):
    port, accepted = await upstream()
    request = asyncio.create_task(client.request("POST", f"http://127.0.0.1:{port}/", body=b"x"))
    server = await accept(accepted)
    for stream in (1, 3):
        await asked(server, stream)
        server.reset(stream, 7)
    await asked(server, 5)
    assert server.of(5).body == b"x"
    reply(server, 5)
    assert (await request).status == 200
    request = asyncio.create_task(client.request("POST", f"http://127.0.0.1:{port}/", body=b"x"))
    for stream in (7, 9, 11):
        await asked(server, stream)
        server.reset(stream, 7)
    with pytest.raises(ConnectFailed, match="refused"):
        await request


async def test_a_reset_says_why(upstream, client):
    port, accepted = await upstream()
    request = asyncio.create_task(client.request("POST", f"http://127.0.0.1:{port}/", body=b"x"))
    server = await accept(accepted)
    await asked(server, 1)
    server.reset(1, 11)
    with pytest.raises(Reset, match="ENHANCE_YOUR_CALM") as caught:
        await request
    assert caught.value.code == 11
    assert isinstance(caught.value, Disconnected)
    assert client.connections == 1


async def test_a_reset_after_the_whole_answer_changes_nothing(upstream, client):
    port, accepted = await upstream()
    async with client.open("POST", f"http://127.0.0.1:{port}/") as call:
        server = await accept(accepted)
        call.write(b"half")
        await server.until(lambda: server.of(1).body)
        reply(server, 1, b"early")
        server.reset(1, 0)
        answer = await call.answer()
        assert (answer.status, answer.body) == (200, b"early")
        call.write(b"dropped")
        await call.drain()
        call.finish()


async def test_a_connection_that_dies_takes_its_requests_with_it(upstream, client):
    port, accepted = await upstream()
    requests = [asyncio.create_task(client.request("GET", f"http://127.0.0.1:{port}/")) for _ in range(3)]
    server = await accept(accepted)
    await asked(server, 5)
    server.headers(1, [(":status", "200")], end=False)
    await server.settled()
    server.close()
    for request in requests:
        with pytest.raises(Disconnected):
            await request
    assert client.connections == 0


async def test_a_kept_connection_that_died_meanwhile_costs_nothing(upstream, client):
    port, accepted = await upstream()
    url = f"http://127.0.0.1:{port}/"
    request = asyncio.create_task(client.request("GET", url))
    first = await accept(accepted)
    await asked(first, 1)
    reply(first, 1)
    assert (await request).status == 200
    request = asyncio.create_task(client.request("POST", url, body=b"again"))
    await asked(first, 3)
    first.close()
    second = await accept(accepted)
    await asked(second, 1)
    assert second.of(1).body == b"again"
    reply(second, 1)
    assert (await request).status == 200


async def test_a_server_that_goes_away_for_a_reason_says_it(upstream, client):
    port, accepted = await upstream()
    request = asyncio.create_task(client.request("GET", f"http://127.0.0.1:{port}/"))
    server = await accept(accepted)
    await asked(server, 1)
    server.send(GoAwayFrame(0, last_stream_id=1, error_code=11, additional_data=b"too_many_pings"))
    await server.settled()
    server.close()
    with pytest.raises(Disconnected, match="too_many_pings"):
        await request


async def test_a_server_that_falls_silent_is_given_up(upstream):
    port, accepted = await upstream()
    async with Http2Client(environ={}, silence=0.2) as client:
        request = asyncio.create_task(client.request("GET", f"http://127.0.0.1:{port}/"))
        server = await accept(accepted)
        server.acks = False
        with pytest.raises(TimedOut, match="sign of life"):
            await request
        assert server.pings


async def test_a_slow_server_that_lives_is_waited_for(upstream):
    port, accepted = await upstream()
    async with Http2Client(environ={}, silence=0.1) as client:
        request = asyncio.create_task(client.request("GET", f"http://127.0.0.1:{port}/"))
        server = await accept(accepted)
        await asyncio.sleep(0.6)
        reply(server, 1)
        assert (await request).status == 200


async def test_idle_connections_are_closed(upstream, eventually):
    port, accepted = await upstream()
    async with Http2Client(environ={}, keep_alive=0.2) as client:
        request = asyncio.create_task(client.request("GET", f"http://127.0.0.1:{port}/"))
        server = await accept(accepted)
        await asked(server, 1)
        reply(server, 1)
        await request
        assert (await server.goaway()).error_code == 0
        await eventually(lambda: client.connections == 0)


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


@pytest.mark.parametrize(
    "act",
    [
        pytest.param(lambda s: s.headers(1, [("x", "y")]), id="no status"),
        pytest.param(lambda s: s.headers(1, [(":status", "2x0")]), id="status in words"),
        pytest.param(lambda s: s.headers(1, [(":status", "200"), (":path", "/")]), id="a request's field"),
        pytest.param(lambda s: s.headers(1, [(":status", "200"), ("connection", "close")]), id="connection"),
        pytest.param(lambda s: s.headers(1, [(":status", "200"), ("x", "a\r\nb")]), id="line end"),
        pytest.param(lambda s: s.headers(1, [(":status", "101")]), id="switching protocols"),
        pytest.param(lambda s: s.headers(1, [(":status", "100")]), id="an interim end"),
        pytest.param(lambda s: s.headers(1, [(":status", "200"), ("content-length", "5")]), id="short"),
        pytest.param(lambda s: s.data(1, b"x"), id="a body before its head"),
        pytest.param(
            lambda s: (s.headers(1, [(":status", "200"), ("content-length", "1")], end=False), s.data(1, b"xx")),
            id="long",
        ),
        pytest.param(
            lambda s: (s.headers(1, [(":status", "200")], end=False), s.headers(1, [("t", "u")], end=False)),
            id="trailers that are not the end",
        ),
    ],
)
async def test_an_answer_that_is_none_fails_alone(upstream, client, act):
    port, accepted = await upstream()
    url = f"http://127.0.0.1:{port}/"
    request = asyncio.create_task(client.request("GET", url))
    other = asyncio.create_task(client.request("GET", url))
    server = await accept(accepted)
    await asked(server, 3)
    act(server)
    with pytest.raises(Malformed) as caught:
        await request
    assert caught.value.status == 502
    reply(server, 3)
    assert (await other).status == 200
    await server.until(lambda: server.of(1).reset == 1)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n", id="HTTP/1.1"),
        pytest.param(frame(6, 0, 0, b"12345678"), id="no SETTINGS"),
        pytest.param(frame(4, 0, 0, b"") + frame(5, 4, 1, b"\0\0\0\2\x82"), id="push"),
        pytest.param(frame(4, 0, 0, b"") + frame(1, 5, 2, b"\x88"), id="a stream of the server's"),
        pytest.param(frame(4, 0, 0, b"") + frame(1, 5, 9, b"\x88"), id="a stream never opened"),
        pytest.param(frame(4, 0, 0, b"") + frame(1, 5, 1, b"\xff\xff"), id="no HPACK"),
        pytest.param(frame(4, 0, 0, b"") + frame(0, 0, 0, b""), id="DATA of no stream"),
        pytest.param(frame(4, 0, 0, b"") + b"\xff" * 40, id="garbage"),
    ],
)
async def test_a_server_that_speaks_no_http_2(data):
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            await reader.read(100)
            writer.write(data)
            await reader.read()
        writer.close()
        ended.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with Http2Client(environ={}) as client:
        with pytest.raises(Malformed, match="not HTTP/2"):
            await client.request("GET", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
    async with asyncio.timeout(10):
        await ended.wait()
    server.close()


async def test_a_server_that_takes_nothing_now(upstream):
    port, accepted = await upstream(MAX_CONCURRENT_STREAMS=0)
    url = f"http://127.0.0.1:{port}/"
    async with Http2Client(environ={}, connections=1) as client:
        early = asyncio.create_task(client.request("GET", url))
        server = await accept(accepted)
        await server.settled()
        # The first may have gone before the server said so.
        request = asyncio.create_task(client.request("GET", url))
        with pytest.raises(ConnectTimedOut):
            await client.request("GET", url, timeouts=Timeouts(connect=0.2))
        server.send(SettingsFrame(0, settings={SettingsFrame.MAX_CONCURRENT_STREAMS: 5}))
        for stream, one in ((1, early), (3, request)):
            await asked(server, stream)
            reply(server, stream)
            assert (await one).status == 200


async def test_a_server_whose_window_stays_closed(upstream):
    port, accepted = await upstream(INITIAL_WINDOW_SIZE=10)
    async with Http2Client(environ={}, timeouts=Timeouts(total=0.5)) as client:
        request = asyncio.create_task(client.request("POST", f"http://127.0.0.1:{port}/", body=b"x" * 100))
        server = await accept(accepted)
        with pytest.raises(TimedOut):
            await request
        await server.until(lambda: server.of(1).reset == 8)
        assert len(server.of(1).body) <= 100


async def test_a_client_that_is_closed_cuts_off_and_takes_nothing(upstream):
    port, accepted = await upstream()
    client = Http2Client(environ={})
    request = asyncio.create_task(client.request("GET", f"http://127.0.0.1:{port}/"))
    server = await accept(accepted)
    await asked(server, 1)
    await client.close()
    with pytest.raises(HttpError):
        await request
    with pytest.raises(HttpError, match="closed"):
        await client.request("GET", f"http://127.0.0.1:{port}/")
    await server.ended()


async def test_a_client_closed_while_it_connects():
    client = Http2Client(environ={}, timeouts=Timeouts(connect=30))
    # A listener whose queue is full answers nobody.
    import socket

    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.listen(0)
    port = sock.getsockname()[1]
    fill = [socket.socket() for _ in range(4)]
    for one in fill:
        one.setblocking(False)
        one.connect_ex(("127.0.0.1", port))
    request = asyncio.create_task(client.request("GET", f"http://127.0.0.1:{port}/"))
    await asyncio.sleep(0.1)
    await client.close()
    with pytest.raises((HttpError, asyncio.CancelledError)):
        await request
    for one in (sock, *fill):
        one.close()


async def test_names_of_services_are_dialled_at_the_gateway(serve):
    _, port = await serve(echo)
    environ = {"MIZZEN_CLUSTER_GATEWAY": f"127.0.0.1:{port}", "MIZZEN_NAMESPACE": "models"}
    async with Http2Client(environ=environ) as client:
        seen = json.loads((await client.request("GET", "http://iris:8033/")).body)
        assert seen["headers"][0] == ["host", "iris.models:8033"]


async def test_tls(serve, contexts):
    context, trusting = contexts()
    offer_http2(context)
    server, _ = await serve(lambda exchange: exchange.respond(200, exchange.version.encode()))
    [(_, port)] = await server.listen("127.0.0.1", 0, ssl=context)
    url = f"https://localhost:{port}/"
    async with Http2Client(environ={}, ssl=trusting) as client:
        with pytest.raises(ConnectFailed, match="does not offer HTTP/2"):
            await client.request("GET", url)
        offer_http2(trusting)
        assert (await client.request("GET", url)).body == b"2"
        assert client.connections == 1
    stranger = ssl.create_default_context()
    offer_http2(stranger)
    async with Http2Client(environ={}, ssl=stranger) as client:
        with pytest.raises(ConnectFailed, match="certificate"):
            await client.request("GET", url)
