"""What an element may be given: its node type's properties, unfolded into the data types below them.

The page makes a form of it, the store learns from it what to encrypt. Properties are inherited along ``derived_from``,
and data types nest as deep as they like. One that holds itself ends where it comes round again; if anything in it is
sensitive, all that stands there is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct

# No form has more or is deeper, and data types that hold each other can stand for any number.
_MOST = 2000
_DEEPEST = 20
_ENTRY = "*"

Template = Mapping[str, Any]


class Field(Struct, frozen=True):
    """A property that an instance's element may have, or a part of one.

    Attributes:
        name: the key under which the value stands; empty for the entry of a list or map.
        type: ``string``, ``integer``, ``float``, ``boolean``, ``timestamp``, ``list``, ``map``, another built-in type,
            or the name of a data type.
        description: for a person; may be empty.
        required: whether a value must be there.
        default: what holds where none is given; None where there is no default.
        constraints: as in the normalised template: mappings of one operator to a text, or to a list of texts.
        common: marked as ``metadata.common``: the definition gives it for all instances.
        given: the element's node template has a value for it.
        sensitive: marked as ``metadata.sensitive``: to be encrypted in the store and masked in sight.
        entry: what one entry of a list or map is; None where the definition does not say.
        fields: the properties of a data type.
    """

    name: str
    type: str
    description: str = ""
    required: bool = False
    default: Any = None
    constraints: tuple[dict[str, Any], ...] = ()
    common: bool = False
    given: bool = False
    sensitive: bool = False
    entry: Field | None = None
    fields: tuple[Field, ...] = ()

    @property
    def choices(self) -> tuple[str, ...]:
        """The only values allowed, as texts; empty where any is."""
        for constraint in self.constraints:
            if constraint.get("valid_values") is not None:
                return tuple(str(value) for value in constraint["valid_values"])
            if constraint.get("equal") is not None:
                return (str(constraint["equal"]),)
        return ()

    @property
    def minimum(self) -> str:
        """The lowest value allowed, as a text; of an exclusive bound the next integer. Empty where there is none."""
        return self._bound("greater_or_equal", "greater_than", 0, 1)

    @property
    def maximum(self) -> str:
        """The highest value allowed, as :attr:`minimum`."""
        return self._bound("less_or_equal", "less_than", 1, -1)

    def _bound(self, inclusive: str, exclusive: str, index: int, step: int) -> str:
        for constraint in self.constraints:
            if constraint.get(inclusive) is not None:
                return str(constraint[inclusive])
            beyond = str(constraint.get(exclusive) or "")
            if self.type == "integer" and beyond.lstrip("-").isdecimal():
                return str(int(beyond) + step)
            span = constraint.get("in_range") or []
            if len(span) == 2 and str(span[index]).upper() not in ("UNBOUNDED", "NONE"):
                return str(span[index])
        return ""


def fields(template: Template, element: str | Mapping[str, Any] | Any) -> list[Field]:
    """The properties of an element's node type, inherited ones first.

    Args:
        template: the normalised template.
        element: the element: its node template's name, the node template, or what has it as ``node_template``.
    """
    node = _node(template, element)
    if node is None:
        return []
    given = node.get("properties") or {}
    unfolding = _Unfolding(template)
    found = _inherited(template.get("node_types", {}), node.get("type", ""))
    return [unfolding.field(name, prop, (), name in given) for name, prop in found.items() if prop]


def instance_fields(template: Template, element: str | Mapping[str, Any] | Any) -> list[Field]:
    """The properties that are an instance's to give: neither marked as common, nor given by the definition already."""
    return [field for field in fields(template, element) if not (field.common or field.given)]


def sensitive_paths(template: Template, element: str | Mapping[str, Any] | Any) -> list[tuple[str, ...]]:
    """Where an element's sensitive values stand below its properties; ``*`` is any entry of a list or map."""
    return [path for field in fields(template, element) for path in _sensitive(field, (field.name,))]


def transform(properties: Any, paths: Sequence[tuple[str, ...]], change: Callable[[str], str]) -> Any:
    """The properties with every text at or below the given paths changed; nothing else is, and the original is not.

    Args:
        properties: of an instance's element.
        paths: as :func:`sensitive_paths` gives them.
        change: for each text there, such as one that encrypts or masks.
    """
    if any(not path for path in paths):
        return _all_texts(properties, change)
    if isinstance(properties, dict):
        return {key: transform(value, _below(paths, key), change) for key, value in properties.items()}
    if isinstance(properties, list):
        below = _below(paths, _ENTRY)
        return [transform(value, below, change) for value in properties]
    return properties


def _below(paths: Sequence[tuple[str, ...]], step: str) -> list[tuple[str, ...]]:
    return [path[1:] for path in paths if path[0] in (step, _ENTRY)]


def _all_texts(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {key: _all_texts(member, change) for key, member in value.items()}
    if isinstance(value, list):
        return [_all_texts(member, change) for member in value]
    return value


def _sensitive(field: Field, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    if field.sensitive:
        yield path
        return
    for below in field.fields:
        yield from _sensitive(below, (*path, below.name))
    if field.entry is not None:
        yield from _sensitive(field.entry, (*path, _ENTRY))


def _node(template: Template, element: Any) -> Mapping[str, Any] | None:
    if isinstance(element, str):
        node: Mapping[str, Any] | None = template.get("topology_template", {}).get("node_templates", {}).get(element)
        return node
    found: Mapping[str, Any] = element if isinstance(element, Mapping) else element.node_template
    return found


def _inherited(types: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A type's properties with those of its ancestors; the nearest definition of a name counts."""
    chain: list[Mapping[str, Any]] = []
    seen: set[str] = set()
    while name in types and name not in seen:
        seen.add(name)
        chain.append(types[name])
        parent = types[name].get("derived_from") or ""
        name = parent if parent in types else parent.partition(":")[0]
    found: dict[str, Any] = {}
    for definition in reversed(chain):
        found |= definition.get("properties") or {}
    return found


class _Unfolding:
    """Fields of properties, within what a form can hold."""

    def __init__(self, template: Template) -> None:
        self._types: Mapping[str, Any] = template.get("data_types", {})
        self._left = _MOST
        self._hiding: dict[str, bool] = {}

    def field(self, name: str, prop: Mapping[str, Any], within: tuple[str, ...], given: bool = False) -> Field:
        self._left -= 1
        metadata = prop.get("metadata") or {}
        entry = prop.get("entry_schema")
        kind = prop["type"]
        cut = kind in self._types and (kind in within or self._left <= 0 or len(within) >= _DEEPEST)
        return Field(
            name=name,
            type=kind,
            description=prop.get("description") or "",
            required=bool(prop.get("required")),
            default=prop.get("default"),
            constraints=tuple(prop.get("constraints") or ()),
            common=_marked(metadata, "common"),
            given=given,
            sensitive=_marked(metadata, "sensitive") or (cut and self._hides(kind)),
            entry=self.field("", entry, within) if entry else None,
            fields=() if cut else self._of_data_type(kind, (*within, kind)),
        )

    def _of_data_type(self, kind: str, within: tuple[str, ...]) -> tuple[Field, ...]:
        if kind not in self._types:
            return ()
        return tuple(self.field(name, prop, within) for name, prop in _inherited(self._types, kind).items() if prop)

    def _hides(self, kind: str) -> bool:
        """Whether anything sensitive can stand in a value of this data type, however deep."""
        if kind not in self._hiding:
            seen, waiting, found = {kind}, [kind], False
            while waiting and not found:
                for prop in _inherited(self._types, waiting.pop()).values():
                    found = found or _marked(prop.get("metadata") or {}, "sensitive")
                    for below in (prop.get("type", ""), (prop.get("entry_schema") or {}).get("type", "")):
                        if below in self._types and below not in seen:
                            seen.add(below)
                            waiting.append(below)
            self._hiding[kind] = found
        return self._hiding[kind]


def _marked(metadata: Mapping[str, Any], name: str) -> bool:
    return str(metadata.get(name, "")).lower() == "true"
