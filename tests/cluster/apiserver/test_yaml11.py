"""YAML 1.1 as kubectl reads it."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from mizzen.cluster.apiserver import yaml11
from mizzen.kube.errors import ApiError


def load(text: str) -> Any:
    return yaml11.load(text.encode())[0]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("y", True),
        ("Yes", True),
        ("on", True),
        ("n", False),
        ("OFF", False),
        ("'yes'", "yes"),
        ("yEs", "yEs"),
        ("~", None),
        ("null", None),
        ("", None),
        ("12", 12),
        ("-12", -12),
        ("+1", 1),
        ("0644", 0o644),
        ("0o17", 15),
        ("-017", -15),
        ("0x1F", 31),
        ("0b101", 5),
        ("08", 8),
        ("1_000", 1000),
        ("1e3", 1000),
        ("3.0", 3),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1.", 1),
        ("22:22", "22:22"),
        ("1:30:00", "1:30:00"),
        ("2001-01-01", "2001-01-01"),
        ("2001-12-14T21:59:43Z", "2001-12-14T21:59:43Z"),
        ("=", "="),
        ("1.2.3", "1.2.3"),
        ("100m", "100m"),
        ("!!str 5", "5"),
        ("!!int '5'", 5),
        ("!!float 2", 2),
        ("!!timestamp 2001-01-01", "2001-01-01"),
        ("!!binary aGFsbG8=", "hallo"),
        ("|\n  a\n  b\n", "a\nb\n"),
        (">-\n  a\n  b\n", "a b"),
    ],
)
def test_scalars_are_what_kubectl_makes_of_them(text: str, value: Any) -> None:
    found = load(f"key: {text}")["key"]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "key"),
    [("y: 1", "true"), ("off: 1", "false"), ("8080: 1", "8080"), ("010: 1", "8"), ("1.10: 1", "1.1"), ("'y': 1", "y")],
)
def test_keys_become_texts(text: str, key: str) -> None:
    assert load(text) == {key: 1}


def test_aliases_and_merge_keys_give_values_of_their_own() -> None:
    value = load("a: &x {c: [1], d: 2}\nb: *x\ne:\n  <<: *x\n  d: 3\nf:\n  <<: [{d: 9, g: 1}, *x]\n")
    assert value["b"] == {"c": [1], "d": 2}
    assert value["e"] == {"c": [1], "d": 3}
    assert value["f"] == {"d": 9, "g": 1, "c": [1]}
    value["b"]["c"].append(2)
    assert value["a"]["c"] == value["e"]["c"] == [1]


def test_an_alias_bomb_is_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    with pytest.raises(ApiError, match="aliases stand for more than"):
        load("\n".join(lines))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: &b [*b]", "before the end of its anchor"),
        ("a: *b", "undefined alias|before the end"),
        ("a: .inf", "JSON cannot hold"),
        ("a: 1e999", "JSON cannot hold"),
        ("a: !!python/object:os.system x", "is not known here"),
        ("a: !mine x", "is not known here"),
        ("a: !!set {b}", "is not known here"),
        ("a: !!int x", "no !!int"),
        ("a: !!binary '*'", "base64"),
        ("? [1]\n: 2", "key of a mapping"),
        ("? ~\n: 2", "key of a mapping"),
        ("<<: 1", "merge key"),
        ("a: \x01", "not valid YAML"),
    ],
)
def test_what_json_cannot_say_is_refused_in_words(text: str, words: str) -> None:
    with pytest.raises(ApiError, match=words) as caught:
        load(text)
    assert caught.value.code == 400


def test_pyyaml_without_its_c_parser_reads_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "a: yes\nb: [1, 0x1f, 'x']\nc: &c {d: 22:22}\ne: *c\n"
    expected = load(text)
    monkeypatch.setattr(yaml11, "_Loader", yaml.SafeLoader)
    assert load(text) == expected
    with pytest.raises(ApiError, match="line 1, column 5"):
        load("a: b: c")


def test_the_documents_of_a_text_are_told_with_their_lines() -> None:
    text = b"\xef\xbb\xbf# settings\na: &x 1\na: 2\n---\n---\n# more\n\n- y\n...\n---\n{b: {c: 1, c: 2}}\n"
    assert list(yaml11.load_all(text, "all.yaml")) == [
        (2, {"a": 2}, ["a"]),
        (8, [True], []),
        (11, {"b": {"c": 2}}, ["b.c"]),
    ]


def test_an_anchor_is_known_in_its_own_document_only() -> None:
    found = yaml11.load_all(b"a: &x 1\n---\nb: *x\n", "all.yaml")
    assert next(found).value == {"a": 1}
    with pytest.raises(ApiError) as refusal:
        next(found)
    assert str(refusal.value).startswith("all.yaml is not valid YAML: line 3, column 4")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"a: 1\n---\nb: [\n", "all.yaml is not valid YAML: line 4"),
        (b"a: \xff\n", "all.yaml is not UTF-8: line 1, column 4"),
        (b"a: 99999999999999999999\n", "in all.yaml does not fit into 64 bits"),
        (b"[" * 300 + b"]" * 300, "the YAML in all.yaml is nested"),
        (b"a:\n\tb: 1\n", "it is a tab"),
    ],
)
def test_a_mistake_is_told_with_the_name_of_the_text(text: bytes, says: str) -> None:
    with pytest.raises(ApiError) as refusal:
        list(yaml11.load_all(text, "all.yaml"))
    assert says in str(refusal.value)
