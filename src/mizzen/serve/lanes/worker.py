"""A model's own thread: one job at a time, results handed back on the event loop.

It starts with its first job, never earlier: a process may fork until then. It is a daemon, because a ``predict`` that
never returns must not keep the process from ending.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Any

from mizzen.serve.running.crashes import Mark, named

Job = tuple[Callable[[], Any], Callable[[Any], None], asyncio.AbstractEventLoop]


class Worker:
    """Args:
    prepare: run first of all on the thread.
    """

    def __init__(self, name: str, prepare: Callable[[], None] | None = None) -> None:
        self._name = name
        self._prepare = prepare
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def submit(self, job: Callable[[], Any], done: Callable[[Any], None]) -> None:
        """Run ``job`` on the thread, then ``done`` on the running loop, with its result or with what it raised."""
        self.start()
        self._jobs.put((job, done, asyncio.get_running_loop()))

    def start(self) -> None:
        """Start the thread before its first job, so that it is prepared by then."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=f"model {self._name}", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """End the thread after its job. Does not wait."""
        if self._thread is not None:
            self._jobs.put(None)
            self._thread = None

    def _run(self) -> None:
        if self._prepare is not None:
            self._prepare()
        do, mark = named(_do, self._name), Mark(self._name)
        while (item := self._jobs.get()) is not None:
            job, done, loop = item
            mark.begin()
            try:
                result = do(job)
            except BaseException as error:
                # Whatever it is, it must not end the thread: those who wait for it would wait for ever.
                result = error
            mark.end()
            try:
                loop.call_soon_threadsafe(done, result)
            except RuntimeError:
                break  # the loop is closed: nobody waits for this any more
            del item, job, done, result
        mark.close()


def _do(job: Callable[[], Any]) -> Any:
    return job()
