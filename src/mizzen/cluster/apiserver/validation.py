"""Validation of a value by the schema of its definition, with every mistake as a cause of one 422.

The keywords are those that a structural schema may hold. Reasons, fields and sentences are kube-apiserver's, because
clients show them to people and some read the fields. The value was pruned and defaulted before, so what the schema
does not declare is none of our business here. An object's own metadata is checked for types only: its real rules
belong to every kind alike.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

from mizzen.apis.schema import Node
from mizzen.cluster.apiserver.patterns import INTEGER_RANGES, STRING_FORMATS, PatternError, compiled
from mizzen.cluster.apiserver.typecheck import offending, wrong_types
from mizzen.kube.errors import Cause, duplicate, required

_INT_OR_STRING = [{"type": "integer"}, {"type": "string"}]


def validate(value: dict[str, Any], node: Node, *, path: str = "") -> list[Cause]:
    """Every way in which ``value`` breaks its schema; empty if it is valid.

    ``path`` is what the fields of the causes start with.
    """
    metadata = node.declared("metadata")
    if path or metadata is None or not metadata.definition or "metadata" not in value:
        return list(_causes(value, node, path))
    found = wrong_types(value["metadata"], metadata, "metadata")
    causes = [Cause("FieldValueTypeInvalid", wrong.path, wrong.sentence) for wrong in found]
    rest = {key: child for key, child in value.items() if key != "metadata"}
    # Whatever says that metadata is required is satisfied: it is there.
    return causes + [cause for cause in _causes(rest, node, "") if cause["field"] != "metadata"]


def validate_part(value: Any, node: Node, path: str) -> Iterator[Cause]:
    """Every way in which any value, such as a default, breaks the schema of its place."""
    return _causes(value, node, path)


def _causes(value: Any, node: Node, path: str) -> Iterator[Cause]:
    if value is None and node.nullable:
        return
    raw = node.raw
    wanted = ("integer", "string") if raw.get("x-kubernetes-int-or-string") else (node.type,) if node.type else ()
    actual = type_name(value)
    if wanted and actual not in wanted and not (actual == "integer" and "number" in wanted):
        yield _type_cause(path, ",".join(wanted), actual, value)
        return
    if "enum" in raw and not any(same(value, allowed) for allowed in raw["enum"]):
        yield _not_supported(path, value, raw["enum"])
    check = _CHECKS.get(actual)
    if check is not None:
        yield from check(value, node, path)
    if node.raw.keys() & _JUNCTIONS:
        yield from _junctions(value, node, path)


def _string(value: str, node: Node, path: str) -> Iterator[Cause]:
    raw = node.raw
    if "maxLength" in raw and len(value) > raw["maxLength"]:
        text = f"Too long: may not be more than {raw['maxLength']} characters"
        yield Cause("FieldValueTooLong", path, text)
    if "minLength" in raw and len(value) < raw["minLength"]:
        yield _invalid(path, value, f"should be at least {raw['minLength']} chars long")
    if "pattern" in raw:
        try:
            matches = compiled(raw["pattern"]).search(value) is not None
        except PatternError as error:
            yield _invalid(path, value, f"cannot be checked: {error}")
        else:
            if not matches:
                yield _invalid(path, value, f"should match '{raw['pattern']}'")
    known = STRING_FORMATS.get(raw.get("format", ""))
    if known is not None and not known(value):
        yield _invalid(path, value, f"must be of type {raw['format']}: {_shown(value)}")


def _number(value: float, node: Node, path: str) -> Iterator[Cause]:
    raw = node.raw
    if "maximum" in raw:
        exclusive = raw.get("exclusiveMaximum", False)
        if value > raw["maximum"] or (exclusive and value == raw["maximum"]):
            yield _invalid(path, value, f"should be less than {'' if exclusive else 'or equal to '}{raw['maximum']}")
    if "minimum" in raw:
        exclusive = raw.get("exclusiveMinimum", False)
        if value < raw["minimum"] or (exclusive and value == raw["minimum"]):
            yield _invalid(path, value, f"should be greater than {'' if exclusive else 'or equal to '}{raw['minimum']}")
    # Fractions of the written numbers: in binary, 0.3 is no multiple of 0.1.
    if raw.get("multipleOf") and Fraction(repr(value)) % Fraction(repr(raw["multipleOf"])):
        yield _invalid(path, value, f"should be a multiple of {raw['multipleOf']}")
    allowed = INTEGER_RANGES.get(raw.get("format", ""))
    if allowed is not None and node.type == "integer" and int(value) not in allowed:
        yield _invalid(path, value, f"must be of type {raw['format']}: {_shown(value)}")


def _array(value: list[Any], node: Node, path: str) -> Iterator[Cause]:
    raw = node.raw
    if "maxItems" in raw and len(value) > raw["maxItems"]:
        yield _too_many(path, len(value), raw["maxItems"])
    if "minItems" in raw and len(value) < raw["minItems"]:
        yield _invalid(path, value, f"should have at least {raw['minItems']} items")
    if raw.get("uniqueItems") and any(True for _ in _repeated(value)):
        yield _invalid(path, value, "shouldn't contain duplicates")
    items = node.items
    if items is not None:
        for index, item in enumerate(value):
            yield from _causes(item, items, f"{path}[{index}]")
    if node.list_type == "set":
        for index in _repeated(value):
            yield duplicate_of(f"{path}[{index}]", value[index])
    elif node.list_type == "map":
        keys = node.list_map_keys
        pairs = [{key: item[key] for key in keys if key in item} for item in value if isinstance(item, dict)]
        if len(pairs) == len(value):
            for index in _repeated(pairs):
                yield duplicate_of(f"{path}[{index}]", pairs[index])


def _object(value: dict[str, Any], node: Node, path: str) -> Iterator[Cause]:
    raw = node.raw
    for name in raw.get("required", ()):
        if name not in value:
            yield required(_below(path, name))
    if "maxProperties" in raw and len(value) > raw["maxProperties"]:
        yield _too_many(path, len(value), raw["maxProperties"])
    if "minProperties" in raw and len(value) < raw["minProperties"]:
        yield _invalid(path, value, f"should have at least {raw['minProperties']} properties")
    if node.is_embedded_resource:
        for name in ("apiVersion", "kind"):
            if not isinstance(value.get(name), str) or not value[name]:
                yield required(_below(path, name), "must not be empty")
    for key, child in value.items():
        found = node.child(key)
        if found is not None:
            yield from _causes(child, found, _below(path, key))


_CHECKS: dict[str, Callable[[Any, Node, str], Iterator[Cause]]] = {
    "string": _string,
    "integer": _number,
    "number": _number,
    "array": _array,
    "object": _object,
}
_JUNCTIONS = {"allOf", "anyOf", "oneOf", "not"}


def _junctions(value: Any, node: Node, path: str) -> Iterator[Cause]:
    raw = node.raw
    for branch in node.branches("allOf"):
        yield from _causes(value, branch, path)
    # The types of an int-or-string were compared already; the alternatives only repeat them for other readers.
    if "anyOf" in raw and not (raw.get("x-kubernetes-int-or-string") and raw["anyOf"] == _INT_OR_STRING):
        verdicts = [list(_causes(value, branch, path)) for branch in node.branches("anyOf")]
        if verdicts and all(verdicts):
            yield _invalid(path, value, "must validate at least one schema (anyOf)")
            yield from min(verdicts, key=len)
    if "oneOf" in raw:
        verdicts = [list(_causes(value, branch, path)) for branch in node.branches("oneOf")]
        valid = sum(not verdict for verdict in verdicts)
        if not valid:
            yield _invalid(path, value, "must validate one and only one schema (oneOf). Found none valid")
            yield from min(verdicts, key=len, default=[])
        elif valid > 1:
            text = f"must validate one and only one schema (oneOf). Found {valid} valid alternatives"
            yield _invalid(path, value, text)
    for branch in node.branches("not"):
        if not any(True for _ in _causes(value, branch, path)):
            yield _invalid(path, value, "must not validate the schema (not)")


def type_name(value: Any) -> str:
    """The JSON type of a value; a number without a fraction is an ``integer`` however it is written."""
    if isinstance(value, float):
        return "integer" if value.is_integer() else "number"
    return _TYPE_NAMES[type(value)]


_TYPE_NAMES = {
    bool: "boolean",
    int: "integer",
    str: "string",
    dict: "object",
    list: "array",
    type(None): "null",
}


def same(left: Any, right: Any) -> bool:
    """Whether two JSON values are equal: numbers by value, and ``true`` is not ``1``."""
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(child, right[key]) for key, child in left.items())
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    return left == right and isinstance(left, bool) == isinstance(right, bool)


def duplicate_of(field: str, value: Any) -> Cause:
    """The cause for a list item that stands there before; mappings are shown as Go prints them."""
    if isinstance(value, (dict, list)):
        return Cause("FieldValueDuplicate", field, f"Duplicate value: {_shown(value)}")
    return duplicate(field, value)


def _repeated(items: list[Any]) -> Iterator[int]:
    """The places of the items that equal an earlier one."""
    seen: set[str] = set()
    for index, item in enumerate(items):
        key = json.dumps(item, sort_keys=True)
        if key in seen:
            yield index
        seen.add(key)


def _below(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _type_cause(path: str, wanted: str, actual: str, value: Any) -> Cause:
    """kube-apiserver's sentence tells the type alone; whoever looks for a mistake looks for the value."""
    text = f'Invalid value: "{actual}": {path} in body must be of type {wanted}: "{actual}"'
    return Cause("FieldValueTypeInvalid", path, text + offending(value))


def _invalid(path: str, value: Any, text: str) -> Cause:
    return Cause("FieldValueInvalid", path, f"Invalid value: {_shown(value)}: {path} in body {text}")


def _not_supported(path: str, value: Any, allowed: list[Any]) -> Cause:
    words = ", ".join(json.dumps(word if isinstance(word, str) else json.dumps(word)) for word in allowed)
    return Cause("FieldValueNotSupported", path, f"Unsupported value: {_shown(value)}: supported values: {words}")


def _too_many(path: str, actual: int, allowed: int) -> Cause:
    text = f"Too many: {actual}: must have at most {allowed} {'item' if allowed == 1 else 'items'}"
    return Cause("FieldValueTooMany", path, text)


def _shown(value: Any) -> str:
    """A value as Go prints it in these sentences (``%#v`` of what its JSON decoder makes)."""
    if isinstance(value, dict):
        inner = ", ".join(f"{json.dumps(key, ensure_ascii=False)}:{_shown(child)}" for key, child in value.items())
        return f"map[string]interface {{}}{{{inner}}}"
    if isinstance(value, list):
        return f"[]interface {{}}{{{', '.join(map(_shown, value))}}}"
    return json.dumps(value, ensure_ascii=False)
