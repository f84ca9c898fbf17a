"""A web server with TLS, whose authority is its own."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from storage.served import Site


class Secure(NamedTuple):
    site: Site
    mount: Path
    """A folder with the authority in ``cabundle.crt``, as it is mounted into a pod."""

    @property
    def trusting(self) -> dict[str, str]:
        return {"CA_BUNDLE_CONFIGMAP_NAME": "global-ca-bundle", "CA_BUNDLE_VOLUME_MOUNT_POINT": str(self.mount)}

    def url(self, path: str, host: str = "localhost") -> str:
        return f"https://{host}:{self.site.port}{path}"


def make_certificate(mount: Path) -> None:
    """Write a certificate for ``localhost`` and ``models.example``, its own authority, and its key into a folder."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority of a test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.DNSName("models.example")]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    (mount / "cabundle.crt").write_bytes(pem)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (mount / "server.pem").write_bytes(private + pem)


def secured(mount: Path) -> Secure:
    """A site that speaks TLS with the certificate in ``mount``."""
    site = Site()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(mount / "server.pem")
    site.server.socket = context.wrap_socket(
        site.server.socket, server_side=True, do_handshake_on_connect=False, suppress_ragged_eofs=True
    )
    return Secure(site, mount)
