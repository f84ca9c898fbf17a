from __future__ import annotations

from pathlib import Path

import pytest

from mizzen.errors import MizzenError
from mizzen.storage import StorageError, download, local
from mizzen.storage.hosts import service_of

SUPPORTED = (
    "supported are local paths, file://, http(s)://, s3://, gs://, hf://, "
    "Azure Blob Storage, git repositories and pvc://"
)

GIT = (
    ":// is not spoken: a git repository is named by its http(s) address, which ends in .git, such as "
    "https://HOST/OWNER/NAME.git; "
)


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("git+https://host/m.git", "git+https" + GIT),
        ("git+ssh://host/m.git", "git+ssh" + GIT),
        ("ssh://host/m.git", "ssh" + GIT),
        ("hdfs://host/m", "hdfs:// (HDFS) is not supported yet; "),
        ("webhdfs://host/m", "webhdfs:// (HDFS over HTTP) is not supported yet; "),
        ("modelscope://owner/model", "modelscope:// (ModelScope) is not supported yet; "),
        ("oci://registry/m:1", "oci:// (OCI images) is not supported yet; "),
        ("oci+native://registry/m:1", "oci+native:// (OCI images) is not supported yet; "),
        ("https://a.file.core.windows.net/c/m", "https:// (Azure Files) is not supported yet; "),
        ("https://a.z12.file.storage.azure.net/c/m", "https:// (Azure Files) is not supported yet; "),
        ("ftp://host/m", "Cannot recognize storage type; "),
        ("htp://host/m", "Cannot recognize storage type; "),
    ],
)
def test_schemes_that_are_not_served(uri: str, expected: str, tmp_path: Path) -> None:
    with pytest.raises(StorageError) as raised:
        download(uri, tmp_path / "out")
    assert str(raised.value) == f"{uri}: {expected}{SUPPORTED}"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("uri", "service"),
    [
        ("https://acme.blob.core.windows.net/c/m", "azure"),
        ("https://acme.z12.blob.storage.azure.net/c/m", "azure"),
        ("https://acme.file.core.windows.net/c/m", "azure files"),
        ("http://127.0.0.1:10000/devstoreaccount1/c/m", "azure"),
        ("http://127.0.0.1:1234/c/m", "web"),
        ("https://git.example/owner/model.git", "git"),
        ("https://git.example/owner/model.git/", "git"),
        ("http://git.example/owner/model.git?x=1", "git"),
        ("https://raw.githubusercontent.com/o/r/m.bin", "web"),
        ("https://x.github.io/m.bin", "web"),
        ("https://h/m.git/x.bin", "web"),
        ("https://blob.core.windows.net.example/c/m", "web"),
    ],
)
def test_who_is_behind_an_address(uri: str, service: str) -> None:
    assert service_of(uri, {}) == service


@pytest.mark.parametrize(
    ("text", "uri", "service"),
    [
        ("BlobEndpoint=http://127.0.0.1:1234;AccountName=acme;AccountKey=QUFB", "http://127.0.0.1:1234/c/m", "azure"),
        ("BlobEndpoint=http://127.0.0.1:1234;AccountName=acme;AccountKey=QUFB", "http://127.0.0.1:123/c/m", "web"),
        ("AccountName=acme;AccountKey=QUFB;EndpointSuffix=chinacloud.cn", "https://acme.blob.chinacloud.cn/c", "azure"),
        ("nonsense", "http://127.0.0.1:1234/c/m", "web"),
    ],
)
def test_a_connection_string_says_where_azure_is(text: str, uri: str, service: str) -> None:
    assert service_of(uri, {"AZURE_STORAGE_CONNECTION_STRING": text}) == service


def test_a_claim_that_is_not_mounted() -> None:
    with pytest.raises(MizzenError, match="pvc://claim/m: a claim's volume is mounted into the pod by its controller"):
        download("pvc://claim/m")


def test_a_claim_that_is_mounted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "iris").mkdir()
    (tmp_path / "iris" / "model.joblib").write_bytes(b"model")
    monkeypatch.setattr(local, "_CLAIM", tmp_path)
    download("pvc://claim/iris", tmp_path / "out")
    assert (tmp_path / "out" / "model.joblib").readlink() == tmp_path / "iris" / "model.joblib"
    assert download("pvc://claim") == tmp_path
    with pytest.raises(StorageError, match=f"pvc://claim/no: Cannot locate source uri {tmp_path}/no for PVC"):
        download("pvc://claim/no")
    with pytest.raises(StorageError, match="a path in a claim must not lead out of it"):
        download("pvc://claim/../../etc")
    with pytest.raises(StorageError, match="the address names no claim"):
        download("pvc:///x")


def test_a_path_below_a_claim_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="/mnt/pvc/m: Cannot locate source uri /mnt/pvc/m for PVC"):
        download("/mnt/pvc/m", tmp_path)


def test_no_address_at_all() -> None:
    with pytest.raises(StorageError, match="empty URI: Cannot recognize storage type"):
        download("")


@pytest.mark.parametrize(
    "uri", ["https://raw.githubusercontent.com:0/o/r/m.bin", "https://x.github.io:0/m.bin", "https://h:0/m.git/x.bin"]
)
def test_not_every_host_with_git_in_its_name_is_a_repository(uri: str) -> None:
    with pytest.raises(StorageError, match="no valid host and port"):
        download(uri)


def test_bad_patterns_name_the_address_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_IGNORE_PATTERNS", "[1]")
    with pytest.raises(StorageError, match="/models/iris: STORAGE_IGNORE_PATTERNS must be"):
        download("/models/iris")
