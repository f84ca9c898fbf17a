"""What every resource has: its kind, its metadata, and the three states a field can be in.

A field of a manifest is set, absent, or (from clients that write Go's zero values) ``null``. ``UNSET`` stands for
absent and is the only value that encoding leaves out, so an explicit ``false``, ``0``, ``""`` or ``[]`` survives
every round trip. ``UNSET`` and ``None`` are both false, so ``spec.replicas or 1`` reads a count that may be absent;
where zero means something, use :func:`given`.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeVar, Union

import msgspec
from msgspec import UNSET, UnsetType

T = TypeVar("T")

# The shape of an optional field. `null` is accepted wherever a field may be absent, as Kubernetes does.
Opt = Union[T, None, UnsetType]  # noqa: UP007 - a generic alias needs Union

# A part of the manifest whose schema belongs to somebody else and stays as it was written.
Mapping = dict[str, Any]


def given(value: Opt[T]) -> T | None:
    """The value, or ``None`` when the field is absent or null."""
    return None if value is UNSET else value


def given_or(value: Opt[T], default: T) -> T:
    """The value, or ``default`` when the field is absent or null. Zero, false and empty values stay."""
    return default if value is UNSET or value is None else value


def field_schema(**keywords: Any) -> msgspec.Meta:
    """Keywords for the CRD schema of a field, used as ``Annotated[Opt[str], field_schema(enum=["a", "b"])]``.

    They bind the API server, not the decoder: an object that an older or foreign server stored can still be read.
    ``definition`` and ``items_definition`` name a built-in definition that takes the place of the field's, or of its
    items', own schema.
    """
    return msgspec.Meta(extra_json_schema=keywords)


Int32 = Annotated[Opt[int], field_schema(format="int32")]

ATOMIC_LIST = msgspec.Meta(extra_json_schema={"x-kubernetes-list-type": "atomic"})


def list_map(*keys: str) -> msgspec.Meta:
    """A list that server-side apply shares item by item, each known by these keys."""
    return msgspec.Meta(extra_json_schema={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)})


class Schema(msgspec.Struct, rename="camel", kw_only=True):
    """Base of every typed part of a manifest: camelCase on the wire, snake_case in Python."""


class ResourceDef(msgspec.Struct, frozen=True, kw_only=True):
    """How a kind is addressed: what a client needs to build its URLs.

    ``group`` is empty for the core group. ``plural`` is the lower-case name in paths.
    """

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()

    @property
    def api_version(self) -> str:
        """``group/version``, or the bare version in the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def singular(self) -> str:
        return self.kind.lower()

    @property
    def qualified(self) -> str:
        """The plural with its group, as messages name a resource: ``deployments.apps``."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """The URL path of the collection, or of one object or sub-resource.

        ``namespace`` is ignored for cluster-scoped kinds; ``None`` means all namespaces.
        """
        parts = ["/api" if not self.group else f"/apis/{self.group}", self.version]
        if namespace and self.namespaced:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        if name:
            parts.append(name)
            if subresource:
                parts.append(subresource)
        return "/".join(parts)


class OwnerReference(Schema):
    api_version: str
    kind: str
    name: str
    uid: str
    controller: Opt[bool] = UNSET
    block_owner_deletion: Opt[bool] = UNSET


class ObjectMeta(Schema):
    """``metadata`` of any object. Times are RFC 3339 strings in UTC, as on the wire."""

    name: Opt[str] = UNSET
    generate_name: Opt[str] = UNSET
    namespace: Opt[str] = UNSET
    uid: Opt[str] = UNSET
    resource_version: Opt[str] = UNSET
    generation: Opt[int] = UNSET
    creation_timestamp: Opt[str] = UNSET
    deletion_timestamp: Opt[str] = UNSET
    deletion_grace_period_seconds: Opt[int] = UNSET
    labels: Opt[dict[str, str]] = UNSET
    annotations: Opt[dict[str, str]] = UNSET
    finalizers: Opt[list[str]] = UNSET
    owner_references: Opt[list[OwnerReference]] = UNSET

    def label(self, key: str, default: str = "") -> str:
        return (self.labels or {}).get(key, default)

    def annotation(self, key: str, default: str = "") -> str:
        return (self.annotations or {}).get(key, default)


class Object(Schema):
    """A whole resource. Subclasses set ``RESOURCE`` and add ``spec`` and ``status``."""

    api_version: Opt[str] = UNSET
    kind: Opt[str] = UNSET
    metadata: ObjectMeta = msgspec.field(default_factory=ObjectMeta)

    @property
    def name(self) -> str:
        return self.metadata.name or ""

    @property
    def namespace(self) -> str:
        return self.metadata.namespace or ""

    @property
    def uid(self) -> str:
        return self.metadata.uid or ""


class LabelSelectorRequirement(Schema):
    key: str
    operator: str
    values: Opt[list[str]] = UNSET


class LabelSelector(Schema):
    match_labels: Opt[dict[str, str]] = UNSET
    match_expressions: Opt[list[LabelSelectorRequirement]] = UNSET


def owner_reference(owner: Object, resource: ResourceDef) -> Mapping:
    """The reference that makes ``owner`` the one controller of a child, and holds its foreground deletion."""
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "name": owner.name,
        "uid": owner.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def controller_of(metadata: ObjectMeta) -> OwnerReference | None:
    """The one owner that controls this object, if any."""
    for reference in metadata.owner_references or ():
        if reference.controller:
            return reference
    return None
