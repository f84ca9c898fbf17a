"""What scikit-learn asks itself on every call, answered at once where the answer cannot differ.

``SVC.predict`` of one row takes 74 us with scikit-learn 1.9, of which 40 us go into finding out three times over that a
numpy array is no dataframe, and 7 us into finding out that a model which was loaded is fitted. Both are known here.
Nothing else is touched: what is no plain array takes scikit-learn's own way, and where a version has no such question,
nothing happens.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

# Functions of sklearn.utils.validation of one argument, and what they answer for a plain array.
_FOR_ARRAYS: dict[str, Any] = {"_get_feature_names": None, "_nw_into_df_or_series": False}
_MARK = "_mizzen_shortcut"


def install() -> None:
    """Shorten the questions about arrays. May be called again; imports scikit-learn."""
    from sklearn.utils import validation

    for name, answer in _FOR_ARRAYS.items():
        asked = getattr(validation, name, None)
        if callable(asked) and not hasattr(asked, _MARK) and _answers(asked, answer):
            setattr(validation, name, _shortened(asked, answer))


def settle(estimator: Any) -> None:
    """Answer once and for all whether an estimator and its parts are fitted, for those that are."""
    from sklearn.utils.validation import _is_fitted

    for part in _parts(estimator):
        if hasattr(part, "__sklearn_is_fitted__") or not hasattr(part, "__dict__"):
            continue
        if _is_fitted(part):
            part.__sklearn_is_fitted__ = _yes


def _answers(asked: Callable[[Any], Any], answer: Any) -> bool:
    """Whether a function says of a plain array what it is taken to say."""
    try:
        return all(asked(np.zeros((1, 1), dtype)) is answer for dtype in (np.float64, np.int64, object))
    except Exception:
        return False  # another version's function of the same name


def _shortened(asked: Callable[[Any], Any], answer: Any) -> Callable[[Any], Any]:
    def shortcut(value: Any) -> Any:
        return answer if type(value) is np.ndarray else asked(value)

    setattr(shortcut, _MARK, True)
    return shortcut


def _parts(estimator: Any) -> list[Any]:
    """An estimator, and what it was fitted with as far as that is told by scikit-learn's own containers."""
    found = [estimator]
    for _, step in getattr(estimator, "steps", ()):
        found += _parts(step)
    for entry in getattr(estimator, "transformers_", ()):
        found += _parts(entry[1])
    return [part for part in found if not isinstance(part, str) and part is not None]


def _yes() -> bool:
    return True
