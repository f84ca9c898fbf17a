"""A file that fills up in any order, and remembers across a crash what of it is there.

It is written in segments. Beside it lies a list of those that are complete; each is on the disk before it is listed, so
that after kill -9, or after the power went, whatever the list names can be trusted and only the rest is fetched again.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from mizzen.storage.errors import StorageError, writing
from mizzen.storage.workers import Stopped

SEGMENT = 64 << 20

_LIST = ".segments"


class Part:
    """The file at ``path``, open for writing within the context.

    Args:
        size: how large it will be; ``None`` when that is not known, and then only a new beginning is possible.
        lasting: whether another process may go on with it; otherwise nothing is remembered.
    """

    def __init__(self, path: Path, size: int | None, *, lasting: bool) -> None:
        self.path = path
        self.size = size
        self._lasting = lasting and size is not None
        self._list = path.with_name(path.name + _LIST)
        self._file = -1
        self._done: set[int] = set()
        # A thread that was left behind must not write to whatever the descriptor's number means by then.
        self._lock = threading.Lock()

    def __enter__(self) -> Part:
        with writing(self.path):
            begun = self._lasting and self.path.exists()
            self._done = self._listed() if begun else set()
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | (0 if self._done else os.O_TRUNC)
            self._file = os.open(self.path, flags, 0o666)
            if not self._done:
                self._list.unlink(missing_ok=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._lock:
            os.close(self._file)
            self._file = -1

    @property
    def there(self) -> int:
        """How many bytes of it are there already."""
        return sum(stop - start for start, stop in map(self._range, self._done))

    def missing(self, at_once: int) -> Iterator[tuple[int, int | None]]:
        """What is still to be written, as (start, stop): segment by segment, or as few pieces as possible."""
        if self.size is None:
            yield 0, None
            return
        left = [number for number in range(-(-self.size // SEGMENT)) if number not in self._done]
        if at_once > 1:
            yield from map(self._range, left)
            return
        while left:
            start = end = left.pop(0)
            while left and left[0] == end + 1:
                end = left.pop(0)
            yield self._range(start)[0], self._range(end)[1]

    def write(self, offset: int, data: bytes) -> None:
        """Put ``data`` at ``offset``. Raises :class:`Stopped` when the context is left."""
        left = memoryview(data)
        while left:
            with self._lock, writing(self.path):
                if self._file < 0:
                    raise Stopped("stopped")
                count = os.pwrite(self._file, left, offset)
            left, offset = left[count:], offset + count

    def note(self, start: int, stop: int) -> None:
        """What lies between two offsets is written: remember the segments that are complete by it."""
        if not self._lasting or self.size is None:
            return
        first, beyond = -(-start // SEGMENT), stop // SEGMENT + (stop == self.size and stop % SEGMENT > 0)
        new = [number for number in range(first, beyond) if number not in self._done]
        if not new:
            return
        with writing(self.path):
            with self.path.open("rb") as file:  # opened anew, because the lock is not to be held for so long
                os.fdatasync(file.fileno())
            with self._lock, self._list.open("a") as names:
                names.writelines(f"{number}\n" for number in new)
                names.flush()
                os.fdatasync(names.fileno())
                self._done.update(new)

    def forget(self) -> None:
        """What was written is worth nothing: begin anew."""
        with writing(self.path):
            self._done.clear()
            self._list.unlink(missing_ok=True)
            os.ftruncate(self._file, 0)

    def finish(self) -> None:
        """It is complete. Raises :class:`StorageError` if its length says otherwise."""
        found = os.fstat(self._file).st_size
        if self.size is not None and found != self.size:
            raise StorageError(f"{self.path} has {found} bytes after {self.size} were written")
        if self._lasting:
            with writing(self.path):
                os.fsync(self._file)
        self._list.unlink(missing_ok=True)

    def _range(self, number: int) -> tuple[int, int]:
        return number * SEGMENT, min((number + 1) * SEGMENT, self.size or 0)

    def _listed(self) -> set[int]:
        try:
            lines = self._list.read_text().split("\n")[:-1]
        except FileNotFoundError:
            return set()
        present = self.path.stat().st_size
        found = {int(line) for line in lines if line.isdecimal()}
        return {number for number in found if 0 < self._range(number)[1] <= present}
