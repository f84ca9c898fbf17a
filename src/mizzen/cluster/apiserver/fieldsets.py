"""Sets of fields: who owns what in an object, as the trie that ``managedFields`` holds.

The wire format FieldsV1 is already a trie: each key is one step of a path (``f:spec`` a field, ``k:{"name":"c"}`` the
item of a keyed list, ``v:"x"`` a value in a set, ``i:0`` a place), an empty mapping or a ``.`` inside says that the
path up to there belongs to the set. So a :class:`FieldSet` keeps that form and works on it directly; reading one from
a stored object costs a check and no conversion.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import orjson

from mizzen.errors import MizzenError

# A node of the trie. It is a member of the set if it is empty or holds SELF. The root is never a member.
Trie = dict[str, Any]
SELF = "."


class FieldSetError(MizzenError):
    """A field set that is not written as FieldsV1 says."""


def field_element(name: str) -> str:
    return "f:" + name


def key_element(keys: Mapping[str, Any]) -> str:
    """The step to the item of a keyed list, by the values of its keys."""
    canonical = {name: _canonical(value) for name, value in keys.items()}
    return "k:" + orjson.dumps(canonical, option=orjson.OPT_SORT_KEYS).decode()


def value_element(value: Any) -> str:
    """The step to a value of a set."""
    return "v:" + orjson.dumps(_canonical(value)).decode()


def _canonical(value: Any) -> Any:
    """One spelling for one number: an item keyed 2 is the item keyed 2.0."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def rendered(path: tuple[str, ...]) -> str:
    """A path as messages show it: ``.spec.template.spec.containers[name="c"].image``."""
    return "".join(_rendered_element(element) for element in path)


def _rendered_element(element: str) -> str:
    kind, _, rest = element.partition(":")
    if kind == "f":
        return f".{rest}"
    if kind == "k":
        pairs = (f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in orjson.loads(rest).items())
        return f"[{','.join(pairs)}]"
    return f"[={rest}]" if kind == "v" else f"[{rest}]"


class FieldSet:
    """An immutable set of paths. Sets share parts with each other, so no trie is ever changed after it was made."""

    __slots__ = ("_trie",)

    def __init__(self, trie: Trie | None = None) -> None:
        """``trie`` as this module builds it; :meth:`parse` reads one from elsewhere."""
        self._trie: Trie = trie or {}

    @classmethod
    def parse(cls, fields: Any) -> FieldSet:
        """The set that a FieldsV1 value holds. Steps of a kind that is not known here are skipped, as upstream does.

        Raises:
            FieldSetError: the value is not a FieldsV1 trie.
        """
        trie = _parsed(fields)
        return cls({step: below for step, below in trie.items() if step != SELF})

    @property
    def fields_v1(self) -> Trie:
        """The set as FieldsV1, with its steps in a stable order."""
        return _sorted(self._trie)

    @property
    def trie(self) -> Trie:
        """The trie itself, for readers that walk it beside a value. Not to be changed."""
        return self._trie

    def __bool__(self) -> bool:
        return bool(self._trie)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FieldSet) and self._trie == other._trie

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"FieldSet({', '.join(map(rendered, self.paths()))})"

    def __or__(self, other: FieldSet) -> FieldSet:
        if not self._trie or not other._trie:
            return self if self._trie else other
        return FieldSet(_union(self._trie, other._trie))

    def __sub__(self, other: FieldSet) -> FieldSet:
        return FieldSet(_difference(self._trie, other._trie)) if self._trie and other._trie else self

    def __and__(self, other: FieldSet) -> FieldSet:
        return FieldSet(_intersection(self._trie, other._trie)) if self._trie and other._trie else FieldSet()

    def __contains__(self, path: tuple[str, ...]) -> bool:
        node: Trie | None = self._trie
        for element in path:
            node = node.get(element) if node is not None else None
        return bool(path) and node is not None and is_member(node)

    def paths(self) -> Iterator[tuple[str, ...]]:
        """Every path of the set, each before those below it, in a stable order."""
        return _paths(self._trie, ())


def is_member(node: Trie) -> bool:
    """Whether the path to a node, other than the root, belongs to the set."""
    return not node or SELF in node


def _paths(trie: Trie, above: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for element in sorted(trie):
        if element != SELF:
            path, below = (*above, element), trie[element]
            if is_member(below):
                yield path
            yield from _paths(below, path)


def _union(left: Trie, right: Trie) -> Trie:
    if left is right:
        return left
    merged = dict(left)
    for element, below in right.items():
        own = merged.get(element)
        merged[element] = below if own is None else _union(own, below)
    if merged and (not left or not right):
        merged[SELF] = {}
    return merged


def _difference(left: Trie, right: Trie) -> Trie:
    """What is left of the children of ``left``; whether the node itself stays is for its parent to say."""
    kept: Trie = {}
    for element, below in left.items():
        if element == SELF:
            continue
        other = right.get(element)
        if other is None:
            kept[element] = below
            continue
        rest = _difference(below, other)
        if is_member(below) and not is_member(other):
            kept[element] = {SELF: {}, **rest} if rest else {}
        elif rest:
            kept[element] = rest
    return kept


def _intersection(left: Trie, right: Trie) -> Trie:
    kept: Trie = {}
    for element, below in left.items():
        other = right.get(element)
        if element == SELF or other is None:
            continue
        rest = _intersection(below, other)
        if is_member(below) and is_member(other):
            kept[element] = {SELF: {}, **rest} if rest else {}
        elif rest:
            kept[element] = rest
    return kept


def _sorted(trie: Trie) -> Trie:
    return {element: _sorted(trie[element]) for element in sorted(trie)}


def _parsed(fields: Any) -> Trie:
    if not isinstance(fields, dict):
        raise FieldSetError(f"a field set is a mapping, and not {type(fields).__name__}")
    out: Trie = {}
    for element, below in fields.items():
        if element.startswith("f:"):
            out[element] = _parsed(below)
        elif element == SELF:
            out[SELF] = {}
        elif element.startswith(("k:", "v:", "i:")):
            out[_normalised(element)] = _parsed(below)
        elif element[1:2] != ":":
            raise FieldSetError(f"the step {element!r} of a field set has no kind: it must be one of f:, k:, v: and i:")
    return out


@lru_cache(maxsize=4096)
def _normalised(element: str) -> str:
    kind, _, rest = element.partition(":")
    try:
        value = orjson.loads(rest)
    except orjson.JSONDecodeError:
        value = None
    if kind == "k" and isinstance(value, dict):
        return key_element(value)
    if kind == "v" and not isinstance(value, (dict, list)) and (value is not None or rest == "null"):
        return value_element(value)
    if kind == "i" and isinstance(value, int):
        return f"i:{value}"
    raise FieldSetError(f"the step {element!r} of a field set is malformed")
