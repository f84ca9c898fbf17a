"""When messages were sent, to be compared: with none to nine digits of a second, their text has no order."""

from __future__ import annotations

from datetime import datetime

_DIGITS = 9


def moment(timestamp: str | None) -> int:
    """Nanoseconds since 1970; 0 for what is no timestamp, which makes it older than everything."""
    if not timestamp:
        return 0
    whole, _, rest = timestamp.partition(".")
    digits = rest[: next((at for at, character in enumerate(rest) if not character.isdecimal()), len(rest))]
    zone = rest[len(digits) :]
    try:
        seconds = datetime.fromisoformat((whole + zone).replace("Z", "+00:00")).timestamp()
    except (ValueError, OverflowError, OSError):
        return 0
    nanoseconds: int = 10**_DIGITS
    return int(seconds) * nanoseconds + int(digits[:_DIGITS].ljust(_DIGITS, "0") if digits else 0)
