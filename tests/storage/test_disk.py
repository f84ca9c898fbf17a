"""Disks that are full or may not be written, made for the test in namespaces of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from storage.hub import served
from storage.served import Site, send, tarball

SCRIPT = """
set -e
mount -t tmpfs -o "$1" tmpfs "$DISK"
shift
set +e
"$@"
echo "status $?"
ls -A "$DISK"
"""


@pytest.fixture(scope="module")
def isolation() -> list[str]:
    """The command that may mount."""
    if not shutil.which("unshare"):
        pytest.skip("no unshare(1) here to make a mount namespace with")
    prefix = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--mount"]
    probe = subprocess.run(
        [*prefix, "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, text=True, check=False
    )
    if probe.returncode:
        pytest.skip(f"mount namespaces are not permitted here: {probe.stderr.strip()}")
    return prefix


def on_disk(isolation: list[str], disk: Path, options: str, *arguments: object) -> tuple[str, str, list[str]]:
    """The initializer's exit and last line, and what it left on the disk."""
    disk.mkdir(exist_ok=True)
    initializer = [sys.executable, "-m", "mizzen.storage.initializer"]
    ended = subprocess.run(
        [*isolation, "sh", "-c", SCRIPT, "sh", options, *initializer, *map(str, arguments)],
        env={**os.environ, "DISK": str(disk)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    lines = [line for line in ended.stdout.splitlines() if not line.startswith("fetched")]
    return lines[0], ended.stderr.splitlines()[-1], lines[1:]


@pytest.mark.parametrize("length", [None, -1], ids=["announced", "not announced"])
def test_a_file_that_fills_the_disk(site: Site, tmp_path: Path, isolation: list[str], length: int | None) -> None:
    site.answers["/m.bin"] = send(bytes(2 << 20), length=length)
    disk = tmp_path / "disk"
    status, last, left = on_disk(isolation, disk, "size=1m", site.url("/m.bin"), disk)
    assert (status, left) == ("status 1", [])
    if length is None:
        assert f"{site.url('/m.bin')}: the file needs 2097152 bytes in {disk}/" in last
        assert last.endswith("where 1048576 bytes are free")
    else:
        assert f"{site.url('/m.bin')}: no space left to write {disk}/" in last
        assert last.endswith(": 0 bytes free")


def test_a_cache_without_room_is_done_without(
    site: Site, tmp_path: Path, isolation: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    site.answers["/m.bin"] = served(bytes(2 << 20), ETag='"1"')
    monkeypatch.setenv("MIZZEN_MODEL_CACHE", str(tmp_path / "disk" / "cache"))
    status, _, left = on_disk(isolation, tmp_path / "disk", "size=1m", site.url("/m.bin"), tmp_path / "out")
    assert (status, left) == ("status 0", ["cache"])
    assert (tmp_path / "out" / "m.bin").stat().st_size == 2 << 20


def test_a_disk_with_room_for_one_copy(
    site: Site, tmp_path: Path, isolation: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the cache and the model do not share, as for root, two copies would be needed."""
    site.answers["/m.bin"] = served(bytes(2 << 20), ETag='"1"')
    disk = tmp_path / "disk"
    monkeypatch.setenv("MIZZEN_MODEL_CACHE", str(disk / "cache"))
    status, _, left = on_disk(isolation, disk, "size=3m", site.url("/m.bin"), disk / "out")
    assert (status, left) == ("status 0", ["cache", "out"])


def test_an_archive_that_fills_the_disk(site: Site, tmp_path: Path, isolation: list[str]) -> None:
    site.answers["/m.tgz"] = send(tarball(("a", bytes(600 << 10)), ("b", bytes(600 << 10))))
    disk = tmp_path / "disk"
    status, last, left = on_disk(isolation, disk, "size=1m", site.url("/m.tgz"), disk)
    assert (status, left) == ("status 1", [])
    assert f"the archive needs 600.0 KiB more in {disk}/" in last


def test_a_disk_without_room_for_another_file(site: Site, tmp_path: Path, isolation: list[str]) -> None:
    site.answers["/m.tgz"] = send(tarball(*((f"{number}", b"x") for number in range(50))))
    disk = tmp_path / "disk"
    status, last, left = on_disk(isolation, disk, "size=1m,nr_inodes=20", site.url("/m.tgz"), disk)
    assert (status, left) == ("status 1", [])
    assert "no space left to write" in last
    assert last.endswith("bytes free, but no more files permitted")


def test_a_disk_that_may_only_be_read(site: Site, tmp_path: Path, isolation: list[str]) -> None:
    site.answers["/m.bin"] = send(b"model")
    disk = tmp_path / "disk"
    for source in (site.url("/m.bin"), Path(__file__)):
        for out in (disk, disk / "deeper"):
            status, last, left = on_disk(isolation, disk, "ro,size=1m", source, out)
            assert (status, left) == ("status 1", [])
            assert f"{source}: cannot write {out}" in last
            assert "it is on a read-only file system (1048576 bytes free)" in last


def test_a_path_that_is_not_mounted_in_the_pod(tmp_path: Path, isolation: list[str]) -> None:
    hidden = tmp_path / "disk" / "model"
    hidden.mkdir(parents=True)
    (hidden / "model.bin").touch()
    status, last, _ = on_disk(isolation, tmp_path / "disk", "size=1m", f"file://{hidden}", tmp_path / "out")
    assert status == "status 1"
    assert f"file://{hidden}: it does not exist: there is no 'model' in {tmp_path}/disk" in last
