"""V1 rows given as objects: a table by column names, as KServe reads it into a DataFrame.

Three forms: ``{"a": [1, 2]}`` holds columns, ``[{"a": 1}, {"a": 2}]`` within the list holds rows, and, which KServe
refuses and every user tries first, ``{"a": 1}`` is one row.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mizzen.serve.errors import InvalidInput
from mizzen.serve.model import Tensor


def columns(rows: list[Any], key: str) -> list[Tensor]:
    """One tensor of shape [rows] for each column, in the order of the first row. What a row lacks is null.

    Raises:
        InvalidInput: a row is no object, or its columns are not equally long.
    """
    table: dict[str, list[Any]] = {}
    count = 0
    for at, element in enumerate(rows):
        for record in element if isinstance(element, list) else [element]:
            if not isinstance(record, dict):
                raise InvalidInput(f'"{key}"[{at}] must be an object as the rows before it are')
            lengths = {len(value) if isinstance(value, list) else 1 for value in record.values()}
            if len(lengths) != 1:
                what = "has no columns" if not lengths else "has columns of different lengths"
                raise InvalidInput(f'"{key}"[{at}] {what}')
            added = lengths.pop()
            for name, value in record.items():
                column = table.setdefault(name, [None] * count)
                column.extend(value if isinstance(value, list) else [value])
            count += added
            for column in table.values():
                column.extend([None] * (count - len(column)))
    if not count:
        raise InvalidInput(f'Expected "{key}" to have at least one row')
    return [Tensor(name, _column(values, name)) for name, values in table.items()]


def _column(values: list[Any], name: str) -> np.ndarray[Any, Any]:
    try:
        array = np.array(values)
    except ValueError:
        raise InvalidInput(f"column '{name}' must hold single values") from None
    return array if array.dtype.kind in "fiub" and array.ndim == 1 else _objects(values)


def _objects(values: list[Any]) -> np.ndarray[Any, Any]:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array
