"""Decoding and encoding against numpy's own word for it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mizzen.serve.codecs import bodies, datatypes, instances, lenient
from mizzen.serve.errors import InvalidInput
from mizzen.serve.model import Tensor

NUMERIC = [name for name in datatypes.NUMPY if name not in ("BYTES", "FP16")]

numeric_arrays = st.sampled_from(NUMERIC).flatmap(
    lambda name: arrays(
        datatypes.NUMPY[name],
        st.lists(st.integers(0, 4), max_size=3).map(tuple),
        elements={"allow_nan": False, "allow_infinity": False} if name.startswith("FP") else None,
    )
)


def body(array: np.ndarray, data: object) -> bytes:
    name = datatypes.name(array.dtype)
    tensor = {"name": "x", "shape": list(array.shape), "datatype": name, "data": data}
    return json.dumps({"inputs": [tensor]}).encode()


@given(numeric_arrays)
def test_a_tensor_survives_the_way_there_flat_and_nested(array):
    [flat] = bodies.decode_infer(body(array, array.ravel().tolist()), "m").inputs
    assert flat.array.dtype == array.dtype
    np.testing.assert_array_equal(flat.array, array)
    if array.ndim:
        [nested] = bodies.decode_infer(body(array, array.tolist()), "m").inputs
        np.testing.assert_array_equal(nested.array, array)
        assert nested.array.dtype == array.dtype


@given(numeric_arrays)
def test_a_tensor_survives_the_way_back(array):
    found = json.loads(bodies.encode_infer("m", None, "1", [Tensor("x", array)]))["outputs"][0]
    assert found["shape"] == list(array.shape)
    np.testing.assert_array_equal(np.array(found["data"], array.dtype).reshape(array.shape), array)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "name": st.just("x") | json_values,
            "shape": st.lists(st.integers(-2, 3), max_size=3) | json_values,
            "datatype": st.sampled_from([*datatypes.NUMPY, "fp32", "nope"]) | json_values,
            "data": st.lists(st.integers(-5, 300) | st.floats(width=16), max_size=6) | json_values,
            "parameters": json_values,
        },
    ),
    st.dictionaries(st.sampled_from(["id", "parameters", "outputs"]), json_values, max_size=2),
)
def test_any_json_is_a_request_or_is_refused_in_words(tensor, more):
    """Never another exception, and the fast way never takes what the careful one refuses or reads it otherwise."""
    text = json.dumps({"inputs": [tensor], **more}).encode()
    try:
        fast = bodies.decode_infer(text, "m")
    except InvalidInput as error:
        assert str(error)
        return
    value = json.loads(text)
    careful = lenient.tensors(value, "m")
    assert [item.name for item in fast.inputs] == [item.name for item in careful]
    for mine, other in zip(fast.inputs, careful, strict=True):
        assert mine.array.dtype == other.array.dtype
        np.testing.assert_array_equal(mine.array, other.array)


@given(st.binary(max_size=60) | json_values.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_rows_or_are_refused_in_words(data):
    for text in (data, b'{"instances": [' + data + b"]}", b'{"inputs": ' + data + b"}"):
        try:
            request = instances.decode_predict(text)
        except InvalidInput as error:
            assert str(error)
        else:
            if request is None:
                assert set(json.loads(text)).isdisjoint(("instances", "inputs"))
            else:
                assert request.inputs
                instances.encode_predictions(request.inputs)


def test_texts_keep_their_shape_where_it_fits_and_are_taken_where_it_does_not():
    def decode(shape: list[int], data: list[str]) -> np.ndarray:
        tensor = {"name": "x", "shape": shape, "datatype": "BYTES", "data": data}
        return bodies.decode_infer(json.dumps({"inputs": [tensor]}).encode(), "m").inputs[0].array

    assert decode([2, 1], ["a", "b"]).shape == (2, 1)
    assert decode([1], ["a", "b"]).tolist() == ["a", "b"]
    assert decode([-1], ["a", "b"]).tolist() == ["a", "b"]


@pytest.mark.parametrize("count", [1, 64, 65, 500])
def test_the_largest_float32_is_none_too_large(count):
    largest = float(np.finfo(np.float32).max)
    tensor = {"name": "x", "shape": [count], "datatype": "FP32", "data": [largest] * count}
    assert bodies.decode_infer(json.dumps({"inputs": [tensor]}).encode(), "m").inputs[0].array.max() == np.float32(
        largest
    )
    tensor["data"] = [-largest * 1.1] * count
    with pytest.raises(InvalidInput, match="too large for float32"):
        bodies.decode_infer(json.dumps({"inputs": [tensor]}).encode(), "m")
