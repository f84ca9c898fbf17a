"""What handlers tell of elements without being asked, sent as ``PARTICIPANT_STATUS``.

Of each element the newest is what matters: while Kafka is away it takes the place of what was told before, and goes out
once when Kafka is back.
"""

from __future__ import annotations

import asyncio
import logging
from uuid import UUID

from msgspec import Struct

from mizzen.acm.messages.elements import ElementInfo, InstanceInfo
from mizzen.acm.messages.reports import Status
from mizzen.acm.participant.cache import Cache
from mizzen.acm.participant.handler import Properties, Publisher
from mizzen.acm.participant.identity import Identity
from mizzen.acm.participant.sender import Sender
from mizzen.bus.errors import BusError

_log = logging.getLogger(__name__)

_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 5.0
# A broker that is there and refuses will refuse again.
_REFUSALS = 3


class _News(Struct):
    instance_id: UUID
    out_properties: Properties
    operational_state: str | None
    use_state: str | None
    refusals: int = 0


class StatusPublisher(Publisher):
    def __init__(self, me: Identity, cache: Cache, sender: Sender) -> None:
        self._me = me
        self._cache = cache
        self._sender = sender
        self._waiting: dict[UUID, _News] = {}
        self._news = asyncio.Event()

    def __len__(self) -> int:
        return len(self._waiting)

    async def element_info(
        self,
        instance_id: UUID,
        element_id: UUID,
        *,
        out_properties: Properties,
        operational_state: str | None = None,
        use_state: str | None = None,
    ) -> None:
        known = self._cache.element(instance_id, element_id)
        if known is None:
            _log.warning("element %s is not known, and nothing is told of it", element_id)
            return
        known.out_properties = dict(out_properties)
        known.operational_state = operational_state or known.operational_state
        known.use_state = use_state or known.use_state
        # Apart from the cache, which what the runtime tells may set back to what it knew.
        self._waiting[element_id] = _News(instance_id, known.out_properties, known.operational_state, known.use_state)
        self._news.set()

    async def run(self) -> None:
        """Send what is told, until cancelled."""
        pause = _FIRST_PAUSE
        while True:
            await self._news.wait()
            self._news.clear()
            while self._waiting:
                element_id, news = next(iter(self._waiting.items()))
                del self._waiting[element_id]
                if await self._send(element_id, news):
                    pause = _FIRST_PAUSE
                    continue
                if news.refusals < _REFUSALS:
                    self._waiting.setdefault(element_id, news)
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)

    async def _send(self, element_id: UUID, news: _News) -> bool:
        message = self._status(element_id, news)
        if message is None:
            return True
        try:
            await self._sender.send(message)
        except BusError as error:
            news.refusals = news.refusals + 1 if self._sender.connected else 0
            what = "is given up" if news.refusals >= _REFUSALS else "waits to be told"
            _log.warning("what is known of element %s %s: %s", element_id, what, error)
            return False
        return True

    def _status(self, element_id: UUID, news: _News) -> Status | None:
        """None for an element that is known no more."""
        instance = self._cache.instances.get(news.instance_id)
        known = self._cache.element(news.instance_id, element_id)
        if instance is None or known is None:
            return None
        info = ElementInfo(
            automation_composition_element_id=element_id,
            deploy_state=known.deploy_state,
            lock_state=known.lock_state,
            operational_state=news.operational_state,
            use_state=news.use_state,
            out_properties=dict(news.out_properties),
        )
        return Status(
            participant_id=self._me.participant_id,
            replica_id=self._me.replica_id,
            composition_id=instance.composition_id,
            automation_composition_info_list=[
                InstanceInfo(
                    automation_composition_id=news.instance_id,
                    deploy_state=instance.deploy_state,
                    lock_state=instance.lock_state,
                    elements=[info],
                )
            ],
            participant_supported_element_type=list(self._me.types),
        )
