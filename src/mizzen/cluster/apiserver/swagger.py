"""OpenAPI v2 in protobuf, for kubectl 1.28, which knows no other schema.

Later kubectls read version 3 (:mod:`mizzen.cluster.apiserver.openapi`). This one asks for the message
``openapi.v2.Document`` and uses three things of it: the schema of each kind, for ``explain`` and for computing patches,
and whether a kind's PATCH takes ``fieldValidation``. So that is what is written here, and nothing else. Field numbers
are those of gnostic's ``OpenAPIv2.proto``.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from mizzen.cluster.apiserver.openapi import Document, components_of
from mizzen.cluster.apiserver.resources import Resource

_LENGTH_DELIMITED = 2


def document(served: Iterable[Resource], version: str) -> bytes:
    """The document for all that is served, gzipped."""
    definitions: dict[str, bytes] = {}
    paths: list[bytes] = []
    for resource in served:
        for name, schema in components_of(resource).items():
            if name not in definitions:
                definitions[name] = _named(name, _schema(schema))
        paths.append(_path(resource))
    info = _text(1, "Kubernetes") + _text(2, version)
    found = b"".join(
        (
            _text(1, "2.0"),
            _message(2, info),
            _message(8, b"".join(_message(2, path) for path in paths)),
            _message(9, b"".join(_message(1, definition) for definition in definitions.values())),
        )
    )
    packer = zlib.compressobj(6, zlib.DEFLATED, 31)
    return packer.compress(found) + packer.flush()


def _path(resource: Resource) -> bytes:
    """A NamedPathItem with the PATCH of a kind."""
    definition = resource.definition
    gvk = {"group": definition.group, "version": definition.version, "kind": definition.kind}
    parameters = b"".join(_message(8, _query_parameter(name)) for name in ("dryRun", "fieldManager", "fieldValidation"))
    operation = parameters + _message(13, _extension("x-kubernetes-group-version-kind", gvk))
    namespace = "{namespace}" if definition.namespaced else None
    return _named(definition.path(namespace, "{name}"), _message(8, operation))


def _query_parameter(name: str) -> bytes:
    """A ParametersItem: a parameter, not in the body, in the query."""
    found = _text(3, "query") + _text(4, name) + _text(6, "string")
    return _message(1, _message(2, _message(3, found)))


def _schema(schema: Document) -> bytes:
    return b"".join(_schema_fields(schema))


def _schema_fields(schema: Document) -> Iterator[bytes]:
    if "allOf" in schema and "$ref" in schema["allOf"][0]:
        schema = {**schema, **schema["allOf"][0]}
    reference = schema.get("$ref")
    if reference:
        yield _text(1, f"#/definitions/{reference.rpartition('/')[2]}")
    kind, form = schema.get("type", ""), schema.get("format", "")
    if schema.get("x-kubernetes-int-or-string") or (not kind and form == "int-or-string"):
        kind, form = "string", "int-or-string"
    elif "oneOf" in schema and not kind:
        kind = "string"
    if form:
        yield _text(2, form)
    if schema.get("description"):
        yield _text(4, schema["description"])
    for name in schema.get("required") or ():
        yield _text(19, name)
    additional = schema.get("additionalProperties")
    if isinstance(additional, dict):
        yield _message(21, _message(1, _schema(additional)))
    if kind and not reference:
        yield _message(22, _text(1, kind))
    if isinstance(schema.get("items"), dict):
        yield _message(23, _message(1, _schema(schema["items"])))
    properties = schema.get("properties")
    if properties:
        yield _message(25, b"".join(_message(1, _named(name, _schema(child))) for name, child in properties.items()))
    for name, value in schema.items():
        if name.startswith("x-kubernetes-") and name != "x-kubernetes-validations":
            yield _message(31, _extension(name, value))


def _extension(name: str, value: Any) -> bytes:
    """A NamedAny. JSON is YAML, and needs no quoting of its own."""
    return _named(name, _text(2, orjson.dumps(value).decode()))


def _named(name: str, value: bytes) -> bytes:
    """An entry of what is a map in JSON: Named*{1: name, 2: value}."""
    return _text(1, name) + _message(2, value)


def _text(number: int, text: str) -> bytes:
    return _message(number, text.encode())


def _message(number: int, body: bytes) -> bytes:
    return _varint(number << 3 | _LENGTH_DELIMITED) + _varint(len(body)) + body


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)
