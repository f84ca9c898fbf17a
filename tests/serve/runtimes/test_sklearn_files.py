"""skops files and whom they trust, other libraries' estimators, and the layout of MLServer."""

from __future__ import annotations

import copy
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from mizzen.serve.errors import InvalidInput, LoadError
from mizzen.serve.model import NO_OPTIONS, Options, Tensor

FEATURES, LABELS = load_iris(return_X_y=True)


@pytest.fixture
def skops() -> Any:
    return pytest.importorskip("skops.io", reason="skops is not installed")


async def test_a_skops_file_over_both_protocols(skops, folder, loaded, serving, tensor):
    fitted = make_pipeline(StandardScaler(), LogisticRegression()).fit(FEATURES, LABELS)
    skops.dump(fitted, folder / "model.skops")
    model = loaded(folder)
    assert (model.batchable, model.foreign, model.inputs[0].shape) == (True, False, [-1, 4])
    ask = await serving(model)
    expected = fitted.predict(FEATURES).tolist()
    assert (await ask.predict("m", FEATURES.tolist())).json == {"predictions": expected}
    assert (await ask.infer("m", tensor(FEATURES))).json["outputs"][0]["data"] == expected


def test_types_that_are_not_trusted_are_refused_by_name_unless_they_are_listed(skops, folder, loaded, answer):
    fitted = make_pipeline(FunctionTransformer(copy.copy), LinearRegression()).fit(FEATURES, LABELS)
    skops.dump(fitted, folder / "model.skops")
    untrusted = skops.get_untrusted_types(file=folder / "model.skops")
    assert untrusted, "skops trusts all of it, so this shows nothing"
    with pytest.raises(LoadError) as caught:
        loaded(folder)
    assert "holds types that are not trusted: " + ", ".join(untrusted) in str(caught.value)
    assert f"MIZZEN_TRUSTED_TYPES={','.join(untrusted)}" in str(caught.value)
    by_variable = loaded(folder, environ={"MIZZEN_TRUSTED_TYPES": ", ".join(untrusted)})
    by_settings = loaded(folder, trusted=untrusted)
    for model in (by_variable, by_settings):
        np.testing.assert_array_equal(answer(model, FEATURES), fitted.predict(FEATURES))
        assert model.foreign, "a function as a step is not to be batched"
    with pytest.raises(LoadError, match="not trusted"):
        loaded(folder, trusted=["numpy.something_else"])


def test_skops_files_that_are_none(skops, folder, loaded):
    (folder / "model.skops").write_bytes(b"hello")
    with pytest.raises(LoadError, match=r"model\.skops is no skops file, or is cut short"):
        loaded(folder)
    skops.dump(LinearRegression().fit(FEATURES, LABELS), folder / "model.skops")
    whole = (folder / "model.skops").read_bytes()
    (folder / "model.skops").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(LoadError, match=r"model\.skops is no skops file, or is cut short"):
        loaded(folder)


def test_a_file_of_another_framework_says_whose_it_is(folder, loaded):
    (folder / "model.pkl").write_bytes(b"tree\nversion=v4\n")
    with pytest.raises(LoadError, match=r"is no pickle or joblib file.*; it is a file of lightgbm"):
        loaded(folder)


@pytest.mark.parametrize("name", ["xgboost.XGBClassifier", "lightgbm.LGBMClassifier", "catboost.CatBoostClassifier"])
async def test_estimators_of_other_libraries_pickled(folder, loaded, compare, double, name):
    module, _, kind = name.partition(".")
    library = pytest.importorskip(module, reason=f"{module} is not installed")
    quiet = {"lightgbm": {"verbose": -1}, "catboost": {"verbose": 0, "allow_writing_files": False}}.get(module, {})
    fitted = getattr(library, kind)(n_estimators=5, **quiet).fit(FEATURES, LABELS)
    joblib.dump(fitted, folder / "model.joblib")
    model = loaded(folder, environ={"PREDICT_PROBA": "true"})
    assert (model.batchable, model.foreign) == (True, False)
    rows = FEATURES[::5].astype(np.float32).astype(np.float64)
    await compare(model, rows, fitted.predict_proba(rows), double)


def test_wrappers_use_the_threads_they_are_given_unless_their_user_said_how_many(folder, loaded):
    library = pytest.importorskip("xgboost", reason="xgboost is not installed")
    for given, found in ((None, 2), (3, 3)):
        fitted = library.XGBClassifier(n_estimators=2, n_jobs=given).fit(FEATURES, LABELS)
        joblib.dump(make_pipeline(StandardScaler(), fitted), folder / "model.joblib")
        model = loaded(folder, nthread=2)
        assert model._estimator.steps[-1][1].n_jobs == found
        assert model.foreign, "a step from outside scikit-learn is batched only where that is declared"


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([[1.0, 2.0]], "X has 2 features, but LogisticRegression is expecting 4 features as input"),
        ([[1.0, None, 2.0, 3.0]], "Input X contains NaN"),
        ([[1.0, "red", 2.0, 3.0]], "could not convert string to float: 'red'"),
        ([1.0, 2.0, 3.0, 4.0], "Expected 2D array, got 1D array instead"),
    ],
)
async def test_rows_that_an_estimator_refuses_are_400(folder, loaded, serving, rows, says):
    joblib.dump(LogisticRegression(max_iter=500).fit(FEATURES, LABELS), folder / "model.joblib")
    ask = await serving(loaded(folder))
    answered = await ask.predict("m", rows)
    assert (answered.status, says in answered.error) == (400, True), answered.error


async def test_a_category_that_an_encoder_refuses_is_400(folder, loaded, serving):
    rows = np.array([["red"], ["blue"], ["red"]], object)
    joblib.dump(make_pipeline(OneHotEncoder(), LinearRegression()).fit(rows, [1.0, 2, 1]), folder / "model.joblib")
    ask = await serving(loaded(folder))
    assert (await ask.predict("m", [["blue"]])).status == 200
    answered = await ask.predict("m", [["red"], ["pink"]])
    assert (answered.status, "Found unknown categories ['pink']" in answered.error) == (400, True)


async def test_what_code_of_ones_own_raises_stays_500(folder, loaded, serving, monkeypatch):
    fitted = make_pipeline(FunctionTransformer(np.cbrt), LinearRegression()).fit(FEATURES, LABELS)
    joblib.dump(fitted, folder / "model.joblib")
    ask = await serving(loaded(folder))
    assert (await ask.predict("m", [[1.0, 2.0]])).status == 500


def test_several_outputs_at_once_are_an_output_each(folder, loaded):
    several = MultiOutputClassifier(LogisticRegression(max_iter=500)).fit(
        FEATURES, np.column_stack([LABELS, LABELS > 0])
    )
    joblib.dump(several, folder / "model.joblib")
    found = loaded(folder, environ={"PREDICT_PROBA": "true"}).infer([Tensor("x", FEATURES)], NO_OPTIONS)
    assert [(one.name, one.array.shape) for one in found] == [("output-0", (150, 3)), ("output-1", (150, 2))]
    for one, expected in zip(found, several.predict_proba(FEATURES), strict=True):
        np.testing.assert_array_equal(one.array, expected)


# MLServer's layout.


def laid_out(folder: Any, loaded: Any, estimator: Any, **settings: Any) -> Any:
    joblib.dump(estimator, folder / "model.joblib")
    return loaded(folder, "mlserver_sklearn.SKLearnModel", layout="mlserver", **settings)


def asked(model: Any, *names: str, **more: Any) -> dict[str, Any]:
    options = Options(outputs=names or None, **more)
    return {one.name: one.array for one in model.infer([Tensor("x", FEATURES)], options)}


def test_mlservers_outputs_are_methods(folder, loaded):
    fitted = LogisticRegression(max_iter=500).fit(FEATURES, LABELS)
    model = laid_out(folder, loaded, fitted)
    assert [(one.name, one.datatype, one.shape) for one in model.outputs] == [("predict", "INT64", [-1, 1])]
    [output] = model.infer([Tensor("x", FEATURES)], NO_OPTIONS)
    assert (output.name, output.parameters) == ("predict", {"content_type": "np"})
    np.testing.assert_array_equal(output.array, fitted.predict(FEATURES).reshape(-1, 1))
    found = asked(model, "predict_proba", "predict", "decision_function")
    assert list(found) == ["predict_proba", "predict", "decision_function"]
    np.testing.assert_array_equal(found["predict_proba"], fitted.predict_proba(FEATURES))
    np.testing.assert_array_equal(found["decision_function"], fitted.decision_function(FEATURES))
    with pytest.raises(InvalidInput, match=r"no output 'transform'; it has predict, predict_proba, decision_function"):
        asked(model, "transform")
    assert list(asked(laid_out(folder, loaded, fitted, predict_fn="predict_proba"))) == ["predict_proba"]


def test_mlserver_serves_what_only_transforms(folder, loaded):
    scaler = StandardScaler().fit(FEATURES)
    model = laid_out(folder, loaded, scaler, predict_fn="transform")
    np.testing.assert_array_equal(asked(model)["transform"], scaler.transform(FEATURES))
    joblib.dump(scaler, folder / "model.joblib")
    with pytest.raises(LoadError, match="holds a StandardScaler, which has no predict method"):
        loaded(folder)


def test_mlserver_gives_a_table_by_its_columns(folder, loaded):
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    table = pandas.DataFrame(FEATURES, columns=["a", "b", "c", "d"])
    scaler = StandardScaler().set_output(transform="pandas").fit(table)
    model = laid_out(folder, loaded, scaler, predict_fn="transform", content_type="pd")
    assert list(asked(model)) == ["a", "b", "c", "d"]
    assert asked(model, "transform")["transform"].shape == (150, 4)


def test_mlservers_declared_inputs_and_content_types(folder, loaded):
    inputs = [{"name": "x", "datatype": "FP32", "shape": [-1, 4], "parameters": {"content_type": "np"}}]
    told = [{"name": "predict", "datatype": "INT64", "shape": [-1]}]
    fitted = LogisticRegression(max_iter=500).fit(FEATURES, LABELS)
    model = laid_out(folder, loaded, fitted, inputs=inputs, outputs=told)
    [one] = model.inputs
    assert (one.name, one.datatype, one.shape, one.parameters) == ("x", "FP32", [-1, 4], {"content_type": "np"})
    assert model.outputs[0].shape == [-1]
    np.testing.assert_array_equal(asked(model)["predict"].ravel(), fitted.predict(FEATURES))


async def test_mlservers_clients_choose_outputs_over_the_wire(folder, loaded, serving, tensor):
    fitted = LogisticRegression(max_iter=500).fit(FEATURES, LABELS)
    ask = await serving(laid_out(folder, loaded, fitted))
    answered = await ask.infer("m", tensor(FEATURES[:2]), outputs=[{"name": "predict_proba"}, {"name": "predict"}])
    proba, labels = answered.json["outputs"]
    assert (proba["name"], proba["shape"], proba["parameters"]) == ("predict_proba", [2, 3], {"content_type": "np"})
    np.testing.assert_allclose(proba["data"], fitted.predict_proba(FEATURES[:2]).ravel())
    assert (labels["name"], labels["shape"], labels["data"]) == ("predict", [2, 1], [0, 0])
    refused = await ask.infer("m", tensor(FEATURES[:2]), outputs=[{"name": "output-0"}])
    assert (refused.status, "this model has no output 'output-0'" in refused.error) == (400, True)


async def test_a_request_is_read_as_a_table_where_it_says_so(folder, loaded, serving, tensor):
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    fitted = LogisticRegression(max_iter=500).fit(pandas.DataFrame({"x": FEATURES[:, 0]}), LABELS)
    joblib.dump(fitted, folder / "model.joblib")
    ask = await serving(loaded(folder))
    expected = fitted.predict(pandas.DataFrame({"x": FEATURES[:5, 0]})).tolist()
    answered = await ask.infer("m", tensor(FEATURES[:5, 0], name="x"), parameters={"content_type": "pd"})
    assert answered.json["outputs"][0]["data"] == expected
