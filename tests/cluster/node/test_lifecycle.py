"""When containers run again, and how long pods have to end."""

from __future__ import annotations

import pytest

from mizzen.cluster.node import lifecycle
from mizzen.cluster.node.lifecycle import Pause
from mizzen.cluster.node.podspec import Kind
from mizzen.kube import times


@pytest.mark.parametrize(
    ("kind", "policy", "code", "again"),
    [
        ("main", "Always", 0, True),
        ("main", "Always", 1, True),
        ("main", "OnFailure", 0, False),
        ("main", "OnFailure", 1, True),
        ("main", "Never", 1, False),
        ("init", "Always", 0, False),
        ("init", "Always", 1, True),
        ("init", "OnFailure", 1, True),
        ("init", "Never", 1, False),
        ("sidecar", "Never", 0, True),
        ("sidecar", "Never", 1, True),
    ],
)
def test_restarts(kind: Kind, policy: str, code: int, again: bool) -> None:
    assert lifecycle.restarts(kind, policy, code) is again


def test_pauses_grow_and_are_forgotten() -> None:
    waits, step = [], 0
    for _ in range(9):
        pause = lifecycle.pause(step, ran=1.0)
        waits.append(pause.seconds)
        step = pause.step
    assert waits == [0, 10, 20, 40, 80, 160, 300, 300, 300]
    assert lifecycle.pause(step, ran=600.0) == Pause(1, 0.0)
    assert lifecycle.delay(10**6) == 300


def test_a_deadline() -> None:
    assert lifecycle.deadline({"spec": {}}, 100.0) is None
    assert lifecycle.deadline({"spec": {"activeDeadlineSeconds": 5}}, 100.0) == 105.0


@pytest.mark.parametrize(
    ("given", "seen", "later", "left"),
    [
        (30, True, 0, 30.0),
        (30, True, 1000, 30.0),
        (30, False, 0, 30.0),
        (30, False, 20, 10.0),
        (30, False, 1000, 0.0),
        (0, False, 0, 0.0),
    ],
)
def test_the_time_that_is_left(given: int, seen: bool, later: float, left: float) -> None:
    asked = 1_800_000_000.0
    due = "2027-01-15T08:00:30Z" if given else "2027-01-15T08:00:00Z"
    assert times.parse(due).timestamp() == asked + given
    pod = {"metadata": {"deletionTimestamp": due, "deletionGracePeriodSeconds": given}, "spec": {}}
    assert lifecycle.grace_left(pod, asked + later, seen_before=seen) == left


@pytest.mark.parametrize(("text", "moment"), [("1970-01-01T00:01:00Z", 60.0), ("", None), (None, None), ("x", None)])
def test_times_on_the_wire(text: str | None, moment: float | None) -> None:
    assert lifecycle.epoch(text) == moment
