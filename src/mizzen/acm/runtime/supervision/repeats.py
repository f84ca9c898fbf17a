"""Orders that may have been lost are sent again.

The outbox sees to it that a broker has acknowledged every order. That is enough for a broker that keeps what it has
acknowledged; the embedded one forgets everything when it ends. So after a restart of the runtime, and whenever the
broker was away, each order that is still being worked at is sent once more as it was, message id and all, to every
participant that owes an answer and has been heard of since: before that it would hear nothing. Participants are asked
to say something until they do. Who has the order already knows it by its id.

The embedded broker is given a few more tries, since a participant may speak before it can hear.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from uuid import UUID

from mizzen.acm.messages.states import StateChangeResult
from mizzen.acm.messages.sync import StatusRequest
from mizzen.acm.runtime.conduct import Conductor
from mizzen.acm.runtime.moments import SECOND, now
from mizzen.acm.runtime.store import compositions, instances, participants, pending
from mizzen.acm.runtime.store.engine import Store, Unavailable, Work
from mizzen.acm.runtime.store.pending import Pending
from mizzen.bus import Bus, Listener

log = logging.getLogger(__name__)

_LOOK = 0.25
# When the tries are made after a participant was heard of, in microseconds.
_ONCE = (0,)
_QUICK = (0, 2 * SECOND, 5 * SECOND, 12 * SECOND)
# What was ordered just now is on its way.
_FRESH = 3 * SECOND // 2
_ASK_EVERY = 2 * SECOND
# By then whoever is there has been heard of.
_WATCHES = 60 * SECOND


class Repeats:
    """Args:

    listener: the one by which answers come: while it is ready, the broker is there.
    topics: makes the topics, which a broker may have forgotten.
    leads: whether this runtime is the one that supervises.
    """

    def __init__(
        self,
        store: Store,
        bus: Bus,
        conductor: Conductor,
        listener: Listener,
        topics: Callable[[], Awaitable[None]],
        leads: Callable[[], bool],
    ) -> None:
        self._store = store
        self._conductor = conductor
        self._listener = listener
        self._topics = topics
        self._leads = leads
        self._quick = bus.settings.quick
        self._tries = _QUICK if self._quick else _ONCE
        self._began = 0
        self._asked = 0
        # When a participant was first found to be heard of since, and how many tries it has had.
        self._heard: dict[UUID, int] = {}
        self._made: dict[UUID, int] = {}

    async def run(self) -> None:
        """Watch until cancelled: from the start, and each time that the broker comes back."""
        while True:
            await self._topics()
            await self._listener.ready.wait()
            self._began, self._asked = now(), 0
            self._heard, self._made = {}, {}
            while self._listener.ready.is_set():
                if now() - self._began < _WATCHES and self._leads():
                    await self._look()
                await asyncio.sleep(_LOOK)

    async def _look(self) -> None:
        try:
            asks, due = await self._store.read(self._needed)
            if asks or due:
                await self._store.write(partial(self._repeat, asks=asks, due=due))
        except Unavailable as error:
            log.error("orders are not repeated yet: %s", error)

    def _needed(self, work: Work) -> tuple[bool, list[UUID]]:
        """Whether participants are to be asked to say something, and whose turn it is to be told again."""
        at, unheard = now(), False
        for participant in participants.some(work):
            if any(last >= self._began for last in participant.replicas.values()):
                self._heard.setdefault(participant.id, at)
            else:
                unheard = True
        if self._asked == 0:
            return True, []
        if not pending.any_at_all(work):
            return False, []
        due = [
            participant
            for participant, since in self._heard.items()
            if (made := self._made.get(participant, 0)) < len(self._tries) and at >= since + self._tries[made]
        ]
        return unheard and at >= self._began + self._asked * _ASK_EVERY, due

    def _repeat(self, work: Work, asks: bool, due: list[UUID]) -> None:
        at = now()
        if asks:
            self._asked += 1
            self._conductor.post.send(work, StatusRequest())
        owing = self._owing(work) if due else {}
        for participant in due:
            self._made[participant] = self._made.get(participant, 0) + 1
            for order, secrets in owing.get(participant, []):
                if order.at < (at - _FRESH if self._quick else self._began):
                    self._conductor.post.again(work, {**order.body, "participantIdList": [str(participant)]}, secrets)

    def _owing(self, work: Work) -> dict[UUID, list[tuple[Pending, frozenset[str]]]]:
        """Who has not answered which orders, and what of them the log masks."""
        found: dict[UUID, list[tuple[Pending, frozenset[str]]]] = {}
        for order in pending.some(work):
            owing, secrets = self._unanswered(work, order)
            for participant in owing:
                found.setdefault(participant, []).append((order, secrets))
        return found

    def _unanswered(self, work: Work, order: Pending) -> tuple[set[UUID], frozenset[str]]:
        if order.kind == "composition":
            composition = compositions.get(work, order.subject)
            if composition is None or composition.result is not StateChangeResult.NO_ERROR:
                return set(), frozenset()
            owing = {node.participant_id for node in composition.nodes.values() if node.state is composition.state}
            return {who for who in owing if who}, self._conductor.common_secrets(self._conductor.of(composition))
        instance = instances.get(work, order.subject)
        if instance is None or instance.result is not StateChangeResult.NO_ERROR:
            return set(), frozenset()
        owing = {element.participant_id for element in instance.elements.values() if element.on_the_way}
        return {who for who in owing if who}, self._conductor.secrets(self._conductor.case(work, instance))
