"""Hundreds of clients at once, over every protocol, some of them wrong and some that leave in the middle: no request is
lost, and none is answered with another's result. Rows are told apart by their numbers, models by their factors."""

from __future__ import annotations

import asyncio
import concurrent.futures
import json
import random
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import joblib
import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from mizzen.http.client import Client
from mizzen.http.http2.client import Http2Client
from mizzen.serve.protocols.grpc import schema
from serve.wrongs.kit import (
    PATIENCE,
    Asked,
    Server,
    binary,
    block,
    eventually,
    framed,
    message,
    serving,
    tensor,
    write_model,
)

# By model, what a row's sum may be multiplied with. The changing one is loaded anew with another factor again and
# again, the passing one comes and goes.
FACTORS = {"own": {3}, "trees": {5}, "foreign": {7}, "changing": {11, 13}, "passing": {17}}
STEADY = ["own", "trees", "foreign"]

REST, PIPELINED, GRPC, LEAVING = 90, 20, 90, 100
EACH = 30


def linear(folder: Path, factor: int) -> None:
    """A model of scikit-learn's own, which is batched and runs on the loop."""
    folder.mkdir(parents=True)
    model = LinearRegression().fit([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], [0.0, 1.0, 1.0])
    model.coef_, model.intercept_ = np.array([factor, factor], float), 0.0
    joblib.dump(model, folder / "model.joblib")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    linear(tmp_path / "own", 3)
    linear(tmp_path / "trees", 5)
    for name in ("foreign", "changing", "passing"):
        write_model(tmp_path / name, "Scale", min(FACTORS[name]))
    return tmp_path


@dataclass
class Question:
    """What one client asks once, over any of the protocols, and what may come back.

    Attributes:
        number: nobody else's.
        wrong: what is wrong with it; None if nothing is.
    """

    number: int
    model: str
    wrong: str | None = None

    @property
    def rows(self) -> np.ndarray:
        count, columns = 1 + self.number % 3, 3 if self.wrong == "columns" else 2
        rows = np.full((count, columns), float(self.number))
        rows[:, 1] = np.arange(1, count + 1)
        return -rows if self.wrong == "negative" else rows

    @property
    def name(self) -> str:
        return "nobody" if self.wrong == "unknown" else self.model

    @property
    def shape(self) -> list[int]:
        return [9, 9] if self.wrong == "shape" else list(self.rows.shape)

    def check(self, answer: Asked, data: Any, identifier: str | None = None) -> str:
        """What kind of answer it was. Fails if it is none of this question's."""
        ends, said = answer
        text = said["error"] if isinstance(said, dict) and "error" in said else said
        if self.name == "passing" and ends in (404, 503, "NOT_FOUND", "UNAVAILABLE"):
            assert "passing" in text
            return "gone"
        match self.wrong:
            case "shape":
                assert ends in (400, "INVALID_ARGUMENT") and "shape [9, 9] takes 81 elements" in text, answer
            case "unknown":
                assert (ends in (404, "NOT_FOUND")) and text == "Model with name nobody does not exist.", answer
            case "columns":
                assert ends in (400, 500, "INVALID_ARGUMENT", "INTERNAL") and "3" in text, answer
            case "negative" if self.model not in ("own", "trees"):
                assert ends in (500, "INTERNAL") and text == "negative", answer
            case _:
                assert ends in (200, "OK"), answer
                sums = self.rows.sum(axis=1)
                found = np.asarray(data())
                assert any(np.allclose(found, sums * factor, rtol=1e-9) for factor in FACTORS[self.model]), (
                    self,
                    found,
                )
                assert identifier is None or identifier == str(self.number), (self, answer)
                return "answered"
        return "refused"


WRONGS = [None] * 8 + ["shape", "unknown", "columns", "negative"]


def questions(seed: int, models: list[str]) -> list[Question]:
    chance = random.Random(seed)
    return [Question(seed * 1000 + at, chance.choice(models), chance.choice(WRONGS)) for at in range(1, EACH + 1)]


def v1(question: Question) -> bytes:
    return json.dumps({"instances": question.rows.tolist()}).encode()


def v2(question: Question) -> bytes:
    tensors = [tensor(question.rows, shape=question.shape)]
    return json.dumps({"inputs": tensors, "id": str(question.number)}).encode()


async def over_rest(server: Server, asked: list[Question], counted: Counter[str]) -> None:
    """V1, V2 and V2 with raw blocks in turn, on one connection."""
    async with Client(environ={}) as client:
        for at, question in enumerate(asked):
            if at % 3 == 0 and question.wrong != "shape":
                answer = await server.rest(f"/v1/models/{question.name}:predict", v1(question), client=client)
                counted[question.check(answer, lambda: answer[1]["predictions"])] += 1  # noqa: B023
                continue
            path = f"/v2/models/{question.name}/infer"
            if at % 3 == 1:
                answer = await server.rest(path, v2(question), client=client)
                data = lambda: answer[1]["outputs"][0]["data"]  # noqa: B023, E731
                counted[question.check(answer, data, _id(answer))] += 1
                continue
            said = [block(question.rows, "FP64", shape=question.shape)]
            more = {"id": str(question.number), "parameters": {"binary_data_output": True}}
            body, headers = binary(said, question.rows.tobytes(), **more)
            status, answered = await server.rest(path, body, headers, client=client)
            raw = b""
            if status == 200:
                raw = answered[len(answered) - 8 * len(question.rows) :]
                assert f'"id":"{question.number}"'.encode() in answered
            counted[question.check((status, answered), lambda: np.frombuffer(raw))] += 1  # noqa: B023


def _id(answer: Asked) -> str | None:
    return answer[1].get("id") if answer[0] == 200 else None


async def pipelined(server: Server, asked: list[Question], counted: Counter[str]) -> None:
    """All at once on one connection: answers come in the order of the requests."""
    reader, writer = await server.connect()
    for question in asked:
        body = v2(question)
        head = f"POST /v2/models/{question.name}/infer HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
    for question in asked:
        async with asyncio.timeout(PATIENCE):
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            length = int(head.partition("content-length: ")[2].partition("\r")[0])
            answer = int(head.split()[1]), json.loads(await reader.readexactly(length))
        counted[question.check(answer, lambda: answer[1]["outputs"][0]["data"], _id(answer))] += 1  # noqa: B023
    writer.close()


def request(question: Question) -> Any:
    made = message(question.name, question.rows, shape=question.shape)
    made.id = str(question.number)
    return made


async def over_grpc(server: Server, asked: list[Question], counted: Counter[str], client: Http2Client) -> None:
    """Beside many others on one connection."""
    for question in asked:
        answer = await server.grpc(framed(request(question)), client=client)
        identifier = answer[1].id if answer[0] == "OK" else None
        counted[question.check(answer, lambda: np.frombuffer(answer[1].raw_output_contents[0]), identifier)] += 1  # noqa: B023


def over_grpcio(server: Server, asked: list[Question]) -> Counter[str]:
    """The same by grpc's own client, all of it at once."""
    counted: Counter[str] = Counter()
    with grpc.insecure_channel("{}:{}".format(*server.address)) as channel:
        infer = channel.unary_unary(
            f"/{schema.INFERENCE}/ModelInfer",
            request_serializer=lambda made: made.SerializeToString(),
            response_deserializer=schema.ModelInferResponse.FromString,
        )
        calls = [infer.future(request(question), timeout=PATIENCE) for question in asked]
        for question, call in zip(asked, calls, strict=True):
            try:
                found = call.result()
            except grpc.RpcError as error:
                counted[question.check((error.code().name, error.details()), None)] += 1
            else:
                data = lambda: np.frombuffer(found.raw_output_contents[0])  # noqa: B023, E731
                counted[question.check(("OK", found), data, found.id)] += 1
    return counted


async def leaving(server: Server, number: int, client: Http2Client) -> None:
    """One who cuts a request anywhere, or leaves after it, or gives up a call."""
    chance = random.Random(number)
    question = Question(number, chance.choice(STEADY))
    if number % 3 == 0:
        task = asyncio.create_task(server.grpc(framed(request(question)), client=client))
        await asyncio.sleep(chance.random() * 0.02)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return
    _, writer = await server.connect()
    body = v2(question)
    head = f"POST /v2/models/{question.name}/infer HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n"
    data = head.encode() + body
    writer.write(data[: chance.randrange(1, len(data))] if number % 3 == 1 else data)
    await asyncio.sleep(chance.random() * 0.02)
    if number % 2:
        writer.transport.abort()
    else:
        writer.close()


async def everybody(server: Server, models: list[str]) -> Counter[str]:
    """Returns how many questions were answered, refused, or met a model that was gone."""
    counted: Counter[str] = Counter()
    seeds = iter(range(1, 10_000))
    rude = [next(seeds) * 1000 for _ in range(LEAVING)]
    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        async with (
            Http2Client(environ={}) as shared,
            Http2Client(environ={}) as given_up,
            asyncio.timeout(2 * PATIENCE),
        ):
            loop = asyncio.get_running_loop()
            plain = [
                loop.run_in_executor(threads, over_grpcio, server, questions(next(seeds), models)) for _ in range(8)
            ]
            async with asyncio.TaskGroup() as clients:
                for _ in range(REST):
                    clients.create_task(over_rest(server, questions(next(seeds), models), counted))
                for _ in range(PIPELINED):
                    clients.create_task(pipelined(server, questions(next(seeds), models), counted))
                for _ in range(GRPC):
                    clients.create_task(over_grpc(server, questions(next(seeds), models), counted, shared))
                for number in rude:
                    clients.create_task(leaving(server, number, given_up))
            for found in await asyncio.gather(*plain):
                counted.update(found)
    return counted


ASKED = (REST + PIPELINED + GRPC + 8) * EACH


async def nothing_under_way(server: Server) -> None:
    async def all_done() -> bool:
        return all([await server.metric("mizzen_requests_in_flight", model_name=name) == 0 for name in STEADY])

    await eventually(all_done)


async def test_nobody_is_lost_and_nobody_gets_anothers_answer(folder: Path) -> None:
    with serving("--model_dir", str(folder), "--batching=on") as server:
        counted = await everybody(server, STEADY)
        assert counted.total() == ASKED
        assert counted["answered"] > ASKED / 2 and counted["refused"] > ASKED / 10
        batches = await server.metric("mizzen_batch_requests_count", model_name="own")
        assert 0 < batches < await server.metric("mizzen_batch_requests_sum", model_name="own"), "some shared a call"
        await nothing_under_way(server)
        before, memory = server.held(), server.memory()
        again = await everybody(server, STEADY)
        assert again == counted
        await nothing_under_way(server)
        await server.lets_go(before)
        assert server.memory() - memory < 48 * 1024 * 1024


async def coming_and_going(folder: Path, server: Server, over: asyncio.Event) -> int:
    """Load one model anew and let another come and go until it is over. Returns how often."""
    turns = 0
    while not over.is_set():
        write_model(folder / "changing", "Scale", 13 if turns % 2 == 0 else 11)
        for path in ("changing/load", "passing/unload", "passing/load"):
            status, said = await server.rest(f"/v2/repository/models/{path}", {})
            assert status == 200, said
        turns += 1
    return turns


@pytest.mark.parametrize("workers", [1, 3])
async def test_nor_while_models_come_and_go_and_there_are_several_processes(folder: Path, workers: int) -> None:
    with serving("--model_dir", str(folder), "--batching=on", f"--workers={workers}") as server:
        processes = server.everybody
        over = asyncio.Event()
        loading = asyncio.create_task(coming_and_going(folder, server, over))
        try:
            counted = await everybody(server, list(FACTORS))
        finally:
            over.set()
        assert await loading > 2
        assert counted.total() == ASKED
        assert counted["answered"] > ASKED / 2
        assert server.everybody == processes, "no process ended"
        await nothing_under_way(server)
