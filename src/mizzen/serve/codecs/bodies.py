"""Between V2's JSON and arrays, decoded straight into typed structures.

The usual body goes through msgspec once, each tensor's ``datatype`` choosing the type of its ``data``, and comes out as
lists of numbers that numpy takes as they are. Whatever does not fit (nested data, numbers as strings, a wrong field)
goes through :mod:`mizzen.serve.codecs.lenient`, which takes what KServe takes and explains the rest; what is long goes
through :mod:`mizzen.serve.codecs.numerals`, and what is no JSON at all, raw blocks after it, comes from
:mod:`mizzen.serve.codecs.binary`.
"""

from __future__ import annotations

import re
import uuid
from typing import Any, Union

import msgspec
import numpy as np
from msgspec import UNSET, Struct, UnsetType

from mizzen.serve.codecs import datatypes, lenient, numerals
from mizzen.serve.codecs.blocks import BINARY_SIZE, Blocks
from mizzen.serve.codecs.datatypes import NUMPY, shaped
from mizzen.serve.codecs.slices import Slices
from mizzen.serve.errors import InferenceError, InvalidInput
from mizzen.serve.model import Parameters, Tensor
from mizzen.serve.protocols.asking import BINARY_OUTPUT

_DATA: dict[str, Any] = {"b": list[bool], "i": list[int], "u": list[int], "f": list[float], "O": list[str]}
_TYPED = {
    msgspec.defstruct(
        f"{datatype}Input",
        [
            ("name", str),
            ("shape", list[int]),
            ("data", _DATA[dtype.kind] | UnsetType, UNSET),
            ("parameters", Parameters | None, None),
        ],
        tag_field="datatype",
        tag=datatype,
        gc=False,
    ): dtype
    for datatype, dtype in NUMPY.items()
}
_DATATYPES = {dtype: datatype for datatype, dtype in NUMPY.items()}


class Requested(Struct, gc=False):
    """An output that a request asks for."""

    name: str
    parameters: Parameters | None = None


_INPUT: Any = Union[tuple(_TYPED)]  # noqa: UP007 (a union made at run time has no other spelling)


class _InferRequest(Struct, gc=False):
    inputs: list[_INPUT]
    id: str | None = None
    parameters: Parameters | None = None
    outputs: list[Requested] | None = None


class Output(Struct, gc=False):
    name: str
    shape: tuple[int, ...]
    datatype: str
    parameters: Parameters | None
    data: list[Any]


class _InferResponse(Struct, gc=False):
    model_name: str
    model_version: str | None
    id: str
    parameters: Parameters | None
    outputs: list[Output]


class Infer(Struct, gc=False):
    """A V2 request, decoded.

    Attributes:
        plain: it says nothing beside its id and its tensors, and they are numbers.
    """

    id: str | None
    inputs: list[Tensor]
    parameters: Parameters | None
    outputs: list[Requested] | None
    plain: bool

    @property
    def wanted(self) -> list[str] | None:
        """The names of the outputs that it asks for; None is all, which an empty list means, too."""
        return [output.name for output in self.outputs] if self.outputs else None

    @property
    def binary_output(self) -> bool:
        """Whether outputs are to be raw blocks unless it says otherwise of them."""
        return bool(self.parameters and self.parameters.get(BINARY_OUTPUT))


class NoText(InferenceError):
    """An output holds bytes that JSON cannot carry."""

    def __init__(self, output: str, value: bytes) -> None:
        super().__init__(
            f"output '{output}' holds bytes that are not UTF-8, which JSON cannot carry; the parameters "
            "binary_data_output of a request and binary_data of an output ask for raw blocks, which can"
        )
        self.output = output
        self._value = value

    def blamed(self, inputs: list[Tensor]) -> InferenceError | InvalidInput:
        """Whose fault it is: the client's if it sent those very bytes, else the model's, which made them."""
        for tensor in inputs:
            if tensor.array.dtype.kind == "O" and any(
                type(value) is bytes and value == self._value for value in tensor.array.ravel().tolist()
            ):
                return InvalidInput(
                    f"output '{self.output}' gives back bytes of input '{tensor.name}' that are not UTF-8, which JSON "
                    'cannot carry: ask for raw blocks, by "parameters": {"binary_data_output": true}, or send base64'
                )
        return self


def plain_value(value: Any) -> Any:
    """For the encoder: what numpy leaves inside object arrays."""
    if isinstance(value, np.longdouble):
        return float(value)  # of which numpy has no Python number of its own
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} has no JSON form")


_decode_infer = msgspec.json.Decoder(_InferRequest).decode
_encode = msgspec.json.Encoder(enc_hook=plain_value).encode

# What Python writes for a number that JSON has not, at the place that the decoder names.
_PLACE = re.compile(r"\(byte (\d+)\)")
_NO_NUMBER = re.compile(rb"-?(?:NaN|Infinity)")

_FLOAT32 = np.dtype(np.float32)
_FLOAT32_MAX = float(np.finfo(np.float32).max)


def decode_json(body: bytes | memoryview) -> Any:
    """Any JSON value.

    Raises:
        InvalidInput: it is none.
    """
    try:
        return msgspec.json.decode(body)
    except UnicodeDecodeError as error:
        raise InvalidInput(f"Unrecognized request format: not UTF-8 at byte {error.start} of a string") from None
    except RecursionError:
        raise InvalidInput("Unrecognized request format: nested too deeply") from None
    except msgspec.DecodeError as error:
        raise InvalidInput(f"Unrecognized request format: {_reason(bytes(body), str(error))}") from None


def _reason(body: bytes, said: str) -> str:
    """Why a body is no JSON, where there is more to say than the decoder says."""
    if not body.strip():
        return "the body is empty"
    place = _PLACE.search(said)
    number = _NO_NUMBER.match(body, int(place[1])) if place else None
    if number is None:
        return said
    name = number[0].decode()
    instead = (
        "write null, which is read as NaN where numbers are floating-point"
        if name == "NaN"
        else "V2's raw blocks can hold it"
    )
    return f"JSON has no {name} (byte {number.start()}): {instead}"


def decode_infer(body: bytes | memoryview, model: str, blocks: Blocks | None = None) -> Infer:
    """A V2 inference request.

    Args:
        blocks: the raw blocks that came with it.

    Raises:
        InvalidInput: says which input, and what is wrong with it.
    """
    try:
        request = _decode_infer(body)
    except (ValueError, RecursionError):
        value = decode_json(body)
        inputs = lenient.tensors(value, model, blocks)
        outputs = lenient.requested(value)
        wanted = None if outputs is None else [Requested(name, parameters) for name, parameters in outputs]
        return Infer(lenient.identifier(value), inputs, value.get("parameters"), wanted, False)
    if not request.inputs:
        raise InvalidInput('Expected "inputs" to be a list of at least one tensor')
    plain = request.parameters is None and request.outputs is None
    inputs = []
    for item in request.inputs:
        dtype = _TYPED[type(item)]
        inputs.append(_tensor(item, dtype) if item.data is not UNSET else _raw(item, dtype, model, blocks))
        if item.parameters is not None or dtype.char == "O":
            plain = False
            if blocks is not None and item.data is not UNSET and item.parameters and BINARY_SIZE in item.parameters:
                raise lenient.both(item.name)
    return Infer(request.id, inputs, request.parameters, request.outputs, plain)


def decode_long(body: bytes, model: str) -> Slices[Infer]:
    """The same, of a body so long that it is read in slices."""
    try:
        skeleton, texts = numerals.cut(body)
        yield
        if not texts:
            raise numerals.Unusual
        request = _decode_infer(skeleton)
        inputs = []
        for item in request.inputs:
            dtype, data = _TYPED[type(item)], item.data
            text = texts.pop(data[0], None) if data is not UNSET and len(data) == 1 else None
            if text is None:
                inputs.append(_raw(item, dtype, model, None) if data is UNSET else _tensor(item, dtype))
                continue
            if dtype.kind not in "fiu" or dtype.char == "e":
                raise numerals.Unusual
            array = yield from numerals.read(text, dtype)
            inputs.append(Tensor(item.name, shaped(array.ravel(), item.shape, item.name), item.parameters))
        if texts or not inputs:
            raise numerals.Unusual
        return Infer(request.id, inputs, request.parameters, request.outputs, False)
    except (numerals.Unusual, ValueError, RecursionError):
        return decode_infer(body, model)


def _raw(item: Any, dtype: np.dtype[Any], model: str, blocks: Blocks | None) -> Tensor:
    if blocks is None or not item.parameters or BINARY_SIZE not in item.parameters:
        raise lenient.no_data(item.name, item.parameters, model, blocks)
    array = blocks.take(item.name, item.parameters.pop(BINARY_SIZE), _DATATYPES[dtype], item.shape)
    return Tensor(item.name, array, item.parameters or None)


def _tensor(item: Any, dtype: np.dtype[Any]) -> Tensor:
    data, shape = item.data, item.shape
    try:
        if dtype is _FLOAT32:
            if len(data) > 64:
                with np.errstate(over="raise"):
                    array = np.array(data, dtype)
            else:
                # Switching numpy's error state costs more than looking at a few numbers.
                if data and (max(data) > _FLOAT32_MAX or min(data) < -_FLOAT32_MAX):
                    raise FloatingPointError
                if len(shape) == 2 and shape[0] == 1 and shape[1] == len(data):
                    # By far the most: one row. This is the quickest way to give it its shape.
                    return Tensor(item.name, np.array([data], dtype), item.parameters)
                array = np.array(data, dtype)
        elif dtype.char == "O":
            return Tensor(item.name, lenient.texts(np.array(data, dtype), shape), item.parameters)
        elif dtype.char == "e":
            raise lenient.no_half(item.name)
        else:
            array = np.array(data, dtype)
    except OverflowError as error:
        raise lenient.out_of_range(item.name, dtype, data, error) from None
    except FloatingPointError:
        raise InvalidInput(f"input '{item.name}': a value is too large for float32") from None
    return Tensor(item.name, shaped(array, shape, item.name), item.parameters)


def encode_infer(
    model: str,
    version: str | None,
    request: str | None,
    outputs: list[Tensor],
    parameters: Parameters | None = None,
) -> bytes:
    """A V2 inference response; all keys, nulls included, in KServe's order.

    Args:
        request: the request's id; one is made up where it has none.

    Raises:
        InvalidInput: an output has no JSON form.
        InferenceError: an output is of a type that the protocol does not know, or :class:`NoText`.
    """
    return _encode(
        _InferResponse(
            model,
            version,
            make_id() if request is None else request,
            parameters,
            [output(tensor) for tensor in outputs],
        )
    )


def encode_long(
    model: str,
    version: str | None,
    request: str | None,
    outputs: list[Tensor],
    parameters: Parameters | None = None,
) -> Slices[bytes]:
    """The same, in slices."""
    pieces: list[bytes] = []
    for tensor in outputs:
        if pieces:
            pieces.append(b",")
        datatype = name_of(tensor)
        if datatype == "BYTES" or not numerals.plain(tensor.array):
            pieces.append(_encode(output(tensor)))
            yield
            continue
        # The empty list at the end is where the numbers go.
        pieces.append(_encode(Output(tensor.name, tensor.array.shape, datatype, tensor.parameters, []))[:-3])
        pieces += yield from numerals.write(tensor.array.reshape(-1))
        pieces.append(b"}")
    head = encode_infer(model, version, request, [], parameters)
    return b"".join([head[:-2], *pieces, b"]}"])


def name_of(tensor: Tensor) -> str:
    """The datatype of an output that is to be written as JSON.

    Raises:
        InvalidInput, InferenceError: as :func:`encode_infer`.
    """
    array = tensor.array
    datatype = datatypes.name(array.dtype)
    if datatype is None:
        raise InferenceError(f"output '{tensor.name}' is of type {array.dtype}, which the protocol does not know")
    if datatype == "FP16":
        raise InvalidInput(
            f"Sending FP16 data via JSON is not supported. Please use the binary data format for output {tensor.name}"
        )
    return datatype


def output(tensor: Tensor) -> Output:
    array = tensor.array
    datatype = name_of(tensor)
    data = array.ravel().tolist() if array.ndim != 1 else array.tolist()
    if datatype == "BYTES":
        data = [_text(value, tensor.name) for value in data]
    return Output(tensor.name, array.shape, datatype, tensor.parameters, data)


def _text(value: Any, name: str) -> str:
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise NoText(name, value) from None
    return value if isinstance(value, str) else str(value)


# Twelve digits.
_FIRST, _LAST = 10**11, 10**12


class _Ids:
    """Version 4 UUIDs, unique without being secret: one random part for the process, and a count.

    A fresh random one costs a tenth of a whole request. The random part is drawn at first use, after any fork. The
    count has no other digits than decimal ones, which are written three times as fast as hexadecimal ones.
    """

    def __init__(self) -> None:
        self._prefix = ""
        self._next = _LAST

    def __call__(self) -> str:
        count = self._next
        if count >= _LAST:
            drawn = uuid.uuid4()
            self._prefix = str(drawn)[:24]
            count = _FIRST + drawn.node % (_LAST // 2)
        self._next = count + 1
        return self._prefix + str(count)


make_id = _Ids()


def encode(value: Any) -> bytes:
    """Anything else that goes out as JSON."""
    return _encode(value)
