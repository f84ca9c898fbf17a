"""The binary tensor extension: raw blocks after the JSON, both ways."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mizzen.serve.codecs import binary, bodies, datatypes, raw
from mizzen.serve.errors import InferenceError, InvalidInput
from mizzen.serve.model import Tensor

from .conftest import Answers, Echo

HEADER = "inference-header-content-length"


def request(*inputs: tuple[dict[str, Any], bytes], **more: Any) -> tuple[bytes, dict[str, str]]:
    """A body, and the headers that belong to it."""
    told = []
    blocks = b""
    for tensor, block in inputs:
        told.append({**tensor, "parameters": {"binary_data_size": len(block), **tensor.get("parameters", {})}})
        blocks += block
    text = json.dumps({"inputs": told, **more}).encode()
    return text + blocks, {HEADER: str(len(text)), "content-type": "application/octet-stream"}


def tensor(array: np.ndarray, name: str = "x") -> tuple[dict[str, Any], bytes]:
    datatype = datatypes.name(array.dtype)
    return {"name": name, "shape": list(array.shape), "datatype": datatype}, bytes(raw.pack(array, name))


def taken_apart(answer: Any) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The JSON of an answer, and its blocks by the outputs' names."""
    assert answer.headers["content-type"] == "application/octet-stream"
    at = int(answer.headers[HEADER])
    said = json.loads(answer.body[:at])
    blocks = {}
    for output in said["outputs"]:
        size = output.get("parameters", {}).get("binary_data_size")
        if size is not None:
            blocks[output["name"]] = answer.body[at : at + size]
            at += size
    assert at == len(answer.body)
    return said, blocks


@pytest.mark.parametrize("datatype", datatypes.NUMPY)
async def test_every_datatype_there_and_back(serving, echo, datatype):
    if datatype == "BYTES":
        array = np.array([[b"a", b""], ["ü".encode(), b"\xff\0"]], object)
    else:
        array = np.array([[0, 1], [1, 0]]).astype(datatypes.NUMPY[datatype])
    ask = await serving(echo)
    body, headers = request(tensor(array), id="1", parameters={"binary_data_output": True})
    answer = await ask("POST", "/v2/models/m/infer", body, headers)
    assert answer.status == 200
    said, blocks = taken_apart(answer)
    assert echo.array.dtype == array.dtype
    assert echo.array.tolist() == array.tolist()
    assert list(said) == ["id", "model_name", "model_version", "outputs"]
    assert said["outputs"][0] == {
        "name": "x",
        "shape": [2, 2],
        "datatype": datatype,
        "parameters": {"binary_data_size": len(blocks["x"])},
    }
    assert raw.unpack(blocks["x"], datatype, [2, 2], "x").tolist() == array.tolist()


async def test_blocks_and_lists_beside_each_other(serving, echo):
    ask = await serving(echo)
    first, second = np.array([1.5, 2.5], np.float32), np.array([7], np.int64)
    in_json = {"name": "b", "shape": [2], "datatype": "INT64", "data": [3, 4]}
    one, two = tensor(first, "a"), tensor(second, "c")
    told = [
        {**one[0], "parameters": {"binary_data_size": 8}},
        in_json,
        {**two[0], "parameters": {"binary_data_size": 8}},
    ]
    text = json.dumps({"inputs": told, "outputs": [{"name": "b", "parameters": {"binary_data": True}}, {"name": "a"}]})
    answer = await ask("POST", "/v2/models/m/infer", text.encode() + one[1] + two[1], {HEADER: str(len(text))})
    assert [(one.name, one.array.tolist()) for one in echo.seen[0]] == [("a", [1.5, 2.5]), ("b", [3, 4]), ("c", [7])]
    said, blocks = taken_apart(answer)
    assert blocks == {"b": np.array([3, 4]).tobytes()}
    assert said["outputs"][1] == {"name": "a", "shape": [2], "datatype": "FP32", "data": [1.5, 2.5]}


@pytest.mark.parametrize(
    ("everywhere", "one", "is_block"),
    [
        (None, None, False),
        (True, None, True),
        (False, None, False),
        (None, True, True),
        (True, False, False),
        (False, True, True),
    ],
)
async def test_who_says_that_an_output_is_a_block(serving, echo, everywhere, one, is_block):
    ask = await serving(echo)
    more: dict[str, Any] = {"outputs": [{"name": "x"}]}
    if everywhere is not None:
        more["parameters"] = {"binary_data_output": everywhere}
    if one is not None:
        more["outputs"][0]["parameters"] = {"binary_data": one}
    body, headers = request(tensor(np.array([1.0])), **more)
    answer = await ask("POST", "/v2/models/m/infer", body, headers)
    assert (HEADER in answer.headers) is is_block
    if not is_block:
        assert answer.json["outputs"][0]["data"] == [1.0]


async def test_a_request_in_json_may_ask_for_blocks_and_the_other_way_round(serving, echo):
    ask = await serving(echo)
    body = {
        "inputs": [{"name": "x", "shape": [2], "datatype": "FP32", "data": [1, 2]}],
        "parameters": {"binary_data_output": True},
    }
    _, blocks = taken_apart(await ask("POST", "/v2/models/m/infer", body))
    assert blocks == {"x": np.array([1, 2], np.float32).tobytes()}
    answer = await ask("POST", "/v2/models/m/infer", *request(tensor(np.array([1.5]))))
    assert answer.json["outputs"][0]["data"] == [1.5]


async def test_the_header_may_say_that_there_is_nothing_but_json(serving, echo):
    ask = await serving(echo)
    text = json.dumps({"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}]})
    assert (await ask("POST", "/v2/models/m/infer", text.encode(), {HEADER: str(len(text))})).status == 200


async def test_half_floats_come_and_go_as_blocks_only(serving):
    ask = await serving(Answers(Tensor("y", np.array([1.5], np.float16))))
    body, headers = request(tensor(np.array([2.5], np.float16)))
    answer = await ask("POST", "/v2/models/m/infer", body, headers)
    assert (answer.status, "Please use the binary data format for output y" in answer.error) == (400, True)
    body, headers = request(tensor(np.array([2.5], np.float16)), parameters={"binary_data_output": True})
    _, blocks = taken_apart(await ask("POST", "/v2/models/m/infer", body, headers))
    assert blocks == {"y": np.array([1.5], np.float16).tobytes()}


@pytest.mark.parametrize("count", [1, 100_000])
@pytest.mark.parametrize("how", ["a block", "base64"])
async def test_bytes_that_json_cannot_give_back_are_told_to_who_sent_them(serving, echo, how, count):
    ask = await serving(echo)
    if how == "a block":
        body, headers = request(tensor(np.array([b"fine", b"\xff\0"] * count, object)))
    else:
        text = {"content_type": "base64"}
        x = {"name": "x", "shape": [2 * count], "datatype": "BYTES", "data": ["", "/wA="] * count, "parameters": text}
        body, headers = json.dumps({"inputs": [x]}).encode(), {}
    answer = await ask("POST", "/v2/models/m/infer", body, headers)
    assert (answer.status, answer.error) == (
        400,
        "output 'x' gives back bytes of input 'x' that are not UTF-8, which JSON cannot carry: ask for raw blocks, by "
        '"parameters": {"binary_data_output": true}, or send base64',
    )


async def test_bytes_that_a_model_made_are_its_own_fault(serving):
    ask = await serving(Answers(Tensor("y", np.array([b"\xff\0"], object))))
    for sent in (b"\xff", b"\0", b"text"):
        answer = await ask("POST", "/v2/models/m/infer", *request(tensor(np.array([sent], object))))
        assert answer.status == 500
        assert answer.error.startswith("output 'y' holds bytes that are not UTF-8, which JSON cannot carry; the param")


async def test_a_megabyte_is_not_copied_on_its_way_in(serving, echo):
    ask = await serving(echo)
    array = np.random.default_rng(3).standard_normal((512, 512)).astype(np.float32)
    for pad in range(8):  # wherever the block happens to start in memory
        body, headers = request(tensor(array), id="x" * pad, parameters={"binary_data_output": True})
        answer = await ask("POST", "/v2/models/m/infer", body, headers)
        assert taken_apart(answer)[1]["x"] == array.tobytes()
        assert echo.array.flags.aligned and not echo.array.flags.writeable


async def test_what_is_not_contiguous_goes_out_row_by_row(serving):
    array = np.arange(12, dtype=np.int32).reshape(3, 4).T
    ask = await serving(Answers(Tensor("y", array)))
    body, headers = request(tensor(np.array([1.0])), parameters={"binary_data_output": True})
    _, blocks = taken_apart(await ask("POST", "/v2/models/m/infer", body, headers))
    assert blocks["y"] == np.ascontiguousarray(array).tobytes()


FP32 = {"name": "x", "shape": [2], "datatype": "FP32"}
BYTES = {"name": "x", "shape": [2], "datatype": "BYTES"}


@pytest.mark.parametrize(
    ("inputs", "text"),
    [
        ([(FP32, b"1234567")], "no whole number of FP32 elements"),
        ([(FP32, b"1234")], "shape [2] takes 2 elements, data has 1"),
        ([(FP32 | {"shape": [-1, -1]}, b"12345678")], "more than one -1"),
        ([(FP32 | {"datatype": "FLOAT"}, b"12345678")], "datatype 'FLOAT' is not known"),
        ([(FP32 | {"parameters": {"binary_data_size": -8}}, b"12345678")], "must be a number of bytes, not -8"),
        ([(FP32 | {"parameters": {"binary_data_size": "8"}}, b"12345678")], "must be a number of bytes, not '8'"),
        ([(FP32 | {"parameters": {"binary_data_size": True}}, b"12345678")], "must be a number of bytes, not True"),
        ([(FP32 | {"parameters": {"binary_data_size": 12}}, b"12345678")], "is 12, the body has 8 bytes left for it"),
        ([(FP32 | {"parameters": {"binary_data_size": 1 << 70}}, b"12345678")], "the body has 8 bytes left for it"),
        ([(FP32, b"12345678"), (FP32 | {"name": "y", "parameters": {"binary_data_size": 8}}, b"1234")], "has 4 bytes"),
        ([(FP32 | {"data": [1, 2]}, b"12345678")], "has data, and a binary_data_size"),
        ([(FP32 | {"data": ["1", 2]}, b"12345678")], "has data, and a binary_data_size"),
        ([(BYTES, b"\x01\0\0\0a\x05\0\0\0b")], "element 1 is said to have 5 bytes, the block has 1 more"),
        ([(BYTES, b"\x01\0\0\0a\x05\0")], "ends within a length"),
        ([(BYTES, b"\xff\xff\xff\xff")], "element 0 is said to have 4294967295 bytes"),
        ([(BYTES, b"\x01\0\0\0a")], "shape [2] takes 2 elements, data has 1"),
    ],
)
async def test_blocks_that_are_wrong_are_400_and_say_why(serving, echo, inputs, text):
    ask = await serving(echo)
    answer = await ask("POST", "/v2/models/m/infer", *request(*inputs))
    assert answer.status == 400
    assert text in answer.error


@pytest.mark.parametrize(
    ("length", "text"),
    [
        ("x", "must be a number of bytes, not 'x'"),
        ("", "must be a number of bytes, not ''"),
        ("-1", "must be a number of bytes, not '-1'"),
        ("1.5", "must be a number of bytes"),
        ("²", "must be a number of bytes"),
        ("9" * 30, "must be a number of bytes"),
        ("2147483648", "is 2147483648, but the body has only"),
        ("0", "Unrecognized request format"),
        ("10", "Unrecognized request format"),
    ],
)
async def test_a_header_that_is_wrong_is_400_and_says_why(serving, echo, length, text):
    ask = await serving(echo)
    body, _ = request((FP32, b"12345678"))
    answer = await ask("POST", "/v2/models/m/infer", body, {HEADER: length})
    assert answer.status == 400
    assert text in answer.error


async def test_bytes_that_nobody_asked_for_are_refused(serving, echo):
    ask = await serving(echo)
    body, headers = request((FP32, b"12345678"))
    answer = await ask("POST", "/v2/models/m/infer", body + b"more", headers)
    assert answer.status == 400
    assert answer.error.startswith("4 bytes after the JSON belong to no input")
    text = json.dumps({"inputs": [FP32]})
    answer = await ask("POST", "/v2/models/m/infer", text.encode(), {HEADER: str(len(text))})
    assert answer.error == "'data' field is missing for input 'x' for model 'm': it has no binary_data_size either"


async def test_a_block_without_the_header_is_named(serving, echo):
    ask = await serving(echo)
    answer = await ask("POST", "/v2/models/m/infer", {"inputs": [FP32 | {"parameters": {"binary_data_size": 8}}]})
    assert answer.status == 400
    assert answer.error.endswith("but the request has no header Inference-Header-Content-Length")
    body, headers = request((FP32, b"12345678"))
    del headers[HEADER]
    answer = await ask("POST", "/v2/models/m/infer", body, headers)
    assert "the header Inference-Header-Content-Length must say where that ends" in answer.error


async def test_an_output_of_no_datatype_is_the_models_fault(serving):
    ask = await serving(Answers(Tensor("y", np.array([1j]))))
    body, headers = request(tensor(np.array([1.0])), parameters={"binary_data_output": True})
    answer = await ask("POST", "/v2/models/m/infer", body, headers)
    assert (answer.status, "complex128" in answer.error) == (500, True)


NUMERIC = [name for name in datatypes.NUMPY if name != "BYTES"]

shapes = st.lists(st.integers(0, 4), max_size=3).map(tuple)
any_array = st.sampled_from(NUMERIC).flatmap(lambda name: arrays(datatypes.NUMPY[name], shapes)) | arrays(
    object, shapes, elements=st.binary(max_size=5), fill=st.nothing()
)


@given(any_array, st.integers(0, 9))
def test_an_array_survives_as_a_block_wherever_it_lies(array, offset):
    name = datatypes.name(array.dtype)
    assert name is not None
    block = bytes(raw.pack(array, "x"))
    back = raw.unpack(memoryview(b"-" * offset + block)[offset:], name, list(array.shape), "x")
    assert back.dtype == array.dtype and back.shape == array.shape
    assert back.tobytes() == array.tobytes() if name != "BYTES" else back.tolist() == array.tolist()


@given(st.sampled_from([*datatypes.NUMPY, "nope"]), st.lists(st.integers(-2, 4), max_size=3), st.binary(max_size=40))
def test_any_block_is_a_tensor_or_is_refused_in_words(datatype, shape, block):
    try:
        array = raw.unpack(block, datatype, shape, "x")
    except InvalidInput as error:
        assert "input 'x'" in str(error)
    else:
        assert array.dtype == datatypes.NUMPY[datatype]
        if datatype == "BOOL":
            assert set(array.ravel().tolist()) <= {True, False}
            assert array.view(np.uint8).max(initial=0) <= 1


@given(st.binary(max_size=80), st.integers(0, 90), st.binary(max_size=30))
def test_any_body_is_a_request_or_is_refused_in_words(noise, length, more):
    text = json.dumps({"inputs": [FP32 | {"parameters": {"binary_data_size": 8}}]}).encode()
    for body, header in [(noise, length), (text + more, len(text)), (text[:-3] + noise, length)]:
        try:
            found = binary.decode(body, b"%d" % header, "m")
        except InvalidInput as error:
            assert str(error)
        else:
            assert found.inputs


def test_texts_in_blocks_are_length_and_bytes():
    assert raw.pack(np.array(["a", "ü"], object), "x") == struct.pack("<I1sI2s", 1, b"a", 2, "ü".encode())
    assert raw.pack(np.array(["ab"]), "x") == b"\x02\0\0\0ab"
    with pytest.raises(InferenceError, match="complex128"):
        raw.pack(np.array([1j]), "x")


def test_a_response_without_blocks_has_the_plain_form():
    request = bodies.decode_infer(b'{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[1]}]}', "m")
    assert binary.are_wanted(request, request.inputs) == [False]


async def test_tritons_client(serving):
    """Unmodified, with what it does by itself: binary inputs and outputs, and compressed bodies."""
    client_of = pytest.importorskip("tritonclient.http.aio", reason="tritonclient is not installed")
    import tritonclient.http as triton

    model = Echo()
    ask = await serving(model)
    client = client_of.InferenceServerClient(f"127.0.0.1:{ask.port}")
    try:
        assert await client.is_server_live() and await client.is_server_ready() and await client.is_model_ready("m")
        array = np.random.default_rng(1).standard_normal((64, 64)).astype(np.float32)
        texts = np.array([[b"a", "ü".encode()]], object)
        one = triton.InferInput("x", list(array.shape), "FP32")
        one.set_data_from_numpy(array)
        two = triton.InferInput("t", [1, 2], "BYTES")
        two.set_data_from_numpy(texts)
        for coding in (None, "gzip", "deflate"):
            result = await client.infer(
                "m",
                [one, two],
                request_id="mine",
                outputs=[triton.InferRequestedOutput("x"), triton.InferRequestedOutput("t", binary_data=False)],
                request_compression_algorithm=coding,
                response_compression_algorithm=coding,
                timeout=10_000_000,
            )
            np.testing.assert_array_equal(result.as_numpy("x"), array)
            assert result.as_numpy("t").tolist() == [["a", "ü"]]
            assert result.get_response()["id"] == "mine"
        [entry] = await client.get_model_repository_index()
        assert (entry["name"], entry["state"]) == ("m", "READY")
        statistics = (await client.get_inference_statistics("m"))["model_stats"][0]
        assert statistics["inference_count"] == 3
        await client.load_model("m")
        await client.unload_model("m")
        assert not await client.is_model_ready("m")
    finally:
        await client.close()
