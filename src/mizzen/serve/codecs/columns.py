"""V1 rows given as objects: a table by column names, as KServe reads it into a DataFrame.

Three forms: ``{"a": [1, 2]}`` holds columns, ``[{"a": 1}, {"a": 2}]`` within the list holds rows, and, which KServe
refuses and every user tries first, ``{"a": 1}`` is one row. Where a model's own inputs have more axes than the rows',
lists as deep as one row of them are one row too: ``{"image": [[0, 1], [1, 0]], "size": 2}``.

A null among numbers is NaN, as it is in a DataFrame and in V2.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from types import NoneType
from typing import Any

import numpy as np

from mizzen.serve.errors import InvalidInput
from mizzen.serve.model import Array, Tensor, TensorMetadata


def columns(rows: list[Any], key: str, inputs: Sequence[TensorMetadata] = ()) -> list[Tensor]:
    """One tensor for each column, in the order of the first row: of shape [rows], or deeper where the model's input is.
    What a row lacks is null. A column of nulls alone is one of numbers only if the model says so.

    Args:
        inputs: what the model tells of its own.

    Raises:
        InvalidInput: a row is no object, or its columns are not equally long.
    """
    axes = {one.name: len(one.shape) for one in inputs if len(one.shape) > 1}
    numeric = {one.name for one in inputs if one.datatype not in ("BYTES", "BOOL")}
    table: dict[str, list[Any]] = {}
    count = 0
    for at, element in enumerate(rows):
        for record in element if isinstance(element, list) else [element]:
            if not isinstance(record, dict):
                raise InvalidInput(f'"{key}"[{at}] must be an object as the rows before it are')
            is_row = any(_depth(value) == axes.get(name, 0) - 1 for name, value in record.items())
            added = 1 if is_row else _length(record, f'"{key}"[{at}]')
            for name, value in record.items():
                column = table.setdefault(name, [None] * count)
                column.extend(value if isinstance(value, list) and not is_row else [value])
            count += added
            for column in table.values():
                column.extend([None] * (count - len(column)))
    if not count:
        raise InvalidInput(f'Expected "{key}" to have at least one row')
    return [Tensor(name, _column(values, name, axes.get(name, 1), name in numeric)) for name, values in table.items()]


def with_nan(array: Array, alone: bool = True) -> Array:
    """Numbers and nulls as numbers, a null being NaN; all else as it is.

    Args:
        alone: whether nulls without a number are numbers, too.
    """
    kinds = {type(value) for value in array.ravel().tolist()}
    if NoneType in kinds and kinds <= {NoneType, int, float} and (alone or len(kinds) > 1):
        with contextlib.suppress(OverflowError):
            return array.astype(np.float64)
    return array


def _length(record: dict[str, Any], where: str) -> int:
    """How many rows an object of columns has; one of single values has one."""
    lengths = {len(value) if isinstance(value, list) else 1 for value in record.values()}
    if len(lengths) != 1:
        what = "has no columns" if not lengths else "has columns of different lengths"
        raise InvalidInput(f"{where} {what}")
    return lengths.pop()


def _depth(value: Any) -> int:
    """How deep the lists of a value are."""
    depth = 0
    while isinstance(value, list) and value:
        depth += 1
        value = value[0]
    return depth


def _column(values: list[Any], name: str, axes: int, numeric: bool) -> Array:
    try:
        array = np.array(values)
    except ValueError:
        what = "single values" if axes == 1 else "lists of one length"
        raise InvalidInput(f"column '{name}' must hold {what}") from None
    if array.dtype.kind in "fiub" and (array.ndim == 1 or axes > 1):
        return array
    if array.ndim > 1 and axes > 1:
        return with_nan(np.array(values, dtype=object), numeric)
    return with_nan(_objects(values), numeric)


def _objects(values: list[Any]) -> Array:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array
