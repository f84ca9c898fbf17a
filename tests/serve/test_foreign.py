"""Command lines and variables of other servers, as manifests written for KServe have them, in this server's words."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mizzen.serve.arguments import ArgumentError
from mizzen.serve.foreign import of_huggingface, of_mlserver, of_tensorflow, of_triton
from mizzen.serve.layouts import find
from mizzen.serve.layouts.single import Single
from mizzen.serve.layouts.triton import TritonRepository
from mizzen.serve.model import NO_OPTIONS, Tensor
from mizzen.serve.runtimes import registry

SERVICE = {"INFERENCE_SERVICE_NAME": "iris"}
# What KServe's own runtimes pass, less the paths.
TRITON = ["tritonserver", "--grpc-port=9000", "--http-port=8080", "--allow-grpc=true", "--allow-http=true"]
MLSERVER = {
    "MLSERVER_MODEL_IMPLEMENTATION": "mlserver_sklearn.SKLearnModel",
    "MLSERVER_HTTP_PORT": "8080",
    "MLSERVER_GRPC_PORT": "9000",
    "MLSERVER_MODEL_NAME": "iris",
    "MLSERVER_MODEL_URI": "/mnt/models",
}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / "flowers/1").mkdir(parents=True)
    (tmp_path / "flowers/1/model.onnx").write_bytes(b"")
    (tmp_path / "flowers/config.pbtxt").write_text('platform: "onnxruntime_onnx"')
    return tmp_path


@pytest.fixture
def pickled(tmp_path: Path) -> Path:
    joblib = pytest.importorskip("joblib", reason="joblib is not installed")
    dummy = pytest.importorskip("sklearn.dummy", reason="scikit-learn is not installed")
    joblib.dump(dummy.DummyClassifier().fit([[0.0], [1.0]], [7, 7]), tmp_path / "model.joblib")
    return tmp_path


def test_kserves_triton_runtime_means_a_repository(repository: Path) -> None:
    found = of_triton([*TRITON, f"--model-store={repository}"], SERVICE)
    assert (found.model_dir, found.http_port, found.grpc_port, found.enable_grpc) == (str(repository), 8080, 9000, True)
    assert found.load_at_start and not found.warnings
    source = find.source(repository, found, SERVICE)
    assert isinstance(source, TritonRepository)
    assert source.names() == ["flowers"]


def test_a_folder_of_versioned_models_keeps_their_names_and_a_single_model_has_its_services(tmp_path: Path) -> None:
    (tmp_path / "many/flowers/1").mkdir(parents=True)
    (tmp_path / "many/flowers/1/model.onnx").write_bytes(b"")
    found = of_triton([*TRITON, f"--model-repository={tmp_path / 'many'}"], SERVICE)
    assert not found.named
    assert find.source(tmp_path / "many", found, SERVICE).names() == ["flowers"]
    (tmp_path / "one").mkdir()
    (tmp_path / "one/model.onnx").write_bytes(b"")
    found = of_triton([*TRITON, f"--model-repository={tmp_path / 'one'}"], SERVICE)
    assert find.source(tmp_path / "one", found, SERVICE).names() == ["iris"]


@pytest.mark.parametrize(
    "argv",
    [
        ["--model-store", "/m", "--http-port", "81", "--allow-grpc", "--log-verbose=1"],
        ["tritonserver", "--model-store=/m", "--http-port=81", "--allow-grpc=1", "--log-verbose", "1"],
        ["/opt/tritonserver/bin/tritonserver", "-model-store=/m", "--http-port=81", "--strict-model-config=false"],
    ],
)
def test_ways_to_write_tritons_options(argv: list[str]) -> None:
    found = of_triton(argv, {})
    assert (found.model_dir, found.http_port, found.enable_grpc, found.warnings) == ("/m", 81, True, [])


def test_what_of_tritons_changes_nothing_is_told(repository: Path) -> None:
    argv = [*TRITON, f"--model-store={repository}", "--backend-config=onnxruntime,x=1", "--allow-http=false"]
    assert of_triton(argv, {}).warnings == [
        "--backend-config=onnxruntime,x=1 has no effect on this server",
        "--allow-http=false has no effect on this server",
    ]


@pytest.mark.parametrize(
    ("more", "loads", "warned"),
    [
        ([], True, False),
        (["--model-control-mode=none"], True, False),
        (["--model-control-mode=poll"], True, True),
        (["--model-control-mode=explicit"], False, False),
        (["--model-control-mode=explicit", "--load-model=*"], True, False),
        (["--model-control-mode=explicit", "--load-model=a"], True, True),
    ],
)
def test_when_models_of_a_triton_repository_are_loaded(more: list[str], loads: bool, warned: bool) -> None:
    found = of_triton([*TRITON, "--model-store=/m", *more], {})
    assert (found.load_at_start, bool(found.warnings)) == (loads, warned)


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["--model-store=/a", "--model-repository=/b"], "one model repository"),
        (["tritonserver", "/models"], "'/models' belongs to no option of tritonserver"),
        (["--model-store=/a", "--http-port=x"], "'x' is not a port"),
    ],
)
def test_what_triton_is_told_wrongly(argv: list[str], says: str) -> None:
    with pytest.raises(ArgumentError, match=says):
        of_triton(argv, {})


def test_kserves_mlserver_runtime_means_one_model(pickled: Path) -> None:
    found = of_mlserver([], MLSERVER | {"MLSERVER_MODEL_URI": str(pickled), "PATH": "/bin"})
    assert (found.model_name, found.model_dir, found.http_port, found.grpc_port) == ("iris", str(pickled), 8080, 9000)
    assert found.warnings == []
    source = find.source(pickled, found, {})
    assert isinstance(source, Single)
    (spec,) = source.specs("iris")
    assert spec.runtime == "mlserver_sklearn.SKLearnModel"
    assert spec.settings["layout"] == "mlserver"


def test_what_mlservers_clients_are_answered(pickled: Path) -> None:
    found = of_mlserver([], MLSERVER | {"MLSERVER_MODEL_URI": str(pickled)})
    (spec,) = find.source(pickled, found, {}).specs("iris")
    model = registry.build(spec, {})
    model.load()
    (answer,) = model.infer([Tensor("x", np.zeros((2, 1)))], NO_OPTIONS)  # type: ignore[attr-defined]
    assert (answer.name, answer.array.tolist()) == ("predict", [[7], [7]])


def test_a_folder_of_mlservers_layout_says_itself_what_is_served(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    settings = {"name": "wine", "implementation": "mlserver_xgboost.XGBoostModel"}
    (tmp_path / "a/model-settings.json").write_text(json.dumps(settings))
    found = of_mlserver(["mlserver", "start", str(tmp_path)], MLSERVER)
    assert find.source(tmp_path, found, {}).names() == ["wine"]
    assert find.source(tmp_path, of_mlserver([], {"MLSERVER_MODELS_DIR": str(tmp_path)}), {}).names() == ["wine"]


def test_more_of_what_mlserver_is_told() -> None:
    environ = MLSERVER | {
        "MLSERVER_MODEL_MAX_BATCH_SIZE": "64",
        "MLSERVER_MODEL_MAX_BATCH_TIME": "0.005",
        "MLSERVER_MODEL_EXTRA": '{"nthread": 2}',
        "MLSERVER_PARALLEL_WORKERS": "4",
        "MLSERVER_LOAD_MODELS_AT_STARTUP": "false",
    }
    found = of_mlserver([], environ)
    assert (found.batching, found.max_batch_rows, found.max_batch_latency) == (True, 64, 5.0)
    assert found.settings["nthread"] == 2
    assert not found.load_at_start
    assert found.warnings == ["MLSERVER_PARALLEL_WORKERS=4 has no effect on this server"]


@pytest.mark.parametrize(
    ("variable", "value"), [("EXTRA", "[1]"), ("EXTRA", "{"), ("MAX_BATCH_TIME", "soon"), ("MAX_BATCH_SIZE", "many")]
)
def test_what_mlserver_is_told_wrongly(variable: str, value: str) -> None:
    environ = MLSERVER | {"MLSERVER_MODEL_MAX_BATCH_TIME": "1", f"MLSERVER_MODEL_{variable}": value}
    with pytest.raises(ArgumentError, match=r"\d|object|number|JSON"):
        of_mlserver([], environ)


def test_tensorflow_servings_command_line() -> None:
    argv = ["--model_name=iris", "--port=9000", "--rest_api_port=8080", "--model_base_path=/m"]
    found = of_tensorflow([*argv, "--rest_api_timeout_in_ms=60000"], {})
    assert (found.model_name, found.model_dir, found.http_port, found.grpc_port) == ("iris", "/m", 8080, 9000)
    assert found.warnings == ["--rest_api_timeout_in_ms=60000 has no effect on this server"]
    assert of_tensorflow(["tensorflow_model_server"], {}).http_port == 8501


@pytest.mark.parametrize(
    ("argv", "environ", "place"),
    [
        (["--model_name=fox"], {}, "/mnt/models"),
        (["--model_name=fox"], {"MIZZEN_MODEL_DIR": "/elsewhere"}, "/elsewhere"),
        (["--model_name=fox", "--model_dir=/m"], {}, "/m"),
        (["--model_name=fox", "--model_id=acme/fox"], {}, "hf://acme/fox"),
    ],
)
def test_where_kserves_hugging_face_server_looks(argv: list[str], environ: dict[str, str], place: str) -> None:
    found = of_huggingface(argv, environ)
    assert (found.model_name, found.model_dir) == ("fox", place)
