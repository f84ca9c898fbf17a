"""The admission rules as the API server calls them, over objects in memory."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from admission_path import Refused, write
from inference_objects import (
    Shelf,
    config_map,
    custom,
    installed,
    manifest,
    model,
    model_format,
    runtime_manifest,
)
from mizzen.apis.core import POD
from mizzen.apis.meta import ResourceDef
from mizzen.apis.serving.v1alpha1 import CLUSTER_SERVING_RUNTIME, SERVING_RUNTIME
from mizzen.apis.serving.v1beta1.inferenceservice import INFERENCE_SERVICE
from mizzen.control.inference.admission import ADMITTERS
from mizzen.control.inference.config import MODE_ANNOTATION
from mizzen.control.inference.storage import SOURCE_ANNOTATION
from mizzen.kube.admission import AdmissionRequest

DEFAULTER, VALIDATOR, RUNTIMES, PODS = ADMITTERS


def request(found: dict[str, Any], resource: ResourceDef = INFERENCE_SERVICE, **fields: Any) -> AdmissionRequest:
    metadata = found["metadata"]
    return AdmissionRequest(
        **{
            "operation": "CREATE",
            "resource": resource,
            "namespace": metadata.get("namespace", ""),
            "name": metadata.get("name", ""),
            "object": found,
        }
        | fields
    )


def test_who_has_a_say_in_what():
    isvc, pod = request(manifest()), request({"metadata": {}}, POD)
    runtime = request(runtime_manifest(), CLUSTER_SERVING_RUNTIME)
    assert [one.concerns(isvc) for one in ADMITTERS] == [True, True, False, False]
    assert [one.concerns(runtime) for one in ADMITTERS] == [False, False, True, False]
    assert [one.concerns(pod) for one in ADMITTERS] == [False, False, False, True]
    assert not PODS.concerns(request({"metadata": {}}, POD, operation="UPDATE"))
    assert not DEFAULTER.concerns(request(manifest(), operation="DELETE"))
    assert not VALIDATOR.concerns(request(manifest(), operation="UPDATE", subresource="status"))
    assert [one.mutates for one in ADMITTERS] == [True, False, False, True]
    assert len({one.name for one in ADMITTERS}) == len(ADMITTERS)


def test_a_service_is_stored_with_its_defaults():
    found, warnings = write(manifest(predictor={"sklearn": {"storageUri": "https://m/iris"}}))
    assert found["metadata"]["annotations"] == {MODE_ANNOTATION: "Standard", "modelFormat": "sklearn"}
    assert found["spec"]["predictor"] == {"model": {"modelFormat": {"name": "sklearn"}, "storageUri": "https://m/iris"}}
    assert warnings == []


def test_defaults_follow_the_config_map():
    reader = Shelf(config_map(deploy='{"defaultDeploymentMode": "Knative"}'))
    found, _ = write(manifest(predictor=custom({"image": "i"})), reader)
    assert MODE_ANNOTATION not in found["metadata"].get("annotations", {})
    assert found["spec"]["predictor"]["automountServiceAccountToken"] is False
    found, _ = write(manifest(predictor=custom({"image": "i"})), installed())
    assert found["spec"]["predictor"]["containers"][0]["resources"]["limits"] == {"cpu": "1", "memory": "2Gi"}


def test_without_a_config_map_services_are_stored_all_the_same():
    found, _ = write(manifest(), Shelf())
    assert found["metadata"]["annotations"][MODE_ANNOTATION] == "Standard"


def test_a_config_map_that_nobody_can_read_stops_writes_and_says_why():
    with pytest.raises(Refused, match="inferenceservice-config, key deploy") as caught:
        write(manifest(), Shelf(config_map(deploy="{")))
    assert caught.value.code == 500


@pytest.mark.parametrize(
    ("found", "code", "words"),
    [
        (manifest("Iris"), 400, ["Iris", "metadata.name"]),
        (manifest(predictor={"sklearn": {}, "xgboost": {}}), 400, ["spec.predictor", "sklearn, xgboost"]),
        (
            manifest(predictor=model(predictor={"minReplicas": 3, "maxReplicas": 2})),
            400,
            ["spec.predictor.minReplicas"],
        ),
        (manifest(predictor=model(predictor={"minReplicas": "3"})), 422, ["spec.predictor.minReplicas", "integer"]),
        (manifest(predictor=model(predictor={"scaleMetric": "gpu"})), 422, ["spec.predictor.scaleMetric", "gpu"]),
        (manifest(predictor=model(predictor={"name": "V2"})), 422, ["spec.predictor.name", "V2"]),
        (manifest(predictor=model(predictor={"storageUris": []})), 422, ["spec.predictor.storageUris"]),
        (manifest(predictor=model(storage=[])), 422, ["spec.predictor.model.storage", "object"]),
        (manifest(predictor={"model": {"modelFormat": {}}}), 422, ["spec.predictor.model.modelFormat.name"]),
        (manifest(predictor=[]), 422, ["spec.predictor"]),
        ({"apiVersion": "serving.kserve.io/v1alpha2", "kind": "InferenceService", "metadata": {}}, 404, ["v1alpha2"]),
    ],
)
def test_what_is_refused_and_how(found, code, words):
    with pytest.raises(Refused) as caught:
        write(found)
    assert caught.value.code == code
    for word in words:
        assert word in str(caught.value)


def test_unknown_fields_are_told():
    _, warnings = write(manifest(predictor=model(colour="red"), nodeName="n"))
    assert warnings == ['unknown field "spec.predictor.model.colour"', 'unknown field "spec.nodeName"']


def test_an_update_is_compared_with_what_is_stored():
    old, _ = write(manifest())
    old["status"] = {"deploymentMode": "Standard"}
    new, _ = write(manifest(predictor=model(uri="https://m/v2")), old=old)
    assert new["spec"]["predictor"]["model"]["storageUri"] == "https://m/v2"
    with pytest.raises(Refused, match="the deployment mode is Standard"):
        write(manifest(annotations={MODE_ANNOTATION: "Knative"}), old=old)


def test_what_older_rules_stored_does_not_stand_in_the_way():
    old = manifest(predictor="nonsense")
    write(manifest(), old=old)


def test_a_service_that_is_going_away_can_be_written():
    found = manifest(predictor={})
    found["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    write(found)


CLASH = model_format("sklearn", "1", priority=1)


def test_runtimes_of_one_scope_are_compared():
    with pytest.raises(Refused, match="kserve-sklearnserver serves sklearn 1 with the same priority") as caught:
        write(runtime_manifest("mine", CLASH, protocols=["v1"]))
    assert caught.value.code == 400
    write(runtime_manifest("mine", CLASH, protocols=["v1"], cluster=False))
    own = runtime_manifest("theirs", CLASH, protocols=["v1"], cluster=False)
    elsewhere = copy.deepcopy(own)
    elsewhere["metadata"]["namespace"] = "other"
    with pytest.raises(Refused, match="ServingRuntime 'mine' is refused"):
        write(runtime_manifest("mine", CLASH, protocols=["v1"], cluster=False), Shelf(own))
    write(runtime_manifest("mine", CLASH, protocols=["v1"], cluster=False), Shelf(elsewhere))


def test_a_runtime_is_not_compared_with_itself():
    old = runtime_manifest("mine", CLASH, protocols=["v1"])
    write(runtime_manifest("mine", CLASH, protocols=["v1"]), Shelf(old), old=old)


def test_a_misshapen_runtime_is_refused_by_its_schema():
    with pytest.raises(Refused, match=r"spec\.containers") as caught:
        write(runtime_manifest("mine") | {"spec": {"supportedModelFormats": []}})
    assert caught.value.code == 422
    for resource in (SERVING_RUNTIME, CLUSTER_SERVING_RUNTIME):
        found = {"metadata": {"name": "mine"}, "spec": {}}
        assert RUNTIMES.admit(request(found, resource), Shelf()).allowed


def pod(labels: dict[str, str] | None, *names: str) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": "p", "namespace": "default", "annotations": {SOURCE_ANNOTATION: "https://m/x"}}
    if labels is not None:
        metadata["labels"] = labels
    return {"metadata": metadata, "spec": {"containers": [{"name": name, "image": "i"} for name in names]}}


MINE = {"serving.kserve.io/inferenceservice": "iris"}


def test_a_pod_of_a_service_gets_its_model():
    found = pod(MINE, "kserve-container")
    response = PODS.admit(request(found, POD), installed())
    assert response.object is not None
    initializer = response.object["spec"]["initContainers"][0]
    assert initializer["args"] == ["https://m/x", "/mnt/models"]
    assert initializer["image"].startswith("mizzen/storage-initializer:")


@pytest.mark.parametrize("labels", [None, {}, {"other": "label"}])
def test_other_pods_are_left_alone(labels):
    response = PODS.admit(request(pod(labels, "kserve-container"), POD), Shelf(config_map(deploy="{")))
    assert response.allowed
    assert response.object is None


@pytest.mark.parametrize(
    ("reader", "names", "word"),
    [
        (Shelf(), ["other"], "kserve-container"),
        (Shelf(config_map(storageInitializer="{")), ["kserve-container"], "key"),
    ],
)
def test_a_pod_whose_model_cannot_be_brought_is_refused(reader, names, word):
    response = PODS.admit(request(pod(MINE, *names), POD), reader)
    assert not response.allowed
    assert response.code == 500
    assert word in response.message
