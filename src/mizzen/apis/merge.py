"""How a patch joins a value: JSON merge patch (RFC 7386) and Kubernetes' strategic merge patch.

A strategic merge patch is a merge patch that knows the schema: lists with a merge key are merged item by item, and
directives (keys that start with ``$``) say what a plain patch cannot. The API server uses it for PATCH requests, the
InferenceService controller to lay a predictor's container over its runtime's. Both functions leave their arguments
alone and return a value that shares parts with them.
"""

from __future__ import annotations

from typing import Any

from mizzen.apis.schema import Node
from mizzen.errors import MizzenError

_DIRECTIVE = "$patch"
_RETAIN = "$retainKeys"
_ORDER = "$setElementOrder/"
_DELETE_PRIMITIVES = "$deleteFromPrimitiveList/"


class MergeError(MizzenError):
    """A strategic merge patch that cannot be applied: an unknown directive, or a list item without its merge key."""


def json_merge(target: Any, patch: Any) -> Any:
    """``patch`` laid over ``target`` by RFC 7386: maps merge, ``null`` removes a key, all else replaces."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = json_merge(merged.get(key), value)
    return merged


def json_merge_diff(old: Any, new: Any) -> Any:
    """The merge patch that turns ``old`` into ``new``; ``{}`` when both are equal mappings. Lists are replaced whole."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return new
    patch: dict[str, Any] = {key: None for key in old if key not in new}
    for key, value in new.items():
        if key not in old:
            patch[key] = value
        elif old[key] != value:
            patch[key] = json_merge_diff(old[key], value)
    return patch


def strategic_merge(target: Any, patch: Any, node: Node | None) -> Any:
    """``patch`` laid over ``target`` as the schema ``node`` says.

    Where the schema knows nothing (``node`` is ``None``), maps merge and lists are replaced. An item that a patch adds
    to a keyed list comes before the items it does not name, as in Kubernetes.

    Raises:
        MergeError: a directive that does not exist, or a list item without the list's merge key.
    """
    if not isinstance(patch, dict) or not isinstance(target, dict):
        return without_directives(patch)
    directive = patch.get(_DIRECTIVE)
    if directive == "replace":
        return without_directives({key: value for key, value in patch.items() if key != _DIRECTIVE})
    if directive == "delete":
        return {}
    if directive not in (None, "merge"):
        raise MergeError(f"unknown patch type: {directive} in map: {patch}")
    merged = dict(target)
    if _RETAIN in patch:
        merged = _retained(merged, patch)
    for key, value in patch.items():
        if key.startswith(_DELETE_PRIMITIVES):
            field = key.removeprefix(_DELETE_PRIMITIVES)
            merged[field] = [item for item in merged.get(field) or [] if item not in value]
        elif key.startswith(_ORDER):
            field = key.removeprefix(_ORDER)
            if field not in patch and isinstance(merged.get(field), list):
                child = node.child(field) if node else None
                merged[field] = _merged_list(merged[field], [], child, order=value)
        elif key.startswith("$"):
            continue
        elif value is None:
            merged.pop(key, None)
        else:
            child = node.child(key) if node else None
            merged[key] = _merged_field(merged.get(key), value, child, patch.get(_ORDER + key))
    return merged


def _merged_field(old: Any, new: Any, node: Node | None, order: list[Any] | None) -> Any:
    strategies: list[str] = node.patch_strategies if node else []
    if isinstance(old, dict) and isinstance(new, dict) and "replace" not in strategies:
        return strategic_merge(old, new, node)
    if isinstance(new, list) and "merge" in strategies and (isinstance(old, list) or old is None):
        return _merged_list(old or [], new, node, order)
    return without_directives(new)


def _retained(target: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    keys = patch[_RETAIN]
    for key, value in patch.items():
        if not key.startswith("$") and value is not None and key not in keys:
            raise MergeError(f"$retainKeys does not name {key!r}, which the patch sets: {patch}")
    return {key: value for key, value in target.items() if key in keys}


def _merged_list(old: list[Any], patch: list[Any], node: Node | None, order: list[Any] | None) -> list[Any]:
    """A list whose items are matched by the merge key, or by value where there is none."""
    key = node.patch_merge_key if node else ""
    if not key:
        if order is None and not patch:
            return old
        merged = old + [item for item in patch if item not in old]
        return _ordered(merged, order if order is not None else patch, old, lambda item: item)

    def identity(item: Any) -> Any:
        if not isinstance(item, dict) or key not in item:
            raise MergeError(f"map: {item} does not contain declared merge key: {key}")
        return item[key]

    if any(isinstance(item, dict) and item.get(_DIRECTIVE) == "replace" and key not in item for item in patch):
        return [without_directives(item) for item in patch if item != {_DIRECTIVE: "replace"}]
    item_node = node.items if node else None
    result = {identity(item): item for item in old}
    for item in patch:
        name = identity(item)
        directive = item.get(_DIRECTIVE)
        if directive == "delete":
            result.pop(name, None)
        elif directive == "replace" or name not in result:
            result[name] = strategic_merge({}, {k: v for k, v in item.items() if k != _DIRECTIVE}, item_node)
        else:
            result[name] = strategic_merge(result[name], item, item_node)
    return _ordered(list(result.values()), order if order is not None else patch, old, identity)


def _ordered(items: list[Any], order: list[Any], before: list[Any], identity: Any) -> list[Any]:
    """Interleave the items that ``order`` names, in its order, with all others, in the order they had ``before``.

    Two items keep the order they had before if both were there; otherwise the named one comes first.
    """
    wanted = {_hashable(identity(item)): place for place, item in reversed(list(enumerate(order)))}
    had = {_hashable(identity(item)): place for place, item in reversed(list(enumerate(before)))}
    named = sorted(
        (item for item in items if _hashable(identity(item)) in wanted), key=lambda i: wanted[_hashable(identity(i))]
    )
    others = [item for item in items if _hashable(identity(item)) not in wanted]
    result = []
    while named and others:
        left, right = had.get(_hashable(identity(others[0]))), had.get(_hashable(identity(named[0])))
        first = others if left is not None and right is not None and left < right else named
        result.append(first.pop(0))
    return result + named + others


def _hashable(value: Any) -> Any:
    return value if value.__hash__ else repr(value)


def without_directives(value: Any) -> Any:
    """A patch value as it is stored where there was nothing before: no directives, and no nulls inside maps."""
    if isinstance(value, dict):
        return {k: without_directives(v) for k, v in value.items() if not k.startswith("$") and v is not None}
    if isinstance(value, list):
        return [
            without_directives(item)
            for item in value
            if not (isinstance(item, dict) and item.get(_DIRECTIVE) in ("delete", "replace") and len(item) == 1)
        ]
    return value
