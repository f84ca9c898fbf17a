"""Why a model could not be fetched, as a sentence for the person who wrote its address.

The sentence of a failed initializer becomes the pod's termination message and, from there, the InferenceService's
condition. It is often all that a user sees, so it is one line, and a disk that fails says which path and how much is
free on it.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mizzen.errors import MizzenError


class StorageError(MizzenError):
    """A model that could not be fetched. What :func:`mizzen.storage.download` raises begins with the URI, masked."""


class TransientError(StorageError):
    """A failure that may pass by itself, so that another try is worth its time.

    ``retry_after`` is how many seconds the server asked to be left in peace; 0 when it said nothing.
    """

    def __init__(self, message: str, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what the file system raises while ``path`` is written into a :class:`StorageError` that names it."""
    try:
        yield
    except OSError as error:
        raise disk_error(error, path) from error


def disk_error(error: OSError, path: Path) -> StorageError:
    """The sentence for an error of the file system that holds ``path``."""
    match error.errno:
        case errno.ENOSPC:
            reason = f"no space left to write {path}: {_free(path)}"
        case errno.EDQUOT:
            reason = f"the disk quota leaves no space to write {path}: {_free(path)} on the disk"
        case errno.EFBIG:
            reason = f"{path} is larger than the file system or a limit of this process permits: {_free(path)}"
        case errno.EROFS:
            reason = f"cannot write {path}: it is on a read-only file system ({_free(path)})"
        case errno.EACCES | errno.EPERM:
            reason = f"user {os.geteuid()} may not write {path} ({_free(path)})"
        case errno.ENOTDIR | errno.EEXIST:
            reason = f"cannot write {path}: a part of this path exists and is no folder"
        case _:
            reason = f"cannot write {path}: {error.strerror or error}"
    return StorageError(reason)


def free_bytes(path: Path) -> int:
    """The bytes that an ordinary user may still write on the disk of ``path``, which need not exist yet."""
    disk = _statvfs(path)
    return disk.f_bavail * disk.f_frsize


def size(count: float) -> str:
    """A number of bytes as people read it: ``512 bytes``, ``12.3 MiB``."""
    if count < 1024:
        return f"{count:.0f} bytes"
    for unit in ("KiB", "MiB", "GiB"):
        count /= 1024
        if count < 1024:
            return f"{count:.1f} {unit}"
    return f"{count / 1024:.1f} TiB"


def _free(path: Path) -> str:
    try:
        disk = _statvfs(path)
    except OSError:
        return "its disk cannot be asked for free space"
    free = f"{disk.f_bavail * disk.f_frsize} bytes free"
    # A file system without room for one more name reports the same error as one without room for a byte.
    return f"{free}, but no more files permitted" if disk.f_files and not disk.f_favail else free


def _statvfs(path: Path) -> os.statvfs_result:
    path = path.absolute()
    for place in (path, *path.parents[:-1]):
        try:
            return os.statvfs(place)
        except (FileNotFoundError, NotADirectoryError):
            continue
    return os.statvfs(path.anchor)
