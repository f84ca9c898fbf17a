"""XGBoost: a booster's raw output for each row, in single precision, as KServe's server gives it.

Rows go to the library in place, without its own matrix in between, where the booster can (measured on one core: 45
microseconds for a row instead of 125, the same bits). Columns with categories by name go as a DataFrame, which the
library recodes to what it was trained with. Laid out for MLServer, a model that was saved by the scikit-learn wrapper
of a classifier answers with classes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mizzen.serve.errors import InvalidInput, LoadError
from mizzen.serve.model import Array, Options, Tensor, TensorMetadata
from mizzen.serve.runtimes import outputs, tables
from mizzen.serve.runtimes.boosting import BoostingModel
from mizzen.serve.runtimes.frameworks import framework
from mizzen.serve.runtimes.magic import OLD_XGBOOST
from mizzen.serve.runtimes.tables import Features
from mizzen.serve.runtimes.xgboost_in_place import InPlace
from mizzen.serve.spec import ModelSpec

SUFFIXES = (".bst", ".json", ".ubj")

# What a zygote imports once for all servers of this kind.
PRELOAD = ("mizzen.serve.main", "mizzen.serve.runtimes.xgboost", "xgboost")

# Before the message, where in its source the library stands; after it, how it got there.
_NOISE = re.compile(r"^\[[\d:]+\] \S+?:\d+: |\s*Stack trace:.*\Z", re.DOTALL)


def build(spec: ModelSpec, environ: Mapping[str, str]) -> XGBoostModel:
    return XGBoostModel(spec, environ)


class XGBoostModel(BoostingModel):
    """A booster of any kind: trees, dart, linear."""

    def __init__(self, spec: ModelSpec, environ: Mapping[str, str]) -> None:
        super().__init__(spec, environ, "xgboost")
        self._now = 1
        self._library: Any = None
        self._booster: Any = None
        self._categorical: list[int] = []
        self._in_place: InPlace | None = None
        self._trees = 0
        self._classifies = False
        self._until = 0

    def load(self) -> None:
        path, data = self.file(SUFFIXES, "XGBoost")
        self._library = framework("xgboost", "xgboost")
        booster = self._booster = self._read(path, data)
        config = json.loads(booster.save_config())["learner"]
        parameters = config["learner_model_param"]
        width = max(int(parameters.get("num_target", 1)), int(parameters.get("num_class", 0)))
        trees = config["gradient_booster"].get("name") == "gbtree"
        self._trees = booster.num_boosted_rounds() * width if trees else 0
        self.features = Features(booster.num_features(), booster.feature_names or ())
        categorical = [at for at, kind in enumerate(booster.feature_types or ()) if kind == "c"]
        # Without their names (before 3.1, or trained on codes) categories are their codes: numbers.
        if categorical and hasattr(booster, "get_categories") and not booster.get_categories().empty():
            self._categorical = categorical
        if self.by_method:
            saved = json.loads(booster.attr("scikit_learn") or "{}").get("_estimator_type")
            self._classifies = saved == "classifier"
            self.methods = ("predict", "predict_proba") if self._classifies else ("predict",)
            # The wrapper predicts with the trees that early stopping found best, the booster with all.
            best = booster.attr("best_iteration")
            self._until = int(best) + 1 if best is not None else 0
        self._in_place = InPlace(self._library, booster, self._until) if trees else None
        shape = [-1, width] if width > 1 and config["objective"]["name"] != "multi:softmax" else [-1]
        told = TensorMetadata("output-0", "FP32", shape)
        if self._classifies:
            told = TensorMetadata("output-0", "INT64", [-1])
        self.describe(self.features.metadata("FP32", self._categorical), [told])

    def answer(self, inputs: list[Tensor], method: str = "") -> Array:
        raw = self._predict(inputs)
        if not self._classifies:
            return raw
        if method == "predict":
            return outputs.labels(raw)
        return raw if raw.ndim > 1 else np.column_stack([1.0 - raw, raw])

    def scores(self, inputs: list[Tensor], options: Options) -> Array | None:
        return self.answer(inputs, "predict_proba") if self._classifies else None

    def _predict(self, inputs: list[Tensor]) -> Array:
        rows = self._frame(inputs) if self._categorical else self.features.numbers(inputs)
        threads = self.threads.for_work(len(rows) * self._trees)
        if threads != self._now:
            self._booster.set_param({"nthread": threads})
            self._now = threads
        try:
            if self._in_place is not None and not self._categorical:
                return self._in_place(rows)
            matrix = self._library.DMatrix(
                rows,
                nthread=threads,
                feature_names=None if self._categorical else self._booster.feature_names,
                feature_types=None if self._categorical else self._booster.feature_types,
                enable_categorical=True,
            )
            return np.asarray(self._booster.predict(matrix, iteration_range=(0, self._until)))
        except (ValueError, self._library.core.XGBoostError) as error:
            raise InvalidInput(_NOISE.sub("", str(error))) from None

    def _frame(self, inputs: list[Tensor]) -> Any:
        """The rows with their categories by name. Whole numbers among those are integers, as JSON has only one kind."""
        rows = self.features.matrix(inputs)
        table = {}
        for at in range(self.features.count):
            name = self.features.names[at] if self.features.names else str(at)
            if at not in self._categorical:
                table[name] = tables.numbers(rows[:, at], self.features.title(at))
                continue
            values = tables.texts(rows[:, at], self.features.title(at)).tolist()
            table[name] = tables.objects([tables.whole(value) for value in values])
        frame = tables.frame(table)
        for at in self._categorical:
            name = frame.columns[at]
            frame[name] = frame[name].infer_objects().astype("category")
        return frame

    def _read(self, path: Path, data: bytes) -> Any:
        if data.startswith(OLD_XGBOOST) and hasattr(self._library.Booster, "get_categories"):  # since 3.1
            raise LoadError(
                f"{path} is in the binary form of XGBoost before 3.1, which {self._library.__version__} does not read; "
                "load it with the version that saved it, and save it as model.ubj or model.json"
            )
        try:
            booster = self._library.Booster({"nthread": 1})
            # From memory, because by a file's name XGBoost believes the suffix and not the content.
            booster.load_model(bytearray(data))
            return booster
        except (ValueError, self._library.core.XGBoostError) as error:
            reason = _NOISE.sub("", str(error)).strip().partition("\n")[0]
            raise LoadError(
                f"{path} cannot be loaded: it is cut short, damaged, or of a newer XGBoost than "
                f"{self._library.__version__} ({reason})"
            ) from None
