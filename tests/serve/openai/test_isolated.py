"""``isolation: process`` with models that generate: streams, cancels, deadlines and queues are as they are without, and
what a model does to its process is felt by those alone who asked it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mizzen.http.client import Client
from serve.openai.conftest import Running
from serve.wrongs.kit import Server, eventually, serving

CODE = """
import ctypes, os, sys, time
from pathlib import Path

import numpy as np

from mizzen.serve.generation.model import (
    EMBED, FEATURES, Alternative, Chat, Chunk, Encoder, GenerativeModel, InvalidRequest, Token, Usage,
)

HERE = Path(__file__).parent

class Talk(GenerativeModel):
    features = FEATURES
    concurrency = 2

    def load(self):
        pass

    def generate(self, request):
        what = request.text.split(": ")[-1]
        if what == "invalid":
            raise InvalidRequest("too long", "prompt", "context_length_exceeded")
        if what == "pid":
            yield Chunk(str(os.getpid()))
            return
        if what == "told":
            told = request.prompt.options if isinstance(request.prompt, Chat) else request.prompt
            yield Chunk(repr((told, request.sampling, request.n, request.max_tokens, request.stop)))
            return
        said = 0
        try:
            while said < 6 or what in ("ever", "flood"):
                if said == 3:
                    if what == "crash":
                        ctypes.string_at(0)
                    if what == "raise":
                        raise ValueError("enough")
                    if what == "exit":
                        sys.exit(3)
                    if what == "hang":
                        while True:
                            pass
                    if what == "hold":  # and nobody else in the process runs any Python
                        ctypes.PyDLL(None).sleep(3600)
                said += 1
                (HERE / "said").write_text(str(said))
                for index in range(request.n):
                    word = "x" * 100_000 if what == "flood" else f"w{said} "
                    tokens = []
                    if request.logprobs is not None:
                        tokens = [Token(word, word.encode(), -0.5, (Alternative(word, word.encode(), -0.5),))]
                    yield Chunk(word, index, tokens)
                if what == "ever":
                    time.sleep(0.001)
            for index in range(request.n):
                last = index == request.n - 1
                yield Chunk("", index, finish="stop", usage=Usage(5, said * request.n) if last else None)
        finally:
            (HERE / "ended").write_text(str(said))

class Later(GenerativeModel):
    def load(self):
        pass

    async def generate(self, request):
        for word in request.text.split(" "):
            yield Chunk(word + " ")

class Vectors(Encoder):
    methods = frozenset({EMBED})

    def load(self):
        pass

    def embed(self, texts):
        if texts[0] == "invalid":
            raise InvalidRequest("too long", "input", "context_length_exceeded")
        return np.array([[len(text), sum(text) if isinstance(text, list) else 0] for text in texts], np.float32), [
            len(text) for text in texts
        ]
"""

SAID = ["w1 ", "w2 ", "w3 "]
CRASHED = "the model's process was killed by SIGSEGV (it crashed)"


@contextlib.asynccontextmanager
async def talking(
    folder: Path, *arguments: str, kind: str = "Talk", isolated: bool = True
) -> AsyncIterator[tuple[Server, Running]]:
    (folder / "talk.py").write_text(CODE)
    own = ["--isolation=process"] if isolated else []
    with serving("--model_dir", f"{folder}/talk.py:{kind}", "--model_name=m", *own, *arguments) as server:
        async with Client(environ={}) as client:
            yield server, Running(None, server.address[1], client)  # type: ignore[arg-type]


def body(prompt: Any, **more: Any) -> dict[str, Any]:
    return {"model": "m", "prompt": prompt, **more}


def texts(events: list[Any]) -> list[str]:
    return [event["choices"][0]["text"] for event in events]


def alike(answer: Any) -> Any:
    """Without what differs from one time to the next."""
    return json.loads(re.sub(rb'"(id|created)":("[^"]*"|\d+)', rb'"\1":0', answer.body))


async def test_every_answer_is_what_it_is_without(tmp_path: Path) -> None:
    chat = {"model": "m", "messages": [{"role": "user", "content": "told"}], "temperature": 0.5, "n": 2, "seed": 7}
    found = []
    for isolated in (True, False):
        async with talking(tmp_path, isolated=isolated) as (_, asker):
            found.append(
                [
                    alike(await asker.ask("completions", body("go", n=2, logprobs=1))),
                    alike(await asker.ask("completions", body("go", stop=["w3"], max_tokens=50))),
                    alike(await asker.ask("completions", body(["go", "told"], logit_bias={"5": 1}))),
                    alike(await asker.ask("chat/completions", chat)),
                    (await asker.ask("completions", body("invalid"))).error,
                    (await asker.ask("completions", body("raise"))).error,
                    (await asker.ask("completions", body("exit"))).error,
                    (await asker.ask("completions", body([[1, 2]]))).error,
                    (await asker.ask("completions", body("go", timeout=-1))).error,
                    (await asker.ask("models", method="GET")).json["data"][0]["id"],
                ]
            )
    assert found[0] == found[1]
    assert [one["text"] for one in found[0][0]["choices"]] == ["w1 w2 w3 w4 w5 w6 "] * 2
    assert found[0][0]["choices"][0]["logprobs"]["token_logprobs"] == [-0.5] * 6
    assert found[0][0]["usage"]["completion_tokens"] == 12
    assert found[0][1]["choices"][0]["text"] == "w1 w2 "
    assert found[0][4]["code"] == "context_length_exceeded" and found[0][4]["param"] == "prompt"
    assert found[0][5]["message"] == "enough"


async def test_chunks_come_as_they_are_made_and_an_asynchronous_model_too(tmp_path: Path) -> None:
    async with talking(tmp_path) as (_, asker):
        stream = await asker.client().completions.create(model="m", prompt="go", stream=True)
        assert [part.choices[0].text async for part in stream] == [*(f"w{n} " for n in range(1, 7)), ""]
    async with talking(tmp_path, kind="Later") as (_, asker):
        events = (await asker.ask("completions", body("a b c", stream=True))).events
        assert texts(events[:-1]) == ["a ", "b ", "c ", ""]


@pytest.mark.parametrize("what", ["crash", "raise", "exit"])
async def test_what_ends_it_in_midstream_is_an_error_within_the_stream(tmp_path: Path, what: str) -> None:
    async with talking(tmp_path) as (server, asker):
        before = (await asker.ask("completions", body("pid"))).json["choices"][0]["text"]
        *said, error = (await asker.ask("completions", body(what, stream=True))).events
        # What was not on its way by then went down with the process.
        assert texts(said) == (SAID[: len(said)] if what == "crash" else SAID)
        says = {"crash": CRASHED, "raise": "enough", "exit": "the model tried to end the process: sys.exit(3)"}[what]
        assert error == {"error": {"message": says, "type": "server_error", "param": None, "code": None}}
        answer = await asker.ask("completions", body("pid"))
        assert answer.status == 200, "its successor answers"
        assert (answer.json["choices"][0]["text"] == before) == (what != "crash")
        assert ("ERROR model m: its process" in server.log) == (what == "crash")


async def test_killed_from_outside_in_midstream_it_is_an_error_in_openais_shape(tmp_path: Path) -> None:
    openai = pytest.importorskip("openai", reason="openai is not installed")
    async with talking(tmp_path) as (server, asker):
        stream = await asker.client().completions.create(model="m", prompt="ever", stream=True)
        assert (await anext(stream)).choices[0].text == "w1 "
        [child] = server.children
        os.kill(child, signal.SIGKILL)
        with pytest.raises(openai.APIError, match=r"was killed by SIGKILL \(perhaps for memory\)"):
            async for _ in stream:
                pass
        assert (await asker.ask("completions", body("go"))).status == 200


@pytest.mark.parametrize("what", ["hang", "hold"])
async def test_one_that_makes_no_token_any_more_ends_with_its_process(tmp_path: Path, what: str) -> None:
    async with talking(tmp_path, "--predict_limit=2") as (_, asker):
        *said, error = (await asker.ask("completions", body(what, stream=True))).events
        assert texts(said) == SAID[: len(said)]
        assert error["error"]["code"] == "model_not_ready"
        assert (await asker.ask("completions", body("go"))).status == 200


async def test_a_client_that_leaves_ends_the_generation_there(tmp_path: Path) -> None:
    async with talking(tmp_path) as (_, asker):
        data = json.dumps(body("ever", stream=True)).encode()
        async with await asker.http.request("POST", f"{asker.url}/completions", body=data) as answer:
            assert await answer.piece()
        await eventually((tmp_path / "ended").exists)
        assert (await asker.ask("completions", body("go"))).status == 200


async def test_a_client_that_does_not_read_is_waited_for(tmp_path: Path) -> None:
    async with talking(tmp_path) as (server, _):
        _, writer = await asyncio.open_connection(*server.address)
        data = json.dumps(body("flood", stream=True)).encode()
        writer.write(
            b"POST /openai/v1/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b" % (len(data), data)
        )
        await eventually((tmp_path / "said").exists)
        said = ""
        while said != (said := (tmp_path / "said").read_text()) or not said:
            await asyncio.sleep(0.5)
        assert not (tmp_path / "ended").exists(), "it waits"
        writer.close()
        await eventually((tmp_path / "ended").exists)
        assert int((tmp_path / "ended").read_text()) - int(said) < 50


async def test_a_deadline_ends_the_generation_there(tmp_path: Path) -> None:
    async with talking(tmp_path) as (_, asker):
        answer = await asker.ask("completions", body("ever", timeout=0.5))
        assert (answer.status, answer.error["code"]) == (504, "deadline_exceeded")
        await eventually((tmp_path / "ended").exists)


async def test_so_many_generate_and_so_many_wait(tmp_path: Path) -> None:
    async with talking(tmp_path, "--max_queue=3", "--concurrency=1") as (server, asker):
        async with contextlib.AsyncExitStack() as kept:
            data = json.dumps(body("ever", stream=True)).encode()
            answer = await asker.http.request("POST", f"{asker.url}/completions", body=data)
            await kept.enter_async_context(answer)
            assert await answer.piece()
            waiting = [asyncio.create_task(asker.ask("completions", body("go"))) for _ in range(2)]
            await eventually(lambda: _in_flight(server, 3))
            refused = await asker.ask("completions", body("go"))
            assert (refused.status, refused.error["code"]) == (503, "queue_full")
            assert refused.headers["retry-after"] == "1"
        assert [(await one).status for one in waiting] == [200, 200]


async def _in_flight(server: Server, count: int) -> bool:
    return await server.metric("mizzen_requests_in_flight", model_name="m") == count


async def test_one_that_makes_vectors_has_its_routes(tmp_path: Path) -> None:
    async with talking(tmp_path, kind="Vectors") as (_, asker):
        answer = (await asker.ask("embeddings", {"model": "m", "input": ["abc", "de"]})).json
        np.testing.assert_array_equal([one["embedding"] for one in answer["data"]], [[3, 0], [2, 0]])
        answer = (await asker.ask("embeddings", {"model": "m", "input": [[1, 2, 3]]})).json
        assert answer["data"][0]["embedding"] == [3, 6] and answer["usage"]["prompt_tokens"] == 3
        refused = await asker.ask("embeddings", {"model": "m", "input": "invalid"})
        assert (refused.status, refused.error["code"]) == (400, "context_length_exceeded")
