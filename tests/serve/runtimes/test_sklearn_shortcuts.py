"""scikit-learn's questions to itself, shortened: the answers stay what they were."""

from __future__ import annotations

import joblib
import numpy as np
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC
from sklearn.utils import validation

from mizzen.serve.runtimes import sklearn_shortcuts

FEATURES, LABELS = load_iris(return_X_y=True)
WRONG = (FEATURES[:, :2], np.full((1, 4), np.nan), np.zeros(4), np.zeros((0, 4)))


@pytest.fixture(autouse=True)
def own(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is put in the library's place is taken out again."""
    for name in sklearn_shortcuts._FOR_ARRAYS:
        if hasattr(validation, name):
            monkeypatch.setattr(validation, name, getattr(validation, name))


@pytest.mark.parametrize(
    "fitted",
    [
        SVC(probability=False).fit(FEATURES, LABELS),
        make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)).fit(FEATURES, LABELS),
        make_pipeline(
            ColumnTransformer([("a", StandardScaler(), [0, 1]), ("b", "passthrough", [2]), ("c", "drop", [3])]),
            LogisticRegression(max_iter=500),
        ).fit(FEATURES, LABELS),
    ],
)
def test_answers_stay_what_they_were(fitted):
    def asked():
        found = [fitted.predict(FEATURES), fitted.predict(FEATURES[:1].astype(np.float32))]
        return [*found, fitted.decision_function(FEATURES)], [refusal(wrong) for wrong in WRONG]

    def refusal(wrong) -> str:
        with pytest.raises((ValueError, IndexError)) as caught:
            fitted.predict(wrong)
        return f"{type(caught.value).__name__}: {caught.value}"

    before, refused = asked()
    sklearn_shortcuts.install()
    sklearn_shortcuts.settle(fitted)
    after, refused_after = asked()
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)
    assert refused == refused_after


def test_tables_are_still_looked_at():
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    sklearn_shortcuts.install()
    table = pandas.DataFrame({"size": [1.0, 2.0, 3.0], "kind": ["a", "b", "a"]})
    fitted = make_pipeline(
        ColumnTransformer([("kind", OneHotEncoder(), ["kind"])], remainder="passthrough"), LogisticRegression()
    ).fit(table, [0, 1, 1])
    sklearn_shortcuts.settle(fitted)
    assert list(fitted.predict(table[["kind", "size"]])) == list(fitted.predict(table))
    with pytest.raises(ValueError, match="columns are missing"):
        fitted.predict(table[["size"]])


def test_what_is_not_fitted_is_still_found_out():
    sklearn_shortcuts.install()
    model = SVC()
    sklearn_shortcuts.settle(model)
    with pytest.raises(NotFittedError):
        model.predict(FEATURES)
    assert not hasattr(model, "__sklearn_is_fitted__")


def test_a_model_that_was_settled_can_be_saved_and_fitted_anew(tmp_path):
    model = SVC().fit(FEATURES, LABELS)
    sklearn_shortcuts.settle(model)
    joblib.dump(model, tmp_path / "model.joblib")
    np.testing.assert_array_equal(joblib.load(tmp_path / "model.joblib").predict(FEATURES), model.predict(FEATURES))
    assert set(model.fit(FEATURES, LABELS == 1).predict(FEATURES)) <= {True, False}


def test_a_question_of_another_version_is_left_alone(monkeypatch):
    def other(value):
        return "something else"

    monkeypatch.setattr(validation, "_get_feature_names", other)
    sklearn_shortcuts.install()
    assert validation._get_feature_names is other


def test_installing_twice_is_installing_once():
    sklearn_shortcuts.install()
    first = validation._get_feature_names
    sklearn_shortcuts.install()
    assert validation._get_feature_names is first
