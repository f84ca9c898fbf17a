"""Orders, answers, failures and time-outs in any sequence: an instance is never stuck, and never in two states.

The rules alone, without database or broker. An answer may be right, wrong, late or of another order; whatever is
pressed is something that is allowed.
"""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID, uuid4

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mizzen.acm.messages import codec
from mizzen.acm.messages.acks import StateChangeAck
from mizzen.acm.messages.elements import ElementAck
from mizzen.acm.messages.envelope import Message
from mizzen.acm.messages.states import (
    SETTLED,
    AcTypeState,
    DeployState,
    LockState,
    MigrationState,
    StateChangeResult,
    SubState,
)
from mizzen.acm.runtime.model import Before, Composition, Element, Instance, NodeState
from mizzen.acm.runtime.orders import acks, begin, messages, phases, progress, states
from mizzen.acm.runtime.orders.definition import Definition
from mizzen.acm.runtime.orders.operations import AFTER, DURING, STAGED, Operation, leaves, operation
from mizzen.acm.tosca import Names, elements, normalise, read
from runtime_world import P, definition

OK, FAILED, TIMEOUT = StateChangeResult
HOUR = 3_600_000_000
STAGES = {"stage": {"prepare": [0, 2], "migrate": [1, 4]}}
SOURCE = ({"name": "a", "properties": {"startPhase": 2, **STAGES}}, {"name": "b"}, {"name": "goes"})
TARGET = ({"name": "a", "properties": {"startPhase": 1, **STAGES}}, {"name": "b"}, {"name": "comes"})


def defined(*told: dict[str, Any], version: str) -> Definition:
    template = normalise(read(json.dumps(definition(*told, version=version))))
    composition = Composition(
        id=uuid4(), name="tosca", version="1.0.0", text=json.dumps(template), state=AcTypeState.PRIMED
    )
    composition.nodes = {one.name: NodeState(definition=one.identifier, participant_id=P) for one in elements(template)}
    return Definition(composition, Names())


class Machine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.definitions = [defined(*SOURCE, version="1.0.0"), defined(*TARGET, version="2.0.0")]
        self.clock = HOUR
        self.kept: Before | None = None
        self.asked: list[UUID] = []
        self.earlier: list[UUID] = []
        self.deleted = False
        self.count = 0

    def fresh(self) -> UUID:
        """Ids that are the same in every run."""
        self.count += 1
        return UUID(int=self.count)

    @property
    def definition(self) -> Definition:
        return next(one for one in self.definitions if one.id == self.instance.composition_id)

    @property
    def target(self) -> Definition | None:
        return next((one for one in self.definitions if one.id == self.instance.target_id), None)

    @property
    def state(self) -> states.State:
        return self.instance.deploy, self.instance.lock, self.instance.sub, self.instance.result

    @precondition(lambda self: self.deleted)
    @rule(data=st.data())
    def make_another(self, data: st.DataObject) -> None:
        self.make(data)

    @initialize(data=st.data())
    def make_first(self, data: st.DataObject) -> None:
        self.make(data)

    def make(self, data: st.DataObject) -> None:
        """Deployed already, or not yet."""
        source = self.definitions[0]
        self.instance = Instance(id=uuid4(), composition_id=source.id, name="n", version="1.0.0")
        for name in ("a", "b", "goes"):
            self.add(name, source)
        self.deleted = False
        self.asked, self.earlier = [], []
        self.truth = dict.fromkeys(self.instance.elements, (DeployState.UNDEPLOYED, LockState.NONE))
        if data.draw(st.booleans()):
            begin.begin(self.instance, Operation.DEPLOY, source, now=self.clock, default=1000)
            while self.instance.on_the_way:
                self.asked = [self.said(Operation.DEPLOY).message_id]
                self.answer_of(self.turn(Operation.DEPLOY)[0], Operation.DEPLOY)

    def add(self, name: str, of: Definition) -> Element:
        identifier = next(one for one in of.template.elements if one.name == name)
        element = Element(id=self.fresh(), definition=identifier, participant_id=P, properties={"of": name})
        self.instance.elements[element.id] = element
        return element

    @precondition(lambda self: not self.deleted)
    @rule(data=st.data())
    def press(self, data: st.DataObject) -> None:
        choices = [one for one in states.allowed(self.state) if one != "DELETE" or data.draw(st.integers(0, 4)) == 0]
        strangers = any(one.migration is not MigrationState.DEFAULT for one in self.instance.elements.values())
        if strangers:
            choices = [one for one in choices if one not in ("DEPLOY", "UPDATE", "MIGRATE")]
        if not choices:
            return
        order = Operation(data.draw(st.sampled_from(sorted(choices))))
        if order is Operation.MIGRATE:
            self.migrate()
        elif order is Operation.MIGRATION_REVERT or order is Operation.UPDATE_REVERT:
            assert self.kept is not None
            begin.go_back(self.instance, self.kept)
        elif order is Operation.UPDATE:
            if self.instance.deploy is DeployState.DEPLOYED:
                self.kept = begin.before(self.instance)
            begin.update(self.instance, {key: {"n": 1} for key in self.instance.elements})
        begin.begin(self.instance, order, self.definition, now=self.clock, default=1000, target=self.target)
        self.earlier += self.asked
        self.asked = [self.said(order).message_id]

    def migrate(self) -> None:
        self.kept = begin.before(self.instance)
        goal = next(one for one in self.definitions if one is not self.definition)
        told: dict[UUID, Element] = {}
        for identifier in goal.template.elements:
            present = [one for one in self.instance.elements.values() if one.definition.name == identifier.name]
            element = Element(id=present[0].id if present else self.fresh(), definition=identifier)
            told[element.id] = element
        begin.retarget(self.instance, told, self.definition, goal)

    def said(self, order: Operation) -> Message:
        message = messages.order(self.instance, order, self.definition, target=self.target, before=self.kept)
        again = codec.decode(codec.encode(message))
        assert isinstance(again, Message)
        assert again.participant_id_list == [P]
        return message

    @precondition(lambda self: not self.deleted and self.instance.on_the_way)
    @rule(data=st.data())
    def answer(self, data: st.DataObject) -> None:
        """An element whose turn it is does what it was told, or one stage of it."""
        going_on = operation(self.instance)
        assert going_on is not None
        turn = self.turn(going_on)
        if not turn:
            return
        self.answer_of(data.draw(st.sampled_from(turn)), going_on)

    @precondition(lambda self: not self.deleted and self.instance.on_the_way)
    @rule(data=st.data(), deploy=st.sampled_from([DeployState.DEPLOYED, DeployState.UNDEPLOYED]))
    def fail(self, data: st.DataObject, deploy: DeployState) -> None:
        element = data.draw(st.sampled_from(sorted(self.instance.elements.values(), key=lambda one: str(one.id))))
        lock = LockState.LOCKED if deploy is DeployState.DEPLOYED else LockState.NONE
        told = ElementAck(deploy_state=deploy, lock_state=lock, message="failed")
        self.truth[element.id] = deploy, lock
        self.hear(element, told, FAILED, self.asked[-1], None)

    @precondition(lambda self: not self.deleted and bool(self.earlier))
    @rule(data=st.data(), deploy=st.sampled_from(sorted(SETTLED)), known=st.booleans())
    def late(self, data: st.DataObject, deploy: DeployState, known: bool) -> None:
        """Something of an earlier order, by name or without one."""
        element = data.draw(st.sampled_from(sorted(self.instance.elements.values(), key=lambda one: str(one.id))))
        before = str(self.instance)
        lock = LockState.LOCKED if deploy is DeployState.DEPLOYED else LockState.NONE
        told = ElementAck(deploy_state=deploy, lock_state=lock)
        if known:
            self.hear(element, told, OK, self.earlier[-1], None)
            assert str(self.instance) == before
        elif not self.might_be_true(element, told):
            self.hear(element, told, OK, None, None)

    def might_be_true(self, element: Element, told: ElementAck) -> bool:
        """An answer without a name that says what is waited for cannot be told from the right one."""
        going_on = operation(self.instance)
        if going_on is None:
            return False
        if leaves(element, going_on):
            return told.deploy_state in (DeployState.DELETED, DeployState.UNDEPLOYED)
        return told.deploy_state is AFTER[going_on][0]

    @precondition(lambda self: not self.deleted)
    @rule()
    def wait(self) -> None:
        self.clock += HOUR
        progress.time_out(self.instance, self.clock)

    def turn(self, going_on: Operation) -> list[Element]:
        """The elements that were asked and have not answered."""
        waiting = [one for one in self.instance.elements.values() if one.on_the_way]
        if self.instance.phase is None:
            return waiting
        if going_on in STAGED:
            first = self.instance.first or 0
            return [
                one
                for one in waiting
                if phases.stage_of(one, first, going_on, self.definition, self.target) == self.instance.phase
            ]
        return [
            one
            for one in waiting
            if phases.phase_of(one.definition, self.definition, self.target) == self.instance.phase
        ]

    def next_stage(self, element: Element, going_on: Operation) -> int | None:
        if going_on not in STAGED or leaves(element, going_on):
            return None
        of = self.target if going_on is Operation.MIGRATE and self.target else self.definition
        known = of.prepare_stages if going_on is Operation.PREPARE else of.migrate_stages
        stages = list(known(element.definition))
        if going_on is Operation.MIGRATION_REVERT:
            stages.reverse()
        later = stages[stages.index(self.instance.phase) + 1 :] if self.instance.phase in stages else []
        return later[0] if later else None

    def hear(
        self, element: Element, told: ElementAck, result: StateChangeResult, response: UUID | None, stage: int | None
    ) -> None:
        """As the inbox does it."""
        ack = StateChangeAck(
            automation_composition_id=self.instance.id,
            participant_id=P,
            state_change_result=result,
            response_to=response,
            stage=stage,
            automation_composition_result_map={element.id: told},
        )
        going_on = operation(self.instance)
        if acks.apply(self.instance, ack, self.asked) is not None or self.instance.result is FAILED:
            return
        step = progress.advance(self.instance, self.definition, self.target, now=self.clock, default=1000)
        if step is progress.Step.NEXT:
            assert going_on is not None
            self.asked.append(self.said(going_on).message_id)
        elif step is progress.Step.DONE:
            if going_on is Operation.UNDEPLOY and self.kept is not None and self.instance.target_id:
                progress.forget_migration(self.instance, self.kept)
        elif step is progress.Step.DELETED:
            self.deleted = True

    @invariant()
    def is_in_one_state(self) -> None:
        if self.deleted or not hasattr(self, "instance") or self.instance.on_the_way:
            return
        instance = self.instance
        assert instance.result is OK
        assert (instance.phase, instance.first, instance.deadline) == (None, None, None)
        for element in instance.elements.values():
            assert (element.deploy, element.lock) == (instance.deploy, instance.lock)
            assert (element.sub, element.stage) == (SubState.NONE, None)
            if instance.deploy is DeployState.DEPLOYED:
                assert element.migration is MigrationState.DEFAULT
                assert self.definition.has(element.definition)
        for key, (deploy, lock) in self.truth.items():
            # What the instance is said to be, its elements are; and what it has not any more, is not.
            if key in instance.elements:
                assert (deploy, lock) == (instance.deploy, instance.lock)
            else:
                assert deploy in (DeployState.DELETED, DeployState.UNDEPLOYED)
        if instance.deploy is DeployState.DEPLOYED:
            assert instance.target_id is None
            assert len(instance.elements) == 3

    @invariant()
    def is_not_stuck(self) -> None:
        if self.deleted or not hasattr(self, "instance"):
            return
        instance = self.instance
        assert states.allowed(self.state) or (instance.on_the_way and instance.result is OK)
        if instance.on_the_way and instance.result is OK:
            going_on = operation(instance)
            assert going_on is not None
            assert instance.deadline is not None
            assert self.turn(going_on), "nobody was asked"

    def teardown(self) -> None:
        """From wherever it is, it comes to an end if everybody does as told from now on."""
        if not hasattr(self, "instance"):
            return
        for _ in range(100):
            if self.deleted:
                return
            going_on = operation(self.instance)
            if going_on is not None and self.instance.result is not FAILED:
                turn = self.turn(going_on)
                assert turn or self.instance.result is TIMEOUT
                if turn:
                    self.answer_of(turn[0], going_on)
                    continue
            names = states.allowed(self.state)
            order = next(name for name in ("DELETE", "UNDEPLOY", "LOCK", "REVIEW", "MIGRATE_PRECHECK") if name in names)
            begin.begin(
                self.instance, Operation(order), self.definition, now=self.clock, default=1000, target=self.target
            )
            self.asked = [self.said(Operation(order)).message_id]
        raise AssertionError(f"no end: {self.instance}")

    def answer_of(self, element: Element, going_on: Operation) -> None:
        stage = self.next_stage(element, going_on)
        deploy, lock = DURING[going_on][:2] if stage is not None else AFTER[going_on]
        if stage is None and leaves(element, going_on):
            deploy, lock = DeployState.DELETED, LockState.NONE
        self.truth[element.id] = deploy, lock
        self.hear(element, ElementAck(deploy_state=deploy, lock_state=lock), OK, self.asked[-1], stage)


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=400, stateful_step_count=40, deadline=None)
