"""YAML, read as ONAP's runtime reads it, into nodes that know their places.

The runtime composes YAML 1.1 with SnakeYAML and turns its nodes into JSON by their tags. So a plain ``1.0`` is a
number, a date is a text, and of a key only the text counts. Where that reader trips, this one says so: it takes only
decimal integers (``0x1f``, ``1_000`` and ``1:30`` end in an exception, ``0644`` is 644), and applies no merge key. All
of these are refused with a sentence. In three points it is merely wrong, and what was written is taken here: ``yes`` is
true, ``""`` is an empty text, and a quoted ``"null"`` is a text. PyYAML parses, in C where it can; its events are read
here, because a tree of a bomb would have to be built first.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

import yaml

from mizzen.acm.tosca.nodes import MAX_DEPTH, MAX_VALUES, Mark, Node, Scalar, too_deep, too_many
from mizzen.acm.tosca.problems import Path, Problem, Unreadable, path_text

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAG = "tag:yaml.org,2002:"
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_NULLS = frozenset(("", "~", "null", "Null", "NULL"))
_BOOLEANS = {
    spelling: value
    for value, words in ((True, "yes true on"), (False, "no false off"))
    for word in words.split()
    for spelling in (word, word.capitalize(), word.upper())
}
_DECIMAL = re.compile(r"[-+]?(?:0|[1-9][0-9]*)\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?\Z")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)\Z|\.(?:nan|NaN|NAN)\Z")
# What YAML 1.1 calls a number beside the two above: other bases, separated digits, base 60.
_ODD_NUMBER = re.compile(
    r"[-+]?(?:0[0-7_]+|0b[01_]+|0x[0-9a-fA-F_]+|[0-9][0-9_]*_[0-9_]*|[1-9][0-9_]*(?::[0-5]?[0-9])+)"
    r"(?:\.[0-9_]*)?\Z"
)
# No number is longer; so the expressions need not be made for texts of megabytes.
_LONG = 400
_INT64 = range(-(2**63), 2**63)
_PLACEHOLDER = re.compile(r"\{\{[^{}]*\}\}")


def read_yaml(text: str) -> Node:
    """The one document of a YAML text.

    Raises:
        Unreadable: with every double key, or with the one mistake after which nothing more can be said.
    """
    strange = _UNPRINTABLE.search(text)
    if strange:
        code = f"the character U+{ord(strange[0]):04X} is not allowed in YAML"
        raise Unreadable([_at(_mark_of(text, strange.start()), code, "remove it, or write it as an escape in quotes")])
    reader = _Reader(text)
    try:
        root = reader.only_document()
    except yaml.MarkedYAMLError as error:
        raise Unreadable([reader.mistake(error)]) from error
    except yaml.YAMLError as error:
        raise Unreadable([Problem("", None, None, f"no YAML: {' '.join(str(error).split())}")]) from error
    if reader.problems:
        raise Unreadable(reader.problems)
    return root


def _mark_of(text: str, position: int) -> Mark:
    return Mark(text.count("\n", 0, position) + 1, position - text.rfind("\n", 0, position))


def _at(mark: Mark, message: str, hint: str = "", path: Path = ()) -> Problem:
    return Problem(path_text(path), mark.line, mark.column, message, hint)


class _Reader:
    def __init__(self, text: str) -> None:
        self._lines = text.split("\n")
        self._events: Iterator[Any] = iter(yaml.parse(text, Loader=_Loader))
        self._anchors: dict[str, Node] = {}
        self._values = 0
        self.problems: list[Problem] = []

    def only_document(self) -> Node:
        next(self._events)  # the stream's start
        event = next(self._events)
        if isinstance(event, yaml.StreamEndEvent):
            raise Unreadable([_at(Mark(1, 1), "the document is empty")])
        root = self._node(next(self._events), 1, ())
        next(self._events)  # the document's end
        event = next(self._events)
        if not isinstance(event, yaml.StreamEndEvent):
            raise Unreadable(
                [_at(_place(event.start_mark), "a second document begins here", "write each into a file of its own")]
            )
        return root

    def mistake(self, error: yaml.MarkedYAMLError) -> Problem:
        """What the parser complains of, with what a person usually did."""
        place = error.problem_mark or error.context_mark
        # What is never closed is missed at the end of the text; the person looks for where it begins.
        if place and error.context_mark and not "".join(self._lines[place.line :]).strip():
            place = error.context_mark
        mark = _place(place) if place else Mark(1, 1)
        said = ", ".join(part for part in (error.context, error.problem) if part)
        line = self._lines[mark.line - 1] if mark.line <= len(self._lines) else ""
        hint = ""
        if "\t" in line[: mark.column]:
            hint = "the line is indented with a tab; YAML takes spaces"
        elif _PLACEHOLDER.search(line):
            hint = _placeholder_hint(line)
        elif "mapping values are not allowed" in said:
            hint = "a text with a colon and a space goes into quotes; else compare the indentation with the line before"
        return _at(mark, f"no YAML: {said}", hint)

    def _node(self, event: Any, depth: int, path: Path) -> Node:
        mark = _place(event.start_mark)
        self._values += 1
        if self._values > MAX_VALUES:
            raise Unreadable([too_many(mark)])
        if depth > MAX_DEPTH:
            raise Unreadable([too_deep(mark)])
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in self._anchors:
                message = f"the alias *{event.anchor} stands before the end of its anchor"
                raise Unreadable([_at(mark, message, f"&{event.anchor} must come first", path)])
            return self._anchors[event.anchor]
        node = Node(None, mark)
        if isinstance(event, yaml.ScalarEvent):
            node.value = self._scalar(event, mark, path)
        elif isinstance(event, yaml.SequenceStartEvent):
            self._check_tag(event, "seq", mark, path)
            items: list[Node] = []
            while not isinstance(item := next(self._events), yaml.SequenceEndEvent):
                items.append(self._node(item, depth + 1, (*path, len(items))))
            node.value = items
        else:
            self._check_tag(event, "map", mark, path)
            node.value = self._members(depth, path)
        if event.anchor:
            self._anchors[event.anchor] = node
        return node

    def _members(self, depth: int, path: Path) -> dict[str, tuple[Mark, Node]]:
        members: dict[str, tuple[Mark, Node]] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            mark = _place(event.start_mark)
            if not isinstance(event, yaml.ScalarEvent):
                line = self._lines[mark.line - 1] if mark.line <= len(self._lines) else ""
                hint = _placeholder_hint(line) if _PLACEHOLDER.search(line) else "a key is a plain text"
                kind = "an alias" if isinstance(event, yaml.AliasEvent) else "itself a list or a mapping"
                raise Unreadable([_at(mark, f"the key of a mapping is {kind}", hint, path)])
            key: str = event.value
            if event.anchor:
                self._anchors[event.anchor] = Node(key, mark)
            if key == "<<" and event.implicit[0]:
                message = "the merge key << is not applied by ONAP's reader of YAML"
                self.problems.append(_at(mark, message, "write the keys out", path))
            below = (*path, key)
            value = self._node(next(self._events), depth + 1, below)
            if key in members:
                first = members[key][0].line
                message = f'the key "{shorten(key)}" stands twice: it is already in line {first}'
                self.problems.append(_at(mark, message, "the first would be lost; remove or rename one", below))
                continue
            members[key] = (mark, value)
        return members

    def _check_tag(self, event: Any, kind: str, mark: Mark, path: Path) -> None:
        if event.tag not in (None, "!", _TAG + kind):
            raise Unreadable([_at(mark, f"the tag {shorten(event.tag)} is not known here", "remove it", path)])

    def _scalar(self, event: Any, mark: Mark, path: Path) -> Scalar:
        text: str = event.value
        if event.tag in (None, "!"):
            return self._plain(text, mark, path) if event.implicit[0] else text
        kind = event.tag.removeprefix(_TAG)
        if kind in ("str", "timestamp"):
            return text
        wanted: tuple[type, ...] = {"int": (int,), "float": (int, float), "bool": (bool,), "null": (type(None),)}.get(
            kind, ()
        )
        if not wanted:
            raise Unreadable([_at(mark, f"the tag {shorten(event.tag)} is not known here", "remove it", path)])
        value = self._plain(text, mark, path)
        if type(value) not in wanted:
            self.problems.append(_at(mark, f"{shorten(text)} is no !!{kind}", "remove the tag", path))
        return value

    def _plain(self, text: str, mark: Mark, path: Path) -> Scalar:
        if text in _NULLS:
            return None
        if text in _BOOLEANS:
            return _BOOLEANS[text]
        if text[0] not in "+-.0123456789":
            return text
        if _DECIMAL.match(text):
            value = int(text) if len(text) < 25 else 2**64
            if value not in _INT64:
                message = f"the number {shorten(text)} does not fit into 64 bits"
                self.problems.append(_at(mark, message, "write it as a text, in quotes", path))
            return value
        number = len(text) < _LONG and _FLOAT.match(text)
        if number and math.isfinite(float(text)):
            return float(text)
        if number or _NOT_FINITE.match(text):
            message = f"{shorten(text)} is a number that JSON cannot hold"
            self.problems.append(_at(mark, message, "write it as a text, in quotes", path))
        elif len(text) < _LONG and _ODD_NUMBER.match(text):
            message = f"{shorten(text)} is a number in YAML, but ONAP's reader takes only plain decimal ones"
            hint = f'write it in decimal, or as a text: "{shorten(text)}"'
            self.problems.append(_at(mark, message, hint, path))
        return text


def _place(mark: Any) -> Mark:
    return Mark(mark.line + 1, mark.column + 1)


def _placeholder_hint(line: str) -> str:
    found = _PLACEHOLDER.search(line)
    return f"{found[0] if found else 'it'} is a placeholder that has to be filled in" if found else ""


def shorten(text: str) -> str:
    """A text as a message may carry it."""
    return text if len(text) <= 80 else text[:80] + "..."
