"""A request that a model can answer, for a command line to be pasted: from what the model tells of its inputs.

A line that has to be completed first is a line that most people paste as it is, and that then fails. So where the
inputs are known the request holds one row of made-up values, and where they are not it is read from a file, and it is
said what the file is to hold.
"""

from __future__ import annotations

import json
import math
import shlex
from typing import Any, Literal

import msgspec

NOTE = "(the values are made up: put your own rows in)"
FILE = "rows.json"

_LONGEST = 100  # values; pictures are not typed in
_V1_ROWS = '{"instances": [one row per item]}'
_V2_ROWS = '{"inputs": [{"name": ..., "shape": [...], "datatype": ..., "data": [...]}]}'


class _Parameters(msgspec.Struct):
    columns: list[str] = []


class Input(msgspec.Struct):
    """An input as V2 metadata tells of it.

    Attributes:
        shape: -1 is any number of rows.
        parameters: with the names of the columns, where the model knows them.
    """

    name: str
    datatype: str
    shape: list[int]
    parameters: _Parameters | None = None

    @property
    def one_row(self) -> list[int]:
        return [abs(size) for size in self.shape]

    @property
    def size(self) -> int:
        return math.prod(self.one_row)

    @property
    def columns(self) -> list[str]:
        """The names that the values of a row go by, if each has one."""
        names = self.parameters.columns if self.parameters else []
        return names if len(names) == self.size else []

    @property
    def value(self) -> Any:
        return {"BYTES": "text", "BOOL": True}.get(self.datatype, 1.0 if self.datatype.startswith("FP") else 1)


def command(start: str, name: str, inputs: list[Input], protocol: Literal["v1", "v2"] = "v1") -> str:
    """The command that asks the model ``name``, and a line before or after it that says what is to be put in.

    Args:
        start: the command up to the path: ``curl -s http://127.0.0.1:8080``.
        inputs: all that the model has; none if they are not known. V1 has no form for several, V2 is used for them.
    """
    v2 = protocol == "v2" or len(inputs) > 1
    line = f"{start}/v2/models/{name}/infer" if v2 else f"{start}/v1/models/{name}:predict"
    found = body(inputs, "v2" if v2 else "v1")
    if found is None:
        return f"{FILE} is to hold: {_V2_ROWS if v2 else _V1_ROWS}\n{line} -d @{FILE}"
    return f"{line} -d {shlex.quote(json.dumps(found, ensure_ascii=False))}\n{NOTE}"


def body(inputs: list[Input], protocol: Literal["v1", "v2"]) -> dict[str, Any] | None:
    """A request with one row of made-up values; None if the inputs are not known, or are too large to be typed in.

    Of several inputs V1 takes a row as an object.
    """
    if not inputs or any(one.size > _LONGEST for one in inputs):
        return None
    if protocol == "v2":
        return {"inputs": [tensor for one in inputs for tensor in _tensors(one)]}
    if len(inputs) > 1:
        return {"instances": [{one.name: _nested(one.value, one.one_row[1:]) for one in inputs}]}
    return {"instances": _rows(inputs[0])}


def _rows(one: Input) -> list[Any]:
    if one.columns:
        return [dict.fromkeys(one.columns, one.value)]
    rows: list[Any] = _nested(one.value, one.one_row)
    return rows


def _tensors(one: Input) -> list[dict[str, Any]]:
    """A model that was trained on a table takes its columns by their names: as a matrix they would have none."""
    if one.columns:
        return [{"name": name, "shape": [1], "datatype": one.datatype, "data": [one.value]} for name in one.columns]
    return [{"name": one.name, "shape": one.one_row, "datatype": one.datatype, "data": [one.value] * one.size}]


def _nested(value: Any, shape: list[int]) -> Any:
    return [_nested(value, shape[1:]) for _ in range(shape[0])] if shape else value
