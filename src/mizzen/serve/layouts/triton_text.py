"""The text form of protocol buffers, as far as configurations are written in it, read without protocol buffers.

::

    name: "iris"
    max_batch_size: 8
    input [ { name: "x", data_type: TYPE_FP32, dims: [ 4 ] } ]
    dynamic_batching { }

Every message names the line and column. Fields that nobody knows are skipped and told.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from mizzen.serve.errors import LoadError
from mizzen.serve.layouts.triton_schema import MESSAGES, ROOT, Field, scalar

# Deeper than any message of the schema; a file of brackets shall not exhaust the stack.
_DEPTH = 40

# Longer than any number that a field can hold.
_DIGITS = 400

_TOKEN = re.compile(
    r"""(?P<space>(?:[ \t\r\n\f\v]+|\#[^\n]*)+)
    |(?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
    |(?P<number>(?:0[xX][0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?[fF]?)(?![A-Za-z0-9_.]))
    |(?P<name>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<mark>[{}<>\[\]:,;-])""",
    re.VERBOSE | re.ASCII,
)

_ESCAPES = {"n": 10, "r": 13, "t": 9, "a": 7, "b": 8, "f": 12, "v": 11, "\\": 92, "'": 39, '"': 34, "?": 63}
_ESCAPE = re.compile(r"\\([0-7]{1,3}|[xX][0-9a-fA-F]{1,2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)")

_BOOLEANS = {"true": True, "True": True, "t": True, "false": False, "False": False, "f": False}


class _Token(NamedTuple):
    kind: str
    text: str
    at: int


def parse(text: str, where: str, message: str = ROOT) -> tuple[dict[str, Any], list[str]]:
    """A message, and the fields that it has and nobody knows.

    Args:
        where: the file's name, for messages.

    Raises:
        LoadError: says at which line and column what was expected.
    """
    return _Reader(text, where).read(message)


class _Reader:
    def __init__(self, text: str, where: str) -> None:
        self._text = text
        self._where = where
        self._at = 0
        self._unknown: list[str] = []
        self._tokens = self._split()

    def read(self, message: str) -> tuple[dict[str, Any], list[str]]:
        found = self._message(message, "", 0)
        return found, self._unknown

    def _split(self) -> list[_Token]:
        tokens = []
        position = 0
        while position < len(self._text):
            match = _TOKEN.match(self._text, position)
            if match is None:
                raise self._error(position, f"{self._text[position]!r} cannot stand here")
            if match.lastgroup != "space":
                tokens.append(_Token(str(match.lastgroup), match.group(), position))
            position = match.end()
        tokens.append(_Token("end", "", len(self._text)))
        return tokens

    @property
    def _next(self) -> _Token:
        return self._tokens[self._at]

    def _take(self) -> _Token:
        token = self._tokens[self._at]
        self._at += token.kind != "end"
        return token

    def _takes(self, *marks: str) -> bool:
        if self._next.text in marks and self._next.kind == "mark":
            self._at += 1
            return True
        return False

    def _error(self, position: int, problem: str) -> LoadError:
        line = self._text.count("\n", 0, position) + 1
        column = position - (self._text.rfind("\n", 0, position) + 1) + 1
        return LoadError(f"{self._where}:{line}:{column}: {problem}")

    def _message(self, message: str, end: str, depth: int) -> dict[str, Any]:
        """The fields up to ``end``, which is taken."""
        if depth > _DEPTH:
            raise self._error(self._next.at, "messages within messages, too deep")
        found: dict[str, Any] = {}
        fields = MESSAGES.get(message, {})
        while True:
            token = self._take()
            if token.kind == "end" and not end:
                return found
            if token.kind == "mark" and token.text == end:
                return found
            if token.kind != "name":
                shown = repr(token.text) if token.text else "the end of the file"
                closing = f" or {end!r}" if end else ""
                raise self._error(token.at, f"the name of a field is expected{closing}, not {shown}")
            field = fields.get(token.text)
            if field is None:
                if message:
                    self._unknown.append(f"{token.text} (line {self._text.count(chr(10), 0, token.at) + 1})")
                self._skip(depth)
            else:
                self._field(token, field, found, depth)
            self._takes(",", ";")

    def _field(self, name: _Token, field: Field, found: dict[str, Any], depth: int) -> None:
        colon = self._takes(":")
        if not field.many:
            if name.text in found:
                raise self._error(name.at, f"{name.text} is given twice")
            found[name.text] = self._value(name, field, colon, depth)
            return
        items = []
        if self._takes("["):
            while not self._takes("]"):
                items.append(self._value(name, field, True, depth))
                if not self._takes(",") and self._next.text != "]":
                    raise self._error(self._next.at, f"',' or ']' is expected in the list {name.text}")
        else:
            items.append(self._value(name, field, colon, depth))
        if field.many == "map":
            found.setdefault(name.text, {}).update(items)
        else:
            found.setdefault(name.text, []).extend(items)

    def _value(self, name: _Token, field: Field, colon: bool, depth: int) -> Any:
        if field.many == "map":
            return self._entry(name, field, depth)
        if field.is_message:
            return self._message(field.kind, self._open(name), depth + 1)
        if not colon:
            raise self._error(self._next.at, f"':' is expected after {name.text}")
        at = self._next.at
        value = self._scalar()
        if field.kind == "bool":
            if type(value) is int and value in (0, 1):
                value = bool(value)
            elif isinstance(value, _Name):
                value = _BOOLEANS.get(value.text, value)
        if isinstance(value, _Name):
            if field.kind == "string":
                raise self._error(at, f"{name.text} is a string: write it in quotes")
            value = value.text if not field.kind.startswith(("float", "double")) else value.number()
        elif isinstance(value, str) and field.kind != "string":
            raise self._error(at, f"{name.text} is no string: write it without quotes")
        try:
            return scalar(field.kind, value, name.text)
        except LoadError as error:
            raise self._error(at, str(error)) from None

    def _entry(self, name: _Token, field: Field, depth: int) -> tuple[str, Any]:
        """A map's entry, which is a message of a key and a value."""
        end = self._open(name)
        key, value = "", {} if field.is_message else ""
        while not self._takes(end):
            token = self._take()
            colon = self._takes(":")
            if token.text == "key":
                found = self._scalar() if colon else None
                if not isinstance(found, str | int):
                    raise self._error(token.at, f"{name.text}: the key must be a string")
                key = str(found)
            elif token.text == "value":
                value = self._value(
                    _Token("name", f"{name.text}'s value", token.at), Field(field.kind, ""), colon, depth
                )
            else:
                raise self._error(token.at, f"{name.text} is a map: 'key' or 'value' is expected, not {token.text!r}")
            self._takes(",", ";")
        return key, value

    def _open(self, name: _Token) -> str:
        """Take the bracket that opens a message, and tell the one that closes it."""
        if self._takes("{"):
            return "}"
        if self._takes("<"):
            return ">"
        raise self._error(self._next.at, f"{name.text} is a message: '{{' is expected")

    def _scalar(self) -> Any:
        token = self._take()
        if token.kind == "string":
            text = self._string(token)
            while self._next.kind == "string":
                text += self._string(self._take())
            return text
        negative = token.text == "-" and token.kind == "mark"
        if negative:
            token = self._take()
        if token.kind == "number":
            if len(token.text) > _DIGITS:
                raise self._error(token.at, "the number is too long")
            number = _number(token.text)
            return -number if negative else number
        if token.kind == "name":
            if negative and token.text not in ("inf", "infinity", "nan"):
                raise self._error(token.at, f"a number is expected after '-', not {token.text!r}")
            return _Name(token.text, negative)
        raise self._error(token.at, f"a value is expected, not {token.text!r}" if token.text else "a value is missing")

    def _string(self, token: _Token) -> str:
        raw = bytearray()
        inner = token.text[1:-1]
        position = 0
        for match in _ESCAPE.finditer(inner):
            raw += inner[position : match.start()].encode("utf-8", "replace")
            position = match.end()
            raw += self._escaped(match[1], token.at)
        raw += inner[position:].encode("utf-8", "replace")
        try:
            return raw.decode()
        except UnicodeDecodeError:
            raise self._error(token.at, "the string is not UTF-8") from None

    def _escaped(self, code: str, at: int) -> bytes:
        if code[0] in "01234567":
            return bytes([int(code, 8) & 255])
        if code[0] in "xX" and len(code) > 1:
            return bytes([int(code[1:], 16)])
        if code[0] in "uU" and len(code) > 1:
            point = int(code[1:], 16)
            if point > 0x10FFFF or 0xD800 <= point < 0xE000:
                raise self._error(at, f"\\{code} is no character")
            return chr(point).encode()
        if code not in _ESCAPES:
            raise self._error(at, f"\\{code} means nothing in a string")
        return bytes([_ESCAPES[code]])

    def _skip(self, depth: int) -> None:
        """Go past the value of a field that is not known."""
        self._takes(":")
        if depth > _DEPTH:
            raise self._error(self._next.at, "messages within messages, too deep")
        if self._takes("{"):
            self._message("", "}", depth + 1)
        elif self._takes("<"):
            self._message("", ">", depth + 1)
        elif self._takes("["):
            while not self._takes("]"):
                self._skip(depth + 1)
                if not self._takes(",") and self._next.text != "]":
                    raise self._error(self._next.at, "',' or ']' is expected in the list")
        else:
            self._scalar()


class _Name(NamedTuple):
    """A word where a value stands: an enumeration's, true and false, or inf and nan."""

    text: str
    negative: bool

    def number(self) -> Any:
        word = self.text.lower()
        if word in ("inf", "infinity", "nan"):
            return -float(word) if self.negative else float(word)
        return self.text


def _number(text: str) -> int | float:
    if text[:2] in ("0x", "0X"):
        return int(text, 16)
    if text.isdecimal():
        return int(text, 8) if text[0] == "0" and len(text) > 1 and set(text) <= set("01234567") else int(text)
    return float(text.rstrip("fF"))
