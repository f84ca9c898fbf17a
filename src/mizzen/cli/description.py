"""``mizzen describe``: one object told to a person, its children and events included."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from mizzen.apis.core import POD
from mizzen.apis.meta import ResourceDef
from mizzen.apis.serving.v1beta1.inferenceservice import INFERENCE_SERVICE, InferenceService
from mizzen.apis.serving.v1beta1.status import FailureInfo, ModelStates
from mizzen.cli import example, output, pod_description
from mizzen.cli.sections import age, conditions, events, indented
from mizzen.kube.client import Client

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
        sections = [output.table(head + _service(isvc)), *_state(isvc, found), await _pods(client, isvc)]
        call = await example.curl(isvc, gateway) if gateway else ""
        if call:
            sections.append(f"Call it:\n{indented(call)}")
    elif resource == POD:
        answer = await client.raw("GET", POD.path(metadata["namespace"], metadata["name"]), {}, accept=output.TABLE)
        header, [row] = output.server_table(answer, wide=False, namespaced=False)
        status = row[header.index("Status")]
        sections = [output.table(head + pod_description.head(found, status)), *pod_description.sections(found)]
    else:
        sections = [output.table(head), *_any(found)]
    sections.append(await events(client, metadata))
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


def _any(found: dict[str, Any]) -> Iterator[str]:
    """An object of a kind that nothing more is known of: its conditions as a table, all the rest as it is."""
    rest = {key: value for key, value in found.items() if key not in ("apiVersion", "kind", "metadata")}
    status = rest.get("status")
    listed = status.get("conditions") if isinstance(status, dict) else None
    if isinstance(listed, list) and all(isinstance(one, dict) and "type" in one for one in listed):
        yield conditions(listed)
        rest["status"] = {key: value for key, value in rest["status"].items() if key != "conditions"}
    rest = {key: value for key, value in rest.items() if value not in ({}, None)}
    yield output.as_yaml(rest) if rest else ""


def _service(isvc: InferenceService) -> list[tuple[str, str]]:
    status = isvc.status
    predictor = isvc.spec.predictor
    lines = []
    if predictor.model:
        model = predictor.model
        lines.append(("Model:", f"{model.model_format.name if model.model_format else ''} {model.storage_uri or ''}"))
    elif predictor.containers:
        lines.append(("Image:", ", ".join(str(container.get("image")) for container in predictor.containers)))
    runtime = status.cluster_serving_runtime_name or status.serving_runtime_name
    if runtime or not predictor.containers:  # a container of the user's own needs none
        lines.append(("Runtime:", runtime or "none chosen yet"))
    if status.url:
        lines.append(("URL:", status.url))
    if status.address and status.address.url:
        lines.append(("In cluster:", status.address.url))
    states = status.model_status.states if status.model_status else None
    if states:
        lines.append(("Model state:", _model_state(states)))
    return lines


def _model_state(states: ModelStates) -> str:
    """What answers now; and what became of the newest, where that is something else."""
    active, newest = states.active_model_state or "", states.target_model_state or ""
    if active and newest and active != newest:
        return f"{active}; the newest is {newest}"
    return active or newest or "unknown"


def _state(isvc: InferenceService, found: dict[str, Any]) -> Iterator[str]:
    failure = _failure(isvc)
    message = (failure.message or "") if failure else ""
    if failure:
        yield "Last failure:\n" + indented(f"{failure.reason or 'Unknown'}: {message}")
    yield conditions((found.get("status") or {}).get("conditions") or (), told=message)


def _failure(isvc: InferenceService) -> FailureInfo | None:
    """What failed last, unless it has been got over since."""
    status = isvc.status.model_status
    if not status or status.transition_status == "UpToDate":
        return None
    return status.last_failure_info or None


async def _pods(client: Client, isvc: InferenceService) -> str:
    query = {"labelSelector": f"{_SERVICE_LABEL}={isvc.name}"}
    answer = await client.raw("GET", POD.path(isvc.namespace), query, accept=output.TABLE)
    header, rows = output.server_table(answer, wide=True, namespaced=False)
    shown = [header.index(name) for name in ("Name", "Ready", "Status", "Restarts", "Age", "IP")]
    cells = [[row[place] for place in shown] for row in rows]
    return "Pods:\n" + indented(output.table(cells, [header[place] for place in shown])) if rows else "Pods: none"
