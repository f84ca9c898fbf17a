"""A hidden folder inside the target, where a model is put together before it appears under its own name.

It is inside the target because that is often a mount of its own, and only a rename on the same file system is atomic.
So a download that is cut off, or an archive that is half unpacked, never looks like a model; the folder is removed
whatever happens. A process that is killed cannot do that: its folder is found by the next one, which knows by the
lock on it that nobody works there any more.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from pathlib import Path
from types import TracebackType

from mizzen.storage.errors import StorageError, writing

_PREFIX = ".mizzen-"


class Staging:
    """A context: ``path`` exists within it, and is gone after it.

    Raises:
        StorageError: the target cannot be created or written.
    """

    def __init__(self, target: Path) -> None:
        self._target = target
        self._lock = -1
        self.path = target

    def __enter__(self) -> Staging:
        with writing(self._target):
            self._target.mkdir(parents=True, exist_ok=True)
            sweep(self._target)
            self.path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=self._target))
        try:
            self._lock = _locked(self.path)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._lock >= 0:
            os.close(self._lock)
        if self.path != self._target:
            shutil.rmtree(self.path, ignore_errors=True)

    def commit(self, folder: Path) -> None:
        """Move everything in ``folder``, which is below ``path``, into the target.

        Folders that are there already are filled; a file or link of the same name is replaced.
        """
        with writing(self._target):
            _move_into(folder, self._target)


def sweep(target: Path) -> None:
    """Remove what processes that were killed have left in ``target``."""
    try:
        left = [entry.path for entry in os.scandir(target) if entry.name.startswith(_PREFIX)]
    except OSError:
        return  # Nothing there, or nothing that may be seen: whoever writes next says so.
    for path in left:
        lock = _locked(Path(path))
        if lock >= 0:
            os.close(lock)
            shutil.rmtree(path, ignore_errors=True)


def _locked(folder: Path) -> int:
    """A descriptor that holds the lock on ``folder``, or -1 when another process holds it or locks do not work here."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return -1
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return -1
    return descriptor


def _move_into(folder: Path, target: Path) -> None:
    for entry in sorted(folder.iterdir()):
        place = target / entry.name
        is_folder = entry.is_dir() and not entry.is_symlink()
        if place.is_dir() and not place.is_symlink():
            if not is_folder:
                raise StorageError(f"cannot put the file {entry.name} into {target}: a folder has that name")
            _move_into(entry, place)
            continue
        if is_folder and os.path.lexists(place):
            place.unlink()
        entry.rename(place)
