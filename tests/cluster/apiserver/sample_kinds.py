"""Schemas that the tests of the engines share: real built-in kinds, KServe's largest definition, and one of our own."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from mizzen.apis import schema, schemas
from mizzen.apis.meta import ResourceDef
from mizzen.apis.schema import Node

WIDGET = ResourceDef(group="exp.io", version="v1", kind="Widget", plural="widgets")
DEPLOYMENT = ResourceDef(group="apps", version="v1", kind="Deployment", plural="deployments")

_DEFINITIONS = Path(__file__).parents[4] / "shared/data/crds"
_INFERENCE_SERVICES = _DEFINITIONS / "inferenceservices.serving.kserve.io.json"
_ABSENT = "the shared definitions are not beside this checkout"

# One property for each rule that a test asks about.
WIDGET_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "properties": {
                "size": {"type": "integer", "format": "int32", "minimum": 1, "maximum": 10},
                "mode": {"type": "string", "enum": ["a", "b"], "default": "a"},
                "name": {"type": "string", "pattern": "^[a-z]+$"},
                "ratio": {"type": "number", "multipleOf": 0.1, "maximum": 1, "exclusiveMaximum": True},
                "port": {
                    "anyOf": [{"type": "integer"}, {"type": "string"}],
                    "x-kubernetes-int-or-string": True,
                },
                "note": {"type": "string", "minLength": 2, "maxLength": 4, "nullable": True},
                "when": {"type": "string", "format": "date-time"},
                "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
                "args": {"type": "array", "maxItems": 3, "items": {"type": "string"}},
                "env": {
                    "type": "array",
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["name"],
                    "items": {
                        "type": "object",
                        "required": ["name"],
                        "properties": {
                            "name": {"type": "string"},
                            "value": {"type": "string"},
                            "mode": {"type": "string", "default": "plain"},
                        },
                    },
                },
                "ports": {
                    "type": "array",
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["port", "protocol"],
                    "items": {
                        "type": "object",
                        "required": ["port"],
                        "properties": {
                            "port": {"type": "integer"},
                            "protocol": {"type": "string", "default": "TCP"},
                            "name": {"type": "string"},
                        },
                    },
                },
                "labels": {"type": "object", "additionalProperties": {"type": "string"}, "maxProperties": 3},
                "groups": {
                    "type": "object",
                    "additionalProperties": {
                        "type": "object",
                        "properties": {"size": {"type": "integer", "default": 1}, "owner": {"type": "string"}},
                    },
                },
                "selector": {
                    "type": "object",
                    "x-kubernetes-map-type": "atomic",
                    "properties": {"app": {"type": "string"}, "tier": {"type": "string"}},
                },
                "extra": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                "limits": {
                    "type": "object",
                    "default": {},
                    "properties": {
                        "cpu": {"type": "string", "default": "1"},
                        "deep": {"type": "object", "properties": {"x": {"type": "integer", "default": 7}}},
                    },
                },
                "template": {
                    "type": "object",
                    "x-kubernetes-embedded-resource": True,
                    "properties": {"spec": {"type": "object", "properties": {"a": {"type": "integer"}}}},
                },
                "choice": {
                    "type": "object",
                    "properties": {"one": {"type": "string"}, "two": {"type": "string"}},
                    "oneOf": [{"required": ["one"]}, {"required": ["two"]}],
                },
            },
        },
        "status": {
            "type": "object",
            "properties": {"ready": {"type": "boolean"}, "count": {"type": "integer"}},
        },
    },
}


def custom(definition: dict[str, Any]) -> Node:
    """The node of a custom resource, as the registry builds it."""
    properties = {
        **definition["properties"],
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "metadata": {"$ref": "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"},
    }
    return Node({**definition, "properties": properties}, schemas.definitions())


@cache
def widget() -> Node:
    return custom(WIDGET_SCHEMA)


@cache
def deployment() -> Node:
    return schema.builtin("apps", "v1", "Deployment")


@cache
def inference_service_schema() -> dict[str, Any]:
    """KServe's definition of the InferenceService; skips the test where the shared data is not there."""
    if not _INFERENCE_SERVICES.exists():
        pytest.skip(_ABSENT)
    definition: dict[str, Any] = json.loads(_INFERENCE_SERVICES.read_text())
    found: dict[str, Any] = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return found


@cache
def inference_service() -> Node:
    return custom(inference_service_schema())


def shared_schemas() -> list[Any]:
    """Every schema of every definition in the shared data, as parameters; one that is skipped where they are absent."""
    found = [(name, version["schema"]["openAPIV3Schema"]) for name, version in _versions() if "schema" in version]
    return [pytest.param(schema, id=name) for name, schema in found] or [_absent()]


def shared_columns() -> list[Any]:
    """The path of every printer column in the shared data, as parameters."""
    columns = [column for _, version in _versions() for column in version.get("additionalPrinterColumns") or ()]
    return sorted({column["jsonPath"] for column in columns if "jsonPath" in column}) or [_absent()]


def _absent() -> Any:
    return pytest.param(None, marks=pytest.mark.skip(reason=_ABSENT))


def _versions() -> list[tuple[str, dict[str, Any]]]:
    files = sorted(_DEFINITIONS.glob("*.json"))
    definitions = [(file.stem, json.loads(file.read_text())) for file in files]
    return [(f"{name}-{version['name']}", version) for name, raw in definitions for version in raw["spec"]["versions"]]


def widget_object(**spec: Any) -> dict[str, Any]:
    return {"apiVersion": "exp.io/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": spec}


def deployment_object(*containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "d", "namespace": "default"},
        "spec": {
            "selector": {"matchLabels": {"app": "d"}},
            "template": {"metadata": {"labels": {"app": "d"}}, "spec": {"containers": list(containers)}},
            **spec,
        },
    }
