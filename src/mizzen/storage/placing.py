"""Putting a file of the cache into a model's folder so that nothing done there can reach the cache.

Three ways, the best that the place permits: a reflink, which is a copy that shares blocks until one side is written; a
hard link, if the file's mode keeps this user from writing through it; a copy. Root is not kept from writing by a mode,
so root gets copies where there are no reflinks.

In a pod of the embedded cluster ``/mnt/models`` is a mount of its own, and the kernel refuses links from one mount to
another even on the same disk. But the folder is there twice: the mount was made from a folder that lies beside the
cache, and through that name it can be linked to.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import tempfile
from functools import cached_property
from pathlib import Path
from typing import IO, BinaryIO, NamedTuple

from mizzen.storage.errors import writing

_FICLONE = 0x40049409
_MOUNTS = Path("/proc/self/mountinfo")
_REFUSED = frozenset({errno.EXDEV, errno.EPERM, errno.EACCES, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOSYS})
_CHUNK = 16 << 20


class Placer:
    """Places files of the folder ``source`` into the folder ``target``; both exist."""

    def __init__(self, source: Path, target: Path) -> None:
        self._source = source
        self._target = target
        self._linked = seen_from(target, source)
        self._reflinks = True
        self._links = True

    @cached_property
    def shares(self) -> bool:
        """Whether a file that is placed takes no room of its own."""
        with writing(self._target), tempfile.NamedTemporaryFile(dir=self._source) as probe:
            name, path = Path(probe.name), self._target / ".probe"
            name.chmod(0o444)
            shared = self._reflink(probe, path, False) or self._link(name, probe, path)
            path.unlink(missing_ok=True)
            return shared

    def place(self, name: Path, file: BinaryIO, path: Path, *, executable: bool) -> None:
        """Make ``path``, which is below the target, have the contents of ``file``.

        Args:
            name: what the file is called, if nobody has removed that name meanwhile.
            file: the same, open: whatever happens to the name, its contents stay.

        Raises:
            StorageError: the disk is full, or may not be written.
        """
        with writing(path):
            if self._reflinks and self._reflink(file, path, executable):
                return
            if self._links and self._link(name, file, path):
                return
            with _created(path, executable) as copy:
                file.seek(0)
                _copy(file, copy)

    def _reflink(self, file: IO[bytes], path: Path, executable: bool) -> bool:
        try:
            import fcntl

            with _created(path, executable) as copy:
                fcntl.ioctl(copy.fileno(), _FICLONE, file.fileno())
        except OSError as error:
            path.unlink(missing_ok=True)
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES):
                raise
            self._reflinks = False
        return self._reflinks

    def _link(self, name: Path, file: IO[bytes], path: Path) -> bool:
        if os.access(name, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
            return False
        place = path if self._linked is None else self._linked / path.relative_to(self._target)
        try:
            os.link(name, place, follow_symlinks=False)
        except FileNotFoundError:
            return False  # evicted this moment
        except OSError as error:
            if error.errno not in _REFUSED:
                raise
            self._links = error.errno == errno.EMLINK
            return False
        # The name may have been given to another file since it was opened.
        if os.path.sameopenfile(file.fileno(), (found := os.open(path, os.O_RDONLY | os.O_CLOEXEC))):
            os.close(found)
            return True
        os.close(found)
        path.unlink()
        return False


def _created(path: Path, executable: bool) -> BinaryIO:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.fdopen(os.open(path, flags, 0o777 if executable else 0o666), "wb", buffering=0)


def _copy(file: BinaryIO, copy: BinaryIO) -> None:
    if hasattr(os, "copy_file_range"):
        try:
            while os.copy_file_range(file.fileno(), copy.fileno(), _CHUNK):
                pass
            if copy.tell() == os.fstat(file.fileno()).st_size:
                return
        except OSError as error:
            if error.errno not in _REFUSED | {errno.EINVAL, errno.EBADF}:
                raise
        file.seek(0)
        copy.seek(0)
    shutil.copyfileobj(file, copy, _CHUNK)


class _Mounted(NamedTuple):
    device: str
    root: str
    point: str


def seen_from(folder: Path, other: Path) -> Path | None:
    """``folder`` by a name on the mount in which ``other`` lies, if it has one; ``None`` when there is no such need."""
    try:
        mounts = [_parsed(line) for line in _MOUNTS.read_text("utf-8", "surrogateescape").splitlines()]
    except OSError:
        return None
    here, there = _mount_of(folder, mounts), _mount_of(other, mounts)
    if here is None or there is None or here == there or here.device != there.device:
        return None
    place = os.path.normpath(f"{here.root}/{folder.resolve().relative_to(here.point)}")
    try:
        candidate = Path(there.point) / Path(place).relative_to(there.root)
        return candidate if candidate.samefile(folder) else None
    except (OSError, ValueError):
        return None


def _parsed(line: str) -> _Mounted:
    fields = line.split(" ")
    return _Mounted(fields[2], _unescaped(fields[3]), _unescaped(fields[4]))


def _unescaped(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)


def _mount_of(path: Path, mounts: list[_Mounted]) -> _Mounted | None:
    path = path.resolve()
    best: _Mounted | None = None
    for mount in mounts:
        if path.is_relative_to(mount.point) and (best is None or len(mount.point) >= len(best.point)):
            best = mount
    return best
