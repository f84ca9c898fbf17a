"""How records cross from the thread that reads them to the event loop that handles them.

Each partition has a lane: its records are handled one after the other, while other lanes go on. A lane that holds too
much is full, and its partition is paused until half of it is handled, so that a slow handler costs neither memory nor
the membership of the group: the thread polls on.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterable

from mizzen.bus.record import Handler, Record

log = logging.getLogger(__name__)

Place = tuple[str, int]  # topic and partition

_MOST_RECORDS = 256
_MOST_BYTES = 4 * 1024 * 1024
_RECORD_OVERHEAD = 512


class Lane:
    """One partition, from the moment it was assigned: what was handed over, handled and committed.

    All but :attr:`closed` and :attr:`busy` belong to the reading thread.
    """

    def __init__(self, place: Place, start: int) -> None:
        self.place = place
        self.fetched = start  # the next record to hand over
        self.handled = start  # the first one not yet handled
        self.committed = start
        self.paused = False
        self.closed = False  # set when somebody else may read the partition: what waits here is not ours any more
        self.busy = False  # set while a handler runs
        self._records = 0
        self._bytes = 0

    def took(self, record: Record) -> None:
        self.fetched = record.offset + 1
        self._records += 1
        self._bytes += _weight(record)

    def did(self, record: Record) -> None:
        self.handled = max(self.handled, record.offset + 1)
        self._records -= 1
        self._bytes -= _weight(record)

    @property
    def is_full(self) -> bool:
        return self._records >= _MOST_RECORDS or self._bytes >= _MOST_BYTES

    @property
    def is_half_empty(self) -> bool:
        return self._records <= _MOST_RECORDS // 2 and self._bytes <= _MOST_BYTES // 2


class Lanes:
    """The loop's side: a worker for each partition, which calls the handler."""

    def __init__(self, handle: Handler, tasks: asyncio.TaskGroup) -> None:
        self.done: deque[tuple[Lane, Record]] = deque()
        self._handle = handle
        self._tasks = tasks
        self._queues: dict[Place, asyncio.Queue[tuple[Lane, Record]]] = {}
        self._workers: list[asyncio.Task[None]] = []

    def take(self, records: Iterable[tuple[Lane, Record]]) -> None:
        """Queue records for their partitions' workers; on the loop."""
        for lane, record in records:
            queue = self._queues.get(lane.place)
            if queue is None:
                queue = self._queues[lane.place] = asyncio.Queue()
                self._workers.append(self._tasks.create_task(self._work(queue), name="bus {}-{}".format(*lane.place)))
            queue.put_nowait((lane, record))

    def stop(self) -> None:
        """Cancel the workers and the handlers in which they wait."""
        for worker in self._workers:
            worker.cancel()

    async def _work(self, queue: asyncio.Queue[tuple[Lane, Record]]) -> None:
        while True:
            lane, record = await queue.get()
            # Set before the question: the thread closes a lane first and then looks whether it is busy.
            lane.busy = True
            try:
                if not lane.closed:
                    await self._handled(lane, record)
            finally:
                lane.busy = False

    async def _handled(self, lane: Lane, record: Record) -> None:
        try:
            await self._handle(record)
        except Exception:
            log.exception("handling %s-%d at %d failed; going on", record.topic, record.partition, record.offset)
        # While the lane is still busy: whoever waits for that takes in what was done, and commits it.
        self.done.append((lane, record))


def _weight(record: Record) -> int:
    return len(record.value) + _RECORD_OVERHEAD
