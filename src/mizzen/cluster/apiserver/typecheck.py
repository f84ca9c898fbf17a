"""Wrong types in built-in kinds, which Go's decoder refuses before any validation.

kube-apiserver decodes built-in kinds into Go structs, so a text where a number belongs is a 400 with the decoder's
sentence and not a 422 with causes. This module finds the same mistakes by schema and says them in the same manner,
with the whole path, list indexes included.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec

from mizzen.apis import quantity
from mizzen.apis.schema import Node
from mizzen.cluster.apiserver.patterns import INTEGER_RANGES, is_base64, is_date_time

_QUANTITY_RULE = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"


class WrongType(msgspec.Struct):
    """One mistake: where it is, and the decoder's sentence about it."""

    path: str
    sentence: str


def type_error(value: dict[str, Any], node: Node) -> str | None:
    """The first value whose type is not the schema's, as the message of a 400; ``None`` if there is none.

    Nulls are never wrong (they mean "not set") except as list items. Quantities, int-or-strings, times and base64
    must also be well formed.
    """
    for wrong in wrong_types(value, node, ""):
        return wrong.sentence
    return None


def wrong_types(value: Any, node: Node, path: str, owner: str = "") -> Iterator[WrongType]:
    """Every wrong type at and below ``path``. ``owner`` is the Go struct that the value is a field of."""
    if isinstance(value, dict) and node.type == "object":
        inside = node.definition.rpartition(".")[2] or owner or _kind(node)
        for key, child in value.items():
            found = node.child(key)
            if found is not None and child is not None:
                yield from wrong_types(child, found, f"{path}.{key}" if path else key, inside)
        return
    if isinstance(value, list) and node.type == "array":
        items = node.items
        if items is not None:
            for index, item in enumerate(value):
                yield from wrong_types(item, items, f"{path}[{index}]", owner)
        return
    sentence = _scalar_mistake(value, node, path, owner)
    if sentence is not None:
        yield WrongType(path, sentence)


def _scalar_mistake(value: Any, node: Node, path: str, owner: str) -> str | None:
    wanted, form = node.type, node.raw.get("format", "")
    if form == "quantity":
        return _quantity_mistake(value, path)
    if node.is_int_or_string:
        if isinstance(value, str) or _is_int(value, INTEGER_RANGES["int32"]):
            return None
        return _unmarshal(value, path, owner, "intstr.IntOrString")
    if not wanted:
        return None
    if wanted == "integer":
        return None if _is_int(value, INTEGER_RANGES.get(form)) else _unmarshal(value, path, owner, form or "int64")
    if wanted == "number":
        good = isinstance(value, (int, float)) and not isinstance(value, bool)
        return None if good else _unmarshal(value, path, owner, "float64")
    if wanted == "boolean":
        return None if isinstance(value, bool) else _unmarshal(value, path, owner, "bool")
    if wanted != "string" or not isinstance(value, str):
        return _unmarshal(value, path, owner, _go_type(node))
    if form == "byte" and not is_base64(value):
        return f"{path}: illegal base64 data: {_shortened(value)} is not base64 with padding"
    if form == "date-time" and not is_date_time(value):
        return f"{path}: parsing time {_shortened(value)}: it is not a time such as 2006-01-02T15:04:05Z"
    return None


def _is_int(value: Any, allowed: range | None) -> bool:
    """Whether a value is a whole number in a range; ``3.0`` is one, ``true`` is not."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    if isinstance(value, float) and not value.is_integer():
        return False
    return allowed is None or int(value) in allowed


def _quantity_mistake(value: Any, path: str) -> str | None:
    if isinstance(value, (str, int, float)) and not isinstance(value, bool):
        try:
            quantity.parse(value)
        except quantity.QuantityError:
            return f"{path}: {_QUANTITY_RULE}: found {_shortened(value)}"
        return None
    return _unmarshal(value, path, "", "resource.Quantity")


def _unmarshal(value: Any, path: str, owner: str, wanted: str) -> str:
    place = f"{owner}.{path}" if owner else path
    # Go names the value of a number only.
    shown = offending(value) if isinstance(value, str) else ""
    return f"json: cannot unmarshal {_json_word(value)} into Go struct field {place} of type {wanted}{shown}"


def _json_word(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, (int, float)):
        return f"number {json.dumps(value)}"
    return {str: "string", dict: "object", list: "array", type(None): "null"}[type(value)]


def _go_type(node: Node) -> str:
    if node.type == "string":
        return "string"
    if node.type == "array":
        return f"[]{_go_type(node.items)}" if node.items is not None else "[]interface {}"
    if node.type == "object" and node.additional is not None and not node.definition:
        return f"map[string]{_go_type(node.additional)}"
    if node.definition:
        *_, version, name = node.definition.split(".")
        return f"{version}.{name}"
    return {"integer": str(node.raw.get("format", "int64")), "boolean": "bool"}.get(node.type, "interface {}")


def offending(value: Any) -> str:
    """A value as a clause to append to a sentence that names only its type; empty where the type says enough."""
    return "" if value is None or isinstance(value, (dict, list)) else f" (found {_shortened(value)})"


def _kind(node: Node) -> str:
    kinds = node.raw.get("x-kubernetes-group-version-kind")
    return str(kinds[0]["kind"]) if kinds else ""


def _shortened(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else text[:77] + "..."
