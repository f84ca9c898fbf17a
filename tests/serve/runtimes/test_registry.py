"""Which runtime a folder is for, and what is said where that cannot be told."""

from __future__ import annotations

import importlib
import json
import pickle
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from mizzen.serve.errors import LoadError
from mizzen.serve.runtimes import registry
from mizzen.serve.runtimes.registry import RUNTIMES, canonical, detect
from mizzen.serve.spec import ModelSpec

LIGHTGBM = b"tree\nversion=v4\nnum_class=1\n"
XGBOOST_JSON = b'{"learner":{"attributes":{}},"version":[3,2,0]}'
XGBOOST_UBJ = b"{L" + bytes(7) + b"\x07learner{L"
CATBOOST_JSON = b'{\n "features_info": {"float_features": []},\n "oblivious_trees": []}'
CONFIG = b'{"architectures": ["BertModel"], "model_type": "bert"}'

FOLDERS: dict[str, tuple[dict[str, bytes], str]] = {
    "joblib": ({"model.joblib": b""}, "sklearn"),
    "pickle": ({"model.pkl": b"", "README.md": b""}, "sklearn"),
    "skops": ({"model.skops": b""}, "sklearn"),
    "ubj": ({"model.ubj": b""}, "xgboost"),
    "bst of xgboost": ({"model.bst": XGBOOST_UBJ}, "xgboost"),
    "bst of xgboost in json": ({"model.bst": XGBOOST_JSON}, "xgboost"),
    "bst of an old xgboost": ({"model.bst": b"binf" + bytes(40)}, "xgboost"),
    "bst of lightgbm": ({"model.bst": LIGHTGBM}, "lightgbm"),
    "bst of lightgbm from Windows": ({"model.bst": LIGHTGBM.replace(b"\n", b"\r\n")}, "lightgbm"),
    "bst of catboost": ({"model.bst": b"CBM1" + bytes(9)}, "catboost"),
    "txt": ({"model.txt": LIGHTGBM, "notes.txt": b"these are notes"}, "lightgbm"),
    "json of xgboost": ({"model.json": XGBOOST_JSON, "model-settings.json": b"{}"}, "xgboost"),
    "json of catboost": ({"model.json": CATBOOST_JSON, "columns.json": b'["a"]'}, "catboost"),
    "cbm": ({"model.cbm": b""}, "catboost"),
    "mlflow, whatever it packs": ({"MLmodel": b"", "model.pkl": b"", "model.ubj": b""}, "mlflow"),
    "onnx": ({"model.onnx": b""}, "onnx"),
    "torch": ({"model.pt": b""}, "pytorch"),
    "torch program": ({"model.pt2": b""}, "pytorch"),
    "torch weights": ({"model.pth": b""}, "pytorch"),
    "saved model": ({"saved_model.pb": b"", "variables/variables.index": b""}, "tensorflow"),
    "numbered saved models": ({"1/saved_model.pb": b"", "2/saved_model.pb": b""}, "tensorflow"),
    "transformers": ({"config.json": CONFIG, "model.safetensors": b"", "training_args.bin": b""}, "huggingface"),
    "transformers in parts": ({"config.json": CONFIG, "model.safetensors.index.json": b"{}"}, "huggingface"),
    "transformers, a checkpoint": ({"config.json": CONFIG, "pytorch_model.bin": b"", "o.pt": b""}, "huggingface"),
    "a tokenizer": ({"config.json": CONFIG, "tokenizer.json": b"{}"}, "huggingface"),
    "a config of something else": ({"config.json": b'{"a": 1}', "vocab.txt": b"", "m.onnx": b""}, "onnx"),
    "a config that is no json": ({"config.json": b"{", "tokenizer.json": b"", "m.onnx": b""}, "onnx"),
}


def fill(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


@pytest.mark.parametrize(("files", "runtime"), FOLDERS.values(), ids=FOLDERS)
def test_a_folder_is_told_by_what_it_holds(folder, files, runtime):
    assert detect(fill(folder, files)) == runtime


@pytest.mark.parametrize(
    ("name", "data", "runtime"),
    [
        ("model.pkl", b"", "sklearn"),
        ("model.bst", LIGHTGBM, "lightgbm"),
        ("model.json", XGBOOST_JSON, "xgboost"),
        ("MLmodel", b"", "mlflow"),
        ("saved_model.pb", b"", "tensorflow"),
    ],
)
def test_so_is_a_file(folder, name, data, runtime):
    assert detect(fill(folder, {name: data, "beside.joblib": b""}) / name) == runtime


CODE = b"""
import mizzen.serve as serve
raise SystemExit("it must not run")

class Helper:
    pass

class Slow(serve.Model):
    pass

class Slower(Slow):
    pass
"""

NONE: dict[str, tuple[dict[str, bytes] | None, list[str]]] = {
    "no folder": (None, ["does not exist"]),
    "empty": ({}, ["there is no model file in", "it is empty", "known are .joblib, .pkl"]),
    "other files": ({"a.csv": b"", "b.parquet": b""}, ["it holds a.csv, b.parquet"]),
    "settings alone": (
        {"settings.json": b"{}"},
        ["it holds settings.json; known are .joblib"],
    ),
    "nobody's json": (
        {"settings.json": b"{}", "m.json": b"{}"},
        ["; m.json is neither an XGBoost nor a CatBoost model, or is damaged"],
    ),
    "code": ({"slow.py": CODE}, ["slow.py is code: say ", "/slow.py:Slow or ", "/slow.py:Slower"]),
    "code of nothing": ({"slow.py": b"def f(): return 1\n"}, ["/slow.py:MyModel, with the name of its class"]),
    "no code": ({"slow.py": b"class (:"}, ["slow.py is code"]),
    "notes alone": ({"notes.txt": b"tree of life"}, ["it holds notes.txt"]),
    "nobody's bst": (
        {"model.bst": b"hello"},
        ["model.bst is neither an XGBoost, a LightGBM nor a CatBoost model, or is damaged"],
    ),
    "two frameworks": (
        {"a.joblib": b"", "b.onnx": b"", "c.pkl": b""},
        ["several frameworks", "a.joblib, c.pkl is sklearn; b.onnx is onnx", "say which is meant"],
    ),
    "one too deep": ({"outer/model.ubj": b""}, ["it holds outer", "the folder outer in it has one: name that folder"]),
    "a folder that is called as a model": ({"model.pkl/file": b""}, ["it holds model.pkl"]),
}


@pytest.mark.parametrize(("files", "says"), NONE.values(), ids=NONE)
def test_where_it_cannot_be_told_it_is_said_what_is_there(tmp_path, files, says):
    folder = tmp_path / "models"
    if files is not None:
        folder.mkdir()
        fill(folder, files)
    with pytest.raises(LoadError) as caught:
        detect(folder)
    for part in (*says, str(folder)):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("m.json", b"{}", "neither an XGBoost nor a CatBoost model, or is damaged"),
        ("m.txt", b"tree of life", "no LightGBM model, or is damaged"),
        ("slow.py", CODE, "code: say {path}:Slow or {path}:Slower"),
    ],
)
def test_a_file_that_nobody_knows(folder, name, data, says):
    path = fill(folder, {name: data}) / name
    with pytest.raises(LoadError) as caught:
        detect(path)
    assert str(caught.value) == f"{path} is {says.format(path=path)}"


@pytest.mark.parametrize(
    ("name", "runtime"),
    [
        ("sklearn", "sklearn"),
        ("mlserver_sklearn.SKLearnModel", "sklearn"),
        ("mlserver_xgboost.XGBoostModel", "xgboost"),
        ("mlserver_lightgbm.LightGBMModel", "lightgbm"),
        ("mlserver_catboost.CatboostModel", "catboost"),
        ("mlserver_mlflow.MLflowRuntime", "mlflow"),
        ("mlserver_huggingface.HuggingFaceRuntime", "huggingface"),
        ("onnxruntime_onnx", "onnx"),
        ("pytorch_libtorch", "pytorch"),
        ("tensorflow_savedmodel", "tensorflow"),
        ("my.own.Thing", "my.own.Thing"),
    ],
)
def test_other_servers_names_for_a_runtime(name, runtime):
    assert canonical(name) == runtime


def test_kserves_model_formats_are_runtimes():
    formats = {"sklearn", "xgboost", "lightgbm", "mlflow", "onnx", "pytorch", "tensorflow", "huggingface"}
    assert formats <= RUNTIMES.keys()


def test_a_name_is_one_runtimes_alone():
    names = [alias for name, runtime in RUNTIMES.items() for alias in (name, *runtime.names)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", ["sklearn", "xgboost", "lightgbm", "catboost", "mlflow"])
def test_each_suffix_is_one_that_the_runtime_takes_itself(name):
    module = importlib.import_module(f"mizzen.serve.runtimes.{RUNTIMES[name].module}")
    known = {*RUNTIMES[name].suffixes, *RUNTIMES[name].shared}
    assert set(getattr(module, "SUFFIXES", ())) == known


def test_the_runtime_that_is_named_wins_over_the_files(folder):
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    fill(folder, {"model.pkl": pickle.dumps({}), "other.onnx": b""})
    model = registry.build(ModelSpec(name="m", directory=folder, runtime="sklearn"), {})
    with pytest.raises(LoadError, match="holds a dict, which has no predict method"):
        model.load()


def test_a_runtime_that_there_is_not(folder):
    with pytest.raises(LoadError, match=r"model m: there is no runtime 'pmml'; there are sklearn, .*module:Class"):
        registry.build(ModelSpec(name="m", directory=folder, runtime="pmml"), {})


@pytest.mark.parametrize(
    ("name", "files", "package"),
    [
        ("xgboost", {"model.json": XGBOOST_JSON}, "xgboost"),
        ("catboost", {"model.json": CATBOOST_JSON}, "catboost"),
        ("mlflow", {"MLmodel": b""}, "mlflow.pyfunc"),
        ("sklearn", {"model.pkl": b""}, "joblib"),
    ],
)
def test_a_framework_that_is_not_installed_says_what_installs_it(folder, monkeypatch, name, files, package):
    monkeypatch.setitem(sys.modules, package, None)
    model = registry.build(ModelSpec(name="m", directory=fill(folder, files)), {})
    with pytest.raises(LoadError, match=rf"cannot be imported .*pip install 'mizzen\[{name}\]'"):
        model.load()


def test_a_runtime_whose_module_needs_what_is_not_there(folder, monkeypatch):
    """Of runtimes that import their framework at once."""

    def missing(name: str) -> Any:
        raise ModuleNotFoundError("No module named 'onnxruntime'", name="onnxruntime")

    monkeypatch.setattr(registry.importlib, "import_module", missing)
    with pytest.raises(LoadError, match=r"No module named 'onnxruntime'; install .* pip install 'mizzen\[onnx\]'"):
        registry.build(ModelSpec(name="m", directory=folder, runtime="onnx"), {})


def test_code_of_ones_own_is_built_where_such_code_is(folder, monkeypatch):
    built: list[Any] = []
    module = types.ModuleType("mizzen.serve.custom")
    module.build = lambda spec, environ: built.append((spec, environ)) or "a model"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "mizzen.serve.custom", module)
    spec = ModelSpec(name="m", directory=folder, runtime="my_model.py:MyModel")
    assert registry.build(spec, {"A": "b"}) == "a model"
    assert built == [(spec, {"A": "b"})]


@pytest.mark.parametrize("architecture", ["BertForSequenceClassification", "GPT2LMHeadModel"])
def test_a_hugging_face_model_without_torch_says_what_installs_it(folder, monkeypatch, architecture):
    monkeypatch.setitem(sys.modules, "torch", None)
    kind = "bert" if architecture.startswith("Bert") else "gpt2"
    config = json.dumps({"model_type": kind, "architectures": [architecture]}).encode()
    fill(folder, {"config.json": config, "model.safetensors": b"", "tokenizer.json": b"{}"})
    model = registry.build(ModelSpec(name="m", directory=folder), {})
    with pytest.raises(LoadError, match=r"torch is not installed: pip install 'mizzen\[huggingface\]'"):
        model.load()
