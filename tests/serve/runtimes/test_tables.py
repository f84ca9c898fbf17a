"""Rows and columns out of what the protocols bring."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mizzen.serve.errors import InvalidInput
from mizzen.serve.model import NO_OPTIONS, Options, Tensor, TensorMetadata
from mizzen.serve.runtimes import outputs, tables
from mizzen.serve.runtimes.tables import Features

ABC = Features(3, ["a", "b", "c"])


def tensors(**values: Any) -> list[Tensor]:
    return [Tensor(name, value if isinstance(value, np.ndarray) else np.array(value)) for name, value in values.items()]


def objects(*values: Any) -> Any:
    found = np.empty(len(values), object)
    found[:] = values
    return found


def test_a_matrix_is_passed_on_as_it_is():
    rows = np.ones((2, 3), np.float32)
    assert ABC.numbers([Tensor("anything", rows)]) is rows


@given(st.permutations(["a", "b", "c"]), st.integers(1, 4))
def test_columns_in_any_order_are_the_same_rows(order, count):
    rows = np.arange(3.0 * count).reshape(count, 3)
    named = {name: rows[:, at] for at, name in enumerate("abc")}
    np.testing.assert_array_equal(ABC.numbers([Tensor(name, named[name]) for name in order]), rows)
    upright = [Tensor(name, named[name].reshape(-1, 1)) for name in order]
    np.testing.assert_array_equal(ABC.numbers(upright), rows)


def test_nulls_and_numbers_as_objects():
    rows = np.array([[1, None, "2.5"]], object)
    np.testing.assert_array_equal(ABC.numbers([Tensor("x", rows)]), [[1.0, np.nan, 2.5]])
    mixed = tensors(a=[1, 2], b=objects(None, 3), c=[True, False])
    np.testing.assert_array_equal(ABC.numbers(mixed), [[1.0, np.nan, 1.0], [2.0, 3.0, 0.0]])


def test_categories_become_their_codes_and_unknown_ones_missing():
    features = Features(3, ["a", "b", "c"], {1: {"red": 0.0, "blue": 1.0}, 2: {10: 0.0, 20: 1.0}})
    sent = tensors(a=[1, 2, 3], b=objects("blue", b"red", "pink"), c=[20.0, 10.0, 15.0])
    np.testing.assert_array_equal(features.numbers(sent), [[1, 1, 1], [2, 0, 0], [3, np.nan, np.nan]])


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        (tensors(x=[[1, 2]]), "this model takes rows of 3 values, the request has shape [1, 2]"),
        (tensors(x=[1, 2, 3]), "the request has shape [3]: a row is a list of its own, [[...]]"),
        (tensors(x=1), "the request has shape []: a row is a list of its own"),
        (tensors(x=[[[1, 2, 3]]]), "the request has shape [1, 1, 3]"),
        (tensors(a=[1], b=[2]), "columns are missing: c"),
        (tensors(a=[1], b=[2], c=[1, 2]), "columns must be of one length; their rows are: 'a' 1, 'b' 1, 'c' 2"),
        (tensors(a=[1], b=[2], c=[[1, 2]]), "'c' is of shape [1, 2]"),
        (tensors(a=[1], b=objects("red"), c=[1]), "column 'b', row 0: 'red' is not a number"),
        (tensors(a=[1, 2], b=objects(1, [2]), c=[1, 1]), "column 'b', row 1: [2] is not a number"),
    ],
)
def test_what_are_no_rows_of_this_model(inputs, says):
    with pytest.raises(InvalidInput) as caught:
        ABC.numbers(inputs)
    assert says in str(caught.value)


def test_columns_without_names_are_taken_in_their_order():
    nameless = Features(2)
    np.testing.assert_array_equal(nameless.numbers(tensors(x=[1, 2], y=[3, 4])), [[1, 3], [2, 4]])
    with pytest.raises(InvalidInput, match="this model takes 2 columns, the request has 3"):
        nameless.numbers(tensors(x=[1], y=[2], z=[3]))
    assert Features(1).numbers(tensors(x=[1, 2, 3])).tolist() == [[1], [2], [3]]


def test_metadata_is_a_matrix_or_a_tensor_for_each_column():
    assert ABC.metadata("FP64") == [TensorMetadata("input-0", "FP64", [-1, 3], {"columns": ["a", "b", "c"]})]
    assert Features(2).metadata("FP32") == [TensorMetadata("input-0", "FP32", [-1, 2])]
    assert Features(2).metadata("FP32", [1]) == [TensorMetadata("input-0", "BYTES", [-1, 2])]
    assert [(one.name, one.datatype, one.shape) for one in ABC.metadata("FP64", [1])] == [
        ("a", "FP64", [-1]),
        ("b", "BYTES", [-1]),
        ("c", "FP64", [-1]),
    ]


def test_a_frame_has_numbers_texts_and_what_is_missing():
    pytest.importorskip("pandas", reason="pandas is not installed")
    frame = tables.frame({"n": objects(1, None), "t": objects(b"caf\xc3\xa9", "b"), "b": np.array([True, False])})
    assert frame["n"].dtype == np.float64
    assert frame["n"].isna().tolist() == [False, True]
    assert frame["t"].tolist() == ["café", "b"]
    assert frame["b"].dtype == bool
    with pytest.raises(InvalidInput, match="column 't', row 1: these bytes are no text in UTF-8"):
        tables.frame({"t": objects("a", b"\xff")})


def test_content_types_of_tensors():
    sent = [
        Tensor("plain", objects("aGk=")),
        Tensor("packed", objects("aGk=", "AAE="), {"content_type": "base64"}),
        Tensor("day", objects("2024-02-03"), {"content_type": "datetime"}),
        Tensor("word", objects(b"caf\xc3\xa9"), {"content_type": "str"}),
        Tensor("number", np.ones(2), {"content_type": "np"}),
    ]
    plain, packed, day, word, number = tables.decoded(sent, {})
    assert plain.array.tolist() == ["aGk="]
    assert packed.array.tolist() == [b"hi", b"\x00\x01"]
    assert day.array.astype("datetime64[D]").astype(str).tolist() == ["2024-02-03"]
    assert word.array.tolist() == ["café"]
    assert number.array.tolist() == [1, 1]
    assert tables.decoded(sent[:1], {"plain": "base64"})[0].array.tolist() == [b"hi"]
    for kind, says in (("base64", "element 0: 'no!' is not base64"), ("datetime", "input 'x'")):
        with pytest.raises(InvalidInput, match=says):
            tables.decoded([Tensor("x", objects("no!"), {"content_type": kind})], {})


def test_a_request_asks_for_a_frame_by_its_content_type():
    assert tables.is_frame(Options({"content_type": "pd"}))
    assert not tables.is_frame(Options({"content_type": "np"}), "pd")
    assert tables.is_frame(NO_OPTIONS, "pd")
    assert not tables.is_frame(NO_OPTIONS)


def test_outputs_of_both_servers():
    [one] = outputs.tensors([1.5, 2.5])
    assert (one.name, one.array.tolist()) == ("output-0", [1.5, 2.5])
    matrices = [np.zeros((2, 3)), np.zeros((2, 2))]
    assert [(one.name, one.array.shape) for one in outputs.tensors(matrices)] == [
        ("output-0", (2, 3)),
        ("output-1", (2, 2)),
    ]
    assert outputs.by_method(np.array([1, 2]), "predict").array.shape == (2, 1)
    assert outputs.by_method(np.ones((2, 3)), "predict").array.shape == (2, 3)
    assert outputs.labels(np.array([0.2, 0.7, 0.5])).tolist() == [0, 1, 0]
    assert outputs.labels(np.array([[0.2, 0.7], [0.6, 0.4]])).tolist() == [1, 0]
