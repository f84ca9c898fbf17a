"""The rules for the schema of a definition."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from cluster.apiserver.sample_kinds import WIDGET_SCHEMA, inference_service_schema, shared_schemas
from mizzen.cluster.apiserver.structural import structural_causes

ROOT = "spec.versions[0].schema.openAPIV3Schema"
REQUIRED, FORBIDDEN, INVALID = "FieldValueRequired", "FieldValueForbidden", "FieldValueInvalid"


def causes(raw: dict[str, Any]) -> list[tuple[str, str]]:
    """What is wrong with a schema whose one property is ``raw``, with the paths below that property."""
    root = {"type": "object", "properties": {"p": raw}}
    found = structural_causes(root, ROOT)
    return sorted((cause["reason"], cause["field"].removeprefix(f"{ROOT}.properties[p].")) for cause in found)


def test_our_own_definition_is_structural() -> None:
    assert structural_causes(WIDGET_SCHEMA, ROOT) == []


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"type": "integer"}, []),
        ({"x-kubernetes-int-or-string": True}, []),
        ({"x-kubernetes-preserve-unknown-fields": True}, []),
        ({}, [(REQUIRED, "type")]),
        ({"type": "null"}, [(FORBIDDEN, "type")]),
        ({"type": "text"}, [("FieldValueNotSupported", "type")]),
        ({"type": "integer", "x-kubernetes-int-or-string": True}, [(FORBIDDEN, "type")]),
        ({"type": "string", "x-kubernetes-preserve-unknown-fields": True}, [(INVALID, "type")]),
        ({"type": "array"}, [(REQUIRED, "items")]),
        ({"type": "array", "items": {}}, [(REQUIRED, "items.type")]),
        ({"type": "array", "items": [{"type": "string"}]}, [(FORBIDDEN, "items")]),
        ({"type": "object", "properties": {"a": {}}}, [(REQUIRED, "properties[a].type")]),
        ({"type": "object", "additionalProperties": {}}, [(REQUIRED, "additionalProperties.type")]),
        ({"type": "object", "additionalProperties": False}, [(FORBIDDEN, "additionalProperties")]),
        (
            {"type": "object", "additionalProperties": {"type": "string"}, "properties": {"a": {"type": "string"}}},
            [(FORBIDDEN, "additionalProperties")],
        ),
        ({"type": "object", "$ref": "#/x"}, [(FORBIDDEN, "$ref")]),
        ({"type": "object", "definitions": {"a": {}}}, [(FORBIDDEN, "definitions")]),
        ({"type": "object", "dependencies": {"a": ["b"]}}, [(FORBIDDEN, "dependencies")]),
        ({"type": "object", "patternProperties": {"a": {}}}, [(FORBIDDEN, "patternProperties")]),
        ({"type": "string", "deprecated": True}, [(FORBIDDEN, "deprecated")]),
        ({"type": "string", "readOnly": True}, [(FORBIDDEN, "readOnly")]),
        ({"type": "array", "items": {"type": "string"}, "uniqueItems": True}, [(FORBIDDEN, "uniqueItems")]),
        ({"type": "string", "pattern": "("}, [(INVALID, "pattern")]),
        ({"type": "integer", "default": "x"}, [("FieldValueTypeInvalid", "default")]),
        ({"type": "object", "default": {}, "required": ["a"]}, [(REQUIRED, "default.a")]),
        ({"type": "integer", "minimum": "1"}, [(INVALID, "minimum")]),
        ({"type": "string", "maxLength": True}, [(INVALID, "maxLength")]),
        ({"type": "object", "required": [1]}, [(INVALID, "required")]),
        ({"type": "object", "properties": []}, [(INVALID, "properties")]),
        ({"type": "object", "properties": {"a": 1}}, [(INVALID, "properties[a]")]),
        (
            {"x-kubernetes-preserve-unknown-fields": False, "type": "object"},
            [(INVALID, "x-kubernetes-preserve-unknown-fields")],
        ),
        ({"x-kubernetes-embedded-resource": True, "type": "object"}, [(REQUIRED, "properties")]),
        ({"x-kubernetes-embedded-resource": True, "type": "string"}, [(INVALID, "type")]),
        ({"x-kubernetes-map-type": "atomic", "type": "object"}, []),
        ({"x-kubernetes-map-type": "odd", "type": "object"}, [("FieldValueNotSupported", "x-kubernetes-map-type")]),
        ({"x-kubernetes-map-type": "atomic", "type": "string"}, [(INVALID, "type")]),
    ],
)
def test_each_rule_for_one_node(raw: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    assert causes(raw) == expected


def keyed(keys: Any, list_type: str = "map", **items: Any) -> dict[str, Any]:
    raw = {"type": "array", "x-kubernetes-list-type": list_type, "items": {"type": "object", **items}}
    return raw | ({"x-kubernetes-list-map-keys": keys} if keys is not None else {})


NAME = {"name": {"type": "string"}}


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (keyed(["name"], properties=NAME, required=["name"]), []),
        (keyed(["name"], properties={"name": {"type": "string", "default": "x"}}), []),
        (keyed(["name"], properties=NAME), [(REQUIRED, "items.properties[name].default")]),
        (keyed(["other"], properties=NAME), [(INVALID, "x-kubernetes-list-map-keys[0]")]),
        (keyed(None, properties=NAME), [(REQUIRED, "x-kubernetes-list-map-keys")]),
        (keyed([], properties=NAME), [(REQUIRED, "x-kubernetes-list-map-keys")]),
        (keyed(["name", "name"], properties=NAME, required=["name"]), [(INVALID, "x-kubernetes-list-map-keys")]),
        (
            keyed(["name"], properties={"name": {"type": "object"}}, required=["name"]),
            [(INVALID, "items.properties[name].type")],
        ),
        (keyed(["name"], "atomic", properties=NAME), [(FORBIDDEN, "x-kubernetes-list-map-keys")]),
        (keyed(None, "odd"), [("FieldValueNotSupported", "x-kubernetes-list-type")]),
        (keyed(None, "set"), [(INVALID, "items.x-kubernetes-map-type")]),
        ({"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}}, []),
        (
            {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string", "nullable": True}},
            [(FORBIDDEN, "items.nullable")],
        ),
        ({"type": "string", "x-kubernetes-list-type": "set"}, [(INVALID, "type")]),
        (
            {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "map"},
            [(INVALID, "items.type")],
        ),
    ],
)
def test_each_rule_for_lists(raw: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    assert causes(raw) == expected


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]}, []),
        (
            {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "string"}]},
            [(FORBIDDEN, "anyOf[0].type")],
        ),
        (
            {
                "x-kubernetes-int-or-string": True,
                "allOf": [{"anyOf": [{"type": "integer"}, {"type": "string"}]}, {"pattern": "a"}],
            },
            [],
        ),
        ({"type": "integer", "anyOf": [{"minimum": 1}, {"maximum": 0}]}, []),
        ({"type": "integer", "allOf": [{"type": "integer"}]}, [(FORBIDDEN, "allOf[0].type")]),
        ({"type": "integer", "not": {"default": 1}}, [(FORBIDDEN, "not.default")]),
        ({"type": "integer", "oneOf": [{"nullable": True}]}, [(FORBIDDEN, "oneOf[0].nullable")]),
        (
            {"type": "object", "properties": NAME, "anyOf": [{"properties": {"name": {"minLength": 1}}}]},
            [],
        ),
        (
            {"type": "object", "properties": NAME, "anyOf": [{"properties": {"other": {"minLength": 1}}}]},
            [(REQUIRED, "properties[other]")],
        ),
        (
            {"type": "object", "properties": NAME, "allOf": [{"not": {"properties": {"name": {"type": "string"}}}}]},
            [(FORBIDDEN, "allOf[0].not.properties[name].type")],
        ),
        ({"type": "object", "anyOf": [{"items": {"minLength": 1}}]}, [(REQUIRED, "items")]),
        ({"type": "object", "anyOf": [{"required": ["a"]}]}, []),
        ({"type": "object", "anyOf": {"required": ["a"]}}, [(INVALID, "anyOf")]),
        ({"type": "object", "anyOf": [1]}, [(INVALID, "anyOf[0]")]),
        ({"type": "string", "anyOf": [{"pattern": "("}]}, [(INVALID, "anyOf[0].pattern")]),
    ],
)
def test_each_rule_inside_junctions(raw: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    assert causes(raw) == expected


@pytest.mark.parametrize(
    ("root", "expected"),
    [
        ({"type": "object"}, []),
        ({}, [(REQUIRED, "type")]),
        ({"type": "array", "items": {"type": "string"}}, [(INVALID, "type")]),
        ({"type": "object", "nullable": True}, [(FORBIDDEN, "nullable")]),
        ({"type": "object", "properties": {"metadata": {"type": "object"}}}, []),
        (
            {
                "type": "object",
                "properties": {"metadata": {"type": "object", "properties": {"name": {"maxLength": 5}}}},
            },
            [],
        ),
        (
            {"type": "object", "properties": {"metadata": {"type": "object", "properties": {"labels": {}}}}},
            [(FORBIDDEN, "properties[metadata]")],
        ),
        ({"type": "object", "properties": {"apiVersion": {}, "kind": {}}}, []),
    ],
)
def test_each_rule_for_the_root(root: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    found = structural_causes(root, ROOT)
    assert [(cause["reason"], cause["field"].removeprefix(f"{ROOT}.")) for cause in found] == expected


@pytest.mark.parametrize("raw", shared_schemas())
def test_the_definitions_of_the_field_are_structural(raw: dict[str, Any]) -> None:
    assert structural_causes(raw, ROOT) == []


def test_one_mistake_among_thousands_of_nodes_is_found() -> None:
    raw = copy.deepcopy(inference_service_schema())
    containers = raw["properties"]["spec"]["properties"]["predictor"]["properties"]["containers"]
    del containers["items"]["properties"]["env"]["items"]["properties"]["value"]["type"]
    (cause,) = structural_causes(raw, ROOT)
    assert cause["field"].endswith("properties[containers].items.properties[env].items.properties[value].type")
