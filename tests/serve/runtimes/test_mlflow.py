"""MLflow models as users log them: signatures of columns and of tensors, code of one's own, parameters."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

from mizzen.serve.errors import InvalidInput, LoadError
from mizzen.serve.model import NO_OPTIONS, Tensor

# Before it is imported: nobody is told of our tests, and no thread is started.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
mlflow = pytest.importorskip("mlflow", reason="mlflow is not installed")
pandas = pytest.importorskip("pandas", reason="pandas is not installed")
pyfunc = pytest.importorskip("mlflow.pyfunc", reason="mlflow is not installed")

FEATURES, LABELS = load_iris(return_X_y=True)
NAMES = ["sepal length", "sepal width", "petal length", "petal width"]
TABLE = pandas.DataFrame(FEATURES, columns=NAMES)
NEEDS: dict[str, Any] = {"pip_requirements": []}


def signature(*arguments: Any, **more: Any) -> Any:
    from mlflow.models import infer_signature

    return infer_signature(*arguments, **more)


@pytest.fixture
def save(tmp_path: Any) -> Any:
    """Save a pyfunc of a function of the data (and of the parameters), get its folder."""

    def saved(function: Any, **more: Any) -> Any:
        class Own(pyfunc.PythonModel):
            def predict(self, context, model_input, params=None):
                return function(model_input, params) if function.__code__.co_argcount == 2 else function(model_input)

        pyfunc.save_model(tmp_path / "saved", python_model=Own(), **NEEDS, **more)
        return tmp_path / "saved"

    return saved


@pytest.fixture(scope="module")
def by_columns(tmp_path_factory: pytest.TempPathFactory) -> Any:
    fitted = LogisticRegression(max_iter=500).fit(TABLE, LABELS)
    return logged(tmp_path_factory, fitted, signature(TABLE, fitted.predict(TABLE))), fitted


@pytest.fixture(scope="module")
def by_tensor(tmp_path_factory: pytest.TempPathFactory) -> Any:
    fitted = LogisticRegression(max_iter=500).fit(FEATURES, LABELS)
    return logged(tmp_path_factory, fitted, signature(FEATURES, fitted.predict(FEATURES))), fitted


def logged(factory: Any, fitted: Any, told: Any) -> Any:
    import mlflow.sklearn

    folder = factory.mktemp("mlflow") / "model"
    mlflow.sklearn.save_model(fitted, folder, signature=told, serialization_format="cloudpickle", **NEEDS)
    return folder


async def test_a_signature_of_columns_over_both_protocols(by_columns, loaded, serving, tensor):
    folder, fitted = by_columns
    model = loaded(folder)
    assert (model.platform, model.batchable, model.foreign) == ("mlflow", False, True)
    assert [(one.name, one.datatype, one.shape) for one in model.inputs] == [(name, "FP64", [-1]) for name in NAMES]
    assert [(one.name, one.datatype, one.shape) for one in model.outputs] == [("output-0", "INT64", [-1])]
    expected = fitted.predict(TABLE).tolist()
    ask = await serving(model)
    assert (await ask.predict("m", TABLE.to_dict("records"))).json == {"predictions": expected}
    assert (await ask.predict("m", FEATURES.tolist())).json == {"predictions": expected}
    # Whole numbers, and numbers of half the precision, are numbers.
    assert (await ask.predict("m", [[5, 3, 1, 0], [6, 3, 5, 2]])).json == {"predictions": [0, 2]}
    columns = [tensor(FEATURES[:, at], "FP32", name) for at, name in enumerate(NAMES)]
    answered = (await ask.infer("m", *columns[::-1])).json["outputs"]
    assert answered == [{"name": "output-0", "datatype": "INT64", "shape": [150], "data": expected, "parameters": None}]
    assert (await ask.infer("m", tensor(FEATURES))).json["outputs"][0]["data"] == expected


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([[1.0, 2.0]], "this model takes rows of 4 values, the request has shape [1, 2]"),
        ([{"sepal length": 1.0}], "columns are missing: sepal width, petal length, petal width"),
        ([dict.fromkeys(NAMES, "red")], "column 'sepal length', row 0: 'red' is not a number"),
    ],
)
async def test_what_a_signature_of_columns_refuses_is_400(by_columns, loaded, serving, rows, says):
    ask = await serving(loaded(by_columns[0]))
    answered = await ask.predict("m", rows)
    assert (answered.status, says in answered.error) == (400, True), answered.error


async def test_a_signature_of_one_tensor(by_tensor, loaded, serving, tensor):
    folder, fitted = by_tensor
    model = loaded(folder)
    assert [(one.name, one.datatype, one.shape) for one in model.inputs] == [("input-0", "FP64", [-1, 4])]
    expected = fitted.predict(FEATURES).tolist()
    ask = await serving(model)
    assert (await ask.predict("m", FEATURES.tolist())).json == {"predictions": expected}
    for datatype in ("FP64", "FP32"):
        assert (await ask.infer("m", tensor(FEATURES, datatype, "any"))).json["outputs"][0]["data"] == expected
    answered = await ask.predict("m", [[1.0, 2.0]])
    assert (answered.status, answered.error) == (
        400,
        "input 'input-0' of model 'm' is of shape [-1, 4] (-1: any length), not [1, 2]",
    )


async def test_a_signature_of_tensors_by_name(save, loaded, serving, tensor):
    told = signature({"a": np.zeros((2, 3), np.float32), "b": np.zeros((2,), np.int64)}, {"sum": np.zeros(2)})
    folder = save(lambda data: {"sum": data["a"].sum(axis=1) + data["b"]}, signature=told)
    model = loaded(folder)
    assert [(one.name, one.datatype, one.shape) for one in model.inputs] == [
        ("a", "FP32", [-1, 3]),
        ("b", "INT64", [-1]),
    ]
    ask = await serving(model)
    answered = await ask.infer("m", tensor([[1, 2, 3]], "FP64", "a"), tensor([4], "INT32", "b"))
    assert answered.json["outputs"][0]["name"] == "sum"
    assert answered.json["outputs"][0]["data"] == [10.0]
    refused = await ask.infer("m", tensor([[1, 2, 3]], "FP64", "a"))
    assert (refused.status, "input 'b' is missing" in refused.error) == (400, True)


def test_every_type_of_column(save, loaded):
    def told(data: Any) -> Any:
        return {name: f"{data[name].dtype} {data[name].tolist()}" for name in data.columns}

    from mlflow.types import ColSpec, Schema

    kinds = ["boolean", "integer", "long", "float", "double", "string", "binary", "datetime"]
    schema = Schema([ColSpec(kind, f"a {kind}") for kind in kinds] + [ColSpec("double", "maybe", required=False)])
    from mlflow.models import ModelSignature

    model = loaded(save(told, signature=ModelSignature(inputs=schema)))
    assert [one.datatype for one in model.inputs] == [
        *("BOOL", "INT32", "INT64", "FP32", "FP64", "BYTES", "BYTES", "BYTES", "FP64")
    ]
    columns = [
        Tensor("a boolean", np.array([True, False])),
        Tensor("a integer", np.array([1.0, 2.0])),
        Tensor("a long", np.array([1, 2], np.int32)),
        Tensor("a float", np.array([0.5, 1], np.float64)),
        Tensor("a double", np.array([1, None], object)),
        Tensor("a string", np.array([b"caf\xc3\xa9", "b"], object)),
        Tensor("a binary", np.array([b"\xff", b"b"], object)),
        Tensor("a datetime", np.array(["2024-01-02T03:04:05", "2024-01-02"], object)),
    ]
    seen = {one.name: one.array.item() for one in model.infer(columns, NO_OPTIONS)}
    stamps = seen.pop("a datetime")
    assert stamps.startswith("datetime64")
    assert "2024-01-02 03:04:05" in stamps
    assert seen.pop("a string").endswith("['café', 'b']")
    assert seen == {
        "a boolean": "bool [True, False]",
        "a integer": "int32 [1, 2]",
        "a long": "int64 [1, 2]",
        "a float": "float32 [0.5, 1.0]",
        "a double": "float64 [1.0, nan]",
        "a binary": "object [b'\\xff', b'b']",
    }
    for at, bad, says in (
        (1, [0.5, 1.0], "column 'a integer' takes INT32; 0.5 is no such value"),
        (2, [None, 1], "column 'a long' takes INT64; nan is no such value"),
        (7, ["yesterday", "x"], "column 'a datetime'"),
    ):
        spoilt = [*columns[:at], Tensor(columns[at].name, np.array(bad, object)), *columns[at + 1 :]]
        with pytest.raises(InvalidInput) as caught:
            model.infer(spoilt, NO_OPTIONS)
        assert says in str(caught.value)


def test_what_only_mlflow_refuses_is_said_without_the_data(save, loaded, answer):
    folder = save(lambda data: np.zeros(len(data)), signature=signature(pandas.DataFrame({"word": ["a"]})))
    model = loaded(folder)
    with pytest.raises(InvalidInput) as caught:
        answer(model, Tensor("word", np.array([1.5, 2.5])))
    assert "word" in str(caught.value)
    assert "with schema" not in str(caught.value)


def test_parameters_of_a_signature(save, loaded, answer):
    told = signature(FEATURES, np.zeros(1), params={"times": 2, "more": 0.5})
    model = loaded(save(lambda data, params: data.sum(axis=1) * params["times"], signature=told))
    rows = np.ones((2, 4))
    assert answer(model, rows).tolist() == [8.0, 8.0]
    assert answer(model, rows, parameters={"times": 3, "content_type": "np", "unknown": 1}).tolist() == [12.0, 12.0]
    with pytest.raises(InvalidInput, match="times"):
        answer(model, rows, parameters={"times": "many"})


@pytest.mark.filterwarnings("ignore::UserWarning")
async def test_without_a_signature_a_matrix_stays_one_and_columns_are_a_frame(save, loaded, serving, tensor):
    model = loaded(save(lambda data: np.array([f"{type(data).__name__} {list(data.shape)}"])))
    assert (model.inputs, model.outputs) == ([], [])
    ask = await serving(model)
    assert (await ask.predict("m", [[1, 2]])).json == {"predictions": ["ndarray [1, 2]"]}
    assert (await ask.predict("m", ["one", "two"])).json == {"predictions": ["ndarray [2]"]}
    assert (await ask.predict("m", [{"a": 1, "b": "x"}])).json == {"predictions": ["DataFrame [1, 2]"]}
    assert (await ask.predict("m", [{"a": 1}])).json == {"predictions": ["DataFrame [1, 1]"]}
    answered = await ask.infer("m", tensor([[1.0], [2.0]], name="a"), tensor([1, 2], "INT64", "b"))
    assert answered.json["outputs"][0]["data"] == ["DataFrame [2, 2]"]


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_what_a_model_returns(save, loaded, tmp_path):
    results = iter(
        [
            pandas.DataFrame({"a": [1, 2], "b": ["x", "y"]}),
            pandas.Series([1.5, 2.5]),
            ["one", "two"],
            "alone",
            {"a": [1, 2], "b": 3.0},
        ]
    )
    model = loaded(save(lambda data: data))
    model._model = type("Stub", (), {"predict": lambda self, data, params: next(results)})()
    rows = [Tensor("x", np.ones((2, 2)))]
    found = [[(one.name, one.array.tolist()) for one in model.infer(rows, NO_OPTIONS)] for _ in range(5)]
    assert found == [
        [("a", [1, 2]), ("b", ["x", "y"])],
        [("output-0", [1.5, 2.5])],
        [("output-0", ["one", "two"])],
        [("output-0", ["alone"])],
        [("a", [1, 2]), ("b", [3.0])],
    ]


async def test_what_the_models_code_raises_is_500_with_its_text(save, loaded, serving):
    def fail(data: Any) -> Any:
        raise ValueError("the moon is wrong")

    ask = await serving(loaded(save(fail, signature=signature(FEATURES, LABELS))))
    answered = await ask.predict("m", FEATURES[:1].tolist())
    assert (answered.status, answered.error) == (500, "the moon is wrong")


def test_rows_of_a_type_hint(tmp_path, loaded, answer):
    class Own(pyfunc.PythonModel):
        def predict(self, model_input: list[str]) -> list[str]:
            return [text.upper() for text in model_input]

    pyfunc.save_model(tmp_path / "saved", python_model=Own(), input_example=["a"], **NEEDS)
    model = loaded(tmp_path / "saved")
    assert answer(model, Tensor("instances", np.array(["one", "two"], object))).tolist() == ["ONE", "TWO"]


def test_folders_that_are_no_model(folder, loaded, by_columns):
    with pytest.raises(LoadError, match=r"there is no MLmodel file in .*: it is empty"):
        loaded(folder, "mlflow")
    (folder / "MLmodel").write_text("flavors: {}\n")
    with pytest.raises(LoadError, match=r"cannot be loaded by MLflow.*python_function"):
        loaded(folder)
    (folder / "MLmodel").write_text("flavors:\n  python_function:\n    loader_module: my_company.models\n")
    with pytest.raises(LoadError, match=r"needs the Python module 'my_company'.*requirements\.txt"):
        loaded(folder)
    (folder / "MLmodel").write_text(": [")
    with pytest.raises(LoadError, match="cannot be loaded by MLflow"):
        loaded(folder)
    assert loaded(by_columns[0] / "MLmodel").inputs[0].name == "sepal length"


def test_a_model_laid_out_for_mlserver(by_tensor, loaded):
    folder, fitted = by_tensor
    model = loaded(folder, "mlserver_mlflow.MLflowRuntime", layout="mlserver")
    [output] = model.infer([Tensor("x", FEATURES)], NO_OPTIONS)
    assert (output.name, output.parameters) == ("output-1", {"content_type": "np"})
    assert output.array.tolist() == fitted.predict(FEATURES).reshape(-1, 1).tolist()


def test_loading_and_asking_leaves_nothing_behind(by_columns, loaded, answer, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    answer(loaded(by_columns[0]), FEATURES)
    assert list(tmp_path.iterdir()) == []
