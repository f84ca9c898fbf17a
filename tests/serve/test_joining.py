"""What may share a call, and what counts as the same answer."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mizzen.serve.lanes.joining import agree, differ, join, kind, split
from mizzen.serve.model import Tensor


def t(array, name="x", dtype=None):
    return [Tensor(name, np.array(array, dtype=dtype))]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (t([[1.0, 2.0]]), t([[3.0, 4.0], [5.0, 6.0]]), True),
        (t([[1.0, 2.0]]), t([[3.0, 4.0, 5.0]]), False),
        (t([[1.0, 2.0]]), t([[3, 4]]), False),
        (t([[1.0, 2.0]]), t([[1.0, 2.0]], dtype=np.float32), False),
        (t([[1.0, 2.0]]), t([[1.0, 2.0]], name="y"), False),
        (t([[[1.0]]]), t([[1.0]]), False),
        (t([[1]], "a") + t([[2]], "b"), t([[3]], "a") + t([[4]], "b"), True),
        (t([[1]], "a") + t([[2]], "b"), t([[3]], "b") + t([[4]], "a"), False),
    ],
)
def test_requests_of_one_kind(one, other, same):
    assert kind(one) is not None
    assert (kind(one) == kind(other)) is same


@pytest.mark.parametrize(
    "inputs",
    [
        t([1.0, 2.0]),
        t(1.0),
        t([["a"]]),
        t([[None]], dtype=object),
        t(np.empty((0, 4))),
        t([[1.0]], "a") + t([1.0], "b"),
        t([[1.0]], "a") + t([[1.0], [2.0]], "b"),
    ],
)
def test_what_is_never_joined(inputs):
    assert kind(inputs) is None


@given(st.lists(st.integers(1, 5), min_size=1, max_size=8), st.integers(1, 3))
def test_joining_and_splitting_gives_each_request_its_own_rows(rows, width):
    start = 0
    requests = []
    for count in rows:
        block = np.arange(start, start + count * width, dtype=float).reshape(count, width)
        requests.append([Tensor("a", block), Tensor("b", -block)])
        start += count * width
    joined = join(requests)
    assert [tensor.array.shape for tensor in joined] == [(sum(rows), width)] * 2
    answers = split(joined, rows)
    assert answers is not None
    for mine, answer in zip(requests, answers, strict=True):
        for sent, got in zip(mine, answer, strict=True):
            np.testing.assert_array_equal(sent.array, got.array)


@pytest.mark.parametrize("array", [np.zeros(3), np.zeros(5), np.array(1.0), np.zeros((2, 4))])
def test_outputs_of_another_length_are_not_split(array):
    assert split([Tensor("x", array)], [1, 3]) is None
    assert split([], [1, 3]) is None


def test_rows_that_are_all_the_same_show_nothing():
    assert not differ([t([[1.0, 2.0]]), t([[1.0, 2.0]])])
    assert differ([t([[1.0, 2.0]]), t([[1.0, 2.5]])])
    assert differ([t([[1.0, 2.0]]), t([[1.0, 2.0], [1.0, 2.0]])])


NO_SCORES = None
TIE = np.array([[0.5, 0.5, 0.0]])
CLEAR = np.array([[0.6, 0.4, 0.0]])


@pytest.mark.parametrize(
    ("together", "alone", "scores", "same"),
    [
        pytest.param([1.0, 2.0], [1.0, 2.0], NO_SCORES, True, id="equal"),
        pytest.param([1.0, 2.0], [1.0, 2.0 + 1e-9], NO_SCORES, True, id="rounding"),
        pytest.param([1.0, 2.0], [1.0, 2.0 + 1e-8], NO_SCORES, False, id="more than rounding"),
        pytest.param([1e-12, 1e6], [2e-12, 1e6], NO_SCORES, True, id="small beside large"),
        pytest.param([1e-12], [2e-12], NO_SCORES, False, id="small alone"),
        pytest.param([np.nan, 1.0], [np.nan, 1.0], NO_SCORES, True, id="NaN"),
        pytest.param([np.inf], [np.inf], NO_SCORES, True, id="infinity"),
        pytest.param([np.inf], [1.0], NO_SCORES, False, id="infinity and a number"),
        pytest.param([1.0], [1.0, 2.0], NO_SCORES, False, id="length"),
        pytest.param([1.0], [1], NO_SCORES, False, id="kind"),
        pytest.param(np.float32([1.0]), np.float32([1.000009]), NO_SCORES, True, id="single precision"),
        pytest.param(np.float32([1.0]), np.float32([1.0001]), NO_SCORES, False, id="more than single precision"),
        pytest.param(["a"], ["abc"], NO_SCORES, False, id="labels"),
        pytest.param(np.array(["a"], "U9"), np.array(["a"], "U1"), NO_SCORES, True, id="labels of other widths"),
        pytest.param([1], [2], NO_SCORES, False, id="no scores, no excuse"),
        pytest.param([0], [1], TIE, True, id="a tie"),
        pytest.param([0], [1], CLEAR, False, id="no tie"),
        pytest.param([0], [1], np.array([1e-12]), False, id="a margin beside nothing"),
        pytest.param([0, 0], [1, 0], np.array([1e-12, 5.0]), True, id="a margin of nothing"),
        pytest.param([0, 0], [1, 0], np.array([0.1, 5.0]), False, id="a margin"),
        pytest.param([0], [1], np.array([[1.0]]), False, id="one score"),
        pytest.param([0], [1], np.array([[0.5, 0.5], [0.5, 0.5]]), False, id="scores of other rows"),
    ],
)
def test_the_same_answer(together, alone, scores, same):
    one, other = [Tensor("o", np.asarray(together))], [Tensor("o", np.asarray(alone))]
    assert agree([], one, other, lambda inputs: scores) is same


def test_a_different_number_of_outputs_is_another_answer():
    one = [Tensor("o", np.zeros(1))]
    assert not agree([], one, one + one, lambda inputs: None)


@given(arrays(float, 5))
def test_every_answer_is_the_same_as_itself(array):
    assert agree([], [Tensor("o", array)], [Tensor("o", array.copy())], lambda inputs: None)
