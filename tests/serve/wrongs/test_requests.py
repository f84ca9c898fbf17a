"""Requests that are none: over V1, V2, V2 with raw blocks, and gRPC, each is refused in its protocol's words."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from mizzen.http.client import Client
from mizzen.http.http2.client import Http2Client
from mizzen.serve.protocols.grpc import schema
from mizzen.serve.protocols.grpc.framing import frame
from serve.wrongs.kit import FLOWER, HEADER, MIB, PATIENCE, Asked, Server, binary, block, framed, message, tensor

V1, V2 = "/v1/models/{}:predict", "/v2/models/{}/infer"
ROW = np.array([FLOWER])
NAN = np.array([[np.nan, 1, 2, 3]])


@dataclass
class Wrong:
    """One request, what it ends with, and what is said. ``how`` is a path, or None for gRPC."""

    how: str | None
    body: Any
    ends: int | str
    says: str
    headers: dict[str, str] = field(default_factory=dict)

    async def ask(self, server: Server, http1: Client, http2: Http2Client) -> Asked:
        if self.how is None:
            fields = [(name.encode(), value.encode()) for name, value in self.headers.items()]
            return await server.grpc(self.body, *fields, client=http2)
        return await server.rest(self.how, self.body, self.headers, client=http1)


def v1(body: Any, says: str, status: int = 400, model: str = "iris") -> Wrong:
    return Wrong(V1.format(model), body, status, says)


def v2(body: Any, says: str, status: int = 400, model: str = "iris") -> Wrong:
    return Wrong(V2.format(model), body, status, says)


def inputs(says: str, **change: Any) -> Wrong:
    """A V2 request with something changed in its tensor."""
    return v2({"inputs": [tensor([FLOWER], **change)]}, says)


def blocks(says: str, array: np.ndarray = ROW, status: int = 400, model: str = "iris", **change: Any) -> Wrong:
    """A V2 request with a raw block."""
    body, headers = binary([block(array, change.pop("datatype", "FP64"), **change)], array.tobytes())
    return Wrong(V2.format(model), body, status, says, headers)


def grpc(
    says: str, array: np.ndarray = ROW, code: str = "INVALID_ARGUMENT", model: str = "iris", **change: Any
) -> Wrong:
    return Wrong(None, framed(message(model, array, **change)), code, says)


def versioned(version: str) -> bytes:
    request = message("iris", ROW)
    request.model_version = version
    return framed(request)


RAGGED = [FLOWER, FLOWER[:2]]
NO_JSON = "Unrecognized request format"
HUGE = {"shape": [2**32, 2**32]}  # a product of which 64 bits hold nothing but zeros
ONE_MORE = {"shape": [2**31, 2**33, 4]}

TEXTS = np.frombuffer(b"\0\0\0\x80abc", np.uint8)  # a text of 2 GiB, of which three bytes come


def typed(datatype: str, **contents: list[Any]) -> Any:
    request = schema.ModelInferRequest(model_name="iris")
    tensor = request.inputs.add(name="x", datatype=datatype, shape=[1, 4])
    for name, values in contents.items():
        getattr(tensor.contents, name).extend(values)
    return request


WRONGS = {
    "not JSON": [
        v1(b'{"instances": [[', NO_JSON),
        v1(b"", NO_JSON),
        v2(b"inputs=1", NO_JSON),
        v2(b"[" * 100_000, "nested too deeply"),
        Wrong(V2.format("iris"), b"nonsense", 400, NO_JSON, {HEADER: "8"}),
        Wrong(None, frame(b"\xff" * 20), "INVALID_ARGUMENT", "this is no inference.ModelInferRequest"),
        Wrong(None, b"\0\0\0\0\x05abc", "INVALID_ARGUMENT", "5 bytes is announced, only 3 bytes came"),
    ],
    "not UTF-8": [
        v1(b'{"instances": ["\xff\xfe"]}', "not UTF-8"),
        v2(b'{"inputs": [{"name": "\xff"}]}', "not UTF-8"),
        Wrong(None, frame(b"\x0a\x02\xff\xfe"), "INVALID_ARGUMENT", "this is no inference.ModelInferRequest"),
    ],
    "JSON that is no request": [
        v1({}, "instances"),
        v1({"instances": 5}, '"instances" to be a list'),
        v1([1], "must be a JSON object"),
        v2({}, '"inputs" to be a list'),
        v2({"inputs": [5]}, "inputs[0] must be an object"),
        Wrong(
            None, framed(schema.ModelInferRequest(model_name="iris")), "INVALID_ARGUMENT", "takes at least one tensor"
        ),
    ],
    "NaN and infinity": [
        v1(b'{"instances": [[NaN, 1, 2, 3]]}', NO_JSON),
        v1(b'{"instances": [[-Infinity, 1, 2, 3]]}', NO_JSON),
        v1(b'{"instances": [[1e999, 1, 2, 3]]}', "Number out of range"),
        v1({"instances": [[None, 1, 2, 3]]}, "Input X contains NaN"),
        v2(b'{"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [NaN]}]}', NO_JSON),
        v2(b'{"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [1e999]}]}', "Number out of range"),
        inputs("Input X contains NaN", data=[None, 1, 2, 3]),
        inputs("Input X contains NaN", data=["nan", 1, 2, 3]),
        blocks("Input X contains NaN", NAN),
        blocks("Input X contains infinity", np.full((1, 4), np.inf)),
        grpc("Input X contains NaN", NAN),
    ],
    "a number that is too large for its type": [
        inputs("too large for float32", datatype="FP32", data=[1e40, 1, 2, 3]),
        inputs("300", datatype="INT8", data=[300, 1, 2, 3]),
        inputs("too large", data=[10**400, 1, 2, 3]),
        v1({"instances": [[10**400, 1, 2, 3]]}, "too large"),
        Wrong(None, framed(typed("INT8", int_contents=[300, 1, 2, 3])), "INVALID_ARGUMENT", "300 is out of range"),
    ],
    "a shape that does not match the data": [
        inputs("shape [2, 4] takes 8 elements, data has 4", shape=[2, 4]),
        inputs("shape [1, 3] takes 3 elements, data has 4", shape=[1, 3]),
        inputs("takes 0 elements, data has 4", shape=[0, 4]),
        inputs("a multiple of 3", shape=[-1, 3]),
        blocks("shape [2, 4] takes 8 elements, data has 4", shape=[2, 4]),
        blocks("no whole number of FP64 elements", np.zeros(5, np.uint8)),
        grpc("shape [2, 4] takes 8 elements, data has 4", shape=[2, 4]),
        v1({"instances": [FLOWER[:2]]}, "X has 2 features, but SVC is expecting 4"),
        grpc("X has 2 features, but SVC is expecting 4", ROW[:, :2]),
    ],
    "huge dimensions": [
        inputs("data has 4", **HUGE),
        inputs("data has 0", data=[], **HUGE),
        inputs("data has 4", **ONE_MORE),
        inputs("has a dimension that is larger than any array's", data=[], shape=[0, 2**62, 2**62]),
        inputs("data has 4", shape=[10**30, 4]),
        inputs("at most 64 dimensions", shape=[1] * 100 + [4]),
        blocks("data has 4", **HUGE),
        blocks("has a dimension that is larger than any array's", np.zeros(0), shape=[2**62, 4, 0]),
        grpc("data has 4", **HUGE),
        grpc("data has 0", np.zeros(0), **HUGE),
        grpc("has a dimension that is larger than any array's", np.zeros(0), shape=[2**62, 4, 0]),
    ],
    "negative dimensions": [
        inputs("has a negative dimension", shape=[-2, -2]),
        inputs("has more than one -1", shape=[-1, -1]),
        inputs("has -1 beside 0", data=[], shape=[-1, 0]),
        blocks("has a negative dimension", shape=[-(2**63), 4]),
        grpc("has a negative dimension", shape=[-2, -2]),
        grpc("has more than one -1", shape=[-1, -1]),
    ],
    "an unknown datatype": [
        inputs("datatype 'FP99' is not known; it is one of BOOL, UINT8", datatype="FP99"),
        inputs("datatype is missing", datatype=None),
        inputs("FP16 data via JSON is not supported", datatype="FP16"),
        blocks("datatype 'FP99' is not known; it is one of BOOL, UINT8", datatype="FP99"),
        grpc("FP99 datatype; there are BOOL, UINT8", datatype="FP99"),
        grpc("BF16 is not supported", datatype="BF16"),
    ],
    "ragged rows": [
        v1({"instances": RAGGED}, "is ragged: row 0 has 4 values, row 1 has 2 values"),
        v1({"instances": [[1, [2]], [3, 4]]}, "lists within a row"),
        inputs("data is ragged", data=RAGGED),
    ],
    "a promise of more than there is": [
        Wrong(V2.format("iris"), b"{}", 400, f"is {2**31}, but the body has only 2 bytes", {HEADER: f"{2**31}"}),
        blocks(f"binary_data_size is {2**31}, the body has 32 bytes left", parameters={"binary_data_size": 2**31}),
        blocks("must be a number of bytes, not -1", parameters={"binary_data_size": -1}),
        blocks("is said to have 2147483648 bytes", TEXTS, datatype="BYTES", shape=[1]),
        grpc("is said to have 2147483648 bytes", TEXTS, datatype="BYTES", shape=[1]),
        Wrong(None, b"\0\x80\0\0\0abc", "RESOURCE_EXHAUSTED", "2147483648 bytes is larger than the 8388608"),
    ],
    "unknown": [
        v1({"instances": [FLOWER]}, "Model with name none does not exist.", 404, "none"),
        v2({"inputs": [tensor([FLOWER])]}, "Model with name none does not exist.", 404, "none"),
        blocks("Model with name none does not exist.", status=404, model="none"),
        grpc("Model with name none does not exist.", code="NOT_FOUND", model="none"),
        Wrong("/v2/models/iris/versions/7/infer", {}, 404, "Model with name iris has no version 7."),
        Wrong(None, versioned("7"), "NOT_FOUND", "Model with name iris has no version 7."),
        Wrong("/v3/models", {}, 404, "nothing is served at /v3/models"),
    ],
    "a model that could not be loaded": [
        v1({"instances": [FLOWER]}, "Model with name fatal is not ready.", 503, "fatal"),
        v2({"inputs": [tensor([FLOWER])]}, "(RuntimeError: no model today)", 503, "fatal"),
        blocks("Model with name fatal is not ready.", status=503, model="fatal"),
        grpc("(RuntimeError: no model today)", code="UNAVAILABLE", model="fatal"),
    ],
}


async def healthy(server: Server, http1: Client, http2: Http2Client) -> None:
    """One who did nothing wrong, in each protocol."""
    assert await server.rest(V1.format("iris"), {"instances": [FLOWER]}, client=http1) == (200, {"predictions": [0]})
    code, answer = await server.grpc(framed(message("iris", ROW)), client=http2)
    assert (code, answer.raw_output_contents[0]) == ("OK", np.array([0]).tobytes())


@pytest.mark.parametrize("clause", WRONGS)
async def test_it_is_refused_in_words_and_beside_it_all_is_well(nothing_left, server, http1, http2, clause):
    for wrong in WRONGS[clause]:
        ends, says = await wrong.ask(server, http1, http2)
        assert ends == wrong.ends
        if wrong.how is not None:
            assert set(says) == {"error"}
            says = says["error"]
        assert wrong.says in says
        assert "Traceback" not in says and 'File "' not in says
    # Nor is anybody else touched, or a connection lost.
    async with asyncio.timeout(PATIENCE):
        many = [wrong.ask(server, http1, http2) for wrong in WRONGS[clause] * 8]
        good = [healthy(server, http1, http2) for _ in range(24)]
        answers = await asyncio.gather(*many, *good)
    assert [answer[0] for answer in answers[: len(many)]] == [wrong.ends for wrong in WRONGS[clause]] * 8
    assert http2.connections == 1


async def test_none_of_it_is_a_defect_nor_kept(server, http1, http2):
    """After all of the above, and more of it: nothing in the log, and no memory that is not given back."""
    every = [wrong for wrongs in WRONGS.values() for wrong in wrongs]
    for wrong in every:  # until caches are filled
        await wrong.ask(server, http1, http2)
    before = server.memory()
    async with asyncio.timeout(PATIENCE):
        for _ in range(10):
            await asyncio.gather(*(wrong.ask(server, http1, http2) for wrong in every))
    await healthy(server, http1, http2)
    assert server.memory() - before < 24 * MIB
    assert "Traceback" not in server.log
