"""Tensors as raw blocks: little-endian elements row by row, and texts as their length in four bytes and their bytes.

The binary tensor extension over REST and gRPC's ``raw_input_contents`` carry the same bytes. Numbers are not copied:
the array looks at the request's own memory, and so it cannot be written to.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from mizzen.serve.codecs import datatypes
from mizzen.serve.codecs.datatypes import NUMPY, Array, shaped
from mizzen.serve.errors import InferenceError, InvalidInput

_LENGTH = struct.Struct("<I")
_WIRE = {name: dtype.newbyteorder("<") for name, dtype in NUMPY.items()}

Buffer = bytes | bytearray | memoryview


def unpack(block: Buffer, datatype: str, shape: list[int], name: str) -> Array:
    """The tensor called ``name`` that a block holds; texts come as ``bytes``. Read-only, unless it had to be copied.

    Raises:
        InvalidInput: the block is not as long as datatype and shape want it.
    """
    dtype = _WIRE.get(datatype)
    if dtype is None:
        raise InvalidInput(f"input '{name}': datatype {datatype!r} is not known; it is one of {', '.join(NUMPY)}")
    if datatype == "BYTES":
        elements = _elements(memoryview(block), name)
        texts: Array = np.empty(len(elements), object)
        if elements:
            texts[:] = elements
        return shaped(texts, shape, name)
    if len(block) % dtype.itemsize:
        raise InvalidInput(
            f"input '{name}': its block of {len(block)} bytes is no whole number of {datatype} elements "
            f"({dtype.itemsize} bytes each)"
        )
    array: Array = np.frombuffer(block, dtype)
    if not array.flags.aligned:
        # What frameworks do with such memory ranges from slow to wrong.
        array = array.copy()
        array.flags.writeable = False
    elif datatype == "BOOL" and array.size and array.view(np.uint8).max() > 1:
        array = array.view(np.uint8) != 0
    return shaped(array, shape, name)


def _elements(block: memoryview, name: str) -> list[bytes]:
    found: list[bytes] = []
    at, end = 0, len(block)
    while at < end:
        if end - at < 4:
            raise InvalidInput(f"input '{name}': its block ends within a length, {end - at} bytes before its end")
        (size,) = _LENGTH.unpack_from(block, at)
        at += 4
        if size > end - at:
            raise InvalidInput(
                f"input '{name}': element {len(found)} is said to have {size} bytes, the block has {end - at} more"
            )
        found.append(bytes(block[at : at + size]))
        at += size
    return found


def pack(array: Array, name: str) -> Buffer:
    """The block of an output called ``name``: its own memory where that is laid out so.

    Raises:
        InferenceError: it is of a type that the protocol does not know.
    """
    datatype = datatypes.name(array.dtype)
    if datatype is None:
        raise InferenceError(f"output '{name}' is of type {array.dtype}, which the protocol does not know")
    if datatype == "BYTES":
        pieces: list[bytes] = []
        for value in array.ravel().tolist():
            text = encoded(value)
            pieces += (_LENGTH.pack(len(text)), text)
        return b"".join(pieces)
    whole = np.ascontiguousarray(array, _WIRE[datatype])
    return whole.reshape(-1).view(np.uint8).data if whole.size else b""


def encoded(value: Any) -> bytes:
    """One text of an output, as bytes."""
    if isinstance(value, bytes):
        return value
    return str(value).encode("utf-8", "surrogatepass")
