"""The scheduler: gives each pod that has no node the best one, or says in words why there is none.

What it has decided counts at once (the ledger), before the API's copy shows it. Pods that cannot be placed wait without
any polling: a change of a node, or a pod that gives back what it had, wakes them.
"""

from __future__ import annotations

from collections.abc import Iterable

from mizzen.apis.core import NODE, POD, Node, Pod
from mizzen.cluster.workloads import pods as facts
from mizzen.cluster.workloads.caches import NODE_INDEX, Caches
from mizzen.cluster.workloads.placement import Ledger, Verdict, place
from mizzen.cluster.workloads.together import WORKERS
from mizzen.kube import times
from mizzen.kube.client import Client
from mizzen.kube.controller import Controller
from mizzen.kube.errors import ApiError
from mizzen.kube.events import EventRecorder, Reference
from mizzen.kube.informer import Change, Entry, Key

NAME = "default-scheduler"


class Scheduler:
    """Binds pods to nodes. ``controller`` is to be run.

    Args:
        overcommit: treat cpu, memory and disk requests as weights that never refuse a pod.
    """

    def __init__(self, client: Client, caches: Caches, events: EventRecorder, *, overcommit: bool = True) -> None:
        self._client = client
        self._pods = caches.pods
        self._nodes = caches.nodes
        self._events = events
        self._overcommit = overcommit
        self._ledger = Ledger()
        self.controller = Controller("scheduler", self.reconcile, workers=WORKERS)
        # The ledger first: a pod that gives back its place must have done so when the waiting ones are looked at.
        self._pods.on_change(self._keep_books)
        self.controller.watches(self._pods, self._waiting_pod)
        self.controller.watches(self._nodes, lambda change: self._waiting())

    def _keep_books(self, change: Change) -> None:
        old, new = change.old, change.new
        is_over = old is not None and (new is None or new.uid != old.uid or _has_ended(new))
        if old is not None and is_over and self._ledger.drop(old.uid):
            for key in self._waiting():
                self.controller.queue.add(key)
        # A pod that was given a node here but does not show it yet keeps its place.
        if new is not None and (node := _place_of(new)) and self._ledger.node_of(new.uid) != node:
            self._ledger.put(new.uid, node, facts.requests(new.decode(Pod).spec))

    def _waiting_pod(self, change: Change) -> Iterable[Key]:
        return [change.key] if change.new is not None and _is_waiting(change.new) else []

    def _waiting(self) -> list[Key]:
        """All pods without a node: those of high priority first, then the oldest."""
        found = [(key, pod) for key in self._pods.by_index(NODE_INDEX, "") if (pod := self._pods.get(*key, Pod))]
        found.sort(key=lambda pair: (-(pair[1].spec.get("priority") or 0), pair[1].metadata.creation_timestamp or ""))
        return [key for key, _ in found]

    async def reconcile(self, namespace: str, name: str) -> None:
        pod = self._pods.get(namespace, name, Pod)
        if pod is None or pod.node_name or not facts.is_active(pod) or self._ledger.node_of(pod.uid):
            return
        if (pod.spec.get("schedulerName") or NAME) != NAME:
            return
        if pod.spec.get("schedulingGates"):
            await self._report(pod, "SchedulingGated", "Scheduling is blocked due to non-empty scheduling gates")
            return
        rooms = [self._ledger.room(node) for node in self._nodes.all(Node)]
        verdict = place(pod, rooms, overcommit=self._overcommit)
        if verdict.node:
            await self._bind(pod, verdict)
        else:
            await self._report(pod, "Unschedulable", verdict.message)

    async def _bind(self, pod: Pod, verdict: Verdict) -> None:
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid},
            "target": {"apiVersion": NODE.api_version, "kind": NODE.kind, "name": verdict.node},
        }
        self._ledger.put(pod.uid, verdict.node, facts.requests(pod.spec))
        try:
            await self._client.create(POD, binding, pod.namespace, subresource="binding")
        except BaseException as error:
            # An answer that was lost may have been a yes, which the copy shows by now.
            entry = self._pods.entry(pod.namespace, pod.name)
            if entry is None or entry.uid != pod.uid or not _place_of(entry):
                self._ledger.drop(pod.uid)
            # Gone, or somebody else has bound it.
            if isinstance(error, ApiError) and error.code in (404, 409):
                return
            raise
        sentence = f"Successfully assigned {pod.namespace}/{pod.name} to {verdict.node}"
        self._events.record(Reference.to(pod, POD), "Normal", "Scheduled", sentence)

    async def _report(self, pod: Pod, reason: str, message: str) -> None:
        """Say why the pod waits, in its status and as an event, unless its status says so already."""
        known = pod.status.condition("PodScheduled")
        if known is not None and (known.status, known.reason, known.message) == ("False", reason, message):
            return
        since = known.last_transition_time if known is not None and known.status == "False" else None
        condition = {
            "type": "PodScheduled",
            "status": "False",
            "reason": reason,
            "message": message,
            "lastProbeTime": None,
            "lastTransitionTime": since or times.now(),
        }
        if reason == "Unschedulable":
            self._events.record(Reference.to(pod, POD), "Warning", "FailedScheduling", message)
        patch = {"metadata": {"uid": pod.uid}, "status": {"conditions": [condition]}}
        try:
            answer = await self._client.patch(
                POD, pod.name, pod.namespace, patch, kind="strategic", subresource="status"
            )
        except ApiError as error:
            if error.code == 404:
                return
            raise
        self._pods.accept(answer)


def _place_of(entry: Entry) -> str:
    """The node on which the pod holds a place, or empty."""
    return next(iter(entry.indexed[NODE_INDEX]), "")


def _has_ended(entry: Entry) -> bool:
    return not entry.indexed[NODE_INDEX]


def _is_waiting(entry: Entry) -> bool:
    return entry.indexed[NODE_INDEX] == ("",) and not entry.deleting
