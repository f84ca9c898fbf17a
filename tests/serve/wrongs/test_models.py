"""Models that raise, end the process, hang, crash or eat memory: in the server, in a process of their own, and with
several workers."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mizzen.http.client import Client
from mizzen.http.errors import HttpError
from mizzen.serve.running import crashes
from serve.wrongs.behaviours import EATS, ENDS, EXITS, HANGS, LEAKS, RAISES, SEGFAULTS
from serve.wrongs.kit import (
    FLOWER,
    HERE,
    MIB,
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

V1, V2 = "/v1/models/moody:predict", "/v2/models/moody/infer"
ISOLATED, WORKERS = ["--isolation=process"], ["--workers=2"]
KINDS = {"threads": [], "isolated": ISOLATED, "workers": WORKERS, "isolated in workers": [*ISOLATED, *WORKERS]}


@pytest.fixture(scope="module", params=KINDS)
def any_server(request: pytest.FixtureRequest, models: Path) -> Iterator[Server]:
    with serving("--model_dir", str(models), *KINDS[request.param]) as running:
        yield running


async def every_way(server: Server, value: float) -> list[Asked]:
    """What the moody model is asked over each protocol: V1, V2, V2 with a raw block, gRPC."""
    row = np.array([[float(value)]])
    return [
        await server.rest(V1, {"instances": row.tolist()}),
        await server.rest(V2, {"inputs": [tensor(row)]}),
        await server.rest(V2, *binary([block(row, "FP64")], row.tobytes())),
        await server.grpc(framed(message("moody", row))),
    ]


def failed(says: str) -> list[Asked]:
    return [(500, {"error": says})] * 3 + [("INTERNAL", says)]


def statuses(answers: list[Asked]) -> list[int | str]:
    return [answer[0] for answer in answers]


WELL = [200, 200, 200, "OK"]


@pytest.mark.parametrize(
    ("value", "says"),
    [
        pytest.param(RAISES, "11 is not liked here", id="raises"),
        pytest.param(EXITS, "the model tried to end the process: sys.exit(3)", id="exits"),
        pytest.param(EATS, "Unable to allocate 1.00 EiB for an array with shape", id="wants more memory than there is"),
    ],
)
async def test_what_a_model_raises_is_an_answer_and_costs_nothing_else(
    any_server: Server, value: int, says: str
) -> None:
    before = any_server.everybody
    for _ in range(3):
        answers = await every_way(any_server, value)
        assert statuses(answers) == [500, 500, 500, "INTERNAL"]
        for ends, told in answers:
            text = told if isinstance(ends, str) else told["error"]
            assert text.startswith(says) and "Traceback" not in text
        assert statuses(await every_way(any_server, 1)) == WELL
    assert any_server.everybody == before, "no process ended"


class Healthy:
    """Somebody who asks another model all the while, on new connections, and counts what comes back."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.answers = 0
        self.lost = 0

    async def _ask(self) -> None:
        while True:
            try:
                answer = await self.server.rest("/v1/models/iris:predict", {"instances": [FLOWER]})
            except HttpError:  # the process that took it has died
                self.lost += 1
                await asyncio.sleep(0.05)
            else:
                assert answer == (200, {"predictions": [0]})
                self.answers += 1

    @contextlib.asynccontextmanager
    async def asking(self) -> AsyncIterator[Healthy]:
        task = asyncio.create_task(self._ask())
        await eventually(lambda: self.answers > 2)
        try:
            yield self
            so_far = self.answers
            await eventually(lambda: self.answers > so_far + 2 or task.done())
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


@contextlib.contextmanager
def started(models: Path, *arguments: str) -> Iterator[Server]:
    with serving("--model_dir", str(models), *arguments) as running:
        yield running


async def asked(server: Server, value: float, grpc: bool = False) -> Any:
    """Ask once; a connection that closes is None."""
    try:
        if grpc:
            return await server.grpc(framed(message("moody", np.array([[float(value)]]))))
        return await server.rest(V1, {"instances": [[value]]})
    except HttpError:
        return None


KILLED = "SIGKILL (perhaps for memory)"


async def test_a_crash_in_a_process_of_its_own_costs_its_request(models: Path) -> None:
    with started(models, *ISOLATED) as server:
        async with Healthy(server).asking() as healthy:
            for value, fate, grpc in ((SEGFAULTS, "SIGSEGV (it crashed)", False), (ENDS, KILLED, True)):
                says = f"the model's process was killed by {fate}"
                expected = ("INTERNAL", says) if grpc else (500, {"error": says})
                assert await asked(server, value, grpc) == expected
                assert (await asked(server, 2))[0] == 200, "its successor answers"
                assert re.search(rf"ERROR model moody: its process \d+ was killed by {re.escape(fate)}", server.log)
        assert healthy.lost == 0


@pytest.mark.parametrize(("value", "fate"), [(SEGFAULTS, "SIGSEGV"), (ENDS, "SIGKILL")])
async def test_a_crash_within_a_worker_closes_its_connections_and_it_is_started_again(
    models: Path, value: int, fate: str
) -> None:
    with started(models, *WORKERS) as server:
        before = set(server.children)
        async with Healthy(server).asking():
            assert await asked(server, value) is None
            await eventually(lambda: len(set(server.children) - before) == 1)
            assert len(set(server.children) & before) == 1, "the other one lives"
            await eventually(lambda: len(server.children) == 2)
        assert re.search(rf"ERROR worker \d \(process \d+\) was killed by {fate} while it was at .*moody", server.log)
        assert "it is started again" in server.log
        if value == SEGFAULTS:
            assert "in model moody" in server.log


async def test_a_crash_of_the_server_closes_its_connections_and_names_the_model(models: Path) -> None:
    """Who starts it again is whoever started it: the node, where it is a pod (``tests/chaos/test_kills.py``)."""
    with started(models) as server:
        assert (await asked(server, 2))[0] == 200
        for _ in range(150):  # until scikit-learn's own model runs on the loop
            await server.rest("/v1/models/iris:predict", {"instances": [FLOWER]})
        waiting = [asyncio.create_task(asked(server, SEGFAULTS, grpc)) for grpc in (False, True)]
        assert await asyncio.gather(*waiting) == [None, None]
        assert await server.process.ended() == -11
        said = server.log.partition("Fatal Python error: Segmentation fault")[2]
        crashed = said.partition("Current thread")[2].partition("\n\n")[0]
        assert "in model moody" in crashed and "iris" not in said


@pytest.mark.parametrize("model", ["own", "quick"])
@pytest.mark.parametrize("workers", [1, 2])
async def test_a_crash_of_ones_own_code_and_on_the_loop_names_the_model_too(model: str, workers: int) -> None:
    with serving(str(HERE / "own.py"), f"--workers={workers}") as server:
        path = f"/v1/models/{model}:predict"
        async with Client(environ={}) as client:
            for number in range(150):  # until the quick one runs on the loop
                assert (await server.rest(path, {"instances": [[number]]}, client=client))[0] == 200
            with pytest.raises(HttpError):
                await server.rest(path, {"instances": ["crash"]}, client=client)
        if workers == 1:
            assert await server.process.ended() == -11
        else:
            await eventually(
                lambda: f"was killed by SIGSEGV while it was at model {model}; it is started" in server.log
            )
        said = server.log.partition("Fatal Python error: Segmentation fault")[2]
        assert f"in model {model}" in said.partition("Current thread")[2].partition("\n\n")[0]
        on_loop = 'process.py", line' in said.partition("Current thread")[2].partition("\n\n")[0]
        assert on_loop == (model == "quick")


async def test_a_crash_while_loading_names_the_model(models: Path, tmp_path: Path) -> None:
    write_model(tmp_path / "crashing", "Crashing")
    with pytest.raises(AssertionError) as caught, started(tmp_path):
        pass
    assert "in model crashing" in str(caught.value)
    with pytest.raises(AssertionError) as caught, started(tmp_path, *WORKERS):
        pass
    assert "was killed by SIGSEGV while it was at model crashing" in str(caught.value)
    with pytest.raises(AssertionError) as caught, started(tmp_path, *ISOLATED):
        pass
    assert "model crashing: its process was killed by SIGSEGV (it crashed) while it loaded" in str(caught.value)


# Long enough for a first call on a slow machine, which is none without end.
LIMIT = "--predict_limit=3"


async def test_a_model_that_never_returns_ends_with_its_process(models: Path) -> None:
    with started(models, *ISOLATED, LIMIT) as server:
        async with Healthy(server).asking() as healthy:
            answers = await asyncio.gather(asked(server, HANGS), asked(server, 3), asked(server, 4, grpc=True))
            said = "Model with name moody is not ready. predict has not returned for 3 s"
            assert answers[0] == (503, {"error": said})
            assert [answer[0] for answer in answers[1:]] == [200, "OK"]
        assert healthy.lost == 0


async def test_a_model_that_never_returns_is_lost_and_then_the_server_makes_way(models: Path) -> None:
    with started(models, LIMIT, "--grace_period=20") as server:
        assert (await asked(server, 3))[0] == 200
        healthy = Healthy(server)
        asking = asyncio.create_task(healthy._ask())
        waiting = [asked(server, HANGS), asked(server, 3), asked(server, 4, grpc=True)]
        answers = await asyncio.gather(*waiting)
        said = "Model with name moody is not ready. predict has not returned for 3 s"
        assert answers == [(503, {"error": said})] * 2 + [("UNAVAILABLE", said)]
        assert healthy.answers > 2 and healthy.lost == 0
        assert await server.process.ended() == 75, "its supervisor is to start it again"
        asking.cancel()
        assert "ERROR model moody: predict has not returned for 3 s, and its thread cannot be ended" in server.log


async def test_a_model_that_never_returns_costs_its_worker(models: Path) -> None:
    with started(models, *WORKERS, LIMIT) as server:
        before = set(server.children)
        async with Healthy(server).asking():
            assert (await asked(server, HANGS))[0] == 503
            await eventually(lambda: len(server.children) == 2 and len(set(server.children) - before) == 1)
        assert re.search(r"ERROR worker \d \(process \d+\) ended with 75; it is started again", server.log)


async def test_what_a_model_leaks_stays_in_its_process(models: Path) -> None:
    with started(models, *ISOLATED) as server:
        await server.warm()
        before = server.memory()
        for _ in range(30):
            assert (await asked(server, LEAKS))[0] == 200
        assert server.memory() - before < 24 * MIB
        grown = max(server.memory(pid=child) for child in server.children)
        assert grown > 120 * MIB
        # Its end gives all of it back.
        assert (await asked(server, ENDS))[0] == 500
        assert (await asked(server, 1))[0] == 200


def test_a_board_shows_who_is_at_work_and_has_room_again_for_who_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    board = crashes.Board(bytearray(3 * 256))
    monkeypatch.setattr(crashes, "_board", board)
    marks = [crashes.Mark(name) for name in ("iris", "wïne", "x" * 400)]
    assert board.at_work() == []
    for mark in marks:
        mark.begin()
    assert board.at_work() == ["iris", "wïne", "x" * 254]
    one_too_many = crashes.Mark("nowhere")
    one_too_many.begin()
    one_too_many.close()
    marks[1].end()
    assert board.at_work() == ["iris", "x" * 254]
    marks[0].close()
    again = crashes.Mark("a")
    assert board.at_work() == ["x" * 254]
    again.begin()
    assert board.at_work() == ["a", "x" * 254]
    del again
    assert board.at_work() == ["x" * 254]
