"""How a model comes to its server: an init container that downloads it, or a claim that is mounted.

The controller writes the source into an annotation of the pod template; the pod is changed when it is admitted, so that
a Deployment reads as the user meant it. Source: reference of the KServe control plane, section 3.4.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from mizzen.apis.meta import Mapping
from mizzen.apis.serving.v1beta1.component import PREDICTOR_CONTAINER, TRANSFORMER_CONTAINER, PredictorSpec
from mizzen.control.inference.config import Config
from mizzen.control.inference.credentials import Credentials
from mizzen.control.inference.validation import storage_uri
from mizzen.errors import MizzenError

SOURCE_ANNOTATION = "internal.serving.kserve.io/storage-initializer-sourceuri"
READONLY_ANNOTATION = "storage.kserve.io/readonly"
INITIALIZER = "storage-initializer"
MODEL_PATH = "/mnt/models"

_AGENT_ANNOTATION = "internal.serving.kserve.io/agent"
_WORKER_CONTAINER = "worker-container"
_PROVISION = "kserve-provision-location"
_CLAIM_VOLUME = "kserve-pvc-source"
_PREFIXES = ("gs", "s3", "pvc", "file", "https", "http", "hdfs", "webhdfs", "oci", "oci+native", "oci+fetch", "hf")
_SCHEME = re.compile(r"\w[\w+.-]*://")
_IMAGE = re.compile(r"oci(\+\w+)?://")


class StorageError(MizzenError):
    """A model source that cannot be used, with the field and the reason."""


def source_uri(predictor: PredictorSpec) -> str:
    """Where the model is, or empty when the server brings its own.

    Raises:
        StorageError: a scheme that nobody serves.
    """
    uri = storage_uri(predictor)
    if uri and _SCHEME.match(uri) and not uri.startswith(tuple(f"{prefix}://" for prefix in _PREFIXES)):
        field = "model.storageUri" if predictor.model else "containers: STORAGE_URI"
        raise StorageError(
            f"spec.predictor.{field}: {uri!r} is of no known kind; known are "
            f"{', '.join(f'{prefix}://' for prefix in _PREFIXES)} and plain paths"
        )
    return uri


def is_brought(pod: Mapping) -> bool:
    """Whether the pod still has to be made to bring its model."""
    annotations = (pod.get("metadata") or {}).get("annotations") or {}
    uri = annotations.get(SOURCE_ANNOTATION)
    initializers = (pod.get("spec") or {}).get("initContainers") or []
    if not uri or _AGENT_ANNOTATION in annotations or _IMAGE.match(uri):
        return False
    return not any(container.get("name") == INITIALIZER for container in initializers)


def with_model(pod: Mapping, config: Config, granted: Credentials | None = None) -> Mapping:
    """A copy of the pod that brings its model, as its annotation says; the pod itself when there is nothing to bring.

    Calling it again on the result changes nothing.

    Args:
        granted: what the initializer is given to ask the model's storage with.

    Raises:
        StorageError: the annotation is there, and no container to bring the model to.
    """
    if not is_brought(pod):
        return pod
    annotations = pod["metadata"]["annotations"]
    uri: str = annotations[SOURCE_ANNOTATION]
    spec = dict(pod.get("spec") or {})
    containers = [dict(container) for container in spec.get("containers") or ()]
    named = {container.get("name"): container for container in containers}
    server = named.get(PREDICTOR_CONTAINER) or named.get(_WORKER_CONTAINER)
    if server is None:
        raise StorageError(
            f"a model is to be brought from {uri}, but the pod has no container {PREDICTOR_CONTAINER} to bring it to"
        )
    targets = [server, *(container for name, container in named.items() if name == TRANSFORMER_CONTAINER)]
    readonly = annotations.get(READONLY_ANNOTATION, "true") != "false"
    mount: Mapping = {"name": _PROVISION, "mountPath": MODEL_PATH, "readOnly": readonly}
    if uri.startswith("pvc://"):
        claim, _, path = uri.removeprefix("pvc://").partition("/")
        volume: Mapping = {"name": _CLAIM_VOLUME, "persistentVolumeClaim": {"claimName": claim}}
        mount |= {"name": _CLAIM_VOLUME} | ({"subPath": path} if path else {})
    else:
        volume = {"name": _PROVISION, "emptyDir": {}}
        granted = granted or Credentials()
        spec["initContainers"] = [*(spec.get("initContainers") or ()), _initializer(uri, config, granted)]
        spec["volumes"] = _joined(spec.get("volumes") or (), granted.volumes)
    spec["volumes"] = _joined(spec.get("volumes") or (), [volume])
    for container in targets:
        others = [m for m in container.get("volumeMounts") or () if m.get("mountPath") != MODEL_PATH]
        container["volumeMounts"] = [*others, mount]
        if container.get("env"):
            container["env"] = [_moved(entry) for entry in container["env"]]
    spec["containers"] = containers
    return {**pod, "spec": spec}


def _joined(volumes: Iterable[Mapping], more: Sequence[Mapping]) -> list[Mapping]:
    names = {volume["name"] for volume in more}
    return [*(volume for volume in volumes if volume.get("name") not in names), *more]


def _initializer(uri: str, config: Config, granted: Credentials) -> Mapping:
    made = {
        "name": INITIALIZER,
        "image": config.storage_initializer.image,
        "args": [uri, MODEL_PATH],
        "resources": config.storage_initializer.resources,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [{"name": _PROVISION, "mountPath": MODEL_PATH}, *granted.mounts],
    }
    return made | ({"env": list(granted.env.values())} if granted.env else {})


def _moved(entry: Mapping) -> Mapping:
    """A container that reads its model from ``STORAGE_URI`` finds it where it was brought to."""
    if entry.get("name") == "STORAGE_URI" and entry.get("value"):
        return {**entry, "value": MODEL_PATH}
    return entry
