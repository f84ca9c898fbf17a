"""Bodies: what is read, and what a person is told about a body that cannot be."""

from __future__ import annotations

import json

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mizzen.cluster.apiserver.decode import decode
from mizzen.kube.errors import ApiError

JSON = "application/json"
YAML = "application/yaml"


def refusal(body: bytes, content_type: str = JSON) -> ApiError:
    with pytest.raises(ApiError) as caught:
        decode(body, content_type)
    return caught.value


def test_a_brace_means_json_whatever_the_media_type_says() -> None:
    body = b'  {"kind": "Pod", "n": 1.0, "on": true}'
    for content_type in (JSON, YAML, "application/apply-patch+yaml", "", "text/plain"):
        value = decode(body, content_type).value
        assert value == {"kind": "Pod", "n": 1.0, "on": True}
        assert isinstance(value["n"], float)


def test_a_yaml_mapping_in_braces_is_read_where_yaml_was_announced() -> None:
    assert decode(b"{kind: Pod, on: yes}", YAML).value == {"kind": "Pod", "true": True}
    assert "line 1, column 2" in refusal(b"{kind: Pod}").message


def test_a_byte_order_mark_is_no_part_of_the_text() -> None:
    assert decode(b"\xef\xbb\xbf" + b'{"a": 1}', JSON).value == {"a": 1}
    assert decode(b"\xef\xbb\xbfa: 1", YAML).value == {"a": 1}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"a": 1,}', ["line 1, column 8", "found"]),
        (b'{"a": 1\n"b": 2}', ["line 2, column 1", '"b']),
        (b'{"a": [1, 2', ["the end of the text"]),
        (b'{"a": tru}', ["line 1"]),
        (b'{"a": 1} trailing', ["line 1, column 10", "trailing"]),
        (b'{"a": "\xff"}', ["not UTF-8", "line 1, column 8", "0xff"]),
        (b"a: \xff", ["not UTF-8", "0xff"]),
        (b"a: [1", ["not valid YAML", "line 2"]),
        (b"a: b: c", ["line 1, column 5", "`a: b: c`"]),
        (b"a:\n\t- b", ["line 2"]),
        (b"a: 1\n---\nb: 2", ["second document", "line 2"]),
        (b"- 1\n- 2", ["a list"]),
        (b'"text"', ["a text"]),
        (b"12", ["a number"]),
        (b"", ["empty"]),
        (b" \n", ["empty"]),
        (b"# nothing\n", ["nothing"]),
        (b'{"a": 9223372036854775808}', ["9223372036854775808", "64 bits"]),
        (b'{"a": -9223372036854775809}', ["64 bits"]),
        (b'{"a": 123456789012345678901234567890}', ["64 bits"]),
        (b"a: 9223372036854775808", ["64 bits"]),
        (b"a: 0xffffffffffffffffffff", ["64 bits"]),
        (b'{"a":' * 201 + b"1" + b"}" * 201, ["200 levels"]),
        (b'{"a":' * 5000 + b"1" + b"}" * 5000, ["not valid JSON"]),
        (b"- " * 300 + b"x", ["200 levels"]),
        (b"[" * 5000, ["200 levels"]),
    ],
)
def test_what_is_wrong_is_said_with_its_place(body: bytes, words: list[str]) -> None:
    error = refusal(body)
    assert (error.code, error.reason) == (400, "BadRequest")
    for word in words:
        assert word in error.message


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"k8s\x00\n\x0b", "application/vnd.kubernetes.protobuf"),
        (b"k8s\x00\n\x0b", ""),
        (b"{}", "application/vnd.kubernetes.protobuf; charset=x"),
        (b"\xa0", "application/apply-patch+cbor"),
    ],
)
def test_binary_bodies_are_refused_with_what_is_accepted(body: bytes, content_type: str) -> None:
    error = refusal(body, content_type)
    assert (error.code, error.reason) == (415, "UnsupportedMediaType")
    assert "application/json, application/yaml" in error.message


def test_64_bits_are_enough_for_every_number_that_has_them() -> None:
    body = b'{"low": -9223372036854775808, "high": 9223372036854775807, "id": "99999999999999999999999", "f": 1e19}'
    assert decode(body, JSON).value == {
        "low": -(2**63),
        "high": 2**63 - 1,
        "id": "99999999999999999999999",
        "f": 1e19,
    }


def test_a_depth_of_200_is_read() -> None:
    value = decode(b'{"a":' * 199 + b"{}" + b"}" * 199, JSON).value
    assert orjson.dumps(value).count(b"{") == 200


@pytest.mark.parametrize(
    ("body", "duplicates"),
    [
        (b'{"spec": {"x": 1, "y": 2}}', []),
        (b'{"spec": {"x": 1, "x": 2}}', ["spec.x"]),
        (b'{"a": 1, "a": 2, "a": 3}', ["a"]),
        (b'{"l": [{"n": 1}, {"n": 1, "n": 2}]}', ["l[1].n"]),
        (b'{"a": {"b": 1, "b": 2}, "c": {"d": {"e": 1, "e": 1}}}', ["a.b", "c.d.e"]),
        (b'{"a": {"gone": 1, "gone": 2}, "a": {"b": 1, "b": 1}}', ["a", "a.b"]),
        (b"spec:\n  x: 1\n  x: 2\n", ["spec.x"]),
        (b"l:\n- m: 1\n- m: 1\n  m: 2\n", ["l[1].m"]),
        (b"yes: 1\n'true': 2\n", ["true"]),
    ],
)
def test_duplicate_keys_are_found_where_they_were_asked_for(body: bytes, duplicates: list[str]) -> None:
    assert decode(body, JSON, find_duplicates=True).duplicates == duplicates
    assert decode(body, JSON).duplicates == []
    assert decode(body, JSON, find_duplicates=True).value == decode(body, JSON).value


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=("Cs",))),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(exclude_categories=("Cs",))), inner)
    ),
    max_leaves=20,
)


@settings(deadline=None)
@given(st.dictionaries(st.text(st.characters(exclude_categories=("Cs",))), values))
def test_every_json_object_is_read_as_it_is(value: dict[str, object]) -> None:
    decoded = decode(json.dumps(value, ensure_ascii=False).encode(), JSON, find_duplicates=True)
    assert decoded.value == value
    assert decoded.duplicates == []


@settings(deadline=None)
@given(st.binary())
def test_no_body_at_all_ends_in_anything_but_a_value_or_a_sentence(body: bytes) -> None:
    try:
        decoded = decode(body, YAML, find_duplicates=True)
    except ApiError as error:
        assert error.code in (400, 415)
    else:
        assert isinstance(decoded.value, dict)
        orjson.dumps(decoded.value)
