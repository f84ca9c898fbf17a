"""The replica set controller: as many pods as the spec wants, no more and no fewer.

It counts pods in a copy that may lag behind the API. What it creates goes into the copy with the API's answer, and what
it deletes is remembered until the copy shows it, so a look that comes too early neither creates nor deletes twice.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from mizzen.apis.apps import REPLICA_SET, ReplicaSet
from mizzen.apis.core import POD, Pod
from mizzen.cluster.workloads import ownership, replicas
from mizzen.cluster.workloads.caches import ORPHAN_INDEX, Caches
from mizzen.cluster.workloads.changes import difference
from mizzen.cluster.workloads.namespace import is_ending
from mizzen.cluster.workloads.pods import is_active
from mizzen.cluster.workloads.together import WORKERS, all_of
from mizzen.kube import selectors
from mizzen.kube.client import Client
from mizzen.kube.controller import Controller, controlled_by
from mizzen.kube.errors import ApiError
from mizzen.kube.events import EventRecorder, Reference
from mizzen.kube.informer import Change, Key


class ReplicaSets:
    """Reconciles replica sets. ``controller`` is to be run."""

    def __init__(self, client: Client, caches: Caches, events: EventRecorder) -> None:
        self._client = client
        self._sets = caches.replica_sets
        self._pods = caches.pods
        self._events = events
        # Uids of pods that were told to go and that the copy still shows as staying.
        self._leaving: set[str] = set()
        self.controller = Controller("replicaset", self.reconcile, workers=WORKERS)
        self.controller.watches(self._sets)
        self.controller.watches(self._pods, controlled_by(self._sets))
        self.controller.watches(self._pods, self._would_adopt)
        self._pods.on_change(self._forget)

    def _would_adopt(self, change: Change) -> list[Key]:
        if change.new is None or not ownership.is_up_for_adoption(change):
            return []
        sets = self._sets.all(ReplicaSet, change.key[0])
        labels = change.new.labels
        return [(one.namespace, one.name) for one in sets if _matches(one, labels)]

    def _forget(self, change: Change) -> None:
        if change.old is not None and (change.new is None or change.new.deleting):
            self._leaving.discard(change.old.uid)

    async def reconcile(self, namespace: str, name: str) -> float | None:
        entry = self._sets.entry(namespace, name)
        if entry is None:
            return None
        replica_set = entry.decode(ReplicaSet)
        failure: replicas.Failure | None = None
        error: ApiError | None = None
        if not replica_set.metadata.deletion_timestamp:
            await self._claim(replica_set)
            plan = replicas.plan(replica_set, self._active(replica_set), datetime.now(UTC))
            try:
                await self._create(replica_set, plan.create)
                await self._delete(replica_set, plan.delete)
            except ApiError as refused:
                error = refused
                failure = replicas.Failure("FailedCreate" if plan.create else "FailedDelete", refused.message)
        pods, now = self._active(replica_set), datetime.now(UTC)
        await self._write_status(replica_set, entry.object.get("status") or {}, pods, failure, now)
        if error is not None:
            raise error
        return replicas.next_availability(replica_set, pods, now)

    def _active(self, replica_set: ReplicaSet) -> list[Pod]:
        """The pods that count, as the copy has them now."""
        pods = self._pods.owned_by(replica_set.uid, Pod)
        return [pod for pod in pods if is_active(pod) and pod.uid not in self._leaving]

    async def _claim(self, replica_set: ReplicaSet) -> None:
        candidates = [
            *self._pods.by_index("controller", replica_set.uid),
            *self._pods.by_index(ORPHAN_INDEX, replica_set.namespace),
        ]
        selector = selectors.from_typed(replica_set.spec.selector)
        await ownership.claim(self._client, replica_set, REPLICA_SET, selector, self._pods, candidates)

    async def _create(self, replica_set: ReplicaSet, count: int) -> None:
        body = replicas.pod_from(replica_set)
        about = Reference.to(replica_set, REPLICA_SET)

        async def one() -> None:
            try:
                answer = await self._client.create(POD, body)
            except ApiError as error:
                if not is_ending(error):
                    self._events.record(about, "Warning", "FailedCreate", f"Error creating: {error.message}")
                raise
            self._events.record(about, "Normal", "SuccessfulCreate", f"Created pod: {answer['metadata']['name']}")
            self._pods.accept(answer)

        try:
            await _slow_start(count, one)
        except ApiError as error:
            # In a namespace that ends nothing can be created, and the set itself is about to go.
            if not is_ending(error):
                raise

    async def _delete(self, replica_set: ReplicaSet, pods: Sequence[Pod]) -> None:
        about = Reference.to(replica_set, REPLICA_SET)

        async def one(pod: Pod) -> None:
            self._leaving.add(pod.uid)
            try:
                await self._client.delete(POD, pod.name, pod.namespace, uid=pod.uid)
            except ApiError as error:
                # Gone, or another pod has its name: what was to be deleted is.
                if error.code in (404, 409):
                    return
                self._leaving.discard(pod.uid)
                self._events.record(about, "Warning", "FailedDelete", f"Error deleting: {error.message}")
                raise
            except BaseException:
                self._leaving.discard(pod.uid)
                raise
            self._events.record(about, "Normal", "SuccessfulDelete", f"Deleted pod: {pod.name}")

        await all_of([one(pod) for pod in pods])

    async def _write_status(
        self,
        replica_set: ReplicaSet,
        before: dict[str, Any],
        pods: Sequence[Pod],
        failure: replicas.Failure | None,
        now: datetime,
    ) -> None:
        changed = difference(before, replicas.status(replica_set, pods, failure, now))
        if not changed:
            return
        patch = {"metadata": {"uid": replica_set.uid}, "status": changed}
        try:
            answer = await self._client.patch(
                REPLICA_SET, replica_set.name, replica_set.namespace, patch, subresource="status"
            )
        except ApiError as error:
            if error.code == 404:
                return
            raise
        self._sets.accept(answer)


def _matches(replica_set: ReplicaSet, labels: dict[str, str]) -> bool:
    return selectors.from_typed(replica_set.spec.selector).matches(labels)


async def _slow_start(count: int, one: Callable[[], Awaitable[None]]) -> None:
    """Do ``one`` so many times, in batches of 1, 2, 4 ...: what is refused is refused once, not ``count`` times."""
    batch = 1
    while count > 0:
        await all_of([one() for _ in range(min(batch, count))])
        count -= batch
        batch *= 2
