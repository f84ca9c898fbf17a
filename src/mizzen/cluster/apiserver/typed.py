"""Values beside their schema, as field ownership sees them: which fields are there, what changed, what a merge gives.

Ownership has the grain of the schema: structs and maps belong to their owners field by field, keyed lists and sets
item by item, all else (scalars, atomic maps, lists without a type) as a whole. What the schema does not know is taken
as maps by field and lists as a whole. Paths are steps of :mod:`mizzen.cluster.apiserver.fieldsets`, so every result
is a trie of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from mizzen.apis.schema import Node
from mizzen.cluster.apiserver.fieldsets import (
    SELF,
    FieldSet,
    Trie,
    field_element,
    is_member,
    key_element,
    rendered,
    value_element,
)
from mizzen.cluster.apiserver.validation import same

_SCALARS = (str, int, float, bool)


class _Absent:
    """No value at all, where ``None`` would be a null."""


_ABSENT = _Absent()
_NOTHING: Trie = {}


class _Repeated(list[Any]):
    """The items of a stored list that have the same keys; they can only be compared and kept together."""


class ItemError(ValueError):
    """A list item that cannot be told apart from others."""


class Changes(msgspec.Struct):
    """How one value differs from another, by path."""

    added: FieldSet
    modified: FieldSet
    removed: FieldSet

    @property
    def taken(self) -> FieldSet:
        """What the one who made the change owns from then on."""
        return self.added | self.modified


def fields_of(config: dict[str, Any], node: Node | None) -> tuple[FieldSet, list[str]]:
    """The fields that a configuration sets, and what makes it unfit to be applied, each with its path.

    Members are the leaves, the items of keyed lists and of maps, and empty maps and lists.
    """
    mistakes: list[str] = []
    return FieldSet(_fields(config, node, (), mistakes)), mistakes


def _fields(value: Any, node: Node | None, path: tuple[str, ...], mistakes: list[str]) -> Trie:
    if isinstance(value, dict) and not (node is not None and node.is_atomic_map):
        trie: Trie = {}
        for key, child in value.items():
            element = field_element(key)
            declared = node.declared(key) if node is not None else None
            found = declared if declared is not None or node is None else node.additional
            if found is None and node is not None and _is_closed(node, key):
                mistakes.append(f"{rendered((*path, element))}: field not declared in schema")
                continue
            below = _fields(child, found, (*path, element), mistakes)
            if below and declared is None:
                below[SELF] = {}
            trie[element] = below
        return trie
    if isinstance(value, list) and node is not None and node.list_type != "atomic":
        trie = {}
        for index, item in enumerate(value):
            try:
                element = element_of(item, node)
            except ItemError as error:
                mistakes.append(f"{rendered(path)}: element {index}: {error}")
                continue
            if element in trie:
                mistakes.append(f"{rendered(path)}: duplicate entries for key {rendered((element,))}")
                continue
            below = _fields(item, node.items, (*path, element), mistakes)
            if below:
                below[SELF] = {}
            trie[element] = below
        return trie
    return {}


def _is_closed(node: Node, key: str) -> bool:
    """Whether a key that is not declared is a mistake. An object without any properties is one of unknown shape."""
    if node.is_embedded_resource and key in ("apiVersion", "kind", "metadata"):
        return False
    return "properties" in node.raw and not node.preserves_unknown


def element_of(item: Any, node: Node) -> str:
    """The step to an item of a keyed list or set. Raises :class:`ItemError`."""
    if node.list_type == "set":
        if not isinstance(item, _SCALARS):
            raise ItemError("associative list without keys has an element that's no scalar")
        return value_element(item)
    if not isinstance(item, dict):
        raise ItemError("associative list with keys may not have non-map elements")
    keys: dict[str, Any] = {}
    for name, default in node.key_defaults:
        value = item.get(name)
        if value is None:
            value = default
        if value is None:
            text = f'associative list with keys has an element that omits key field "{name}"'
            raise ItemError(f"{text} (and doesn't have default value)")
        keys[name] = value
    return key_element(keys)


def _items(value: list[Any], node: Node) -> dict[str, Any] | None:
    """The items of a stored list by step, in order; ``None`` if they cannot be told apart."""
    items: dict[str, Any] = {}
    try:
        for item in value:
            element = element_of(item, node)
            if element not in items:
                items[element] = item
            elif isinstance(items[element], _Repeated):
                items[element].append(item)
            else:
                items[element] = _Repeated((items[element], item))
    except ItemError:
        return None
    return items


def _parts(value: Any, node: Node | None) -> dict[str, tuple[Any, Node | None]] | None:
    """The parts that are owned one by one, each with its schema; ``None`` if the value is owned as a whole."""
    if isinstance(value, dict):
        if node is None:
            return {field_element(key): (child, None) for key, child in value.items()}
        if not node.is_atomic_map:
            return {field_element(key): (child, node.child(key)) for key, child in value.items()}
    elif isinstance(value, list) and node is not None and node.list_type != "atomic":
        items = _items(value, node)
        if items is not None:
            return {element: (item, node.items) for element, item in items.items()}
    return None


def changes(old: dict[str, Any], new: dict[str, Any], node: Node | None) -> Changes:
    """What was added, modified and removed from ``old`` to ``new``. The order of keyed lists is nobody's."""
    added: Trie = {}
    modified: Trie = {}
    removed: Trie = {}
    _compare_parts(_parts(old, node) or {}, _parts(new, node) or {}, added, modified, removed)
    return Changes(FieldSet(added), FieldSet(modified), FieldSet(removed))


def _compare_parts(
    old: dict[str, tuple[Any, Node | None]],
    new: dict[str, tuple[Any, Node | None]],
    added: Trie,
    modified: Trie,
    removed: Trie,
) -> None:
    for element, (value, node) in new.items():
        before = old.get(element)
        if before is None:
            added[element] = _everything(value, node)
        elif value is not before[0]:
            _compare(element, before[0], value, node, added, modified, removed)
    for element, (value, node) in old.items():
        if element not in new:
            removed[element] = _everything(value, node)


def _compare(element: str, old: Any, new: Any, node: Node | None, added: Trie, modified: Trie, removed: Trie) -> None:
    if isinstance(new, _SCALARS) and isinstance(old, _SCALARS):
        if not same(old, new):
            modified[element] = {}
        return
    # A null is an empty value of the other's kind.
    if old is None and isinstance(new, (dict, list)):
        old = type(new)()
    elif new is None and isinstance(old, (dict, list)):
        new = type(old)()
    before, after = _parts(old, node), _parts(new, node)
    if before is None or after is None or type(old) is not type(new):
        if not same(old, new):
            modified[element] = {}
            _note(removed, element, {step: _everything(*part) for step, part in (before or {}).items()})
            _note(added, element, {step: _everything(*part) for step, part in (after or {}).items()})
        return
    below: tuple[Trie, Trie, Trie] = {}, {}, {}
    _compare_parts(before, after, *below)
    for trie, found in zip((added, modified, removed), below, strict=True):
        _note(trie, element, found)


def _note(trie: Trie, element: str, below: Trie) -> None:
    if below:
        trie[element] = below


def _everything(value: Any, node: Node | None) -> Trie:
    """The set of a part that came or went as a whole: all paths in it, those in between included."""
    parts = _parts(value, node)
    if not parts:
        return {}
    return {SELF: {}, **{element: _everything(child, below) for element, (child, below) in parts.items()}}


def merged(live: Any, config: Any, node: Node | None) -> Any:
    """``config`` laid over ``live``: what is owned as a whole is replaced, all else merged part by part.

    The items that ``config`` names stand in its order, the others keep their place between them. Parts are shared with
    both arguments.
    """
    if isinstance(live, dict) and isinstance(config, dict):
        if node is not None and node.is_atomic_map:
            return config
        result = dict(live)
        for key, value in config.items():
            below = node.child(key) if node is not None else None
            result[key] = merged(live[key], value, below) if key in live else value
        return result
    if isinstance(live, list) and isinstance(config, list) and node is not None and node.list_type != "atomic":
        before, after = _items(live, node), _items(config, node)
        if before is None or after is None:
            return config
        items: list[Any] = []
        for element in _interleaved(list(before), list(after)):
            if element not in after:
                stored = before[element]
                items.extend(stored if isinstance(stored, _Repeated) else (stored,))
            elif element not in before or isinstance(before[element], _Repeated):
                items.append(after[element])
            else:
                items.append(merged(before[element], after[element], node.items))
        return items
    return config


def _interleaved(live: list[str], applied: list[str]) -> list[str]:
    """The applied order, with the items that only the live list has kept before the next one that both have."""
    wanted, there = set(applied), set(live)
    shared: list[str | None] = [None] * len(applied)
    following: str | None = None
    for place in range(len(applied) - 1, -1, -1):
        if applied[place] in there:
            following = applied[place]
        shared[place] = following
    result: list[str] = []
    at = 0
    for place, element in enumerate(applied):
        goal = shared[place]
        while at < len(live) and live[at] != goal:
            if live[at] not in wanted:
                result.append(live[at])
            at += 1
        result.append(element)
        if element == goal:
            at += 1
    return result + [element for element in live[at:] if element not in wanted]


def pruned(value: Any, node: Node | None, last: FieldSet, owned: FieldSet) -> Any:
    """``value`` without what the set ``last`` held and nobody owns any more.

    A struct field stays while anybody owns something in it. The item of a list or of a free map stays only while
    somebody owns the item itself: one that an applier made and drops goes with what others changed inside.

    Args:
        value: the merged object. It is not changed.
        node: its schema.
        last: what a manager applied before.
        owned: what is owned now, by this manager's new set or by any other.
    """
    return _pruned(value, node, last.trie, owned.trie)


def _pruned(value: Any, node: Node | None, last: Trie, owned: Trie) -> Any:
    parts = _parts(value, node)
    if not last or parts is None or not any(element in last for element in parts):
        return value
    kept: dict[str, Any] = {}
    for element, (child, below) in parts.items():
        before, now = last.get(element), owned.get(element)
        if before is None:
            kept[element] = child
        elif _stays(element, node, before, now):
            kept[element] = _pruned(child, below, before, now or _NOTHING)
    if isinstance(value, dict):
        return {key: kept[element] for key in value if (element := field_element(key)) in kept}
    return list(_flat(kept.values()))


def _stays(element: str, node: Node | None, before: Trie, now: Trie | None) -> bool:
    if node is not None and element.startswith("f:") and node.declared(element[2:]) is not None:
        return now is not None
    return not is_member(before) or (now is not None and is_member(now))


def _flat(items: Iterable[Any]) -> Iterable[Any]:
    for item in items:
        if isinstance(item, _Repeated):
            yield from item
        else:
            yield item
