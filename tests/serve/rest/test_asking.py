"""What a V2 request says beside its tensors: parameters, outputs, deadlines, content types, ids."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import pytest

from mizzen.serve.codecs.contents import applied
from mizzen.serve.model import NO_OPTIONS, Extras, Tensor, TensorMetadata

from .conftest import Answers, Echo, PayloadLane, Payloads, Sleeper

T = {"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}


async def test_what_is_said_reaches_the_model(serving, echo):
    ask = await serving(echo)
    await ask.infer("m", T)
    assert echo.options is NO_OPTIONS
    await ask.infer("m", T | {"parameters": {"a": 1}}, parameters={"b": "c", "timeout": 10_000_000})
    assert echo.options.parameters == {"b": "c"}
    assert echo.seen[-1][0].parameters == {"a": 1}
    await ask.infer("m", T, outputs=[{"name": "x"}], parameters={"binary_data_output": False})
    assert (echo.options.parameters, echo.options.outputs) == (None, ("x",))
    nested = T | {"data": [[1, 2]], "parameters": {"a": 1}}
    await ask.infer("m", nested, parameters={"b": True})
    assert echo.options.parameters == {"b": True}
    assert echo.seen[-1][0].parameters == {"a": 1}


async def test_a_deadline(serving):
    model = Sleeper()
    ask = await serving(model)
    try:
        answer = await ask.infer("m", T, parameters={"timeout": 50_000})
        assert (answer.status, answer.error) == (
            504,
            "The model did not answer within the time that the request gave it.",
        )
        answer = await ask("POST", "/v1/models/m:predict", {"instances": [[1]], "parameters": {"timeout": 50_000}})
        assert answer.status == 504
    finally:
        model.go.set()
    assert (await ask.infer("m", T, parameters={"timeout": 20_000_000})).status == 200


@pytest.mark.parametrize("timeout", [0, -5, "soon", True, 1e20])
async def test_a_deadline_that_is_none(serving, echo, timeout):
    ask = await serving(echo)
    answer = await ask.infer("m", T, parameters={"timeout": timeout})
    assert (answer.status, "positive number of microseconds" in answer.error) == (400, True)


@pytest.mark.parametrize("path", ["/v1/models/m:predict", "/v2/models/m/infer"])
async def test_a_requests_id_comes_back(serving, echo, path):
    ask = await serving(echo)
    body: dict[str, Any] = {"inputs": [T]} if "v2" in path else {"instances": [[1]]}
    answer = await ask("POST", path, body, {"X-Request-Id": "mine"})
    assert (answer.status, answer.headers["x-request-id"]) == (200, "mine")
    answer = await ask("POST", path, {}, {"X-Request-Id": "mine"})
    assert (answer.status, answer.headers["x-request-id"]) == (400, "mine")
    assert "x-request-id" not in (await ask("POST", path, body)).headers


async def test_what_a_model_says_beside_its_tensors(asking):
    class Says(PayloadLane):
        def submit(self, call: Any) -> None:
            extras = Extras({"took": 1.5}, {"x-model": "a"})
            call.identifier = call.identifier or "given"
            call.give([Tensor("y", np.array([1]), {"unit": "m"})], extras)

    model = Payloads(lambda call: {}, "m")
    model.lane = Says(lambda call: {})
    ask = await asking(model)
    answer = await ask.infer("m", T)
    assert answer.headers["x-model"] == "a"
    assert answer.json["parameters"] == {"took": 1.5}
    assert answer.json["id"] == "given"
    assert answer.json["outputs"][0]["parameters"] == {"unit": "m"}
    answer = await ask.infer("m", T, parameters={"binary_data_output": True})
    import json

    said = json.loads(answer.body[: int(answer.headers["inference-header-content-length"])])
    assert said["parameters"] == {"took": 1.5}
    assert said["outputs"][0]["parameters"] == {"unit": "m", "binary_data_size": 8}


def texts(*values: Any) -> Tensor:
    return Tensor("t", np.array(values, object))


@pytest.mark.parametrize(
    ("named", "given", "found"),
    [
        ("str", (b"a", "ü"), ["a", "ü"]),
        ("pd", (b"a", "b"), ["a", "b"]),
        ("np", (b"a", "b"), [b"a", "b"]),
        ("hf", (b"a",), [b"a"]),
        ("base64", (base64.b64encode(b"\xff").decode(), b"AA=="), [b"\xff", b"\0"]),
        (
            "datetime",
            ("2026-01-02T03:04:05", b"2026-01-02T03:04:05+01:00", "2026-01-02"),
            np.array(["2026-01-02T03:04:05", "2026-01-02T02:04:05", "2026-01-02"], "M8[us]").tolist(),
        ),
    ],
)
def test_content_types(named, given, found):
    tensor = texts(*given)
    for way in ("input", "request", "model"):
        model = Echo(inputs=[TensorMetadata("t", "BYTES", [-1])])
        parameters = None
        tensor.parameters = None
        if way == "input":
            tensor.parameters = {"content_type": named}
        elif way == "request":
            parameters = {"content_type": named}
        else:
            model.inputs[0].parameters = {"content_type": named}
        [after] = applied([tensor], parameters, model)
        assert after.array.tolist() == found


def test_an_inputs_own_content_type_counts_before_the_models_and_that_before_the_requests():
    model = Echo(inputs=[TensorMetadata("t", "BYTES", [-1], {"content_type": "str"})])
    [after] = applied([texts(b"AA==")], {"content_type": "base64"}, model)
    assert after.array.tolist() == ["AA=="]
    tensor = texts(b"AA==")
    tensor.parameters = {"content_type": "base64"}
    assert applied([tensor], None, model)[0].array.tolist() == [b"\0"]


def test_numbers_have_no_content_type():
    tensor = Tensor("t", np.array([1.5]), {"content_type": "base64"})
    assert applied([tensor], {"content_type": "str"}, Echo()) == [tensor]


@pytest.mark.parametrize(
    ("named", "value"),
    [("str", "\xff"), ("base64", "?"), ("datetime", "soon"), ("datetime", "2026-13-01"), ("base64", "ü")],
)
async def test_what_is_not_what_its_content_type_says_is_400(serving, echo, named, value):
    import json

    ask = await serving(echo)
    text = {"name": "t", "shape": [1], "datatype": "BYTES", "parameters": {"content_type": named}}
    if named == "str":
        head = json.dumps({"inputs": [text | {"parameters": {"content_type": "str", "binary_data_size": 5}}]}).encode()
        answer = await ask(
            "POST",
            "/v2/models/m/infer",
            head + b"\x01\0\0\0\xff",
            {"inference-header-content-length": str(len(head))},
        )
    else:
        answer = await ask.infer("m", text | {"data": [value]})
    assert answer.status == 400
    assert answer.error.startswith(f"input 't' is not what its content type '{named}' says: ")


async def test_a_table_by_content_type(serving):
    """What KServe's clients send of a DataFrame."""
    model = Answers(Tensor("y", np.array([1, 2])))
    ask = await serving(model)
    columns = [
        {"name": "a", "shape": [2], "datatype": "FP64", "data": [1, 2]},
        {"name": "b", "shape": [2], "datatype": "BYTES", "data": ["x", "y"]},
    ]
    assert (await ask.infer("m", *columns, parameters={"content_type": "pd"})).status == 200
    assert [(one.name, one.array.tolist()) for one in model.seen[0]] == [("a", [1, 2]), ("b", ["x", "y"])]
    assert model.options.parameters == {"content_type": "pd"}


async def test_an_empty_list_of_outputs_means_all_as_over_grpc(serving):
    ask = await serving(Answers(Tensor("a", np.array([1])), Tensor("b", np.array([2]))))
    answer = await ask.infer("m", T, outputs=[])
    assert [one["name"] for one in answer.json["outputs"]] == ["a", "b"]
