"""That a replica is there: said when it can hear the answer, and from then on at every heartbeat.

A listener begins at the end of its topics, so REGISTER waits until partitions are assigned to both. Until the runtime
has acknowledged it is said again, soon at first and then at each heartbeat: a runtime may come later than its
participants, and Kafka later than both.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

from mizzen.acm.messages.reports import Deregister, Register, Status
from mizzen.acm.participant.identity import Identity, library_version
from mizzen.acm.participant.sender import Sender
from mizzen.bus.errors import BusError

_log = logging.getLogger(__name__)

_FIRST_PAUSE = 1.0


class Lifecycle:
    """
    Args:
        heartbeat: seconds.

    Attributes:
        registered: whether the runtime has acknowledged.
        begun: whether this replica has been able to hear the runtime at all.
    """

    def __init__(self, me: Identity, sender: Sender, heartbeat: float) -> None:
        self._me = me
        self._sender = sender
        self._heartbeat = heartbeat
        self._due = asyncio.Event()
        self.registered = False
        self.begun = False

    def acknowledged(self) -> None:
        """The runtime knows this replica, and is told at once how it goes."""
        if not self.registered:
            _log.info("registered")
        self.registered = True
        self._due.set()

    def asked(self) -> None:
        """The runtime wants to know."""
        self._due.set()

    async def run(self, ready: Iterable[asyncio.Event]) -> None:
        """Report until cancelled, once all of ``ready`` are set."""
        for event in ready:
            await event.wait()
        self.begun = True
        pause = min(_FIRST_PAUSE, self._heartbeat)
        while True:
            self._due.clear()
            sent = await self._report()
            if sent and self.registered:
                pause = min(_FIRST_PAUSE, self._heartbeat)
                await self._wait(self._heartbeat)
            else:
                await self._wait(pause)
                pause = min(pause * 2, self._heartbeat)

    async def leave(self, timeout: float) -> None:
        """Say that this replica ends, if anybody listens; nothing waits for an answer."""
        if not self.begun:
            return
        try:
            async with asyncio.timeout(timeout):
                await self._sender.send(
                    Deregister(participant_id=self._me.participant_id, replica_id=self._me.replica_id)
                )
        except (BusError, TimeoutError) as error:
            _log.warning("the runtime could not be told that this replica ends: %s", error or "no answer")

    async def _report(self) -> bool:
        me = self._me
        message = (
            Status(
                participant_id=me.participant_id,
                replica_id=me.replica_id,
                participant_supported_element_type=list(me.types),
            )
            if self.registered
            else Register(
                participant_id=me.participant_id,
                replica_id=me.replica_id,
                participant_supported_element_type=list(me.types),
                intermediary_version=library_version(),
            )
        )
        try:
            await self._sender.send(message)
        except BusError as error:
            _log.warning("%s could not be sent: %s", type(message).__name__, error)
            return False
        return True

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._due.wait()
        except TimeoutError:
            pass
