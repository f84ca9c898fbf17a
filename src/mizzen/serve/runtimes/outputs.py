"""What a framework's ``predict`` returned, as tensors: named ``output-0`` as KServe's servers do, or as MLServer does.

MLServer's runtimes name an output by the method that made it, let the request choose methods by naming outputs, give
each value a row of its own (``[rows, 1]``) and say so in the output's parameters. A model laid out for MLServer is
asked by clients that expect this.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mizzen.serve.errors import InvalidInput
from mizzen.serve.model import Array, Options, Tensor, TensorMetadata


def is_mlserver(settings: Mapping[str, Any]) -> bool:
    """Whether a model's settings are MLServer's."""
    return settings.get("layout") == "mlserver"


def tensors(result: Any, name: str = "output-0") -> list[Tensor]:
    """A result as KServe answers it: a DataFrame by its columns, else one array; a list of matrices is one of each."""
    if hasattr(result, "columns"):
        return [Tensor(str(column), result[column].to_numpy()) for column in result.columns]
    if isinstance(result, list) and len(result) > 1 and all(getattr(one, "ndim", 0) == 2 for one in result):
        return [Tensor(f"output-{at}", one) for at, one in enumerate(result)]
    return [Tensor(name, np.asarray(result))]


def by_method(result: Any, name: str) -> Tensor:
    """A result as MLServer answers it."""
    array = result.to_numpy() if hasattr(result, "columns") else np.asarray(result)
    return Tensor(name, array.reshape(-1, 1) if array.ndim < 2 else array, {"content_type": "np"})


def methods(options: Options, there: Sequence[str], default: str) -> Sequence[str]:
    """The methods that a request asks for by the names of outputs.

    Raises:
        InvalidInput: the model has no such method.
    """
    wanted = options.outputs or (default,)
    for name in wanted:
        if name not in there:
            raise InvalidInput(f"this model has no output '{name}'; it has {', '.join(there)}")
    return wanted


def of_method(metadata: list[TensorMetadata], name: str) -> list[TensorMetadata]:
    """The one output of KServe's form in MLServer's."""
    return [
        TensorMetadata(name, one.datatype, one.shape if len(one.shape) > 1 else [*one.shape, 1], {"content_type": "np"})
        for one in metadata[:1]
    ]


def labels(scores: Array) -> Array:
    """The classes that a classifier's probabilities stand for, as the frameworks' own wrappers choose them."""
    if scores.ndim == 2 and scores.shape[1] > 1:
        return np.asarray(np.argmax(scores, axis=1))
    return np.asarray(scores.ravel() > 0.5, np.int64)
