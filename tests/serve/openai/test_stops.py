"""Stop texts, however the text is cut into tokens."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mizzen.serve.generation.stops import StopScanner

# Few letters, so that stops occur, overlap and nearly occur.
texts = st.text("ab🦊", max_size=30)
stops = st.lists(st.text("ab🦊", min_size=1, max_size=4), max_size=3)


def until_stop(text: str, stops: list[str]) -> str:
    """What must be shown of it."""
    return text[: min((at for at in (text.find(stop) for stop in stops) if at >= 0), default=len(text))]


@given(texts, stops, st.lists(st.integers(0, 30)))
def test_what_is_shown_ends_before_the_first_stop(text: str, stops: list[str], cuts: list[int]) -> None:
    borders = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    pieces = [text[start:end] for start, end in pairwise(borders)]
    scanner = StopScanner(stops)
    whole = until_stop(text, stops)
    shown = ""
    for piece in pieces:
        shown += scanner.feed(piece)
        # At every moment it is a beginning of the answer: nothing of a stop was ever shown.
        assert whole.startswith(shown)
    assert shown + scanner.finish() == whole
    assert scanner.stopped == (whole != text)


@given(texts, stops)
def test_nothing_is_held_back_that_cannot_become_a_stop(text: str, stops: list[str]) -> None:
    scanner = StopScanner(stops)
    for sign in text:
        scanner.feed(sign)
        assert scanner.held < max((len(stop) for stop in stops), default=1)


@pytest.mark.parametrize(
    ("pieces", "stops", "shown", "stopped"),
    [
        (["Hello wor", "ld!\nBye"], ["\n"], ["Hello wor", "ld!"], True),
        (["a", "b", "c"], ["bc"], ["a", "", ""], True),
        (["a", "b", "d"], ["bc"], ["a", "", "bd"], False),
        (["END"], ["END"], [""], True),
        (["a🦊b"], ["🦊"], ["a"], True),
        (["xabc", "d"], ["abcd", "bc"], ["x", ""], True),
    ],
)
def test_piece_by_piece(pieces: list[str], stops: list[str], shown: list[str], stopped: bool) -> None:
    scanner = StopScanner(stops)
    assert [scanner.feed(piece) for piece in pieces] == shown
    assert scanner.stopped is stopped


def test_an_empty_stop_is_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        StopScanner([""])
