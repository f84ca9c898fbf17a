"""From fields to inputs and back: a value that goes through the form is the value that it was."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mizzen.acm.runtime.web import inputs
from mizzen.acm.runtime.web.inputs import ABSENT, Input, of_form, of_value, problems, value_of
from mizzen.acm.tosca.fields import Field

IDENTIFIER = Field(
    name="kserveInferenceEntityId",
    type="ToscaConceptIdentifier",
    required=True,
    fields=(Field("name", "string", required=True), Field("version", "string", required=True)),
)
ENTITY = Field(
    name="",
    type="KserveInferenceEntity",
    fields=(IDENTIFIER, Field("name", "string", required=True), Field("payload", "string", required=True)),
)
ENTITIES = Field(name="kserveInferenceEntities", type="list", required=True, entry=ENTITY)


def root(*fields: Field) -> Field:
    return Field(name="", type="", required=True, fields=fields)


def sent(one: Input) -> dict[str, str]:
    """What a browser sends of it, with the line ends that browsers send."""
    found: dict[str, str] = {}
    if one.kind == "list":
        found[f"n/{one.path}"] = str(len(one.inputs))
    elif one.kind == "group":
        found[f"o/{one.path}"] = one.other.replace("\n", "\r\n")
    else:
        found[f"p/{one.path}"] = one.text.replace("\n", "\r\n")
        if one.kept:
            found[f"k/{one.path}"] = one.kept
    for below in one.inputs:
        found |= sent(below)
    return found


def through(field: Field, value: Any) -> tuple[Any, list[Input]]:
    again = of_form(field, "0", sent(of_value(field, "0", value)))
    found = value_of(again)
    return found, problems(again)


_TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\r\0", exclude_categories=["Cs"]), min_size=1).filter(
    lambda text: bool(text.strip())
)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3),
    max_leaves=8,
)


@st.composite
def fields_and_values(draw: st.DrawFn, depth: int = 2, name: str = "") -> tuple[Field, Any]:
    kinds = ["string", "integer", "float", "boolean", "map"] + (["list", "group"] if depth else [])
    match kind := draw(st.sampled_from(kinds)):
        case "string":
            return Field(name, kind, required=True), draw(_TEXTS)
        case "integer":
            return Field(name, kind, required=True), draw(st.integers(-(10**15), 10**15))
        case "float":
            return Field(name, kind, required=True), draw(st.floats(allow_nan=False, allow_infinity=False))
        case "boolean":
            return Field(name, kind, required=True), draw(st.booleans())
        case "map":
            return Field(name, kind, required=True), draw(st.dictionaries(_TEXTS, _JSON, max_size=3))
        case "list":
            entry, value = draw(fields_and_values(depth - 1))
            return Field(name, "list", required=True, entry=entry), [value] * draw(st.integers(1, 3))
    names = draw(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=3, unique=True))
    members = [draw(fields_and_values(depth - 1, one)) for one in names]
    value = {one: member for one, (_, member) in zip(names, members, strict=True)}
    extra = draw(st.dictionaries(st.sampled_from(["x", "y z", "ä/ö"]), _JSON, max_size=2))
    return Field(name, "Type", required=True, fields=tuple(field for field, _ in members)), value | extra


@given(fields_and_values())
def test_a_value_comes_back_as_it_was(case: tuple[Field, Any]) -> None:
    field, value = case
    found, wrong = through(field, value)
    assert wrong == []
    assert found == value


def test_the_payload_is_shown_in_lines_and_means_the_same() -> None:
    payload = '{"apiVersion":"serving.kserve.io/v1beta1","kind":"InferenceService"}'
    shown = of_value(root(Field("payload", "string")), "0", {"payload": payload})
    [input] = shown.inputs
    assert input.kind == "document"
    assert input.text.count("\n") == 3
    assert json.loads(value_of(shown)["payload"]) == json.loads(payload)


def test_a_payload_that_is_no_json_is_left_alone() -> None:
    found, wrong = through(root(Field("payload", "string")), {"payload": "{not json"})
    assert (found, wrong) == ({"payload": "{not json"}, [])


@pytest.mark.parametrize(
    ("field", "text", "value", "problem"),
    [
        (Field("a", "integer"), "7", 7, ""),
        (Field("a", "integer"), " 7 ", 7, ""),
        (Field("a", "integer"), "7.5", ABSENT, "This is no whole number."),
        (Field("a", "integer"), "x", ABSENT, "This is no whole number."),
        (Field("a", "float"), "7.5", 7.5, ""),
        (Field("a", "float"), "nan", ABSENT, "This is no number."),
        (Field("a", "float"), "1e999", ABSENT, "This is no number."),
        (Field("a", "boolean"), "true", True, ""),
        (Field("a", "boolean"), "yes", ABSENT, "It is true or false."),
        (Field("a", "map"), "{", ABSENT, "This is no JSON: line 1, column 2"),
        (Field("a", "map"), '{"b": 1}', {"b": 1}, ""),
        (Field("a", "Unknown"), "[1]", [1], ""),
        (Field("a", "string", required=True), "  ", ABSENT, "A value is needed."),
        (Field("a", "string"), "", ABSENT, ""),
        (Field("a", "integer", constraints=({"greater_or_equal": "1"},)), "0", 0, "It is 1 or more."),
        (Field("a", "integer", constraints=({"in_range": ["1", "5"]},)), "6", 6, "It is 5 or less."),
        (Field("a", "string", constraints=({"valid_values": ["x", "y"]},)), "x", "x", ""),
        (
            Field("a", "string", constraints=({"valid_values": ["x", "y"]},)),
            "z",
            "z",
            "It is one of those in the list.",
        ),
        (Field("a", "integer", constraints=({"valid_values": ["1", "2"]},)), "2", 2, ""),
    ],
)
def test_what_is_typed_in(field: Field, text: str, value: Any, problem: str) -> None:
    one = of_form(field, "0", {"p/0": text})
    assert value_of(one) == value
    assert one.problem.startswith(problem) if problem else one.problem == ""


def test_defaults_are_filled_in() -> None:
    field = root(Field("a", "integer", default=5), Field("b", "boolean", default=False), Field("c", "string"))
    shown = of_value(field, "0")
    assert [one.text for one in shown.inputs] == ["5", "false", ""]
    assert value_of(shown) == {"a": 5, "b": False}


def test_an_optional_data_type_that_is_left_empty_is_not_given() -> None:
    optional = Field("id", "T", fields=(Field("name", "string", required=True), Field("version", "string")))
    assert value_of(of_form(root(optional), "0", {})) == {}
    half = of_form(root(optional), "0", {"p/0/id/version": "1"})
    value_of(half)
    assert [one.path for one in problems(half)] == ["0/id/name"]


def test_a_new_form_shows_what_a_list_wants() -> None:
    for required in (True, False):
        shown = of_value(root(Field("many", "list", required=required, entry=ENTITY)), "0")
        [many] = shown.inputs
        assert len(many.inputs) == 1
        found = value_of(shown)
        assert found == {}
        assert bool(problems(shown)) == required


def test_entries_are_added_and_taken_away() -> None:
    field = root(ENTITIES)
    value = {"kserveInferenceEntities": [{"name": name, "namespace": "n"} for name in ("a", "b")]}
    form = of_value(field, "0", value)
    many = form.inputs[0]
    inputs.change(form, f"add {many.path}")
    assert [one.path for one in many.inputs] == [f"{many.path}/{at}" for at in range(3)]
    fresh = [one for one in many.inputs[2].inputs[0].inputs if one.fresh]
    assert [one.path for one in fresh] == [f"{many.path}/2/kserveInferenceEntityId/name"]
    inputs.change(form, f"remove {many.path} 0")
    assert [one.inputs[1].text for one in many.inputs] == ["b", ""]
    # After one went, the others are found where they now are.
    again = of_form(field, "0", sent(form))
    assert [one.inputs[1].text for one in again.inputs[0].inputs] == ["b", ""]
    assert json.loads(again.inputs[0].inputs[0].other) == {"namespace": "n"}


@pytest.mark.parametrize(
    "order", ["", "add", "add nowhere", "remove", "remove 0/kserveInferenceEntities 9", "add 0", "x"]
)
def test_an_order_that_leads_nowhere_changes_nothing(order: str) -> None:
    form = of_value(root(ENTITIES), "0", {"kserveInferenceEntities": [{"name": "a"}]})
    before = sent(form)
    inputs.change(form, order)
    assert sent(form) == before


@pytest.mark.parametrize("count", ["-1", "x", "99999999999", "²", ""])
def test_counts_from_elsewhere_do_no_harm(count: str) -> None:
    form = of_form(root(ENTITIES), "0", {"n/0/kserveInferenceEntities": count})
    assert len(form.inputs[0].inputs) <= 500


def test_a_stored_secret_is_not_shown_and_stays() -> None:
    field = root(Field("token", "string", sensitive=True, required=True))
    shown = of_value(field, "0", {"token": "ENCRYPTED:abc"})
    assert shown.inputs[0].text == ""
    form = sent(shown)
    assert value_of(of_form(field, "0", form)) == {"token": "ENCRYPTED:abc"}
    assert value_of(of_form(field, "0", form | {"p/0/token": "new"})) == {"token": "new"}


def test_what_the_definition_does_not_name() -> None:
    form = of_form(root(), "0", {"o/0": '{"namespace": "x"}'})
    assert value_of(form) == {"namespace": "x"}
    for wrong, said in [("{", "no JSON"), ("[1]", "names with values")]:
        form = of_form(root(), "0", {"o/0": wrong})
        value_of(form)
        assert said in problems(form)[0].problem


def test_what_most_do_without_is_folded() -> None:
    flat = [Field("name", "string"), Field("payload", "string")]
    limits = [Field("deployTimeoutMs", "integer"), Field("undeployTimeoutMs", "integer")]
    form = of_value(root(*limits, ENTITIES, *flat, Field("other", "string")), "0")
    assert [one.label for one in form.main] == ["kserveInferenceEntities", "other"]
    folds = {title: [one.label for one in folded] for title, folded in form.folds}
    assert folds == {
        "In place of kserveInferenceEntities": ["name", "payload"],
        "Time limits": ["deployTimeoutMs", "undeployTimeoutMs"],
    }
