"""Models of every framework, by the runtimes and images that KServe has for them, in a whole installation."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from installed import Mizzen, installation, new_home, until
from storage import weed

datasets = pytest.importorskip("sklearn.datasets", reason="scikit-learn is not installed")
FLOWERS, CLASSES = datasets.load_iris(return_X_y=True)
SOME = FLOWERS[[0, 70, 140]]

# Makes modules of an environment look as if they were not installed, for every Python that is started with it.
HIDE = """
import importlib.abc, sys
class Hidden(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {names!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Hidden())
"""


@pytest.fixture(scope="module")
def mizzen() -> Iterator[Mizzen]:
    with installation() as running:
        yield running


def manifest(name: str, kind: str, uri: str | Path, **model: Any) -> str:
    where = uri if isinstance(uri, str) else f"file://{uri}"
    spec = {"model": {"modelFormat": {"name": kind}, "storageUri": where, **model}}
    return service(name, spec)


def service(name: str, predictor: dict[str, Any]) -> str:
    return json.dumps(
        {
            "apiVersion": "serving.kserve.io/v1beta1",
            "kind": "InferenceService",
            "metadata": {"name": name},
            "spec": {"predictor": predictor},
        }
    )


def infer(mizzen: Mizzen, name: str, model: str = "", datatype: str = "FP32", tensor_name: str = "X") -> dict[str, Any]:
    """The answer over V2, its outputs by their names."""
    tensor = {"name": tensor_name, "shape": list(SOME.shape), "datatype": datatype, "data": SOME.tolist()}
    status, answer = mizzen.post(
        f"{name}-default.example.com", f"/v2/models/{model or name}/infer", {"inputs": [tensor]}
    )
    assert status == 200, answer
    return {one["name"]: np.reshape(one["data"], one["shape"]) for one in answer["outputs"]}


def predict(mizzen: Mizzen, name: str, model: str = "") -> Any:
    """The predictions over V1."""
    status, answer = mizzen.post(
        f"{name}-default.example.com", f"/v1/models/{model or name}:predict", {"instances": SOME.tolist()}
    )
    assert status == 200, answer
    return answer["predictions"]


def xgboost(folder: Path) -> Any:
    library = pytest.importorskip("xgboost", reason="xgboost is not installed")
    booster = library.train({"nthread": 1}, library.DMatrix(FLOWERS, CLASSES), 5)
    booster.save_model(folder / "model.ubj")
    return booster.inplace_predict(SOME)


def lightgbm(folder: Path) -> Any:
    library = pytest.importorskip("lightgbm", reason="lightgbm is not installed")
    booster = library.train({"num_threads": 1, "verbose": -1}, library.Dataset(FLOWERS, CLASSES), 5)
    booster.save_model(folder / "model.bst")
    return booster.predict(SOME)


def catboost(folder: Path) -> Any:
    library = pytest.importorskip("catboost", reason="catboost is not installed")
    fitted = library.CatBoostRegressor(iterations=5, verbose=0, thread_count=1, allow_writing_files=False)
    fitted.fit(FLOWERS, CLASSES).save_model(str(folder / "model.cbm"))
    return fitted.predict(SOME)


def pytorch(folder: Path) -> Any:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    torch.manual_seed(0)
    layer = torch.nn.Linear(4, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.script(layer).save(str(folder / "model.pt"))
    with torch.no_grad():
        return layer(torch.tensor(SOME, dtype=torch.float32)).numpy()


def sklearn(folder: Path) -> Any:
    import joblib
    from sklearn.linear_model import LogisticRegression

    fitted = LogisticRegression(max_iter=500).fit(FLOWERS, CLASSES)
    joblib.dump(fitted, folder / "model.joblib")
    return fitted.predict(SOME)


def onnx(folder: Path) -> Any:
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    convert = pytest.importorskip("skl2onnx", reason="skl2onnx is not installed")
    from sklearn.linear_model import LinearRegression

    fitted = LinearRegression().fit(FLOWERS, CLASSES)
    graph = convert.to_onnx(fitted, FLOWERS[:1].astype(np.float32))
    (folder / "model.onnx").write_bytes(graph.SerializeToString())
    return fitted.predict(SOME)


def mlflow(folder: Path) -> Any:
    pytest.importorskip("mlflow", reason="mlflow is not installed")
    pytest.importorskip("mlflow.pyfunc", reason="mlflow is not installed")
    import mlflow.sklearn
    from sklearn.linear_model import LinearRegression

    fitted = LinearRegression().fit(FLOWERS, CLASSES)
    mlflow.sklearn.save_model(fitted, folder / "m", serialization_format="cloudpickle", pip_requirements=[])
    for file in (folder / "m").iterdir():
        file.rename(folder / file.name)
    (folder / "m").rmdir()
    return fitted.predict(SOME)


@pytest.mark.parametrize(
    ("train", "protocol", "runtime"),
    [
        (xgboost, None, "kserve-xgbserver"),
        (lightgbm, None, "kserve-lgbserver"),
        (catboost, None, "mizzen-catboostserver"),
        (pytorch, None, "mizzen-pytorchserver"),
        (onnx, "v2", "kserve-tritonserver"),
        (mlflow, "v2", "kserve-mlserver"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_a_model_is_ready_and_answers_over_both_protocols(
    mizzen: Mizzen, tmp_path: Path, train: Callable[[Path], Any], protocol: str | None, runtime: str
) -> None:
    expected = np.ravel(train(tmp_path))
    name = train.__name__
    mizzen.apply(manifest(name, name, tmp_path, **({"protocolVersion": protocol} if protocol else {})))
    ready = mizzen.wait_ready(name)
    assert ready["status"]["clusterServingRuntimeName"] == runtime
    answers = predict(mizzen, name)
    np.testing.assert_allclose(
        np.ravel([list(a.values()) if isinstance(a, dict) else a for a in answers]), expected, 1e-4
    )
    (output,) = infer(mizzen, name, tensor_name="X" if train is onnx else "input-0").values()
    np.testing.assert_allclose(output.ravel(), expected, 1e-4)
    mizzen("delete", "isvc", name)


def test_mlservers_runtime_answers_as_mlserver_does(mizzen: Mizzen, tmp_path: Path) -> None:
    expected = sklearn(tmp_path)
    mizzen.apply(manifest("by-mlserver", "sklearn", tmp_path, protocolVersion="v2"))
    ready = mizzen.wait_ready("by-mlserver")
    assert ready["status"]["clusterServingRuntimeName"] == "kserve-mlserver"
    assert infer(mizzen, "by-mlserver", datatype="FP64")["predict"].tolist() == [[one] for one in expected]
    events = mizzen.objects("events")
    # It has not imported scikit-learn anew.
    assert any("forked from sklearn" in e["message"] and "by-mlserver" in e["involvedObject"]["name"] for e in events)
    mizzen("delete", "isvc", "by-mlserver")


def test_a_triton_repository_is_served_by_its_models_names(mizzen: Mizzen, tmp_path: Path) -> None:
    folder = tmp_path / "flowers/1"
    folder.mkdir(parents=True)
    expected = onnx(folder)
    (tmp_path / "flowers/config.pbtxt").write_text('platform: "onnxruntime_onnx"\nmax_batch_size: 8\n')
    mizzen.apply(manifest("by-triton", "triton", tmp_path))
    mizzen.wait_ready("by-triton")
    (output,) = infer(mizzen, "by-triton", "flowers").values()
    np.testing.assert_allclose(output.ravel(), expected, 1e-4)
    mizzen("delete", "isvc", "by-triton")


def test_a_model_that_writes_text_is_asked_over_openais_protocol(mizzen: Mizzen, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    pytest.importorskip("transformers", reason="transformers is not installed")
    from serve.runtimes import tiny_transformers

    folder = tiny_transformers.causal(tmp_path / "fox")
    mizzen.apply(manifest("fox", "huggingface", folder))
    ready = mizzen.wait_ready("fox")
    assert ready["status"]["clusterServingRuntimeName"] == "kserve-huggingfaceserver"
    asked = {"model": "fox", "prompt": "The quick", "max_tokens": 5, "temperature": 0}
    status, answer = mizzen.post("fox-default.example.com", "/openai/v1/completions", asked, timeout=30)
    assert status == 200, answer
    assert answer["usage"]["completion_tokens"] == 5
    mizzen("delete", "isvc", "fox")


def test_containers_that_people_have_written_for_other_servers(mizzen: Mizzen, tmp_path: Path) -> None:
    """Images and arguments as in manifests for Triton and MLServer, without any runtime."""
    (tmp_path / "triton/flowers/1").mkdir(parents=True)
    (tmp_path / "mlserver").mkdir()
    numbers, classes = onnx(tmp_path / "triton/flowers/1"), sklearn(tmp_path / "mlserver")
    options = ["--model-repository=/mnt/models", "--http-port=8080", "--strict-model-config=false"]
    settings = {
        "MLSERVER_MODEL_NAME": "classes",
        "MLSERVER_MODEL_URI": "/mnt/models",
        "MLSERVER_MODEL_IMPLEMENTATION": "mlserver_sklearn.SKLearnModel",
        "MLSERVER_HTTP_PORT": "8080",
    }
    for name, image, args, env in (
        ("own-triton", "nvcr.io/nvidia/tritonserver:23.05-py3", ["tritonserver", *options], {}),
        ("own-mlserver", "docker.io/seldonio/mlserver:1.7.1", [], settings),
    ):
        env = env | {"STORAGE_URI": f"file://{tmp_path / name.removeprefix('own-')}"}
        variables = [{"name": key, "value": value} for key, value in env.items()]
        container = {"name": "kserve-container", "image": image, "args": args, "env": variables}
        mizzen.apply(service(name, {"containers": [container]}))
    mizzen.wait_ready("own-triton")
    mizzen.wait_ready("own-mlserver")
    (output,) = infer(mizzen, "own-triton", "flowers").values()
    np.testing.assert_allclose(output.ravel(), numbers, 1e-4)
    assert infer(mizzen, "own-mlserver", "classes", "FP64")["predict"].ravel().tolist() == classes.tolist()
    mizzen("delete", "isvc", "own-triton", "own-mlserver")


def test_a_model_in_s3_is_fetched_once_with_the_accounts_credentials(mizzen: Mizzen, tmp_path: Path) -> None:
    boto3 = pytest.importorskip("boto3", reason="boto3 is not installed")
    (tmp_path / "model").mkdir()
    (tmp_path / "weed").mkdir()
    expected = sklearn(tmp_path / "model")
    with weed.running(tmp_path / "weed") as url:
        names = {"aws_access_key_id": "AWS_ACCESS_KEY_ID", "aws_secret_access_key": "AWS_SECRET_ACCESS_KEY"}
        options = {option: weed.OWNER[name] for option, name in names.items()}
        client = boto3.client("s3", endpoint_url=url, region_name="us-east-1", **options)
        client.create_bucket(Bucket="models")
        client.upload_file(str(tmp_path / "model/model.joblib"), "models", "iris/model.joblib")
        annotations = {
            "serving.kserve.io/s3-endpoint": url.removeprefix("http://"),
            "serving.kserve.io/s3-usehttps": "0",
        }
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "s3", "annotations": annotations},
            "stringData": weed.OWNER,
        }
        account = {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": "reader"},
            "secrets": [{"name": "s3"}],
        }
        mizzen.apply("\n---\n".join(map(json.dumps, [secret, account])))
        for name in ("first", "second"):
            model = {"modelFormat": {"name": "sklearn"}, "storageUri": "s3://models/iris"}
            mizzen.apply(service(name, {"serviceAccountName": "reader", "model": model}))
            mizzen.wait_ready(name)
            assert predict(mizzen, name) == expected.tolist()
        first, second = (mizzen("logs", f"isvc/{name}", "-c", "storage-initializer") for name in ("first", "second"))
        assert "download" in first
        assert "download" not in second
        assert "from the cache" in second
        assert (mizzen.home / "cache").is_dir()
        (pod,) = mizzen.objects("pods", "-l", "serving.kserve.io/inferenceservice=first")
        assert weed.OWNER["AWS_SECRET_ACCESS_KEY"] not in json.dumps(pod)
    mizzen("delete", "isvc", "first", "second")


def test_a_framework_that_is_not_installed_is_named_by_the_service(tmp_path: Path) -> None:
    (tmp_path / "hide").mkdir()
    (tmp_path / "hide/sitecustomize.py").write_text(HIDE.format(names={"xgboost", "onnxruntime"}))
    (tmp_path / "xgboost").mkdir()
    (tmp_path / "onnx").mkdir()
    (tmp_path / "xgboost/model.ubj").write_bytes(b"{L")
    (tmp_path / "onnx/model.onnx").write_bytes(b"")
    with new_home() as mizzen:
        path = os.pathsep.join(filter(None, [str(tmp_path / "hide"), os.environ.get("PYTHONPATH")]))
        mizzen.environment["PYTHONPATH"] = path
        mizzen.up()
        mizzen.apply(manifest("trees", "xgboost", tmp_path / "xgboost"))
        mizzen.apply(manifest("graph", "onnx", tmp_path / "onnx", protocolVersion="v2"))
        says = {"trees": "pip install 'mizzen[xgboost]'", "graph": "pip install 'mizzen[onnx]'"}
        for name, words in says.items():
            until(
                lambda name=name, words=words: words in mizzen.condition(name).get("message", ""),
                lambda name=name: f"{mizzen.condition(name)}",
            )
        assert mizzen.condition("trees")["reason"] in ("ErrImagePull", "ImagePullBackOff")
        assert mizzen.condition("trees")["message"].count("needs xgboost, which is not installed") == 1
        assert mizzen.condition("graph")["reason"] in ("Error", "CrashLoopBackOff")
