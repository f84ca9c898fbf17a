"""A real port: streams, TLS, a taken port, and an end that comes soon whatever is open."""

from __future__ import annotations

import asyncio
import datetime
import socket
import ssl
import time
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from acm.rest.asking import PASSWORD, USER, V2
from acm.web.double import Double
from mizzen.acm.runtime.rest.app import app
from mizzen.acm.runtime.rest.serving import NotListening, serve
from mizzen.acm.runtime.rest.settings import Settings, Tls

SETTINGS = Settings(user=USER, password=PASSWORD)
OPEN = Settings(basic_auth=False)


async def begun(task: asyncio.Task[None], ports: list[int]) -> int:
    async with asyncio.timeout(20):
        while not ports:
            if task.done():
                task.result()
            await asyncio.sleep(0.01)
    return ports[0]


async def ended(task: asyncio.Task[None]) -> float:
    """How long it took."""
    at = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    return time.monotonic() - at


async def test_it_serves_until_it_is_cancelled_and_frees_its_port() -> None:
    ports: list[int] = []
    task = asyncio.create_task(serve(app(Double(), SETTINGS), "127.0.0.1", 0, listening=ports.append))
    port = await begun(task, ports)
    async with httpx.AsyncClient(auth=(USER, PASSWORD), trust_env=False) as asked:
        assert (await asked.get(f"http://127.0.0.1:{port}{V2}/participants")).status_code == 200
    await ended(task)
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind(("127.0.0.1", port))


async def test_events_are_told_and_do_not_keep_it_from_ending() -> None:
    double = Double()
    ports: list[int] = []
    task = asyncio.create_task(serve(app(double, OPEN), "127.0.0.1", 0, listening=ports.append))
    port = await begun(task, ports)
    async with httpx.AsyncClient(timeout=20, trust_env=False) as asked:
        async with asked.stream("GET", f"http://127.0.0.1:{port}/events") as stream:
            assert stream.headers["Content-Type"].startswith("text/event-stream")
            lines = stream.aiter_lines()
            assert await anext(lines) == "retry: 1000"
            double.tell("instance", "abc")
            async for line in lines:
                if line.startswith("data: instance"):
                    break
            assert line == "data: instance instance:abc"
            took = await ended(task)
            assert [line async for line in lines if line.startswith("data: i")] == []
    assert double._queues == set(), "nobody listens any more"
    assert took < 15


async def test_a_reader_who_leaves_is_forgotten() -> None:
    double = Double()
    ports: list[int] = []
    task = asyncio.create_task(serve(app(double, OPEN), "127.0.0.1", 0, listening=ports.append))
    port = await begun(task, ports)
    async with httpx.AsyncClient(timeout=20, trust_env=False) as asked:
        async with asked.stream("GET", f"http://127.0.0.1:{port}/events") as stream:
            assert await anext(stream.aiter_lines())
    async with asyncio.timeout(20):
        while double._queues:
            await asyncio.sleep(0.01)
    await ended(task)


async def test_a_port_that_is_taken_is_told() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(NotListening, match=f"Port {port} of 127.0.0.1 cannot be had"):
            await serve(app(Double(), OPEN), "127.0.0.1", port)


@pytest.fixture
def tls(tmp_path: Path) -> Tls:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (tmp_path / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (tmp_path / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return Tls(str(tmp_path / "cert.pem"), str(tmp_path / "key.pem"))


async def test_tls_and_a_cookie_that_only_goes_over_it(tls: Tls) -> None:
    ports: list[int] = []
    task = asyncio.create_task(serve(app(Double(), SETTINGS), "127.0.0.1", 0, tls, listening=ports.append))
    port = await begun(task, ports)
    context = ssl.create_default_context(cafile=tls.certificate)
    async with httpx.AsyncClient(verify=context, trust_env=False) as asked:
        answer = await asked.get(f"https://localhost:{port}{V2}/participants", auth=(USER, PASSWORD))
        assert answer.status_code == 200
        door = await asked.get(f"https://localhost:{port}/sign-in")
        assert "; secure" in door.headers["Set-Cookie"].lower()
    await ended(task)


async def test_a_certificate_that_is_none_is_told(tls: Tls, tmp_path: Path) -> None:
    (tmp_path / "broken.pem").write_text("nothing")
    with pytest.raises(NotListening, match="certificate cannot be used"):
        await serve(app(Double(), OPEN), "127.0.0.1", 0, Tls(str(tmp_path / "broken.pem"), tls.key))
    with pytest.raises(NotListening, match="certificate cannot be used"):
        await serve(app(Double(), OPEN), "127.0.0.1", 0, Tls(str(tmp_path / "absent.pem")))
