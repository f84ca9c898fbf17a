"""The namespace controller: empties a namespace that is being deleted, then lets it go.

Every kind that discovery names is listed in the API itself, never in a copy: what a copy has not seen yet would be left
behind in a namespace that no longer exists. Passes are repeated as objects go, until one finds nothing.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import msgspec

from mizzen.apis.core import NAMESPACE, Namespace
from mizzen.apis.meta import Object, ResourceDef
from mizzen.cluster.workloads.caches import Caches
from mizzen.cluster.workloads.kinds import Kinds, stored
from mizzen.cluster.workloads.owners import Kind
from mizzen.cluster.workloads.together import all_of
from mizzen.kube import times
from mizzen.kube.client import Client
from mizzen.kube.controller import Controller
from mizzen.kube.discovery import catalogue
from mizzen.kube.errors import ApiError
from mizzen.kube.informer import Change

FINALIZER = "kubernetes"
_SOON, _LATER = 0.1, 5.0
_AT_A_TIME = 16


class Remainder(msgspec.Struct):
    """What a pass found: how many objects of each kind and, of those being deleted, who holds them up."""

    kinds: Counter[str] = msgspec.field(default_factory=Counter)
    finalizers: Counter[str] = msgspec.field(default_factory=Counter)
    fresh: int = 0


class Namespaces:
    """Ends namespaces. ``controller`` is to be run."""

    def __init__(self, client: Client, caches: Caches, kinds: Kinds) -> None:
        self._client = client
        self._namespaces = caches.namespaces
        self._slots = asyncio.Semaphore(_AT_A_TIME)
        self.controller = Controller("namespace", self.reconcile, workers=2)
        self.controller.watches(self._namespaces)
        kinds.on_change(self._content_changed)

    def _content_changed(self, kind: Kind, change: Change) -> None:
        """Something in a namespace that ends has gone: perhaps it was the last."""
        entry = self._namespaces.entry("", change.key[0]) if change.new is None else None
        if entry is not None and entry.deleting:
            self.controller.queue.add_after(("", change.key[0]), _SOON)

    async def reconcile(self, _: str, name: str) -> float | None:
        namespace = self._namespaces.get("", name, Namespace)
        if namespace is None or not namespace.metadata.deletion_timestamp:
            return None
        if FINALIZER not in (namespace.spec.finalizers or ()):
            return None
        found = Remainder()
        resources = [resource for resource in stored(await catalogue(self._client)) if resource.namespaced]
        await all_of([self._clear(resource, name, found) for resource in resources])
        if found.kinds:
            if found.fresh:
                return _SOON
            await self._report(namespace, found)
            return _LATER
        await self._finalize(namespace)
        return None

    async def _clear(self, resource: ResourceDef, namespace: str, found: Remainder) -> None:
        """Delete all objects of one kind that are not being deleted yet, and count what there was."""
        async with self._slots:
            try:
                items, _ = await self._client.list_raw(resource, namespace, metadata_only=True)
            except ApiError as error:
                # The kind is no longer served, and its objects went with it.
                if error.code == 404:
                    return
                raise
        objects = [msgspec.json.decode(item, type=Object) for item in items]
        for one in objects:
            found.kinds[resource.qualified] += 1
            if one.metadata.deletion_timestamp:
                found.finalizers.update(one.metadata.finalizers or ())
        fresh = [one for one in objects if not one.metadata.deletion_timestamp]
        found.fresh += len(fresh)
        await all_of([self._delete(resource, one) for one in fresh])

    async def _delete(self, resource: ResourceDef, one: Object) -> None:
        async with self._slots:
            try:
                await self._client.delete(resource, one.name, one.namespace, uid=one.uid)
            except ApiError as error:
                if error.code not in (404, 409):
                    raise

    async def _report(self, namespace: Namespace, found: Remainder) -> None:
        """Say what the namespace waits for, unless it says so already."""
        live = self._namespaces.object("", namespace.name) or {}
        before = (live.get("status") or {}).get("conditions") or []
        after = conditions(found, before, times.now())
        if after == before:
            return
        patch = {"metadata": {"uid": namespace.uid}, "status": {"conditions": after}}
        self._namespaces.accept(await self._client.patch(NAMESPACE, namespace.name, "", patch, subresource="status"))

    async def _finalize(self, namespace: Namespace) -> None:
        try:
            live = await self._client.get(NAMESPACE, namespace.name)
            if live["metadata"]["uid"] != namespace.uid:
                return
            kept = [one for one in live["spec"].get("finalizers") or () if one != FINALIZER]
            body = live | {"spec": live["spec"] | {"finalizers": kept}}
            await self._client.update(NAMESPACE, body, subresource="finalize")
        except ApiError as error:
            if error.code != 404:
                raise


def is_ending(error: ApiError) -> bool:
    """Whether the API refused to create something because its namespace is being deleted."""
    causes = (error.details or {}).get("causes") or ()
    return error.code == 403 and any(cause.get("reason") == "NamespaceTerminating" for cause in causes)


def conditions(found: Remainder, before: list[dict[str, Any]], now: str) -> list[dict[str, Any]]:
    """The conditions that tell what a namespace still holds, in kube-controller-manager's words."""
    remaining = ", ".join(f"{kind} has {count} resource instances" for kind, count in sorted(found.kinds.items()))
    holders = ", ".join(f"{name} in {count} resource instances" for name, count in sorted(found.finalizers.items()))
    wanted = {
        "NamespaceContentRemaining": ("True", "SomeResourcesRemain", f"Some resources are remaining: {remaining}"),
        "NamespaceFinalizersRemaining": (
            ("True", "SomeFinalizersRemain", f"Some content in the namespace has finalizers remaining: {holders}")
            if holders
            else ("False", "ContentHasNoFinalizers", "All content-preserving finalizers finished")
        ),
    }
    known = {one["type"]: one for one in before}
    for kind, (status, reason, message) in wanted.items():
        old = known.get(kind, {})
        since = old.get("lastTransitionTime") if old.get("status") == status else None
        known[kind] = {
            "type": kind,
            "status": status,
            "reason": reason,
            "message": message,
            "lastTransitionTime": since or now,
        }
    return list(known.values())
