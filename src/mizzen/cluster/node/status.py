"""A pod's status from what its containers do: pure, and the same words that a kubelet uses.

What the containers do is held in :class:`ContainerView` and :class:`PodView`; :func:`render` makes of them the part of
the status that is the node's to write, and :func:`patch` what of it differs from what is stored.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import msgspec

from mizzen.apis.meta import Mapping
from mizzen.cluster.node import podspec
from mizzen.cluster.node.podspec import Kind
from mizzen.kube.times import rfc3339

# The conditions that are the node's to write, in the order of a kubelet.
CONDITIONS = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady")
RUNTIME = "mizzen"


class Waiting(msgspec.Struct, frozen=True):
    reason: str
    message: str = ""


class Running(msgspec.Struct, frozen=True):
    """``since`` is in seconds since the epoch, as all times here."""

    since: float


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """How a run ended. ``id`` is the run's at its pod parent."""

    exit_code: int
    reason: str
    finished: float
    started: float | None = None
    signal: int = 0
    message: str = ""
    id: str = ""


State = Waiting | Running | Ended


class ContainerView(msgspec.Struct, kw_only=True):
    """A container as it is now. ``last`` is how the run before ended."""

    name: str
    kind: Kind
    image: str
    image_id: str = ""
    id: str = ""
    restarts: int = 0
    state: State = Waiting("ContainerCreating")
    last: Ended | None = None
    started: bool = False
    ready: bool = False

    @property
    def has_run(self) -> bool:
        return self.last is not None or not isinstance(self.state, Waiting)

    @property
    def ending(self) -> Ended | None:
        """How its latest run ended, if it is not running."""
        if isinstance(self.state, Running):
            return None
        return self.state if isinstance(self.state, Ended) else self.last


class PodView(msgspec.Struct, kw_only=True):
    """A pod as it is now.

    Attributes:
        prepared: whether its address and volumes are there.
        terminal: whether it will never run again.
        reason, message: why the node ended it, if it did.
    """

    spec: Mapping
    containers: list[ContainerView]
    host: str
    start: float
    address: str = ""
    prepared: bool = False
    terminal: bool = False
    reason: str = ""
    message: str = ""

    def of(self, *kinds: Kind) -> list[ContainerView]:
        return [container for container in self.containers if container.kind in kinds]


def render(pod: PodView, stored: Mapping, now: float) -> Mapping:
    """The status of a pod, as far as it is the node's.

    Args:
        stored: the status that the API has: conditions that have not changed keep their time, and conditions of others
            decide readiness where the pod has readiness gates.
    """
    found: Mapping = {
        "phase": phase(pod),
        "conditions": _conditions(pod, stored, now),
        "hostIP": pod.host,
        "hostIPs": [{"ip": pod.host}],
        "startTime": _time(pod.start),
        "containerStatuses": [_container(view) for view in pod.of("main")],
    }
    initial = pod.of("init", "sidecar")
    if initial:
        found["initContainerStatuses"] = [_container(view) for view in initial]
    if pod.address:
        found |= {"podIP": pod.address, "podIPs": [{"ip": pod.address}]}
    for field, text in (("reason", pod.reason), ("message", pod.message)):
        if text:
            found[field] = text
    return found


def phase(pod: PodView) -> str:
    """Pending, Running, Succeeded or Failed, by a kubelet's rules."""
    if pod.reason and pod.terminal:
        return "Failed"
    found = _phase(pod)
    if found in ("Succeeded", "Failed") and any(isinstance(view.state, Running) for view in pod.containers):
        # Who reads that a pod has ended may take its place at once; a sidecar may still be at its last work.
        return "Running" if all(view.has_run for view in pod.of("main")) else "Pending"
    return found


def _phase(pod: PodView) -> str:
    policy = podspec.restart_policy(pod.spec)
    beginning = "Failed" if pod.terminal else "Pending"
    for view in pod.of("init", "sidecar"):
        if view.kind == "init" and not _is_done(view):
            ended = view.ending
            return "Failed" if ended is not None and ended.exit_code != 0 and policy == "Never" else beginning
        if view.kind == "sidecar" and not view.started and not view.has_run:
            return beginning
    main = pod.of("main")
    if any(not view.has_run for view in main):
        return beginning
    if any(isinstance(view.state, Running) for view in main):
        return "Running"
    if policy == "Always" and not pod.terminal:
        return "Running"
    endings = [view.ending for view in main]
    if all(ended is not None and ended.exit_code == 0 for ended in endings):
        return "Succeeded"
    return "Failed" if policy == "Never" or pod.terminal else "Running"


def _is_done(view: ContainerView) -> bool:
    return isinstance(view.state, Ended) and view.state.exit_code == 0


def _conditions(pod: PodView, stored: Mapping, now: float) -> list[Mapping]:
    stored_conditions = {found["type"]: found for found in stored.get("conditions") or ()}
    ended = phase(pod)
    verdicts = {
        "PodReadyToStartContainers": (pod.prepared and ended not in ("Succeeded", "Failed"), "", ""),
        "Initialized": _initialized(pod, ended),
    }
    containers_ready = _containers_ready(pod, ended)
    verdicts["Ready"] = _ready(pod, containers_ready, stored_conditions)
    verdicts["ContainersReady"] = containers_ready
    found = []
    for kind in CONDITIONS:
        holds, reason, message = verdicts[kind]
        condition: Mapping = {"type": kind, "status": "True" if holds else "False"}
        condition |= {key: text for key, text in (("reason", reason), ("message", message)) if text}
        before = stored_conditions.get(kind) or {}
        same = before.get("status") == condition["status"] and before.get("lastTransitionTime")
        condition["lastTransitionTime"] = before["lastTransitionTime"] if same else _time(now)
        found.append(condition)
    return found


Verdict = tuple[bool, str, str]


def _initialized(pod: PodView, ended: str) -> Verdict:
    if ended == "Succeeded":
        return True, "PodCompleted", ""
    undone = [
        view.name
        for view in pod.of("init", "sidecar")
        if not (view.started if view.kind == "sidecar" else _is_done(view))
    ]
    # Once the others have run, the beginning is behind the pod whatever a sidecar does.
    if not undone or any(view.has_run for view in pod.of("main")):
        return True, "", ""
    return False, "ContainersNotInitialized", f"containers with incomplete status: [{' '.join(undone)}]"


def _containers_ready(pod: PodView, ended: str) -> Verdict:
    if ended == "Succeeded":
        return False, "PodCompleted", ""
    if ended == "Failed":
        return False, "PodFailed", ""
    unready = [view.name for view in pod.of("sidecar", "main") if not view.ready]
    if unready:
        return False, "ContainersNotReady", f"containers with unready status: [{' '.join(unready)}]"
    return True, "", ""


def _ready(pod: PodView, containers_ready: Verdict, stored: dict[str, Mapping]) -> Verdict:
    if not containers_ready[0]:
        return containers_ready
    gates = [gate["conditionType"] for gate in pod.spec.get("readinessGates") or ()]
    missing = [kind for kind in gates if (stored.get(kind) or {}).get("status") != "True"]
    if not missing:
        return True, "", ""
    said = (
        f'the status of pod readiness gate "{kind}" is not "True"'
        if kind in stored
        else f'corresponding condition of pod readiness gate "{kind}" does not exist.'
        for kind in missing
    )
    return False, "ReadinessGatesNotReady", ", ".join(said)


def _container(view: ContainerView) -> Mapping:
    found: Mapping = {
        "name": view.name,
        "image": view.image,
        "imageID": view.image_id,
        "ready": view.ready,
        "started": view.started,
        "restartCount": view.restarts,
        "state": _state(view.state),
        "lastState": _state(view.last) if view.last else {},
    }
    if view.id:
        found["containerID"] = container_id(view.id)
    return found


def container_id(id: str) -> str:
    """The name that status gives to a run of a container."""
    return f"{RUNTIME}://{id}"


def _state(state: State) -> Mapping:
    match state:
        case Waiting(reason, message):
            return {"waiting": {"reason": reason} | ({"message": message} if message else {})}
        case Running(since):
            return {"running": {"startedAt": _time(since)}}
        case Ended():
            ended: dict[str, Any] = {
                "exitCode": state.exit_code,
                "reason": state.reason,
                "finishedAt": _time(state.finished),
                "startedAt": _time(state.finished if state.started is None else state.started),
            }
            ended |= {"signal": state.signal} if state.signal else {}
            ended |= {"message": state.message} if state.message else {}
            ended |= {"containerID": container_id(state.id)} if state.id else {}
            return {"terminated": ended}


def _time(moment: float) -> str:
    return rfc3339(datetime.fromtimestamp(moment, UTC))


def patch(stored: Mapping, wanted: Mapping) -> Mapping:
    """The strategic merge patch of a stored status that makes it say what is wanted; empty if it does already."""
    found: Mapping = {
        field: value for field, value in wanted.items() if field != "conditions" and stored.get(field) != value
    }
    # What is said only sometimes has to be taken back.
    found |= {field: None for field in ("reason", "message") if field in stored and field not in wanted}
    conditions = _changed(stored.get("conditions") or (), wanted.get("conditions") or ())
    if conditions:
        found["conditions"] = conditions
    if "podIPs" in found:
        # A list that is merged by address would keep the old one.
        found["podIPs"] = [*found["podIPs"], {"$patch": "replace"}]
    return found


def _changed(stored: Iterable[Mapping], wanted: Iterable[Mapping]) -> list[Mapping]:
    before = {found["type"]: found for found in stored}
    changed = []
    for condition in wanted:
        old = before.get(condition["type"]) or {}
        if {key: value for key, value in old.items() if value is not None} == condition:
            continue
        # A merge keeps what it is not told to drop.
        gone: Mapping = {key: None for key in ("reason", "message") if key in old and key not in condition}
        changed.append(condition | gone)
    return changed
