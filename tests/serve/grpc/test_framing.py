"""Messages within bodies."""

from __future__ import annotations

import gzip
import struct
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mizzen.http.body import Body
from mizzen.serve.errors import InvalidInput, ServeError
from mizzen.serve.protocols.grpc.framing import (
    MessageTooLarge,
    NoEncoding,
    UnknownEncoding,
    answered,
    compressed,
    frame,
    messages,
    single,
)

LIMIT = 1000


def framed(message: bytes, flag: int = 0, size: int | None = None) -> bytes:
    return struct.pack(">BI", flag, len(message) if size is None else size) + message


@given(st.binary(max_size=LIMIT))
def test_a_message_survives_its_frame(message: bytes) -> None:
    assert single(frame(message), None, LIMIT) == message
    assert single(frame([message[:3], memoryview(message)[3:]]), None, LIMIT) == message
    for encoding in (b"gzip", b"deflate"):
        assert single(compressed(frame(message), encoding), encoding, LIMIT) == message


def test_the_formats_are_those_that_others_write() -> None:
    message = b"a" * 500
    assert single(framed(gzip.compress(message, mtime=0), 1), b"gzip", LIMIT) == message
    assert single(framed(zlib.compress(message), 1), b"deflate", LIMIT) == message
    packed = compressed(frame(message), b"gzip")
    assert packed[0] == 1
    assert gzip.decompress(packed[5:]) == message


WRONG: list[tuple[bytes, bytes | None, type[ServeError], str]] = [
    (b"", None, InvalidInput, "no message"),
    (b"\0\0\0", None, InvalidInput, "ends within a message's prefix"),
    (framed(b"abc", size=10), None, InvalidInput, "10 bytes is announced, only 3 bytes came"),
    (framed(b"abc") + framed(b"d"), None, InvalidInput, "and another"),
    (framed(b"abc", size=2**32 - 1), None, MessageTooLarge, "4294967295 bytes is larger than the 1000"),
    (framed(b"a" * 1001), None, MessageTooLarge, "1001 bytes is larger"),
    (framed(b"abc", 1), None, NoEncoding, "does not say how"),
    (framed(b"abc", 1), b"identity", NoEncoding, "does not say how"),
    (framed(b"abc", 1), b"snappy", UnknownEncoding, "'snappy' cannot be read; send identity, deflate, gzip"),
    (framed(b"abc", 1), b"gzip", InvalidInput, "is no gzip"),
    (framed(gzip.compress(b"abc", mtime=0)[:-4], 1), b"gzip", InvalidInput, "is no gzip: it is cut off"),
    (framed(gzip.compress(b"abc", mtime=0) + b"more", 1), b"gzip", InvalidInput, "is no gzip: more follows"),
    (
        framed(gzip.compress(b"\0" * 1001, mtime=0), 1),
        b"gzip",
        MessageTooLarge,
        "larger, unpacked, than the 1000 bytes",
    ),
    (framed(zlib.compress(b"\0" * 10**8, 9)[:900], 1), b"deflate", MessageTooLarge, "larger, unpacked"),
]


@pytest.mark.parametrize(("body", "encoding", "error", "says"), WRONG)
def test_broken_frames(body: bytes, encoding: bytes | None, error: type[ServeError], says: str) -> None:
    with pytest.raises(error, match=says):
        single(body, encoding, LIMIT)


async def collected(body: Body, **options: Any) -> list[bytes]:
    return [message async for message in messages(body, options.get("encoding"), LIMIT)]


def nothing() -> None:
    pass


@given(st.lists(st.binary(max_size=50), max_size=6), st.lists(st.integers(0, 300), max_size=10))
async def test_a_stream_is_cut_where_its_messages_end(sent: list[bytes], cuts: list[int]) -> None:
    whole = b"".join(frame(message) for message in sent)
    body = Body(nothing, nothing)
    start = 0
    for cut in sorted(cut for cut in cuts if cut < len(whole)):
        if cut > start:
            body.feed(whole[start:cut])
            start = cut
    if whole[start:]:
        body.feed(whole[start:])
    body.finish()
    assert await collected(body) == sent


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (framed(b"ok") + b"\0\0", InvalidInput),
        (framed(b"abc", size=5), InvalidInput),
        (framed(b"", size=2**31), MessageTooLarge),
        (framed(b"abc", 1), NoEncoding),
    ],
)
async def test_a_stream_of_broken_frames(data: bytes, error: type[ServeError]) -> None:
    body = Body(nothing, nothing)
    body.feed(data)
    body.finish()
    with pytest.raises(error):
        await collected(body)


@pytest.mark.parametrize(
    ("encoding", "accepted", "request_", "answer"),
    [
        (b"gzip", b"identity,gzip", b"\1", b"gzip"),
        (b"gzip", b"identity, deflate , gzip", b"", b"gzip"),
        (b"gzip", b"identity", b"\1", None),
        (b"gzip", None, b"\1", None),
        (b"gzip", b"gzip", b"\0", None),
        (None, b"gzip", b"\0", None),
        (b"identity", b"identity", b"\0", None),
        (b"snappy", b"snappy", b"\0", None),
    ],
)
def test_an_answer_is_compressed_if_its_request_was(
    encoding: bytes | None, accepted: bytes | None, request_: bytes, answer: bytes | None
) -> None:
    assert answered(encoding, accepted, request_) == answer
