"""Which orders are taken when: the table of the real state resolver, and everything that is not in it."""

from __future__ import annotations

import csv
from itertools import product

import pytest

from mizzen.acm.messages.states import (
    AcTypeState,
    DeployOrder,
    DeployState,
    LockOrder,
    LockState,
    PrimeOrder,
    StateChangeResult,
    SubOrder,
    SubState,
)
from mizzen.acm.runtime.orders.states import allowed, resolve, takes
from runtime_world import DATA

ROWS = list(csv.DictReader((DATA / "allowed-orders.tsv").open(), delimiter="\t"))
ACCEPTED = {
    (
        *row["orders(deploy/lock/sub)"].split("/"),
        row["deployState"],
        row["lockState"],
        row["subState"],
        row["stateChangeResult"],
    ): row["order"]
    for row in ROWS
}


def test_the_table_is_whole() -> None:
    assert len(ROWS) == len(ACCEPTED) == 58


def test_every_combination() -> None:
    orders = list(product(DeployOrder, LockOrder, SubOrder))
    states = list(product(DeployState, LockState, SubState, StateChangeResult))
    wrong = []
    for given, state in product(orders, states):
        expected = ACCEPTED.get((*given, *state))  # type: ignore[call-overload]
        if resolve(*given, state) != expected:
            wrong.append((given, state, expected))
    assert len(orders) * len(states) == 64_800
    assert not wrong


def test_no_order_is_the_same_as_none() -> None:
    state = (DeployState.UNDEPLOYED, LockState.NONE, SubState.NONE, StateChangeResult.NO_ERROR)
    assert resolve(DeployOrder.DEPLOY, None, None, state) == "DEPLOY"
    assert resolve(None, None, None, state) is None


def test_buttons_are_what_is_taken() -> None:
    state = (DeployState.DEPLOYED, LockState.LOCKED, SubState.NONE, StateChangeResult.NO_ERROR)
    expected = {"UNDEPLOY", "UPDATE", "MIGRATE", "MIGRATE_PRECHECK", "REVIEW", "UNLOCK"}
    assert set(allowed(state)) == expected


@pytest.mark.parametrize("order", [PrimeOrder.PRIME, PrimeOrder.DEPRIME])
def test_compositions(order: PrimeOrder) -> None:
    ok, *not_ok = StateChangeResult
    taken = {
        (state, result) for state, result in product(AcTypeState, StateChangeResult) if takes(order, state, result)
    }
    assert taken == {
        (AcTypeState.COMMISSIONED, ok),
        (AcTypeState.PRIMED, ok),
        *product((AcTypeState.PRIMING, AcTypeState.DEPRIMING), not_ok),
    }


def test_nothing_is_no_order_for_a_composition() -> None:
    assert not takes(PrimeOrder.NONE, AcTypeState.COMMISSIONED, StateChangeResult.NO_ERROR)
    assert not takes(None, AcTypeState.COMMISSIONED, StateChangeResult.NO_ERROR)
