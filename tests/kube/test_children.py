"""A child that is as rendered costs no request; one that differs is applied."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fake_api import client_of, fake_api, refusing, saying
from mizzen.apis.core import CONFIG_MAP
from mizzen.kube.children import HASH_ANNOTATION, apply_child, covers, is_current, render_hash
from mizzen.kube.errors import ApiError

RENDERED = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "a", "namespace": "default", "annotations": {"mine": "1"}},
    "data": {"k": "v"},
}


def stored(rendered: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    """What the API makes of an applied render."""
    found = copy.deepcopy(rendered)
    found["metadata"].setdefault("annotations", {})[HASH_ANNOTATION] = render_hash(rendered)
    found["metadata"] |= {"uid": "u", "resourceVersion": "1"} | metadata
    return found


@pytest.mark.parametrize(
    ("live", "rendered", "expected"),
    [
        ({"a": 1}, {"a": 1}, True),
        ({"a": 1, "b": 2}, {"a": 1}, True),
        ({"a": 1}, {"a": 2}, False),
        ({}, {"a": 1}, False),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1}}, True),
        ({"a": {"c": 2}}, {"a": {"b": 1}}, False),
        ({"a": "x"}, {"a": {}}, False),
        ({"a": [1, 2]}, {"a": [1, 2]}, True),
        ({"a": [1, 2]}, {"a": [1]}, False),
        ({"a": [2, 1]}, {"a": [1, 2]}, False),
        ({"a": [{"b": 1, "default": 2}]}, {"a": [{"b": 1}]}, True),
        ({"a": "1"}, {"a": 1}, False),
        # What Go leaves out of what it stores.
        ({}, {"a": {}}, True),
        ({}, {"a": []}, True),
        ({}, {"a": None}, True),
        ({}, {"a": ""}, True),
        ({}, {"a": False}, True),
        ({}, {"a": 0}, True),
        ({}, {"a": {"b": {}, "c": False}}, True),
        ({}, {"a": {"b": {}, "c": 1}}, False),
        ({"a": 1}, {"a": 0}, False),
        ({"a": True}, {"a": False}, False),
        ({"a": "x"}, {"a": ""}, False),
    ],
)
def test_covering(live, rendered, expected):
    assert covers(live, rendered) is expected


@pytest.mark.parametrize(
    ("live", "expected"),
    [
        (None, False),
        (RENDERED, False),
        (stored(RENDERED), True),
        (stored(RENDERED, finalizers=["x"]), True),
        (stored(RENDERED, deletionTimestamp="2026-01-01T00:00:00Z"), False),
        (stored(RENDERED) | {"data": {"k": "other"}}, False),
        (stored(RENDERED) | {"data": {"k": "v", "added": "by others"}}, True),
        (stored(RENDERED | {"data": {"k": "v", "more": "before"}}) | {"data": {"k": "v", "more": "before"}}, False),
    ],
)
def test_whether_a_child_is_as_rendered(live, expected):
    assert is_current(RENDERED, live) is expected


async def test_what_differs_is_applied_with_its_hash():
    async with fake_api() as api, client_of(api) as client:
        api.answers = [saying(json.dumps(stored(RENDERED)))]
        applied = await apply_child(client, CONFIG_MAP, RENDERED, None)
        assert applied == stored(RENDERED)
        method, path, query = api.requests[0]
        assert (method, path) == ("PATCH", "/api/v1/namespaces/default/configmaps/a")
        assert query == {"fieldManager": "tester", "force": "true"}
        assert api.bodies[0]["metadata"]["annotations"] == {"mine": "1", HASH_ANNOTATION: render_hash(RENDERED)}
        assert HASH_ANNOTATION not in RENDERED["metadata"]["annotations"]
        assert await apply_child(client, CONFIG_MAP, RENDERED, applied) is None
        assert len(api.requests) == 1


async def test_what_the_api_refuses_is_raised():
    async with fake_api() as api, client_of(api) as client:
        api.answers = [refusing(422, "Invalid", "wrong")]
        with pytest.raises(ApiError, match="wrong"):
            await apply_child(client, CONFIG_MAP, RENDERED, None)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from(["", "x", "y"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=10,
)


@given(VALUES)
def test_everything_covers_itself(value):
    assert covers(value, value)


@given(st.dictionaries(st.sampled_from("abc"), VALUES), st.dictionaries(st.sampled_from("xyz"), VALUES))
def test_more_covers_less(rendered, more):
    assert covers(rendered | more, rendered)


@given(st.dictionaries(st.sampled_from("abc"), VALUES), st.randoms())
def test_the_hash_does_not_depend_on_the_order_of_keys(value, random):
    keys = list(value)
    random.shuffle(keys)
    assert render_hash({key: value[key] for key in keys}) == render_hash(value)
    assert render_hash(value | {"z": 1}) != render_hash(value)
