"""A node agent for tests that are not about nodes: its pods run the moment they are bound, and end when told to."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from typing import Any

from mizzen.apis.core import NODE, POD, Pod
from mizzen.kube import times
from mizzen.kube.client import Client
from mizzen.kube.controller import Controller
from mizzen.kube.errors import ApiError
from mizzen.kube.informer import Informer


class Kubelet:
    """Plays one node.

    An image decides what becomes of a pod: ``stuck`` never turns ready, ``stubborn`` does not end until
    :attr:`mercy` is set, every other runs and is ready at once.
    """

    def __init__(self, client: Client, name: str = "n1", allocatable: dict[str, str] | None = None) -> None:
        self.name = name
        self.mercy = asyncio.Event()
        self._client = client
        self._allocatable = {"cpu": "4", "memory": "8Gi", "pods": "10000"} | (allocatable or {})
        self._addresses = self._pool()
        self._pods = Informer(client, POD, field_selector=f"spec.nodeName={name}")
        self._controller = Controller("kubelet", self._sync, workers=8)
        self._controller.watches(self._pods)

    def _pool(self) -> Iterator[str]:
        for number in itertools.count(1):
            yield f"127.77.{number // 250 % 250}.{number % 250 + 1}"

    async def run(self) -> None:
        await self._register()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._pods.run())
            group.create_task(self._controller.run())

    async def _register(self) -> None:
        labels = {"kubernetes.io/os": "linux", "kubernetes.io/hostname": self.name}
        body = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": self.name, "labels": labels}}
        try:
            await self._client.create(NODE, body)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
        status = {
            "capacity": self._allocatable,
            "allocatable": self._allocatable,
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": times.now()}],
        }
        await self._client.patch(NODE, self.name, "", {"status": status}, subresource="status")

    async def _sync(self, namespace: str, name: str) -> None:
        pod = self._pods.get(namespace, name, Pod)
        if pod is None:
            return
        image = pod.spec["containers"][0]["image"]
        try:
            if pod.metadata.deletion_timestamp:
                if image.startswith("stubborn"):
                    await self.mercy.wait()
                await self._client.delete(POD, name, namespace, grace_period=0, uid=pod.uid)
            elif pod.status.phase == "Pending":
                await self._run(pod, ready=not image.startswith("stuck"))
        except ApiError as error:
            if error.code not in (404, 409):
                raise

    async def _run(self, pod: Pod, ready: bool) -> None:
        now, address = times.now(), next(self._addresses)
        conditions: list[dict[str, Any]] = [
            {"type": kind, "status": "True" if ready else "False", "lastTransitionTime": now}
            for kind in ("PodReadyToStartContainers", "Initialized", "ContainersReady", "Ready")
        ]
        container = {
            "name": pod.spec["containers"][0]["name"],
            "image": pod.spec["containers"][0]["image"],
            "imageID": "",
            "ready": ready,
            "started": True,
            "restartCount": 0,
            "state": {"running": {"startedAt": now}},
        }
        status = {
            "phase": "Running",
            "podIP": address,
            "podIPs": [{"ip": address}],
            "hostIP": "127.0.0.1",
            "startTime": now,
            "conditions": conditions,
            "containerStatuses": [container],
        }
        patch = {"metadata": {"uid": pod.uid}, "status": status}
        self._pods.accept(
            await self._client.patch(POD, pod.name, pod.namespace, patch, kind="strategic", subresource="status")
        )
