"""What a schema does to a value on its way in: unknown fields go, nulls go, defaults come.

The four steps of a write are functions that walk a value beside its schema (:class:`mizzen.apis.schema.Node`), for
custom resources and built-in kinds alike: :func:`drop_nulls`, :func:`prune`, :func:`set_defaults`, and then
:func:`validate` (custom resources) or :func:`type_error` (built-in kinds, whose decoder refuses a wrong type). The
first three change the value in place. :func:`structural_causes` judges a schema itself.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import orjson

from mizzen.apis import schema as schemas
from mizzen.apis.schema import Node
from mizzen.cluster.apiserver.structural import structural_causes
from mizzen.cluster.apiserver.typecheck import type_error
from mizzen.cluster.apiserver.validation import validate

__all__ = ["drop_nulls", "prune", "set_defaults", "structural_causes", "type_error", "validate"]

_OBJECT_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
# What makes a mapping an object, kept at the root and in embedded resources whatever the schema says.
_IDENTITY = ("apiVersion", "kind", "metadata")


def prune(value: dict[str, Any], node: Node) -> list[str]:
    """Remove every field that the schema does not know, and tell which.

    Fields are known if they are declared, or stand under ``additionalProperties`` or
    ``x-kubernetes-preserve-unknown-fields`` (what is declared below those is still pruned by its own schema).

    Returns:
        The paths of what was removed, such as ``spec.containers[0].bar``, in the order of the text.
    """
    removed: list[str] = []
    _prune_map(value, node, "", removed, is_object=True)
    return removed


def _prune(value: Any, node: Node | None, path: str, removed: list[str]) -> None:
    if node is None:
        return
    if isinstance(value, dict):
        _prune_map(value, node, path, removed, is_object=node.is_embedded_resource)
    elif isinstance(value, list):
        items = node.items
        if items is not None:
            for index, item in enumerate(value):
                if isinstance(item, (dict, list)):
                    _prune(item, items, f"{path}[{index}]", removed)


def _prune_map(value: dict[str, Any], node: Node, path: str, removed: list[str], *, is_object: bool) -> None:
    keeps_all = node.preserves_unknown or (not node.type and "properties" not in node.raw)
    unknown: list[str] = []
    for key, child in value.items():
        if is_object and key in _IDENTITY:
            if key == "metadata":
                _prune(child, _metadata_node(node), _below(path, key), removed)
            continue
        found = node.child(key)
        if found is not None:
            if isinstance(child, (dict, list)):
                _prune(child, found, _below(path, key), removed)
        elif not keeps_all:
            unknown.append(key)
    for key in unknown:
        del value[key]
        removed.append(_below(path, key))


def _metadata_node(node: Node) -> Node:
    """The schema of an object's metadata; a definition may only restrict the real one, never replace it."""
    declared = node.declared("metadata")
    return declared if declared is not None and declared.definition else _object_meta()


@cache
def _object_meta() -> Node:
    return schemas.definition(_OBJECT_META)


def _below(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def drop_nulls(value: dict[str, Any], node: Node) -> None:
    """Remove the nulls that mean "not set": those of declared, non-nullable fields.

    A field with a default gets it from :func:`set_defaults` afterwards. Nulls in lists and under unknown fields stay.
    In a built-in kind the null of a free text key (``data: {key: }`` of a ConfigMap) is an empty text, as Go reads it.
    """
    _drop_nulls(value, node, built_in="x-kubernetes-group-version-kind" in node.raw)


def _drop_nulls(value: Any, node: Node | None, built_in: bool) -> None:
    if node is None:
        return
    if isinstance(value, list):
        items = node.items
        if items is not None:
            for item in value:
                if isinstance(item, (dict, list)):
                    _drop_nulls(item, items, built_in)
        return
    nulls: list[str] = []
    for key, child in value.items():
        if child is None:
            found = node.child(key)
            if found is not None and not found.nullable:
                nulls.append(key)
        elif isinstance(child, (dict, list)):
            _drop_nulls(child, node.child(key), built_in)
    for key in nulls:
        if built_in and node.declared(key) is None and node.additional is not None and node.additional.type == "string":
            value[key] = ""
        else:
            del value[key]


def set_defaults(value: dict[str, Any], node: Node) -> None:
    """Fill in the defaults of the schema, in the parts of the value that exist.

    A default inside an object that is absent does nothing, unless that object itself has a default. A null takes the
    place of "absent" unless the field is nullable; ``""``, ``0`` and ``false`` are values.
    """
    _set_defaults(value, node)


def _set_defaults(value: Any, node: Node) -> None:
    if isinstance(value, dict):
        for key, default in node.defaults.items():
            if key not in value or (value[key] is None and not _nullable(node.declared(key))):
                value[key] = _copy(default)
        for key, child in value.items():
            if child is None:
                additional = node.additional if node.declared(key) is None else None
                if additional is not None and additional.has_default and not additional.nullable:
                    value[key] = child = _copy(additional.default)
            if isinstance(child, (dict, list)):
                found = node.child(key)
                if found is not None:
                    _set_defaults(child, found)
    elif isinstance(value, list):
        items = node.items
        if items is None:
            return
        for index, item in enumerate(value):
            if item is None and items.has_default and not items.nullable:
                value[index] = item = _copy(items.default)
            if isinstance(item, (dict, list)):
                _set_defaults(item, items)


def _nullable(node: Node | None) -> bool:
    return node is not None and node.nullable


def _copy(default: Any) -> Any:
    return orjson.loads(orjson.dumps(default)) if isinstance(default, (dict, list)) else default
