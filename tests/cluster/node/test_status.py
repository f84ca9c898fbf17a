"""A pod's status from what its containers do."""

from __future__ import annotations

from typing import Any

import pytest

from mizzen.apis.merge import strategic_merge
from mizzen.apis.schema import builtin
from mizzen.cluster.node.podspec import Kind
from mizzen.cluster.node.status import ContainerView, Ended, PodView, Running, State, Waiting, patch, phase, render

NOW = 1_800_000_000.0
WAITS = Waiting("ContainerCreating")
RUNS = Running(NOW - 10)
GOOD = Ended(exit_code=0, reason="Completed", started=NOW - 20, finished=NOW - 5, id="u/main/0")
BAD = Ended(exit_code=3, reason="Error", started=NOW - 20, finished=NOW - 5, message="why", id="u/main/0")


def view(state: State, kind: Kind = "main", name: str = "main", **fields: Any) -> ContainerView:
    return ContainerView(name=name, kind=kind, image="busybox", state=state, **fields)


def init(state: State, **fields: Any) -> ContainerView:
    return view(state, "init", "init", **fields)


def sidecar(state: State, **fields: Any) -> ContainerView:
    return view(state, "sidecar", "sidecar", **fields)


def pod(*containers: ContainerView, policy: str = "Always", **fields: Any) -> PodView:
    spec = {"restartPolicy": policy} | fields.pop("spec", {})
    return PodView(spec=spec, containers=list(containers), host="127.9.0.1", start=NOW - 60, prepared=True, **fields)


def conditions(status: dict[str, Any]) -> dict[str, str]:
    return {found["type"]: found["status"] for found in status["conditions"]}


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        (pod(view(WAITS)), "Pending"),
        (pod(view(RUNS)), "Running"),
        (pod(view(RUNS), view(WAITS)), "Pending"),
        (pod(view(GOOD)), "Running"),
        (pod(view(BAD)), "Running"),
        (pod(view(Waiting("CrashLoopBackOff"), last=BAD)), "Running"),
        (pod(view(GOOD), policy="Never"), "Succeeded"),
        (pod(view(BAD), policy="Never"), "Failed"),
        (pod(view(GOOD), view(BAD), policy="Never"), "Failed"),
        (pod(view(GOOD), view(RUNS), policy="Never"), "Running"),
        (pod(view(GOOD), policy="OnFailure"), "Succeeded"),
        (pod(view(BAD), policy="OnFailure"), "Running"),
        (pod(view(BAD), terminal=True), "Failed"),
        (pod(view(GOOD), terminal=True), "Succeeded"),
        (pod(view(WAITS), terminal=True), "Failed"),
        (pod(view(BAD), policy="OnFailure", terminal=True), "Failed"),
        (pod(init(RUNS), view(WAITS)), "Pending"),
        (pod(init(GOOD), view(WAITS)), "Pending"),
        (pod(init(GOOD), view(RUNS)), "Running"),
        (pod(init(BAD), view(WAITS)), "Pending"),
        (pod(init(Waiting("CrashLoopBackOff"), last=BAD), view(WAITS)), "Pending"),
        (pod(init(BAD), view(WAITS), policy="Never"), "Failed"),
        (pod(init(RUNS), view(WAITS), terminal=True), "Pending"),
        (pod(init(BAD), view(WAITS), terminal=True), "Failed"),
        (pod(sidecar(RUNS), view(WAITS)), "Pending"),
        (pod(sidecar(RUNS, started=True), view(RUNS)), "Running"),
        (pod(sidecar(RUNS, started=True), view(GOOD), policy="Never"), "Running"),
        (pod(sidecar(GOOD), view(GOOD), policy="Never"), "Succeeded"),
        (pod(sidecar(RUNS, started=True), init(BAD), view(WAITS), policy="Never"), "Pending"),
        (pod(view(BAD), reason="DeadlineExceeded"), "Running"),
        (pod(view(GOOD), policy="Never", reason="DeadlineExceeded", terminal=True), "Failed"),
    ],
)
def test_phases(found: PodView, wanted: str) -> None:
    assert phase(found) == wanted


@pytest.mark.parametrize(
    ("found", "true"),
    [
        (pod(view(WAITS)), {"PodReadyToStartContainers", "Initialized"}),
        (pod(init(RUNS), view(WAITS)), {"PodReadyToStartContainers"}),
        (pod(init(GOOD), view(RUNS)), {"PodReadyToStartContainers", "Initialized"}),
        (
            pod(init(GOOD), view(RUNS, ready=True)),
            {"PodReadyToStartContainers", "Initialized", "ContainersReady", "Ready"},
        ),
        (pod(view(RUNS, ready=True), view(RUNS, name="b")), {"PodReadyToStartContainers", "Initialized"}),
        (pod(sidecar(RUNS), view(WAITS)), {"PodReadyToStartContainers"}),
        (pod(sidecar(RUNS, started=True), view(RUNS, ready=True)), {"PodReadyToStartContainers", "Initialized"}),
        (pod(init(GOOD), view(GOOD), policy="Never"), {"Initialized"}),
        (pod(init(BAD), view(WAITS), policy="Never"), set()),
    ],
)
def test_conditions(found: PodView, true: set[str]) -> None:
    assert {kind for kind, status in conditions(render(found, {}, NOW)).items() if status == "True"} == true


def test_a_condition_keeps_its_time_until_it_changes() -> None:
    first = render(pod(view(WAITS)), {}, NOW)
    second = render(pod(view(RUNS, ready=True)), first, NOW + 100)
    before = {found["type"]: found["lastTransitionTime"] for found in first["conditions"]}
    after = {found["type"]: found["lastTransitionTime"] for found in second["conditions"]}
    assert after["Initialized"] == before["Initialized"]
    assert after["Ready"] > before["Ready"]


def test_why_it_is_not_ready() -> None:
    (ready,) = [found for found in render(pod(view(WAITS)), {}, NOW)["conditions"] if found["type"] == "Ready"]
    assert ready["reason"] == "ContainersNotReady"
    assert ready["message"] == "containers with unready status: [main]"


def test_readiness_gates() -> None:
    gated = pod(view(RUNS, ready=True), spec={"readinessGates": [{"conditionType": "example.com/ok"}]})
    assert conditions(render(gated, {}, NOW))["Ready"] == "False"
    stored = {"conditions": [{"type": "example.com/ok", "status": "True"}]}
    assert conditions(render(gated, stored, NOW))["Ready"] == "True"


def test_a_container_that_crashed_and_waits() -> None:
    crashed = view(Waiting("CrashLoopBackOff", "back-off 10s"), last=BAD, restarts=4, id="u/main/4")
    (found,) = render(pod(crashed, address="127.9.0.20"), {}, NOW)["containerStatuses"]
    assert found["state"] == {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}
    assert found["lastState"]["terminated"] == {
        "exitCode": 3,
        "reason": "Error",
        "message": "why",
        "startedAt": "2027-01-15T07:59:40Z",
        "finishedAt": "2027-01-15T07:59:55Z",
        "containerID": "mizzen://u/main/0",
    }
    assert (found["restartCount"], found["containerID"]) == (4, "mizzen://u/main/4")


POD = builtin("", "v1", "Pod")


def stored_after(stored: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    merged: dict[str, Any] = strategic_merge({"status": stored}, {"status": change}, POD)["status"]
    return merged


def test_a_patch_makes_it_so_and_leaves_the_rest_alone() -> None:
    scheduled = {"type": "PodScheduled", "status": "True", "lastProbeTime": None, "lastTransitionTime": "t"}
    stored: dict[str, Any] = {"phase": "Pending", "qosClass": "BestEffort", "conditions": [scheduled]}
    steps = [
        pod(init(RUNS), view(WAITS)),
        pod(init(GOOD), view(Waiting("ErrImagePull", "no recipe")), address="127.9.0.20"),
        pod(init(GOOD), view(RUNS, ready=True), address="127.9.0.21"),
        pod(init(GOOD), view(BAD), address="127.9.0.21", reason="DeadlineExceeded", message="late", terminal=True),
        pod(init(GOOD), view(RUNS), address="127.9.0.21"),
    ]
    for step in steps:
        wanted = render(step, stored, NOW)
        stored = stored_after(stored, patch(stored, wanted))
        assert {key: stored.get(key) for key in wanted if key != "conditions"} == {
            key: value for key, value in wanted.items() if key != "conditions"
        }
        assert {found["type"]: found["status"] for found in stored["conditions"]} == conditions(wanted) | {
            "PodScheduled": "True"
        }
        for found in stored["conditions"]:
            (same,) = [one for one in [*wanted["conditions"], scheduled] if one["type"] == found["type"]]
            assert found.get("reason") == same.get("reason")
        assert stored["qosClass"] == "BestEffort"
        assert patch(stored, render(step, stored, NOW + 1)) == {}
    assert "reason" not in stored
