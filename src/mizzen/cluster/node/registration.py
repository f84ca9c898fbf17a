"""The Node object and its lease: how the rest of the cluster knows that this node is there and alive.

The lease is renewed every 20 seconds, as seldom as the node life cycle allows, because each renewal is a write to disk
on what may be a laptop with nothing to do. What the Node says of itself is written only when it changed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from mizzen.apis.core import LEASE, NODE
from mizzen.apis.meta import Mapping
from mizzen.kube import times
from mizzen.kube.client import Client, Unreachable
from mizzen.kube.errors import ApiError
from mizzen.kube.events import Reference

log = logging.getLogger(__name__)

LEASES = "kube-node-lease"
RENEWAL = 20.0
DURATION = 40
REAL_MOUNTS = "VolumesAtRealPaths"

_RETRY = 1.0
_NO_ROOM = 507
_FINE = {
    "MemoryPressure": ("KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    "DiskPressure": ("KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    "PIDPressure": ("KubeletHasSufficientPID", "kubelet has sufficient PID available"),
}
_SHORT = {
    "MemoryPressure": "KubeletHasInsufficientMemory",
    "DiskPressure": "KubeletHasDiskPressure",
    "PIDPressure": "KubeletHasInsufficientPID",
}


def labels(name: str, architecture: str) -> dict[str, str]:
    return {
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": architecture,
        "kubernetes.io/hostname": name,
    }


def conditions(pressures: dict[str, str], substituted_because: str, stored: list[Mapping], now: str) -> list[Mapping]:
    """A Node's conditions. One that has not changed keeps its time.

    Args:
        pressures: what runs short, in words.
        substituted_because: why the paths of volumes are rewritten; empty where they are real.
        stored: the conditions that the API has.
    """
    wanted = []
    for kind, (reason, message) in _FINE.items():
        short = pressures.get(kind)
        wanted.append((kind, "True", _SHORT[kind], short) if short else (kind, "False", reason, message))
    if substituted_because:
        sentence = f"paths of volumes are rewritten in commands and variables, because {substituted_because}"
        wanted.append((REAL_MOUNTS, "False", "PathsSubstituted", sentence))
    else:
        wanted.append((REAL_MOUNTS, "True", "MountNamespaces", "volumes are at the paths that manifests name"))
    wanted.append(("Ready", "True", "KubeletReady", "the node agent runs pods"))
    before = {found.get("type"): found for found in stored}
    # What others say of the node is theirs.
    found: list[Mapping] = [old for old in stored if old.get("type") not in {kind for kind, *_ in wanted}]
    for kind, status, reason, message in wanted:
        old = before.get(kind) or {}
        since = old.get("lastTransitionTime") if old.get("status") == status else None
        found.append(
            {
                "type": kind,
                "status": status,
                "reason": reason,
                "message": message,
                # The lease is the heartbeat; tools that show this field find when it was last worth a word.
                "lastHeartbeatTime": since or now,
                "lastTransitionTime": since or now,
            }
        )
    return found


class Registration:
    """Keeps the Node and its lease as they should be.

    Args:
        status: gives the Node's status, given the stored one.
    """

    def __init__(self, client: Client, name: str, labels: dict[str, str], status: Callable[[Mapping], Mapping]) -> None:
        self._client = client
        self._name = name
        self._labels = labels
        self._status = status
        self._uid = ""

    @property
    def reference(self) -> Reference:
        """The Node, for events about it."""
        return Reference(api_version=NODE.api_version, kind=NODE.kind, name=self._name, uid=self._uid)

    async def register(self) -> None:
        """Make the Node say what is so; an API that is away is waited for.

        One whose disk is full has to do with what the Node said before: pods run on, and room is made by deleting them.
        """
        while True:
            try:
                await self._write_node()
                await self._renew()
                return
            except (ApiError, Unreachable) as error:
                log.info("node %s is not registered yet: %s", self._name, error)
                if self._uid and isinstance(error, ApiError) and error.code == _NO_ROOM:
                    return
            await asyncio.sleep(_RETRY)

    async def keep(self) -> None:
        """Renew the lease and see to the Node, until cancelled."""
        pause = RENEWAL
        while True:
            await asyncio.sleep(pause)
            try:
                # Somebody may have thought us lost meanwhile, or removed the Node.
                await self._write_node()
                await self._renew()
                pause = RENEWAL
            except (ApiError, Unreachable) as error:
                log.info("the lease of node %s is not renewed: %s", self._name, error)
                pause = _RETRY

    async def _write_node(self) -> None:
        node = await self._node()
        self._uid = node["metadata"]["uid"]
        have = node["metadata"].get("labels") or {}
        missing = {key: value for key, value in self._labels.items() if have.get(key) != value}
        if missing:
            await self._client.patch(NODE, self._name, "", {"metadata": {"labels": missing}})
        stored = node.get("status") or {}
        wanted = self._status(stored)
        changed = {field: value for field, value in wanted.items() if stored.get(field) != value}
        if changed:
            await self._client.patch(NODE, self._name, "", {"status": changed}, subresource="status")

    async def _node(self) -> Mapping:
        try:
            return await self._client.get(NODE, self._name)
        except ApiError as error:
            if error.code != 404:
                raise
        body = {
            "apiVersion": NODE.api_version,
            "kind": NODE.kind,
            "metadata": {"name": self._name, "labels": self._labels},
        }
        return await self._client.create(NODE, body)

    async def _renew(self) -> None:
        spec = {"holderIdentity": self._name, "leaseDurationSeconds": DURATION, "renewTime": times.now_micro()}
        owner = {"apiVersion": NODE.api_version, "kind": NODE.kind, "name": self._name, "uid": self._uid}
        try:
            await self._client.patch(
                LEASE, self._name, LEASES, {"metadata": {"ownerReferences": [owner]}, "spec": spec}
            )
        except ApiError as error:
            if error.code != 404:
                raise
            metadata = {"name": self._name, "namespace": LEASES, "ownerReferences": [owner]}
            body = {"apiVersion": LEASE.api_version, "kind": LEASE.kind, "metadata": metadata, "spec": spec}
            await self._client.create(LEASE, body)
