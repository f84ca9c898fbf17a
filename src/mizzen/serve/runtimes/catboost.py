"""CatBoost: what the library's own estimators answer for a row, or the kind of prediction that is asked for.

A classifier's file answers with classes, a count or Tweedie model's with its exponent, any other's with its raw value;
``prediction_type`` says otherwise. The library does not look at the names of columns, reads numbers of categories only
as integers or texts, and takes half a JSON file for a smaller model: all three are seen to here.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from mizzen.serve.codecs import datatypes
from mizzen.serve.errors import InvalidInput, LoadError
from mizzen.serve.model import Array, Options, Tensor, TensorMetadata
from mizzen.serve.runtimes import tables
from mizzen.serve.runtimes.boosting import BoostingModel
from mizzen.serve.runtimes.frameworks import framework
from mizzen.serve.runtimes.tables import Features
from mizzen.serve.spec import ModelSpec

# MLServer's own name for it is model.bst.
SUFFIXES = (".cbm", ".json", ".bst")

# What a zygote imports once for all servers of this kind.
PRELOAD = ("mizzen.serve.main", "mizzen.serve.runtimes.catboost", "catboost")

TYPES = ("RawFormulaVal", "Probability", "LogProbability", "Class", "Exponent", "RMSEWithUncertainty")
PREDICTION_TYPE = "CATBOOST_PREDICTION_TYPE"

_CLASSES = ("Logloss", "CrossEntropy", "MultiClass", "MultiClassOneVsAll", "MultiLogloss", "MultiCrossEntropy")
_EXPONENTS = ("Poisson", "Tweedie")


class _Json(msgspec.Struct):
    """What a model in JSON must have; the rest is looked at only for being whole."""

    features_info: msgspec.Raw
    oblivious_trees: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    trees: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


def build(spec: ModelSpec, environ: Mapping[str, str]) -> CatBoostModel:
    return CatBoostModel(spec, environ)


class CatBoostModel(BoostingModel):
    """A model of any loss.

    Args:
        spec: ``settings`` may hold ``prediction_type`` besides.
        environ: ``CATBOOST_PREDICTION_TYPE``, one of :data:`TYPES`; ``PREDICT_PROBA=true`` is Probability for a
            classifier, as in scikit-learn's server.

    Raises:
        LoadError: there is no such type.
    """

    def __init__(self, spec: ModelSpec, environ: Mapping[str, str]) -> None:
        super().__init__(spec, environ, "catboost")
        self._type = str(spec.settings.get("prediction_type") or environ.get(PREDICTION_TYPE, ""))
        self._proba = environ.get("PREDICT_PROBA", "").lower() == "true"
        if self._type and self._type not in TYPES:
            raise LoadError(f"model {spec.name}: {self._type!r} is no prediction_type; it is one of {', '.join(TYPES)}")
        self._library: Any = None
        self._model: Any = None
        self._named: set[int] = set()
        self._trees = 0

    def load(self) -> None:
        path, data = self.file(SUFFIXES, "CatBoost")
        self._library = framework("catboost", "catboost")
        model = self._model = self._read(path, data)
        loss = str(model.get_all_params().get("loss_function", "")).partition(":")[0]
        self._type = self._type or self._usual(loss)
        names = [str(name) for name in model.feature_names_]
        generic = names == [str(at) for at in range(len(names))]
        self.features = Features(len(names), () if generic else names)
        self._named = {
            *model.get_cat_feature_indices(),
            *model.get_text_feature_indices(),
            *model.get_embedding_feature_indices(),
        }
        self._trees = model.tree_count_
        if len(model.classes_):
            self.methods = ("predict", "predict_proba")
        self.describe(self.features.metadata("FP32", sorted(self._named)), self._told(loss))

    def answer(self, inputs: list[Tensor], method: str = "") -> Array:
        return self._predict(inputs, "Probability" if method == "predict_proba" else self._type)

    def scores(self, inputs: list[Tensor], options: Options) -> Array | None:
        return self._predict(inputs, "RawFormulaVal") if self._type == "Class" else None

    def _predict(self, inputs: list[Tensor], kind: str) -> Array:
        # By columns: rows would be turned by threads that the library starts for it, at twice the cost of all the rest.
        rows = self._mixed(inputs) if self._named else np.asfortranarray(self.features.numbers(inputs))
        threads = self.threads.for_work(len(rows) * self._trees)
        try:
            result = np.asarray(self._model.predict(rows, prediction_type=kind, thread_count=threads))
        except (ValueError, TypeError, self._library.CatBoostError) as error:
            raise InvalidInput(str(error)) from None
        # A class of several has an axis of its own in the library, a class of two has none.
        return result[:, 0] if result.ndim == 2 and result.shape[1] == 1 else result

    def _mixed(self, inputs: list[Tensor]) -> Array:
        """Rows of numbers, and of categories and texts. JSON has one kind of number, a category only its digits."""
        rows = self.features.matrix(inputs)
        mixed = np.empty(rows.shape, dtype=object)
        for at in range(self.features.count):
            if at not in self._named:
                mixed[:, at] = tables.numbers(rows[:, at], self.features.title(at))
                continue
            values = tables.texts(rows[:, at], self.features.title(at)).tolist()
            mixed[:, at] = tables.objects([tables.whole(value) for value in values])
        return mixed

    def _usual(self, loss: str) -> str:
        if loss in _CLASSES:
            return "Probability" if self._proba else "Class"
        if loss in _EXPONENTS:
            return "Exponent"
        return loss if loss == "RMSEWithUncertainty" else "RawFormulaVal"

    def _told(self, loss: str) -> list[TensorMetadata]:
        classes = np.asarray(self._model.classes_)
        if self._type == "Class" and not loss.startswith(("MultiLog", "MultiCross")):
            datatype = datatypes.name(classes.dtype)
            return [TensorMetadata("output-0", datatype, [-1])] if datatype else []
        if self._type in ("Probability", "LogProbability"):
            return [TensorMetadata("output-0", "FP64", [-1, len(classes)])]
        if self._type in ("RawFormulaVal", "Exponent") and len(classes) <= 2 and not loss.startswith("Multi"):
            return [TensorMetadata("output-0", "FP64", [-1])]
        return []

    def _read(self, path: Path, data: bytes) -> Any:
        model = self._library.CatBoost()
        try:
            if data.startswith(b"CBM1"):
                model.load_model(blob=data)
            else:
                _check_whole(data, path)
                model.load_model(str(path), format="json")
        except self._library.CatBoostError as error:
            raise LoadError(
                f"{path} cannot be loaded: it is cut short, damaged, or of a newer CatBoost than "
                f"{self._library.__version__} ({error})"
            ) from None
        return model


def _check_whole(data: bytes, path: Path) -> None:
    try:
        found = msgspec.json.decode(data, type=_Json)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise LoadError(f"{path} is cut short or damaged: {error}") from None
    if found.oblivious_trees is msgspec.UNSET and found.trees is msgspec.UNSET:
        raise LoadError(f"{path} is no CatBoost model: it has no trees")
