"""CRDs made from our types: one declaration says how a resource is read and what the API server accepts.

Parts of somebody else's schema are spliced in from the built-in definitions: a struct that names the fields of a
PodSpec or Container (``INLINE``), and fields marked with ``field_schema(definition=...)``. Descriptions
are those of the structs' docstrings (:mod:`mizzen.apis.docstrings`).
"""

from __future__ import annotations

from functools import cache
from typing import Any

from msgspec import inspect

from mizzen.apis import docstrings, schemas
from mizzen.apis.meta import Mapping, Object, ResourceDef
from mizzen.apis.schema import expanded

# Lists of a PodSpec that KServe leaves without keys where it is written inline: a user may omit a container's name,
# which admission fills in, and an override replaces the whole list.
_UNKEYED = (
    "containers",
    "initContainers",
    "hostAliases",
    "imagePullSecrets",
    "readinessGates",
    "tolerations",
    "volumes",
)


def crd(kind: type[Object], resource: ResourceDef, *, status: bool = True) -> Mapping:
    """The CustomResourceDefinition of one kind in its one version.

    Args:
        kind: the struct; its ``PRINTER_COLUMNS``, if any, are (name, type, JSONPath) triples.
        resource: group, version and names.
        status: whether the kind has a status sub-resource.
    """
    names: Mapping = {
        "kind": resource.kind,
        "listKind": f"{resource.kind}List",
        "plural": resource.plural,
        "singular": resource.singular,
    }
    if resource.short_names:
        names["shortNames"] = list(resource.short_names)
    if resource.categories:
        names["categories"] = list(resource.categories)
    version: Mapping = {
        "name": resource.version,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": resource_schema(kind)},
    }
    columns = getattr(kind, "PRINTER_COLUMNS", ())
    if columns:
        version["additionalPrinterColumns"] = [
            {"name": name, "type": type_, "jsonPath": path} for name, type_, path in columns
        ]
    if status:
        version["subresources"] = {"status": {}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{resource.plural}.{resource.group}"},
        "spec": {
            "group": resource.group,
            "names": names,
            "scope": "Namespaced" if resource.namespaced else "Cluster",
            "versions": [version],
        },
    }


def resource_schema(kind: type[Object]) -> Mapping:
    """The structural schema of a whole resource."""
    schema = _struct(inspect.type_info(kind))
    schema["properties"] |= {
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "metadata": {"type": "object"},
    }
    schema["properties"] = dict(sorted(schema["properties"].items()))
    return schema


def _struct(info: Any) -> Mapping:
    inlined = {
        name: base.INLINE
        for base in info.cls.__mro__
        if "INLINE" in base.__dict__
        for name in base.__struct_encode_fields__
    }
    described = docstrings.attributes(info.cls)
    properties: Mapping = {}
    required = []
    for field in info.fields:
        if field.encode_name in inlined:
            schema = _spliced(inlined[field.encode_name], field.encode_name)
        else:
            schema = _type(field.type)
        if field.name in described:
            schema = schema | {"description": described[field.name]}
        properties[field.encode_name] = schema
        if field.required and not _optional(field.type):
            required.append(field.encode_name)
    schema = {"type": "object", "properties": dict(sorted(properties.items()))}
    text = docstrings.summary(info.cls)
    if text:
        schema["description"] = text
    if required:
        schema["required"] = sorted(required)
    return schema


@cache
def _spliced(definition: str, field: str) -> Mapping:
    schema = expanded(schemas.definitions()[definition]["properties"][field])
    if definition.endswith(".PodSpec") and field in _UNKEYED:
        schema = {key: value for key, value in schema.items() if not key.startswith("x-kubernetes-list")}
    _relax(schema if field != "os" else {"properties": {"os": schema}})
    place = "spec" if definition.endswith(".PodSpec") else "spec.containers"
    return {"description": f"As {place}.{field} of a Pod."} | schema


def _relax(schema: Mapping) -> None:
    """Demand no port of a probe (as in Knative, it then means the container's own) and no name of an ``os``."""
    for name, child in schema.get("properties", {}).items():
        if name in ("httpGet", "tcpSocket", "os"):
            child.pop("required", None)
        _relax(child)
    if isinstance(schema.get("items"), dict):
        _relax(schema["items"])


def _optional(info: Any) -> bool:
    if isinstance(info, inspect.Metadata):
        return _optional(info.type)
    return isinstance(info, inspect.UnionType) and any(isinstance(t, inspect.NoneType) for t in info.types)


def _type(info: Any) -> Mapping:
    if isinstance(info, inspect.Metadata):
        keywords = dict(info.extra_json_schema or {})
        if "definition" in keywords:
            return expanded({"$ref": keywords.pop("definition")}) | keywords
        if "items_definition" in keywords:
            return {"type": "array", "items": expanded({"$ref": keywords.pop("items_definition")})} | keywords
        if keywords.get("format") == "quantity":
            return expanded(keywords)
        return _type(info.type) | keywords
    if isinstance(info, inspect.UnionType):
        kinds = [kind for kind in info.types if not isinstance(kind, inspect.NoneType)]
        kinds = [kind for kind in kinds if not isinstance(kind, inspect.CustomType)]
        if len(kinds) == 1:
            return _type(kinds[0])
        return expanded({"format": "int-or-string"})
    if isinstance(info, inspect.StructType):
        return _struct(info)
    if isinstance(info, inspect.ListType):
        return {"type": "array", "items": _type(info.item_type)}
    if isinstance(info, inspect.DictType):
        if isinstance(info.value_type, inspect.AnyType):
            return {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        return {"type": "object", "additionalProperties": _type(info.value_type)}
    if isinstance(info, inspect.StrType):
        return {"type": "string"}
    if isinstance(info, inspect.BoolType):
        return {"type": "boolean"}
    if isinstance(info, inspect.IntType):
        return {"type": "integer"}
    if isinstance(info, inspect.FloatType):
        return {"type": "number"}
    if isinstance(info, inspect.AnyType):
        return {"x-kubernetes-preserve-unknown-fields": True}
    raise TypeError(f"no schema for {info}")
