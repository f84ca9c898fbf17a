"""What time decides: orders that nobody answers, processes that went silent, runtimes that are gone.

Of several runtimes one supervises, by a lease in the database. That spares work and is no condition of correctness:
whatever is decided here is decided again under the row's own lock.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from uuid import UUID

from mizzen.acm.runtime.conduct import Conductor
from mizzen.acm.runtime.feed import Feed
from mizzen.acm.runtime.moments import MILLISECOND, now
from mizzen.acm.runtime.service import Change
from mizzen.acm.runtime.store import compositions, instances, leases, outbox, participants
from mizzen.acm.runtime.store import log as messages
from mizzen.acm.runtime.store.engine import Store, Unavailable, Work
from mizzen.acm.runtime.supervision.presence import Presence

log = logging.getLogger(__name__)

_SUPERVISION = "supervision"
# A lease is renewed when this much of it is over.
_RENEW = leases.LASTS // 3
_TRIM_EVERY = 60


class Scanner:
    """Attributes: ``leads``: whether this runtime supervises."""

    def __init__(self, store: Store, conductor: Conductor, presence: Presence, feed: Feed) -> None:
        self._store = store
        self._conductor = conductor
        self._presence = presence
        self._feed = feed
        self._owner = conductor.post.owner
        self._began = now()
        self._renewed = 0
        self._expired = self._began
        self._rounds = 0
        self._newest: int | None = None
        self.leads = False

    async def run(self) -> None:
        """Look every ``scan_ms``, until cancelled."""
        while True:
            try:
                await self.look()
            except Unavailable as error:
                log.error("supervision waits: %s", error)
            await asyncio.sleep(self._conductor.settings.scan_ms / 1000)

    async def look(self) -> None:
        if now() - self._renewed >= _RENEW:
            self.leads = await self._store.write(self._renew)
            self._renewed = now()
        await self._tell_of_others()
        await self._answered()
        if not self.leads:
            return
        await self._overdue()
        await self._silent()
        await self._orphans()
        self._rounds += 1
        if self._rounds % _TRIM_EVERY == 1:
            await self._store.write(lambda work: messages.trim(work, self._conductor.settings.message_log))

    async def leave(self) -> None:
        """Let somebody else do it, at once."""
        self.leads = False
        await self._store.write(lambda work: leases.leave(work, self._owner))

    def _renew(self, work: Work) -> bool:
        leases.present(work, self._owner)
        return leases.take(work, _SUPERVISION, self._owner)

    async def _answered(self) -> None:
        """Where answers are collected for a while, look what they have come to."""
        wait = self._conductor.settings.settle_ms
        if not wait:
            return
        before = now() - wait * MILLISECOND
        for key in await self._store.read(lambda work: instances.answered(work, before)):
            await self._store.write(partial(self._settle, key=key, before=before))

    def _settle(self, work: Work, key: UUID, before: int) -> None:
        if key not in instances.answered(work, before):
            return
        instance = instances.get(work, key, lock=True)
        if instance is not None:
            instances.mark_answered(work, key, None)
            self._conductor.advance(work, self._conductor.case(work, instance))

    async def _overdue(self) -> None:
        at = now()
        for key in await self._store.read(lambda work: instances.overdue(work, at)):
            await self._store.write(partial(self._conductor.time_out, key=key))
        for key in await self._store.read(lambda work: compositions.overdue(work, at)):
            await self._store.write(partial(self._conductor.prime_time_out, key=key))

    async def _silent(self) -> None:
        settings = self._conductor.settings
        wait = settings.max_status_wait_ms * MILLISECOND
        # Nobody is gone because nobody listened.
        if now() - self._began < wait:
            return
        if now() - self._expired < min(settings.heart_beat_ms, settings.max_status_wait_ms) * MILLISECOND:
            return
        self._expired = now()
        before = self._expired - wait
        if await self._store.read(lambda work: participants.silent(work, before)):
            for replica, participant in (await self._store.write(partial(self._expire, before=before))).items():
                log.warning(
                    "replica %s of participant %s has not been heard of for %s ms", replica, participant, wait // 1000
                )

    def _expire(self, work: Work, before: int) -> dict[UUID, UUID]:
        gone = participants.expire(work, before)
        for participant in {*gone.values()}:
            self._presence.left(work, participant)
        return gone

    async def _orphans(self) -> None:
        owners = await self._store.read(outbox.owners) - {self._owner}
        if owners and await self._store.read(lambda work: leases.gone(work, owners)):
            await self._store.write(self._adopt)

    def _adopt(self, work: Work) -> None:
        gone = leases.gone(work, outbox.owners(work) - {self._owner})
        if gone:
            outbox.adopt(work, self._owner, gone)

    async def _tell_of_others(self) -> None:
        """What other runtimes have logged has changed something here, too."""
        after = self._newest
        if after is None:
            self._newest = await self._store.read(messages.newest)
            return
        rows = await self._store.read(lambda work: messages.foreign(work, after, self._owner))
        for row in rows:
            self._newest = max(self._newest or 0, row.number)
            self._feed.tell([Change("message", str(row.number))])
            for kind, key in (
                ("composition", row.composition_id),
                ("instance", row.instance_id),
                ("participant", row.participant_id),
            ):
                if key is not None:
                    self._feed.tell([Change(kind, key)])
