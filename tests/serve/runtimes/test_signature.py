"""Numbers of one type as another: they keep their value, or the request is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from mizzen.serve.codecs import datatypes
from mizzen.serve.errors import InvalidInput, LoadError
from mizzen.serve.model import Tensor
from mizzen.serve.runtimes.signature import Signature, Slot, converted, declared, matches, texts

NUMBERS = [dtype for dtype in datatypes.NUMPY.values() if dtype.kind != "O"]

pairs = st.sampled_from(NUMBERS).flatmap(
    lambda dtype: st.tuples(arrays.arrays(dtype, st.integers(0, 5)), st.sampled_from(NUMBERS))
)


@given(pairs)
def test_a_value_survives_or_is_refused(given_: tuple[Any, np.dtype[Any]]) -> None:
    array, dtype = given_
    try:
        made = converted(array, dtype, "input 'x'")
    except InvalidInput as error:
        assert str(error).startswith("input 'x'")
        return
    assert made.dtype == dtype
    assert made.shape == array.shape
    for before, after in zip(array.tolist(), made.tolist(), strict=True):
        if dtype.kind == "f":
            assert np.isnan(before) == np.isnan(after)
            assert np.isinf(before) == np.isinf(after)
            if np.isfinite(before):
                spacing = float(np.spacing(np.abs(made.dtype.type(after))))
                assert abs(before - after) <= spacing
        else:
            assert before == after  # of Python's numbers, which are exact


SHAPES = st.lists(st.integers(0, 4), max_size=4)


@given(SHAPES, st.data())
def test_a_shape_fits_what_it_was_made_from(shape, data):
    wanted = [data.draw(st.sampled_from([size, -1])) for size in shape]
    assert matches(shape, wanted)
    assert not matches([*shape, 1], wanted)
    if shape:
        at = data.draw(st.integers(0, len(shape) - 1))
        other = [*shape[:at], shape[at] + 1, *shape[at + 1 :]]
        assert matches(other, wanted) is (wanted[at] == -1)


def test_what_must_not_be_left_out_decides_who_the_only_input_is():
    signature = Signature("m", [Slot("x"), Slot("factor", optional=True), Slot("y", aliases=("b",), optional=True)])
    assert list(signature.fit([Tensor("instances", np.ones(2))])) == ["x"]
    assert set(signature.fit([Tensor("b", np.ones(2)), Tensor("x", np.ones(2))])) == {"x", "y"}
    with pytest.raises(InvalidInput, match="input 'x' is missing for model 'm'; its inputs are 'x', 'factor', 'y'"):
        signature.fit([Tensor("y", np.ones(2))])


def test_texts_are_strings_or_utf8():
    made = texts(np.array([["a", b"b\xc3\xa9"]], object), "x")
    assert made.tolist() == [["a", "bé"]]
    with pytest.raises(InvalidInput, match="x: element 1 is 3, and this model takes texts"):
        texts(np.array(["a", 3], object), "x")


@pytest.mark.parametrize("one", ["x", {}, {"name": 3}, {"name": "x", "shape": [1.5]}, {"name": "x", "shape": "4"}])
def test_declarations_that_are_none(one):
    with pytest.raises(LoadError, match=r"model m: settings: inputs\[0\]"):
        declared({"inputs": [one]}, "inputs", "m")
