"""Why a pod does not answer, in one sentence, read off its status.

The causes are looked at in the order in which a pod meets them: it is placed on a node, its model is brought, its
server starts, and the server says that it is ready.
"""

from __future__ import annotations

import msgspec

from mizzen.apis.core import ContainerStateTerminated, ContainerStatus, Pod
from mizzen.apis.meta import Mapping

# Reasons for waiting that are part of every start, unless a message comes with them.
_ON_ITS_WAY = ("ContainerCreating", "PodInitializing", "")


class Trouble(msgspec.Struct, frozen=True):
    """A reason in one word and a sentence for a person."""

    reason: str
    message: str


class Failure(msgspec.Struct, frozen=True):
    """How a container ended that should not have."""

    message: str
    exit_code: int


def is_made_from(pod: Pod, template: Mapping) -> bool:
    """Whether a pod is what a template says now, and not what one said before.

    Times of creation have seconds only, and within one a service can become ready and be changed.
    """
    metadata = template.get("metadata") or {}
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    if not (
        labels.items() <= (pod.metadata.labels or {}).items()
        and annotations.items() <= (pod.metadata.annotations or {}).items()
    ):
        return False
    return _programs(template.get("spec") or {}) == _programs(pod.spec)


def _programs(spec: Mapping) -> dict[str, tuple[object, ...]]:
    """What the containers run, by their names: as far as admission to the API leaves it as the template has it."""
    return {
        container["name"]: tuple(container.get(field) for field in ("image", "command", "args", "env"))
        for container in spec.get("containers") or ()
    }


def trouble(pod: Pod) -> Trouble | None:
    """What keeps a pod from being ready, or ``None`` when it is ready or nothing is known yet."""
    if pod.is_ready:
        return None
    scheduled = pod.status.condition("PodScheduled")
    if scheduled is not None and scheduled.status == "False":
        return Trouble(scheduled.reason or "Unschedulable", f"pod {pod.name}: {scheduled.message or 'not scheduled'}")
    if pod.status.phase == "Failed" and pod.status.reason:
        # Evicted, or gone with its node: nothing of this is said by a container.
        return Trouble(pod.status.reason, f"pod {pod.name}: {pod.status.message or pod.status.reason}")
    beside = _sidecars(pod)
    for status in pod.status.init_container_statuses or ():
        found = _container_trouble(pod, status)
        if found is not None:
            return found
        if status.state.running and status.name not in beside:
            return Trouble("ModelLoading", f"pod {pod.name}: {status.name} is running")
    for status in pod.status.container_statuses or ():
        found = _container_trouble(pod, status)
        if found is not None:
            return found
        if status.state.running and not status.ready:
            return Trouble(
                "ContainerNotReady",
                f"pod {pod.name}: {status.name} runs, but its readiness probe has not succeeded yet",
            )
    return None


def _sidecars(pod: Pod) -> set[str]:
    """The init containers that are meant to run on beside the others."""
    found = pod.spec.get("initContainers") or ()
    return {str(container.get("name")) for container in found if container.get("restartPolicy") == "Always"}


def failure(status: ContainerStatus | None) -> Failure | None:
    """How a container failed, when it has just ended with an error or waits to be started again after one."""
    if status is None:
        return None
    terminated = status.state.terminated
    if terminated and terminated.exit_code:
        return Failure(_said(terminated), terminated.exit_code)
    last = status.last_state.terminated
    if is_backing_off(status) and last:
        return Failure(_said(last), last.exit_code)
    return None


def is_backing_off(status: ContainerStatus | None) -> bool:
    """Whether a container waits to be started again because it keeps ending."""
    waiting = status.state.waiting if status else None
    return waiting.reason == "CrashLoopBackOff" if waiting else False


def _container_trouble(pod: Pod, status: ContainerStatus) -> Trouble | None:
    where = f"pod {pod.name}: {status.name}"
    ended = failure(status)
    if ended is not None:
        reason = "CrashLoopBackOff" if is_backing_off(status) else "Error"
        return Trouble(reason, f"{where} ended with exit code {ended.exit_code}: {ended.message}")
    waiting = status.state.waiting
    if waiting and (waiting.message or (waiting.reason or "") not in _ON_ITS_WAY):
        return Trouble(waiting.reason or "", f"{where}: {waiting.message or waiting.reason}")
    return None


def _said(terminated: ContainerStateTerminated) -> str:
    message = (terminated.message or "").strip()
    return message or terminated.reason or "it left no message"
