"""PyTorch: TorchScript and exported programs, which run without their author's Python code.

On a GPU where there is one, else on the CPU. Rows are not known to be independent, so requests share calls only where
that is declared. A model never runs on the server's loop: the first calls with a new shape may compile, for seconds.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mizzen.serve.errors import InferenceError, LoadError
from mizzen.serve.model import Array, Options, Tensor, TensorMetadata, TensorModel
from mizzen.serve.runtimes import intra_op, torch_archive, torch_names
from mizzen.serve.runtimes.artifact import artifact
from mizzen.serve.runtimes.frameworks import framework
from mizzen.serve.runtimes.signature import Signature, Slot, converted, declared
from mizzen.serve.spec import ModelSpec

if TYPE_CHECKING:
    from mizzen.serve.runtimes.torch_programs import Program, Script

logger = logging.getLogger(__name__)

SUFFIXES = (".pt", ".pth", ".pt2")

PRELOAD = ("mizzen.serve.main", "mizzen.serve.runtimes.torch", "mizzen.serve.runtimes.torch_programs", "torch")


def build(spec: ModelSpec, environ: Mapping[str, str]) -> TorchModel:
    return TorchModel(spec.name, spec.directory, environ, spec.version, spec.settings)


class TorchModel(TensorModel):
    """A program and its weights.

    Args:
        directory: holds ``model.pt``, ``model.pth`` or ``model.pt2``, or one file of another name; or that file.
        environ: ``MIZZEN_CPU`` is how many threads a call may use; PyTorch's own choice without it.
        settings: ``inputs`` and ``outputs`` (name, datatype, shape) name and describe what a program has by position;
            ``intra_op_thread_count`` is a number of threads.
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
        self.platform = "pytorch_libtorch"
        self._directory = directory
        self._settings = settings or {}
        self._threads = intra_op.threads(name, environ, self._settings)
        self._device: Any = None
        self._program: Script | Program | None = None
        self._own: dict[str, str] = {}
        self._signature: Signature | None = None
        self._floats: np.dtype[Any] | None = None
        self._outputs: list[Slot] = []
        self._torch: Any = None

    def load(self) -> None:
        path = _file(self._directory)
        kind = torch_archive.kind(path)
        torch = framework("torch", "torch", "PyTorch")
        from mizzen.serve.runtimes import torch_programs

        self._torch = torch
        if self._threads:
            torch.set_num_threads(self._threads)
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        made = torch_programs.Script if kind == torch_archive.SCRIPT else torch_programs.Program
        try:
            self._program = program = made(path, self._device)
        except LoadError:
            raise
        except Exception as error:
            text = _last(str(error)) or type(error).__name__
            raise LoadError(f"{path}, {kind}, cannot be loaded by PyTorch {torch.__version__}: {text}") from error
        self._describe(program)
        logger.info("%s, %s, is run by PyTorch on %s", path, kind, self._device)

    def _describe(self, program: Script | Program) -> None:
        from mizzen.serve.runtimes.torch_programs import numpy_type

        said = declared(self._settings, "inputs", self.name)
        if program.by_name:
            self._signature = Signature(self.name, said) if said else None
            self._own = {}
        else:
            slots = torch_names.inputs(program.slots, said, self.name)
            self._signature = Signature(self.name, slots)
            self._own = {slot.name: own.name for slot, own in zip(slots, program.slots, strict=True)}
        self.inputs = self._signature.metadata if self._signature is not None else []
        self._floats = numpy_type(program.floats) if program.floats is not None else None
        self._outputs = declared(self._settings, "outputs", self.name)
        known = self._outputs or program.outputs
        found: list[TensorMetadata] = [one for slot in known if (one := slot.metadata) is not None]
        self.outputs = found if len(found) == len(known) else []

    def unload(self) -> None:
        self._program = None

    def infer(self, inputs: list[Tensor], options: Options) -> list[Tensor]:
        program = self._program
        assert program is not None
        if self._signature is not None:
            arrays = self._signature.fit(inputs)
        else:
            arrays = {tensor.name: tensor.array for tensor in inputs}
        torch = self._torch
        try:
            with torch.inference_mode():
                given = {}
                for name, array in arrays.items():
                    own = self._own.get(name, name)
                    value = program.value(own, array)
                    given[own] = self._tensor(name, array) if value is None else value
                answer = program(given)
                found = {name: self._array(value, name) for name, value in torch_names.leaves(answer).items()}
        except (RuntimeError, TypeError) as error:
            raise InferenceError(self._failure(str(error))) from error
        return self._named(found)

    def _tensor(self, name: str, array: Array) -> Any:
        slot = next((one for one in self._signature.slots if one.name == name), None) if self._signature else None
        if (slot is None or slot.dtype is None) and array.dtype.kind == "f" and self._floats is not None:
            # JSON's numbers are doubles, and TorchScript does not tell what it takes: most likely what its weights are.
            array = converted(array, self._floats, f"input '{name}' of model '{self.name}'")
        if array.dtype.kind == "O":
            raise InferenceError(f"input '{name}' holds texts, and this model takes numbers", 400)
        if not array.flags.writeable or not array.flags.c_contiguous:
            array = array.copy()  # a model may write into what it is given
        tensor = self._torch.from_numpy(array)
        return tensor.to(self._device) if self._device.type != "cpu" else tensor

    def _array(self, value: Any, name: str) -> Array:
        torch = self._torch
        if not isinstance(value, torch.Tensor):
            array = np.asarray(value)
            return array.astype(object) if array.dtype.kind == "U" else array
        if value.is_quantized:
            value = value.dequantize()
        if value.is_sparse:
            value = value.to_dense()
        if value.dtype == torch.bfloat16:
            value = value.float()
        if value.is_complex():
            raise InferenceError(f"output '{name}' is of {value.dtype}, which the protocol does not know")
        array = value.detach().cpu().numpy()
        # Of a slice of a larger tensor numpy would keep all of it alive.
        return np.ascontiguousarray(array) if array.ndim else array

    def _named(self, found: dict[str, Array]) -> list[Tensor]:
        """The outputs, under the names that are declared for them."""
        if not self._outputs:
            return [Tensor(name, array) for name, array in found.items()]
        own = list(found)
        places = torch_names.positions([slot.name for slot in self._outputs], own)
        if places is None:
            raise InferenceError(
                f"the outputs {', '.join(slot.name for slot in self._outputs)} are declared, the model returned "
                f"{', '.join(own)}"
            )
        return [Tensor(slot.name, found[own[place]]) for slot, place in zip(self._outputs, places, strict=True)]

    def _failure(self, text: str) -> str:
        reason = _last(text)
        if "dtype" in reason or "scalar type" in reason:
            reason += (
                " (TorchScript does not tell the types it takes: declare the model's inputs, in model-settings.json or "
                "config.pbtxt, to have them converted; without a type 1 is INT64, 1.0 what the weights are)"
            )
        return reason


def _file(directory: Path) -> Path:
    for name in ("model.pt2", "model.pt", "model.pth"):
        if (directory / name).is_file():
            return directory / name
    return artifact(directory, SUFFIXES)


def _last(text: str) -> str:
    """What went wrong, of TorchScript's traceback."""
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    named = [line.partition(": ")[2] for line in lines if line.startswith(("RuntimeError: ", "builtins."))]
    return named[-1] if named else " ".join(lines[:3])
