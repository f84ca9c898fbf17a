"""Selectors: which objects a list, a watch or a controller means.

Three spellings of two ideas. A *label selector* arrives as text in a query (``app=web,tier in (a,b),!canary``) or typed
in a manifest (``matchLabels`` and ``matchExpressions``); both become one :class:`Selector`. A *field selector*
(``status.phase!=Running``) compares a few fields that a kind declares. Everything here is a value: the server matches
stored objects with it, controllers match their informers' objects with the same code.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

import msgspec

from mizzen.apis.meta import LabelSelector
from mizzen.errors import MizzenError

Operator = Literal["=", "!=", "in", "notin", "exists", "!", ">", "<"]

_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
_PREFIX = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_TOKEN = re.compile(r"\s*(==|!=|[=!(),<>]|[^\s=!(),<>]+)")
_TYPED: dict[str, Operator] = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!"}


class SelectorError(MizzenError):
    """A selector that cannot be read; the message says at which word."""


class Requirement(msgspec.Struct, frozen=True):
    """One condition on one label. ``values`` is empty for ``exists`` and ``!``."""

    key: str
    operator: Operator
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        value = labels.get(self.key)
        match self.operator:
            case "=" | "in":
                return value in self.values
            case "!=" | "notin":
                return value not in self.values
            case "exists":
                return value is not None
            case "!":
                return value is None
        # What is left compares numbers; a label that is no whole number satisfies neither.
        number = _integer(value)
        limit = _integer(self.values[0])
        if number is None or limit is None:
            return False
        return number > limit if self.operator == ">" else number < limit

    def __str__(self) -> str:
        match self.operator:
            case "exists":
                return self.key
            case "!":
                return f"!{self.key}"
            case "in" | "notin":
                return f"{self.key} {self.operator} ({','.join(sorted(self.values))})"
        return f"{self.key}{self.operator}{self.values[0]}"


class Selector(msgspec.Struct, frozen=True):
    """Conditions on labels, all of which must hold. Without any it matches everything."""

    requirements: tuple[Requirement, ...] = ()
    nothing: bool = False

    def matches(self, labels: Mapping[str, str]) -> bool:
        return not self.nothing and all(requirement.matches(labels) for requirement in self.requirements)

    @property
    def is_everything(self) -> bool:
        return not self.requirements and not self.nothing

    def __str__(self) -> str:
        """The selector as a query parameter would spell it."""
        return ",".join(str(requirement) for requirement in self.requirements)


EVERYTHING = Selector()
NOTHING = Selector(nothing=True)


def parse(text: str) -> Selector:
    """A label selector from its query spelling; the empty text matches everything.

    Raises:
        SelectorError: it is no selector, or a key or value is not a legal label.
    """
    tokens = _Tokens(text)
    requirements = []
    while not tokens.at_end:
        requirements.append(_requirement(tokens))
        if not tokens.at_end:
            tokens.expect(",")
            if tokens.at_end:
                raise _unreadable("found '', expected: identifier after ','")
    return Selector(tuple(requirements)) if requirements else EVERYTHING


def from_typed(selector: LabelSelector | Mapping[str, Any] | None) -> Selector:
    """A selector from the ``LabelSelector`` of a manifest. Absent matches nothing, empty matches everything.

    Raises:
        SelectorError: an operator that does not exist, or values that do not suit it.
    """
    if selector is None:
        return NOTHING
    typed = selector if isinstance(selector, LabelSelector) else _decoded(selector)
    requirements = [Requirement(key, "=", (value,)) for key, value in sorted((typed.match_labels or {}).items())]
    for expression in typed.match_expressions or ():
        operator = _TYPED.get(expression.operator)
        if operator is None:
            raise SelectorError(
                f"{expression.operator!r} is not a valid label selector operator: use one of {', '.join(_TYPED)}"
            )
        values = tuple(expression.values or ())
        if operator in ("in", "notin") and not values:
            raise SelectorError(f"{expression.key}: {expression.operator} needs at least one value")
        if operator in ("exists", "!") and values:
            raise SelectorError(f"{expression.key}: {expression.operator} takes no values")
        requirements.append(Requirement(expression.key, operator, values))
    return Selector(tuple(requirements)) if requirements else EVERYTHING


def from_labels(labels: Mapping[str, str]) -> Selector:
    """A selector that demands exactly these labels, as the plain map of a Service or ReplicationController does."""
    return Selector(tuple(Requirement(key, "=", (value,)) for key, value in sorted(labels.items())))


class FieldRequirement(msgspec.Struct, frozen=True):
    """One condition on one field: equal, or with ``negated`` not equal."""

    field: str
    value: str
    negated: bool = False


class FieldSelector(msgspec.Struct, frozen=True):
    """Conditions on fields, all of which must hold."""

    requirements: tuple[FieldRequirement, ...] = ()

    def matches(self, field: Callable[[str], str]) -> bool:
        """Whether an object satisfies it; ``field`` gives a field's text, empty where it is absent."""
        return all((field(wanted.field) == wanted.value) != wanted.negated for wanted in self.requirements)

    def demanded(self, field: str) -> str | None:
        """The one value that ``field`` must have, if the selector names one."""
        for wanted in self.requirements:
            if wanted.field == field and not wanted.negated:
                return wanted.value
        return None

    def __str__(self) -> str:
        return ",".join(
            f"{wanted.field}{'!=' if wanted.negated else '='}{_escaped(wanted.value)}" for wanted in self.requirements
        )


def parse_fields(text: str) -> FieldSelector:
    """A field selector from its query spelling. ``\\``, ``,`` and ``=`` in a value are escaped by a backslash.

    Raises:
        SelectorError: a term without an operator, or a lone backslash.
    """
    return FieldSelector(tuple(_field_requirement(term) for term in _split(text, ",") if term))


def _field_requirement(term: str) -> FieldRequirement:
    for operator in ("!=", "==", "="):
        place = _find(term, operator)
        if place >= 0:
            value = _unescaped(term[place + len(operator) :], term)
            return FieldRequirement(term[:place].strip(), value, operator == "!=")
    raise SelectorError(f"invalid field selector term {term!r}: write field=value, field==value or field!=value")


def _find(term: str, operator: str) -> int:
    """Where the first unescaped ``operator`` is, if it is the first operator of the term."""
    escaped = False
    for place, character in enumerate(term):
        if escaped:
            escaped = False
        elif character == "\\":
            escaped = True
        elif term.startswith(operator, place):
            return place
        elif character in "=!" and (character == "=" or term.startswith("!=", place)):
            return -1
    return -1


def _split(text: str, separator: str) -> Iterator[str]:
    start, escaped = 0, False
    for place, character in enumerate(text):
        if escaped:
            escaped = False
        elif character == "\\":
            escaped = True
        elif character == separator:
            yield text[start:place]
            start = place + 1
    yield text[start:]


def _unescaped(value: str, term: str) -> str:
    out, escaped = [], False
    for character in value:
        if escaped:
            if character not in "\\,=":
                raise SelectorError(f"invalid field selector term {term!r}: \\{character} is no escape")
            out.append(character)
            escaped = False
        elif character == "\\":
            escaped = True
        elif character == "=":
            raise SelectorError(f"invalid field selector term {term!r}: write \\= for an equals sign in a value")
        else:
            out.append(character)
    if escaped:
        raise SelectorError(f"invalid field selector term {term!r}: it ends in a lone backslash")
    return "".join(out)


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace(",", "\\,").replace("=", "\\=")


class _Tokens:
    """The words of a label selector, one ahead."""

    def __init__(self, text: str) -> None:
        self._words = [match[1] for match in _TOKEN.finditer(text)]
        self._place = 0

    @property
    def at_end(self) -> bool:
        return self._place >= len(self._words)

    def peek(self) -> str:
        return "" if self.at_end else self._words[self._place]

    def next(self) -> str:
        word = self.peek()
        self._place += 1
        return word

    def expect(self, wanted: str) -> None:
        word = self.next()
        if word != wanted:
            raise _unreadable(f"found '{word}', expected: '{wanted}'")

    def identifier(self) -> str:
        word = self.next()
        if not word or word in ("==", "!=") or word in "=!(),<>":
            raise _unreadable(f"found '{word}', expected: identifier")
        return word


def _requirement(tokens: _Tokens) -> Requirement:
    if tokens.peek() == "!":
        tokens.next()
        return Requirement(_key(tokens.identifier()), "!")
    key = _key(tokens.identifier())
    word = tokens.peek()
    if word in ("", ","):
        return Requirement(key, "exists")
    tokens.next()
    if word in ("=", "==", "!="):
        value = "" if tokens.peek() in ("", ",") else tokens.identifier()
        return Requirement(key, "!=" if word == "!=" else "=", (_value(value, key),))
    if word == "in" or word == "notin":
        return Requirement(key, "in" if word == "in" else "notin", _values(tokens, key))
    if word == ">" or word == "<":
        limit = tokens.identifier()
        if _integer(limit) is None:
            raise _unreadable(f"values[0]: Invalid value: \"{limit}\": for '{word}' the value must be an integer")
        return Requirement(key, ">" if word == ">" else "<", (limit,))
    raise _unreadable(f"found '{word}', expected: in, notin, =, ==, !=, gt, lt")


def _values(tokens: _Tokens, key: str) -> tuple[str, ...]:
    """The list of an ``in``: ``(a, b)``. An empty place stands for the empty value, as in ``(,b)``."""
    tokens.expect("(")
    values: list[str] = []
    pending = ""
    while True:
        word = tokens.next()
        if word in (",", ")"):
            values.append(_value(pending, key))
            pending = ""
            if word == ")":
                return tuple(dict.fromkeys(values))
        elif not word or pending or word in "=!(<>" or word in ("==", "!="):
            raise _unreadable(f"found '{word}', expected: ',' or ')'")
        else:
            pending = word


def _key(key: str) -> str:
    prefix, slash, name = key.rpartition("/")
    if not _NAME.fullmatch(name) or len(name) > 63 or (slash and (not _PREFIX.fullmatch(prefix) or len(prefix) > 253)):
        raise _unreadable(
            f'key: Invalid value: "{key}": a label key is an optional DNS prefix and "/", then a name of at most 63'
            " letters, digits, '-', '_' and '.' that begins and ends with a letter or digit"
        )
    return key


def _value(value: str, key: str) -> str:
    if value and (not _NAME.fullmatch(value) or len(value) > 63):
        raise _unreadable(
            f'values[0][{key}]: Invalid value: "{value}": a label value is empty or at most 63 letters, digits,'
            " '-', '_' and '.', and begins and ends with a letter or digit"
        )
    return value


def _integer(text: str | None) -> int | None:
    return int(text) if text is not None and re.fullmatch(r"[+-]?[0-9]+", text) else None


def _unreadable(why: str) -> SelectorError:
    return SelectorError(f"unable to parse requirement: {why}")


def _decoded(selector: Mapping[str, Any]) -> LabelSelector:
    try:
        return msgspec.convert(selector, LabelSelector)
    except msgspec.ValidationError as error:
        raise SelectorError(f"not a label selector: {error}") from error
