"""The client: connections kept and never mixed up, bodies at the reader's pace, retries only where they are safe."""

from __future__ import annotations

import asyncio
import gc

import pytest

from mizzen.http.client import Client, Timeouts
from mizzen.http.dial import _same_reach
from mizzen.http.errors import ConnectFailed, Disconnected, HttpError, Malformed, TimedOut
from mizzen.http.exchange import Exchange


@pytest.fixture
async def client():
    async with Client(environ={}) as client:
        yield client


def echo(exchange: Exchange) -> None:
    exchange.respond(200, exchange.method + b" " + exchange.target + b" " + exchange.body)


async def scripted(*answers: bytes, close: bool = True):
    """A server that reads a request's head, then sends what it is told, whatever that is."""
    connections = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = len(connections)
        connections.append(writer)
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answers[min(number, len(answers) - 1)])
            await writer.drain()
            if close:
                writer.close()
            else:
                await reader.read()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    return server, server.sockets[0].getsockname()[1], connections


async def test_requests_share_a_connection(start, client):
    server, port = await start(echo)
    for n in range(5):
        async with await client.request("POST", f"http://127.0.0.1:{port}/a/{n}?q=1", body=b"body") as response:
            assert response.status == 200
            assert await response.read() == b"POST /a/%d?q=1 body" % n
    assert server.connections == 1
    assert (client.connections, client.idle) == (1, 1)


async def test_requests_at_once_have_a_connection_each_and_their_own_answers(start, client):
    async def later(exchange: Exchange) -> None:
        await asyncio.sleep(0.001 * (int(exchange.target[1:]) % 7))
        exchange.respond(200, exchange.target)

    _, port = await start(lambda exchange: exchange.spawn(later(exchange)))

    async def ask(n: int) -> bool:
        async with await client.request("GET", f"http://127.0.0.1:{port}/{n}") as response:
            return await response.read() == b"/%d" % n

    for _ in range(3):
        assert all(await asyncio.gather(*(ask(n) for n in range(50))))
    assert client.connections <= 50


async def test_the_fields_of_a_request_and_of_its_answer(start, client):
    seen = []

    def note(exchange: Exchange) -> None:
        seen.append(exchange.headers)
        exchange.respond(200, b"", b"set-cookie: a=1\r\nset-cookie: b=2\r\n")

    _, port = await start(note)
    async with await client.request("GET", f"http://127.0.0.1:{port}/", headers=[(b"x-a", b"1"), (b"x-a", b"2")]) as r:
        assert [value for name, value in r.headers if name == b"set-cookie"] == [b"a=1", b"b=2"]
        assert r.header(b"content-length") == b"0"
    assert seen == [[(b"host", f"127.0.0.1:{port}".encode()), (b"x-a", b"1"), (b"x-a", b"2")]]


@pytest.mark.parametrize(
    ("target", "headers"),
    [(b"/a b", []), (b"/a\r\nx: y", []), (b"/", [(b"a", b"b\r\nc: d")]), (b"/", [(b"a\n", b"b")])],
)
async def test_what_would_forge_a_message_is_not_sent(start, client, target, headers):
    _, port = await start(echo)
    with pytest.raises(ValueError):
        await client.send(("127.0.0.1", port), b"GET", target, [(b"host", b"a"), *headers])
    assert client.connections == 0


@pytest.mark.parametrize("length", [None, 3 * 65536])
async def test_a_body_is_streamed_with_and_without_its_length(start, client, length):
    async def read(exchange: Exchange) -> None:
        assert exchange.length == length
        size = 0
        async for piece in exchange.stream:
            size += len(piece)
        exchange.respond(200, b"%d" % size)

    _, port = await start(lambda exchange: exchange.spawn(read(exchange)), streaming=True)

    async def pieces():
        for _ in range(3):
            yield b"x" * 65536
            await asyncio.sleep(0)

    for _ in range(2):
        response = await client.send(("127.0.0.1", port), b"POST", b"/", [(b"host", b"a")], pieces(), length=length)
        assert await response.read() == b"%d" % (3 * 65536)
    assert client.connections == 1


async def test_a_slow_server_holds_the_sender(start, client, eventually):
    go = asyncio.Event()
    sent = 0
    total = 64 * 1024 * 1024

    async def read(exchange: Exchange) -> None:
        await go.wait()
        exchange.respond(200, b"%d" % len(await exchange.stream.read_all()))

    async def pour():
        nonlocal sent
        while sent < total:
            sent += 65536
            yield b"x" * 65536

    _, port = await start(lambda exchange: exchange.spawn(read(exchange)), streaming=True)
    asking = asyncio.create_task(client.request("POST", f"http://127.0.0.1:{port}/", body=pour()))
    await eventually(lambda: sent)
    await asyncio.sleep(0.2)
    assert sent < total
    go.set()
    assert await (await asking).read() == b"%d" % total


async def test_a_slow_reader_holds_the_server(start, client):
    written = 0
    total = 64 * 1024 * 1024

    async def pour(exchange: Exchange) -> None:
        nonlocal written
        exchange.start(200)
        while written < total:
            written += 65536
            exchange.write(b"x" * 65536)
            await exchange.drain()
        exchange.finish()

    _, port = await start(lambda exchange: exchange.spawn(pour(exchange)))
    async with await client.request("GET", f"http://127.0.0.1:{port}/") as response:
        await asyncio.sleep(0.2)
        assert written < total
        size = 0
        async for piece in response:
            size += len(piece)
    assert size == total
    assert client.idle == 1


async def test_an_answer_before_the_body_was_sent_is_taken_and_the_connection_not_kept(start, client, eventually):
    _, port = await start(lambda exchange: exchange.respond(413, b"too much"), streaming=True)

    async def endless():
        while True:
            yield b"x" * 65536

    async with await client.request("POST", f"http://127.0.0.1:{port}/", body=endless()) as response:
        assert response.status == 413
        assert await response.read() == b"too much"
    await eventually(lambda: client.connections == 0)


@pytest.mark.parametrize("method", ["HEAD", "GET"])
async def test_answers_without_a_body_leave_the_connection_usable(start, client, method):
    def handler(exchange: Exchange) -> None:
        exchange.respond(204 if exchange.target == b"/204" else 304 if exchange.target == b"/304" else 200, b"12345")

    _, port = await start(handler)
    for target in ("/204", "/", "/304", "/"):
        async with await client.request(method, f"http://127.0.0.1:{port}{target}") as response:
            expected = b"12345" if target == "/" and method == "GET" else b""
            assert await response.read() == expected
    assert client.connections == 1


async def test_interim_answers_are_passed_over(client):
    server, port, _ = await scripted(
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
    )
    async with await client.request("GET", f"http://127.0.0.1:{port}/") as response:
        assert (response.status, response.header(b"link"), await response.read()) == (200, None, b"ok")
    server.close()


async def test_a_body_that_ends_with_the_connection(client, eventually):
    server, port, _ = await scripted(b"HTTP/1.1 200 OK\r\n\r\nall of it")
    async with await client.request("GET", f"http://127.0.0.1:{port}/") as response:
        assert await response.read() == b"all of it"
    await eventually(lambda: client.connections == 0)
    server.close()


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        pytest.param(b"", Disconnected, id="nothing"),
        pytest.param(b"HTTP/1.1 200 OK\r\ncontent-le", Disconnected, id="half a head"),
        pytest.param(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf", Disconnected, id="half a body"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n", Disconnected, id="half chunks"
        ),
        pytest.param(b"SSH-2.0-OpenSSH\r\n", Malformed, id="no HTTP"),
        pytest.param(b"HTTP/1.1 101 Switching Protocols\r\n\r\n", HttpError, id="switched"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            Malformed,
            id="both ends",
        ),
        pytest.param(b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 1000 + b"\r\n", Malformed, id="fields"),
        pytest.param(b"HTTP/1.1 200 OK\r\na: " + b"b" * 300_000, Malformed, id="endless field"),
    ],
)
async def test_an_answer_that_is_none_is_said(client, eventually, answer, error):
    server, port, _ = await scripted(answer)
    with pytest.raises(error):
        async with await client.request("GET", f"http://127.0.0.1:{port}/") as response:
            await response.read()
    await eventually(lambda: client.connections == 0)
    server.close()


async def test_bytes_after_an_answer_are_never_the_next_one(client, eventually):
    """A server, or somebody between, that sends two answers to one request (response splitting)."""
    poison = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison"
    server, port, connections = await scripted(
        b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ngood" + poison, close=False
    )
    for _ in range(2):
        async with await client.request("GET", f"http://127.0.0.1:{port}/") as response:
            assert await response.read() == b"good"
        await eventually(lambda: client.connections == 0)
    assert len(connections) == 2
    server.close()


async def test_a_kept_connection_that_died_is_replaced_without_a_word(start, client):
    """The server closes an idle connection while the next request is on its way."""
    served = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal served
        first = True
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if not first:
                    writer.transport.abort()  # a byte of the second request has come: too late to be polite
                    return
                first = False
                size = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0] or 0)
                await reader.readexactly(size)
                served += 1
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    for n in range(4):
        async with await client.request("POST", f"http://127.0.0.1:{port}/{n}", body=b"body") as response:
            assert await response.read() == b"ok"
    assert served == 4
    server.close()


async def test_a_small_stream_that_has_ended_is_sent_again_a_large_one_is_not(client):
    bodies = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            bodies.append(await reader.readuntil(b"0\r\n\r\n"))
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
            await reader.readuntil(b"\r\n\r\n")
            await reader.readuntil(b"0\r\n\r\n")
            writer.transport.abort()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.LimitOverrunError):
            writer.transport.abort()

    async def pieces(count: int, size: int):
        for _ in range(count):
            yield b"x" * size

    server = await asyncio.start_server(talk, "127.0.0.1", 0, limit=2**24)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    for _ in range(2):
        async with await client.request("POST", url, body=pieces(2, 5)) as response:
            assert await response.read() == b"ok"
    assert bodies == [b"5\r\nxxxxx\r\n5\r\nxxxxx\r\n0\r\n\r\n"] * 2
    with pytest.raises(Disconnected):
        await client.request("POST", url, body=pieces(3, 40_000))
    server.close()


async def test_a_new_connection_that_dies_is_not_tried_again(client):
    server, port, connections = await scripted(b"")
    with pytest.raises(Disconnected):
        await client.request("POST", f"http://127.0.0.1:{port}/", body=b"pay once")
    assert len(connections) == 1
    server.close()


async def test_an_answer_that_has_begun_is_not_asked_for_again(client):
    first = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
    count = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        try:
            await reader.readuntil(b"\r\n\r\n")
            count += 1
            writer.write(first)
            await reader.readuntil(b"\r\n\r\n")
            count += 1
            writer.write(b"HTTP/1.1 2")
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    async with await client.request("GET", url) as response:
        await response.read()
    with pytest.raises(Disconnected):
        await client.request("GET", url)
    assert count == 2
    server.close()


async def test_nobody_there(client, unused_tcp_port):
    with pytest.raises(ConnectFailed, match=f"127.0.0.1:{unused_tcp_port}"):
        await client.request("GET", f"http://127.0.0.1:{unused_tcp_port}/")
    with pytest.raises(ConnectFailed, match=r"no-such-name\.invalid"):
        await client.request("GET", "http://no-such-name.invalid/")


@pytest.mark.parametrize("url", ["https://a/", "ftp://a/", "/path", "http:///x", "http://ünïcode/"])
async def test_urls_that_it_does_not_speak(client, url):
    with pytest.raises(HttpError, match="http://"):
        await client.request("GET", url)


async def test_no_answer_in_time(start, client, eventually):
    gone = []

    def never(exchange: Exchange) -> None:
        exchange.on_disconnect = lambda: gone.append(exchange)

    _, port = await start(never)
    url = f"http://127.0.0.1:{port}/"
    with pytest.raises(TimedOut, match=r"within 0\.1 s"):
        await client.request("GET", url, timeouts=Timeouts(head=0.1))
    with pytest.raises(TimedOut):
        await client.request("GET", url, timeouts=Timeouts(total=0.1))
    await eventually(lambda: len(gone) == 2)
    await eventually(lambda: client.connections == 0)


async def test_an_answer_that_does_not_end_in_time(start, client, eventually):
    def half(exchange: Exchange) -> None:
        exchange.start(200, length=10)
        exchange.write(b"half")

    _, port = await start(half)
    response = await client.request("GET", f"http://127.0.0.1:{port}/", timeouts=Timeouts(total=0.2))
    with pytest.raises(TimedOut):
        await response.read()
    await eventually(lambda: client.connections == 0)


async def test_a_deadline_that_passes_after_the_answer_harms_nobody(start, client):
    """The answer has arrived and its connection serves another request while the first is still being read."""
    waiting: list[Exchange] = []

    def handler(exchange: Exchange) -> None:
        if exchange.target == b"/quick":
            exchange.respond(200, b"quick")
        else:
            waiting.append(exchange)

    _, port = await start(handler)
    url = f"http://127.0.0.1:{port}"
    unread = await client.request("GET", f"{url}/quick", timeouts=Timeouts(total=0.1))
    slow = asyncio.create_task(client.request("GET", f"{url}/slow"))
    await asyncio.sleep(0.3)
    assert client.connections == 1, "both use one connection, or this test shows nothing"
    waiting[0].respond(200, b"slow")
    assert await (await slow).read() == b"slow"
    assert await unread.read() == b"quick"


async def test_cancelling_closes_the_connection(start, client, eventually):
    gone = []

    def never(exchange: Exchange) -> None:
        exchange.on_disconnect = lambda: gone.append(exchange)

    server, port = await start(never)
    asking = asyncio.create_task(client.request("GET", f"http://127.0.0.1:{port}/"))
    await eventually(lambda: server.connections == 1)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await eventually(lambda: gone and client.connections == 0)


@pytest.mark.parametrize("how", ["close", "drop"])
async def test_an_answer_that_is_left_unread_frees_its_connection(start, client, eventually, how):
    def endless(exchange: Exchange) -> None:
        exchange.start(200)
        exchange.write(b"x")

    server, port = await start(endless)
    response = await client.request("GET", f"http://127.0.0.1:{port}/")
    if how == "close":
        response.close()
    else:
        del response
        gc.collect()
    await eventually(lambda: client.connections == 0 and server.connections == 0)


async def test_idle_connections_expire(start, eventually):
    server, port = await start(echo)
    async with Client(environ={}, keep_alive=0.2) as client:
        async with await client.request("GET", f"http://127.0.0.1:{port}/") as response:
            await response.read()
        assert client.idle == 1
        await eventually(lambda: server.connections == 0)
        assert client.connections == 0


async def test_no_more_idle_connections_are_kept_than_told(start, eventually):
    waiting: list[Exchange] = []
    server, port = await start(waiting.append)
    async with Client(environ={}, max_idle=3) as client:
        asking = [asyncio.create_task(client.request("GET", f"http://127.0.0.1:{port}/")) for _ in range(10)]
        await eventually(lambda: len(waiting) == 10)
        for exchange in waiting:
            exchange.respond(200, b"x")
        for task in asking:
            await (await task).read()
        await eventually(lambda: server.connections == 3)


async def test_a_closed_client_has_no_connections(start):
    _, port = await start(lambda exchange: None)
    client = Client(environ={})
    asking = asyncio.create_task(client.request("GET", f"http://127.0.0.1:{port}/"))
    await asyncio.sleep(0.05)
    await client.close()
    with pytest.raises(HttpError):
        await asking
    with pytest.raises(HttpError):
        await client.request("GET", f"http://127.0.0.1:{port}/")
    assert client.connections == 0


async def test_services_are_asked_through_the_gateway(start):
    seen = []

    def gateway(exchange: Exchange) -> None:
        seen.append(exchange.header(b"host"))
        exchange.respond(200)

    _, port = await start(gateway)
    environ = {"MIZZEN_CLUSTER_GATEWAY": f"127.0.0.1:{port}", "MIZZEN_NAMESPACE": "mine"}
    async with Client(environ=environ) as client:
        for url in ("http://iris.models/x", "http://iris.models.svc.cluster.local:8080/", "http://iris/"):
            await (await client.request("GET", url)).read()
        assert client.connections == 1
    assert seen == [b"iris.models", b"iris.models.svc.cluster.local:8080", b"iris.mine"]


async def test_connections_come_from_the_pods_own_address(start):
    peers = []

    def note(exchange: Exchange) -> None:
        peers.append(exchange.peer)
        exchange.respond(200)

    _, port = await start(note)
    async with Client(environ={"MIZZEN_BIND_ADDRESS": "127.77.0.2"}) as client:
        for host in ("127.0.0.1", "localhost"):
            await (await client.request("GET", f"http://{host}:{port}/")).read()
    assert set(peers) == {"127.77.0.2"}


@pytest.mark.parametrize(
    ("source", "address", "reachable"),
    [
        ("127.7.0.2", "127.0.0.1", True),
        ("127.7.0.2", "::1", False),
        ("127.7.0.2", "93.184.215.14", False),
        ("10.0.0.5", "93.184.215.14", True),
        ("10.0.0.5", "127.0.0.1", True),
        ("fd00::1", "fd00::2", True),
    ],
)
def test_a_pods_loopback_address_is_used_only_where_it_can_reach(source, address, reachable):
    assert _same_reach(source, address) is reachable


async def test_a_cancelled_upload_ends_and_says_nothing(start, client, eventually):
    server, port = await start(lambda exchange: None, streaming=True)

    async def endless():
        while True:
            await asyncio.sleep(0.001)
            yield b"x"

    asking = asyncio.create_task(client.request("POST", f"http://127.0.0.1:{port}/", body=endless()))
    await eventually(lambda: server.connections == 1)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await eventually(lambda: server.connections == client.connections == 0)


async def test_a_thousand_requests_leave_no_connection_more(start, client, eventually):
    async def sometimes(exchange: Exchange) -> None:
        await asyncio.sleep(0.001)
        if exchange.target.endswith(b"7"):
            exchange.abort()
        else:
            exchange.respond(200, exchange.target)

    server, port = await start(lambda exchange: exchange.spawn(sometimes(exchange)))
    room = asyncio.Semaphore(20)

    async def ask(n: int) -> str:
        async with room:
            try:
                async with await client.request("GET", f"http://127.0.0.1:{port}/{n}") as response:
                    return "right" if await response.read() == b"/%d" % n else "wrong"
            except Disconnected:
                return "gone"

    answers = await asyncio.gather(*(ask(n) for n in range(1000)))
    assert answers == ["gone" if n % 10 == 7 else "right" for n in range(1000)]
    await eventually(lambda: server.connections == client.connections == client.idle)
    assert client.connections <= 20
