"""Two connections made one: what comes in on either goes out on the other, whatever it means.

The slower side sets the pace, because a side that cannot write pauses the other's reading. The end of one direction is
passed on and leaves the other open, as protocols with half-closed connections need.
"""

from __future__ import annotations

import asyncio
from typing import Any


class Side(asyncio.Protocol):
    """One end of a pair. Until :meth:`join` as good as nothing is read from it."""

    def __init__(self) -> None:
        self.transport: Any = None
        self._other: Side | None = None
        self._early: list[bytes] = []
        self._ended = False

    def join(self, other: Side) -> None:
        """Let the bytes flow, both ways. Both must be connected."""
        self._other, other._other = other, self
        for side in (self, other):
            side._begin()

    def _begin(self) -> None:
        other = self._other
        early, self._early = self._early, []
        if other is None or other.transport.is_closing():
            return
        other.transport.writelines(early)
        if self._ended:
            other.transport.write_eof()
        else:
            self.transport.resume_reading()

    def abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.transport.pause_reading()

    def data_received(self, data: bytes) -> None:
        if self._other is not None:
            self._other.transport.write(data)
            return
        # uvloop begins to read after connection_made, whatever that has said; from here on it listens.
        self._early.append(data)
        self.transport.pause_reading()

    def pause_writing(self) -> None:
        if self._other is not None and not self._other.transport.is_closing():
            self._other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self._other is not None and not self._other.transport.is_closing():
            self._other.transport.resume_reading()

    def eof_received(self) -> bool:
        self._ended = True
        other = self._other
        if other is None:
            return True
        if other.transport.is_closing():
            return False
        if other._ended:
            other.transport.close()
            return False
        other.transport.write_eof()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        other, self._other = self._other, None
        if other is None:
            return
        other._other = None
        if exc is None:
            # What is still to be written gets there first.
            other.transport.close()
        else:
            # The end was no proper one, so the other side must not take it for one.
            other.transport.abort()
