"""What a deployment's status says, read the way ``kubectl rollout status`` and ``kubectl wait`` read it."""

from __future__ import annotations

from typing import Any

import pytest

from mizzen.cluster.workloads import progress
from workload_objects import NOW, ago, deployment, replica_set

OLD, NEW = "a:1", "a:2"


def _condition(kind: str, status: str, reason: str, age: float = 30) -> dict[str, Any]:
    when = ago(age)
    return {"type": kind, "status": status, "reason": reason, "message": "", "lastUpdateTime": when} | {
        "lastTransitionTime": when
    }


def _web(conditions: list[dict[str, Any]] | None = None, status: dict[str, Any] | None = None, **spec: Any) -> Any:
    spec = {"replicas": 3, "image": NEW, "progressDeadlineSeconds": 60} | spec
    return deployment(status={"conditions": conditions or []} | (status or {}), **spec)


def _told(status: dict[str, Any], kind: str) -> tuple[str, str] | None:
    return next(((one["status"], one["reason"]) for one in status["conditions"] if one["type"] == kind), None)


def test_counts_are_those_of_the_replica_sets_and_zeros_are_left_out() -> None:
    web = _web(metadata={"generation": 4})
    sets = [
        replica_set("old", replicas=2, available=2, image=OLD, age=900),
        replica_set("new", replicas=2, available=0, image=NEW),
    ]
    found = progress.status(web, sets, NOW)
    conditions = found.pop("conditions")
    assert found == {
        "observedGeneration": 4,
        "replicas": 4,
        "updatedReplicas": 2,
        "readyReplicas": 2,
        "availableReplicas": 2,
        "unavailableReplicas": 2,
    }
    assert [one["type"] for one in conditions] == ["Available", "Progressing"]


@pytest.mark.parametrize(
    ("available", "told"),
    [(3, ("True", "MinimumReplicasAvailable")), (2, ("False", "MinimumReplicasUnavailable"))],
)
def test_available_means_no_more_are_missing_than_may_be(available: int, told: tuple[str, str]) -> None:
    # 25% of 3, rounded down, is none.
    found = progress.status(_web(), [replica_set("new", available=available, image=NEW)], NOW)
    assert _told(found, "Available") == told


_DONE = ("True", "NewReplicaSetAvailable")


@pytest.mark.parametrize(
    ("before", "status", "sets", "note", "told"),
    [
        pytest.param(
            None, {}, {"new": (3, 0, 0)}, progress.created("new"), ("True", "NewReplicaSetCreated"), id="created"
        ),
        pytest.param(None, {}, {"new": (3, 0, 0)}, None, ("True", "FoundNewReplicaSet"), id="found one"),
        pytest.param(
            ("True", "NewReplicaSetCreated", 5), {}, {"new": (3, 3, 1)}, None, ("True", "ReplicaSetUpdated"), id="moves"
        ),
        pytest.param(
            ("True", "ReplicaSetUpdated", 5),
            {"replicas": 3, "updatedReplicas": 3, "readyReplicas": 2, "availableReplicas": 2},
            {"new": (3, 3, 3)},
            None,
            _DONE,
            id="done",
        ),
        pytest.param(
            ("True", "ReplicaSetUpdated", 61),
            {"replicas": 3, "updatedReplicas": 3},
            {"new": (3, 3, 0)},
            None,
            ("False", "ProgressDeadlineExceeded"),
            id="stuck",
        ),
        pytest.param(
            ("True", "ReplicaSetUpdated", 59),
            {"replicas": 3, "updatedReplicas": 3},
            {"new": (3, 3, 0)},
            None,
            ("True", "ReplicaSetUpdated"),
            id="not yet stuck",
        ),
        pytest.param(
            ("False", "ProgressDeadlineExceeded", 600),
            {"replicas": 3, "updatedReplicas": 3},
            {"new": (3, 3, 1)},
            None,
            ("True", "ReplicaSetUpdated"),
            id="moves after all",
        ),
        pytest.param(
            ("True", "NewReplicaSetAvailable", 600),
            {"replicas": 3, "updatedReplicas": 3, "readyReplicas": 3, "availableReplicas": 3},
            {"new": (3, 3, 1)},
            None,
            _DONE,
            id="pods that fail later are no rollout",
        ),
        pytest.param(
            ("True", "NewReplicaSetAvailable", 600),
            {"replicas": 3, "updatedReplicas": 3, "readyReplicas": 3, "availableReplicas": 3},
            {"old": (3, 3, 3), "new": (1, 0, 0)},
            progress.created("new"),
            ("True", "NewReplicaSetCreated"),
            id="the next rollout",
        ),
        pytest.param(
            ("True", "NewReplicaSetAvailable", 600),
            {},
            {},
            progress.not_created("new", "no"),
            ("False", "ReplicaSetCreateError"),
            id="refused",
        ),
    ],
)
def test_how_a_rollout_is_told(
    before: tuple[str, str, float] | None,
    status: dict[str, Any],
    sets: dict[str, tuple[int, int, int]],
    note: progress.Note | None,
    told: tuple[str, str],
) -> None:
    conditions = [_condition("Progressing", *before)] if before else []
    found = [
        replica_set(name, replicas=size, actual=actual, available=available, image=NEW if name == "new" else OLD)
        for name, (size, actual, available) in sets.items()
    ]
    assert _told(progress.status(_web(conditions, status), found, NOW, note), "Progressing") == told


def test_progress_moves_the_update_time_and_leaves_the_transition_time() -> None:
    web = _web([_condition("Progressing", "True", "ReplicaSetUpdated", 50)], {"replicas": 3, "updatedReplicas": 3})
    found = progress.status(web, [replica_set("new", available=1, image=NEW)], NOW)
    [moving] = [one for one in found["conditions"] if one["type"] == "Progressing"]
    assert (moving["lastUpdateTime"], moving["lastTransitionTime"]) == (ago(0), ago(50))


@pytest.mark.parametrize(
    ("paused", "before", "told"),
    [
        (True, ("True", "NewReplicaSetAvailable"), ("Unknown", "DeploymentPaused")),
        (True, ("Unknown", "DeploymentPaused"), ("Unknown", "DeploymentPaused")),
        (True, ("False", "ProgressDeadlineExceeded"), ("False", "ProgressDeadlineExceeded")),
        (False, ("Unknown", "DeploymentPaused"), ("Unknown", "DeploymentResumed")),
    ],
)
def test_a_pause_is_told(paused: bool, before: tuple[str, str], told: tuple[str, str]) -> None:
    counts = {"replicas": 3, "readyReplicas": 3, "availableReplicas": 3}
    web = _web([_condition("Progressing", *before)], counts, paused=paused)
    assert _told(progress.status(web, [replica_set("old", image=OLD)], NOW), "Progressing") == told


def test_without_a_deadline_nothing_is_told_of_progress() -> None:
    for none in ({"progressDeadlineSeconds": None}, {"progressDeadlineSeconds": 2**31 - 1}):
        web = _web([_condition("Progressing", "True", "ReplicaSetUpdated")], **none)
        assert _told(progress.status(web, [replica_set("new", image=NEW)], NOW), "Progressing") is None


def test_a_failure_of_a_replica_set_is_passed_on_and_taken_back() -> None:
    failing = replica_set("new", replicas=3, actual=0, image=NEW)
    failing.status.conditions = [
        progress.StatusCondition(
            type="ReplicaFailure", status="True", reason="FailedCreate", message="quota", last_transition_time=ago(9)
        )
    ]
    found = progress.status(_web(), [failing], NOW)
    [condition] = [one for one in found["conditions"] if one["type"] == "ReplicaFailure"]
    assert (condition["reason"], condition["message"]) == ("FailedCreate", "quota")
    well = progress.status(_web(found["conditions"]), [replica_set("new", image=NEW)], NOW)
    assert _told(well, "ReplicaFailure") is None


def test_a_status_that_was_written_is_not_written_again() -> None:
    sets = [replica_set("new", available=2, image=NEW)]
    first = progress.status(_web(), sets, NOW, progress.created("new"))
    assert progress.status(_web(status=first), sets, NOW) == first


@pytest.mark.parametrize(
    ("reason", "paused", "age", "wait"),
    [
        ("ReplicaSetUpdated", False, 20, 41.0),
        ("ReplicaSetUpdated", False, 100, 0.0),
        ("ReplicaSetUpdated", True, 20, None),
        ("NewReplicaSetAvailable", False, 20, None),
        ("ProgressDeadlineExceeded", False, 20, None),
    ],
)
def test_when_to_look_at_the_deadline(reason: str, paused: bool, age: float, wait: float | None) -> None:
    written = {"conditions": [_condition("Progressing", "True", reason, age)]}
    assert progress.next_look(_web(paused=paused), written, NOW) == wait
