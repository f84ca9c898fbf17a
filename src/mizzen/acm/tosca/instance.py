"""An instance of a composition, as a client posts it: read, checked against its definition, merged into the stored."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from msgspec import Struct

from mizzen.acm.messages.concepts import Identifier
from mizzen.acm.tosca.composition import composition_nodes, listed, node_templates
from mizzen.acm.tosca.hints import nearest
from mizzen.acm.tosca.intake import NAME, VERSION
from mizzen.acm.tosca.javatext import text_of
from mizzen.acm.tosca.names import Names
from mizzen.acm.tosca.nodes import Document, kind_of
from mizzen.acm.tosca.parse import read
from mizzen.acm.tosca.problems import Path, Problem, Report, Unreadable, in_order

Taken = Callable[[Sequence[str]], Mapping[str, str | None]]

_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
# What the public samples have where the composition's id belongs.
_PLACEHOLDERS = ("{{compositionId}}", "DO_NOT_CHANGE_THIS_COMPOSITION_ID")


class InstanceElement(Struct, frozen=True):
    """An element of an instance that somebody asks for.

    Attributes:
        id: the UUID in lower case; the key under which it stood where the body has none.
        definition: the node template that it is an instance of.
        description: None where there is none.
        properties: free content.
    """

    id: str
    definition: Identifier
    description: str | None
    properties: dict[str, Any]


class InstanceRequest(Struct, frozen=True):
    """The body of a request to create, update or migrate an instance.

    Attributes:
        name: of the instance.
        version: of the instance; with the name it must be unique.
        composition_id: the definition's id.
        description: None where there is none.
        instance_id: given only to update or migrate.
        composition_target_id: the definition to migrate to.
        precheck: only ask whether the migration could be done.
        elements: by UUID, in the order of the body.
        document: what was read, with the places.
    """

    name: str
    version: str
    composition_id: str
    description: str | None
    instance_id: str | None
    composition_target_id: str | None
    precheck: bool
    elements: dict[str, InstanceElement]
    document: Document


def read_instance(
    text: bytes | str, media_type: str | None = None, *, composition_id: UUID | str | None = None
) -> InstanceRequest:
    """The request that a body in JSON or YAML makes.

    Args:
        composition_id: stands in where the body has none, or one of the placeholders of the public samples.

    Raises:
        Unreadable: with all that is wrong with it.
    """
    if composition_id is not None:
        text = _filled(text, str(composition_id))
    document = read(text, media_type=media_type)
    reader = _Reader(document)
    request = reader.request(None if composition_id is None else str(composition_id))
    if reader.problems:
        raise Unreadable(reader.problems)
    return request


def check_instance(
    request: InstanceRequest,
    template: Mapping[str, Any],
    names: Names | None = None,
    taken: Taken = lambda ids: {},
    *,
    removed: int = 0,
) -> Report:
    """Whether the instance fits its definition.

    Args:
        template: the normalised template of the definition.
        names: the type names of the installation; None takes ONAP's defaults.
        taken: of the given element ids, those that other instances have, with the description of the element there.
        removed: how many elements of the instance a migration takes away; the number of the others is compared.
    """
    names = names or Names()
    lines, problems = _against_definition(request, template, names, removed)
    ids = [element.id for element in request.elements.values()]
    used = taken(ids)
    if used:
        lines.append(f'  "UUID elements {request.name}" INVALID, item has status INVALID\n')
    for key, element in request.elements.items():
        if element.id in used:
            description = used[element.id]
            shown = "null" if description is None else description
            lines.append(f'    item "{shown}" value "{element.id}" INVALID, UUID already used\n')
            message = f"the element id {element.id} is used by another instance"
            problems.append(
                request.document.problem(
                    ("elements", key), message, "take a fresh UUID, as uuidgen makes one", key=True
                )
            )
    if not problems:
        return Report()
    return Report(
        in_order(problems), (), '"AutomationComposition" INVALID, item has status INVALID\n' + "".join(lines), 400
    )


def merge(stored: Any, given: Any) -> Any:
    """Properties after an update: maps are merged key by key, lists of equal length item by item, all else is replaced.

    Keys cannot be taken away by it. Neither argument is changed or shared.
    """
    if isinstance(stored, dict) and isinstance(given, dict):
        kept = {key: _copy(value) for key, value in stored.items() if key not in given}
        merged = {key: merge(stored[key], value) if key in stored else _copy(value) for key, value in given.items()}
        return {key: merged[key] if key in merged else kept[key] for key in (*stored, *given)}
    if isinstance(stored, list) and isinstance(given, list) and len(stored) == len(given):
        return [merge(old, new) for old, new in zip(stored, given, strict=True)]
    return _copy(given)


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_copy(member) for member in value]
    return value


def _filled(text: bytes | str, composition_id: str) -> bytes | str:
    for placeholder in _PLACEHOLDERS:
        if isinstance(text, bytes):
            text = text.replace(placeholder.encode(), composition_id.encode())
        else:
            text = text.replace(placeholder, composition_id)
    return text


def _against_definition(
    request: InstanceRequest, template: Mapping[str, Any], names: Names, removed: int
) -> tuple[list[str], list[Problem]]:
    """The runtime's lines about the elements, and the problems that they are for a person."""
    document = request.document
    wanted = listed(template, names)
    nodes = node_templates(template)
    absent = [
        identifier for identifier in wanted if nodes.get(identifier.name, {}).get("version") != identifier.version
    ]
    if not composition_nodes(template, names) or absent:
        said = "Commissioned automation composition definition not consistent"
        value = template.get("name")
        lines = [_entry(request.name), f'    item "ToscaServiceTemplate" value "{value}" INVALID, {said}\n']
        hint = f"it lists {absent[0]}, which it does not define" if absent else "it has no composition node"
        return lines, [document.problem(("compositionId",), "the definition is not consistent", hint)]
    problems = []
    below = []
    known = {identifier.name: identifier for identifier in wanted}
    for key, element in request.elements.items():
        definition = element.definition
        place: Path = ("elements", key, "definition")
        there = known.get(definition.name)
        if there is None:
            below.append(f'    "entry {definition.name}" INVALID, Not found\n')
            near = nearest(definition.name, known)
            hint = f"did you mean {near}?" if near else f"the composition has {', '.join(known) or 'no element'}"
            problems.append(
                document.problem((*place, "name"), f"the composition has no element {definition.name}", hint)
            )
        elif there != definition:
            below.append(f'    "entry {definition.name}" INVALID, Version not matching\n')
            message = f"the composition has {there.name} in version {there.version}, not {definition.version}"
            problems.append(document.problem((*place, "version"), message, f'write version: "{there.version}"'))
    said = "item has status INVALID"
    if len(known) != len(request.elements) - removed:
        said = "Elements of the instance not matching with the elements of the composition"
        message = f"the instance has {_elements(len(request.elements) - removed)}, the composition {len(known)}"
        missing = sorted(known.keys() - {element.definition.name for element in request.elements.values()})
        hint = f"missing: {', '.join(missing)}" if missing else "an instance has one element for each of them"
        problems.append(document.problem(("elements",), message, hint, key=True))
    return ([_entry(request.name, said), *below] if problems else []), problems


def _elements(number: int) -> str:
    return f"{number} element{'' if number == 1 else 's'}"


def _entry(name: str, said: str = "item has status INVALID") -> str:
    return f'  "entry {name}" INVALID, {said}\n'


class _Reader:
    """Fields of a body, and what is wrong with them."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self.problems: list[Problem] = []

    def request(self, composition_id: str | None) -> InstanceRequest:
        source = self._document.value
        if composition_id is not None and source.get("compositionId") is None:
            source = {**source, "compositionId": composition_id}
        return InstanceRequest(
            name=self._named(source, "name", NAME, "letters, digits, dots, hyphens and underscores"),
            version=self._named(source, "version", VERSION, 'three numbers, such as "1.0.0"'),
            composition_id=self._uuid(source, "compositionId", (), required=True) or "",
            description=self._text(source, "description", ()),
            instance_id=self._uuid(source, "instanceId", ()),
            composition_target_id=self._uuid(source, "compositionTargetId", ()),
            precheck=self._flag(source, "precheck"),
            elements=self._elements(source),
            document=self._document,
        )

    def _tell(self, path: Path, message: str, hint: str = "", *, key: bool = False) -> None:
        self.problems.append(self._document.problem(path, message, hint, key=key))

    def _elements(self, source: dict[str, Any]) -> dict[str, InstanceElement]:
        elements = source.get("elements")
        if not isinstance(elements, dict):
            if elements is None:
                self._tell((), "elements is missing", "it has one member for each element, under a UUID of your choice")
            else:
                self._tell(("elements",), f"elements is {kind_of(elements)}; it has to be a mapping of UUID to element")
            return {}
        found: dict[str, InstanceElement] = {}
        for key, value in elements.items():
            path = ("elements", key)
            if not _UUID.fullmatch(key):
                self._tell(path, f'the key "{key}" is no UUID', "take one that uuidgen makes", key=True)
            if not isinstance(value, dict):
                self._tell(path, f"the element is {kind_of(value)}; it has to be a mapping")
                continue
            if key.lower() in found:
                self._tell(path, f"the element {key} stands twice", "take another UUID for one of them", key=True)
            found[key.lower()] = self._element(key, value, path)
        return found

    def _element(self, key: str, source: dict[str, Any], path: Path) -> InstanceElement:
        identity = self._uuid(source, "id", path)
        if identity is not None and _UUID.fullmatch(key) and identity != key.lower():
            self._tell((*path, "id"), f"the id {identity} is not the key that the element stands under", f"write {key}")
        properties = source.get("properties")
        if properties is not None and not isinstance(properties, dict):
            self._tell((*path, "properties"), f"properties is {kind_of(properties)}; it has to be a mapping")
        return InstanceElement(
            id=identity or key.lower(),
            definition=self._definition(source, path),
            description=self._text(source, "description", path),
            properties=properties if isinstance(properties, dict) else {},
        )

    def _definition(self, source: dict[str, Any], path: Path) -> Identifier:
        value = source.get("definition")
        here = (*path, "definition")
        if isinstance(value, dict):
            parts = {name: self._text(value, name, here) for name in ("name", "version")}
            for name, part in parts.items():
                if not part:
                    self._tell(here, f"the definition has no {name}", "it is the name and version of a node template")
            return Identifier(parts["name"] or "", parts["version"] or "")
        try:
            return Identifier.of(value)
        except ValueError:
            message = f"definition is {kind_of(value)}; it has to be the name and version of a node template"
            self._tell(here, message, "definition: {name: ..., version: ...}")
            return Identifier("", "")

    def _named(self, source: dict[str, Any], name: str, allowed: re.Pattern[str], made_of: str) -> str:
        value = self._text(source, name, ())
        if value is None:
            if not isinstance(source.get(name), (dict, list)):
                self._tell((), f"{name} is missing", f"a {name} is made of {made_of}")
            return ""
        if not allowed.fullmatch(value):
            self._tell((name,), f'"{value}" is no {name}', f"a {name} is made of {made_of}")
        return value

    def _text(self, source: dict[str, Any], name: str, path: Path) -> str | None:
        value = source.get(name)
        if isinstance(value, (dict, list)):
            self._tell((*path, name), f"{name} is {kind_of(value)}; it has to be a text")
            return None
        return None if value is None else text_of(value)

    def _uuid(self, source: dict[str, Any], name: str, path: Path, *, required: bool = False) -> str | None:
        value = source.get(name)
        if value is None:
            if required:
                self._tell(path, f"{name} is missing", "it is the UUID that commissioning answered with")
            return None
        if not isinstance(value, str) or not _UUID.fullmatch(value):
            shown = f'"{value}"' if isinstance(value, str) else kind_of(value)
            hint = "fill in the UUID that commissioning answered with" if value in _PLACEHOLDERS else ""
            self._tell((*path, name), f"{name} is {shown}; it has to be a UUID", hint)
            return None
        return value.lower()

    def _flag(self, source: dict[str, Any], name: str) -> bool:
        value = source.get(name)
        if value is None or isinstance(value, bool):
            return bool(value)
        self._tell((name,), f"{name} is {kind_of(value)}; it has to be true or false")
        return False
