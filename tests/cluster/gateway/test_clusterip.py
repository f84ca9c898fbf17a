"""Services at addresses of their own: connections go through to an endpoint, whatever they speak."""

import asyncio
import encodings.idna  # noqa: F401 - read at the first connect, which may no longer be allowed
import logging
import os
import random
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from gateway_front import PATIENCE, until
from gateway_objects import service, service_body, slice_of
from mizzen.apis.core import SERVICE
from mizzen.cluster.gateway import clusterip
from mizzen.cluster.gateway.clusterip import ClusterIPs, addresses
from mizzen.cluster.gateway.endpoints import Endpoints
from mizzen.kube.informer import Informer


def free_address():
    """An address of this machine that nobody else uses."""
    return f"127.{random.randint(100, 250)}.{random.randint(1, 250)}.{random.randint(1, 250)}"


class Net:
    """ClusterIPs under test, fed as by an API."""

    def __init__(self):
        self.informer = Informer(None, SERVICE)
        self.informer.synced.set()
        self.endpoints = Endpoints()
        self.ips = ClusterIPs(self.informer, self.endpoints)
        self.version = 0
        self.task = None
        self.servers = []

    def start(self):
        self.task = asyncio.create_task(self.ips.run())

    def service(self, name, ip, *ports):
        """A Service is there or has changed."""
        self.version += 1
        body = service_body(name, *ports, clusterIP=ip)
        body["metadata"]["resourceVersion"] = str(self.version)
        self.endpoints.put_service(service(name, *ports, clusterIP=ip))
        self.informer.accept(body)

    def remove(self, name):
        self.endpoints.remove_service("default", name)
        self.informer.forget("default", name)

    def endpoint(self, name, *ports):
        for port in ports:
            part = slice_of(name, ["127.0.0.1"], port)
            part.metadata.name = f"{name}-{port}"
            self.endpoints.put_slice(name, part)

    async def server(self, respond):
        async def serve(reader, writer):
            try:
                await respond(reader, writer)
            except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                pass
            writer.close()

        found = await asyncio.start_server(serve, "127.0.0.1", 0)
        self.servers.append(found)
        return found.sockets[0].getsockname()[1]

    async def listening(self, *wanted):
        await until(lambda: set(self.ips.listening) == set(wanted))

    async def close(self):
        if self.task is not None:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)
        await self.ips.close(0)
        for one in self.servers:
            one.close()
        # Those who were connected learn it one turn of the loop later.
        await asyncio.sleep(0.05)


@pytest.fixture
async def net():
    found = Net()
    found.start()
    yield found
    await found.close()


async def echo(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


async def exchange(ip, port, data=b"hello"):
    """Send, say that this was all, and read what comes back."""
    async with asyncio.timeout(PATIENCE):
        reader, writer = await asyncio.open_connection(ip, port)
        writer.write(data)
        writer.write_eof()
        answer = await reader.read()
        writer.close()
        return answer


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (
            service("iris", 80, {"port": 9000, "name": "grpc"}, clusterIP="127.1.2.3"),
            {("127.1.2.3", 80), ("127.1.2.3", 9000)},
        ),
        (service("iris", {"port": 53, "protocol": "UDP"}, clusterIP="127.1.2.3"), set()),
        (service("iris", 80, clusterIP="None"), set()),
        (service("iris", 80, clusterIP=""), set()),
        (service("iris", 80), set()),
        (service("iris", 80, type="ExternalName", externalName="example.com"), set()),
    ],
)
def test_where_a_service_wants_to_be_listened_for(one, expected):
    assert set(addresses(one)) == expected


async def test_bytes_pass_both_ways_and_the_end_of_one_way_leaves_the_other_open(net):
    async def after_the_end(reader, writer):
        writer.write(b"welcome;")
        everything = await reader.read()
        writer.write(b"got %d" % len(everything))

    ip = free_address()
    net.service("iris", ip, 18080)
    net.endpoint("iris", await net.server(after_the_end))
    await net.listening((ip, 18080))
    assert await exchange(ip, 18080, b"\x00\xff" * 500) == b"welcome;got 1000"
    await until(lambda: net.ips.connections == 0)


async def test_a_server_that_ends_first(net):
    async def speak(reader, writer):
        writer.write(b"that is all")
        writer.write_eof()
        assert await reader.read() == b"thanks"

    ip = free_address()
    net.service("iris", ip, 18080)
    net.endpoint("iris", await net.server(speak))
    await net.listening((ip, 18080))
    reader, writer = await asyncio.open_connection(ip, 18080)
    assert await reader.read() == b"that is all"
    writer.write(b"thanks")
    writer.close()
    await until(lambda: net.ips.connections == 0)


async def test_without_endpoints_a_connection_is_closed_at_once(net, unused_tcp_port):
    ip = free_address()
    net.service("iris", ip, 18080)
    await net.listening((ip, 18080))
    for _ in range(2):
        async with asyncio.timeout(PATIENCE):
            try:
                reader, writer = await asyncio.open_connection(ip, 18080)
                assert await reader.read() == b""
                writer.close()
            except ConnectionError:
                pass
        # The second time there is an endpoint, but nobody is there.
        net.endpoint("iris", unused_tcp_port)
    assert net.ips.connections == 0


async def test_another_endpoint_is_tried(net, unused_tcp_port):
    ip = free_address()
    net.service("iris", ip, 18080)
    net.endpoint("iris", await net.server(echo), unused_tcp_port)
    await net.listening((ip, 18080))
    for _ in range(30):
        assert await exchange(ip, 18080) == b"hello"


async def test_services_come_change_and_go_and_connections_stay(net):
    first, second = free_address(), free_address()
    net.endpoint("iris", await net.server(echo))
    net.service("iris", first, 18080)
    await net.listening((first, 18080))
    reader, writer = await asyncio.open_connection(first, 18080)
    writer.write(b"a")
    assert await reader.readexactly(1) == b"a"
    net.service("iris", second, 18081)
    await net.listening((second, 18081))
    assert await exchange(second, 18081) == b"hello"
    with pytest.raises(OSError):
        await asyncio.open_connection(first, 18080)
    net.remove("iris")
    net.endpoints.remove_slice("default", "iris", f"iris-{net.servers[0].sockets[0].getsockname()[1]}")
    await net.listening()
    writer.write(b"b")
    assert await reader.readexactly(1) == b"b"
    writer.close()


async def test_a_slow_reader_holds_the_sender(net):
    sent = 0

    async def endless(reader, writer):
        nonlocal sent
        while True:
            writer.write(b"x" * 65536)
            sent += 65536
            await writer.drain()

    ip = free_address()
    net.service("iris", ip, 18080)
    net.endpoint("iris", await net.server(endless))
    await net.listening((ip, 18080))
    reader, writer = await asyncio.open_connection(ip, 18080)
    writer.transport.pause_reading()
    last = -1
    while last != sent or not sent:
        last = sent
        await asyncio.sleep(0.2)
    assert sent < 40 * 1024 * 1024
    writer.transport.resume_reading()
    async with asyncio.timeout(PATIENCE):
        while sent == last:
            await reader.read(65536)
    writer.transport.abort()
    await until(lambda: net.ips.connections == 0)


async def test_many_connections(net):
    ip = free_address()
    net.service("iris", ip, 18080)
    net.endpoint("iris", await net.server(echo))
    await net.listening((ip, 18080))
    opened = await asyncio.gather(*(asyncio.open_connection(ip, 18080) for _ in range(200)))
    for number, (_, writer) in enumerate(opened):
        writer.write(b"%04d" % number)
    for number, (reader, _) in enumerate(opened):
        assert await reader.readexactly(4) == b"%04d" % number
    assert net.ips.connections == 200
    for _, writer in opened:
        writer.close()
    await until(lambda: net.ips.connections == 0)
    [one] = {net.endpoints.pick(clusterip.Backend("default", "iris", 18080), 0.0) for _ in range(5)}
    assert one.under_way == 0


async def test_an_address_that_somebody_holds_is_said_once_and_taken_when_it_is_free(net, monkeypatch, caplog):
    monkeypatch.setattr(clusterip, "_TAKEN", 0.02)
    ip = free_address()
    with socket.create_server((ip, 18080)):
        net.service("iris", ip, 18080)
        await asyncio.sleep(0.3)
        assert net.ips.listening == {}
    said = [record for record in caplog.records if f"{ip}:18080" in record.getMessage()]
    assert len(said) == 1 and said[0].levelno == logging.WARNING
    net.endpoint("iris", await net.server(echo))
    await net.listening((ip, 18080))
    assert await exchange(ip, 18080) == b"hello"


async def test_an_address_of_another_machine_is_no_error(net, caplog):
    caplog.set_level(logging.INFO, clusterip.__name__)
    net.service("one", "203.0.113.1", 18080)
    net.service("two", "203.0.113.2", 18080)
    ip = free_address()
    net.service("three", ip, 18080)
    await net.listening((ip, 18080))
    said = [record for record in caplog.records if "203.0.113." in record.getMessage()]
    assert len(said) == 1 and said[0].levelno == logging.INFO


async def test_stopping_takes_nothing_more_and_lets_what_is_open_end(net):
    ip = free_address()
    net.service("iris", ip, 18080)
    net.endpoint("iris", await net.server(echo))
    await net.listening((ip, 18080))
    reader, writer = await asyncio.open_connection(ip, 18080)
    writer.write(b"a")
    assert await reader.readexactly(1) == b"a"
    net.task.cancel()
    await asyncio.gather(net.task, return_exceptions=True)
    with pytest.raises(OSError):
        await asyncio.open_connection(ip, 18080)
    closing = asyncio.create_task(net.ips.close(PATIENCE))
    await asyncio.sleep(0)
    writer.write(b"b")
    assert await reader.readexactly(1) == b"b"
    assert not closing.done()
    writer.close()
    await closing
    assert net.ips.connections == 0


async def _as_anybody(ip, low):
    """What the unprivileged process below does: the high port is served, whatever becomes of the low one."""
    net = Net()
    net.start()
    net.service("iris", ip, low, 18080)
    part = slice_of("iris", ["127.0.0.1"], await net.server(echo), port_name="")
    net.endpoints.put_slice("iris", part)
    await until(lambda: (ip, 18080) in net.ips.listening)
    assert await exchange(ip, 18080) == b"hello"
    try:
        socket.create_server((free_address(), low)).close()
        allowed = True
    except PermissionError:
        allowed = False
    await asyncio.sleep(0.1)
    assert ((ip, low) in net.ips.listening) == allowed
    await net.close()


def test_an_unprivileged_user_gets_the_ports_that_it_may_have():
    """In a process of its own, which gives its privileges away."""
    helpers = str(Path(__file__).parents[2])
    child = subprocess.run(
        [sys.executable, __file__],
        check=False,
        env=os.environ | {"PYTHONPATH": helpers},
        timeout=4 * PATIENCE,
        capture_output=True,
        text=True,
    )
    assert child.returncode == 0, child.stderr


if __name__ == "__main__":
    if os.getuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    asyncio.run(_as_anybody(free_address(), 80))
