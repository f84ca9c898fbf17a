"""ONNX graphs of a few nodes, written by hand."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

# Before it is imported: its official builds report to their maker otherwise.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

pytest.importorskip("onnx", reason="onnx is not installed")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

from onnx import TensorProto, helper, numpy_helper

BATCH = "batch"


def value(name: str, element: str = "FLOAT", shape: Sequence[Any] = (BATCH, 4)) -> Any:
    return helper.make_tensor_value_info(name, getattr(TensorProto, element), list(shape))


def node(op: str, inputs: str, outputs: str, **attributes: Any) -> Any:
    return helper.make_node(op, inputs.split(), outputs.split(), **attributes)


def model(
    nodes: Sequence[Any],
    inputs: Sequence[Any],
    outputs: Sequence[Any],
    initializers: dict[str, Any] | None = None,
    *,
    opset: int = 17,
    ir_version: int = 8,
    ml: bool = False,
    functions: Sequence[Any] = (),
) -> Any:
    weights = [numpy_helper.from_array(array, name) for name, array in (initializers or {}).items()]
    graph = helper.make_graph(list(nodes), "g", list(inputs), list(outputs), initializer=weights)
    domains = [helper.make_opsetid("", opset)]
    if ml:
        domains.append(helper.make_opsetid("ai.onnx.ml", 3))
    domains += [helper.make_opsetid(domain, 1) for domain in {function.domain for function in functions}]
    return helper.make_model(graph, opset_imports=domains, ir_version=ir_version, functions=list(functions))


def save(folder: Path, graph: Any, name: str = "model.onnx") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(graph if isinstance(graph, bytes) else graph.SerializeToString())
    return folder


def linear(weights: Any, name: str = "x", to: str = "y") -> Any:
    """``y = x @ weights``, for any number of rows."""
    rows, columns = weights.shape
    return model(
        [node("MatMul", f"{name} w", to)],
        [value(name, "FLOAT", [BATCH, rows])],
        [value(to, "FLOAT", [BATCH, columns])],
        {"w": weights},
    )
