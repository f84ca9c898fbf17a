"""Buttons: alive for what is allowed, and a reason for everything else."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from mizzen.acm.messages.states import AcTypeState, DeployState, LockState, StateChangeResult, SubState
from mizzen.acm.runtime.orders import states
from mizzen.acm.runtime.web.guidance import for_instance as guide
from mizzen.acm.runtime.web.orders import for_composition, for_instance, why_not


def body(deploy: str, lock: str = "NONE", sub: str = "NONE", result: str = "NO_ERROR") -> dict[str, Any]:
    return {
        "name": "iris",
        "version": "1.0.0",
        "deployState": deploy,
        "lockState": lock,
        "subState": sub,
        "stateChangeResult": result,
        "elements": {},
    }


@pytest.mark.parametrize("state", list(product(DeployState, LockState, SubState, StateChangeResult)), ids=str)
def test_every_state_has_buttons_reasons_and_a_sentence(state: Any) -> None:
    instance = body(*state)
    allowed = states.allowed(state)
    buttons = {one.order: one for one in for_instance(instance, allowed)}
    alive = {order for order, one in buttons.items() if one.allowed}
    expected = {order for order in allowed if not order.endswith("_REVERT") and order != "MIGRATE_PRECHECK"}
    expected |= {"ROLLBACK"} if {"UPDATE_REVERT", "MIGRATION_REVERT"} & set(allowed) else set()
    expected |= {"MIGRATE"} if "MIGRATE_PRECHECK" in allowed else set()
    expected |= {"UPDATE"} if (state[0], state[2]) == (DeployState.UNDEPLOYED, SubState.NONE) else set()
    assert alive == expected
    for one in buttons.values():
        assert one.says.endswith("."), one
    assert guide(instance).text.endswith((".", "!"))


@pytest.mark.parametrize(
    ("order", "instance", "reason"),
    [
        ("DEPLOY", body("DEPLOYED", "LOCKED"), "It is deployed."),
        ("DELETE", body("DEPLOYED", "LOCKED"), "Undeploy it first."),
        ("UNDEPLOY", body("DEPLOYED", "UNLOCKED"), "Lock it first."),
        ("UNDEPLOY", body("UNDEPLOYED"), "It is not deployed."),
        ("UNDEPLOY", body("DEPLOYING"), "Wait: deploying."),
        ("DEPLOY", body("DEPLOYED", "UNLOCKING"), "Wait: unlocking."),
        ("DEPLOY", body("UNDEPLOYED", sub="PREPARING"), "Wait: preparing."),
        ("DELETE", body("DEPLOYING", result="FAILED"), "Deploying failed: undeploy first."),
        ("UPDATE", body("DEPLOYING", result="TIMEOUT"), "Deploying timed out: undeploy first."),
        (
            "DEPLOY",
            body("UPDATING", "LOCKED", result="FAILED"),
            "Updating failed: change again, roll back or undeploy first.",
        ),
        ("DEPLOY", body("MIGRATING", "LOCKED", result="FAILED"), "Migrating failed: roll back or undeploy first."),
        ("DEPLOY", body("UPDATE_REVERTING", "LOCKED", result="FAILED"), "Update reverting failed: undeploy first."),
        ("ROLLBACK", body("DEPLOYING", result="FAILED"), "There is nothing to return to."),
        ("DEPLOY", body("DELETING", result="FAILED"), "Deleting failed: delete again."),
    ],
)
def test_why_not(order: str, instance: dict[str, Any], reason: str) -> None:
    assert why_not(order, instance) == reason


@pytest.mark.parametrize("state", AcTypeState)
@pytest.mark.parametrize("result", StateChangeResult)
@pytest.mark.parametrize("instances", [0, 1, 3])
def test_a_definitions_buttons(state: AcTypeState, result: StateChangeResult, instances: int) -> None:
    composition = {"state": state.value, "stateChangeResult": result.value}
    buttons = {one.order: one for one in for_composition(composition, instances)}
    for order in ("PRIME", "DEPRIME"):
        if buttons[order].allowed:
            assert (state, result) in states.PRIME_ALLOWED
            assert not instances
    assert buttons["DELETE"].allowed == (state is AcTypeState.COMMISSIONED and not instances)
    for one in buttons.values():
        assert one.says.endswith("."), one
