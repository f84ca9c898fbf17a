"""MLflow's signatures: what they tell of a model's inputs and outputs, and a request's tensors made to fit them."""

from __future__ import annotations

from typing import Any

import numpy as np

from mizzen.serve.codecs import datatypes
from mizzen.serve.errors import InvalidInput
from mizzen.serve.model import Array, Tensor, TensorMetadata
from mizzen.serve.runtimes import tables
from mizzen.serve.runtimes.signature import Signature, Slot, converted

# MLflow's names of its column types, for those that are numbers; all others are BYTES in V2.
_NUMBERS: dict[str, np.dtype[Any]] = {
    "integer": np.dtype(np.int32),
    "long": np.dtype(np.int64),
    "float": np.dtype(np.float32),
    "double": np.dtype(np.float64),
}
_BOOLEAN = "boolean"
_OBJECT: np.dtype[Any] = np.dtype(object)


def metadata(schema: Any, prefix: str) -> list[TensorMetadata]:
    """V2 metadata of a signature's inputs or outputs; what has no name is called by its place."""
    found = []
    for at, one in enumerate(schema.inputs):
        name = f"{prefix}{at}" if one.name is None else str(one.name)
        if schema.is_tensor_spec():
            datatype = datatypes.name(one.type)
            shape = [int(size) for size in one.shape]
        else:
            kind = _kind(one)
            datatype = "BOOL" if kind == _BOOLEAN else datatypes.name(_NUMBERS.get(kind, _OBJECT))
            shape = [-1]
        if datatype is None:
            return []
        found.append(TensorMetadata(name, datatype, shape))
    return found


class Columns:
    """A signature of columns: the rows are a DataFrame.

    Args:
        schema: MLflow's.
    """

    def __init__(self, schema: Any) -> None:
        named = schema.has_input_names()
        self._names: list[Any] = [one.name if named else at for at, one in enumerate(schema.inputs)]
        self._kinds = [_kind(one) for one in schema.inputs]
        self._optional = {name for name, one in zip(self._names, schema.inputs, strict=True) if not one.required}

    def data(self, inputs: list[Tensor]) -> Any:
        """A DataFrame of the request's columns, or of its one matrix's. Columns that no signature knows are left out.

        Raises:
            InvalidInput: columns are missing, or hold what is not of their type.
        """
        table = self._table(inputs)
        missing = [str(name) for name in self._names if name not in table and name not in self._optional]
        if missing:
            raise InvalidInput(f"columns are missing: {', '.join(missing)}")
        return tables.frame(
            {
                name: _typed(table[name], kind, f"column '{name}'")
                for name, kind in zip(self._names, self._kinds, strict=True)
                if name in table
            },
            typed=True,
        )

    def _table(self, inputs: list[Tensor]) -> dict[Any, Array]:
        array = inputs[0].array
        if len(inputs) == 1 and array.ndim == 2 and (array.shape[1] == len(self._names) or array.shape[1] > 1):
            if array.shape[1] != len(self._names):
                raise InvalidInput(
                    f"this model takes rows of {len(self._names)} values, the request has shape {list(array.shape)}"
                )
            return dict(zip(self._names, array.T, strict=True))
        found: dict[Any, Array] = dict(tables.columns(inputs))
        if len(self._names) == len(found) == 1 or not all(isinstance(name, str) for name in self._names):
            # The one column there is, or columns that have no names: by their place.
            return dict(zip(self._names, found.values(), strict=False))
        return found


class Tensors:
    """A signature of tensors: one array, or a mapping of several by name.

    Args:
        model: its name, for messages.
        schema: MLflow's.
    """

    def __init__(self, model: str, schema: Any) -> None:
        self._named = schema.has_input_names()
        self._signature = Signature(
            model,
            [
                Slot(
                    str(one.name) if self._named else "input-0",
                    np.dtype(object) if one.type.kind in "OUS" else one.type,
                    tuple(int(size) for size in one.shape),
                )
                for one in schema.inputs
            ],
        )

    def data(self, inputs: list[Tensor]) -> Any:
        """The request's array, or arrays by name.

        Raises:
            InvalidInput: they are not of the signature's types or shapes.
        """
        if self._named:
            return self._signature.fit(inputs)
        array = inputs[0].array if len(inputs) == 1 else tables.stacked(list(tables.columns(inputs).values()))
        return self._signature.fit([Tensor("input-0", tables.texts(array, "the input"))])["input-0"]


def _kind(one: Any) -> str:
    return str(getattr(one.type, "name", one.type))


def _typed(column: Array, kind: str, title: str) -> Array:
    dtype = _NUMBERS.get(kind)
    if dtype is not None:
        return converted(tables.numbers(column, title) if column.dtype.kind == "O" else column, dtype, title)
    if kind == "datetime" and column.dtype.kind == "O":
        try:
            return tables.texts(column, title).astype("datetime64[ns]")
        except (ValueError, TypeError) as error:
            raise InvalidInput(f"{title}: {error}") from None
    return column if kind == "binary" else tables.texts(column, title)
