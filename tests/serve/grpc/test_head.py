"""What a call's head says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mizzen.serve.errors import InferenceError, InvalidInput
from mizzen.serve.protocols.grpc.head import (
    UnsupportedMediaType,
    encode_timeout,
    is_grpc,
    metadata,
    pairs,
    read,
    timeout,
)


def now() -> float:
    return 100.0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(b"1H", 3600), (b"2M", 120), (b"10S", 10), (b"1500m", 1.5), (b"99999999u", 99.999999), (b"5n", 5e-9), (b"0S", 0)],
)
def test_time_outs(value: bytes, seconds: float) -> None:
    assert timeout(value) == pytest.approx(seconds)


@pytest.mark.parametrize("value", [b"", b"S", b"1", b"-1S", b"1.5S", b"123456789S", b"1s", b" 1S", "\u0661S".encode()])
def test_what_is_no_time_out(value: bytes) -> None:
    with pytest.raises(InvalidInput, match="grpc-timeout must be"):
        timeout(value)


@given(st.floats(min_value=1e-9, max_value=1e9))
def test_a_time_out_survives_being_sent(seconds: float) -> None:
    sent = encode_timeout(seconds)
    assert len(sent) <= 9
    assert timeout(sent) == pytest.approx(seconds, rel=1e-2, abs=1e-9)


def test_a_head() -> None:
    head = read(
        [
            (b"host", b"h"),
            (b"content-type", b"application/grpc"),
            (b"grpc-timeout", b"2S"),
            (b"grpc-encoding", b"gzip"),
            (b"grpc-accept-encoding", b"identity,gzip"),
        ],
        now,
    )
    assert (head.deadline, head.encoding, head.accepted) == (102.0, b"gzip", b"identity,gzip")
    assert read([(b"content-type", b"application/grpc+proto")], now).deadline is None


@pytest.mark.parametrize(
    ("media_type", "grpc", "taken"),
    [
        (b"application/grpc", True, True),
        (b"application/grpc+proto", True, True),
        (b"application/grpc; charset=utf-8", True, True),
        (b"application/grpc+json", True, False),
        (b"application/grpc-web", False, False),
        (b"application/json", False, False),
        (b"", False, False),
    ],
)
def test_content_types(media_type: bytes, grpc: bool, taken: bool) -> None:
    assert is_grpc(media_type) is grpc
    headers = [(b"content-type", media_type)] if media_type else []
    if taken:
        read(headers, now)
    else:
        with pytest.raises(UnsupportedMediaType, match="application/grpc or application/grpc\\+proto"):
            read(headers, now)


def test_what_a_model_sees() -> None:
    seen = metadata(
        [
            (b"host", b"iris"),
            (b"content-type", b"application/grpc"),
            (b"te", b"trailers"),
            (b"grpc-timeout", b"1S"),
            (b"x-tag", b"one"),
            (b"x-tag", b"two"),
            (b"trace-bin", b"AAE="),
        ]
    )
    assert seen == {"host": "iris", "x-tag": "one, two", "trace-bin": "AAE="}


def test_what_a_model_sends() -> None:
    sent = pairs({"X-Model-Time": "3 ms", "Content-Type": "text/plain", "grpc-status": "0", "Connection": "close"})
    assert sent == [(b"x-model-time", b"3 ms")]


@pytest.mark.parametrize("field", [("", "a"), ("a b", "a"), ("a", "new\nline"), ("a", "\u00e9"), ("\u00e9", "a")])
def test_what_no_header_can_carry(field: tuple[str, str]) -> None:
    with pytest.raises(InferenceError, match="cannot be sent as gRPC metadata"):
        pairs(dict([field]))
