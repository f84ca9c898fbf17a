"""Bodies that are being collected, of all requests of one connection, and who may send more of them.

A body that is taken whole is held until it is complete. One client with many requests under way could so make the
server hold many times the largest body it takes. Past that size, therefore, only the oldest body may grow beyond what
its window allowed already; the others go on when it is complete, so none waits for ever.
"""

from __future__ import annotations

from typing import Any

from mizzen.http.http2.stream import Stream


class Intake:
    """Args:
    most: bytes held for all unfinished bodies, beyond which they take turns.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._held = 0
        self._sizes: dict[Stream[Any], int] = {}
        self._parked: dict[Stream[Any], int] = {}

    def grew(self, stream: Stream[Any], size: int) -> bool:
        """A body has grown. Returns whether its stream may send as much again; if not, :meth:`done` tells when."""
        self._held += size
        self._sizes[stream] = self._sizes.get(stream, 0) + size
        if self._held <= self._most or next(iter(self._sizes)) is stream:
            return True
        self._parked[stream] = self._parked.get(stream, 0) + size
        return False

    def waits(self, stream: Stream[Any]) -> bool:
        """Whether a body does not come because it may not."""
        return stream in self._parked

    def done(self, stream: Stream[Any]) -> list[tuple[Stream[Any], int]]:
        """A body is complete, or given up. Returns who may send how much again."""
        size = self._sizes.pop(stream, None)
        if size is None:
            return []
        self._held -= size
        self._parked.pop(stream, None)
        if not self._parked:
            return []
        if self._held <= self._most:
            freed = list(self._parked.items())
            self._parked.clear()
            return freed
        oldest = next(iter(self._sizes))
        return [(oldest, self._parked.pop(oldest))] if oldest in self._parked else []
