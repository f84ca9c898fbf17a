"""What controllers ask of a pod: does it count, does it serve, and since when.

Pure facts about one pod, shared by replica sets, deployments, endpoints and the scheduler.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from mizzen.apis import quantity
from mizzen.apis.core import Pod
from mizzen.kube.times import parse


def is_active(pod: Pod) -> bool:
    """Whether the pod counts as a replica: it has not ended and is not being deleted."""
    return not pod.is_finished and not pod.metadata.deletion_timestamp


def ready_since(pod: Pod) -> datetime | None:
    """When the pod last turned ready, or ``None`` while it is not."""
    condition = pod.status.condition("Ready")
    if condition is None or condition.status != "True":
        return None
    return parse(condition.last_transition_time or pod.metadata.creation_timestamp or "1970-01-01T00:00:00Z")


def available_in(pod: Pod, min_ready_seconds: int, now: datetime) -> float | None:
    """Seconds until the pod counts as available: 0 when it does, ``None`` while it is not even ready."""
    since = ready_since(pod)
    if since is None:
        return None
    if not min_ready_seconds:
        return 0.0
    return max(0.0, (since + timedelta(seconds=min_ready_seconds) - now).total_seconds())


def is_available(pod: Pod, min_ready_seconds: int, now: datetime) -> bool:
    """Whether the pod has been ready for ``min_ready_seconds``."""
    return available_in(pod, min_ready_seconds, now) == 0.0


def restarts(pod: Pod) -> int:
    """The most restarts that any of its containers has had."""
    return max((status.restart_count for status in pod.status.container_statuses or ()), default=0)


def requests(spec: dict[str, Any]) -> dict[str, Decimal]:
    """What a PodSpec asks of a node, by resource, in base units.

    The sum of its containers, or what one init container needs if that is more; sidecars (init containers that restart
    always) run beside all that come after them. Source: the Kubernetes documentation of sidecar containers.
    """
    sidecars: dict[str, Decimal] = {}
    starting: dict[str, Decimal] = {}
    for container in spec.get("initContainers") or ():
        own = _requests(container)
        if container.get("restartPolicy") == "Always":
            sidecars = _sum(sidecars, own)
            starting = _most(starting, sidecars)
        else:
            starting = _most(starting, _sum(sidecars, own))
    running = sidecars
    for container in spec.get("containers") or ():
        running = _sum(running, _requests(container))
    overhead = {name: quantity.parse(value) for name, value in (spec.get("overhead") or {}).items()}
    return _sum(_most(running, starting), overhead)


def _requests(container: dict[str, Any]) -> dict[str, Decimal]:
    resources = container.get("resources") or {}
    # What is only limited is requested as much; the API server defaults it so, other writers may not have.
    asked = (resources.get("limits") or {}) | (resources.get("requests") or {})
    return {name: quantity.parse(value) for name, value in asked.items()}


def _sum(left: dict[str, Decimal], right: dict[str, Decimal]) -> dict[str, Decimal]:
    return {name: left.get(name, Decimal(0)) + right.get(name, Decimal(0)) for name in left | right}


def _most(left: dict[str, Decimal], right: dict[str, Decimal]) -> dict[str, Decimal]:
    return {name: max(left.get(name, Decimal(0)), right.get(name, Decimal(0))) for name in left | right}
