"""The runtime as one: what there is to ask, what happens, how it is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager

from sqlalchemy import text

from mizzen.acm.runtime.conduct import Conductor
from mizzen.acm.runtime.encryption import Cipher
from mizzen.acm.runtime.feed import Feed
from mizzen.acm.runtime.service import Change, Logged, Service
from mizzen.acm.runtime.services.compositions import CompositionService
from mizzen.acm.runtime.services.instances import InstanceService
from mizzen.acm.runtime.services.participants import ParticipantService
from mizzen.acm.runtime.store import log
from mizzen.acm.runtime.store.engine import Store, Unavailable
from mizzen.acm.runtime.supervision.presence import Presence
from mizzen.bus import Bus

_ANSWERS_WITHIN = 3.0


class RuntimeService(Service):
    def __init__(
        self, store: Store, conductor: Conductor, presence: Presence, bus: Bus, feed: Feed, cipher: Cipher | None
    ) -> None:
        self.compositions = CompositionService(store, conductor)
        self.instances = InstanceService(store, conductor, cipher)
        self.participants = ParticipantService(store, conductor, presence)
        self._store = store
        self._bus = bus
        self._feed = feed
        self._kafka = conductor.settings.kafka_health

    def changes(self) -> AbstractContextManager[AsyncIterator[Change]]:
        return self._feed.listen()

    async def messages(
        self,
        *,
        type: str | None = None,
        composition: str | None = None,
        instance: str | None = None,
        participant: str | None = None,
        direction: str | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> list[Logged]:
        return await self._store.read(
            lambda work: log.some(
                work,
                type=type,
                composition=composition,
                instance=instance,
                participant=participant,
                direction=direction,
                before=before,
                limit=limit,
            )
        )

    async def health(self) -> dict[str, str | None]:
        database, kafka = await asyncio.gather(self._database(), self._broker())
        return {"database": database, "kafka": kafka}

    async def _database(self) -> str | None:
        try:
            async with asyncio.timeout(_ANSWERS_WITHIN):
                await self._store.read(lambda work: work.connection.execute(text("SELECT 1")))
        except Unavailable as error:
            return error.details
        except TimeoutError:
            return f"the database has not answered for {_ANSWERS_WITHIN:g} s"
        return None

    async def _broker(self) -> str | None:
        if not self._kafka:
            return None
        return await self._bus.check(_ANSWERS_WITHIN)
