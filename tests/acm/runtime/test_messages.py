"""Every message that the runtime makes of its state, held against what the real classes wrote for the same state."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest

from mizzen.acm.messages.codec import plain
from mizzen.acm.messages.concepts import Identifier
from mizzen.acm.messages.envelope import Envelope
from mizzen.acm.messages.states import AcTypeState, DeployState, LockState
from mizzen.acm.runtime.model import Composition, Element, Instance, NodeState
from mizzen.acm.runtime.orders import begin, messages, prime, syncs
from mizzen.acm.runtime.orders.definition import Definition
from mizzen.acm.runtime.orders.operations import Operation
from mizzen.acm.tosca import Names
from runtime_world import DATA, P

C, TARGET = UUID("5eed0001-0003-4000-8000-000000000003"), UUID("5eed0001-0013-4000-8000-000000000013")
R = UUID("5eed0001-0002-4000-8000-000000000002")
UNDEPLOYED = json.loads((DATA / "rest" / "rest-05-instance-get-undeployed.json").read_text())
TEMPLATE = json.loads((DATA / "rest" / "rest-02-composition-get-commissioned.json").read_text())["serviceTemplate"]


def golden(number: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(next((DATA / "wire").glob(f"wire-{number}-*.json")).read_text())
    return found


def definition(revision: str, state: AcTypeState = AcTypeState.PRIMED, key: UUID = C) -> Definition:
    name = "onap.policy.clamp.ac.element.KserveAutomationCompositionElement"
    node = NodeState(definition=Identifier(name, "1.2.3"), participant_id=P)
    return Definition(
        Composition(
            id=key,
            name="tosca",
            version="1.0.0",
            text=json.dumps(TEMPLATE),
            state=state,
            revision=UUID(revision),
            nodes={name: node},
        ),
        Names(),
    )


def instance(revision: str, deploy: DeployState, **properties: Any) -> Instance:
    made = Instance(
        id=UUID(UNDEPLOYED["instanceId"]),
        composition_id=C,
        name=UNDEPLOYED["name"],
        version=UNDEPLOYED["version"],
        revision=UUID(revision),
        deploy=deploy,
        lock=LockState.LOCKED if deploy is DeployState.DEPLOYED else LockState.NONE,
    )
    for key, told in UNDEPLOYED["elements"].items():
        made.elements[UUID(key)] = Element(
            id=UUID(key),
            definition=Identifier(**told["definition"]),
            participant_id=P,
            deploy=made.deploy,
            lock=made.lock,
            properties={**told["properties"], **properties},
        )
    return made


def revision(number: str, name: str) -> str:
    return str(golden(number)[name])


def same(message: Envelope, number: str) -> None:
    made_up = ("messageId", "timestamp")
    told, expected = plain(message), golden(number)
    assert {key: value for key, value in told.items() if key not in made_up} == {
        key: value for key, value in expected.items() if key not in made_up
    }
    assert set(told) == set(expected)


@pytest.mark.parametrize(
    ("number", "order", "deploy"),
    [
        ("08", Operation.DEPLOY, DeployState.UNDEPLOYED),
        ("13", Operation.UNDEPLOY, DeployState.DEPLOYED),
        ("20", Operation.DELETE, DeployState.UNDEPLOYED),
        ("15", Operation.PREPARE, DeployState.UNDEPLOYED),
        ("16", Operation.REVIEW, DeployState.DEPLOYED),
    ],
)
def test_orders(number: str, order: Operation, deploy: DeployState) -> None:
    of = definition(revision(number, "revisionIdComposition"))
    told = instance(revision(number, "revisionIdInstance"), deploy)
    begin.begin(told, order, of, now=0, default=1)
    same(messages.order(told, order, of), number)


def test_an_update() -> None:
    of = definition(revision("12", "revisionIdComposition"))
    told = instance(revision("12", "revisionIdInstance"), DeployState.DEPLOYED)
    kept = begin.before(told)
    begin.update(told, {key: {"note": "updated"} for key in told.elements})
    begin.begin(told, Operation.UPDATE, of, now=0, default=1)
    same(messages.order(told, Operation.UPDATE, of, before=kept), "12")


def test_a_migration() -> None:
    of = definition(revision("17", "revisionIdComposition"))
    target = definition(revision("17", "revisionIdCompositionTarget"), key=TARGET)
    told = instance(revision("17", "revisionIdInstance"), DeployState.DEPLOYED)
    kept = begin.before(told)
    begin.retarget(told, {key: begin.copy(one) for key, one in told.elements.items()}, of, target)
    begin.begin(told, Operation.MIGRATE, of, now=0, default=1, target=target)
    same(messages.order(told, Operation.MIGRATE, of, target=target, before=kept), "17")


@pytest.mark.parametrize(("number", "state"), [("05", AcTypeState.PRIMING), ("23", AcTypeState.DEPRIMING)])
def test_priming(number: str, state: AcTypeState) -> None:
    same(prime.message(definition(revision(number, "revisionIdComposition"), state)), number)


@pytest.mark.parametrize(("number", "state"), [("07", AcTypeState.PRIMED), ("25", AcTypeState.COMMISSIONED)])
def test_how_a_composition_stands(number: str, state: AcTypeState) -> None:
    same(syncs.of_composition(definition(revision(number, "revisionIdComposition"), state)), number)


def test_how_an_instance_stands() -> None:
    told = golden("11")["automationcompositionList"][0]
    same(syncs.of_instance(instance(told["revisionId"], DeployState.DEPLOYED)), "11")


def test_that_an_instance_is_gone() -> None:
    told = golden("22")["automationcompositionList"][0]
    same(syncs.of_deletion(instance(told["revisionId"], DeployState.DELETED)), "22")


def test_all_that_a_new_replica_should_know() -> None:
    told = golden("19")
    of = definition(told["revisionIdComposition"])
    known = instance(told["automationcompositionList"][0]["revisionId"], DeployState.DEPLOYED)
    replica = UUID(told["replicaId"]) if "replicaId" in told else None
    same(syncs.of_restart(of, [known], P, replica), "19")
