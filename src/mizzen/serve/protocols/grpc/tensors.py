"""Between a message's tensors and arrays, in both of the forms that the protocol has.

Raw contents are those of REST's binary extension (:mod:`mizzen.serve.codecs.raw`). Typed ones are a field of numbers
for each kind; the packed form of three of them is the raw one, and is used as such. Arrays are always the receiver's
own and writable: whether a model may change its input must not depend on how a client sent it, nor on whether the
request was joined with others.

Where each element costs something by itself, many of them are taken in slices (:mod:`mizzen.serve.codecs.slices`).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import numpy as np

from mizzen.serve.codecs import datatypes, raw
from mizzen.serve.codecs.datatypes import NUMPY, shaped
from mizzen.serve.codecs.slices import Slices
from mizzen.serve.errors import InferenceError, InvalidInput
from mizzen.serve.model import Array

FIELDS = {
    "BOOL": "bool_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}

# Datatypes whose typed form, packed, is the raw one: the tag of the field that holds it.
_PACKED = {"BOOL": b"\x0a", "FP32": b"\x32", "FP64": b"\x3a"}
_MANY = 64

# Elements of a slice, which take about half a millisecond; an array of more than two is long.
SLICE = 8192
_LENGTH = struct.Struct("<I")


def read_raw(datatype: str, shape: list[int], block: bytes, tensor: str) -> Array:
    """The array that a block of raw contents holds for the input called ``tensor``.

    Raises:
        InvalidInput: says what is wrong with it.
    """
    if datatype not in NUMPY:
        raise _unknown(datatype, tensor)
    array = raw.unpack(block, datatype, shape, tensor)
    return array if array.flags.writeable else array.copy()


def read_contents(datatype: str, shape: list[int], contents: Any, tensor: str) -> Array:
    """The array that the message ``InferTensorContents`` holds for the input called ``tensor``.

    Raises:
        InvalidInput: says what is wrong with it.
    """
    dtype = NUMPY.get(datatype)
    if dtype is None:
        raise _unknown(datatype, tensor)
    field = FIELDS.get(datatype)
    if field is None:
        raise InvalidInput(f"input '{tensor}': {datatype} has no field in contents; send it in raw_input_contents")
    values = getattr(contents, field)
    count = len(values)
    if not count:
        others = [other.name for other, _ in contents.ListFields()]
        if others:
            raise InvalidInput(f"input '{tensor}': {datatype} goes into contents.{field}, not into {', '.join(others)}")
    if count >= _MANY and datatype in _PACKED:
        packed = contents.SerializeToString()
        size = count * dtype.itemsize
        start = 1 + len(varint(size))
        if len(packed) == start + size:  # there is nothing else in the message
            return shaped(np.frombuffer(packed, dtype.newbyteorder("<"), count, start).astype(dtype), shape, tensor)
    return shaped(_elements(datatype, values, tensor), shape, tensor)


def reading(datatype: str, shape: list[int], contents: Any, tensor: str) -> Slices[Array]:
    """:func:`read_contents` in slices."""
    field = FIELDS.get(datatype, "")
    values = getattr(contents, field, ())
    if len(values) <= SLICE or datatype in _PACKED:
        return read_contents(datatype, shape, contents, tensor)
    pieces = []
    for at in range(0, len(values), SLICE):
        pieces.append(_elements(datatype, values[at : at + SLICE], tensor))
        yield
    return shaped(np.concatenate(pieces), shape, tensor)


def reading_raw(datatype: str, shape: list[int], block: bytes, tensor: str) -> Slices[Array]:
    """:func:`read_raw` in slices: a block of texts is cut where one of them ends."""
    if datatype != "BYTES":
        return read_raw(datatype, shape, block, tensor)
    pieces = []
    start = at = count = 0
    while at + 4 <= len(block):
        at += 4 + _LENGTH.unpack_from(block, at)[0]
        count += 1
        if count % SLICE == 0 and at <= len(block):
            pieces.append(raw.unpack(block[start:at], datatype, [SLICE], tensor))
            start = at
            yield
    rest = count % SLICE
    # What it ends with may be broken; then this says how.
    pieces.append(raw.unpack(block[start:], datatype, [rest] if at == len(block) else [-1], tensor))
    return shaped(np.concatenate(pieces), shape, tensor)


def _elements(datatype: str, values: Any, tensor: str) -> Array:
    """Flat, from as many numbers or texts of a message."""
    dtype = NUMPY[datatype]
    if datatype == "BYTES":
        array: Array = np.empty(len(values), dtype)
        array[:] = list(values)
        return array
    if dtype.itemsize >= 4 or datatype == "BOOL":
        return np.fromiter(values, dtype, len(values))
    wide = np.fromiter(values, np.int64, len(values))
    array = wide.astype(dtype)
    if not np.array_equal(array, wide):
        raise InvalidInput(
            f"input '{tensor}': {wide[array != wide][0]} is out of range for {datatype}, which is from "
            f"{np.iinfo(dtype).min} to {np.iinfo(dtype).max}"
        )
    return array


def datatype_of(array: Array, tensor: str) -> str:
    """The protocol's name for the output's type.

    Raises:
        InferenceError: it has none.
    """
    datatype = datatypes.name(array.dtype if array.dtype.isnative else array.dtype.newbyteorder("="))
    if datatype is None:
        raise InferenceError(f"output '{tensor}' is of type {array.dtype}, which the protocol does not know")
    return datatype


def is_long(array: Array, as_raw: bool) -> bool:
    """Whether writing it takes so long that it is to be done in slices."""
    if array.size <= 2 * SLICE:
        return False
    return array.dtype.kind in "OUSM" or (not as_raw and array.dtype.kind in "iu")


def write_raw(array: Array, tensor: str) -> raw.Buffer:
    """An array's elements as a block of raw contents."""
    return raw.pack(_plain(array), tensor)


def writing_raw(array: Array, tensor: str) -> Slices[raw.Buffer]:
    """:func:`write_raw` in slices."""
    if not is_long(array, True):
        return write_raw(array, tensor)
    pieces = []
    for part in _parts(array):
        pieces.append(write_raw(part, tensor))
        yield
    return b"".join(pieces)


def write_contents(datatype: str, array: Array, contents: Any) -> None:
    """Put an array's elements into a message ``InferTensorContents``. There is no form for FP16."""
    if datatype == "BYTES":
        contents.bytes_contents.extend([raw.encoded(value) for value in _plain(array).ravel().tolist()])
    elif datatype in _PACKED and array.size >= _MANY:
        block = raw.pack(_plain(array), "")
        contents.MergeFromString(b"".join((_PACKED[datatype], varint(len(block)), block)))
    else:
        getattr(contents, FIELDS[datatype]).extend(array.ravel().tolist())


def writing(datatype: str, array: Array, contents: Any) -> Slices[None]:
    """:func:`write_contents` in slices."""
    for part in _parts(array) if is_long(array, False) else (array,):
        write_contents(datatype, part, contents)
        yield


def _parts(array: Array) -> Iterator[Array]:
    flat = array.ravel()
    return (flat[at : at + SLICE] for at in range(0, len(flat), SLICE))


def _plain(array: Array) -> Array:
    """Times as texts, and all else in the machine's own byte order."""
    dtype = array.dtype
    if dtype.kind == "M":
        return array.astype(str)
    return array if dtype.isnative else array.astype(dtype.newbyteorder("="))


def varint(value: int) -> bytes:
    """A number that is not negative, as protobuf writes it."""
    if value < 0x80:
        return bytes((value,))
    parts = bytearray()
    while value >= 0x80:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def _unknown(datatype: str, tensor: str) -> InvalidInput:
    if datatype == "BF16":
        return InvalidInput(f"input '{tensor}': BF16 is not supported, as numpy has no such type; send FP32 or FP16")
    return InvalidInput(
        f"input '{tensor}': invalid content type: {datatype or 'no'} datatype; there are {', '.join(NUMPY)}"
    )
