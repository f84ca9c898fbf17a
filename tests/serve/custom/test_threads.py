"""Where a custom model runs: what it does to itself, and never to others."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from typing import Any

import pytest

from custom_serving import Answer, tensor
from mizzen.http.errors import HttpError
from mizzen.serve import InferenceError, InvalidInput, Model, ModelNotReady
from mizzen.serve.lanes.scheduling import Scheduling


class Echo(Model):
    async def predict(self, payload: Any, headers: Any = None) -> Any:
        return {"predictions": payload["instances"]}


async def test_a_hundred_that_wait_take_as_long_as_one(offer):
    at_once = most = 0

    class Waiting(Model):
        async def predict(self, payload: Any, headers: Any = None) -> Any:
            nonlocal at_once, most
            at_once += 1
            most = max(most, at_once)
            await asyncio.sleep(0.5)
            at_once -= 1
            return {"predictions": payload["instances"]}

    serve = await offer(Waiting("m"))
    answers = await asyncio.gather(*(serve.predict("m", {"instances": [one]}) for one in range(100)))
    assert [answer.json["predictions"] for answer in answers] == [[one] for one in range(100)]
    assert most == 100


async def test_a_plain_model_gets_one_request_at_a_time_on_a_thread_of_its_own(offer):
    inside = most = 0
    threads = set()

    class Plain(Model):
        def predict(self, payload: Any, headers: Any = None) -> Any:
            nonlocal inside, most
            inside += 1
            most = max(most, inside)
            time.sleep(0.005)
            inside -= 1
            threads.add(threading.current_thread())
            return {"predictions": payload["instances"]}

    serve = await offer(Plain("a"), Plain("b"))
    answers = await asyncio.gather(*(serve.predict("ab"[one % 2], {"instances": [one]}) for one in range(40)))
    assert [answer.json["predictions"] for answer in answers] == [[one] for one in range(40)]
    assert len(threads) == 2
    assert threading.main_thread() not in threads


async def test_loaded_and_asked_on_the_same_loop(offer):
    class Session(Model):
        async def load(self) -> None:
            self.loop = asyncio.get_running_loop()
            self.lock = asyncio.Lock()

        async def predict(self, payload: Any, headers: Any = None) -> Any:
            async with self.lock:
                return {"same": asyncio.get_running_loop() is self.loop}

    assert (await (await offer(Session("m"))).predict("m", {})).json == {"same": True}


async def test_concurrency_is_bounded_where_it_is_told(offer):
    inside = most = 0

    class Waiting(Model):
        async def predict(self, payload: Any, headers: Any = None) -> Any:
            nonlocal inside, most
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0.01)
            inside -= 1
            return {}

    serve = await offer(Waiting("m"), scheduling=Scheduling(concurrency=3))
    await asyncio.gather(*(serve.predict("m", {}) for _ in range(20)))
    assert most == 3


async def test_past_the_queue_limit_it_is_503_with_retry_after(offer):
    go = asyncio.Event()

    class Waiting(Model):
        async def predict(self, payload: Any, headers: Any = None) -> Any:
            while not go.is_set():
                await asyncio.sleep(0.01)
            return {}

    serve = await offer(Waiting("m"), scheduling=Scheduling(queue=2))
    taken = [asyncio.create_task(serve.predict("m", {})) for _ in range(2)]
    while serve.repository.get("m").in_flight < 2:
        await asyncio.sleep(0.01)
    refused = await serve.predict("m", {})
    assert refused.status == 503
    assert refused.headers["retry-after"] == "1"
    go.set()
    assert [(await one).status for one in taken] == [200, 200]


async def test_a_deadline_passes_and_the_coroutine_hears_of_it(offer):
    cancelled = threading.Event()

    class Slow(Model):
        async def predict(self, payload: Any, headers: Any = None) -> Any:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                cancelled.set()
                raise

    serve = await offer(Slow("m"), Echo("e"))
    answer = await serve.infer("m", tensor([1.0]), parameters={"timeout": 50_000})
    assert answer.status == 504
    assert await asyncio.to_thread(cancelled.wait, 20)
    assert serve.repository.get("m").ready
    assert (await serve.predict("e", {"instances": [1]})).status == 200


@pytest.mark.parametrize("protocol", ["v1", "v2"])
async def test_a_client_that_goes_away_cancels_the_coroutine(offer, protocol):
    began, cancelled = threading.Event(), threading.Event()

    class Slow(Model):
        async def predict(self, payload: Any, headers: Any = None) -> Any:
            began.set()
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                cancelled.set()
                raise

    serve = await offer(Slow("m"))
    asked = asyncio.create_task(serve.predict("m", {}) if protocol == "v1" else serve.infer("m", tensor([1.0])))
    assert await asyncio.to_thread(began.wait, 20)
    asked.cancel()
    assert await asyncio.to_thread(cancelled.wait, 20)
    async with asyncio.timeout(20):
        while serve.repository.get("m").in_flight:
            await asyncio.sleep(0.01)


async def test_those_that_wait_are_forgotten_with_their_clients(offer):
    seen: list[Any] = []
    go = threading.Event()

    class Plain(Model):
        def predict(self, payload: Any, headers: Any = None) -> Any:
            seen.append(payload)
            go.wait(20)
            return payload

    serve = await offer(Plain("m"))
    first = asyncio.create_task(serve.predict("m", 1))
    while not seen:
        await asyncio.sleep(0.01)
    gone = asyncio.create_task(serve.predict("m", 2))
    while serve.repository.get("m").in_flight < 2:
        await asyncio.sleep(0.01)
    gone.cancel()
    last = asyncio.create_task(serve.predict("m", 3))
    await asyncio.sleep(0.05)
    go.set()
    assert ((await first).json, (await last).json) == (1, 3)
    assert seen == [1, 3]


class Failing(Model):
    """Raises what it is told to."""

    def __init__(self, error: BaseException) -> None:
        super().__init__("m")
        self.error = error

    async def predict(self, payload: Any, headers: Any = None) -> Any:
        raise self.error


class WebError(Exception):
    """As a web framework's HTTPException."""

    def __init__(self) -> None:
        super().__init__("418: no")
        self.status_code = 418
        self.detail = "no coffee"


@pytest.mark.parametrize("protocol", ["v1", "v2"])
@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (InvalidInput("two columns are wanted"), 400, "two columns are wanted"),
        (ModelNotReady("m", "warming up"), 503, "Model with name m is not ready. warming up"),
        (InferenceError("no"), 500, "no"),
        (InferenceError("busy", "429"), 429, "[429] busy"),
        (NotImplementedError("not yet"), 501, "not yet"),
        (WebError(), 418, "no coffee"),
        (ValueError("bad"), 500, "bad"),
        (KeyError("instances"), 500, "'instances'"),
        (SystemExit(3), 500, "the model tried to end the process: sys.exit(3)"),
        (KeyboardInterrupt(), 500, "the model raised KeyboardInterrupt: "),
        (GeneratorExit("x"), 500, "the model raised GeneratorExit: x"),
        (asyncio.CancelledError(), 500, "the model's code was cancelled by itself"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
async def test_every_kind_of_error_is_an_answer(offer, error, status, text, protocol):
    serve = await offer(Failing(error))
    answer = await (serve.predict("m", {}) if protocol == "v1" else serve.infer("m", tensor([1.0])))
    assert (answer.status, answer.json) == (status, {"error": text})
    assert serve.repository.get("m").ready


async def test_a_task_of_the_models_own_cannot_end_the_process(offer):
    class Spawning(Model):
        async def predict(self, payload: Any, headers: Any = None) -> Any:
            async def leave() -> None:
                sys.exit(7)

            self.task = asyncio.create_task(leave())
            return {"predictions": []}

    model = Spawning("m")
    serve = await offer(model)
    for _ in range(3):
        assert (await serve.predict("m", {})).status == 200
        async with asyncio.timeout(20):
            while not model.task.done():
                await asyncio.sleep(0.01)
        assert isinstance(model.task.exception(), SystemExit)


@pytest.mark.parametrize("result", [None, {"predictions": [1]}, {}, "text", object()])
async def test_what_is_no_v2_answer_is_said_to_be_none(offer, result):
    class Odd(Model):
        def predict(self, payload: Any, headers: Any = None) -> Any:
            return result

    answer = await (await offer(Odd("m"))).infer("m", tensor([1.0]))
    assert answer.status == 500
    assert "it must return an InferResponse" in answer.error


async def test_a_model_that_blocks_for_ever_is_lost_and_nobody_else(offer):
    go = threading.Event()

    class Stuck(Model):
        def predict(self, payload: Any, headers: Any = None) -> Any:
            go.wait(60)
            return {}

    class StuckInside(Model):
        async def predict(self, payload: Any, headers: Any = None) -> Any:
            go.wait(60)  # plain code in a coroutine: its loop stands still
            return {}

    serve = await offer(Stuck("a"), StuckInside("b"), Echo("e"), scheduling=Scheduling(limit=0.5))
    lost = [asyncio.create_task(serve.predict(name, {})) for name in ("a", "a", "b", "b")]
    healthy: list[Answer] = []
    while not all(one.done() for one in lost):
        healthy.append(await serve.predict("e", {"instances": [1]}))
    for one in lost:
        answer = await one
        assert answer.status == 503
        assert "predict has not returned for 0.5 s" in answer.error
    assert {answer.status for answer in healthy} == {200}
    assert sorted(serve.stuck) == ["a: predict has not returned for 0.5 s", "b: predict has not returned for 0.5 s"]
    for name in ("a", "b"):
        assert (await serve("GET", f"/v2/models/{name}/ready")).status == 503
        assert (await serve.predict(name, {})).status == 503
    assert (await serve("GET", "/v2/models/e/ready")).status == 200
    go.set()


async def test_a_coroutine_past_the_limit_is_cancelled_and_its_model_lives(offer):
    cancelled = threading.Event()

    class Sometimes(Model):
        async def predict(self, payload: Any, headers: Any = None) -> Any:
            if payload.get("slow"):
                try:
                    await asyncio.sleep(60)
                finally:
                    cancelled.set()
            return {"predictions": []}

    serve = await offer(Sometimes("m"), scheduling=Scheduling(limit=0.4))
    late = await serve.predict("m", {"slow": True})
    assert late.status == 504
    assert "has not answered within 0.4 s" in late.error
    assert await asyncio.to_thread(cancelled.wait, 20)
    assert (await serve.predict("m", {})).status == 200
    assert serve.stuck == []


async def test_many_slow_ones_behind_each_other_are_no_sign_of_being_stuck(offer):
    class Plain(Model):
        async def predict(self, payload: Any, headers: Any = None) -> Any:
            time.sleep(0.15)  # noqa: ASYNC251 (what is tested)
            return {}

    serve = await offer(Plain("m"), scheduling=Scheduling(limit=0.6))
    answers = await asyncio.gather(*(serve.predict("m", {}) for _ in range(12)))
    assert {answer.status for answer in answers} <= {200, 504}
    assert serve.stuck == []


async def test_a_model_that_says_it_is_not_ready_is_not_asked(offer):
    model = Echo("m")
    serve = await offer(model)
    assert (await serve("GET", "/v1/models/m")).status == 200
    model.ready = False
    assert (await serve.predict("m", {"instances": []})).status == 503
    async with asyncio.timeout(20):
        while (await serve("GET", "/v1/models/m")).status == 200:
            await asyncio.sleep(0.05)
    model.ready = True
    async with asyncio.timeout(20):
        while (await serve("GET", "/v1/models/m")).status != 200:
            await asyncio.sleep(0.05)
    assert (await serve.predict("m", {"instances": []})).status == 200


async def test_health_is_asked_for(offer):
    class Moody(Echo):
        well = True

        async def healthy(self) -> bool:
            if self.well is None:
                raise RuntimeError("no pulse")
            return self.well

    model = Moody("m")
    serve = await offer(model)
    for mood, reason in ((False, "It says itself that it is not."), (None, "RuntimeError: no pulse")):
        model.well = mood
        async with asyncio.timeout(20):
            while (answer := await serve("GET", "/v2/models/m/ready")).status == 200 or reason not in answer.error:
                await asyncio.sleep(0.05)


async def test_start_stop_and_engine(offer):
    told: list[str] = []

    class Engine(Model):
        def __init__(self) -> None:
            super().__init__("m")
            self.engine = True

        def load(self) -> bool:
            told.append("load")
            return True

        def start(self) -> None:
            told.append("start")

        async def start_engine(self) -> None:
            told.append("engine")
            self.ready = True
            await asyncio.sleep(3600)

        def stop(self) -> None:
            told.append("stop")

        def stop_engine(self) -> None:
            told.append("stop engine")

        async def predict(self, payload: Any, headers: Any = None) -> Any:
            return {}

    serve = await offer(Engine())
    assert (await serve.predict("m", {})).status == 200
    await serve.repository.shut("m")
    assert told == ["load", "start", "engine", "stop", "stop engine"]
    assert (await serve.predict("m", {})).status == 404


async def test_streams_are_read_as_they_come(offer):
    class Streaming(Model):
        async def predict(self, payload: Any, headers: Any = None) -> Any:
            async def pieces() -> Any:
                for one in range(5):
                    yield f"{one}\n"
                    await asyncio.sleep(0)

            return pieces()

    class Plain(Model):
        def predict(self, payload: Any, headers: Any = None) -> Any:
            for one in range(5):
                yield f"{one}\n".encode()

    serve = await offer(Streaming("a"), Plain("b"))
    for name in ("a", "b"):
        answer = await serve.predict(name, {})
        assert (answer.status, answer.body) == (200, b"0\n1\n2\n3\n4\n")
        assert answer.headers["transfer-encoding"] == "chunked"
        assert not serve.repository.get(name).in_flight


async def test_a_stream_runs_no_further_ahead_than_a_few_pieces(offer):
    given = 0
    closed = threading.Event()

    class Endless(Model):
        async def predict(self, payload: Any, headers: Any = None) -> Any:
            async def pieces() -> Any:
                nonlocal given
                try:
                    while True:
                        given += 1
                        yield os.urandom(64 * 1024)
                finally:
                    closed.set()

            return pieces()

    serve = await offer(Endless("m"))
    response = await serve.client.request("POST", serve.url + "/v1/models/m:predict", body=b"{}")
    assert response.status == 200
    await response.piece()
    last = -1
    async with asyncio.timeout(20):
        while last != given:
            last = given
            await asyncio.sleep(0.3)
    assert given < 500, "it waits for its reader"
    response.close()
    assert await asyncio.to_thread(closed.wait, 20), "the generator hears that nobody reads it any more"
    async with asyncio.timeout(20):
        while serve.repository.get("m").in_flight:
            await asyncio.sleep(0.01)


async def test_a_stream_that_fails_is_cut_off_or_an_error(offer):
    class Failing(Model):
        async def predict(self, payload: Any, headers: Any = None) -> Any:
            async def pieces() -> Any:
                for one in range(payload["good"]):
                    yield f"{one}"
                raise InvalidInput("no more")

            return pieces()

    serve = await offer(Failing("m"))
    assert (await serve.predict("m", {"good": 0})).status == 400
    with pytest.raises(HttpError):
        await serve.predict("m", {"good": 2})
