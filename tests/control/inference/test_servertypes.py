"""What well-known servers are given beside their runtime (reference of the KServe control plane, section 2.3)."""

from __future__ import annotations

import pytest

from inference_objects import isvc, model
from mizzen.control.inference.servertypes import SERVER_TYPE_ANNOTATION, completed, server_type


@pytest.mark.parametrize(
    ("name", "annotated", "kind"),
    [
        ("kserve-mlserver", "", "mlserver"),
        ("kserve-torchserve", "", "torchserve"),
        ("kserve-tritonserver", "", "tritonserver"),
        ("kserve-tensorflow-serving", "", "tensorflow-serving"),
        ("kserve-huggingfaceserver", "", "huggingfaceserver"),
        ("kserve-vllmserver", "", "vllmserver"),
        ("kserve-mlserver", "tritonserver", "tritonserver"),
        ("mine", "mlserver", "mlserver"),
        ("mine", "", ""),
    ],
)
def test_the_annotation_says_which_server_it_is_and_else_the_name(name, annotated, kind):
    assert server_type(name, {SERVER_TYPE_ANNOTATION: annotated} if annotated else {}) == kind


def variables(service):
    return {entry["name"]: entry["value"] for entry in service.spec.predictor.model.env or ()}


@pytest.mark.parametrize(
    ("format_name", "model_class"),
    [
        ("sklearn", "mlserver_sklearn.SKLearnModel"),
        ("xgboost", "mlserver_xgboost.XGBoostModel"),
        ("lightgbm", "mlserver_lightgbm.LightGBMModel"),
        ("mlflow", "mlserver_mlflow.MLflowRuntime"),
        ("custom", "mlserver_sklearn.SKLearnModel"),
    ],
)
def test_mlserver_is_told_its_model(format_name, model_class):
    found = completed(isvc(predictor=model(format_name), labels={"team": "a"}), "mlserver", "v2")
    assert variables(found) == {"MLSERVER_MODEL_NAME": "iris", "MLSERVER_MODEL_URI": "/mnt/models"}
    assert found.metadata.labels == {"team": "a", "modelClass": model_class}


def test_what_the_user_set_for_mlserver_stays():
    written = [{"name": "MLSERVER_MODEL_NAME", "value": "mine"}]
    found = completed(isvc(predictor=model(env=written)), "mlserver", "v2")
    assert variables(found) == {"MLSERVER_MODEL_NAME": "mine", "MLSERVER_MODEL_URI": "/mnt/models"}


def test_mlserver_without_a_model_waits_for_some():
    found = completed(isvc(predictor=model(uri=None)), "mlserver", "v2")
    assert variables(found) == {"MLSERVER_LOAD_MODELS_AT_STARTUP": "false"}


@pytest.mark.parametrize(
    ("protocol", "envelope"), [("v1", "kserve"), ("grpc-v1", "kserve"), ("v2", "kservev2"), ("grpc-v2", "kservev2")]
)
def test_torchserve_is_told_its_protocol(protocol, envelope):
    found = completed(isvc(predictor=model("pytorch")), "torchserve", protocol)
    assert found.metadata.labels == {"serviceEnvelope": envelope}
    assert variables(found) == {"PROTOCOL_VERSION": protocol}


def test_the_protocol_of_torchserve_is_said_once():
    written = [{"name": "PROTOCOL_VERSION", "value": "v1"}, {"name": "A", "value": "1"}]
    found = completed(isvc(predictor=model("pytorch", env=written)), "torchserve", "v2")
    assert [entry["name"] for entry in found.spec.predictor.model.env] == ["A", "PROTOCOL_VERSION"]
    assert variables(found)["PROTOCOL_VERSION"] == "v2"


def test_triton_without_a_model_waits_for_some():
    found = completed(isvc(predictor=model("triton", uri=None, args=["--x"])), "tritonserver", "v2")
    assert found.spec.predictor.model.args == ["--x", "--model-control-mode=explicit"]
    found = completed(isvc(predictor=model("triton")), "tritonserver", "v2")
    assert not found.spec.predictor.model.args


@pytest.mark.parametrize("kind", ["", "sklearnserver", "vllmserver"])
def test_other_servers_need_nothing(kind):
    service = isvc()
    assert completed(service, kind, "v1") == service


def test_the_service_itself_is_left_alone():
    service = isvc(labels={"team": "a"})
    completed(service, "mlserver", "v2")
    assert service == isvc(labels={"team": "a"})
