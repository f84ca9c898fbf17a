"""Work by key, one thing at a time: what comes later takes the place of what came before.

A task that is replaced is cancelled at once and has ended before its successor begins, unless it will not end: then the
successor begins after a grace. So many tasks run at once as there are places; cancelled ones give theirs back as they
end.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Iterator
from contextlib import asynccontextmanager
from typing import Any

from msgspec import Struct

_log = logging.getLogger(__name__)

_GRACE = 10.0


class Running(Struct, eq=False):
    """A task that has not ended. ``about`` is whatever its starter wants to find it by."""

    about: Any
    task: asyncio.Task[None] | None = None


class Place:
    """Where a task may run; to be given up early by a task that only waits from then on."""

    def __init__(self, places: asyncio.Semaphore) -> None:
        self._places = places
        self._held = False

    async def take(self) -> None:
        await self._places.acquire()
        self._held = True

    def give_up(self) -> None:
        if self._held:
            self._held = False
            self._places.release()


Work = Callable[[Place], Awaitable[None]]


class Tasks:
    """
    Args:
        places: how many run at once.
        grace: seconds that a cancelled task may take to end before the next one of its key begins.
    """

    def __init__(self, places: int, grace: float = _GRACE) -> None:
        self._places = asyncio.Semaphore(places)
        self._grace = grace
        self._group: asyncio.TaskGroup | None = None
        self._current: dict[Hashable, Running] = {}
        self._ending: dict[Hashable, set[asyncio.Task[None]]] = {}

    def __len__(self) -> int:
        return len(self._current)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """While this is open tasks can be started; at its end they are cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                yield
            finally:
                self._group = None
                for running in [*self._current.values()]:
                    self._cancel(running)

    def start(self, key: Hashable, about: Any, work: Work) -> None:
        """Do ``work`` in place of whatever runs under ``key``; what it raises is logged."""
        if self._group is None:
            return
        self.cancel(key)
        running = Running(about)
        self._current[key] = running
        before = frozenset(self._ending.get(key, ()))
        running.task = self._group.create_task(self._run(before, work), name=str(key))
        self._ending.setdefault(key, set()).add(running.task)
        running.task.add_done_callback(lambda task: self._ended(key, running, task))

    def running(self, key: Hashable) -> Any | None:
        """What the task under ``key`` is about; None where none runs."""
        found = self._current.get(key)
        return found.about if found else None

    def all(self) -> Iterator[tuple[Hashable, Any]]:
        """The keys under which something runs, and what about."""
        yield from [(key, running.about) for key, running in self._current.items()]

    def cancel(self, key: Hashable) -> bool:
        """Cancel what runs under ``key``; whether anything did."""
        running = self._current.pop(key, None)
        if running is None:
            return False
        self._cancel(running)
        return True

    @staticmethod
    def _cancel(running: Running) -> None:
        if running.task is not None:
            running.task.cancel()

    async def _run(self, before: frozenset[asyncio.Task[None]], work: Work) -> None:
        if before:
            _, still = await asyncio.wait(before, timeout=self._grace)
            if still:
                _log.warning("what was cancelled has not ended after %g s; what replaces it begins", self._grace)
        place = Place(self._places)
        await place.take()
        try:
            await work(place)
        except Exception:
            _log.exception("a task failed")
        finally:
            place.give_up()

    def _ended(self, key: Hashable, running: Running, task: asyncio.Task[None]) -> None:
        if self._current.get(key) is running:
            del self._current[key]
        ending = self._ending[key]
        ending.discard(task)
        if not ending:
            del self._ending[key]
