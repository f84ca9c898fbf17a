"""The runtimes there are: by name, which module serves it and how its files are told from others'.

Nothing is imported until a model of the kind is built. A runtime is a module with ``build(spec, environ)``, which makes
a model without touching its files; :meth:`~mizzen.serve.model.Servable.load` does that.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from mizzen.serve.errors import LoadError
from mizzen.serve.model import Servable
from mizzen.serve.runtimes.artifact import held, listing
from mizzen.serve.runtimes.code import models_in
from mizzen.serve.runtimes.magic import framework_of
from mizzen.serve.spec import ModelSpec


class Runtime(NamedTuple):
    """Attributes:
    module: in this package.
    extra: of the distribution, which brings the framework.
    suffixes: of files that only this runtime has.
    shared: of files that are its own if they look like it.
    title: what its framework calls itself, where a suffix alone does not tell.
    names: what it goes by besides: KServe's modelFormat, Triton's platform or backend, MLServer's implementation.
    """

    module: str
    extra: str
    suffixes: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    title: str = ""


RUNTIMES: dict[str, Runtime] = {
    "sklearn": Runtime(
        "sklearn",
        "sklearn",
        (".joblib", ".pkl", ".pickle", ".skops"),
        names=("scikit-learn", "mlserver_sklearn.SKLearnModel"),
    ),
    "xgboost": Runtime(
        "xgboost", "xgboost", (".ubj",), (".bst", ".json"), ("mlserver_xgboost.XGBoostModel",), "XGBoost"
    ),
    "lightgbm": Runtime("lightgbm", "lightgbm", (), (".bst", ".txt"), ("mlserver_lightgbm.LightGBMModel",), "LightGBM"),
    "catboost": Runtime(
        "catboost", "catboost", (".cbm",), (".json", ".bst"), ("mlserver_catboost.CatboostModel",), "CatBoost"
    ),
    "mlflow": Runtime("mlflow", "mlflow", names=("pyfunc", "python_function", "mlserver_mlflow.MLflowRuntime")),
    "onnx": Runtime("onnx", "onnx", (".onnx", ".ort"), names=("onnxruntime", "onnxruntime_onnx")),
    "pytorch": Runtime("torch", "torch", (".pt", ".pt2", ".pth"), names=("torch", "pytorch_libtorch")),
    "tensorflow": Runtime("tensorflow", "tensorflow", names=("tensorflow_savedmodel",)),
    "triton": Runtime("triton", ""),
    "huggingface": Runtime(
        "huggingface", "huggingface", names=("transformers", "mlserver_huggingface.HuggingFaceRuntime")
    ),
    "upstream": Runtime("upstream", "", names=("openai",)),
}

_ALIASES = {alias: name for name, runtime in RUNTIMES.items() for alias in (name, *runtime.names)}

_WEIGHTS = (".safetensors", ".safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
_TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.txt", "vocab.json", "spiece.model")


# Which nobody takes for a model, whatever their suffixes.
_NO_MODELS = frozenset(
    {"config.json", "settings.json", "model-settings.json", "requirements.txt", "README.txt", *_TOKENIZER}
)


class _Config(msgspec.Struct):
    """Of Hugging Face's ``config.json``, what tells it from any other."""

    model_type: str = ""
    architectures: list[str] | None = None


def canonical(name: str) -> str:
    """A runtime's name in :data:`RUNTIMES`, whatever the layout calls it; other names as they are."""
    return _ALIASES.get(name, name)


def detect(directory: Path) -> str:
    """The runtime that a folder's files, or a file, are for.

    Raises:
        LoadError: none knows them, or several do.
    """
    found = _candidates(directory)
    if len(found) == 1:
        return next(iter(found))
    if found:
        files = "; ".join(f"{', '.join(files)} is {name}" for name, files in found.items())
        raise LoadError(f"{directory} has model files of several frameworks: {files}; keep one, or say which is meant")
    names = [directory.name] if directory.is_file() else held(directory)
    folder = directory.parent if directory.is_file() else directory
    # Its suffix promises a model, and it is none; and what may be one, said otherwise.
    wrong = [f"{file} is {kinds}" for file in names if (kinds := _none_of(folder / file))]
    code = [f"{file} is {hint}" for file in names if (hint := _as_code(folder / file))]
    if directory.is_file() and (wrong or code):
        raise LoadError(f"{directory} is {_none_of(directory) or _as_code(directory)}")
    wanted = ", ".join(dict.fromkeys(suffix for one in RUNTIMES.values() for suffix in (*one.suffixes, *one.shared)))
    what = "".join(f"; {one}" for one in (*wrong[:3], *code[:3]))
    below = next((name for name in names if (directory / name).is_dir() and _candidates(directory / name)), "")
    where = f"; the folder {below} in it has one: name that folder, or pack without it" if below else ""
    raise LoadError(f"there is no model file in {directory}: {listing(names)}; known are {wanted}{what}{where}")


def build(spec: ModelSpec, environ: Mapping[str, str]) -> Servable:
    """The model of a spec, not yet loaded.

    Raises:
        LoadError: there is no such runtime, or its framework is not installed.
    """
    if ":" in spec.runtime:
        return _builder("mizzen.serve.custom")(spec, environ)
    name = canonical(spec.runtime or detect(spec.directory))
    runtime = RUNTIMES.get(name)
    if runtime is None:
        raise LoadError(
            f"model {spec.name}: there is no runtime {name!r}; there are {', '.join(RUNTIMES)}, "
            "and code of one's own as package.module:Class"
        )
    return _builder(f"mizzen.serve.runtimes.{runtime.module}", runtime.extra)(spec, environ)


def _builder(module: str, extra: str = "") -> Callable[[ModelSpec, Mapping[str, str]], Servable]:
    try:
        found = importlib.import_module(module)
    except ImportError as error:
        if not extra or (error.name or "").startswith("mizzen"):
            raise LoadError(f"{module} cannot be imported: {error}") from error
        raise LoadError(f"{error}; install what this model needs: pip install 'mizzen[{extra}]'") from None
    built: Callable[[ModelSpec, Mapping[str, str]], Servable] = found.build
    return built


def _candidates(directory: Path) -> dict[str, list[str]]:
    """The runtimes that could be meant, each with the files that say so."""
    folder = directory.parent if directory.is_file() else directory
    names = [directory.name] if directory.is_file() else held(directory)
    if whole := _by_layout(folder, names):
        return {whole: names}
    found: dict[str, list[str]] = {}
    for file in names:
        if name := _by_file(folder / file):
            found.setdefault(name, []).append(file)
    return found


def _by_layout(directory: Path, names: list[str]) -> str:
    """The runtime of a folder that is a model as a whole."""
    if "MLmodel" in names:
        return "mlflow"
    numbered = (directory / name / "saved_model.pb" for name in names if name.isdecimal())
    if "saved_model.pb" in names or any(file.is_file() for file in numbered):
        return "tensorflow"
    if "config.json" in names and _is_transformers(directory, names):
        return "huggingface"
    return ""


def _is_transformers(directory: Path, names: list[str]) -> bool:
    if not any(name.endswith(_WEIGHTS) or name in _TOKENIZER for name in names):
        return False
    try:
        config = msgspec.json.decode((directory / "config.json").read_bytes(), type=_Config)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return False
    return bool(config.model_type or config.architectures)


def _none_of(path: Path) -> str:
    """Of a file whose suffix several frameworks share, or that is one's own: that it is a model of none of them."""
    kinds = [runtime.title for runtime in RUNTIMES.values() if path.name.endswith(runtime.shared)]
    if not kinds or path.is_dir() or path.name in _NO_MODELS:
        return ""
    if len(kinds) == 1:
        return f"no {kinds[0]} model, or is damaged"
    return f"neither {', '.join(_a(kind) for kind in kinds[:-1])} nor {_a(kinds[-1])} model, or is damaged"


def _a(word: str) -> str:
    return f"{'an' if word[:1] == 'X' else 'a'} {word}"


def _as_code(path: Path) -> str:
    """Of a Python file: how it is served, with the names of the models in it, as far as its text tells."""
    if path.suffix != ".py" or path.is_dir():
        return ""
    found = [f"{path}:{name}" for name in models_in(path)] or [f"{path}:MyModel, with the name of its class"]
    return f"code: say {' or '.join(found)}"


def _by_file(path: Path) -> str:
    if path.is_dir():
        return ""
    for name, runtime in RUNTIMES.items():
        if path.name.endswith(runtime.suffixes):
            return name
    if path.name.endswith(tuple(suffix for runtime in RUNTIMES.values() for suffix in runtime.shared)):
        found = framework_of(path) or ""
        return found if path.name.endswith(RUNTIMES[found].shared if found else ()) else ""
    return ""
