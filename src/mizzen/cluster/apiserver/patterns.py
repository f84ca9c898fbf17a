"""Patterns and formats of schemas: Go's regular expressions in Python's, and the named formats of strings.

A ``pattern`` is written for RE2 and matched anywhere in the text. Python's dialect is close; what differs is
translated once per pattern: ``$`` is the end of the text and not of its last line, ``\\z``, ``\\Q...\\E``, hexadecimal
braces, and classes such as ``[[:alpha:]]``. Classes by letter (``\\d``, ``\\w``) are ASCII, as in RE2.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable
from datetime import date, datetime
from functools import lru_cache

_POSIX_CLASSES = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "ascii": r"\x00-\x7f",
    "blank": r"\t ",
    "cntrl": r"\x00-\x1f\x7f",
    "digit": "0-9",
    "graph": "!-~",
    "lower": "a-z",
    "print": " -~",
    "punct": r"!-/:-@\[-`{-~",
    "space": r"\t\n\v\f\r ",
    "upper": "A-Z",
    "word": "0-9A-Za-z_",
    "xdigit": "0-9A-Fa-f",
}
# Unicode classes have no counterpart in Python's engine; the common ones can be said with its word class.
_UNICODE_CLASSES = {"L": r"(?u:[^\W\d_])", "N": r"(?u:\d)", "Nd": r"(?u:\d)"}

_POSIX_CLASS = re.compile(r"\[:(\w+):\]")
_CLASS_OPENING = re.compile(r"\[\^?\]?")
_HEXADECIMAL = re.compile(r"\\x\{([0-9a-fA-F]{1,6})\}")
_UNICODE_CLASS = re.compile(r"\\p(?:\{(\w+)\}|(\w))")
_MULTILINE_FLAG = re.compile(r"\(\?[a-zA-Z]*m")


class PatternError(ValueError):
    """A pattern that is no regular expression, or one that Python's engine cannot stand in for."""


@lru_cache(maxsize=4096)
def compiled(pattern: str) -> re.Pattern[str]:
    """The pattern to search with. Raises :class:`PatternError`."""
    try:
        return re.compile(_translated(pattern), re.ASCII)
    except (re.error, OverflowError) as error:
        raise PatternError(f"{pattern!r} is not a regular expression: {error}") from None


def _translated(pattern: str) -> str:
    out: list[str] = []
    position, in_class = 0, False
    end_of_text = "$" if _MULTILINE_FLAG.search(pattern) else r"\Z"
    while position < len(pattern):
        char = pattern[position]
        if char == "\\":
            text, position = _escape(pattern, position, in_class)
            out.append(text)
            continue
        if in_class:
            posix = _POSIX_CLASS.match(pattern, position)
            if posix and posix[1] in _POSIX_CLASSES:
                out.append(_POSIX_CLASSES[posix[1]])
                position = posix.end()
                continue
            # Python warns of set operations that a doubled sign may become one day.
            out.append("\\" + char if char in "[&~|" else char)
            in_class = char != "]"
        elif char == "[":
            in_class = True
            opening = _CLASS_OPENING.match(pattern, position)
            assert opening is not None
            out.append(opening[0])
            position = opening.end()
            continue
        elif char == "$":
            out.append(end_of_text)
        elif pattern.startswith("(?<", position) and not pattern.startswith(("(?<=", "(?<!"), position):
            out.append("(?P<")
            position += 3
            continue
        elif pattern.startswith(("(?=", "(?!", "(?<=", "(?<!"), position):
            raise PatternError(f"{pattern!r} looks ahead or behind, which RE2 does not know")
        else:
            out.append(char)
        position += 1
    return "".join(out)


def _escape(pattern: str, position: int, in_class: bool) -> tuple[str, int]:
    """What the escape at ``position`` is in Python, and where it ends."""
    code = pattern[position + 1 : position + 2]
    if code == "z":
        return r"\Z", position + 2
    if code == "Q":
        end = pattern.find(r"\E", position)
        end = len(pattern) if end < 0 else end
        return re.escape(pattern[position + 2 : end]), end + 2
    if braces := _HEXADECIMAL.match(pattern, position):
        return f"\\U{int(braces[1], 16):08x}", braces.end()
    if unicode := _UNICODE_CLASS.match(pattern, position):
        name = unicode[1] or unicode[2]
        if name not in _UNICODE_CLASSES or in_class:
            raise PatternError(f"{pattern!r} uses the Unicode class {unicode[0]}, which is not supported")
        return _UNICODE_CLASSES[name], unicode.end()
    if code.isdigit() and code != "0":
        raise PatternError(f"{pattern!r} refers back to a group, which RE2 does not know")
    return pattern[position : position + 2], position + 2


def _date(text: str) -> bool:
    try:
        return len(text) == 10 and date.fromisoformat(text) is not None
    except ValueError:
        return False


_DATE_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[Tt](\d\d):(\d\d):(\d\d)(\.\d+)?([Zz]|[+-]\d\d:\d\d)\Z", re.ASCII)


def is_date_time(text: str) -> bool:
    """Whether a text is a time by RFC 3339."""
    found = _DATE_TIME.match(text)
    if found is None or found[4] == "60":
        return False
    try:
        datetime.fromisoformat(f"{found[1]}T{found[2]}:{found[3]}:{found[4]}")
    except ValueError:
        return False
    return True


def is_base64(text: str) -> bool:
    """Whether a text is standard base64 with padding; line ends are skipped, as Go's decoder does."""
    try:
        base64.b64decode(text.replace("\n", "").replace("\r", ""), validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


def _address(parse: Callable[[str], object]) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        try:
            parse(text)
        except ValueError:
            return False
        return True

    return check


def _cidr(text: str) -> bool:
    return "/" in text and _address(lambda value: ipaddress.ip_network(value, strict=False))(text)


def _hostname(text: str) -> bool:
    return len(text) <= 255 and _HOSTNAME.match(text) is not None


def _matcher(pattern: str) -> Callable[[str], bool]:
    expression = re.compile(pattern, re.ASCII)
    return lambda text: expression.match(text) is not None


_LABEL = r"[a-zA-Z0-9_](?:[a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_])?"
_HOSTNAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?\Z", re.ASCII)
_UUID = r"[0-9a-fA-F]{{8}}-?[0-9a-fA-F]{{4}}-?{}[0-9a-fA-F]{{3}}-?{}[0-9a-fA-F]{{3}}-?[0-9a-fA-F]{{12}}\Z"
# As Go's time package writes a duration, or one number and a unit in words.
_DURATION = (
    r"[-+]?(?:0|(?:(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+)\Z"
    r"|\d+\s*(?:nanos?|micros?|millis?|secs?|seconds?|mins?|minutes?|hrs?|hours?|d|days?|w|wks?|weeks?)\Z"
)

# By name: whether a text is one. A format that is not here is ignored.
STRING_FORMATS: dict[str, Callable[[str], bool]] = {
    "byte": is_base64,
    "cidr": _cidr,
    "date": _date,
    "date-time": is_date_time,
    "datetime": is_date_time,
    "duration": _matcher(_DURATION),
    "email": _matcher(r"[^@\s]+@[^@\s]+\Z"),
    "hexcolor": _matcher(r"#?(?:[0-9a-fA-F]{3}|[0-9a-fA-F]{6})\Z"),
    "hostname": _hostname,
    "ipv4": _address(ipaddress.IPv4Address),
    "ipv6": _address(ipaddress.IPv6Address),
    "mac": _matcher(r"[0-9a-fA-F]{2}(?:([:-])[0-9a-fA-F]{2})(?:\1[0-9a-fA-F]{2}){4}\Z"),
    "uri": _matcher(r"[a-zA-Z][a-zA-Z0-9+.-]*:[^\s]+\Z|/[^\s]*\Z"),
    "uuid": _matcher(_UUID.format("[0-9a-fA-F]", "[0-9a-fA-F]")),
    "uuid3": _matcher(_UUID.format("3", "[0-9a-fA-F]")),
    "uuid4": _matcher(_UUID.format("4", "[89abAB]")),
    "uuid5": _matcher(_UUID.format("5", "[89abAB]")),
}
INTEGER_RANGES = {"int32": range(-(2**31), 2**31), "int64": range(-(2**63), 2**63)}
