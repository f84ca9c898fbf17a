"""Reading: what YAML and JSON mean here, what is refused, and where the finger points."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mizzen.acm.tosca.nodes import MAX_BYTES, MAX_DEPTH, MAX_VALUES
from mizzen.acm.tosca.parse import read
from mizzen.acm.tosca.problems import Problem, Unreadable

YAML, JSON = "application/yaml", "application/json"


def refusals(text: str | bytes, media_type: str | None = None) -> tuple[Problem, ...]:
    with pytest.raises(Unreadable) as refused:
        read(text, media_type=media_type)
    return refused.value.problems


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("1.0.0", "1.0.0"),
        ("1.0", 1.0),
        ("10", 10),
        ("-3", -3),
        ("+3", 3),
        ("1e3", 1000.0),
        ("1.5e-3", 0.0015),
        (".5", 0.5),
        ("'1.0'", "1.0"),
        ("true", True),
        ("Yes", True),
        ("off", False),
        ("yEs", "yEs"),
        ("~", None),
        ("", None),
        ("null", None),
        ("'null'", "null"),
        ("''", ""),
        ("2026-08-21", "2026-08-21"),
        ("2026-08-21T12:00:00Z", "2026-08-21T12:00:00Z"),
        ("12:30:99", "12:30:99"),
        ("0.1.2", "0.1.2"),
        ("1-2", "1-2"),
        ("!!str 1.0", "1.0"),
        ("!!int 7", 7),
        ("é", "é"),
        ("'\U0001f600'", "\U0001f600"),
    ],
)
def test_a_scalar_of_yaml_is_what_snakeyaml_makes_of_it(written: str, meant: object) -> None:
    value = read(f"version: {written}\n", media_type=YAML).value["version"]
    assert value == meant
    assert type(value) is type(meant)


def test_keys_are_texts_as_they_are_written() -> None:
    assert read("1: a\nyes: b\n1.0: c\n~: d\n").value == {"1": "a", "yes": "b", "1.0": "c", "~": "d"}


@pytest.mark.parametrize("number", ["0x1f", "1_000", "1:30", "0644", "0b11", "-012"])
def test_a_number_that_readers_take_differently_is_refused(number: str) -> None:
    [problem] = refusals(f"properties:\n  mode: {number}\n")
    assert (problem.path, problem.line, problem.column) == ("properties.mode", 2, 9)
    assert "plain decimal" in problem.message
    assert f'"{number}"' in problem.hint


@pytest.mark.parametrize(
    ("text", "line", "column", "message", "hint"),
    [
        (b"", 1, 1, "empty", ""),
        (b"  \n# nothing\n", 1, 1, "empty", ""),
        (b"- a\n", 1, 1, "the document is a list, where a mapping is expected", ""),
        (b"null", 1, 1, "empty", ""),
        (b"42", 1, 1, "single value", ""),
        (b"a: b\nb: \xe9\n", 2, 4, "not UTF-8: found the byte 0xe9", "UTF-8"),
        ("ä: \xe9".encode() + b"\xff", 1, 5, "not UTF-8", "UTF-8"),
        (b"\xff\xfea\x00", 1, 1, "UTF-16", "UTF-8"),
        (b"a: 1\nb: \x07\n", 2, 4, "U+0007", "escape"),
        (b"a: \x00", 1, 4, "U+0000", "escape"),
        (b"a:\n\t- b\n", 2, 1, "no YAML", "tab"),
        (b"a: 1\n\tb: 2\n", 2, 1, "no YAML", "tab"),
        (b"a: b: c\n", 1, 5, "no YAML: mapping values", "quotes"),
        (b"b: 1\na: [1,\nb: 2\n", 2, 4, "no YAML: while parsing a flow sequence", ""),
        (b"a: 'x\n", 1, 4, "no YAML: while scanning a quoted scalar", ""),
        (b"a: 1\n---\nb: 2\n", 2, 1, "second document", "file of its own"),
        (b"compositionId: {{compositionId}}\n", 1, 17, "key", "{{compositionId}} is a placeholder"),
        (b"a: *b\n", 1, 4, "alias *b", "&b must come first"),
        (b"a: &a [*a]\n", 1, 8, "alias *a", "first"),
        (b"a: !!python/object:os.system {}\n", 1, 4, "the tag", "remove"),
        (b"a: !thing x\n", 1, 4, "the tag !thing", "remove"),
        (b"a: !!int x\n", 1, 4, "x is no !!int", "remove"),
        (b"a: .inf\n", 1, 4, "JSON cannot hold", "quotes"),
        (b"a: 1e999\n", 1, 4, "JSON cannot hold", "quotes"),
        (b"a: 99999999999999999999\n", 1, 4, "64 bits", "quotes"),
        (b"? [a]\n: 1\n", 1, 3, "key", "plain text"),
        (b"b: &b x\n*b : 1\n", 2, 1, "alias", "plain text"),
        (b"<<: {a: 1}\n", 1, 1, "merge key", "write the keys out"),
        (b"a: 1\nb: {c: 1, c: 2}\n", 2, 11, 'the key "c" stands twice: it is already in line 2', "lost"),
    ],
)
def test_yaml_is_refused_with_its_place(text: bytes, line: int, column: int, message: str, hint: str) -> None:
    [problem] = refusals(text)
    assert (problem.line, problem.column) == (line, column)
    assert message in problem.message
    assert hint in problem.hint


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        ("{", 1, 2, "the text ends"),
        ("[1,", 1, 4, "a value is missing: the text ends"),
        ('{"a" 1}', 1, 6, "a colon is missing"),
        ('{"a": 1,}', 1, 9, "a comma stands before }"),
        ('{"a": [1,]}', 1, 10, "a comma stands before ]"),
        ('{"a": 1\n "b": 2}', 2, 2, "a comma or } is missing"),
        ('{"a": tru}', 1, 7, "a value is missing"),
        ('{"a": "\\x"}', 1, 8, "escape"),
        ('{"a": "x', 1, 7, "unterminated string"),
        ("{'a': 1}", 1, 2, "a key in double quotes is missing"),
        ('{"a": NaN}', 1, 7, "too large, or none"),
        ('{"a": -Infinity}', 1, 7, "too large, or none"),
        ('{"a": 1e999}', 1, 7, "too large, or none"),
        ('{"a": 123456789012345678901234567890}', 1, 7, "too large, or none"),
        ('{"a": "\\ud800"}', 1, 7, "half of a surrogate pair"),
        ('{"a": 1} x', 1, 10, "goes on after its end"),
        ('{"a": 1,\n "a": 2}', 2, 2, 'the key "a" stands twice: it is already in line 1'),
        ("[1]", 1, 1, "the document is a list"),
    ],
)
def test_json_is_refused_with_its_place(text: str, line: int, column: int, message: str) -> None:
    [problem] = refusals(text, JSON)
    assert (problem.line, problem.column) == (line, column)
    assert message in problem.message


def test_all_double_keys_are_told_together() -> None:
    problems = refusals("a: 1\nb:\n  c: 1\n  c: 2\na: 3\n")
    assert [(problem.path, problem.line) for problem in problems] == [("b.c", 4), ("a", 5)]


def test_the_error_says_it_as_the_runtime_would() -> None:
    with pytest.raises(Unreadable) as refused:
        read("a: b: c")
    error = refused.value
    assert error.status == 400
    assert error.details.startswith(
        "org.springframework.http.converter.HttpMessageNotReadableException line 1, column 5"
    )
    assert error.report.problems == error.problems
    assert "line 1, column 5" in str(error)


@pytest.mark.parametrize(
    ("text", "media_type"),
    [
        pytest.param("a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
            f"b{n}: &b{n} [{','.join(['*' + (f'b{n - 1}' if n else 'a')] * 9)}]\n" for n in range(12)
        ), YAML, id="bomb of aliases"),
        pytest.param("a:\n" + "- 1\n" * (MAX_VALUES + 10), YAML, id="many values in YAML"),
        pytest.param('{"a":[' + "1," * (MAX_VALUES + 10) + "1]}", JSON, id="many values in JSON"),
    ],
)  # fmt: skip
def test_what_stands_for_too_many_values_is_refused(text: str, media_type: str) -> None:
    [problem] = refusals(text, media_type)
    assert f"more than {MAX_VALUES} values" in problem.message


@pytest.mark.parametrize(
    ("text", "media_type"),
    [
        ("a: " + "[" * 500_000, YAML),
        ("- " * 500_000, YAML),
        ("\n".join(" " * n + "a:" for n in range(MAX_DEPTH + 5)), YAML),
        ('{"a":' * 500_000, JSON),
        ("[" * 1_000_000, JSON),
        ("x: &x {" + "a: {" * 60 + "b: 1" + "}" * 61 + "\ny: " + "{a: " * 60 + "*x" + "}" * 60, YAML),
    ],
)
def test_what_is_nested_too_deep_is_refused(text: str, media_type: str) -> None:
    [problem] = refusals(text, media_type)
    assert problem.message == f"values are nested more than {MAX_DEPTH} levels deep"


def test_a_placeholder_is_looked_for_in_a_line_of_megabytes_without_harm() -> None:
    assert refusals("{" * 4_000_000)


def test_what_is_too_large_is_refused_unread() -> None:
    [problem] = refusals(b"\xff" * (MAX_BYTES + 1))
    assert "at most 5,242,880 are read" in problem.message
    assert read(b"a: '" + b"x" * (MAX_BYTES - 10) + b"'").value["a"].startswith("xxx")


def test_aliases_are_values_of_their_own() -> None:
    value = read("a: &a {b: [1]}\nc: *a\nd: &n x\ne: *n\n").value
    assert value == {"a": {"b": [1]}, "c": {"b": [1]}, "d": "x", "e": "x"}
    assert value["a"] is not value["c"]


def test_the_notation_is_seen_in_the_text_where_nobody_names_it() -> None:
    assert read('\ufeff {"a": "\\u00e9\\/"}').value == {"a": "é/"}
    assert read("{a: 1}").value == {"a": 1}
    assert read(b'{"a": 1}', media_type="application/yaml; charset=utf-8").value == {"a": 1}
    assert "no JSON" in refusals("{a: 1}", "application/json;charset=utf-8")[0].message
    assert "no JSON" in refusals('{"a": [1}')[0].message


@pytest.mark.parametrize("media_type", [YAML, JSON])
def test_every_value_and_key_knows_its_place(media_type: str) -> None:
    text = '{"a": 1,\n "b.c": [{"d": "é"},\n  "e"], "f": {}}'
    document = read(text, media_type=media_type)
    assert document.mark(("a",)) == (1, 7)
    assert document.mark(("a",), key=True) == (1, 2)
    assert document.mark(("b.c", 0, "d")) == (2, 16)
    assert document.mark(("b.c", 1)) == (3, 3)
    assert document.mark(("b.c",)) == (2, 2)
    assert document.mark(("b.c", 7, "x")) == (2, 2)
    assert document.problem(("b.c", 0, "d"), "no").path == '["b.c"][0].d'


TEXTS = st.text(st.characters(codec="utf-8"))
JSONS = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**63 - 1),
        st.floats(allow_nan=False, allow_infinity=False),
        TEXTS,
    ),
    lambda below: st.lists(below, max_size=4) | st.dictionaries(TEXTS, below, max_size=4),
    max_leaves=15,
)


@given(st.dictionaries(TEXTS, JSONS, max_size=5), st.sampled_from([None, 1]))
def test_json_reads_as_the_standard_library_reads_it(value: dict[str, object], indent: int | None) -> None:
    assert read(json.dumps(value, indent=indent), media_type=JSON).value == value
    assert read(json.dumps(value, ensure_ascii=False), media_type=JSON).value == value


@given(st.text(max_size=60), st.sampled_from([None, YAML, JSON]))
def test_no_text_leads_to_anything_but_a_document_or_a_sentence(text: str, media_type: str | None) -> None:
    try:
        document = read(text, media_type=media_type)
    except Unreadable as error:
        assert error.problems
    else:
        assert isinstance(document.value, dict)


@given(st.binary(max_size=60))
def test_no_bytes_do_either(raw: bytes) -> None:
    try:
        read(raw)
    except Unreadable as error:
        assert error.problems[0].message


@given(st.text(alphabet="abc:-[]{}*&!|>'\"#\n\t ,?%@<1.", max_size=80))
def test_nor_does_any_heap_of_yaml_signs(text: str) -> None:
    try:
        read(text, media_type=YAML)
    except Unreadable as error:
        assert error.report.details
