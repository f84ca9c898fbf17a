"""Strategic merge patches with the results that a kube-apiserver gave, and merge patches by RFC 7386."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mizzen.apis.merge import (
    ContradictoryPatch,
    MalformedPatch,
    MergeError,
    json_merge,
    json_merge_diff,
    strategic_merge,
    without_directives,
)
from mizzen.apis.schema import builtin

POD = builtin("", "v1", "Pod")
DEPLOYMENT = builtin("apps", "v1", "Deployment")
SERVICE = builtin("", "v1", "Service")


def pod(**spec: Any) -> dict[str, Any]:
    return {"spec": spec}


def containers(*names: str) -> list[dict[str, Any]]:
    return [{"name": name} for name in names]


def patched_pod(spec: dict[str, Any], patch: dict[str, Any]) -> Any:
    return strategic_merge(pod(**spec), pod(**patch), POD)["spec"]


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patches_do_what_rfc_7386_says(target: Any, patch: Any, result: Any) -> None:
    before = copy.deepcopy((target, patch))
    assert json_merge(target, patch) == result
    assert (target, patch) == before


# Each of these was answered so by a kube-apiserver.
MEASURED = [
    (
        {"containers": containers("c1", "c2")},
        {"containers": containers("c3")},
        {"containers": containers("c3", "c1", "c2")},
    ),
    (
        {"containers": [{"name": "c", "args": ["a", "b"]}]},
        {"containers": [{"name": "c", "args": ["z"]}]},
        {"containers": [{"name": "c", "args": ["z"]}]},
    ),
    ({"tolerations": [{"key": "a"}]}, {"tolerations": [{"key": "b"}]}, {"tolerations": [{"key": "b"}]}),
    (
        {"containers": [{"name": "c", "env": [{"name": "A", "value": "1"}]}]},
        {"containers": [{"name": "c", "env": [{"name": "A", "value": None}]}]},
        {"containers": [{"name": "c", "env": [{"name": "A"}]}]},
    ),
    (
        {"containers": [{"name": "c"}]},
        {"containers": [{"name": "c", "env": [{"name": "A", "value": None}]}]},
        {"containers": [{"name": "c", "env": [{"name": "A"}]}]},
    ),
    (
        {"volumes": [{"name": "v", "emptyDir": {}}]},
        {"volumes": [{"name": "v", "hostPath": {"path": "/x"}}]},
        {"volumes": [{"name": "v", "emptyDir": {}, "hostPath": {"path": "/x"}}]},
    ),
    (
        {"volumes": [{"name": "v", "emptyDir": {}}]},
        {"volumes": [{"name": "v", "hostPath": {"path": "/x"}, "$retainKeys": ["name", "hostPath"]}]},
        {"volumes": [{"name": "v", "hostPath": {"path": "/x"}}]},
    ),
]


@pytest.mark.parametrize(("spec", "patch", "result"), MEASURED)
def test_measured_results(spec: Any, patch: Any, result: Any) -> None:
    assert patched_pod(spec, patch) == result


def test_new_finalizers_come_first() -> None:
    target, patch = {"metadata": {"finalizers": ["a", "b"]}}, {"metadata": {"finalizers": ["c"]}}
    assert strategic_merge(target, patch, POD) == {"metadata": {"finalizers": ["c", "a", "b"]}}


def test_a_strategy_keeps_its_old_parameters_unless_it_is_told_which_keys_to_retain() -> None:
    target = {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}
    plain = {"spec": {"strategy": {"type": "Recreate"}}}
    assert strategic_merge(target, plain, DEPLOYMENT)["spec"]["strategy"] == {
        "type": "Recreate",
        "rollingUpdate": {"maxSurge": 1},
    }
    retaining = {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}
    assert strategic_merge(target, retaining, DEPLOYMENT)["spec"]["strategy"] == {"type": "Recreate"}


ORDER = "$setElementOrder/containers"


@pytest.mark.parametrize(
    ("spec", "patch", "names"),
    [
        ("ab", {"containers": containers("c"), ORDER: containers("a", "b", "c")}, "abc"),
        ("ab", {ORDER: containers("b", "a")}, "ba"),
        ("abc", {ORDER: containers("c", "a")}, "bca"),
        ("ab", {"containers": [{"name": "a", "$patch": "delete"}]}, "b"),
        ("ab", {"containers": [{"name": "x", "$patch": "delete"}]}, "ab"),
        ("ab", {"containers": [{"name": "a", "$patch": "delete"}, {"name": "c"}], ORDER: containers("b", "c")}, "bc"),
        ("ab", {"containers": [{"$patch": "replace"}, {"name": "z"}]}, "z"),
        ("ab", {"containers": [{"$patch": "replace"}]}, ""),
        ("ab", {"containers": []}, "ab"),
        ("", {"containers": [{"name": "a", "$patch": "delete"}, {"name": "b"}]}, "b"),
        ("abcd", {"containers": containers("d", "x", "b")}, "acdxb"),
    ],
)
def test_the_order_of_a_keyed_list(spec: str, patch: Any, names: str) -> None:
    found = patched_pod({"containers": containers(*spec)}, patch)["containers"]
    assert "".join(container["name"] for container in found) == names


@pytest.mark.parametrize(
    ("spec", "patch", "result"),
    [
        ({"affinity": {"a": 1}, "x": 1}, {"affinity": {"$patch": "delete"}}, {"affinity": {}, "x": 1}),
        ({}, {"affinity": {"$patch": "delete"}}, {}),
        ({"affinity": {"a": 1}}, {"affinity": {"$patch": "replace", "b": 2}}, {"affinity": {"b": 2}}),
        ({}, {"affinity": {"$patch": "replace", "b": 2, "c": None}}, {"affinity": {"b": 2}}),
        ({"affinity": {"a": 1}}, {"affinity": {"$patch": "merge", "b": 2}}, {"affinity": {"a": 1, "b": 2}}),
        ({"nodeSelector": {"a": "b"}}, {"nodeSelector": {"a": None, "c": "d"}}, {"nodeSelector": {"c": "d"}}),
        ({"containers": containers("a")}, {"containers": None}, {}),
        (
            {"containers": [{"name": "a", "image": "1", "args": ["x"]}]},
            {"containers": [{"name": "a", "image": "2", "$patch": "replace"}]},
            {"containers": [{"name": "a", "image": "2"}]},
        ),
        (
            {"containers": [{"name": "a", "ports": [{"containerPort": 80}, {"containerPort": 81}]}]},
            {"containers": [{"name": "a", "ports": [{"containerPort": 80, "$patch": "delete"}]}]},
            {"containers": [{"name": "a", "ports": [{"containerPort": 81}]}]},
        ),
        (
            {},
            {"containers": [{"name": "a", "env": [{"name": "x", "$patch": "delete"}, {"name": "y"}]}]},
            {"containers": [{"name": "a", "env": [{"name": "y"}]}]},
        ),
    ],
)
def test_directives(spec: Any, patch: Any, result: Any) -> None:
    assert patched_pod(spec, patch) == result


def test_values_leave_a_list_of_scalars() -> None:
    target = {"metadata": {"finalizers": ["a", "b", "c"]}}
    patch = {"metadata": {"$deleteFromPrimitiveList/finalizers": ["b", "x"]}}
    assert strategic_merge(target, patch, POD) == {"metadata": {"finalizers": ["a", "c"]}}
    patch["metadata"]["$setElementOrder/finalizers"] = ["c", "a"]
    assert strategic_merge(target, patch, POD) == {"metadata": {"finalizers": ["c", "a"]}}
    assert strategic_merge({"metadata": {}}, patch, POD) == {"metadata": {}}


def test_items_with_the_same_merge_key_are_not_lost() -> None:
    ports = [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]
    patch = {"spec": {"ports": [{"port": 80}]}}
    merged = strategic_merge({"spec": {"ports": ports}}, patch, SERVICE)
    assert merged["spec"]["ports"] == [{"port": 80}, *ports]


def test_without_a_schema_maps_merge_and_lists_are_replaced() -> None:
    target, patch = {"a": {"b": [1], "c": 1}}, {"a": {"b": [2]}}
    assert strategic_merge(target, patch, None) == {"a": {"b": [2], "c": 1}}


@pytest.mark.parametrize(
    ("patch", "error", "text"),
    [
        (
            {"containers": [{"image": "new"}]},
            MergeError,
            "map: map[image:new] does not contain declared merge key: name",
        ),
        ({"$patch": "zap", "hostname": "h"}, MergeError, "unknown patch type: zap in map: map[$patch:zap hostname:h]"),
        ({"containers": ["c"]}, MergeError, "does not contain declared merge key: name"),
        ({"$setElementOrder/containers": {}}, MalformedPatch, "$setElementOrder/containers needs a list"),
        ({"$deleteFromPrimitiveList/x": 1}, MalformedPatch, "needs a list"),
        ({"$retainKeys": "x"}, MalformedPatch, "needs a list"),
        ({"$retainKeys": [], "hostname": "h"}, ContradictoryPatch, "'hostname'"),
        ({"containers": containers("a"), ORDER: containers("b")}, MalformedPatch, "the order"),
        ({"containers": containers("a", "b"), ORDER: containers("b", "a")}, MalformedPatch, "the order"),
    ],
)
def test_what_cannot_be_merged_is_said(patch: Any, error: type[MergeError], text: str) -> None:
    with pytest.raises(MergeError) as caught:
        patched_pod({"containers": containers("a")}, patch)
    assert type(caught.value) is error
    assert text in str(caught.value)


texts = st.sampled_from(["name", "containers", "env", "value", "spec", "a", "$patch", "ports", "volumes", "finalizers"])
values = st.recursive(
    st.none() | st.booleans() | st.integers(0, 2) | st.sampled_from(["a", "b", "delete", "replace"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
named = st.lists(
    st.fixed_dictionaries(
        {"name": st.sampled_from("abcd")},
        optional={"image": st.sampled_from("xy"), "args": st.lists(st.sampled_from("pq"))},
    ),
    unique_by=lambda item: item["name"],
    max_size=4,
)


stored = st.dictionaries(texts.filter(lambda key: not key.startswith("$")), values, max_size=4)


@settings(deadline=None)
@given(stored, st.dictionaries(texts, values, max_size=4))
def test_the_arguments_stay_as_they_are(target: Any, patch: Any) -> None:
    before = copy.deepcopy((target, patch))
    for node in (POD, None):
        try:
            merged = strategic_merge({"spec": target}, {"spec": patch}, node)
        except MergeError:
            continue
        assert "$patch" not in merged["spec"]
    assert (target, patch) == before


@settings(deadline=None)
@given(named, named)
def test_merging_twice_is_merging_once_and_loses_nobody(target: Any, patch: Any) -> None:
    once = patched_pod({"containers": target}, {"containers": patch})
    assert patched_pod(once, {"containers": patch}) == once
    found = {container["name"] for container in once["containers"]}
    assert found == {item["name"] for item in (*target, *patch)}


@settings(deadline=None)
@given(named, st.permutations("abcd"))
def test_a_given_order_is_kept(target: Any, order: list[str]) -> None:
    merged = patched_pod({"containers": target}, {ORDER: containers(*order)})["containers"]
    there = {item["name"] for item in target}
    assert [item["name"] for item in merged] == [name for name in order if name in there]


@settings(deadline=None)
@given(stored, stored)
def test_the_difference_as_a_patch_leads_from_one_to_the_other(old: Any, new: Any) -> None:
    old, new = without_directives(old), without_directives(new)
    assert json_merge(old, json_merge_diff(old, new)) == new
