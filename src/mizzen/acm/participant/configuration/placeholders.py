"""``${NAME:default}`` within a value, as Spring fills it in: nested, and with ``${random.uuid}`` and its like."""

from __future__ import annotations

import random
import re
import secrets
from collections.abc import Callable
from uuid import uuid4

from mizzen.errors import MizzenError

Find = Callable[[str], str | None]

_RANGE = re.compile(r"random\.(?:int|long)[(\[](-?\d+)(?:,(-?\d+))?[)\]]")


class Unresolvable(MizzenError):
    """A placeholder names what there is not, or itself."""


def resolve(text: str, find: Find) -> str:
    """``text`` with every placeholder replaced by what ``find`` knows under its name, or by its default.

    Raises:
        Unresolvable: neither is there, or names stand for each other.
    """
    return _resolve(text, find, ())


def _resolve(text: str, find: Find, within: tuple[str, ...]) -> str:
    found, rest = "", text
    while (start := rest.find("${")) >= 0:
        end = _end(rest, start + 2)
        if end < 0:
            raise Unresolvable(f"a placeholder in {text!r} has no end")
        found += rest[:start] + _filled(rest[start + 2 : end], find, within)
        rest = rest[end + 1 :]
    return found + rest


def _end(text: str, start: int) -> int:
    """Where the brace is that closes what was opened before ``start``; -1 where none does."""
    depth, at = 1, start
    while at < len(text):
        if text.startswith("${", at):
            depth, at = depth + 1, at + 2
            continue
        if text[at] == "}":
            depth -= 1
            if not depth:
                return at
        at += 1
    return -1


def _filled(inside: str, find: Find, within: tuple[str, ...]) -> str:
    name, default = _parted(inside)
    name = _resolve(name, find, within)
    if name in within:
        raise Unresolvable(f"the placeholders {' and '.join(sorted({*within, name}))} stand for each other")
    value = _random(name)
    if value is None:
        value = find(name)
    if value is not None:
        return _resolve(value, find, (*within, name))
    if default is None:
        raise Unresolvable(f"the placeholder ${{{name}}} has no value: set the environment variable {name}")
    return _resolve(default, find, within)


def _parted(inside: str) -> tuple[str, str | None]:
    """A name, and the default after the first colon that no inner placeholder has."""
    depth = 0
    for at, character in enumerate(inside):
        if inside.startswith("${", at):
            depth += 1
        elif character == "}":
            depth -= 1
        elif character == ":" and not depth:
            return inside[:at], inside[at + 1 :]
    return inside, None


def _random(name: str) -> str | None:
    match name:
        case "random.uuid":
            return str(uuid4())
        case "random.value":
            return secrets.token_hex(16)
        case "random.int":
            return str(random.randint(-(2**31), 2**31 - 1))
        case "random.long":
            return str(random.randint(-(2**63), 2**63 - 1))
    if bounds := _RANGE.fullmatch(name):
        least, most = (int(bounds[1]), int(bounds[2])) if bounds[2] else (0, int(bounds[1]))
        return str(random.randrange(least, most)) if least < most else None
    return None
