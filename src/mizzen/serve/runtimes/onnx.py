"""ONNX models, run by ONNX Runtime: one session for a model, whatever the number of threads that ask it.

A graph tells its inputs and outputs by name, type and shape, so requests are checked before they reach it. Whether
requests may share a call can be told too: every input and output has a first axis of any length, and nothing in the
graph takes its measure from the whole batch, as dynamic quantisation does.
"""

from __future__ import annotations

import logging
import mmap
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mizzen.serve.errors import InferenceError, InvalidInput, LoadError
from mizzen.serve.model import Options, Tensor, TensorModel
from mizzen.serve.runtimes import intra_op
from mizzen.serve.runtimes.artifact import artifact, held
from mizzen.serve.runtimes.frameworks import framework
from mizzen.serve.runtimes.onnx_values import Output, input_slot, output
from mizzen.serve.runtimes.signature import OBJECT, Signature, Slot, texts
from mizzen.serve.spec import ModelSpec

# Official builds report to Microsoft over the network unless this is set before they are imported, on Linux too by now;
# and the thread that does so starts with the import, so a fork would lose it.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

logger = logging.getLogger(__name__)

SUFFIXES = (".onnx", ".ort")

PRELOAD = ("mizzen.serve.main", "mizzen.serve.runtimes.onnx", "onnxruntime")

# Operators that scale by the largest value of all rows: DynamicQuantizeLinear, DynamicQuantizeMatMul and their kin.
_OF_ALL_ROWS = b"DynamicQuantize"

# ONNX Runtime logs what it raises as well, for every request that a client gets wrong.
_FATAL_ONLY = 4


def build(spec: ModelSpec, environ: Mapping[str, str]) -> OnnxModel:
    return OnnxModel(spec.name, spec.directory, environ, spec.version, spec.settings)


class OnnxModel(TensorModel):
    """A graph and its session.

    Args:
        directory: holds ``model.onnx``, or one file of another name; or that file.
        environ: ``MIZZEN_CPU`` is how many threads one call may use; all that there are without it.
        settings: ``intra_op_thread_count`` overrides that.
    """

    def __init__(
        self,
        name: str,
        directory: Path,
        environ: Mapping[str, str],
        version: str | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(name, version)
        self.platform = "onnxruntime_onnx"
        self._directory = directory
        self._threads = intra_op.threads(name, environ, settings or {}) or _processors()
        self._session: Any = None
        self._signature = Signature(name, [])
        self._texts: list[str] = []
        self._found: dict[str, Output] = {}
        self._run_options: Any = None
        self._refusals: tuple[type[Exception], ...] = ()

    def load(self) -> None:
        path = _file(self._directory)
        self._session = session = self._open(path)
        slots = [input_slot(node, path) for node in session.get_inputs()]
        # Defaults that a graph lets its callers override: some exporters make all of their weights such.
        slots += [_optional(input_slot(node, path)) for node in session.get_overridable_initializers()]
        self._signature = Signature(self.name, slots)
        self._texts = [slot.name for slot in slots if slot.dtype == OBJECT]
        self._found = {node.name: output(node, path) for node in session.get_outputs()}
        self.inputs = self._signature.metadata
        self.outputs = [found.metadata for found in self._found.values()]
        self.foreign = False
        self.batchable = _rows_are_axes([*session.get_inputs(), *session.get_outputs()]) and not _contains(
            path, _OF_ALL_ROWS
        )
        logger.info("%s is run by %s", path, ", ".join(session.get_providers()))

    def unload(self) -> None:
        self._session = None

    def infer(self, inputs: list[Tensor], options: Options) -> list[Tensor]:
        arrays = self._signature.fit(inputs)
        for name in self._texts:
            if name in arrays:
                arrays[name] = texts(arrays[name], f"input '{name}' of model '{self.name}'")
        found = self._found
        names = list(found) if options.outputs is None else list(dict.fromkeys(options.outputs))
        for name in names:
            if name not in found:
                raise InvalidInput(f"Unexpected inference output '{name}' for model '{self.name}'")
        try:
            values = self._session.run(names, arrays, self._run_options)
        except self._refusals as error:
            raise InvalidInput(f"model '{self.name}': {_plain(str(error))}") from None
        except Exception as error:
            raise InferenceError(_plain(str(error))) from error
        tensors = [
            Tensor(name, array)
            for name, value in zip(names, values, strict=True)
            if (array := found[name].array(value)) is not None
        ]
        if not tensors:
            raise InferenceError(f"model '{self.name}' gave none of the outputs {', '.join(names)}")
        return tensors

    def _open(self, path: Path) -> Any:
        onnxruntime = framework("onnxruntime", "onnx", "ONNX Runtime")
        state = framework("onnxruntime.capi.onnxruntime_pybind11_state", "onnx", "ONNX Runtime")
        self._refusals = (state.InvalidArgument,)
        self._run_options = onnxruntime.RunOptions()
        self._run_options.log_severity_level = _FATAL_ONLY
        settings = onnxruntime.SessionOptions()
        settings.log_severity_level = _FATAL_ONLY
        settings.intra_op_num_threads = self._threads
        # A pool that waits by spinning takes the cores from the models beside it.
        settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
        there = onnxruntime.get_available_providers()
        providers = [one for one in ("CUDAExecutionProvider", "CPUExecutionProvider") if one in there]
        try:
            return onnxruntime.InferenceSession(str(path), settings, providers=providers)
        except OSError as error:
            raise LoadError(f"{path} cannot be read: {error.strerror or error}") from error
        except Exception as error:
            raise LoadError(f"{path} cannot be loaded: {_why(str(error), onnxruntime.__version__)}") from error


def _file(directory: Path) -> Path:
    """The graph's file. ``model.onnx`` wins over others, which are parts of it; a folder of that name holds it."""
    usual = directory / "model.onnx"
    if usual.is_dir():
        return _file(usual)
    if usual.is_file():
        return usual
    path = artifact(directory, SUFFIXES)
    if path.is_dir():
        return _file(path)
    if not path.exists():
        held(path)  # says that it is not there
    return path


def _processors() -> int:
    """All that there are; named rather than left to ONNX Runtime, which would bind its threads to cores others use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0


def _optional(slot: Slot) -> Slot:
    return Slot(slot.name, slot.dtype, slot.shape, optional=True)


def _rows_are_axes(nodes: Sequence[Any]) -> bool:
    """Whether every input and output has a first axis of any length, and none says that it is another's."""
    symbols = set()
    for node in nodes:
        if node.type.startswith("seq(map("):
            continue
        if not node.type.startswith("tensor(") or not node.shape or isinstance(node.shape[0], int):
            return False
        # tf2onnx gives every axis that it does not know a name of its own.
        if node.shape[0] and not node.shape[0].startswith("unk__"):
            symbols.add(node.shape[0])
    return len(symbols) < 2


def _contains(path: Path, word: bytes) -> bool:
    """Whether a file has these bytes. Operators are named in full wherever they stand: in the graph, in the graphs of
    its branches and loops, in its functions. So no more is asked of the format than that."""
    with path.open("rb") as file:
        if not os.fstat(file.fileno()).st_size:
            return False
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return data.find(word) != -1


def _plain(text: str) -> str:
    """What ONNX Runtime said, less where in its sources."""
    text = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", text)
    # Its sources' file and line, the function's signature, and the condition that did not hold.
    text = re.sub(r"\S*/onnxruntime\S*?\.(cc|h):\d+ .*?( was false\. |\) (?=[A-Z]))", "", text, flags=re.DOTALL)
    return " ".join(text.split())


def _why(text: str, version: str) -> str:
    """What is wrong with a model file, and what to do."""
    if found := re.search(r"model IR version: (\d+), max supported IR version: (\d+)", text):
        return (
            f"it is of ONNX's IR version {found[1]}, and onnxruntime {version} reads versions up to {found[2]}: "
            f"install a newer onnxruntime, or save the model with ir_version={found[2]}"
        )
    if found := re.search(r"Opset (\d+) is under development.*?till opset (\d+)", text, re.DOTALL):
        return (
            f"it is of opset {found[1]}, and onnxruntime {version} knows opsets up to {found[2]}: install a newer "
            f"onnxruntime, or export the model with opset_version={found[2]}"
        )
    if "INVALID_PROTOBUF" in text or "No graph was found" in text:
        return "it is no ONNX model, or is cut short"
    if found := re.search(r"External data path does not exist: \"?([^\"\n]+)", text):
        return f"it keeps weights in the file {Path(found[1]).name}, which must lie beside it and does not"
    if found := re.search(r"No opset import for domain '([^']*)'", text):
        return f"it uses operators of the domain {found[1]!r}, which onnxruntime {version} does not know"
    if found := re.search(r"([\w.:]+)\(-?\d+\) is not a registered function/op|No Op registered for (\w+)", text):
        return f"onnxruntime {version} has no operator {found[1] or found[2]}"
    if found := re.search(r"Could not find an implementation for (\w+)\((\d+)\)", text):
        return (
            f"onnxruntime {version} has no {found[1]} (of opset {found[2]}) for the types that this model uses it with"
        )
    return _plain(text.replace("Load model from", "loading"))
