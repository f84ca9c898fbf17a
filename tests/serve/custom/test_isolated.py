"""``isolation: process`` with classes of users: the answers are the same, and what a class does to its process is felt
by those alone who asked it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mizzen.http.client import Client
from mizzen.http.errors import HttpError
from serve.wrongs.kit import Server, binary, block, eventually, framed, message, serving

CODE = """
import asyncio, ctypes, os, sys, time
from pathlib import Path
from mizzen.serve import (
    InferenceError, InferOutput, InferResponse, InvalidInput, Model, get_predict_input, get_predict_response,
)

HERE = Path(__file__).parent

class Scale(Model):
    def load(self):
        self.factor = 2

    def predict(self, request, headers=None):
        if isinstance(request, dict) and "raise" in request:
            raise {"input": InvalidInput("no"), "many": InferenceError("later", 429), "value": ValueError("why"),
                   "none": NotImplementedError("not yet")}[request["raise"]]
        return get_predict_response(request, get_predict_input(request) * self.factor, self.name)

    def explain(self, request, headers=None):
        return {"because": headers.get("x-why"), "of": get_predict_input(request).sum()}

    def get_input_types(self):
        return [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}]

    def stop(self):
        (HERE / "stopped").write_text(self.name)

class Told(Model):
    def __init__(self, name):
        super().__init__(name, return_response_headers=True)

    async def predict(self, request, headers=None, response_headers=None):
        response_headers["x-mine"] = headers.get("x-yours", "nothing")
        if isinstance(request, bytes):
            return request[::-1]
        if isinstance(request, dict):
            return "text \\u00fc"
        rows = request.inputs[0].as_numpy()
        out = InferOutput("total", [len(rows)], "FP32", rows.sum(axis=1))
        return InferResponse(request.id, self.name, [out], parameters={"rows": len(rows)})

class Moody(Model):
    async def predict(self, request, headers=None):
        what = request["instances"][0]
        if what == "sleep":
            await asyncio.sleep(1)
        elif what == "wait":
            (HERE / "began").write_text("1")
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                (HERE / "cancelled").write_text("1")
                raise
        elif what == "crash":
            ctypes.string_at(0)
        elif what == "exit":
            sys.exit(3)
        elif what == "hang":
            while True:
                pass
        elif what == "hold":  # and nobody else in the process runs any Python
            ctypes.PyDLL(None).sleep(3600)
        elif what == "gone":
            os._exit(9)
        return {"predictions": [os.getpid()]}

class Slow(Moody):
    def load(self):
        time.sleep(1)
        self.ready = True

class Joined(Model):
    batchable = True

    def predict(self, request, headers=None):
        rows = get_predict_input(request)
        if (rows == 11).any():
            ctypes.string_at(0)
        time.sleep(0.1)
        return get_predict_response(request, rows * 2, self.name)

class Ill(Model):
    async def healthy(self):
        return (HERE / "well").exists()

    async def predict(self, request, headers=None):
        return {"predictions": [1]}

class Streams(Model):
    async def predict(self, request, headers=None):
        async def pieces():
            try:
                for one in range(request["pieces"]):
                    if one == request.get("fails"):
                        raise ValueError("enough")
                    yield f"{one} " if one % 2 else {"piece": one}
                    await asyncio.sleep(0)
            finally:
                (HERE / "closed").write_text(str(one))
        return pieces()
"""

# A machine on which a process that is to end lives on for a while.
LATE = """
import sys, time
from mizzen.serve.isolation.child import Child
kill = Child.kill
def late(self, reason):
    time.sleep(1)
    kill(self, reason)
Child.kill = late
from mizzen.serve.main import container
sys.exit(container(sys.argv[1:]))
"""


@pytest.fixture
def code(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(CODE)
    return tmp_path


def started(code: Path, kind: str, *more: str, isolated: bool = True) -> Any:
    own = ["--isolation=process"] if isolated else []
    return serving("--model_dir", f"{code}/mine.py:{kind}", "--model_name=m", *own, *more)


CRASHED = "was killed by SIGSEGV (it crashed)"
V1, EXPLAIN, V2 = "/v1/models/m:predict", "/v1/models/m:explain", "/v2/models/m/infer"


async def raw(server: Server, path: str, body: bytes, **headers: str) -> tuple[int, bytes, dict[bytes, bytes]]:
    fields = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    async with asyncio.timeout(30), Client(environ={}) as client:
        async with await client.request("POST", server.url + path, body=body, headers=fields) as answer:
            kept = (b"content-type", b"x-mine")
            return answer.status, await answer.read(), {name: value for name, value in answer.headers if name in kept}


async def moody(server: Server, what: Any) -> tuple[int, Any]:
    status, body, _ = await raw(server, V1, json.dumps({"instances": [what]}).encode())
    return status, json.loads(body)


def unnamed(answer: tuple[int | str, Any]) -> tuple[int | str, Any]:
    """Without the id, which is made up where a request has none."""
    status, body = answer
    if isinstance(body, dict):
        return status, {**body, "id": ""}
    if hasattr(body, "id"):
        body.id = ""
    return status, body


async def _in_flight(server: Server, count: int) -> bool:
    return await server.metric("mizzen_requests_in_flight", model_name="m") == count


async def _status(server: Server, status: int) -> bool:
    return (await moody(server, 1))[0] == status


async def until(path: Path) -> str:
    """What the model has left there."""
    async with asyncio.timeout(30):
        while not path.exists() or not path.read_text():
            await asyncio.sleep(0.01)
    return path.read_text()


async def test_every_answer_is_what_it_is_without(code: Path) -> None:
    rows = np.array([[1.5, 2.0], [3.0, 4.0]])
    v2 = {"id": "7", "inputs": [{"name": "x", "shape": [2, 2], "datatype": "FP64", "data": rows.ravel().tolist()}]}
    found: dict[tuple[str, bool], list[Any]] = {}
    for kind in ("Scale", "Told"):
        for isolated in (True, False):
            with started(code, kind, isolated=isolated) as server:
                answers: list[Any] = [
                    await raw(server, V1, b'{"instances": [[1.5, 2]]}', x_yours="this"),
                    await raw(server, V1, b"some bytes\xff", content_type="image/png"),
                    await raw(server, V1, b'{"instances": 1e400}'),
                    await raw(server, EXPLAIN, b'{"instances": [[1.5, 2]]}', x_why="so"),
                    await raw(server, V2, json.dumps(v2).encode(), x_yours="that"),
                    unnamed(await server.rest(V2, *binary([block(rows, "FP64")], rows.tobytes()))),
                    unnamed(await server.grpc(framed(message("m", rows)))),
                    await server.rest("/v2/models/m"),
                    *[
                        await raw(server, V1, json.dumps({"instances": [], "raise": one}).encode())
                        for one in ("input", "many", "value", "none")
                    ],
                ]
                found[kind, isolated] = answers
    assert found["Scale", True] == found["Scale", False]
    assert found["Told", True] == found["Told", False]
    assert found["Scale", True][0][:2] == (200, b'{"predictions":[[3.0,4.0]]}')
    assert json.loads(found["Scale", True][3][1]) == {"because": "so", "of": 3.5}
    assert [one[0] for one in found["Scale", True][-4:]] == [400, 429, 500, 501]
    assert found["Told", True][1][:2] == (200, b"\xffsetyb emos")
    assert found["Told", True][4][2][b"x-mine"] == b"that"


async def test_twenty_that_wait_take_as_long_as_one(code: Path) -> None:
    with started(code, "Moody") as server:
        began = asyncio.get_running_loop().time()
        answers = await asyncio.gather(*(moody(server, "sleep") for _ in range(20)))
        assert [status for status, _ in answers] == [200] * 20
        assert asyncio.get_running_loop().time() - began < 10, "one after the other they would take 20"
        async with Client(environ={}) as client, await client.request("GET", f"{server.url}/metrics") as page:
            assert b'request_predict_seconds_count{model_name="m"} 20.0' in await page.read()


@pytest.mark.parametrize(("what", "fate"), [("crash", CRASHED), ("gone", "ended with exit code 9")])
async def test_a_crash_costs_those_that_it_had_and_a_successor_answers(code: Path, what: str, fate: str) -> None:
    with started(code, "Moody") as server:
        _, before = await moody(server, "pid")
        waiting = [asyncio.create_task(moody(server, "wait")) for _ in range(5)]
        await eventually(lambda: _in_flight(server, 5))  # what comes after them goes to the model after them
        answers = [await moody(server, what), *await asyncio.gather(*waiting)]
        assert answers == [(500, {"error": f"the model's process {fate}"})] * 6
        status, after = await moody(server, "pid")
        assert status == 200 and after != before
        assert re.search(rf"ERROR model m: its process \d+ {re.escape(fate)}; the next", server.log)


async def test_sys_exit_costs_one_request_and_no_process(code: Path) -> None:
    with started(code, "Moody") as server:
        before = await moody(server, "pid")
        assert await moody(server, "exit") == (500, {"error": "the model tried to end the process: sys.exit(3)"})
        assert await moody(server, "pid") == before


@pytest.mark.parametrize("what", ["hang", "hold"])
async def test_a_loop_without_end_ends_with_its_process(code: Path, what: str) -> None:
    with started(code, "Moody", "--predict_limit=4") as server:
        _, before = await moody(server, "pid")
        said = {"error": "Model with name m is not ready. predict has not returned for 4 s"}
        assert await moody(server, what) == (503, said)
        status, after = await moody(server, "pid")
        assert status == 200 and after != before


@pytest.mark.parametrize("what", ["hang", "hold"])
async def test_a_successor_answers_however_late_the_last_one_ends(code: Path, what: str) -> None:
    """The last words of a process that is to end, that its model is not well, are not its successor's."""
    arguments = ["--model_dir", f"{code}/mine.py:Moody", "--model_name=m", "--isolation=process", "--predict_limit=2"]
    with serving(*arguments, code=LATE) as server:
        _, before = await moody(server, "pid")
        assert (await moody(server, what))[0] == 503
        answers = await asyncio.gather(*(moody(server, "pid") for _ in range(5)))
        assert [status for status, _ in answers] == [200] * 5
        assert all(after != before for _, after in answers)


async def test_whoever_has_a_deadline_waits_no_longer_for_a_successor(code: Path) -> None:
    with started(code, "Slow") as server:
        assert await moody(server, "crash") == (500, {"error": f"the model's process {CRASHED}"})
        body = {"instances": ["pid"], "parameters": {"timeout": 100_000}}
        assert (await raw(server, V1, json.dumps(body).encode()))[0] == 504
        assert (await moody(server, "pid"))[0] == 200


async def test_who_waits_no_longer_cancels_the_coroutine(code: Path) -> None:
    with started(code, "Moody") as server:
        body = {"instances": ["wait"], "parameters": {"timeout": 200_000}}
        assert (await raw(server, V1, json.dumps(body).encode()))[0] == 504
        await until(code / "cancelled")
        (code / "cancelled").unlink()
        (code / "began").unlink()
        asked = asyncio.create_task(moody(server, "wait"))
        await until(code / "began")
        asked.cancel()
        await until(code / "cancelled")
        assert (await moody(server, "pid"))[0] == 200


async def test_past_the_queue_limit_it_is_503(code: Path) -> None:
    with started(code, "Moody", "--max_queue=1") as server:
        asked = asyncio.create_task(moody(server, "wait"))
        await until(code / "began")
        status, body = await moody(server, "pid")
        assert (status, body) == (503, {"error": "Model with name m has 1 requests to answer and takes no more now."})
        asked.cancel()
        await asyncio.wait([asked])


async def test_a_stream_comes_piece_by_piece(code: Path) -> None:
    with started(code, "Streams") as server:
        wanted = b"".join(b"%d " % one if one % 2 else b'{"piece":%d}\n' % one for one in range(100))
        assert (await raw(server, V1, b'{"pieces": 100}'))[:2] == (200, wanted)
        assert await until(code / "closed") == "99"
        assert (await raw(server, V1, b'{"pieces": 3, "fails": 0}'))[:2] == (500, b'{"error":"enough"}')
        with pytest.raises(HttpError):
            await raw(server, V1, b'{"pieces": 100, "fails": 50}')


async def test_a_stream_whose_client_leaves_is_closed(code: Path) -> None:
    with started(code, "Streams") as server:
        body = b'{"pieces": 100000000}'
        async with Client(environ={}) as client, await client.request("POST", server.url + V1, body=body) as answer:
            assert await answer.piece()
        assert int(await until(code / "closed")) < 100000000 - 1


async def test_requests_share_calls_where_the_class_lets_them(code: Path) -> None:
    def asked(value: float) -> dict[str, Any]:
        return {"inputs": [{"name": "x", "shape": [1, 1], "datatype": "FP64", "data": [value]}]}

    with started(code, "Joined") as server:
        answers = await asyncio.gather(*(server.rest(V2, asked(one)) for one in range(10)))
        assert [(status, body["outputs"][0]["data"]) for status, body in answers] == [
            (200, [2.0 * n]) for n in range(10)
        ]
        async with Client(environ={}) as client, await client.request("GET", f"{server.url}/metrics") as page:
            text = await page.read()
        assert b'mizzen_batching_enabled{model_name="m"} 1.0' in text
        assert (await server.rest(V2, asked(11)))[0] == 500
        assert (await server.rest(V2, asked(3)))[0] == 200


async def test_one_that_is_not_well_says_so_until_it_is(code: Path) -> None:
    with started(code, "Ill") as server:
        await eventually(lambda: _status(server, 503))
        (code / "well").touch()
        await eventually(lambda: _status(server, 200))


async def test_one_that_is_not_well_and_ends_has_a_successor(code: Path) -> None:
    with started(code, "Ill") as server:
        await eventually(lambda: _status(server, 503))
        [child] = server.children
        (code / "well").touch()
        os.kill(child, signal.SIGSTOP)  # so that it cannot say that it is well
        os.kill(child, signal.SIGKILL)
        await eventually(lambda: _status(server, 200))
        assert child not in server.children


async def test_it_stops_with_the_server(code: Path) -> None:
    with started(code, "Scale") as server:
        assert (await raw(server, V1, b'{"instances": [[1.5, 2]]}'))[0] == 200
        server.process.popen.terminate()
        assert await server.process.ended() == 0
        assert (code / "stopped").read_text() == "m"
