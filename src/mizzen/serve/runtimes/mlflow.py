"""MLflow: a folder with an ``MLmodel`` file, through its python_function.

A signature says what goes in: columns, or tensors. The protocols bring numbers of other types, since JSON has only one
kind, so each is made what the signature names where its value survives; MLflow's own check follows, and what it
refuses is the client's mistake. The model itself is anybody's code, so it never runs on the server's loop.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from mizzen.serve.errors import InferenceError, InvalidInput, LoadError
from mizzen.serve.model import Options, Tensor, TensorModel
from mizzen.serve.runtimes import outputs, tables
from mizzen.serve.runtimes.artifact import held, listing
from mizzen.serve.runtimes.frameworks import framework
from mizzen.serve.runtimes.mlflow_schema import Columns, Tensors, metadata
from mizzen.serve.spec import ModelSpec

# A server does not report to anybody how it is used; MLflow would, from threads that it starts when it is imported.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

# What a zygote imports once for all servers of this kind.
PRELOAD = ("mizzen.serve.main", "mizzen.serve.runtimes.mlflow", "pandas", "mlflow.pyfunc")

MODEL = "MLmodel"


def build(spec: ModelSpec, environ: Mapping[str, str]) -> MLflowModel:
    return MLflowModel(spec)


class MLflowModel(TensorModel):
    """A pyfunc model. Request parameters that its signature names are given to ``predict`` as ``params``.

    Args:
        spec: ``settings`` may be MLServer's: its clients know the output of a model as ``output-1``.
    """

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec.name, spec.version)
        self.platform = "mlflow"
        self._directory = spec.directory
        self._settings = spec.settings
        self._by_mlserver = outputs.is_mlserver(spec.settings)
        self._library: Any = None
        self._model: Any = None
        self._schema: Columns | Tensors | None = None
        self._hinted = False
        self._params: set[str] = set()

    def load(self) -> None:
        folder = self._directory.parent if self._directory.name == MODEL else self._directory
        names = held(folder)
        if MODEL not in names:
            raise LoadError(f"there is no {MODEL} file in {folder}: {listing(names)}")
        if (folder / MODEL).is_symlink():
            # In a pod each entry of a local model is a link, and MLflow reads nothing that leads out of the folder.
            folder = (folder / MODEL).resolve().parent
        pyfunc = framework("mlflow.pyfunc", "mlflow", "MLflow")
        self._library = framework("mlflow.exceptions", "mlflow", "MLflow")
        try:
            self._model = pyfunc.load_model(str(folder))
        except ModuleNotFoundError as error:
            raise LoadError(
                f"{folder} cannot be loaded: it needs the Python module {error.name!r}, which is not installed here; "
                f"what it needs is listed in {folder / 'requirements.txt'}"
            ) from error
        except Exception as error:
            raise LoadError(f"{folder} cannot be loaded by MLflow: {type(error).__name__}: {error}") from error
        told = self._model.metadata
        self._hinted = bool(getattr(told.signature, "_is_signature_from_type_hint", False))
        params = told.get_params_schema()
        self._params = {one.name for one in params.params} if params is not None else set()
        schema = told.get_input_schema()
        if schema is not None and schema.inputs:
            self._schema = Tensors(self.name, schema) if schema.is_tensor_spec() else Columns(schema)
        self.inputs = metadata(schema, "input-") if schema is not None else []
        given = told.get_output_schema()
        self.outputs = metadata(given, "output-") if given is not None else []

    def infer(self, inputs: list[Tensor], options: Options) -> list[Tensor]:
        data = self._data(tables.decoded(inputs, {}), options)
        given = {name: value for name, value in (options.parameters or {}).items() if name in self._params}
        try:
            result = self._model.predict(data, params=given or None)
        except self._library.MlflowException as error:
            # It repeats all of the data before it comes to the point.
            text = str(error).rpartition("' with schema '")[2].partition("'. Error: ")[2] or str(error)
            if error.error_code in ("INVALID_PARAMETER_VALUE", "BAD_REQUEST"):
                raise InvalidInput(text) from error
            raise InferenceError(text, error.get_http_status_code()) from error
        return self._answer(result)

    def _data(self, inputs: list[Tensor], options: Options) -> Any:
        if self._schema is not None:
            frame = self._schema.data(inputs)
            if self._hinted and hasattr(frame, "columns"):
                # What its own types describe is one row: a value, or an object.
                return frame.iloc[:, 0].tolist() if frame.shape[1] == 1 else frame.to_dict("records")
            return frame
        array = inputs[0].array
        asked = tables.is_frame(options, self._settings.get("content_type"))
        # V1's rows of objects come as columns; a matrix stays one, as MLflow's own server leaves it.
        if len(inputs) > 1 or asked or (array.ndim == 1 and inputs[0].name not in ("instances", "input-0")):
            return tables.frame(tables.columns(inputs))
        return tables.texts(array, f"input '{inputs[0].name}'")

    def _answer(self, result: Any) -> list[Tensor]:
        if isinstance(result, dict):
            found = [Tensor(str(name), np.atleast_1d(np.asarray(value))) for name, value in result.items()]
        else:
            found = outputs.tensors(result, "output-1" if self._by_mlserver else "output-0")
            found = [Tensor(one.name, np.atleast_1d(one.array)) for one in found]
        if self._by_mlserver:
            return [outputs.by_method(one.array, one.name) for one in found]
        return found
