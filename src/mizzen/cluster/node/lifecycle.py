"""When containers run again, and how long they wait: the rules of a kubelet as functions on values."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from mizzen.apis.meta import Mapping
from mizzen.cluster.node import podspec
from mizzen.cluster.node.podspec import Kind
from mizzen.kube import times

FIRST_DELAY = 10.0
LONGEST_DELAY = 300.0
# After so many seconds of running a container has recovered: its next failure counts as the first.
RECOVERED = 600.0
# What a pod that is removed without being asked to end gets all the same. Seconds.
FORCED_GRACE = 2.0


def restarts(kind: Kind, policy: str, exit_code: int) -> bool:
    """Whether a container that ended is started again."""
    if kind == "sidecar":
        return True
    failed = exit_code != 0
    if kind == "init":
        return failed and policy != "Never"
    return policy == "Always" or (policy == "OnFailure" and failed)


class Pause(msgspec.Struct, frozen=True):
    """The wait before a start. ``step`` counts the restarts since the last long run, this one included."""

    step: int
    seconds: float


def pause(step: int, ran: float) -> Pause:
    """The wait after a run of ``ran`` seconds that was itself a start of that step.

    The first restart is immediate, because most crashes are accidents; then 10 s, doubled each time, up to 5 minutes.
    """
    if ran >= RECOVERED:
        step = 0
    return Pause(step + 1, delay(step))


def delay(step: int) -> float:
    """Seconds to wait after so many failures in a row that were waited for already: 0, 10, 20, ... 300."""
    return 0.0 if step == 0 else min(FIRST_DELAY * 2.0 ** min(step - 1, 10), LONGEST_DELAY)


def deadline(pod: Mapping, start: float) -> float | None:
    """When an active pod is ended, in seconds since the epoch; ``None`` if it may run for ever."""
    seconds = pod["spec"].get("activeDeadlineSeconds")
    return None if seconds is None else start + float(seconds)


def grace_left(pod: Mapping, now: float, *, seen_before: bool) -> float:
    """Seconds that a pod has to end in, once its deletion is asked for.

    Args:
        seen_before: whether the pod was seen before its deletion. Else the agent was away when it was asked for, and
            what is left counts from then.
    """
    metadata = pod["metadata"]
    given = metadata.get("deletionGracePeriodSeconds")
    whole = podspec.grace(pod["spec"]) if given is None else float(given)
    if seen_before:
        return whole
    due = times.parse(metadata["deletionTimestamp"]).timestamp()
    return min(whole, max(0.0, due - now))


def is_deleting(pod: Mapping) -> bool:
    return bool(pod["metadata"].get("deletionTimestamp"))


def is_finished(pod: Mapping) -> bool:
    """Whether the API says that the pod has run to its end; then it never runs again."""
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def epoch(text: Any) -> float | None:
    """A time on the wire in seconds since the epoch; ``None`` for what is none."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except (TypeError, ValueError):
        return None
