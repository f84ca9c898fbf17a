"""The pod garbage collector: removes pods that nobody will end any more.

Three sorts: pods of a node that no longer exists, pods that were deleted before any node had them, and finished pods
beyond a number that a person would look through. Nothing is polled: pods and nodes that change name the suspects.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Literal

from mizzen.apis.core import NODE, POD, Pod
from mizzen.cluster.workloads.caches import ENDED_INDEX, NODE_INDEX, Caches
from mizzen.kube import times
from mizzen.kube.client import Client
from mizzen.kube.controller import Controller
from mizzen.kube.errors import ApiError
from mizzen.kube.informer import Change, Key

FINISHED_LIMIT = 1000
# A node may come back under its name; kube-controller-manager waits as long.
QUARANTINE = 40.0
Sort = Literal["", "orphaned", "unscheduled"]


def sort_of(pod: Pod, node_exists: bool) -> Sort:
    """Which sort of garbage a pod is, if any; too many finished ones are another matter."""
    if pod.node_name:
        return "" if node_exists else "orphaned"
    return "unscheduled" if pod.metadata.deletion_timestamp else ""


def beyond(finished: Sequence[Pod], limit: int) -> list[Pod]:
    """The finished pods that are too many: the oldest."""
    by_age = sorted(finished, key=lambda pod: (pod.metadata.creation_timestamp or "", pod.name))
    return by_age[: max(0, len(by_age) - limit)]


class PodCollector:
    """Collects pods. ``controller`` is to be run.

    Args:
        limit: how many finished pods are kept.
        quarantine: seconds that a node must be missing before its pods are given up.
    """

    def __init__(
        self, client: Client, caches: Caches, *, limit: int = FINISHED_LIMIT, quarantine: float = QUARANTINE
    ) -> None:
        self._client = client
        self._pods = caches.pods
        self._nodes = caches.nodes
        self._limit = limit
        self._quarantine = quarantine
        self._missing_since: dict[str, float] = {}
        self.controller = Controller("podgc", self.reconcile, workers=2)
        self.controller.watches(self._pods, self._suspects)
        self.controller.watches(self._nodes, self._of_node)

    def _suspects(self, change: Change) -> Iterable[Key]:
        new = change.new
        if new is None:
            return []
        node = next(iter(new.indexed[NODE_INDEX]), "")
        is_ended = bool(new.indexed[ENDED_INDEX])
        suspects = [change.key] if is_ended or (node and self._nodes.entry("", node) is None) else []
        if is_ended and len(self._pods.by_index(ENDED_INDEX, "")) > self._limit:
            suspects += [(pod.namespace, pod.name) for pod in beyond(self._finished(), self._limit)]
        return suspects

    def _finished(self) -> list[Pod]:
        pods = (self._pods.get(*key, Pod) for key in self._pods.by_index(ENDED_INDEX, ""))
        return [pod for pod in pods if pod is not None and pod.is_finished]

    def _of_node(self, change: Change) -> Iterable[Key]:
        if change.new is not None:
            self._missing_since.pop(change.key[1], None)
            return []
        return self._pods.by_index(NODE_INDEX, change.key[1])

    async def reconcile(self, namespace: str, name: str) -> float | None:
        pod = self._pods.get(namespace, name, Pod)
        if pod is None:
            return None
        sort = sort_of(pod, self._nodes.entry("", pod.node_name) is not None)
        if sort == "unscheduled":
            await self._delete(pod)
        elif sort == "orphaned":
            now = asyncio.get_running_loop().time()
            wait = self._missing_since.setdefault(pod.node_name, now) + self._quarantine - now
            if wait > 0:
                return wait
            if not await self._node_lives(pod.node_name):
                await self._give_up(pod)
        elif pod.is_finished and any(one.uid == pod.uid for one in beyond(self._finished(), self._limit)):
            await self._delete(pod)
        return None

    async def _node_lives(self, name: str) -> bool:
        try:
            await self._client.get_metadata(NODE, name)
        except ApiError as error:
            if error.code != 404:
                raise
            return False
        return True

    async def _give_up(self, pod: Pod) -> None:
        """Say that the pod has failed, for those who wait for its end, and remove it."""
        if not pod.is_finished:
            condition = {
                "type": "DisruptionTarget",
                "status": "True",
                "reason": "DeletionByPodGC",
                "message": "PodGC: node no longer exists",
                "lastTransitionTime": times.now(),
            }
            patch = {"metadata": {"uid": pod.uid}, "status": {"phase": "Failed", "conditions": [condition]}}
            await self._client.patch(POD, pod.name, pod.namespace, patch, kind="strategic", subresource="status")
        await self._delete(pod)

    async def _delete(self, pod: Pod) -> None:
        try:
            await self._client.delete(POD, pod.name, pod.namespace, grace_period=0, uid=pod.uid)
        except ApiError as error:
            if error.code not in (404, 409):
                raise
