"""A composition as orders look at it: its elements with their phases and stages, and who takes them.

A template is parsed once and shared by all that look at it, so nobody may change what comes out of here.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any
from uuid import UUID

import msgspec
import orjson
from msgspec import Struct

from mizzen.acm.messages.concepts import Identifier, NodeTemplate
from mizzen.acm.runtime.model import Composition, Properties
from mizzen.acm.tosca import composition as tosca
from mizzen.acm.tosca.names import Names

# A runtime serves few definitions at a time; a template has up to some megabytes.
_KEPT = 16

_NODE_FIELDS = NodeTemplate.__struct_fields__


class Template(Struct, frozen=True):
    """A parsed service template.

    Attributes:
        sensitive: where an element's sensitive values stand, by the name of its node template.
    """

    tree: dict[str, Any]
    elements: dict[Identifier, tosca.Element]
    sensitive: dict[str, list[tuple[str, ...]]]
    timeouts: dict[str, int]


@lru_cache(maxsize=_KEPT)
def parsed(text: str, names: Names) -> Template:
    tree: dict[str, Any] = orjson.loads(text)
    elements = {one.identifier: one for one in tosca.elements(tree, names)}
    sensitive = {one.name: tosca.sensitive_paths(tree, one) for one in elements.values()}
    return Template(
        tree=tree,
        elements=elements,
        sensitive={name: paths for name, paths in sensitive.items() if paths},
        timeouts=tosca.timeouts(tree),
    )


class Definition:
    """A composition with its parsed template."""

    def __init__(self, composition: Composition, names: Names) -> None:
        self.composition = composition
        self.template = parsed(composition.text, names)

    @property
    def id(self) -> UUID:
        return self.composition.id

    @property
    def revision(self) -> UUID:
        return self.composition.revision

    def has(self, identifier: Identifier) -> bool:
        return identifier in self.template.elements

    def phase(self, identifier: Identifier) -> int:
        """What is not in the template counts as 0."""
        found = self.template.elements.get(identifier)
        return found.start_phase if found else 0

    def migrate_stages(self, identifier: Identifier) -> tuple[int, ...]:
        found = self.template.elements.get(identifier)
        return found.migrate_stages if found else (0,)

    def prepare_stages(self, identifier: Identifier) -> tuple[int, ...]:
        found = self.template.elements.get(identifier)
        return found.prepare_stages if found else (0,)

    def properties(self, identifier: Identifier) -> Properties:
        found = self.template.elements.get(identifier)
        return found.properties if found else {}

    def out_properties(self, identifier: Identifier) -> Properties:
        node = self.composition.nodes.get(identifier.name)
        return node.out_properties if node else {}

    def participant(self, identifier: Identifier) -> UUID | None:
        node = self.composition.nodes.get(identifier.name)
        return node.participant_id if node else None

    def sensitive(self, identifier: Identifier) -> list[tuple[str, ...]]:
        return self.template.sensitive.get(identifier.name, [])


def node_template(element: tosca.Element) -> NodeTemplate:
    """As it travels."""
    return msgspec.convert({name: element.node_template.get(name) for name in _NODE_FIELDS}, NodeTemplate)
