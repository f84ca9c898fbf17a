"""KServe's V1 protocol."""

from __future__ import annotations

import numpy as np
import pytest

from mizzen.serve.model import Options, Tensor, TensorModel

ROWS = [[5.1, 3.5, 1.4, 0.2], [6.8, 2.8, 4.8, 1.4], [6.0, 3.4, 4.5, 1.6], [7.7, 2.6, 6.9, 2.3]]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/", b'{"status":"alive"}'),
        ("/v1/models", b'{"models":["iris"]}'),
        ("/v1/models/iris", b'{"name":"iris","ready":true}'),
    ],
)
async def test_what_can_be_asked_about_the_server(ask, path, body):
    answer = await ask("GET", path)
    assert (answer.status, answer.body) == (200, body)


async def test_predictions(ask, classifier):
    answer = await ask.predict("iris", ROWS)
    assert answer.body == b'{"predictions":[0,1,1,2]}'
    assert answer.headers["content-type"] == "application/json"
    assert classifier.predict(ROWS).tolist() == [0, 1, 1, 2]


async def test_inputs_win_over_instances(ask):
    body = {"instances": ROWS[:1], "inputs": ROWS[-1:], "unknown": None}
    assert (await ask("POST", "/v1/models/iris:predict", body)).json == {"predictions": [2]}


async def test_the_colon_may_be_escaped(ask):
    assert (await ask("POST", "/v1/models/iris%3Apredict", {"instances": ROWS})).status == 200


@pytest.mark.parametrize(
    ("body", "text"),
    [
        pytest.param(b"", "Unrecognized request format: ", id="nothing"),
        pytest.param(b"{instances}", "Unrecognized request format: ", id="not JSON"),
        pytest.param(b'{"instances": [["\xff"]]}', "not UTF-8", id="not UTF-8"),
        pytest.param(b'{"instances": ' + b"[" * 100_000, "nested too deeply", id="deep"),
        pytest.param([1], "must be a JSON object", id="a list"),
        pytest.param({}, 'needs "instances"', id="neither"),
        pytest.param({"instances": 5}, 'Expected "instances" to be a list', id="a number"),
        pytest.param({"inputs": {}}, 'Expected "inputs" to be a list', id="inputs an object"),
        pytest.param({"instances": []}, "at least one row", id="no row"),
        pytest.param({"instances": [[1, 2], [3]]}, "row 0 has 2 values, row 1 has 1 value", id="ragged"),
        pytest.param({"instances": [[1, 2], 3]}, "row 0 has 2 values, row 1 has no list", id="a number as row"),
        pytest.param({"instances": [[1, [2]], [3, 4]]}, "lists within a row", id="ragged within"),
        pytest.param({"instances": [{"a": 1}, 2]}, '"instances"[1] must be an object', id="objects and numbers"),
        pytest.param({"instances": [{"a": [1, 2], "b": [1]}]}, "columns of different lengths", id="uneven columns"),
        pytest.param({"instances": [{}]}, "has no columns", id="empty object"),
    ],
)
async def test_what_is_no_request_is_400_and_says_why(ask, body, text):
    answer = await ask("POST", "/v1/models/iris:predict", body)
    assert answer.status == 400
    assert text in answer.error


async def test_rows_that_the_model_cannot_take_are_400_with_its_text(ask):
    answer = await ask.predict("iris", [[1.0, 2.0]])
    assert (answer.status, answer.error) == (400, "X has 2 features, but SVC is expecting 4 features as input.")


VERBS = "what is asked of a model is POSTed to its :predict or :explain"


@pytest.mark.parametrize(
    ("method", "path", "status", "text"),
    [
        ("GET", "/v1/models/other", 404, "Model with name other does not exist."),
        ("POST", "/v1/models/other:predict", 404, "Model with name other does not exist."),
        ("GET", "/v1/models/iris:predict", 405, "/v1/models/iris:predict takes POST, not GET"),
        ("GET", "/v1/models/iris:explain", 405, "/v1/models/iris:explain takes POST, not GET"),
        ("GET", "/v1/models/iris:foo", 404, "Model with name iris:foo does not exist."),
        ("POST", "/v1/models/iris", 405, f"/v1/models/iris takes GET, not POST; {VERBS}"),
        ("POST", "/v1/models/iris:foo", 405, f"/v1/models/iris:foo takes GET, not POST; {VERBS}"),
        ("POST", "/v1/models/iris:explain", 501, "Model with name iris has no explainer."),
        ("POST", "/v1/models/other:explain", 404, "Model with name other does not exist."),
        ("GET", "/v1", 404, "nothing is served at /v1"),
    ],
)
async def test_what_is_not_served(ask, method, path, status, text):
    answer = await ask(method, path, b"{}" if method == "POST" else None)
    assert (answer.status, answer.error) == (status, text)
    if status == 405:
        assert set(answer.headers["allow"].split(", ")) >= {"POST" if method == "GET" else "GET"}


class Echo(TensorModel):
    """Answers with its inputs, so that a test sees what arrived."""

    def load(self) -> None:
        self.seen: list[list[Tensor]] = []

    def infer(self, inputs: list[Tensor], options: Options) -> list[Tensor]:
        self.seen.append(inputs)
        return inputs


@pytest.mark.parametrize(
    ("instances", "dtype", "shape"),
    [
        ([[1, 2], [3, 4]], "int64", (2, 2)),
        ([[1.5, 2], [3, 4]], "float64", (2, 2)),
        ([[True, False]], "bool", (1, 2)),
        ([1, 2, 3], "int64", (3,)),
        ([[[1, 2], [3, 4]]], "int64", (1, 2, 2)),
        (["a", "bc"], "object", (2,)),
        ([["a", 1.5], ["b", 2]], "object", (2, 2)),
        ([[1.5, None]], "float64", (1, 2)),
        ([[None], [2]], "float64", (2, 1)),
        ([None, 1.5], "float64", (2,)),
        ([["a", None]], "object", (1, 2)),
        ([[True, None]], "object", (1, 2)),
        ([[2**70, 1]], "object", (1, 2)),
    ],
)
async def test_rows_become_arrays_and_predictions_rows(serving, instances, dtype, shape):
    model = Echo("m")
    ask = await serving(model)
    answer = await ask.predict("m", instances)
    [[seen]] = model.seen
    assert (seen.array.dtype, seen.array.shape) == (np.dtype(dtype), shape)
    assert answer.json == {"predictions": instances}


@pytest.mark.parametrize(
    "instances",
    [
        [{"a": [1, 2], "b": ["x", None]}],
        [[{"a": 1, "b": "x"}, {"a": 2, "b": None}]],
        [[{"a": 1, "b": "x"}], [{"a": 2}]],
        [{"a": 1, "b": "x"}, {"a": 2}],
    ],
)
async def test_objects_become_columns_and_rows_of_objects_again(serving, instances):
    model = Echo("m")
    ask = await serving(model)
    answer = await ask.predict("m", instances)
    assert [(tensor.name, tensor.array.tolist()) for tensor in model.seen[0]] == [("a", [1, 2]), ("b", ["x", None])]
    assert answer.json == {"predictions": [{"a": 1, "b": "x"}, {"a": 2, "b": None}]}


@pytest.mark.parametrize(
    ("array", "predictions"),
    [
        (np.array([1.5, np.nan, -np.inf]), [1.5, None, None]),
        (np.array([[0.25, 0.75]]), [[0.25, 0.75]]),
        (np.array(["setosa"]), ["setosa"]),
        (np.array([np.float64(1.5), np.int64(2), np.bool_(True)], dtype=object), [1.5, 2, True]),
        (np.array(["2024-05-01"], "datetime64[D]"), ["2024-05-01"]),
    ],
)
async def test_what_predictions_look_like(serving, array, predictions):
    class Fixed(Echo):
        def infer(self, inputs: list[Tensor], options: Options) -> list[Tensor]:
            return [Tensor("output-0", array)]

    ask = await serving(Fixed("m"))
    assert (await ask.predict("m", [[1]])).json == {"predictions": predictions}
