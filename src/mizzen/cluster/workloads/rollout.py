"""The next step of a rollout: the pure part of the deployment controller.

:func:`plan` looks at a deployment and its replica sets and names what to write now; carried out and asked again until
it names nothing, it rolls, scales, pauses and cleans up as kube-controller-manager does. A rolling update never has
more than ``replicas + maxSurge`` pods wanted, nor fewer than ``replicas - maxUnavailable`` available.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import msgspec
from msgspec import UNSET

from mizzen.apis.apps import Deployment, ReplicaSet, RollingUpdate
from mizzen.apis.meta import Mapping, Opt, given_or
from mizzen.cluster.workloads import revisions


class Create(msgspec.Struct, frozen=True):
    """Create the replica set of the present template."""

    body: Mapping


class Amend(msgspec.Struct, frozen=True):
    """Bring the present replica set's revision, annotations or minReadySeconds up to date."""

    target: ReplicaSet
    patch: Mapping


class Scale(msgspec.Struct, frozen=True):
    """Give a replica set this many replicas, or only the annotations that say how large its deployment is."""

    target: ReplicaSet
    replicas: int
    patch: Mapping


class Remove(msgspec.Struct, frozen=True):
    """Delete an old replica set that the history limit leaves no room for."""

    target: ReplicaSet


Step = Create | Amend | Scale | Remove


def plan(deployment: Deployment, sets: Collection[ReplicaSet], busy: Collection[str] = ()) -> list[Step]:
    """What to write now; nothing when the deployment waits for pods, or is as it should be.

    Args:
        sets: the replica sets that the deployment owns.
        busy: uids of replica sets that still have pods which have not ended. Recreate waits for those.
    """
    if deployment.metadata.deletion_timestamp:
        return []
    new, old = revisions.new_and_old(deployment, sets)
    if new is not None:
        patch = revisions.amendment(deployment, new, old)
        if patch:
            return [Amend(new, patch)]
    if deployment.spec.paused:
        return _scaled(deployment, new, old) or [Remove(one) for one in revisions.superfluous(deployment, old)]
    if _was_scaled(deployment, sets):
        return _scaled(deployment, new, old)
    roll = _recreate if deployment.spec.strategy.type == "Recreate" else _roll
    steps = roll(deployment, new, old, busy)
    if steps or new is None or not is_complete(deployment, new, old):
        return steps
    return [Remove(one) for one in revisions.superfluous(deployment, old)]


def replicas(deployment: Deployment) -> int:
    return given_or(deployment.spec.replicas, 1)


def size(replica_set: ReplicaSet) -> int:
    return given_or(replica_set.spec.replicas, 1)


def available(replica_set: ReplicaSet) -> int:
    """Available pods that will stay. A status that lags behind a scale-down still counts pods that go now."""
    return min(replica_set.status.available_replicas or 0, size(replica_set))


def bounds(deployment: Deployment) -> tuple[int, int]:
    """How many pods may be there beyond, and may be missing from, the wanted number: maxSurge and maxUnavailable.

    Percentages of surge are rounded up, of unavailability down; when both come to zero one may be unavailable, or
    nothing could ever move.
    """
    count = replicas(deployment)
    strategy = deployment.spec.strategy
    if strategy.type == "Recreate":
        return 0, 0
    rolling = strategy.rolling_update or RollingUpdate()
    surge = _scaled_value(rolling.max_surge, count, up=True)
    unavailable = _scaled_value(rolling.max_unavailable, count, up=False)
    if surge == 0 and unavailable == 0:
        unavailable = 1
    return surge, min(unavailable, count)


def _scaled_value(value: Opt[int | str], of: int, *, up: bool) -> int:
    if value is UNSET or value is None:
        value = "25%"
    if isinstance(value, str) and value.endswith("%"):
        share = int(value[:-1]) * of
        return -(-share // 100) if up else share // 100
    return int(value)


def most(deployment: Deployment) -> int:
    """The most pods that may be wanted at a time."""
    return replicas(deployment) + bounds(deployment)[0]


def is_complete(deployment: Deployment, new: ReplicaSet, old: Sequence[ReplicaSet]) -> bool:
    """Whether all pods are of the present template, available, and nothing is left of the old ones."""
    count = replicas(deployment)
    return (
        size(new) == count
        and (new.status.replicas or 0) == count
        and (new.status.available_replicas or 0) == count
        and not any(one.status.replicas or size(one) for one in old)
    )


def _scale(deployment: Deployment, target: ReplicaSet, to: int) -> list[Step]:
    """The step that scales, or that only notes the deployment's size; none when both are so already."""
    known = target.metadata.annotations or {}
    noted = revisions.size_annotations(replicas(deployment), most(deployment))
    changed = {key: value for key, value in noted.items() if known.get(key) != value}
    if to == size(target) and not changed:
        return []
    patch: Mapping = {"spec": {"replicas": to}}
    if changed:
        patch["metadata"] = {"annotations": changed}
    return [Scale(target, to, patch)]


def _create(deployment: Deployment, old: Sequence[ReplicaSet], count: int) -> list[Step]:
    sizes = revisions.size_annotations(replicas(deployment), most(deployment))
    return [Create(revisions.replica_set(deployment, count, sizes, revisions.next_revision(old)))]


def _room(deployment: Deployment, new: ReplicaSet | None, old: Sequence[ReplicaSet]) -> int:
    """How many replicas the new set may have now, without going above the surge."""
    count, present = replicas(deployment), size(new) if new else 0
    total = present + sum(map(size, old))
    return min(count, present + max(0, most(deployment) - total))


def _roll(
    deployment: Deployment, new: ReplicaSet | None, old: Sequence[ReplicaSet], busy: Collection[str]
) -> list[Step]:
    if new is None:
        return _create(deployment, old, _room(deployment, None, old))
    count = replicas(deployment)
    if size(new) > count:
        return _scale(deployment, new, count)
    if size(new) < count and (room := _room(deployment, new, old)) > size(new):
        return _scale(deployment, new, room)
    return _roll_down(deployment, new, [one for one in old if size(one)])


def _roll_down(deployment: Deployment, new: ReplicaSet, old: Sequence[ReplicaSet]) -> list[Step]:
    """Take from the old sets, oldest first: unhealthy pods, then as many healthy ones as may be missed."""
    least = replicas(deployment) - bounds(deployment)[1]
    total = size(new) + sum(map(size, old))
    spare = total - least - (size(new) - available(new))
    if not old or spare <= 0:
        return []
    sizes = {one.uid: size(one) for one in old}
    for one in old:
        unhealthy = min(spare, sizes[one.uid] - available(one))
        sizes[one.uid] -= unhealthy
        spare -= unhealthy
    healthy = available(new) + sum(min(available(one), sizes[one.uid]) for one in old)
    surplus = healthy - least
    for one in old:
        less = max(0, min(surplus, sizes[one.uid]))
        sizes[one.uid] -= less
        surplus -= less
    return [step for one in old if sizes[one.uid] != size(one) for step in _scale(deployment, one, sizes[one.uid])]


def _recreate(
    deployment: Deployment, new: ReplicaSet | None, old: Sequence[ReplicaSet], busy: Collection[str]
) -> list[Step]:
    down = [step for one in old if size(one) for step in _scale(deployment, one, 0)]
    if down:
        return down
    if any(one.status.replicas for one in old) or any(uid != (new.uid if new else "") for uid in busy):
        return []
    if new is None:
        return _create(deployment, old, replicas(deployment))
    return _scale(deployment, new, replicas(deployment)) if size(new) != replicas(deployment) else []


def _was_scaled(deployment: Deployment, sets: Collection[ReplicaSet]) -> bool:
    """Whether somebody changed the deployment's size since its replica sets noted it."""
    noted = ((one.metadata.annotations or {}).get(revisions.DESIRED_ANNOTATION) for one in sets if size(one))
    return any(text is not None and text != str(replicas(deployment)) for text in noted)


def _scaled(deployment: Deployment, new: ReplicaSet | None, old: Sequence[ReplicaSet]) -> list[Step]:
    """Follow a change of size: one set takes it all, or several in the middle of a rollout share it."""
    every = [*old, new] if new is not None else list(old)
    active = [one for one in every if size(one)]
    count = replicas(deployment)
    if len(active) <= 1:
        # Without an active one the newest takes it: the present template's, else the last one that was rolled out.
        only = active[0] if active else new or (old[-1] if old else None)
        return _scale(deployment, only, count) if only is not None else []
    if new is not None and size(new) == count and available(new) == count:
        return [step for one in active for step in _scale(deployment, one, count if one is new else 0)]
    if deployment.spec.strategy.type == "Recreate":
        return [step for one in active for step in _scale(deployment, one, size(one))]
    return _in_proportion(deployment, active)


def _in_proportion(deployment: Deployment, active: Sequence[ReplicaSet]) -> list[Step]:
    """Share the difference by size, the rest to the largest: growing favours the newest, shrinking the oldest."""
    count = replicas(deployment)
    allowed = most(deployment) if count else 0
    difference = allowed - sum(map(size, active))
    by_age = sorted(active, key=revisions.age, reverse=difference > 0)
    ordered = sorted(by_age, key=size, reverse=True)
    sizes, added = {one.uid: size(one) for one in ordered}, 0
    if difference:
        for one in ordered:
            share = _share(deployment, one, difference, added)
            sizes[one.uid] += share
            added += share
        largest = ordered[0].uid
        sizes[largest] = max(0, sizes[largest] + difference - added)
    return [step for one in ordered for step in _scale(deployment, one, sizes[one.uid])]


def _share(deployment: Deployment, one: ReplicaSet, difference: int, added: int) -> int:
    if difference == added:
        return 0
    if not replicas(deployment):
        fair = -size(one)
    else:
        noted = (one.metadata.annotations or {}).get(revisions.MAX_ANNOTATION, "")
        before = (int(noted) if noted.isdecimal() else 0) or deployment.status.replicas or size(one)
        fair = math.floor(size(one) * most(deployment) / before + 0.5) - size(one)
    return min(fair, difference - added) if difference > 0 else max(fair, difference - added)
