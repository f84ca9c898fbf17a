"""What participants say, each message applied in one transaction.

Handling is idempotent, because a record may come twice: a group that was disturbed reads it again. A database that is
away holds the partition up until it is back, since a record that is passed over never comes again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from mizzen.acm.messages.acks import PrimeAck, StateChangeAck
from mizzen.acm.messages.codec import AnyMessage, Undecodable, decode, plain
from mizzen.acm.messages.reports import Deregister, Register, RequestSync, Status
from mizzen.acm.messages.states import StateChangeResult
from mizzen.acm.runtime.conduct import Conductor
from mizzen.acm.runtime.moments import now
from mizzen.acm.runtime.orders import acks, prime
from mizzen.acm.runtime.post import APPLIED
from mizzen.acm.runtime.store import compositions, instances, pending
from mizzen.acm.runtime.store.engine import Store, Unavailable, Work
from mizzen.acm.runtime.supervision.presence import Presence
from mizzen.bus import Record

log = logging.getLogger(__name__)

_PAUSE = 1.0
_FROM_PARTICIPANTS = (Register, Deregister, Status, RequestSync, PrimeAck, StateChangeAck)


class Inbox:
    """Args: ``presence``: for what is not about orders."""

    def __init__(self, store: Store, conductor: Conductor, presence: Presence) -> None:
        self._store = store
        self._conductor = conductor
        self._presence = presence

    async def handle(self, record: Record) -> None:
        """Apply a record of the operation topic; our own, which come back to us, are passed over."""
        try:
            message = decode(record.value)
        except Undecodable as error:
            reason = str(error)
            told = {"messageType": "undecodable", "bytes": len(record.value), "partitionKey": record.key}
            await self._when_there(lambda work: self._note(work, record, told, f"ignored: {reason}"))
            return
        if not isinstance(message, _FROM_PARTICIPANTS):
            return
        told = plain(message)

        def unit(work: Work) -> None:
            reason = self.apply(work, message)
            self._note(work, record, told, f"ignored: {reason}" if reason else APPLIED)

        try:
            await self._when_there(unit)
        except Exception as error:
            # Reading it again would end the same way.
            defect = f"ignored: a defect of the runtime: {type(error).__name__}: {error}"
            await self._when_there(lambda work: self._note(work, record, told, defect))
            raise

    def apply(self, work: Work, message: AnyMessage) -> str | None:
        """Do what a message comes to; returns None, or why it is ignored."""
        match message:
            case Register():
                return self._presence.register(work, message)
            case Status():
                return self._presence.status(work, message)
            case Deregister():
                return self._presence.deregister(work, message)
            case RequestSync():
                return self._presence.synchronise(work, message)
            case PrimeAck():
                return self._primed(work, message)
            case StateChangeAck():
                return self._changed(work, message)
            case _:
                return "it is none of a participant"

    def _primed(self, work: Work, ack: PrimeAck) -> str | None:
        composition = compositions.get(work, ack.composition_id, lock=True) if ack.composition_id else None
        if composition is None:
            return "the composition is not known"
        reason = prime.apply(composition, ack, pending.asked(work, composition.id))
        if reason is None:
            self._conductor.prime_advance(work, self._conductor.of(composition))
        return reason

    def _changed(self, work: Work, ack: StateChangeAck) -> str | None:
        key = ack.automation_composition_id
        instance = instances.get(work, key, lock=True) if key else None
        if instance is None:
            return "the instance is not known"
        reason = acks.apply(instance, ack, pending.asked(work, instance.id))
        if reason is not None:
            return reason
        case = self._conductor.case(work, instance)
        if instance.result is StateChangeResult.FAILED:
            if ack.state_change_result is StateChangeResult.FAILED:
                self._conductor.failed(work, case)
            else:
                instances.save(work, instance)
        elif self._conductor.settings.settle_ms:
            instances.save(work, instance)
            instances.mark_answered(work, instance.id, now())
        else:
            self._conductor.advance(work, case)
        return None

    def _note(self, work: Work, record: Record, told: dict[str, object], outcome: str) -> None:
        self._conductor.post.note(work, record.topic, told, outcome)

    async def _when_there(self, unit: Callable[[Work], object]) -> None:
        while True:
            try:
                await self._store.write(unit)
                return
            except Unavailable as error:
                log.error("a message waits: %s", error)
                await asyncio.sleep(_PAUSE)
