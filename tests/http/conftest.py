"""A server that each test gives its handler, and a client of raw bytes that knows no HTTP but its end."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import gc
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from mizzen.http.exchange import Exchange
from mizzen.http.server import Limits, Server


@pytest.hookimpl(optionalhook=True)
def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Both loops that this code runs on."""
    return {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}


@pytest.fixture(autouse=True)
def nothing_forgotten(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No test leaves an exception that nobody fetched, or a task that nobody awaited."""
    yield
    gc.collect(1)  # what a test leaves is young; a full collection would take longer than the test
    for when in ("setup", "call", "teardown"):
        assert [record.getMessage() for record in caplog.get_records(when) if record.name == "asyncio"] == []


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes
    fields: list[tuple[str, str]] = field(default_factory=list)


class Raw:
    """One connection. Sends what it is told, reads what comes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes | str) -> None:
        self.writer.write(data.encode() if isinstance(data, str) else data)

    async def answer(self, *, head_only: bool = False) -> Answer:
        """The next answer, whole."""
        async with asyncio.timeout(10):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
            status, *lines = head.strip().split("\r\n")
            fields = [(name.lower(), value) for name, _, value in (line.partition(": ") for line in lines)]
            headers = dict(fields)
            body = b""
            if head_only or status.split()[1] in ("100", "204", "304"):
                pass
            elif headers.get("transfer-encoding") == "chunked":
                while size := int((await self.reader.readuntil(b"\r\n")).strip(), 16):
                    body += (await self.reader.readexactly(size + 2))[:-2]
                await self.reader.readexactly(2)
            elif "content-length" in headers:
                body = await self.reader.readexactly(int(headers["content-length"]))
            else:
                body = await self.reader.read()
        return Answer(int(status.split()[1]), headers, body, fields)

    async def ended(self) -> bool:
        """Whether the server has closed, with nothing left to read."""
        async with asyncio.timeout(10):
            try:
                return await self.reader.read() == b""
            except ConnectionError:
                return True

    def close(self) -> None:
        self.writer.close()

    def reset(self) -> None:
        """Go as a killed process goes."""
        self.writer.transport.abort()


@pytest.fixture
async def start() -> AsyncIterator[Callable[..., Any]]:
    """``server, port = await start(handler, limits=..., streaming=...)``."""
    servers = []

    async def run(
        handler: Callable[[Exchange], None], limits: Limits | None = None, **options: Any
    ) -> tuple[Server, int]:
        server = Server(handler, limits=limits, **options)
        servers.append(server)
        [(_, port)] = await server.listen("127.0.0.1", 0)
        return server, port

    yield run
    for server in servers:
        await server.close(0)


@pytest.fixture
async def connect() -> AsyncIterator[Callable[[int], Any]]:
    """``raw = await connect(port)``."""
    opened = []

    async def dial(port: int) -> Raw:
        raw = Raw(*await asyncio.open_connection("127.0.0.1", port))
        opened.append(raw)
        return raw

    yield dial
    for raw in opened:
        with contextlib.suppress(Exception):
            raw.reset()


async def until(condition: Callable[[], Any]) -> None:
    """Wait for something that has to come true, with a generous end."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


@pytest.fixture
def eventually() -> Callable[[Callable[[], Any]], Any]:
    return until


@pytest.fixture(scope="session")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], tuple[ssl.SSLContext, ssl.SSLContext]]:
    """``server, client = contexts()``: two that trust each other, for ``localhost``."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    cert = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(1))
        .not_valid_after(now + datetime.timedelta(1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
        .add_extension(x509.BasicConstraints(True, None), True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(cert.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )

    def make() -> tuple[ssl.SSLContext, ssl.SSLContext]:
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(folder / "cert.pem", folder / "key.pem")
        return server, ssl.create_default_context(cafile=str(folder / "cert.pem"))

    return make
