"""Work that goes on though whoever asked for it has gone: a model that is half loaded helps nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


class Kept:
    """Tasks that are held until they end."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def finish(self, work: Coroutine[Any, Any, None]) -> None:
        """Wait for it; if the waiting is cancelled, it is not."""
        await asyncio.shield(self.start(work))

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # whoever waited has it, if there is still somebody
