"""Participants, and what they are told to say or are told."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import TypeVar
from uuid import UUID

import msgspec

from mizzen.acm.messages.sync import StatusRequest
from mizzen.acm.runtime.conduct import Conductor
from mizzen.acm.runtime.model import Participant
from mizzen.acm.runtime.orders import prime
from mizzen.acm.runtime.orders.definition import Definition
from mizzen.acm.runtime.service import Body, Page, Participants
from mizzen.acm.runtime.services import bodies, refusals
from mizzen.acm.runtime.store import compositions, instances, participants
from mizzen.acm.runtime.store.engine import Store, Work
from mizzen.acm.runtime.supervision.presence import Presence

_T = TypeVar("_T")


class ParticipantService(Participants):
    def __init__(self, store: Store, conductor: Conductor, presence: Presence) -> None:
        self._store = store
        self._conductor = conductor
        self._presence = presence

    async def list(self, page: Page) -> builtins.list[Body]:
        def unit(work: Work) -> builtins.list[Body]:
            found = participants.some(work, refusals.page_of(page))
            return [self._told(work, one, Page()) for one in found]

        return await self._store.read(unit)

    async def get(self, participant: UUID, page: Page) -> Body:
        return await self._store.read(lambda work: self._told(work, self._known(work, participant), page))

    async def request_status(self, participant: UUID | None) -> None:
        def unit(work: Work) -> None:
            if participant is not None:
                self._known(work, participant)
            to = [participant] if participant is not None else []
            self._conductor.post.send(work, StatusRequest(participant_id=participant, participant_id_list=to))

        await self._store.write(unit)

    async def synchronise(self, participant: UUID | None) -> None:
        def unit(work: Work) -> None:
            found = participants.some(work) if participant is None else [self._known(work, participant)]
            for one in found:
                self._presence.restart(work, one.id, None)

        await self._store.write(unit)

    async def compositions(self, participant: UUID, page: Page) -> Body:
        def unit(work: Work) -> Body:
            self._known(work, participant)
            found = compositions.some(work, participant=participant, page=refusals.page_of(page))
            return {"compositions": [_dto(self._conductor.of(one), participant) for one in found]}

        return await self._store.read(unit)

    async def composition(self, participant: UUID, composition: UUID) -> Body:
        def unit(work: Work) -> Body:
            self._known(work, participant)
            definition = refusals.composition_of(work, self._conductor, composition)
            if participant not in definition.composition.participants:
                raise refusals.no_composition(composition)
            return _dto(definition, participant)

        return await self._store.read(unit)

    def _known(self, work: Work, key: UUID) -> Participant:
        found = participants.get(work, key)
        if found is None:
            raise refusals.no_participant(key)
        return found

    def _told(self, work: Work, found: Participant, page: Page) -> Body:
        nodes = [
            node
            for composition in compositions.some(work, participant=found.id)
            for node in composition.nodes.values()
            if node.participant_id == found.id
        ]
        elements = [
            element
            for instance in instances.some(work, participant=found.id)
            for element in instance.elements.values()
            if element.participant_id == found.id
        ]
        return bodies.participant(found, _turned(nodes, page), _turned(elements, page))


def _turned(values: Sequence[_T], page: Page) -> Sequence[_T]:
    turned = refusals.page_of(page)
    if turned is None:
        return values
    number, size = turned
    return values[number * size : (number + 1) * size]


def _dto(definition: Definition, participant: UUID) -> Body:
    told: Body = msgspec.to_builtins(prime.dto(definition, participant))
    return told
