"""How far a transfer is, for those who wait for it.

Providers count into a :class:`Meter`, which calls back at most once a second; :class:`Console` is the callback that
writes log lines, or one line that renews itself when somebody watches a terminal.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import NamedTuple, TextIO

from mizzen.storage.errors import size
from mizzen.storage.uris import one_line

_INTERVAL = 1.0


class Transfer(NamedTuple):
    """One report: ``done`` of ``total`` bytes (``None``: not known) of the file ``name`` after ``seconds``.

    ``action`` is ``download`` or ``unpack``. ``finished`` is set on the last report of a transfer that succeeded.
    ``trouble`` says why a transfer begins again, ``notice`` what else a person should know; otherwise both are empty.
    """

    action: str
    name: str
    done: int
    total: int | None
    seconds: float
    finished: bool = False
    trouble: str = ""
    notice: str = ""

    @property
    def rate(self) -> float:
        """Bytes a second since the beginning."""
        return self.done / self.seconds if self.seconds > 0 else 0.0

    def __str__(self) -> str:
        if self.notice:
            return f"{one_line(self.name)}: {self.notice}"
        if self.trouble:
            return f"{self.action} {one_line(self.name)}: {self.trouble}; trying again"
        amount = size(self.done)
        if not self.finished and self.total:
            amount += f" of {size(self.total)} ({self.done * 100 // self.total} %)"
        return f"{self.action} {one_line(self.name)}: {amount}, {size(self.rate)}/s"


Progress = Callable[[Transfer], None]


class Meter:
    """Counts the bytes of one transfer and reports them: the first time after a second, and always at its end."""

    def __init__(self, progress: Progress | None, action: str, name: str, total: int | None = None) -> None:
        self._progress = progress
        self._action = action
        self._name = name
        self._total = total
        self._started = self._reported = time.monotonic()
        self.done = 0

    def add(self, count: int) -> None:
        self.done += count
        now = time.monotonic()
        if now - self._reported >= _INTERVAL:
            self._reported = now
            self._report(now, finished=False)

    def finish(self) -> None:
        self._report(time.monotonic(), finished=True)

    def _report(self, now: float, *, finished: bool) -> None:
        if self._progress is not None:
            self._progress(Transfer(self._action, self._name, self.done, self._total, now - self._started, finished))


class Console:
    """Writes reports to ``stream``, and other lines between them."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._in_place = stream.isatty()
        self._unfinished = False

    def __call__(self, transfer: Transfer) -> None:
        if not self._in_place or transfer.trouble or transfer.notice:
            self.line(str(transfer))
            return
        # A line wider than the terminal would wrap, and the carriage return would renew only its last part.
        text = str(transfer)[: max(_columns(self._stream) - 1, 20)]
        self._stream.write(f"\r\x1b[K{text}" + ("\n" if transfer.finished else ""))
        self._stream.flush()
        self._unfinished = not transfer.finished

    def line(self, text: str) -> None:
        """One line of log, with its time in UTC."""
        self.end()
        print(time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), text, file=self._stream, flush=True)

    def last(self, text: str) -> None:
        """``text`` alone on its line: what stands there becomes the pod's termination message."""
        self.end()
        print(text, file=self._stream, flush=True)

    def end(self) -> None:
        """Leave the line that renews itself, so that the next output does not overwrite it."""
        if self._unfinished:
            self._stream.write("\n")
            self._stream.flush()
            self._unfinished = False


def _columns(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError):
        return 80
