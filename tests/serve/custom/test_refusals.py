"""What a custom model cannot do, or has no time for, is said in words; and its times are told once."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any

import pytest

from custom_serving import Serving, tensor
from mizzen.serve import Model
from mizzen.serve.server import ModelServer


class Slow(Model):
    def __init__(self) -> None:
        super().__init__("m")
        self.ready = True
        self.go = threading.Event()
        self.seen: list[Any] = []

    def predict(self, payload: Any, headers: Any = None) -> Any:
        self.seen.append(payload)
        self.go.wait(20)
        return {"predictions": []}


class SlowAsync(Slow):
    async def predict(self, payload: Any, headers: Any = None) -> Any:  # type: ignore[override]
        self.seen.append(payload)
        while not self.go.is_set():
            await asyncio.sleep(0.01)
        return {"predictions": []}


class Forgetful(Model):
    def __init__(self) -> None:
        super().__init__("m")
        self.ready = True

    def predict(self, payload: Any, headers: Any = None) -> Any:
        payload["instances"]

    def explain(self, payload: Any, headers: Any = None) -> Any:
        pass


class Prepared(Model):
    """Has no predict."""

    def __init__(self) -> None:
        super().__init__("m")
        self.ready = True

    def preprocess(self, payload: Any, headers: Any = None) -> Any:
        return payload


class Quick(Forgetful):
    def predict(self, payload: Any, headers: Any = None) -> Any:
        return payload if isinstance(payload, dict) else {"outputs": [payload.inputs[0].to_dict()]}


@pytest.mark.parametrize("kind", [Slow, SlowAsync])
async def test_the_time_that_a_v1_request_gives_is_kept(offer, kind):
    model = kind()
    serving: Serving = await offer(model)
    body = {"parameters": {"timeout": 300_000}, "instances": [2]}
    try:
        answer = await serving.predict("m", body)
        assert (answer.status, answer.error) == (
            504,
            "The model did not answer within the time that the request gave it.",
        )
        assert model.seen == [body]
    finally:
        model.go.set()
    assert (await serving.predict("m", {"instances": [2]})).status == 200


@pytest.mark.parametrize("verb", ["predict", "explain"])
async def test_a_model_that_returns_nothing_has_failed(offer, verb):
    serving: Serving = await offer(Forgetful())
    answer = await serving("POST", f"/v1/models/m:{verb}", {"instances": [2]})
    assert (answer.status, answer.error) == (
        500,
        "the model returned nothing: does its predict, explain or postprocess lack a return?",
    )


async def test_a_class_without_predict_is_said_to_have_none(offer, caplog):
    with caplog.at_level(logging.WARNING, "mizzen"):
        serving: Serving = await offer(Prepared())
    [warning] = [record.getMessage() for record in caplog.records if "no method predict" in record.getMessage()]
    assert warning.startswith("model m: Prepared has no method predict(self, payload, headers=None), and no predictor")
    answer = await serving.predict("m", {"instances": [2]})
    assert (answer.status, answer.error) == (
        501,
        "Could not find predictor_host: Prepared has no predict of its own, and no server is named that is to be asked "
        "(--predictor_host).",
    )


@pytest.mark.parametrize("itself", [False, True])
async def test_each_request_has_one_line_of_its_times(offer, caplog, itself):
    model = Quick()
    model.enable_latency_logging = itself
    serving: Serving = await offer(model)
    server = ModelServer(serving.repository, latency=True)
    [(_, port)] = await server.listen("127.0.0.1", 0)
    url, serving.url = serving.url, f"http://127.0.0.1:{port}"
    try:
        with caplog.at_level(logging.INFO, "mizzen.trace"):
            assert (await serving.predict("m", {"instances": [2]}, {"x-request-id": "1"})).status == 200
            assert (await serving.infer("m", tensor([[1.0]]), headers={"x-request-id": "2"})).status == 200
    finally:
        serving.url = url
        await server.drain(0, 0)
    lines = [record.getMessage() for record in caplog.records if record.name == "mizzen.trace"]
    assert [line.partition(",")[0] for line in lines] == ["requestId: 1", "requestId: 2"]
