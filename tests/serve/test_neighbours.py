"""Good requests beside all kinds of bad ones, over real connections: everybody gets what is theirs."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import numpy as np
import pytest

from mizzen.http.server import Limits
from mizzen.serve.model import Options, Tensor, TensorModel


class Tell(TensorModel):
    """Answers a row with the sum of it, so that every answer tells whose it is. Negative rows are refused."""

    def __init__(self) -> None:
        super().__init__("m")
        self.batchable = True
        self.foreign = False

    def load(self) -> None:
        pass

    def infer(self, inputs: list[Tensor], options: Options) -> list[Tensor]:
        array = inputs[0].array
        if (array < 0).any():
            raise ValueError("negative")
        if array.shape[1] != 2:
            raise ValueError(f"{array.shape[1]} columns")
        return [Tensor("o", array.sum(axis=1))]


def request(body: bytes, path: str = "/v2/models/m/infer") -> bytes:
    return f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def v2(*values: float, **change: Any) -> bytes:
    tensor = {"name": "x", "shape": [1, len(values)], "datatype": "FP64", "data": values} | change
    return request(json.dumps({"id": str(values[0]), "inputs": [tensor]}).encode())


def v1(*values: float) -> bytes:
    return request(json.dumps({"instances": [values]}).encode(), "/v1/models/m:predict")


async def read(reader: asyncio.StreamReader) -> tuple[int, Any]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    length = int(head.partition("content-length: ")[2].partition("\r")[0])
    return int(head.split()[1]), json.loads(await reader.readexactly(length))


# What one client sends in a turn, and what it must get: by number, so that a mixed-up answer shows.
def turn(number: int) -> tuple[bytes, int, Any]:
    value = float(number)
    match number % 11:
        case 0:
            return v1(value, 1.0), 200, {"predictions": [value + 1]}
        case 1:
            return v2(-value, 1.0), 500, {"error": "negative"}
        case 2:
            return v2(value, 1.0, 2.0), 500, {"error": "3 columns"}
        case 3:
            return request(b'{"inputs": [{"name": "\xff'), 400, None
        case 4:
            return v2(value, 1.0, shape=[3, 3]), 400, None
        case 5:
            return request(b"{}", "/v2/models/other/infer"), 404, {"error": "Model with name other does not exist."}
        case 6:
            return request(b" " * 70_000), 413, None
        case _:
            return v2(value, 1.0), 200, value + 1


def right(status: int, body: Any, expected_status: int, expected: Any, number: int) -> bool:
    if status != expected_status:
        return False
    if isinstance(expected, float):
        return bool(body["id"] == str(float(number)) and body["outputs"][0]["data"] == [expected])
    return expected is None or bool(body == expected)


@pytest.mark.parametrize("pipelined", [1, 5])
async def test_under_concurrency_every_answer_is_right(serving, pipelined):
    ask = await serving(Tell(), limits=Limits(body=65_536))
    wrong: list[Any] = []

    async def client(first: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", ask.port)
        for number in range(first, first + 60, pipelined):
            numbers = [n for n in range(number, number + pipelined) if n % 11 != 6 or pipelined == 1]
            expected = [turn(n) for n in numbers]
            writer.write(b"".join(data for data, _, _ in expected))
            for n, (_, status, body) in zip(numbers, expected, strict=True):
                got = await read(reader)
                if not right(*got, status, body, n):
                    wrong.append((n, got))
            if expected and expected[-1][1] == 413:  # that ends the connection
                writer.close()
                reader, writer = await asyncio.open_connection("127.0.0.1", ask.port)
        writer.close()

    async with asyncio.timeout(60):
        for _ in range(3):
            await asyncio.gather(*(client(1 + 100 * n) for n in range(40)))
    assert wrong == []
    [served] = ask.server.repository
    assert served.lane.batching
    assert served.metrics.batch.total > sum(served.metrics.batch.counts), "no batch has formed"


async def test_requests_that_are_cut_off_or_abandoned_do_not_touch_those_beside_them(serving):
    ask = await serving(Tell())
    [served] = ask.server.repository
    random = np.random.default_rng(3)

    async def rude(number: int) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", ask.port)
        data = v2(5.0, 5.0)
        how = number % 4
        writer.write(data[: int(random.integers(1, len(data)))] if how else data)
        if how == 2:
            await asyncio.sleep(0.002)
        writer.transport.abort()

    async def polite(number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", ask.port)
        for at in range(20):
            value = float(number * 100 + at)
            writer.write(v2(value, 1.0))
            status, body = await read(reader)
            assert (status, body["outputs"][0]["data"], body["id"]) == (200, [value + 1], str(value))
        writer.close()

    async with asyncio.timeout(60):
        await asyncio.gather(*(rude(n) for n in range(200)), *(polite(n) for n in range(20)))
        while served.lane.in_flight or ask.server._http.connections > 1:
            await asyncio.sleep(0.01)


async def test_a_slow_client_keeps_nobody_waiting(serving):
    ask = await serving(Tell())
    data = v2(7.0, 1.0)
    reader, writer = await asyncio.open_connection("127.0.0.1", ask.port)
    for byte in data[:-1]:
        writer.write(bytes([byte]))
    await asyncio.sleep(0.05)
    async with asyncio.timeout(20):
        for _ in range(20):
            assert (await ask.predict("m", [[1.0, 2.0]])).json == {"predictions": [3.0]}
        writer.write(data[-1:])
        assert (await read(reader))[0] == 200
    writer.close()


async def test_ten_thousand_requests_with_bad_ones_among_them_leave_nothing(serving):
    ask = await serving(Tell())
    [served] = ask.server.repository
    reader, writer = await asyncio.open_connection("127.0.0.1", ask.port)
    counted = {200: 0, 400: 0, 500: 0}
    async with asyncio.timeout(60):
        for _ in range(100):
            good, broken, failing = v2(1.0, 2.0), request(b"nonsense"), v2(-1.0, 2.0)
            writer.write(good * 49 + broken + good * 49 + failing)
            for _ in range(100):
                status, _body = await read(reader)
                counted[status] += 1
    assert counted == {200: 9800, 400: 100, 500: 100}
    assert served.lane.in_flight == 0
    assert served.metrics.preprocess.counts[0] + sum(served.metrics.preprocess.counts[1:]) == 9900
    writer.close()
