"""OpenAI's protocol over scripted models: what is said, in which form, and what happens when something goes wrong."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from mizzen.http.server import Limits
from mizzen.serve.errors import InvalidInput
from mizzen.serve.generation.model import Chunk, GenerationRequest, GenerativeModel, InvalidRequest
from mizzen.serve.lanes.scheduling import Scheduling
from mizzen.serve.model import Options, Tensor, TensorModel
from serve.openai.conftest import Running, Start, eventually
from serve.openai.scripted import Echo, Script

HELLO = [{"role": "user", "content": "hello"}]


class Plain(TensorModel):
    """Neither generates nor encodes, though it has methods, as those of frameworks do."""

    methods = ("predict",)

    def load(self) -> None:
        pass

    def infer(self, inputs: list[Tensor], options: Options) -> list[Tensor]:
        return inputs


@pytest.fixture
async def server(running: Start) -> Running:
    return await running(Script(), Echo("echo"), Plain("plain"))


async def test_models_are_those_that_speak_it(server: Running) -> None:
    client = server.client()
    listed = (await client.models.list()).data
    assert [(model.id, model.object) for model in listed] == [("script", "model"), ("echo", "model")]
    assert (await client.models.retrieve("echo")).id == "echo"


async def test_a_text_completion(server: Running) -> None:
    answer = await server.client().completions.create(model="script", prompt="go")
    assert answer.object == "text_completion"
    assert answer.id.startswith("cmpl-")
    assert [(one.text, one.finish_reason, one.index) for one in answer.choices] == [("one two three", "stop", 0)]
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (5, 3, 8)


async def test_a_chat_completion(server: Running) -> None:
    answer = await server.client().chat.completions.create(model="script", messages=HELLO, n=2)
    assert answer.object == "chat.completion"
    said = [(one.index, one.message.role, one.message.content, one.finish_reason) for one in answer.choices]
    assert said == [(0, "assistant", "one two three", "stop"), (1, "assistant", "one two three", "stop")]
    assert answer.usage.completion_tokens == 6


async def test_the_blocking_client_and_a_stream(server: Running) -> None:
    def ask() -> list[str]:
        stream = server.blocking().completions.create(model="script", prompt="go", stream=True)
        return [part.choices[0].text for part in stream]

    assert await asyncio.to_thread(ask) == ["one ", "two ", "three", ""]


async def test_a_chat_stream_says_the_role_first_and_the_end_last(server: Running) -> None:
    body = {"model": "script", "messages": HELLO, "stream": True, "stream_options": {"include_usage": True}}
    events = (await server.ask("chat/completions", body)).events
    assert events.pop() == "[DONE]"
    usage = events.pop()
    assert usage["choices"] == []
    assert usage["usage"] == {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}
    assert all(event["usage"] is None and event["object"] == "chat.completion.chunk" for event in events)
    assert len({event["id"] for event in [*events, usage]}) == 1
    deltas = [event["choices"][0]["delta"] for event in events]
    words = [{"content": word} for word in ("one ", "two ", "three")]
    assert deltas == [{"role": "assistant", "content": ""}, *words, {}]
    assert [event["choices"][0]["finish_reason"] for event in events] == [None] * 4 + ["stop"]


async def test_a_stream_says_nothing_of_usage_unless_asked(server: Running) -> None:
    events = (await server.ask("completions", {"model": "script", "prompt": "go", "stream": True})).events
    assert all("usage" not in event for event in events[:-1])


async def test_several_prompts_are_several_choices(server: Running) -> None:
    client = server.client()
    answer = await client.completions.create(model="echo", prompt=["a b", "c", "d e f"])
    assert [(one.index, one.text) for one in answer.choices] == [(0, "a b "), (1, "c "), (2, "d e f ")]
    assert answer.usage is None  # a model that does not count is not guessed about
    texts = {0: "", 1: ""}
    async for part in await client.completions.create(model="script", prompt=["x", "y"], stream=True):
        texts[part.choices[0].index] += part.choices[0].text
    assert texts == {0: "one two three", 1: "one two three"}


async def test_stop_texts_are_heeded_for_a_model_that_does_not_know_them(server: Running) -> None:
    answer = await server.client().completions.create(model="script", prompt="go", stop=["o th", "never"])
    assert (answer.choices[0].text, answer.choices[0].finish_reason) == ("one tw", "stop")


async def test_the_last_letters_come_though_a_stop_might_have_begun(server: Running) -> None:
    answer = await server.client().completions.create(model="script", prompt="go", stop="three!")
    assert (answer.choices[0].text, answer.choices[0].finish_reason) == ("one two three", "stop")


@pytest.mark.parametrize("path", ["completions", "chat/completions", "embeddings", "rerank"])
async def test_the_paths_below_v1_are_the_same(server: Running, path: str) -> None:
    body = {"model": "nobody", "prompt": "x"}
    answer = await server.ask(path, body, prefix="/v1/")
    assert (answer.status, answer.error["code"]) == (404, "model_not_found")


async def test_v1s_own_list_of_models_stays(server: Running) -> None:
    answer = await server.ask("models", method="GET", prefix="/v1/")
    assert answer.json == {"models": ["script", "echo", "plain"]}


async def test_the_prefix_is_the_environments(running: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KSERVE_OPENAI_ROUTE_PREFIX", "llm")
    server = await running(Script())
    assert (await server.ask("models", method="GET", prefix="/llm/v1/")).status == 200
    assert (await server.ask("models", method="GET", prefix="/openai/v1/")).status == 404


@pytest.mark.parametrize(
    ("path", "body", "status", "param", "code", "text"),
    [
        ("completions", b"{not json", 400, None, None, "Unrecognized request format"),
        ("completions", b"[]", 400, None, None, "must be a JSON object"),
        ("completions", {"prompt": "x"}, 400, "model", "missing_required_parameter", "name a model"),
        ("completions", {"model": 5, "prompt": "x"}, 400, "model", "invalid_type", "must be a text"),
        ("completions", {"model": "nobody", "prompt": "x"}, 404, "model", "model_not_found", "does not exist"),
        ("completions", {"model": "plain", "prompt": "x"}, 400, "model", "unsupported_model", "Completions API"),
        (
            "chat/completions",
            {"model": "plain", "messages": HELLO},
            400,
            "model",
            "unsupported_model",
            "Chat Completion",
        ),
        ("embeddings", {"model": "script", "input": "x"}, 400, "model", "unsupported_model", "Embeddings API"),
        ("rerank", {"model": "script", "query": "x", "documents": ["y"]}, 400, "model", "unsupported_model", "Rerank"),
        ("models/nobody", None, 404, "model", "model_not_found", "does not exist"),
        ("nothing", None, 404, None, None, "nothing is served"),
        ("completions", None, 405, None, None, "takes POST"),
    ],
)
async def test_errors_have_openais_shape(
    server: Running, path: str, body: Any, status: int, param: str | None, code: str | None, text: str
) -> None:
    answer = await server.ask(path, body, "GET" if body is None else "POST")
    error = answer.error
    assert (answer.status, error["param"], error["code"]) == (status, param, code)
    assert text in error["message"]
    assert error["type"] == "invalid_request_error"


async def test_a_model_that_is_not_ready_is_503(running: Start) -> None:
    server = await running(Script())
    server.server.repository.get("script").fail("its weights are gone")
    answer = await server.ask("completions", {"model": "script", "prompt": "x"})
    assert (answer.status, answer.error["code"], answer.error["type"]) == (503, "model_not_ready", "server_error")
    assert "its weights are gone" in answer.error["message"]
    assert (await server.ask("models", method="GET")).json["data"] == []
    assert (await server.ask("models/script", method="GET")).status == 503


async def test_a_body_that_is_too_large_has_openais_shape_too(running: Start) -> None:
    server = await running(Script(), limits=Limits(body=100))
    answer = await server.ask("completions", {"model": "script", "prompt": "x" * 200})
    assert answer.status == 413
    assert "larger than the 100 bytes" in answer.error["message"]


async def test_a_generating_model_takes_no_tensors(server: Running) -> None:
    answer = await server.ask("script:predict", {"instances": ["x"]}, prefix="/v1/models/")
    assert answer.status == 400
    assert "/openai/v1/completions" in answer.json["error"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (ValueError("it broke"), 500, None),
        (InvalidInput("it broke"), 400, None),
        (InvalidRequest("it broke", "prompt", "context_length_exceeded"), 400, "context_length_exceeded"),
        (NotImplementedError("it broke"), 501, None),
        (SystemExit("it broke"), 500, None),
    ],
)
async def test_what_a_model_raises_at_once_has_its_status(
    running: Start, stream: bool, error: Exception, status: int, code: str | None
) -> None:
    server = await running(Script(words=(), error=error))
    answer = await server.ask("completions", {"model": "script", "prompt": "x", "stream": stream})
    assert (answer.status, answer.error["code"]) == (status, code)
    assert "it broke" in answer.error["message"]


async def test_what_a_model_raises_in_the_middle_of_a_stream_is_an_event_and_the_end(running: Start) -> None:
    server = await running(Script(error=ValueError("it broke")))
    answer = await server.ask("completions", {"model": "script", "prompt": "x", "stream": True})
    *parts, last = answer.events
    assert answer.status == 200
    assert [part["choices"][0]["text"] for part in parts] == ["one ", "two ", "three"]
    assert last == {"error": {"message": "it broke", "type": "server_error", "param": None, "code": None}}
    openai = pytest.importorskip("openai", reason="openai is not installed")
    with pytest.raises(openai.APIError, match="it broke"):
        async for _ in await server.client().completions.create(model="script", prompt="x", stream=True):
            pass


async def test_it_goes_on_after_an_error(running: Start) -> None:
    model = Script(error=ValueError("it broke"), concurrency=1)
    server = await running(model)
    for _ in range(5):
        assert (await server.ask("completions", {"model": "script", "prompt": "x"})).status == 500
    model.error = None
    assert (await server.ask("completions", {"model": "script", "prompt": "x"})).status == 200


async def test_a_generation_ends_within_three_tokens_of_a_disconnect(running: Start) -> None:
    gate = threading.Semaphore(0)
    model = Script(words=("word ",), for_ever=True, gate=gate)
    server = await running(model)
    stream = await _begun(server, gate)
    said = model.said
    await stream.close()
    await eventually(lambda: model.seen[0].signal.cancelled)
    # Each token needs a step of the gate, so what comes after the disconnect can be counted.
    for _ in range(10):
        gate.release()
    await eventually(lambda: not model.now)
    assert model.said - said <= 3


async def _begun(server: Running, gate: threading.Semaphore) -> Any:
    """A stream of which two words have arrived."""
    for _ in range(2):
        gate.release()
    stream = await server.client().completions.create(model="script", prompt="x", stream=True)
    parts = aiter(stream)
    assert [(await anext(parts)).choices[0].text for _ in range(2)] == ["word ", "word "]
    return stream


async def test_whoever_waits_for_a_whole_answer_may_go_away_too(running: Start) -> None:
    model = Script(words=("word ",), for_ever=True)
    server = await running(model)
    asked = asyncio.create_task(server.ask("completions", {"model": "script", "prompt": "x"}))
    await eventually(lambda: model.said > 5)
    asked.cancel()
    await eventually(lambda: not model.now)


async def test_a_disconnect_ends_an_asynchronous_model_too(running: Start) -> None:
    ended = asyncio.Event()

    class Endless(Echo):
        async def generate(self, request: GenerationRequest) -> Any:
            try:
                while True:
                    await asyncio.sleep(0)
                    yield Chunk("word ")
            finally:
                ended.set()

    server = await running(Endless("endless"))
    stream = await server.client().completions.create(model="endless", prompt="x", stream=True)
    await anext(aiter(stream))
    await stream.close()
    async with asyncio.timeout(20):
        await ended.wait()
    lane = server.server.repository.get("endless").lane
    assert lane is not None
    await eventually(lambda: lane.in_flight == 0)


async def test_a_client_that_does_not_read_stops_the_model(running: Start) -> None:
    model = Script(words=("word " * 1000,), for_ever=True)
    server = await running(model)
    stream = await server.client().completions.create(model="script", prompt="x", stream=True)
    await anext(aiter(stream))
    before = -1
    while before != model.said:
        before = model.said
        await asyncio.sleep(0.2)
    # What the sockets between hold, and a bounded queue.
    assert model.said < 5000
    await stream.close()
    await eventually(lambda: not model.now)


async def test_no_more_than_n_generate_at_once_and_all_are_answered(running: Start) -> None:
    model = Script(words=[f"{at} " for at in range(20)], concurrency=2)
    server = await running(model)
    client = server.client()
    answers = await asyncio.gather(
        *(client.completions.create(model="script", prompt="x", stream=bool(at % 2)) for at in range(8))
    )
    for answer in answers:
        if hasattr(answer, "choices"):
            text = answer.choices[0].text
        else:
            text = "".join([part.choices[0].text async for part in answer])
        assert text == "".join(model.words)
    assert model.most == 2


async def test_a_full_queue_is_503_and_says_when_to_come_back(running: Start) -> None:
    gate = threading.Semaphore(0)
    model = Script(gate=gate, concurrency=1)
    server = await running(model, scheduling=Scheduling(queue=2))
    body = {"model": "script", "prompt": "x"}
    first, second = (asyncio.create_task(server.ask("completions", body)) for _ in range(2))
    served = server.server.repository.get("script")
    await eventually(lambda: served.in_flight == 2)
    refused = await server.ask("completions", body)
    assert (refused.status, refused.headers["retry-after"], refused.error["code"]) == (503, "1", "queue_full")
    for _ in range(6):
        gate.release()
    assert [(await one).status for one in (first, second)] == [200, 200]
    assert served.in_flight == 0
    assert served.metrics.refused == 1


async def test_who_leaves_the_queue_takes_nothing_with_them(running: Start) -> None:
    gate = threading.Semaphore(0)
    model = Script(gate=gate, concurrency=1)
    server = await running(model)
    served = server.server.repository.get("script")
    body = {"model": "script", "prompt": "x"}
    first = asyncio.create_task(server.ask("completions", body))
    await eventually(lambda: model.now == 1)
    impatient = asyncio.create_task(server.ask("completions", body))
    await eventually(lambda: served.in_flight == 2)
    last = asyncio.create_task(server.ask("completions", body))
    await eventually(lambda: served.in_flight == 3)
    impatient.cancel()
    await eventually(lambda: served.in_flight == 2)
    for _ in range(6):
        gate.release()
    assert [(await one).status for one in (first, last)] == [200, 200]
    assert len(model.seen) == 2


@pytest.mark.parametrize("stream", [False, True])
async def test_a_deadline_is_504_and_ends_the_generation(running: Start, stream: bool) -> None:
    gate = threading.Semaphore(0)
    model = Script(gate=gate)
    server = await running(model)
    answer = await server.ask("completions", {"model": "script", "prompt": "x", "stream": stream, "timeout": 0.05})
    assert (answer.status, answer.error["code"]) == (504, "deadline_exceeded")
    gate.release()
    await eventually(lambda: not model.now)
    assert model.said == 1


async def test_a_deadline_ends_an_asynchronous_model(running: Start) -> None:
    class Slow(Echo):
        async def generate(self, request: GenerationRequest) -> Any:
            yield Chunk("soon ")
            await asyncio.sleep(60)

    server = await running(Slow("slow"))
    body = {"model": "slow", "prompt": "x", "stream": True, "timeout": 0.05}
    events = (await server.ask("completions", body)).events
    assert events[0]["choices"][0]["text"] == "soon "
    assert events[-1]["error"]["code"] == "deadline_exceeded"


async def test_a_deadline_counts_in_the_queue(running: Start) -> None:
    gate = threading.Semaphore(0)
    model = Script(gate=gate, concurrency=1)
    server = await running(model)
    first = asyncio.create_task(server.ask("completions", {"model": "script", "prompt": "x"}))
    await eventually(lambda: model.now == 1)
    late = await server.ask("completions", {"model": "script", "prompt": "x", "timeout": 0.05})
    assert (late.status, len(model.seen)) == (504, 1)
    for _ in range(3):
        gate.release()
    assert (await first).status == 200


async def test_a_model_that_makes_no_token_for_too_long_is_not_ready_any_more(running: Start) -> None:
    gate = threading.Semaphore(0)
    model = Script(gate=gate, concurrency=1)
    server = await running(model, scheduling=Scheduling(limit=0.1))
    body = {"model": "script", "prompt": "x"}
    answers = await asyncio.gather(*(server.ask("completions", body) for _ in range(2)))
    assert [(answer.status, answer.error["code"]) for answer in answers] == [(503, "model_not_ready")] * 2
    assert not server.server.repository.get("script").ready
    for _ in range(3):
        gate.release()


async def test_a_plain_generator_that_is_none_is_said_so(running: Start) -> None:
    class Wrong(Echo):
        def generate(self, request: GenerationRequest) -> Any:
            return "text"

    server = await running(Wrong("wrong"))
    answer = await server.ask("completions", {"model": "wrong", "prompt": "x"})
    assert (answer.status, "must be a generator" in answer.error["message"]) == (500, True)


async def test_unloading_waits_for_what_is_generated(running: Start) -> None:
    gate = threading.Semaphore(0)
    model = Script(gate=gate)
    server = await running(model)
    asked = asyncio.create_task(server.ask("completions", {"model": "script", "prompt": "x"}))
    await eventually(lambda: model.now == 1)
    shut = asyncio.create_task(server.server.repository.shut("script"))
    await asyncio.sleep(0.05)
    assert not shut.done()
    for _ in range(3):
        gate.release()
    assert (await asked).status == 200
    await shut


@pytest.mark.parametrize("kind", [Script, Echo])
def test_a_users_class_needs_only_generate(kind: type[GenerativeModel]) -> None:
    assert kind("mine").stops is False
