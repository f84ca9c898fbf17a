"""ONNX's kinds of values and the protocol's tensors: what is no tensor is made one, where it has a form as such."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct

from mizzen.serve.codecs import datatypes
from mizzen.serve.errors import InferenceError, LoadError
from mizzen.serve.model import Array, TensorMetadata
from mizzen.serve.runtimes.signature import OBJECT, Slot

_ELEMENTS: dict[str, np.dtype[Any]] = {
    "bool": np.dtype(np.bool_),
    "float16": np.dtype(np.float16),
    "float": np.dtype(np.float32),
    "double": np.dtype(np.float64),
    "string": OBJECT,
    **{name: np.dtype(name) for name in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")},
}


class Output(Struct, frozen=True):
    """One output of a graph.

    Attributes:
        kind: ``tensor``; ``maps``, a row of scores by class for each row, as scikit-learn's converter writes them;
            ``map``, one such row; ``tensors``, a list of them.
    """

    name: str
    kind: str
    metadata: TensorMetadata

    def array(self, value: Any) -> Array | None:
        """What the session gave, as an array; None for an optional output that is not there.

        Raises:
            InferenceError: it has no form as one.
        """
        if value is None or isinstance(value, np.ndarray):
            return value
        if self.kind == "map":
            value = [value]
        if self.kind in ("map", "maps"):
            return np.array([list(row.values()) for row in value], datatypes.NUMPY[self.metadata.datatype])
        shapes = {item.shape for item in value}
        if len(shapes) > 1:
            raise InferenceError(
                f"output '{self.name}' is a list of tensors of different shapes, {_some(shapes)}, which the protocol "
                "cannot carry: let the model pad them, or give each an output of its own"
            )
        return np.stack(value) if value else np.zeros(0, datatypes.NUMPY[self.metadata.datatype])


def input_slot(node: Any, path: Path) -> Slot:
    """An input, of ONNX Runtime's ``NodeArg``.

    Raises:
        LoadError: it takes what the protocol cannot carry.
    """
    kind, element = _kind(node.type)
    if kind != "tensor" or element is None:
        raise LoadError(
            f"{path} cannot be served: its input '{node.name}' is a {node.type}, which the protocol cannot carry; "
            f"export it with tensors of {', '.join(_ELEMENTS)}"
        )
    # ONNX Runtime says the same of a scalar as of a tensor of unknown rank; it will see for itself.
    return Slot(node.name, element, _shape(node) if node.shape else None)


def output(node: Any, path: Path) -> Output:
    """An output, of ONNX Runtime's ``NodeArg``.

    Raises:
        LoadError: it gives what the protocol cannot carry.
    """
    kind, element = _kind(node.type)
    datatype = datatypes.name(element) if element is not None else None
    if not kind or datatype is None:
        raise LoadError(
            f"{path} cannot be served: its output '{node.name}' is a {node.type}, which the protocol cannot carry"
        )
    shape = {"tensor": list(_shape(node)), "tensors": [-1], "map": [1, -1], "maps": [-1, -1]}[kind]
    return Output(node.name, kind, TensorMetadata(node.name, datatype, shape))


def _kind(text: str) -> tuple[str, np.dtype[Any] | None]:
    """What a type such as ``seq(map(int64,tensor(float)))`` is to us, and of which elements."""
    inner = text.removeprefix("optional(")
    for kind, pattern in (
        ("tensor", r"tensor\((\w+)\)"),
        ("tensors", r"seq\(tensor\((\w+)\)\)"),
        ("map", r"map\(\w+,tensor\((\w+)\)\)"),
        ("maps", r"seq\(map\(\w+,tensor\((\w+)\)\)\)"),
    ):
        if found := re.match(pattern, inner):
            return kind, _ELEMENTS.get(found[1])
    return "", None


def _shape(node: Any) -> tuple[int, ...]:
    return tuple(size if isinstance(size, int) else -1 for size in node.shape)


def _some(shapes: set[tuple[int, ...]]) -> str:
    named = [str(list(shape)) for shape in sorted(shapes, key=len)]
    return ", ".join(named[:4]) + (", ..." if len(named) > 4 else "")
