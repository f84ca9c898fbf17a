"""What V1 rows may be beside plain numbers."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import pytest

from mizzen.serve.codecs.instances import encode_predictions
from mizzen.serve.model import Tensor, TensorMetadata, TensorModel

from .conftest import Answers, Echo

PATH = "/v1/models/m:predict"
PNG = b"\x89PNG\0\xff"
B64 = {"b64": base64.b64encode(PNG).decode()}
TWO = [TensorMetadata("image", "FP32", [-1, 2, 2]), TensorMetadata("size", "INT64", [-1])]


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ({"instances": [B64, B64]}, [PNG, PNG]),
        ({"instances": [[B64, "text"], ["more", B64]]}, [[PNG, "text"], ["more", PNG]]),
        ({"instances": [[B64], [{"b64": ""}]]}, [[PNG], [b""]]),
        ({"inputs": [B64]}, [PNG]),
    ],
)
async def test_base64_anywhere_is_bytes(serving, echo, body, found):
    ask = await serving(echo)
    assert (await ask("POST", PATH, body)).status == 200
    assert echo.array.dtype == object
    assert echo.array.tolist() == found


async def test_base64_in_a_column(serving, echo):
    ask = await serving(echo)
    answer = await ask("POST", PATH, {"instances": [{"image": B64, "n": 1}, {"image": B64, "n": 2}]})
    assert [(one.name, one.array.tolist()) for one in echo.seen[0]] == [("image", [PNG, PNG]), ("n", [1, 2])]
    assert answer.json == {"predictions": [{"image": B64, "n": 1}, {"image": B64, "n": 2}]}


async def test_a_column_that_is_called_b64_among_others_is_one(serving, echo):
    ask = await serving(echo)
    await ask("POST", PATH, {"instances": [{"b64": "no base64!", "n": 1}]})
    assert [one.name for one in echo.seen[0]] == ["b64", "n"]


async def test_what_is_no_base64_is_400(serving, echo):
    ask = await serving(echo)
    answer = await ask("POST", PATH, {"instances": [{"b64": "no base64!"}]})
    assert answer.status == 400
    assert answer.error.startswith("\"b64\" holds no base64, 'no base64!'")


@pytest.mark.parametrize(
    ("record", "image", "size"),
    [
        ([{"image": [[1, 2], [3, 4]], "size": 5}], [[[1, 2], [3, 4]]], [5]),
        ([{"image": [[1, 2], [3, 4]], "size": 5}] * 2, [[[1, 2], [3, 4]]] * 2, [5, 5]),
        (
            [[{"image": [[1, 2], [3, 4]], "size": 5}], [{"image": [[1, 2], [3, 4]], "size": 6}]],
            [[[1, 2], [3, 4]]] * 2,
            [5, 6],
        ),
        ([{"image": [[[1, 2], [3, 4]]] * 3, "size": [5, 6, 7]}], [[[1, 2], [3, 4]]] * 3, [5, 6, 7]),
    ],
)
async def test_rows_of_a_model_with_several_inputs(serving, record, image, size):
    model = Echo(inputs=TWO)
    ask = await serving(model)
    answer = await ask("POST", PATH, {"instances": record})
    assert [(one.name, one.array.tolist()) for one in model.seen[0]] == [("image", image), ("size", size)]
    assert answer.json["predictions"][0] == {"image": image[0], "size": size[0]}


NAN = float("nan")


@pytest.mark.parametrize(
    ("rows", "column"),
    [
        ([{"a": 1}, {"a": None}], [1.0, NAN]),
        ([{"a": None}, {"a": 1.5}], [NAN, 1.5]),
        ([[{"a": 1, "b": 2}], [{"b": 3}]], [1.0, NAN]),
        ([{"a": [1, None, 3]}], [1.0, NAN, 3.0]),
        # As they are: what a DataFrame would not make numbers of either.
        ([{"a": "x"}, {"a": None}], ["x", None]),
        ([{"a": True}, {"a": None}], [True, None]),
        ([{"a": None}], [None]),
    ],
)
async def test_a_null_among_the_numbers_of_a_column_is_nan(serving, echo, rows, column):
    ask = await serving(echo)
    answer = await ask("POST", PATH, {"instances": rows})
    found = echo.seen[0][0].array
    assert (found.dtype == np.float64) is any(value is NAN for value in column)
    np.testing.assert_array_equal(found, np.array(column, found.dtype))
    told = [record["a"] if isinstance(record, dict) else record for record in answer.json["predictions"]]
    assert told == [None if value is NAN else value for value in column]


@pytest.mark.parametrize(
    ("datatype", "shape", "value", "found"),
    [
        ("FP32", [-1, 1], None, [NAN]),
        ("INT64", [-1], None, [NAN]),
        ("FP32", [-1, 2], [1, None], [[1, NAN]]),
        ("FP32", [-1, 2], [None, None], [[NAN, NAN]]),
    ],
)
async def test_nulls_alone_are_numbers_if_the_model_takes_numbers(serving, datatype, shape, value, found):
    model = Echo(inputs=[TensorMetadata("a", datatype, shape), TensorMetadata("name", "BYTES", [-1])])
    ask = await serving(model)
    await ask("POST", PATH, {"instances": [{"a": value, "name": None}]})
    a, name = model.seen[0]
    np.testing.assert_array_equal(a.array, np.array(found))
    assert name.array.tolist() == [None]


async def test_rows_of_several_inputs_that_are_ragged(serving):
    ask = await serving(Echo(inputs=TWO))
    answer = await ask("POST", PATH, {"instances": [{"image": [[1, 2], [3]]}]})
    assert (answer.status, answer.error) == (400, "column 'image' must hold lists of one length")


async def test_whole_tensors_by_their_names(serving, echo):
    """TensorFlow Serving's other form."""
    ask = await serving(echo)
    answer = await ask("POST", PATH, {"inputs": {"a": [[1, 2]], "b": "x", "c": [[B64]]}})
    assert [(one.name, one.array.tolist()) for one in echo.seen[0]] == [("a", [[1, 2]]), ("b", ["x"]), ("c", [[PNG]])]
    assert answer.json == {"predictions": [{"a": [1, 2], "b": "x", "c": [B64]}]}


async def test_outputs_without_rows_in_common_are_given_whole(serving):
    ask = await serving(Answers(Tensor("a", np.array([1, 2])), Tensor("b", np.array(3.5))))
    assert (await ask("POST", PATH, {"instances": [[1]]})).json == {"predictions": {"a": [1, 2], "b": 3.5}}


async def test_what_is_said_beside_the_rows_reaches_the_model(serving, echo):
    ask = await serving(echo)
    await ask("POST", PATH, {"instances": [[1]], "signature_name": "other", "parameters": {"n": 3}})
    assert echo.options.parameters == {"n": 3, "signature_name": "other"}
    await ask("POST", PATH, {"instances": [[1]], "signature_name": None, "parameters": None})
    assert echo.options.parameters is None


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"signature_name": 5}, '"signature_name" must be a string'),
        ({"parameters": [1]}, "the request: parameters must be an object, not a list"),
        ({"parameters": {"a": {}}}, "the request: parameter 'a' must be a string, number or boolean, not an object"),
        ({"parameters": {"timeout": -1}}, "the parameter timeout must be a positive number of microseconds"),
    ],
)
async def test_what_is_said_beside_the_rows_and_is_wrong(serving, echo, more, text):
    ask = await serving(echo)
    answer = await ask("POST", PATH, {"instances": [[1]], **more})
    assert answer.status == 400
    assert answer.error.startswith(text)


@pytest.mark.parametrize(
    ("array", "predictions"),
    [
        (np.array([b"text", PNG], object), ["text", B64]),
        (np.array([[b"text"]], "S"), [["text"]]),
        (np.array([{"a": 1}, [1, b"x"]], object), [{"a": 1}, [1, "x"]]),
        (np.arange(300) / 7, (np.arange(300) / 7).tolist()),
        (np.array([[np.nan] * 300]), [[None] * 300]),
        (np.array([0.1] * 300, np.float32), [float(np.float32(0.1))] * 300),
        (np.ones((300, 2), bool), [[True, True]] * 300),
        (np.array([1.5] * 300, np.longdouble), [1.5] * 300),
    ],
)
def test_what_predictions_look_like(array: Any, predictions: Any) -> None:
    from mizzen.serve.codecs.bodies import decode_json

    assert decode_json(encode_predictions([Tensor("o", array)])) == {"predictions": predictions}


class Explainer(Echo):
    def __init__(self) -> None:
        super().__init__()
        self.explains = True

    def infer(self, inputs: list[Tensor], options: Any) -> list[Tensor]:
        super().infer(inputs, options)
        return [Tensor("o", np.array([0.5, -0.5]))] if options.method == "explain" else [Tensor("o", np.array([1]))]


async def test_a_model_that_explains(serving):
    ask = await serving(Explainer())
    body = {"instances": [[1, 2]]}
    assert (await ask("POST", "/v1/models/m:explain", body)).json == {"explanations": [0.5, -0.5]}
    assert (await ask("POST", "/v1/models/m:predict", body)).json == {"predictions": [1]}
    large = {"instances": np.zeros((500, 200)).tolist()}
    assert (await ask("POST", "/v1/models/m:explain", large)).json == {"explanations": [0.5, -0.5]}


async def test_a_large_body_to_a_model_that_does_not_explain(serving, echo):
    ask = await serving(echo)
    answer = await ask("POST", "/v1/models/m:explain", {"instances": np.zeros((500, 200)).tolist()})
    assert (answer.status, answer.error) == (501, "Model with name m has no explainer.")


class ReadsHeaders(Echo):
    def __init__(self) -> None:
        super().__init__()
        self.reads_headers = True


@pytest.mark.parametrize("path", [PATH, "/v2/models/m/infer"])
async def test_a_model_that_reads_headers_gets_them(serving, path):
    model: TensorModel = ReadsHeaders()
    ask = await serving(model)
    body = {"instances": [[1]], "inputs": [{"name": "x", "shape": [1, 1], "datatype": "FP32", "data": [1]}]}
    if path == PATH:
        del body["inputs"]
    assert (await ask("POST", path, body, {"X-Mine": "a"})).status == 200
    assert model.options.headers is not None and model.options.headers["x-mine"] == "a"
