"""The node life cycle: says that a node is lost when it no longer renews its lease.

A node agent that hangs cannot say so itself. Its node turns Ready=Unknown and its pods not ready, so that no endpoint
leads to them; the agent puts both right when it is back. Pods are not evicted: on one machine there is nowhere to go.
Silence is measured by our own clock from the last renewal that was seen, so a laptop that slept has not lost its node.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from mizzen.apis.core import LEASE, NODE, POD, Node, Pod, StatusCondition
from mizzen.cluster.workloads.caches import NODE_INDEX, Caches
from mizzen.kube import times
from mizzen.kube.client import Client
from mizzen.kube.controller import Controller
from mizzen.kube.errors import ApiError
from mizzen.kube.events import EventRecorder, Reference
from mizzen.kube.informer import Informer

LEASES = "kube-node-lease"
GRACE = 40.0
# What a node agent keeps posting; all else that a node says of itself stays true while it is silent.
_HEARTBEATS = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")


def lost(node: Node, now: str) -> list[dict[str, Any]] | None:
    """The conditions of a node that has fallen silent, or ``None`` when it says so already."""
    conditions = [msgspec.to_builtins(condition) for condition in node.status.conditions or ()]
    if not any(condition["type"] == "Ready" for condition in conditions):
        conditions.append({"type": "Ready", "status": ""})
    heard = [one for one in conditions if one["type"] in _HEARTBEATS and one["status"] != "Unknown"]
    if not heard:
        return None
    for condition in heard:
        condition |= {
            "status": "Unknown",
            "reason": "NodeStatusUnknown",
            "message": "Kubelet stopped posting node status.",
            "lastTransitionTime": now,
        }
    return conditions


def not_ready(pod: Pod, now: str) -> list[StatusCondition] | None:
    """The conditions of a pod whose node is lost, or ``None`` when it is not ready anyway."""
    if not pod.is_ready:
        return None
    return [
        msgspec.structs.replace(condition, status="False", last_transition_time=now)
        if condition.type == "Ready"
        else condition
        for condition in pod.status.conditions or ()
    ]


def sign_of_life(node: Node, renewed: str) -> str:
    """What changes while the node lives: its lease, last renewed then, and what it says of itself."""
    ready = next((one for one in node.status.conditions or () if one.type == "Ready"), None)
    if ready is None or ready.status == "Unknown":
        return f"{node.uid} {renewed}"
    return f"{node.uid} {renewed} {ready.last_transition_time} {ready.last_heartbeat_time}"


class Pulse:
    """When each node's last sign of life was first seen, on a clock that stands still while the machine sleeps."""

    def __init__(self, grace: float) -> None:
        self._grace = grace
        self._seen: dict[str, tuple[str, float]] = {}

    def left(self, name: str, sign: str, now: float) -> float:
        """Seconds until the node is lost unless it gives another sign; zero or less when it is."""
        if self._seen.get(name, ("", 0.0))[0] != sign:
            self._seen[name] = sign, now
        return self._seen[name][1] + self._grace - now

    def forget(self, name: str) -> None:
        self._seen.pop(name, None)


class NodeWatch:
    """Watches over nodes.

    Args:
        grace: seconds of silence after which a node is lost.
    """

    def __init__(self, client: Client, caches: Caches, events: EventRecorder, *, grace: float = GRACE) -> None:
        self._client = client
        self._nodes = caches.nodes
        self._pods = caches.pods
        self._events = events
        self._leases = Informer(client, LEASE, namespace=LEASES)
        self._pulse = Pulse(grace)
        self.controller = Controller("node", self.reconcile, workers=1)
        self.controller.watches(self._nodes)
        self.controller.watches(self._leases, lambda change: [("", change.key[1])])

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._leases.run())
            group.create_task(self.controller.run())

    async def reconcile(self, _: str, name: str) -> float | None:
        node = self._nodes.get("", name, Node)
        if node is None:
            self._pulse.forget(name)
            return None
        lease = self._leases.object(LEASES, name) or {}
        sign = sign_of_life(node, (lease.get("spec") or {}).get("renewTime") or "")
        left = self._pulse.left(name, sign, asyncio.get_running_loop().time())
        if left > 0:
            return left
        await self._give_up(node)
        return None

    async def _give_up(self, node: Node) -> None:
        conditions = lost(node, times.now())
        if conditions is None:
            return
        patch = {"metadata": {"uid": node.uid}, "status": {"conditions": conditions}}
        self._nodes.accept(await self._client.patch(NODE, node.name, "", patch, subresource="status"))
        sentence = f"Node {node.name} status is now: NodeNotReady"
        self._events.record(Reference.to(node, NODE), "Normal", "NodeNotReady", sentence)
        for key in self._pods.by_index(NODE_INDEX, node.name):
            pod = self._pods.get(*key, Pod)
            silenced = not_ready(pod, times.now()) if pod is not None else None
            if pod is None or silenced is None:
                continue
            body = {"metadata": {"uid": pod.uid}, "status": {"conditions": msgspec.to_builtins(silenced)}}
            try:
                self._pods.accept(await self._client.patch(POD, pod.name, pod.namespace, body, subresource="status"))
            except ApiError as error:
                if error.code != 404:
                    raise
            self._events.record(Reference.to(pod, POD), "Warning", "NodeNotReady", "Node is not ready")
