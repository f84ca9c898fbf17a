"""LightGBM models as users save them, against the library's own answers."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_iris

from mizzen.serve.errors import InvalidInput, LoadError
from mizzen.serve.model import NO_OPTIONS, Tensor
from mizzen.serve.runtimes.lightgbm import checked

lightgbm = pytest.importorskip("lightgbm", reason="lightgbm is not installed")

FEATURES, LABELS = load_iris(return_X_y=True)
HOLES = FEATURES.copy()
HOLES[::7, 1] = np.nan
QUIET = {"verbose": -1, "num_threads": 1, "min_data_in_leaf": 2}


def train(parameters: dict[str, Any], features: Any = HOLES, labels: Any = LABELS, rounds: int = 8, **more: Any) -> Any:
    return lightgbm.train({**QUIET, **parameters}, lightgbm.Dataset(features, labels, **more), rounds)


SOFTMAX = {"objective": "multiclass", "num_class": 3}


@pytest.mark.parametrize(
    ("parameters", "shape"),
    [
        pytest.param(SOFTMAX, [-1, 3], id="several classes"),
        pytest.param({"objective": "binary"}, [-1], id="one probability"),
        pytest.param({"objective": "regression"}, [-1], id="a number"),
        pytest.param({"objective": "regression", "boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5}, [-1]),
        pytest.param({"objective": "regression", "linear_tree": True}, [-1], id="linear leaves"),
    ],
)
async def test_every_answer_is_the_librarys_own(folder, loaded, compare, double, parameters, shape):
    labels = LABELS > 0 if parameters["objective"] == "binary" else LABELS
    booster = train(parameters, labels=labels)
    booster.save_model(folder / "model.bst")
    model = loaded(folder)
    assert (model.platform, model.batchable, model.foreign) == ("lightgbm", True, False)
    [told], [given] = model.inputs, model.outputs
    assert (told.datatype, told.shape) == ("FP64", [-1, 4])
    assert (given.name, given.datatype, given.shape) == ("output-0", "FP64", shape)
    # In single precision, so that every datatype that is asked with holds the same numbers.
    rows = HOLES[::3].astype(np.float32).astype(np.float64)
    await compare(model, rows, booster.predict(rows), double)


@pytest.mark.parametrize("name", ["model.bst", "model.txt"])
def test_the_names_a_model_file_may_have(folder, loaded, answer, name):
    booster = train(SOFTMAX)
    booster.save_model(folder / name)
    (folder / "notes.txt").write_text("beside it")
    np.testing.assert_array_equal(answer(loaded(folder), FEATURES), booster.predict(FEATURES))
    np.testing.assert_array_equal(answer(loaded(folder, "lightgbm"), FEATURES), booster.predict(FEATURES))
    np.testing.assert_array_equal(answer(loaded(folder / name), FEATURES), booster.predict(FEATURES))


def test_numbers_of_every_type(folder, loaded, answer):
    booster = train(SOFTMAX)
    booster.save_model(folder / "model.bst")
    model = loaded(folder)
    whole = np.arange(40).reshape(10, 4)
    for kind in ("int8", "int32", "int64", "uint8", "uint64", "float16", "float32", "bool"):
        rows = whole.astype(kind)
        np.testing.assert_array_equal(answer(model, rows), booster.predict(rows.astype(np.float64)), err_msg=kind)
    assert answer(model, np.empty((0, 4))).shape == (0, 3)


def test_large_integers_keep_their_digits(folder, loaded, answer):
    features = np.array([[2**24 + at] for at in range(40)], np.float64)
    booster = train({"objective": "regression"}, features, np.arange(40.0), 40)
    booster.save_model(folder / "model.bst")
    rows = features.astype(np.int64)
    np.testing.assert_array_equal(answer(loaded(folder), rows), booster.predict(features))
    assert not np.array_equal(booster.predict(rows), booster.predict(features)), "the library has learned it"


def test_columns_by_name_in_any_order(folder, loaded, answer):
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    names = ["sepal length", "sepal width", "petal length", "petal width"]
    booster = train(SOFTMAX, pandas.DataFrame(HOLES, columns=names))
    booster.save_model(folder / "model.bst")
    model = loaded(folder)
    expected = booster.predict(FEATURES)
    columns = [Tensor(name, FEATURES[:, at]) for at, name in enumerate(names)]
    np.testing.assert_array_equal(answer(model, *(columns[at] for at in (3, 0, 2, 1))), expected)
    underscored = [Tensor(one.name.replace(" ", "_"), one.array) for one in columns]
    np.testing.assert_array_equal(answer(model, *underscored[::-1]), expected)
    np.testing.assert_array_equal(answer(model, Tensor("id", np.arange(150)), *columns), expected)
    with pytest.raises(InvalidInput, match="columns are missing: petal_width"):
        answer(model, *columns[:3])
    assert model.inputs[0].parameters == {"columns": [name.replace(" ", "_") for name in names]}


async def test_categories_by_name(folder, loaded, serving):
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    table = pandas.DataFrame(
        {
            "size": [1.0, 2, 3, 4] * 50,
            "colour": ["red", "blue", "green", "red"] * 50,
            "n": [5, 6, 7, 8] * 50,
            "year": [10, 20, 30, 10] * 50,
        }
    )
    table["colour"] = table["colour"].astype("category")
    table["year"] = table["year"].astype("category")
    parameters = {"min_data_per_group": 1, "cat_smooth": 0, "min_data_in_leaf": 1}
    booster = train(parameters, table, np.array([0, 1, 2, 0.5] * 50), 20)
    booster.save_model(folder / "model.txt")
    model = loaded(folder)
    assert [(one.name, one.datatype) for one in model.inputs] == [
        ("size", "FP64"),
        ("colour", "BYTES"),
        ("n", "FP64"),
        ("year", "FP64"),
    ]
    ask = await serving(model)
    rows = table[:4].astype({"colour": str, "year": int}).to_dict("records")
    expected = booster.predict(table[:4]).tolist()
    assert (await ask.predict("m", rows)).json["predictions"] == pytest.approx(expected)
    assert (await ask.predict("m", [list(row.values()) for row in rows])).json["predictions"] == pytest.approx(expected)
    tensors = [
        {"name": "year", "shape": [4], "datatype": "INT64", "data": [10, 20, 30, 10]},
        {"name": "size", "shape": [4, 1], "datatype": "FP32", "data": [1, 2, 3, 4]},
        {"name": "n", "shape": [4], "datatype": "INT32", "data": [5, 6, 7, 8]},
        {"name": "colour", "shape": [4], "datatype": "BYTES", "data": ["red", "blue", "green", "red"]},
    ]
    assert (await ask.infer("m", *tensors)).json["outputs"][0]["data"] == pytest.approx(expected)
    # A category that it has not seen is a missing value to LightGBM.
    unknown = table[:1].copy()
    unknown["colour"] = pandas.Series(["pink"], dtype="category")
    asked = (await ask.predict("m", [{**rows[0], "colour": "pink"}])).json["predictions"]
    assert asked == pytest.approx(booster.predict(unknown).tolist())
    assert (await ask.predict("m", [{**rows[0], "colour": None}])).json["predictions"] == pytest.approx(asked)


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([[1.0, 2.0]], "this model takes rows of 4 values, the request has shape [1, 2]"),
        ([[1.0] * 5], "this model takes rows of 4 values, the request has shape [1, 5]"),
        ([[1.0, "red", 2.0, 3.0]], "column 1, row 0: 'red' is not a number"),
    ],
)
async def test_rows_that_are_not_the_models_are_400(folder, loaded, serving, rows, says):
    train(SOFTMAX).save_model(folder / "model.bst")
    ask = await serving(loaded(folder))
    answered = await ask.predict("m", rows)
    assert (answered.status, says in answered.error) == (400, True), answered.error


def spoilt() -> list[Any]:
    whole = train(SOFTMAX).model_to_string().encode()
    return [
        pytest.param({"model.bst": b""}, "is no LightGBM model: it is empty", id="empty"),
        pytest.param({"model.bst": b"hello"}, "is no LightGBM model: it does not begin like one", id="text"),
        pytest.param({"model.bst": b"{L" + bytes(8) + b"learner"}, "it is a file of xgboost", id="xgboost's"),
        pytest.param({"model.bst": whole[: len(whole) // 2]}, "is cut short or damaged", id="half"),
        pytest.param({"model.bst": whole[:300]}, "is cut short or damaged", id="its head"),
        pytest.param({"model.bst": whole.replace(b"Tree=3", b"Tree=9")}, "is cut short or damaged", id="a tree less"),
        pytest.param({"model.bst": whole[:2000] + bytes(50) + whole[2050:]}, "damaged", id="a hole"),
        pytest.param({"a.bst": whole, "b.txt": whole}, "More than one model file is detected", id="two"),
        pytest.param({"model.pkl": b""}, "there is no model file in", id="none"),
    ]


@pytest.mark.parametrize(("files", "says"), spoilt())
def test_a_file_that_is_no_model_says_which_and_why(folder, loaded, files, says):
    for name, data in files.items():
        (folder / name).write_bytes(data)
    with pytest.raises(LoadError) as caught:
        loaded(folder, "lightgbm")
    assert says in str(caught.value)
    assert str(folder) in str(caught.value)


WHOLE = train(SOFTMAX, rounds=3).model_to_string().encode()


@given(st.integers(0, WHOLE.index(b"end of trees") - 1))
def test_wherever_a_file_is_cut_it_never_reaches_the_library(tmp_path_factory, at):
    with pytest.raises(LoadError, match="cut short"):
        checked(WHOLE[:at], tmp_path_factory.getbasetemp() / "model.bst")


def test_the_library_does_not_survive_what_is_held_back_from_it(tmp_path):
    """If it did one day, the check could go."""
    (tmp_path / "model.bst").write_bytes(WHOLE[: len(WHOLE) // 2])
    code = "import sys, lightgbm; lightgbm.Booster(model_file=sys.argv[1])"
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "model.bst"], capture_output=True, check=False, timeout=120
    )
    assert done.returncode != 0


def test_a_model_laid_out_for_mlserver(folder, loaded, answer):
    booster = train(SOFTMAX)
    booster.save_model(folder / "model.bst")
    model = loaded(folder, "mlserver_lightgbm.LightGBMModel", layout="mlserver")
    [output] = model.infer([Tensor("x", FEATURES)], NO_OPTIONS)
    assert (output.name, output.parameters) == ("predict", {"content_type": "np"})
    np.testing.assert_array_equal(output.array, booster.predict(FEATURES))
    with pytest.raises(InvalidInput, match="no output 'predict_proba'; it has predict"):
        answer(model, FEATURES, outputs=("predict_proba",))


def test_large_batches_use_the_threads_that_are_given_and_answer_the_same(folder, loaded, answer, monkeypatch):
    booster = train(SOFTMAX, rounds=60)
    booster.save_model(folder / "model.bst")
    model = loaded(folder, nthread="3")
    asked = []
    real = model._booster.predict

    def predict(rows: Any, num_threads: int) -> Any:
        asked.append(num_threads)
        return real(rows, num_threads=num_threads)

    monkeypatch.setattr(model._booster, "predict", predict)
    expected = booster.predict(FEATURES)
    np.testing.assert_array_equal(answer(model, np.tile(FEATURES, (8, 1))), np.tile(expected, (8, 1)))
    np.testing.assert_array_equal(answer(model, FEATURES[:1]), expected[:1])
    assert asked == [3, 1]
