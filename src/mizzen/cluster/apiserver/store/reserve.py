"""A file that holds a little disk space back, so that a full disk can still be emptied.

Deleting an object means appending to the log, and that needs space too. When such a write finds none, the reserve is
given up for its sake and taken again right after, as large as the disk then allows.
"""

from __future__ import annotations

import os
from pathlib import Path

# Leaves room for a full write-ahead log (4 MiB until SQLite starts over) and the pages it is copied into.
DEFAULT_SIZE = 8 * 1024 * 1024
_SMALLEST = 64 * 1024


class Reserve:
    """``size`` bytes set aside at ``path``."""

    def __init__(self, path: Path, size: int = DEFAULT_SIZE) -> None:
        self._path = path
        self._size = size
        self._held = self._held_on_disk()

    @property
    def is_short(self) -> bool:
        return self._held < self._size

    def give_up(self) -> None:
        """Let the space go, for the write that comes next."""
        self._path.unlink(missing_ok=True)
        self._held = 0

    def refill(self) -> None:
        """Hold back again what is missing, as far as there is space. Never fails: a short reserve is refilled later."""
        if not self.is_short:
            return
        try:
            usage = os.statvfs(self._path.parent)
            free = usage.f_bavail * usage.f_frsize + self._held
            size = self._size if free >= 2 * self._size else min(self._size, free) // _SMALLEST * _SMALLEST
            if size <= self._held:
                return
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, size)
            finally:
                os.close(descriptor)
        except OSError:
            pass
        self._held = self._held_on_disk()

    def _held_on_disk(self) -> int:
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return 0
        return min(found.st_size, found.st_blocks * 512)
