"""Custom models that answer a request in several parts: over ``ModelStreamInfer``, in the server and in a process of
their own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tritonclient.grpc", reason="tritonclient is not installed")

import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from serve.wrongs.kit import Server, eventually, framed, message, serving, tensor

CODE = """
import asyncio, time
from pathlib import Path
from mizzen.serve import InferOutput, InferResponse, InvalidInput, Model, get_predict_input

HERE = Path(__file__).parent

class Counts(Model):
    async def predict(self, request, headers=None):
        if isinstance(request, dict):
            for one in range(3):
                yield InferResponse(None, self.name, [InferOutput("n", [1], "INT64", [one])])
            return
        most = int(request.inputs[0].as_numpy().ravel()[0])
        if most < 0:
            raise InvalidInput("a count cannot be negative")
        given = 0
        try:
            while given < most:
                if given == (request.parameters or {}).get("fails"):
                    raise ValueError("enough")
                out = InferOutput("n", [1], "INT64", [given])
                yield InferResponse(request.id, self.name, [out], parameters={"left": most - given - 1})
                given += 1
                (HERE / "given").write_text(str(given))
                await asyncio.sleep(0.01 if most > 1000 else 0)
        finally:
            (HERE / "closed").write_text(str(given))

class Plain(Model):
    def predict(self, request, headers=None):
        for one in range(int(request.inputs[0].as_numpy().ravel()[0])):
            yield {"model_name": self.name, "outputs": [
                {"name": "text", "shape": [1], "datatype": "BYTES", "data": [f"word {one}"]}]}

class Wrong(Model):
    def predict(self, request, headers=None):
        yield "a text"
"""

PATIENCE = 30


class Talk:
    """A stream of Triton's client."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.found: queue.SimpleQueue[Any] = queue.SimpleQueue()
        client.start_stream(lambda result, error: self.found.put((result, error)))

    def ask(self, count: int, name: str = "m", final: bool = True, **more: Any) -> None:
        one = triton.InferInput("most", [1], "INT64")
        one.set_data_from_numpy(np.array([count]))
        self.client.async_stream_infer(name, [one], enable_empty_final_response=final, **more)

    def next(self) -> Any:
        result, error = self.found.get(timeout=PATIENCE)
        if error is not None:
            raise error
        return result

    def answers(self) -> list[Any]:
        """Those to a request, without the empty one at the end."""
        found = []
        while True:
            result = self.next()
            response = result.get_response()
            if response.parameters["triton_final_response"].bool_param:
                assert not response.outputs
                return found
            found.append(result)


@contextlib.asynccontextmanager
async def counting(folder: Path, kind: str, *arguments: str) -> AsyncIterator[tuple[Server, Callable[..., Any]]]:
    """A server, and what runs a story with its client on a thread."""
    (folder / "counts.py").write_text(CODE)
    with serving("--model_dir", f"{folder}/counts.py:{kind}", "--model_name=m", *arguments) as server:

        async def tell(story: Callable[[Talk], Any]) -> Any:
            def run() -> Any:
                host, port = server.address
                with triton.InferenceServerClient(f"{host}:{port}") as client:
                    talk = Talk(client)
                    try:
                        return story(talk)
                    finally:
                        client.stop_stream(cancel_requests=True)

            async with asyncio.timeout(2 * PATIENCE):
                return await asyncio.to_thread(run)

        yield server, tell


@pytest.fixture(params=["--isolation=thread", "--isolation=process"])
def where(request: pytest.FixtureRequest) -> str:
    return request.param


async def test_each_part_is_an_answer_and_an_empty_one_ends_them(tmp_path: Path, where: str) -> None:
    def story(talk: Talk) -> None:
        talk.ask(100, request_id="seven")
        answers = talk.answers()
        assert [answer.as_numpy("n").tolist() for answer in answers] == [[n] for n in range(100)]
        responses = [answer.get_response() for answer in answers]
        assert {response.id for response in responses} == {"seven"}
        assert [response.parameters["left"].int64_param for response in responses] == [*range(99, -1, -1)]
        assert all(response.model_name == "m" for response in responses)
        talk.ask(0)
        assert talk.answers() == [], "none at all is an answer, too"
        talk.ask(2)
        assert len({answer.get_response().id for answer in talk.answers()} - {""}) == 1, "an id is made up, once"
        # Who does not ask for an empty one is given none.
        talk.ask(1, final=False, request_id="a")
        talk.ask(1, final=False, request_id="b")
        assert sorted(talk.next().get_response().id for _ in range(2)) == ["a", "b"]

    async with counting(tmp_path, "Counts", where) as (_, tell):
        await tell(story)


async def test_a_plain_generator_of_plain_answers(tmp_path: Path, where: str) -> None:
    def story(talk: Talk) -> None:
        talk.ask(3)
        assert [one.as_numpy("text").tolist() for one in talk.answers()] == [[b"word 0"], [b"word 1"], [b"word 2"]]

    async with counting(tmp_path, "Plain", where) as (_, tell):
        await tell(story)


async def test_what_fails_ends_its_request_alone(tmp_path: Path, where: str) -> None:
    def story(talk: Talk) -> None:
        talk.ask(5, request_id="x", parameters={"fails": 2})
        assert [talk.next().as_numpy("n").tolist() for _ in range(2)] == [[0], [1]]
        with pytest.raises(InferenceServerException, match="enough"):
            talk.next()
        talk.ask(-1)
        with pytest.raises(InferenceServerException, match="a count cannot be negative"):
            talk.next()
        talk.ask(2)
        assert len(talk.answers()) == 2

    async with counting(tmp_path, "Counts", where) as (_, tell):
        await tell(story)
    async with counting(tmp_path, "Wrong", where) as (_, tell):

        def wrong(talk: Talk) -> None:
            talk.ask(1)
            with pytest.raises(InferenceServerException, match="must return an InferResponse"):
                talk.next()

        await tell(wrong)


async def test_a_long_one_keeps_no_other_waiting(tmp_path: Path, where: str) -> None:
    def story(talk: Talk) -> None:
        talk.ask(1_000_000, request_id="long")
        assert talk.next().get_response().id == "long"
        talk.ask(1, request_id="short", final=False)
        while talk.next().get_response().id != "short":
            pass

    async with counting(tmp_path, "Counts", where) as (_, tell):
        await tell(story)
        await eventually((tmp_path / "closed").exists)
        assert int((tmp_path / "closed").read_text()) < 1_000_000, "its client has left"


async def test_one_answer_alone_is_not_to_be_had(tmp_path: Path, where: str) -> None:
    says = (
        "model m answers a request in several parts, which V2 has a form for in gRPC's ModelStreamInfer alone: ask it "
        "there, or over V1"
    )
    async with counting(tmp_path, "Counts", where) as (server, _):
        rows = np.array([[3]], np.int64)
        assert await server.grpc(framed(message("m", rows))) == ("UNIMPLEMENTED", says)
        body = {"inputs": [{**tensor(rows), "datatype": "INT64", "data": [3]}]}
        assert await server.rest("/v2/models/m/infer", body) == (501, {"error": says})
        _, text = await server.rest("/v1/models/m:predict", {})
        assert text.count(b'"outputs"') == 3 and text.count(b"\n") == 3


async def test_a_process_that_is_killed_ends_what_it_had_and_the_stream_goes_on(tmp_path: Path) -> None:
    async with counting(tmp_path, "Counts", "--isolation=process") as (server, tell):

        def story(talk: Talk) -> None:
            talk.ask(1_000_000)
            assert talk.next().as_numpy("n").tolist() == [0]
            [child] = server.children
            os.kill(child, signal.SIGKILL)
            with pytest.raises(InferenceServerException, match=r"was killed by SIGKILL"):
                while True:
                    talk.next()
            talk.ask(2)
            assert len(talk.answers()) == 2, "its successor answers"

        await tell(story)
