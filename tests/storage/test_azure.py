from __future__ import annotations

import json
import os
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from mizzen.storage import StorageError, Transfer, fetch
from storage.blobs import KEY, Blobs, refuse
from storage.secure import Secure
from storage.served import Answer, Site, files_in, send, tarball

pytest.importorskip("azure.storage.blob", reason="no azure-storage-blob: install mizzen[azure]")
pytest.importorskip("azure.identity", reason="no azure-identity: install mizzen[azure]")

MODEL = bytes(range(256)) * 300
URI = "https://acme.blob.core.windows.net/models/iris"


@pytest.fixture
def blobs(site: Site) -> Blobs:
    blobs = Blobs(site, "acme")
    blobs.containers["models"] = {
        "iris/model.joblib": MODEL,
        "iris/package/__init__.py": b"",
        "iris/package": b"",
        "iris/notes/mod\u00e8le un+deux.txt": b"words",
        "iris-old/model.joblib": b"old",
        "iris.txt": b"text",
        "archive/iris.tar.gz": tarball(("model.joblib", MODEL)),
    }
    blobs.metadata["iris/package"] = {"hdi_isfolder": "true"}
    return blobs


@pytest.fixture
def environ(blobs: Blobs) -> dict[str, str]:
    return {"AZURE_STORAGE_CONNECTION_STRING": blobs.connection, "MIZZEN_MODEL_CACHE": ""}


def failure(uri: str, out: Path, environ: dict[str, str]) -> str:
    with pytest.raises(StorageError) as raised:
        fetch(uri, out, environ=environ)
    assert not out.exists() or not os.listdir(out)
    assert "S3cr3t" not in str(raised.value)
    assert KEY not in str(raised.value)
    return str(raised.value)


def test_folders_blobs_and_archives(blobs: Blobs, environ: dict[str, str], tmp_path: Path) -> None:
    for number, uri in enumerate((URI, f"{URI}/", f"{blobs.endpoint}/models/iris")):
        fetch(uri, tmp_path / str(number), environ=environ)
        assert files_in(tmp_path / str(number)) == {
            "model.joblib": MODEL,
            "package/__init__.py": b"",
            "notes/modèle un+deux.txt": b"words",
        }
    fetch(f"{URI}.txt", tmp_path / "blob", environ=environ)
    assert files_in(tmp_path / "blob") == {"iris.txt": b"text"}
    fetch(f"{URI}/notes/mod%C3%A8le%20un+deux.txt", tmp_path / "escaped", environ=environ)
    assert files_in(tmp_path / "escaped") == {"modèle un+deux.txt": b"words"}
    fetch("https://acme.blob.core.windows.net/models/archive", tmp_path / "archive", environ=environ)
    assert files_in(tmp_path / "archive") == {"model.joblib": MODEL}


def test_a_second_start_downloads_nothing(blobs: Blobs, environ: dict[str, str], tmp_path: Path) -> None:
    environ = environ | {"MIZZEN_MODEL_CACHE": str(tmp_path / "cache")}
    fetch(URI, tmp_path / "one", environ=environ)
    read = len(blobs.ranges)
    seen: list[Transfer] = []
    assert fetch(URI, tmp_path / "two", environ=environ, progress=seen.append).cached
    assert files_in(tmp_path / "one") == files_in(tmp_path / "two")
    assert len(blobs.ranges) == read
    assert seen == []


@pytest.mark.parametrize("way", ["key", "signature in the address", "signature in the string", "open"])
def test_ways_to_be_let_in(site: Site, tmp_path: Path, way: str) -> None:
    blobs = Blobs(site, "devstoreaccount1")
    blobs.containers["models"] = {"m.bin": MODEL}
    blobs.signature = "S3cr3t/+="
    uri, environ = f"{blobs.endpoint}/models/m.bin", {"MIZZEN_MODEL_CACHE": ""}
    match way:
        case "key":
            environ["AZURE_STORAGE_ACCESS_KEY"] = KEY
        case "signature in the address":
            uri += "?sv=2022-11-02&sig=S3cr3t%2F%2B%3D"
        case "signature in the string":
            environ["AZURE_STORAGE_CONNECTION_STRING"] = (
                f"BlobEndpoint={blobs.endpoint};AccountName={blobs.account};SharedAccessSignature=sv=2022&sig=S3cr3t%2F%2B%3D"
            )
        case _:
            uri = uri.replace("devstoreaccount1", "acme")
            environ["AZURE_STORAGE_CONNECTION_STRING"] = f"AccountName=acme;BlobEndpoint={site.url('/acme')}"
            blobs.account = "acme"
            blobs.open.add("models")
    fetch(uri, tmp_path, environ=environ)
    assert files_in(tmp_path) == {"m.bin": MODEL}


def test_azurite_needs_no_variable(site: Site, tmp_path: Path) -> None:
    key = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
    blobs = Blobs(site, "devstoreaccount1", key)
    blobs.containers["models"] = {"iris/m.bin": MODEL}
    fetch(f"{blobs.endpoint}/models/iris", tmp_path, environ={"MIZZEN_MODEL_CACHE": ""})
    assert files_in(tmp_path) == {"m.bin": MODEL}


@pytest.mark.parametrize("prefix", ["AZ", "AZURE"])
def test_a_service_principal(secure: Secure, tmp_path: Path, prefix: str) -> None:
    blobs = Blobs(secure.site, "acme")
    blobs.containers["models"] = {"m.bin": MODEL}
    blobs.token = "token-S3cr3t"
    authority = secure.url("")
    endpoints = {"token_endpoint": f"{authority}/tenant/token", "authorization_endpoint": f"{authority}/tenant/auth"}
    configuration = json.dumps({**endpoints, "issuer": f"{authority}/tenant/v2.0"}).encode()
    secure.site.answers["/tenant/v2.0/.well-known/openid-configuration"] = send(configuration, kind="application/json")
    asked: list[dict[str, list[str]]] = []

    def grant(handler: BaseHTTPRequestHandler) -> None:
        asked.append(parse_qs(handler.rfile.read(int(handler.headers["Content-Length"])).decode()))
        if asked[-1]["client_secret"] != ["client-S3cr3t"]:
            send(b'{"error": "invalid_client", "error_description": "S3cr3t"}', status=401)(handler)
            return
        granted = {"access_token": blobs.token, "expires_in": 3600, "token_type": "Bearer"}
        send(json.dumps(granted).encode(), kind="application/json")(handler)

    secure.site.posts["/tenant/token"] = grant
    environ = {
        **secure.trusting,
        "AZURE_STORAGE_CONNECTION_STRING": f"AccountName=acme;BlobEndpoint={secure.url('/acme')}",
        "AZURE_AUTHORITY_HOST": authority,
        f"{prefix}_TENANT_ID": "tenant",
        f"{prefix}_CLIENT_ID": "client",
        f"{prefix}_CLIENT_SECRET": "client-S3cr3t",
        "MIZZEN_MODEL_CACHE": "",
    }
    fetch("https://acme.blob.core.windows.net/models/m.bin", tmp_path / "out", environ=environ)
    assert files_in(tmp_path / "out") == {"m.bin": MODEL}
    assert asked[0]["scope"] == ["https://storage.azure.com/.default"]
    environ[f"{prefix}_CLIENT_SECRET"] = "wrong-S3cr3t"
    message = failure("https://acme.blob.core.windows.net/models/m.bin", tmp_path / "no", environ)
    assert "Azure authentication failed (the service principal was not accepted). Credentials are read from" in message


@pytest.mark.parametrize(
    ("uri", "changes", "expected"),
    [
        (URI, {"key": "d3Jvbmc="}, "Azure authentication failed (AuthenticationFailed). Credentials are read from"),
        (
            URI,
            {"anonymous": "yes"},
            "Azure resource 'models' not found. It was asked for without credentials",
        ),
        (URI.replace("models", "nothing"), {}, "Azure resource 'nothing' not found."),
        (f"{URI}/nothing", {}, "No model found: there is no file in models/iris/nothing"),
        (
            "https://acme.blob.core.windows.net/",
            {},
            "the address names no container: it is written https://ACCOUNT.blob",
        ),
        (URI, {"endpoint": "http://127.0.0.1:1/acme"}, "Failed to connect to Azure endpoint 'http://127.0.0.1:1/acme'"),
        (
            URI,
            {"AZURE_MAX_FILE_CONCURRENCY": "many"},
            "AZURE_MAX_FILE_CONCURRENCY must be a whole number above 0, not 'many'",
        ),
        (URI, {"key": "!"}, "Azure"),
    ],
)
def test_what_is_refused(
    blobs: Blobs, environ: dict[str, str], tmp_path: Path, uri: str, changes: dict[str, str], expected: str
) -> None:
    key = changes.pop("key", blobs.key)
    endpoint = changes.pop("endpoint", blobs.endpoint)
    shown = "" if changes.pop("anonymous", "") else f"AccountKey={key};"
    environ["AZURE_STORAGE_CONNECTION_STRING"] = f"AccountName=acme;{shown}BlobEndpoint={endpoint}"
    message = failure(uri, tmp_path / "out", environ | changes)
    assert expected in message


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([refuse(503, "ServerBusy")], None),
        ([refuse(503, "ServerBusy")] * 3, "Azure is not available just now (status 503 ServerBusy) (tried 3 times)"),
        ([refuse(403, "AuthorizationPermissionMismatch")], "Access denied to Azure resource 'models/iris.txt'. Verify"),
        ([refuse(404, "BlobNotFound")], "Azure resource 'models/iris.txt' not found."),
        ([refuse(409, "BlobArchived")], "Azure error: 409 BlobArchived"),
    ],
)
def test_what_the_service_answers(
    blobs: Blobs, environ: dict[str, str], tmp_path: Path, answers: list[Answer], expected: str | None
) -> None:
    blobs.answers = list(answers)
    if expected is None:
        fetch(f"{URI}.txt", tmp_path / "out", environ=environ)
        assert files_in(tmp_path / "out") == {"iris.txt": b"text"}
    else:
        assert expected in failure(f"{URI}.txt", tmp_path / "out", environ)


def test_a_download_goes_on_where_it_broke_off(
    blobs: Blobs, environ: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mizzen.storage.azure._CHUNK", 10_000)
    unharmed = blobs.answer

    def cut(handler: BaseHTTPRequestHandler) -> None:
        handler.connection.close()

    def from_now_on(handler: BaseHTTPRequestHandler) -> None:
        if len(blobs.ranges) == 3:
            blobs.answers = [cut]
        unharmed(handler)

    blobs.site.otherwise = from_now_on
    fetch(f"{URI}/model.joblib", tmp_path, environ=environ)
    assert files_in(tmp_path) == {"model.joblib": MODEL}
    starts = [int(part.removeprefix("bytes=").partition("-")[0]) for part in blobs.ranges if part]
    assert sorted(set(starts)) == list(range(0, len(MODEL), 10_000))


def test_a_blob_that_changes_on_the_way(
    blobs: Blobs, environ: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mizzen.storage.azure._CHUNK", 10_000)
    unharmed = blobs.answer

    def changing(handler: BaseHTTPRequestHandler) -> None:
        if len(blobs.ranges) == 2:
            blobs.containers["models"]["iris/model.joblib"] = MODEL[::-1]
        unharmed(handler)

    blobs.site.otherwise = changing
    fetch(f"{URI}/model.joblib", tmp_path, environ=environ)
    assert files_in(tmp_path) == {"model.joblib": MODEL[::-1]}


def test_a_sum_that_differs(blobs: Blobs, environ: dict[str, str], tmp_path: Path) -> None:
    blobs.hashes["iris.txt"] = "AAAAAAAAAAAAAAAAAAAAAA=="
    message = failure(f"{URI}.txt", tmp_path / "out", environ)
    assert "iris.txt has the md5 sum 1cb251ec0d568de6a929b520c4aed8d1, and the service promised 000000000000" in message


def test_without_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mizzen.storage.extras._is_there", lambda module: False)
    message = failure(URI, tmp_path / "out", {})
    assert "Azure Blob Storage needs azure-storage-blob and azure-identity, which are not installed for" in message
    assert message.endswith("-m pip install 'mizzen[azure]'")
