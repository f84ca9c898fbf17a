"""A pod told to a person: where it runs, and what each of its containers does or died of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import UNSET

from mizzen.apis.core import ContainerState, ContainerStatus, Pod
from mizzen.apis.meta import Opt
from mizzen.cli import output
from mizzen.cli.sections import age, conditions, indented


def head(found: dict[str, Any], status: str) -> list[tuple[str, str]]:
    """The lines about the pod as a whole.

    Args:
        status: the word for it that the table of pods has.
    """
    pod = msgspec.convert(found, Pod)
    owner = next((one for one in pod.metadata.owner_references or () if one.controller is True), None)
    lines = [
        ("Status:", status),
        ("Reason:", ": ".join(text for text in (pod.status.reason, pod.status.message) if text)),
        ("Node:", pod.node_name or "none yet"),
        ("IP:", pod.status.pod_ip or "none yet"),
        ("Controlled by:", f"{owner.kind}/{owner.name}" if owner else ""),
    ]
    return [line for line in lines if line[1]]


def sections(found: dict[str, Any]) -> Iterator[str]:
    """The containers in the order in which they start, and the conditions."""
    pod = msgspec.convert(found, Pod)
    for title, key, statuses in (
        ("Init containers:", "initContainers", pod.status.init_container_statuses),
        ("Containers:", "containers", pod.status.container_statuses),
    ):
        known = {status.name: status for status in statuses or ()}
        told = [_container(container, known.get(container["name"])) for container in pod.spec.get(key) or ()]
        if told:
            yield f"{title}\n{indented(chr(10).join(told))}"
    yield conditions((found.get("status") or {}).get("conditions") or ())


def _container(container: dict[str, Any], status: ContainerStatus | None) -> str:
    lines = [("Image:", str(container.get("image") or ""))]
    if status is None:
        lines.append(("State:", "not started yet"))
    else:
        lines += _state("State:", status.state)
        if status.last_state != ContainerState():
            lines += _state("Last state:", status.last_state)
        lines += [("Ready:", "yes" if status.ready else "no"), ("Restarts:", str(status.restart_count))]
    return f"{container['name']}:\n{indented(output.table(lines))}"


def _state(title: str, state: ContainerState) -> list[tuple[str, str]]:
    """A line for the state, and one for each line of what the container said last or waits for."""
    if state.running:
        since = state.running.started_at
        return [(title, f"running{f' for {age(since)}' if since else ''}")]
    if state.terminated:
        ended = state.terminated
        how = f"exit code {ended.exit_code}" + (f", signal {ended.signal}" if ended.signal else "")
        when = f", {age(ended.finished_at)} ago" if ended.finished_at else ""
        return _with_message(title, f"ended: {ended.reason or 'Unknown'} ({how}){when}", ended.message)
    waiting = state.waiting or None
    reason = f": {waiting.reason}" if waiting and waiting.reason else ""
    return _with_message(title, f"waiting{reason}", waiting.message if waiting else UNSET)


def _with_message(title: str, told: str, message: Opt[str]) -> list[tuple[str, str]]:
    return [(title, told), *(("", line) for line in (message or "").strip().splitlines())]
