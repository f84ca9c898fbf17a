"""Tables: the rows that tabular models take, out of what the protocols bring.

A request holds one matrix, or a column in each tensor, which are put in the order of the model's columns by their
names. Numbers stay numbers: a table of several kinds becomes a matrix of objects, and a DataFrame only for those who
cannot do without.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from msgspec import UNSET

from mizzen.serve.errors import InvalidInput
from mizzen.serve.model import Array, Options, Tensor, TensorMetadata

NUMERIC = "fiub"


class Features:
    """The columns that a model was trained on.

    Args:
        count: how many they are.
        names: theirs, if they have any that mean something.
        categories: of those that are not numbers, by position: a value's code. Empty where the model codes itself.
    """

    def __init__(
        self, count: int, names: Sequence[str] = (), categories: Mapping[int, Mapping[Any, float]] | None = None
    ) -> None:
        self.count = count
        self.names = list(names)
        self.categories = dict(categories or {})

    def matrix(self, inputs: list[Tensor]) -> Array:
        """The rows, of shape [rows, columns]: numbers, or objects where a tensor holds such.

        Raises:
            InvalidInput: they do not have these columns.
        """
        array = inputs[0].array
        if len(inputs) == 1 and array.ndim != 1:
            if array.ndim != 2 or array.shape[1] != self.count:
                raise InvalidInput(self._misfit(array))
            return array
        if len(inputs) == 1 and inputs[0].name not in self.names and self.count > 1:
            raise InvalidInput(self._misfit(array))
        return stacked(self.ordered(columns(inputs)))

    def numbers(self, inputs: list[Tensor]) -> Array:
        """The rows as numbers; values of categories are their codes, and those that are not known are missing.

        Raises:
            InvalidInput: they do not have these columns, or hold what is no number.
        """
        rows = self.matrix(inputs)
        if not self.categories and rows.dtype.kind in NUMERIC:
            return rows
        if not self.categories and rows.dtype.kind == "O":
            try:
                return rows.astype(np.float64)
            except (ValueError, TypeError):
                pass  # one by one: to say which
        table = np.empty(rows.shape, np.float64)
        for at in range(self.count):
            codes = self.categories.get(at)
            column = rows[:, at]
            if codes is None:
                table[:, at] = numbers(column, self.title(at))
            else:
                table[:, at] = [codes.get(value, np.nan) for value in texts(column, self.title(at)).tolist()]
        return table

    def ordered(self, table: dict[str, Array]) -> list[Array]:
        """The model's columns out of those that came. Others are left out, as KServe's servers leave them.

        Raises:
            InvalidInput: some are missing.
        """
        if not self.names:
            if len(table) != self.count:
                raise InvalidInput(f"this model takes {self.count} columns, the request has {len(table)}")
            return list(table.values())
        missing = [name for name in self.names if name not in table]
        if missing:
            raise InvalidInput(f"columns are missing: {', '.join(missing)}")
        return [table[name] for name in self.names]

    def title(self, at: int) -> str:
        return f"column '{self.names[at]}'" if self.names else f"column {at}"

    def metadata(self, datatype: str, texts: Sequence[int] = ()) -> list[TensorMetadata]:
        """One matrix, or where there are texts a tensor for each column.

        Args:
            texts: the positions of columns that hold texts.
        """
        if texts and self.names:
            return [
                TensorMetadata(name, "BYTES" if at in texts else datatype, [-1]) for at, name in enumerate(self.names)
            ]
        found = TensorMetadata("input-0", "BYTES" if texts else datatype, [-1, self.count])
        if self.names:
            found.parameters = {"columns": self.names}
        return [found]

    def _misfit(self, array: Array) -> str:
        hint = ": a row is a list of its own, [[...]]" if array.ndim < 2 else ""
        return (
            f"this model takes rows of {self.count} value{'' if self.count == 1 else 's'}, "
            f"the request has shape {list(array.shape)}{hint}"
        )


def columns(inputs: list[Tensor]) -> dict[str, Array]:
    """Each tensor as a column of shape [rows].

    Raises:
        InvalidInput: one is no column, or they are not equally long.
    """
    table = {}
    for tensor in inputs:
        if tensor.array.ndim > 2 or tensor.array.size != (tensor.array.shape or (1,))[0]:
            raise InvalidInput(
                f"this model takes one matrix, or columns of shape [rows]; "
                f"'{tensor.name}' is of shape {list(tensor.array.shape)}"
            )
        table[tensor.name] = tensor.array.ravel()
    if len({len(column) for column in table.values()}) > 1:
        sizes = ", ".join(f"'{name}' {len(column)}" for name, column in table.items())
        raise InvalidInput(f"columns must be of one length; their rows are: {sizes}")
    return table


def stacked(table: Sequence[Array]) -> Array:
    """Columns beside each other: numbers if all are, else objects."""
    if all(column.dtype.kind in NUMERIC for column in table):
        return np.column_stack(table)
    rows = np.empty((len(table[0]), len(table)), dtype=object)
    for at, column in enumerate(table):
        rows[:, at] = column
    return rows


def objects(values: Sequence[Any]) -> Array:
    """A column of anything."""
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column


def whole(value: Any) -> Any:
    """A category's value: JSON has one kind of number, so 3.0 is 3."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def numbers(column: Array, title: str) -> Array:
    """A column as numbers; what is null is NaN.

    Raises:
        InvalidInput: a value is no number.
    """
    try:
        return column.astype(np.float64)
    except (ValueError, TypeError):
        for row, value in enumerate(column.tolist()):
            try:
                float(np.nan if value is None else value)
            except (ValueError, TypeError):
                raise InvalidInput(f"{title}, row {row}: {_shown(value)} is not a number") from None
        raise


def texts(column: Array, title: str) -> Array:
    """A column in which bytes are texts, as some protocols bring them.

    Raises:
        InvalidInput: they are not UTF-8.
    """
    if column.dtype.kind != "O" or not any(isinstance(value, bytes) for value in column.flat):
        return column
    found = np.empty(column.shape, dtype=object)
    for at, value in enumerate(column.flat):
        try:
            found.flat[at] = value.decode() if isinstance(value, bytes) else value
        except UnicodeDecodeError:
            raise InvalidInput(f"{title}, row {at}: these bytes are no text in UTF-8") from None
    return found


def frame(table: Mapping[Any, Array], typed: bool = False) -> Any:
    """A DataFrame of columns. Nulls among numbers are NaN, and bytes are texts.

    Args:
        typed: they are of their types already.

    Raises:
        NotImplementedError: pandas is not installed.
        InvalidInput: bytes that are no text.
    """
    try:
        import pandas  # type: ignore[import-untyped]
    except ImportError:
        raise NotImplementedError(
            "columns that are not all numbers need pandas beside the server: pip install pandas"
        ) from None
    if not typed:
        table = {name: _clean(column, f"column '{name}'") for name, column in table.items()}
    return pandas.DataFrame(table)


def _clean(column: Array, title: str) -> Array:
    if column.dtype.kind != "O":
        return column
    column = texts(column, title)
    values = [value for value in column.tolist() if value is not None]
    if len(values) < len(column) and all(isinstance(one, int | float) and not isinstance(one, bool) for one in values):
        return column.astype(np.float64)
    return column


def is_frame(options: Options, default: str | None = None) -> bool:
    """Whether a request asks to be read as a DataFrame, a column in each tensor.

    Args:
        default: the content type of requests that name none.
    """
    asked = options.parameters.get("content_type", default) if options.parameters else default
    return asked == "pd"


def decoded(inputs: list[Tensor], declared: Mapping[str, str]) -> list[Tensor]:
    """Tensors by their content type, as MLServer has it: ``str``, ``base64`` or ``datetime``; others are as they are.

    Args:
        declared: the content types of inputs that name none.

    Raises:
        InvalidInput: a tensor is not of its type.
    """
    if not declared and all(tensor.parameters is None for tensor in inputs):
        return inputs
    return [_decoded(tensor, declared.get(tensor.name)) for tensor in inputs]


def _decoded(tensor: Tensor, declared: str | None) -> Tensor:
    kind = (tensor.parameters or {}).get("content_type", declared)
    title = f"input '{tensor.name}'"
    if kind not in ("str", "base64", "datetime") or tensor.array.dtype.kind != "O":
        return tensor
    if kind == "base64":
        array = np.empty(tensor.array.shape, dtype=object)
        for at, value in enumerate(tensor.array.flat):
            try:
                array.flat[at] = base64.b64decode(value, validate=True)
            except (binascii.Error, ValueError, TypeError):
                raise InvalidInput(f"{title}, element {at}: {_shown(value)} is not base64") from None
        return Tensor(tensor.name, array)
    array = texts(tensor.array, title)
    if kind == "datetime":
        try:
            array = array.astype("datetime64[ns]")
        except (ValueError, TypeError) as error:
            raise InvalidInput(f"{title}: {error}") from None
    return Tensor(tensor.name, array)


def declared(described: Sequence[Mapping[str, Any]]) -> list[TensorMetadata]:
    """Inputs or outputs as a model's settings describe them."""
    return [
        TensorMetadata(
            str(one.get("name", "")),
            str(one.get("datatype", "")),
            list(one.get("shape", ())),
            one.get("parameters") or UNSET,
        )
        for one in described
    ]


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
