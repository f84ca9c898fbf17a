from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cluster.node.runtime.pod_bench import can_mount, in_child
from mizzen.cluster.node.runtime import logs, mounts, namespaces, syscalls
from mizzen.cluster.node.runtime.logfiles import rotated
from mizzen.cluster.node.runtime.logwriter import LONGEST_REST, LogWriter

MIB = 1 << 20
T0 = 1_700_000_000_000_000_000


def writer(path: Path, max_bytes: int = MIB, max_files: int = 5, **options: Any) -> LogWriter:
    return LogWriter(path, max_bytes, max_files, **options)


async def text_of(path: Path) -> bytes:
    return b"".join([chunk async for chunk in logs.read(path)])


def test_lines_are_those_of_kubernetes(tmp_path: Path) -> None:
    log = writer(tmp_path / "0.log")
    log.feed("stdout", b"first\nsec", T0)
    log.feed("stderr", b"oops\n", T0 + 1)
    log.feed("stdout", b"ond\n\nno end", T0 + 2_000_000_000)
    log.close(T0 + 3_000_000_000)
    assert (tmp_path / "0.log").read_text().splitlines() == [
        "2023-11-14T22:13:20.000000000Z stdout F first",
        "2023-11-14T22:13:20.000000001Z stderr F oops",
        "2023-11-14T22:13:22.000000000Z stdout F second",
        "2023-11-14T22:13:22.000000000Z stdout F ",
        "2023-11-14T22:13:23.000000000Z stdout P no end",
    ]


async def test_rotation_bounds_the_files_and_keeps_the_newest_lines(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    log = writer(path, 1000, 3)
    for number in range(500):
        log.feed("stdout", b"line %d\n" % number)
    log.close()
    files = [file for _, file in rotated(path)]
    assert len(files) == 2
    assert all(file.stat().st_size <= 1000 for file in [*files, path])
    found = (await text_of(path)).split(b"\n")[:-1]
    assert found == [b"line %d" % number for number in range(500 - len(found), 500)]
    assert len(found) >= 2 * 1000 // 50


def full_after(limit: int) -> tuple[Callable[[int, bytes], int], list[int]]:
    """A write that takes so many bytes in all, and a list whose only entry may be raised."""
    left = [limit]

    def write(fd: int, data: bytes) -> int:
        if left[0] <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        done = os.write(fd, data[: left[0]])
        left[0] -= done
        return done

    return write, left


async def test_a_full_disk_drops_whole_lines_and_says_how_many(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    write, left = full_after(600)
    log = writer(path, write=write)
    for number in range(50):
        log.feed("stdout", b"line %d\n" % number)
    assert log.dropped == 50 - len(path.read_bytes().splitlines())
    left[0] = 10**6
    log.feed("stdout", b"there is room again\n")
    log.close()
    lines = (await text_of(path)).decode().splitlines()
    kept = [line for line in lines if line.startswith("line")]
    assert kept == [f"line {number}" for number in range(len(kept))]
    assert lines[len(kept) :] == [
        f"[mizzen] {50 - len(kept)} lines of this log were lost: No space left on device",
        "there is room again",
    ]


def test_lines_lost_at_the_end_are_told_of_when_the_log_is_closed(tmp_path: Path) -> None:
    write, left = full_after(40)
    log = writer(tmp_path / "0.log", write=write)
    log.feed("stdout", b"a\nb\nc\n")
    left[0] = 10**6
    log.close()
    assert re.search(r"3 lines of this log were lost", (tmp_path / "0.log").read_text())


def test_a_slow_disk_gets_a_rest_and_the_container_goes_on(tmp_path: Path) -> None:
    now = [0.0]

    def write(fd: int, data: bytes) -> int:
        now[0] += 5.0
        return os.write(fd, data)

    log = writer(tmp_path / "0.log", write=write, clock=lambda: now[0])
    for _ in range(10):
        log.feed("stdout", b"x\n")
    # One write of 5 s, then none while the disk rests as long.
    assert now[0] == 5.0 and log.dropped == 9
    now[0] += min(5.0, LONGEST_REST)
    log.feed("stdout", b"again\n")
    assert log.dropped == 0
    log.close()
    assert "9 lines of this log were lost: the disk took 5 s for one write" in (tmp_path / "0.log").read_text()


def test_a_folder_that_cannot_be_made_is_no_reason_to_stop(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    log = writer(tmp_path / "file" / "0.log")
    log.feed("stdout", b"x\n")
    assert log.dropped == 1
    log.close()


@pytest.mark.skipif(not can_mount(), reason="mounts are not permitted here")
def test_a_real_full_disk(tmp_path: Path) -> None:
    def work() -> list[str]:
        namespaces._unshare()
        mounts.make_private()
        syscalls.mount("tmpfs", str(tmp_path), "tmpfs", 0, "size=64k")
        filler = tmp_path / "filler"
        filler.write_bytes(b"x" * 40_000)
        log = writer(tmp_path / "0.log", 4 * MIB, 2)
        for number in range(2000):
            log.feed("stdout", b"line %d\n" % number)
        assert log.dropped > 500
        filler.unlink()
        log.feed("stdout", b"room\n")
        log.close()
        return (tmp_path / "0.log").read_text().splitlines()

    lines = in_child(work)
    assert all(re.fullmatch(r"\S{30} std(out|err) F (line \d+|room|\[mizzen\] \d+ lines .*)", line) for line in lines)
    lost = next(int(found[1]) for line in lines if (found := re.search(r"(\d+) lines of this log", line)))
    assert lost + sum(" line " in line for line in lines) == 2000
