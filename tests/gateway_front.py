"""A proxy in front of real servers, its routes made by hand, and a client of raw bytes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from gateway_objects import backend as to
from gateway_objects import http_route, ingress, rule, service, slice_of
from mizzen.cluster.gateway import httproute as routes
from mizzen.cluster.gateway import ingress as ingresses
from mizzen.cluster.gateway import service as services
from mizzen.cluster.gateway.endpoints import Endpoints
from mizzen.cluster.gateway.proxy import Proxy
from mizzen.cluster.gateway.routes import Table
from mizzen.http.exchange import Exchange
from mizzen.http.headers import JSON
from mizzen.http.server import Limits, Server

PATIENCE = 20.0
Respond = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes
    fields: list[tuple[str, str]] = field(default_factory=list)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """The sentence of an error that the gateway itself has answered with."""
        assert self.headers["server"] == "mizzen-gateway"
        assert self.headers["content-type"] == "application/json"
        return str(self.json["error"])


class Raw:
    """One connection. Sends what it is told, reads what comes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes | str) -> None:
        self.writer.write(data.encode() if isinstance(data, str) else data)

    def get(self, host: str, path: str = "/", *fields: str) -> None:
        lines = "".join(f"{one}\r\n" for one in fields)
        self.send(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n{lines}\r\n")

    async def ask(self, host: str, path: str = "/", *fields: str) -> Answer:
        self.get(host, path, *fields)
        return await self.answer()

    async def head(self) -> tuple[int, dict[str, str], list[tuple[str, str]]]:
        async with asyncio.timeout(PATIENCE):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        status, *lines = head.strip().split("\r\n")
        fields = [(name.lower(), value) for name, _, value in (line.partition(": ") for line in lines)]
        return int(status.split()[1]), dict(fields), fields

    async def chunk(self) -> bytes:
        """The next chunk of a body that comes in chunks; empty at the end."""
        async with asyncio.timeout(PATIENCE):
            size = int((await self.reader.readuntil(b"\r\n")).strip(), 16)
            return (await self.reader.readexactly(size + 2))[:-2]

    async def answer(self, *, bodiless: bool = False) -> Answer:
        """The next answer, whole."""
        status, headers, fields = await self.head()
        body = b""
        async with asyncio.timeout(PATIENCE):
            if bodiless or status in (100, 204, 304):
                pass
            elif headers.get("transfer-encoding") == "chunked":
                while piece := await self.chunk():
                    body += piece
            elif "content-length" in headers:
                body = await self.reader.readexactly(int(headers["content-length"]))
            else:
                body = await self.reader.read()
        return Answer(status, headers, body, fields)

    async def ended(self) -> bool:
        """Whether the other side has closed, with nothing left to read."""
        async with asyncio.timeout(PATIENCE):
            try:
                return await self.reader.read() == b""
            except ConnectionError:
                return True

    def reset(self) -> None:
        """Go as a killed process goes."""
        self.writer.transport.abort()


def named(name: str) -> Callable[[Exchange], None]:
    """A handler that tells who it is and what it was asked."""

    def handle(exchange: Exchange) -> None:
        seen = {
            "name": name,
            "method": exchange.method.decode(),
            "target": exchange.target.decode(),
            "headers": [[key.decode(), value.decode()] for key, value in exchange.headers],
            "body": exchange.body.decode("latin-1"),
        }
        exchange.respond(200, json.dumps(seen).encode(), JSON)

    return handle


class Front:
    """The proxy under test and all that stands behind it."""

    def __init__(self, limits: Limits | None, own_port: int) -> None:
        self.table = Table(own_port)
        self.endpoints = Endpoints()
        self.proxy = Proxy(self.table, self.endpoints, limits=limits)
        self.port = 0
        self._servers: list[Server] = []
        self._raw_servers: list[asyncio.Server] = []
        self._clients: list[Raw] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def listen(self, sock: socket.socket) -> None:
        self.port = sock.getsockname()[1]
        await self.proxy.listen(sock)

    async def connect(self) -> Raw:
        raw = Raw(*await asyncio.open_connection("127.0.0.1", self.port))
        self._clients.append(raw)
        return raw

    async def ask(self, host: str, path: str = "/", *fields: str) -> Answer:
        """One request over a connection of its own."""
        raw = await self.connect()
        return await raw.ask(host, path, *fields)

    # What stands behind it

    async def server(self, handler: Callable[[Exchange], None], port: int = 0, **options: Any) -> Server:
        """A server of ours; ``server.port`` is where."""
        server = Server(handler, **options)
        [(_, server.port)] = await server.listen("127.0.0.1", port)  # type: ignore[attr-defined]
        self._servers.append(server)
        return server

    async def raw_server(self, respond: Respond, port: int = 0) -> int:
        """A server of raw bytes; returns its port. ``respond`` gets each connection."""

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._tasks.add(task)
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await respond(reader, writer)
            writer.close()
            self._tasks.discard(task)

        server = await asyncio.start_server(serve, "127.0.0.1", port)
        self._raw_servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    def service(self, name: str, *ports: int, **conditions: bool) -> None:
        """A Service with port 80, answered for on these ports of this machine."""
        one = service(name, 80)
        self.endpoints.put_service(one)
        self.table.put(services.origin(one), services.compile_service(one))
        for port in ports:
            part = slice_of(name, ["127.0.0.1"], port, **conditions)
            part.metadata.name = f"{name}-{port}"
            self.endpoints.put_slice(name, part)

    def leave(self, name: str, port: int) -> None:
        """An endpoint of a Service is gone."""
        self.endpoints.remove_slice("default", name, f"{name}-{port}")

    def host(self, host: str, name: str) -> None:
        """An Ingress that gives all of a host to a Service."""
        one = ingress(host, rule(host, ("/", "Prefix", to(name))))
        self.table.put(ingresses.origin(one), ingresses.compile_ingress(one))

    def http_route(self, host: str, *rules: dict[str, Any]) -> None:
        one = http_route(host, *rules)
        self.table.put(routes.origin(one), routes.compile_http_route(one, [host]))

    async def serving(self, host: str, handler: Callable[[Exchange], None], **options: Any) -> Server:
        """A server, its Service and its host, all at once."""
        server = await self.server(handler, **options)
        name = host.partition(".")[0]
        self.service(name, server.port)  # type: ignore[attr-defined]
        self.host(host, name)
        return server

    async def close(self) -> None:
        for raw in self._clients:
            raw.reset()
        await self.proxy.close(0)
        for server in self._servers:
            await server.close(0)
        for raw_server in self._raw_servers:
            raw_server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def front(limits: Limits | None = None, own_port: int = 0) -> AsyncIterator[Front]:
    made = Front(limits, own_port)
    await made.listen(socket.create_server(("127.0.0.1", 0), backlog=1024))
    try:
        yield made
    finally:
        await made.close()


async def until(condition: Callable[[], Any]) -> None:
    """Wait for something that has to come true, with a generous end."""
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.005)
