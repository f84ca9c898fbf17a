"""scikit-learn: one file in a folder, the estimator's ``predict`` behind every protocol.

Laid out for MLServer, a model has an output for each of its methods, and a request asks for those that it names.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mizzen.serve.errors import InferenceError, InvalidInput, LoadError
from mizzen.serve.model import Array, Options, Tensor, TensorModel
from mizzen.serve.runtimes import outputs, sklearn_inspection, sklearn_shortcuts, tables
from mizzen.serve.runtimes.artifact import artifact
from mizzen.serve.runtimes.frameworks import Threads
from mizzen.serve.runtimes.sklearn_files import SUFFIXES, TRUSTED, read
from mizzen.serve.spec import ModelSpec

logger = logging.getLogger(__name__)

# What a zygote imports once for all servers of this kind: these, and what pickles commonly refer to.
PRELOAD = (
    "mizzen.serve.main",
    "mizzen.serve.runtimes.sklearn",
    "joblib",
    "threadpoolctl",
    "sklearn.calibration",
    "sklearn.cluster",
    "sklearn.compose",
    "sklearn.decomposition",
    "sklearn.discriminant_analysis",
    "sklearn.dummy",
    "sklearn.ensemble",
    "sklearn.feature_extraction.text",
    "sklearn.feature_selection",
    "sklearn.gaussian_process",
    "sklearn.impute",
    "sklearn.isotonic",
    "sklearn.kernel_approximation",
    "sklearn.linear_model",
    "sklearn.mixture",
    "sklearn.model_selection",
    "sklearn.multiclass",
    "sklearn.multioutput",
    "sklearn.naive_bayes",
    "sklearn.neighbors",
    "sklearn.neural_network",
    "sklearn.pipeline",
    "sklearn.preprocessing",
    "sklearn.svm",
    "sklearn.tree",
)

METHODS = ("predict", "predict_proba", "decision_function", "transform")


def build(spec: ModelSpec, environ: Mapping[str, str]) -> SklearnModel:
    return SklearnModel(spec.name, spec.directory, environ, spec.version, spec.settings)


class SklearnModel(TensorModel):
    """A fitted estimator.

    Args:
        directory: holds the model file.
        environ: ``PREDICT_PROBA=true`` asks for probabilities where the estimator has them;
            ``MIZZEN_TRUSTED_TYPES`` lists what a skops file may hold.
        settings: MLServer's, if the model is laid out for it; ``trusted`` as the variable; ``nthread``.
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
        self.platform = "sklearn"
        self._directory = directory
        self._settings = settings or {}
        self._proba = environ.get("PREDICT_PROBA", "").lower() == "true"
        self._trusted = _names(self._settings.get("trusted") or environ.get(TRUSTED, ""))
        self._threads = Threads(self._settings, environ)
        self._by_method = outputs.is_mlserver(self._settings)
        self._declared = {
            str(one.get("name")): str((one.get("parameters") or {}).get("content_type"))
            for one in self._settings.get("inputs") or ()
        }
        self._estimator: Any = None
        self._predict: Callable[[Any], Any] = _not_loaded
        self._methods: list[str] = []
        self._columns: list[str] = []
        self._takes_texts = False
        self._by_name = False
        self._versions = ""

    def load(self) -> None:
        path = artifact(self._directory, SUFFIXES)
        estimator, self._versions = read(path, self._trusted)
        self._methods = [name for name in METHODS if callable(getattr(estimator, name, None))]
        if not self._methods or (not self._by_method and "predict" not in self._methods):
            raise LoadError(f"{path} holds {_a(estimator)}, which has no predict method")
        self._estimator = estimator
        proba = self._proba and hasattr(estimator, "predict_proba")
        self._predict = estimator.predict_proba if proba else getattr(estimator, "predict", _not_loaded)
        self._columns = [str(name) for name in getattr(estimator, "feature_names_in_", ())]
        self._takes_texts = getattr(estimator, "n_features_in_", None) is None
        try:
            self.foreign = sklearn_inspection.is_foreign(estimator)
            sklearn_inspection.restrain(estimator, self._threads.most)
            sklearn_shortcuts.install()
            sklearn_shortcuts.settle(estimator)
            self.inputs = sklearn_inspection.inputs(estimator, self._columns)
            self.outputs = sklearn_inspection.outputs(estimator, proba)
            self._by_name = bool(self._columns) and sklearn_inspection.selects_by_name(estimator)
        except Exception as error:
            # It may predict all the same, such as one of another version that lacks a setting. What it is made of
            # cannot be known, so it is treated as somebody else's code and tells nothing of its inputs.
            logger.warning("%s cannot be looked into: %s: %s", path, type(error).__name__, error)
            self.foreign, self.inputs, self.outputs = True, [], []
        if self._by_method:
            self.inputs = tables.declared(self._settings.get("inputs") or ()) or self.inputs
            told = tables.declared(self._settings.get("outputs") or ())
            self.outputs = told or outputs.of_method(self.outputs, "predict")
        self.batchable = not self.foreign
        # Clients send rows without names to models fitted with them; that is the protocol, and no news.
        warnings.filterwarnings("ignore", message="X does not have valid feature names", category=UserWarning)

    def infer(self, inputs: list[Tensor], options: Options) -> list[Tensor]:
        features = self._features(inputs, options)
        try:
            if self._by_method:
                return self._asked(features, options)
            return outputs.tensors(self._predict(features))
        except AttributeError as error:
            if self._versions:
                raise InferenceError(f"{error} ({self._versions})") from error
            raise
        except (ValueError, OverflowError) as error:
            # scikit-learn's word for features that it cannot take: their number, NaN, an unknown category; and numpy's
            # for a whole number beyond all floats.
            if self.foreign:
                raise
            raise InvalidInput(str(error)) from error

    def scores(self, inputs: list[Tensor], options: Options) -> Array | None:
        for method in ("decision_function", "predict_proba"):
            if hasattr(self._estimator, method):
                return np.asarray(getattr(self._estimator, method)(self._features(inputs, options)))
        return None

    def _asked(self, features: Any, options: Options) -> list[Tensor]:
        """An output for each method that the request names; columns where it names none and a table comes out."""
        default = str(self._settings.get("predict_fn") or "predict")
        names = outputs.methods(options, self._methods, default)
        results = {name: getattr(self._estimator, name)(features) for name in names}
        if options.outputs is None and hasattr(results[default], "columns"):
            return outputs.tensors(results[default])
        return [outputs.by_method(result, name) for name, result in results.items()]

    def _features(self, inputs: list[Tensor], options: Options) -> Any:
        if self._declared or inputs[0].parameters is not None:
            inputs = tables.decoded(inputs, self._declared)
        array = inputs[0].array
        if len(inputs) > 1 or (array.ndim == 1 and inputs[0].name in self._columns):
            return self._frame(inputs)
        if (options.parameters or self._by_method) and tables.is_frame(options, self._settings.get("content_type")):
            return self._frame(inputs)
        if self._by_name and array.ndim == 2 and array.shape[1] == len(self._columns):
            return self._frame(inputs)
        if array.dtype.kind != "O":
            return array
        array = tables.texts(array, f"input '{inputs[0].name}'")
        if self._takes_texts and array.ndim == 2 and array.shape[1] == 1:
            # Text pipelines want a list of documents, which V2 clients send as [n] or as [n, 1].
            return array.ravel()
        return array

    def _frame(self, inputs: list[Tensor]) -> Any:
        """A table of the columns that the inputs are: a DataFrame, or a matrix where that says the same."""
        if len(inputs) == 1 and inputs[0].array.ndim == 2 and inputs[0].array.shape[1] == len(self._columns):
            table = dict(zip(self._columns, inputs[0].array.T, strict=True))
        else:
            table = tables.columns(inputs)
        missing = [name for name in self._columns if name not in table]
        if missing:
            raise InvalidInput(f"columns are missing: {', '.join(missing)}")
        if len(self._columns) == len(table):
            table = {name: table[name] for name in self._columns}
        try:
            return tables.frame(table)
        except NotImplementedError:
            if all(column.dtype.kind in tables.NUMERIC for column in table.values()):
                return np.column_stack(list(table.values()))
            raise


def _not_loaded(features: Any) -> Any:
    raise InferenceError("the model is not loaded")


def _names(value: str | Sequence[str]) -> list[str]:
    found = value.split(",") if isinstance(value, str) else value
    return [str(name).strip() for name in found if str(name).strip()]


def _a(value: Any) -> str:
    name = type(value).__name__
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"
