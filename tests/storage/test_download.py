from __future__ import annotations

from pathlib import Path

import pytest

from mizzen.errors import MizzenError
from mizzen.storage import StorageError, download

SUPPORTED = "supported are local paths, file:// and http(s)://"


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("gs://bucket/m", "gs:// (Google Cloud Storage) is not supported yet; "),
        ("s3://bucket/m", "s3:// (S3) is not supported yet; "),
        ("hdfs://host/m", "hdfs:// (HDFS) is not supported yet; "),
        ("webhdfs://host/m", "webhdfs:// (HDFS over HTTP) is not supported yet; "),
        ("hf://owner/model@main", "hf:// (Hugging Face) is not supported yet; "),
        ("modelscope://owner/model", "modelscope:// (ModelScope) is not supported yet; "),
        ("oci://registry/m:1", "oci:// (OCI images) is not supported yet; "),
        ("oci+native://registry/m:1", "oci+native:// (OCI images) is not supported yet; "),
        ("https://a.blob.core.windows.net/c/m", "https:// (Azure Blob Storage) is not supported yet; "),
        ("https://a.file.core.windows.net/c/m", "https:// (Azure Files) is not supported yet; "),
        ("https://a.z12.blob.storage.azure.net/c/m", "https:// (Azure Blob Storage) is not supported yet; "),
        ("https://git.example/owner/model.git", "https:// (a git repository) is not supported yet; "),
        ("ftp://host/m", "Cannot recognize storage type; "),
        ("htp://host/m", "Cannot recognize storage type; "),
    ],
)
def test_schemes_that_are_not_served(uri: str, expected: str, tmp_path: Path) -> None:
    with pytest.raises(StorageError) as raised:
        download(uri, tmp_path / "out")
    assert str(raised.value) == f"{uri}: {expected}{SUPPORTED}"
    assert not (tmp_path / "out").exists()


def test_a_volume_is_not_downloaded() -> None:
    with pytest.raises(MizzenError, match="pvc://claim/m: a pvc:// volume is mounted into the pod"):
        download("pvc://claim/m")


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
