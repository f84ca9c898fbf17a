"""Instants, in microseconds since 1970, and how REST writes them."""

from __future__ import annotations

from datetime import UTC, datetime
from time import time_ns

MILLISECOND = 1000
SECOND = 1_000_000


def now() -> int:
    return time_ns() // 1000


def last_message(instant: int) -> str:
    """As ``lastMsg`` has it: UTC, without a zone, a fraction of one to six digits."""
    seconds, micros = divmod(instant, SECOND)
    fraction = f"{micros:06}".rstrip("0") or "0"
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}.{fraction}"


def iso(instant: int) -> str:
    seconds, micros = divmod(instant, SECOND)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{micros:06}Z"
