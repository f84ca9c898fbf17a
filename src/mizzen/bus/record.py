"""One message as Kafka keeps it, and what is done with it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec


class Record(msgspec.Struct, frozen=True):
    """A record that was read.

    ``timestamp`` is in seconds since 1970, or ``None`` where the broker keeps none. Bytes of a key that are no UTF-8
    are replaced by U+FFFD.
    """

    topic: str
    partition: int
    offset: int
    key: str | None
    value: bytes
    timestamp: float | None = None
    headers: tuple[tuple[str, bytes], ...] = ()


Handler = Callable[[Record], Awaitable[None]]
