"""OpenAPI v3: one document a group version, from which kubectl learns what it may send and how lists merge.

A document is made when somebody first asks for it, in a thread, and kept compressed; the index names each by a hash of
what it is made from, so clients cache it for as long as nothing changes. Built-in schemas are those of
:mod:`mizzen.apis.schemas` with descriptions of our own; a custom resource contributes the schema of its definition.
"""

from __future__ import annotations

import asyncio
import hashlib
import zlib
from collections.abc import Iterator, Mapping
from importlib import resources as files
from typing import Any

import msgspec
import orjson

from mizzen.apis import schemas
from mizzen.cluster.apiserver.custom.resource import CustomResource
from mizzen.cluster.apiserver.registry import Registry
from mizzen.cluster.apiserver.resources import Resource

Document = dict[str, Any]

_GVK = "x-kubernetes-group-version-kind"
_META = "io.k8s.apimachinery.pkg.apis.meta.v1"
_OBJECT_META, _LIST_META = f"{_META}.ObjectMeta", f"{_META}.ListMeta"
# Schemas that the compact data spells as a format, and what they are in a document.
_SPELLED_OUT: dict[str, Document] = {
    "quantity": {"oneOf": [{"type": "string"}, {"type": "number"}]},
    "int-or-string": {"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]},
}
_LIST_META_SCHEMA: Document = {
    "type": "object",
    "properties": {
        "continue": {"type": "string"},
        "remainingItemCount": {"type": "integer", "format": "int64"},
        "resourceVersion": {"type": "string"},
        "selfLink": {"type": "string"},
    },
}
_SUBRESOURCE_SCHEMAS = {
    "Scale": "io.k8s.api.autoscaling.v1.Scale",
    "Binding": "io.k8s.api.core.v1.Binding",
    "Eviction": "io.k8s.api.policy.v1.Eviction",
}
_QUERY = {
    "dryRun": "string",
    "fieldManager": "string",
    "fieldValidation": "string",
    "force": "boolean",
}
_PATCHES = (
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/apply-patch+yaml",
)
_STRATEGIC = "application/strategic-merge-patch+json"


class OpenApi:
    """The documents of a registry."""

    def __init__(self, registry: Registry, version: str) -> None:
        self._registry = registry
        self._version = version
        # By path: the hash of what a document was made from, and the document, gzipped.
        self._made: dict[str, tuple[str, bytes]] = {}
        self._making = asyncio.Lock()

    def index(self) -> Document:
        """What ``/openapi/v3`` says: where each document is."""
        found = {}
        for group, versions in self._registry.groups().items():
            for version in versions:
                path = f"apis/{group}/{version}" if group else f"api/{version}"
                hashed = self._hash(group, version)
                found[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={hashed}"}
        return {"paths": found}

    async def document(self, path: str) -> tuple[bytes, str] | None:
        """The document of ``api/v1`` or ``apis/G/V``, gzipped, with its hash; ``None`` if nothing is served there."""
        parts = path.split("/")
        match parts:
            case ["api", version]:
                group = ""
            case ["apis", group, version]:
                pass
            case _:
                return None
        if not self._registry.has_version(group, version):
            return None
        async with self._making:
            hashed = self._hash(group, version)
            made = self._made.get(path)
            if made is None or made[0] != hashed:
                served = self._registry.of_version(group, version)
                made = hashed, await asyncio.to_thread(_made, served, self._version)
                self._made[path] = made
        return made[1], made[0]

    async def swagger(self) -> tuple[bytes, str]:
        """The one document of version 2, in protobuf, gzipped, with its hash."""
        from mizzen.cluster.apiserver import swagger

        async with self._making:
            hashes = [self._hash(group, v) for group, versions in self._registry.groups().items() for v in versions]
            hashed = hashlib.sha256("".join(hashes).encode()).hexdigest().upper()
            made = self._made.get("")
            if made is None or made[0] != hashed:
                served = list(self._registry)
                made = hashed, await asyncio.to_thread(swagger.document, served, self._version)
                self._made[""] = made
        return made[1], made[0]

    def _hash(self, group: str, version: str) -> str:
        """A hash of everything a document depends on, without making it."""
        served = self._registry.of_version(group, version)
        inputs = [r.identity if isinstance(r, CustomResource) else r.definition.kind for r in served]
        return hashlib.sha256(orjson.dumps([self._version, group, version, inputs])).hexdigest().upper()


def _made(served: list[Resource], version: str) -> bytes:
    paths: Document = {}
    components: Document = {}
    for resource in served:
        components.update(components_of(resource))
        paths.update(_paths(resource, component_name(resource)))
    document = {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": version},
        "paths": paths,
        "components": {"schemas": components},
    }
    packer = zlib.compressobj(6, zlib.DEFLATED, 31)
    return packer.compress(orjson.dumps(document)) + packer.flush()


def components_of(resource: Resource) -> Document:
    """The schemas by which a kind is described: its own, its list's, and all that they refer to."""
    name = component_name(resource)
    needed = [_OBJECT_META, *((name,) if not resource.custom else ())]
    needed += [_SUBRESOURCE_SCHEMAS[sub.kind] for sub in resource.subresources if sub.kind in _SUBRESOURCE_SCHEMAS]
    components = dict(_reachable(needed))
    if isinstance(resource, CustomResource):
        components[name] = _custom_schema(resource)
    components[name + "List"] = _list_schema(resource, name)
    components[_LIST_META] = _LIST_META_SCHEMA
    return components


def component_name(resource: Resource) -> str:
    """The name of a kind's schema: that of the published documents, or the reversed group for a custom kind."""
    definition = resource.definition
    if not resource.custom:
        return schemas.names_by_kind()[(definition.group, definition.version, definition.kind)]
    return ".".join([*reversed(definition.group.split(".")), definition.version, definition.kind])


def _reachable(names: list[str]) -> Iterator[tuple[str, Document]]:
    """These built-in schemas and all that they refer to."""
    definitions, described = schemas.definitions(), _descriptions()
    pending, seen = list(names), set(names)
    while pending:
        name = pending.pop()
        raw = definitions[name]
        # Whole objects have some fields in common.
        shared = described[""] if _GVK in raw else {}
        schema = _expanded(raw, {**shared, **described.get(name, {})})
        if len(schema.get(_GVK, ())) > 1:
            # The options of a delete are listed under every group there is; nobody looks them up here.
            del schema[_GVK]
        yield name, schema
        for found in _references(schema):
            if found not in seen:
                seen.add(found)
                pending.append(found)


def _expanded(raw: Document, described: Mapping[str, str]) -> Document:
    """A compact schema as OpenAPI v3 writes it; ``described`` has its own text under "" and its fields' by name."""
    if "$ref" in raw:
        beside = {key: value for key, value in raw.items() if key != "$ref"}
        reference = {"$ref": _reference(raw["$ref"])}
        if described.get(""):
            beside["description"] = described[""]
        # Beside a reference nothing else counts, so what belongs to the field goes around it.
        return {"allOf": [reference], **beside} if beside else reference
    out: Document = {"description": described[""]} if described.get("") else {}
    if "type" not in raw and raw.get("format") in _SPELLED_OUT:
        return out | _SPELLED_OUT[raw["format"]]
    for key, value in raw.items():
        if key == "properties":
            out[key] = {name: _expanded(child, {"": described.get(name, "")}) for name, child in value.items()}
        elif key in ("items", "additionalProperties") and isinstance(value, dict):
            out[key] = _expanded(value, {})
        else:
            out[key] = value
    if "type" not in out:
        out["type"] = "object"
    return out


def _reference(name: str) -> str:
    return f"#/components/schemas/{name}"


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        found = value.get("$ref")
        if isinstance(found, str):
            yield found.rpartition("/")[2]
        for child in value.values():
            yield from _references(child)
    elif isinstance(value, list):
        for child in value:
            yield from _references(child)


def _custom_schema(resource: CustomResource) -> Document:
    described = _descriptions()[""]
    properties = dict(resource.schema.get("properties") or {})
    properties["apiVersion"] = {"type": "string", "description": described["apiVersion"]}
    properties["kind"] = {"type": "string", "description": described["kind"]}
    properties["metadata"] = {
        "allOf": [{"$ref": _reference(_OBJECT_META)}],
        "description": described["metadata"],
    }
    return {
        **resource.schema,
        "type": "object",
        "properties": properties,
        _GVK: [_gvk(resource)],
    }


def _list_schema(resource: Resource, name: str) -> Document:
    definition = resource.definition
    return {
        "type": "object",
        "description": f"{resource.list_kind} is a list of {definition.kind}.",
        "required": ["items"],
        "properties": {
            "apiVersion": {"type": "string"},
            "items": {"type": "array", "items": {"$ref": _reference(name)}},
            "kind": {"type": "string"},
            "metadata": {"$ref": _reference(_LIST_META)},
        },
        _GVK: [{**_gvk(resource), "kind": resource.list_kind}],
    }


def _gvk(resource: Resource) -> dict[str, str]:
    definition = resource.definition
    return {"group": definition.group, "version": definition.version, "kind": definition.kind}


def _paths(resource: Resource, name: str) -> Document:
    definition = resource.definition
    namespace = "{namespace}" if definition.namespaced else None
    collection = definition.path(namespace)
    single = definition.path(namespace, "{name}")
    whole, listed = _content(name), _content(name + "List")
    found: Document = {
        collection: {
            "get": _operation(resource, "list", answer=listed),
            "post": _operation(resource, "post", answer=whole, body=whole),
            "parameters": _in_path(resource, named=False),
        },
        single: {
            "get": _operation(resource, "get", answer=whole),
            "put": _operation(resource, "put", answer=whole, body=whole),
            "patch": _operation(resource, "patch", answer=whole, body=_patch_content(resource)),
            "delete": _operation(resource, "delete", answer=whole),
            "parameters": _in_path(resource, named=True),
        },
    }
    if definition.namespaced:
        found[definition.path()] = {"get": _operation(resource, "list", answer=listed)}
    for sub in resource.subresources:
        methods = {"get": "get", "update": "put", "patch": "patch", "create": "post"}
        content = _content(_SUBRESOURCE_SCHEMAS[sub.kind]) if sub.kind else whole
        operations: Document = {
            methods[verb]: _operation(resource, methods[verb], answer=content) for verb in sub.verbs
        }
        found[f"{single}/{sub.name}"] = {**operations, "parameters": _in_path(resource, named=True)}
    return found


def _operation(resource: Resource, action: str, *, answer: Document, body: Document | None = None) -> Document:
    found: Document = {
        "responses": {"200": {"description": "OK", "content": answer}},
        "x-kubernetes-action": action,
        _GVK: _gvk(resource),
    }
    if action in ("patch", "post", "put"):
        # kubectl leaves the validation of fields to a server that knows this parameter.
        names = [name for name in _QUERY if name != "force" or action == "patch"]
        found["parameters"] = [{"name": name, "in": "query", "schema": {"type": _QUERY[name]}} for name in names]
    if body is not None:
        found["requestBody"] = {"content": body, "required": True}
    return found


def _content(name: str) -> Document:
    return {"application/json": {"schema": {"$ref": _reference(name)}}}


def _patch_content(resource: Resource) -> Document:
    kinds = _PATCHES if resource.custom else (*_PATCHES, _STRATEGIC)
    return {kind: {"schema": {"type": "object"}} for kind in kinds}


def _in_path(resource: Resource, *, named: bool) -> list[Document]:
    names = [*(("namespace",) if resource.definition.namespaced else ()), *(("name",) if named else ())]
    return [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]


def _descriptions() -> dict[str, dict[str, str]]:
    """Our descriptions: by schema, then by field; "" stands for the schema itself, and for what all kinds share."""
    found: dict[str, dict[str, str]] = msgspec.json.decode(
        files.files(__package__).joinpath("descriptions.json").read_bytes()
    )
    return found
