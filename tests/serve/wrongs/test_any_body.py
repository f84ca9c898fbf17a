"""Whatever is sent as a V2 request, JSON or with raw blocks: what can be read comes back as it was from a model that
changes nothing, what cannot is the client's mistake and said to be, and nothing is ever the server's."""

from __future__ import annotations

import http.client
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mizzen.serve.codecs.datatypes import NUMPY
from serve.wrongs.kit import HEADER, PATIENCE, serving

PATH = "/v2/models/echo/infer"
EXAMPLES = 300

Answer = tuple[int, dict[str, str], bytes]
Ask = Callable[..., Answer]


@pytest.fixture(scope="module")
def ask() -> Iterator[Ask]:
    """Send a body, get the answer's status, fields and body. One connection, unless the server ends it."""
    with serving(str(Path(__file__).parent / "echo.py")) as server:
        connection = http.client.HTTPConnection(*server.address, timeout=PATIENCE)

        def post(body: bytes, length: int | str | None = None) -> Answer:
            fields = {} if length is None else {HEADER: str(length)}
            connection.request("POST", PATH, body, fields)
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()

        yield post
        connection.close()
        assert "Traceback" not in server.log


SHAPES = st.lists(st.integers(0, 4), max_size=4).map(tuple)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)


def array_of(datatype: str, texts: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[str, np.ndarray]]:
    more: dict[str, Any] = {"elements": texts, "fill": st.nothing()} if datatype == "BYTES" else {}
    return st.tuples(st.just(datatype), arrays(NUMPY[datatype], SHAPES, **more))


def tensors(datatypes: list[str], texts: st.SearchStrategy[Any]) -> st.SearchStrategy[list[tuple[str, np.ndarray]]]:
    return st.lists(st.sampled_from(datatypes).flatmap(lambda one: array_of(one, texts)), min_size=1, max_size=3)


BY_BLOCK = tensors(list(NUMPY), st.binary(max_size=6))
BY_JSON = tensors([datatype for datatype in NUMPY if datatype != "FP16"], TEXTS)


def as_block(array: np.ndarray) -> bytes:
    if array.dtype.kind != "O":
        return array.tobytes()
    return b"".join(len(text).to_bytes(4, "little") + text for text in array.ravel().tolist())


def in_blocks(given_: list[tuple[str, np.ndarray]], **more: Any) -> tuple[bytes, int]:
    """A request with raw blocks, and how long its JSON is."""
    blocks = [as_block(array) for _, array in given_]
    inputs = [
        {
            "name": f"x{at}",
            "shape": array.shape,
            "datatype": datatype,
            "parameters": {"binary_data_size": len(blocks[at])},
        }
        for at, (datatype, array) in enumerate(given_)
    ]
    text = json.dumps({"inputs": inputs, **more}).encode()
    return text + b"".join(blocks), len(text)


def finite(value: Any) -> Any:
    """What JSON makes of a number: there is no other."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


@settings(max_examples=EXAMPLES)
@given(BY_BLOCK)
def test_blocks_come_back_byte_by_byte(ask: Ask, given_: list[tuple[str, np.ndarray]]) -> None:
    body, length = in_blocks(given_, parameters={"binary_data_output": True}, id="mine")
    status, fields, answer = ask(body, length)
    assert status == 200, answer
    end = int(fields[HEADER])
    told, blocks = json.loads(answer[:end]), answer[end:]
    assert told["id"] == "mine"
    for at, (output, (datatype, array)) in enumerate(zip(told["outputs"], given_, strict=True)):
        assert (output["name"], output["datatype"], output["shape"]) == (f"x{at}", datatype, list(array.shape))
        size = output["parameters"]["binary_data_size"]
        assert blocks[:size] == as_block(array)
        blocks = blocks[size:]
    assert not blocks


@settings(max_examples=EXAMPLES)
@given(BY_JSON, st.booleans())
def test_numbers_and_texts_come_back(ask: Ask, given_: list[tuple[str, np.ndarray]], nested: bool) -> None:
    inputs = []
    for at, (datatype, array) in enumerate(given_):
        data = json.loads(
            json.dumps(array.tolist() if nested and array.ndim else array.ravel().tolist()),
            parse_constant=lambda _: None,
        )
        inputs.append({"name": f"x{at}", "shape": array.shape, "datatype": datatype, "data": data})
    status, _, answer = ask(json.dumps({"inputs": inputs}).encode())
    assert status == 200, answer
    for output, (datatype, array) in zip(json.loads(answer)["outputs"], given_, strict=True):
        assert (output["datatype"], output["shape"]) == (datatype, list(array.shape))
        assert output["data"] == [finite(value) for value in array.ravel().tolist()]


WORDS = ["inputs", "outputs", "name", "shape", "datatype", "data", "parameters", "id", "binary_data_size", "timeout"]
NUMBERS = st.integers() | st.sampled_from([-1, 0, 2**31, 2**63, 2**64, 10**30]) | st.floats()
ANY = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS | st.sampled_from([*WORDS, *NUMPY, "fp32", "BF16"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(WORDS) | TEXTS, inner, max_size=4),
    max_leaves=12,
)


def changed(request: Any, at: list[int], value: Any, how: str) -> Any:
    """A request with something in it replaced, left out, or said twice."""
    steps = []
    inner = request
    for step in at:
        if isinstance(inner, dict | list) and inner:
            keys = list(inner) if isinstance(inner, dict) else list(range(len(inner)))
            steps.append((inner, keys[step % len(keys)]))
            inner = inner[steps[-1][1]]
    outer, key = steps[-1]
    if how == "replaced":
        outer[key] = value
    elif how == "left out":
        del outer[key]
    elif isinstance(outer, list):
        outer.append(outer[key])
    else:
        outer[f"{key}s"] = outer[key]
    return request


CHANGES = st.lists(
    st.tuples(
        st.lists(st.integers(0, 5), min_size=2, max_size=4),
        ANY,
        st.sampled_from(["replaced", "left out", "said twice"]),
    ),
    min_size=1,
    max_size=2,
)


def check(ask: Ask, body: bytes, length: int | str | None = None) -> None:
    """200 with tensors that are whole, or 4xx with a sentence."""
    status, fields, answer = ask(body, length)
    event(f"{status // 100}xx")
    assert 200 <= status < 500, (body, answer)
    if status == 200:
        end = int(fields.get(HEADER, len(answer)))
        for output in json.loads(answer[:end])["outputs"]:
            assert output["datatype"] in NUMPY
            if "data" in output:
                assert len(output["data"]) == math.prod(output["shape"])
    else:
        told = json.loads(answer)
        assert set(told) == {"error"}
        assert told["error"] and "Traceback" not in told["error"]


@settings(max_examples=EXAMPLES)
@given(BY_JSON, CHANGES)
def test_a_request_with_something_wrong_in_it(ask: Ask, given_: list[tuple[str, np.ndarray]], changes: Any) -> None:
    inputs = [
        {"name": f"x{at}", "shape": list(array.shape), "datatype": datatype, "data": array.ravel().tolist()}
        for at, (datatype, array) in enumerate(given_)
    ]
    request: Any = {"inputs": inputs, "id": "a", "parameters": {"p": 1}, "outputs": [{"name": "x0"}]}
    for change in changes:
        if isinstance(request, dict) and request:
            request = changed(request, *change)
    check(ask, json.dumps(request).encode())


@settings(max_examples=EXAMPLES)
@given(
    BY_BLOCK,
    st.sampled_from([{}, {"parameters": {"binary_data_output": True}}]),
    CHANGES,
    st.integers(-9, 9),
    st.integers(-9, 9),
    st.binary(max_size=9),
)
def test_blocks_with_something_wrong_about_them(
    ask: Ask, given_: list[tuple[str, np.ndarray]], said: Any, changes: Any, shift: int, cut: int, more: bytes
) -> None:
    """The model answers with the bytes that it gets, and JSON has no form for all of them."""
    body, length = in_blocks(given_, **said)
    request: Any = json.loads(body[:length])
    for change in changes:
        if isinstance(request, dict) and request:
            request = changed(request, *change)
    text = json.dumps(request).encode()
    check(ask, text + body[length:], len(text))
    check(ask, body + more, length)
    check(ask, body[: len(body) + min(cut, 0)], length)
    check(ask, body, length + shift)
    check(ask, body)


@settings(max_examples=EXAMPLES)
@given(ANY, st.none() | st.integers(-5, 60) | st.sampled_from(["", "x", "1.5", "+1", "0x10", "9" * 25]))
def test_any_json(ask: Ask, value: Any, length: int | str | None) -> None:
    check(ask, json.dumps(value).encode(), length)
    check(ask, json.dumps({"inputs": value}).encode(), length)
    check(ask, json.dumps({"inputs": [value]}).encode(), length)


@settings(max_examples=EXAMPLES)
@given(st.binary(max_size=60), st.none() | st.integers(0, 60))
def test_any_bytes(ask: Ask, data: bytes, length: int | None) -> None:
    check(ask, data, length)
    check(ask, b'{"inputs": [' + data, length)
