"""What a model is: a name, metadata, and ``infer`` from tensors to tensors.

Every protocol maps to this one shape, and every framework implements it; neither knows the other. Arrays are numpy's,
and the first axis is the row axis, which is what lets requests share one call.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from msgspec import UNSET, Struct, UnsetType


class Tensor(Struct):
    """A named array."""

    name: str
    array: np.ndarray[Any, Any]


class TensorMetadata(Struct):
    """What one input or output looks like. ``shape`` has -1 for an axis of any length."""

    name: str
    datatype: str
    shape: list[int]
    parameters: dict[str, Any] | UnsetType = UNSET


class Model:
    """One model. Runtimes derive from it.

    Attributes:
        name: what requests call it.
        version: None, until versions are served.
        batchable: whether rows are independent, so that requests may share one call.
        foreign: whether ``infer`` runs code that is not ours or our frameworks'; such code never runs on the loop.
        inputs, outputs: as far as they are known once loaded.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.version: str | None = None
        self.batchable = False
        self.foreign = True
        self.inputs: list[TensorMetadata] = []
        self.outputs: list[TensorMetadata] = []

    def load(self) -> None:
        """Get ready to infer. Blocking; called once.

        Raises:
            LoadError: says which file, and why.
        """
        raise NotImplementedError

    def infer(self, inputs: list[Tensor]) -> list[Tensor]:
        """Answer. Called by one thread at a time.

        Args:
            inputs: at least one tensor; with a batch, those of several requests joined by rows.

        Returns:
            tensors whose first axis is the inputs', row by row, if the model is ``batchable``.
        """
        raise NotImplementedError

    def scores(self, inputs: list[Tensor]) -> np.ndarray[Any, Any] | None:
        """The scores (rows x classes) that its labels were chosen by, or None. Asked when two answers differ."""
        return None
