"""Requests, answers and tensors as custom models hold them: between lists, arrays, raw bytes, JSON and gRPC."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from mizzen.serve import (
    InferenceError,
    InferInput,
    InferOutput,
    InferRequest,
    InferResponse,
    InvalidInput,
    RequestedOutput,
    from_np_dtype,
    get_predict_input,
    get_predict_response,
    to_np_dtype,
)
from mizzen.serve.codecs.bodies import decode_json
from mizzen.serve.codecs.datatypes import NUMPY

NUMBERS = [datatype for datatype in NUMPY if datatype != "BYTES"]
SHAPES = arrays.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=4)


@st.composite
def tensors(draw: st.DrawFn, datatypes: list[str] = NUMBERS) -> tuple[str, Any]:
    datatype = draw(st.sampled_from(datatypes))
    values = draw(
        arrays.arrays(NUMPY[datatype], draw(SHAPES), elements={"allow_nan": False} if "FP" in datatype else None)
    )
    return datatype, values


@st.composite
def texts(draw: st.DrawFn) -> Any:
    shape = draw(SHAPES)
    values = np.empty(shape, object)
    values[...] = np.array(
        draw(st.lists(st.text(max_size=5), min_size=values.size, max_size=values.size)) or [], object
    ).reshape(shape)
    return values


def equal(one: Any, other: Any) -> bool:
    return one.dtype == other.dtype and one.shape == other.shape and bool((one == other).all())


@given(tensors(), st.booleans())
def test_an_array_comes_back_as_it_was_set(made, binary):
    datatype, array = made
    one = InferInput("x", list(array.shape), datatype.lower())
    one.set_data_from_numpy(array, binary_data=binary)
    assert equal(one.as_numpy(), array)
    assert (one.data is None) == binary
    assert one.as_numpy().flags.writeable


@given(tensors(), st.booleans())
def test_a_request_crosses_rest(made, binary):
    datatype, array = made
    binary = binary or datatype == "FP16"
    one = InferInput("x", list(array.shape), datatype, parameters={"unit": "m"})
    one.set_data_from_numpy(array, binary_data=binary)
    request = InferRequest("m", [one], "7", parameters={"a": 1}, request_outputs=[RequestedOutput("y")])
    body, length = request.to_rest()
    if isinstance(body, bytes):
        back = InferRequest.from_bytes(body, length, "m")
    else:
        assert length is None
        back = InferRequest.from_rest("m", body)
    assert (back.id, back.parameters, back.request_outputs) == ("7", {"a": 1}, [RequestedOutput("y")])
    assert back.inputs[0].parameters["unit"] == "m"
    assert equal(back.inputs[0].as_numpy(), array)


@given(tensors(), st.booleans())
def test_an_answer_crosses_grpc(made, binary):
    datatype, array = made
    one = InferOutput("y", list(array.shape), datatype, parameters={"unit": "m"})
    one.set_data_from_numpy(array, binary_data=binary)
    message = InferResponse("7", "m", [one], parameters={"n": 3, "s": "t", "b": True}).to_grpc()
    back = InferResponse.from_grpc(type(message).FromString(message.SerializeToString()))
    assert (back.id, back.model_name, back.parameters) == ("7", "m", {"n": 3, "s": "t", "b": True})
    assert back.outputs[0].parameters == {"unit": "m"}
    assert equal(back.outputs[0].as_numpy(), array)


@given(texts(), st.booleans())
def test_texts_cross_both(array, binary):
    one = InferInput("x", list(array.shape), "BYTES")
    one.set_data_from_numpy(array, binary_data=binary)
    assert one.as_string() == array.ravel().tolist()
    body, length = InferRequest("m", [one]).to_rest()
    back = InferRequest.from_bytes(body, length, "m") if isinstance(body, bytes) else InferRequest.from_rest("m", body)
    assert back.inputs[0].as_string() == array.ravel().tolist()
    message = InferRequest("m", [one]).to_grpc()
    assert InferRequest.from_grpc(message).inputs[0].as_string() == array.ravel().tolist()


@pytest.mark.parametrize(
    ("datatype", "shape", "data", "says"),
    [
        ("FP32", [3], [1.0, 2.0], "input 'x' of shape \\[3\\]"),
        ("INT8", [1], [300], "300"),
        ("WHAT", [1], [1], "is of datatype 'WHAT', which the protocol has not"),
        ("FP32", [2], [[1.0], [2.0, 3.0]], "input 'x'"),
        ("FP32", [1], None, "it has no data"),
    ],
)
def test_data_that_does_not_fit_is_bad_input(datatype, shape, data, says):
    with pytest.raises(InvalidInput, match=says) as raised:
        InferInput("x", shape, datatype, data).as_numpy()
    assert raised.value.reason == str(raised.value)


@pytest.mark.parametrize(
    ("array", "says"),
    [
        ([1.0], "must be set from a numpy array, not a list"),
        (np.array([1.0]), "got unexpected datatype FP64 from numpy array, expected FP32"),
        (np.array([1.0], np.float32), r"got unexpected numpy array shape \[1,\], expected \[2\]"),
    ],
)
def test_an_array_that_does_not_fit_is_the_models_error(array, says):
    with pytest.raises(InferenceError, match=says):
        InferOutput("x", [2], "FP32").set_data_from_numpy(array)


def test_data_that_was_looked_at_is_the_data_from_then_on():
    one = InferInput("x", [2], "INT64")
    one.set_data_from_numpy(np.array([1, 2]), binary_data=False)
    one.data[0] = 7
    assert one.as_numpy().tolist() == [7, 2]
    one.data = [3, 4]
    assert one.as_numpy().tolist() == [3, 4]
    one.shape = [2, 1]
    assert one.as_numpy().tolist() == [[3], [4]]


def test_half_floats_have_no_json():
    one = InferInput("x", [1], "FP16", [1.0])
    with pytest.raises(InvalidInput, match="Sending FP16 data via JSON is not supported"):
        InferRequest("m", [one]).to_rest()


def test_an_answer_is_written_as_it_was_asked_for():
    outputs = [InferOutput("a", [2], "FP32", [1.0, 2.0]), InferOutput("b", [1], "INT64", [3])]
    wanted = [RequestedOutput("b"), RequestedOutput("a", {"binary_data": True})]
    body, length = InferResponse("7", "m", outputs, requested_outputs=wanted).to_rest()
    assert isinstance(body, bytes)
    head = decode_json(body[:length])
    assert [one["name"] for one in head["outputs"]] == ["b", "a"]
    assert head["outputs"][1] == {"name": "a", "shape": [2], "datatype": "FP32", "parameters": {"binary_data_size": 8}}
    assert np.frombuffer(body[length:], np.float32).tolist() == [1.0, 2.0]
    with pytest.raises(InvalidInput, match="Unexpected inference output 'c' for model 'm'"):
        InferResponse("7", "m", outputs, requested_outputs=[RequestedOutput("c")]).to_rest()


@pytest.mark.parametrize(
    "body",
    [
        None,
        {},
        {"inputs": 3},
        {"inputs": [3]},
        {"inputs": [{"name": "x"}]},
        {"inputs": [{"name": "x", "shape": 3, "datatype": "INT8"}]},
    ],
)
def test_what_is_no_request_is_said_to_be_none(body):
    with pytest.raises(InvalidInput):
        InferRequest.from_rest("m", body)


@given(st.binary(max_size=80), st.integers(0, 90))
def test_no_body_in_the_binary_form_surprises(body, length):
    for kind in (lambda: InferRequest.from_bytes(body, length, "m"), lambda: InferResponse.from_bytes(body, length)):
        with pytest.raises(InvalidInput):
            kind()


def test_a_dataframe_has_a_column_for_each_input():
    request = InferRequest(
        "m",
        [InferInput("a", [2], "FP32", [1.0, 2.0]), InferInput("t", [2, 1], "BYTES", ["x", b"y"])],
        parameters={"content_type": "pd"},
    )
    frame = get_predict_input(request)
    assert frame.to_dict("list") == {"a": [1.0, 2.0], "t": ["x", "y"]}
    back = get_predict_response(request, frame, "m")
    assert [(one.name, one.datatype, one.shape) for one in back.outputs] == [("a", "FP32", [2]), ("t", "BYTES", [2])]


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ({"instances": [[1, 2]]}, [[1, 2]]),
        ({"instances": [1], "inputs": [2]}, [2]),
        ({"instances": []}, []),
        ({"instances": ["a", "b"]}, ["a", "b"]),
    ],
)
def test_what_a_v1_request_asks_about(payload, expected):
    found = get_predict_input(payload)
    assert (found if isinstance(found, list) else found.tolist()) == expected


@pytest.mark.parametrize(
    "rows",
    [
        [{"a": [1, 2], "b": [3, 4]}],
        [{"a": 1, "b": 3}, {"a": 2, "b": 4}],
        [[{"a": 1, "b": 3}, {"a": 2, "b": 4}]],
    ],
)
def test_rows_given_as_objects_are_a_table(rows):
    assert get_predict_input({"instances": rows}).to_dict("list") == {"a": [1, 2], "b": [3, 4]}


@pytest.mark.parametrize("payload", [{}, {"instances": 3}, {"instances": [[1], [1, 2]]}, b"bytes", None])
def test_what_asks_about_nothing_is_bad_input(payload):
    with pytest.raises(InvalidInput):
        get_predict_input(payload)


def test_numpys_types_and_the_protocols():
    for datatype, dtype in NUMPY.items():
        assert from_np_dtype(dtype) == datatype
        assert np.dtype(to_np_dtype(datatype)) == dtype
    assert from_np_dtype(np.dtype("U3")) == from_np_dtype(np.dtype("M8[s]")) == "BYTES"
    assert from_np_dtype(np.dtype(complex)) is None
    assert to_np_dtype("BF16") is None


def test_messages_of_other_packages_are_read_by_their_fields():
    grpc = pytest.importorskip("mizzen.serve.protocols.grpc.schema")
    message = grpc.ModelInferRequest(model_name="m", id="7")
    one = message.inputs.add(name="x", datatype="INT64", shape=[2])
    one.contents.int64_contents.extend([1, 2])
    message.parameters["content_type"].string_param = "pd"
    request = InferRequest.from_grpc(message)
    assert (request.from_grpc, request.id, request.inputs[0].data) == (True, "7", [1, 2])
    assert get_predict_input(request).to_dict("list") == {"x": [1, 2]}
