"""Definitions: commissioned, primed, deprimed, deleted."""

from __future__ import annotations

import asyncio
import builtins
from typing import Any
from uuid import UUID, uuid4

import msgspec
import orjson
from msgspec import Struct

from mizzen.acm.messages.states import AcTypeState, PrimeOrder
from mizzen.acm.runtime.conduct import Conductor
from mizzen.acm.runtime.model import Composition, NodeState
from mizzen.acm.runtime.moments import now
from mizzen.acm.runtime.orders import prime, states
from mizzen.acm.runtime.service import Body, Compositions, Created, Page, Refused
from mizzen.acm.runtime.services import bodies, refusals
from mizzen.acm.runtime.store import compositions, instances, participants
from mizzen.acm.runtime.store.engine import Store, Work
from mizzen.acm.tosca.checks import check
from mizzen.acm.tosca.composition import elements
from mizzen.acm.tosca.echo import normalise
from mizzen.acm.tosca.fields import fields
from mizzen.acm.tosca.names import Names
from mizzen.acm.tosca.parse import read
from mizzen.acm.tosca.problems import Unreadable

_NOT_READABLE = "org.springframework.http.converter.HttpMessageNotReadableException"


class _Read(Struct):
    """A document that may be commissioned."""

    key: UUID
    update: bool
    template: dict[str, Any]
    nodes: dict[str, NodeState]

    def composition(self) -> Composition:
        return Composition(
            id=self.key,
            name=self.template["name"],
            version=self.template["version"],
            text=orjson.dumps(self.template).decode(),
            last=now(),
            nodes=self.nodes,
        )


class CompositionService(Compositions):
    def __init__(self, store: Store, conductor: Conductor) -> None:
        self._store = store
        self._conductor = conductor

    async def list(
        self, *, name: str | None = None, version: str | None = None, participant: UUID | None = None, page: Page
    ) -> builtins.list[Body]:
        def unit(work: Work) -> builtins.list[Body]:
            found = compositions.some(
                work, name=name, version=version, participant=participant, page=refusals.page_of(page)
            )
            return [self._conductor.of(one).template.tree for one in found]

        return await self._store.read(unit)

    async def commission(self, document: bytes, media_type: str) -> Created:
        # A large document takes a while to read.
        told = await asyncio.to_thread(_read, document, media_type, self._conductor.settings.names)

        def unit(work: Work) -> None:
            if told.update:
                self._replace(work, told.composition())
            else:
                compositions.add(work, told.composition())

        await self._store.write(unit)
        return Created(not told.update, f"/compositions/{told.key}", bodies.commissioned(told.key, told.template))

    def _replace(self, work: Work, composition: Composition) -> None:
        if instances.count(work, composition=composition.id):
            raise Refused(400, "There are ACM instances, Update of ACM Definition not allowed")
        present = compositions.get(work, composition.id, lock=True)
        if present is None:
            raise refusals.no_composition(composition.id)
        if present.state is not AcTypeState.COMMISSIONED:
            raise Refused(400, "ACM not in COMMISSIONED state, Update of ACM Definition not allowed")
        compositions.replace(work, composition)

    async def get(self, composition: UUID) -> Body:
        def unit(work: Work) -> Body:
            definition = refusals.composition_of(work, self._conductor, composition)
            return bodies.composition(definition.composition, definition.template.tree)

        return await self._store.read(unit)

    async def order(self, composition: UUID, order: PrimeOrder) -> None:
        await self._store.write(lambda work: self._order(work, composition, order))

    def _order(self, work: Work, key: UUID, order: PrimeOrder) -> None:
        # Held first, so that no instance is made meanwhile.
        definition = self._conductor.definition(work, key, lock=True)
        if instances.count(work, composition=key):
            raise Refused(400, "There are instances, Priming/Depriming not allowed")
        if instances.count(work, target=key):
            raise Refused(400, "This compositionId is referenced as a targetCompositionId in the instance table.")
        if definition is None:
            raise refusals.no_composition(key)
        composition = definition.composition
        if not states.takes(order, composition.state, composition.result):
            raise Refused(400, f"Not valid {order}")
        refusals.online(work, composition.participants)
        if order is PrimeOrder.PRIME:
            try:
                prime.assign(definition, participants.takers(work))
            except prime.NotSupported as error:
                raise Refused(400, str(error)) from None
            refusals.online(work, composition.participants)
        prime.begin(definition, order, now=now(), default=self._conductor.settings.max_operation_wait_ms)
        self._conductor.prime_start(work, definition)

    async def delete(self, composition: UUID) -> Body:
        def unit(work: Work) -> Body:
            definition = self._conductor.definition(work, composition, lock=True)
            if instances.count(work, composition=composition) or instances.count(work, target=composition):
                raise Refused(400, "Delete instances, to commission automation composition definitions")
            if definition is None:
                raise refusals.no_composition(composition)
            if definition.composition.state is not AcTypeState.COMMISSIONED:
                raise Refused(400, "ACM not in COMMISSIONED state, Delete of ACM Definition not allowed")
            compositions.remove(work, composition)
            return bodies.commissioned(composition, definition.template.tree)

        return await self._store.write(unit)

    async def fields(self, composition: UUID) -> builtins.list[Body]:
        def unit(work: Work) -> builtins.list[Body]:
            definition = refusals.composition_of(work, self._conductor, composition)
            return [
                {
                    "element": identifier.plain(),
                    "participantId": _text(definition.participant(identifier)),
                    "fields": [msgspec.to_builtins(one) for one in fields(definition.template.tree, element)],
                }
                for identifier, element in definition.template.elements.items()
            ]

        return await self._store.read(unit)


def _read(document: bytes, media_type: str, names: Names) -> _Read:
    try:
        told = read(document, media_type=media_type)
        report = check(told, names)
        if not report.ok:
            raise Refused(report.status, report.details, report.problems)
        given = _given(told.value)
        key = given or uuid4()
        template = normalise(told, composition_id=str(key))
    except Unreadable as error:
        raise Refused(error.status, error.details, error.problems) from None
    nodes = {one.name: NodeState(definition=one.identifier) for one in elements(template, names)}
    return _Read(key, given is not None, template, nodes)


def _given(value: dict[str, Any]) -> UUID | None:
    """The definition in whose place this one is to come."""
    metadata = value.get("metadata")
    found = metadata.get("compositionId") if isinstance(metadata, dict) else None
    if found is None:
        return None
    try:
        return UUID(str(found))
    except ValueError:
        raise Refused(400, f"{_NOT_READABLE} metadata.compositionId: {found} is no UUID") from None


def _text(key: UUID | None) -> str | None:
    return None if key is None else str(key)
