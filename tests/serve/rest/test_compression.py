"""Compressed bodies, and answers to those who ask for them."""

from __future__ import annotations

import gzip
import json
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mizzen.http.server import Limits
from mizzen.serve.codecs import compression
from mizzen.serve.codecs.slices import at_once
from mizzen.serve.errors import BodyTooLarge, InvalidInput

V1, V2 = "/v1/models/m:predict", "/v2/models/m/infer"
BODIES = {
    V1: json.dumps({"instances": [[1.5, 2.5]]}).encode(),
    V2: json.dumps({"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP64", "data": [1.5, 2.5]}]}).encode(),
}


def bare_deflate(data: bytes) -> bytes:
    one = zlib.compressobj(wbits=-15)
    return one.compress(data) + one.flush()


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize(
    ("coding", "compress"),
    [
        ("gzip", gzip.compress),
        ("GZip", gzip.compress),
        ("x-gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", bare_deflate),
        ("identity", bytes),
        ("gzip, identity", gzip.compress),
    ],
)
async def test_what_is_taken(serving, echo, path, coding, compress):
    ask = await serving(echo)
    answer = await ask("POST", path, compress(BODIES[path]), {"content-encoding": coding})
    assert answer.status == 200
    assert echo.array.tolist() == [[1.5, 2.5]]


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize(
    ("coding", "change", "text"),
    [
        ("br", bytes, "the body is compressed (br); of codings, gzip and deflate are taken here"),
        ("gzip, gzip", gzip.compress, "the body is compressed (gzip, gzip)"),
        ("gzip", bytes, "the body is said to be gzip, and is not"),
        ("deflate", bytes, "the body is said to be deflate, and is not"),
        ("gzip", lambda body: gzip.compress(body)[:-4], "the body is said to be gzip, and is cut off"),
        ("gzip", lambda body: b"", "the body is said to be gzip, and is cut off"),
        ("gzip", lambda body: gzip.compress(body) + b"x", "the body goes on after the end of its gzip data"),
        ("gzip", lambda body: gzip.compress(body) * 2, "the body goes on after the end of its gzip data"),
        ("gzip", lambda body: gzip.compress(b"{"), "Unrecognized request format"),
    ],
)
async def test_what_is_not_is_400_and_says_why(serving, echo, path, coding, change, text):
    ask = await serving(echo)
    answer = await ask("POST", path, change(BODIES[path]), {"content-encoding": coding})
    assert answer.status == 400
    assert answer.error.startswith(text)


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("compress", [gzip.compress, zlib.compress])
async def test_a_bomb_is_413_before_it_has_grown(serving, echo, path, compress):
    ask = await serving(echo, limits=Limits(body=1_000_000))
    bomb = compress(b" " * 200_000_000)
    assert len(bomb) < 1_000_000
    coding = "gzip" if compress is gzip.compress else "deflate"
    answer = await ask("POST", path, bomb, {"content-encoding": coding})
    assert answer.status == 413
    assert answer.error == "the request's body is larger, uncompressed, than the 1000000 bytes that this server takes"


async def test_raw_blocks_may_be_compressed_too(serving, echo):
    ask = await serving(echo)
    text = json.dumps(
        {"inputs": [{"name": "x", "shape": [2], "datatype": "FP32", "parameters": {"binary_data_size": 8}}]}
    ).encode()
    body = gzip.compress(text + np.array([1, 2], np.float32).tobytes())
    headers = {"content-encoding": "gzip", "inference-header-content-length": str(len(text))}
    assert (await ask("POST", V2, body, headers)).status == 200
    assert echo.array.tolist() == [1, 2]


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("size", [2_000, 300_000])
async def test_who_asks_for_a_compressed_answer_gets_one(serving, echo, path, size):
    ask = await serving(echo)
    array = np.arange(size, dtype=np.float64)
    if path == V1:
        body = {"instances": array.tolist()}
    else:
        body = {"inputs": [{"name": "x", "shape": [size], "datatype": "FP64", "data": array.tolist()}]}
    plain = await ask("POST", path, body)
    assert "content-encoding" not in plain.headers
    for coding, expand in [("gzip", gzip.decompress), ("deflate", zlib.decompress)]:
        answer = await ask("POST", path, body, {"accept-encoding": coding})
        assert (answer.headers["content-encoding"], answer.headers["vary"]) == (coding, "accept-encoding")
        assert answer.headers["content-type"] == "application/json"
        found, whole = json.loads(expand(answer.body)), plain.json
        for one in (found, whole):
            one.pop("id", None)
        assert found == whole
        assert len(answer.body) < len(plain.body)
    # What HTTP libraries say of themselves is no wish, and a small answer is not worth it.
    answer = await ask("POST", path, body, {"accept-encoding": "gzip, deflate, br"})
    assert "content-encoding" not in answer.headers
    answer = await ask("POST", path, BODIES[path], {"accept-encoding": "gzip"})
    assert "content-encoding" not in answer.headers


@given(st.binary(max_size=3000), st.integers(1, 50), st.sampled_from(["gzip", "deflate"]))
def test_any_body_survives(data, times, coding):
    data *= times
    body = at_once(compression.shrink(data, coding))
    assert at_once(compression.expand(body, coding, len(data))) == data
    if data:
        with pytest.raises(BodyTooLarge):
            at_once(compression.expand(body, coding, len(data) - 1))


@given(st.binary(max_size=200), st.text(max_size=20) | st.sampled_from(["gzip", "deflate", "x-gzip"]))
def test_any_bytes_are_expanded_or_refused_in_words(data, coding):
    try:
        at_once(compression.expand(data, coding, 1000))
    except (InvalidInput, BodyTooLarge) as error:
        assert str(error)
