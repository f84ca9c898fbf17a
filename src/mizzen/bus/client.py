"""One process's connection to a Kafka.

A bus sends, reads and makes topics. Entering it needs no broker: whatever needs one waits for it, or fails after a time
with a sentence that names it. One thread serves what is sent and watches the connection; each listener has a thread of
its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from mizzen.bus.errors import BusError
from mizzen.bus.lanes import Lanes
from mizzen.bus.library import require
from mizzen.bus.listener import Listener
from mizzen.bus.record import Handler
from mizzen.bus.settings import BusSettings

if TYPE_CHECKING:
    from mizzen.bus.reader import Reader
    from mizzen.bus.service import Service


class Bus:
    """A connection, used as an async context manager.

    Raises:
        BusError: Kafka's client library is not installed.
    """

    def __init__(self, settings: BusSettings) -> None:
        require("confluent_kafka", "confluent-kafka")
        self.settings = settings
        self._service: Service | None = None

    async def __aenter__(self) -> Bus:
        """Make the clients, which look for the broker by themselves.

        Raises:
            BusError: a property is wrong.
        """
        from mizzen.bus.service import Service

        self._service = Service(self.settings)
        self._service.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        service, self._service = self._entered(), None
        await service.stop()

    @property
    def connected(self) -> bool:
        """Whether the broker answered when it was last asked, some seconds ago at most."""
        return self._service is not None and self._service.watch.view.connected

    async def check(self, timeout: float = 5.0) -> str | None:
        """Ask the broker now: ``None`` if it answers within ``timeout`` seconds, or what is wrong."""
        return await self._entered().check(timeout)

    async def send(
        self, topic: str, value: bytes, *, key: str | None = None, headers: Sequence[tuple[str, bytes]] = ()
    ) -> None:
        """Send a record and return once the broker has acknowledged it.

        Raises:
            BusError: it did not, within the settings' ``send_timeout``; or it refused the record.
        """
        await self._entered().sender.send(topic, value, key, headers)

    def group(self, topics: Sequence[str], group: str, handle: Handler) -> Listener:
        """Read ``topics`` as a member of ``group``; each record goes to one of its members.

        ``handle`` is called for the records of one partition one after the other. The offset is committed after it
        returned or raised (which is logged). A group without offsets begins at the end.
        """
        from mizzen.bus.group import GroupReader

        return self._listener(GroupReader, topics, group, handle)

    def tail(self, topics: Sequence[str], handle: Handler, *, group: str) -> Listener:
        """Read all partitions of ``topics`` from now on; nothing is committed.

        ``group`` is never joined, but the broker's ACLs may want it: it begins as the operation group does.
        """
        from mizzen.bus.tail import TailReader

        return self._listener(TailReader, topics, group, handle)

    async def ensure_topics(self, topics: Sequence[str], partitions: int = 10) -> None:
        """Create the topics that are not there yet; those that are stay as they are.

        Raises:
            BusError: the broker did not answer in the settings' ``send_timeout``, or refuses.
        """
        await self._entered().ensure_topics(topics, partitions)

    def _listener(self, kind: type[Reader], topics: Sequence[str], group: str, handle: Handler) -> Listener:
        service = self._entered()
        configuration = self.settings.for_consumer(group)

        def make(lanes: Lanes, on_loop: Callable[..., None], on_ready: Callable[[bool], None]) -> Reader:
            return kind(topics, configuration, service.watch, lanes, on_loop, on_ready)

        return Listener(f"bus {group}", make, handle)

    def _entered(self) -> Service:
        if self._service is None:
            raise BusError("the connection to Kafka is used outside its `async with`")
        return self._service
