"""Values as Java writes them: into a text, into one of the runtime's messages, and as JSON."""

from __future__ import annotations

from decimal import Decimal
from typing import Any


def text_of(value: str | bool | int | float) -> str:
    """A scalar as Java writes it into a text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value and not 1e-3 <= abs(value) < 1e7:
        sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
        rest = "".join(map(str, digits[1:])) or "0"
        return f"{'-' if sign else ''}{digits[0]}.{rest}E{len(digits) - 1 + int(exponent)}"
    return str(value)


def without_nulls(value: Any) -> Any:
    """The value without members that are null, as Jackson writes it; null stays in lists."""
    if isinstance(value, dict):
        return {key: without_nulls(member) for key, member in value.items() if member is not None}
    if isinstance(value, list):
        return [without_nulls(member) for member in value]
    return value


def java_text(value: Any) -> str:
    """``{a=1, b=[x, null]}``: the ``toString`` of maps, lists and scalars."""
    if value is None:
        return "null"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}={java_text(member)}" for key, member in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(java_text, value)) + "]"
    return text_of(value)
