"""Instances: read, checked against their definition, merged."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mizzen.acm import samples
from mizzen.acm.messages.concepts import Identifier
from mizzen.acm.tosca import InstanceRequest, Names, Unreadable, check_instance, merge, normalise, read, read_instance

COMPOSITION = "5eed0001-0003-4000-8000-000000000003"
ELEMENT = "709c62b3-8918-41b9-a747-d21eb79c6c20"
OTHER = "709c62b3-8918-41b9-a747-d21eb79c6c21"
NODE = "onap.policy.clamp.ac.element.KserveAutomationCompositionElement"
HEAD = '"AutomationComposition" INVALID, item has status INVALID\n'


@pytest.fixture
def template() -> dict[str, Any]:
    return normalise(read(samples.kserve_composition()))


@pytest.fixture
def body() -> dict[str, Any]:
    return read(samples.kserve_instance(COMPOSITION, "file:///models/iris")).value


def asked(body: dict[str, Any]) -> InstanceRequest:
    return read_instance(json.dumps(body, indent=1), "application/json")


def refused(body: dict[str, Any]) -> list[tuple[str, str]]:
    with pytest.raises(Unreadable) as error:
        asked(body)
    assert error.value.status == 400
    assert error.value.details.startswith("org.springframework.http.converter.HttpMessageNotReadableException")
    return [(problem.path, problem.message) for problem in error.value.problems]


def test_a_request_is_read_from_either_notation(body: dict[str, Any]) -> None:
    request = read_instance(samples.kserve_instance(COMPOSITION, "file:///models/iris"), "application/yaml")
    assert (request.name, request.version, request.composition_id) == ("KserveIris", "1.0.0", COMPOSITION)
    assert (request.instance_id, request.composition_target_id, request.precheck) == (None, None, False)
    element = request.elements[ELEMENT]
    assert (element.id, element.definition) == (ELEMENT, Identifier(NODE, "1.2.3"))
    assert element.properties == asked(body).elements[ELEMENT].properties


def test_ids_are_lower_case_and_default_to_the_key(body: dict[str, Any]) -> None:
    body |= {"instanceId": COMPOSITION.upper(), "compositionTargetId": OTHER.upper(), "precheck": True}
    element = body["elements"].pop(ELEMENT)
    body["elements"][ELEMENT.upper()] = {"definition": f"{NODE} 1.2.3"}
    request = asked(body)
    assert (request.instance_id, request.composition_target_id, request.precheck) == (COMPOSITION, OTHER, True)
    assert request.elements[ELEMENT].id == ELEMENT
    assert request.elements[ELEMENT].definition == Identifier(*element["definition"].values())
    assert request.elements[ELEMENT].properties == {}


def test_a_placeholder_is_filled_in_where_the_id_is_known() -> None:
    for text in (samples.text(samples.INSTANCE), '{"compositionId": "DO_NOT_CHANGE_THIS_COMPOSITION_ID"}'):
        with pytest.raises(Unreadable) as error:
            read_instance(text)
        assert any("fill in the UUID" in problem.hint for problem in error.value.problems)
    assert read_instance(samples.text(samples.INSTANCE), composition_id=COMPOSITION).composition_id == COMPOSITION
    plain = samples.text(samples.INSTANCE).replace('"{{compositionId}}"', "{{compositionId}}")
    assert read_instance(plain.encode(), composition_id=COMPOSITION).composition_id == COMPOSITION


def test_what_is_missing_is_told_together() -> None:
    assert refused({}) == [
        ("", "name is missing"),
        ("", "version is missing"),
        ("", "compositionId is missing"),
        ("", "elements is missing"),
    ]


@pytest.mark.parametrize(
    ("change", "path", "said"),
    [
        ({"name": "my instance"}, "name", '"my instance" is no name'),
        ({"version": 1.0}, "version", '"1.0" is no version'),
        ({"name": ["x"]}, "name", "name is a list; it has to be a text"),
        ({"compositionId": "x"}, "compositionId", 'compositionId is "x"; it has to be a UUID'),
        ({"instanceId": 4}, "instanceId", "instanceId is a number; it has to be a UUID"),
        ({"precheck": "yes"}, "precheck", "precheck is a text; it has to be true or false"),
        ({"elements": []}, "elements", "elements is a list; it has to be a mapping of UUID to element"),
    ],
)
def test_a_field_of_the_wrong_kind_is_told(body: dict[str, Any], change: dict[str, Any], path: str, said: str) -> None:
    assert refused(body | change) == [(path, said)]


@pytest.mark.parametrize(
    ("change", "path", "said"),
    [
        ({"id": "x"}, ".id", 'id is "x"; it has to be a UUID'),
        ({"id": OTHER}, ".id", f"the id {OTHER} is not the key that the element stands under"),
        ({"definition": {"name": NODE}}, ".definition", "the definition has no version"),
        (
            {"definition": 4},
            ".definition",
            "definition is a number; it has to be the name and version of a node template",
        ),
        ({"properties": []}, ".properties", "properties is a list; it has to be a mapping"),
        ({"description": {}}, ".description", "description is a mapping; it has to be a text"),
    ],
)
def test_so_is_one_of_an_element(body: dict[str, Any], change: dict[str, Any], path: str, said: str) -> None:
    body["elements"][ELEMENT] |= change
    assert refused(body) == [(f'elements["{ELEMENT}"]{path}', said)]


def test_elements_stand_under_uuids(body: dict[str, Any]) -> None:
    body["elements"]["first"] = {"definition": f"{NODE} 1.2.3"}
    body["elements"][ELEMENT.upper()] = None
    assert [path for path, _ in refused(body)] == ["elements.first", f'elements["{ELEMENT.upper()}"]']
    body["elements"] = {ELEMENT: body["elements"][ELEMENT], ELEMENT.upper(): {"definition": f"{NODE} 1.2.3"}}
    assert refused(body) == [(f'elements["{ELEMENT.upper()}"]', f"the element {ELEMENT.upper()} stands twice")]


def test_the_sample_fits_its_definition(body: dict[str, Any], template: dict[str, Any]) -> None:
    assert check_instance(asked(body), template).ok


def test_the_number_of_elements_is_that_of_the_composition(body: dict[str, Any], template: dict[str, Any]) -> None:
    body["elements"][OTHER] = {"definition": f"{NODE} 1.2.3"}
    request = asked(body)
    report = check_instance(request, template)
    said = "Elements of the instance not matching with the elements of the composition"
    assert (report.status, report.details) == (400, HEAD + f'  "entry KserveIris" INVALID, {said}\n')
    assert report.problems[0].message == "the instance has 2 elements, the composition 1"
    assert check_instance(request, template, removed=1).ok
    body["elements"] = {}
    report = check_instance(asked(body), template)
    assert report.problems[0].hint == f"missing: {NODE}"


def test_a_definition_must_be_listed_in_that_version(body: dict[str, Any], template: dict[str, Any]) -> None:
    body["elements"][ELEMENT]["definition"]["version"] = "1.2.4"
    report = check_instance(asked(body), template)
    assert report.details == HEAD + (
        f'  "entry KserveIris" INVALID, item has status INVALID\n    "entry {NODE}" INVALID, Version not matching\n'
    )
    [problem] = report.problems
    assert (problem.path, problem.hint) == (f'elements["{ELEMENT}"].definition.version', 'write version: "1.2.3"')
    body["elements"][ELEMENT]["definition"]["name"] = NODE + "s"
    report = check_instance(asked(body), template)
    assert f'    "entry {NODE}s" INVALID, Not found\n' in report.details
    assert report.problems[0].hint == f"did you mean {NODE}?"


def test_an_element_id_is_used_once(body: dict[str, Any], template: dict[str, Any]) -> None:
    report = check_instance(asked(body), template, Names(), lambda ids: {ids[0]: "Starter"})
    assert report.details == HEAD + (
        '  "UUID elements KserveIris" INVALID, item has status INVALID\n'
        f'    item "Starter" value "{ELEMENT}" INVALID, UUID already used\n'
    )
    assert report.problems[0].path == f'elements["{ELEMENT}"]'
    assert 'item "null"' in check_instance(asked(body), template, Names(), lambda ids: {ids[0]: None}).details


def test_a_definition_without_its_parts_is_not_consistent(body: dict[str, Any], template: dict[str, Any]) -> None:
    said = "Commissioned automation composition definition not consistent"
    expected = HEAD + (
        '  "entry KserveIris" INVALID, item has status INVALID\n'
        f'    item "ToscaServiceTemplate" value "tosca" INVALID, {said}\n'
    )
    assert check_instance(asked(body), template, Names(composition="other")).details == expected
    del template["topology_template"]["node_templates"][NODE]
    report = check_instance(asked(body), template)
    assert report.details == expected
    assert "which it does not define" in report.problems[0].hint


@pytest.mark.parametrize(
    ("stored", "given_", "merged"),
    [
        ({"a": 1}, {"b": 2}, {"a": 1, "b": 2}),
        ({"a": {"x": 1, "y": 2}}, {"a": {"y": 3}}, {"a": {"x": 1, "y": 3}}),
        ({"a": [{"x": 1}, {"y": 2}]}, {"a": [{"z": 0}, {"y": 3}]}, {"a": [{"x": 1, "z": 0}, {"y": 3}]}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ({"a": [1]}, {"a": [3, 4]}, {"a": [3, 4]}),
        ({"a": {"x": 1}}, {"a": 5}, {"a": 5}),
        ({"a": 5}, {"a": {"x": 1}}, {"a": {"x": 1}}),
        ({"a": 5}, {"a": None}, {"a": None}),
        ({"a": [[1, 2], [3]]}, {"a": [[9, 8], [7, 6]]}, {"a": [[9, 8], [7, 6]]}),
    ],
)
def test_merging(stored: Any, given_: Any, merged: Any) -> None:
    assert merge(stored, given_) == merged


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=2),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.sampled_from("abc"), below, max_size=3),
    max_leaves=12,
)
MAPS = st.dictionaries(st.sampled_from("abc"), VALUES, max_size=3)


@given(MAPS, MAPS)
def test_laws_of_merging(stored: dict[str, Any], given_: dict[str, Any]) -> None:
    before = json.dumps([stored, given_])
    merged = merge(stored, given_)
    assert merge(stored, {}) == stored
    assert merge({}, given_) == given_
    assert merge(stored, stored) == stored
    assert merge(merged, given_) == merged, "an update twice is an update once"
    assert set(merged) == set(stored) | set(given_), "no key is lost"
    assert all(merged[key] == stored[key] for key in stored if key not in given_)
    assert list(merged)[: len(stored)] == list(stored)
    assert json.dumps([stored, given_]) == before


@given(MAPS, MAPS)
def test_what_is_merged_shares_nothing(stored: dict[str, Any], given_: dict[str, Any]) -> None:
    merged = merge(stored, given_)
    mutable = [id(part) for value in (stored, given_) for part in parts(value)]
    assert not {id(part) for part in parts(merged)} & set(mutable)


def parts(value: Any) -> list[Any]:
    """The value and everything below it that could be changed."""
    if not isinstance(value, (dict, list)):
        return []
    below = value.values() if isinstance(value, dict) else value
    return [value, *(part for member in below for part in parts(member))]
