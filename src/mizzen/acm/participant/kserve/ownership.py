"""Whose an InferenceService is: three labels and a hash, written when it is made and read before it is touched.

The labels name the instance, its element and the entity. They are the only test for changing or deleting anything, so
that nothing is touched which somebody else has made under the same name. The hash tells which payload was applied
last; what the API, KServe or people have made of it since is no business of the hash.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from enum import Enum
from typing import Any

from msgspec import Struct

from mizzen.acm.messages.concepts import Identifier
from mizzen.acm.participant.handler import Element
from mizzen.acm.participant.kserve.entities import Entity
from mizzen.kube.children import render_hash

INSTANCE_LABEL = "mizzen.internal/acm-instance"
ELEMENT_LABEL = "mizzen.internal/acm-element"
ENTITY_LABEL = "mizzen.internal/acm-entity"
HASH_ANNOTATION = "mizzen.internal/acm-payload-hash"

_LONGEST_LABEL = 63


class Whose(Enum):
    OURS = "ours"
    NOBODYS = "nobody's"
    ANOTHERS = "another's"


class Owner(Struct, frozen=True):
    """One element of one instance."""

    instance: str
    element: str

    @classmethod
    def of(cls, element: Element) -> Owner:
        return cls(str(element.instance_id), str(element.element_id))

    @property
    def selector(self) -> str:
        """For listing all that is this element's."""
        return f"{INSTANCE_LABEL}={self.instance},{ELEMENT_LABEL}={self.element}"

    def labels(self, entity: Identifier) -> dict[str, str]:
        return {INSTANCE_LABEL: self.instance, ELEMENT_LABEL: self.element, ENTITY_LABEL: label_value(entity)}

    def whose(self, found: Mapping[str, Any]) -> Whose:
        """Whose an object is, seen from this element."""
        labels = labels_of(found)
        marks = labels.get(INSTANCE_LABEL), labels.get(ELEMENT_LABEL)
        if marks == (self.instance, self.element):
            return Whose.OURS
        return Whose.NOBODYS if marks == (None, None) else Whose.ANOTHERS


def marked(entity: Entity, owner: Owner) -> dict[str, Any]:
    """The payload as it is sent: with the labels and the hash of what it was without them."""
    metadata = entity.payload["metadata"]
    return {
        **entity.payload,
        "metadata": {
            **metadata,
            "labels": {**(metadata.get("labels") or {}), **owner.labels(entity.id)},
            "annotations": {**(metadata.get("annotations") or {}), HASH_ANNOTATION: render_hash(entity.payload)},
        },
    }


def is_other(found: Mapping[str, Any], entity: Entity) -> bool:
    """Whether it is known that another payload was applied last."""
    annotations = (found.get("metadata") or {}).get("annotations") or {}
    return annotations.get(HASH_ANNOTATION) not in (None, render_hash(entity.payload))


def told(found: Mapping[str, Any]) -> str:
    """Whose an object is that is not ours, as a clause."""
    labels = labels_of(found)
    if INSTANCE_LABEL not in labels and ELEMENT_LABEL not in labels:
        return "it carries no instance's label"
    return f"it belongs to element {labels.get(ELEMENT_LABEL)} of instance {labels.get(INSTANCE_LABEL)}"


def labels_of(found: Mapping[str, Any]) -> Mapping[str, str]:
    return (found.get("metadata") or {}).get("labels") or {}


def label_value(identifier: Identifier) -> str:
    """A name and version as a label may hold them; what does not fit is cut, and told apart by a hash."""
    text = f"{identifier.name}_{identifier.version}"
    plain = re.sub(r"[^A-Za-z0-9_.-]", "_", text).strip("_.-")
    if plain == text and len(plain) <= _LONGEST_LABEL:
        return plain
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return f"{plain[: _LONGEST_LABEL - 9].rstrip('_.-')}_{digest}".strip("_.-")
