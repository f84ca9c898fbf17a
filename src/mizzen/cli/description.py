"""``mizzen describe``: one object told to a person, its children and events included."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from mizzen.apis.core import EVENT, POD
from mizzen.apis.meta import ResourceDef
from mizzen.apis.serving.v1beta1 import INFERENCE_SERVICE, InferenceService
from mizzen.cli import output
from mizzen.cli.example import curl
from mizzen.kube.client import Client
from mizzen.kube.times import seconds_since

_INDENT = "  "
_SERVICE_LABEL = "serving.kserve.io/inferenceservice"


async def of(client: Client, resource: ResourceDef, found: dict[str, Any], gateway: str | None) -> str:
    """All that is known about one object, as text.

    Args:
        gateway: where the installation answers requests for models, if it is known.
    """
    metadata = found["metadata"]
    head = _head(resource, metadata)
    if resource == INFERENCE_SERVICE:
        isvc = msgspec.convert(found, InferenceService)
        sections = [output.table(head + _service(isvc)), *_state(isvc), await _pods(client, isvc)]
        call = await curl(isvc, gateway) if gateway else ""
        if call:
            sections.append(f"Call it:\n{_INDENT}{call}")
    else:
        sections = [output.table(head)]
        rest = {key: value for key, value in found.items() if key not in ("apiVersion", "kind", "metadata")}
        sections.append(output.as_yaml(rest) if rest else "")
    sections.append(await _events(client, metadata))
    return "\n".join(section for section in sections if section)


def _head(resource: ResourceDef, metadata: dict[str, Any]) -> list[tuple[str, str]]:
    lines = [("Name:", metadata["name"])]
    if metadata.get("namespace"):
        lines.append(("Namespace:", metadata["namespace"]))
    lines.append(("Kind:", f"{resource.kind} ({resource.api_version})"))
    lines.append(("Age:", age(metadata.get("creationTimestamp", ""))))
    for title, key in (("Labels:", "labels"), ("Annotations:", "annotations")):
        values = {k: v for k, v in (metadata.get(key) or {}).items() if not k.startswith("kubectl.kubernetes.io/")}
        if values:
            lines.append((title, ", ".join(f"{name}={value}" for name, value in values.items())))
    return lines


def _service(isvc: InferenceService) -> list[tuple[str, str]]:
    status = isvc.status
    lines = []
    model = isvc.spec.predictor.model
    if model:
        lines.append(("Model:", f"{model.model_format.name if model.model_format else ''} {model.storage_uri or ''}"))
        runtime = status.cluster_serving_runtime_name or status.serving_runtime_name
        lines.append(("Runtime:", runtime or "none chosen yet"))
    if status.url:
        lines.append(("URL:", status.url))
    if status.address and status.address.url:
        lines.append(("In cluster:", status.address.url))
    states = status.model_status.states if status.model_status else None
    if states:
        target = states.target_model_state or "unknown"
        lines.append(("Model state:", f"{states.active_model_state or 'none'} (wanted: {target})"))
    return lines


def _state(isvc: InferenceService) -> Iterator[str]:
    status = isvc.status
    failure = status.model_status.last_failure_info if status.model_status else None
    if failure and status.model_status and status.model_status.transition_status != "UpToDate":
        yield f"Last failure:\n{_INDENT}{failure.reason}: {failure.message}"
    rows = [
        (condition.type, condition.status, condition.reason or "", condition.message or "")
        for condition in status.conditions or ()
    ]
    if rows:
        yield "Conditions:\n" + _indented(output.table(rows, ("Type", "Status", "Reason", "Message")))


async def _pods(client: Client, isvc: InferenceService) -> str:
    query = {"labelSelector": f"{_SERVICE_LABEL}={isvc.name}"}
    answer = await client.raw("GET", POD.path(isvc.namespace), query, accept=output.TABLE)
    header, rows = output.server_table(answer, wide=True, namespaced=False)
    shown = [header.index(name) for name in ("Name", "Ready", "Status", "Restarts", "Age", "IP")]
    cells = [[row[place] for place in shown] for row in rows]
    return "Pods:\n" + _indented(output.table(cells, [header[place] for place in shown])) if rows else "Pods: none"


async def _events(client: Client, metadata: dict[str, Any]) -> str:
    selector = f"involvedObject.name={metadata['name']},involvedObject.uid={metadata['uid']}"
    events = await client.list(EVENT, metadata.get("namespace") or "default", field_selector=selector)
    if not events:
        return "Events: none"
    events.sort(key=lambda event: event.get("lastTimestamp") or event["metadata"]["creationTimestamp"])
    rows = [
        (
            event.get("type", ""),
            event.get("reason", ""),
            age(event.get("lastTimestamp") or event["metadata"]["creationTimestamp"])
            + (f" (x{event['count']})" if event.get("count", 1) > 1 else ""),
            event.get("message", ""),
        )
        for event in events
    ]
    return "Events:\n" + _indented(output.table(rows, ("Type", "Reason", "Age", "Message")))


def _indented(text: str) -> str:
    return "\n".join(_INDENT + line for line in text.splitlines())


def age(timestamp: str) -> str:
    """How long ago, in the two largest units that say something: ``5s``, ``3m20s``, ``4h``, ``2d``."""
    if not timestamp:
        return "<unknown>"
    seconds = max(0, int(seconds_since(timestamp)))
    if seconds < 120:
        return f"{seconds}s"
    minutes, seconds = divmod(seconds, 60)
    if minutes < 10:
        return f"{minutes}m{seconds}s" if seconds else f"{minutes}m"
    if minutes < 180:
        return f"{minutes}m"
    hours = minutes // 60
    return f"{hours}h" if hours < 48 else f"{hours // 24}d"
