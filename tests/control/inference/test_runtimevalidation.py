"""What makes a runtime ambiguous or unsafe (reference of the KServe control plane, section 3.9)."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec
import pytest

from inference_objects import model_format, runtime_manifest, shipped_by_kserve
from mizzen.control.inference.manifests import objects
from mizzen.control.inference.runtimevalidation import runtime_problem

BOTH = ["v1", "v2"]
KSERVE = {"name": "kserve-container", "image": "k"}
WORKER = {"name": "worker-container", "image": "w"}


def new(*formats: dict[str, Any], protocols: list[str] | None = None, **fields: Any) -> dict[str, Any]:
    return runtime_manifest("new", *formats, protocols=BOTH if protocols is None else protocols, **fields)


def other(*formats: dict[str, Any], protocols: list[str] | None = None, **fields: Any) -> dict[str, Any]:
    return runtime_manifest("other", *formats, protocols=BOTH if protocols is None else protocols, **fields)


def containers(*extra: dict[str, Any]) -> dict[str, Any]:
    return {"containers": list(extra)}


ONE = model_format("sklearn", "1", priority=1)
ANNOTATED = new(ONE, workerSpec=containers(WORKER | {"resources": {"limits": {"acme.com/npu": 1}}}))
ANNOTATED["spec"]["annotations"] = {"serving.kserve.io/gpu-resource-types": '["acme.com/npu"]'}
ACCEPTED = {
    "alone": (new(ONE), None, []),
    "another format": (new(ONE), None, [other(model_format("onnx", "1", priority=1))]),
    "another version": (new(ONE), None, [other(model_format("sklearn", "2", priority=1))]),
    "no version": (new(ONE), None, [other(model_format("sklearn", priority=1))]),
    "another priority": (new(ONE), None, [other(model_format("sklearn", "1", priority=2))]),
    "no priority": (new(model_format("sklearn", "1")), None, [other(model_format("sklearn", "1"))]),
    "one without a priority": (new(ONE), None, [other(model_format("sklearn", "1"))]),
    "another protocol": (new(ONE, protocols=["v1"]), None, [other(ONE, protocols=["v2"])]),
    "no protocols": (new(ONE, protocols=[]), None, [other(ONE)]),
    "the other is not picked": (new(ONE), None, [other(model_format("sklearn", "1", auto=False, priority=1))]),
    "this one is not picked": (new(model_format("sklearn", "1", auto=False, priority=1)), None, [other(ONE)]),
    "the other is disabled": (new(ONE), None, [other(ONE, disabled=True)]),
    "the other is for many models": (new(ONE), None, [other(ONE, multiModel=True)]),
    "disabled": (new(ONE, model_format("sklearn", "2", priority=2), disabled=True), None, [other(ONE)]),
    "two versions of one priority": (new(ONE, model_format("sklearn", "2", priority=1)), None, []),
    "two versions, one without a priority": (new(ONE, model_format("sklearn", "2")), None, []),
    "two priorities, one not picked": (new(ONE, model_format("sklearn", "2", auto=False, priority=2)), None, []),
    "two formats": (new(ONE, model_format("onnx", "2", priority=2)), None, []),
    "nodes": (new(ONE, workerSpec=containers(WORKER) | {"pipelineParallelSize": 1}), None, []),
    "nodes come": (new(ONE, workerSpec=containers(WORKER)), new(ONE), []),
    "nodes stay": (new(ONE, workerSpec=containers(WORKER)), new(ONE, workerSpec=containers(WORKER)), []),
    "a variable of a worker": (
        new(ONE, workerSpec=containers(WORKER | {"env": [{"name": "TENSOR_PARALLEL_SIZE", "value": "1"}]})),
        None,
        [],
    ),
    "a GPU that the pods' annotation names": (ANNOTATED, None, []),
    "an older runtime that nobody can read": (new(ONE), None, [{"spec": {"containers": "none"}}]),
}


@pytest.mark.parametrize(("manifest", "old", "others"), ACCEPTED.values(), ids=ACCEPTED)
def test_accepted(manifest, old, others):
    assert runtime_problem(manifest, old, others) == ""


REFUSED = {
    "the same priority": (new(ONE), None, [other(ONE)], "supportedModelFormats: other serves sklearn 1"),
    "the same priority in other letters": (
        new(ONE),
        None,
        [other(model_format("SKLearn", "1", priority=1))],
        "supportedModelFormats",
    ),
    "the same priority without versions": (
        new(model_format(priority=3)),
        None,
        [other(model_format(priority=3))],
        "priority 3",
    ),
    "the same priority with one protocol in common": (
        new(ONE, protocols=["v2", "grpc-v2"]),
        None,
        [other(ONE)],
        "supportedModelFormats",
    ),
    "the same priority for many models": (
        new(ONE, multiModel=True),
        None,
        [other(ONE, multiModel=True)],
        "supportedModelFormats",
    ),
    "two priorities": (new(ONE, model_format("sklearn", "2", priority=2)), None, [], "different priority"),
    "PYTHONPATH": (
        new(ONE, containers=[KSERVE, {"name": "b", "image": "b", "env": [{"name": "PYTHONPATH", "value": "/"}]}]),
        None,
        [],
        "spec.containers[1].env",
    ),
    "PYTHONPATH of a worker": (
        new(ONE, workerSpec=containers(WORKER | {"env": [{"name": "PYTHONPATH", "value": "/"}]})),
        None,
        [],
        "spec.workerSpec.containers[0].env",
    ),
    "nodes go": (new(ONE), new(ONE, workerSpec=containers(WORKER)), [], "spec.workerSpec"),
    "two workers": (new(ONE, workerSpec=containers(WORKER, KSERVE)), None, [], "spec.workerSpec.containers"),
    "a size as a variable": (
        new(
            ONE,
            containers=[KSERVE | {"env": [{"name": "PIPELINE_PARALLEL_SIZE", "value": "2"}]}],
            workerSpec=containers(WORKER),
        ),
        None,
        [],
        "spec.containers[0].env",
    ),
    "an unknown GPU": (
        new(
            ONE,
            containers=[KSERVE | {"resources": {"limits": {"acme.com/npu": 1}}}],
            workerSpec=containers(WORKER),
        ),
        None,
        [],
        "spec.containers[0].resources.limits",
    ),
    "an unknown GPU of a worker": (
        new(ONE, workerSpec=containers(WORKER | {"resources": {"requests": {"acme.com/npu": 1}}})),
        None,
        [],
        "spec.workerSpec.containers[0].resources.requests",
    ),
    "no pipeline": (
        new(ONE, workerSpec=containers(WORKER) | {"pipelineParallelSize": 0}),
        None,
        [],
        "spec.workerSpec.pipelineParallelSize",
    ),
    "no tensor": (
        new(ONE, workerSpec=containers(WORKER) | {"tensorParallelSize": 0}),
        None,
        [],
        "spec.workerSpec.tensorParallelSize",
    ),
}


@pytest.mark.parametrize(("manifest", "old", "others", "word"), REFUSED.values(), ids=REFUSED)
def test_refused_with_the_field_named(manifest, old, others, word):
    assert word in runtime_problem(manifest, old, others)


def test_what_is_no_runtime_is_for_the_schema_to_say():
    with pytest.raises(msgspec.ValidationError):
        runtime_problem({"metadata": {"name": "new"}, "spec": {"containers": "none"}}, None, [])


def test_the_shipped_runtimes_live_together():
    found = [obj for obj in objects() if obj["kind"] == "ClusterServingRuntime"]
    theirs = [
        one for one in shipped_by_kserve() if one["metadata"]["name"] not in {o["metadata"]["name"] for o in found}
    ]
    for one, others in itertools.product([found, [*found, *theirs]], repeat=2):
        for runtime in one:
            rest = [other for other in others if other["metadata"]["name"] != runtime["metadata"]["name"]]
            assert runtime_problem(runtime, None, rest) == ""
