"""A listener: handlers on the event loop, fed by a reading thread for as long as the listener runs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mizzen.bus.lanes import Lanes
from mizzen.bus.record import Handler

if TYPE_CHECKING:
    from mizzen.bus.reader import Reader

log = logging.getLogger(__name__)

# A thread ends within a round of its own; only a question to a broker that hangs may take longer.
_GRACE = 5.0

MakeReader = Callable[[Lanes, Callable[..., None], Callable[[bool], None]], "Reader"]


class Listener:
    """What :meth:`mizzen.bus.client.Bus.group` and :meth:`~mizzen.bus.client.Bus.tail` give.

    Attributes:
        ready: set while the broker answers and every topic is read (or, in a group, read by those to whom the group
            gave the partitions); cleared when the broker is lost.
    """

    def __init__(self, name: str, make: MakeReader, handle: Handler) -> None:
        self.ready = asyncio.Event()
        self._name = name
        self._make = make
        self._handle = handle
        self._running = False

    async def run(self) -> None:
        """Read and handle until cancelled, whatever becomes of the broker; handlers under way are cancelled too.

        Raises:
            BusError: the consumer's properties are wrong.
        """
        if self._running:
            raise RuntimeError(f"{self._name} runs already")
        self._running = True
        try:
            await self._run()
        finally:
            self._running = False
            self.ready.clear()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[BaseException | None] = loop.create_future()

        def on_loop(function: Callable[..., None], *arguments: Any) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to be told
                loop.call_soon_threadsafe(function, *arguments)

        async with asyncio.TaskGroup() as tasks:
            lanes = Lanes(self._handle, tasks)
            reader = self._make(lanes, on_loop, self._set_ready)
            threading.Thread(target=_read, args=(reader, on_loop, ended), name=self._name, daemon=True).start()
            try:
                defect = await asyncio.shield(ended)
            finally:
                reader.stop()
                await asyncio.wait({ended}, timeout=_GRACE)
                if not ended.done():
                    log.warning("%s waits for a broker that hangs, and is left to end by itself", self._name)
                lanes.stop()
        if defect is not None:
            raise defect

    def _set_ready(self, ready: bool) -> None:
        if ready:
            self.ready.set()
        else:
            self.ready.clear()


def _read(reader: Reader, on_loop: Callable[..., None], ended: asyncio.Future[BaseException | None]) -> None:
    defect: BaseException | None = None
    try:
        reader.run()
    except BaseException as error:
        defect = error
    on_loop(_end, ended, defect)


def _end(ended: asyncio.Future[BaseException | None], defect: BaseException | None) -> None:
    if not ended.done():
        ended.set_result(defect)
