"""Which layout a path is."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from mizzen.serve.arguments import Arguments
from mizzen.serve.errors import LoadError
from mizzen.serve.layouts import mlserver, triton
from mizzen.serve.layouts.folder import Folder, is_folder_of_models, is_model, subfolders, versions
from mizzen.serve.layouts.single import Single
from mizzen.serve.repository import Source
from mizzen.serve.spec import ModelSpec


def is_code(model_dir: str) -> bool:
    """Whether a model is named as code of somebody's own: ``my_model.py:MyModel`` or ``package.module:MyModel``."""
    head, colon, name = model_dir.rpartition(":")
    if not colon or "://" in model_dir or not name.isidentifier():
        return False
    return head.endswith(".py") or all(part.isidentifier() for part in head.split("."))


def source(path: Path, arguments: Arguments, environ: Mapping[str, str]) -> Source:
    """What there is to serve at a path.

    Raises:
        LoadError: there is nothing.
    """
    if arguments.runtime == "upstream":
        return Single(single(path, arguments))
    if path.is_dir() and not arguments.runtime:
        if mlserver.found(path):
            mlserver.configure(path, arguments)
            return mlserver.MLServerRepository(path, arguments.isolation)
        if triton.find(path):
            return triton.TritonRepository(path, arguments.scheduling, arguments.isolation)
    if path.is_dir() and _is_versions(path):
        return Single(single(path, arguments), partial(versions, path))
    if path.is_dir() and not is_model(path) and is_folder_of_models(path):
        _check_meant(path, arguments)
        if arguments.named:
            arguments.warnings.append(
                f"--model_name={arguments.model_name} has no effect: the models in {path} have their folders' names"
            )
        return Folder(path, arguments.runtime, arguments.settings, arguments.isolation)
    return Single(single(path, arguments))


def code(model_dir: str, arguments: Arguments) -> Source:
    """A model of somebody's own code."""
    head = model_dir.rpartition(":")[0]
    folder = Path(head).resolve().parent if head.endswith(".py") else Path.cwd()
    return Single(single(folder, arguments, model_dir))


def single(path: Path, arguments: Arguments, runtime: str = "") -> ModelSpec:
    """The one model that the arguments name."""
    return ModelSpec(
        name=arguments.model_name,
        directory=path,
        runtime=runtime or arguments.runtime,
        settings=arguments.settings,
        isolation=arguments.isolation,
    )


def _is_versions(path: Path) -> bool:
    """Whether a folder has nothing but numbered ones with a model in each: it is one model, in its versions."""
    found = versions(path)
    return bool(found) and len(found) == len(subfolders(path)) and all(is_model(one) for one in found)


def _check_meant(path: Path, arguments: Arguments) -> None:
    """A name was given for one model, and only one folder holds any: it was packed with the folder around it.

    Raises:
        LoadError: says so, rather than serving it under the folder's name.
    """
    models = [entry.name for entry in subfolders(path) if is_model(entry)]
    if arguments.named and len(models) == 1:
        raise LoadError(
            f"there is no model file in {path}; the folder {models[0]} in it has one: "
            "name that folder, or pack without it"
        )
