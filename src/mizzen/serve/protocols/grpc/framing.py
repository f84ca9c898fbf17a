"""Messages within a body: each has a byte that says whether it is compressed, and four that say how long it is.

What a message may weigh is counted after it was unpacked, and unpacking stops there: a small message that would grow
without end is refused like a large one.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import AsyncIterator

from mizzen.http.body import Body
from mizzen.serve.codecs.raw import Buffer
from mizzen.serve.errors import InvalidInput, ServeError

PREFIX = struct.Struct(">BI")

# How gRPC calls the ways to compress, and zlib's word for the format of each.
_WINDOW_BITS = {b"gzip": 31, b"deflate": 15}

ENCODINGS = b"identity, deflate, gzip"

# Less than this is not worth being compressed.
_WORTH = 256


class MessageTooLarge(ServeError):
    """A message weighs more than it may."""

    status = 413


class UnknownEncoding(ServeError):
    """A message is compressed in a way that is not known here."""

    status = 501

    def __init__(self, encoding: bytes) -> None:
        name = encoding.decode("latin-1")
        super().__init__(f"messages compressed with {name!r} cannot be read; send {ENCODINGS.decode()}")


class NoEncoding(ServeError):
    """A message says that it is compressed, and nothing says how."""

    # gRPC's specification asks for INTERNAL.
    status = 500

    def __init__(self) -> None:
        super().__init__("a message is marked as compressed, but grpc-encoding does not say how")


def check_encoding(encoding: bytes) -> None:
    """Raises:
    UnknownEncoding
    """
    if encoding not in _WINDOW_BITS and encoding != b"identity":
        raise UnknownEncoding(encoding)


def frame(message: bytes | list[Buffer]) -> bytes:
    """A message, or the parts of one, as it goes into a body."""
    if isinstance(message, bytes):
        return PREFIX.pack(0, len(message)) + message
    return b"".join([PREFIX.pack(0, sum(map(len, message))), *message])


def compressed(framed: bytes, encoding: bytes) -> bytes:
    """The same frame with its message compressed, if that is worth while."""
    if len(framed) < _WORTH:
        return framed
    packer = zlib.compressobj(1, zlib.DEFLATED, _WINDOW_BITS[encoding])
    message = packer.compress(memoryview(framed)[PREFIX.size :]) + packer.flush()
    return PREFIX.pack(1, len(message)) + message


def single(body: bytes, encoding: bytes | None, limit: int) -> bytes:
    """The one message of a body.

    Args:
        encoding: what ``grpc-encoding`` says.
        limit: bytes that it may have.

    Raises:
        InvalidInput: there is none, or more, or its length is not what it says.
        MessageTooLarge, NoEncoding, UnknownEncoding
    """
    present = len(body) - PREFIX.size
    if present < 0:
        raise InvalidInput("the request has no message" if not body else "the request ends within a message's prefix")
    flag, size = PREFIX.unpack_from(body)
    if size > limit:
        raise _too_large(size, limit)
    if size != present:
        problem = "only" if present < size else "and another, where one is taken,"
        raise InvalidInput(f"a message of {size} bytes is announced, {problem} {present} bytes came")
    message = body[PREFIX.size :]
    return unpacked(message, encoding, limit) if flag else message


def unpacked(message: bytes, encoding: bytes | None, limit: int) -> bytes:
    """A compressed message as it was before.

    Raises:
        InvalidInput: it cannot be unpacked.
        MessageTooLarge, NoEncoding, UnknownEncoding
    """
    if encoding is None or encoding == b"identity":
        raise NoEncoding
    check_encoding(encoding)
    unpacker = zlib.decompressobj(_WINDOW_BITS[encoding])
    try:
        found = unpacker.decompress(message, limit + 1)
    except zlib.error as error:
        raise InvalidInput(f"a message is no {encoding.decode()}: {error}") from None
    if len(found) > limit:
        raise MessageTooLarge(f"a message is larger, unpacked, than the {limit} bytes that it may have")
    if not unpacker.eof or unpacker.unused_data:
        raise InvalidInput(
            f"a message is no {encoding.decode()}: {'more follows' if unpacker.eof else 'it is cut off'}"
        )
    return found


async def messages(body: Body, encoding: bytes | None, limit: int) -> AsyncIterator[bytes]:
    """The messages of a body, as they come.

    Raises:
        InvalidInput, MessageTooLarge, NoEncoding, UnknownEncoding: as :func:`single`.
        HttpError: the body was cut off.
    """
    held = bytearray()
    while piece := await body.read():
        held += piece
        while len(held) >= PREFIX.size:
            flag, size = PREFIX.unpack_from(held)
            if size > limit:
                raise _too_large(size, limit)
            end = PREFIX.size + size
            if len(held) < end:
                break
            message = bytes(held[PREFIX.size : end])
            del held[:end]
            yield unpacked(message, encoding, limit) if flag else message
    if held:
        raise InvalidInput("the request ends within a message")


def answered(encoding: bytes | None, accepted: bytes | None, request: bytes) -> bytes | None:
    """How answers are compressed: as the request was, if its sender takes that.

    Args:
        encoding, accepted: what ``grpc-encoding`` and ``grpc-accept-encoding`` say.
        request: the request's body, as far as it is known.
    """
    if encoding not in _WINDOW_BITS or accepted is None or (request and not request[0]):
        return None
    return encoding if encoding in [name.strip() for name in accepted.split(b",")] else None


def _too_large(size: int, limit: int) -> MessageTooLarge:
    return MessageTooLarge(f"a message of {size} bytes is larger than the {limit} bytes that it may have")
