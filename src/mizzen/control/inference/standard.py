"""The children of an InferenceService in Standard mode: one Deployment and one Service a component, as plain values.

Source: reference of the KServe control plane, section 4.2. Two things differ: without an autoscaler behind it the
Deployment carries the least number of replicas itself, and quantities are written as the API server stores them, so
that what was rendered and what is stored compare equal.
"""

from __future__ import annotations

import msgspec

from mizzen.apis.apps import DEPLOYMENT
from mizzen.apis.core import SERVICE
from mizzen.apis.meta import Mapping, given, given_or, owner_reference
from mizzen.apis.serving.v1beta1.component import PREDICTOR_CONTAINER, TRANSFORMER_CONTAINER, PredictorSpec
from mizzen.apis.serving.v1beta1.inferenceservice import INFERENCE_SERVICE, InferenceService
from mizzen.control.inference.config import Config
from mizzen.control.inference.podspec import predictor_pod
from mizzen.control.inference.quantities import as_stored
from mizzen.control.inference.runtimes import Selected
from mizzen.control.inference.scaling import AUTOSCALER_ANNOTATION
from mizzen.control.inference.servertypes import completed
from mizzen.control.inference.storage import SOURCE_ANNOTATION

INFERENCE_SERVICE_LABEL = "serving.kserve.io/inferenceservice"
COMPONENT_LABEL = "component"
DEFAULT_PORT = 8080

# Annotations of a service that mean the service alone.
NEVER_PROPAGATED = (
    "autoscaling.knative.dev/min-scale",
    "autoscaling.knative.dev/max-scale",
    SOURCE_ANNOTATION,
    "kubectl.kubernetes.io/last-applied-configuration",
    "modelFormat",
)
_PROBES = ("readinessProbe", "livenessProbe", "startupProbe")


class Resolved(msgspec.Struct, frozen=True, kw_only=True):
    """An InferenceService with all that rendering needs to know, looked up."""

    isvc: InferenceService
    config: Config
    runtime: Selected | None
    source: str = ""

    @property
    def predictor(self) -> PredictorSpec:
        return self.isvc.spec.predictor


def predictor_name(isvc: InferenceService) -> str:
    """The name of the predictor's Deployment and Service."""
    own = isvc.spec.predictor.name
    return f"{isvc.name}-{own}-predictor" if own else f"{isvc.name}-predictor"


def render(resolved: Resolved) -> list[Mapping]:
    """The Deployment and the Service of the predictor, owned by the InferenceService.

    Raises:
        PodSpecError: the predictor and its runtime make no pod together.
    """
    if resolved.runtime is not None:
        isvc = completed(resolved.isvc, resolved.runtime.server_type, resolved.runtime.protocol)
        resolved = msgspec.structs.replace(resolved, isvc=isvc)
    name = predictor_name(resolved.isvc)
    metadata = _metadata(resolved, name)
    pod = _with_pod_defaults(predictor_pod(resolved.predictor, resolved.isvc.metadata, resolved.runtime))
    owned = metadata | {"ownerReferences": [owner_reference(resolved.isvc, INFERENCE_SERVICE)]}
    return [_deployment(resolved, name, owned, metadata, pod), _service(resolved, name, owned, pod)]


def _deployment(resolved: Resolved, name: str, owned: Mapping, template: Mapping, pod: Mapping) -> Mapping:
    spec: Mapping = {
        "selector": {"matchLabels": {"app": f"isvc.{name}"}},
        "template": {"metadata": template, "spec": pod},
    }
    replicas = _replicas(resolved)
    if replicas is not None:
        spec["replicas"] = replicas
    strategy = given(resolved.predictor.deployment_strategy)
    if strategy is not None:
        spec["strategy"] = strategy
    else:
        spec |= {
            "strategy": {"type": "RollingUpdate", "rollingUpdate": _rolling_update(resolved.config)},
            "revisionHistoryLimit": 10,
            "progressDeadlineSeconds": 600,
        }
    return {
        "apiVersion": DEPLOYMENT.api_version,
        "kind": DEPLOYMENT.kind,
        "metadata": owned,
        "spec": spec,
    }


def _replicas(resolved: Resolved) -> int | None:
    """How many pods; ``None`` leaves the number to the autoscaler that the user brings."""
    least = given_or(resolved.predictor.min_replicas, 1)
    match resolved.isvc.metadata.annotation(AUTOSCALER_ANNOTATION):
        case "external":
            return None
        case "none":
            return least
        case _:
            return max(least, 1)


def _rolling_update(config: Config) -> Mapping:
    chosen = config.deploy.deployment_rollout_strategy
    rollout = chosen.default_rollout if chosen and config.deploy.mode == "Standard" else None
    return {
        "maxSurge": _count(rollout.max_surge if rollout else ""),
        "maxUnavailable": _count(rollout.max_unavailable if rollout else ""),
    }


def _count(text: str) -> int | str:
    """A number of pods or a percentage; the config map writes both as text."""
    return int(text) if text.isdecimal() else text or "25%"


def _metadata(resolved: Resolved, name: str) -> Mapping:
    """What Deployment, pod template and Service share: the runtime's, then the service's, then the predictor's."""
    isvc, predictor, runtime = resolved.isvc, resolved.predictor, resolved.runtime
    labels: dict[str, str] = {}
    labels |= (runtime.spec.labels if runtime else None) or {}
    labels |= isvc.metadata.labels or {}
    labels |= predictor.labels or {}
    labels |= {INFERENCE_SERVICE_LABEL: isvc.name, COMPONENT_LABEL: "predictor", "app": f"isvc.{name}"}
    annotations: dict[str, str] = {}
    annotations |= (runtime.spec.annotations if runtime else None) or {}
    annotations |= isvc.metadata.annotations or {}
    annotations |= predictor.annotations or {}
    never = {*NEVER_PROPAGATED, *resolved.config.inference_service.service_annotation_disallowed_list}
    annotations = {key: value for key, value in annotations.items() if key not in never}
    if resolved.source:
        annotations[SOURCE_ANNOTATION] = resolved.source
    return {"name": name, "namespace": isvc.namespace, "labels": labels, "annotations": annotations}


def _with_pod_defaults(pod: Mapping) -> Mapping:
    defaults: Mapping = {
        "dnsPolicy": "ClusterFirst",
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 30,
        "securityContext": {},
        "schedulerName": "default-scheduler",
    }
    filled: Mapping = {**defaults, **pod, "containers": [_with_container_defaults(c) for c in pod["containers"]]}
    return as_stored(filled)


def _with_container_defaults(container: Mapping) -> Mapping:
    ports = container.get("ports") or [{}]
    port = ports[0].get("containerPort", DEFAULT_PORT)
    filled: Mapping = {
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "imagePullPolicy": "IfNotPresent",
        **container,
    }
    if container["name"] in (PREDICTOR_CONTAINER, TRANSFORMER_CONTAINER) and not container.get("readinessProbe"):
        filled["readinessProbe"] = {
            "tcpSocket": {"port": port},
            "timeoutSeconds": 1,
            "periodSeconds": 10,
            "successThreshold": 1,
            "failureThreshold": 3,
        }
    for name in _PROBES:
        if filled.get(name):
            filled[name] = _with_port(filled[name], port)
    return filled


def _with_port(probe: Mapping, port: int) -> Mapping:
    """A probe that names no port asks at the container's own, as in Knative; a Deployment must name one."""
    return {
        kind: {**action, "port": action.get("port") or port} if kind in ("httpGet", "tcpSocket") else action
        for kind, action in probe.items()
    }


def _service(resolved: Resolved, name: str, owned: Mapping, pod: Mapping) -> Mapping:
    containers = pod["containers"]
    source = next((c for c in containers if c["name"] == TRANSFORMER_CONTAINER), containers[0])
    ports = [_service_port(port, name, first=place == 0) for place, port in enumerate(source.get("ports") or ())]
    spec: Mapping = {
        "selector": {"app": f"isvc.{name}"},
        "ports": ports or [{"name": name, "port": 80, "targetPort": DEFAULT_PORT, "protocol": "TCP"}],
    }
    if resolved.config.service.service_cluster_ip_none:
        spec["clusterIP"] = "None"
    return {"apiVersion": SERVICE.api_version, "kind": SERVICE.kind, "metadata": owned, "spec": spec}


def _service_port(port: Mapping, component: str, *, first: bool) -> Mapping:
    own = port.get("name") or ""
    name = own or (component if first else "")
    number = port["containerPort"]
    out: Mapping = {"port": 80 if first else number, "targetPort": number, "protocol": port.get("protocol") or "TCP"}
    if name:
        out["name"] = name
    if "grpc" in own or "h2c" in own:
        out["appProtocol"] = "kubernetes.io/h2c"
    return out
