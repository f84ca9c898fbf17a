"""What an InferenceService means where it says nothing, written in at admission.

Source: reference of the KServe control plane, section 3.2, in its order. Works on the manifest as it came, whose types
nobody has checked yet: what is not shaped as expected is left for validation to name.
"""

from __future__ import annotations

from typing import Any

from mizzen.apis.meta import Mapping
from mizzen.apis.serving.v1beta1.component import PREDICTOR_CONTAINER
from mizzen.apis.serving.v1beta1.model import FRAMEWORKS
from mizzen.control.inference.config import MODE_ANNOTATION, Config, normalised_mode
from mizzen.control.inference.quantities import without_fractions

FORMAT_ANNOTATION = "modelFormat"

_V2_FRAMEWORKS = ("triton", "onnx", "huggingface")
_V2_FORMATS = ("triton", "vLLM")


def defaulted(isvc: Mapping, config: Config, old: Mapping | None = None) -> Mapping:
    """A copy of the manifest with the defaults filled in.

    Args:
        old: what is stored now, on an update.
    """
    spec = isvc.get("spec")
    if not isinstance(spec, dict) or not isinstance(spec.get("predictor"), dict):
        return isvc
    metadata = isvc.get("metadata") or {}
    if not isinstance(metadata, dict) or not isinstance(metadata.get("annotations") or {}, dict):
        return isvc
    metadata = dict(metadata)
    annotations = dict(metadata.get("annotations") or {})
    written_mode = normalised_mode(str(annotations.get(MODE_ANNOTATION, "")))
    if written_mode:
        annotations[MODE_ANNOTATION] = written_mode
    elif MODE_ANNOTATION not in annotations and config.deploy.mode != "Knative":
        annotations[MODE_ANNOTATION] = config.deploy.mode
    spec = {name: without_fractions(component) for name, component in spec.items()}
    if isinstance(spec.get("canary"), list):
        spec["canary"] = [_with_predictor(entry) for entry in spec["canary"]]
    if written_mode != "ModelMesh":
        stored = _predictor(old)
        spec["predictor"] = _with_model(spec["predictor"], stored.get("model"))
        format_name = _format_name(spec["predictor"])
        if format_name and annotations.get(FORMAT_ANNOTATION) in (None, _format_name(stored)):
            annotations[FORMAT_ANNOTATION] = format_name
    for component in ("transformer", "explainer", "predictor"):
        # ModelMesh has a controller of its own, to which the predictor goes as it was written.
        if isinstance(spec.get(component), dict) and (component != "predictor" or written_mode != "ModelMesh"):
            spec[component] = _component(spec[component], component, config)
    if annotations:
        metadata["annotations"] = annotations
    return {**isvc, "metadata": metadata, "spec": spec}


def _with_predictor(canary: Any) -> Any:
    if not isinstance(canary, dict) or "predictor" not in canary:
        return canary
    return canary | {"predictor": without_fractions(canary["predictor"])}


def _predictor(isvc: Mapping | None) -> Mapping:
    spec = (isvc or {}).get("spec")
    predictor = spec.get("predictor") if isinstance(spec, dict) else None
    return predictor if isinstance(predictor, dict) else {}


def _with_model(predictor: Mapping, stored: Any) -> Mapping:
    """The shorthand (``sklearn: {...}``) in its normal form (``model: {modelFormat: {name: sklearn}, ...}``).

    A manifest with a shorthand that is applied again meets the ``model`` that was made of it the first time, and takes
    its place. Two shorthands, or one beside a ``model`` that the user wrote, stay as they are: validation refuses them
    by the names the user wrote.
    """
    found = [name for name in FRAMEWORKS if predictor.get(name) is not None]
    is_free = predictor.get("model") is None or predictor["model"] == stored
    if len(found) == 1 and is_free and isinstance(predictor[found[0]], dict):
        name = found[0]
        model = {**predictor[name], "modelFormat": {"name": name}}
        if name in _V2_FRAMEWORKS and not model.get("protocolVersion"):
            model["protocolVersion"] = "v2"
        return {key: value for key, value in predictor.items() if key != name} | {"model": model}
    if _format_name(predictor) in _V2_FORMATS and not predictor["model"].get("protocolVersion"):
        return predictor | {"model": predictor["model"] | {"protocolVersion": "v2"}}
    return predictor


def _format_name(predictor: Mapping) -> str:
    model = predictor.get("model")
    model_format = model.get("modelFormat") if isinstance(model, dict) else None
    name = model_format.get("name") if isinstance(model_format, dict) else None
    return name if isinstance(name, str) else ""


def _component(component: Mapping, kind: str, config: Config) -> Mapping:
    component = dict(component)
    containers = component.get("containers")
    custom = kind != "predictor" or not any(component.get(name) is not None for name in (*FRAMEWORKS, "model"))
    if custom and isinstance(containers, list) and containers and isinstance(containers[0], dict):
        first = dict(containers[0])
        if kind != "predictor" or len(containers) == 1 or not first.get("name"):
            first["name"] = PREDICTOR_CONTAINER
        resources = _resources(first.get("resources") or {}, config)
        if resources:
            first["resources"] = resources
        component["containers"] = [first, *containers[1:]]
    if not config.security.auto_mount_service_account_token and component.get("automountServiceAccountToken") is None:
        component["automountServiceAccountToken"] = False
    return component


def _resources(resources: Any, config: Config) -> Any:
    """Requests and limits with the config map's values where the user gave none."""
    if not isinstance(resources, dict):
        return resources
    given = config.inference_service.resource
    filled = dict(resources)
    for kind, cpu, memory in (
        ("requests", given.cpu_request, given.memory_request),
        ("limits", given.cpu_limit, given.memory_limit),
    ):
        values = {name: value for name, value in (("cpu", cpu), ("memory", memory)) if value}
        written = filled.get(kind) or {}
        if values and isinstance(written, dict):
            filled[kind] = values | written
    return filled
