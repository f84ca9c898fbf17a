from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mizzen.apis.core import StatusCondition
from mizzen.cluster.workloads import replicas
from workload_objects import NOW, ago, pod, replica_set


@pytest.mark.parametrize(
    ("wanted", "there", "create", "delete"), [(3, 1, 2, 0), (3, 3, 0, 0), (1, 3, 0, 2), (0, 0, 0, 0), (900, 0, 500, 0)]
)
def test_the_plan_makes_up_the_difference(wanted: int, there: int, create: int, delete: int) -> None:
    plan = replicas.plan(replica_set(replicas=wanted), [pod(f"p{i}") for i in range(there)], NOW)
    assert (plan.create, len(plan.delete)) == (create, delete)


_COST = {"controller.kubernetes.io/pod-deletion-cost": "5"}


def test_those_that_are_missed_least_go_first() -> None:
    in_order = [
        pod("unscheduled", node="", phase="Pending", ready=None),
        pod("pending", phase="Pending", ready=None),
        pod("not-ready", ready=None),
        pod("cheap", annotations={"controller.kubernetes.io/pod-deletion-cost": "-1"}, age=90_000, ready=90_000),
        pod("ready-shortly", ready=3, age=90_000),
        pod("restarting", restarts=4, ready=4000, age=90_000),
        pod("young", ready=4000, age=4010),
        pod("old", ready=4000, age=90_000),
        pod("dear", annotations=_COST, ready=3, age=10),
    ]
    assert [one.name for one in replicas.deletion_order(reversed(in_order), NOW)] == [one.name for one in in_order]


@given(st.lists(st.tuples(st.booleans(), st.none() | st.integers(-5, 10**6), st.integers(-5, 10**6)), max_size=12))
def test_the_order_takes_unready_pods_before_ready_ones_whatever_their_times(
    drawn: list[tuple[bool, int | None, int]],
) -> None:
    pods = [
        pod(f"p{i}", node="n" if bound else "", ready=ready, age=age) for i, (bound, ready, age) in enumerate(drawn)
    ]
    order = replicas.deletion_order(pods, NOW)
    assert sorted(one.name for one in order) == sorted(one.name for one in pods)
    ready = [(bool(one.node_name), one.is_ready) for one in order]
    assert ready == sorted(ready)


def test_a_pod_is_made_from_the_template_and_owned_by_the_set() -> None:
    owner = replica_set("web-1")
    owner.spec.template["metadata"]["annotations"] = {"a": "b"}
    body = replicas.pod_from(owner)
    assert body["metadata"]["generateName"] == "web-1-"
    assert body["metadata"]["labels"] == {"app": "web", "pod-template-hash": "web-1"}
    assert body["metadata"]["annotations"] == {"a": "b"}
    assert body["metadata"]["ownerReferences"][0]["uid"] == "web-1-uid"
    assert body["spec"]["containers"][0]["name"] == "main"


def test_the_status_counts_ready_available_and_labelled_pods() -> None:
    owner = replica_set("web-1", generation=2)
    owner.spec.min_ready_seconds = 10
    labels = {"app": "web", "pod-template-hash": "web-1"}
    pods = [
        pod("a", ready=20, labels=labels),
        pod("b", ready=4, labels=labels),
        pod("c", ready=None, labels={"app": "web"}),
    ]
    assert replicas.status(owner, pods, None, NOW) == {
        "replicas": 3,
        "observedGeneration": 2,
        "fullyLabeledReplicas": 2,
        "readyReplicas": 2,
        "availableReplicas": 1,
    }
    assert replicas.next_availability(owner, pods, NOW) == 6.0
    assert replicas.next_availability(owner, pods[:1], NOW) is None
    assert replicas.status(owner, [], None, NOW) == {"replicas": 0, "observedGeneration": 2}


def test_a_failure_is_told_once_and_taken_back() -> None:
    owner = replica_set("web-1")
    first = replicas.status(owner, [], replicas.Failure("FailedCreate", "pod a is refused"), NOW)
    [condition] = first["conditions"]
    assert condition == {
        "type": "ReplicaFailure",
        "status": "True",
        "reason": "FailedCreate",
        "message": "pod a is refused",
        "lastTransitionTime": ago(0),
    }
    owner.status.conditions = [
        StatusCondition(type="ReplicaFailure", status="True", reason="FailedCreate", message="pod a is refused")
    ]
    again = replicas.status(owner, [], replicas.Failure("FailedCreate", "pod b is refused"), NOW)
    assert again["conditions"][0]["message"] == "pod a is refused"
    assert "conditions" not in replicas.status(owner, [], None, NOW)
