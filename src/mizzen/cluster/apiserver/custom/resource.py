"""One version of a custom resource, as its definition says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import Any

import orjson

from mizzen.apis import schemas
from mizzen.apis.meta import ResourceDef
from mizzen.apis.schema import Node
from mizzen.cluster.apiserver import jsonpath, schema
from mizzen.cluster.apiserver.ages import age
from mizzen.cluster.apiserver.resources import SCALE, STATUS, Column, Object, Resource, Scaling, Subresource, at
from mizzen.cluster.apiserver.table import AGE
from mizzen.kube.errors import ApiError, Cause

_ANYTHING = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


class CustomResource(Resource):
    """A kind from a CustomResourceDefinition.

    Args:
        definition: the CustomResourceDefinition, complete with defaults.
        version: the name of the version this is.
    """

    custom = True
    counts_generation = True
    unconditional_update = False

    def __init__(self, definition: Object, version: str) -> None:
        spec = definition["spec"]
        names = spec["names"]
        versions = {found["name"]: found for found in spec["versions"]}
        self._own = versions[version]
        self._storage_version = next(name for name, found in versions.items() if found["storage"])
        self._group = spec["group"]
        self.identity = identity_of(definition)
        self.definition = ResourceDef(
            group=spec["group"],
            version=version,
            kind=names["kind"],
            plural=names["plural"],
            namespaced=spec["scope"] == "Namespaced",
            short_names=tuple(names.get("shortNames") or ()),
            categories=tuple(names.get("categories") or ()),
        )
        self.schema = schema_of(self._own)
        self._schemas = {name: schema_of(found) for name, found in versions.items()}
        self._siblings = {name for name, found in self._schemas.items() if found == self.schema}
        self._singular: str = names.get("singular") or names["kind"].lower()
        self._list_kind: str = names.get("listKind") or names["kind"] + "List"
        self._terminating = bool(definition["metadata"].get("deletionTimestamp"))
        wanted = self._own.get("subresources") or {}
        self.scaling = _scaling(wanted.get("scale"))
        self.subresources: Sequence[Subresource] = (
            *((STATUS,) if "status" in wanted else ()),
            *((SCALE,) if self.scaling else ()),
        )
        self.columns: Sequence[Column] = _columns(self._own.get("additionalPrinterColumns") or ())
        self.selectable: Mapping[str, Callable[[Object], str]] = _selectable(self._own.get("selectableFields") or ())
        # Entries are shared by all versions, so what is remembered with them covers the fields of all.
        self._selectable_anywhere = _selectable(
            [field for found in versions.values() for field in found.get("selectableFields") or ()]
        )
        self.deprecation = _deprecation(self._own, self.definition)

    @property
    def singular(self) -> str:
        return self._singular

    @property
    def list_kind(self) -> str:
        return self._list_kind

    @cached_property
    def node(self) -> Node:
        return _node(self.schema)

    def present(self, data: bytes) -> bytes:
        if data.startswith(self.prefix):
            return data
        # Stored bytes begin with the apiVersion, so with equal schemas another version is another beginning.
        end = data.index(b'"', len(_API_VERSION))
        stored = data[len(_API_VERSION) : end].decode().rpartition("/")[2]
        shown = b"%s%s%s" % (_API_VERSION, self.definition.api_version.encode(), data[end:])
        return shown if stored in self._siblings else self.conformed(shown)

    def stored(self, value: Object) -> Object:
        if self._storage_version == self.definition.version:
            return value
        value["apiVersion"] = f"{self._group}/{self._storage_version}"
        if self._storage_version not in self._siblings:
            _conform(value, _node(self._schemas[self._storage_version]))
        return value

    def conformed(self, data: bytes) -> bytes:
        """Bytes of this version as its schema has them today: pruned and defaulted."""
        value = orjson.loads(data)
        _conform(value, self.node)
        return orjson.dumps(value)

    def validate(self, value: Object) -> list[Cause]:
        restricted = at(self.schema, "properties", "metadata")
        if not restricted:
            return []
        found = {field: value["metadata"][field] for field in _RESTRICTABLE if field in value["metadata"]}
        return schema.validate(found, Node(restricted), path="metadata")

    def wanted(self, value: Object) -> Any:
        apart = ("metadata", "status") if self.has_status else ("metadata",)
        return {key: part for key, part in value.items() if key not in apart}

    def fields(self, value: Object) -> dict[str, str]:
        return {name: read(value) for name, read in self._selectable_anywhere.items()}

    def check_create(self) -> None:
        if self._terminating:
            message = "create not allowed while custom resource definition is terminating"
            raise ApiError(405, "MethodNotAllowed", message, {})


_API_VERSION = b'{"apiVersion":"'
# What of its objects' metadata a definition may have rules about.
_RESTRICTABLE = ("name", "generateName")
# What every object has, whatever its definition says of it.
_IDENTITY = {
    "apiVersion": {"type": "string"},
    "kind": {"type": "string"},
    "metadata": {"$ref": "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"},
}


def identity_of(definition: Object) -> tuple[str, int, bool]:
    """What changes whenever the resources of a definition have to be made anew."""
    metadata = definition["metadata"]
    return metadata["uid"], metadata.get("generation", 0), bool(metadata.get("deletionTimestamp"))


def schema_of(version: Object) -> Object:
    """The schema of a version of a definition; one that says nothing allows everything."""
    found: Object = at(version, "schema", "openAPIV3Schema") or _ANYTHING
    return found


def _node(found: Object) -> Node:
    """A schema of a definition as one to walk, with the metadata that all objects have."""
    return Node({**found, "properties": {**(found.get("properties") or {}), **_IDENTITY}}, schemas.definitions())


def _conform(value: Object, node: Node) -> None:
    schema.drop_nulls(value, node)
    schema.prune(value, node)
    schema.set_defaults(value, node)


def _deprecation(version: Object, definition: ResourceDef) -> str:
    if not version.get("deprecated"):
        return ""
    return version.get("deprecationWarning") or f"{definition.api_version} {definition.kind} is deprecated"


def _scaling(found: Object | None) -> Scaling | None:
    if not found:
        return None
    selector_path = found.get("labelSelectorPath")

    def selector(value: Object) -> str:
        text = at(value, *_simple(selector_path)) if selector_path else ""
        return text if isinstance(text, str) else ""

    return Scaling(_simple(found["specReplicasPath"]), _simple(found["statusReplicasPath"]), selector)


def _simple(path: str) -> tuple[str, ...]:
    """A JSON path that only names fields, as a tuple of them."""
    return tuple(part for part in path.strip("{}").split(".") if part)


def _selectable(found: Sequence[Object]) -> dict[str, Callable[[Object], str]]:
    return {item["jsonPath"].lstrip("."): _selected(item["jsonPath"]) for item in found}


def _selected(path: str) -> Callable[[Object], str]:
    compiled = jsonpath.compile(path)

    def read(value: Object) -> str:
        found = compiled.find(value)
        if not found or found[0] is None:
            return ""
        return str(found[0]).lower() if isinstance(found[0], bool) else str(found[0])

    return read


def _columns(found: Sequence[Object]) -> tuple[Column, ...]:
    columns = tuple(
        Column(
            name=item["name"],
            cell=_cell(item["jsonPath"], item["type"]),
            type=item["type"],
            format=item.get("format") or "",
            description=item.get("description") or f"Custom resource definition column: {item['jsonPath']}",
            wide=bool(item.get("priority")),
        )
        for item in found
    )
    return columns or (AGE,)


def _cell(path: str, kind: str) -> Callable[[Object, datetime], Any]:
    compiled = jsonpath.compile(path)

    def cell(value: Object, now: datetime) -> Any:
        found = compiled.find(value)
        if not found or found[0] is None:
            return None
        return _shown(found[0], kind, now)

    return cell


def _shown(value: Any, kind: str, now: datetime) -> Any:
    """A value as a cell of its column's type; null where it is of another type."""
    match kind:
        case "date":
            return age(value, now, "<invalid>") if isinstance(value, str) else None
        case "integer":
            return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
        case "number":
            return value if isinstance(value, int | float) and not isinstance(value, bool) else None
        case "boolean":
            return value if isinstance(value, bool) else None
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else orjson.dumps(value).decode()
