"""JSON, read into nodes that know their places.

The standard library's scanner reads the scalars, the structure is read here: so every value keeps its place, a double
key is told of, and neither depth nor number of values is a way to keep a runtime busy.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from typing import Any, NoReturn

from mizzen.acm.tosca.nodes import MAX_DEPTH, MAX_VALUES, Mark, Node, too_deep, too_many
from mizzen.acm.tosca.problems import Path, Problem, Unreadable, path_text
from mizzen.acm.tosca.yamltext import shorten

_SPACE = re.compile(r"[ \t\n\r]*")
_LINE_END = re.compile("\n")
_SURROGATE = re.compile("[\ud800-\udfff]")
_INT64 = range(-(2**63), 2**63)
_INFINITY = float("inf")


def read_json(text: str) -> Node:
    """The one value of a JSON text.

    Raises:
        Unreadable: with every double key and impossible number, or with the mistake after which nothing can be said.
    """
    reader = _Reader(text)
    root = reader.only_value()
    if reader.problems:
        raise Unreadable(reader.problems)
    return root


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._starts = [0, *(found.end() for found in _LINE_END.finditer(text))]
        self._scan = json.JSONDecoder(parse_int=_integer, parse_constant=_constant).raw_decode
        self._values = 0
        self.problems: list[Problem] = []

    def only_value(self) -> Node:
        root, end = self._value(self._skip(0), 1, ())
        end = self._skip(end)
        if end != len(self._text):
            self._fail(end, "the document goes on after its end", "remove what stands behind the last bracket")
        return root

    def _mark(self, position: int) -> Mark:
        line = bisect_right(self._starts, position)
        return Mark(line, position - self._starts[line - 1] + 1)

    def _skip(self, position: int) -> int:
        found = _SPACE.match(self._text, position)
        return found.end() if found else position

    def _fail(self, position: int, message: str, hint: str = "") -> NoReturn:
        if position >= len(self._text):
            message = f"{message}: the text ends"
        mark = self._mark(position)
        raise Unreadable([Problem("", mark.line, mark.column, f"no JSON: {message}", hint)])

    def _note(self, mark: Mark, path: Path, message: str, hint: str) -> None:
        self.problems.append(Problem(path_text(path), mark.line, mark.column, message, hint))

    def _value(self, at: int, depth: int, path: Path) -> tuple[Node, int]:
        mark = self._mark(at)
        self._values += 1
        if self._values > MAX_VALUES:
            raise Unreadable([too_many(mark)])
        if depth > MAX_DEPTH:
            raise Unreadable([too_deep(mark)])
        opening = self._text[at : at + 1]
        if opening == "{":
            return self._object(at + 1, mark, depth, path)
        if opening == "[":
            return self._array(at + 1, mark, depth, path)
        return self._scalar(at, mark, path)

    def _scalar(self, at: int, mark: Mark, path: Path) -> tuple[Node, int]:
        try:
            value, end = self._scan(self._text, at)
        except json.JSONDecodeError as error:
            position = error.pos if self._text[at : at + 1] == '"' else at
            hint = "texts and keys stand in double quotes" if self._text[at : at + 1] not in ('"', "") else ""
            self._fail(position, _said(error.msg), hint)
        if isinstance(value, str) and _SURROGATE.search(value):
            self._note(mark, path, "the text holds half of a surrogate pair", "write the whole character")
        elif isinstance(value, _Strange) or value in (_INFINITY, -_INFINITY):
            number = self._text[at:end]
            self._note(
                mark, path, f"the number {shorten(number)} is too large, or none", "write it as a text, in quotes"
            )
            value = None
        return Node(value, mark), end

    def _array(self, at: int, mark: Mark, depth: int, path: Path) -> tuple[Node, int]:
        items: list[Node] = []
        at = self._skip(at)
        if self._text[at : at + 1] == "]":
            return Node(items, mark), at + 1
        while True:
            item, at = self._value(at, depth + 1, (*path, len(items)))
            items.append(item)
            at = self._skip(at)
            if self._text[at : at + 1] == "]":
                return Node(items, mark), at + 1
            if self._text[at : at + 1] != ",":
                self._fail(at, "a comma or ] is missing")
            at = self._skip(at + 1)
            if self._text[at : at + 1] == "]":
                self._fail(at, "a comma stands before ]", "the last item has no comma behind it")

    def _object(self, at: int, mark: Mark, depth: int, path: Path) -> tuple[Node, int]:
        members: dict[str, tuple[Mark, Node]] = {}
        at = self._skip(at)
        if self._text[at : at + 1] == "}":
            return Node(members, mark), at + 1
        while True:
            if self._text[at : at + 1] != '"':
                self._fail(at, "a key in double quotes is missing")
            place = self._mark(at)
            name, at = self._scalar(at, place, path)
            key = str(name.value)
            at = self._skip(at)
            if self._text[at : at + 1] != ":":
                self._fail(at, "a colon is missing after the key")
            value, at = self._value(self._skip(at + 1), depth + 1, (*path, key))
            if key in members:
                first = members[key][0].line
                message = f'the key "{shorten(key)}" stands twice: it is already in line {first}'
                self._note(place, (*path, key), message, "the first would be lost; remove or rename one")
            else:
                members[key] = (place, value)
            at = self._skip(at)
            if self._text[at : at + 1] == "}":
                return Node(members, mark), at + 1
            if self._text[at : at + 1] != ",":
                self._fail(at, "a comma or } is missing")
            at = self._skip(at + 1)
            if self._text[at : at + 1] == "}":
                self._fail(at, "a comma stands before }", "the last member has no comma behind it")


class _Strange:
    """A number that no JSON value of ours can be."""


def _integer(digits: str) -> Any:
    value = int(digits) if len(digits) < 25 else 2**64
    return value if value in _INT64 else _Strange()


def _constant(_: str) -> Any:
    return _Strange()


def _said(message: str) -> str:
    return "a value is missing" if message == "Expecting value" else message[:1].lower() + message[1:]
