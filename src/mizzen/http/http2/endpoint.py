"""What both ends of an HTTP/2 connection do alike: they read frames, keep settings and windows, and end streams.

A fault of one stream ends that; a fault that makes the rest unreadable, or endless, ends the connection. Each rule is
checked where its frame is read; sections are those of RFC 9113.
"""

from __future__ import annotations

import asyncio
import logging
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from mizzen.http.http2 import frames
from mizzen.http.http2.blocks import NO_TABLE, BlockDecoder
from mizzen.http.http2.frames import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEAD_SIZE,
    HEADERS,
    LARGEST_WINDOW,
    PADDED,
    PRIORITIZED,
    SETTINGS,
    Broken,
    Code,
    unpack_head,
)
from mizzen.http.http2.guard import Guard
from mizzen.http.http2.inbound import Inbound
from mizzen.http.http2.stream import Stream

logger = logging.getLogger(__name__)

O = TypeVar("O")  # noqa: E741
H = TypeVar("H")

# Streams that we have reset: the other side did not know it yet when it sent what still comes.
_REMEMBERED_RESETS = 1024


class Endpoint(Inbound[O], Generic[O, H]):
    """One side of a connection, whose streams belong to ``O`` and begin with heads ``H``.

    A subclass says what it does with heads, bodies and ends.

    Args:
        settings: what we ask of the other side.
        connection_window: what it may send on all streams together before any is taken.
        largest: of a header block, decoded; see :class:`~mizzen.http.http2.blocks.BlockDecoder`.
        understand: makes a head of a block's fields.

    Attributes:
        streams: those open on either side.
        peer_settings: what the other side asked for.
        heard: when something last came.
    """

    # What goes out before anything else.
    greeting = b""

    def __init__(
        self,
        *,
        settings: dict[int, int],
        connection_window: int,
        largest: int,
        guard: Guard,
        understand: Callable[[Any], H],
    ) -> None:
        super().__init__(guard, settings.get(frames.INITIAL_WINDOW_SIZE, frames.DEFAULT_WINDOW), connection_window)
        self.streams: dict[int, Stream[O]] = {}
        self.heard: float = 0
        self._settings = settings
        self._largest_frame = settings.get(frames.MAX_FRAME_SIZE, frames.SMALLEST_FRAME)
        self._largest_block = largest
        # Deaf: the connection ends, so nothing more is taken from it.
        self._deaf = False
        # What was read and is no whole frame yet.
        self._parts: list[bytes] = []
        self._have = 0
        self._need = HEAD_SIZE
        # What is still to come of a DATA frame, its stream, and whether that ends with it.
        self._rest = 0
        self._rest_of: Stream[O] | None = None
        self._rest_ends = False
        # A header block that is not complete: its stream, whether that ends with it, and what there is of it.
        self._block: tuple[int, bool, list[bytes]] | None = None
        self._decoder = BlockDecoder(understand, largest)
        self._settled = False
        self._gone: dict[int, None] = {}
        self.peer_settings: dict[int, int] = {}
        self._initial_window = frames.DEFAULT_WINDOW

    # What an end does with what comes.

    @abstractmethod
    def _head(self, number: int, block: bytes, ended: bool) -> None:
        """A whole header block has come."""

    @abstractmethod
    def _data(self, stream: Stream[O], piece: bytes, size: int) -> None:
        """A piece of a body has come that took ``size`` of the windows."""

    @abstractmethod
    def _received(self, stream: Stream[O]) -> None:
        """The other side has ended the stream."""

    @abstractmethod
    def _given_up(self, owner: O, code: int) -> None:
        """The other side has given a stream up, which is closed by now."""

    @abstractmethod
    def _idle(self, number: int) -> bool:
        """Whether the stream was never opened."""

    @abstractmethod
    def _goaway(self, last: int, code: int, text: str) -> None:
        """The other side takes no more streams."""

    def _pong(self, data: bytes) -> None:
        """An answer to a PING of ours."""

    def _changed(self) -> None:
        """The other side has sent its settings."""

    def _closed(self, stream: Stream[O]) -> None:
        """Both sides of the stream are done."""

    @abstractmethod
    def _stop(self, error: Broken) -> None:
        """The connection has ended by a fault; what is queued is the last that goes out."""

    # In.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        first = self.greeting + frames.settings(self._settings)
        if self._connection_window > frames.DEFAULT_WINDOW:
            first += frames.window_update(0, self._connection_window - frames.DEFAULT_WINDOW)
        self.put(first)

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        self.heard = self.ticks
        if self._parts:
            self._parts.append(data)
            self._have += len(data)
            if self._have < self._need:
                return
            data = b"".join(self._parts)
            self._parts.clear()
        self._corked = True
        try:
            self._read(data)
        except Broken as error:
            self.break_off(error)
        except Exception:
            logger.exception("a connection cannot go on")
            self.break_off(Broken(Code.INTERNAL_ERROR, "an error of this side's own"))
        finally:
            self._corked = False
            if self._out:
                self._flush()

    def _read(self, data: bytes) -> None:
        at, end = 0, len(data)
        if self._rest:
            at = min(self._rest, end)
            self._on_rest(data[:at])
        need = HEAD_SIZE
        while end - at >= HEAD_SIZE:
            word, flags, number = unpack_head(data, at)
            size, kind = word >> 8, word & 0xFF
            number &= LARGEST_WINDOW
            if size > self._largest_frame:
                raise Broken(Code.FRAME_SIZE_ERROR, f"a frame of {size} bytes; {self._largest_frame} are taken")
            if not self._settled and (kind != SETTINGS or flags & ACK):
                raise Broken(Code.PROTOCOL_ERROR, "a connection must begin with SETTINGS")
            start = at + HEAD_SIZE
            if self._block is not None and kind != CONTINUATION:
                raise Broken(Code.PROTOCOL_ERROR, "a header block was interrupted by another frame")
            if end - start < size and (kind != DATA or flags & PADDED):
                need = HEAD_SIZE + size
                break
            at = start + size
            payload = data[start:at]
            if kind == DATA:
                self._on_data(number, flags, payload, size)
            elif kind == HEADERS:
                self._on_headers(number, flags, payload)
            else:
                handle = _HANDLERS.get(kind)
                if handle is None:
                    self.guard.noise()  # an extension that we do not know must be passed over
                else:
                    handle(self, number, flags, payload)
            if self._deaf:
                return
        if at < end:
            self._parts.append(data[at:])
            self._have = end - at
            self._need = need

    def _on_data(self, number: int, flags: int, payload: bytes, size: int) -> None:
        """A DATA frame of ``size`` bytes, or the beginning of one: bodies need not wait for whole frames."""
        self._rest = size - len(payload)
        self._rest_of = None
        self._allowance -= size
        if self._allowance < 0:
            raise Broken(Code.FLOW_CONTROL_ERROR, "more was sent than the connection's window allows")
        stream = self.streams.get(number)
        if stream is None or not stream.receiving:
            self.give_back(len(payload))
            if stream is not None:
                self.fault(stream, Code.STREAM_CLOSED, "DATA after its end")
            else:
                self._on_closed(number, "DATA")
            return
        if flags & PADDED:
            payload = frames.unpadded(payload, flags)
        stream.allowance -= size
        if stream.allowance < 0:
            self.give_back(size - self._rest)
            self.fault(stream, Code.FLOW_CONTROL_ERROR, "more was sent than the stream's window allows")
            return
        ends = bool(flags & END_STREAM)
        if payload:
            self.guard.progress()
        elif not ends:
            self.guard.noise()
        self._rest_of, self._rest_ends = stream, ends
        self._body(stream, payload, size - self._rest)

    def _on_rest(self, piece: bytes) -> None:
        """More of a DATA frame that has begun."""
        self._rest -= len(piece)
        stream = self._rest_of
        if stream is None or self.streams.get(stream.id) is not stream:
            self.give_back(len(piece))
        else:
            self._body(stream, piece, len(piece))

    def _body(self, stream: Stream[O], piece: bytes, size: int) -> None:
        if piece and stream.sending:
            stream.since = self.ticks
        ended = self._rest_ends and not self._rest
        if ended:
            stream.receiving = False
        self._data(stream, piece, size)
        if ended and self.streams.get(stream.id) is stream:
            self._received(stream)

    def _on_headers(self, number: int, flags: int, payload: bytes) -> None:
        if not number:
            raise Broken(Code.PROTOCOL_ERROR, "HEADERS must belong to a stream")
        if flags & PADDED:
            payload = frames.unpadded(payload, flags)
        if flags & PRIORITIZED:
            if len(payload) < 5:
                raise Broken(Code.FRAME_SIZE_ERROR, "HEADERS is too short for its priority")
            payload = payload[5:]
        if flags & END_HEADERS:
            self._head(number, payload, bool(flags & END_STREAM))
        else:
            self._block = (number, bool(flags & END_STREAM), [payload])
            self._heading()

    def _on_continuation(self, number: int, flags: int, payload: bytes) -> None:
        if self._block is None or self._block[0] != number:
            raise Broken(Code.PROTOCOL_ERROR, "CONTINUATION without a beginning")
        _, ended, parts = self._block
        parts.append(payload)
        if len(parts) > 64 or sum(map(len, parts)) > self._largest_block:
            raise Broken(Code.ENHANCE_YOUR_CALM, "a header block without end")
        if flags & END_HEADERS:
            self._block = None
            self._head(number, b"".join(parts), ended)

    def _heading(self) -> None:
        """A header block has begun and is not complete."""

    def _on_priority(self, number: int, flags: int, payload: bytes) -> None:
        if not number:
            raise Broken(Code.PROTOCOL_ERROR, "PRIORITY must belong to a stream")
        if len(payload) != 5:
            raise Broken(Code.FRAME_SIZE_ERROR, "PRIORITY must have five bytes")
        self.guard.noise()  # deprecated, and without effect here

    def _on_rst_stream(self, number: int, flags: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise Broken(Code.FRAME_SIZE_ERROR, "RST_STREAM must have four bytes")
        stream = self.streams.get(number)
        if stream is None:
            if self._idle(number):
                raise Broken(Code.PROTOCOL_ERROR, "RST_STREAM for a stream that was never opened")
            self.guard.noise()
            return
        owner = stream.owner
        self._forget(stream)
        self._given_up(owner, int.from_bytes(payload, "big"))
        self.guard.reset()

    def _on_settings(self, number: int, flags: int, payload: bytes) -> None:
        if number:
            raise Broken(Code.PROTOCOL_ERROR, "SETTINGS belong to the connection")
        if flags & ACK:
            if payload:
                raise Broken(Code.FRAME_SIZE_ERROR, "an acknowledgement of SETTINGS is empty")
            return
        values = frames.read_settings(payload)
        if self._settled:
            self.guard.noise()
        self._settled = True
        self.peer_settings.update(values)
        if frames.INITIAL_WINDOW_SIZE in values:
            change = values[frames.INITIAL_WINDOW_SIZE] - self._initial_window
            self._initial_window += change
            for stream in list(self.streams.values()):
                if stream.window + change > LARGEST_WINDOW:
                    raise Broken(Code.FLOW_CONTROL_ERROR, "a stream's window grew too large")
                stream.window += change
                if stream.pending is not None:
                    self._offer(stream)
        self._largest_out = values.get(frames.MAX_FRAME_SIZE, self._largest_out)
        if values.get(frames.HEADER_TABLE_SIZE, frames.DEFAULT_TABLE) < frames.DEFAULT_TABLE:
            self._before_block = NO_TABLE
        self.put(frames.SETTINGS_ACK)
        self._changed()

    def _on_push_promise(self, number: int, flags: int, payload: bytes) -> None:
        raise Broken(Code.PROTOCOL_ERROR, "nobody may push here")

    def _on_ping(self, number: int, flags: int, payload: bytes) -> None:
        if number:
            raise Broken(Code.PROTOCOL_ERROR, "PING belongs to the connection")
        if len(payload) != 8:
            raise Broken(Code.FRAME_SIZE_ERROR, "PING must have eight bytes")
        if flags & ACK:
            self._pong(payload)
        else:
            self.guard.noise()
            self.put(frames.ping(payload, ack=True))

    def _on_goaway(self, number: int, flags: int, payload: bytes) -> None:
        if number:
            raise Broken(Code.PROTOCOL_ERROR, "GOAWAY belongs to the connection")
        if len(payload) < 8:
            raise Broken(Code.FRAME_SIZE_ERROR, "GOAWAY must have eight bytes")
        self.guard.noise()
        last, code = frames.number(payload[:4]), int.from_bytes(payload[4:8], "big")
        self._goaway(last, code, payload[8:1032].decode("utf-8", "replace"))

    def _on_window_update(self, number: int, flags: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise Broken(Code.FRAME_SIZE_ERROR, "WINDOW_UPDATE must have four bytes")
        size = frames.number(payload)
        self.guard.noise()
        if not number:
            if not size:
                raise Broken(Code.PROTOCOL_ERROR, "WINDOW_UPDATE by nothing")
            self.window += size
            if self.window > LARGEST_WINDOW:
                raise Broken(Code.FLOW_CONTROL_ERROR, "the connection's window grew too large")
            self._turns()
            return
        stream = self.streams.get(number)
        if stream is None:
            if self._idle(number):
                raise Broken(Code.PROTOCOL_ERROR, "WINDOW_UPDATE for a stream that was never opened")
            return
        if not size:
            self.fault(stream, Code.PROTOCOL_ERROR, "WINDOW_UPDATE by nothing")
            return
        stream.window += size
        if stream.window > LARGEST_WINDOW:
            self.fault(stream, Code.FLOW_CONTROL_ERROR, "a stream's window grew too large")
        elif stream.pending is not None:
            self._offer(stream)

    def _on_closed(self, number: int, what: str) -> None:
        """Something has come for a stream that is not open. It is passed over only if we have reset the stream.

        Raises:
            Broken
        """
        if number in self._gone:
            self.guard.noise()
            return
        if self._idle(number):
            raise Broken(Code.PROTOCOL_ERROR, f"{what} for a stream that was never opened")
        raise Broken(Code.STREAM_CLOSED, f"{what} for a stream that has ended")

    # The end of streams and of the connection.

    def _sent(self, stream: Stream[O]) -> None:
        stream.sending = False
        if not stream.receiving:
            self._forget(stream)

    def _forget(self, stream: Stream[O]) -> None:
        if self.streams.pop(stream.id, None) is not None:
            self._ready.pop(stream.id, None)
            stream.receiving = False
            stream.drop()
            if stream.withheld:
                self.give_back(stream.withheld)
                stream.withheld = 0
            self._closed(stream)
            # Stream and owner hold each other: a cycle that the collector would have to find.
            del stream.owner

    def reset(self, stream: Stream[O], code: int) -> None:
        """End one stream at once."""
        if self.streams.get(stream.id) is stream:
            self.forbid(stream.id, code)
            self._forget(stream)

    def forbid(self, number: int, code: int) -> None:
        """Send RST_STREAM, and pass over what the other side has sent before it knew."""
        if len(self._gone) >= _REMEMBERED_RESETS:
            del self._gone[next(iter(self._gone))]
        self._gone[number] = None
        self.put(frames.rst_stream(number, code))

    def fault(self, stream: Stream[O], code: Code, message: str) -> None:
        """The other side broke the protocol on one stream, which ends by that."""
        owner = stream.owner
        self.reset(stream, code)
        self._given_up(owner, code)
        self.guard.reset()

    def break_off(self, error: Broken) -> None:
        """End the connection by a fault of the other side, and tell it which."""
        if not self._deaf:
            self._deaf = True
            self._stop(error)


_HANDLERS: dict[int, Callable[[Endpoint[Any, Any], int, int, bytes], None]] = {
    frames.PRIORITY: Endpoint._on_priority,
    frames.RST_STREAM: Endpoint._on_rst_stream,
    frames.SETTINGS: Endpoint._on_settings,
    frames.PUSH_PROMISE: Endpoint._on_push_promise,
    frames.PING: Endpoint._on_ping,
    frames.GOAWAY: Endpoint._on_goaway,
    frames.WINDOW_UPDATE: Endpoint._on_window_update,
    frames.CONTINUATION: Endpoint._on_continuation,
}
