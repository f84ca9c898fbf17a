"""Selectors read as Kubernetes reads them, and say what is wrong with those that cannot be read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mizzen.apis.meta import LabelSelector
from mizzen.kube import selectors
from mizzen.kube.selectors import FieldSelector, Selector, SelectorError

WEB = {"app": "web", "tier": "front", "gen": "7", "example.com/team": "a", "empty": ""}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", True),
        ("app=web", True),
        ("app==web", True),
        (" app = web , tier=front ", True),
        ("app=api", False),
        ("app!=api", True),
        ("absent!=x", True),
        ("absent=x", False),
        ("app", True),
        ("absent", False),
        ("!absent", True),
        ("! app", False),
        ("app in (web, api)", True),
        ("app in (api)", False),
        ("app notin (api,db)", True),
        ("absent notin (api)", True),
        ("app notin (web)", False),
        ("empty=", True),
        ("empty in (,x)", True),
        ("app=,tier=front", False),
        ("gen>5", True),
        ("gen<7", False),
        ("app>5", False),
        ("absent>5", False),
        ("example.com/team=a,app in (web),!absent,gen<8", True),
        ("in=x", False),
    ],
)
def test_label_selectors(text: str, expected: bool) -> None:
    assert selectors.parse(text).matches(WEB) is expected


@pytest.mark.parametrize(
    "text",
    [
        "app=web,",
        ",app",
        "app in web",
        "app in (web",
        "app in (a b)",
        "app x web",
        "=web",
        "!",
        "app=web=x",
        "a/b/c=x",
        "Upper.Prefix/ok=x",
        "-app=x",
        "app=-x",
        "app=" + "x" * 64,
        "gen>five",
        "app=(x)",
        "app !x",
    ],
)
def test_unreadable_label_selectors(text: str) -> None:
    with pytest.raises(SelectorError, match="unable to parse requirement"):
        selectors.parse(text)


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (None, False),
        ({}, True),
        ({"matchLabels": {"app": "web"}}, True),
        ({"matchLabels": {"app": "web", "tier": "back"}}, False),
        ({"matchExpressions": [{"key": "app", "operator": "In", "values": ["web", "api"]}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["web"]}]}, False),
        ({"matchExpressions": [{"key": "app", "operator": "Exists"}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}, False),
        (LabelSelector(match_labels={"tier": "front"}), True),
    ],
)
def test_typed_selectors(typed: object, expected: bool) -> None:
    assert selectors.from_typed(typed).matches(WEB) is expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "typed",
    [
        {"matchExpressions": [{"key": "app", "operator": "Like", "values": ["w"]}]},
        {"matchExpressions": [{"key": "app", "operator": "In"}]},
        {"matchExpressions": [{"key": "app", "operator": "Exists", "values": ["w"]}]},
        {"matchLabels": "app=web"},
    ],
)
def test_typed_selectors_that_make_no_sense(typed: dict[str, object]) -> None:
    with pytest.raises(SelectorError):
        selectors.from_typed(typed)


def test_a_plain_map_demands_its_labels() -> None:
    assert selectors.from_labels({"app": "web"}).matches(WEB)
    assert not selectors.from_labels({"app": "web", "tier": "back"}).matches(WEB)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", True),
        ("metadata.name=a", True),
        ("metadata.name==a", True),
        ("metadata.name!=a", False),
        ("metadata.name=a,status.phase!=Running", True),
        ("spec.nodeName=", True),
        (r"note=a\,b\=c\\d", True),
        (",metadata.name=a,", True),
    ],
)
def test_field_selectors(text: str, expected: bool) -> None:
    fields = {"metadata.name": "a", "status.phase": "Pending", "note": r"a,b=c\d"}
    assert selectors.parse_fields(text).matches(lambda field: fields.get(field, "")) is expected


@pytest.mark.parametrize("text", ["metadata.name", "a=b=c", "a=\\", "a=\\x"])
def test_unreadable_field_selectors(text: str) -> None:
    with pytest.raises(SelectorError, match="invalid field selector"):
        selectors.parse_fields(text)


def test_a_demanded_field_is_found() -> None:
    selector = selectors.parse_fields("metadata.name=a,spec.nodeName!=b")
    assert selector.demanded("metadata.name") == "a"
    assert selector.demanded("spec.nodeName") is None


KEYS = st.from_regex(r"[a-z]([a-z0-9]{0,5})?", fullmatch=True).filter(lambda key: key not in ("in", "notin"))
VALUES = st.from_regex(r"([a-z0-9]([a-z0-9._-]{0,4}[a-z0-9])?)?", fullmatch=True)


@st.composite
def requirements(draw: st.DrawFn) -> selectors.Requirement:
    key = draw(KEYS)
    operator = draw(st.sampled_from(["=", "!=", "in", "notin", "exists", "!", ">", "<"]))
    if operator in ("exists", "!"):
        return selectors.Requirement(key, operator)
    if operator in (">", "<"):
        return selectors.Requirement(key, operator, (str(draw(st.integers(-99, 99))),))
    if operator in ("=", "!="):
        return selectors.Requirement(key, operator, (draw(VALUES),))
    return selectors.Requirement(key, operator, tuple(sorted(draw(st.sets(VALUES, min_size=1, max_size=4)))))


@given(st.lists(requirements(), max_size=5), st.dictionaries(KEYS, VALUES, max_size=5))
def test_a_label_selector_survives_its_spelling(found: list[selectors.Requirement], labels: dict[str, str]) -> None:
    selector = Selector(tuple(found))
    again = selectors.parse(str(selector))
    assert again == selector
    assert again.matches(labels) == all(requirement.matches(labels) for requirement in found)


@given(st.lists(st.tuples(KEYS, st.text(max_size=8), st.booleans()), max_size=4))
def test_a_field_selector_survives_its_spelling(terms: list[tuple[str, str, bool]]) -> None:
    selector = FieldSelector(tuple(selectors.FieldRequirement(*term) for term in terms))
    assert selectors.parse_fields(str(selector)) == selector


@given(st.text(max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    for read in (selectors.parse, selectors.parse_fields):
        try:
            read(text)
        except SelectorError as error:
            assert str(error)
