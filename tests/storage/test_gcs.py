"""``gs://`` against an emulator of the service that others wrote, and against answers that a test decides."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from mizzen.storage import StorageError, Transfer, fetch, gcs
from storage.hub import served
from storage.served import Answer, Site, files_in, in_turn, send, tarball

MODEL = bytes(range(256)) * 300


@pytest.fixture(scope="module")
def emulator() -> Iterator[str]:
    pytest.importorskip("gcp_storage_emulator", reason="no gcp-storage-emulator")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "gcp_storage_emulator", "start", "--port", str(port), "--in-memory", "--quiet"]
    command += ["--host", "127.0.0.1", "--default-bucket", "models"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_for(url, process)
            for key, contents in {
                "iris/model.joblib": MODEL,
                "iris/package/__init__.py": b"",
                "iris/notes/mod\u00e8le un+deux.txt": b"words",
                "iris-old/model.joblib": b"old",
                "iris.txt": b"text",
                "archive/iris.tar.gz": tarball(("model.joblib", MODEL)),
            }.items():
                _upload(url, key, contents)
            yield url
        finally:
            process.kill()


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while True:
        assert process.poll() is None
        assert time.monotonic() < deadline
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.05)


def _upload(url: str, key: str, contents: bytes) -> None:
    parts = [
        b"--x\r\nContent-Type: application/json\r\n\r\n" + json.dumps({"name": key}).encode(),
        b"--x\r\nContent-Type: application/octet-stream\r\n\r\n" + contents,
        b"--x--",
    ]
    asked = urllib.request.Request(
        f"{url}/upload/storage/v1/b/models/o?uploadType=multipart",
        data=b"\r\n".join(parts),
        headers={"Content-Type": "multipart/related; boundary=x"},
    )
    urllib.request.urlopen(asked, timeout=10).close()


@pytest.fixture
def environ(emulator: str) -> dict[str, str]:
    return {"STORAGE_EMULATOR_HOST": emulator, "MIZZEN_MODEL_CACHE": ""}


def failure(uri: str, out: Path, environ: dict[str, str]) -> str:
    with pytest.raises(StorageError) as raised:
        fetch(uri, out, environ=environ)
    assert not out.exists() or not os.listdir(out)
    assert "S3cr3t" not in str(raised.value)
    return str(raised.value)


def test_folders_objects_and_archives(environ: dict[str, str], tmp_path: Path) -> None:
    fetch("gs://models/iris", tmp_path / "folder", environ=environ)
    assert files_in(tmp_path / "folder") == {
        "model.joblib": MODEL,
        "package/__init__.py": b"",
        "notes/modèle un+deux.txt": b"words",
    }
    fetch("gs://models/iris.txt", tmp_path / "object", environ=environ)
    assert files_in(tmp_path / "object") == {"iris.txt": b"text"}
    fetch("gs://models/archive", tmp_path / "archive", environ=environ)
    assert files_in(tmp_path / "archive") == {"model.joblib": MODEL}
    host = environ["STORAGE_EMULATOR_HOST"].removeprefix("http://")
    fetch("gs://models", tmp_path / "all", allow_patterns=["iris*"], environ=environ | {"STORAGE_EMULATOR_HOST": host})
    assert set(files_in(tmp_path / "all")) >= {"iris.txt", "iris-old/model.joblib"}


def test_a_second_start_downloads_nothing(environ: dict[str, str], tmp_path: Path) -> None:
    environ = environ | {"MIZZEN_MODEL_CACHE": str(tmp_path / "cache")}
    fetch("gs://models/iris", tmp_path / "one", environ=environ)
    seen: list[Transfer] = []
    assert fetch("gs://models/iris", tmp_path / "two", environ=environ, progress=seen.append).cached
    assert files_in(tmp_path / "one") == files_in(tmp_path / "two")
    assert seen == []


@pytest.mark.parametrize(
    ("uri", "changes", "expected"),
    [
        ("gs://nowhere/iris", {}, "GCS resource 'nowhere' not found."),
        ("gs://models/nothing", {}, "Failed to fetch model. No model found: there is no file in gs://models/nothing"),
        ("gs://", {}, "the address names no bucket: it is written gs://bucket/path"),
        (
            "gs://models/iris",
            {"STORAGE_EMULATOR_HOST": "127.0.0.1:1"},
            "Failed to connect to GCS endpoint '127.0.0.1:1': Connection refused (tried 3 times)",
        ),
    ],
)
def test_what_is_refused(
    environ: dict[str, str], tmp_path: Path, uri: str, changes: dict[str, str], expected: str
) -> None:
    assert expected in failure(uri, tmp_path / "out", environ | changes)


# The service itself, played by a site.


class Service:
    """Plays ``https://storage.googleapis.com`` with one object, for those who show ``token``, if there is one."""

    def __init__(self, site: Site, contents: bytes, **about: object) -> None:
        self.site = site
        self.token = ""
        self.about = {
            "name": "m.bin",
            "size": str(len(contents)),
            "generation": "7",
            "md5Hash": base64.b64encode(hashlib.md5(contents, usedforsecurity=False).digest()).decode(),
            **about,
        }
        self.media: Answer = served(contents)
        site.answers["/storage/v1/b/models/o"] = self._guarded(self._list)
        site.answers["/storage/v1/b/models/o/m.bin"] = self._guarded(self._object)
        site.answers["/download/storage/v1/b/models/o/m.bin"] = self._guarded(self._media)

    def _list(self, handler: BaseHTTPRequestHandler) -> None:
        send(json.dumps({"items": [self.about]}).encode(), kind="application/json")(handler)

    def _object(self, handler: BaseHTTPRequestHandler) -> None:
        send(json.dumps(self.about).encode(), kind="application/json")(handler)

    def _media(self, handler: BaseHTTPRequestHandler) -> None:
        self.media(handler)

    def _guarded(self, answer: Answer) -> Answer:
        def guarded(handler: BaseHTTPRequestHandler) -> None:
            if self.token and handler.headers.get("Authorization") != f"Bearer {self.token}":
                send(b'{"error": "S3cr3t"}', status=401 if "Authorization" in handler.headers else 403)(handler)
            else:
                answer(handler)

        return guarded


@pytest.fixture
def service(site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Service:
    monkeypatch.setattr(gcs, "_SERVICE", site.url(""))
    # No machine of Google's, and nobody logged in.
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    return Service(site, MODEL)


def key_file(site: Site, folder: Path) -> Path:
    """The key of a service account whose tokens come from the site."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    about = {"type": "service_account", "project_id": "p", "private_key_id": "S3cr3t", "private_key": pem}
    about |= {"client_email": "reader@p.iam.example", "client_id": "1", "token_uri": site.url("/token")}
    (folder / "key.json").write_text(json.dumps(about))
    return folder / "key.json"


def test_what_everybody_may_read_needs_no_credentials(service: Service, tmp_path: Path) -> None:
    fetch("gs://models/m.bin", tmp_path / "out", environ={"MIZZEN_MODEL_CACHE": ""})
    assert files_in(tmp_path / "out") == {"m.bin": MODEL}
    assert all("authorization" not in headers for _, headers in service.site.requests)


def test_a_service_account(service: Service, tmp_path: Path) -> None:
    pytest.importorskip("google.auth", reason="no google-auth: install mizzen[gcs]")
    service.token = "token-S3cr3t"
    granted = {"access_token": service.token, "expires_in": 3600, "token_type": "Bearer"}
    asked: list[dict[str, list[str]]] = []

    def grant(handler: BaseHTTPRequestHandler) -> None:
        asked.append(parse_qs(handler.rfile.read(int(handler.headers["Content-Length"])).decode()))
        send(json.dumps(granted).encode(), kind="application/json")(handler)

    service.site.posts["/token"] = grant
    file = key_file(service.site, tmp_path)
    environ = {"GOOGLE_APPLICATION_CREDENTIALS": str(file), "MIZZEN_MODEL_CACHE": ""}
    fetch("gs://models/m.bin", tmp_path / "out", environ=environ)
    assert files_in(tmp_path / "out") == {"m.bin": MODEL}
    claims = json.loads(base64.urlsafe_b64decode(asked[0]["assertion"][0].split(".")[1] + "=="))
    assert claims["scope"] == "https://www.googleapis.com/auth/devstorage.read_only"
    assert len(asked) == 1

    service.site.posts["/token"] = send(b'{"error": "invalid_grant", "error_description": "S3cr3t"}', status=400)
    message = failure("gs://models/m.bin", tmp_path / "no", environ)
    assert (
        "GCS authentication failed (the credentials were not accepted). Credentials are read from the file that"
        in message
    )

    granted["access_token"] = "of-somebody-else"
    service.site.posts["/token"] = grant
    assert "GCS authentication failed (the credentials were not acc" in failure(
        "gs://models/m.bin", tmp_path / "no", environ
    )


@pytest.mark.parametrize(
    ("contents", "expected"),
    [
        (None, "GCS authentication failed (there is no such file)"),
        ("S3cr3t", "GCS authentication failed (its file of credentials cannot be used)"),
        ('{"type": "S3cr3t"}', "GCS authentication failed (its file of credentials cannot be used)"),
        ('{"type": "service_account", "private_key": "S3cr3t"}', "its file of credentials cannot be used"),
    ],
)
def test_credentials_that_are_none(service: Service, tmp_path: Path, contents: str | None, expected: str) -> None:
    pytest.importorskip("google.auth", reason="no google-auth: install mizzen[gcs]")
    file = tmp_path / "key.json"
    if contents is not None:
        file.write_text(contents)
    environ = {"GOOGLE_APPLICATION_CREDENTIALS": str(file), "MIZZEN_MODEL_CACHE": ""}
    assert expected in failure("gs://models/m.bin", tmp_path / "out", environ)


def test_without_credentials_where_they_are_needed(service: Service, tmp_path: Path) -> None:
    service.token = "S3cr3t"
    message = failure("gs://models/m.bin", tmp_path / "out", {"MIZZEN_MODEL_CACHE": ""})
    assert "Access denied to GCS resource 'models'. Verify permissions. It was asked without credentials" in message


def test_without_the_library(service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mizzen.storage.extras._is_there", lambda module: False)
    fetch("gs://models/m.bin", tmp_path / "public", environ={"MIZZEN_MODEL_CACHE": ""})
    service.token = "S3cr3t"
    environ = {"GOOGLE_APPLICATION_CREDENTIALS": str(tmp_path / "key.json"), "MIZZEN_MODEL_CACHE": ""}
    message = failure("gs://models/m.bin", tmp_path / "out", environ)
    assert message.endswith(f"install with: {sys.executable} -m pip install 'mizzen[gcs]'")


@pytest.mark.parametrize("algorithm", ["md5Hash", "crc32c"])
def test_a_sum_that_differs(service: Service, tmp_path: Path, algorithm: str) -> None:
    if algorithm == "crc32c":
        checksum = pytest.importorskip("google_crc32c", reason="no google-crc32c: install mizzen[gcs]").Checksum
        del service.about["md5Hash"]
        service.about["crc32c"] = base64.b64encode(checksum(MODEL).digest()).decode()
    right, wrong = service.media, served(MODEL[:-1] + b"x")
    service.media = in_turn(wrong, right)
    fetch("gs://models/m.bin", tmp_path / "one", environ={"MIZZEN_MODEL_CACHE": ""})
    assert files_in(tmp_path / "one") == {"m.bin": MODEL}
    service.media = wrong
    message = failure("gs://models/m.bin", tmp_path / "two", {"MIZZEN_MODEL_CACHE": ""})
    assert f"m.bin has the {'md5' if algorithm == 'md5Hash' else algorithm} sum" in message


@pytest.mark.parametrize("transcoded", [True, False])
def test_an_object_that_is_kept_compressed(service: Service, tmp_path: Path, transcoded: bool) -> None:
    packed = gzip.compress(MODEL)
    service.about |= {"contentEncoding": "gzip", "size": str(len(packed)), "md5Hash": "AAAAAAAAAAAAAAAAAAAAAA=="}
    service.media = send(MODEL, length=-1) if transcoded else send(packed, Content_Encoding="gzip")
    fetch("gs://models/m.bin", tmp_path / "out", environ={"MIZZEN_MODEL_CACHE": ""})
    assert files_in(tmp_path / "out") == {"m.bin": MODEL}


def test_a_download_goes_on_where_it_broke_off(service: Service, tmp_path: Path) -> None:
    whole = service.media
    service.media = in_turn(send(MODEL[:1000], length=len(MODEL)), send(b"", status=503), whole)
    fetch("gs://models/m.bin", tmp_path / "out", environ={"MIZZEN_MODEL_CACHE": ""})
    assert files_in(tmp_path / "out") == {"m.bin": MODEL}
    asked = [(path, headers.get("range")) for path, headers in service.site.requests if path.startswith("/download")]
    assert [part for _, part in asked] == [None, "bytes=1000-76799", "bytes=1000-76799"]
    assert all(path.endswith("?alt=media&generation=7") for path, _ in asked)


def test_something_that_is_no_storage(service: Service, tmp_path: Path) -> None:
    service.site.answers["/storage/v1/b/models/o/m.bin"] = send(b"<html>")
    assert "GCS error: it does not answer in JSON" in failure("gs://models/m.bin", tmp_path / "out", {})
    service.site.answers["/storage/v1/b/models/o/m.bin"] = send(b"{}")
    assert "is STORAGE_EMULATOR_HOST right?" in failure(
        "gs://models/m.bin", tmp_path / "out", {"MIZZEN_MODEL_CACHE": ""}
    )
