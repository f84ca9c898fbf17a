"""YAML as Kubernetes reads it: version 1.1 with the scalars of Go's reader, turned into what JSON can say.

Manifests are written for kubectl, so a plain ``yes`` is a boolean, ``0644`` is octal, ``1e3`` is a number and a date is
a text. PyYAML parses (in C where it can); its events are read here, because its own resolver knows base-60 numbers
and dates, and its own tree shares one object between all aliases of an anchor.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import yaml

from mizzen.kube.errors import ApiError, bad_request

# Deeper values could be neither walked by our recursive readers nor encoded by orjson (254 levels).
MAX_DEPTH = 200
# What aliases may add to a document. Real manifests add tens.
MAX_ALIASED_VALUES = 100_000

_BODY = "the body"

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAG = "tag:yaml.org,2002:"
_NULLS = frozenset(("", "~", "null", "Null", "NULL"))
_BOOLEANS = {
    word: value
    for value, words in (
        (True, "y Y yes Yes YES true True TRUE on On ON"),
        (False, "n N no No NO false False FALSE off Off OFF"),
    )
    for word in words.split()
}
_INTEGER = re.compile(r"[-+]?(?:0[xX][0-9a-fA-F]+|0[oO][0-7]+|0[bB][01]+|0[0-7]*|[1-9][0-9]*)$")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)$|\.(?:nan|NaN|NAN)$")
_INT64 = range(-(2**63), 2**63)


class Document(NamedTuple):
    """One document of a text: the line it begins in, its value, and the paths of the keys that stand twice."""

    line: int
    value: Any
    duplicates: list[str]


def load(body: bytes, *, find_duplicates: bool = False) -> tuple[Any, list[str]]:
    """The one document of a YAML text, and the paths of the keys that stand twice if they were asked for.

    Raises:
        ApiError: 400, with the line and column of the mistake.
    """
    reader = _Reader(body, find_duplicates, _BODY)
    with reader.mistakes_told():
        return reader.only_document(), reader.duplicates


def load_all(body: bytes, called: str) -> Iterator[Document]:
    """The documents of a YAML text one after the other, with keys that stand twice; empty ones are left out.

    Args:
        called: what the text is, such as a file's name, for messages.

    Raises:
        ApiError: 400, with the line and column of the mistake, once the documents before it have been given.
    """
    reader = _Reader(body, True, called)
    with reader.mistakes_told():
        yield from reader.documents()


def too_deep(what: str) -> ApiError:
    return bad_request(f"the {what} is nested more than {MAX_DEPTH} levels deep")


def too_large(number: str, where: str = _BODY) -> ApiError:
    shown = number if len(number) <= 40 else number[:40] + "..."
    return bad_request(f"the number {shown} in {where} does not fit into 64 bits: write it as a text, in quotes")


def not_utf8(body: bytes, error: UnicodeDecodeError, called: str = _BODY) -> str:
    line = body.count(b"\n", 0, error.start) + 1
    column = error.start - body.rfind(b"\n", 0, error.start)
    return f"{called} is not UTF-8: line {line}, column {column}: found the byte 0x{body[error.start]:02x}"


class _Reader:
    """The documents of a text: PyYAML's events in, values out."""

    def __init__(self, body: bytes, find_duplicates: bool, called: str) -> None:
        body = body.removeprefix(codecs.BOM_UTF8)
        try:
            text = body.decode()
        except UnicodeDecodeError as error:
            raise bad_request(not_utf8(body, error, called)) from None
        self._text = text
        self._called = called
        self._find_duplicates = find_duplicates
        self._events: Iterator[Any] = iter(yaml.parse(text, Loader=_Loader))
        self._anchors: dict[str, Any] = {}
        self._aliased = 0
        self.duplicates: list[str] = []

    @contextmanager
    def mistakes_told(self) -> Iterator[None]:
        """Turns what the parser raises into an answer."""
        try:
            yield
        except yaml.MarkedYAMLError as error:
            what = " ".join(part for part in (error.context, error.problem) if part)
            raise self.wrong(error.problem_mark or error.context_mark, what) from None
        except yaml.YAMLError as error:
            raise bad_request(f"{self._called} is not valid YAML: {' '.join(str(error).split())}") from None

    def only_document(self) -> Any:
        next(self._events)  # the stream's start
        event = next(self._events)
        if isinstance(event, yaml.StreamEndEvent):
            return None
        value = self._value(next(self._events), 1, "")
        next(self._events)  # the document's end
        event = next(self._events)
        if not isinstance(event, yaml.StreamEndEvent):
            raise self.wrong(event.start_mark, "a second document begins, where one object is expected")
        return value

    def documents(self) -> Iterator[Document]:
        next(self._events)  # the stream's start
        while not isinstance(next(self._events), yaml.StreamEndEvent):
            first = next(self._events)
            self._anchors, self.duplicates = {}, []
            value = self._value(first, 1, "")
            if value is not None:
                yield Document(first.start_mark.line + 1, value, self.duplicates)
            next(self._events)  # the document's end

    def wrong(self, mark: Any, what: str) -> ApiError:
        if mark is None:
            return bad_request(f"{self._called} is not valid YAML: {what}")
        lines = self._text.split("\n")
        line = lines[mark.line] if mark.line < len(lines) else ""
        if line[mark.column : mark.column + 1] == "\t":
            what += " (it is a tab; YAML is indented with spaces)"
        line = line.strip()
        found = f", found `{line[:60]}`" if line else ", found the end of the text"
        place = f"line {mark.line + 1}, column {mark.column + 1}"
        return bad_request(f"{self._called} is not valid YAML: {place}: {what}{found}")

    def _value(self, event: Any, depth: int, path: str) -> Any:
        if depth > MAX_DEPTH:
            raise too_deep(f"YAML in {self._called}")
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in self._anchors:
                raise self.wrong(event.start_mark, f"the alias *{event.anchor} stands before the end of its anchor")
            return self._copy(self._anchors[event.anchor], event, depth)
        value: Any
        if isinstance(event, yaml.ScalarEvent):
            value = self._scalar(event)
            if isinstance(value, float) and value.is_integer() and abs(value) < 2**63:
                value = int(value)
        elif isinstance(event, yaml.SequenceStartEvent):
            self._check_tag(event, "seq")
            value = []
            while not isinstance(item := next(self._events), yaml.SequenceEndEvent):
                below = f"{path}[{len(value)}]" if self._find_duplicates else ""
                value.append(self._value(item, depth + 1, below))
        else:
            self._check_tag(event, "map")
            value = self._mapping(depth, path)
        if event.anchor:
            self._anchors[event.anchor] = value
        return value

    def _mapping(self, depth: int, path: str) -> dict[str, Any]:
        value: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            if isinstance(event, yaml.ScalarEvent) and event.value == "<<" and event.implicit[0]:
                self._merge(merged, event, depth)
                continue
            key = self._key(event)
            below = ""
            if self._find_duplicates:
                below = f"{path}.{key}" if path else key
                if key in value and below not in self.duplicates:
                    self.duplicates.append(below)
            value[key] = self._value(next(self._events), depth + 1, below)
        return {**merged, **value} if merged else value

    def _merge(self, merged: dict[str, Any], event: Any, depth: int) -> None:
        """Take in what stands after a merge key: one mapping, or a list where the first to name a key wins."""
        found = self._value(next(self._events), depth + 1, "")
        for source in found if isinstance(found, list) else [found]:
            if not isinstance(source, dict):
                raise self.wrong(event.start_mark, "the merge key << needs a mapping, or a list of mappings")
            for key, value in source.items():
                merged.setdefault(key, value)

    def _key(self, event: Any) -> str:
        """JSON has only texts as keys; the others are spelled as Go's reader spells them."""
        key: Any
        if isinstance(event, yaml.AliasEvent):
            key = self._anchors.get(event.anchor or "")
        elif isinstance(event, yaml.ScalarEvent):
            key = self._scalar(event)
            if event.anchor:
                self._anchors[event.anchor] = key
        else:
            raise self.wrong(event.start_mark, "the key of a mapping is itself a list or a mapping")
        if isinstance(key, str):
            return key
        if isinstance(key, bool):
            return "true" if key else "false"
        if isinstance(key, (int, float)):
            return repr(key).removesuffix(".0")
        raise self.wrong(event.start_mark, "the key of a mapping is empty, a list or a mapping")

    def _check_tag(self, event: Any, kind: str) -> None:
        if event.tag not in (None, "!", _TAG + kind):
            raise self.wrong(event.start_mark, f"the tag {event.tag} is not known here")

    def _scalar(self, event: Any) -> Any:
        text: str = event.value
        if event.tag in (None, "!"):
            return self._plain(event, text) if event.implicit[0] else text
        kind = event.tag.removeprefix(_TAG)
        if kind in ("str", "timestamp"):
            return text
        if kind == "binary":
            try:
                return base64.b64decode("".join(text.split()), validate=True).decode()
            except (binascii.Error, UnicodeDecodeError):
                raise self.wrong(event.start_mark, "the !!binary value is not a text in base64") from None
        value = self._plain(event, text)
        wanted: tuple[type, ...] = {"int": (int,), "float": (int, float), "bool": (bool,), "null": (type(None),)}.get(
            kind, ()
        )
        if not wanted:
            raise self.wrong(event.start_mark, f"the tag {event.tag} is not known here")
        if type(value) not in wanted:
            raise self.wrong(event.start_mark, f"the value is no !!{kind}")
        return value

    def _plain(self, event: Any, text: str) -> Any:
        if text in _NULLS:
            return None
        if text in _BOOLEANS:
            return _BOOLEANS[text]
        if text[0] not in "+-.0123456789":
            return text
        digits = text.replace("_", "")
        if _INTEGER.match(digits):
            return self._integer(digits)
        if _FLOAT.match(digits):
            number = float(digits)
            if math.isfinite(number):
                return number
        elif not _NOT_FINITE.match(text):
            return text
        raise self.wrong(event.start_mark, f"{text} is a number that JSON cannot hold")

    def _integer(self, digits: str) -> int:
        if len(digits) > 70:
            raise too_large(digits, self._called)
        plain = digits.lstrip("+-").lower()
        octal = len(plain) > 1 and plain.isdecimal() and plain[0] == "0"
        value = int(plain, 8) if octal else int(plain, 0)
        value = -value if digits[0] == "-" else value
        if value not in _INT64:
            raise too_large(digits, self._called)
        return value

    def _copy(self, value: Any, event: Any, depth: int) -> Any:
        """A value of its own for each alias, within what a document may hold in all."""
        self._aliased += 1
        if self._aliased > MAX_ALIASED_VALUES:
            raise self.wrong(event.start_mark, f"aliases stand for more than {MAX_ALIASED_VALUES} values")
        if depth > MAX_DEPTH:
            raise too_deep(f"YAML in {self._called}")
        if isinstance(value, dict):
            return {key: self._copy(child, event, depth + 1) for key, child in value.items()}
        if isinstance(value, list):
            return [self._copy(child, event, depth + 1) for child in value]
        return value
