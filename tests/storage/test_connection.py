"""TLS with an authority of our own, and proxies of both kinds."""

from __future__ import annotations

import select
import socket
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from mizzen.storage import StorageError, fetch
from storage.secure import Secure
from storage.served import Site, files_in, send


def failure(uri: str, out: Path, environ: dict[str, str]) -> str:
    with pytest.raises(StorageError) as raised:
        fetch(uri, out, environ=environ)
    return str(raised.value)


@pytest.mark.parametrize("variable", ["CA_BUNDLE_VOLUME_MOUNT_POINT", "REQUESTS_CA_BUNDLE"])
def test_an_authority_of_ones_own(secure: Secure, tmp_path: Path, variable: str) -> None:
    environ = secure.trusting if variable.startswith("CA") else {variable: str(secure.mount / "cabundle.crt")}
    assert files_in(fetch(secure.url("/m.bin"), tmp_path, environ=environ).path) == {"m.bin": b"model"}


def test_a_certificate_that_nobody_vouches_for(secure: Secure, tmp_path: Path) -> None:
    message = failure(secure.url("/m.bin"), tmp_path / "out", {})
    assert (
        f"Failed to connect to HTTP endpoint 'localhost:{secure.site.port}': its certificate is not trusted" in message
    )
    assert "CA_BUNDLE_CONFIGMAP_NAME" in message
    assert secure.site.requests == []


def test_a_certificate_for_another_host(secure: Secure, tmp_path: Path) -> None:
    message = failure(secure.url("/m.bin", "127.0.0.1"), tmp_path / "out", secure.trusting)
    assert "IP address mismatch" in message


@pytest.mark.parametrize(
    ("contents", "expected"), [(None, "No such file or directory"), (b"words", "it is no PEM file")]
)
def test_a_bundle_that_is_none(secure: Secure, tmp_path: Path, contents: bytes | None, expected: str) -> None:
    if contents is not None:
        (tmp_path / "cabundle.crt").write_bytes(contents)
    message = failure(secure.url("/m.bin"), tmp_path / "out", {"CA_BUNDLE_VOLUME_MOUNT_POINT": str(tmp_path)})
    assert (
        f"cannot read the authorities in {tmp_path}/cabundle.crt, set by CA_BUNDLE_VOLUME_MOUNT_POINT: {expected}"
        in message
    )


def test_https_to_a_server_without_it(site: Site, tmp_path: Path) -> None:
    message = failure(site.url("/m.bin").replace("http", "https"), tmp_path / "out", {})
    assert "TLS failed" in message or "ended the TLS handshake" in message


def test_credentials_are_not_sent_from_https_down_to_http(secure: Secure, site: Site, tmp_path: Path) -> None:
    secure.site.answers["/m.bin"] = send(b"", status=302, Location=site.url("/m.bin", "localhost"))
    site.answers["/m.bin"] = send(b"model")
    environ = secure.trusting | {"localhost-headers": '{"Authorization": "Bearer S3cr3t"}'}
    fetch(secure.url("/m.bin"), tmp_path, environ=environ)
    assert secure.site.requests[0][1]["authorization"] == "Bearer S3cr3t"
    assert "authorization" not in site.requests[0][1]


def test_a_proxy_for_http_is_asked_for_the_whole_address(site: Site, tmp_path: Path) -> None:
    site.answers["http://models.example/a/m.bin"] = send(b"model")
    environ = {"http_proxy": f"http://me:S3cr3t@127.0.0.1:{site.port}", "models.example-headers": '{"X-Key": "k"}'}
    fetch("http://user:word@models.example/a/m.bin?v=1", tmp_path, environ=environ)
    path, headers = site.requests[0]
    assert path == "http://models.example/a/m.bin?v=1"
    assert headers["proxy-authorization"] == "Basic bWU6UzNjcjN0"
    assert headers["authorization"] == "Basic dXNlcjp3b3Jk"
    assert headers["x-key"] == "k"
    assert headers["host"] == "models.example"


def test_a_proxy_for_https_is_a_tunnel(secure: Secure, site: Site, tmp_path: Path) -> None:
    def tunnel(handler: BaseHTTPRequestHandler) -> None:
        with socket.create_connection(("127.0.0.1", secure.site.port)) as server:
            handler.send_response(200)
            handler.end_headers()
            ends = [handler.connection, server]
            while True:
                for end in select.select(ends, [], [], 10)[0]:
                    if not (data := end.recv(65536)):
                        return
                    ends[end is handler.connection].sendall(data)

    site.answers["CONNECT"] = tunnel
    environ = secure.trusting | {
        "https_proxy": f"http://me:S3cr3t@127.0.0.1:{site.port}",
        "models.example-headers": '{"X-Key": "k"}',
    }
    fetch("https://models.example/m.bin", tmp_path, environ=environ)
    assert files_in(tmp_path) == {"m.bin": b"model"}
    assert site.requests[0][0] == "models.example:443"
    assert site.requests[0][1]["proxy-authorization"] == "Basic bWU6UzNjcjN0"
    assert "x-key" not in site.requests[0][1]
    assert secure.site.requests[0][1]["x-key"] == "k"
    assert "proxy-authorization" not in secure.site.requests[0][1]


def test_a_proxy_that_refuses(site: Site, tmp_path: Path) -> None:
    site.answers["CONNECT"] = send(b"", status=407)
    environ = {"https_proxy": f"http://me:S3cr3t@127.0.0.1:{site.port}"}
    message = failure("https://models.example/m.bin", tmp_path / "out", environ)
    assert f"'models.example:443' (through the proxy http://***@127.0.0.1:{site.port})" in message
    assert "Tunnel connection failed: 407" in message
