"""Field sets: the wire format, set operations, and how a path is shown."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mizzen.cluster.apiserver.fieldsets import (
    FieldSet,
    FieldSetError,
    field_element,
    key_element,
    rendered,
    value_element,
)

Path = tuple[str, ...]


def field_set(*paths: Path) -> FieldSet:
    found = FieldSet()
    for path in paths:
        trie: dict[str, Any] = {}
        for element in reversed(path):
            trie = {element: trie}
        found |= FieldSet(trie)
    return found


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (
            ("f:spec", "f:template", "f:spec", "f:containers", 'k:{"name":"c"}', "f:image"),
            '.spec.template.spec.containers[name="c"].image',
        ),
        (("f:ports", 'k:{"containerPort":80,"protocol":"TCP"}'), '.ports[containerPort=80,protocol="TCP"]'),
        (("f:metadata", "f:finalizers", 'v:"x"'), '.metadata.finalizers[="x"]'),
        (("f:list", "i:3"), ".list[3]"),
        (("f:labels", "f:a.b/c"), ".labels.a.b/c"),
    ],
)
def test_paths_are_shown_as_upstream_shows_them(path: Path, text: str) -> None:
    assert rendered(path) == text


def test_steps_are_written_in_one_way() -> None:
    assert field_element("a") == "f:a"
    assert key_element({"protocol": "TCP", "port": 80.0}) == 'k:{"port":80,"protocol":"TCP"}'
    assert key_element({"name": 'ä"'}) == 'k:{"name":"ä\\""}'
    assert value_element("x") == 'v:"x"'
    assert value_element(2.0) == value_element(2) == "v:2"
    assert value_element(True) == "v:true"


def test_a_wire_value_is_read_and_written_back() -> None:
    wire = {
        "f:spec": {
            "f:replicas": {},
            "f:containers": {'k:{"name":"c"}': {".": {}, "f:name": {}, "f:env": {".": {}}}},
        },
        "f:metadata": {"f:finalizers": {'v:"x"': {}}},
    }
    found = FieldSet.parse(wire)
    assert list(map(rendered, found.paths())) == [
        '.metadata.finalizers[="x"]',
        '.spec.containers[name="c"]',
        '.spec.containers[name="c"].env',
        '.spec.containers[name="c"].name',
        ".spec.replicas",
    ]
    wire["f:spec"]["f:containers"]['k:{"name":"c"}']["f:env"] = {".": {}}
    assert FieldSet.parse(found.fields_v1) == found


def test_steps_of_other_writers_are_brought_into_the_one_form_and_unknown_ones_skipped() -> None:
    wire = {"f:l": {'k:{ "b":1, "a":"x" }': {"f:n": {}}, 'v: "y"': {}, "z:new": {}}, ".": {}}
    paths = list(FieldSet.parse(wire).paths())
    assert paths == [("f:l", 'k:{"a":"x","b":1}', "f:n"), ("f:l", 'v:"y"')]


@pytest.mark.parametrize(
    "wire",
    [
        None,
        [],
        "f:a",
        {"f:a": 1},
        {"f:a": None},
        {"name": {}},
        {"k:name": {}},
        {"k:[1]": {}},
        {"v:{}": {}},
        {"i:x": {}},
    ],
)
def test_what_is_no_field_set_is_refused(wire: Any) -> None:
    with pytest.raises(FieldSetError):
        FieldSet.parse(wire)


A, B = ("f:a",), ("f:a", "f:b")


@pytest.mark.parametrize(
    ("left", "right", "union", "difference", "intersection"),
    [
        ([A], [B], [A, B], [A], []),
        ([B], [A], [A, B], [B], []),
        ([A, B], [A], [A, B], [B], [A]),
        ([A, B], [B], [A, B], [A], [B]),
        ([A], [], [A], [A], []),
        ([], [A], [A], [], []),
        ([A, B], [A, B], [A, B], [], [A, B]),
    ],
)
def test_a_field_and_what_is_below_it_are_members_apart(
    left: list[Path], right: list[Path], union: list[Path], difference: list[Path], intersection: list[Path]
) -> None:
    one, other = field_set(*left), field_set(*right)
    assert list((one | other).paths()) == union
    assert list((one - other).paths()) == difference
    assert list((one & other).paths()) == intersection


def test_membership() -> None:
    found = field_set(A, ("f:x", "f:y"))
    assert A in found
    assert ("f:x", "f:y") in found
    assert ("f:x",) not in found
    assert B not in found
    assert () not in found
    assert found and not FieldSet()


elements = st.sampled_from(["f:a", "f:b", 'k:{"n":1}', 'v:"x"', "i:0"])
path_sets = st.sets(st.lists(elements, min_size=1, max_size=4).map(tuple), max_size=8)


@settings(deadline=None)
@given(path_sets, path_sets)
def test_set_operations_are_those_of_sets(left: set[Path], right: set[Path]) -> None:
    one, other = field_set(*left), field_set(*right)
    before = copy.deepcopy((one.trie, other.trie))
    assert set((one | other).paths()) == left | right
    assert set((one & other).paths()) == left & right
    assert set((one - other).paths()) == left - right
    assert bool(one) == bool(left)
    assert (one == other) == (left == right)
    assert all((path in one) == (path in left) for path in left | right)
    assert (one.trie, other.trie) == before


@settings(deadline=None)
@given(path_sets)
def test_the_wire_format_holds_every_set(paths: set[Path]) -> None:
    found = field_set(*paths)
    assert FieldSet.parse(found.fields_v1) == found
    assert set(FieldSet.parse(found.fields_v1).paths()) == paths
