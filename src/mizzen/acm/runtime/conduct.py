"""Carrying orders through, inside a unit of work: what REST begins, answers continue and the clock ends.

The rules are in :mod:`mizzen.acm.runtime.orders`; here they are applied to rows, and what follows is written down: the
next message, what participants are told, that something is over.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

from msgspec import Struct

from mizzen.acm.messages.envelope import cut
from mizzen.acm.messages.states import AcTypeState, StateChangeResult
from mizzen.acm.messages.sync import Sync
from mizzen.acm.runtime.config import Settings
from mizzen.acm.runtime.model import Before, Composition, Instance
from mizzen.acm.runtime.moments import MILLISECOND, now
from mizzen.acm.runtime.orders import begin, messages, prime, progress, syncs
from mizzen.acm.runtime.orders.definition import Definition
from mizzen.acm.runtime.orders.operations import MIGRATIONS, Operation, operation
from mizzen.acm.runtime.orders.progress import Step
from mizzen.acm.runtime.post import Post
from mizzen.acm.runtime.store import compositions, instances, pending
from mizzen.acm.runtime.store.engine import Work
from mizzen.acm.tosca.fields import transform

_WITH_BEFORE = MIGRATIONS | {Operation.UPDATE, Operation.UPDATE_REVERT}


class Case(Struct):
    """An instance with the definitions that are needed to say anything about it."""

    instance: Instance
    definition: Definition
    target: Definition | None


class Conductor:
    def __init__(self, settings: Settings, post: Post) -> None:
        self.settings = settings
        self.post = post

    def definition(self, work: Work, key: UUID, *, lock: bool = False) -> Definition | None:
        composition = compositions.get(work, key, lock=lock)
        return self.of(composition) if composition is not None else None

    def of(self, composition: Composition) -> Definition:
        return Definition(composition, self.settings.names)

    def case(self, work: Work, instance: Instance) -> Case:
        """With the definition that it has and the one that it migrates to; while it is there, so are they."""
        definition = self.definition(work, instance.composition_id)
        assert definition is not None
        target = self.definition(work, instance.target_id) if instance.target_id else None
        return Case(instance, definition, target)

    def start(self, work: Work, case: Case, order: Operation, kept: Before | None = None) -> None:
        """Begin an order: states, first message."""
        instance = case.instance
        begin.begin(
            instance,
            order,
            case.definition,
            now=now(),
            default=self.settings.max_operation_wait_ms,
            target=case.target,
        )
        instances.mark_answered(work, instance.id, None)
        self.say(work, case, order, kept, first=True)
        instances.save(work, instance)
        if not instance.elements:
            self.advance(work, case)

    def say(self, work: Work, case: Case, order: Operation, kept: Before | None, *, first: bool, due: int = 0) -> None:
        """Send the message of the phase that an instance is in."""
        message = messages.order(case.instance, order, case.definition, target=case.target, before=kept)
        if message.participant_id_list:
            secrets = self.secrets(case)
            self.post.order(work, "instance", case.instance.id, message, first=first, secrets=secrets, due=due)

    def advance(self, work: Work, case: Case) -> Step:
        """Look what answers have come to, and do what follows."""
        instance = case.instance
        going_on, earlier = operation(instance), set(instance.participants)
        step = progress.advance(
            instance, case.definition, case.target, now=now(), default=self.settings.max_operation_wait_ms
        )
        if step is Step.NEXT and going_on is not None:
            kept = instances.before(work, instance.id) if going_on in _WITH_BEFORE else None
            due = now() + self.settings.phase_pause_ms * MILLISECOND
            self.say(work, case, going_on, kept, first=False, due=due)
        elif step is not Step.WAIT:
            pending.end(work, instance.id)
        if step is Step.DELETED:
            instances.remove(work, instance.id)
            self._tell(work, case, syncs.of_deletion(instance))
            return step
        if step is Step.DONE and going_on is Operation.UNDEPLOY:
            kept = instances.before(work, instance.id) if instance.target_id else None
            if kept is not None:
                progress.forget_migration(instance, kept)
        instances.save(work, instance)
        if step is Step.DONE:
            self._tell(work, case, syncs.of_instance(instance))
            for participant in progress.left_out(earlier, instance):
                self._tell(work, case, syncs.of_deletion(instance, participant))
        return step

    def failed(self, work: Work, case: Case) -> None:
        """An element could not; participants are told."""
        case.instance.revision = uuid4()
        instances.save(work, case.instance)
        self._tell(work, case, syncs.of_instance(case.instance))

    def refused(self, work: Work, told: dict[str, Any], why: str) -> None:
        """An order cannot be sent at all: nobody will answer it."""
        message = UUID(told["messageId"]) if "messageId" in told else None
        for name, give_up in (("automationCompositionId", self._refused), ("compositionId", self._prime_refused)):
            subject = UUID(told[name]) if name in told else None
            if subject is not None and message in pending.asked(work, subject):
                give_up(work, subject, cut(why))

    def _refused(self, work: Work, key: UUID, why: str) -> None:
        instance = instances.get(work, key, lock=True)
        if instance is not None and instance.on_the_way:
            instance.result, instance.deadline = StateChangeResult.FAILED, None
            for element in instance.elements.values():
                if element.on_the_way:
                    element.message = why
            self.failed(work, self.case(work, instance))

    def _prime_refused(self, work: Work, key: UUID, why: str) -> None:
        composition = compositions.get(work, key, lock=True)
        if composition is not None:
            composition.result, composition.deadline = StateChangeResult.FAILED, None
            for node in composition.nodes.values():
                node.message = why
            self.prime_advance(work, self.of(composition))

    def time_out(self, work: Work, key: UUID) -> bool:
        """Give up on an instance, if it is still time when it is ours."""
        instance = instances.get(work, key, lock=True)
        if instance is None or not progress.time_out(instance, now()):
            return False
        instances.save(work, instance)
        self._tell(work, self.case(work, instance), syncs.of_instance(instance))
        return True

    def prime_start(self, work: Work, definition: Definition) -> None:
        """Send the order that a composition was given just now; nobody has to be asked where nobody takes part."""
        composition = definition.composition
        compositions.save(work, composition)
        if composition.participants:
            message = prime.message(definition)
            self.post.order(
                work, "composition", composition.id, message, first=True, secrets=self.common_secrets(definition)
            )
            return
        for node in composition.nodes.values():
            node.state = AcTypeState.COMMISSIONED
        self.prime_advance(work, definition)

    def prime_advance(self, work: Work, definition: Definition) -> None:
        """Look what answers have come to; a composition that failed or is done is told of."""
        composition = definition.composition
        done = prime.advance(composition, now())
        if not done and composition.result is not StateChangeResult.FAILED:
            compositions.save(work, composition)
            return
        if done:
            pending.end(work, composition.id)
        else:
            composition.revision = uuid4()
        self.prime_told(work, definition)

    def prime_time_out(self, work: Work, key: UUID) -> bool:
        composition = compositions.get(work, key, lock=True)
        if composition is None or not prime.time_out(composition, now()):
            return False
        self.prime_told(work, self.of(composition))
        return True

    def prime_told(self, work: Work, definition: Definition) -> None:
        compositions.save(work, definition.composition)
        message = syncs.of_composition(definition)
        self.post.send(work, message, secrets=self.common_secrets(definition))

    def secrets(self, case: Case) -> frozenset[str]:
        """The sensitive values of an instance that are not encrypted."""
        found: set[str] = set()
        for definition in filter(None, (case.definition, case.target)):
            if definition.template.sensitive:
                for element in case.instance.elements.values():
                    _collect(element.properties, definition.sensitive(element.definition), found)
                found |= self.common_secrets(definition)
        return frozenset(found)

    def common_secrets(self, definition: Definition) -> frozenset[str]:
        """The sensitive values that a definition itself has."""
        found: set[str] = set()
        for identifier, element in definition.template.elements.items():
            _collect(element.properties, definition.sensitive(identifier), found)
        return frozenset(found)

    def _tell(self, work: Work, case: Case, message: Sync) -> None:
        self.post.send(work, message, secrets=self.secrets(case))


def _collect(properties: object, paths: list[tuple[str, ...]], found: set[str]) -> None:
    def collect(value: str) -> str:
        if value:
            found.add(value)
        return value

    if paths:
        transform(properties, paths, collect)
