"""Doing several things at once, so that the first failure ends all of them, and so does a signal.

The threads are daemons: one that waits for a silent server must not keep a process alive that was told to end. Whoever
works in one asks :meth:`Stop.check` between two pieces of work.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence

from mizzen.storage.errors import StorageError

# How long an end waits for threads that are in the middle of a read.
_PATIENCE = 1.0


class Stopped(StorageError):
    """Somebody else has failed already."""


class Stop:
    """Said once, heard by all."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def say(self) -> None:
        self._event.set()

    def check(self) -> None:
        """Raise :class:`Stopped` if it was said."""
        if self._event.is_set():
            raise Stopped("stopped")

    def sleep(self, seconds: float) -> None:
        """Wait, unless it is said; then raise :class:`Stopped`."""
        self._event.wait(seconds)
        self.check()


def all_of(tasks: Sequence[Callable[[], None]], at_once: int, stop: Stop) -> None:
    """Do every task, ``at_once`` at a time; in this thread if that is one.

    Raises what the first failure raised, after ``stop`` was said. A thread that does not hear it within a second is
    left behind: it may finish its read, and finds nothing to write to.
    """
    if at_once <= 1 or len(tasks) <= 1:
        for task in tasks:
            stop.check()
            task()
        return
    waiting: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
    for task in tasks:
        waiting.put(task)
    ends: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()

    def work() -> None:
        try:
            while (task := _next(waiting)) is not None:
                stop.check()
                task()
        except BaseException as error:
            ends.put(error)
        else:
            ends.put(None)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(min(at_once, len(tasks)))]
    try:
        for thread in threads:
            thread.start()
        stopped: BaseException | None = None
        for _ in threads:
            failure = ends.get()
            if isinstance(failure, Stopped):
                stopped = failure  # whoever said so has the reason, and comes yet
            elif failure is not None:
                raise failure
        if stopped is not None:
            raise stopped
    except BaseException:
        stop.say()
        _wait_for(threads)
        raise


def _next(waiting: queue.SimpleQueue[Callable[[], None]]) -> Callable[[], None] | None:
    try:
        return waiting.get_nowait()
    except queue.Empty:
        return None


def _wait_for(threads: list[threading.Thread]) -> None:
    deadline = time.monotonic() + _PATIENCE
    for thread in threads:
        if thread.ident is not None:
            thread.join(max(deadline - time.monotonic(), 0.0))
