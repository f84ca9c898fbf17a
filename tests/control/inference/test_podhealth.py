"""Why a pod does not answer, in the order in which a pod meets its troubles."""

from __future__ import annotations

import msgspec
import pytest

from inference_objects import container_status, pod
from mizzen.apis.core import ContainerStatus, Pod
from mizzen.control.inference.podhealth import Failure, Trouble, failure, is_backing_off, is_made_from, trouble

WAITING = {"reason": "ContainerCreating"}
RUNNING = {"startedAt": "2026-01-01T00:00:00Z"}
FAILED = {"exitCode": 1, "reason": "Error", "message": "no such model\n"}
KILLED = {"exitCode": 137, "reason": "OOMKilled"}
SILENT = {"exitCode": 2}
CRASHING = {"reason": "CrashLoopBackOff", "message": "back-off 20s"}
BAD_IMAGE = {"reason": "ErrImagePull", "message": "no recipe for x:1"}
UNPLACED = {
    "type": "PodScheduled",
    "status": "False",
    "reason": "Unschedulable",
    "message": "0/1 nodes have nvidia.com/gpu",
}
NO_ADDRESS = {"reason": "ContainerCreating", "message": "port 8080 is taken by process 7"}
INITIALIZER = "storage-initializer"


@pytest.mark.parametrize(
    ("found", "reason", "words"),
    [
        pytest.param(pod(conditions=[UNPLACED]), "Unschedulable", ["nvidia.com/gpu"], id="not placed"),
        pytest.param(
            pod(phase="Failed", reason="Evicted", message="the node was low on memory"),
            "Evicted",
            ["low on memory"],
            id="evicted",
        ),
        pytest.param(
            pod(init=[container_status(INITIALIZER, running=RUNNING)], containers=[container_status(waiting=WAITING)]),
            "ModelLoading",
            [INITIALIZER],
            id="the model is being brought",
        ),
        pytest.param(
            pod(init=[container_status(INITIALIZER, terminated=FAILED)]),
            "Error",
            [INITIALIZER, "exit code 1", "no such model"],
            id="the model could not be brought",
        ),
        pytest.param(
            pod(init=[container_status(INITIALIZER, waiting=CRASHING, last=FAILED)]),
            "CrashLoopBackOff",
            ["exit code 1", "no such model"],
            id="the model cannot be brought",
        ),
        pytest.param(
            pod(init=[container_status(INITIALIZER, waiting=NO_ADDRESS)]),
            "ContainerCreating",
            ["port 8080 is taken by process 7"],
            id="nothing can be made for it",
        ),
        pytest.param(
            pod(init=[container_status(INITIALIZER, waiting=BAD_IMAGE)]),
            "ErrImagePull",
            [INITIALIZER, "no recipe"],
            id="no image to bring the model with",
        ),
        pytest.param(
            pod(containers=[container_status(waiting=BAD_IMAGE)]), "ErrImagePull", ["no recipe"], id="no image"
        ),
        pytest.param(
            pod(containers=[container_status(waiting={"reason": "CreateContainerConfigError"})]),
            "CreateContainerConfigError",
            ["CreateContainerConfigError"],
            id="no sentence with the reason",
        ),
        pytest.param(
            pod(containers=[container_status(waiting=CRASHING, last=KILLED)]),
            "CrashLoopBackOff",
            ["exit code 137", "OOMKilled"],
            id="killed again and again",
        ),
        pytest.param(
            pod(containers=[container_status(terminated=SILENT)]), "Error", ["exit code 2", "no message"], id="silent"
        ),
        pytest.param(
            pod(phase="Running", containers=[container_status(running=RUNNING)]),
            "ContainerNotReady",
            ["readiness probe"],
            id="running and not ready",
        ),
        pytest.param(
            pod(phase="Running", containers=[container_status(running=RUNNING, ready=True),
                                             container_status("beside", terminated=FAILED)]),
            "Error",
            ["beside", "no such model"],
            id="the one beside failed",
        ),
        pytest.param(
            pod(
                init=[container_status("proxy", running=RUNNING, ready=True)],
                containers=[container_status(terminated=FAILED)],
                spec={"initContainers": [{"name": "proxy", "restartPolicy": "Always"}]},
            ),
            "Error",
            ["kserve-container"],
            id="a sidecar is no loading",
        ),
    ],
)  # fmt: skip
def test_trouble(found, reason, words):
    told = trouble(found)
    assert isinstance(told, Trouble)
    assert told.reason == reason
    assert told.message.startswith("pod iris-predictor-0: ")
    for word in words:
        assert word in told.message


@pytest.mark.parametrize(
    "found",
    [
        pytest.param(pod(), id="nothing is known"),
        pytest.param(pod(ready=True, phase="Running", containers=[container_status(terminated=FAILED)]), id="ready"),
        pytest.param(pod(containers=[container_status(waiting=WAITING)]), id="on its way"),
        pytest.param(pod(init=[container_status(INITIALIZER, terminated={"exitCode": 0})]), id="brought"),
        pytest.param(pod(conditions=[{"type": "PodScheduled", "status": "True"}]), id="placed"),
    ],
)
def test_no_trouble(found):
    assert trouble(found) is None


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (None, None),
        (container_status(running=RUNNING, last=FAILED), None),
        (container_status(terminated={"exitCode": 0, "reason": "Completed"}), None),
        (container_status(waiting=WAITING, last=FAILED), None),
        (container_status(waiting=CRASHING), None),
        (container_status(terminated=FAILED), Failure("no such model", 1)),
        (container_status(waiting=CRASHING, last=FAILED), Failure("no such model", 1)),
        (container_status(terminated=KILLED), Failure("OOMKilled", 137)),
    ],
)
def test_how_a_container_failed(status, expected):
    found = msgspec.convert(status, ContainerStatus) if status else None
    assert failure(found) == expected
    assert is_backing_off(found) == (status is not None and status["state"].get("waiting") == CRASHING)


SERVER = {"name": "kserve-container", "image": "sklearnserver", "args": ["--model_name=iris"]}
URI = "internal.serving.kserve.io/storage-initializer-sourceuri"


@pytest.mark.parametrize(
    ("template", "is_it"),
    [
        ({"metadata": {"annotations": {URI: "/a"}}, "spec": {"containers": [SERVER]}}, True),
        ({"metadata": {"annotations": {URI: "/b"}}, "spec": {"containers": [SERVER]}}, False),
        ({"metadata": {"labels": {"new": "1"}}, "spec": {"containers": [SERVER]}}, False),
        ({"spec": {"containers": [SERVER | {"args": ["--model_name=other"]}]}}, False),
        ({"spec": {"containers": [SERVER | {"env": [{"name": "A", "value": "1"}]}]}}, False),
        ({"spec": {"containers": [SERVER, SERVER | {"name": "beside"}]}}, False),
        ({}, False),
    ],
)
def test_a_pod_is_told_from_those_of_another_template(template, is_it):
    mounted = SERVER | {"volumeMounts": [{"name": "model", "mountPath": "/mnt/models"}]}
    body = {
        "metadata": {"name": "p", "labels": {"app": "x"}, "annotations": {URI: "/a", "other": "1"}},
        "spec": {"containers": [mounted], "initContainers": [{"name": "storage-initializer"}]},
    }
    assert is_made_from(msgspec.convert(body, Pod), template) is is_it
