"""Pods: bound once, immutable in nearly everything, and given time to end."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from mizzen.apis.meta import ResourceDef
from mizzen.cluster.apiserver.ages import age
from mizzen.cluster.apiserver.builtin.podrules import pod_spec_causes
from mizzen.cluster.apiserver.builtin.podspec import default_pod_spec, default_requests, quality_of_service
from mizzen.cluster.apiserver.resources import (
    STATUS,
    Column,
    Object,
    Resource,
    Subresource,
    at,
    fill,
    text_at,
)
from mizzen.cluster.apiserver.table import AGE
from mizzen.kube.errors import Cause, forbidden_field, invalid_value

POD = ResourceDef(group="", version="v1", kind="Pod", plural="pods", short_names=("po",), categories=("all",))

_FINISHED = ("Succeeded", "Failed")
# What an update may change in a pod's spec, beside images.
_MUTABLE = ("activeDeadlineSeconds", "schedulingGates", "terminationGracePeriodSeconds", "tolerations")


class Pods(Resource):
    definition = POD
    counts_generation = True
    returns_deleted = True
    subresources = (
        STATUS,
        Subresource("binding", ("create",), "Binding"),
        Subresource("eviction", ("create",), "Eviction", "policy", "v1"),
        Subresource("log", ("get",)),
    )
    selectable = {  # noqa: RUF012
        "spec.nodeName": text_at("spec", "nodeName"),
        "spec.restartPolicy": text_at("spec", "restartPolicy"),
        "spec.schedulerName": text_at("spec", "schedulerName"),
        "spec.serviceAccountName": text_at("spec", "serviceAccountName"),
        "spec.hostNetwork": lambda pod: "true" if at(pod, "spec", "hostNetwork") else "false",
        "status.phase": text_at("status", "phase"),
        "status.podIP": text_at("status", "podIP"),
        "status.podIPs": lambda pod: ",".join(item.get("ip", "") for item in at(pod, "status", "podIPs") or ()),
        "status.nominatedNodeName": text_at("status", "nominatedNodeName"),
    }

    def default(self, value: Object) -> None:
        spec = value.setdefault("spec", {})
        default_pod_spec(spec)
        default_requests(spec)
        fill(spec, serviceAccountName="default", serviceAccount="default", enableServiceLinks=True)

    def prepare_create(self, value: Object) -> None:
        value["status"] = {"phase": "Pending", "qosClass": quality_of_service(value["spec"])}

    def prepare_update(self, value: Object, old: Object, subresource: str) -> None:
        if subresource == "status":
            value.setdefault("status", {}).setdefault("qosClass", quality_of_service(value["spec"]))

    def validate(self, value: Object) -> list[Cause]:
        return pod_spec_causes(value["spec"], "spec")

    def validate_update(self, value: Object, old: Object, subresource: str) -> list[Cause]:
        if subresource or _without_mutable(value["spec"]) == _without_mutable(old["spec"]):
            return _toleration_causes(value["spec"], old["spec"])
        why = (
            "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
            "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
            "`spec.terminationGracePeriodSeconds`"
        )
        return [forbidden_field("spec", why)]

    def wanted(self, value: Object) -> Any:
        # Binding a pod to a node is not a change of what its owner wants.
        return {key: part for key, part in value["spec"].items() if key != "nodeName"}

    def grace(self, value: Object, requested: int | None) -> int:
        if not at(value, "spec", "nodeName") or at(value, "status", "phase") in _FINISHED:
            return 0
        if requested is not None:
            return requested
        given = at(value, "spec", "terminationGracePeriodSeconds")
        return 30 if given is None else int(given)

    columns = (
        Column("Ready", lambda pod, now: _ready(pod), description="How many containers are ready, of how many."),
        Column("Status", lambda pod, now: status_of(pod), description="What the pod is doing, or why it is not."),
        Column(
            "Restarts", lambda pod, now: "".join(_restarts(pod, now)), description="How often its containers restarted."
        ),
        AGE,
        Column("IP", lambda pod, now: at(pod, "status", "podIP") or "<none>", wide=True),
        Column("Node", lambda pod, now: at(pod, "spec", "nodeName") or "<none>", wide=True),
        Column("Nominated Node", lambda pod, now: at(pod, "status", "nominatedNodeName") or "<none>", wide=True),
        Column("Readiness Gates", lambda pod, now: _gates(pod), wide=True),
    )


def status_of(pod: Object) -> str:
    """The one word for a pod: why it waits or ended if there is a reason, else its phase."""
    status = pod.get("status") or {}
    word = status.get("reason") or status.get("phase") or "Unknown"
    if any(gate.get("type") == "PodScheduled" and gate.get("reason") == "SchedulingGated" for gate in _conditions(pod)):
        word = "SchedulingGated"
    beginning = _init_word(pod)
    if beginning:
        word = beginning
    else:
        running = False
        for found in reversed(status.get("containerStatuses") or ()):
            state = found.get("state") or {}
            waiting, ended = state.get("waiting") or {}, state.get("terminated")
            if waiting.get("reason"):
                word = waiting["reason"]
            elif ended is not None:
                word = _ended_word(ended)
            elif found.get("ready") and state.get("running") is not None:
                running = True
        if word == "Completed" and running:
            word = "Running" if _is_ready(pod) else "NotReady"
    if pod["metadata"].get("deletionTimestamp"):
        if status.get("reason") == "NodeLost":
            return "Unknown"
        if status.get("phase") not in _FINISHED:
            return "Terminating"
    return str(word)


def _init_word(pod: Object) -> str:
    """How far the init containers are, empty when they are done."""
    wanted = at(pod, "spec", "initContainers") or []
    restartable = {container["name"] for container in wanted if container.get("restartPolicy") == "Always"}
    for place, found in enumerate(at(pod, "status", "initContainerStatuses") or ()):
        state = found.get("state") or {}
        ended, waiting = state.get("terminated"), state.get("waiting") or {}
        if ended is not None:
            if ended.get("exitCode") == 0:
                continue
            return "Init:" + _ended_word(ended)
        if found.get("name") in restartable and found.get("started"):
            continue
        if waiting.get("reason") and waiting["reason"] != "PodInitializing":
            return "Init:" + str(waiting["reason"])
        return f"Init:{place}/{len(wanted)}"
    return ""


def _ended_word(ended: Object) -> str:
    if ended.get("reason"):
        return str(ended["reason"])
    return f"Signal:{ended['signal']}" if ended.get("signal") else f"ExitCode:{ended.get('exitCode', 0)}"


def _ready(pod: Object) -> str:
    statuses = at(pod, "status", "containerStatuses") or ()
    ready = sum(1 for found in statuses if found.get("ready") and (found.get("state") or {}).get("running") is not None)
    return f"{ready}/{len(at(pod, 'spec', 'containers') or ())}"


def _restarts(pod: Object, now: datetime) -> tuple[str, str]:
    """How often, and how long ago."""
    statuses = [*(at(pod, "status", "initContainerStatuses") or ()), *(at(pod, "status", "containerStatuses") or ())]
    count = sum(found.get("restartCount", 0) for found in statuses)
    ends = [at(found, "lastState", "terminated", "finishedAt") for found in statuses]
    latest = max((end for end in ends if end), default="")
    return str(count), f" ({age(latest, now)} ago)" if count and latest else ""


def _gates(pod: Object) -> str:
    gates = at(pod, "spec", "readinessGates") or ()
    if not gates:
        return "<none>"
    true = {found.get("type") for found in _conditions(pod) if found.get("status") == "True"}
    return f"{sum(gate.get('conditionType') in true for gate in gates)}/{len(gates)}"


def _conditions(pod: Object) -> list[Object]:
    return at(pod, "status", "conditions") or []


def _is_ready(pod: Object) -> bool:
    return any(found.get("type") == "Ready" and found.get("status") == "True" for found in _conditions(pod))


def _without_mutable(spec: Object) -> Object:
    kept = {key: value for key, value in spec.items() if key not in _MUTABLE}
    for field in ("containers", "initContainers"):
        if field in kept:
            kept[field] = [{**container, "image": ""} for container in kept[field]]
    return kept


def _toleration_causes(spec: Object, old: Object) -> list[Cause]:
    now = spec.get("tolerations") or []
    if all(toleration in now for toleration in old.get("tolerations") or ()):
        return []
    return [invalid_value("spec.tolerations", "", "existing tolerations can not be modified except to add new ones")]
