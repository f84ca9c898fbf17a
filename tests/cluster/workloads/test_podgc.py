from __future__ import annotations

from typing import Any

import pytest

from mizzen.cluster.workloads import nodelife, podgc
from mizzen.cluster.workloads.namespace import Remainder, conditions
from mizzen.kube.times import rfc3339
from workload_objects import NOW, node, pod

_DELETED = {"deletionTimestamp": "2026-01-01T00:00:00Z"}


@pytest.mark.parametrize(
    ("found", "node_exists", "sort"),
    [
        (pod(), True, ""),
        (pod(), False, "orphaned"),
        (pod(node=""), False, ""),
        (pod(node="", **_DELETED), False, "unscheduled"),
        (pod(**_DELETED), True, ""),
        (pod(phase="Failed"), True, ""),
    ],
)
def test_which_pods_nobody_will_end(found: Any, node_exists: bool, sort: str) -> None:
    assert podgc.sort_of(found, node_exists) == sort


def test_the_oldest_finished_pods_are_too_many() -> None:
    pods = [pod(f"p{age}", age=age) for age in (10, 30, 20)]
    assert [one.name for one in podgc.beyond(pods, 1)] == ["p30", "p20"]
    assert podgc.beyond(pods, 3) == []


def test_a_silent_node_is_unknown_in_every_respect_and_said_so_once() -> None:
    one = node()
    found = nodelife.lost(one, rfc3339(NOW))
    assert found is not None
    assert [(each["type"], each["status"], each["reason"]) for each in found] == [
        ("Ready", "Unknown", "NodeStatusUnknown")
    ]
    assert nodelife.lost(node(ready="Unknown"), rfc3339(NOW)) is None


def test_only_what_changes_is_a_sign_of_life() -> None:
    pulse = nodelife.Pulse(40.0)
    assert pulse.left("n1", "a", 100.0) == 40.0
    assert pulse.left("n1", "a", 130.0) == 10.0
    assert pulse.left("n1", "b", 135.0) == 40.0
    assert pulse.left("n1", "b", 175.0) == 0.0
    pulse.forget("n1")
    assert pulse.left("n1", "b", 176.0) == 40.0


def test_a_node_lives_by_its_lease_and_by_its_own_word_but_not_by_ours() -> None:
    one = node()
    signs = {nodelife.sign_of_life(one, renewed) for renewed in ("t1", "t2")}
    assert len(signs) == 2
    [ready] = one.status.conditions or []
    ready.last_heartbeat_time = "t3"
    assert nodelife.sign_of_life(one, "t2") not in signs
    # What we write when the node is lost must not look like life.
    lost, lost_later = node(ready="Unknown"), node(ready="Unknown")
    [written] = lost_later.status.conditions or []
    written.last_transition_time = "t4"
    assert nodelife.sign_of_life(lost, "t2") == nodelife.sign_of_life(lost_later, "t2")


def test_the_pods_of_a_silent_node_are_not_ready() -> None:
    found = nodelife.not_ready(pod(), rfc3339(NOW))
    assert found is not None
    assert [(each.type, each.status, each.last_transition_time) for each in found] == [("Ready", "False", rfc3339(NOW))]
    assert nodelife.not_ready(pod(ready=None), rfc3339(NOW)) is None


def test_a_namespace_says_what_it_still_holds() -> None:
    found = Remainder()
    found.kinds.update({"pods": 2, "widgets.example.com": 1})
    found.finalizers["example.com/hold"] = 1
    told = conditions(found, [], "t1")
    assert {one["type"]: (one["status"], one["message"]) for one in told} == {
        "NamespaceContentRemaining": (
            "True",
            "Some resources are remaining: pods has 2 resource instances, widgets.example.com has 1 resource instances",
        ),
        "NamespaceFinalizersRemaining": (
            "True",
            "Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances",
        ),
    }
    assert conditions(found, told, "t2") == told
