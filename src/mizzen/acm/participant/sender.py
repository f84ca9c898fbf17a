"""How messages leave: to their topic, under their key, counted; and again, where they must arrive."""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from mizzen.acm.messages.codec import encode
from mizzen.acm.messages.envelope import Envelope
from mizzen.acm.messages.topics import Topics
from mizzen.acm.participant.metrics import Metrics
from mizzen.bus.errors import BusError

_log = logging.getLogger(__name__)

_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 5.0
# A broker that is there and refuses will refuse again.
_REFUSALS = 3


class Producer(Protocol):
    """What is used here of :class:`mizzen.bus.client.Bus`."""

    @property
    def connected(self) -> bool: ...

    async def send(self, topic: str, value: bytes, *, key: str | None = None) -> None: ...


class Sender:
    def __init__(self, bus: Producer, topics: Topics, metrics: Metrics) -> None:
        self._bus = bus
        self._topics = topics
        self._metrics = metrics

    @property
    def connected(self) -> bool:
        """Whether a broker is there."""
        return self._bus.connected

    async def send(self, message: Envelope) -> None:
        """Send it once.

        Raises:
            BusError: the broker did not take it.
        """
        with self._metrics.timed(type(message)):
            await self._bus.send(self._topics.of(message), encode(message), key=message.key)
        _log.debug("sent %s", type(message).__name__)

    async def deliver(self, message: Envelope) -> bool:
        """Send it, again and again while the broker is away.

        Returns:
            Whether it was taken; a broker that answers and refuses it several times ends the matter.
        """
        pause, refusals = _FIRST_PAUSE, 0
        while True:
            try:
                await self.send(message)
                return True
            except BusError as error:
                refusals = refusals + 1 if self._bus.connected else 0
                if refusals == _REFUSALS:
                    _log.error("%s is given up: %s", type(message).__name__, error)
                    return False
                if pause == _FIRST_PAUSE:
                    _log.warning("%s waits to be sent: %s", type(message).__name__, error)
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)
