"""Builders of the objects that the workload tests are about, as small as the tests allow."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from mizzen.apis.apps import Deployment, ReplicaSet
from mizzen.apis.core import Node, Pod, Service
from mizzen.kube.times import rfc3339

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


def ago(seconds: float) -> str:
    """A time on the wire so many seconds before :data:`NOW`."""
    return rfc3339(NOW - timedelta(seconds=seconds))


def template(image: str = "a:1", **labels: str) -> dict[str, Any]:
    return {
        "metadata": {"labels": {"app": "web"} | labels},
        "spec": {"containers": [{"name": "main", "image": image}]},
    }


def deployment_body(name: str = "web", *, replicas: int = 3, image: str = "a:1", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": template(image),
        }
        | spec,
    }


def deployment(
    *, status: dict[str, Any] | None = None, metadata: dict[str, Any] | None = None, **spec: Any
) -> Deployment:
    body = deployment_body(**spec)
    body["metadata"] |= {"uid": "d-uid", "generation": 1} | (metadata or {})
    return msgspec.convert(body | {"status": status or {}}, Deployment)


def replica_set(
    name: str = "web-1",
    *,
    replicas: int = 3,
    image: str = "a:1",
    available: int | None = None,
    actual: int | None = None,
    age: float = 100,
    revision: int = 1,
    annotations: dict[str, str] | None = None,
    **metadata: Any,
) -> ReplicaSet:
    """A replica set whose pods, unless said otherwise, are all there and available."""
    there = replicas if actual is None else actual
    ready = there if available is None else available
    body = {
        "metadata": {
            "name": name,
            "namespace": "default",
            "uid": f"{name}-uid",
            "resourceVersion": "1",
            "creationTimestamp": ago(age),
            "labels": {"app": "web", "pod-template-hash": name},
            "annotations": {"deployment.kubernetes.io/revision": str(revision)} | (annotations or {}),
        }
        | metadata,
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web", "pod-template-hash": name}},
            "template": template(image, **{"pod-template-hash": name}),
        },
        "status": {"replicas": there, "readyReplicas": ready, "availableReplicas": ready},
    }
    return msgspec.convert(body, ReplicaSet)


def pod(
    name: str = "p",
    *,
    node: str = "n1",
    phase: str = "Running",
    ready: float | None = 60,
    age: float = 120,
    ip: str = "127.1.0.1",
    restarts: int = 0,
    spec: dict[str, Any] | None = None,
    **metadata: Any,
) -> Pod:
    """A pod; ``ready`` and ``age`` are seconds ago, ``None`` is not ready."""
    conditions = [{"type": "Ready", "status": "True", "lastTransitionTime": ago(ready)}] if ready is not None else []
    body = {
        "metadata": {"name": name, "namespace": "default", "uid": f"{name}-uid", "creationTimestamp": ago(age)}
        | metadata,
        "spec": ({"nodeName": node} if node else {}) | (spec or {}),
        "status": {
            "phase": phase,
            "conditions": conditions,
            "containerStatuses": [{"name": "main", "restartCount": restarts}],
        }
        | ({"podIP": ip, "podIPs": [{"ip": ip}]} if ip else {}),
    }
    return msgspec.convert(body, Pod)


def node(
    name: str = "n1",
    *,
    allocatable: dict[str, str] | None = None,
    ready: str = "True",
    labels: dict[str, str] | None = None,
    **spec: Any,
) -> Node:
    body = {
        "metadata": {"name": name, "uid": f"{name}-uid", "labels": {"kubernetes.io/os": "linux"} | (labels or {})},
        "spec": spec,
        "status": {
            "allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110"} | (allocatable or {}),
            "conditions": [{"type": "Ready", "status": ready}],
        },
    }
    return msgspec.convert(body, Node)


def service(name: str = "web", *, ports: list[dict[str, Any]] | None = None, **spec: Any) -> Service:
    body = {
        "metadata": {"name": name, "namespace": "default", "uid": "s-uid", "labels": {"app": "web"}},
        "spec": {
            "selector": {"app": "web"},
            "clusterIP": "127.1.9.9",
            "ports": [{"port": 80, "protocol": "TCP", "targetPort": 8080}] if ports is None else ports,
        }
        | spec,
    }
    return msgspec.convert(body, Service)
