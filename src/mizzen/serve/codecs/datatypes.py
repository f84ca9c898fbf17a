"""The datatypes of the Open Inference Protocol and numpy's: one table, both ways."""

from __future__ import annotations

from typing import Any

import numpy as np

from mizzen.serve.errors import InvalidInput

Array = np.ndarray[Any, Any]

NUMPY: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype(np.uint8),
    "UINT16": np.dtype(np.uint16),
    "UINT32": np.dtype(np.uint32),
    "UINT64": np.dtype(np.uint64),
    "INT8": np.dtype(np.int8),
    "INT16": np.dtype(np.int16),
    "INT32": np.dtype(np.int32),
    "INT64": np.dtype(np.int64),
    "FP16": np.dtype(np.float16),
    "FP32": np.dtype(np.float32),
    "FP64": np.dtype(np.float64),
    "BYTES": np.dtype(object),
}

_NAMES = {dtype: name for name, dtype in NUMPY.items()}


def name(dtype: np.dtype[Any]) -> str | None:
    """The protocol's name for a numpy type, or None if it has none. Texts, bytes and times are BYTES."""
    found = _NAMES.get(dtype)
    if found is None and dtype.kind in "OUSM":
        return "BYTES"
    return found


def shaped(array: Array, shape: list[int], tensor: str) -> Array:
    """The flat ``array`` of an input called ``tensor``, in its declared shape.

    Raises:
        InvalidInput: they do not match.
    """
    try:
        if shape and min(shape) < -1:
            raise ValueError
        return array.reshape(shape)
    except (ValueError, OverflowError, TypeError):
        where = f"input '{tensor}'"
        unknown = shape.count(-1)
        if unknown > 1 or any(size < -1 for size in shape):
            problem = "has more than one -1" if unknown > 1 else "has a negative dimension"
            raise InvalidInput(f"{where}: shape {shape} {problem}") from None
        if len(shape) > 64:
            raise InvalidInput(f"{where}: a shape has at most 64 dimensions, this one has {len(shape)}") from None
        needed = 1
        for size in shape:
            needed *= size if size >= 0 else 1
        if unknown and not needed:
            raise InvalidInput(
                f"{where}: shape {shape} has -1 beside 0, so nobody can tell what it stands for"
            ) from None
        if not unknown and needed == array.size:
            raise InvalidInput(f"{where}: shape {shape} has a dimension that is larger than any array's") from None
        wanted = f"a multiple of {needed}" if unknown else f"{needed}"
        raise InvalidInput(f"{where}: shape {shape} takes {wanted} elements, data has {array.size}") from None
