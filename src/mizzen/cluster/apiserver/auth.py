"""Who is asking: a bearer token or a client certificate, checked against secrets this installation made for itself.

:func:`ensure_credentials` makes them once: an authority of our own, a certificate for the server, a random token for
the administrator. Whoever has passed may do everything; what RBAC will decide, it decides in the server's dispatch,
between :meth:`Authenticator.user` and the first look at what exists.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import json
import os
import secrets
import socket
import ssl
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from mizzen.errors import MizzenError
from mizzen.kube.errors import ApiError

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

_LIFETIME = timedelta(days=3650)
_RENEW_BEFORE = timedelta(days=30)
_NAMES = (
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
)
_ADDRESSES = ("127.0.0.1", "::1")

ADMIN = "mizzen-admin"
AUTHENTICATED = "system:authenticated"
UNAUTHENTICATED = "system:unauthenticated"


class CredentialsError(MizzenError):
    """The credentials on disk cannot be read or made."""


class User(msgspec.Struct, frozen=True):
    """Who is asking, and the groups that speak for them."""

    name: str
    groups: tuple[str, ...]


ANONYMOUS = User("system:anonymous", (UNAUTHENTICATED,))


class Credentials(msgspec.Struct, frozen=True):
    """Where the secrets of an installation lie, all of them readable by their owner alone."""

    directory: Path
    token: str

    @property
    def ca(self) -> Path:
        return self.directory / "ca.crt"

    @property
    def ca_key(self) -> Path:
        return self.directory / "ca.key"

    @property
    def certificate(self) -> Path:
        return self.directory / "server.crt"

    @property
    def key(self) -> Path:
        return self.directory / "server.key"

    def kubeconfig(self, url: str) -> str:
        """A kubeconfig for the server at ``url``, as YAML."""
        ca = base64.b64encode(self.ca.read_bytes()).decode()
        return (
            "apiVersion: v1\n"
            "kind: Config\n"
            "clusters:\n"
            "- name: mizzen\n"
            "  cluster:\n"
            f"    server: {json.dumps(url)}\n"
            f"    certificate-authority-data: {ca}\n"
            "contexts:\n"
            "- name: mizzen\n"
            "  context:\n"
            "    cluster: mizzen\n"
            "    user: mizzen-admin\n"
            "    namespace: default\n"
            "current-context: mizzen\n"
            "users:\n"
            "- name: mizzen-admin\n"
            "  user:\n"
            f"    token: {json.dumps(self.token)}\n"
        )

    def write_kubeconfig(self, path: Path, url: str) -> None:
        """Write the kubeconfig to ``path``, readable by the owner alone, in one step.

        On a full disk the one that is there is overwritten, which needs no room.
        """
        text = self.kubeconfig(url).encode()
        try:
            _write(path, text)
        except OSError:
            if not path.exists():
                raise
            with path.open("r+b") as file:
                file.write(text)
                file.truncate()


def ensure_credentials(directory: Path, names: Iterable[str] = ()) -> Credentials:
    """The credentials in ``directory``, made or renewed where they are absent, about to end, or too narrow.

    ``names`` are further host names and addresses that the server's certificate covers.

    Raises:
        CredentialsError: the directory cannot be used, or what lies in it cannot be read.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        token_file = directory / "token"
        if not token_file.exists():
            _write(token_file, secrets.token_urlsafe(32).encode())
        found = existing_credentials(directory)
        wanted = sorted({*_NAMES, *_ADDRESSES, socket.gethostname(), *names})
        _ensure_certificates(found, wanted)
    except (OSError, ValueError) as error:
        raise CredentialsError(f"{directory}: the credentials cannot be read or made: {error}") from error
    return found


def existing_credentials(directory: Path) -> Credentials:
    """The credentials that :func:`ensure_credentials` has made in ``directory``, without a look at the certificates.

    Raises:
        CredentialsError: there are none.
    """
    try:
        return Credentials(directory, (directory / "token").read_text().strip())
    except OSError as error:
        raise CredentialsError(f"{directory}: the credentials cannot be read: {error}") from error


def server_context(credentials: Credentials) -> ssl.SSLContext:
    """TLS as the server speaks it: its own certificate, and client certificates of its own authority if offered."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(credentials.certificate, credentials.key)
    context.load_verify_locations(credentials.ca)
    context.verify_mode = ssl.CERT_OPTIONAL
    context.set_alpn_protocols(["http/1.1"])
    return context


class Authenticator:
    """Tells who sent a request."""

    def __init__(self, credentials: Credentials) -> None:
        self._digest = hashlib.sha256(credentials.token.encode()).digest()
        self._admin = User(ADMIN, ("system:masters", AUTHENTICATED))

    def user(self, headers: Mapping[str, str], certificate: Mapping[str, Any] | None) -> User:
        """The user of a request; anonymous if it carries no credentials.

        Raises:
            ApiError: 401 for credentials that are not ours.
        """
        given = headers.get("Authorization", "")
        if given:
            scheme, _, token = given.partition(" ")
            digest = hashlib.sha256(token.strip().encode()).digest()
            # The digests have one length and are compared in constant time, so nothing leaks about the token.
            if scheme.lower() != "bearer" or not hmac.compare_digest(digest, self._digest):
                raise unauthorized()
            return self._admin
        if certificate:
            return _user_of(certificate)
        return ANONYMOUS


def unauthorized() -> ApiError:
    return ApiError(401, "Unauthorized", "Unauthorized")


def _user_of(certificate: Mapping[str, Any]) -> User:
    fields = [pair for part in certificate.get("subject", ()) for pair in part]
    name = next((value for key, value in fields if key == "commonName"), "")
    if not name:
        raise unauthorized()
    groups = [value for key, value in fields if key == "organizationName"]
    return User(name, (*groups, AUTHENTICATED))


def _ensure_certificates(found: Credentials, wanted: list[str]) -> None:
    # Imported here: it costs 20 ms and 10 MB, and a server that is given credentials never needs it.
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    if found.ca.exists() and found.ca_key.exists():
        authority = x509.load_pem_x509_certificate(found.ca.read_bytes())
        authority_key = load_pem_private_key(found.ca_key.read_bytes(), None)
    else:
        authority_key, authority = _new_authority()
        _write(found.ca_key, _pem_key(authority_key))
        _write(found.ca, _pem(authority))
        found.certificate.unlink(missing_ok=True)
    if found.certificate.exists() and found.key.exists():
        current = x509.load_pem_x509_certificate(found.certificate.read_bytes())
        covered = current.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        texts = {str(name.value) for name in covered}
        ends = current.not_valid_after_utc
        if set(wanted) <= texts and ends - datetime.now(UTC) > _RENEW_BEFORE and current.issuer == authority.subject:
            return
    key, certificate = _new_server(authority, authority_key, wanted)
    _write(found.key, _pem_key(key))
    _write(found.certificate, _pem(certificate))


def _new_authority() -> tuple[EllipticCurvePrivateKey, x509.Certificate]:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"mizzen-ca-{secrets.token_hex(4)}")])
    usage = x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        crl_sign=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    builder = (
        _builder(name, name, key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return key, builder.sign(key, hashes.SHA256())


def _new_server(
    authority: x509.Certificate, authority_key: Any, wanted: list[str]
) -> tuple[EllipticCurvePrivateKey, x509.Certificate]:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mizzen-apiserver")])
    issuer_key = authority.public_key()
    assert isinstance(issuer_key, ec.EllipticCurvePublicKey)
    builder = (
        _builder(name, authority.subject, key)
        .add_extension(x509.SubjectAlternativeName([_general_name(text) for text in wanted]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), critical=False)
    )
    return key, builder.sign(authority_key, hashes.SHA256())


def _builder(subject: x509.Name, issuer: x509.Name, key: EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    from cryptography import x509

    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # A little in the past, for clients whose clock is slow.
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + _LIFETIME)
    )


def _general_name(text: str) -> x509.GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def _pem(certificate: x509.Certificate) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    return certificate.public_bytes(Encoding.PEM)


def _pem_key(key: EllipticCurvePrivateKey) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _write(path: Path, data: bytes) -> None:
    """Replace a file in one step; it is never readable by others, not even for a moment."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
