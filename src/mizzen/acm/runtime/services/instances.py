"""Instances: made, changed, ordered about, deleted."""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import Sequence
from uuid import UUID, uuid4

from msgspec import structs
from sqlalchemy.exc import IntegrityError

from mizzen.acm.messages.states import (
    DeployOrder,
    DeployState,
    LockOrder,
    LockState,
    MigrationState,
    StateChangeResult,
    SubOrder,
    SubState,
)
from mizzen.acm.runtime.conduct import Case, Conductor
from mizzen.acm.runtime.encryption import Cipher
from mizzen.acm.runtime.model import Element, Instance
from mizzen.acm.runtime.moments import now
from mizzen.acm.runtime.orders import begin, states
from mizzen.acm.runtime.orders.definition import Definition
from mizzen.acm.runtime.orders.operations import Operation
from mizzen.acm.runtime.service import Body, Created, Instances, Page, Refused
from mizzen.acm.runtime.services import bodies, refusals
from mizzen.acm.runtime.store import instances
from mizzen.acm.runtime.store.engine import Store, Work
from mizzen.acm.tosca.fields import transform
from mizzen.acm.tosca.instance import InstanceElement, InstanceRequest, check_instance, read_instance
from mizzen.acm.tosca.problems import Unreadable

# What REST's PUT knows; the other orders have requests of their own.
_BY_PUT = frozenset({"DEPLOY", "UNDEPLOY", "LOCK", "UNLOCK", "PREPARE", "REVIEW"})


class InstanceService(Instances):
    def __init__(self, store: Store, conductor: Conductor, cipher: Cipher | None) -> None:
        self._store = store
        self._conductor = conductor
        self._cipher = cipher

    async def list(
        self,
        *,
        composition: UUID | None = None,
        name: str | None = None,
        version: str | None = None,
        participant: UUID | None = None,
        ids: Sequence[UUID] = (),
        deploy_states: Sequence[DeployState] = (),
        results: Sequence[StateChangeResult] = (),
        sort: str | None = None,
        order: str | None = None,
        page: Page,
    ) -> builtins.list[Body]:
        def unit(work: Work) -> builtins.list[Body]:
            found = instances.some(
                work,
                composition=composition,
                name=name,
                version=version,
                participant=participant,
                ids=ids,
                deploy_states=deploy_states,
                results=results,
                sort=sort,
                descending=(order or "").upper() == "DESC",
                page=refusals.page_of(page),
            )
            return [bodies.instance(one) for one in found]

        return await self._store.read(unit)

    async def get(self, composition: UUID, instance: UUID) -> Body:
        return await self._store.read(
            lambda work: bodies.instance(refusals.instance_of(work, composition, instance, target=True))
        )

    async def post(self, composition: UUID, document: bytes, media_type: str) -> Created:
        try:
            # A large one takes a while to read.
            request = await asyncio.to_thread(read_instance, document, media_type)
        except Unreadable as error:
            raise Refused(error.status, error.details, error.problems) from None
        if request.composition_id != str(composition):
            raise refusals.mismatch(request.composition_id, composition)

        def unit(work: Work) -> Instance:
            if request.instance_id is None:
                return self._create(work, composition, request)
            return self._change(work, composition, UUID(request.instance_id), request)

        try:
            made = await self._store.write(unit)
        except IntegrityError:
            # Two that were made at the same time: the other one was first.
            raise _defined(request.name, request.version) from None
        location = f"/compositions/{composition}/instances/{made.id}"
        return Created(request.instance_id is None, location, bodies.instantiated(made))

    async def order(
        self,
        composition: UUID,
        instance: UUID,
        deploy: DeployOrder | None,
        lock: LockOrder | None,
        sub: SubOrder | None,
    ) -> None:
        def unit(work: Work) -> None:
            found, case = self._ordered(work, composition, instance)
            name = states.resolve(deploy, lock, sub, _state(found))
            if name not in _BY_PUT:
                raise refusals.not_valid(found, deploy, lock, sub)
            if name == "DEPLOY":
                _no_strangers(found)
            self._conductor.start(work, case, Operation(name))

        await self._store.write(unit)

    async def delete(self, composition: UUID, instance: UUID) -> Body:
        def unit(work: Work) -> Body:
            found, case = self._ordered(work, composition, instance)
            if states.resolve(DeployOrder.DELETE, None, None, _state(found)) is None:
                raise Refused(400, f"Not valid order DELETE; {refusals.state(found)}")
            self._conductor.start(work, case, Operation.DELETE)
            return bodies.instantiated(found)

        return await self._store.write(unit)

    async def rollback(self, composition: UUID, instance: UUID) -> None:
        def unit(work: Work) -> None:
            found = refusals.instance_of(work, composition, instance, lock=True)
            order = Operation.MIGRATION_REVERT if found.deploy is DeployState.MIGRATING else Operation.UPDATE_REVERT
            if states.resolve(DeployOrder(order.value), None, None, _state(found)) is None:
                raise Refused(400, f"Invalid state for rollback, Ac Instance is {found.deploy}")
            kept = instances.before(work, instance)
            if kept is None:
                raise Refused(404, "Instance not found for rollback")
            case = self._conductor.case(work, found)
            refusals.online(work, _involved(case))
            begin.go_back(found, kept)
            instances.keep(work, instance, kept)
            self._conductor.start(work, case, order, kept)

        await self._store.write(unit)

    def allowed(self, instance: Body) -> builtins.list[str]:
        state = (
            DeployState(instance["deployState"]),
            LockState(instance["lockState"]),
            SubState(instance.get("subState", "NONE")),
            StateChangeResult(instance.get("stateChangeResult", "NO_ERROR")),
        )
        found = states.allowed(state)
        strangers = any(one.get("migrationState", "DEFAULT") != "DEFAULT" for one in instance["elements"].values())
        if state[0] is DeployState.UNDEPLOYED and (state[2] is SubState.NONE or state[3] is not _OK):
            found.append("UPDATE")
        if strangers and state[0] is not DeployState.MIGRATING:
            found = [name for name in found if name not in ("DEPLOY", "UPDATE", "MIGRATE")]
        return found

    def _ordered(self, work: Work, composition: UUID, key: UUID) -> tuple[Instance, Case]:
        found = refusals.instance_of(work, composition, key, lock=True)
        case = self._conductor.case(work, found)
        refusals.online(work, _involved(case))
        return found, case

    def _create(self, work: Work, key: UUID, request: InstanceRequest) -> Instance:
        if instances.named(work, request.name, request.version) is not None:
            raise _defined(request.name, request.version)
        # Held, so that it is not deprimed meanwhile.
        definition = refusals.composition_of(work, self._conductor, key, lock=True)
        self._usable(work, definition)
        self._check(work, request, definition, None)
        made = Instance(
            id=uuid4(),
            composition_id=key,
            name=request.name,
            version=request.version,
            description=request.description,
            last=now(),
            elements=self._elements(request, definition),
        )
        instances.add(work, made)
        return made

    def _change(self, work: Work, composition: UUID, key: UUID, request: InstanceRequest) -> Instance:
        found = refusals.instance_of(work, composition, key, lock=True)
        case = self._conductor.case(work, found)
        self._usable(work, case.definition)
        target = request.composition_target_id
        if found.deploy is DeployState.UNDEPLOYED and target is None:
            return self._rewrite(work, case, request)
        order = Operation.UPDATE
        if target is not None:
            order = Operation.MIGRATE_PRECHECK if request.precheck else Operation.MIGRATE
        resolved = (
            states.resolve(None, None, SubOrder.MIGRATE_PRECHECK, _state(found))
            if order is Operation.MIGRATE_PRECHECK
            else states.resolve(DeployOrder(order.value), None, None, _state(found))
        )
        if resolved is None:
            shown = "NONE" if order is Operation.MIGRATE_PRECHECK else order.value
            raise Refused(400, f"Not allowed to {shown} in the state {found.deploy}")
        if order is Operation.UPDATE:
            self._update(work, case, request)
        else:
            self._migrate(work, case, request, order)
        return found

    def _rewrite(self, work: Work, case: Case, request: InstanceRequest) -> Instance:
        """Nobody has it yet: it becomes what the request says."""
        found = case.instance
        if found.sub is not SubState.NONE and found.result is _OK:
            raise Refused(400, f"Not allowed to UPDATE in the state {found.deploy}")
        _no_strangers(found)
        other = instances.named(work, request.name, request.version)
        if other not in (None, found.id):
            raise _defined(request.name, request.version)
        self._check(work, request, case.definition, found.id)
        found.name, found.version, found.description = request.name, request.version, request.description
        found.elements = self._elements(request, case.definition)
        for element in found.elements.values():
            element.sub = found.sub
        found.last = now()
        instances.save(work, found)
        return found

    def _update(self, work: Work, case: Case, request: InstanceRequest) -> None:
        found = case.instance
        _no_strangers(found)
        given = self._elements(request, case.definition)
        for key in given:
            if key not in found.elements:
                raise Refused(400, f"Element id not present {key}")
        kept = instances.before(work, found.id) if found.deploy is DeployState.UPDATING else None
        if kept is None:
            kept = begin.before(found)
        kept.replaced = None
        begin.update(found, {key: element.properties for key, element in given.items()})
        self._encrypt(found, case.definition)
        instances.keep(work, found.id, kept)
        self._conductor.start(work, case, Operation.UPDATE, kept)

    def _migrate(self, work: Work, case: Case, request: InstanceRequest, order: Operation) -> None:
        found, goal = case.instance, UUID(request.composition_target_id or "")
        target = refusals.composition_of(work, self._conductor, goal, lock=True)
        self._usable(work, target)
        kept = begin.before(found)
        # A check beforehand leaves the instance as it is.
        changed = structs.replace(found, elements={key: begin.copy(one) for key, one in found.elements.items()})
        try:
            begin.retarget(changed, self._elements(request, target), case.definition, target)
        except begin.Incompatible as error:
            raise Refused(400, str(error)) from None
        present = {
            str(key): InstanceElement(str(key), one.definition, one.description, one.properties)
            for key, one in changed.elements.items()
            if one.migration is not MigrationState.REMOVED
        }
        self._check(work, structs.replace(request, elements=present), target, found.id)
        self._encrypt(changed, target)
        if order is Operation.MIGRATE_PRECHECK:
            asked = Case(changed, case.definition, target)
            begin.begin(
                found, order, case.definition, now=now(), default=self._conductor.settings.max_operation_wait_ms
            )
            instances.save(work, found)
            self._conductor.say(work, asked, order, kept, first=True)
            return
        found.elements, found.target_id = changed.elements, changed.target_id
        instances.keep(work, found.id, kept)
        self._conductor.start(work, Case(found, case.definition, target), order, kept)

    def _usable(self, work: Work, definition: Definition) -> None:
        refusals.primed(definition.composition)
        refusals.online(work, definition.composition.participants)

    def _check(self, work: Work, request: InstanceRequest, definition: Definition, own: UUID | None) -> None:
        report = check_instance(
            request,
            definition.template.tree,
            self._conductor.settings.names,
            lambda ids: instances.taken(work, ids, own),
        )
        if not report.ok:
            raise Refused(report.status, report.details, report.problems)

    def _elements(self, request: InstanceRequest, definition: Definition) -> dict[UUID, Element]:
        made = [
            Element(
                id=UUID(one.id),
                definition=one.definition,
                participant_id=definition.participant(one.definition),
                description=one.description,
                properties=self._closed(one.properties, definition, one),
            )
            for one in request.elements.values()
        ]
        return {element.id: element for element in made}

    def _encrypt(self, instance: Instance, definition: Definition) -> None:
        for element in instance.elements.values():
            element.properties = self._closed(element.properties, definition, element)

    def _closed(
        self, properties: dict[str, object], definition: Definition, one: InstanceElement | Element
    ) -> dict[str, object]:
        paths = definition.sensitive(one.definition)
        if self._cipher is None or not paths:
            return properties
        closed: dict[str, object] = transform(properties, paths, self._cipher.encrypt)
        return closed


_OK = StateChangeResult.NO_ERROR


def _state(instance: Instance) -> states.State:
    return instance.deploy, instance.lock, instance.sub, instance.result


def _involved(case: Case) -> builtins.list[UUID]:
    """Whoever has to be there for an order: those of the definition, and of what a migration has brought."""
    return list(dict.fromkeys([*case.definition.composition.participants, *case.instance.participants]))


def _defined(name: str, version: str) -> Refused:
    return Refused(400, f"{name} {version} already defined")


def _no_strangers(instance: Instance) -> None:
    for key, element in instance.elements.items():
        if element.migration is not MigrationState.DEFAULT:
            raise Refused(
                400,
                "Instance cannot be deployed; There are elements in an invalid Migration state."
                f"(ElementId: {key}, MigrationState: {element.migration})",
            )
