"""Where a pod can go: the pure part of the scheduler.

Each node is asked in the order of kube-scheduler's filters, and the first that objects speaks for the node, in
Kubernetes' words: people and tools read ``0/1 nodes are available: 1 Insufficient nvidia.com/gpu.``. On one machine
cpu, memory and disk requests are weights and do not refuse a pod (overcommit); what cannot be shared does. A node that
is not Ready counts as tainted, as kube-controller-manager would taint it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

import msgspec

from mizzen.apis import quantity
from mizzen.apis.core import Node, Pod, Taint
from mizzen.cluster.workloads import pods as facts

# What a machine shares out by weight; everything else a node offers is counted.
_SHARED = {"cpu", "memory", "ephemeral-storage"}
Amounts = dict[str, Decimal]


class Room(msgspec.Struct, frozen=True):
    """A node, and what the pods on it already have: their number and the sum of their requests."""

    node: Node
    pods: int = 0
    used: Amounts = {}


class Verdict(msgspec.Struct, frozen=True):
    """The node to bind to, or why there is none, as a sentence."""

    node: str = ""
    message: str = ""


def place(pod: Pod, rooms: Iterable[Room], *, overcommit: bool = True) -> Verdict:
    """The best node for the pod: of those that can take it, the one whose cpu and memory are least asked for."""
    rooms = list(rooms)
    if not rooms:
        return Verdict(message="no nodes available to schedule pods")
    wanted = facts.requests(pod.spec)
    objections: Counter[str] = Counter()
    fitting: list[Room] = []
    for room in rooms:
        found = objection(pod, room, wanted, overcommit=overcommit)
        objections.update(found)
        if not found:
            fitting.append(room)
    if fitting:
        return Verdict(node=min(fitting, key=lambda room: (_load(room, wanted), room.pods, room.node.name)).node.name)
    reasons = ", ".join(sorted(f"{count} {reason}" for reason, count in objections.items()))
    return Verdict(message=f"0/{len(rooms)} nodes are available: {reasons}.")


def objection(pod: Pod, room: Room, wanted: Amounts, *, overcommit: bool = True) -> list[str]:
    """Why the node cannot take the pod: the reasons of the first filter that refuses, or nothing."""
    node = room.node
    tolerations = pod.spec.get("tolerations") or []
    for taint in taints(node):
        if taint.effect == "PreferNoSchedule" or any(_tolerates(toleration, taint) for toleration in tolerations):
            continue
        if taint.key == _UNSCHEDULABLE:
            return ["node(s) were unschedulable"]
        return [f"node(s) had untolerated taint {{{taint.key}: {taint.value or ''}}}"]
    if not _selects(pod.spec, node):
        return ["node(s) didn't match Pod's node affinity/selector"]
    return _shortages(room, wanted, overcommit)


_UNSCHEDULABLE = "node.kubernetes.io/unschedulable"


def taints(node: Node) -> list[Taint]:
    """The node's taints and those that its state stands for."""
    found = [Taint(key=_UNSCHEDULABLE, effect="NoSchedule")] if node.spec.unschedulable else []
    found += [taint for taint in node.spec.taints or () if taint.key != _UNSCHEDULABLE]
    ready = next((c.status for c in node.status.conditions or () if c.type == "Ready"), "Unknown")
    if ready != "True":
        key = f"node.kubernetes.io/{'not-ready' if ready == 'False' else 'unreachable'}"
        if not any(taint.key == key for taint in found):
            found.append(Taint(key=key, effect="NoSchedule"))
    return found


def _tolerates(toleration: Mapping[str, Any], taint: Taint) -> bool:
    if toleration.get("effect") and toleration["effect"] != taint.effect:
        return False
    if toleration.get("key") and toleration["key"] != taint.key:
        return False
    if (toleration.get("operator") or "Equal") == "Exists":
        return True
    return bool(toleration.get("key")) and (toleration.get("value") or "") == (taint.value or "")


def _selects(spec: Mapping[str, Any], node: Node) -> bool:
    labels = node.metadata.labels or {}
    if any(labels.get(key) != value for key, value in (spec.get("nodeSelector") or {}).items()):
        return False
    affinity = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    )
    if not affinity:
        return True
    return any(_matches_term(term, node) for term in affinity.get("nodeSelectorTerms") or ())


def _matches_term(term: Mapping[str, Any], node: Node) -> bool:
    """Terms are alternatives; all parts of one must hold, and a term without any matches nothing."""
    expressions, fields = term.get("matchExpressions") or [], term.get("matchFields") or []
    if not expressions and not fields:
        return False
    labels, names = node.metadata.labels or {}, {"metadata.name": node.name}
    return all(_matches(one, labels) for one in expressions) and all(_matches(one, names) for one in fields)


def _matches(requirement: Mapping[str, Any], values: Mapping[str, str]) -> bool:
    value = values.get(requirement.get("key", ""))
    wanted = requirement.get("values") or []
    match requirement.get("operator"):
        case "In":
            return value in wanted
        case "NotIn":
            return value not in wanted
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt" | "Lt" as operator:
            try:
                number, limit = int(value or ""), int(wanted[0])
            except (ValueError, IndexError):
                return False
            return number > limit if operator == "Gt" else number < limit
    return False


def _shortages(room: Room, wanted: Amounts, overcommit: bool) -> list[str]:
    allocatable = {name: quantity.parse(text) for name, text in (room.node.status.allocatable or {}).items()}
    if "pods" in allocatable and room.pods + 1 > allocatable["pods"]:
        return ["Too many pods"]
    return [
        f"Insufficient {name}"
        for name, amount in sorted(wanted.items())
        if amount
        and not (overcommit and name in _SHARED)
        and room.used.get(name, Decimal(0)) + amount > allocatable.get(name, Decimal(0))
    ]


def _load(room: Room, wanted: Amounts) -> float:
    """How much of the node would be asked for: the larger share of cpu and memory."""
    shares = [0.0]
    for name in ("cpu", "memory"):
        whole = quantity.parse((room.node.status.allocatable or {}).get(name, "0"))
        if whole:
            shares.append(float((room.used.get(name, Decimal(0)) + wanted.get(name, Decimal(0))) / whole))
    return max(shares)


class Ledger:
    """What each node has given away: requests by pod uid, from what is bound and what is about to be."""

    def __init__(self) -> None:
        self._by_node: dict[str, dict[str, Amounts]] = {}
        self._totals: dict[str, Amounts] = {}
        self._nodes: dict[str, str] = {}

    def put(self, uid: str, node: str, wanted: Amounts) -> None:
        """Note that the pod has its place; a second note about the same pod replaces the first."""
        self.drop(uid)
        self._nodes[uid] = node
        self._by_node.setdefault(node, {})[uid] = wanted
        total = self._totals.setdefault(node, {})
        for name, amount in wanted.items():
            total[name] = total.get(name, Decimal(0)) + amount

    def drop(self, uid: str) -> bool:
        """Give back what the pod had; says whether it had anything."""
        node = self._nodes.pop(uid, None)
        if node is None:
            return False
        wanted = self._by_node[node].pop(uid)
        total = self._totals[node]
        for name, amount in wanted.items():
            total[name] -= amount
        return True

    def node_of(self, uid: str) -> str:
        return self._nodes.get(uid, "")

    def room(self, node: Node) -> Room:
        return Room(node, len(self._by_node.get(node.name, ())), self._totals.get(node.name, {}))
