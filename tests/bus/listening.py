"""A listener that runs for the length of a block, and a handler that remembers what it was given."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from mizzen.bus import Listener, Record

PATIENCE = 40.0


class Heard:
    """A handler: ``until`` waits for what it hears."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self._more = asyncio.Event()

    async def __call__(self, record: Record) -> None:
        self.records.append(record)
        self._more.set()

    @property
    def values(self) -> list[bytes]:
        return [record.value for record in self.records]

    async def until(self, enough: Callable[[list[bytes]], object]) -> None:
        """Wait until ``enough`` says so of the values heard so far."""
        async with asyncio.timeout(PATIENCE):
            while not enough(self.values):
                self._more.clear()
                await self._more.wait()

    async def count(self, number: int) -> list[bytes]:
        await self.until(lambda values: len(values) >= number)
        return self.values


@contextlib.asynccontextmanager
async def running(*listeners: Listener, wait: bool = True) -> AsyncIterator[None]:
    """Run the listeners; the block begins when all are ready, unless ``wait`` says otherwise."""
    tasks = [asyncio.create_task(listener.run()) for listener in listeners]
    try:
        if wait:
            await ready(*listeners)
        yield
        assert [task for task in tasks if task.done()] == [], "a listener ended by itself"
    finally:
        for task in tasks:
            task.cancel()
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*tasks, return_exceptions=True)


async def ready(*listeners: Listener) -> None:
    async with asyncio.timeout(PATIENCE):
        for listener in listeners:
            await listener.ready.wait()


async def until(condition: Callable[[], object]) -> None:
    """Wait until ``condition`` holds."""
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.01)
