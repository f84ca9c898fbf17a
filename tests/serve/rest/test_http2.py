"""The same protocols over HTTP/2: what differs is below them."""

from __future__ import annotations

import gzip
import json
from typing import Any

import numpy as np
import pytest

from mizzen.http.http2.client import Http2Client
from mizzen.http.server import Limits

from .conftest import Echo, Payloads


@pytest.fixture
async def client():
    found = Http2Client(environ={})
    yield found
    await found.close()


async def pieces(*values: Any):
    for value in values:
        yield value


async def test_what_is_asked_over_http2(asking, client):
    ask = await asking(Echo(), Payloads(lambda call: (pieces(b"ab", b"cd"), None)), limits=Limits(body=5_000_000))
    url = f"http://127.0.0.1:{ask.port}"

    async def post(path: str, body: Any, *headers: tuple[bytes, bytes]) -> Any:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await client.request("POST", url + path, headers=list(headers), body=data)

    answer = await post("/v1/models/m:predict", {"instances": [[1, 2]]}, (b"x-request-id", b"7"))
    assert (answer.status, answer.body, answer.header(b"x-request-id")) == (200, b'{"predictions":[[1,2]]}', b"7")

    array = np.arange(100_000, dtype=np.float32)
    told = {"name": "x", "shape": [100_000], "datatype": "FP32"}
    text = json.dumps(
        {
            "inputs": [told | {"parameters": {"binary_data_size": array.nbytes}}],
            "parameters": {"binary_data_output": True},
        }
    ).encode()
    answer = await post(
        "/v2/models/m/infer", text + array.tobytes(), (b"inference-header-content-length", b"%d" % len(text))
    )
    assert answer.header(b"content-type") == b"application/octet-stream"
    assert answer.body.endswith(array.tobytes())

    answer = await post("/v2/models/m/infer", {"inputs": [told | {"data": array.tolist()}]})
    assert json.loads(answer.body)["outputs"][0]["data"] == array.tolist()
    packed = gzip.compress(json.dumps({"instances": [[1]]}).encode())
    answer = await post("/v1/models/m:predict", packed, (b"content-encoding", b"gzip"))
    assert answer.body == b'{"predictions":[[1]]}'

    answer = await post("/v1/models/p:predict", {})
    assert answer.body == b"abcd"
    answer = await post("/v2/models/m/infer", b"{")
    assert answer.status == 400 and json.loads(answer.body)["error"].startswith("Unrecognized request format")
    answer = await post("/v2/models/m/infer", b"x" * 5_000_001)
    assert answer.status == 413 and "5000000 bytes" in json.loads(answer.body)["error"]
    answer = await client.request("HEAD", url + "/v2/health/ready")
    assert (answer.status, answer.body) == (200, b"")
    answer = await client.request("GET", url + "/docs")
    assert answer.status == 200 and answer.body.startswith(b"<!doctype html>")
