"""JSON paths of printer columns and scale sub-resources."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.apiserver.sample_kinds import shared_columns
from mizzen.cluster.apiserver.jsonpath import compile

VALUE: dict[str, Any] = {
    "spec": {
        "replicas": 3,
        "a.b": 1,
        "it's": 2,
        "traffic": [{"tag": "prev", "p": 10}, {"tag": "x", "p": 90, "on": True}],
    },
    "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Other", "status": "False"}]},
    "metadata": {"annotations": {"x.y/z": "q"}},
}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (".spec.replicas", [3]),
        ("spec.replicas", [3]),
        ("{.spec.replicas}", [3]),
        ("{ .spec.replicas }", [3]),
        ("$.spec.replicas", [3]),
        (".spec['replicas']", [3]),
        (".spec['a.b']", [1]),
        ('.spec["a.b"]', [1]),
        (r".spec.a\.b", [1]),
        (r".spec['it\'s']", [2]),
        (".metadata.annotations['x.y/z']", ["q"]),
        (r".metadata.annotations.x\.y/z", ["q"]),
        (".status.conditions[0].type", ["Ready"]),
        (".status.conditions.[0].type", ["Ready"]),
        (".status.conditions[-1].type", ["Other"]),
        (".status.conditions[2].type", []),
        (".status.conditions[-3].type", []),
        (".status.conditions[*].type", ["Ready", "Other"]),
        ('.status.conditions[?(@.type=="Ready")].status', ["True"]),
        (".status.conditions[?(@.type=='Ready')].status", ["True"]),
        (".status.conditions[?( @.type == 'Nope' )].status", []),
        (".status.conditions[?(@.type!='Ready')].status", ["False"]),
        (".spec.traffic[?(@.tag=='prev')].p", [10]),
        (".spec.traffic[?(@.p==90)].tag", ["x"]),
        (".spec.traffic[?(@.p>10)].tag", ["x"]),
        (".spec.traffic[?(@.p<=10)].tag", ["prev"]),
        (".spec.traffic[?(@.p==1e1)].tag", ["prev"]),
        (".spec.traffic[?(@.on==true)].tag", ["x"]),
        (".spec.traffic[?(@.on)].tag", ["x"]),
        (".spec.traffic[?(@.p=='90')].tag", []),
        (".spec.replicas.nothing", []),
        (".spec.replicas[0]", []),
        (".nothing.at.all", []),
        ("{.spec.traffic[*].p}", [10, 90]),
        ("$", [VALUE]),
        ("{}", [VALUE]),
    ],
)
def test_a_path_finds_what_it_leads_to(path: str, found: list[Any]) -> None:
    assert compile(path).find(VALUE) == found


def test_the_places_of_a_list_at_the_root() -> None:
    assert compile("[1]").find([1, 2]) == compile("{.[1]}").find([1, 2]) == [2]


@pytest.mark.parametrize(
    ("path", "position", "words"),
    [
        (".spec.", 7, "field name"),
        (".spec..replicas", 6, "not supported"),
        (".spec[", 7, "expected"),
        (".spec[a]", 7, "index"),
        (".spec[1", 8, "] is expected"),
        (".spec['a]", 7, "closing quote"),
        (".spec[?(a==1)]", 9, "starts with @"),
        (".spec[?(@.a==)]", 14, "a text in quotes"),
        (".spec[?(@.a==1]", 15, ") is expected"),
        ("{.spec", 7, "} is expected"),
        (".spec}", 6, "should end here"),
        (".a b", 4, "should end here"),
    ],
)
def test_a_malformed_path_is_refused_with_its_position(path: str, position: int, words: str) -> None:
    with pytest.raises(ValueError, match=rf"position {position}: .*{re.escape(words)}"):
        compile(path)


@pytest.mark.parametrize("path", shared_columns())
def test_the_columns_of_the_field_have_paths_that_compile(path: str) -> None:
    assert compile(path).find({}) == []


names = st.text(st.characters(exclude_categories=("Cs",)), min_size=1)


@settings(deadline=None)
@given(st.lists(names, min_size=1, max_size=4))
def test_any_names_in_quotes_lead_to_their_value(path: list[str]) -> None:
    value: Any = "found"
    for name in reversed(path):
        value = {name: value}
    escaped = "".join("['" + name.replace("\\", "\\\\").replace("'", "\\'") + "']" for name in path)
    assert compile(escaped).find(value) == ["found"]


@settings(deadline=None)
@given(st.text())
def test_any_text_is_a_path_or_a_mistake_with_a_position(text: str) -> None:
    try:
        compile(text).find(VALUE)
    except ValueError as error:
        assert "position" in str(error)
