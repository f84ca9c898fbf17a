"""TensorFlow SavedModels: the signatures that one was saved with, each a function from named tensors to named tensors.

Which signature is asked is the request's to say (``signature_name``, a request parameter in V2 and a key of the body
in V1). Rows are not known to be independent, so requests share calls only where that is declared; and a model never
runs on the server's loop, since the first call with a new shape may compile.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct

from mizzen.serve.codecs import datatypes
from mizzen.serve.errors import InferenceError, InvalidInput, LoadError
from mizzen.serve.model import Array, Options, Tensor, TensorMetadata, TensorModel
from mizzen.serve.runtimes import intra_op
from mizzen.serve.runtimes.artifact import held
from mizzen.serve.runtimes.frameworks import framework
from mizzen.serve.runtimes.signature import OBJECT, Signature, Slot
from mizzen.serve.spec import ModelSpec

# Its own account of the processor it found, on every start; read when it is imported.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

logger = logging.getLogger(__name__)

SUFFIXES = ("saved_model.pb", "saved_model.pbtxt", ".savedmodel")

PRELOAD = ("mizzen.serve.main", "mizzen.serve.runtimes.tensorflow", "tensorflow")

SIGNATURE = "signature_name"
_USUAL = "serving_default"


def build(spec: ModelSpec, environ: Mapping[str, str]) -> TensorflowModel:
    return TensorflowModel(spec.name, spec.directory, environ, spec.version, spec.settings)


class _Function(Struct):
    """One signature. ``outputs`` are as far as they are known."""

    call: Any
    signature: Signature
    outputs: list[TensorMetadata]


class TensorflowModel(TensorModel):
    """A SavedModel.

    Args:
        directory: holds ``saved_model.pb``, or ``model.savedmodel``, or numbered folders (the highest is served).
        environ: ``MIZZEN_CPU`` is how many threads a call may use; TensorFlow's own choice without it.
        settings: ``signature_name`` is the signature that is meant where a request names none; ``tags`` chooses among
            the graphs of an old model; ``intra_op_thread_count`` is a number of threads.
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
        self.platform = "tensorflow_savedmodel"
        self._directory = directory
        self._settings = settings or {}
        self._threads = intra_op.threads(name, environ, self._settings)
        self._functions: dict[str, _Function] = {}
        self._default = ""
        self._loaded: Any = None
        self._tf: Any = None
        self._refusals: tuple[type[Exception], ...] = ()

    def load(self) -> None:
        path = _folder(self._directory)
        self._tf = tensorflow = framework("tensorflow", "tensorflow", "TensorFlow")
        self._refusals = (tensorflow.errors.InvalidArgumentError, tensorflow.errors.OutOfRangeError)
        _prepare(tensorflow, self._threads)
        try:
            self._loaded = tensorflow.saved_model.load(str(path), tags=self._settings.get("tags"))
            functions = dict(self._loaded.signatures)
        except Exception as error:
            text = _first(error)
            raise LoadError(f"{path} cannot be loaded by TensorFlow {tensorflow.__version__}: {text}") from error
        if not functions:
            raise LoadError(
                f"{path} has no signatures, which tell what it takes: save it with signatures=..., or, of Keras, by "
                "model.export(folder)"
            )
        self._functions = {name: self._function(call, path) for name, call in functions.items()}
        self._default = self._chosen(str(self._settings.get(SIGNATURE) or ""), path)
        default = self._functions[self._default]
        self.inputs, self.outputs = default.signature.metadata, default.outputs
        logger.info("%s is run by TensorFlow; its signatures: %s", path, ", ".join(self._functions))

    def unload(self) -> None:
        self._functions, self._loaded = {}, None

    def infer(self, inputs: list[Tensor], options: Options) -> list[Tensor]:
        function = self._asked((options.parameters or {}).get(SIGNATURE))
        arrays = function.signature.fit(inputs)
        try:
            given = {name: self._tf.constant(array) for name, array in arrays.items()}
            found = function.call(**given)
            return [Tensor(name, self._array(value, name)) for name, value in sorted(found.items())]
        except self._refusals as error:
            raise InvalidInput(f"model '{self.name}': {_first(error)}") from None
        except self._tf.errors.OpError as error:
            raise InferenceError(_first(error)) from error

    def _asked(self, name: Any) -> _Function:
        function = self._functions.get(self._default if name is None else str(name))
        if function is None:
            raise InvalidInput(
                f"model '{self.name}' has no signature {name!r}; its signatures are {', '.join(self._functions)}"
            )
        return function

    def _chosen(self, wanted: str, path: Path) -> str:
        if wanted and wanted not in self._functions:
            raise LoadError(f"{path} has no signature {wanted!r}; its signatures are {', '.join(self._functions)}")
        return wanted or (_USUAL if _USUAL in self._functions else next(iter(self._functions)))

    def _function(self, call: Any, path: Path) -> _Function:
        _, wanted = call.structured_input_signature
        slots = [self._slot(name, spec, path) for name, spec in sorted(wanted.items())]
        given = call.structured_outputs
        outputs = [self._slot(name, spec, path) for name, spec in sorted(given.items())] if given else []
        told = [one for slot in outputs if (one := slot.metadata) is not None]
        return _Function(call, Signature(self.name, slots), told if len(told) == len(outputs) else [])

    def _slot(self, name: str, spec: Any, path: Path) -> Slot:
        tf = self._tf
        dtype: np.dtype[Any]
        if spec.dtype == tf.bfloat16:
            dtype = np.dtype(np.float32)
        else:
            dtype = OBJECT if spec.dtype == tf.string else np.dtype(spec.dtype.as_numpy_dtype)
        if datatypes.name(dtype) is None:
            raise LoadError(f"{path} cannot be served: '{name}' is of {spec.dtype}, which the protocol cannot carry")
        if spec.shape.rank is None:
            return Slot(name, dtype)
        return Slot(name, dtype, tuple(-1 if size is None else size for size in spec.shape.as_list()))

    def _array(self, value: Any, name: str) -> Array:
        tf = self._tf
        if isinstance(value, tf.RaggedTensor):
            value = value.to_tensor()
        elif isinstance(value, tf.SparseTensor):
            value = tf.sparse.to_dense(value)
        if value.dtype == tf.bfloat16:
            value = tf.cast(value, tf.float32)
        array: Array = np.asarray(value.numpy())
        if array.dtype.kind == "S":
            array = array.astype(object)
        return array


def _prepare(tensorflow: Any, threads: int) -> None:
    """Take so many threads, and of a GPU's memory only what is needed; both can be said only before the first model."""
    try:
        if threads:
            tensorflow.config.threading.set_intra_op_parallelism_threads(threads)
        for device in tensorflow.config.list_physical_devices("GPU"):
            tensorflow.config.experimental.set_memory_growth(device, True)
    except RuntimeError:
        pass  # another model of this process came first, and with it the same settings


def _folder(directory: Path) -> Path:
    """The folder of the SavedModel.

    Raises:
        LoadError: there is none.
    """
    if _is_saved(directory):
        return directory
    names = held(directory) if directory.is_dir() else [directory.name]
    for folder in (directory / name for name in names if name.endswith(".savedmodel")):
        if _is_saved(folder):
            return folder
    numbered = sorted((int(name), name) for name in names if name.isdecimal() and _is_saved(directory / name))
    if numbered:
        return directory / numbered[-1][1]
    keras = next((name for name in names if name.endswith((".keras", ".h5", ".hdf5"))), "")
    if keras:
        raise LoadError(
            f"{directory} holds {keras}, which needs Keras and its author's code: save it by model.export('saved') "
            "and serve that folder"
        )
    what = ", ".join(names[:8]) or "nothing"
    raise LoadError(f"there is no SavedModel in {directory}: a folder with saved_model.pb is wanted, it holds {what}")


def _is_saved(folder: Path) -> bool:
    return (folder / "saved_model.pb").is_file() or (folder / "saved_model.pbtxt").is_file()


def _first(error: Exception) -> str:
    """What TensorFlow says went wrong, less the graph around it."""
    text = str(getattr(error, "message", "") or error).strip()
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("[[")]
    if not lines:
        return type(error).__name__
    return lines[-1 if lines[0].startswith("Graph execution error") else 0].partition(" [Op:")[0]
