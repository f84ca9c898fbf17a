"""A model's own thread, with an event loop of its own.

Everything that a user wrote runs there: coroutines beside each other, plain code one piece at a time. What it does to
its loop it does to nobody else: a piece of code that blocks keeps its own model waiting, and one that tries to end the
process ends its own request. The thread is a daemon, because code that never returns must not keep the process from
ending; it starts late, because a process with threads must not be forked.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from mizzen.serve.lanes.threads import raise_to, share
from mizzen.serve.running.crashes import named

logger = logging.getLogger(__name__)

T = TypeVar("T")

# For a model's own tasks to end when it does.
_LAST_SECONDS = 5.0


class ModelThread:
    """Args:
    name: the model's, for the thread's own.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._thread: threading.Thread | None = None
        self._ended = False
        self._stopped = False
        self._begun = threading.Lock()
        self._resting: deque[Callable[[], None]] = deque()
        self.loop: asyncio.AbstractEventLoop | None = None

    @property
    def here(self) -> bool:
        """Whether the caller is on this thread."""
        return self._thread is threading.current_thread()

    def start(self) -> asyncio.AbstractEventLoop:
        """Start the thread, once, and return its loop."""
        with self._begun:
            if self.loop is None:
                self.loop = _new_loop()
                self._thread = threading.Thread(
                    target=named(ModelThread._run, self._name),
                    args=(self,),
                    name=f"model {self._name}",
                    daemon=True,
                )
                self._thread.start()
            return self.loop

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the thread and wait for its result. Not for the thread itself.

        Raises:
            BaseException: what it raised; of what would end the thread, an exception of the same text.
        """
        done: concurrent.futures.Future[T] = concurrent.futures.Future()

        async def job() -> None:
            try:
                done.set_result(await coroutine)
            except BaseException as error:
                done.set_exception(error)

        if self._ended:
            coroutine.close()
            raise RuntimeError(f"the thread of model {self._name} has ended")
        loop = self.start()
        loop.call_soon_threadsafe(lambda: _keep(loop.create_task(job())))
        return done.result()

    def call(self, function: Callable[[], T]) -> T:
        """Run plain code on the thread while its loop rests, as a program's main thread would, and wait for the result.

        Raises:
            BaseException: what it raised.
        """
        done: concurrent.futures.Future[T] = concurrent.futures.Future()

        def job() -> None:
            try:
                done.set_result(function())
            except BaseException as error:
                done.set_exception(error)

        loop = self.start()
        self._resting.append(job)
        loop.call_soon_threadsafe(loop.stop)
        return done.result()

    def close(self, last: Callable[[], Coroutine[Any, Any, None]] | None = None) -> None:
        """End the thread after what it is at. Does not wait.

        Args:
            last: what it is to do before; its exceptions are logged.
        """
        with self._begun:
            if self._ended:
                return
            self._ended = True
            if self.loop is not None:
                self.loop.call_soon_threadsafe(lambda: _keep(self._task(self._end(last))))

    def join(self, timeout: float) -> bool:
        """Wait for the end; returns whether it came in time."""
        if self._thread is not None:
            self._thread.join(timeout)
            return not self._thread.is_alive()
        return True

    def _task(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        assert self.loop is not None
        return self.loop.create_task(coroutine)

    async def _end(self, last: Callable[[], Coroutine[Any, Any, None]] | None) -> None:
        try:
            if last is not None:
                await last()
        except BaseException as error:
            logger.warning("model %s did not stop cleanly: %s: %s", self._name, type(error).__name__, error)
        self._stopped = True
        asyncio.get_running_loop().stop()

    def _run(self) -> None:
        loop = self.loop
        assert loop is not None
        asyncio.set_event_loop(loop)
        if (threads := share(os.environ)) > 1:
            raise_to(threads)
        while not self._stopped:
            try:
                while self._resting:
                    self._resting.popleft()()
                loop.run_forever()
            except BaseException as error:
                # A task of the model's own called sys.exit, which asyncio hands to whoever runs the loop.
                logger.error("model %s: a task of its own tried to end the process: %r", self._name, error)
        try:
            loop.run_until_complete(_end_tasks(loop))
            loop.run_until_complete(loop.shutdown_asyncgens())
        except BaseException as error:
            logger.warning("model %s: its tasks did not end cleanly: %r", self._name, error)
        finally:
            loop.close()


class Outbox:
    """Calls from one thread to be made on another's loop, with one wake-up for as many as have gathered."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._calls: deque[tuple[Callable[..., Any], tuple[Any, ...]]] = deque()
        self._woken = False

    def put(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Have a function called on the loop. One thread may put."""
        self._calls.append((function, arguments))
        if not self._woken:
            self._woken = True
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits for this any more
                self._loop.call_soon_threadsafe(self._make)

    def _make(self) -> None:
        self._woken = False
        # What comes in meanwhile wakes anew: others want the loop, too.
        for _ in range(len(self._calls)):
            function, arguments = self._calls.popleft()
            try:
                function(*arguments)
            except Exception:
                logger.exception("a message between threads could not be handled")


_tasks: set[asyncio.Task[Any]] = set()


def _keep(task: asyncio.Task[Any]) -> None:
    """The loop itself holds its tasks weakly."""
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)


async def _end_tasks(loop: asyncio.AbstractEventLoop) -> None:
    others = asyncio.all_tasks(loop) - {asyncio.current_task()}
    for task in others:
        task.cancel()
    if others:
        await asyncio.wait(others, timeout=_LAST_SECONDS)


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:  # not made for this system
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()
