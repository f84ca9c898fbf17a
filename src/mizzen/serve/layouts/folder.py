"""A folder of models: each folder in it is one, under its own name, and numbered folders in that are its versions.

::

    models/
      iris/model.joblib
      wine/1/model.bst
      wine/2/model.bst

The folder is looked at again whenever a model is asked for, so that what is put there later can be loaded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mizzen.serve.errors import LoadError, ModelNotFound
from mizzen.serve.runtimes import registry
from mizzen.serve.spec import ModelSpec


class Folder:
    """Args:
    root: the folder.
    runtime, settings, isolation: for every model in it.
    """

    def __init__(
        self, root: Path, runtime: str = "", settings: Mapping[str, Any] | None = None, isolation: str = "thread"
    ) -> None:
        self._root = root
        self._runtime = runtime
        self._settings = dict(settings or {})
        self._isolation = isolation

    def names(self) -> list[str]:
        return [entry.name for entry in subfolders(self._root)]

    def specs(self, name: str, parameters: Mapping[str, Any] | None = None) -> Sequence[ModelSpec]:
        folder = self._root / name
        if not _is_plain(name) or not folder.is_dir():
            raise ModelNotFound(name)
        numbered = versions(folder)
        if not numbered:
            return [self._spec(name, folder, None)]
        return [self._spec(name, found, found.name) for found in numbered]

    def _spec(self, name: str, folder: Path, version: str | None) -> ModelSpec:
        return ModelSpec(
            name=name,
            directory=folder,
            version=version,
            runtime=self._runtime,
            settings=self._settings,
            isolation=self._isolation,
        )


def subfolders(root: Path) -> list[Path]:
    """The folders in a folder, by name; not those that are hidden."""
    return sorted(entry for entry in root.iterdir() if _is_plain(entry.name) and entry.is_dir())


def _is_plain(name: str) -> bool:
    """Whether a name is one folder's, and not hidden: no request reaches beside the root by it."""
    return bool(name) and not name.startswith((".", "__")) and not set("/\0") & set(name)


def versions(folder: Path) -> list[Path]:
    """The numbered folders in a model's folder, by number; none if it holds anything else that is a model."""
    inner = [entry for entry in subfolders(folder) if entry.name.isdecimal()]
    if not inner or is_model(folder):
        return []
    return sorted(inner, key=lambda entry: int(entry.name))


def is_model(folder: Path) -> bool:
    """Whether a runtime knows the files in a folder."""
    try:
        registry.detect(folder)
    except LoadError:
        return False
    return True


def is_folder_of_models(root: Path) -> bool:
    """Whether a folder is no model itself and has folders that are, at least one."""
    return any(is_model(entry) or versions(entry) for entry in subfolders(root))
