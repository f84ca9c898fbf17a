"""Validation of custom resources: reasons, fields and sentences of the API server."""

from __future__ import annotations

from typing import Any

import pytest

from cluster.apiserver.sample_kinds import inference_service, widget, widget_object
from mizzen.apis.schema import Node
from mizzen.cluster.apiserver.validation import same, validate

INVALID, TYPE = "FieldValueInvalid", "FieldValueTypeInvalid"

# What a kube-apiserver answered for each of these specs; the value in brackets is ours.
MEASURED = [
    ({"size": 11}, INVALID, "spec.size", "Invalid value: 11: spec.size in body should be less than or equal to 10"),
    (
        {"size": "many"},
        TYPE,
        "spec.size",
        'Invalid value: "string": spec.size in body must be of type integer: "string" (found "many")',
    ),
    ({"mode": "c"}, "FieldValueNotSupported", "spec.mode", 'Unsupported value: "c": supported values: "a", "b"'),
    ({"name": "A1"}, INVALID, "spec.name", "Invalid value: \"A1\": spec.name in body should match '^[a-z]+$'"),
    ({"tags": ["x", "x"]}, "FieldValueDuplicate", "spec.tags[1]", 'Duplicate value: "x"'),
    (
        {"env": [{"name": "q"}, {"name": "q"}]},
        "FieldValueDuplicate",
        "spec.env[1]",
        'Duplicate value: map[string]interface {}{"name":"q"}',
    ),
    ({"env": [{}]}, "FieldValueRequired", "spec.env[0].name", "Required value"),
    (
        {"port": 1.5},
        TYPE,
        "spec.port",
        'Invalid value: "number": spec.port in body must be of type integer,string: "number" (found 1.5)',
    ),
]
OTHERS = [
    ({"size": 0}, INVALID, "spec.size", "should be greater than or equal to 1"),
    ({"size": True}, TYPE, "spec.size", 'must be of type integer: "boolean"'),
    ({"size": 1.5}, TYPE, "spec.size", 'must be of type integer: "number"'),
    ({"size": None}, TYPE, "spec.size", 'must be of type integer: "null"'),
    ({"ratio": 1}, INVALID, "spec.ratio", "should be less than 1"),
    ({"ratio": 0.25}, INVALID, "spec.ratio", "should be a multiple of 0.1"),
    ({"port": True}, TYPE, "spec.port", 'must be of type integer,string: "boolean"'),
    ({"note": "x"}, INVALID, "spec.note", "should be at least 2 chars long"),
    ({"note": "abcde"}, "FieldValueTooLong", "spec.note", "Too long: may not be more than 4"),
    ({"when": "yesterday"}, INVALID, "spec.when", 'must be of type date-time: "yesterday"'),
    ({"args": ["a"] * 4}, "FieldValueTooMany", "spec.args", "Too many: 4: must have at most 3 items"),
    ({"args": ["a", None]}, TYPE, "spec.args[1]", 'must be of type string: "null"'),
    ({"args": {}}, TYPE, "spec.args", 'must be of type array: "object"'),
    ({"labels": {"a": 1}}, TYPE, "spec.labels.a", 'must be of type string: "integer"'),
    ({"labels": dict.fromkeys("abcd", "x")}, "FieldValueTooMany", "spec.labels", "Too many: 4: must have at most 3"),
    ({"template": {"kind": "P"}}, "FieldValueRequired", "spec.template.apiVersion", "must not be empty"),
    (
        {"ports": [{"port": 1, "protocol": "TCP"}, {"port": 1, "protocol": "TCP"}]},
        "FieldValueDuplicate",
        "spec.ports[1]",
        '"protocol":"TCP"',
    ),
]


@pytest.mark.parametrize(("spec", "reason", "field", "text"), MEASURED + OTHERS)
def test_one_mistake_is_one_cause(spec: Any, reason: str, field: str, text: str) -> None:
    causes = validate(widget_object(**spec), widget())
    assert [(cause["reason"], cause["field"]) for cause in causes] == [(reason, field)]
    assert causes[0]["message"].endswith(text) or text in causes[0]["message"]


@pytest.mark.parametrize(("spec", "reason", "field", "text"), MEASURED)
def test_the_measured_sentences_are_said_word_by_word(spec: Any, reason: str, field: str, text: str) -> None:
    assert validate(widget_object(**spec), widget())[0]["message"] == text


@pytest.mark.parametrize(
    "spec",
    [
        {"size": 3.0, "mode": "b", "name": "abc", "ratio": 0.3, "note": None},
        {"port": 80},
        {"port": "http"},
        {"note": "äöü\U0001f600"},  # four characters, eleven bytes
        {"when": "2024-01-01T00:00:00.5+01:00"},
        {"ports": [{"port": 1, "protocol": "TCP"}, {"port": 1, "protocol": "UDP"}]},
        {"tags": ["1", "01"], "args": ["a", "a"], "selector": {}},
        {"choice": {"one": "x"}},
        {"extra": {"any": [None, {"thing": 1.5}]}},
        {"template": {"apiVersion": "v1", "kind": "P"}},
    ],
)
def test_what_is_valid_has_no_causes(spec: Any) -> None:
    assert validate(widget_object(**spec), widget()) == []


def test_every_mistake_is_listed_in_the_order_of_the_text() -> None:
    causes = validate(widget_object(size=0, mode="z", env=[{"name": 1}, {}]), widget())
    assert [cause["field"] for cause in causes] == ["spec.size", "spec.mode", "spec.env[0].name", "spec.env[1].name"]


@pytest.mark.parametrize(
    ("choice", "found"),
    [({}, "Found none valid"), ({"one": "a", "two": "b"}, "Found 2 valid alternatives")],
)
def test_one_of_says_how_many_fit(choice: Any, found: str) -> None:
    causes = validate(widget_object(choice=choice), widget())
    assert causes[0]["field"] == "spec.choice"
    assert causes[0]["message"].endswith(f"must validate one and only one schema (oneOf). {found}")


def fields(value: Any, raw: dict[str, Any]) -> list[str]:
    return [cause["field"] for cause in validate({"v": value}, Node({"type": "object", "properties": {"v": raw}}))]


@pytest.mark.parametrize(
    ("raw", "good", "bad"),
    [
        ({"anyOf": [{"minimum": 5}, {"maximum": 1}], "type": "integer"}, [0, 7], [3]),
        ({"allOf": [{"minimum": 1}, {"maximum": 5}], "type": "integer"}, [1, 5], [0, 6]),
        ({"not": {"enum": ["x"]}, "type": "string"}, ["y"], ["x"]),
        ({"type": "array", "uniqueItems": True, "items": {"type": "integer"}}, [[1, 2]], [[1, 1]]),
        ({"type": "array", "minItems": 1, "items": {"type": "integer"}}, [[1]], [[]]),
        ({"type": "object", "minProperties": 1, "additionalProperties": {"type": "integer"}}, [{"a": 1}], [{}]),
        ({"type": "integer", "format": "int32"}, [2**31 - 1, -(2**31)], [2**31]),
        ({"type": "integer", "minimum": 1, "exclusiveMinimum": True}, [2], [1]),
        ({"type": "integer", "enum": [1, 2]}, [1, 2.0], [True, 3]),
        ({"type": "string", "pattern": "b"}, ["abc"], ["ac"]),
        ({"type": "string", "pattern": "^a$"}, ["a"], ["a\n"]),
        ({"type": "string", "format": "byte"}, ["YQ=="], ["YQ"]),
        ({"type": "string", "format": "ipv4"}, ["127.0.0.1"], ["127.0.0.256", "::1"]),
        ({"type": "string", "format": "ipv6"}, ["::1"], ["127.0.0.1"]),
        ({"type": "string", "format": "cidr"}, ["10.0.0.0/8"], ["10.0.0.0"]),
        ({"type": "string", "format": "uuid"}, ["123e4567-e89b-12d3-a456-426614174000"], ["123"]),
        ({"type": "string", "format": "date"}, ["2024-02-29"], ["2023-02-29", "20240229"]),
        ({"type": "string", "format": "duration"}, ["1h30m", "2 days", "0"], ["soon", "1"]),
        ({"type": "string", "format": "hostname"}, ["a.example.com"], ["-", "a..b"]),
        ({"type": "string", "format": "email"}, ["a@b.c"], ["a"]),
        ({"type": "string", "format": "uri"}, ["https://x/y"], ["x y"]),
        ({"type": "string", "format": "mac"}, ["00:1a:2B:3c:4d:5e"], ["00:1a"]),
        ({"type": "string", "format": "no-such-format"}, ["anything"], []),
        ({"type": "number"}, [1, 1.5], ["1", True]),
        ({"x-kubernetes-int-or-string": True}, [1, "a", 2.0], [1.5, [], True]),
        ({"x-kubernetes-preserve-unknown-fields": True}, [1, None, {"a": []}], []),
    ],
)
def test_each_keyword_accepts_and_refuses(raw: Any, good: list[Any], bad: list[Any]) -> None:
    for value in good:
        assert fields(value, raw) == [], value
    for value in bad:
        assert "v" in {field.partition(".")[0].partition("[")[0] for field in fields(value, raw)}, value


def test_a_quantity_of_a_real_definition_is_checked_by_its_pattern() -> None:
    def service(cpu: Any) -> dict[str, Any]:
        model = {"modelFormat": {"name": "sklearn"}, "resources": {"limits": {"cpu": cpu}}}
        return {"metadata": {"name": "s"}, "spec": {"predictor": {"model": model}}}

    assert validate(service("500m"), inference_service()) == []
    assert validate(service(2), inference_service()) == []
    causes = validate(service("half"), inference_service())
    assert [cause["field"] for cause in causes] == ["spec.predictor.model.resources.limits.cpu"]
    causes = validate(service(0.5), inference_service())
    assert [cause["reason"] for cause in causes] == [TYPE]


def test_metadata_is_checked_for_types_alone() -> None:
    value = widget_object()
    value["metadata"] |= {"labels": {"a": 1}, "finalizers": ["f", "f"], "ownerReferences": [{}]}
    causes = validate(value, widget())
    assert [(cause["reason"], cause["field"]) for cause in causes] == [(TYPE, "metadata.labels.a")]


def test_a_path_goes_in_front_of_every_field() -> None:
    node = widget().declared("spec")
    assert node is not None
    assert [cause["field"] for cause in validate({"size": 0}, node, path="spec")] == ["spec.size"]
    assert [cause["field"] for cause in validate({"size": 0}, node)] == ["size"]


@pytest.mark.parametrize(
    ("left", "right", "equal"),
    [(1, 1.0, True), (1, True, False), ([1], [True], False), ({"a": 0}, {"a": False}, False), (None, None, True)],
)
def test_values_are_compared_as_json(left: Any, right: Any, equal: bool) -> None:
    assert same(left, right) is equal
