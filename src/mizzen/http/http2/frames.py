"""Frames as they go over the wire (RFC 9113, sections 4 and 6): numbers, and bytes from values.

Plain functions. Whoever reads does so in its own loop, since reading a frame costs less than a call.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from enum import IntEnum

from mizzen.http.errors import HttpError

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)

END_STREAM = ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8
PRIORITIZED = 0x20

HEAD_SIZE = 9
# Length and type, flags, stream: a frame's head as three numbers.
unpack_head = struct.Struct(">IBI").unpack_from
pack_head = struct.Struct(">IBI").pack

_ONE = struct.Struct(">I")
_TWO = struct.Struct(">II")
_SETTING = struct.Struct(">HI")

HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE = (
    range(1, 7)
)

LARGEST_WINDOW = LARGEST_STREAM = 2**31 - 1
DEFAULT_WINDOW = 65_535
SMALLEST_FRAME = 16_384
LARGEST_FRAME = 2**24 - 1
DEFAULT_TABLE = 4096


class Code(IntEnum):
    """Why a stream or a connection ends (section 7)."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    SETTINGS_TIMEOUT = 4
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    CONNECT_ERROR = 10
    ENHANCE_YOUR_CALM = 11
    INADEQUATE_SECURITY = 12
    HTTP_1_1_REQUIRED = 13


def code_name(code: int) -> str:
    try:
        return Code(code).name
    except ValueError:
        return f"error {code}"


class Broken(HttpError):
    """The other side broke the protocol in a way that ends the connection.

    Attributes:
        code: what it is told.
    """

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return pack_head(len(payload) << 8 | kind, flags, stream) + payload


def headers(stream: int, block: bytes, ended: bool, largest: int) -> bytes:
    """A header block, continued where it is larger than a frame may be."""
    flags = END_STREAM if ended else 0
    if len(block) <= largest:
        return pack_head(len(block) << 8 | HEADERS, flags | END_HEADERS, stream) + block
    parts = [block[at : at + largest] for at in range(0, len(block), largest)]
    frames = [frame(HEADERS, flags, stream, parts[0])]
    frames += [frame(CONTINUATION, 0, stream, part) for part in parts[1:-1]]
    frames.append(frame(CONTINUATION, END_HEADERS, stream, parts[-1]))
    return b"".join(frames)


def settings(values: Mapping[int, int]) -> bytes:
    return frame(SETTINGS, 0, 0, b"".join(_SETTING.pack(name, value) for name, value in values.items()))


SETTINGS_ACK = frame(SETTINGS, ACK, 0)


def window_update(stream: int, size: int) -> bytes:
    return frame(WINDOW_UPDATE, 0, stream, _ONE.pack(size))


def rst_stream(stream: int, code: int) -> bytes:
    return frame(RST_STREAM, 0, stream, _ONE.pack(code))


def goaway(last: int, code: int, text: str = "") -> bytes:
    """Args:
    last: the highest stream that was or will be worked on.
    text: for whoever reads the other side's log.
    """
    return frame(GOAWAY, 0, 0, _TWO.pack(last, code) + text.encode()[:1024])


def ping(data: bytes, *, ack: bool = False) -> bytes:
    return frame(PING, ACK if ack else 0, 0, data)


def number(payload: bytes) -> int:
    """The 31 bits of a window's increment or a stream; the highest is reserved."""
    return int(_ONE.unpack(payload)[0]) & LARGEST_STREAM


def read_settings(payload: bytes) -> dict[int, int]:
    """What the other side asks for; of a name that comes twice the last value counts.

    Raises:
        Broken: a value that is not allowed.
    """
    if len(payload) % 6:
        raise Broken(Code.FRAME_SIZE_ERROR, "SETTINGS must be pairs of six bytes")
    values = dict(_SETTING.iter_unpack(payload))
    if values.get(ENABLE_PUSH, 0) > 1:
        raise Broken(Code.PROTOCOL_ERROR, "ENABLE_PUSH must be 0 or 1")
    if values.get(INITIAL_WINDOW_SIZE, 0) > LARGEST_WINDOW:
        raise Broken(Code.FLOW_CONTROL_ERROR, f"INITIAL_WINDOW_SIZE must be at most {LARGEST_WINDOW}")
    if not SMALLEST_FRAME <= values.get(MAX_FRAME_SIZE, SMALLEST_FRAME) <= LARGEST_FRAME:
        raise Broken(Code.PROTOCOL_ERROR, f"MAX_FRAME_SIZE must be from {SMALLEST_FRAME} to {LARGEST_FRAME}")
    return values


def unpadded(payload: bytes, flags: int) -> bytes:
    """A payload without its padding.

    Raises:
        Broken: there is more padding than payload.
    """
    if not flags & PADDED:
        return payload
    if not payload or payload[0] >= len(payload):
        raise Broken(Code.PROTOCOL_ERROR, "a frame has more padding than payload")
    return payload[1 : len(payload) - payload[0]]
