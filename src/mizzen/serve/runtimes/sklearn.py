"""scikit-learn: one pickle in a folder, its ``predict`` behind every protocol.

A pickle is code: whoever can write the file decides what this process does. It is loaded with joblib, whose files are
pickles too. What goes wrong on the way is what users meet first, so each way has its sentence.
"""

from __future__ import annotations

import logging
import mmap
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mizzen.serve import datatypes
from mizzen.serve.errors import InferenceError, InvalidInput, LoadError
from mizzen.serve.model import Array, Options, Tensor, TensorMetadata, TensorModel
from mizzen.serve.runtimes.artifact import artifact
from mizzen.serve.spec import ModelSpec

logger = logging.getLogger(__name__)

SUFFIXES = (".joblib", ".pkl", ".pickle")

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


def build(spec: ModelSpec, environ: Mapping[str, str]) -> SklearnModel:
    return SklearnModel(spec.name, spec.directory, environ, spec.version)


class SklearnModel(TensorModel):
    """A fitted estimator.

    Args:
        directory: holds the model file.
        environ: ``PREDICT_PROBA=true`` asks for probabilities where the estimator has them.
    """

    def __init__(self, name: str, directory: Path, environ: Mapping[str, str], version: str | None = None) -> None:
        super().__init__(name, version)
        self.platform = "sklearn"
        self._directory = directory
        self._proba = environ.get("PREDICT_PROBA", "").lower() == "true"
        self._estimator: Any = None
        self._predict: Callable[[Any], Any] = _not_loaded
        self._columns: list[str] = []
        self._takes_texts = False
        self._versions = ""

    def load(self) -> None:
        path = artifact(self._directory, SUFFIXES)
        estimator, self._versions = _unpickle(path)
        if not callable(getattr(estimator, "predict", None)):
            raise LoadError(f"{path} holds {_a(estimator)}, which has no predict method")
        self._estimator = estimator
        proba = self._proba and hasattr(estimator, "predict_proba")
        self._predict = estimator.predict_proba if proba else estimator.predict
        self._columns = [str(name) for name in getattr(estimator, "feature_names_in_", ())]
        self._takes_texts = getattr(estimator, "n_features_in_", None) is None
        try:
            self.foreign = _is_foreign(estimator) or any(map(_is_foreign, _parts(estimator)))
            self.inputs = _inputs(estimator, self._columns)
            self.outputs = _outputs(estimator, proba)
        except Exception as error:
            # It may predict all the same, such as one of another version that lacks a setting. What it is made of
            # cannot be known, so it is treated as somebody else's code and tells nothing of its inputs.
            logger.warning("%s cannot be looked into: %s: %s", path, type(error).__name__, error)
            self.foreign, self.inputs, self.outputs = True, [], []
        self.batchable = not self.foreign
        # Clients send rows without names to models fitted with them; that is the protocol, and no news.
        warnings.filterwarnings("ignore", message="X does not have valid feature names", category=UserWarning)

    def infer(self, inputs: list[Tensor], options: Options) -> list[Tensor]:
        features = self._features(inputs)
        try:
            result = self._predict(features)
        except AttributeError as error:
            if self._versions:
                raise InferenceError(f"{error} ({self._versions})") from error
            raise
        if hasattr(result, "columns"):
            return [Tensor(str(column), result[column].to_numpy()) for column in result.columns]
        return [Tensor("output-0", np.asarray(result))]

    def scores(self, inputs: list[Tensor], options: Options) -> Array | None:
        for method in ("decision_function", "predict_proba"):
            if hasattr(self._estimator, method):
                return np.asarray(getattr(self._estimator, method)(self._features(inputs)))
        return None

    def _features(self, inputs: list[Tensor]) -> Any:
        array = inputs[0].array
        if len(inputs) > 1 or (array.ndim == 1 and inputs[0].name in self._columns):
            return self._frame(inputs)
        if self._takes_texts and array.dtype.kind == "O" and array.ndim == 2 and array.shape[1] == 1:
            # Text pipelines want a list of documents, which V2 clients send as [n] or as [n, 1].
            return array.ravel()
        return array

    def _frame(self, inputs: list[Tensor]) -> Any:
        """A table of the columns that the inputs are: a DataFrame, or a matrix where that says the same."""
        table = {}
        for tensor in inputs:
            if tensor.array.ndim > 2 or tensor.array.size != (tensor.array.shape or (1,))[0]:
                raise InvalidInput(
                    f"this model takes one matrix, or columns of shape [rows]; "
                    f"'{tensor.name}' is of shape {list(tensor.array.shape)}"
                )
            table[tensor.name] = tensor.array.ravel()
        if len({len(column) for column in table.values()}) > 1:
            sizes = ", ".join(f"'{name}' {len(column)}" for name, column in table.items())
            raise InvalidInput(f"columns must be of one length; their rows are: {sizes}")
        missing = [name for name in self._columns if name not in table]
        if missing:
            raise InvalidInput(f"columns are missing: {', '.join(missing)}")
        if len(self._columns) == len(table):
            table = {name: table[name] for name in self._columns}
        try:
            import pandas  # type: ignore[import-untyped]
        except ImportError:
            if all(column.dtype.kind in "fiub" for column in table.values()):
                return np.column_stack(list(table.values()))
            raise NotImplementedError(
                "columns that are not all numbers need pandas beside the server: pip install pandas"
            ) from None
        return pandas.DataFrame(table)


def _not_loaded(features: Any) -> Any:
    raise InferenceError("the model is not loaded")


def _unpickle(path: Path) -> tuple[Any, str]:
    """The object in a file, and a sentence about versions if it was saved with another scikit-learn."""
    try:
        import joblib
        import sklearn
        from sklearn.exceptions import InconsistentVersionWarning
    except ImportError as error:
        raise LoadError(
            f"scikit-learn cannot be imported ({error}); install it: pip install 'mizzen[sklearn]'"
        ) from None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            estimator = joblib.load(path)
        except ModuleNotFoundError as error:
            raise LoadError(
                f"{path} cannot be loaded: it needs the Python module {error.name!r}, which is not installed here"
                + _of_versions(path, sklearn.__version__)
            ) from error
        except AttributeError as error:
            raise LoadError(
                f"{path} cannot be loaded: it refers to code that is not here ({error}); a model's own classes and "
                "functions must be importable where it is served" + _of_versions(path, sklearn.__version__)
            ) from error
        except OSError as error:
            raise LoadError(f"{path} cannot be read: {error.strerror or error}") from error
        except Exception as error:
            saved = _of_versions(path, sklearn.__version__)
            if saved:
                raise LoadError(f"{path} cannot be loaded: {error}{saved}") from error
            raise LoadError(
                f"{path} is no pickle or joblib file, or is cut short ({type(error).__name__}: {error})"
            ) from error
    versions = ""
    for warning in caught:
        if isinstance(warning.message, InconsistentVersionWarning):
            saved = warning.message.original_sklearn_version
            versions = f"the model was saved with scikit-learn {saved}, this server has {sklearn.__version__}"
        else:
            logger.warning("%s: %s", path, warning.message)
    if versions:
        logger.warning("%s: %s; it may fail or answer differently", path, versions)
    return estimator, versions


def _of_versions(path: Path, ours: str) -> str:
    """For a message: the scikit-learn that a file was saved with, where that can be read and is not ours."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            found = re.search(rb"_sklearn_version[^0-9]{1,8}(\d+\.\d+(?:\.\w+)*)", data)
            saved = found.group(1).decode() if found else ours
    except (OSError, ValueError):
        return ""
    return f"; it was saved with scikit-learn {saved}, this server has {ours}" if saved != ours else ""


def _parts(estimator: Any) -> Iterator[Any]:
    """What an estimator was configured with, at any depth, as far as it is code: other estimators and functions."""
    parameters = estimator.get_params(deep=True) if hasattr(estimator, "get_params") else {}
    for value in parameters.values():
        if not isinstance(value, type) and (hasattr(value, "get_params") or callable(value)):
            yield value


def _is_foreign(part: Any) -> bool:
    """Whether a part is code that is not scikit-learn's, of which we cannot know what it does with rows."""
    module = getattr(part, "__module__", None) or type(part).__module__
    return module.partition(".")[0] != "sklearn" or type(part).__name__ == "FunctionTransformer"


def _inputs(estimator: Any, columns: list[str]) -> list[TensorMetadata]:
    count = getattr(estimator, "n_features_in_", None)
    if not isinstance(count, int | np.integer):
        return []
    texts = _text_columns(estimator) & set(columns)
    if texts:
        return [TensorMetadata(name, "BYTES" if name in texts else "FP64", [-1]) for name in columns]
    metadata = TensorMetadata("input-0", "FP64", [-1, int(count)])
    if columns:
        metadata.parameters = {"columns": columns}
    return [metadata]


def _text_columns(estimator: Any) -> set[str]:
    """The columns of which an estimator has seen texts, as far as its encoders tell."""
    found: set[str] = set()
    for _, transformer, names in getattr(estimator, "transformers_", ()):
        for part in (transformer, *(step for _, step in getattr(transformer, "steps", ()))):
            categories = getattr(part, "categories_", ())
            if len(categories) == len(names):
                found |= {str(name) for name, seen in zip(names, categories, strict=True) if seen.dtype.kind in "OUST"}
    for _, step in getattr(estimator, "steps", ()):
        found |= _text_columns(step)
    return found


def _outputs(estimator: Any, proba: bool) -> list[TensorMetadata]:
    classes = getattr(estimator, "classes_", None)
    if isinstance(classes, np.ndarray) and classes.ndim == 1:
        if proba:
            return [TensorMetadata("output-0", "FP64", [-1, len(classes)])]
        datatype = datatypes.name(classes.dtype)
        return [TensorMetadata("output-0", datatype, [-1])] if datatype else []
    from sklearn.base import BaseEstimator, is_regressor

    if classes is None and isinstance(estimator, BaseEstimator) and is_regressor(estimator):
        return [TensorMetadata("output-0", "FP64", [-1])]
    return []


def _a(value: Any) -> str:
    name = type(value).__name__
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"
