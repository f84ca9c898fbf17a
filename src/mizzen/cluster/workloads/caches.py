"""The copies of API objects that all workload controllers share, and the questions they are asked without decoding.

One informer a kind, however many controllers read it. The indexes hold what is looked up at every change: who is bound
where, who has no owner, which pods carry a label, which services select it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from mizzen.apis.apps import DEPLOYMENT, REPLICA_SET
from mizzen.apis.core import ENDPOINTS, NAMESPACE, NODE, POD, SERVICE
from mizzen.apis.networking import ENDPOINT_SLICE, SERVICE_NAME_LABEL
from mizzen.cluster.workloads.addresses import MANAGED_BY_LABEL, MANAGER
from mizzen.kube.client import Client
from mizzen.kube.informer import Informer

# Pods that hold a place on a node, by node; those without one, under "".
NODE_INDEX = "node"
# Finished pods and those that are being deleted without ever having been bound, under "".
ENDED_INDEX = "ended"
# Objects that nobody controls, by namespace.
ORPHAN_INDEX = "orphan"
# Pods by each of their labels, as "namespace/key=value".
LABEL_INDEX = "label"
# Services by one label that they select, spelled alike.
SELECTOR_INDEX = "selector"
# The slices that are ours, by "namespace/service".
SERVICE_INDEX = "service"


class Caches:
    """Informers of the kinds that the workload controllers know. Run :meth:`run` beside them."""

    def __init__(self, client: Client) -> None:
        self.pods = Informer(
            client,
            POD,
            indexes={NODE_INDEX: _node, ENDED_INDEX: _ended, ORPHAN_INDEX: _orphan, LABEL_INDEX: _labels},
        )
        self.replica_sets = Informer(client, REPLICA_SET, indexes={ORPHAN_INDEX: _orphan})
        self.deployments = Informer(client, DEPLOYMENT)
        self.services = Informer(client, SERVICE, indexes={SELECTOR_INDEX: _selector})
        self.endpoints = Informer(client, ENDPOINTS)
        self.slices = Informer(client, ENDPOINT_SLICE, indexes={SERVICE_INDEX: _service})
        self.nodes = Informer(client, NODE)
        self.namespaces = Informer(client, NAMESPACE)

    @property
    def all(self) -> list[Informer]:
        return [found for found in vars(self).values() if isinstance(found, Informer)]

    async def synced(self) -> None:
        """Wait until every copy has its first full list."""
        for informer in self.all:
            await informer.synced.wait()

    async def run(self) -> None:
        """Keep all copies true until cancelled."""
        async with asyncio.TaskGroup() as group:
            for informer in self.all:
                group.create_task(informer.run())


def label_key(namespace: str, label: str, value: str) -> str:
    return f"{namespace}/{label}={value}"


def _is_finished(pod: dict[str, Any]) -> bool:
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def _node(pod: dict[str, Any]) -> Iterable[str]:
    return () if _is_finished(pod) else ((pod.get("spec") or {}).get("nodeName") or "",)


def _ended(pod: dict[str, Any]) -> Iterable[str]:
    unbound = not (pod.get("spec") or {}).get("nodeName")
    return ("",) if _is_finished(pod) or (unbound and pod["metadata"].get("deletionTimestamp")) else ()


def _orphan(obj: dict[str, Any]) -> Iterable[str]:
    owners = obj["metadata"].get("ownerReferences") or ()
    return () if any(owner.get("controller") for owner in owners) else (obj["metadata"].get("namespace") or "",)


def _labels(obj: dict[str, Any]) -> Iterable[str]:
    metadata = obj["metadata"]
    return [label_key(metadata["namespace"], *pair) for pair in (metadata.get("labels") or {}).items()]


def _selector(service: dict[str, Any]) -> Iterable[str]:
    selector = (service.get("spec") or {}).get("selector")
    return [label_key(service["metadata"]["namespace"], *min(selector.items()))] if selector else ()


def _service(one: dict[str, Any]) -> Iterable[str]:
    labels = one["metadata"].get("labels") or {}
    if labels.get(MANAGED_BY_LABEL) != MANAGER or not labels.get(SERVICE_NAME_LABEL):
        return ()
    return (f"{one['metadata']['namespace']}/{labels[SERVICE_NAME_LABEL]}",)
