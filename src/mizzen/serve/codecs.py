"""Between JSON and arrays: both protocols' bodies, decoded straight into typed structures.

The usual V2 body goes through msgspec once, each tensor's ``datatype`` choosing the type of its ``data``, and comes out
as lists of numbers that numpy takes as they are. Whatever does not fit (nested data, numbers as strings, a wrong field)
goes through :mod:`mizzen.serve.lenient`, which takes what KServe takes and explains the rest.
"""

from __future__ import annotations

import uuid
from typing import Any, Union

import msgspec
import numpy as np
from msgspec import UNSET, Struct, UnsetType

from mizzen.serve import datatypes, lenient
from mizzen.serve.columns import columns
from mizzen.serve.datatypes import NUMPY, Array, shaped
from mizzen.serve.errors import InferenceError, InvalidInput
from mizzen.serve.model import Tensor

Parameters = dict[str, bool | int | float | str]

_DATA: dict[str, Any] = {"b": list[bool], "i": list[int], "u": list[int], "f": list[float], "O": list[str]}
_TYPED = {
    msgspec.defstruct(
        f"{datatype}Input",
        [
            ("name", str),
            ("shape", list[int]),
            ("data", _DATA[dtype.kind]),
            ("parameters", Parameters | None, None),
        ],
        tag_field="datatype",
        tag=datatype,
        gc=False,
    ): dtype
    for datatype, dtype in NUMPY.items()
    if datatype != "FP16"  # the protocol has no JSON form for it
}


class _Requested(Struct, gc=False):
    name: str
    parameters: Parameters | None = None


_INPUT: Any = Union[tuple(_TYPED)]  # noqa: UP007 (a union made at run time has no other spelling)


class _InferRequest(Struct, gc=False):
    inputs: list[_INPUT]
    id: str | None = None
    parameters: Parameters | None = None
    outputs: list[_Requested] | None = None


class _PredictRequest(Struct, gc=False):
    instances: Any = UNSET
    inputs: Any = UNSET


class _Output(Struct, gc=False):
    name: str
    shape: tuple[int, ...]
    datatype: str
    parameters: None
    data: list[Any]


class _InferResponse(Struct, gc=False):
    model_name: str
    model_version: str | None
    id: str
    parameters: None
    outputs: list[_Output]


class Infer(Struct, gc=False):
    """A V2 request, decoded. ``outputs`` are the names it asks for; None is all."""

    id: str | None
    inputs: list[Tensor]
    outputs: list[str] | None


def _plain(value: Any) -> Any:
    """For the encoder: what numpy leaves inside object arrays."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} has no JSON form")


_decode_infer = msgspec.json.Decoder(_InferRequest).decode
_decode_predict = msgspec.json.Decoder(_PredictRequest).decode
_encode = msgspec.json.Encoder(enc_hook=_plain).encode

_FLOAT32 = np.dtype(np.float32)
_FLOAT32_MAX = float(np.finfo(np.float32).max)


def decode_json(body: bytes) -> Any:
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
        raise InvalidInput(f"Unrecognized request format: {error}") from None


def decode_infer(body: bytes, model: str) -> Infer:
    """A V2 inference request.

    Raises:
        InvalidInput: says which input, and what is wrong with it.
    """
    try:
        request = _decode_infer(body)
    except (ValueError, RecursionError):
        value = decode_json(body)
        inputs = lenient.tensors(value, model)
        return Infer(lenient.identifier(value), inputs, lenient.requested(value))
    if not request.inputs:
        raise InvalidInput('Expected "inputs" to be a list of at least one tensor')
    outputs = request.outputs
    return Infer(
        request.id,
        [_tensor(item) for item in request.inputs],
        None if outputs is None else [output.name for output in outputs],
    )


def _tensor(item: Any) -> Tensor:
    dtype = _TYPED[type(item)]
    data = item.data
    try:
        if dtype is _FLOAT32:
            if len(data) > 64:
                with np.errstate(over="raise"):
                    array = np.array(data, dtype)
            else:
                # Switching numpy's error state costs more than looking at a few numbers.
                if data and (max(data) > _FLOAT32_MAX or min(data) < -_FLOAT32_MAX):
                    raise FloatingPointError
                array = np.array(data, dtype)
        else:
            array = np.array(data, dtype)
            if dtype.kind == "O":
                return Tensor(item.name, lenient.texts(array, item.shape))
    except OverflowError as error:
        raise InvalidInput(f"input '{item.name}': {error}") from None
    except FloatingPointError:
        raise InvalidInput(f"input '{item.name}': a value is too large for float32") from None
    return Tensor(item.name, shaped(array, item.shape, item.name))


def encode_infer(
    model: str, version: str | None, request: str | None, outputs: list[Tensor], wanted: list[str] | None
) -> bytes:
    """A V2 inference response; all keys, nulls included, in KServe's order.

    Args:
        request: the request's id; one is made up where it has none.
        wanted: the outputs to give, in this order.

    Raises:
        InvalidInput: a wanted output does not exist, or has no JSON form.
        InferenceError: an output is of a type that the protocol does not know.
    """
    if wanted is not None:
        by_name = {tensor.name: tensor for tensor in outputs}
        for name in wanted:
            if name not in by_name:
                raise InvalidInput(f"Unexpected inference output '{name}' for model '{model}'")
        outputs = [by_name[name] for name in wanted]
    return _encode(
        _InferResponse(
            model, version, make_id() if request is None else request, None, [_output(tensor) for tensor in outputs]
        )
    )


def _output(tensor: Tensor) -> _Output:
    array = tensor.array
    datatype = datatypes.name(array.dtype)
    if datatype is None:
        raise InferenceError(f"output '{tensor.name}' is of type {array.dtype}, which the protocol does not know")
    if datatype == "FP16":
        raise InvalidInput(
            f"Sending FP16 data via JSON is not supported. Please use the binary data format for output {tensor.name}"
        )
    data = array.ravel().tolist() if array.ndim != 1 else array.tolist()
    if datatype == "BYTES":
        data = [_text(value, tensor.name) for value in data]
    return _Output(tensor.name, array.shape, datatype, None, data)


def _text(value: Any, name: str) -> str:
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise InferenceError(f"output '{name}' holds bytes that are not UTF-8, which JSON cannot carry") from None
    return value if isinstance(value, str) else str(value)


class _Ids:
    """Version 4 UUIDs, unique without being secret: one random part for the process, and a count.

    A fresh random one costs a tenth of a whole request. The random part is drawn at first use, after any fork.
    """

    def __init__(self) -> None:
        self._prefix = ""
        self._next = 0

    def __call__(self) -> str:
        if not self._prefix or self._next >= 1 << 48:
            drawn = uuid.uuid4()
            self._prefix, self._next = str(drawn)[:24], drawn.node >> 1
        self._next += 1
        return f"{self._prefix}{self._next:012x}"


make_id = _Ids()


def decode_predict(body: bytes) -> list[Tensor]:
    """A V1 predict request: ``inputs`` if it is there, else ``instances``.

    Returns:
        one tensor called ``instances``, or one for each column if the instances are objects.

    Raises:
        InvalidInput: says what is wrong.
    """
    try:
        request = _decode_predict(body)
    except (ValueError, RecursionError):
        value = decode_json(body)
        raise InvalidInput(f'the request must be a JSON object with a list "instances": {str(value)[:40]!r}') from None
    key, rows = (
        ("instances", request.instances) if isinstance(request.inputs, UnsetType) else ("inputs", request.inputs)
    )
    if isinstance(rows, UnsetType):
        raise InvalidInput('the request needs "instances", a list of rows')
    if not isinstance(rows, list):
        raise InvalidInput(f'Expected "{key}" to be a list')
    if not rows:
        raise InvalidInput(f'Expected "{key}" to have at least one row')
    return _rows(rows, key)


def _rows(rows: list[Any], key: str) -> list[Tensor]:
    first = rows[0]
    if isinstance(first, dict) or (isinstance(first, list) and first and isinstance(first[0], dict)):
        return columns(rows, key)
    if isinstance(first, str):
        return [Tensor("instances", np.array(rows, dtype=object))]
    try:
        array = np.array(rows)
        if array.dtype.kind == "U":
            # numpy would turn the numbers among texts into texts.
            array = np.array(rows, dtype=object)
    except (ValueError, OverflowError):
        raise InvalidInput(f'"{key}" is ragged: {_ragged(rows)}') from None
    return [Tensor("instances", array)]


def _ragged(rows: list[Any]) -> str:
    for at, row in enumerate(rows):
        mine, first = (len(value) if isinstance(value, list) else None for value in (row, rows[0]))
        if mine != first:
            return f"row 0 has {_values(first)}, row {at} has {_values(mine)}"
    return "lists within a row are not all of one length"


def _values(count: int | None) -> str:
    return "no list" if count is None else f"{count} value{'' if count == 1 else 's'}"


def encode_predictions(outputs: list[Tensor]) -> bytes:
    """A V1 predict response: the one output's rows, or objects if there are several (columns)."""
    if len(outputs) == 1:
        return _encode({"predictions": _listed(outputs[0].array)})
    names = [tensor.name for tensor in outputs]
    rows = zip(*(_listed(tensor.array) for tensor in outputs), strict=True)
    return _encode({"predictions": [dict(zip(names, row, strict=True)) for row in rows]})


def _listed(array: Array) -> Any:
    return array.astype(str).tolist() if array.dtype.kind == "M" else array.tolist()


def encode(value: Any) -> bytes:
    """Anything else that goes out as JSON."""
    return _encode(value)
