"""What a runtime asks of a commissioned definition: its elements, the composition's list of them, its time-outs.

All functions take the normalised template, as it is stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from mizzen.acm.messages.concepts import Identifier
from mizzen.acm.tosca.fields import Field, fields, instance_fields, sensitive_paths, transform
from mizzen.acm.tosca.names import Names

__all__ = [
    "Element",
    "Field",
    "composition_nodes",
    "elements",
    "fields",
    "identifiers_of",
    "instance_fields",
    "is_element",
    "listed",
    "node_templates",
    "sensitive_paths",
    "timeouts",
    "transform",
]


class Element(Struct, frozen=True):
    """An element of a composition.

    Attributes:
        name: of the node template.
        version: of the node template.
        type: the node type; with its version it decides which participant is responsible.
        type_version: see there.
        properties: the common properties: what all instances share.
        start_phase: 0 where none is given; lower ones deploy first and undeploy last.
        prepare_stages: in ascending order.
        migrate_stages: in ascending order.
        node_template: as it travels to the participant.
    """

    name: str
    version: str
    type: str
    type_version: str
    properties: dict[str, Any]
    start_phase: int
    prepare_stages: tuple[int, ...]
    migrate_stages: tuple[int, ...]
    node_template: dict[str, Any]

    @property
    def identifier(self) -> Identifier:
        return Identifier(self.name, self.version)


def node_templates(template: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """All node templates by name, the composition's and the participants' among them."""
    found: dict[str, dict[str, Any]] = template.get("topology_template", {}).get("node_templates", {})
    return found


def is_element(node: Mapping[str, Any], template: Mapping[str, Any], names: Names) -> bool:
    """Whether a node template is an element: by its type's name, or by that of the type's parent, and no further."""
    if names.element in node["type"]:
        return True
    node_type = template.get("node_types", {}).get(node["type"])
    return node_type is not None and names.element in (node_type.get("derived_from") or "")


def composition_nodes(template: Mapping[str, Any], names: Names) -> list[str]:
    """The names of the node templates that are the composition: one, where the template is right."""
    return [name for name, node in node_templates(template).items() if node["type"] == names.composition]


def elements(template: Mapping[str, Any], names: Names | None = None) -> list[Element]:
    """The elements in the order of the template."""
    names = names or Names()
    return [_element(node) for node in node_templates(template).values() if is_element(node, template, names)]


def listed(template: Mapping[str, Any], names: Names | None = None) -> list[Identifier]:
    """The elements that the composition lists, which its instances must have. What is no identifier is left out."""
    nodes = node_templates(template)
    for name in composition_nodes(template, names or Names()):
        return list(identifiers_of(nodes[name]).values())
    return []


def identifiers_of(composition: Mapping[str, Any]) -> dict[int, Identifier]:
    """The composition's list of elements, by index."""
    items = (composition.get("properties") or {}).get("elements")
    found = {}
    for index, item in enumerate(items if isinstance(items, list) else []):
        try:
            found[index] = Identifier.of(item)
        except ValueError:
            continue
    return found


def timeouts(template: Mapping[str, Any]) -> dict[str, int]:
    """``primeTimeoutMs`` and ``deprimeTimeoutMs`` of the template's metadata, in milliseconds, where they are given."""
    metadata = template.get("metadata") or {}
    found = {name: _number(metadata.get(name)) for name in ("primeTimeoutMs", "deprimeTimeoutMs")}
    return {name: value for name, value in found.items() if value is not None and value > 0}


def _element(node: dict[str, Any]) -> Element:
    properties = node.get("properties") or {}
    prepare, migrate = _stages(properties.get("stage"))
    return Element(
        name=node["name"],
        version=node["version"],
        type=node["type"],
        type_version=node["type_version"],
        properties=properties,
        start_phase=_number(properties.get("startPhase")) or 0,
        prepare_stages=prepare,
        migrate_stages=migrate,
        node_template=node,
    )


def _stages(stage: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The stages to prepare and to migrate; a plain list is the older form and means migration."""
    if isinstance(stage, dict):
        return _sorted(stage.get("prepare")), _sorted(stage.get("migrate"))
    return (0,), _sorted(stage)


def _sorted(values: Any) -> tuple[int, ...]:
    numbers = {_number(value) for value in values} if isinstance(values, list) else set()
    return tuple(sorted(number for number in numbers if number is not None)) or (0,)


def _number(value: Any) -> int | None:
    """An integer, or a text that is one."""
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        return None
    try:
        return int(value)
    except ValueError:
        return None
