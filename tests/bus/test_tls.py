"""TLS, spoken through a relay in front of the embedded broker, which has none of its own."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import socket
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bus.listening import Heard, running, until
from mizzen.bus import Broker, Bus, BusError, BusSettings, of_java


class Authority:
    """A certificate authority in a folder: its certificate, and those that it signs for 127.0.0.1."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = self._signed(self._name, self._key, x509.BasicConstraints(ca=True, path_length=None))
        self.certificate = folder / f"{name}.pem"
        self.certificate.write_bytes(certificate)

    def pair(self, name: str) -> Path:
        """A file with a key and its certificate."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        secret = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        path = self._folder / f"{name}-pair.pem"
        path.write_bytes(secret + self._signed(subject, key, address))
        return path

    def _signed(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, extension: x509.ExtensionType) -> bytes:
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(extension, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return certificate.public_bytes(serialization.Encoding.PEM)


@contextlib.asynccontextmanager
async def secured(authority: Authority, *, clients: Authority | None = None) -> AsyncIterator[str]:
    """The address of a broker that speaks TLS, and asks for certificates of ``clients`` if there are any."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(authority.pair("broker"))
    if clients is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(clients.certificate)
    listening = socket.create_server(("127.0.0.1", 0))
    address = f"127.0.0.1:{listening.getsockname()[1]}"
    async with Broker(advertised=address) as broker, Relay(broker.address) as relay:
        server = await asyncio.start_server(relay.serve, sock=listening, ssl=context)
        try:
            yield address
        finally:
            server.close()


class Relay:
    """Carries bytes between TLS connections and a plain address until it is left."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._carrying: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Relay:
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._carrying:
            task.cancel()
        await asyncio.gather(*self._carrying, return_exceptions=True)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, _, port = self._address.partition(":")
        inner_reader, inner_writer = await asyncio.open_connection(host, int(port))
        for source, target in ((reader, inner_writer), (inner_reader, writer)):
            task = asyncio.create_task(carry(source, target))
            self._carrying.add(task)
            task.add_done_callback(self._carrying.discard)


async def carry(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while chunk := await source.read(65536):
            target.write(chunk)
            await target.drain()
    target.close()


def trusting(address: str, authority: Authority, **more: str) -> BusSettings:
    properties = {"security.protocol": "SSL", "ssl.ca.location": str(authority.certificate)} | more
    return BusSettings(address, properties=properties, quick=True, send_timeout=3.0)


async def test_a_broker_whose_authority_is_known_is_spoken_to(tmp_path: Path) -> None:
    ours = Authority(tmp_path, "ours")
    async with secured(ours) as address, Bus(trusting(address, ours)) as bus:
        await bus.ensure_topics(["operations", "sync"])
        operations, sync = Heard(), Heard()
        listeners = [bus.group(["operations"], "readers", operations), bus.tail(["sync"], sync, group="readers-1")]
        async with running(*listeners):
            await bus.send("operations", b"1")
            await bus.send("sync", b"2")
            await operations.count(1)
            await sync.count(1)


async def test_a_broker_of_another_authority_is_told_once_and_in_words(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "mizzen.bus")
    ours, theirs = Authority(tmp_path, "ours"), Authority(tmp_path, "theirs")
    async with secured(ours) as address, Bus(trusting(address, theirs)) as bus:
        async with running(bus.group(["operations"], "readers", Heard()), wait=False):
            sentence = (
                f"the Kafka broker at {address} cannot be reached: its certificate is not signed by an authority "
                "that is trusted here; name the right one with ssl.ca.location"
            )
            await until(lambda: caplog.records)
            assert await bus.check(1.0) == sentence
            with pytest.raises(BusError, match=r"its certificate is not signed .*\(tried for 3 s\)"):
                await bus.send("operations", b"x")
    assert [record.getMessage() for record in caplog.records] == [f"{sentence}; trying on"]


async def test_a_broker_that_wants_a_certificate_of_the_client_gets_it(tmp_path: Path) -> None:
    """The properties are those of a Java client."""
    ours, clients = Authority(tmp_path, "ours"), Authority(tmp_path, "clients")
    java = {
        "security.protocol": "SSL",
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(ours.certificate),
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(clients.pair("client")),
    }
    properties, warnings = of_java(java)
    assert warnings == []
    async with secured(ours, clients=clients) as address:
        async with Bus(BusSettings(address, properties=properties, quick=True)) as bus:
            await bus.ensure_topics(["operations"])
            await bus.send("operations", b"x")
        async with Bus(trusting(address, ours)) as bus:
            assert await bus.check(2.0) is not None
