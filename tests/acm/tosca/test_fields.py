"""What a form shows and what the store encrypts."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mizzen.acm.tosca import Field, elements, fields, instance_fields, normalise, read, sensitive_paths, transform

ELEMENT = "org.onap.policy.clamp.acm.AutomationCompositionElement"
NODE = "onap.policy.clamp.ac.element.KserveAutomationCompositionElement"


def template(properties: dict[str, Any], data_types: dict[str, Any] | None = None, **given_: Any) -> dict[str, Any]:
    """A definition with one element ``e`` of a type that has these properties, some of them given already."""
    return normalise(
        read(
            json.dumps(
                {
                    "data_types": data_types or {},
                    "node_types": {
                        "b.Base": {
                            "version": "1.0.0",
                            "properties": {"base": {"type": "string"}, "x": {"type": "string"}},
                        },
                        "e.E": {"version": "1.0.0", "derived_from": "b.Base", "properties": properties},
                    },
                    "topology_template": {
                        "node_templates": {
                            "e": {"type": "e.E", "type_version": "1.0.0", "version": "1.0.0", "properties": given_}
                        }
                    },
                }
            )
        )
    )


def by_name(found: list[Field] | tuple[Field, ...]) -> dict[str, Field]:
    return {field.name: field for field in found}


def test_the_form_of_the_sample_asks_for_the_instance_s_own(definition: dict[str, Any]) -> None:
    normal = normalise(read(json.dumps(definition)))
    [element] = elements(normal)
    asked = by_name(instance_fields(normal, element))
    assert list(asked) == [
        "deployTimeoutMs",
        "undeployTimeoutMs",
        "updateTimeoutMs",
        "migrateTimeoutMs",
        "deleteTimeoutMs",
        "kserveInferenceEntities",
        "kserveInferenceEntityId",
        "name",
        "namespace",
        "payload",
    ]
    assert asked["deployTimeoutMs"].minimum == "1"
    entity = asked["kserveInferenceEntities"].entry
    assert entity is not None
    assert [(field.name, field.type, field.required) for field in entity.fields] == [
        ("kserveInferenceEntityId", "onap.datatypes.ToscaConceptIdentifier", True),
        ("name", "string", True),
        ("namespace", "string", True),
        ("payload", "string", True),
    ]
    assert [field.name for field in entity.fields[0].fields] == ["name", "version"]
    everything = by_name(fields(normal, NODE))
    assert everything["startPhase"].common
    assert everything["startPhase"].default == 0
    assert everything["provider"].given


def test_properties_are_inherited_and_the_nearest_counts() -> None:
    found = by_name(fields(template({"x": {"type": "integer"}, "y": {"type": "float"}}, y=1.5), "e"))
    assert [(field.name, field.type, field.given) for field in found.values()] == [
        ("base", "string", False),
        ("x", "integer", False),
        ("y", "float", True),
    ]


def test_a_data_type_unfolds_with_its_ancestors_lists_and_maps() -> None:
    types = {
        "d.Leaf": {"properties": {"secret": {"type": "string", "metadata": {"sensitive": True}}}},
        "d.Parent": {"properties": {"id": {"type": "string", "required": True, "default": "n"}}},
        "d.Child": {
            "derived_from": "d.Parent",
            "properties": {
                "leaf": {"type": "d.Leaf"},
                "leaves": {"type": "list", "entry_schema": {"type": "d.Leaf"}},
                "named": {"type": "map", "entry_schema": {"type": "d.Leaf"}},
            },
        },
    }
    definition = template(
        {"child": {"type": "d.Child"}, "key": {"type": "string", "metadata": {"sensitive": True}}}, types
    )
    child = by_name(fields(definition, "e"))["child"]
    assert [field.name for field in child.fields] == ["id", "leaf", "leaves", "named"]
    assert (child.fields[0].required, child.fields[0].default) == (True, "n")
    assert sensitive_paths(definition, "e") == [
        ("child", "leaf", "secret"),
        ("child", "leaves", "*", "secret"),
        ("child", "named", "*", "secret"),
        ("key",),
    ]
    properties = {
        "key": "k",
        "plain": "p",
        "child": {
            "id": "i",
            "leaf": {"secret": "1", "open": "o"},
            "leaves": [{"secret": "2"}, {"secret": 3}, "odd"],
            "named": {"a": {"secret": "4"}},
        },
    }
    before = json.dumps(properties)
    changed = transform(properties, sensitive_paths(definition, "e"), lambda text: f"<{text}>")
    assert changed == {
        "key": "<k>",
        "plain": "p",
        "child": {
            "id": "i",
            "leaf": {"secret": "<1>", "open": "o"},
            "leaves": [{"secret": "<2>"}, {"secret": 3}, "odd"],
            "named": {"a": {"secret": "<4>"}},
        },
    }
    assert json.dumps(properties) == before


def test_a_sensitive_mapping_is_sensitive_in_all_its_texts() -> None:
    definition = template(
        {"login": {"type": "map", "metadata": {"sensitive": "true"}, "entry_schema": {"type": "string"}}}
    )
    changed = transform({"login": {"a": "x", "b": ["y", 1]}}, sensitive_paths(definition, "e"), str.upper)
    assert changed == {"login": {"a": "X", "b": ["Y", 1]}}


def test_a_data_type_within_itself_ends_and_hides_all_that_may_be_sensitive() -> None:
    types = {
        "d.Node": {
            "properties": {
                "secret": {"type": "string", "metadata": {"sensitive": True}},
                "below": {"type": "list", "entry_schema": {"type": "d.Node"}},
            }
        },
        "d.Open": {"properties": {"again": {"type": "d.Open"}}},
    }
    definition = template({"tree": {"type": "d.Node"}, "open": {"type": "d.Open"}}, types)
    paths = sensitive_paths(definition, "e")
    assert paths == [("tree", "secret"), ("tree", "below", "*")]
    tree = {"secret": "a", "below": [{"secret": "b", "below": [{"secret": "c"}]}]}
    changed = transform({"tree": tree}, paths, lambda _: "*")
    assert changed == {"tree": {"secret": "*", "below": [{"secret": "*", "below": [{"secret": "*"}]}]}}


@pytest.mark.parametrize("wide", [1, 8])
def test_types_that_stand_for_any_number_of_fields_end_somewhere(wide: int) -> None:
    types: dict[str, Any] = {
        f"d.D{n}": {"properties": {f"p{k}": {"type": f"d.D{n + 1}"} for k in range(wide)}} for n in range(300)
    }
    types["d.D300"] = {"properties": {"secret": {"type": "string", "metadata": {"sensitive": True}}}}
    definition = template({"x": {"type": "d.D0"}}, types)
    paths = sensitive_paths(definition, "e")
    assert 0 < len(paths) <= 3000
    deep: Any = {"secret": "s"}
    for _ in range(300):
        deep = {"p0": deep}
    hidden = transform({"x": deep}, paths, lambda _: "*")
    assert "'s'" not in repr(hidden)


@pytest.mark.parametrize(
    ("kind", "constraints", "choices", "minimum", "maximum"),
    [
        ("string", [{"valid_values": ["a", 1]}], ("a", "1"), "", ""),
        ("string", [{"equal": "x"}], ("x",), "", ""),
        ("integer", [{"greater_or_equal": 1}, {"less_or_equal": 9}], (), "1", "9"),
        ("integer", [{"greater_than": 1}, {"less_than": -9}], (), "2", "-10"),
        ("float", [{"greater_than": 1.5}], (), "", ""),
        ("integer", [{"in_range": [1, "UNBOUNDED"]}], (), "1", ""),
        ("integer", [{"in_range": [1]}, {}], (), "", ""),
        ("integer", [], (), "", ""),
    ],
)
def test_constraints_as_a_form_needs_them(
    kind: str, constraints: list[Any], choices: tuple[str, ...], minimum: str, maximum: str
) -> None:
    field = by_name(fields(template({"p": {"type": kind, "constraints": constraints}}), "e"))["p"]
    assert (field.choices, field.minimum, field.maximum) == (choices, minimum, maximum)


def test_an_unknown_element_has_no_fields() -> None:
    assert fields(template({}), "other") == []
    assert fields({}, "other") == []


VALUES = st.recursive(
    st.text(max_size=3) | st.integers() | st.none(),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "*"]), below, max_size=3),
)
PATHS = st.lists(st.lists(st.sampled_from(["a", "b", "*"]), min_size=1, max_size=3).map(tuple), max_size=3)


@given(st.dictionaries(st.sampled_from(["a", "b"]), VALUES), PATHS)
def test_to_transform_there_and_back_changes_nothing(properties: dict[str, Any], paths: list[tuple[str, ...]]) -> None:
    there = transform(properties, paths, lambda text: "x" + text)
    assert transform(there, paths, lambda text: text[1:]) == properties
    assert transform(properties, [], str.upper) == properties
