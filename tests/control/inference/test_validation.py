"""Every rule of KServe's webhook, accepted and refused (reference of the KServe control plane, section 3.3)."""

from __future__ import annotations

from typing import Any

import pytest

from inference_objects import custom, isvc, manifest, model, typed
from mizzen.apis.serving.v1beta1.model import FRAMEWORKS
from mizzen.control.inference.config import MODE_ANNOTATION
from mizzen.control.inference.validation import Refusal, validate

AUTOSCALER = "serving.kserve.io/autoscalerClass"
GPUS = "serving.kserve.io/gpu-resource-types"
NO_AUTOSCALER = {AUTOSCALER: "none"}


def env(**variables: str) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in variables.items()]


def server(name: str = "kserve-container", **more: Any) -> dict[str, Any]:
    return {"name": name, "image": "my/server:1"} | more


PYTHONPATH = server(env=env(PYTHONPATH="/x"))
WORKER = {"containers": [server("worker-container")]}


def with_worker(worker: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return model("huggingface", **({"uri": "pvc://claim/m"} | more), predictor={"workerSpec": worker or WORKER})


def uris(*pairs: tuple[str, str]) -> list[dict[str, str]]:
    return [{"uri": uri, "mountPath": path} for uri, path in pairs]


def canary(*entries: dict[str, Any], **stable: Any) -> dict[str, Any]:
    return {"predictor": model(predictor=stable), "canary": list(entries)}


def second(name: str = "v2", percent: int = 20, **predictor: Any) -> dict[str, Any]:
    return {
        "predictor": model(uri="https://models/v2", predictor={"name": name} | predictor),
        "trafficPercent": percent,
    }


ACCEPTED = {
    "a model": {},
    "the shortest name": {"name": "a"},
    "a name that ends in a digit": {"name": "iris-2"},
    "the longest name": {"name": "a" * 48},
    "the longest name with a transformer": {
        "name": "a" * 46,
        "transformer": {"containers": [server()]},
    },
    **{f"autoscaler {word}": {"annotations": {AUTOSCALER: word}} for word in ("hpa", "external", "keda", "none")},
    **{f"shorthand {word}": {"predictor": {word: {"storageUri": "gs://b/m"}}} for word in FRAMEWORKS},
    "a variable like the banned one": {"predictor": custom(server(env=env(PYTHONPATHS="x")))},
    "several nodes": {"predictor": with_worker(), "annotations": NO_AUTOSCALER},
    "several nodes from an image": {"predictor": with_worker(uri="oci://image"), "annotations": NO_AUTOSCALER},
    "several nodes with sizes": {
        "predictor": with_worker(WORKER | {"pipelineParallelSize": 1, "tensorParallelSize": 8}),
        "annotations": NO_AUTOSCALER,
    },
    "several nodes with known GPUs": {
        "predictor": with_worker(
            {"containers": [server(resources={"limits": {"habana.ai/gaudi": 1, "ephemeral-storage": "1Gi"}})]},
            resources={"limits": {"nvidia.com/gpu": 1, "cpu": 1}, "requests": {"amd.com/gpu": 1}},
        ),
        "annotations": NO_AUTOSCALER,
    },
    "several nodes with a GPU that the annotation names": {
        "predictor": with_worker(resources={"limits": {"acme.com/npu": 1}}),
        "annotations": NO_AUTOSCALER | {GPUS: '["acme.com/npu"]'},
    },
    "several nodes of containers": {"predictor": custom() | {"workerSpec": WORKER}},
    "a transformer beside the model": {
        "predictor": model(predictor={"containers": [server("transformer-container")]}),
    },
    "a custom predictor that names its model": {"predictor": custom(server(env=env(STORAGE_URI="gs://b/m")))},
    "a custom predictor of two containers": {"predictor": custom(server(), server("sidecar"))},
    "a custom predictor without the usual name": {"predictor": custom(server("a"), server("b"))},
    "a custom predictor with protocol v2": {"predictor": custom(server(env=env(PROTOCOL="v2")))},
    "a protocol of a transformer beside": {
        "predictor": custom(server(env=env(PROTOCOL="other")), server("transformer-container", env=env(PROTOCOL="v1"))),
    },
    "storageUris": {"predictor": model(uri=None, predictor={"storageUris": uris(("gs://b/m", "/mnt/models"))})},
    "storageUris below one parent": {
        "predictor": model(uri=None, predictor={"storageUris": uris(("gs://b/m", "/mnt/a"), ("gs://b/n", "/mnt/b"))}),
    },
    "claims at one path beside one download": {
        "predictor": model(
            uri=None, predictor={"storageUris": uris(("pvc://c", "/a"), ("pvc://d", "/a"), ("gs://b/m", "/mnt/b"))}
        ),
    },
    "storageUris of a transformer": {
        "transformer": {"containers": [server()], "storageUris": uris(("gs://b/m", "/mnt/a"))}
    },
    "confidential": {"predictor": model(confidential={"enabled": True, "resourceId": "kbs:///repo/type/tag-1.0"})},
    "confidential without a resource": {"predictor": model(confidential={"enabled": True})},
    "not confidential": {"predictor": model(uri=None, confidential={"enabled": False, "resourceId": "x"})},
    "an ART explainer": {"explainer": {"art": {"type": "SquareAttack", "storage": {"parameters": {"type": "s3"}}}}},
    "no replicas": {"predictor": model(predictor={"minReplicas": 0})},
    "a missing minimum counts as one": {"predictor": model(predictor={"minReplicas": None, "maxReplicas": 1})},
    "replicas in order": {"predictor": model(predictor={"minReplicas": 2, "maxReplicas": 2})},
    "no upper limit": {"predictor": model(predictor={"minReplicas": 5, "maxReplicas": 0})},
    "concurrency": {"predictor": model(predictor={"containerConcurrency": 0})},
    **{f"logger {mode}": {"predictor": model(predictor={"logger": {"mode": mode}})} for mode in ("all", "request")},
    "logger without a mode": {"predictor": model(predictor={"logger": {"url": "http://log"}})},
    "logger with storage": {
        "predictor": model(predictor={"logger": {"storage": {"path": "p", "parameters": {"a": "b"}, "key": "k"}}})
    },
    "a canary": canary(second()),
    "canaries of all the traffic": canary(second("v2", 50), second("v3", 50)),
    "a canary as large as the stable one": canary(second(minReplicas=2), minReplicas=2),
    "a canary by shorthand": canary({"predictor": {"name": "v2", "sklearn": {}}, "trafficPercent": 0}),
    "no canaries": {"canary": []},
}


@pytest.mark.parametrize("fields", ACCEPTED.values(), ids=ACCEPTED)
def test_accepted(fields):
    assert validate(isvc(**fields)) == []


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    # rule 1
    "upper case": ({"name": "Iris"}, "metadata.name"),
    "first a digit": ({"name": "1iris"}, "metadata.name"),
    "last a dash": ({"name": "iris-"}, "metadata.name"),
    "a dot": ({"name": "iris.v2"}, "metadata.name"),
    "no name": ({"name": ""}, "metadata.name"),
    "a line break": ({"name": "iris\n"}, "metadata.name"),
    "too long": ({"name": "a" * 49}, "metadata.name"),
    "too long with a transformer": ({"name": "a" * 47, "transformer": {"containers": [server()]}}, "metadata.name"),
    "predictor name too long": (
        {"name": "a" * 30, "predictor": model(predictor={"name": "b" * 30})},
        "spec.predictor.name",
    ),
    # rule 2
    "autoscaler kpa": ({"annotations": {AUTOSCALER: "kpa"}}, AUTOSCALER),
    "autoscaler in capitals": ({"annotations": {AUTOSCALER: "HPA"}}, AUTOSCALER),
    "autoscaler empty": ({"annotations": {AUTOSCALER: ""}}, AUTOSCALER),
    # rule 3
    "PYTHONPATH of a container": ({"predictor": custom(server(), PYTHONPATH)}, "spec.predictor.containers[1].env"),
    "PYTHONPATH of an init container": (
        {"predictor": model(predictor={"initContainers": [PYTHONPATH]})},
        "spec.predictor.initContainers[0].env",
    ),
    "PYTHONPATH of a model": ({"predictor": model(env=PYTHONPATH["env"])}, "spec.predictor.model.env"),
    "PYTHONPATH of a worker": (
        {"predictor": with_worker({"containers": [PYTHONPATH]}), "annotations": NO_AUTOSCALER},
        "spec.predictor.workerSpec.containers[0].env",
    ),
    "PYTHONPATH of a worker's init container": (
        {"predictor": with_worker(WORKER | {"initContainers": [PYTHONPATH]}), "annotations": NO_AUTOSCALER},
        "spec.predictor.workerSpec.initContainers[0].env",
    ),
    "PYTHONPATH of a transformer": (
        {"transformer": {"containers": [PYTHONPATH]}},
        "spec.transformer.containers[0].env",
    ),
    "PYTHONPATH of an explainer": ({"explainer": {"containers": [PYTHONPATH]}}, "spec.explainer.containers[0].env"),
    "PYTHONPATH of ART": ({"explainer": {"art": {"env": PYTHONPATH["env"]}}}, "spec.explainer.art.env"),
    # rule 4
    "two worker containers": (
        {"predictor": with_worker({"containers": [server("a"), server("b")]}), "annotations": NO_AUTOSCALER},
        "spec.predictor.workerSpec.containers",
    ),
    **{
        f"{name} as a variable": (
            {"predictor": with_worker(env=env(**{name: "2"})), "annotations": NO_AUTOSCALER},
            "spec.predictor.model.env",
        )
        for name in ("PIPELINE_PARALLEL_SIZE", "TENSOR_PARALLEL_SIZE")
    },
    "unknown GPU of the model": (
        {"predictor": with_worker(resources={"requests": {"acme.com/npu": 1}}), "annotations": NO_AUTOSCALER},
        "spec.predictor.model.resources.requests",
    ),
    "unknown GPU of the worker": (
        {
            "predictor": with_worker({"containers": [server(resources={"limits": {"acme.com/npu": 1}})]}),
            "annotations": NO_AUTOSCALER,
        },
        "spec.predictor.workerSpec.containers[0].resources.limits",
    ),
    "several nodes without storage": (
        {"predictor": with_worker(uri=None), "annotations": NO_AUTOSCALER},
        "spec.predictor.model.storageUri",
    ),
    "several nodes with storage of one": (
        {"predictor": with_worker(uri="s3://b/m"), "annotations": NO_AUTOSCALER},
        "spec.predictor.model.storageUri",
    ),
    "several nodes with an autoscaler": ({"predictor": with_worker()}, AUTOSCALER),
    "no pipeline": (
        {"predictor": with_worker(WORKER | {"pipelineParallelSize": 0}), "annotations": NO_AUTOSCALER},
        "spec.predictor.workerSpec.pipelineParallelSize",
    ),
    "no tensor": (
        {"predictor": with_worker(WORKER | {"tensorParallelSize": -1}), "annotations": NO_AUTOSCALER},
        "spec.predictor.workerSpec.tensorParallelSize",
    ),
    "no pipeline of containers": (
        {"predictor": custom() | {"workerSpec": WORKER | {"pipelineParallelSize": 0}}},
        "spec.predictor.workerSpec.pipelineParallelSize",
    ),
    # rule 5
    "a transformer beside with storage": (
        {"predictor": model(predictor={"containers": [server("transformer-container", env=env(STORAGE_URI="gs://"))]})},
        "spec.predictor.containers[0].env",
    ),
    "a transformer beside with storage from elsewhere": (
        {
            "predictor": custom(
                server(), server("transformer-container", env=[{"name": "STORAGE_URI", "valueFrom": {}}])
            )
        },
        "spec.predictor.containers[1].env",
    ),
    # rule 6
    "a name for the model's container": ({"predictor": model(name="mine")}, "spec.predictor.model.name"),
    "a name for the shorthand's container": ({"predictor": {"sklearn": {"name": "x"}}}, "spec.predictor.model.name"),
    # rule 7
    "storageUri and storageUris": (
        {"predictor": model(predictor={"storageUris": uris(("gs://b/m", "/mnt/a"))})},
        "spec.predictor.storageUris",
    ),
    "STORAGE_URI and storageUris": (
        {"predictor": custom(server(env=env(STORAGE_URI="gs://b/m"))) | {"storageUris": uris(("gs://b/m", "/mnt/a"))}},
        "spec.predictor.storageUris",
    ),
    "STORAGE_URI and storageUris of a transformer": (
        {
            "transformer": {
                "containers": [server(env=env(STORAGE_URI="gs://b/m"))],
                "storageUris": uris(("gs://b/m", "/mnt/a")),
            }
        },
        "spec.transformer.storageUris",
    ),
    "both of ART": (
        {"explainer": {"art": {"storageUri": "gs://b/m"}, "storageUris": uris(("gs://b/m", "/mnt/a"))}},
        "spec.explainer.storageUris",
    ),
    **{
        f"storageUris at {path!r}": (
            {"predictor": model(uri=None, predictor={"storageUris": uris(("gs://b/m", path))})},
            "spec.predictor.storageUris[0].mountPath",
        )
        for path in ("/", "mnt/models", "/mnt/../etc", "/mnt/a..b")
    },
    "storageUris of nothing": (
        {"predictor": model(uri=None, predictor={"storageUris": uris(("", "/mnt/a"))})},
        "spec.predictor.storageUris[0].uri",
    ),
    "storageUris without a common parent": (
        {"predictor": model(uri=None, predictor={"storageUris": uris(("gs://b/m", "/a/x"), ("gs://b/n", "/b/x"))})},
        "spec.predictor.storageUris",
    ),
    "two claims at one path": (
        {
            "predictor": model(
                uri=None,
                predictor={
                    "storageUris": uris(
                        ("pvc://c", "/p"), ("pvc://d", "/p"), ("gs://b/m", "/mnt/a"), ("gs://b/n", "/mnt/b")
                    )
                },
            )
        },
        "spec.predictor.storageUris",
    ),
    # rule 8
    "confidential without a model": (
        {"predictor": model(uri=None, confidential={"enabled": True})},
        "spec.predictor.model.confidential",
    ),
    **{
        f"confidential with {word}": (
            {"predictor": model(confidential={"enabled": True, "resourceId": word})},
            "spec.predictor.model.confidential.resourceId",
        )
        for word in ("kbs:///repo/type", "kbs://host/repo/type/tag", "kbs:///re po/type/tag", "kbs:///a/b.c/d")
    },
    # rule 9
    "no implementation": ({"predictor": {}}, "spec.predictor"),
    "two frameworks": ({"predictor": {"sklearn": {}, "xgboost": {}}}, "spec.predictor"),
    "a model and a shorthand": ({"predictor": model() | {"sklearn": {}}}, "spec.predictor"),
    "a model and a server": ({"predictor": model(predictor={"containers": [server()]})}, "spec.predictor"),
    "two servers": ({"predictor": custom(server(), server())}, "spec.predictor"),
    "an empty transformer": ({"transformer": {}}, "spec.transformer"),
    "a transformer without containers": ({"transformer": {"containers": []}}, "spec.transformer"),
    "an empty explainer": ({"explainer": {"minReplicas": 1}}, "spec.explainer"),
    "two explainers": ({"explainer": {"art": {}, "containers": [server()]}}, "spec.explainer"),
    # rule 9a
    "a protocol that nobody speaks": (
        {"predictor": custom(server(env=env(PROTOCOL="grpc-v2")))},
        "spec.predictor.containers",
    ),
    "a transformer's protocol that nobody speaks": (
        {"predictor": custom(server(), server("transformer-container", env=env(PROTOCOL="v3")))},
        "spec.predictor.containers",
    ),
    "ART in a bucket of another kind": (
        {"explainer": {"art": {"storage": {"parameters": {"type": "gs"}}}}},
        "spec.explainer.art.storage.parameters.type",
    ),
    # rule 9b
    "negative concurrency": (
        {"predictor": model(predictor={"containerConcurrency": -1})},
        "spec.predictor.containerConcurrency",
    ),
    "negative minimum": ({"predictor": model(predictor={"minReplicas": -1})}, "spec.predictor.minReplicas"),
    "negative maximum": ({"predictor": model(predictor={"maxReplicas": -1})}, "spec.predictor.maxReplicas"),
    "minimum above maximum": (
        {"predictor": model(predictor={"minReplicas": 3, "maxReplicas": 2})},
        "spec.predictor.minReplicas",
    ),
    "minimum above maximum of a transformer": (
        {"transformer": {"containers": [server()], "minReplicas": 3, "maxReplicas": 2}},
        "spec.transformer.minReplicas",
    ),
    "a logger's mode": ({"predictor": model(predictor={"logger": {"mode": "some"}})}, "spec.predictor.logger.mode"),
    "half a logger's storage": (
        {"predictor": model(predictor={"logger": {"storage": {"path": "p", "key": "k"}}})},
        "spec.predictor.logger.storage",
    ),
    # rule 10
    "a canary with Knative": (
        canary(second()) | {"annotations": {MODE_ANNOTATION: "Knative"}},
        "spec.canary",
    ),
    "a canary of containers without a model": (
        {"predictor": custom(), "canary": [second()]},
        "spec.canary",
    ),
    "a canary without a name": (canary({"predictor": model(), "trafficPercent": 1}), "spec.canary[0].predictor.name"),
    "two canaries of one name": (canary(second(), second()), "spec.canary[1].predictor.name"),
    "a canary with the stable name": (canary(second("v1"), name="v1"), "spec.canary[0].predictor.name"),
    "less than no traffic": (canary(second(percent=-1)), "spec.canary[0].trafficPercent"),
    "more than all traffic": (canary(second(percent=101)), "spec.canary[0].trafficPercent"),
    "more than all traffic together": (canary(second("v2", 60), second("v3", 60)), "spec.canary"),
    "a canary of nothing": (canary({"predictor": {"name": "v2"}, "trafficPercent": 1}), "spec.canary[0].predictor"),
    "a canary with negative concurrency": (
        canary(second(containerConcurrency=-1)),
        "spec.canary[0].predictor.containerConcurrency",
    ),
    **{
        f"a canary with {field}": (canary(second(**{field: value})), f"spec.canary[0].predictor.{field}")
        for field, value in {
            "workerSpec": WORKER,
            "maxReplicas": 3,
            "scaleTarget": 50,
            "scaleMetric": "cpu",
            "autoScaling": {"metrics": []},
        }.items()
    },
    "a canary larger than the stable one": (canary(second(minReplicas=2)), "spec.canary[0].predictor.minReplicas"),
}


@pytest.mark.parametrize(("fields", "path"), REFUSED.values(), ids=REFUSED)
def test_refused_with_the_field_named(fields, path):
    with pytest.raises(Refusal) as caught:
        validate(isvc(**fields))
    assert path in str(caught.value).split(": ")[0]


def test_the_first_broken_rule_is_the_one_that_is_reported():
    with pytest.raises(Refusal, match=r"^metadata\.name"):
        validate(isvc("Iris", predictor={}))
    with pytest.raises(Refusal, match=r"^spec\.predictor\.minReplicas"):
        validate(isvc(predictor=model(predictor={"minReplicas": -1}), transformer={}))


@pytest.mark.parametrize("scheme", ["oci", "pvc"])
def test_confidential_storage_that_is_not_downloaded_is_warned_of(scheme):
    warnings = validate(isvc(predictor=model(uri=f"{scheme}://x/y", confidential={"enabled": True})))
    assert len(warnings) == 1
    assert f"{scheme}://" in warnings[0]


UPDATES = {
    "nothing": ({}, {}, True),
    "the mode stays": (
        {"status": {"deploymentMode": "Standard"}},
        {"annotations": {MODE_ANNOTATION: "Standard"}},
        True,
    ),
    "the mode under its old name": (
        {"status": {"deploymentMode": "RawDeployment"}},
        {"annotations": {MODE_ANNOTATION: "Standard"}},
        True,
    ),
    "the mode changes before it is recorded": ({}, {"annotations": {MODE_ANNOTATION: "Knative"}}, True),
    "the mode changes": (
        {"status": {"deploymentMode": "Standard"}},
        {"annotations": {MODE_ANNOTATION: "Knative"}},
        False,
    ),
    "the mode becomes nonsense": (
        {"status": {"deploymentMode": "Standard"}},
        {"annotations": {MODE_ANNOTATION: "nonsense"}},
        False,
    ),
    "a name with the same model": ({}, {"predictor": model(predictor={"name": "v2"})}, False),
    "a name with another model": ({}, {"predictor": model(uri="gs://b/v2", predictor={"name": "v2"})}, True),
    "a name is taken back with the same model": ({"predictor": model(predictor={"name": "v2"})}, {}, False),
    "a name of containers with another model": (
        {"predictor": custom(server(env=env(STORAGE_URI="gs://b/v1")))},
        {"predictor": custom(server(env=env(STORAGE_URI="gs://b/v2"))) | {"name": "v2"}},
        True,
    ),
}


@pytest.mark.parametrize(("before", "after", "accepted"), UPDATES.values(), ids=UPDATES)
def test_updates(before, after, accepted):
    if accepted:
        validate(isvc(**after), isvc(**before))
        return
    with pytest.raises(Refusal):
        validate(isvc(**after), isvc(**before))


def test_a_service_that_is_being_deleted_may_change_its_mode():
    old = manifest(status={"deploymentMode": "Standard"})
    old["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    validate(isvc(annotations={MODE_ANNOTATION: "Knative"}), typed(old))
