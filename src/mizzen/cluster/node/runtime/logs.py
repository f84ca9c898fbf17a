"""The reading end of a container's log: what ``kubectl logs`` asks for, across rotated files, while they are written.

There is no word between writer and reader. A reader holds its file open; when it is at the end and the log's name
belongs to another file by now, the rest of its own is final and it goes on with the next. Waiting costs a read and two
``stat`` calls a poll, and the polls become rare, so that an idle follower costs next to nothing.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

from mizzen.cluster.node.runtime.logfiles import PART_LIMIT, previous, rotated, stamp

__all__ = ["previous", "read", "tail_text"]

BLOCK = 128 * 1024
FIRST_WAIT = 0.02
LONGEST_WAIT = 0.5


async def read(
    path: Path,
    *,
    follow: bool = False,
    ended: Callable[[], bool] = lambda: True,
    tail_lines: int | None = None,
    since: float | None = None,
    timestamps: bool = False,
    limit_bytes: int | None = None,
) -> AsyncIterator[bytes]:
    """What a container wrote, both streams as they came, in chunks.

    A log that does not exist yet is empty. For the run before, pass what :func:`previous` gives.

    Args:
        follow: go on with what is written next, until ``ended()`` and all is read.
        ended: whether the container has ended, so that nothing more will be written.
        tail_lines: begin this many lines before the end.
        since: leave out what is older, in seconds since the epoch.
        timestamps: put each line's time before it.
        limit_bytes: stop after so many bytes.
    """
    if limit_bytes is not None and limit_bytes <= 0:
        return
    output = _Output(since, timestamps)
    left = limit_bytes
    wait = FIRST_WAIT
    with _Reader(path) as reader:
        if tail_lines is not None:
            reader.seek_tail(tail_lines)
        while True:
            # Asked before reading: what was written until then is read below.
            final = not follow or ended()
            block = reader.block()
            if not block:
                if final:
                    return
                await asyncio.sleep(wait)
                wait = min(wait * 1.5, LONGEST_WAIT)
                continue
            wait = FIRST_WAIT
            text = output.text(block)
            if left is not None:
                text = text[:left]
                left -= len(text)
            if text:
                yield text
            if left == 0:
                return
            # A long log is read in many blocks, and others have work too.
            await asyncio.sleep(0)


def tail_text(path: Path, lines: int = 80, max_bytes: int = 2048) -> str:
    """The end of a log as text: at most so many lines, and of these the last so many bytes."""
    output = _Output(None, False)
    with _Reader(path) as reader:
        reader.seek_tail(lines)
        text = b"".join(output.text(block) for block in iter(reader.block, b""))
    return text[-max_bytes:].decode(errors="replace") if max_bytes > 0 else ""


class _Output:
    """Turns lines as they lie on disk into what was written."""

    def __init__(self, since: float | None, timestamps: bool) -> None:
        self._since = stamp(int(since * 1e9)) if since is not None else b""
        self._timestamps = timestamps
        self._within: set[bytes] = set()

    def text(self, block: bytes) -> bytes:
        return b"".join(self._pieces(block))

    def _pieces(self, block: bytes) -> Iterator[bytes]:
        for line in _lines(block):
            fields = line.split(b" ", 3)
            if len(fields) < 4:
                # Not written by us, or damaged: better shown as it is than hidden.
                yield line
                continue
            when, stream, tag, text = fields
            if when < self._since:
                continue
            if self._timestamps and stream not in self._within:
                yield when + b" "
            if tag == b"P":
                self._within.add(stream)
                yield text[:-1]
            else:
                self._within.discard(stream)
                yield text


class _Reader:
    """A position in a log of several files. A log that does not exist is at its end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._files: list[int] = []
        self._rest = b""

    def __enter__(self) -> _Reader:
        self._files = self._open_all()
        return self

    def __exit__(self, *_: object) -> None:
        for fd in self._files:
            os.close(fd)
        self._files = []

    def block(self) -> bytes:
        """The next whole lines; empty at the end of what there is now."""
        while True:
            if not self._files and not self._reopen():
                return b""
            data = os.read(self._files[0], BLOCK)
            if not data and len(self._files) == 1:
                if not self._set_aside():
                    return b""
                # What was written between our reading and its being set aside is there now, and is the last.
                data = os.read(self._files[0], BLOCK)
                if not data and not self._follow_up():
                    return b""
            elif not data:
                os.close(self._files.pop(0))
            if not data:
                self._rest = b""
                continue
            whole, newline, rest = (self._rest + data).rpartition(b"\n")
            self._rest = rest
            if newline:
                return whole + newline

    def seek_tail(self, lines: int) -> None:
        """Go to where the last ``lines`` lines begin. A line in parts counts once, its first part before the others."""
        wanted = lines
        seen: set[bytes] = set()
        for index in range(len(self._files) - 1, -1, -1):
            offset, wanted = _before_last(self._files[index], wanted, seen)
            if wanted < 0 or index == 0:
                os.lseek(self._files[index], offset, os.SEEK_SET)
                for fd in self._files[:index]:
                    os.close(fd)
                del self._files[:index]
                return

    def _open_all(self) -> list[int]:
        """All files, oldest first; looked at again where the log was rotated meanwhile."""
        for _ in range(20):
            names = [file for _, file in rotated(self._path)]
            files = []
            for name in [*names, self._path]:
                try:
                    files.append(os.open(name, os.O_RDONLY | os.O_CLOEXEC))
                except FileNotFoundError:
                    continue
            if names == [file for _, file in rotated(self._path)]:
                return files
            for fd in files:
                os.close(fd)
        return []

    def _reopen(self) -> bool:
        self._files = self._open_all()
        return bool(self._files)

    def _set_aside(self) -> bool:
        """Whether the log's name belongs to another file than the one that is open last."""
        try:
            return not os.path.samestat(os.fstat(self._files[0]), self._path.stat())
        except FileNotFoundError:
            return True

    def _follow_up(self) -> bool:
        """Replace the last file, which is read to its end, by those that came after it."""
        own = os.fstat(self._files[0])
        files = self._open_all()
        # If ours is no longer among them, all of them are newer.
        after = next((index + 1 for index, fd in enumerate(files) if os.path.samestat(os.fstat(fd), own)), 0)
        for fd in files[:after]:
            os.close(fd)
        if not files[after:]:
            return False
        os.close(self._files[0])
        self._files = files[after:]
        return True


def _lines(block: bytes) -> list[bytes]:
    """The lines of a block that ends with a newline. (``splitlines`` would end them at carriage returns too.)"""
    return [line + b"\n" for line in block[:-1].split(b"\n")] if block else []


def _before_last(fd: int, lines: int, seen: set[bytes]) -> tuple[int, int]:
    """Where the last ``lines`` lines of a file begin, and how many of them lie before it; -1 if none does.

    Lines are counted by their ends: those wanted begin right after the end of the one before them. ``seen`` holds the
    streams met so far, because a part with nothing of its stream after it ends a line that was never finished.
    """
    position = os.fstat(fd).st_size
    tail = b""
    while position > 0:
        step = min(BLOCK, position)
        position -= step
        data = os.pread(fd, step, position) + tail
        # The first line of the block may have begun in the one before; it is looked at together with that.
        first = (data.find(b"\n") + 1 or len(data)) if position > 0 else 0
        end = data.rfind(b"\n") + 1
        for line in reversed(_lines(data[first:end])):
            _, stream, tag, *_ = [*line.split(b" ", 3), b"", b""]
            if tag != b"P" or stream not in seen:
                if lines == 0:
                    return position + end, -1
                lines -= 1
            seen.add(stream)
            end -= len(line)
        tail = data[:first]
    return 0, lines


assert BLOCK > 2 * PART_LIMIT, "a line fits into one block"
