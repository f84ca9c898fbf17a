"""Compressed bodies: what a client may send, and how large it may become.

``gzip`` and ``deflate``, which Triton's clients send, are taken; the limit on bodies holds for what comes out, so
that a small body which grows without end is refused while it grows. Answers are compressed only for clients that want
it and nothing else, and only where it pays.
"""

from __future__ import annotations

import zlib

from mizzen.serve.codecs.slices import Slices
from mizzen.serve.errors import BodyTooLarge, InvalidInput

SLICE = 256 * 1024
TAKEN = ("gzip", "deflate")

# Smaller answers fit into a packet; compressing them costs more than sending them.
WORTH = 1024

# Shrinking is ten times as slow as expanding, so its slices are shorter.
_SHRUNK = 32 * 1024

# Text of numbers shrinks to less than half at any level, and the first is four times as fast as the usual one.
_LEVEL = 1


def expand(body: bytes, coding: str, limit: int) -> Slices[bytes]:
    """A body as it was before it was compressed.

    Args:
        coding: the value of ``content-encoding``.
        limit: bytes that it may have.

    Raises:
        InvalidInput: the coding is not taken here, or the body is not of it.
        BodyTooLarge: what comes out is larger than the limit.
    """
    codings = [name for part in coding.split(",") if (name := part.strip().lower()) and name != "identity"]
    if len(codings) > 1 or (codings and codings[0].removeprefix("x-") not in TAKEN):
        raise InvalidInput(f"the body is compressed ({coding}); of codings, {' and '.join(TAKEN)} are taken here")
    if not codings:
        return body
    zipped = codings[0].endswith("gzip")
    # Some send deflate without the frame that the standard asks for (RFC 9110, section 8.4.1.2).
    framed = zipped or (len(body) > 1 and body[0] & 0x0F == 8 and int.from_bytes(body[:2], "big") % 31 == 0)
    one = zlib.decompressobj(wbits=31 if zipped else 15 if framed else -15)
    whole = memoryview(body)
    pieces: list[bytes] = []
    size = 0
    try:
        for at in range(0, len(body), SLICE):
            rest: bytes | memoryview = whole[at : at + SLICE]
            full = True
            while rest or full:
                piece = one.decompress(rest, SLICE)
                pieces.append(piece)
                size += len(piece)
                if size > limit:
                    raise BodyTooLarge(limit)
                rest, full = one.unconsumed_tail, len(piece) == SLICE
                yield
            if one.eof:
                break
    except zlib.error as error:
        raise InvalidInput(f"the body is said to be {codings[0]}, and is not: {error}") from None
    if not one.eof:
        raise InvalidInput(f"the body is said to be {codings[0]}, and is cut off")
    if one.unused_data or at + SLICE < len(body):
        raise InvalidInput(f"the body goes on after the end of its {codings[0]} data")
    return b"".join(pieces)


def asked_for(accept: bytes | None) -> str | None:
    """The coding in which a client wants its answer; None if it does not care.

    HTTP libraries say of themselves which codings they know, all in one list. Who names one alone wants it, as Triton's
    client does when it is told to.
    """
    name = (accept or b"").strip().lower().decode("latin-1")
    return name if name in TAKEN else None


def shrink(body: bytes, coding: str) -> Slices[bytes]:
    """A body in a coding."""
    one = zlib.compressobj(_LEVEL, wbits=31 if coding == "gzip" else 15)
    whole = memoryview(body)
    pieces = []
    for at in range(0, len(body), _SHRUNK):
        pieces.append(one.compress(whole[at : at + _SHRUNK]))
        yield
    pieces.append(one.flush())
    return b"".join(pieces)
