"""The deployment controller: rolls from one pod template to the next through replica sets.

:mod:`rollout` says what to write, :mod:`progress` what to report; here is the reading and writing. Steps are carried
out until no more follow from them, so a deployment's replica set is there within one look. A replica set's name follows
from its template, so a controller that was killed, or whose copy lags, finds the one it had made and makes no other.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import msgspec

from mizzen.apis.apps import DEPLOYMENT, REPLICA_SET, REVISION_ANNOTATION, Deployment, ReplicaSet
from mizzen.apis.core import Pod
from mizzen.cluster.workloads import ownership, progress, revisions, rollout
from mizzen.cluster.workloads.caches import ORPHAN_INDEX, Caches
from mizzen.cluster.workloads.changes import difference
from mizzen.cluster.workloads.namespace import is_ending
from mizzen.cluster.workloads.together import WORKERS
from mizzen.kube import selectors
from mizzen.kube.client import Client
from mizzen.kube.controller import Controller, controlled_by
from mizzen.kube.errors import ApiError, conflict
from mizzen.kube.events import EventRecorder, Reference
from mizzen.kube.informer import Change, Key

# More than any sequence of steps that waits for nothing has; what is left over is done at the next look.
_ROUNDS = 8


class Deployments:
    """Reconciles deployments. ``controller`` is to be run."""

    def __init__(self, client: Client, caches: Caches, events: EventRecorder) -> None:
        self._client = client
        self._deployments = caches.deployments
        self._sets = caches.replica_sets
        self._pods = caches.pods
        self._events = events
        self.controller = Controller("deployment", self.reconcile, workers=WORKERS)
        self.controller.watches(self._deployments)
        self.controller.watches(self._sets, controlled_by(self._deployments))
        self.controller.watches(self._sets, self._would_adopt)
        self.controller.watches(self._pods, self._awaited_end)

    def _would_adopt(self, change: Change) -> list[Key]:
        if change.new is None or not ownership.is_up_for_adoption(change):
            return []
        labels = change.new.labels
        everyone = self._deployments.all(Deployment, change.key[0])
        return [(one.namespace, one.name) for one in everyone if _selector(one).matches(labels)]

    def _awaited_end(self, change: Change) -> Iterable[Key]:
        """The deployment that may be waiting for a pod to be gone, as Recreate does."""
        if change.old is None or change.new is not None:
            return []
        owner = self._sets.key_of(change.old.controller_uid)
        entry = self._sets.entry(*owner) if owner else None
        key = self._deployments.key_of(entry.controller_uid) if entry else None
        return [key] if key else []

    async def reconcile(self, namespace: str, name: str) -> float | None:
        entry = self._deployments.entry(namespace, name)
        if entry is None:
            return None
        deployment = entry.decode(Deployment)
        sets = await self._own_sets(deployment)
        note: progress.Note | None = None
        for _ in range(_ROUNDS):
            busy = self._busy(sets) if deployment.spec.strategy.type == "Recreate" else ()
            steps = rollout.plan(deployment, sets.values(), busy)
            if not steps:
                break
            try:
                for step in steps:
                    note = await self._do(deployment, sets, step) or note
            except ApiError as error:
                # In a namespace that ends nothing can be created, and the deployment itself is about to go.
                if is_ending(error):
                    return None
                raise
        deployment = await self._write_revision(deployment, sets)
        return await self._write_status(deployment, sets, note)

    async def _own_sets(self, deployment: Deployment) -> dict[str, ReplicaSet]:
        """The replica sets by uid, after adopting and releasing."""
        candidates = [
            *self._sets.by_index("controller", deployment.uid),
            *self._sets.by_index(ORPHAN_INDEX, deployment.namespace),
        ]
        keys = await ownership.claim(
            self._client, deployment, DEPLOYMENT, _selector(deployment), self._sets, candidates
        )
        found = (self._sets.get(*key, ReplicaSet) for key in keys)
        return {one.uid: one for one in found if one is not None}

    def _busy(self, sets: dict[str, ReplicaSet]) -> set[str]:
        """The replica sets that have pods which have not ended; those that are being deleted have not."""
        return {uid for uid in sets if any(not pod.is_finished for pod in self._pods.owned_by(uid, Pod))}

    async def _do(
        self, deployment: Deployment, sets: dict[str, ReplicaSet], step: rollout.Step
    ) -> progress.Note | None:
        match step:
            case rollout.Create(body):
                return await self._create(deployment, sets, body)
            case rollout.Amend(target, patch):
                await self._patch(sets, target, patch)
            case rollout.Scale(target, count, patch):
                await self._patch(sets, target, patch)
                self._tell_scaled(deployment, target.name, rollout.size(target), count)
            case rollout.Remove(target):
                del sets[target.uid]
                try:
                    await self._client.delete(REPLICA_SET, target.name, target.namespace, uid=target.uid)
                except ApiError as error:
                    if error.code not in (404, 409):
                        raise
        return None

    async def _patch(self, sets: dict[str, ReplicaSet], target: ReplicaSet, patch: dict[str, Any]) -> None:
        """Write to one replica set, in the version that the step was decided on."""
        version = {"resourceVersion": sets[target.uid].metadata.resource_version}
        body = patch | {"metadata": version | patch.get("metadata", {})}
        self._take(sets, await self._client.patch(REPLICA_SET, target.name, target.namespace, body))

    def _take(self, sets: dict[str, ReplicaSet], answer: dict[str, Any]) -> None:
        one = msgspec.convert(answer, ReplicaSet)
        sets[one.uid] = one
        self._sets.accept(answer)

    async def _create(
        self, deployment: Deployment, sets: dict[str, ReplicaSet], body: dict[str, Any]
    ) -> progress.Note | None:
        name = body["metadata"]["name"]
        try:
            answer = await self._client.create(REPLICA_SET, body)
        except ApiError as error:
            if error.reason == "AlreadyExists":
                await self._meet_namesake(deployment, sets, name)
                return None
            if not is_ending(error):
                note = progress.not_created(name, error.message)
                self._events.record(Reference.to(deployment, DEPLOYMENT), "Warning", note.reason, note.message)
                await self._write_status(deployment, sets, note)
            raise
        self._take(sets, answer)
        self._tell_scaled(deployment, name, 0, body["spec"]["replicas"])
        return progress.created(name)

    async def _meet_namesake(self, deployment: Deployment, sets: dict[str, ReplicaSet], name: str) -> None:
        """The name is taken: by our own replica set, which the copy does not show yet, or by a stranger's."""
        answer = await self._client.get(REPLICA_SET, name, deployment.namespace)
        one = msgspec.convert(answer, ReplicaSet)
        ours = any(owner.controller and owner.uid == deployment.uid for owner in one.metadata.owner_references or ())
        if ours and revisions.same_template(one.spec.template, deployment.spec.template):
            self._take(sets, answer)
            return
        count = (deployment.status.collision_count or 0) + 1
        await self._patch_status(deployment, {"collisionCount": count})
        raise conflict(REPLICA_SET, name, "the name is taken by a replica set of another template")

    def _tell_scaled(self, deployment: Deployment, name: str, before: int, after: int) -> None:
        if before == after:
            return
        direction = "up" if after > before else "down"
        sentence = f"Scaled {direction} replica set {name} from {before} to {after}"
        self._events.record(Reference.to(deployment, DEPLOYMENT), "Normal", "ScalingReplicaSet", sentence)

    async def _write_revision(self, deployment: Deployment, sets: dict[str, ReplicaSet]) -> Deployment:
        """The deployment carries the revision of its present replica set."""
        new, _ = revisions.new_and_old(deployment, sets.values())
        text = new.metadata.annotation(REVISION_ANNOTATION) if new else ""
        if not text or deployment.metadata.deletion_timestamp:
            return deployment
        if deployment.metadata.annotation(REVISION_ANNOTATION) == text:
            return deployment
        patch = {"metadata": {"uid": deployment.uid, "annotations": {REVISION_ANNOTATION: text}}}
        answer = await self._client.patch(DEPLOYMENT, deployment.name, deployment.namespace, patch)
        self._deployments.accept(answer)
        return msgspec.convert(answer, Deployment)

    async def _write_status(
        self, deployment: Deployment, sets: dict[str, ReplicaSet], note: progress.Note | None
    ) -> float | None:
        now = datetime.now(UTC)
        written = progress.status(deployment, list(sets.values()), now, note)
        before = msgspec.to_builtins(deployment.status)
        changed = difference(before, written)
        if changed:
            await self._patch_status(deployment, changed)
        return progress.next_look(deployment, written, now)

    async def _patch_status(self, deployment: Deployment, changed: dict[str, Any]) -> None:
        patch = {"metadata": {"uid": deployment.uid}, "status": changed}
        try:
            answer = await self._client.patch(
                DEPLOYMENT, deployment.name, deployment.namespace, patch, subresource="status"
            )
        except ApiError as error:
            if error.code == 404:
                return
            raise
        self._deployments.accept(answer)


def _selector(deployment: Deployment) -> selectors.Selector:
    return selectors.from_typed(deployment.spec.selector)
