"""Joining requests into one, and splitting the answer: plain functions on tensors.

Joining promises the same answers as asking alone, up to rounding. :func:`kind` says what may be joined, and
:func:`agree` is the promise itself, to be checked on samples.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np

from mizzen.serve.model import NO_OPTIONS, Options, Tensor

Array = np.ndarray[Any, Any]
Scores = Callable[[list[Tensor]], "Array | None"]

# How far a float may be from what the model answers to the request alone, in parts of the output's largest magnitude.
DOUBLE, SINGLE = 1e-9, 1e-5


def kind(inputs: list[Tensor], options: Options = NO_OPTIONS) -> Hashable | None:
    """What must be equal for requests to share a call: names, types, the shape of a row, and what they say beside.

    None: the call cannot be shared.

    Only numeric arrays with a row axis and another one are joined; what a model makes of other shapes may depend on
    their length.
    """
    if len(inputs) == 1 and options is NO_OPTIONS and not inputs[0].parameters:
        name, array = inputs[0].name, inputs[0].array
        return (name, array.dtype.char, array.shape[1:]) if _joinable(array) else None
    rows = inputs[0].array.shape[0] if inputs[0].array.ndim else 0
    if not all(_joinable(tensor.array) and tensor.array.shape[0] == rows for tensor in inputs):
        return None
    tensors = tuple(
        (tensor.name, tensor.array.dtype.char, tensor.array.shape[1:], tuple(sorted((tensor.parameters or {}).items())))
        for tensor in inputs
    )
    return tensors, options.key() if options is not NO_OPTIONS else None


def _joinable(array: Array) -> bool:
    return array.dtype.kind in "fiub" and array.ndim > 1 and array.shape[0] > 0


def join(requests: Sequence[list[Tensor]]) -> list[Tensor]:
    """One request out of several of the same :func:`kind`, rows in their order."""
    first = requests[0]
    if len(first) == 1:
        return [Tensor(first[0].name, np.concatenate([inputs[0].array for inputs in requests]), first[0].parameters)]
    return [
        Tensor(tensor.name, np.concatenate([inputs[at].array for inputs in requests]), tensor.parameters)
        for at, tensor in enumerate(first)
    ]


def split(outputs: list[Tensor], rows: Sequence[int]) -> list[list[Tensor]] | None:
    """Each request's part of the outputs, or None if their first axis is not that of the inputs."""
    total = sum(rows)
    if not outputs or any(not tensor.array.ndim or tensor.array.shape[0] != total for tensor in outputs):
        return None
    answers = []
    start = 0
    for count in rows:
        end = start + count
        answers.append([Tensor(tensor.name, tensor.array[start:end], tensor.parameters) for tensor in outputs])
        start = end
    return answers


def differ(requests: Sequence[list[Tensor]]) -> bool:
    """Whether the requests' rows are not all the same, so that mixing them up would show."""
    first = requests[0]
    return any(
        not np.array_equal(mine.array, other.array)
        for inputs in requests[1:]
        for mine, other in zip(first, inputs, strict=True)
    )


def agree(inputs: list[Tensor], together: list[Tensor], alone: list[Tensor], scores: Scores) -> bool:
    """Whether a request's share of a joined call is what the model answers to it alone.

    Floats must be within 1e-9 (double) or 1e-5 (single precision) of the output's largest magnitude; labels must be
    equal unless the model's scores (rows x classes) for them tie within that tolerance.
    """
    if len(together) != len(alone):
        return False
    for mine, other in zip(together, alone, strict=True):
        a, b = mine.array, other.array
        if a.shape != b.shape or a.dtype.kind != b.dtype.kind:
            return False
        if a.dtype.kind in "fc":
            if not _close(a, b):
                return False
            continue
        unequal = a != b
        if np.any(unequal) and not _tied(scores(inputs), unequal):
            return False
    return True


def _tolerance(values: Array) -> float:
    finite = np.abs(values[np.isfinite(values)])
    return (SINGLE if values.dtype.itemsize < 8 else DOUBLE) * float(finite.max(initial=0.0))


def _close(a: Array, b: Array) -> bool:
    return bool(np.allclose(a, b, rtol=0.0, atol=_tolerance(b), equal_nan=True))


def _tied(scores: Array | None, unequal: Array) -> bool:
    if scores is None or not scores.ndim or scores.shape[0] != unequal.shape[0]:
        return False
    rows = unequal.reshape(len(unequal), -1).any(axis=1)
    tolerance = _tolerance(scores)
    if scores.ndim == 1:
        return bool((np.abs(scores[rows]) <= tolerance).all())
    best = np.sort(scores[rows].reshape(int(rows.sum()), -1), axis=1)
    return best.shape[1] > 1 and bool((best[:, -1] - best[:, -2] <= tolerance).all())
