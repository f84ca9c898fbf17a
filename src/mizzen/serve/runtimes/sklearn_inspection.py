"""What a fitted estimator tells of itself: whose code it is, what goes in, what comes out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from mizzen.serve.codecs import datatypes
from mizzen.serve.model import TensorMetadata
from mizzen.serve.runtimes.tables import Features

# Frameworks whose estimators are scikit-learn's in form, and whose rows are known to be independent.
_KIN = ("xgboost", "lightgbm", "catboost")


def is_foreign(estimator: Any) -> bool:
    """Whether a model runs code that is neither scikit-learn's nor wholly another known framework's."""
    if _package(estimator) in _KIN:
        return any(_package(part) != _package(estimator) and _is_foreign(part) for part in parts(estimator))
    return _is_foreign(estimator) or any(map(_is_foreign, parts(estimator)))


def parts(estimator: Any) -> Iterator[Any]:
    """What an estimator was configured with, at any depth, as far as it is code: other estimators and functions."""
    parameters = estimator.get_params(deep=True) if hasattr(estimator, "get_params") else {}
    for value in parameters.values():
        if not isinstance(value, type) and (hasattr(value, "get_params") or callable(value)):
            yield value


def restrain(estimator: Any, threads: int) -> None:
    """Keep the wrappers of XGBoost and LightGBM from taking all processors, unless their user said how many."""
    for part in (estimator, *parts(estimator)):
        if _package(part) not in ("xgboost", "lightgbm") or getattr(part, "n_jobs", 0) is not None:
            continue
        part.n_jobs = threads
        if hasattr(part, "get_booster"):
            part.get_booster().set_param({"nthread": threads})


def selects_by_name(estimator: Any) -> bool:
    """Whether a step picks its columns out of a table by their names, so that a matrix will not do."""
    fitted = [each for part in (estimator, *parts(estimator)) for each in getattr(part, "transformers_", ())]
    return any(
        isinstance(name, str) for _, _, names in fitted for name in ([names] if isinstance(names, str) else names)
    )


def inputs(estimator: Any, names: list[str]) -> list[TensorMetadata]:
    count = getattr(estimator, "n_features_in_", None)
    if not isinstance(count, int | np.integer):
        return []
    texts = text_columns(estimator)
    return Features(int(count), names).metadata("FP64", [at for at, name in enumerate(names) if name in texts])


def text_columns(estimator: Any) -> set[str]:
    """The columns of which an estimator has seen texts, as far as its encoders tell."""
    found: set[str] = set()
    for _, transformer, names in getattr(estimator, "transformers_", ()):
        for part in (transformer, *(step for _, step in getattr(transformer, "steps", ()))):
            categories = getattr(part, "categories_", ())
            if len(categories) == len(names):
                found |= {str(name) for name, seen in zip(names, categories, strict=True) if seen.dtype.kind in "OUST"}
    for _, step in getattr(estimator, "steps", ()):
        found |= text_columns(step)
    return found


def outputs(estimator: Any, proba: bool) -> list[TensorMetadata]:
    """Args:
    proba: it is asked for probabilities, not for labels.
    """
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


def _package(part: Any) -> str:
    module = getattr(part, "__module__", None) or type(part).__module__
    return str(module).partition(".")[0]


def _is_foreign(part: Any) -> bool:
    """Whether a part is code that is not scikit-learn's, of which we cannot know what it does with rows."""
    return _package(part) != "sklearn" or type(part).__name__ == "FunctionTransformer"
