"""A custom model's stages: in which order, with what, over V1 and V2, plain and asynchronous."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from custom_serving import tensor
from mizzen.serve import (
    InferOutput,
    InferRequest,
    InferResponse,
    Model,
    get_predict_input,
    get_predict_response,
)


class Doubling(Model):
    """Answers in the protocol that it is asked in."""

    def __init__(self, name: str = "m") -> None:
        super().__init__(name)
        self.ready = True

    def predict(self, payload: Any, headers: Any = None) -> Any:
        return get_predict_response(payload, get_predict_input(payload) * 2, self.name)


class Steps(Model):
    """Writes down who is called with what."""

    def load(self) -> bool:
        self.seen: list[Any] = []
        self.ready = True
        return True

    def preprocess(self, payload: Any, headers: dict[str, str]) -> Any:
        self.seen.append(("preprocess", payload, headers["x-who"]))
        headers["x-who"] = "preprocess"
        return [*payload["instances"], 2]

    async def predict(self, payload: Any, headers: dict[str, str]) -> Any:
        self.seen.append(("predict", payload, headers["x-who"]))
        headers["x-who"] = "predict"
        return [one + 1 for one in payload]

    def explain(self, payload: Any, headers: dict[str, str]) -> Any:
        self.seen.append(("explain", payload))
        return payload

    async def postprocess(self, result: Any, headers: dict[str, str]) -> Any:
        self.seen.append(("postprocess", result, headers["x-who"]))
        return {"predictions": result}


async def test_stages_follow_each_other_and_share_the_headers(offer):
    model = Steps("m")
    serve = await offer(model)
    answer = await serve.predict("m", {"instances": [1]}, {"X-Who": "client"})
    assert (answer.status, answer.json) == (200, {"predictions": [2, 3]})
    assert model.seen == [
        ("preprocess", {"instances": [1]}, "client"),
        ("predict", [1, 2], "preprocess"),
        ("postprocess", [2, 3], "predict"),
    ]
    model.seen.clear()
    answer = await serve("POST", "/v1/models/m:explain", {"instances": [1]}, {"x-who": "client"})
    assert (answer.status, answer.json) == (200, {"predictions": [1, 2]})
    assert [seen[0] for seen in model.seen] == ["preprocess", "explain", "postprocess"]


async def test_one_class_answers_both_protocols(offer):
    serve = await offer(Doubling())
    assert (await serve.predict("m", {"instances": [[1, 2], [3, 4]]})).json == {"predictions": [[2, 4], [6, 8]]}
    answer = await serve.infer("m", tensor([1.5, 2.0, 3.0, 4.0], [2, 2]), id="seven")
    assert answer.status == 200
    assert answer.json["id"] == "seven"
    assert answer.json["outputs"] == [
        {"name": "output-0", "shape": [2, 2], "datatype": "FP32", "parameters": None, "data": [3.0, 4.0, 6.0, 8.0]}
    ]


async def test_binary_tensors_reach_the_model_and_come_back(offer):
    serve = await offer(Doubling())
    rows = np.array([[1, 2], [3, 4]], np.float16)
    head = json.dumps(
        {
            "inputs": [{"name": "a", "shape": [2, 2], "datatype": "FP16", "parameters": {"binary_data_size": 8}}],
            "parameters": {"binary_data_output": True},
        }
    ).encode()
    answer = await serve(
        "POST",
        "/v2/models/m/infer",
        head + rows.tobytes(),
        {"content-type": "application/octet-stream", "inference-header-content-length": str(len(head))},
    )
    assert answer.status == 200, answer.body
    size = int(answer.headers["inference-header-content-length"])
    assert np.frombuffer(answer.body[size:], np.float16).tolist() == [2, 4, 6, 8]


async def test_a_model_sees_a_request_as_kserve_shows_it(offer):
    seen: list[Any] = []

    class Looking(Model):
        def predict(self, request: InferRequest, headers: Any = None) -> InferResponse:
            first = request.inputs[0]
            seen.append((request.id, request.model_name, request.parameters, first.name, first.shape, first.datatype))
            seen.append([request.inputs[1].data, request.get_input_by_name("t").as_string()])
            seen.append([one.name for one in request.request_outputs or ()])
            first.as_numpy()[0, 0] = 9  # its own to write to
            output = InferOutput("b", [1, 2], "FP32", first.as_numpy())
            other = InferOutput("a", [2], "BYTES", ["x", "y"], {"kind": "texts"})
            return InferResponse("mine", "m", [other, output], parameters={"took": 3})

    serve = await offer(Looking("m"))
    answer = await serve.infer(
        "m",
        tensor([1.0, 2.0], [1, 2], name="f"),
        tensor(["ä", "b"], datatype="BYTES", name="t"),
        id="7",
        parameters={"k": "v"},
        outputs=[{"name": "b"}],
    )
    assert seen == [("7", "m", {"k": "v"}, "f", [1, 2], "FP32"), [["ä", "b"], ["ä", "b"]], ["b"]]
    assert answer.status == 200, answer.body
    assert answer.json["id"] == "7"
    assert answer.json["parameters"] == {"took": 3}
    assert [(one["name"], one["data"]) for one in answer.json["outputs"]] == [("b", [9.0, 2.0])]


async def test_a_v2_shaped_dict_is_an_answer_too(offer):
    class Dict(Model):
        def predict(self, request: InferRequest, headers: Any = None) -> dict[str, Any]:
            contents = {"fp32_contents": [1.0, 2.0]}
            return {
                "id": "1",
                "model_name": "m",
                "outputs": [
                    {"name": "o", "shape": [2], "datatype": "FP32", "contents": contents},
                    {"name": "p", "shape": [1], "datatype": "INT64", "data": [5]},
                ],
            }

    serve = await offer(Dict("m"))
    answer = await serve.infer("m", tensor([1.0]))
    assert [one["data"] for one in answer.json["outputs"]] == [[1.0, 2.0], [5]]


async def test_an_infer_response_on_the_v1_path_is_its_json(offer):
    class Odd(Model):
        def predict(self, payload: Any, headers: Any = None) -> InferResponse:
            return InferResponse("1", "m", [InferOutput("o", [2], "INT64", [1, 2])])

    serve = await offer(Odd("m"))
    assert (await serve.predict("m", {"instances": []})).json == {
        "id": "1",
        "model_name": "m",
        "model_version": None,
        "outputs": [{"name": "o", "shape": [2], "datatype": "INT64", "data": [1, 2]}],
    }


@pytest.mark.parametrize(
    ("result", "body", "media"),
    [
        ({"a": [1, None]}, b'{"a":[1,null]}', "application/json"),
        ([1, 2], b"[1,2]", "application/json"),
        ("text", b"text", None),
        (b"\x00\xff", b"\x00\xff", None),
        ({"a": np.array([1.5]), "b": np.int64(3)}, b'{"a":[1.5],"b":3}', "application/json"),
        ({"a": float("nan")}, b'{"a":null}', "application/json"),
    ],
)
async def test_what_predict_returns_is_what_v1_answers(offer, result, body, media):
    class Fixed(Model):
        def predict(self, payload: Any, headers: Any = None) -> Any:
            return result

    answer = await (await offer(Fixed("m"))).predict("m", {})
    assert (answer.status, answer.body, answer.headers.get("content-type")) == (200, body, media)


async def test_what_is_not_json_reaches_the_model_as_bytes(offer):
    class Echo(Model):
        def predict(self, payload: Any, headers: Any = None) -> Any:
            return {"type": type(payload).__name__, "size": len(payload)}

    serve = await offer(Echo("m"))
    answer = await serve.predict("m", b"\xff\xfe\x00", {"content-type": "image/png"})
    assert answer.json == {"type": "bytes", "size": 3}


async def test_response_headers_are_the_models_to_set(offer):
    class Telling(Model):
        def __init__(self) -> None:
            super().__init__("m", return_response_headers=True)

        async def predict(self, payload: Any, headers: Any, response_headers: dict[str, str]) -> Any:
            response_headers["x-model"] = "seven"
            if isinstance(payload, InferRequest):
                return get_predict_response(payload, np.array([1]), "m")
            return {"predictions": []}

        async def postprocess(self, result: Any, headers: Any, response_headers: dict[str, str]) -> Any:
            response_headers["x-more"] = response_headers["x-model"]
            return result

    serve = await offer(Telling())
    for answer in (await serve.predict("m", {"instances": []}), await serve.infer("m", tensor([1.0]))):
        assert answer.status == 200
        assert (answer.headers["x-model"], answer.headers["x-more"]) == ("seven", "seven")


async def test_stages_take_as_many_arguments_as_they_like(offer):
    class Old(Model):
        """As KServe's first versions had it: no headers at all."""

        def preprocess(self, inputs: Any) -> Any:
            return inputs

        def predict(self, inputs: Any, *, flag: bool = False) -> Any:
            return {"predictions": inputs["instances"], "flag": flag}

        def postprocess(self, inputs: Any) -> Any:
            return inputs

    assert (await (await offer(Old("m"))).predict("m", {"instances": [1]})).json == {"predictions": [1], "flag": False}


async def test_metadata_is_what_the_model_says(offer):
    class Known(Doubling):
        async def get_input_types(self) -> list[dict[str, Any]]:
            return [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}]

        def get_output_types(self) -> list[dict[str, Any]]:
            return [{"name": "y", "datatype": "INT64", "shape": [-1]}]

    answer = await (await offer(Known())).__call__("GET", "/v2/models/m")
    assert answer.json["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}]
    assert answer.json["outputs"] == [{"name": "y", "datatype": "INT64", "shape": [-1]}]


async def test_a_model_that_is_callable_does_it_all_itself(offer):
    class Whole(Model):
        async def __call__(self, body: Any, headers: Any = None, verb: Any = None) -> Any:
            return {"predictions": [body["instances"], verb.name]}, {"x-by": "itself"}

    serve = await offer(Whole("m"))
    answer = await serve.predict("m", {"instances": 1})
    assert (answer.json, answer.headers["x-by"]) == ({"predictions": [1, "PREDICT"]}, "itself")


async def test_a_model_can_be_asked_without_a_server():
    result, headers = await Doubling()({"instances": [1, 2]})
    assert (result, headers) == ({"predictions": [2, 4]}, {})


async def test_each_stage_has_its_time_in_the_metrics(offer):
    serve = await offer(Steps("steps"), Doubling("plain"))
    for _ in range(3):
        await serve.predict("steps", {"instances": [1]}, {"x-who": "client"})
    await serve("POST", "/v1/models/steps:explain", {"instances": [1]}, {"x-who": "client"})
    await serve.infer("plain", tensor([1.0]))
    await serve.predict("plain", {"instances": [1]})
    text = (await serve("GET", "/metrics")).body.decode()
    counts = {
        (stage, name): float(next(line for line in text.splitlines() if line.startswith(prefix)).rpartition(" ")[2])
        for stage in ("preprocess", "predict", "explain", "postprocess")
        for name in ("steps", "plain")
        if (prefix := f'request_{stage}_seconds_count{{model_name="{name}"}}')
    }
    assert counts["predict", "steps"] == 3
    assert counts["explain", "steps"] == 1
    assert counts["preprocess", "steps"] == counts["postprocess", "steps"] == 4
    assert counts["predict", "plain"] == counts["preprocess", "plain"] == counts["postprocess", "plain"] == 2


async def test_joined_requests_of_a_model_that_says_its_rows_are_independent(offer):
    sizes: list[int] = []

    class Rows(Model):
        batchable = True

        def predict(self, request: Any, headers: Any = None) -> Any:
            import time

            rows = get_predict_input(request)
            sizes.append(len(rows))
            time.sleep(0.02)
            return get_predict_response(request, rows * 2, self.name)

    serve = await offer(Rows("m"))
    import asyncio

    answers = await asyncio.gather(*(serve.infer("m", tensor([float(one)], [1, 1]), id=str(one)) for one in range(40)))
    assert [answer.json["outputs"][0]["data"] for answer in answers] == [[2.0 * one] for one in range(40)]
    assert max(sizes) > 1
    assert len(sizes) < 80, "40 requests, and the comparisons of the first batches"
    assert (await serve.predict("m", {"instances": [3]})).json == {"predictions": [6]}
