"""The normalised echo: what is added, what goes, and that it is a fixed point."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mizzen.acm.tosca import Unreadable, check, normalise, read
from mizzen.acm.tosca.echo import convert
from mizzen.acm.tosca.javatext import java_text, text_of

BARE = {"topology_template": {"node_templates": {}}, "node_types": {}}


def echo(**parts: Any) -> dict[str, Any]:
    return normalise(read(json.dumps({**BARE, **parts})))


def test_a_bare_template_gets_its_name_and_empty_sections() -> None:
    assert echo() == {
        "name": "tosca",
        "version": "1.0.0",
        "data_types": {},
        "capability_types": {},
        "node_types": {},
        "relationship_types": {},
        "policy_types": {},
        "topology_template": {"policies": [], "node_templates": {}},
    }
    assert echo(name="mine", version="2.0.0", metadata={"a": True}) | {"data_types": {}} == {
        **echo(),
        "name": "mine",
        "version": "2.0.0",
        "metadata": {"a": True},
    }


def test_the_id_joins_the_metadata() -> None:
    document = read(json.dumps({**BARE, "metadata": {"primeTimeoutMs": 5}}))
    assert normalise(document, composition_id="c")["metadata"] == {"primeTimeoutMs": 5, "compositionId": "c"}


def test_a_property_is_filled_and_its_texts_are_texts() -> None:
    prop = {
        "type": "integer",
        "required": "True",
        "constraints": [
            {"greater-or-equal": 0},
            {"in_range": [1, 2.5]},
            {"valid_values": [True, None, "a"]},
            {"less_than": 9},
        ],
        "metadata": {"common": True, "level": 3, "gone": None},
        "default": {"a": None, "b": [None]},
        "unknown": 1,
    }
    found = echo(data_types={"d.D": {"properties": {"p": prop}, "constraints": [{"equal": False}]}})["data_types"]
    assert found["d.D"] == {
        "name": "d.D",
        "version": "0.0.0",
        "properties": {
            "p": {
                "name": "p",
                "type": "integer",
                "required": True,
                "constraints": [
                    {},
                    {"in_range": ["1", "2.5"]},
                    {"valid_values": ["true", None, "a"]},
                    {"less_than": "9"},
                ],
                "metadata": {"common": "true", "level": "3"},
                "type_version": "0.0.0",
                "default": {"b": [None]},
            }
        },
        "constraints": [{"equal": "false"}],
    }


def test_schemas_of_entries_and_keys_are_filled() -> None:
    prop = {"type": "map", "key_schema": {"type": "string"}, "entry_schema": {"type": "d.D:1.0.0", "description": "x"}}
    found = echo(node_types={"n.N": {"properties": {"p": prop}}})["node_types"]["n.N"]["properties"]["p"]
    assert found["required"] is False
    assert found["key_schema"] == {"type": "string", "type_version": "0.0.0"}
    assert found["entry_schema"] == {"type": "d.D", "type_version": "1.0.0", "description": "x"}


def test_property_values_keep_their_kinds_but_null_members_go() -> None:
    node = {
        "type": "n.N",
        "type_version": "1.0.0",
        "properties": {"a": None, "b": 1.0, "c": [None, {"d": None}], "e": "1"},
    }
    found = echo(topology_template={"node_templates": {"x": node}})["topology_template"]["node_templates"]["x"]
    assert found["properties"] == {"b": 1.0, "c": [None, {}], "e": "1"}


def test_policies_requirements_and_capabilities_are_concepts() -> None:
    typed = {"type": "t.T", "type_version": "1.0.0"}
    topology = {
        "description": "d",
        "inputs": {"i": {"type": "string", "value": 1}},
        "node_templates": {
            "x": {
                **typed,
                "requirements": [{"r": {**typed, "node": "y", "occurrences": [1, 2]}}],
                "capabilities": {"c": {**typed, "attributes": {"a": 1}}},
            }
        },
        "policies": [{"p": {**typed, "properties": {"q": 1}}}],
    }
    found = echo(topology_template=topology)["topology_template"]
    node = found["node_templates"]["x"]
    assert found["inputs"] == {"i": {"name": "i", "type": "string", "type_version": "0.0.0", "value": 1}}
    assert node["requirements"] == [
        {"r": {"name": "r", "version": "0.0.0", **typed, "node": "y", "occurrences": [1, 2]}}
    ]
    assert node["capabilities"] == {"c": {"name": "c", "version": "0.0.0", **typed, "attributes": {"a": 1}}}
    policy = {"name": "p", "version": "0.0.0", **typed, "properties": {"q": 1}}
    assert found["policies"] == [{"p": {**policy, "metadata": {"policy-id": "p", "policy-version": "0.0.0"}}}]


def test_what_cannot_be_held_is_not_normalised() -> None:
    with pytest.raises(Unreadable) as refused:
        echo(data_types={"d.D": {"version": "1.0"}})
    assert refused.value.status == 500
    assert refused.value.details.startswith("java.lang.IllegalArgumentException")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0, "1.0"),
        (0.1, "0.1"),
        (1e7, "1.0E7"),
        (123456789.5, "1.234567895E8"),
        (-1e-4, "-1.0E-4"),
        (0.0, "0.0"),
        (1e100, "1.0E100"),
        (12, "12"),
        (True, "true"),
        ("x", "x"),
    ],
)
def test_scalars_become_the_texts_of_java(value: Any, text: str) -> None:
    assert text_of(value) == text


def test_maps_and_lists_do_too() -> None:
    assert java_text({"a": [1, None, {"b": False}], "c": {}}) == "{a=[1, null, {b=false}], c={}}"


NAMES = st.sampled_from(["a.A", "b.B", "c-C", "string", "list"])
VERSIONS = st.sampled_from(["1.0.0", "0.0.0", "2.3.4", None])
SCALARS = (
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-1e9, 1e9) | st.sampled_from(["", "x", "true", "1.0.0"])
)
VALUES = st.recursive(SCALARS, lambda b: st.lists(b, max_size=3) | st.dictionaries(st.text(max_size=3), b, max_size=3))


def some(fields: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


CONSTRAINTS = st.lists(
    some(
        {
            "equal": SCALARS,
            "less_than": SCALARS,
            "greater-or-equal": SCALARS,
            "valid_values": st.lists(SCALARS, max_size=3),
        }
    ),
    max_size=3,
)
REFERENCE = {"type": st.sampled_from(["string", "a.A", "a.A:1.0.0"]), "type_version": VERSIONS}
SCHEMA = st.fixed_dictionaries(
    {"type": REFERENCE["type"]}, optional={"constraints": CONSTRAINTS, "description": SCALARS}
)
PROPERTY = st.fixed_dictionaries(
    {"type": REFERENCE["type"]},
    optional={
        "type_version": VERSIONS,
        "required": st.sampled_from([True, False, 0, 1, "true", "FALSE", None]),
        "default": VALUES,
        "constraints": CONSTRAINTS,
        "metadata": st.dictionaries(st.text(max_size=3), SCALARS, max_size=2),
        "entry_schema": SCHEMA,
        "key_schema": SCHEMA,
        "status": st.sampled_from(["SUPPORTED", None]),
        "more": VALUES,
    },
)
HEADS = {"version": VERSIONS, "derived_from": st.sampled_from(["x.Root", "a.A"]), "description": SCALARS}
TYPE = some(
    {**HEADS, "properties": st.dictionaries(NAMES, PROPERTY, max_size=2), "metadata": st.dictionaries(NAMES, VALUES)}
)
TYPED = st.fixed_dictionaries(
    {"type": st.just("a.A"), "type_version": st.just("1.0.0")},
    optional={**HEADS, "properties": st.dictionaries(NAMES, VALUES, max_size=3)},
)
NODES = st.dictionaries(
    NAMES,
    st.tuples(TYPED, some({"requirements": st.lists(st.dictionaries(NAMES, TYPED, max_size=2), max_size=2)})).map(
        lambda parts: {**parts[0], **parts[1]}
    ),
    max_size=3,
)
TEMPLATES = st.fixed_dictionaries(
    {
        "node_types": st.dictionaries(NAMES, TYPE, max_size=3),
        "topology_template": some(
            {"node_templates": NODES, "policies": st.lists(st.dictionaries(NAMES, TYPED, max_size=1), max_size=2)}
        ),
    },
    optional={
        "data_types": st.dictionaries(NAMES, TYPE, max_size=3),
        "policy_types": st.dictionaries(NAMES, TYPE, max_size=2),
        "name": SCALARS,
        "metadata": st.dictionaries(NAMES, VALUES, max_size=2),
        "imports": VALUES,
    },
)


@given(TEMPLATES)
def test_to_normalise_twice_is_to_normalise_once(template: dict[str, Any]) -> None:
    once = convert(template)
    assert not once.shapes
    twice = convert(json.loads(json.dumps(once.template)))
    assert twice.template == once.template
    assert not twice.shapes


@given(st.dictionaries(st.sampled_from(["node_types", "data_types", "topology_template", "name", "metadata"]), VALUES))
def test_nothing_that_is_a_mapping_breaks_the_conversion(template: dict[str, Any]) -> None:
    converted = convert(template)
    assert isinstance(converted.template, dict)


@given(TEMPLATES)
def test_a_report_refuses_with_a_problem_a_text_and_a_status_or_with_none_of_them(template: dict[str, Any]) -> None:
    report = check(read(json.dumps(template)))
    assert report.ok == (report.details == "") == (report.status == 200)
    assert all(problem.line for problem in report.problems)
    if report.ok:
        assert check(read(json.dumps(normalise(read(json.dumps(template)))))).ok, "the echo can be commissioned again"
