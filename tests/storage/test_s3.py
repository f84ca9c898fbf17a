"""``s3://`` against a real server of the protocol, and against one whose every answer a test decides."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from mizzen.storage import StorageError, Transfer, fetch
from mizzen.storage.parts import SEGMENT
from storage import weed
from storage.served import Answer, Site, files_in, send, tarball

boto3 = pytest.importorskip("boto3", reason="no boto3: install mizzen[s3]")

MODEL = bytes(range(256)) * 300


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with weed.running(tmp_path_factory.mktemp("weed")) as url:
        yield url


@pytest.fixture(scope="module")
def client(endpoint: str) -> Any:
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=weed.OWNER["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=weed.OWNER["AWS_SECRET_ACCESS_KEY"],
        verify=False,
    )
    for bucket in ("models", "public"):
        client.create_bucket(Bucket=bucket)
        for key, contents in {
            "iris/model.joblib": MODEL,
            "iris/package/__init__.py": b"",
            "iris/package/": b"",
            "iris/notes/mod\u00e8le un+deux.txt": b"words",
            "iris-old/model.joblib": b"old",
            "iris.txt": b"text",
            "archive/iris.tar.gz": tarball(("model.joblib", MODEL), ("README.md", b"words")),
        }.items():
            client.put_object(Bucket=bucket, Key=key, Body=contents)
    return client


@pytest.fixture
def owner(endpoint: str, client: Any) -> dict[str, str]:
    """The environment of somebody who may read everything."""
    return {**weed.OWNER, "AWS_ENDPOINT_URL": endpoint, "MIZZEN_MODEL_CACHE": ""}


def failure(uri: str, out: Path, environ: dict[str, str]) -> str:
    with pytest.raises(StorageError) as raised:
        fetch(uri, out, environ=environ)
    assert not out.exists() or not os.listdir(out)
    assert "S3cr3t" not in str(raised.value)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_a_folder_is_what_is_below_it_and_nothing_beside_it(owner: dict[str, str], tmp_path: Path) -> None:
    for uri in ("s3://models/iris", "s3://models/iris/"):
        out = tmp_path / uri.replace("/", "-")
        fetched = fetch(uri, out, environ=owner)
        assert files_in(out) == {
            "model.joblib": MODEL,
            "package/__init__.py": b"",
            "notes/modèle un+deux.txt": b"words",
        }
        assert (fetched.files, fetched.bytes) == (3, len(MODEL) + 5)


def test_one_object(owner: dict[str, str], tmp_path: Path) -> None:
    fetch("s3://models/iris.txt", tmp_path / "one", environ=owner)
    assert files_in(tmp_path / "one") == {"iris.txt": b"text"}
    fetch("s3://models/iris/model.joblib", tmp_path / "two", environ=owner)
    assert files_in(tmp_path / "two") == {"model.joblib": MODEL}


def test_a_whole_bucket(owner: dict[str, str], tmp_path: Path) -> None:
    assert fetch("s3://models", tmp_path, environ=owner).files == 6
    assert files_in(tmp_path)["iris/model.joblib"] == MODEL


@pytest.mark.parametrize("uri", ["s3://models/archive", "s3://models/archive/iris.tar.gz"])
def test_an_archive_that_is_alone_is_unpacked(owner: dict[str, str], tmp_path: Path, uri: str) -> None:
    fetch(uri, tmp_path / "whole", environ=owner)
    assert files_in(tmp_path / "whole") == {"model.joblib": MODEL, "README.md": b"words"}
    fetch(uri, tmp_path / "part", ignore_patterns=["*.md"], environ=owner)
    assert files_in(tmp_path / "part") == {"model.joblib": MODEL}


def test_patterns_choose_files(owner: dict[str, str], tmp_path: Path) -> None:
    fetch("s3://models/iris", tmp_path, allow_patterns=["*.py", "*.txt"], ignore_patterns=["notes/*"], environ=owner)
    assert files_in(tmp_path) == {"package/__init__.py": b""}
    with pytest.raises(StorageError, match=r"nothing in s3://models/iris matches the patterns \(allow \*\.onnx\)"):
        fetch("s3://models/iris", tmp_path, allow_patterns=["*.onnx"], environ=owner)


def test_a_second_start_downloads_nothing(owner: dict[str, str], tmp_path: Path) -> None:
    environ = owner | {"MIZZEN_MODEL_CACHE": str(tmp_path / "cache")}
    seen: list[Transfer] = []
    assert not fetch("s3://models/iris", tmp_path / "one", environ=environ).cached
    assert fetch("s3://models/iris", tmp_path / "two", environ=environ, progress=seen.append).cached
    assert files_in(tmp_path / "one") == files_in(tmp_path / "two")
    assert seen == []


def test_what_changed_is_fetched_anew_and_nothing_else(client: Any, owner: dict[str, str], tmp_path: Path) -> None:
    environ = owner | {"MIZZEN_MODEL_CACHE": str(tmp_path / "cache")}
    client.put_object(Bucket="models", Key="changing/weights", Body=MODEL)
    client.put_object(Bucket="models", Key="changing/config", Body=b"1")
    fetch("s3://models/changing", tmp_path / "one", environ=environ)
    client.put_object(Bucket="models", Key="changing/config", Body=b"2")
    seen: list[Transfer] = []
    fetch("s3://models/changing", tmp_path / "two", environ=environ, progress=seen.append)
    assert files_in(tmp_path / "two") == {"weights": MODEL, "config": b"2"}
    assert [(each.name, each.done) for each in seen if each.finished] == [("config", 1)]


def test_a_large_file_comes_in_parts(client: Any, owner: dict[str, str], tmp_path: Path) -> None:
    block = os.urandom(1 << 20)
    large = block * ((2 * SEGMENT + (3 << 20)) >> 20)
    client.put_object(Bucket="models", Key="large", Body=large)
    try:
        fetch("s3://models/large", tmp_path, environ=owner)
        assert hashlib.sha256((tmp_path / "large").read_bytes()).digest() == hashlib.sha256(large).digest()
    finally:
        client.delete_object(Bucket="models", Key="large")


# Who asks, and for what.


@pytest.mark.parametrize(
    ("uri", "changes", "expected"),
    [
        (
            "s3://models/iris",
            {"AWS_SECRET_ACCESS_KEY": "wrong-S3cr3t"},
            "Invalid AWS credentials (SignatureDoesNotMatch). S3 authentication failed. Credentials are read from AWS_",
        ),
        ("s3://models/iris", {"AWS_ACCESS_KEY_ID": "nobody"}, "Invalid AWS credentials (InvalidAccessKeyId)"),
        ("s3://models/iris", weed.STRANGER, "Access denied to S3 resource 'models/iris/'. Verify permissions."),
        ("s3://models/iris.txt", weed.STRANGER, "Access denied to S3 resource 'models/iris.txt/'"),
        (
            "s3://models/iris",
            {"awsAnonymousCredential": "true"},
            "Verify permissions. It was asked without credentials; they are read from AWS_ACCESS_KEY_ID",
        ),
        ("s3://nowhere/iris", {}, "S3 bucket 'nowhere' does not exist."),
        ("s3://models/nothing", {}, "Failed to fetch model. No model found: there is no file in s3://models/nothing"),
        ("s3://models/iri", {}, "No model found"),
        ("s3://", {}, "the address names no bucket: it is written s3://bucket/path"),
        ("s3:///iris", {}, "the address names no bucket"),
        ("s3://No_Such_Bucket!/iris", {}, "S3 error: "),
        (
            "s3://models/iris",
            {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"},
            "Failed to connect to S3 endpoint 'http://127.0.0.1:1' (tried 3 times)",
        ),
        ("s3://models/iris", {"AWS_ENDPOINT_URL": "nonsense"}, "AWS_ENDPOINT_URL must be an address such as https://"),
        ("s3://models/iris", {"S3_VERIFY_SSL": "perhaps"}, "S3_VERIFY_SSL must be true or false, not 'perhaps'"),
        ("s3://models/iris", {"S3_READ_TIMEOUT": "soon"}, "S3_READ_TIMEOUT must be a number of seconds such as 30"),
        ("s3://models/iris", {"S3_MAX_ATTEMPTS": "0"}, "S3_MAX_ATTEMPTS must be a whole number above 0, not '0'"),
        ("s3://models/iris", {"AWS_CA_BUNDLE": "/no/such"}, "cannot read the authorities in /no/such, set by AWS_CA_B"),
        (
            "s3://models/iris",
            {"CA_BUNDLE_VOLUME_MOUNT_POINT": "/no"},
            "cannot read the authorities in /no/cabundle.crt, set by CA_BUNDLE_VOLUME_MOUNT_POINT: there is no such",
        ),
    ],
)
def test_what_is_refused(
    owner: dict[str, str], tmp_path: Path, uri: str, changes: dict[str, str], expected: str
) -> None:
    message = failure(uri, tmp_path / "out", owner | changes)
    assert message.startswith(f"{uri}: ")
    assert expected in message


def test_without_any_credentials(owner: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    environ = {name: value for name, value in owner.items() if name not in weed.OWNER}
    message = failure("s3://models/iris", tmp_path / "out", environ)
    assert "S3 authentication failed (Unable to locate credentials). Credentials are read from AWS_ACCESS" in message
    fetch("s3://public/iris.txt", tmp_path / "out", environ=environ | {"awsAnonymousCredential": "true"})
    assert files_in(tmp_path / "out") == {"iris.txt": b"text"}


def test_the_storage_spec_of_kserve(owner: dict[str, str], tmp_path: Path) -> None:
    spec = {
        "type": "s3",
        "endpoint_url": owner["AWS_ENDPOINT_URL"],
        "access_key_id": owner["AWS_ACCESS_KEY_ID"],
        "secret_access_key": "overridden",
        "region": "us-east-1",
        "verify_ssl": True,
        "anonymous": False,
    }
    override = {"secret_access_key": owner["AWS_SECRET_ACCESS_KEY"], "bucket": "models"}
    environ = {
        "STORAGE_CONFIG": json.dumps(spec),
        "STORAGE_OVERRIDE_CONFIG": json.dumps(override),
        "MIZZEN_MODEL_CACHE": "",
        # What the variables say themselves gives way.
        "AWS_SECRET_ACCESS_KEY": "wrong",
    }
    fetch("s3://models/iris.txt", tmp_path, environ=environ)
    assert files_in(tmp_path) == {"iris.txt": b"text"}
    message = failure("s3://models/iris", tmp_path / "out", environ | {"STORAGE_CONFIG": "{S3cr3t"})
    assert 'STORAGE_CONFIG must be a JSON object such as {"type": "s3"' in message


@pytest.mark.parametrize(
    ("changes", "host", "path"),
    [
        ({}, "127.0.0.1", "/models"),
        ({"S3_USER_VIRTUAL_BUCKET": "true"}, "models.s3.localhost", "/"),
    ],
)
def test_how_a_bucket_is_addressed(site: Site, tmp_path: Path, changes: dict[str, str], host: str, path: str) -> None:
    name = "127.0.0.1" if not changes else "s3.localhost"
    environ = {**weed.OWNER, "AWS_ENDPOINT_URL": site.url("", name), "S3_MAX_ATTEMPTS": "1", "MIZZEN_MODEL_CACHE": ""}
    failure("s3://models", tmp_path / "out", environ | changes)
    # Names below .localhost lead here only where the machine's resolver knows them.
    if site.requests:
        asked, headers = site.requests[-1]
        assert headers["host"].partition(":")[0] == host
        assert asked.partition("?")[0] == path


# Servers that are wrong, slow or broken: one whose answers are written out here.


class Bucket:
    """A bucket ``models`` with one object ``m.bin`` on a site; what a GET of it is answered can be replaced."""

    def __init__(self, site: Site, contents: bytes, *, size: int | None = None, etag: str = "") -> None:
        self.site = site
        self.etag = etag or f'"{hashlib.md5(contents, usedforsecurity=False).hexdigest()}"'
        self.contents = contents
        self.size = len(contents) if size is None else size
        self.answers: list[Answer] = []
        self.ranges: list[str | None] = []
        site.answers["/models/m.bin"] = self._object
        site.heads["/models/m.bin"] = lambda handler: self._head(handler, 200, self.size)
        self.environ = {
            **weed.OWNER,
            "AWS_ENDPOINT_URL": site.url(""),
            "MIZZEN_MODEL_CACHE": "",
            "MIZZEN_STORAGE_STALL_SECONDS": "0.5",
        }

    def _head(self, handler: BaseHTTPRequestHandler, status: int, length: int, **fields: str) -> None:
        handler.send_response(status)
        handler.send_header("ETag", self.etag)
        handler.send_header("Content-Length", str(length))
        handler.send_header("Last-Modified", formatdate(0, usegmt=True))
        for name, value in fields.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()

    def _object(self, handler: BaseHTTPRequestHandler) -> None:
        self.ranges.append(handler.headers.get("Range"))
        if self.answers:
            self.answers.pop(0)(handler)
            return
        if handler.headers["If-Match"] not in (None, self.etag):
            error(412, "PreconditionFailed")(handler)
            return
        start, stop = 0, len(self.contents)
        asked = handler.headers.get("Range")
        if asked:
            first, last = asked.removeprefix("bytes=").split("-")
            start, stop = int(first), int(last) + 1 if last else stop
        fields = {"Content_Range": f"bytes {start}-{stop - 1}/{len(self.contents)}"} if asked else {}
        self._head(handler, 206 if asked else 200, stop - start, **fields)
        handler.wfile.write(self.contents[start:stop])

    def cut_off(self, count: int) -> Answer:
        def answer(handler: BaseHTTPRequestHandler) -> None:
            self._head(handler, 200, len(self.contents))
            handler.wfile.write(self.contents[:count])

        return answer


def error(status: int, code: str, message: str = "of S3cr3t") -> Answer:
    text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return send(text.encode(), status=status, kind="application/xml")


def test_a_download_goes_on_where_it_broke_off(site: Site, tmp_path: Path) -> None:
    bucket = Bucket(site, MODEL)
    bucket.answers = [bucket.cut_off(50_000)]
    seen: list[Transfer] = []
    fetch("s3://models/m.bin", tmp_path, environ=bucket.environ, progress=seen.append)
    assert files_in(tmp_path) == {"m.bin": MODEL}
    assert bucket.ranges == [None, f"bytes=50000-{len(MODEL) - 1}"]
    assert [each.trouble for each in seen if each.trouble] == ["the transfer of m.bin was cut off"]
    assert seen[-1].done == len(MODEL)


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([error(503, "SlowDown")], None),
        ([error(500, "InternalError"), error(503, "ServiceUnavailable")], None),
        ([error(503, "SlowDown")] * 3, "S3 is not available just now (status 503 SlowDown) (tried 3 times)"),
        ([error(403, "AccessDenied")], "Access denied to S3 resource 'models/m.bin'. Verify permissions."),
        ([error(404, "NoSuchKey")], "S3 resource 'models/m.bin' not found."),
        ([error(400, "Weird", "a\nb")], "S3 error [Weird]: a\\nb"),
        ([error(403, "RequestTimeTooSkewed")], "Invalid AWS credentials (RequestTimeTooSkewed)."),
    ],
)
def test_what_the_service_answers(site: Site, tmp_path: Path, answers: list[Answer], expected: str | None) -> None:
    bucket = Bucket(site, MODEL)
    bucket.answers = list(answers)
    if expected is None:
        fetch("s3://models/m.bin", tmp_path / "out", environ=bucket.environ)
        assert files_in(tmp_path / "out") == {"m.bin": MODEL}
    else:
        assert expected in failure("s3://models/m.bin", tmp_path / "out", bucket.environ)


def test_a_server_that_falls_silent(site: Site, tmp_path: Path) -> None:
    contents = os.urandom(1 << 20)
    bucket = Bucket(site, contents)

    def silent(handler: BaseHTTPRequestHandler) -> None:
        bucket.cut_off(600_000)(handler)
        handler.wfile.flush()
        site.over.wait(30)

    bucket.answers = [silent]
    fetch("s3://models/m.bin", tmp_path, environ=bucket.environ)
    assert files_in(tmp_path) == {"m.bin": contents}
    assert bucket.ranges[1] == f"bytes=524288-{len(contents) - 1}"


def test_an_object_that_changes_on_the_way(site: Site, tmp_path: Path) -> None:
    bucket = Bucket(site, MODEL)

    def changing(handler: BaseHTTPRequestHandler) -> None:
        bucket.cut_off(50_000)(handler)
        bucket.contents = MODEL[::-1]
        bucket.etag = f'"{hashlib.md5(bucket.contents, usedforsecurity=False).hexdigest()}"'

    bucket.answers = [changing]
    fetch("s3://models/m.bin", tmp_path, environ=bucket.environ)
    assert files_in(tmp_path) == {"m.bin": MODEL[::-1]}


def test_a_server_that_lies_about_the_size(site: Site, tmp_path: Path) -> None:
    bucket = Bucket(site, MODEL, size=len(MODEL) - 1)
    message = failure("s3://models/m.bin", tmp_path / "out", bucket.environ)
    assert "cut off" in message or "promised" in message


def test_a_server_that_lies_about_the_contents(site: Site, tmp_path: Path) -> None:
    promised = hashlib.md5(b"something else", usedforsecurity=False).hexdigest()
    bucket = Bucket(site, MODEL, etag=f'"{promised}"')
    message = failure("s3://models/m.bin", tmp_path / "out", bucket.environ)
    assert f"m.bin has the md5 sum {hashlib.md5(MODEL).hexdigest()}, and the service promised {promised}" in message
    assert len(bucket.ranges) == 3


@pytest.mark.parametrize(
    ("etag", "fields"),
    [
        ('"0123456789abcdef0123456789abcdef-2"', {}),
        ('"0123456789abcdef0123456789abcdef"', {"x_amz_server_side_encryption": "aws:kms"}),
        ('"opaque"', {}),
    ],
    ids=["of several parts", "encrypted", "opaque"],
)
def test_an_etag_that_is_no_sum_is_not_taken_for_one(
    site: Site, tmp_path: Path, etag: str, fields: dict[str, str]
) -> None:
    bucket = Bucket(site, MODEL, etag=etag)

    def answer(handler: BaseHTTPRequestHandler) -> None:
        bucket._head(handler, 200, len(MODEL), **fields)
        handler.wfile.write(MODEL)

    bucket.answers = [answer]
    fetch("s3://models/m.bin", tmp_path, environ=bucket.environ)
    assert files_in(tmp_path) == {"m.bin": MODEL}


@pytest.mark.parametrize("key", ["../../etc/passwd", "a//b", "./a", "a/../../b"])
def test_a_key_that_leads_out_of_the_folder(site: Site, tmp_path: Path, key: str) -> None:
    site.answers["/models"] = send(
        f"<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>{key}</Key><Size>1</Size>"
        "<ETag>x</ETag></Contents></ListBucketResult>".encode(),
        kind="application/xml",
    )
    bucket = Bucket(site, MODEL)
    message = failure("s3://models", tmp_path / "out", bucket.environ)
    assert f"'{key}' cannot be a file's path" in message


def test_a_key_that_is_a_file_and_a_folder(site: Site, tmp_path: Path) -> None:
    contents = "".join(
        f"<Contents><Key>{key}</Key><Size>1</Size><ETag>x</ETag></Contents>" for key in ("a", "a/b/c", "a/b")
    )
    site.answers["/models"] = send(f"<ListBucketResult>{contents}</ListBucketResult>".encode(), kind="application/xml")
    message = failure("s3://models", tmp_path / "out", Bucket(site, MODEL).environ)
    assert "'a' is a file and the folder of 'a/b' at once" in message or "'a' is a file and the folder of" in message


def test_something_that_is_no_s3(site: Site, tmp_path: Path) -> None:
    site.answers["/models"] = send(b"<html>hello</html>", kind="text/html")
    environ = Bucket(site, MODEL).environ
    assert "s3://models/: " in failure("s3://models/", tmp_path / "out", environ)
