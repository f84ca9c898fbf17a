"""JSON patch, merge patch and strategic merge patch."""

from __future__ import annotations

import copy
import json
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.apiserver.sample_kinds import DEPLOYMENT, WIDGET, deployment, deployment_object, widget, widget_object
from mizzen.cluster.apiserver import patch
from mizzen.cluster.apiserver.patch import apply_json_patch, patched
from mizzen.kube.errors import ApiError

DOCUMENT = {"a": {"b": [1, 2, 3], "c/d": 1, "e~f": 2, "": 3}, "n": None, "t": True}


@pytest.mark.parametrize(
    ("operations", "result"),
    [
        ([], DOCUMENT),
        ([{"op": "add", "path": "/x", "value": 1}], DOCUMENT | {"x": 1}),
        ([{"op": "add", "path": "/n", "value": [1]}], DOCUMENT | {"n": [1]}),
        (
            [{"op": "add", "path": "/a", "value": {}}, {"op": "add", "path": "/a/b", "value": []}],
            DOCUMENT | {"a": {"b": []}},
        ),
        ([{"op": "remove", "path": "/a"}], {"n": None, "t": True}),
        ([{"op": "replace", "path": "/a", "value": 1}], DOCUMENT | {"a": 1}),
        ([{"op": "replace", "path": "", "value": {"z": 1}}], {"z": 1}),
        ([{"op": "move", "from": "/a/b", "path": "/t"}, {"op": "remove", "path": "/a"}], {"n": None, "t": [1, 2, 3]}),
        ([{"op": "move", "from": "/t", "path": "/t"}], DOCUMENT),
        ([{"op": "copy", "from": "/t", "path": "/u"}], DOCUMENT | {"u": True}),
        ([{"op": "test", "path": "/a/b/1", "value": 2}], DOCUMENT),
        ([{"op": "test", "path": "/a/b", "value": [1, 2.0, 3]}], DOCUMENT),
        ([{"op": "test", "path": "/a/c~1d", "value": 1}], DOCUMENT),
        ([{"op": "test", "path": "/a/e~0f", "value": 2}], DOCUMENT),
        ([{"op": "test", "path": "/a/", "value": 3}], DOCUMENT),
        ([{"op": "test", "path": "/n", "value": None}], DOCUMENT),
    ],
)
def test_operations_do_what_rfc_6902_says(operations: Any, result: Any) -> None:
    before = copy.deepcopy(DOCUMENT)
    assert apply_json_patch(DOCUMENT, operations) == result
    assert before == DOCUMENT


@pytest.mark.parametrize(
    ("path", "result"),
    [("/b/0", [9, 1, 2, 3]), ("/b/1", [1, 9, 2, 3]), ("/b/3", [1, 2, 3, 9]), ("/b/-", [1, 2, 3, 9])],
)
def test_items_are_added_in_their_place(path: str, result: list[int]) -> None:
    assert apply_json_patch({"b": [1, 2, 3]}, [{"op": "add", "path": path, "value": 9}]) == {"b": result}


@pytest.mark.parametrize(
    ("operations", "field", "words"),
    [
        ([{"op": "test", "path": "/t", "value": 1}], "/t", "true, and not 1"),
        ([{"op": "test", "path": "/a/b/0", "value": 5}], "/a/b/0", "the value is 1, and not 5"),
        ([{"op": "test", "path": "/nope", "value": None}], "/nope", "no such path"),
        ([{"op": "remove", "path": "/a/nope"}], "/a/nope", "no such path"),
        ([{"op": "replace", "path": "/nope", "value": 1}], "/nope", "no such path"),
        ([{"op": "add", "path": "/nope/x", "value": 1}], "/nope", "no such path"),
        ([{"op": "add", "path": "/t/x", "value": 1}], "/t/x", "a boolean has no fields"),
        ([{"op": "add", "path": "/a/b/4", "value": 1}], "/a/b/4", "list of 3"),
        ([{"op": "add", "path": "/a/b/01", "value": 1}], "/a/b/01", "list of 3"),
        ([{"op": "remove", "path": "/a/b/-"}], "/a/b/-", "list of 3"),
        ([{"op": "remove", "path": "/a/b/-1"}], "/a/b/-1", "list of 3"),
        ([{"op": "copy", "from": "/nope", "path": "/x"}], "/nope", "no such path"),
        ([{"op": "move", "from": "/a", "path": "/a/b/0"}], "/a/b/0", "into itself"),
        ([{"op": "remove", "path": ""}], "", "whole object"),
    ],
)
def test_what_does_not_fit_is_unprocessable_with_its_cause(operations: Any, field: str, words: str) -> None:
    with pytest.raises(ApiError) as caught:
        apply_json_patch(DOCUMENT, operations)
    error = caught.value
    assert (error.code, error.reason) == (422, "Invalid")
    assert error.message == "the server rejected our request due to an error in our request"
    assert error.details is not None
    (cause,) = error.details["causes"]
    assert cause["field"] == field
    assert words in cause["message"]
    assert cause["message"].startswith("operation 0")


@pytest.mark.parametrize(
    ("operations", "words"),
    [
        ({"op": "add"}, "a list of operations"),
        (["add"], "operation 0"),
        ([{"path": "/a"}], "must be add, remove"),
        ([{"op": "zap", "path": "/a"}], "'zap'"),
        ([{"op": "add", "path": "/a"}], "no value"),
        ([{"op": "add", "value": 1}], "no path"),
        ([{"op": "copy", "path": "/a"}], "no from"),
        ([{"op": "add", "path": "a", "value": 1}], "start with /"),
        ([{"op": "add", "path": "/a~2", "value": 1}], "~ must be followed"),
    ],
)
def test_what_is_no_patch_is_a_bad_request(operations: Any, words: str) -> None:
    with pytest.raises(ApiError, match=words) as caught:
        apply_json_patch(DOCUMENT, operations)
    assert (caught.value.code, caught.value.reason) == (400, "BadRequest")


def test_a_patch_has_bounds() -> None:
    with pytest.raises(ApiError, match="10000, got 10001") as caught:
        apply_json_patch({}, [{"op": "test", "path": "", "value": {}}] * 10_001)
    assert caught.value.code == 413
    doubling = [{"op": "copy", "from": "/a", "path": "/a/-"}] * 60
    with pytest.raises(ApiError) as caught:
        apply_json_patch({"a": ["x" * 100]}, doubling)
    assert caught.value.code == 413


def body(value: Any) -> bytes:
    return orjson.dumps(value)


def test_the_media_type_says_what_the_patch_is() -> None:
    current = widget_object(size=1, args=["a"])
    merge = {"spec": {"size": None, "args": ["b"]}}
    for content_type in ("application/merge-patch+json", "Application/Merge-Patch+JSON; charset=utf-8"):
        assert patched(current, body(merge), content_type, widget(), WIDGET, custom=True)["spec"] == {"args": ["b"]}
    operations = [{"op": "test", "path": "/spec/size", "value": 1}, {"op": "remove", "path": "/spec/args"}]
    result = patched(current, body(operations), patch.JSON_PATCH, widget(), WIDGET, custom=True)
    assert result["spec"] == {"size": 1}
    assert current == widget_object(size=1, args=["a"])


def test_a_strategic_patch_is_not_for_custom_resources() -> None:
    with pytest.raises(ApiError) as caught:
        patched(widget_object(), b"{}", patch.STRATEGIC_MERGE_PATCH, widget(), WIDGET, custom=True)
    assert (caught.value.code, caught.value.reason) == (415, "UnsupportedMediaType")
    assert caught.value.message == (
        "application/strategic-merge-patch+json is not supported by exp.io/v1, Kind=Widget: the body of the request "
        "was in an unknown format - accepted media types include: application/json-patch+json, "
        "application/merge-patch+json, application/apply-patch+yaml"
    )


@pytest.mark.parametrize("content_type", ["application/json", "", "application/apply-patch+yaml", "text/plain"])
def test_any_other_media_type_is_refused(content_type: str) -> None:
    with pytest.raises(ApiError, match="accepted media types include: application/json-patch") as caught:
        patched({}, b"{}", content_type, deployment(), DEPLOYMENT, custom=False)
    assert caught.value.code == 415


def strategic(current: Any, change: Any) -> Any:
    return patched(current, body(change), patch.STRATEGIC_MERGE_PATCH, deployment(), DEPLOYMENT, custom=False)


def test_a_strategic_patch_merges_containers_by_name() -> None:
    current = deployment_object({"name": "a", "image": "old", "args": ["1"]}, {"name": "b"})
    image = {"spec": {"template": {"spec": {"containers": [{"name": "a", "image": "new"}]}}}}
    containers = strategic(current, image)["spec"]["template"]["spec"]["containers"]
    assert containers == [{"name": "a", "image": "new", "args": ["1"]}, {"name": "b"}]


@pytest.mark.parametrize(
    ("spec", "code", "words"),
    [
        ({"containers": [{"image": "new"}]}, 500, "map: map[image:new] does not contain declared merge key: name"),
        ({"$patch": "zap"}, 500, "unknown patch type: zap in map: map[$patch:zap]"),
        ({"$setElementOrder/containers": 1}, 400, "needs a list"),
        ({"volumes": [{"name": "v", "emptyDir": {}, "$retainKeys": ["name"]}]}, 422, "the server rejected our request"),
    ],
)
def test_a_strategic_patch_that_cannot_be(spec: Any, code: int, words: str) -> None:
    current = deployment_object({"name": "a"})
    current["spec"]["template"]["spec"]["volumes"] = [{"name": "v"}]
    with pytest.raises(ApiError) as caught:
        strategic(current, {"spec": {"template": {"spec": spec}}})
    assert caught.value.code == code
    assert words in caught.value.message


@pytest.mark.parametrize(
    ("content_type", "text", "words"),
    [
        (patch.MERGE_PATCH, b"[]", "a mapping of the fields"),
        (patch.MERGE_PATCH, b"{", "line 1"),
        (patch.MERGE_PATCH, b'{"a": 99999999999999999999}', "64 bits"),
        (patch.STRATEGIC_MERGE_PATCH, b"1", "a mapping of the fields"),
        (patch.JSON_PATCH, b"{}", "a list of operations"),
        (patch.JSON_PATCH, b'[{"op": "replace", "path": "", "value": 1}]', "the whole object with a number"),
    ],
)
def test_a_malformed_body_is_a_bad_request(content_type: str, text: bytes, words: str) -> None:
    with pytest.raises(ApiError, match=words) as caught:
        patched({"a": 1}, text, content_type, deployment(), DEPLOYMENT, custom=False)
    assert caught.value.code == 400


def test_values_that_a_patch_nests_in_each_other_have_a_depth_too() -> None:
    level = '{"a":' * 150 + "1" + "}" * 150
    operations = f'[{{"op": "add", "path": "/x", "value": {level}}}, {{"op": "copy", "from": "/x", "path": "/y"}}'
    inner = "/y" + "/a" * 149
    operations += f', {{"op": "move", "from": "/x", "path": "{inner}"}}]'
    with pytest.raises(ApiError, match="200 levels") as caught:
        patched({}, operations.encode(), patch.JSON_PATCH, deployment(), DEPLOYMENT, custom=False)
    assert caught.value.code == 400


texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=3)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=12,
)
objects = st.dictionaries(texts, values, max_size=4)


def pointers(value: Any, at: str = "") -> list[str]:
    """The pointer to every place of a value, the root left out."""
    if isinstance(value, dict):
        below = [(key.replace("~", "~0").replace("/", "~1"), child) for key, child in value.items()]
    else:
        below = [(str(index), child) for index, child in enumerate(value)] if isinstance(value, list) else []
    return [place for key, child in below for place in (f"{at}/{key}", *pointers(child, f"{at}/{key}"))]


def get(value: Any, pointer: str) -> Any:
    for token in pointer.split("/")[1:]:
        token = token.replace("~1", "/").replace("~0", "~")
        value = value[int(token)] if isinstance(value, list) else value[token]
    return value


@settings(deadline=None)
@given(objects)
def test_testing_and_replacing_by_itself_change_nothing(document: Any) -> None:
    before = copy.deepcopy(document)
    places = pointers(document)
    same = [{"op": op, "path": place, "value": get(document, place)} for place in places for op in ("test", "replace")]
    assert apply_json_patch(document, same) == document
    assert apply_json_patch(document, [{"op": "move", "from": place, "path": place} for place in places]) == document
    assert document == before


@settings(deadline=None)
@given(objects, st.data())
def test_adding_and_removing_again_change_nothing(document: Any, data: st.DataObject) -> None:
    places = [place for place in pointers(document) if isinstance(get(document, place), list)]
    if not places:
        document["list"] = []
        places = ["/list"]
    place = data.draw(st.sampled_from(places)) + "/0"
    value = data.draw(values)
    there_and_back = [{"op": "add", "path": place, "value": value}, {"op": "remove", "path": place}]
    assert apply_json_patch(document, there_and_back) == document
    copied = apply_json_patch(document, [{"op": "copy", "from": "", "path": "/a copy"}])
    assert copied["a copy"] == document


@settings(deadline=None)
@given(objects, st.lists(st.fixed_dictionaries({"op": st.text(max_size=4), "path": st.text(max_size=4)}) | values))
def test_any_operations_end_in_a_document_or_in_an_error_of_the_api(document: Any, operations: Any) -> None:
    before = json.dumps(document)
    try:
        apply_json_patch(document, operations)
    except ApiError as error:
        assert error.code in (400, 422)
    assert json.dumps(document) == before


@settings(deadline=None)
@given(objects, objects)
def test_a_merge_patch_applied_twice_is_applied_once(document: Any, change: Any) -> None:
    def once(value: Any) -> Any:
        return patched(value, body(change), patch.MERGE_PATCH, widget(), WIDGET, custom=True)

    assert once(once(document)) == once(document)
