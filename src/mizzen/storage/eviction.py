"""What goes when the cache becomes too large, or the disk too small: that which was not used for longest.

A blob that some model's folder shares by a link costs nothing, because it would be on the disk without the cache too;
it is neither counted nor removed. Downloads that were broken off count like blobs, and go after a week in any case.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from mizzen.storage.errors import free_bytes

_LONGEST_BREAK = 7 * 86400


class _Entry(NamedTuple):
    used: float
    bytes: int
    path: Path
    whole: bool


def make_room(root: Path, limit: int, size: int) -> None:
    """Remove entries of the cache in ``root`` until it and ``size`` bytes more fit into ``limit`` and onto the disk.

    Does nothing while another process does the same.
    """
    with _alone(root) as alone:
        if not alone:
            return
        entries = sorted([*_blobs(root), *_parts(root)])
        total, free = sum(entry.bytes for entry in entries), free_bytes(root)
        removed = False
        for entry in entries:
            expired = not entry.whole and entry.used < time.time() - _LONGEST_BREAK
            if not expired and total + size <= limit and free >= size:
                continue
            if entry.whole:
                entry.path.unlink(missing_ok=True)
            elif not _discarded(entry.path):
                continue
            removed = True
            total, free = total - entry.bytes, free + entry.bytes
        if removed:
            _forget_references(root)


def lock_of(part: Path) -> Path:
    """The file whose lock says that somebody fills ``part``."""
    return part.with_name(part.name + ".lock")


def discard(part: Path) -> None:
    """Remove what there is of a part whose lock is held by the caller; its lock last."""
    for path in (part, part.with_name(part.name + ".segments"), lock_of(part)):
        path.unlink(missing_ok=True)


@contextmanager
def _alone(root: Path) -> Iterator[bool]:
    lock = os.open(root / "eviction.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield _held(lock)
    finally:
        os.close(lock)


def _held(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _blobs(root: Path) -> Iterator[_Entry]:
    for path in (root / "blobs").glob("*/*"):
        try:
            found = path.stat()
        except FileNotFoundError:
            continue
        if found.st_nlink == 1:
            yield _Entry(found.st_atime, found.st_size, path, True)


def _parts(root: Path) -> Iterator[_Entry]:
    folder = root / "parts"
    for name in {path.name.partition(".")[0] for path in folder.iterdir()}:
        files = [path for path in (folder / name, lock_of(folder / name)) if path.exists()]
        try:
            # A lock alone is left where a process was killed before the first byte came.
            found = [file.stat() for file in files]
        except FileNotFoundError:
            continue
        if found:
            used = max(each.st_mtime for each in found)
            yield _Entry(used, sum(each.st_blocks * 512 for each in found), folder / name, False)


def _discarded(part: Path) -> bool:
    """Remove a part, unless somebody is filling it."""
    try:
        lock = os.open(lock_of(part), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        return False
    try:
        if not _held(lock):
            return False
        discard(part)
        return True
    finally:
        os.close(lock)


def _forget_references(root: Path) -> None:
    """A note that leads to a blob which is gone is of no use to anybody."""
    there = {path.name for path in (root / "blobs").glob("*/*")}
    for note in (root / "references").iterdir():
        try:
            if json.loads(note.read_bytes()) not in there:
                note.unlink(missing_ok=True)
        except (OSError, ValueError, TypeError):
            continue
