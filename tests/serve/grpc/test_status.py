"""Statuses, and sentences that pass through a header."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mizzen.serve.protocols.grpc.status import LONGEST, Code, code_of, decode_message, encode_message, status_of


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "INVALID_ARGUMENT"),
        (401, "UNAUTHENTICATED"),
        (403, "PERMISSION_DENIED"),
        (404, "NOT_FOUND"),
        (405, "UNIMPLEMENTED"),
        (413, "RESOURCE_EXHAUSTED"),
        (418, "INVALID_ARGUMENT"),
        (429, "RESOURCE_EXHAUSTED"),
        (500, "INTERNAL"),
        (501, "UNIMPLEMENTED"),
        (503, "UNAVAILABLE"),
        (504, "DEADLINE_EXCEEDED"),
        (599, "INTERNAL"),
    ],
)
def test_the_code_for_a_status(status: int, code: str) -> None:
    assert code_of(status) is Code[code]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 501, 503, 504])
def test_a_status_survives_the_way_over_grpc(status: int) -> None:
    assert status_of(code_of(status)) == status


@given(st.text())
def test_a_sentence_survives_the_header(text: str) -> None:
    carried = encode_message(text)
    assert all(0x20 <= byte <= 0x7E for byte in carried)
    if len(text.encode("utf-8", "replace")) <= LONGEST:
        assert decode_message(carried) == text.encode("utf-8", "replace").decode()


def test_how_it_is_written() -> None:
    assert encode_message("50 % of \u2191\n") == b"50 %25 of %E2%86%91%0A"
    assert decode_message(b"%zz%e2%86%91 %") == "%zz\u2191 %"
    assert decode_message(b"%ff") == "\ufffd"


def test_a_sentence_that_would_burst_the_header_is_cut_between_characters() -> None:
    carried = decode_message(encode_message("\u2191" * LONGEST))
    assert carried.endswith("\u2191...")
    assert len(carried.encode()) <= LONGEST + 3
