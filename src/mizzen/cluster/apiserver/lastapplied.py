"""The annotation in which ``kubectl apply`` remembers what it sent, and its move to server-side apply.

Before server-side apply, kubectl kept the applied configuration in an annotation and its writes were updates. When
the same user turns to ``kubectl apply --server-side``, those updates would stand in the way as another manager's.
So, for the manager ``kubectl`` alone, a field that still has the value of the annotation is no conflict, and an
annotation that is there keeps saying what was applied last, for the way back.
"""

from __future__ import annotations

from typing import Any

import orjson

from mizzen.apis.schema import Node
from mizzen.cluster.apiserver.fieldsets import FieldSet
from mizzen.cluster.apiserver.typed import changes, fields_of

MANAGER = "kubectl"
ANNOTATION = "kubectl.kubernetes.io/last-applied-configuration"
_MAX_ANNOTATION_BYTES = 256 * 1024


def unchanged_since(live: dict[str, Any], node: Node, api_version: str) -> FieldSet:
    """The fields that kubectl's annotation names and that still have its values; none without a usable annotation."""
    try:
        config = orjson.loads(_annotations(live).get(ANNOTATION) or "null")
    except orjson.JSONDecodeError:
        return FieldSet()
    if not isinstance(config, dict) or config.get("apiVersion") != api_version:
        return FieldSet()
    fields, _ = fields_of(config, node)
    found = changes(config, live, node)
    return fields - found.taken - found.removed


def synchronised(value: dict[str, Any], config: dict[str, Any]) -> dict[str, Any]:
    """``value`` with the annotation, if it has one, saying ``config``."""
    annotations = _annotations(value)
    if not annotations.get(ANNOTATION):
        return value
    metadata = {key: child for key, child in config["metadata"].items() if key != "managedFields"}
    metadata["annotations"] = {key: text for key, text in _annotations(config).items() if key != ANNOTATION}
    if not metadata["annotations"]:
        del metadata["annotations"]
    text = orjson.dumps({**config, "metadata": metadata}).decode() + "\n"
    if len(text) > _MAX_ANNOTATION_BYTES:
        text = ""
    return {**value, "metadata": {**value["metadata"], "annotations": {**annotations, ANNOTATION: text}}}


def _annotations(value: dict[str, Any]) -> dict[str, Any]:
    found = (value.get("metadata") or {}).get("annotations")
    return found if isinstance(found, dict) else {}
