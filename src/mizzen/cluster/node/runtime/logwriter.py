"""The writing end of a container's log: whole lines, files of bounded size, and never in the container's way.

A disk that is full or stands still must not stop what writes to it, so lines that cannot be written are counted and
dropped, and a line in the log says how many as soon as writing works again. What could be written only in part is taken
back: no line is ever torn.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from mizzen.cluster.node.runtime.logfiles import PART_LIMIT, rotated, stamp

# One write that takes this long stands for a disk that does not keep up. Seconds.
SLOW = 1.0
# After a slow write the log rests as long as the write took, so that the parent never spends more than half its time
# waiting for one disk, but no longer than this.
LONGEST_REST = 30.0
RETRY_OPEN = 1.0


class LogWriter:
    """Writes one container's log.

    Args:
        path: the current file; rotated ones lie beside it.
        max_bytes: a file that would grow beyond this is rotated first.
        max_files: how many files there may be, the current one included.
    """

    def __init__(
        self,
        path: Path,
        max_bytes: int,
        max_files: int,
        *,
        write: Callable[[int, bytes], int] = os.write,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path = path
        self.max_bytes = max_bytes
        self.max_files = max_files
        self.dropped = 0
        self._write = write
        self._clock = clock
        self._fd = -1
        self._size = 0
        self._unfinished: dict[str, bytes] = {}
        self._trouble = ""
        self._rest_until = 0.0

    def feed(self, stream: str, data: bytes, now: int | None = None) -> None:
        """Log what a container wrote to ``stdout`` or ``stderr``. ``now`` is in nanoseconds since the epoch."""
        lines = (self._unfinished.pop(stream, b"") + data).split(b"\n")
        rest = lines.pop()
        prefix = stamp(time.time_ns() if now is None else now) + b" " + stream.encode()
        whole, part = prefix + b" F ", prefix + b" P "
        records = []
        for line in lines:
            while len(line) > PART_LIMIT:
                records.append(part + line[:PART_LIMIT] + b"\n")
                line = line[PART_LIMIT:]
            records.append(whole + line + b"\n")
        while len(rest) > PART_LIMIT:
            records.append(part + rest[:PART_LIMIT] + b"\n")
            rest = rest[PART_LIMIT:]
        if rest:
            self._unfinished[stream] = rest
        if records:
            self._store(records)

    def close(self, now: int | None = None) -> None:
        """Write out lines that were never ended, as parts, and close the file."""
        for stream, rest in self._unfinished.items():
            text = stamp(time.time_ns() if now is None else now) + b" " + stream.encode() + b" P " + rest + b"\n"
            self._store([text])
        self._unfinished.clear()
        if self.dropped:
            self._rest_until = 0.0
            self._store([])
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _store(self, records: list[bytes]) -> None:
        """Append records, rotating between them where the current file is full."""
        if self._clock() < self._rest_until or not self._open():
            self.dropped += len(records)
            return
        if self.dropped:
            note = f" stderr F [mizzen] {self.dropped} lines of this log were lost: {self._trouble}\n"
            records = [stamp(time.time_ns()) + note.encode(), *records]
        noted = self.dropped
        start = 0
        size = 0
        for index, record in enumerate(records):
            if self._size + size + len(record) > self.max_bytes and self._size + size > 0:
                self._append(records[start:index], noted if start == 0 else 0)
                self._rotate()
                start, size = index, 0
            size += len(record)
        self._append(records[start:], noted if start == 0 else 0)

    def _append(self, records: list[bytes], noted: int) -> None:
        """Write records to the current file. ``noted`` lines are told of in the first of them."""
        if not records:
            return
        text = b"".join(records)
        began = self._clock()
        written = 0
        try:
            if self._fd < 0:
                raise OSError(0, self._trouble)
            # A disk that fills up takes a part first and refuses the rest with its reason.
            while written < len(text):
                written += self._write(self._fd, text[written:] if written else text)
        except OSError as error:
            self._trouble = error.strerror or str(error)
            if written:
                with suppress(OSError):
                    os.ftruncate(self._fd, self._size)
            self.dropped += len(records) - (1 if noted else 0)
        else:
            self._size += len(text)
            self.dropped -= noted
        took = self._clock() - began
        if took >= SLOW:
            self._trouble = f"the disk took {took:.0f} s for one write"
            self._rest_until = self._clock() + min(took, LONGEST_REST)

    def _open(self) -> bool:
        if self._fd >= 0:
            return True
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
            self._size = os.fstat(self._fd).st_size
        except OSError as error:
            self._trouble = error.strerror or str(error)
            self._rest_until = self._clock() + RETRY_OPEN
            return False
        return True

    def _rotate(self) -> None:
        """Set the current file aside under the next number, and delete the oldest ones."""
        try:
            files = rotated(self.path)
            number = files[-1][0] + 1 if files else 1
            aside = self.path.with_name(f"{self.path.name}.{number}")
            self.path.rename(aside)
            files.append((number, aside))
            for _, file in files[: max(0, len(files) - (self.max_files - 1))]:
                file.unlink(missing_ok=True)
        except OSError as error:
            # Somebody changed the folder under us. Lines are worth more than the bound: go on, and try again next time.
            self._trouble = f"the log could not be rotated: {error.strerror}"
        os.close(self._fd)
        self._fd = -1
        self._open()
