"""Between V1 and V2, there and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mizzen.serve import InferenceError, InferOutput, InferRequest, InferResponse, InvalidInput
from mizzen.serve.forwarding import conversion, headers
from mizzen.serve.model import TensorMetadata

ROWS = st.integers(1, 4).flatmap(
    lambda width: st.lists(st.lists(st.integers(-100, 100), min_size=width, max_size=width), min_size=1, max_size=5)
)


@given(ROWS)
def test_rows_come_back_as_they_were(rows):
    request = conversion.to_v2({"instances": rows}, "m", [])
    assert (len(request.inputs), request.inputs[0].name, request.inputs[0].datatype) == (1, "input-0", "INT64")
    assert conversion.to_v1(request) == {"instances": rows}
    response = InferResponse(
        "1", "m", [InferOutput("y", one.shape, one.datatype, one.as_numpy()) for one in request.inputs]
    )
    assert conversion.to_v1_answer(response) == {"predictions": rows}
    assert conversion.to_v2_answer({"predictions": rows}, request).outputs[0].as_numpy().tolist() == rows


def test_tables_come_back_as_they_were():
    rows = [{"a": 1.5, "t": "x"}, {"a": 2.5, "t": "y"}]
    request = conversion.to_v2({"instances": rows}, "m", [])
    assert [(one.name, one.datatype, one.shape) for one in request.inputs] == [("a", "FP64", [2]), ("t", "BYTES", [2])]
    assert request.parameters == {"content_type": "pd"}
    assert conversion.to_v1(request) == {"instances": rows}
    answer = conversion.to_v2_answer({"predictions": rows}, request)
    assert [(one.name, one.datatype) for one in answer.outputs] == [("a", "FP64"), ("t", "BYTES")]


def test_names_and_types_are_the_predictors():
    known = [TensorMetadata("pixels", "FP32", [-1, 2])]
    (one,) = conversion.to_v2({"instances": [[1, 2]]}, "m", known).inputs
    assert (one.name, one.datatype, one.as_numpy().tolist()) == ("pixels", "FP32", [[1.0, 2.0]])
    with pytest.raises(InvalidInput, match="datatype FP32"):
        conversion.to_v2({"instances": ["text"]}, "m", known)


@pytest.mark.parametrize("payload", [b"bytes", [1], None, {}, {"instances": 3}, {"instances": [[1], [1, 2]]}])
def test_what_is_no_v1_request_is_bad_input(payload):
    with pytest.raises(InvalidInput):
        conversion.to_v2(payload, "m", [])


@pytest.mark.parametrize(
    "answer",
    [None, [], {}, {"predictions": 3}, {"predictions": [[1], [1, 2]]}, {"predictions": [{"a": {"b": 1}}]}],
)
def test_what_is_no_v1_answer_is_a_bad_gateway(answer):
    with pytest.raises(InferenceError) as raised:
        conversion.to_v2_answer(answer, InferRequest("m", [], "1"))
    assert raised.value.status == 502


def test_outputs_of_different_lengths_have_no_v1_form():
    outputs = [InferOutput("a", [2], "INT64", [1, 2]), InferOutput("b", [1], "INT64", [1])]
    with pytest.raises(InferenceError, match="a has 2, b has 1"):
        conversion.to_v1_answer(InferResponse("1", "m", outputs))


def test_bytes_that_are_no_text_are_base64():
    array = np.empty(2, object)
    array[:] = [b"\xff", b"ok"]
    response = InferResponse("1", "m", [InferOutput("y", [2], "BYTES", array)])
    assert conversion.to_v1_answer(response) == {"predictions": [{"b64": "/w=="}, "ok"]}


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ({"inputs": [{"name": "x", "shape": [1], "datatype": "INT8", "data": [1]}]}, True),
        ({"inputs": [[1, 2]]}, False),
        ({"inputs": []}, False),
        ({"instances": [1]}, False),
        ([1], False),
    ],
)
def test_which_objects_are_v2_requests(payload, expected):
    assert conversion.is_v2(payload) is expected


def test_no_field_can_forge_another():
    assert headers.forwarded({"x-request-id": "1\r\nx-evil: 2", "authorization": " Bearer ü "}) == [
        (b"authorization", "Bearer ü".encode("latin-1"))
    ]
    assert headers.forwarded(None) == []
