"""CatBoost models as users save them, against the library's own answers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_iris

from mizzen.serve.errors import InvalidInput, LoadError
from mizzen.serve.model import NO_OPTIONS, Tensor

catboost = pytest.importorskip("catboost", reason="catboost is not installed")

FEATURES, LABELS = load_iris(return_X_y=True)
HOLES = FEATURES.copy()
HOLES[::7, 1] = np.nan
NAMES = np.array(["setosa", "versicolor", "virginica"])[LABELS]
QUIET = {"iterations": 10, "verbose": 0, "thread_count": 1, "allow_writing_files": False}


def classifier(labels: Any = LABELS, features: Any = HOLES, **more: Any) -> Any:
    return catboost.CatBoostClassifier(**QUIET, **more).fit(features, labels)


def regressor(labels: Any = LABELS, features: Any = HOLES, **more: Any) -> Any:
    return catboost.CatBoostRegressor(**QUIET, **more).fit(features, labels)


TWO = np.column_stack([LABELS, 2 * LABELS])
CASES = [
    pytest.param(classifier, "INT64", [-1], id="classes"),
    pytest.param(lambda: classifier(LABELS > 0), "BOOL", [-1], id="yes or no"),
    pytest.param(lambda: classifier(LABELS.clip(max=1)), "INT64", [-1], id="two classes"),
    pytest.param(regressor, "FP64", [-1], id="a number"),
    pytest.param(lambda: regressor(loss_function="Poisson"), "FP64", [-1], id="a count"),
    pytest.param(lambda: regressor(loss_function="Tweedie:variance_power=1.5"), "FP64", [-1], id="tweedie"),
    pytest.param(lambda: regressor(loss_function="Quantile:alpha=0.2"), "FP64", [-1], id="a quantile"),
]


@pytest.mark.parametrize(("train", "datatype", "shape"), CASES)
async def test_every_answer_is_the_estimators_own(folder, loaded, compare, double, equal, train, datatype, shape):
    estimator = train()
    estimator.save_model(folder / "model.cbm")
    model = loaded(folder)
    assert (model.platform, model.batchable, model.foreign) == ("catboost", True, False)
    assert [(one.datatype, one.shape) for one in model.inputs] == [("FP32", [-1, 4])]
    assert [(one.name, one.datatype, one.shape) for one in model.outputs] == [("output-0", datatype, shape)]
    rows = HOLES[::3].astype(np.float32).astype(np.float64)
    expected = estimator.predict(rows).ravel()
    await compare(model, rows, expected, double if datatype == "FP64" else equal)


@pytest.mark.parametrize(
    ("train", "width"),
    [
        pytest.param(lambda: regressor(TWO, loss_function="MultiRMSE"), 2, id="two numbers"),
        pytest.param(lambda: regressor(loss_function="RMSEWithUncertainty"), 2, id="a number and its variance"),
        pytest.param(lambda: classifier(TWO > 1, loss_function="MultiLogloss"), 2, id="two labels"),
    ],
)
def test_answers_of_several_values(folder, loaded, answer, train, width):
    estimator = train()
    estimator.save_model(folder / "model.cbm")
    result = answer(loaded(folder), FEATURES)
    assert result.shape == (150, width)
    np.testing.assert_array_equal(result, estimator.predict(FEATURES))


async def test_names_of_classes(folder, loaded, compare, equal):
    estimator = classifier(NAMES)
    estimator.save_model(folder / "model.cbm")
    model = loaded(folder)
    assert model.outputs[0].datatype == "BYTES"
    await compare(model, FEATURES[::5], estimator.predict(FEATURES[::5]).ravel(), equal)


@pytest.mark.parametrize(
    ("environ", "settings", "kind"),
    [
        ({"PREDICT_PROBA": "true"}, {}, "Probability"),
        ({"CATBOOST_PREDICTION_TYPE": "LogProbability"}, {}, "LogProbability"),
        ({"CATBOOST_PREDICTION_TYPE": "Class"}, {"prediction_type": "Probability"}, "Probability"),
        ({}, {"prediction_type": "RawFormulaVal"}, "RawFormulaVal"),
    ],
)
def test_the_kind_of_prediction_can_be_chosen(folder, loaded, answer, environ, settings, kind):
    estimator = classifier()
    estimator.save_model(folder / "model.cbm")
    result = answer(loaded(folder, environ=environ, **settings), FEATURES)
    np.testing.assert_array_equal(result, estimator.predict(FEATURES, prediction_type=kind))


def test_a_kind_of_prediction_that_there_is_not(folder, loaded):
    with pytest.raises(LoadError, match="'proba' is no prediction_type; it is one of RawFormulaVal, Probability"):
        loaded(folder, "catboost", prediction_type="proba")


@pytest.mark.parametrize("name", ["model.cbm", "model.json", "model.bst"])
def test_the_names_a_model_file_may_have(folder, loaded, answer, name):
    estimator = classifier()
    estimator.save_model(folder / name, format="json" if name.endswith("json") else "cbm")
    (folder / "notes.txt").write_text("beside it")
    for model in (loaded(folder), loaded(folder, "catboost"), loaded(folder / name)):
        np.testing.assert_array_equal(answer(model, FEATURES), estimator.predict(FEATURES).ravel())


TABLE = {"size": [1.0, 2, 3, 4] * 50, "colour": ["red", "blue", "green", "red"] * 50, "n": [5, 6, 7, 8] * 50}


async def test_categories_in_every_form(folder, loaded, serving):
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    table = pandas.DataFrame(TABLE)
    labels = ["a", "b", "c", "a"] * 50
    estimator = classifier(labels, table, cat_features=["colour", "n"])
    pool = catboost.Pool(table, labels, cat_features=["colour", "n"])
    expected = estimator.predict_proba(table[:4]).ravel()
    for name in ("model.cbm", "model.json"):
        for file in folder.iterdir():
            file.unlink()
        estimator.save_model(folder / name, format=name.partition(".")[2], pool=pool)
        model = loaded(folder, environ={"PREDICT_PROBA": "true"})
        assert [(one.name, one.datatype) for one in model.inputs] == [
            ("size", "FP32"),
            ("colour", "BYTES"),
            ("n", "BYTES"),
        ]
        ask = await serving(model)
        rows = table[:4].to_dict("records")
        backwards = [dict(reversed(row.items())) for row in rows]
        lists = [[row["size"], row["colour"], float(row["n"])] for row in rows]
        for asked in (rows, backwards, lists):
            answered = (await ask.predict("m", asked)).json["predictions"]
            np.testing.assert_allclose(np.ravel(answered), expected, rtol=1e-12)
        tensors = [
            {"name": "n", "shape": [4], "datatype": "FP64", "data": [5, 6, 7, 8]},
            {"name": "size", "shape": [4, 1], "datatype": "FP32", "data": [1, 2, 3, 4]},
            {"name": "colour", "shape": [4], "datatype": "BYTES", "data": ["red", "blue", "green", "red"]},
        ]
        answered = (await ask.infer("m", *tensors)).json["outputs"][0]["data"]
        np.testing.assert_allclose(answered, expected, rtol=1e-12)


async def test_texts(folder, loaded, serving):
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    table = pandas.DataFrame({"size": [1.0, 2, 3, 4] * 25, "note": ["a good one", "bad bad", "good", "so bad"] * 25})
    estimator = classifier([1, 0, 1, 0] * 25, table, text_features=["note"])
    estimator.save_model(folder / "model.cbm")
    ask = await serving(loaded(folder))
    rows = [{"note": "a good one", "size": 1.5}, {"note": "so bad", "size": 1.5}]
    expected = estimator.predict(pandas.DataFrame(rows)[["size", "note"]]).tolist()
    assert (await ask.predict("m", rows)).json["predictions"] == expected == [1, 0]


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([[1.0, "red"]], "this model takes rows of 3 values, the request has shape [1, 2]"),
        ([[1.0, "red", 5, 6]], "this model takes rows of 3 values, the request has shape [1, 4]"),
        ([["wide", "red", 5]], "column 'size', row 0: 'wide' is not a number"),
        ([[1.0, "red", 5.5]], "cat_features must be integer or string"),
        ([{"size": 1.0, "n": 5}], "columns are missing: colour"),
    ],
)
async def test_rows_that_are_not_the_models_are_400(folder, loaded, serving, rows, says):
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    classifier([0, 1, 2, 0] * 50, pandas.DataFrame(TABLE), cat_features=["colour", "n"]).save_model(folder / "m.cbm")
    ask = await serving(loaded(folder))
    answered = await ask.predict("m", rows)
    assert (answered.status, says in answered.error) == (400, True), answered.error


def spoilt(tmp_path: Any) -> list[tuple[dict[str, bytes], str]]:
    estimator = classifier()
    estimator.save_model(tmp_path / "whole.cbm")
    estimator.save_model(tmp_path / "whole.json", format="json")
    cbm, text = (tmp_path / "whole.cbm").read_bytes(), (tmp_path / "whole.json").read_bytes()
    return [
        ({"model.cbm": b""}, "is no CatBoost model: it is empty"),
        ({"model.cbm": b"hello"}, "is no CatBoost model: it does not begin like one"),
        ({"model.json": b'{"learner": {}}'}, "it is a file of xgboost"),
        ({"model.cbm": cbm[: len(cbm) // 2]}, "it is cut short, damaged"),
        ({"model.json": text[: len(text) // 2]}, "is cut short or damaged"),
        ({"model.json": b'{"features_info": {}}'}, "it has no trees"),
        ({"a.cbm": cbm, "b.cbm": cbm}, "More than one model file is detected"),
        ({"model.pkl": b""}, "there is no model file in"),
    ]


def test_a_file_that_is_no_model_says_which_and_why(tmp_path, loaded):
    for number, (files, says) in enumerate(spoilt(tmp_path)):
        folder = tmp_path / str(number)
        folder.mkdir()
        for name, data in files.items():
            (folder / name).write_bytes(data)
        with pytest.raises(LoadError) as caught:
            loaded(folder, "catboost")
        assert says in str(caught.value)
        assert str(folder) in str(caught.value)


def test_half_a_json_file_is_a_model_to_the_library(tmp_path):
    """If it were not one day, our own check could go."""
    classifier().save_model(tmp_path / "model.json", format="json")
    text = (tmp_path / "model.json").read_bytes()
    (tmp_path / "model.json").write_bytes(text[: 2 * len(text) // 3])
    catboost.CatBoost().load_model(str(tmp_path / "model.json"), format="json")


def test_a_model_laid_out_for_mlserver(folder, loaded, answer):
    estimator = classifier(NAMES)
    estimator.save_model(folder / "model.bst", format="cbm")
    model = loaded(folder, "mlserver_catboost.CatboostModel", layout="mlserver")
    [output] = model.infer([Tensor("x", FEATURES)], NO_OPTIONS)
    assert (output.name, output.array.shape, output.parameters) == ("predict", (150, 1), {"content_type": "np"})
    assert output.array.tolist() == estimator.predict(FEATURES).tolist()
    proba = answer(model, FEATURES, outputs=("predict_proba",))
    np.testing.assert_array_equal(proba, estimator.predict_proba(FEATURES))
    with pytest.raises(InvalidInput, match="no output 'transform'"):
        answer(model, FEATURES, outputs=("transform",))


def test_scores_are_what_labels_are_chosen_by(folder, loaded):
    estimator = classifier()
    estimator.save_model(folder / "model.cbm")
    scores = loaded(folder).scores([Tensor("x", FEATURES)], NO_OPTIONS)
    np.testing.assert_array_equal(scores.argmax(axis=1), estimator.predict(FEATURES).ravel())
    assert loaded(folder, prediction_type="Probability").scores([Tensor("x", FEATURES)], NO_OPTIONS) is None
