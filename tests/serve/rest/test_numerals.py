"""Long arrays of numbers, read and written in slices: the same as reading and writing them whole."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mizzen.serve.codecs import bodies, datatypes, instances, numerals
from mizzen.serve.codecs.slices import at_once
from mizzen.serve.errors import InvalidInput
from mizzen.serve.model import Tensor

from .conftest import Echo

FINITE = {"allow_nan": False, "allow_infinity": False}
TYPES = [name for name in datatypes.NUMPY if name not in ("BYTES", "FP16", "BOOL")]
shapes = st.lists(st.integers(1, 5), min_size=1, max_size=4).map(tuple)
numbers = st.sampled_from(TYPES).flatmap(
    lambda name: arrays(datatypes.NUMPY[name], shapes, elements=FINITE if name.startswith("FP") else None)
)


@pytest.fixture(autouse=True)
def _short_slices(monkeypatch):
    """So short that every array has several."""
    monkeypatch.setattr(numerals, "SLICE", 7)
    monkeypatch.setattr(numerals, "SHORTEST", 1)
    monkeypatch.setattr(numerals, "WRITTEN", 3)


def body(*tensors: dict[str, Any], **more: Any) -> bytes:
    return json.dumps({"inputs": list(tensors), **more}).encode()


def told(array: np.ndarray, data: Any, **more: Any) -> dict[str, Any]:
    return {"name": "x", "shape": list(array.shape), "datatype": datatypes.name(array.dtype), "data": data, **more}


@given(numbers, st.booleans(), st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", " :\t")]))
def test_a_tensor_survives_flat_and_nested_however_it_is_spaced(array, nested, separators):
    data = array.tolist() if nested else array.ravel().tolist()
    text = json.dumps({"inputs": [told(array, data)], "id": "1"}, separators=separators).encode()
    cut, found = numerals.cut(text)
    assert len(found) == 1 and len(cut) < len(text) + 20
    request = at_once(bodies.decode_long(text, "m"))
    assert request.inputs[0].array.dtype == array.dtype
    np.testing.assert_array_equal(request.inputs[0].array, array)
    assert request.id == "1"


@given(numbers)
def test_rows_survive_as_numpy_takes_them(array):
    text = json.dumps({"instances": array.tolist()}).encode()
    request = at_once(instances.decode_long(text))
    whole = instances.decode_predict(text)
    assert request is not None and whole is not None
    assert request.inputs[0].array.dtype == whole.inputs[0].array.dtype
    np.testing.assert_array_equal(request.inputs[0].array, whole.inputs[0].array)


@given(numbers | arrays(np.bool_, shapes) | arrays(np.float64, shapes) | arrays(np.float32, (0, 3)))
def test_what_is_written_in_slices_reads_as_if_written_whole(array):
    def plain(text: bytes) -> Any:
        return msgspec.json.decode(text)

    assert plain(b"".join(at_once(numerals.write(array)))) == plain(msgspec.json.encode(array.tolist()))
    tensors = [Tensor("a", array), Tensor("b", np.array(["t"])), Tensor("c", array)]
    long = at_once(bodies.encode_long("m", None, "1", tensors))
    assert plain(long) == plain(bodies.encode_infer("m", None, "1", tensors))
    assert list(plain(long)) == ["model_name", "model_version", "id", "parameters", "outputs"]
    long = at_once(instances.encode_long([Tensor("a", array)]))
    assert plain(long) == plain(instances.encode_predictions([Tensor("a", array)]))


def _outcome(read: Any) -> Any:
    try:
        request = read()
    except InvalidInput as error:
        return str(error)
    return [(one.name, one.array.dtype, one.array.shape, one.array.tolist()) for one in request.inputs], request.id


pieces = st.sampled_from(
    [*"[],{}: 1", "-2.5", "1e400", "null", '"a"', "[1,2]", "[[1],[2]]", '"data":', "99999999999"],
)


@given(st.lists(pieces, max_size=14).map("".join), st.sampled_from(TYPES), st.lists(st.integers(-1, 3), max_size=2))
def test_whatever_stands_for_data_is_read_or_refused_as_if_read_whole(data, datatype, shape):
    text = (
        f'{{"inputs":[{{"name":"x","shape":{shape},"datatype":"{datatype}","data":{data or "[]"}}},'
        '{"name":"y","shape":[2],"datatype":"FP32","data":[1,2]}]}'
    ).encode()
    long = _outcome(lambda: at_once(bodies.decode_long(text, "m")))
    assert repr(long) == repr(_outcome(lambda: bodies.decode_infer(text, "m")))


@given(st.lists(pieces, max_size=14).map("".join))
def test_whatever_stands_for_rows_is_read_or_refused_as_if_read_whole(data):
    text = b'{"instances":%b}' % data.encode()

    def outcome(read: Any) -> Any:
        try:
            request = read()
        except InvalidInput as error:
            return str(error)
        return None if request is None else [(one.array.dtype, one.array.tolist()) for one in request.inputs]

    long = outcome(lambda: at_once(instances.decode_long(text)))
    assert repr(long) == repr(outcome(lambda: instances.decode_predict(text)))


@pytest.mark.parametrize(
    "hidden",
    [
        pytest.param({"unknown": {"data": [1, 2, 3, 4]}}, id="in a field that nobody reads"),
        pytest.param({"id": '"data":[1,2,3,4]'}, id="in a text"),
        pytest.param({'x"data': [1, 2, 3, 4]}, id="at the end of a name"),
        pytest.param({"data": [5, 6, 7]}, id="one floor too high"),
    ],
)
def test_what_only_looks_like_data_changes_nothing(hidden):
    text = body(told(np.array([1.0, 2.0]), [1.0, 2.0]), **hidden)
    assert _outcome(lambda: at_once(bodies.decode_long(text, "m"))) == _outcome(lambda: bodies.decode_infer(text, "m"))


def test_a_mark_cannot_be_forged():
    """A number that happens to be one elsewhere in the request is only a number."""
    _, found = numerals.cut(body(told(np.array([1.0, 2.0]), [1.0, 2.0])))
    [mark] = found
    text = body(told(np.array([5.0]), [float(mark)]), told(np.array([1.0, 2.0]), [1.0, 2.0]))
    request = at_once(bodies.decode_long(text, "m"))
    assert [one.array.tolist() for one in request.inputs] == [[float(mark)], [1.0, 2.0]]


@pytest.mark.parametrize("path", ["/v2/models/m/infer", "/v1/models/m:predict"])
async def test_others_are_answered_while_megabytes_are_read(serving, monkeypatch, path):
    monkeypatch.undo()
    model = Echo()
    ask = await serving(model)
    array = np.random.default_rng(5).standard_normal((500, 600)).astype(np.float32)
    if path.startswith("/v2"):
        large: Any = {"inputs": [told(array, array.ravel().tolist())]}
    else:
        large = {"instances": array.tolist()}
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    from mizzen.serve.codecs import slices

    sizes = []
    read = slices.unhurried

    async def noting(work: Any) -> Any:
        before = turns
        found = await read(work)
        sizes.append(turns - before)
        return found

    monkeypatch.setattr(f"mizzen.serve.protocols.{path[1:3]}.unhurried", noting)
    monkeypatch.setattr("mizzen.serve.protocols.rest.unhurried", noting)
    counter = asyncio.create_task(count())
    answer = await ask("POST", path, large)
    counter.cancel()
    assert answer.status == 200
    back = answer.json["outputs"][0]["data"] if path.startswith("/v2") else answer.json["predictions"]
    np.testing.assert_array_equal(np.array(back, np.float32).ravel(), array.ravel())
    reading, writing = sizes
    assert reading > 50 and writing > 30, "the loop had a turn between slices"


async def test_a_client_that_leaves_while_its_megabytes_are_read_is_forgotten(serving, monkeypatch):
    monkeypatch.undo()
    model = Echo()
    ask = await serving(model)
    array = np.zeros(200_000)
    text = body(told(array, array.tolist()))
    _, writer = await asyncio.open_connection("127.0.0.1", ask.port)
    writer.write(b"POST /v2/models/m/infer HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % len(text) + text)
    await writer.drain()
    writer.transport.abort()
    assert (await ask("POST", "/v2/models/m/infer", body(told(np.array([1.0]), [1.0])))).status == 200
    assert len(model.seen) <= 2
