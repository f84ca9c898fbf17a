"""XGBoost models as users save them, against the library's own answers."""

from __future__ import annotations

import json
import shutil
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_iris

from mizzen.serve.errors import InvalidInput, LoadError
from mizzen.serve.model import Tensor

xgboost = pytest.importorskip("xgboost", reason="xgboost is not installed")

FEATURES, LABELS = load_iris(return_X_y=True)
HOLES = FEATURES.copy()
HOLES[::7, 1] = np.nan
NAMES = ["sepal length", "sepal width", "petal length", "petal width"]


def train(parameters: dict[str, Any], features: Any = FEATURES, labels: Any = LABELS, rounds: int = 8) -> Any:
    return xgboost.train({"nthread": 1, **parameters}, xgboost.DMatrix(features, labels), rounds)


SOFTPROB = {"objective": "multi:softprob", "num_class": 3}
CASES = [
    pytest.param(SOFTPROB, [-1, 3], id="probabilities of several classes"),
    pytest.param({"objective": "multi:softmax", "num_class": 3}, [-1], id="several classes"),
    pytest.param({"objective": "binary:logistic"}, [-1], id="one probability"),
    pytest.param({"objective": "reg:squarederror"}, [-1], id="a number"),
    pytest.param({"objective": "reg:squarederror", "booster": "dart", "rate_drop": 0.3}, [-1], id="dart"),
    pytest.param({"objective": "reg:squarederror", "booster": "gblinear"}, [-1], id="linear"),
]


@pytest.mark.parametrize(("parameters", "shape"), CASES)
async def test_every_answer_is_the_librarys_own(folder, loaded, compare, single, parameters, shape):
    labels = LABELS > 0 if "binary" in parameters["objective"] else LABELS
    features = FEATURES if parameters.get("booster") == "gblinear" else HOLES
    booster = train(parameters, features, labels)
    booster.save_model(folder / "model.ubj")
    model = loaded(folder)
    assert (model.platform, model.batchable, model.foreign) == ("xgboost", True, False)
    [told], [given] = model.inputs, model.outputs
    assert (told.datatype, told.shape) == ("FP32", [-1, 4])
    assert (given.name, given.datatype, given.shape) == ("output-0", "FP32", shape)
    rows = features[::3]
    expected = booster.predict(xgboost.DMatrix(rows))
    await compare(model, rows, expected, single)


def test_in_place_is_bit_for_bit_what_a_matrix_gives(folder, loaded, answer):
    booster = train(SOFTPROB, HOLES)
    booster.save_model(folder / "model.json")
    model = loaded(folder)
    for dtype in (np.float64, np.float32):
        rows = HOLES.astype(dtype)
        np.testing.assert_array_equal(answer(model, rows), booster.predict(xgboost.DMatrix(rows)))
    whole = np.arange(40).reshape(10, 4)
    expected = booster.predict(xgboost.DMatrix(whole.astype(np.float64)))
    for kind in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "bool"):
        rows = whole.astype(kind)
        expected = booster.predict(xgboost.DMatrix(rows.astype(np.float64)))
        np.testing.assert_array_equal(answer(model, rows), expected, err_msg=kind)


@pytest.mark.parametrize("name", ["model.ubj", "model.json", "model.bst", "other name.ubj"])
def test_the_names_a_model_file_may_have(folder, loaded, answer, name):
    booster = train(SOFTPROB)
    booster.save_model(folder / "saved.ubj")
    (folder / "saved.ubj").rename(folder / name)
    if name.endswith(".json"):
        booster.save_model(folder / name)
    np.testing.assert_array_equal(answer(loaded(folder), FEATURES), booster.predict(xgboost.DMatrix(FEATURES)))
    np.testing.assert_array_equal(answer(loaded(folder / name), FEATURES), booster.predict(xgboost.DMatrix(FEATURES)))


def test_a_suffix_that_lies_and_files_beside(folder, loaded, answer):
    booster = train(SOFTPROB)
    booster.save_model(folder / "right.json")
    (folder / "right.json").rename(folder / "model.bst")
    (folder / "model-settings.json").write_text('{"implementation": "mlserver_xgboost.XGBoostModel"}')
    expected = booster.predict(xgboost.DMatrix(FEATURES))
    np.testing.assert_array_equal(answer(loaded(folder), FEATURES), expected)
    np.testing.assert_array_equal(answer(loaded(folder, "xgboost"), FEATURES), expected)


@pytest.mark.filterwarnings("ignore::UserWarning")
def spoilt() -> list[Any]:
    booster = train(SOFTPROB)
    ubj, text = bytes(booster.save_raw("ubj")), bytes(booster.save_raw("json"))
    return [
        pytest.param({"model.ubj": b""}, "is no XGBoost model: it is empty", id="empty"),
        pytest.param({"model.ubj": b"hello"}, "is no XGBoost model: it does not begin like one", id="text"),
        pytest.param({"model.json": b'{"learning_rate": 0.1}'}, "it does not begin like one", id="another json"),
        pytest.param({"model.ubj": ubj[: len(ubj) // 2]}, "it is cut short, damaged", id="half an ubj"),
        pytest.param({"model.json": text[: len(text) // 2]}, "it is cut short, damaged", id="half a json"),
        pytest.param({"model.bst": b"tree\nversion=v4\n"}, "it is a file of lightgbm", id="lightgbm's"),
        pytest.param({"model.bst": b"binf" + bytes(99)}, "in the binary form of XGBoost before 3.1", id="old"),
        pytest.param({"a.ubj": ubj, "b.json": text}, "More than one model file is detected", id="two"),
        pytest.param({"model.pkl": b""}, "there is no model file in", id="none"),
    ]


@pytest.mark.parametrize(("files", "says"), spoilt())
def test_a_file_that_is_no_model_says_which_and_why(folder, loaded, files, says):
    if "binary form" in says and not hasattr(xgboost.Booster, "get_categories"):
        pytest.skip("xgboost is older than 3.1 and reads its own binary form")
    for name, data in files.items():
        (folder / name).write_bytes(data)
    with pytest.raises(LoadError) as caught:
        loaded(folder, "xgboost")
    assert says in str(caught.value)
    assert str(folder) in str(caught.value)
    assert "Stack trace" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_columns_by_name_in_any_order(folder, loaded, answer):
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    booster = train(SOFTPROB, pandas.DataFrame(FEATURES, columns=NAMES))
    booster.save_model(folder / "model.ubj")
    model = loaded(folder)
    assert model.inputs[0].parameters == {"columns": NAMES}
    expected = booster.inplace_predict(FEATURES)
    columns = {name: Tensor(name, FEATURES[:, at]) for at, name in enumerate(NAMES)}
    np.testing.assert_array_equal(answer(model, *(columns[NAMES[at]] for at in (2, 0, 3, 1))), expected)
    np.testing.assert_array_equal(answer(model, FEATURES), expected)
    extra = Tensor("client", np.array(["x"] * len(FEATURES), object))
    np.testing.assert_array_equal(answer(model, extra, *columns.values()), expected)
    with pytest.raises(InvalidInput, match="columns are missing: sepal width"):
        answer(model, *(columns[name] for name in NAMES if name != "sepal width"))


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([[1.0, 2.0]], "this model takes rows of 4 values, the request has shape [1, 2]"),
        ([[1.0] * 5], "this model takes rows of 4 values, the request has shape [1, 5]"),
        ([1.0, 2.0, 3.0, 4.0], "shape [4]: a row is a list of its own, [[...]]"),
        ([[[1.0] * 4]], "this model takes rows of 4 values, the request has shape [1, 1, 4]"),
        ([[1.0, "red", 2.0, 3.0]], "column 1, row 0: 'red' is not a number"),
    ],
)
async def test_rows_that_are_not_the_models_are_400(folder, loaded, serving, rows, says):
    train(SOFTPROB).save_model(folder / "model.ubj")
    ask = await serving(loaded(folder))
    answered = await ask.predict("m", rows)
    assert (answered.status, says in answered.error) == (400, True), answered.error


async def test_categories_by_name(folder, loaded, serving):
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    if not hasattr(xgboost.Booster, "get_categories"):
        pytest.skip("xgboost is older than 3.1 and keeps no categories")
    table = pandas.DataFrame(
        {"size": [1.0, 2, 3, 4] * 10, "colour": ["red", "blue", "green", "red"] * 10, "year": [10, 20, 30, 10] * 10}
    )
    table["colour"] = table["colour"].astype("category")
    table["year"] = table["year"].astype("category")
    labels = np.array([0, 1, 2, 0.5] * 10)
    booster = xgboost.train({"max_depth": 4, "nthread": 1}, xgboost.DMatrix(table, labels, enable_categorical=True), 20)
    booster.save_model(folder / "model.json")
    model = loaded(folder)
    assert [(one.name, one.datatype) for one in model.inputs] == [
        ("size", "FP32"),
        ("colour", "BYTES"),
        ("year", "BYTES"),
    ]
    expected = booster.inplace_predict(table[:4]).tolist()
    ask = await serving(model)
    rows = [
        {"year": 10, "size": 1.0, "colour": "red"},
        {"year": 20.0, "size": 2.0, "colour": "blue"},
        {"year": 30, "size": 3.0, "colour": "green"},
        {"year": 10, "size": 4.0, "colour": "red"},
    ]
    assert (await ask.predict("m", rows)).json["predictions"] == pytest.approx(expected)
    lists = [[row["size"], row["colour"], row["year"]] for row in rows]
    assert (await ask.predict("m", lists)).json["predictions"] == pytest.approx(expected)
    tensors = [
        {"name": "size", "shape": [4], "datatype": "FP32", "data": [1, 2, 3, 4]},
        {"name": "colour", "shape": [4], "datatype": "BYTES", "data": ["red", "blue", "green", "red"]},
        {"name": "year", "shape": [4], "datatype": "INT64", "data": [10, 20, 30, 10]},
    ]
    answered = await ask.infer("m", *tensors, parameters={"content_type": "pd"})
    assert answered.json["outputs"][0]["data"] == pytest.approx(expected)


def test_a_model_laid_out_for_mlserver_answers_with_classes(folder, loaded, answer):
    classifier = xgboost.XGBClassifier(n_estimators=5, n_jobs=1).fit(FEATURES, LABELS)
    classifier.save_model(folder / "model.json")
    model = loaded(folder, "mlserver_xgboost.XGBoostModel", layout="mlserver")
    [output] = model.infer([Tensor("x", FEATURES)], model_options())
    assert (output.name, output.array.shape, output.parameters) == ("predict", (150, 1), {"content_type": "np"})
    np.testing.assert_array_equal(output.array.ravel(), classifier.predict(FEATURES))
    assert [(one.name, one.datatype, one.shape) for one in model.outputs] == [("predict", "INT64", [-1, 1])]
    proba = answer(model, FEATURES, outputs=("predict_proba",))
    np.testing.assert_array_equal(proba, classifier.predict_proba(FEATURES))
    with pytest.raises(InvalidInput, match=r"no output 'transform'; it has predict, predict_proba"):
        answer(model, FEATURES, outputs=("transform",))
    binary = xgboost.XGBClassifier(n_estimators=5, n_jobs=1).fit(FEATURES, LABELS > 0)
    binary.save_model(folder / "model.json")
    model = loaded(folder, "mlserver_xgboost.XGBoostModel", layout="mlserver")
    np.testing.assert_array_equal(answer(model, FEATURES).ravel(), binary.predict(FEATURES))
    np.testing.assert_array_equal(answer(model, FEATURES, outputs=("predict_proba",)), binary.predict_proba(FEATURES))


def test_mlserver_predicts_with_the_best_trees_of_early_stopping(folder, loaded, answer):
    features, labels = load_diabetes(return_X_y=True)
    regressor = xgboost.XGBRegressor(n_estimators=200, learning_rate=0.5, early_stopping_rounds=3, n_jobs=1)
    regressor.fit(features[:300], labels[:300], eval_set=[(features[300:], labels[300:])], verbose=False)
    regressor.save_model(folder / "model.json")
    assert regressor.best_iteration + 1 < regressor.get_booster().num_boosted_rounds()
    ours = answer(loaded(folder, layout="mlserver"), features)
    np.testing.assert_array_equal(ours.ravel(), regressor.predict(features))
    everything = answer(loaded(folder), features)
    np.testing.assert_array_equal(everything, regressor.get_booster().inplace_predict(features))


def model_options() -> Any:
    from mizzen.serve.model import NO_OPTIONS

    return NO_OPTIONS


def test_large_batches_use_the_threads_that_are_given_and_answer_the_same(folder, loaded, answer):
    booster = train(SOFTPROB, rounds=60)
    booster.save_model(folder / "model.ubj")
    model = loaded(folder, nthread=3)
    rows = np.tile(FEATURES, (8, 1))
    expected = booster.inplace_predict(FEATURES)
    for _ in range(2):
        np.testing.assert_array_equal(answer(model, rows), np.tile(expected, (8, 1)))
        threads = json.loads(model._booster.save_config())["learner"]["generic_param"]["nthread"]
        assert threads == "3"
        np.testing.assert_array_equal(answer(model, FEATURES[:2]), expected[:2])
        threads = json.loads(model._booster.save_config())["learner"]["generic_param"]["nthread"]
        assert threads == "1", "a small batch waits for threads"


@pytest.mark.parametrize("value", ["0", "-1", "many", 0, 1.5])
def test_a_number_of_threads_that_is_none(folder, loaded, value):
    with pytest.raises(LoadError, match="nthread must be a positive number"):
        loaded(folder, "xgboost", nthread=value)


def test_the_same_file_twice_is_two(folder, loaded):
    train(SOFTPROB).save_model(folder / "model.ubj")
    shutil.copy(folder / "model.ubj", folder / "copy.ubj")
    with pytest.raises(LoadError, match=r"copy\.ubj, model\.ubj"):
        loaded(folder)
