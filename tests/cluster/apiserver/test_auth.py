"""Credentials are made once, kept to their owner, and nobody gets in without them."""

from __future__ import annotations

import asyncio
import base64
import os
import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from api_client import DEFAULT, Api, config_map
from apiserver_fixture import Server, serving
from mizzen.cluster.apiserver.auth import CredentialsError, ensure_credentials

MAPS = f"{DEFAULT}/configmaps"


def test_credentials_are_made_once_and_kept_to_their_owner(tmp_path: Path) -> None:
    first = ensure_credentials(tmp_path / "pki")
    files = {path.name: path.read_bytes() for path in (tmp_path / "pki").iterdir()}
    assert set(files) == {"ca.crt", "ca.key", "server.crt", "server.key", "token"}
    for path in (tmp_path / "pki").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert stat.S_IMODE((tmp_path / "pki").stat().st_mode) == 0o700
    again = ensure_credentials(tmp_path / "pki")
    assert again == first
    assert files == {path.name: path.read_bytes() for path in (tmp_path / "pki").iterdir()}
    assert ensure_credentials(tmp_path / "other").token != first.token
    assert len(first.token) >= 40


def names_in(path: Path) -> set[str]:
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {str(name.value) for name in found}


def test_the_server_certificate_covers_what_clients_call_it(tmp_path: Path) -> None:
    first = ensure_credentials(tmp_path)
    assert {"127.0.0.1", "::1", "localhost", "kubernetes.default.svc"} <= names_in(first.certificate)
    authority = first.ca.read_bytes()
    wider = ensure_credentials(tmp_path, ["127.40.0.1", "mizzen.local"])
    assert {"127.40.0.1", "mizzen.local"} <= names_in(wider.certificate)
    assert wider.ca.read_bytes() == authority
    made = wider.certificate.read_bytes()
    assert ensure_credentials(tmp_path, ["mizzen.local"]).certificate.read_bytes() == made


def test_a_certificate_that_is_about_to_end_is_renewed(tmp_path: Path) -> None:
    found = ensure_credentials(tmp_path)
    key = serialization.load_pem_private_key(found.ca_key.read_bytes(), None)
    old = x509.load_pem_x509_certificate(found.certificate.read_bytes())
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    builder = x509.CertificateBuilder(
        old.issuer, old.subject, old.public_key(), x509.random_serial_number(), extensions=list(old.extensions)
    )
    now = datetime.now(UTC)
    ending = builder.not_valid_before(now).not_valid_after(now + timedelta(days=3)).sign(key, hashes.SHA256())
    found.certificate.write_bytes(ending.public_bytes(serialization.Encoding.PEM))
    ensure_credentials(tmp_path)
    renewed = x509.load_pem_x509_certificate(found.certificate.read_bytes())
    assert renewed.not_valid_after_utc - now > timedelta(days=300)


def test_credentials_that_cannot_be_read_are_said_plainly(tmp_path: Path) -> None:
    found = ensure_credentials(tmp_path)
    found.ca_key.write_text("no key")
    with pytest.raises(CredentialsError, match=str(tmp_path)):
        ensure_credentials(tmp_path)


def test_the_kubeconfig_is_complete_and_private(tmp_path: Path) -> None:
    found = ensure_credentials(tmp_path / "pki")
    path = tmp_path / "kubeconfig"
    path.write_text("old")
    path.chmod(0o644)
    found.write_kubeconfig(path, "https://127.0.0.1:6443")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) and {entry.name for entry in tmp_path.iterdir()} == {"pki", "kubeconfig"}
    config = yaml.safe_load(path.read_text())
    cluster = config["clusters"][0]["cluster"]
    assert cluster["server"] == "https://127.0.0.1:6443"
    assert base64.b64decode(cluster["certificate-authority-data"]) == found.ca.read_bytes()
    assert config["users"][0]["user"]["token"] == found.token
    assert config["current-context"] == config["contexts"][0]["name"]


@pytest.mark.parametrize("header", [None, "Bearer wrong", "Bearer ", "Basic dXNlcjpwYXNz", "Bearer x y"])
@pytest.mark.parametrize("path", ["/api", "/api/v1/namespaces", "/apis/apps/v1/deployments", "/openapi/v3", "/nowhere"])
async def test_without_a_token_there_is_nothing_to_see(server: Server, header: str | None, path: str) -> None:
    connector = aiohttp.TCPConnector(ssl=server.ssl_context())
    async with aiohttp.ClientSession(server.url, connector=connector) as session:
        answer = await Api(session).get(path, **({"Authorization": header} if header else {}))
    assert (answer.code, answer.reason, answer.message) == (401, "Unauthorized", "Unauthorized")
    assert answer.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    "path", ["/healthz", "/livez", "/readyz", "/readyz?verbose", "/readyz/ping", "/version", "/version/"]
)
async def test_health_and_version_are_open(server: Server, path: str) -> None:
    connector = aiohttp.TCPConnector(ssl=server.ssl_context())
    async with aiohttp.ClientSession(server.url, connector=connector) as session:
        answer = await Api(session).get(path)
        assert answer.code == 200
        # But not to somebody who claims to be somebody.
        assert (await Api(session).get(path, Authorization="Bearer wrong")).code == 401
    if "version" in path:
        assert (answer["major"], answer["minor"]) == ("1", "33")
        assert answer["gitVersion"].startswith("v1.33.")
    else:
        assert answer.text == "ok"


def client_certificate(directory: Path, authority: Path, key: Path, name: str) -> ssl.SSLContext:
    """A TLS context with a certificate that the authority has signed for ``name``."""
    issuer = x509.load_pem_x509_certificate(authority.read_bytes())
    issuer_key = serialization.load_pem_private_key(key.read_bytes(), None)
    assert isinstance(issuer_key, ec.EllipticCurvePrivateKey)
    own = ec.generate_private_key(ec.SECP256R1())
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "system:masters")]
    if name:
        attributes.append(x509.NameAttribute(NameOID.COMMON_NAME, name))
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(x509.Name(attributes))
        .issuer_name(issuer.subject)
        .public_key(own.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(hours=1))
        .sign(issuer_key, hashes.SHA256())
    )
    file = directory / f"client-{name or 'nameless'}.pem"
    file.write_bytes(
        own.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + made.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.create_default_context()
    context.load_cert_chain(file)
    return context


async def test_a_client_certificate_of_our_authority_is_a_user(server: Server, tmp_path: Path) -> None:
    async def ask(context: ssl.SSLContext) -> int:
        context.load_verify_locations(server.ca)
        async with aiohttp.ClientSession(server.url, connector=aiohttp.TCPConnector(ssl=context)) as session:
            return (await Api(session).get("/api/v1/namespaces")).code

    ours = server.credentials
    assert await ask(client_certificate(tmp_path, ours.ca, ours.ca_key, "jane")) == 200
    assert await ask(client_certificate(tmp_path, ours.ca, ours.ca_key, "")) == 401
    strange = ensure_credentials(tmp_path / "strange")
    with pytest.raises(aiohttp.ClientError):
        await ask(client_certificate(tmp_path, strange.ca, strange.ca_key, "jane"))


async def test_a_token_outlives_the_server(tmp_path: Path) -> None:
    async with serving(tmp_path) as server, server.session() as session:
        await Api(session).create(MAPS, config_map("a"))
        token = server.token
    await asyncio.sleep(0)
    async with serving(tmp_path) as server, server.session() as session:
        assert server.token == token
        assert (await Api(session).get(f"{MAPS}/a")).ok()
