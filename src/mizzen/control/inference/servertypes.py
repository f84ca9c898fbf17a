"""What well-known model servers need beside what their runtime says: a protocol, variables, labels.

Source: reference of the KServe control plane, section 2.3. The runtime's annotation says which server it is; runtimes
that are older than the annotation are known by name. What is filled in here is seen on the children alone, never on the
stored service, and a runtime's placeholders (``{{.Labels.modelClass}}``) find it.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from mizzen.apis.meta import ObjectMeta
from mizzen.apis.serving.v1beta1.inferenceservice import InferenceService
from mizzen.apis.serving.v1beta1.model import ModelSpec

SERVER_TYPE_ANNOTATION = "serving.kserve.io/server-type"

_BY_NAME = {
    "kserve-mlserver": "mlserver",
    "kserve-torchserve": "torchserve",
    "kserve-tritonserver": "tritonserver",
    "kserve-tensorflow-serving": "tensorflow-serving",
    "kserve-huggingfaceserver": "huggingfaceserver",
    "kserve-vllmserver": "vllmserver",
}
_PROTOCOLS = {"mlserver": "v2", "tritonserver": "v2", "torchserve": "v1"}
_MODEL_CLASSES = {
    "xgboost": "mlserver_xgboost.XGBoostModel",
    "lightgbm": "mlserver_lightgbm.LightGBMModel",
    "mlflow": "mlserver_mlflow.MLflowRuntime",
}
_OTHER_MODEL_CLASS = "mlserver_sklearn.SKLearnModel"


def server_type(runtime: str, annotations: Mapping[str, str]) -> str:
    """Which server a runtime runs, or empty when nobody knows."""
    return annotations.get(SERVER_TYPE_ANNOTATION) or _BY_NAME.get(runtime, "")


def default_protocol(server: str) -> str:
    """The protocol that a server is asked for where the service names none, or empty."""
    return _PROTOCOLS.get(server, "")


def completed(isvc: InferenceService, server: str, protocol: str) -> InferenceService:
    """A copy of the service with what the server of its ``model`` needs.

    Args:
        server: the type of server that the chosen runtime runs.
        protocol: the one it was chosen for.
    """
    model = isvc.spec.predictor.model
    if not model or server not in _PROTOCOLS:
        return isvc
    model = msgspec.structs.replace(model)
    labels = dict(isvc.metadata.labels or {})
    brings_model = bool(model.storage_uri or model.storage)
    match server:
        case "mlserver":
            wanted = {"MLSERVER_MODEL_NAME": isvc.name, "MLSERVER_MODEL_URI": "/mnt/models"}
            _add_missing(model, wanted if brings_model else {"MLSERVER_LOAD_MODELS_AT_STARTUP": "false"})
            labels["modelClass"] = _MODEL_CLASSES.get(_format_name(model), _OTHER_MODEL_CLASS)
        case "torchserve":
            labels["serviceEnvelope"] = "kservev2" if protocol in ("v2", "grpc-v2") else "kserve"
            kept = [entry for entry in model.env or () if entry.get("name") != "PROTOCOL_VERSION"]
            model.env = [*kept, {"name": "PROTOCOL_VERSION", "value": protocol}]
        case "tritonserver" if not brings_model:
            model.args = [*(model.args or ()), "--model-control-mode=explicit"]
    predictor = msgspec.structs.replace(isvc.spec.predictor, model=model)
    metadata: ObjectMeta = msgspec.structs.replace(isvc.metadata, labels=labels)
    spec = msgspec.structs.replace(isvc.spec, predictor=predictor)
    return msgspec.structs.replace(isvc, metadata=metadata, spec=spec)


def _add_missing(model: ModelSpec, variables: Mapping[str, str]) -> None:
    there = {entry.get("name") for entry in model.env or ()}
    more = [{"name": name, "value": value} for name, value in variables.items() if name not in there]
    model.env = [*(model.env or ()), *more]


def _format_name(model: ModelSpec) -> str:
    return model.model_format.name if model.model_format else ""
