"""What the server knows about a kind, and what a kind may do differently from all others.

A :class:`Resource` answers every question the machinery has: how the kind is addressed, which schema it follows, what
is defaulted, checked and kept on a write, which columns a table shows, how it is deleted. The base class gives the
answers most kinds share; a built-in kind overrides a few of them, a custom resource derives them from its definition.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import Any, Literal

import msgspec

from mizzen.apis.meta import ResourceDef
from mizzen.apis.schema import Node, builtin
from mizzen.kube.errors import Cause

Object = dict[str, Any]
NameRule = Literal["subdomain", "label", "service", "path"]

VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


class Column(msgspec.Struct, frozen=True):
    """One column of a table. ``cell`` gives its value at a time; ``wide`` shows it only when more is asked for."""

    name: str
    cell: Callable[[Object, datetime], Any]
    type: str = "string"
    format: str = ""
    description: str = ""
    wide: bool = False


class Scaling(msgspec.Struct, frozen=True):
    """Where the numbers of an ``autoscaling/v1`` Scale lie in an object; ``selector`` gives the labels of its pods."""

    spec_replicas: tuple[str, ...]
    status_replicas: tuple[str, ...]
    selector: Callable[[Object], str]


class Subresource(msgspec.Struct, frozen=True):
    """A sub-resource as discovery lists it. Empty ``kind`` means the kind of the object itself."""

    name: str
    verbs: tuple[str, ...]
    kind: str = ""
    group: str = ""
    version: str = ""


STATUS = Subresource("status", ("get", "patch", "update"))
SCALE = Subresource("scale", ("get", "patch", "update"), "Scale", "autoscaling", "v1")


class Resource:
    """One kind in one version. Instances hold no objects; they are shared by all requests."""

    definition: ResourceDef
    name_rule: NameRule = "subdomain"
    custom = False
    subresources: Sequence[Subresource] = ()
    scaling: Scaling | None = None
    # Whether metadata.generation counts the changes of what the user wants.
    counts_generation = False
    # Whether a PUT without resourceVersion overwrites whatever is there.
    unconditional_update = True
    # Whether a completed DELETE answers with the object instead of a Status.
    returns_deleted = False
    # What to warn of whoever uses this version, if anything.
    deprecation = ""
    # Fields that a field selector may name, beside metadata.name and metadata.namespace.
    selectable: Mapping[str, Callable[[Object], str]] = {}
    columns: Sequence[Column] = ()

    @property
    def singular(self) -> str:
        return self.definition.singular

    @property
    def list_kind(self) -> str:
        return self.definition.kind + "List"

    @property
    def storage(self) -> str:
        """The shelf of the store; all versions of a kind share it."""
        return self.definition.qualified

    @cached_property
    def node(self) -> Node:
        """The schema of the kind in this version."""
        return builtin(self.definition.group, self.definition.version, self.definition.kind)

    @property
    def has_status(self) -> bool:
        return STATUS in self.subresources

    @cached_property
    def prefix(self) -> bytes:
        """How the bytes of every object of this kind and version begin."""
        api_version, kind = self.definition.api_version, self.definition.kind
        return f'{{"apiVersion":"{api_version}","kind":"{kind}",'.encode()

    def subresource(self, name: str) -> Subresource | None:
        return next((found for found in self.subresources if found.name == name), None)

    # The form an object has outside and inside the store. One version, one form, unless a kind says otherwise.

    def present(self, data: bytes) -> bytes:
        """Stored bytes as this version shows them."""
        return data

    def stored(self, value: Object) -> Object:
        """An object of this version as it is stored."""
        return value

    # What a kind does to an object on its way in. Each changes the mapping it is given.

    def default(self, value: Object) -> None:
        """Fill in what the writer left out and readers rely on."""

    def prepare_create(self, value: Object) -> None:
        """Set what the server alone decides about a new object. :meth:`abandon` undoes it if it is not stored."""

    def prepare_update(self, value: Object, old: Object, subresource: str) -> None:
        """Carry over what an update may not change, and set what the server alone decides.

        For the sub-resource ``status``, all but the status is shared with ``old`` and must be left alone.
        """

    def abandon(self, value: Object) -> None:
        """An object was prepared and then not stored."""

    # What a kind refuses.

    def validate(self, value: Object) -> list[Cause]:
        """What is wrong with an object beyond its schema."""
        return []

    def validate_update(self, value: Object, old: Object, subresource: str) -> list[Cause]:
        """What may not change from ``old`` to ``value``."""
        return []

    def warnings(self, value: Object) -> list[str]:
        """What is accepted but will not do what its writer may think."""
        return []

    def check_create(self) -> None:
        """Raises :class:`ApiError` while no new object of the kind is accepted."""

    def check_delete(self, value: Object) -> None:
        """Raises :class:`ApiError` for an object that may not be deleted."""

    # How it ends and how it counts.

    def grace(self, value: Object, requested: int | None) -> int:
        """How many seconds an object is given to end; 0 removes it at once."""
        return 0

    def holds(self, value: Object) -> bool:
        """Whether something beside its finalizers keeps an object that is being deleted."""
        return False

    def ending(self, value: Object) -> None:
        """Mark an object that begins to be deleted, beyond its metadata."""

    def wanted(self, value: Object) -> Any:
        """The part of an object whose changes ``metadata.generation`` counts."""
        return value.get("spec")

    def fields(self, value: Object) -> dict[str, str]:
        """What field selectors compare, beside name and namespace."""
        return {name: read(value) for name, read in self.selectable.items()}


def at(value: Any, *path: str) -> Any:
    """What lies at a path of keys, or ``None``."""
    for key in path:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


def text_at(*path: str) -> Callable[[Object], str]:
    """A reader of one field as selectors compare it: strings as they are, booleans in lower case, absent as empty."""

    def read(value: Object) -> str:
        found = at(value, *path)
        if isinstance(found, bool):
            return "true" if found else "false"
        return "" if found is None else str(found)

    return read


def fill(value: Object, **defaults: Any) -> None:
    """Set fields that are absent or empty texts; zero, false and empty collections stay."""
    for field, default in defaults.items():
        if value.get(field) in (None, ""):
            value[field] = default
