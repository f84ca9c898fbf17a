"""What comes in over an HTTP/2 connection: how much the other side may send, of each stream and of all together.

A window opens again when half of it has been taken, so that few frames say so. For a stream whose reader has enough it
stays shut, and the connection's opens only for what others take: a slow reader slows its own sender, by the protocol's
own means, and nobody's memory grows.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Generic, TypeVar

from mizzen.http.body import Body
from mizzen.http.http2 import frames
from mizzen.http.http2.guard import Guard
from mizzen.http.http2.outbound import Outbound
from mizzen.http.http2.stream import Stream

O = TypeVar("O")  # noqa: E741


class Inbound(Outbound[O], Generic[O]):
    """The receiving half of a connection whose streams belong to ``O``: its windows.

    Args:
        stream_window, connection_window: what the other side may send of one stream, and of all, before any is taken.
    """

    def __init__(self, guard: Guard, stream_window: int, connection_window: int) -> None:
        super().__init__(guard)
        self._stream_window = stream_window
        self._connection_window = connection_window
        # What the other side may send now, and what was taken since it was told so.
        self._allowance = connection_window
        self._owed = 0

    def feed(self, stream: Stream[O], body: Body, piece: bytes, size: int) -> None:
        """Hand a piece to the reader of a body. Once that has enough, the other side is not told of what came."""
        if piece:
            body.feed(piece)
        if stream.paused:
            stream.withheld += size
        else:
            self.take(stream, size)

    def body(self, stream: Stream[O], wanted: Callable[[], None] | None = None) -> Body:
        """A body for :meth:`feed`."""
        return Body(partial(self._hold, stream), partial(self._go_on, stream), wanted)

    def _hold(self, stream: Stream[O]) -> None:
        stream.paused = True

    def _go_on(self, stream: Stream[O]) -> None:
        stream.paused = False
        withheld, stream.withheld = stream.withheld, 0
        stream.since = self.ticks
        self.take(stream, withheld)

    def give_back(self, size: int) -> None:
        """The connection may send that much again."""
        self._owed += size
        if self._owed * 2 >= self._connection_window:
            self._allowance += self._owed
            self.put(frames.window_update(0, self._owed))
            self._owed = 0

    def take(self, stream: Stream[O], size: int) -> None:
        """So much of a body has been taken: both windows open again."""
        self.give_back(size)
        self.open_window(stream, size)

    def open_window(self, stream: Stream[O], size: int) -> None:
        """One stream may send that much again."""
        if stream.receiving:
            stream.owed += size
            if stream.owed * 2 >= self._stream_window:
                stream.allowance += stream.owed
                self.put(frames.window_update(stream.id, stream.owed))
                stream.owed = 0
