"""scikit-learn models as users save them, and files that are none."""

from __future__ import annotations

import io
import logging
import pickle
import sys
import types
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import sklearn
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.datasets import load_iris, make_regression
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier, VotingClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from mizzen.serve.errors import InvalidInput, LoadError
from mizzen.serve.model import NO_OPTIONS, Tensor
from mizzen.serve.runtimes.artifact import artifact
from mizzen.serve.runtimes.sklearn import PRELOAD, SUFFIXES, SklearnModel

FEATURES, LABELS = load_iris(return_X_y=True)
NAMES = np.array(["setosa", "versicolor", "virginica"])[LABELS]


def load(folder: Path, **environ: str) -> SklearnModel:
    model = SklearnModel("m", folder, environ)
    model.load()
    return model


def predict(model: SklearnModel, array: Any) -> Any:
    [output] = model.infer([Tensor("x", np.asarray(array))], NO_OPTIONS)
    return output.array


@pytest.mark.parametrize(
    "estimator",
    [
        SVC(),
        LogisticRegression(max_iter=500),
        RandomForestClassifier(n_estimators=5),
        HistGradientBoostingClassifier(max_iter=5),
        KNeighborsClassifier(),
        MLPClassifier(max_iter=20),
        DecisionTreeClassifier(),
        make_pipeline(StandardScaler(), LogisticRegression()),
        VotingClassifier([("a", SVC()), ("b", DecisionTreeClassifier())]),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_every_answer_is_the_librarys_own(save, estimator):
    estimator.fit(FEATURES, NAMES)
    model = load(save(estimator))
    np.testing.assert_array_equal(predict(model, FEATURES), estimator.predict(FEATURES))
    assert model.batchable
    assert not model.foreign
    assert model.inputs[0].shape == [-1, 4]
    assert model.outputs[0].datatype == "BYTES"


@pytest.mark.parametrize("name", ["model.joblib", "a b.pkl", "x.pickle"])
def test_the_names_a_model_file_may_have(save, name):
    folder = save(SVC().fit(FEATURES, LABELS), name)
    (folder / "README.md").write_text("beside it")
    (folder / "sub").mkdir()
    (folder / "sub" / "other.pkl").write_text("not looked at")
    assert artifact(folder, SUFFIXES) == folder / name
    assert predict(load(folder), FEATURES[:1]).tolist() == [0]
    assert predict(load(folder / name), FEATURES[:1]).tolist() == [0]


def test_plain_pickles_and_compressed_files(tmp_path):
    model = SVC().fit(FEATURES, LABELS)
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "model.pkl").write_bytes(pickle.dumps(model))
    (tmp_path / "zip").mkdir()
    joblib.dump(model, tmp_path / "zip" / "model.joblib", compress=3)
    for folder in ("plain", "zip"):
        assert predict(load(tmp_path / folder), FEATURES[:1]).tolist() == [0]


def of_missing_module() -> bytes:
    """A pickle of a class whose module is not there any more."""
    module = types.ModuleType("my_company_models")
    exec("class Own:\n    pass", module.__dict__)
    sys.modules["my_company_models"] = module
    try:
        return pickle.dumps(module.Own())
    finally:
        del sys.modules["my_company_models"]


def of_missing_class() -> bytes:
    return (
        of_missing_module()
        .replace(b"my_company_models", b"sklearn.pipeline", 1)
        .replace(b"\x8c\x11sklearn", b"\x8c\x10sklearn")
    )


def of_another_version(version: str) -> bytes:
    """A tree whose nodes have a field less, as trees of scikit-learn before 1.3 have."""
    data = pickle.dumps(DecisionTreeClassifier(max_depth=2).fit(FEATURES, LABELS))
    ours = sklearn.__version__.encode()
    assert len(version) == len(ours)
    return data.replace(ours, version.encode()).replace(b"missing_go_to_left", b"missing_gone_right")


@pytest.mark.parametrize(
    ("files", "says"),
    [
        pytest.param(None, ["the model folder", "does not exist"], id="no folder"),
        pytest.param({}, ["there is no model file in", "it is empty", ".joblib, .pkl, .pickle"], id="empty"),
        pytest.param(
            {"model.onnx": b"", "weights.bin": b""}, ["no model file", "model.onnx, weights.bin"], id="other files"
        ),
        pytest.param(
            {"b.pkl": b"", "a.joblib": b""}, ["More than one model file is detected", "a.joblib, b.pkl"], id="two"
        ),
        pytest.param({"model.pkl": b"hello, I am text"}, ["model.pkl", "is no pickle or joblib file"], id="text"),
        pytest.param({"model.pkl": b""}, ["model.pkl", "is no pickle or joblib file", "EOFError"], id="empty file"),
        pytest.param(
            {"model.pkl": pickle.dumps(list(range(999)))[:-20]}, ["model.pkl", "or is cut short"], id="cut short"
        ),
        pytest.param(
            {"model.pkl": pickle.dumps({"a": 1})}, ["model.pkl holds a dict, which has no predict method"], id="a dict"
        ),
        pytest.param(
            {"model.pkl": of_missing_module()},
            ["model.pkl cannot be loaded", "needs the Python module 'my_company_models'", "not installed"],
            id="missing module",
        ),
        pytest.param(
            {"model.pkl": of_missing_class()},
            ["model.pkl cannot be loaded", "code that is not here", "Own"],
            id="missing class",
        ),
        pytest.param(
            {"model.pkl": of_another_version("0.9.9")},
            ["model.pkl cannot be loaded", f"saved with scikit-learn 0.9.9, this server has {sklearn.__version__}"],
            id="another version",
        ),
    ],
)
def test_a_file_that_is_no_model_says_which_and_why(tmp_path, files, says):
    folder = tmp_path / "models"
    if files is not None:
        folder.mkdir()
        for name, data in files.items():
            (folder / name).write_bytes(data)
    with pytest.raises(LoadError) as caught:
        load(folder)
    for part in says:
        assert part in str(caught.value)
    assert str(folder) in str(caught.value)


def test_another_version_that_still_loads_is_a_warning_once(tmp_path, caplog):
    data = pickle.dumps(make_pipeline(StandardScaler(), SVC()).fit(FEATURES, LABELS))
    (tmp_path / "model.pkl").write_bytes(data.replace(sklearn.__version__.encode(), b"0.9.9"))
    with caplog.at_level(logging.WARNING):
        model = load(tmp_path)
    [record] = caplog.records
    assert f"saved with scikit-learn 0.9.9, this server has {sklearn.__version__}" in record.getMessage()
    assert predict(model, FEATURES[:1]).tolist() == [0]


async def test_what_another_versions_model_fails_with_tells_the_versions(tmp_path, serving):
    fitted = SVC().fit(FEATURES, LABELS)
    del fitted.support_vectors_
    data = pickle.dumps(fitted).replace(sklearn.__version__.encode(), b"0.9.9")
    (tmp_path / "model.pkl").write_bytes(data)
    ask = await serving(tmp_path)
    answer = await ask.predict("iris", FEATURES[:1].tolist())
    assert answer.status == 500
    assert "support_vectors_" in answer.error
    assert "saved with scikit-learn 0.9.9" in answer.error


def test_probabilities_are_given_where_they_are_asked_for_and_there(save):
    fitted = LogisticRegression(max_iter=500).fit(FEATURES, LABELS)
    folder = save(fitted)
    np.testing.assert_array_equal(predict(load(folder), FEATURES), fitted.predict(FEATURES))
    for value in ("true", "True"):
        model = load(folder, PREDICT_PROBA=value)
        np.testing.assert_array_equal(predict(model, FEATURES), fitted.predict_proba(FEATURES))
        assert (model.outputs[0].datatype, model.outputs[0].shape) == ("FP64", [-1, 3])
    regressor = LinearRegression().fit(FEATURES, LABELS)
    model = load(save(regressor), PREDICT_PROBA="true")
    np.testing.assert_array_equal(predict(model, FEATURES), regressor.predict(FEATURES))
    assert (model.outputs[0].datatype, model.outputs[0].shape) == ("FP64", [-1])


async def test_texts_over_both_protocols(save, serving, tensor):
    texts = ["good great fine", "bad awful poor", "great good", "poor bad"] * 5
    pipeline = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, [1, 0, 1, 0] * 5)
    folder = save(pipeline)
    ask = await serving(folder)
    asked = ["a good thing", "an awful thing"]
    assert (await ask.predict("iris", asked)).json == {"predictions": [1, 0]}
    for shape in ([2], [2, 1], [1]):
        answer = await ask.infer("iris", {"name": "t", "datatype": "BYTES", "shape": shape, "data": asked})
        assert answer.json["outputs"][0]["data"] == [1, 0]
    assert (await ask("GET", "/v2/models/iris")).json["inputs"] == []


def test_texts_that_come_as_bytes(save):
    rows = np.array([["red"], ["blue"], ["red"]], object)
    fitted = make_pipeline(OneHotEncoder(), LinearRegression()).fit(rows, [1.0, 2.0, 1.0])
    expected = fitted.predict(rows)
    raw = np.array([[b"red"], [b"blue"], [b"red"]], object)
    np.testing.assert_array_equal(predict(load(save(fitted)), raw), expected)


async def test_missing_values_reach_a_model_that_knows_them(save, serving):
    features = FEATURES.copy()
    features[::3, 2] = np.nan
    fitted = HistGradientBoostingClassifier(max_iter=20).fit(features, LABELS)
    ask = await serving(save(fitted))
    rows = [[None if np.isnan(value) else value for value in row] for row in features[:12].tolist()]
    assert (await ask.predict("iris", rows)).json == {"predictions": fitted.predict(features[:12]).tolist()}


def test_rows_of_names_without_a_name_are_no_news(save, recwarn):
    fitted = SVC().fit(FEATURES, LABELS)
    fitted.feature_names_in_ = np.array(["a", "b", "c", "d"], dtype=object)
    model = load(save(fitted))
    predict(model, FEATURES[:1])
    assert [str(warning.message) for warning in recwarn] == []
    assert model.inputs[0].parameters == {"columns": ["a", "b", "c", "d"]}


def columns(**values: Any) -> list[Tensor]:
    return [Tensor(name, np.asarray(value)) for name, value in values.items()]


def test_columns_are_put_in_the_models_order(save):
    fitted = SVC().fit(FEATURES, LABELS)
    fitted.feature_names_in_ = np.array(["a", "b", "c", "d"], dtype=object)
    model = load(save(fitted))
    table = dict(zip("abcd", FEATURES[::20].T, strict=True))
    shuffled = columns(**{name: table[name] for name in "dbac"})
    [output] = model.infer(shuffled, NO_OPTIONS)
    np.testing.assert_array_equal(output.array, fitted.predict(FEATURES[::20]))
    single = columns(**{name: table[name].reshape(-1, 1) for name in "cdab"})
    np.testing.assert_array_equal(model.infer(single, NO_OPTIONS)[0].array, output.array)


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        (columns(a=[1.0], b=[1.0], c=[1.0]), "columns are missing: d"),
        (columns(a=[1.0], b=[1.0, 2.0], c=[1.0], d=[1.0]), "'a' 1, 'b' 2, 'c' 1, 'd' 1"),
        (columns(a=[[1.0, 2.0]], b=[[1.0, 2.0]]), "'a' is of shape [1, 2]"),
    ],
)
def test_columns_that_make_no_table(save, inputs, says):
    fitted = SVC().fit(FEATURES, LABELS)
    fitted.feature_names_in_ = np.array(["a", "b", "c", "d"], dtype=object)
    with pytest.raises(InvalidInput) as caught:
        load(save(fitted)).infer(inputs, NO_OPTIONS)
    assert says in str(caught.value)


async def test_mixed_columns_of_a_pipeline_fitted_on_a_table(save, serving):
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    table = pandas.DataFrame({"size": [1.0, 2.0, 3.0, 4.0] * 5, "colour": ["red", "blue", "red", "blue"] * 5})
    transformer = ColumnTransformer([("size", StandardScaler(), ["size"]), ("colour", OneHotEncoder(), ["colour"])])
    fitted = make_pipeline(transformer, LogisticRegression()).fit(table, [0, 1, 0, 1] * 5)
    ask = await serving(save(fitted))
    told = (await ask("GET", "/v2/models/iris")).json["inputs"]
    assert [(one["name"], one["datatype"], one["shape"]) for one in told] == [
        ("size", "FP64", [-1]),
        ("colour", "BYTES", [-1]),
    ]
    assert (await ask.predict("iris", [{"colour": "red", "size": 1.0}, {"colour": "blue", "size": 2.0}])).json == {
        "predictions": [0, 1]
    }
    assert (await ask.predict("iris", [[1.0, "red"], [2.0, "blue"]])).json == {"predictions": [0, 1]}
    answer = await ask.infer(
        "iris",
        {"name": "size", "datatype": "FP64", "shape": [2], "data": [1.0, 2.0]},
        {"name": "colour", "datatype": "BYTES", "shape": [2], "data": ["red", "blue"]},
        parameters={"content_type": "pd"},
    )
    assert answer.json["outputs"][0]["data"] == [0, 1]


def test_a_model_that_cannot_be_looked_into_predicts_all_the_same(save, caplog):
    """As one that an older scikit-learn saved, before a setting was added."""
    fitted = SVC().fit(FEATURES, LABELS)
    del fitted.break_ties
    model = load(save(fitted))
    assert "cannot be looked into: AttributeError" in caplog.text
    assert (model.foreign, model.batchable, model.inputs, model.outputs) == (True, False, [], [])


def test_a_model_one_folder_too_deep(save, tmp_path):
    folder = save(SVC().fit(FEATURES, LABELS))
    (tmp_path / "outer").mkdir()
    folder.rename(tmp_path / "outer" / "wine")
    with pytest.raises(LoadError, match=r"it holds wine; .* the folder wine in it has one"):
        load(tmp_path / "outer")


async def test_mixed_columns_without_pandas_say_what_is_missing(save, serving, monkeypatch):
    ask = await serving(save(SVC().fit(FEATURES, LABELS)))
    monkeypatch.setitem(sys.modules, "pandas", None)
    answer = await ask.predict("iris", [{"colour": "red", "size": 1.0}])
    assert answer.status == 501
    assert "pip install pandas" in answer.error


class Own(ClassifierMixin, BaseEstimator):
    def fit(self, features: Any, labels: Any) -> Own:
        self.classes_ = np.unique(labels)
        return self

    def predict(self, features: Any) -> Any:
        return np.zeros(len(features))


class Duck:
    """No estimator at all, but it predicts."""

    def fit(self, features: Any, labels: Any) -> Duck:
        return self

    def predict(self, features: Any) -> Any:
        return np.zeros(len(features))


def double(features: Any) -> Any:
    return features * 2


@pytest.mark.parametrize(
    "estimator",
    [
        pytest.param(Own(), id="a class of one's own"),
        pytest.param(Duck(), id="no estimator"),
        pytest.param(make_pipeline(FunctionTransformer(double), SVC()), id="a function as a step"),
        pytest.param(make_pipeline(FunctionTransformer(), SVC()), id="a step for functions"),
        pytest.param(make_pipeline(StandardScaler(), VotingClassifier([("a", Own())])), id="one's own deep inside"),
        pytest.param(SVC(kernel=lambda a, b: a @ b.T), id="a kernel of one's own"),
        pytest.param(
            TransformedTargetRegressor(LinearRegression(), func=double, inverse_func=double, check_inverse=False),
            id="a target",
        ),
    ],
)
def test_models_with_code_of_ones_own_are_neither_batched_nor_run_on_the_loop(estimator, monkeypatch):
    estimator.fit(FEATURES, LABELS)
    monkeypatch.setattr("mizzen.serve.runtimes.sklearn.read", lambda path, trusted: (estimator, ""))
    model = load(Path(__file__))
    assert model.foreign
    assert not model.batchable


def test_scores_are_what_labels_are_chosen_by(save):
    fitted = SVC().fit(FEATURES, LABELS)
    model = load(save(fitted))
    inputs = [Tensor("x", FEATURES[:7])]
    np.testing.assert_array_equal(model.scores(inputs, NO_OPTIONS), fitted.decision_function(FEATURES[:7]))
    regressor = load(save(LinearRegression().fit(*make_regression(20, 3))))
    assert regressor.scores([Tensor("x", np.zeros((2, 3)))], NO_OPTIONS) is None


async def test_batches_of_a_real_model_answer_as_single_requests_do(save, serving, tensor):
    import asyncio

    fitted = make_pipeline(StandardScaler(), LogisticRegression()).fit(FEATURES, LABELS)
    ask = await serving(save(fitted))
    for _ in range(15):
        answers = await asyncio.gather(*(ask.infer("iris", tensor([row])) for row in FEATURES[::5]))
        assert [answer.json["outputs"][0]["data"][0] for answer in answers] == fitted.predict(FEATURES[::5]).tolist()
    [served] = ask.server.repository
    assert served.lane.batching
    assert served.metrics.checked >= 8
    assert sum(served.metrics.batch.counts) < 15 * len(FEATURES[::5]), "no batch has formed, so this shows nothing"


def test_what_a_zygote_imports_is_there_and_starts_no_thread():
    import subprocess

    code = (
        "import importlib, os\n"
        f"for name in {PRELOAD!r}: importlib.import_module(name)\n"
        "import threading\n"
        "print(len(os.listdir('/proc/self/task')), threading.active_count())\n"
        "import asyncio\n"
        "try: asyncio.get_running_loop()\n"
        "except RuntimeError: print('no loop')\n"
    )
    environ = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PATH": ""}
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["1 1", "no loop"]


def test_loading_reads_the_file_once(save, monkeypatch):
    folder = save(SVC().fit(FEATURES, LABELS))
    opened = []
    real = io.open

    def counting(file: Any, *arguments: Any, **options: Any) -> Any:
        if str(file).endswith("model.joblib"):
            opened.append(file)
        return real(file, *arguments, **options)

    monkeypatch.setattr("builtins.open", counting)
    load(folder)
    assert len(opened) == 1
