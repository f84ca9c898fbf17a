"""Builders of InferenceServices, runtimes and what is observed of them, as small as the tests allow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import yaml

from mizzen.apis.apps import Deployment
from mizzen.apis.core import CONFIG_MAP, Pod
from mizzen.apis.meta import ResourceDef
from mizzen.apis.serving.v1alpha1 import ClusterServingRuntime, ServingRuntime
from mizzen.apis.serving.v1beta1.inferenceservice import InferenceService
from mizzen.control.inference import config as settings
from mizzen.control.inference.config import Config
from mizzen.control.inference.defaults import defaulted
from mizzen.control.inference.manifests import objects

SHARED = Path(__file__).parents[2] / "shared" / "data"
NOW = "2026-01-01T12:00:00Z"
STANDARD = {settings.MODE_ANNOTATION: "Standard"}


def manifest(
    name: str = "iris",
    *,
    predictor: dict[str, Any] | None = None,
    annotations: dict[str, str] | None = None,
    labels: dict[str, str] | None = None,
    status: dict[str, Any] | None = None,
    **spec: Any,
) -> dict[str, Any]:
    """An InferenceService as a user writes it; by default a scikit-learn model on the web."""
    found: dict[str, Any] = {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": name, "namespace": "default", "uid": f"uid-{name}", "generation": 1},
        "spec": {"predictor": predictor if predictor is not None else model()} | spec,
    }
    if annotations is not None:
        found["metadata"]["annotations"] = annotations
    if labels is not None:
        found["metadata"]["labels"] = labels
    if status is not None:
        found["status"] = status
    return found


def model(format_name: str = "sklearn", *, uri: str | None = "https://models/iris", **more: Any) -> dict[str, Any]:
    """A predictor with a model; ``predictor=`` adds fields of the predictor itself."""
    predictor = more.pop("predictor", {})
    found: dict[str, Any] = {"modelFormat": {"name": format_name}} | more
    if uri is not None:
        found["storageUri"] = uri
    return {"model": found} | predictor


def custom(*containers: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A predictor with containers of the user's own."""
    return {"containers": list(containers) or [{"name": "kserve-container", "image": "my/server:1"}]} | more


def typed(found: dict[str, Any]) -> InferenceService:
    return msgspec.convert(found, InferenceService)


def isvc(name: str = "iris", *, config: Config | None = None, **fields: Any) -> InferenceService:
    """A service as stored: after defaulting."""
    return typed(defaulted(manifest(name, **fields), config or Config()))


def runtime_manifest(
    name: str = "kserve-sklearnserver",
    *formats: dict[str, Any],
    protocols: list[str] | None = None,
    cluster: bool = True,
    created: str = "2026-01-01T00:00:00Z",
    annotations: dict[str, str] | None = None,
    containers: list[dict[str, Any]] | None = None,
    **spec: Any,
) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name, "creationTimestamp": created}
    if not cluster:
        metadata["namespace"] = "default"
    if annotations:
        metadata["annotations"] = annotations
    found: dict[str, Any] = {
        "supportedModelFormats": list(formats) or [{"name": "sklearn", "version": "1", "autoSelect": True}],
        "containers": containers or [{"name": "kserve-container", "image": f"kserve/{name}:v1"}],
    } | spec
    if protocols is not None:
        found["protocolVersions"] = protocols
    kind = "ClusterServingRuntime" if cluster else "ServingRuntime"
    return {"apiVersion": "serving.kserve.io/v1alpha1", "kind": kind, "metadata": metadata, "spec": found}


def runtime(name: str = "kserve-sklearnserver", *formats: dict[str, Any], **fields: Any) -> Any:
    """A typed runtime; see :func:`runtime_manifest`."""
    found = runtime_manifest(name, *formats, **fields)
    kind = ClusterServingRuntime if found["kind"] == "ClusterServingRuntime" else ServingRuntime
    return msgspec.convert(found, kind)


def model_format(name: str = "sklearn", version: str = "", *, auto: bool = True, **more: Any) -> dict[str, Any]:
    return {"name": name, "autoSelect": auto} | ({"version": version} if version else {}) | more


def shipped_by_kserve() -> list[dict[str, Any]]:
    """The runtimes of KServe's own installation, or nothing where they are not beside the checkout."""
    return [yaml.safe_load(path.read_text()) for path in sorted((SHARED / "kserve").glob("runtime-*.yaml"))]


def deployment(*conditions: tuple[str, str, str, str], generation: int = 1, observed: int = 1) -> Deployment:
    """A Deployment with conditions given as (type, status, reason, message)."""
    return msgspec.convert(
        {
            "metadata": {"name": "iris-predictor", "namespace": "default", "generation": generation},
            "status": {
                "observedGeneration": observed,
                "conditions": [
                    {"type": kind, "status": status, "reason": reason, "message": message}
                    for kind, status, reason, message in conditions
                ],
            },
        },
        Deployment,
    )


AVAILABLE = ("Available", "True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
UNAVAILABLE = ("Available", "False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
PROGRESSED = ("Progressing", "True", "NewReplicaSetAvailable", "ReplicaSet has successfully progressed.")
PROGRESSING = ("Progressing", "True", "ReplicaSetUpdated", "ReplicaSet is progressing.")


def pod(
    name: str = "iris-predictor-0",
    *,
    ready: bool = False,
    phase: str = "Pending",
    init: list[dict[str, Any]] | None = None,
    containers: list[dict[str, Any]] | None = None,
    conditions: list[dict[str, Any]] | None = None,
    created: str = NOW,
    spec: dict[str, Any] | None = None,
    **status: Any,
) -> Pod:
    readiness = {"type": "Ready", "status": "True" if ready else "False"}
    return msgspec.convert(
        {
            "metadata": {"name": name, "namespace": "default", "creationTimestamp": created},
            "spec": spec or {},
            "status": {
                "phase": phase,
                "conditions": [readiness, *(conditions or [])],
                "initContainerStatuses": init or [],
                "containerStatuses": containers or [],
            }
            | status,
        },
        Pod,
    )


def container_status(name: str = "kserve-container", *, ready: bool = False, **states: Any) -> dict[str, Any]:
    """``waiting=``, ``running=`` or ``terminated=`` is the state; ``last=`` how it ended the time before."""
    last = states.pop("last", None)
    found: dict[str, Any] = {"name": name, "image": "i", "imageID": "", "ready": ready, "restartCount": 0}
    return found | {"state": states, "lastState": {"terminated": last} if last else {}}


class Shelf:
    """A Reader of admission over objects in memory."""

    def __init__(self, *found: dict[str, Any]) -> None:
        self.objects = list(found)

    def get(self, resource: ResourceDef, name: str, namespace: str = "") -> dict[str, Any] | None:
        return next((obj for obj in self.list(resource, namespace) if obj["metadata"]["name"] == name), None)

    def list(self, resource: ResourceDef, namespace: str = "") -> list[dict[str, Any]]:
        return [
            obj
            for obj in self.objects
            if obj["kind"] == resource.kind and (not namespace or obj["metadata"].get("namespace") == namespace)
        ]


def installed() -> Shelf:
    """What an installation holds before its first service."""
    return Shelf(*objects())


def config_map(**data: str) -> dict[str, Any]:
    return {
        "apiVersion": CONFIG_MAP.api_version,
        "kind": CONFIG_MAP.kind,
        "metadata": {"name": settings.NAME, "namespace": settings.NAMESPACE},
        "data": data,
    }
