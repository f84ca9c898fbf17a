"""When servers die, refuse, stall or lie: an answer at once, never a hang, never half an answer that looks whole."""

import asyncio
import signal
import socket
import subprocess
import sys

import pytest

from gateway_front import front as another_front
from gateway_front import named, until
from gateway_objects import ref
from mizzen.http.server import Limits

SLOW_SERVER = """
import http.server, sys, time
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        if self.path == "/slow":
            print("asked", flush=True)
            time.sleep(60)
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"alive")
    do_POST = do_GET
    def log_message(self, *_): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
"""


class Process:
    """A server that can be killed."""

    def __init__(self, port=0):
        command = [sys.executable, "-c", SLOW_SERVER, str(port)]
        self.child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.port = int(self.child.stdout.readline())

    async def asked(self):
        assert (await asyncio.to_thread(self.child.stdout.readline)).strip() == "asked"

    def kill(self):
        self.child.send_signal(signal.SIGKILL)
        self.child.wait()
        self.child.stdout.close()


@pytest.fixture
def process():
    started = []

    def start(port=0):
        started.append(Process(port))
        return started[-1]

    yield start
    for one in started:
        if one.child.poll() is None:
            one.kill()


def idle(front):
    """Whether no endpoint counts as busy any more."""
    known = front.endpoints._services.values()
    return all(one.under_way == 0 for service in known for one in service._endpoints.values())


async def test_a_server_killed_in_the_middle_of_a_request_is_told_at_once_and_forgotten_when_it_is_back(front, process):
    server = process()
    front.service("iris", server.port)
    front.host("iris.example.com", "iris")
    raw = await front.connect()
    assert (await raw.ask("iris.example.com")).body == b"alive"
    raw.send("POST /slow HTTP/1.1\r\nHost: iris.example.com\r\nContent-Length: 2\r\n\r\n{}")
    await server.asked()
    server.kill()
    answer = await raw.answer()
    assert answer.status == 503 and "service iris in namespace default" in answer.error
    for _ in range(5):
        answer = await raw.ask("iris.example.com")
        assert answer.status == 503 and "cannot connect" in answer.error
    process(server.port)
    assert (await raw.ask("iris.example.com")).body == b"alive"
    assert idle(front)


async def test_a_server_that_was_replaced_between_two_requests_is_not_noticed(front, process):
    server = process()
    front.service("iris", server.port)
    front.host("iris.example.com", "iris")
    raw = await front.connect()
    assert (await raw.ask("iris.example.com")).body == b"alive"
    server.kill()
    process(server.port)
    raw.send("POST / HTTP/1.1\r\nHost: iris.example.com\r\nContent-Length: 0\r\n\r\n")
    assert (await raw.answer()).body == b"alive"


async def test_nobody_is_asked_in_vain_while_another_endpoint_answers(front, unused_tcp_port):
    server = await front.server(named("alive"))
    front.service("iris", server.port, unused_tcp_port)
    front.host("iris.example.com", "iris")
    raw = await front.connect()
    for _ in range(50):
        raw.send("POST / HTTP/1.1\r\nHost: iris.example.com\r\nContent-Length: 2\r\n\r\n{}")
        assert (await raw.answer()).json["body"] == "{}"
    assert idle(front)


async def test_an_endpoint_that_takes_no_connections_is_passed_over(monkeypatch):
    monkeypatch.setattr("mizzen.cluster.gateway.proxy._CONNECT", 0.2)
    async with another_front() as front:
        with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
            # The kernel drops what does not fit, so a further client hears nothing at all.
            waiting = [socket.socket() for _ in range(4)]
            for one in waiting:
                one.setblocking(False)
                one.connect_ex(full.getsockname())
            server = await front.server(named("alive"))
            front.service("iris", full.getsockname()[1], server.port)
            front.http_route("iris.example.com", {"backendRefs": [ref("iris")], "timeouts": {"request": "10s"}})
            raw = await front.connect()
            for _ in range(10):
                assert (await raw.ask("iris.example.com")).json["name"] == "alive"
            front.leave("iris", server.port)
            answer = await raw.ask("iris.example.com")
            assert answer.status == 503 and "no connection to" in answer.error
            for one in waiting:
                one.close()


@pytest.mark.parametrize(
    ("conditions", "said"),
    [({}, "no pod runs for it"), ({"ready": False}, "its only pod is not ready")],
)
async def test_a_service_without_endpoints(front, conditions, said):
    front.service("iris", *([1] if conditions else []), **conditions)
    front.host("iris.example.com", "iris")
    answer = await front.ask("iris.example.com")
    assert answer.status == 503
    assert "service iris in namespace default" in answer.error and said in answer.error


async def test_a_service_that_does_not_exist(front):
    front.host("iris.example.com", "iris")
    answer = await front.ask("iris.example.com")
    assert answer.status == 503 and "there is no service iris in namespace default" in answer.error


async def test_a_route_that_leads_nowhere(front):
    front.http_route("a.example.com", {"backendRefs": [ref("b", kind="Bucket")]})
    answer = await front.ask("a.example.com")
    assert answer.status == 500 and "HTTPRoute default/a.example.com" in answer.error and "Bucket" in answer.error


async def two_endpoints(front, respond, **options):
    """A service one of whose endpoints answers while the other does as ``respond`` says. Returns who was asked."""
    asked = []

    async def bad(reader, writer):
        asked.append("bad")
        await respond(reader, writer)

    def good(exchange):
        asked.append("good")
        exchange.respond(200, b"good")

    bad_port = await front.raw_server(bad)
    front.service("iris", bad_port, (await front.server(good, **options)).port)
    front.host("iris.example.com", "iris")
    return asked


async def dies(reader, writer):
    await reader.readuntil(b"\r\n\r\n")
    writer.transport.abort()


async def test_what_can_be_done_twice_is_sent_to_another_endpoint(front):
    asked = await two_endpoints(front, dies)
    while "bad" not in asked:
        assert (await front.ask("iris.example.com")).body == b"good"
    assert asked[-2:] == ["bad", "good"]


async def test_what_may_have_been_done_is_not_done_again(front):
    asked = await two_endpoints(front, dies)
    while "bad" not in asked:
        raw = await front.connect()
        raw.send("POST / HTTP/1.1\r\nHost: iris.example.com\r\nContent-Length: 2\r\n\r\n{}")
        answer = await raw.answer()
    assert asked[-1] == "bad"
    assert answer.status == 503 and "went away before it had answered" in answer.error


async def test_a_body_that_has_begun_to_flow_is_not_sent_again(front):
    asked = await two_endpoints(front, dies, streaming=True)
    while "bad" not in asked:
        raw = await front.connect()
        raw.send("PUT / HTTP/1.1\r\nHost: iris.example.com\r\nContent-Length: 1000000\r\n\r\nthe first of it")
        answer = await raw.answer()
    assert (asked[-1], answer.status) == ("bad", 503)


@pytest.mark.parametrize(
    "start",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nnonsense\r\n",
    ],
)
async def test_half_an_answer_never_looks_whole(front, start):
    async def respond(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(start)
        await writer.drain()
        await asyncio.sleep(0.05)

    front.service("iris", await front.raw_server(respond))
    front.host("iris.example.com", "iris")
    raw = await front.connect()
    raw.get("iris.example.com")
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await raw.answer()
    await until(lambda: idle(front))


@pytest.mark.parametrize(
    "answer", [b"220 smtp.example.com ready\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", b"\x16\x03\x01\x00"]
)
async def test_an_answer_that_is_no_http(front, answer):
    async def respond(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await reader.read()

    front.service("iris", await front.raw_server(respond))
    front.host("iris.example.com", "iris")
    found = await front.ask("iris.example.com")
    assert found.status == 502 and "service iris in namespace default" in found.error


async def test_a_server_that_takes_too_long(front):
    async def never(reader, writer):
        await reader.read()

    front.service("iris", await front.raw_server(never))
    front.http_route("iris.example.com", {"backendRefs": [ref("iris")], "timeouts": {"request": "100ms"}})
    raw = await front.connect()
    answer = await raw.ask("iris.example.com")
    assert answer.status == 504 and "service iris in namespace default" in answer.error
    assert idle(front)


async def test_an_answer_that_has_begun_and_takes_too_long_is_broken_off(front):
    async def drip(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf")
        await reader.read()

    front.service("iris", await front.raw_server(drip))
    front.http_route("iris.example.com", {"backendRefs": [ref("iris")], "timeouts": {"request": "200ms"}})
    raw = await front.connect()
    raw.get("iris.example.com")
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await raw.answer()


@pytest.mark.parametrize("started", [False, True])
async def test_a_client_that_goes_away_takes_its_request_with_it(front, started):
    state = []

    def handle(exchange):
        exchange.on_disconnect = lambda: state.append("gone")
        state.append("asked")
        if started:
            exchange.start(200)
            exchange.write(b"some")

    await front.serving("iris.example.com", handle)
    raw = await front.connect()
    raw.get("iris.example.com")
    await until(lambda: state)
    if started:
        await raw.head()
        assert await raw.chunk() == b"some"
    raw.reset()
    await until(lambda: state == ["asked", "gone"])
    await until(lambda: idle(front))
    assert b'host="iris.example.com",code="499"} 1' in front.proxy.metrics.text()


@pytest.mark.parametrize("length", [1000, 1_000_000])
async def test_a_client_that_goes_away_in_the_middle_of_its_body(front, length):
    """A small body is waited for, so its server never hears of it; of a large one it hears that it was cut off."""
    asked, cut = [], []

    def handle(exchange):
        async def read():
            asked.append(exchange)
            try:
                await exchange.stream.read_all()
            finally:
                cut.append(exchange)

        exchange.spawn(read())

    await front.serving("iris.example.com", handle, streaming=True)
    raw = await front.connect()
    raw.send(f"POST / HTTP/1.1\r\nHost: iris.example.com\r\nContent-Length: {length}\r\n\r\nhalf")
    await until(lambda: front.proxy.server.tasks)
    if length > 1000:
        await until(lambda: asked)
    raw.reset()
    await until(lambda: not front.proxy.server.tasks)
    await until(lambda: idle(front))
    await until(lambda: len(asked) == len(cut) == (length > 1000))


@pytest.mark.parametrize("framing", ["Transfer-Encoding: chunked", "Content-Length: 100"])
async def test_a_client_whose_body_is_no_http_or_stays_out(framing):
    async with another_front(Limits(body_timeout=0.2)) as front:
        await front.serving("iris.example.com", lambda one: one.spawn(one.stream.read_all()), streaming=True)
        raw = await front.connect()
        raw.send(f"POST / HTTP/1.1\r\nHost: iris.example.com\r\n{framing}\r\n\r\n4\r\nwell\r\n")
        await until(lambda: front.proxy.server.tasks)
        raw.send("no chunk\r\n")
        answer = await raw.answer()
        assert (answer.status, answer.headers["connection"]) == (400 if "chunked" in framing else 408, "close")
        assert "body" in answer.error or "HTTP" in answer.error


async def test_an_endpoint_that_leaves_finishes_what_it_has_begun(front):
    gate = asyncio.Event()

    def slow(exchange):
        async def answer():
            await gate.wait()
            exchange.respond(200, b"finished")

        exchange.spawn(answer())

    old = await front.serving("iris.example.com", slow)
    raw = await front.connect()
    raw.get("iris.example.com")
    await until(lambda: old.connections)
    front.leave("iris", old.port)
    new = await front.server(named("new"))
    front.service("iris", new.port)
    assert (await front.ask("iris.example.com")).json["name"] == "new"
    gate.set()
    assert (await raw.answer()).body == b"finished"
