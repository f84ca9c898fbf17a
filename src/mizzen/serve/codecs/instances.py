"""Between V1's JSON and arrays: rows under ``instances`` (or ``inputs``), predictions back.

KServe's own forms are rows of numbers or texts, and rows as objects, which are a table
(:mod:`mizzen.serve.codecs.columns`). TensorFlow Serving's, whose protocol V1 was, come beside them: ``{"b64": ...}``
for bytes, ``inputs`` as an object of whole tensors, ``signature_name``.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

import msgspec
import numpy as np
from msgspec import UNSET, Struct

from mizzen.serve.codecs import numerals
from mizzen.serve.codecs.bodies import decode_json, encode
from mizzen.serve.codecs.columns import columns, with_nan
from mizzen.serve.codecs.datatypes import Array
from mizzen.serve.codecs.lenient import parameters as check_parameters
from mizzen.serve.codecs.slices import Slices, at_once
from mizzen.serve.errors import InvalidInput
from mizzen.serve.model import Parameters, Servable, Tensor

SIGNATURE = "signature_name"

# From so many numbers on, an array is written faster by itself than as a list of Python's numbers.
_MANY = 256


class _Request(Struct, gc=False):
    instances: Any = UNSET
    inputs: Any = UNSET
    signature_name: Any = UNSET
    parameters: Any = UNSET


class Predict(Struct, gc=False):
    """A V1 request, decoded: one tensor called ``instances``, or one for each column or input."""

    inputs: list[Tensor]
    parameters: Parameters | None = None


_decode = msgspec.json.Decoder(_Request).decode


def decode_predict(body: bytes, model: Servable | None = None) -> Predict | None:
    """A V1 request: ``inputs`` if it is there, else ``instances``. None if it is an object that has neither.

    Args:
        model: tells by its metadata what rows as objects hold.

    Raises:
        InvalidInput: says what is wrong.
    """
    try:
        request = _decode(body)
    except (ValueError, RecursionError):
        value = decode_json(body)
        if value is None:
            raise InvalidInput('the request must be a JSON object with a list "instances", not null') from None
        raise InvalidInput(f'the request must be a JSON object with a list "instances": {str(value)[:40]!r}') from None
    rows, key = request.instances, "instances"
    if request.inputs is not UNSET:
        rows, key = request.inputs, "inputs"
    if rows is UNSET:
        return None
    said = None
    if request.parameters is not UNSET or request.signature_name is not UNSET:
        said = _said(request)
    if rows and type(rows) is list and type(rows[0]) is list:
        # By far the most: rows of numbers, among which there is nothing to unpack.
        try:
            array = np.array(rows)
        except (ValueError, OverflowError):
            pass  # explained below
        else:
            if array.dtype.kind in "fiub":
                return Predict([Tensor("instances", array)], said)
    if b'"b64"' in body:
        rows = _unpacked(rows)
    return Predict(_tensors(rows, key, model), said)


def tensors(payload: dict[str, Any], model: Servable | None = None) -> list[Tensor]:
    """The tensors of a V1 request that is decoded already.

    Raises:
        InvalidInput: says what is wrong.
    """
    key = "inputs" if "inputs" in payload else "instances"
    if key not in payload:
        raise no_instances()
    return _tensors(_unpacked(payload[key]), key, model)


def decode_long(body: bytes, model: Servable | None = None) -> Slices[Predict | None]:
    """The same, of a body so long that it is read in slices."""
    found = numerals.rows(body)
    if found is not None:
        try:
            array = yield from numerals.read(found[1])
        except numerals.Unusual:
            pass
        else:
            return Predict([Tensor("instances", array)])
    return decode_predict(body, model)


def no_instances() -> InvalidInput:
    return InvalidInput('the request needs "instances", a list of rows')


def _said(request: _Request) -> Parameters | None:
    said: Parameters = {}
    if request.parameters is not UNSET and request.parameters is not None:
        check_parameters(request.parameters, "the request")
        said.update(request.parameters)
    if request.signature_name is not UNSET and request.signature_name is not None:
        if not isinstance(request.signature_name, str):
            raise InvalidInput(f'"{SIGNATURE}" must be a string')
        said[SIGNATURE] = request.signature_name
    return said or None


def _tensors(rows: Any, key: str, model: Servable | None) -> list[Tensor]:
    if key == "inputs" and isinstance(rows, dict) and rows:
        return [Tensor(name, _array(_listed(value), f"inputs.{name}")) for name, value in rows.items()]
    if not isinstance(rows, list):
        raise InvalidInput(f'Expected "{key}" to be a list')
    if not rows:
        raise InvalidInput(f'Expected "{key}" to have at least one row')
    first = rows[0]
    if isinstance(first, dict) or (isinstance(first, list) and first and isinstance(first[0], dict)):
        return columns(rows, key, model.inputs if model is not None else ())
    return [Tensor("instances", _array(rows, key))]


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _array(rows: list[Any], key: str) -> Array:
    if rows and isinstance(rows[0], str | bytes):
        array = np.empty(len(rows), object)
        array[:] = rows
        return array
    try:
        array = np.array(rows)
        if array.dtype.kind in "US":
            # numpy would turn the numbers among texts into texts, and cut NULs off bytes.
            array = np.array(rows, dtype=object)
    except UnicodeDecodeError:  # bytes beside texts
        array = np.array(rows, dtype=object)
        if any(isinstance(value, list) for value in array.ravel()):
            raise InvalidInput(f'"{key}" is ragged: {_ragged(rows)}') from None
    except (ValueError, OverflowError):
        raise InvalidInput(f'"{key}" is ragged: {_ragged(rows)}') from None
    return with_nan(array) if array.dtype.kind == "O" else array


def _ragged(rows: list[Any]) -> str:
    for at, row in enumerate(rows):
        mine, first = (len(value) if isinstance(value, list) else None for value in (row, rows[0]))
        if mine != first:
            return f"row 0 has {_values(first)}, row {at} has {_values(mine)}"
    return "lists within a row are not all of one length"


def _values(count: int | None) -> str:
    return "no list" if count is None else f"{count} value{'' if count == 1 else 's'}"


def _unpacked(value: Any) -> Any:
    """The same with bytes for each ``{"b64": text}``."""
    if isinstance(value, list):
        return [_unpacked(item) for item in value]
    if isinstance(value, dict):
        if len(value) == 1 and isinstance(text := value.get("b64"), str):
            try:
                return base64.b64decode(text, validate=True)
            except (binascii.Error, ValueError) as error:
                shown = text if len(text) <= 20 else text[:17] + "..."
                raise InvalidInput(f'"b64" holds no base64, {shown!r}: {error}') from None
        return {name: _unpacked(item) for name, item in value.items()}
    return value


def encode_predictions(outputs: list[Tensor], key: str = "predictions") -> bytes:
    """A V1 response: the one output's rows; of several (columns) a row is an object.

    Outputs that have no rows in common are given whole, as one object.
    """
    if len(outputs) == 1:
        array = outputs[0].array
        if array.size > _MANY and numerals.plain(array):
            return at_once(encode_long(outputs, key))
        return encode({key: _values_of(array)})
    if any(not tensor.array.ndim or len(tensor.array) != len(outputs[0].array) for tensor in outputs):
        return encode({key: {tensor.name: _values_of(tensor.array) for tensor in outputs}})
    names = [tensor.name for tensor in outputs]
    rows = zip(*(_values_of(tensor.array) for tensor in outputs), strict=True)
    return encode({key: [dict(zip(names, row, strict=True)) for row in rows]})


def encode_long(outputs: list[Tensor], key: str = "predictions") -> Slices[bytes]:
    """The same, in slices."""
    if len(outputs) != 1 or not numerals.plain(outputs[0].array) or not outputs[0].array.ndim:
        return encode_predictions(outputs, key)
    pieces = yield from numerals.write(outputs[0].array)
    return b"".join([b'{"%b":' % key.encode(), *pieces, b"}"])


def _values_of(array: Array) -> Any:
    kind = array.dtype.kind
    if kind in "OS":
        return _told(array.tolist())
    return array.astype(str).tolist() if kind == "M" else array.tolist()


def _told(value: Any) -> Any:
    """What JSON can carry of texts and bytes: bytes that are no text as ``{"b64": ...}``."""
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return {"b64": base64.b64encode(value).decode()}
    return [_told(item) for item in value] if isinstance(value, list) else value
