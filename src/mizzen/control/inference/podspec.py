"""A runtime's pod with the predictor's wishes laid over it.

Source: reference of the KServe control plane, section 2.4: strategic merges with the runtime as the base; arguments are
appended; the order of the containers is fixed.
"""

from __future__ import annotations

import re
from typing import Any

from mizzen.apis.merge import strategic_merge
from mizzen.apis.meta import Mapping, ObjectMeta
from mizzen.apis.podspec import ContainerFields, PodSpecFields, inline
from mizzen.apis.serving.v1alpha1 import RuntimePodFields
from mizzen.apis.serving.v1beta1.component import PREDICTOR_CONTAINER, TRANSFORMER_CONTAINER, PredictorSpec
from mizzen.apis.serving.v1beta1.model import FrameworkSpec
from mizzen.control.inference import gotemplate
from mizzen.control.inference.quantities import container_node, pod_node
from mizzen.control.inference.runtimes import Selected
from mizzen.errors import MizzenError

NAME_ENV = "INFERENCE_SERVICE_NAME"

# The fields of a runtime that join the predictor's own; hostIPC is left out, as in KServe.
_RUNTIME_FIELDS = (
    "nodeSelector",
    "affinity",
    "tolerations",
    "volumes",
    "imagePullSecrets",
    "schedulerName",
    "resourceClaims",
)
_GPU = re.compile(r"nvidia\.com/(gpu|mig.*)")


class PodSpecError(MizzenError):
    """A predictor and a runtime that make no pod together: status reason ``InvalidPredictorSpec``."""


def predictor_pod(predictor: PredictorSpec, metadata: ObjectMeta, runtime: Selected | None) -> Mapping:
    """The PodSpec of a predictor.

    Args:
        predictor: after defaulting: either ``model`` (then with a runtime) or containers of the user's own.
        metadata: of the InferenceService; a runtime's placeholders are filled from it.
        runtime: who serves the model; ``None`` for a custom predictor.

    Raises:
        PodSpecError: naming the runtime or field that is missing or cannot be merged.
    """
    own = inline(predictor, PodSpecFields)
    if runtime is None:
        pod = own
        pod["containers"] = _custom_first(own.get("containers") or [])
    else:
        assert predictor.model
        pod = _merged(own, predictor.model, metadata, runtime)
    for container in pod["containers"]:
        _set_env(container, NAME_ENV, metadata.name or "")
    return pod


def _custom_first(containers: list[Mapping]) -> list[Mapping]:
    chosen = [container for container in containers if container.get("name") == PREDICTOR_CONTAINER]
    if not chosen:
        names = ", ".join(str(container.get("name")) for container in containers)
        raise PodSpecError(
            f"spec.predictor.containers has no container named {PREDICTOR_CONTAINER} (it has: {names}); "
            "the one that answers requests must carry that name"
        )
    return [dict(container) for container in chosen + [c for c in containers if c not in chosen]]


def _merged(own: Mapping, model: FrameworkSpec, metadata: ObjectMeta, runtime: Selected) -> Mapping:
    base = inline(runtime.spec, RuntimePodFields)
    runtime_containers = {str(container.get("name")): container for container in base["containers"]}
    if PREDICTOR_CONTAINER not in runtime_containers:
        raise PodSpecError(
            f"the runtime {runtime.name} has no container named {PREDICTOR_CONTAINER} "
            f"(it has: {', '.join(runtime_containers) or 'none'})"
        )
    kept = {key: base[key] for key in _RUNTIME_FIELDS if key in base}
    pod: Mapping = strategic_merge(kept, {k: v for k, v in own.items() if k != "containers"}, pod_node())
    server = merged_container(runtime_containers.pop(PREDICTOR_CONTAINER), inline(model, ContainerFields))
    server["image"] = _tagged(server, model.runtime_version or "", runtime)
    own_containers = {str(container.get("name")): container for container in own.get("containers") or ()}
    containers = [_rendered(server, metadata)]
    pre, post = runtime_containers.pop(TRANSFORMER_CONTAINER, None), own_containers.pop(TRANSFORMER_CONTAINER, None)
    if pre is not None or post is not None:
        containers.append(_rendered(merged_container(pre or {}, post or {}), metadata))
    containers += [dict(container) for container in runtime_containers.values()]
    containers += [dict(container) for container in own_containers.values()]
    pod["containers"] = containers
    return pod


def merged_container(base: Mapping, patch: Mapping) -> Mapping:
    """One container laid over another: arguments follow the base's, an environment entry is replaced whole."""
    patch = {key: value for key, value in patch.items() if not (key == "name" and not value)}
    arguments = [*(base.get("args") or ()), *(patch.get("args") or ())]
    overridden = {entry["name"] for entry in patch.get("env") or ()}
    base = dict(base)
    if "env" in base and overridden:
        # Without its old content an entry cannot keep a `value` beside a new `valueFrom`.
        base["env"] = [{"name": entry["name"]} if entry["name"] in overridden else entry for entry in base["env"] or ()]
    merged: Mapping = strategic_merge(base, patch, container_node())
    if arguments:
        merged["args"] = arguments
    return merged


def _rendered(container: Mapping, metadata: ObjectMeta) -> Mapping:
    """The container with its ``{{.Name}}`` placeholders filled from the service's metadata."""
    values = {
        "Name": metadata.name or "",
        "Namespace": metadata.namespace or "",
        "Labels": metadata.labels or {},
        "Annotations": metadata.annotations or {},
    }
    try:
        rendered: Mapping = _render(container, values)
    except gotemplate.TemplateError as error:
        raise PodSpecError(f"container {container.get('name')}: {error}") from error
    return rendered


def _render(value: Any, values: Mapping) -> Any:
    if isinstance(value, str):
        return gotemplate.render(value, values) if "{{" in value else value
    if isinstance(value, dict):
        return {key: _render(child, values) for key, child in value.items()}
    if isinstance(value, list):
        return [_render(child, values) for child in value]
    return value


def _tagged(container: Mapping, version: str, runtime: Selected) -> str:
    """The image with the tag that ``runtimeVersion`` or else a GPU asks for. A digest stays as it is."""
    image: str = container.get("image") or ""
    if "@sha256:" in image or not image:
        return image
    head, slash, last = image.rpartition("/")
    name, colon, tag = last.partition(":")
    gpu = any(_GPU.fullmatch(resource) for resource in (container.get("resources") or {}).get("limits") or ())
    if version:
        colon, tag = ":", version
    elif gpu and runtime.server_type in ("tensorflow-serving", "torchserve", "huggingfaceserver"):
        colon, tag = ":", tag if tag.endswith("-gpu") else f"{tag or 'latest'}-gpu"
    elif not gpu and runtime.server_type == "vllmserver" and not name.endswith("-cpu"):
        name += "-cpu"
    return f"{head}{slash}{name}{colon}{tag}"


def _set_env(container: Mapping, name: str, value: str) -> None:
    kept = [entry for entry in container.get("env") or () if entry.get("name") != name]
    container["env"] = [*kept, {"name": name, "value": value}]
