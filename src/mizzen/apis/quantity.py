"""Kubernetes quantities: ``100m`` of a core, ``2Gi`` of memory.

Source of the grammar and of the canonical form: the documentation of ``resource.Quantity``. Values are exact
(:class:`decimal.Decimal`), so a comparison never depends on how a quantity was spelled.
"""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation, localcontext

from mizzen.errors import MizzenError

_PATTERN = re.compile(r"^([+-]?(?:\d+\.?\d*|\.\d+))(?:(Ki|Mi|Gi|Ti|Pi|Ei|[numkMGTPE])|[eE]([+-]?\d+))?$", re.ASCII)
_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}


# Beyond this an amount is a mistake, and exact arithmetic with it would cost as much as it says.
_LARGEST = Decimal(10) ** 30
_LARGEST_EXPONENT = 60
_DIGITS = 80


class QuantityError(MizzenError):
    """A text that is no quantity."""


def parse(text: str | float) -> Decimal:
    """The exact value in base units (cores, bytes). Raises :class:`QuantityError`."""
    match = _PATTERN.match(str(text).strip()) if not isinstance(text, bool) else None
    if match is None:
        raise QuantityError(f"{text!r} is not a quantity: write a number and a suffix, such as 500m, 2 or 1.5Gi")
    number, suffix, exponent = match.groups()
    try:
        value = Decimal(number)
    except InvalidOperation as error:
        raise QuantityError(f"{text!r} is not a quantity") from error
    if exponent is not None:
        value = value.scaleb(max(min(int(exponent), _LARGEST_EXPONENT), -_LARGEST_EXPONENT))
    elif suffix in _BINARY:
        value *= Decimal(1024) ** _BINARY[suffix]
    else:
        value = value.scaleb(_DECIMAL[suffix or ""])
    if abs(value) > _LARGEST:
        raise QuantityError(f"{text!r} is too large for a quantity")
    return value


def canonical(text: str | float) -> str:
    """The spelling that Kubernetes stores: ``0.1`` becomes ``100m``, ``1024Mi`` ``1Gi``, ``1000m`` ``1``.

    The family of the suffix (binary, decimal or exponent) stays; the number is a whole one below the next suffix.
    """
    with localcontext(prec=_DIGITS):
        return _canonical(text)


def _canonical(text: str | float) -> str:
    value = parse(text)
    written = _PATTERN.match(str(text).strip())
    assert written is not None
    if value == 0:
        return "0"
    sign = "-" if value < 0 else ""
    magnitude = abs(value)
    if written[2] in _BINARY and magnitude >= 1024 and magnitude == magnitude.to_integral_value():
        for suffix, power in reversed(_BINARY.items()):
            count = magnitude / 1024**power
            if count == count.to_integral_value():
                return f"{sign}{int(count)}{suffix}"
        return f"{sign}{int(magnitude)}"
    # Quantities are no finer than a nano unit; what is finer is rounded away from zero.
    nano = magnitude.scaleb(9).to_integral_value(rounding="ROUND_CEILING")
    exponent = -9
    while nano % 1000 == 0 and exponent < 18:
        nano /= 1000
        exponent += 3
    if written[3] is not None:
        return f"{sign}{int(nano)}e{exponent}" if exponent else f"{sign}{int(nano)}"
    suffix = next(name for name, power in _DECIMAL.items() if power == exponent)
    return f"{sign}{int(nano)}{suffix}"
