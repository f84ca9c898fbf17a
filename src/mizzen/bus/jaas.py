"""A line of JAAS configuration, as ``sasl.jaas.config`` carries it for Java clients.

``org.apache.kafka.common.security.scram.ScramLoginModule required username="me" password="it\\"s";``: the class of a
login module, a flag, options with quoted or bare values, a semicolon. Quotes and backslashes are read as Java's own
tokenizer reads them, and blanks may be anywhere between words.
"""

from __future__ import annotations

import re

import msgspec

from mizzen.bus.errors import BusError

_TOKEN = re.compile(r"""\s*(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|([=;])|([^\s=;"']+))""", re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t", "f": "\f", "b": "\b"}
_FLAGS = {"required", "requisite", "sufficient", "optional"}
_SHAPE = 'it looks like: org.apache...PlainLoginModule required username="NAME" password="PASSWORD";'


class Login(msgspec.Struct, frozen=True):
    """One login module: the last part of its class's name, and its options."""

    module: str
    options: dict[str, str]


class _Token(msgspec.Struct, frozen=True):
    text: str
    mark: bool = False  # = or ;, outside quotes


def read(line: str) -> Login:
    """The login module of ``line``.

    Raises:
        BusError: the line is no JAAS configuration. The message repeats nothing of it: it may hold a password.
    """
    tokens = _tokens(line)
    if len(tokens) < 3 or tokens[1].text.lower() not in _FLAGS or tokens[-1] != _Token(";", mark=True):
        raise _wrong("a login module, a flag such as required, and a semicolon at the end are expected")
    module, options, rest = tokens[0], {}, tokens[2:-1]
    for at in range(0, len(rest), 3):
        option = rest[at : at + 3]
        if [token.mark for token in option] != [False, True, False] or option[1].text != "=":
            raise _wrong("an option is not of the form name=value, or there is more than one login module")
        options[option[0].text] = option[2].text
    return Login(module.text.rpartition(".")[2], options)


def _tokens(line: str) -> list[_Token]:
    found, at, line = [], 0, line.strip()
    while at < len(line):
        match = _TOKEN.match(line, at)
        if match is None:
            raise _wrong("a quotation mark has no counterpart")
        double, single, mark, bare = match.groups()
        quoted = double if double is not None else single
        text = _ESCAPE.sub(_unescaped, quoted) if quoted is not None else mark or bare
        found.append(_Token(text, mark=mark is not None))
        at = match.end()
    return found


def _unescaped(match: re.Match[str]) -> str:
    return _ESCAPED.get(match[1], match[1])


def _wrong(what: str) -> BusError:
    return BusError(f"sasl.jaas.config cannot be read: {what}; {_SHAPE}")
