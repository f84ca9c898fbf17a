"""Tensors of messages against numpy's, in both forms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mizzen.serve.codecs.datatypes import NUMPY
from mizzen.serve.codecs.slices import at_once
from mizzen.serve.errors import InvalidInput, ServeError
from mizzen.serve.model import Extras, Tensor, TensorModel
from mizzen.serve.protocols.grpc import inference, schema, tensors

NUMERIC = [datatype for datatype in NUMPY if datatype != "BYTES"]


@st.composite
def numeric(draw: Any) -> tuple[str, Any]:
    datatype = draw(st.sampled_from(NUMERIC))
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=12))
    return datatype, draw(hnp.arrays(NUMPY[datatype], shape))


def same(found: Any, expected: Any) -> None:
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    np.testing.assert_array_equal(found, expected)
    assert found.flags.writeable and found.flags.aligned


@given(numeric())
def test_numbers_survive_as_raw_contents(given: tuple[str, Any]) -> None:
    datatype, array = given
    same(tensors.read_raw(datatype, list(array.shape), bytes(tensors.write_raw(array, "x")), "x"), array)


@given(numeric().filter(lambda given: given[0] != "FP16"))
def test_numbers_survive_as_typed_contents(given: tuple[str, Any]) -> None:
    datatype, array = given
    contents = schema.message("inference.InferTensorContents")()
    tensors.write_contents(datatype, array, contents)
    # As another's protobuf would have written it: element by element.
    spelt = schema.message("inference.InferTensorContents")()
    getattr(spelt, tensors.FIELDS[datatype]).extend(array.ravel().tolist())
    assert contents.SerializeToString() == spelt.SerializeToString()
    carried = type(contents).FromString(contents.SerializeToString())
    same(tensors.read_contents(datatype, list(array.shape), carried, "x"), array)


@given(st.lists(st.binary(max_size=20), max_size=80))
def test_texts_survive_in_both_forms(texts: list[bytes]) -> None:
    array = np.empty(len(texts), object)
    array[:] = texts
    shape = [1, len(texts)]
    contents = schema.message("inference.InferTensorContents")()
    tensors.write_contents("BYTES", array, contents)
    for found in (
        tensors.read_raw("BYTES", shape, bytes(tensors.write_raw(array, "x")), "x"),
        tensors.read_contents("BYTES", shape, contents, "x"),
    ):
        assert found.shape == (1, len(texts))
        assert found.ravel().tolist() == texts


def test_raw_contents_are_triton_s() -> None:
    utils = pytest.importorskip("tritonclient.utils", reason="tritonclient is not installed")
    array = np.array([[b"one", b""], [b"\xff\0", b"four"]], dtype=object)
    theirs = utils.serialize_byte_tensor(array).item()
    assert bytes(tensors.write_raw(array, "x")) == theirs
    np.testing.assert_array_equal(tensors.read_raw("BYTES", [2, 2], theirs, "x"), array)


@pytest.mark.parametrize(
    ("array", "texts"),
    [
        (np.array(["a", "\u00e9"]), [b"a", "\u00e9".encode()]),
        (np.array([b"a", b"bc"]), [b"a", b"bc"]),
        (np.array(["a", b"b", 3, None], dtype=object), [b"a", b"b", b"3", b"None"]),
        (np.array(["2024-02-29T01:02:03.5"], dtype="M8[ns]"), [b"2024-02-29T01:02:03.500000000"]),
    ],
)
def test_what_becomes_texts(array: Any, texts: list[bytes]) -> None:
    assert tensors.datatype_of(array, "y") == "BYTES"
    raw = bytes(tensors.write_raw(array, "y"))
    assert tensors.read_raw("BYTES", [len(texts)], raw, "y").tolist() == texts
    contents = schema.message("inference.InferTensorContents")()
    tensors.write_contents("BYTES", array, contents)
    assert list(contents.bytes_contents) == texts


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=">i4").reshape(2, 3),
        np.arange(24, dtype=np.float64).reshape(4, 6)[::2, ::-2],
        np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
    ],
)
def test_outputs_of_any_layout_go_out_row_by_row(array: Any) -> None:
    datatype = tensors.datatype_of(array, "y")
    found = tensors.read_raw(datatype, list(array.shape), bytes(tensors.write_raw(array, "y")), "y")
    np.testing.assert_array_equal(found, array)


def test_a_bool_is_true_or_false_whatever_byte_it_came_in() -> None:
    found = tensors.read_raw("BOOL", [3], b"\0\1\2", "x")
    assert found.view(np.uint8).tolist() == [0, 1, 1]


@pytest.mark.parametrize(
    ("datatype", "shape", "raw", "says"),
    [
        ("FP32", [2], b"\0" * 7, "7 bytes"),
        ("FP32", [2, 2], b"\0" * 8, "takes 4 elements, data has 2"),
        ("FP32", [-1, -1], b"\0" * 8, "more than one -1"),
        ("FP32", [-2], b"\0" * 8, "negative dimension"),
        ("FP32", [2**62, 2**62], b"\0" * 8, "data has 2"),
        ("INT8", [1] * 65, b"\0", "at most 64 dimensions"),
        ("BYTES", [1], b"\1\0\0", "x"),
        ("BYTES", [1], b"\4\0\0\0abc", "element 0 is said to have 4 bytes"),
        ("BYTES", [1], b"\xff\xff\xff\xff", "element 0 is said to have 4294967295 bytes"),
        ("BYTES", [2], b"\1\0\0\0a", "takes 2 elements, data has 1"),
        ("BF16", [2], b"\0" * 4, "BF16 is not supported"),
        ("FP128", [2], b"", "invalid content type: FP128 datatype; there are BOOL"),
        ("", [2], b"", "invalid content type: no datatype"),
    ],
)
def test_raw_contents_that_do_not_fit(datatype: str, shape: list[int], raw: bytes, says: str) -> None:
    with pytest.raises(InvalidInput, match=says) as caught:
        tensors.read_raw(datatype, shape, raw, "x")
    assert "input 'x'" in str(caught.value)


@pytest.mark.parametrize(
    ("datatype", "contents", "says"),
    [
        ("FP32", {"fp64_contents": [1.0]}, "FP32 goes into contents.fp32_contents, not into fp64_contents"),
        ("FP32", {"fp32_contents": [1.0]}, "takes 2 elements, data has 1"),
        ("FP32", {}, "takes 2 elements, data has 0"),
        ("INT8", {"int_contents": [1, 300]}, "300 is out of range for INT8, which is from -128 to 127"),
        ("UINT8", {"uint_contents": [1, 256]}, "256 is out of range for UINT8"),
        ("INT16", {"int_contents": [-40000, 1]}, "-40000 is out of range for INT16"),
        ("FP16", {"fp32_contents": [1.0, 2.0]}, "FP16 has no field in contents; send it in raw_input_contents"),
        ("BF16", {"fp32_contents": [1.0, 2.0]}, "BF16 is not supported"),
        ("TEXT", {}, "invalid content type: TEXT datatype"),
    ],
)
def test_typed_contents_that_do_not_fit(datatype: str, contents: dict[str, Any], says: str) -> None:
    message = schema.message("inference.InferTensorContents")(**contents)
    with pytest.raises(InvalidInput, match=says) as caught:
        tensors.read_contents(datatype, [2], message, "x")
    assert "input 'x'" in str(caught.value)


def test_many_floats_in_two_fields_are_those_of_the_right_one() -> None:
    message = schema.message("inference.InferTensorContents")(fp32_contents=[1.0] * 100, bool_contents=[True])
    assert tensors.read_contents("FP32", [100], message, "x").tolist() == [1.0] * 100


@pytest.fixture
def small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensors, "SLICE", 3)


@pytest.mark.usefixtures("small_slices")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_in_slices_it_is_the_same(data: Any) -> None:
    datatype, array = data.draw(numeric() | st.just(("BYTES", None)))
    if array is None:
        texts = data.draw(st.lists(st.binary(max_size=5), max_size=20))
        array = np.empty(len(texts), object)
        array[:] = texts
    shape = list(array.shape)
    block = bytes(at_once(tensors.writing_raw(array, "x")))
    assert block == bytes(tensors.write_raw(array, "x"))
    same(at_once(tensors.reading_raw(datatype, shape, block, "x")), array)
    if datatype == "FP16":
        return
    whole, sliced = (schema.message("inference.InferTensorContents")() for _ in range(2))
    tensors.write_contents(datatype, array, whole)
    at_once(tensors.writing(datatype, array, sliced))
    assert sliced == whole
    same(at_once(tensors.reading(datatype, shape, whole, "x")), array)


@pytest.mark.usefixtures("small_slices")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.binary(max_size=3), min_size=1, max_size=12), st.data())
def test_in_slices_it_is_as_wrong(texts: list[bytes], data: Any) -> None:
    array = np.empty(len(texts), object)
    array[:] = texts
    block = bytearray(tensors.write_raw(array, "x"))
    block[data.draw(st.integers(0, len(block) - 1))] ^= data.draw(st.integers(1, 255))
    cut = bytes(block[: data.draw(st.integers(0, len(block)))])
    outcomes = []
    for read in (tensors.read_raw, lambda *given: at_once(tensors.reading_raw(*given))):
        try:
            outcomes.append(read("BYTES", [len(texts)], cut, "x").tolist())
        except InvalidInput:
            outcomes.append("refused")
    assert outcomes[0] == outcomes[1]


@pytest.mark.usefixtures("small_slices")
def test_in_slices_a_value_that_does_not_fit_is_told() -> None:
    message = schema.message("inference.InferTensorContents")(int_contents=[1, 2, 3, 4, 5, 300])
    with pytest.raises(InvalidInput, match="input 'x': 300 is out of range for INT8"):
        at_once(tensors.reading("INT8", [6], message, "x"))


def test_a_type_that_the_protocol_does_not_know() -> None:
    with pytest.raises(ServeError, match="output 'y' is of type complex128") as caught:
        tensors.datatype_of(np.zeros(1, complex), "y")
    assert caught.value.status == 500


PARAMETERS = st.dictionaries(
    st.text(max_size=5),
    st.one_of(st.booleans(), st.integers(-(2**63), 2**64 - 1), st.text(max_size=5), st.floats(allow_nan=False)),
    max_size=4,
)


@given(PARAMETERS)
def test_parameters_survive(parameters: dict[str, Any]) -> None:
    message = schema.ModelInferRequest()
    inference.write_parameters(parameters, message.parameters)
    found = inference.read_parameters(type(message).FromString(message.SerializeToString()).parameters)
    assert found == parameters
    assert {name: type(value) for name, value in found.items()} == {
        name: type(value) for name, value in parameters.items()
    }


@pytest.mark.parametrize("value", [2**64, -(2**63) - 1, None, [1]])
def test_parameters_that_cannot_be_written(value: Any) -> None:
    with pytest.raises(ServeError, match="the parameter p"):
        inference.write_parameters({"p": value}, schema.ModelInferRequest().parameters)


@given(st.data(), st.booleans())
def test_an_answer_is_what_protobuf_would_have_written(data: Any, raw: bool) -> None:
    """Raw contents are put behind the message by hand."""
    arrays = [array for _, array in data.draw(st.lists(numeric(), min_size=1, max_size=3))]
    outputs = [Tensor(f"y{at}", array) for at, array in enumerate(arrays)]
    asked = inference.Asked("id", [], None, None, raw)
    extras = Extras({"p": 1.5})
    sent = b"".join(inference.encode(TensorModel("m", "2"), asked, outputs, extras))
    message = schema.ModelInferResponse.FromString(sent)
    assert message.SerializeToString(deterministic=True) == _sorted(sent)
    assert (message.model_name, message.model_version, message.id) == ("m", "2", "id")
    assert message.parameters["p"].double_param == 1.5
    is_raw = raw or any(array.dtype == np.float16 for array in arrays)
    assert len(message.raw_output_contents) == (len(arrays) if is_raw else 0)
    for at, (output, array) in enumerate(zip(message.outputs, arrays, strict=True)):
        shape = list(output.shape)
        if is_raw:
            block = message.raw_output_contents[at]
            assert output.parameters["binary_data_size"].int64_param == len(block)
            found = tensors.read_raw(output.datatype, shape, block, output.name)
        else:
            found = tensors.read_contents(output.datatype, shape, output.contents, output.name)
        same(found, array)


def _sorted(data: bytes) -> bytes:
    return bytes(schema.ModelInferResponse.FromString(data).SerializeToString(deterministic=True))


@given(st.binary(max_size=300))
def test_any_bytes_are_a_request_or_refused_in_words(data: bytes) -> None:
    try:
        inference.decode(inference.read_request(data))
    except InvalidInput as error:
        assert str(error)


@given(st.data())
def test_a_damaged_request_is_a_request_or_refused_in_words(data: Any) -> None:
    request = schema.ModelInferRequest(model_name="m")
    for kind in ("FP32", "BYTES"):
        request.inputs.add(name="x", datatype=kind, shape=[2]).parameters["p"].string_param = "s"
        request.raw_input_contents.append(b"\1\0\0\0a\2\0\0\0bc"[: 8 if kind == "FP32" else None])
    whole = bytearray(request.SerializeToString())
    for _ in range(data.draw(st.integers(1, 3))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    try:
        inference.decode(inference.read_request(bytes(whole)))
    except InvalidInput as error:
        assert str(error)
