"""What a deployment tells about itself: counts, and whether it is available, moves, or is stuck.

``kubectl rollout status`` and ``kubectl wait`` read exactly these fields. A rollout that shows no progress for
``progressDeadlineSeconds`` is said to have timed out; it goes on nevertheless. Conditions, reasons and sentences are
kube-controller-manager's.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from mizzen.apis.apps import Deployment, DeploymentStatus, ReplicaSet
from mizzen.apis.core import StatusCondition
from mizzen.apis.meta import Mapping, given
from mizzen.cluster.workloads import revisions, rollout
from mizzen.kube import times

AVAILABLE, PROGRESSING, REPLICA_FAILURE = "Available", "Progressing", "ReplicaFailure"
_NO_DEADLINE = 2**31 - 1


class Note(msgspec.Struct, frozen=True):
    """Something that this look did or met and that the Progressing condition tells."""

    status: str
    reason: str
    message: str


def created(name: str) -> Note:
    return Note("True", "NewReplicaSetCreated", f'Created new replica set "{name}"')


def not_created(name: str, why: str) -> Note:
    return Note("False", "ReplicaSetCreateError", f'Failed to create new replica set "{name}": {why}')


def status(deployment: Deployment, sets: Sequence[ReplicaSet], now: datetime, note: Note | None = None) -> Mapping:
    """The status that the replica sets add up to, as it is written; counts of zero are left out."""
    new, _ = revisions.new_and_old(deployment, sets)
    found = _counts(deployment, new, sets)
    conditions = {condition.type: condition for condition in deployment.status.conditions or ()}
    enough = rollout.replicas(deployment) - rollout.bounds(deployment)[1]
    if (found.available_replicas or 0) >= enough:
        available = Note("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    else:
        available = Note("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    _set(conditions, AVAILABLE, available, now)
    if deadline(deployment) is None:
        conditions.pop(PROGRESSING, None)
    elif not deployment.metadata.deletion_timestamp:
        _set_progress(deployment, new, sets, found, conditions, note, now)
    _set_failure(new, sets, conditions)
    found.conditions = list(conditions.values())
    written: Mapping = msgspec.to_builtins(found)
    return {key: value for key, value in written.items() if value not in (0, None)}


def _counts(deployment: Deployment, new: ReplicaSet | None, sets: Sequence[ReplicaSet]) -> DeploymentStatus:
    available = sum(one.status.available_replicas or 0 for one in sets)
    return DeploymentStatus(
        observed_generation=deployment.metadata.generation or 0,
        replicas=sum(one.status.replicas or 0 for one in sets),
        updated_replicas=(new.status.replicas or 0) if new else 0,
        ready_replicas=sum(one.status.ready_replicas or 0 for one in sets),
        available_replicas=available,
        unavailable_replicas=max(0, sum(map(rollout.size, sets)) - available),
        collision_count=deployment.status.collision_count or 0,
    )


def deadline(deployment: Deployment) -> int | None:
    """Seconds without progress after which a rollout counts as stuck, or ``None`` when there is no limit."""
    seconds = given(deployment.spec.progress_deadline_seconds)
    return None if seconds == _NO_DEADLINE else seconds


def next_look(deployment: Deployment, written: Mapping, now: datetime) -> float | None:
    """Seconds until the deadline must be looked at, or ``None`` when nothing is under way."""
    seconds = deadline(deployment)
    current = next((one for one in written.get("conditions") or () if one["type"] == PROGRESSING), None)
    if seconds is None or current is None or current["reason"] in ("NewReplicaSetAvailable", _TIMED_OUT):
        return None
    if deployment.spec.paused:
        return None
    since = times.parse(current["lastUpdateTime"])
    # The times have whole seconds; a second later the limit is past for certain.
    return max(0.0, (since + timedelta(seconds=seconds + 1) - now).total_seconds())


_TIMED_OUT = "ProgressDeadlineExceeded"


def _set_progress(
    deployment: Deployment,
    new: ReplicaSet | None,
    sets: Sequence[ReplicaSet],
    found: DeploymentStatus,
    conditions: dict[str, StatusCondition],
    note: Note | None,
    now: datetime,
) -> None:
    current = conditions.get(PROGRESSING)
    pausing = _pause_note(deployment, current)
    note = note or pausing
    if note is None and current is None and new is not None:
        note = Note("True", "FoundNewReplicaSet", f'Found new replica set "{new.name}"')
    before = current.reason if current else ""
    if note is not None:
        _set(conditions, PROGRESSING, note, now)
    if deployment.spec.paused or (note is not None and note.status == "False"):
        return
    resting = found.replicas == found.updated_replicas and before == "NewReplicaSetAvailable"
    if resting and note is None:
        return
    name = f'ReplicaSet "{new.name}"' if new is not None else f'Deployment "{deployment.name}"'
    old = [one for one in sets if one is not new]
    if new is not None and rollout.is_complete(deployment, new, old):
        _set(
            conditions, PROGRESSING, Note("True", "NewReplicaSetAvailable", f"{name} has successfully progressed."), now
        )
    elif _has_moved(deployment.status, found):
        previous = conditions.pop(PROGRESSING, None)
        moved = Note("True", "ReplicaSetUpdated", f"{name} is progressing.")
        _set(conditions, PROGRESSING, moved, now)
        # The time of the update is the sign of progress and moves on; the transition's only with the status.
        if previous is not None and previous.status == "True":
            conditions[PROGRESSING].last_transition_time = previous.last_transition_time
    elif _is_stuck(deployment, conditions.get(PROGRESSING), now):
        _set(conditions, PROGRESSING, Note("False", _TIMED_OUT, f"{name} has timed out progressing."), now)


def _pause_note(deployment: Deployment, current: StatusCondition | None) -> Note | None:
    if current is not None and current.reason == _TIMED_OUT:
        return None
    was_paused = current is not None and current.reason == "DeploymentPaused"
    if deployment.spec.paused and not was_paused:
        return Note("Unknown", "DeploymentPaused", "Deployment is paused")
    if was_paused and not deployment.spec.paused:
        return Note("Unknown", "DeploymentResumed", "Deployment is resumed")
    return None


def _has_moved(before: DeploymentStatus, found: DeploymentStatus) -> bool:
    old_before = (before.replicas or 0) - (before.updated_replicas or 0)
    old_now = (found.replicas or 0) - (found.updated_replicas or 0)
    return (
        (found.updated_replicas or 0) > (before.updated_replicas or 0)
        or old_now < old_before
        or (found.ready_replicas or 0) > (before.ready_replicas or 0)
        or (found.available_replicas or 0) > (before.available_replicas or 0)
    )


def _is_stuck(deployment: Deployment, current: StatusCondition | None, now: datetime) -> bool:
    seconds = deadline(deployment)
    if seconds is None or current is None or current.reason == "NewReplicaSetAvailable":
        return False
    if current.reason == _TIMED_OUT:
        return True
    since = current.last_update_time or current.last_transition_time
    return bool(since) and times.parse(str(since)) + timedelta(seconds=seconds) < now


def _set_failure(new: ReplicaSet | None, sets: Sequence[ReplicaSet], conditions: dict[str, StatusCondition]) -> None:
    ordered = ([new] if new is not None else []) + [one for one in sets if one is not new]
    for one in ordered:
        for condition in one.status.conditions or ():
            if condition.type == REPLICA_FAILURE:
                note = Note(condition.status, condition.reason or "", condition.message or "")
                when = times.parse(condition.last_transition_time or "1970-01-01T00:00:00Z")
                _set(conditions, REPLICA_FAILURE, note, when)
                return
    conditions.pop(REPLICA_FAILURE, None)


def _set(conditions: dict[str, StatusCondition], kind: str, note: Note, now: datetime) -> None:
    """Set a condition unless its status and reason are so already; the newest comes last, as upstream lists them."""
    old = conditions.get(kind)
    if old is not None and (old.status, old.reason) == (note.status, note.reason):
        return
    stamp = times.rfc3339(now)
    conditions.pop(kind, None)
    conditions[kind] = StatusCondition(
        type=kind,
        status=note.status,
        reason=note.reason,
        message=note.message,
        last_update_time=stamp,
        last_transition_time=(old.last_transition_time or stamp) if old and old.status == note.status else stamp,
    )
