"""A model before a predictor: over each protocol, from each protocol, with its errors, headers and health."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import numpy as np
import pytest

from custom_serving import Serving, tensor
from mizzen.http.server import Server
from mizzen.serve import (
    InferInput,
    InferRequest,
    InferResponse,
    InvalidInput,
    Model,
    ModelNotReady,
    PredictorConfig,
    get_predict_input,
    get_predict_response,
)

PROTOCOLS = ["v1", "v2", "grpc-v2"]


class Tripling(Model):
    """The predictor: answers in the protocol that it is asked in, and remembers what it got."""

    def __init__(self, name: str = "m") -> None:
        super().__init__(name, return_response_headers=True)
        self.headers: list[dict[str, str]] = []
        self.payloads: list[Any] = []
        self.error: BaseException | None = None

    async def predict(self, payload: Any, headers: Any = None, response_headers: Any = None) -> Any:
        self.headers.append(headers)
        self.payloads.append(payload)
        response_headers["x-predictor"] = "here"
        if self.error is not None:
            raise self.error
        values = get_predict_input(payload)
        if isinstance(values, list):
            return get_predict_response(payload, [3 * value for value in values], self.name)
        return get_predict_response(payload, values * 3, self.name)

    async def explain(self, payload: Any, headers: Any = None) -> Any:
        return {"explanations": payload["instances"]}


class Before(Model):
    """A transformer that changes nothing."""

    def __init__(self, config: PredictorConfig, name: str = "m") -> None:
        super().__init__(name, config)
        self.ready = True


@pytest.fixture
async def predictor(offer):
    return await offer(Tripling())


def model_of(serving: Serving) -> Any:
    return serving.repository.get("m").model.model  # type: ignore[attr-defined]


def to(serving: Serving, protocol: str, **more: Any) -> PredictorConfig:
    return PredictorConfig(f"127.0.0.1:{serving.port}", protocol, **more)


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_either_protocol_before_a_predictor_of_any(offer, predictor, protocol):
    front = await offer(Before(to(predictor, protocol)))
    answer = await front.predict("m", {"instances": [[1, 2], [3, 4]]})
    assert (answer.status, answer.json) == (200, {"predictions": [[3, 6], [9, 12]]})
    answer = await front.infer("m", tensor([1.5, 2, 3, 4], [2, 2]), id="7")
    assert answer.status == 200, answer.body
    assert answer.json["id"] == "7"
    assert [(one["shape"], one["data"]) for one in answer.json["outputs"]] == [([2, 2], [4.5, 6.0, 9.0, 12.0])]
    kinds = {type(payload) for payload in model_of(predictor).payloads}
    assert kinds == ({dict} if protocol == "v1" else {InferRequest})


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_texts_and_tables_cross_too(offer, predictor, protocol):
    front = await offer(Before(to(predictor, protocol)))
    assert (await front.predict("m", {"instances": ["ä", "b"]})).json == {"predictions": ["äää", "bbb"]}
    table = {"instances": [{"a": 1.5, "b": 2.0}, {"a": 3.0, "b": 4.0}]}
    assert (await front.predict("m", table)).json == {"predictions": [{"a": 4.5, "b": 6.0}, {"a": 9.0, "b": 12.0}]}
    answer = await front.infer("m", tensor(["ä", "b"], datatype="BYTES"))
    assert answer.json["outputs"][0]["data"] == ["äää", "bbb"]


@pytest.mark.parametrize("protocol", ["v2", "grpc-v2"])
async def test_half_floats_have_no_json_and_cross_all_the_same(offer, predictor, protocol):
    front = await offer(Before(to(predictor, protocol)))
    rows = np.array([[1, 2]], np.float16)
    head = json.dumps(
        {
            "inputs": [{"name": "a", "shape": [1, 2], "datatype": "FP16", "parameters": {"binary_data_size": 4}}],
            "outputs": [{"name": "output-0", "parameters": {"binary_data": True}}],
        }
    ).encode()
    fields = {"content-type": "application/octet-stream", "inference-header-content-length": str(len(head))}
    answer = await front("POST", "/v2/models/m/infer", head + rows.tobytes(), fields)
    assert answer.status == 200, answer.body
    size = int(answer.headers["inference-header-content-length"])
    assert np.frombuffer(answer.body[size:], np.float16).tolist() == [3, 6]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InvalidInput("four columns, please"), 400),
        (ModelNotReady("m", "still cold"), 503),
        (NotImplementedError("not for you"), 501),
        (RuntimeError("broken pipe dream"), 500),
    ],
)
async def test_a_predictors_error_keeps_its_status_and_words(offer, predictor, protocol, error, status):
    model_of(predictor).error = error
    front = await offer(Before(to(predictor, protocol)))
    answer = await front.predict("m", {"instances": [[1, 2]]})
    assert (answer.status, answer.json) == (status, {"error": str(error)})


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_model_that_the_predictor_has_not_is_404(offer, predictor, protocol):
    front = await offer(Before(to(predictor, protocol), name="other"))
    answer = await front.predict("other", {"instances": [[1, 2]]})
    assert (answer.status, answer.error) == (404, "Model with name other does not exist.")


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_fields_that_name_the_request_go_on_and_no_others(offer, predictor, protocol):
    front = await offer(Before(to(predictor, protocol)))
    sent = {
        "x-request-id": "7",
        "x-b3-traceid": "abc",
        "Authorization": "Bearer secret",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "tracestate": "a=1",
        "x-other": "stays",
        "cookie": "stays",
    }
    assert (await front.predict("m", {"instances": [[1]]}, sent)).status == 200
    (got,) = model_of(predictor).headers
    for name in ("x-request-id", "x-b3-traceid", "authorization", "traceparent", "tracestate"):
        assert got[name] == {key.lower(): value for key, value in sent.items()}[name]
    assert "x-other" not in got
    assert "cookie" not in got


async def test_fields_of_the_predictors_answer_reach_a_model_that_wants_them(offer, predictor):
    class Passing(Before):
        def __init__(self, config: PredictorConfig) -> None:
            super().__init__(config)
            self.required_response_headers = True

    for protocol in ("v1", "v2"):
        front = await offer(Passing(to(predictor, protocol)))
        answer = await front.predict("m", {"instances": [[1]]})
        assert (answer.status, answer.headers["x-predictor"]) == (200, "here")
        assert int(answer.headers["content-length"]) == len(answer.body)


async def test_what_a_model_writes_in_the_predictors_protocol_goes_as_it_is(offer, predictor):
    class Writing(Before):
        def preprocess(self, payload: Any, headers: Any = None) -> Any:
            return {"inputs": [{"name": "x", "shape": [2], "datatype": "INT64", "data": [1, 2]}]}

    class Setting(Before):
        def preprocess(self, payload: Any, headers: Any = None) -> Any:
            data = InferInput("x", [2], "FP32")
            data.set_data_from_numpy(np.array([1, 2], np.float32), binary_data=True)
            return InferRequest("m", [data], "own-id")

        def postprocess(self, result: Any, headers: Any = None) -> Any:
            assert isinstance(result, InferResponse)
            return {"id": result.id, "values": result.outputs[0].as_numpy().tolist()}

    for protocol in ("v2", "grpc-v2"):
        answer = await (await offer(Writing(to(predictor, protocol)))).predict("m", {})
        assert answer.json["outputs"][0]["data"] == [3, 6]
        answer = await (await offer(Setting(to(predictor, protocol)))).predict("m", {})
        assert answer.json == {"id": "own-id", "values": [3, 6]}


async def test_names_and_types_are_those_that_the_predictor_tells(offer):
    class Strict(Tripling):
        def get_input_types(self) -> Any:
            return [{"name": "pixels", "datatype": "FP32", "shape": [-1, 2]}]

        async def predict(self, payload: Any, headers: Any = None, response_headers: Any = None) -> Any:
            first = payload.inputs[0]
            assert (first.name, first.datatype) == ("pixels", "FP32")
            return get_predict_response(payload, first.as_numpy(), "m")

    predictor = await offer(Strict())
    for protocol in ("v2", "grpc-v2"):
        front = await offer(Before(to(predictor, protocol)))
        answer = await front.predict("m", {"instances": [[1, 2]]})
        assert (answer.status, answer.json) == (200, {"predictions": [[1.0, 2.0]]})


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_nobody_there_is_503_and_too_slow_is_504(offer, unused_tcp_port, protocol):
    front = await offer(Before(PredictorConfig(f"127.0.0.1:{unused_tcp_port}", protocol)))
    answer = await front.predict("m", {"instances": [[1]]})
    assert answer.status == 503
    assert str(unused_tcp_port) in answer.error

    class Slow(Tripling):
        async def predict(self, payload: Any, headers: Any = None, response_headers: Any = None) -> Any:
            await asyncio.sleep(30)

    predictor = await offer(Slow())
    front = await offer(Before(to(predictor, protocol, predictor_request_timeout_seconds=0.3)))
    assert (await front.predict("m", {"instances": [[1]]})).status == 504


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_predictor_that_is_not_ready_is_asked_again(offer, predictor, protocol):
    model = model_of(predictor)
    model.error = ModelNotReady("m")

    async def recover() -> None:
        while len(model.payloads) < 2:
            await asyncio.sleep(0.01)
        model.error = None

    recovering = asyncio.create_task(recover())
    front = await offer(Before(to(predictor, protocol, predictor_request_retries=20)))
    assert (await front.predict("m", {"instances": [[1]]})).json == {"predictions": [[3]]}
    await recovering
    model.error = InvalidInput("no")
    model.payloads.clear()
    assert (await front.predict("m", {"instances": [[1]]})).status == 400
    assert len(model.payloads) == 1, "what the predictor has refused is not asked again"


async def test_without_a_predictor_it_is_501(offer):
    front = await offer(Before(PredictorConfig(None)))
    answer = await front.predict("m", {"instances": [[1]]})
    assert (answer.status, answer.error) == (
        501,
        "Could not find predictor_host: Before has no predict of its own, and no server is named that is to be asked "
        "(--predictor_host).",
    )


async def test_an_explainer_is_asked_in_v1(offer, predictor):
    class Asking(Before):
        def __init__(self, config: PredictorConfig) -> None:
            super().__init__(config)
            self.explainer_host = config.predictor_host

    front = await offer(Asking(to(predictor, "v2")))
    assert (await front.explain("m", {"instances": [1]})).json == {"explanations": [1]}


async def test_a_plain_explainer_asks_as_often_as_its_library_likes(offer, predictor):
    class Explaining(Before):
        def explain(self, payload: Any, headers: Any = None) -> Any:
            rows = [self.ask_predictor({"instances": [[one]]}, headers)["predictions"][0][0] for one in range(5)]
            return {"explanations": rows}

    for protocol in PROTOCOLS:
        front = await offer(Explaining(to(predictor, protocol)))
        answer = await front.explain("m", {"instances": [1]})
        assert answer.json == {"explanations": [0, 3, 6, 9, 12]}


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_readiness_is_the_predictors_where_it_is_told_so(offer, predictor, protocol):
    checked = await offer(Before(to(predictor, protocol, predictor_health_check=True)))
    alone = await offer(Before(to(predictor, protocol)))

    async def becomes(path: str, status: int) -> Any:
        async with asyncio.timeout(20):
            while (answer := await checked("GET", path)).status != status:
                await asyncio.sleep(0.05)
            return answer

    await becomes("/v2/models/m/ready", 200)
    await becomes("/v2/health/ready", 200)
    model_of(predictor).ready = False
    answer = await becomes("/v2/models/m/ready", 503)
    assert "predictor is not ready" in answer.error
    await becomes("/v1/models/m", 503)
    await becomes("/v2/health/ready", 503)
    assert (await alone("GET", "/v2/models/m/ready")).status == 200
    model_of(predictor).ready = True
    await becomes("/v2/health/ready", 200)


async def test_a_client_that_goes_away_is_gone_for_the_predictor_too(offer):
    cancelled = asyncio.Event()
    loop = asyncio.get_running_loop()

    class Slow(Tripling):
        async def predict(self, payload: Any, headers: Any = None, response_headers: Any = None) -> Any:
            self.payloads.append(payload)
            try:
                await asyncio.sleep(30)
            finally:
                loop.call_soon_threadsafe(cancelled.set)

    predictor = await offer(Slow())
    for protocol in PROTOCOLS:
        model_of(predictor).payloads.clear()
        cancelled.clear()
        front = await offer(Before(to(predictor, protocol)))
        asked = asyncio.create_task(front.predict("m", {"instances": [[1]]}))
        async with asyncio.timeout(20):
            while not model_of(predictor).payloads:
                await asyncio.sleep(0.01)
            asked.cancel()
            await cancelled.wait()


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (418, b"plain words", (418, "plain words")),
        (500, b'{"error": {"message": "deep"}}', (500, "deep")),
        (422, b'{"detail": "no"}', (422, "no")),
        (302, b"", (502, "answered 302")),
        (200, b"no json", (502, "is no JSON")),
        (200, b'{"model_name": "m"}', (502, "is no V2 answer")),
    ],
)
async def test_whatever_a_predictor_answers_is_told(offer, status, body, error):
    strange = Server(lambda exchange: exchange.respond(status, body))
    [(_, port)] = await strange.listen("127.0.0.1", 0)
    front = await offer(Before(PredictorConfig(f"127.0.0.1:{port}", "v2")))
    answer = await front.infer("m", tensor([1.0]))
    assert answer.status == error[0]
    assert error[1] in answer.error
    await strange.close(0)


async def test_the_attributes_that_older_models_set_are_heeded(offer, predictor):
    class Older(Model):
        def __init__(self, name: str, predictor_host: str, protocol: str) -> None:
            super().__init__(name)
            self.predictor_host = predictor_host
            self.protocol = protocol
            self.ready = True

    for protocol in PROTOCOLS:
        front = await offer(Older("m", f"127.0.0.1:{predictor.port}", protocol))
        assert (await front.predict("m", {"instances": [[2]]})).json == {"predictions": [[6]]}
