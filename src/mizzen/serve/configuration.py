"""A model's configuration, in the form that Triton's clients ask for: the fields of its ``ModelConfig``.

A model of a Triton repository has one, written by its author and completed when it was loaded. Of any other it is made
of what the model tells of itself: its dims are whole, rows included, and so ``max_batch_size`` is 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mizzen.serve.model import TensorMetadata
from mizzen.serve.served import Served


def configuration(served: Served) -> dict[str, Any]:
    """The configuration of a model as a mapping, enumerations by name."""
    own = getattr(served.model, "configuration", None)
    if isinstance(own, dict):
        return own
    model = served.model
    made: dict[str, Any] = {
        "name": model.name,
        "platform": model.platform,
        "max_batch_size": 0,
        "input": _tensors(model.inputs),
        "output": _tensors(model.outputs),
    }
    if served.batching:
        made["dynamic_batching"] = {}
    return made


def _tensors(tensors: Sequence[TensorMetadata]) -> list[dict[str, Any]]:
    return [
        {
            "name": one.name,
            "data_type": "TYPE_STRING" if one.datatype == "BYTES" else f"TYPE_{one.datatype}",
            "dims": list(one.shape),
        }
        for one in tensors
    ]
