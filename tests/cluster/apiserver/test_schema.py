"""Pruning, nulls and defaults, on a definition of our own and on real kinds."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.apiserver.sample_kinds import deployment, inference_service, widget, widget_object
from mizzen.apis import schema as schemas
from mizzen.apis.schema import Node
from mizzen.cluster.apiserver import schema


@pytest.mark.parametrize(
    ("spec", "kept", "removed"),
    [
        ({"size": 1, "foo": 2}, {"size": 1}, ["spec.foo"]),
        ({"env": [{"name": "a", "x": 1}, {"name": "b"}]}, {"env": [{"name": "a"}, {"name": "b"}]}, ["spec.env[0].x"]),
        ({"labels": {"any": "thing"}}, {"labels": {"any": "thing"}}, []),
        ({"groups": {"g": {"size": 1, "no": 1}}}, {"groups": {"g": {"size": 1}}}, ["spec.groups.g.no"]),
        ({"extra": {"any": {"deep": [1]}}}, {"extra": {"any": {"deep": [1]}}}, []),
        ({"a": 1, "b": {"c": 1}}, {}, ["spec.a", "spec.b"]),
        ({"size": "wrong type"}, {"size": "wrong type"}, []),
        ({"size": {"a": 1}}, {"size": {}}, ["spec.size.a"]),
    ],
)
def test_what_the_schema_does_not_declare_goes(spec: Any, kept: Any, removed: list[str]) -> None:
    value = widget_object(**spec)
    assert schema.prune(value, widget()) == removed
    assert value == widget_object(**kept)


def test_identity_stays_and_metadata_is_pruned_by_its_own_schema() -> None:
    value = {
        "apiVersion": "exp.io/v1",
        "kind": "Widget",
        "metadata": {"name": "w", "labels": {"a": "b"}, "zap": 1},
        "x": 1,
    }
    assert schema.prune(value, widget()) == ["metadata.zap", "x"]
    assert value == {"apiVersion": "exp.io/v1", "kind": "Widget", "metadata": {"name": "w", "labels": {"a": "b"}}}


def test_a_definition_cannot_widen_or_narrow_the_metadata_of_its_objects() -> None:
    node = Node({"type": "object", "properties": {"metadata": {"type": "object"}}})
    value = {"kind": "X", "metadata": {"name": "w", "finalizers": ["f"], "zap": 1}}
    assert schema.prune(value, node) == ["metadata.zap"]
    assert value["metadata"] == {"name": "w", "finalizers": ["f"]}


def test_an_embedded_resource_keeps_its_own_identity() -> None:
    template = {"apiVersion": "v1", "kind": "P", "metadata": {"name": "p", "zap": 1}, "spec": {"a": 1, "b": 2}, "c": 1}
    value = widget_object(template=template)
    removed = schema.prune(value, widget())
    assert removed == ["spec.template.metadata.zap", "spec.template.spec.b", "spec.template.c"]
    assert value["spec"]["template"] == {"apiVersion": "v1", "kind": "P", "metadata": {"name": "p"}, "spec": {"a": 1}}


def test_what_is_declared_below_preserved_fields_is_still_pruned() -> None:
    raw = {
        "type": "object",
        "x-kubernetes-preserve-unknown-fields": True,
        "properties": {"known": {"type": "object", "properties": {"a": {"type": "integer"}}}},
    }
    value = {"free": {"b": 1}, "known": {"a": 1, "b": 1}}
    assert schema.prune(value, Node(raw)) == ["known.b"]
    assert value == {"free": {"b": 1}, "known": {"a": 1}}


def test_unknown_fields_of_a_built_in_kind_have_their_whole_path() -> None:
    value = {"spec": {"template": {"spec": {"containers": [{"name": "a"}, {"name": "b", "bar": 1}]}}, "foo": 1}}
    removed = schema.prune(value, deployment())
    assert removed == ["spec.template.spec.containers[1].bar", "spec.foo"]


def test_an_inference_service_keeps_its_whole_pod_spec() -> None:
    predictor = {
        "model": {"modelFormat": {"name": "sklearn"}, "storageUri": "s3://m", "resources": {"limits": {"cpu": 1}}},
        "tolerations": [{"key": "k", "operator": "Exists"}],
        "minReplicas": 0,
    }
    value = {"apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService", "spec": {"predictor": predictor}}
    before = copy.deepcopy(value)
    assert schema.prune(value, inference_service()) == []
    assert value == before
    value["spec"]["predictor"]["model"]["storageURI"] = "s3://typo"
    assert schema.prune(value, inference_service()) == ["spec.predictor.model.storageURI"]


@pytest.mark.parametrize(
    ("spec", "after"),
    [
        ({"size": None}, {}),
        ({"mode": None}, {}),
        ({"note": None}, {"note": None}),
        ({"labels": {"a": None, "b": "c"}}, {"labels": {"b": "c"}}),
        ({"env": [{"name": "a", "value": None}]}, {"env": [{"name": "a"}]}),
        ({"args": ["a", None]}, {"args": ["a", None]}),
        ({"extra": {"a": None}}, {"extra": {"a": None}}),
        ({"size": 0, "name": "", "args": []}, {"size": 0, "name": "", "args": []}),
    ],
)
def test_nulls_mean_not_set_unless_null_is_a_value(spec: Any, after: Any) -> None:
    value = widget_object(**spec)
    schema.drop_nulls(value, widget())
    assert value == widget_object(**after)


def test_the_null_of_a_config_maps_key_is_an_empty_text() -> None:
    value: dict[str, Any] = {"data": {"empty": None, "full": "x"}, "immutable": None}
    schema.drop_nulls(value, schemas.builtin("", "v1", "ConfigMap"))
    assert value == {"data": {"empty": "", "full": "x"}}


@pytest.mark.parametrize(
    ("spec", "after"),
    [
        ({}, {"mode": "a", "limits": {"cpu": "1"}}),
        ({"mode": None}, {"mode": "a", "limits": {"cpu": "1"}}),
        ({"mode": "", "limits": {"cpu": ""}}, {"mode": "", "limits": {"cpu": ""}}),
        ({"mode": "b", "limits": {"deep": {}}}, {"mode": "b", "limits": {"cpu": "1", "deep": {"x": 7}}}),
        (
            {"mode": "b", "limits": {"cpu": "2"}, "env": [{"name": "a"}, {"name": "b", "mode": "m"}]},
            {"mode": "b", "limits": {"cpu": "2"}, "env": [{"name": "a", "mode": "plain"}, {"name": "b", "mode": "m"}]},
        ),
        (
            {"mode": "b", "limits": {"cpu": "2"}, "groups": {"g": {}}},
            {"mode": "b", "limits": {"cpu": "2"}, "groups": {"g": {"size": 1}}},
        ),
    ],
)
def test_defaults_come_into_what_exists(spec: Any, after: Any) -> None:
    value = widget_object(**spec)
    schema.set_defaults(value, widget())
    assert value == widget_object(**after)


def test_a_null_with_a_default_takes_the_default_after_the_nulls_are_dropped() -> None:
    value = widget_object(mode=None, size=None)
    schema.drop_nulls(value, widget())
    schema.set_defaults(value, widget())
    assert value["spec"] == {"mode": "a", "limits": {"cpu": "1"}}


def test_a_default_belongs_to_the_object_that_got_it() -> None:
    first, second = widget_object(), widget_object()
    schema.set_defaults(first, widget())
    first["spec"]["limits"]["cpu"] = "9"
    schema.set_defaults(second, widget())
    assert second["spec"]["limits"] == {"cpu": "1"}


def test_items_with_a_default_replace_nulls() -> None:
    raw = {
        "type": "object",
        "properties": {"l": {"type": "array", "items": {"type": "integer", "default": 3}}},
        "additionalProperties": {"type": "integer", "default": 4},
    }
    value = {"l": [1, None], "free": None}
    schema.set_defaults(value, Node(raw))
    assert value == {"l": [1, 3], "free": 4}


scalars = st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=2)
anything = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["name", "size", "mode", "env", "spec", "labels", "limits", "x"]), inner)
    ),
    max_leaves=15,
)
names = sorted(widget().raw["properties"]["spec"]["properties"])
specs = st.dictionaries(st.sampled_from([*names, "unknown"]), anything, max_size=6)


@settings(deadline=None)
@given(specs)
def test_each_step_done_twice_is_as_done_once(spec: dict[str, Any]) -> None:
    value = widget_object(**spec)
    schema.drop_nulls(value, widget())
    schema.prune(value, widget())
    assert schema.prune(value, widget()) == []
    schema.set_defaults(value, widget())
    once = copy.deepcopy(value)
    schema.drop_nulls(value, widget())
    schema.prune(value, widget())
    schema.set_defaults(value, widget())
    assert value == once


@settings(deadline=None)
@given(specs)
def test_any_value_is_judged_and_none_breaks_the_judge(spec: dict[str, Any]) -> None:
    value = widget_object(**spec)
    before = copy.deepcopy(value)
    causes = schema.validate(value, widget())
    schema.type_error(value, deployment())
    assert value == before
    assert all(cause["field"].startswith("spec") for cause in causes)
