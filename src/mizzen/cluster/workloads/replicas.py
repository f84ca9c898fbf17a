"""How many pods, and which: the pure part of the replica set controller.

Order of deletion and the meaning of each status field are kube-controller-manager's, so that ``kubectl scale`` removes
the pods that an operator expects it to.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec

from mizzen.apis.apps import REPLICA_SET, ReplicaSet
from mizzen.apis.core import Pod, StatusCondition
from mizzen.apis.meta import Mapping, given_or, owner_reference
from mizzen.cluster.workloads import pods as facts
from mizzen.kube import selectors, times

# At most so many creations or deletions in one look, as upstream, so that no set starves the others.
BURST = 500
DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
_PHASES = {"Pending": 0, "Unknown": 1, "Running": 2}


class Plan(msgspec.Struct, frozen=True):
    """How many pods to create, and which to delete, in order; one of both is empty."""

    create: int = 0
    delete: tuple[Pod, ...] = ()


def wanted(replica_set: ReplicaSet) -> int:
    return given_or(replica_set.spec.replicas, 1)


def plan(replica_set: ReplicaSet, active: Sequence[Pod], now: datetime) -> Plan:
    """Bring the number of active pods to what the spec wants."""
    missing = wanted(replica_set) - len(active)
    if missing >= 0:
        return Plan(create=min(missing, BURST))
    return Plan(delete=tuple(deletion_order(active, now)[: min(-missing, BURST)]))


def deletion_order(pods: Iterable[Pod], now: datetime) -> list[Pod]:
    """First those that are missed least: unscheduled, pending, not ready, cheap, young, often restarted.

    Ages are compared by their logarithm and ties broken by uid, so that pods of about one age are chosen at random
    rather than all from the latest scale-up.
    """

    def rank(pod: Pod) -> tuple[object, ...]:
        since = facts.ready_since(pod)
        return (
            bool(pod.node_name),
            _PHASES.get(pod.status.phase or "Pending", 0),
            since is not None,
            _cost(pod),
            _age_rank(since, now) if since is not None else 0,
            -facts.restarts(pod),
            _age_rank(times.parse(pod.metadata.creation_timestamp), now) if pod.metadata.creation_timestamp else -1,
            pod.uid,
        )

    return sorted(pods, key=rank)


def _age_rank(since: datetime, now: datetime) -> int:
    age = (now - since).total_seconds() * 1e9
    return int(math.log2(age)) if age >= 1 else -1


def _cost(pod: Pod) -> int:
    try:
        return int(pod.metadata.annotation(DELETION_COST, "0"))
    except ValueError:
        return 0


def pod_from(replica_set: ReplicaSet) -> Mapping:
    """A pod of the set's template, to be named by the API server."""
    template = replica_set.spec.template
    metadata = template.get("metadata") or {}
    kept = {key: metadata[key] for key in ("labels", "annotations", "finalizers") if metadata.get(key)}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": f"{replica_set.name}-",
            "namespace": replica_set.namespace,
            **kept,
            "ownerReferences": [owner_reference(replica_set, REPLICA_SET)],
        },
        "spec": template.get("spec") or {},
    }


class Failure(msgspec.Struct, frozen=True):
    """Why the last look could not make it so: ``FailedCreate`` or ``FailedDelete``, and the API's message."""

    reason: str
    message: str


def status(replica_set: ReplicaSet, active: Sequence[Pod], failure: Failure | None, now: datetime) -> Mapping:
    """The status that the active pods add up to. Counts that are zero are left out, as Kubernetes writes them."""
    labels = (replica_set.spec.template.get("metadata") or {}).get("labels") or {}
    template = selectors.from_labels(labels)
    waits = _waits(replica_set, active, now)
    counts = {
        "observedGeneration": replica_set.metadata.generation or 0,
        "fullyLabeledReplicas": sum(template.matches(pod.metadata.labels or {}) for pod in active),
        "readyReplicas": len(waits),
        "availableReplicas": sum(wait == 0.0 for wait in waits),
    }
    found: Mapping = {"replicas": len(active)} | {key: count for key, count in counts.items() if count}
    conditions = _conditions(replica_set.status.conditions or [], failure, now)
    if conditions:
        found["conditions"] = msgspec.to_builtins(conditions)
    return found


def _conditions(conditions: Sequence[StatusCondition], failure: Failure | None, now: datetime) -> list[StatusCondition]:
    others = [condition for condition in conditions if condition.type != "ReplicaFailure"]
    if failure is None:
        return others
    known = [condition for condition in conditions if condition.type == "ReplicaFailure"]
    # The first message stays: the next try fails about a pod of another name, and would be a write each time.
    if known and known[0].reason == failure.reason:
        return list(conditions)
    condition = StatusCondition(
        type="ReplicaFailure",
        status="True",
        reason=failure.reason,
        message=failure.message,
        last_transition_time=times.rfc3339(now),
    )
    return [*others, condition]


def next_availability(replica_set: ReplicaSet, active: Sequence[Pod], now: datetime) -> float | None:
    """Seconds until the next ready pod counts as available, or ``None`` when none is waiting for that."""
    return min((wait for wait in _waits(replica_set, active, now) if wait > 0), default=None)


def _waits(replica_set: ReplicaSet, active: Sequence[Pod], now: datetime) -> list[float]:
    """For each ready pod the seconds until it counts as available."""
    seconds = replica_set.spec.min_ready_seconds or 0
    found = (facts.available_in(pod, seconds, now) for pod in active)
    return [wait for wait in found if wait is not None]
