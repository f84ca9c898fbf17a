"""What leaves an HTTP/2 connection: frames of all its streams, in turn, as far as windows and transport have room.

All that the streams of a connection write within one turn of the loop leaves in one system call. Each stream's body
waits in the stream until both windows and the transport have room, and streams take turns frame by frame, so that
neither a slow reader nor a large answer holds up its neighbours.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import Any, Generic, TypeVar

from mizzen.http.http2 import frames
from mizzen.http.http2.frames import DATA, END_STREAM, pack_head
from mizzen.http.http2.guard import Guard
from mizzen.http.http2.stream import Stream

O = TypeVar("O")  # noqa: E741

# How much goes into one system call.
_QUANTUM = 256 * 1024
# A window that opens by less is no reason to send another frame about it.
_MORSEL = 1024


class Outbound(asyncio.Protocol, ABC, Generic[O]):
    """The sending half of a connection whose streams belong to ``O``.

    Attributes:
        window: what the other side takes now, of all streams together.
        write_paused: whether the transport has enough for now.
    """

    def __init__(self, guard: Guard) -> None:
        self.window = frames.DEFAULT_WINDOW
        self.write_paused = False
        self.guard = guard
        self._transport: Any = None
        self._loop: asyncio.AbstractEventLoop
        # The largest frame that the other side takes, and what must go before our next header block.
        self._largest_out = frames.SMALLEST_FRAME
        self._before_block = b""
        # What leaves at the end of this turn of the loop, or of this read.
        self._out: list[bytes | memoryview] = []
        self._queued = 0
        self._corked = False
        self._scheduled = False
        # Streams that have something to send and a window for it, in turn.
        self._ready: dict[int, Stream[O]] = {}

    @property
    @abstractmethod
    def ticks(self) -> float:
        """The time, as whoever owns the connection counts it."""

    @abstractmethod
    def _sent(self, stream: Stream[O]) -> None:
        """Our side of the stream has ended."""

    def put(self, data: bytes | memoryview) -> None:
        """Send whole frames at the end of this turn of the loop."""
        self._out.append(data)
        self._queued += len(data)
        if not self._corked and not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._flush)

    def put_head(self, stream: Stream[O], block: bytes, ended: bool) -> None:
        """Send a header block, unless our side of the stream has ended."""
        if not stream.sending:
            return
        if self._before_block:
            block, self._before_block = self._before_block + block, b""
        self.put(frames.headers(stream.id, block, ended, self._largest_out))
        if ended:
            self._sent(stream)

    def put_data(self, stream: Stream[O], piece: bytes, ended: bool, trailers: bytes = b"") -> None:
        """Send a piece of a body as soon as it is taken; ``trailers`` are an encoded block."""
        if not stream.sending:
            return
        size = len(piece)
        if stream.pending is not None or (
            size
            and (
                size > self._largest_out
                or size > stream.window
                or size > self.window
                or self.write_paused
                or self._queued > _QUANTUM
            )
        ):
            if stream.pending is None:
                stream.since = self.ticks
            stream.hold(piece)
            stream.ending, stream.trailers = ended, trailers
            self._offer(stream)
            return
        if size or (ended and not trailers):
            stream.window -= size
            self.window -= size
            self.put(pack_head(size << 8 | DATA, END_STREAM if ended and not trailers else 0, stream.id) + piece)
            self.guard.progress()
        if ended:
            self._end(stream, trailers)

    def _end(self, stream: Stream[O], trailers: bytes) -> None:
        if trailers:
            self.put_head(stream, trailers, True)
        else:
            self._sent(stream)

    def _offer(self, stream: Stream[O]) -> None:
        """Let a stream that has something pending take its turns, if its window allows."""
        if stream.window > 0:
            self._ready[stream.id] = stream
            self._turns()

    def _turns(self) -> None:
        """Let each stream that waits send a frame, and again, as long as there is room."""
        ready = self._ready
        while ready and self.window > 0 and not self.write_paused and self._queued <= _QUANTUM:
            stream = ready.pop(next(iter(ready)))
            # A window may have shrunk meanwhile, below nothing even (section 6.9.2).
            if stream.window > 0 and self._pump(stream):
                ready[stream.id] = stream

    def _pump(self, stream: Stream[O]) -> bool:
        """Send one frame of what a stream has pending. Returns whether it can send more."""
        piece = stream.take(min(self._largest_out, stream.window, self.window))
        size = len(piece)
        stream.window -= size
        self.window -= size
        stream.since = self.ticks
        if size >= _MORSEL or not stream.pending:
            self.guard.progress()
        if stream.pending:
            self.put(pack_head(size << 8 | DATA, 0, stream.id))
            self.put(piece)
            return stream.window > 0
        stream.pending = None
        self.put(pack_head(size << 8 | DATA, END_STREAM if stream.ending and not stream.trailers else 0, stream.id))
        self.put(piece)
        if stream.ending:
            self._end(stream, stream.trailers)
        return False

    def _flush(self) -> None:
        self._scheduled = True  # what is put from here on leaves with this
        while self._out and not self._transport.is_closing():
            out, self._out = self._out, []
            self._queued = 0
            self._transport.write(b"".join(out))
            if self._ready:
                self._turns()
        self._scheduled = False

    @property
    def peer(self) -> str:
        """The other side's address, without its port."""
        name = self._transport.get_extra_info("peername")
        return name[0] if isinstance(name, tuple) else ""

    def abort(self) -> None:
        """Break off at once; connection_lost tells everyone."""
        if self._transport is not None:
            self._transport.abort()

    def pause_writing(self) -> None:
        self.write_paused = True

    def resume_writing(self) -> None:
        self.write_paused = False
        self._turns()
