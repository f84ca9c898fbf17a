"""``mizzen describe``: what a person reads of a service that fails, of a pod, and of any other kind."""

import json

import pytest
import yaml

from installed import iris_manifest, until
from mizzen.cli import sections


@pytest.fixture
def applied(mizzen):
    """Apply an object; it is deleted in the end."""
    made = []

    def apply(text: str) -> None:
        mizzen.apply(text)
        found = json.loads(text)
        made.append((found["kind"], found["metadata"]["name"]))

    yield apply
    for kind, name in made:
        mizzen("delete", kind, name)


def table(told: str, title: str) -> list[str]:
    """The lines of a section, header included, without its indent."""
    after = told.partition(f"{title}\n")[2].splitlines()
    end = next((place for place, line in enumerate(after) if not line.startswith("  ")), len(after))
    return [line[2:] for line in after[:end]]


def test_one_cause_is_told_once(mizzen, applied, tmp_path):
    applied(iris_manifest(tmp_path / "nowhere", name="away"))
    until(lambda: "nowhere" in mizzen.condition("away").get("message", ""))
    until(lambda: "Last failure" in mizzen("describe", "isvc", "away"))
    told = mizzen("describe", "isvc", "away")
    assert "Model state:   FailedToLoad\n" in told
    assert "wanted" not in told
    [failure] = table(told, "Last failure:")
    cause = failure.removeprefix("ModelLoadFailed: ")
    assert cause in mizzen.condition("away")["message"]
    conditions = table(told, "Conditions:")
    assert cause not in "\n".join(conditions)
    assert [line.split()[0] for line in conditions if line.endswith("as above")] == [
        "IngressReady",
        "PredictorReady",
        "Ready",
    ]


def test_a_service_that_still_answers_with_its_old_model(mizzen, applied, model, tmp_path):
    applied(iris_manifest(model, name="older"))
    mizzen.wait_ready("older")
    mizzen.apply(iris_manifest(tmp_path / "nowhere", name="older"))
    until(lambda: "; the newest is FailedToLoad" in mizzen("describe", "isvc", "older"))


def test_a_service_of_an_own_container_has_no_runtime_to_choose(mizzen, applied):
    own = {"containers": [{"name": "kserve-container", "image": "busybox", "command": ["sleep", "100"]}]}
    applied(json.dumps({**json.loads(iris_manifest("x", name="own")), "spec": {"predictor": own}}))
    told = mizzen("describe", "isvc", "own")
    assert "Runtime:" not in told
    assert "Image:         busybox" in told


def test_messages_of_several_lines_stay_in_their_column():
    found = [
        {"type": "Ready", "status": "False", "reason": "R", "message": "one\ntwo\n"},
        {"type": "B", "status": "True"},
    ]
    told = table(sections.conditions(found), "Conditions:")
    column = told[0].index("MESSAGE")
    assert [line[column:] for line in told] == ["MESSAGE", "one", "two", ""]
    assert told[2].strip() == "two"


def test_events_of_one_second_are_in_the_order_of_their_last_change():
    def event(reason: str, second: int, version: str) -> dict:
        return {
            "reason": reason,
            "lastTimestamp": f"2026-01-01T00:00:0{second}Z",
            "metadata": {"resourceVersion": version, "creationTimestamp": "2026-01-01T00:00:00Z"},
        }

    found = [
        event("BackOff", 1, "100"),
        event("Started", 1, "99"),
        event("Killing", 2, "5"),
        event("Scheduled", 0, "200"),
    ]
    assert [one["reason"] for one in sorted(found, key=sections.order)] == [
        "Scheduled",
        "Started",
        "BackOff",
        "Killing",
    ]


def test_a_pod_is_told_and_not_dumped(mizzen, applied):
    container = {"name": "main", "image": "busybox", "command": ["sh", "-c", "exit 7"]}
    init = {"name": "first", "image": "busybox", "command": ["true"]}
    manifest = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "dying"},
        "spec": {"containers": [container], "initContainers": [init], "terminationGracePeriodSeconds": 1},
    }
    applied(json.dumps(manifest))
    until(lambda: "BackOff" in mizzen("describe", "pod", "dying"))
    until(lambda: "Restarts:     1" in mizzen("describe", "pod", "dying"))
    until(lambda: "CrashLoopBackOff" in mizzen("get", "pod", "dying"))
    told = mizzen("describe", "pod", "dying")
    head = dict(line.split(None, 1) for line in told.partition("Init containers:")[0].splitlines())
    assert head["Status:"] == "CrashLoopBackOff"
    assert head["Node:"] == mizzen.object("pod", "dying")["spec"]["nodeName"]
    assert head["IP:"] == mizzen.object("pod", "dying")["status"]["podIP"]
    first = table(told, "Init containers:")
    assert first[0] == "first:"
    assert "ended: Completed (exit code 0)" in first[2]
    main = "\n".join(table(told, "\nContainers:"))
    assert "waiting: CrashLoopBackOff" in main
    assert "ended: Error (exit code 7)" in main
    assert {line.split()[0] for line in table(told, "Conditions:")} >= {"TYPE", "Ready", "Initialized"}
    reasons = [line.split()[1] for line in table(told, "Events:")[1:]]
    assert reasons.index("Scheduled") < reasons.index("BackOff")
    assert "terminationGracePeriodSeconds" not in told


def test_a_pod_of_a_service_names_its_owner(mizzen, iris):
    [pod] = mizzen("get", "pods", "-o", "name", "-l", "serving.kserve.io/inferenceservice=iris").split()
    told = mizzen("describe", pod)
    owner = mizzen.object("pod", pod.partition("/")[2])["metadata"]["ownerReferences"][0]["name"]
    assert f"Controlled by:   ReplicaSet/{owner}" in told
    assert "Status:          Running" in told
    assert "running for" in told


def test_of_any_other_kind_the_conditions_are_a_table_and_the_rest_stays(mizzen, iris):
    told = mizzen("describe", "deploy", "iris-predictor")
    assert {line.split()[0] for line in table(told, "Conditions:")} >= {"TYPE", "Available", "Progressing"}
    rest = yaml.safe_load(told[told.index("\nspec:") : told.index("\nEvents:")])
    assert rest["spec"]["replicas"] == 1
    assert rest["status"]["readyReplicas"] == 1
    assert "conditions" not in rest["status"]
