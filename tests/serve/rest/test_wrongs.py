"""The list of wrongs: each with the status it gets, and a sentence that helps. What a model does wrong is below.

Requests are sent as bytes, since half of them no client would send.
"""

from __future__ import annotations

import asyncio
import gzip
import json
from typing import Any

import numpy as np
import pytest

from mizzen.http.server import Limits
from mizzen.serve.errors import InferenceError, LoadError
from mizzen.serve.lanes.scheduling import Scheduling
from mizzen.serve.model import Options, Servable, Tensor

from .conftest import Echo, Sleeper

V1, V2 = b"/v1/models/m:predict", b"/v2/models/m/infer"
T: dict[str, Any] = {"name": "x", "shape": [2, 2], "datatype": "FP32", "data": [1, 2, 3, 4]}


def post(path: bytes, body: bytes | Any, *lines: bytes) -> bytes:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = b"POST %b HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n" % (path, len(data))
    return head + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + data


def infer(**change: Any) -> bytes:
    return post(V2, {"inputs": [T | change]})


async def talk(port: int, *pieces: bytes) -> list[tuple[int, Any]]:
    """Send pieces, then read answers to the connection's end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.01)
        found = []
        async with asyncio.timeout(20):
            while line := await reader.readline():
                status = int(line.split()[1])
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                [length] = [int(one.split(b":")[1]) for one in head.splitlines() if one.startswith(b"content-length:")]
                text = await reader.readexactly(length)
                assert b"content-type: application/json" in head
                found.append((status, json.loads(text)))
                if b"connection: close" not in head:
                    writer.write_eof() if writer.can_write_eof() else None
        return found
    finally:
        writer.close()


CLOSE = b"connection: close"
WRONGS: list[Any] = [
    # Not what its protocol asks for.
    ("not JSON", post(V2, b"rows"), 400, "Unrecognized request format: JSON is malformed"),
    ("not JSON, V1", post(V1, b"rows"), 400, "Unrecognized request format: JSON is malformed"),
    ("nothing", post(V2, b""), 400, "Unrecognized request format: the body is empty"),
    ("nothing, V1", post(V1, b" \n"), 400, "Unrecognized request format: the body is empty"),
    ("null", post(V2, b"null"), 400, "the request must be a JSON object, not null"),
    ("null, V1", post(V1, b"null"), 400, 'the request must be a JSON object with a list "instances", not null'),
    ("NaN", post(V2, b'{"inputs":[NaN]}'), 400, "JSON has no NaN (byte 11): write null, which is read as NaN"),
    ("NaN, V1", post(V1, b'{"instances":[[NaN]]}'), 400, "Unrecognized request format: JSON has no NaN (byte 15): "),
    ("infinity, V1", post(V1, b'{"instances":[[-Infinity]]}'), 400, "JSON has no Infinity (byte 16): V2's raw blocks"),
    ("infinity by digits", infer(data=[10**400, 2, 3, 4]), 400, "input 'x': "),
    ("shape and data", infer(shape=[3, 2]), 400, "input 'x': shape [3, 2] takes 6 elements, data has 4"),
    ("huge dimension", infer(shape=[2**62, 4]), 400, "takes 18446744073709551616 elements, data has 4"),
    ("negative dimension", infer(shape=[-2, -2]), 400, "shape [-2, -2] has a negative dimension"),
    ("two unknown dimensions", infer(shape=[-1, -1]), 400, "shape [-1, -1] has more than one -1"),
    ("unknown datatype", infer(datatype="BF16"), 400, "datatype 'BF16' is not known; it is one of BOOL, UINT8, "),
    ("ragged rows", infer(data=[[1, 2], [3]]), 400, "data is ragged: its lists are not all of one length"),
    ("ragged rows, V1", post(V1, {"instances": [[1, 2], [3]]}), 400, "row 0 has 2 values, row 1 has 1 value"),
    ("too large for its type", infer(datatype="INT8", data=[300, 1, 1, 1]), 400, "300 is out of range for INT8, which"),
    (
        "too large, nested",
        infer(datatype="INT8", data=[[300, 1], [1, 1]]),
        400,
        "input 'x': 300 is out of range for INT8",
    ),
    ("half a number", infer(datatype="INT64", data=[1.5, 1, 1, 1]), 400, "1.5 is not a whole number"),
    ("deep", post(V1, b'{"instances":' + b"[" * 100_000), 400, "nested too deeply"),
    ("unknown output", post(V2, {"inputs": [T], "outputs": [{"name": "z"}]}), 400, "Unexpected inference output 'z'"),
    (
        "classes",
        post(V2, {"inputs": [T], "outputs": [{"name": "x", "parameters": {"classification": 3}}]}),
        400,
        "output 'x': classification is not supported; the tensor itself is sent",
    ),
    (
        "shared memory",
        post(
            V2,
            {"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "parameters": {"shared_memory_region": "r"}}]},
        ),
        400,
        "'data' field is missing for input 'x' for model 'm': it is in shared memory, which is not read here",
    ),
    ("a deadline of nothing", post(V2, {"inputs": [T], "parameters": {"timeout": 0}}), 400, "positive number of micro"),
    # What does not exist.
    ("unknown model", post(b"/v2/models/z/infer", {"inputs": [T]}), 404, "Model with name z does not exist."),
    ("unknown version", post(b"/v2/models/m/versions/9/infer", {"inputs": [T]}), 404, "m has no version 9"),
    ("unknown path", post(b"/v3", b""), 404, "nothing is served at /v3"),
    ("wrong method", b"DELETE /v2 HTTP/1.1\r\nhost: a\r\n\r\n", 405, "/v2 takes GET, not DELETE"),
    # Bodies.
    ("2 GB promised", b"POST %b HTTP/1.1\r\nhost: a\r\ncontent-length: 2147483648\r\n\r\n" % V2, 413, "larger than"),
    ("raw blocks cut off", post(V2, b"{}", b"inference-header-content-length: 2147483648"), 400, "the body has only 2"),
    ("gzip bomb", post(V2, gzip.compress(b" " * 50_000_000), b"content-encoding: gzip"), 413, "larger, uncompressed"),
    ("zip of another kind", post(V2, b"PK\3\4", b"content-encoding: gzip"), 400, "is said to be gzip, and is not"),
    # HTTP that others could read otherwise.
    ("two lengths", b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab", 400, "HTTP/1.1"),
    (
        "length and chunks",
        b"POST %b HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n" % V2,
        400,
        "HTTP/1.1",
    ),
    (
        "bad chunk",
        b"POST %b HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nab\r\n0\r\n\r\n" % V2,
        400,
        "HTTP/1.1",
    ),
    ("no host", b"GET / HTTP/1.1\r\n\r\n", 400, "one host field"),
    ("a header without end", b"GET / HTTP/1.1\r\nhost: a\r\nx: " + b"y" * 400_000, 431, "header"),
]


@pytest.mark.parametrize(("request_", "status", "text"), [pytest.param(*one[1:], id=one[0]) for one in WRONGS])
async def test_a_request_that_is_wrong(serving, echo, request_, status, text):
    ask = await serving(echo, limits=Limits(body=1_000_000))
    [(found, said)] = await talk(ask.port, request_)
    assert found == status
    assert set(said) == {"error"}
    assert text in said["error"]
    assert "Traceback" not in said["error"] and len(said["error"]) < 300
    # Nobody else is harmed.
    assert (await ask.infer("m", T)).status == 200


async def test_a_head_or_body_that_does_not_come(serving, echo):
    ask = await serving(echo, limits=Limits(head_timeout=0.2, body_timeout=0.2))
    [(status, said)] = await talk(ask.port, b"GET /v2 HTTP/1.1\r\n", b"ho")
    assert (status, "header took longer" in said["error"]) == (408, True)
    [(status, said)] = await talk(ask.port, infer()[:-5])
    assert (status, "nothing of the request's body came" in said["error"]) == (408, True)


async def test_pipelined_and_split_requests_are_answered_in_their_order(serving, echo):
    ask = await serving(echo)
    wrong = post(V2, b"rows")
    stream = b"".join(infer(data=[number, 0, 0, 0]) if number % 3 else wrong for number in range(30))
    whole = await talk(ask.port, stream)
    split = await talk(ask.port, *(stream[at : at + 97] for at in range(0, len(stream), 97)))
    for answers in (whole, split):
        assert [status for status, _ in answers] == [200 if number % 3 else 400 for number in range(30)]
        for number, (status, said) in enumerate(answers):
            if status == 200:
                assert said["outputs"][0]["data"][0] == number


class Wicked(Echo):
    """Does what its input says."""

    def infer(self, inputs: list[Tensor], options: Options) -> list[Tensor]:
        what = inputs[0].array.ravel()[0]
        if what == 1:
            raise ValueError("no such row")
        if what == 2:
            raise SystemExit(3)
        if what == 3:
            raise NotImplementedError("not this one")
        if what == 4:
            raise InferenceError("try another", 422)
        if what == 5:
            raise RecursionError
        if what == 6:
            return [Tensor("y", np.array([1j]))]
        if what == 8:
            raise ValueError("\ud800")
        if what == 9:
            raise MemoryError
        return inputs


@pytest.mark.parametrize("path", [V1, V2])
@pytest.mark.parametrize(
    ("what", "status", "text"),
    [
        (1, 500, "no such row"),
        (2, 500, "the model tried to end the process: sys.exit(3)"),
        (3, 501, "not this one"),
        (4, 422, "try another"),
        (5, 500, "RecursionError"),
        (6, 500, "complex"),
        (8, 500, "?"),
        (9, 500, "MemoryError"),
    ],
)
async def test_a_model_that_fails(serving, path, what, status, text):
    ask = await serving(Wicked())
    body = {"instances": [[what]]} if path == V1 else {"inputs": [T | {"data": [what] * 4}]}
    answer = await ask("POST", path.decode(), body)
    assert answer.status == status
    assert text in answer.error
    assert (await ask.infer("m", T | {"data": [0] * 4})).status == 200


class Broken(Servable):
    def load(self) -> None:
        raise LoadError("/models/broken/model.onnx is cut short")


@pytest.mark.parametrize("path", ["/v1/models/broken:predict", "/v2/models/broken/infer"])
async def test_a_broken_model_beside_a_healthy_one(serving, echo, path):
    ask = await serving(echo)
    with pytest.raises(LoadError):
        ask.server.repository.load(Broken("broken"))
    answer = await ask("POST", path, {})
    assert (answer.status, answer.error) == (
        503,
        "Model with name broken is not ready. /models/broken/model.onnx is cut short",
    )
    assert (await ask.infer("m", T)).status == 200


@pytest.mark.parametrize("path", [V1, V2])
async def test_a_full_queue(serving, path):
    model = Sleeper()
    ask = await serving(model, scheduling=Scheduling(queue=2))
    body = {"instances": [[1]]} if path == V1 else {"inputs": [T]}
    waiting = [asyncio.create_task(ask("POST", path.decode(), body)) for _ in range(2)]
    async with asyncio.timeout(10):
        while ask.server.repository.get("m").in_flight < 2:
            await asyncio.sleep(0.01)
    answer = await ask("POST", path.decode(), body)
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert answer.error == "Model with name m has 2 requests to answer and takes no more now."
    model.go.set()
    assert [one.status for one in await asyncio.gather(*waiting)] == [200, 200]


async def test_a_second_server_on_the_same_port(serving, echo):
    ask = await serving(echo)
    other = await serving()
    with pytest.raises(OSError, match="in use"):
        await other.server.listen("127.0.0.1", ask.port)
    assert (await ask.infer("m", T)).status == 200


async def test_nobody_gets_anothers_answer(serving, echo):
    """Many at once, right ones and wrong ones, over both protocols: each row comes back to who sent it."""
    ask = await serving(echo)
    random = np.random.default_rng(4)

    async def one(number: int) -> None:
        kind = random.integers(0, 4)
        if kind == 0:
            answer = await ask("POST", V1.decode(), {"instances": [[number, number]]})
            assert answer.json == {"predictions": [[number, number]]}
        elif kind == 1:
            answer = await ask.infer("m", T | {"data": [number] * 4}, id=str(number))
            assert (answer.json["id"], answer.json["outputs"][0]["data"]) == (str(number), [number] * 4)
        elif kind == 2:
            answer = await ask.infer("m", T | {"data": [number] * 3}, id=str(number))
            assert answer.status == 400
        else:
            rows = [[number] * 300] * 300
            answer = await ask("POST", V1.decode(), {"instances": rows})
            assert answer.json == {"predictions": rows}

    for start in range(0, 160, 16):
        await asyncio.gather(*(one(number) for number in range(start, start + 16)))
