"""How a patch joins a value: JSON merge patch (RFC 7386) and Kubernetes' strategic merge patch.

A strategic merge patch is a merge patch that knows the schema: lists with a merge key are merged item by item, and
directives (keys that start with ``$``) say what a plain patch cannot. The API server uses it for PATCH requests, the
InferenceService controller to lay a predictor's container over its runtime's. Both functions leave their arguments
alone and return a value that shares parts with them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mizzen.apis.schema import Node
from mizzen.errors import MizzenError

_DIRECTIVE = "$patch"
_RETAIN = "$retainKeys"
_ORDER = "$setElementOrder/"
_DELETE_PRIMITIVES = "$deleteFromPrimitiveList/"


class MergeError(MizzenError):
    """A strategic merge patch that cannot be applied: an unknown directive, or a list item without its merge key."""


class MalformedPatch(MergeError):
    """A directive whose value has the wrong shape, or an order that the patch's own list does not keep."""


class ContradictoryPatch(MergeError):
    """A patch that sets a key which its ``$retainKeys`` drops."""


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
    """The merge patch that turns ``old`` into ``new`` (``{}`` if equal mappings). Lists are replaced whole."""
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
        MalformedPatch: a directive whose value cannot be what it means.
        ContradictoryPatch: ``$retainKeys`` without a key that the patch sets.
    """
    if not isinstance(patch, dict) or not isinstance(target, dict):
        return without_directives(patch)
    directive = patch.get(_DIRECTIVE)
    if directive == "replace":
        return without_directives(patch)
    if directive == "delete":
        return {}
    if directive not in (None, "merge"):
        raise MergeError(f"unknown patch type: {directive} in map: {_as_go_prints(patch)}")
    merged = dict(target)
    if _RETAIN in patch:
        merged = _retained(merged, patch)
    for key, value in patch.items():
        if key.startswith(_DELETE_PRIMITIVES):
            field = key.removeprefix(_DELETE_PRIMITIVES)
            unwanted = _list_of(key, value)
            if isinstance(merged.get(field), list):
                merged[field] = [item for item in merged[field] if item not in unwanted]
        elif key.startswith(_ORDER):
            field = key.removeprefix(_ORDER)
            order = _list_of(key, value)
            if field not in patch and isinstance(merged.get(field), list):
                merged[field] = _merged_list(merged[field], [], node.child(field) if node else None, order)
        elif key.startswith("$"):
            continue
        elif value is None or (key not in merged and isinstance(value, dict) and value.get(_DIRECTIVE) == "delete"):
            merged.pop(key, None)
        else:
            given = patch.get(_ORDER + key)
            order_of_key = None if given is None else _list_of(_ORDER + key, given)
            merged[key] = _merged_field(merged.get(key), value, node.child(key) if node else None, order_of_key)
    return merged


def _merged_field(old: Any, new: Any, node: Node | None, order: list[Any] | None) -> Any:
    strategies: list[str] = node.patch_strategies if node else []
    if isinstance(old, dict) and isinstance(new, dict) and "replace" not in strategies:
        return strategic_merge(old, new, node)
    if isinstance(new, list) and "merge" in strategies and (isinstance(old, list) or old is None):
        return _merged_list(old or [], new, node, order)
    return without_directives(new)


def _retained(target: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    keys = _list_of(_RETAIN, patch[_RETAIN])
    for key, value in patch.items():
        if not key.startswith("$") and value is not None and key not in keys:
            text = f"$retainKeys does not name {key!r}, which the patch sets: {_as_go_prints(patch)}"
            raise ContradictoryPatch(text)
    return {key: value for key, value in target.items() if key in keys}


def _merged_list(old: list[Any], patch: list[Any], node: Node | None, order: list[Any] | None) -> list[Any]:
    """A list whose items are matched by the merge key, or by value where there is none."""
    key = node.patch_merge_key if node else ""

    def identity(item: Any) -> Any:
        if not key:
            return _hashable(item)
        if not isinstance(item, dict) or key not in item:
            raise MergeError(f"map: {_as_go_prints(item)} does not contain declared merge key: {key}")
        return _hashable(item[key])

    if not key:
        result = old + [item for item in patch if item not in old]
    elif any(isinstance(item, dict) and item.get(_DIRECTIVE) == "replace" and key not in item for item in patch):
        return list(without_directives(patch))
    else:
        result = _merged_items(old, patch, node.items if node else None, identity)
        patch = [item for item in patch if item.get(_DIRECTIVE) != "delete"]
    if order is None:
        return _ordered(result, patch, old, identity) if patch else result
    places = {identity(item): place for place, item in enumerate(order)}
    found = [places.get(identity(item), -1) for item in patch]
    if -1 in found or found != sorted(found):
        raise MalformedPatch("the list of a patch must keep to the order that its $setElementOrder gives")
    return _ordered(result, order, old, identity)


def _merged_items(
    old: list[Any], patch: list[Any], node: Node | None, identity: Callable[[Any], Any]
) -> list[dict[str, Any]]:
    """The items of a keyed list, each patched by those of ``patch`` with its key; new ones stand last.

    A key may stand in the stored list more than once (port 53 with two protocols): the first is patched, all go on
    delete, none is lost.
    """
    result = [(identity(item), item) for item in old]
    for item in patch:
        name = identity(item)
        directive = item.get(_DIRECTIVE)
        if directive == "delete":
            result = [entry for entry in result if entry[0] != name]
            continue
        place = next((index for index, (other, _) in enumerate(result) if other == name), -1)
        if place < 0:
            result.append((name, strategic_merge({}, {k: v for k, v in item.items() if k != _DIRECTIVE}, node)))
        else:
            result[place] = name, strategic_merge(result[place][1], item, node)
    return [item for _, item in result]


def _ordered(items: list[Any], order: list[Any], before: list[Any], identity: Callable[[Any], Any]) -> list[Any]:
    """Interleave the items that ``order`` names, in its order, with all others, in the order they had ``before``.

    Two items keep the order they had before if both were there; otherwise the named one comes first.
    """
    wanted = {identity(item): place for place, item in reversed(list(enumerate(order)))}
    had = {identity(item): place for place, item in reversed(list(enumerate(before)))}
    named = sorted((item for item in items if identity(item) in wanted), key=lambda item: wanted[identity(item)])
    others = [item for item in items if identity(item) not in wanted]
    result = []
    while named and others:
        left, right = had.get(identity(others[0])), had.get(identity(named[0]))
        first = others if left is not None and right is not None and left < right else named
        result.append(first.pop(0))
    return result + named + others


def _list_of(directive: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise MalformedPatch(f"{directive} needs a list, and is {_as_go_prints(value)}")
    return value


def _hashable(value: Any) -> Any:
    # Python's `1 == True` must not make one item of two.
    return (type(value), value) if value.__hash__ else repr(value)


def without_directives(value: Any) -> Any:
    """A patch value as it is stored where there was nothing before: no directives, and no nulls inside maps."""
    if isinstance(value, dict):
        return {k: without_directives(v) for k, v in value.items() if not k.startswith("$") and v is not None}
    if isinstance(value, list):
        return [without_directives(item) for item in value if not _only_directs(item)]
    return value


def _only_directs(item: Any) -> bool:
    """Whether a list item says what to do with a list and is no item itself."""
    if not isinstance(item, dict) or _DIRECTIVE not in item:
        return False
    return item[_DIRECTIVE] == "delete" or (item[_DIRECTIVE] == "replace" and len(item) == 1)


def _as_go_prints(value: Any) -> str:
    """A value as kube-apiserver shows it in these errors: ``map[image:new]``."""
    if isinstance(value, dict):
        return f"map[{' '.join(f'{key}:{_as_go_prints(value[key])}' for key in sorted(value))}]"
    if isinstance(value, list):
        return f"[{' '.join(map(_as_go_prints, value))}]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return "<nil>" if value is None else str(value)
