"""A controller: look at one object again and again until the world is as it says.

Level-triggered: :class:`Controller` hands ``reconcile`` a key and never the event that woke it, so a missed, doubled or
late event changes nothing but the time. What the function returns is the delay after which it wants to look again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable

from mizzen.kube.client import Unreachable
from mizzen.kube.errors import ApiError
from mizzen.kube.informer import Change, Informer, Key
from mizzen.kube.workqueue import WorkQueue

log = logging.getLogger(__name__)

Reconcile = Callable[[str, str], Awaitable[float | None]]


class Controller:
    """Runs ``reconcile(namespace, name)`` for every key that its informers name.

    Args:
        name: for log lines.
        reconcile: brings one object's world in line; returns seconds after which to look again, or ``None``.
        workers: how many keys are worked on at a time.
    """

    def __init__(self, name: str, reconcile: Reconcile, *, workers: int = 4) -> None:
        self.name = name
        self.queue: WorkQueue[Key] = WorkQueue()
        self._reconcile = reconcile
        self._workers = workers
        self._informers: list[Informer] = []

    def watches(self, informer: Informer, keys: Callable[[Change], Iterable[Key]] | None = None) -> None:
        """Look at the keys that ``keys`` names for a change; without it, at the changed object itself."""
        self._informers.append(informer)

        def changed(change: Change) -> None:
            for key in keys(change) if keys else (change.key,):
                self.queue.add(key)

        informer.on_change(changed)

    async def run(self) -> None:
        """Work until cancelled. Nothing is looked at before every informer has its first full list."""
        for informer in self._informers:
            await informer.synced.wait()
        async with asyncio.TaskGroup() as group:
            for _ in range(self._workers):
                group.create_task(self._work())

    async def _work(self) -> None:
        while True:
            key = await self.queue.get()
            try:
                again = await self._reconcile(*key)
            except ApiError as error:
                delay = self.queue.retry(key)
                # A conflict is the cache being behind: the next look has the newer object.
                level = logging.DEBUG if error.code == 409 else logging.WARNING
                log.log(level, "%s %s: %s (again in %.2g s)", self.name, "/".join(key), error, delay)
            except Unreachable as error:
                log.debug("%s %s: %s", self.name, "/".join(key), error)
                self.queue.retry(key)
            except Exception:
                delay = self.queue.retry(key)
                log.exception("%s %s failed (again in %.2g s)", self.name, "/".join(key), delay)
            else:
                self.queue.succeeded(key)
                if again is not None:
                    self.queue.add_after(key, again)
            finally:
                self.queue.done(key)


def controlled_by(owners: Informer) -> Callable[[Change], list[Key]]:
    """Maps a child's change to the owner that controls it, found by uid so that a namesake is never meant."""

    def keys(change: Change) -> list[Key]:
        found: list[Key] = []
        for entry in change.entries:
            key = owners.key_of(entry.controller_uid)
            if key is not None and key not in found:
                found.append(key)
        return found

    return keys
