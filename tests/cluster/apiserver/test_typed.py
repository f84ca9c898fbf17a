"""Values beside their schema: fields, changes, merges and what a merge prunes."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.apiserver.sample_kinds import deployment, deployment_object, widget
from mizzen.apis.schema import Node
from mizzen.cluster.apiserver.fieldsets import FieldSet, rendered
from mizzen.cluster.apiserver.typed import changes, fields_of, merged, pruned


def spec() -> Node:
    node = widget().declared("spec")
    assert node is not None
    return node


def shown(fields: FieldSet) -> list[str]:
    return [rendered(path) for path in fields.paths()]


def fields(config: dict[str, Any], node: Node | None = None) -> FieldSet:
    found, mistakes = fields_of(config, node or spec())
    assert mistakes == []
    return found


def test_the_fields_of_a_deployment_have_the_grain_of_its_schema() -> None:
    container = {
        "name": "c",
        "args": ["a", "b"],
        "env": [{"name": "E", "value": "1"}],
        "ports": [{"containerPort": 80}],
        "resources": {"limits": {"cpu": "1"}},
        "securityContext": {},
    }
    config = {"spec": deployment_object(container)["spec"]}
    pod = ".spec.template.spec.containers"
    assert shown(fields(config, deployment())) == [
        ".spec.selector",
        ".spec.template.metadata.labels.app",
        f'{pod}[name="c"]',
        f'{pod}[name="c"].args',
        f'{pod}[name="c"].env[name="E"]',
        f'{pod}[name="c"].env[name="E"].name',
        f'{pod}[name="c"].env[name="E"].value',
        f'{pod}[name="c"].name',
        f'{pod}[name="c"].ports[containerPort=80,protocol="TCP"]',
        f'{pod}[name="c"].ports[containerPort=80,protocol="TCP"].containerPort',
        f'{pod}[name="c"].resources.limits.cpu',
        f'{pod}[name="c"].securityContext',
    ]


@pytest.mark.parametrize(
    ("config", "paths"),
    [
        ({"size": 1, "port": "x"}, [".port", ".size"]),
        ({"tags": ["b", "a"]}, ['.tags[="a"]', '.tags[="b"]']),
        ({"args": ["a"]}, [".args"]),
        ({"selector": {"app": "x"}}, [".selector"]),
        ({"labels": {"a.b/c": "x"}}, [".labels.a.b/c"]),
        ({"groups": {"g": {"owner": "x"}}}, [".groups.g", ".groups.g.owner"]),
        ({"extra": {"a": {"b": [1]}, "c": 1}}, [".extra.a", ".extra.a.b", ".extra.c"]),
        ({"limits": {}, "tags": [], "env": []}, [".env", ".limits", ".tags"]),
        ({"template": {"apiVersion": "v1", "spec": {"a": 1}}}, [".template.apiVersion", ".template.spec.a"]),
    ],
)
def test_the_fields_of_a_configuration(config: Any, paths: list[str]) -> None:
    assert shown(fields(config)) == paths


@pytest.mark.parametrize(
    ("config", "mistakes"),
    [
        ({"foo": 1}, [".foo: field not declared in schema"]),
        ({"env": [{"name": "a", "x": 1}]}, ['.env[name="a"].x: field not declared in schema']),
        ({"env": [{"name": "a"}, {"name": "a"}]}, ['.env: duplicate entries for key [name="a"]']),
        ({"tags": ["a", "a"]}, ['.tags: duplicate entries for key [="a"]']),
        (
            {"ports": [{"port": 1}, {"port": 1, "protocol": "TCP"}]},
            ['.ports: duplicate entries for key [port=1,protocol="TCP"]'],
        ),
        (
            {"env": [{"value": "x"}]},
            [
                '.env: element 0: associative list with keys has an element that omits key field "name" '
                "(and doesn't have default value)"
            ],
        ),
        ({"env": ["a"]}, [".env: element 0: associative list with keys may not have non-map elements"]),
        ({"tags": [{}]}, [".tags: element 0: associative list without keys has an element that's no scalar"]),
        ({"foo": 1, "bar": 2}, [".foo: field not declared in schema", ".bar: field not declared in schema"]),
    ],
)
def test_what_cannot_be_applied_is_found_with_its_path(config: Any, mistakes: list[str]) -> None:
    assert fields_of(config, spec())[1] == mistakes


@pytest.mark.parametrize(
    ("old", "new", "added", "modified", "removed"),
    [
        ({"size": 1}, {"size": 1}, [], [], []),
        ({"size": 1}, {"size": 1.0}, [], [], []),
        ({"size": 1}, {"size": 2}, [], [".size"], []),
        ({"size": 1}, {"size": True}, [], [".size"], []),
        ({}, {"size": 1}, [".size"], [], []),
        ({"size": 1}, {}, [], [], [".size"]),
        ({"args": ["a"]}, {"args": ["b"]}, [], [".args"], []),
        ({"tags": ["a", "b"]}, {"tags": ["b", "a"]}, [], [], []),
        ({"tags": ["a", "b"]}, {"tags": ["b", "c"]}, ['.tags[="c"]'], [], ['.tags[="a"]']),
        ({}, {"tags": ["a"]}, [".tags", '.tags[="a"]'], [], []),
        ({"tags": []}, {"tags": ["a"]}, ['.tags[="a"]'], [], []),
        ({"labels": {"a": "1"}}, {"labels": {"a": "2", "b": "3"}}, [".labels.b"], [".labels.a"], []),
        ({"labels": {}}, {}, [], [], [".labels"]),
        ({"labels": None}, {"labels": {"a": "1"}}, [".labels.a"], [], []),
        ({"selector": {"app": "a"}}, {"selector": {"app": "b"}}, [], [".selector"], []),
        (
            {"env": [{"name": "a", "value": "1"}, {"name": "b"}]},
            {"env": [{"name": "b"}, {"name": "a", "value": "2"}]},
            [],
            ['.env[name="a"].value'],
            [],
        ),
        (
            {"env": [{"name": "a", "value": "1"}]},
            {"env": [{"name": "b"}]},
            ['.env[name="b"]', '.env[name="b"].name'],
            [],
            ['.env[name="a"]', '.env[name="a"].name', '.env[name="a"].value'],
        ),
        ({"env": [{"value": "1"}]}, {"env": [{"value": "2"}]}, [], [".env"], []),
        (
            {"ports": [{"port": 1}]},
            {"ports": [{"port": 1, "protocol": "TCP"}]},
            [added := '.ports[port=1,protocol="TCP"].protocol'],
            [],
            [],
        ),
        ({"extra": {"a": 1}}, {"extra": {"a": {"b": 1}}}, [".extra.a.b"], [".extra.a"], []),
    ],
)
def test_changes_by_path(old: Any, new: Any, added: list[str], modified: list[str], removed: list[str]) -> None:
    found = changes(old, new, spec())
    assert (shown(found.added), shown(found.modified), shown(found.removed)) == (added, modified, removed)


def test_items_that_stand_twice_are_one_in_what_is_owned() -> None:
    once, twice = {"env": [{"name": "a", "value": "1"}]}, {"env": [{"name": "a", "value": "1"}, {"name": "a"}]}
    found = changes(once, twice, spec())
    assert shown(found.modified) == ['.env[name="a"]']
    assert shown(found.removed) == ['.env[name="a"].name', '.env[name="a"].value']
    assert shown(changes(twice, twice, spec()).taken) == []
    assert shown(changes({"env": []}, twice, spec()).added) == ['.env[name="a"]']


@pytest.mark.parametrize(
    ("live", "applied", "result"),
    [
        ("abc", "def", "abcdef"),
        ("abc", "abd", "abcd"),
        ("abc", "cdef", "abcdef"),
        ("abcgf", "cdef", "abcgdef"),
        ("cdef", "ace", "acdef"),
        ("abcxyz", "defxyz", "abcdefxyz"),
        ("cagf", "cfag", "cfag"),
        ("abcd", "defa", "bcdefa"),
        ("cdefghij", "2h3e4kl", "cdfg2hij3e4kl"),
        ("abcdefghij", "1b2h3e4kl", "a1bcdfg2hij3e4kl"),
        ("abc", "cba", "cba"),
        ("abc", "", "abc"),
        ("", "ba", "ba"),
        ("ab", "xa", "xab"),
        ("abc", "cxa", "bcxa"),
    ],
)
def test_the_applied_order_holds_and_the_others_keep_their_place(live: str, applied: str, result: str) -> None:
    assert merged({"tags": list(live)}, {"tags": list(applied)}, spec())["tags"] == list(result)


@pytest.mark.parametrize(
    ("live", "config", "result"),
    [
        ({"args": ["a", "b"]}, {"args": ["c"]}, {"args": ["c"]}),
        ({"selector": {"app": "a"}}, {"selector": {"tier": "b"}}, {"selector": {"tier": "b"}}),
        ({"labels": {"a": "1"}}, {"labels": {"b": "2"}}, {"labels": {"a": "1", "b": "2"}}),
        (
            {"env": [{"name": "a", "value": "1"}, {"name": "b"}]},
            {"env": [{"name": "a", "mode": "m"}]},
            {"env": [{"name": "a", "value": "1", "mode": "m"}, {"name": "b"}]},
        ),
        (
            {"ports": [{"port": 1, "protocol": "TCP", "name": "x"}]},
            {"ports": [{"port": 1, "name": "y"}, {"port": 1, "protocol": "UDP"}]},
            {"ports": [{"port": 1, "protocol": "TCP", "name": "y"}, {"port": 1, "protocol": "UDP"}]},
        ),
        (
            {"env": [{"name": "a"}, {"name": "a"}]},
            {"env": [{"name": "b"}]},
            {"env": [{"name": "a"}, {"name": "a"}, {"name": "b"}]},
        ),
        ({"env": [{"name": "a", "value": "1"}, {"name": "a"}]}, {"env": [{"name": "a"}]}, {"env": [{"name": "a"}]}),
        ({"env": [{}]}, {"env": [{"name": "a"}]}, {"env": [{"name": "a"}]}),
        ({"extra": {"a": {"b": [1]}, "c": 1}}, {"extra": {"a": {"b": [2]}}}, {"extra": {"a": {"b": [2]}, "c": 1}}),
    ],
)
def test_merging_by_the_grain_of_the_schema(live: Any, config: Any, result: Any) -> None:
    before = copy.deepcopy((live, config))
    assert merged(live, config, spec()) == result
    assert (live, config) == before


@pytest.mark.parametrize(
    ("value", "last", "owned", "result"),
    [
        ({"size": 1, "mode": "a"}, {"size": 1}, {}, {"mode": "a"}),
        ({"size": 1}, {"size": 1}, {"size": 1}, {"size": 1}),
        ({"tags": ["a", "b"]}, {"tags": ["a", "b"]}, {"tags": ["b"]}, {"tags": ["b"]}),
        ({"tags": ["a"]}, {"tags": ["a"]}, {}, {}),
        ({"labels": {"a": "1", "b": "2"}}, {"labels": {"a": "1"}}, {"labels": {"b": "2"}}, {"labels": {"b": "2"}}),
        # What nobody owns goes with the field or the item that held it.
        ({"labels": {"a": "1", "nobody's": "2"}}, {"labels": {"a": "1"}}, {}, {}),
        ({"env": [{"name": "a", "mode": "default"}]}, {"env": [{"name": "a"}], "size": 1}, {"size": 1}, {}),
        # A struct stays for what others have in it, the item of a list does not.
        (
            {"limits": {"cpu": "1", "deep": {"x": 1}}},
            {"limits": {"cpu": "1"}},
            {"limits": {"deep": {"x": 1}}},
            {"limits": {"deep": {"x": 1}}},
        ),
        (
            {"env": [{"name": "a", "value": "1"}, {"name": "b"}]},
            {"env": [{"name": "a"}, {"name": "b"}]},
            {"env": [{"name": "b"}]},
            {"env": [{"name": "b"}]},
        ),
    ],
)
def test_what_was_applied_and_is_nobodys_now_is_pruned(value: Any, last: Any, owned: Any, result: Any) -> None:
    before = copy.deepcopy(value)
    assert pruned(value, spec(), fields(last), fields(owned)) == result
    assert value == before


def test_an_item_goes_although_another_manager_owns_a_field_in_it() -> None:
    theirs = FieldSet({"f:env": {'k:{"name":"a"}': {"f:value": {}}}})
    value = {"env": [{"name": "a", "value": "1"}, {"name": "b"}]}
    last, now = fields({"env": [{"name": "a"}, {"name": "b"}]}), fields({"env": [{"name": "b"}]})
    assert pruned(value, spec(), last, now | theirs) == {"env": [{"name": "b"}]}
    made_by_them = FieldSet({"f:env": {'k:{"name":"a"}': {".": {}, "f:name": {}, "f:value": {}}}})
    assert pruned(value, spec(), last, now | made_by_them) == value


text = st.sampled_from("abc")
items = st.lists(
    st.fixed_dictionaries({"name": text}, optional={"value": text, "mode": text}),
    unique_by=lambda item: item["name"],
    max_size=3,
)
configs = st.fixed_dictionaries(
    {},
    optional={
        "size": st.integers(1, 3),
        "tags": st.lists(text, unique=True, max_size=3),
        "args": st.lists(text, max_size=2),
        "env": items,
        "labels": st.dictionaries(text, text, max_size=2),
        "groups": st.dictionaries(text, st.fixed_dictionaries({}, optional={"owner": text}), max_size=2),
        "selector": st.fixed_dictionaries({}, optional={"app": text}),
        "extra": st.dictionaries(text, st.integers() | st.dictionaries(text, text, max_size=2), max_size=2),
    },
)


@settings(deadline=None)
@given(configs, configs)
def test_what_was_merged_in_is_there_and_merging_again_changes_nothing(live: Any, config: Any) -> None:
    result = merged(live, config, spec())
    assert merged(result, config, spec()) == result
    found = changes(config, result, spec())
    assert not shown(found.modified)
    assert not shown(found.removed)
    # Only where there is no schema can one kind of value replace another.
    assert all(path[0] == "f:extra" for path in changes(live, result, spec()).removed.paths())
    assert not shown(changes(live, result, spec()).removed) or any(
        isinstance(v, dict) for v in live.get("extra", {}).values()
    )


@settings(deadline=None)
@given(configs, configs)
def test_changes_are_what_one_has_and_the_other_has_not(old: Any, new: Any) -> None:
    found, back = changes(old, new, spec()), changes(new, old, spec())
    assert found.added == back.removed
    assert found.removed == back.added
    assert found.modified == back.modified
    assert not (found.added & found.removed)
    lists = FieldSet({f"f:{name}": {} for name in new if isinstance(new[name], (list, dict))})
    assert not (fields(new) - fields(old) - lists - found.taken)


@settings(deadline=None)
@given(configs, configs)
def test_pruning_takes_what_was_last_and_only_that(kept: Any, last: Any) -> None:
    both = merged(last, kept, spec())
    result = pruned(both, spec(), fields(last), fields(kept))
    assert not (fields(kept) - fields(result))
    assert not shown(fields(result) - fields(kept))
