"""Requests that wait: too many of them, for too long, or for nobody any more. And a second server on the same port."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mizzen.http.client import Client
from mizzen.http.http2.client import Http2Client
from serve.wrongs.kit import (
    FLOWER,
    GRPC,
    INFER,
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
    write_iris,
    write_model,
)

V1, V2 = "/v1/models/gate:predict", "/v2/models/gate/infer"


class Gated:
    """A server whose model ``gate`` answers once it is let go. Each request brings a number of its own."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.server = server
        self.folder = folder

    def asked(self) -> list[int]:
        """The numbers that the model has seen."""
        file = self.folder / "asked"
        return [int(line) for line in file.read_text().split()] if file.exists() else []

    def go(self) -> None:
        (self.folder / "go").touch()

    async def hold(self, number: int) -> asyncio.Task[Asked]:
        """Have the model at work with a request until it is let go."""
        task = asyncio.create_task(self.ways(number)[0]())
        await eventually(lambda: number in self.asked())
        return task

    async def waiting(self, count: int) -> None:
        """Until the model has so many requests to answer."""

        async def reached() -> bool:
            return await self.server.metric("mizzen_requests_in_flight", model_name="gate") == count

        await eventually(reached)

    def ways(
        self, number: int, parameters: dict[str, int] | None = None, *headers: tuple[bytes, bytes]
    ) -> list[Callable[[], Awaitable[Asked]]]:
        """The same request over V1 (which has no parameters of the kind), V2, V2 with a raw block, and gRPC."""
        row = np.array([[float(number)]])
        more = {} if parameters is None else {"parameters": parameters}
        request = message("gate", row)
        for name, value in (parameters or {}).items():
            request.parameters[name].int64_param = value
        server = self.server
        return [
            lambda: server.rest(V1, {"instances": row.tolist()}),
            lambda: server.rest(V2, {"inputs": [tensor(row)], **more}),
            lambda: server.rest(V2, *binary([block(row, "FP64")], row.tobytes(), **more)),
            lambda: server.grpc(framed(request), *headers),
        ]


@pytest.fixture
async def gated(tmp_path: Path) -> AsyncIterator[Gated]:
    write_iris(tmp_path / "models" / "iris")
    write_model(tmp_path / "models" / "gate", "Gate")
    with serving("--model_dir", str(tmp_path / "models"), "--max_queue=8", GATE=str(tmp_path)) as server:
        gated = Gated(server, tmp_path)
        try:
            yield gated
        finally:
            gated.go()


async def iris_is_well(server: Server) -> None:
    assert await server.rest("/v1/models/iris:predict", {"instances": [FLOWER]}) == (200, {"predictions": [0]})


def value(answer: Asked) -> float:
    """The number in an answer, of whichever protocol."""
    ends, found = answer
    assert ends in (200, "OK"), answer
    if ends == "OK":
        return float(np.frombuffer(found.raw_output_contents[0])[0])
    if isinstance(found, bytes):
        found = json.loads(found)
    return float(found["predictions"][0] if "predictions" in found else found["outputs"][0]["data"][0])


async def test_a_full_queue_says_so_and_when_to_come_again(gated: Gated) -> None:
    server = gated.server
    first = await gated.hold(1)
    waiting = [asyncio.create_task(way()) for way in [*gated.ways(2), *gated.ways(3)][:7]]
    await gated.waiting(8)
    said = "Model with name gate has 8 requests to answer and takes no more now."
    for _ in range(3):
        answers = await asyncio.gather(*(way() for way in gated.ways(99)))
        assert answers == [(503, {"error": said})] * 3 + [("UNAVAILABLE", said)]
    body = json.dumps({"instances": [[99]]}).encode()
    async with Client(environ={}) as client, Http2Client(environ={}) as http2:
        async with await client.request("POST", server.url + V1, body=body) as answer:
            assert answer.header(b"retry-after") == b"1"
        refused = await http2.request(
            "POST", server.url + INFER, headers=[GRPC], body=framed(message("gate", np.array([[99.0]])))
        )
        assert dict(refused.trailers or refused.headers)[b"grpc-retry-pushback-ms"] == b"1000"
    await iris_is_well(server)
    assert await server.metric("mizzen_refused_requests_total", model_name="gate") == 14
    gated.go()
    assert value(await first) == 2
    assert [value(answer) for answer in await asyncio.gather(*waiting)] == [4] * 4 + [6] * 3
    assert 99 not in gated.asked()
    assert [value(answer) for answer in await asyncio.gather(*(way() for way in gated.ways(4)))] == [8] * 4


async def test_a_deadline_that_passes_ends_its_request_and_changes_nothing_else(gated: Gated) -> None:
    server = gated.server
    first = await gated.hold(1)
    patient = [asyncio.create_task(way()) for way in gated.ways(2)]
    await gated.waiting(5)
    _, *late = gated.ways(98, {"timeout": 100_000})  # V1 has no way to say it
    *_, by_call = gated.ways(99, None, (b"grpc-timeout", b"100m"))
    for _ in range(3):  # those that nobody waits for take no room in the queue
        answers = await asyncio.gather(*(way() for way in late))
        said = "The model did not answer within the time that the request gave it."
        assert answers == [(504, {"error": said})] * 2 + [("DEADLINE_EXCEEDED", said)]
        assert await by_call() == ("DEADLINE_EXCEEDED", said)
    assert await server.rest("/v2/models/gate/ready") == (200, {"name": "gate", "ready": True})
    await iris_is_well(server)
    gated.go()
    assert value(await first) == 2
    assert [value(answer) for answer in await asyncio.gather(*patient)] == [4] * 4
    assert not {98, 99} & set(gated.asked()), "the model is not asked what nobody waits for"


async def test_a_request_whose_client_has_left_is_never_asked(gated: Gated) -> None:
    """Whether it closes its connection, resets it, or, over HTTP/2, gives up one request or all of them."""
    server = gated.server
    held = server.held()
    first = await gated.hold(1)
    body = json.dumps({"instances": [[98]]}).encode()
    head = f"POST {V1} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    leaving = []
    for _ in range(2):
        _, writer = await server.connect()
        writer.write(head + body)
        leaving.append(writer)
    async with Http2Client(environ={}) as whole, Http2Client(environ={}) as kept:
        row = np.array([[99.0]])
        lost = asyncio.create_task(server.grpc(framed(message("gate", row)), client=whole))
        given_up = [asyncio.create_task(server.grpc(framed(message("gate", row)), client=kept)) for _ in range(2)]
        stays = asyncio.create_task(server.grpc(framed(message("gate", np.array([[2.0]]))), client=kept))
        await gated.waiting(7)
        leaving[0].close()
        leaving[1].transport.abort()
        for task in given_up:
            task.cancel()
        lost.cancel()
        await asyncio.gather(lost, *given_up, return_exceptions=True)
        await whole.close()
        # What comes back on this connection tells that the resets before it have been read.
        assert (await server.grpc(framed(message("none", row)), client=kept))[0] == "NOT_FOUND"
        # One for each that stays: the request under way and this connection.
        await server.lets_go((held[0] + 2, held[1] + 1))
        await iris_is_well(server)
        gated.go()
        assert value(await first) == 2
        assert value(await stays) == 4
    assert sorted(gated.asked()) == [1, 2]
    await gated.waiting(0)


async def test_a_second_server_on_the_same_port_ends_in_words(server: Server, models: Path, start: Any) -> None:
    port = server.address[1]
    second = start("--model_dir", str(models / "iris"), "--host=127.0.0.1", f"--http_port={port}")
    async with asyncio.timeout(PATIENCE):
        assert await second.ended() == 1
    [line] = second.lines
    assert line.startswith(f"mizzen: port {port} on 127.0.0.1 is taken by another process; end that one, or choose")
    workers = start("--model_dir", str(models / "iris"), "--host=127.0.0.1", f"--http_port={port}", "--workers=2")
    assert await workers.ended() == 1
    assert workers.lines == second.lines
    await iris_is_well(server)
