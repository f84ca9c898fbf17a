"""Triton's model repository: a folder for each model, with ``config.pbtxt`` and a numbered folder for each version.

::

    models/
      iris/
        config.pbtxt
        1/model.onnx
        2/model.onnx

A model of which everything needed can be read from its file needs no ``config.pbtxt``. Folders are looked at again
whenever a model is asked for, so a load request sees what has changed; it may bring a configuration of its own, too.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mizzen.serve.errors import LoadError, ModelNotFound
from mizzen.serve.lanes.scheduling import Scheduling
from mizzen.serve.layouts import triton_config
from mizzen.serve.layouts.triton_config import Config
from mizzen.serve.layouts.triton_schema import from_json
from mizzen.serve.layouts.triton_text import parse
from mizzen.serve.spec import ModelSpec

logger = logging.getLogger(__name__)

CONFIG = "config.pbtxt"

# No configuration is this long; a file of another kind under its name is not read whole.
_LIMIT = 1 << 20


def find(root: Path) -> bool:
    """Whether a folder is laid out for Triton: a model in it has a configuration. Numbered folders alone are no sign of
    it; they are a folder of models with versions, which is served as such."""
    return any((folder / CONFIG).is_file() for folder in _folders(root))


class TritonRepository:
    """Args:
    root: the folder.
    base: how requests are put to models whose configuration does not say.
    isolation: for every model in it.
    """

    def __init__(self, root: Path, base: Scheduling | None = None, isolation: str = "thread") -> None:
        self._root = root
        self._base = base or Scheduling()
        self._isolation = isolation

    def names(self) -> list[str]:
        return [folder.name for folder in _folders(self._root)]

    def specs(self, name: str, parameters: Mapping[str, Any] | None = None) -> Sequence[ModelSpec]:
        """The versions that the model's policy names.

        Args:
            parameters: ``config``, a configuration in JSON, takes the place of the model's own.

        Raises:
            ModelNotFound
            LoadError: the configuration cannot be used; says where it is wrong, or what is not served here.
        """
        if name not in self.names():
            raise ModelNotFound(name)
        folder = self._root / name
        where, config = _config(folder, parameters or {})
        try:
            return self._specs(name, folder, config, where)
        except LoadError as error:
            raise LoadError(f"model {name}: {where}: {error}") from None

    def _specs(self, name: str, folder: Path, config: Config, where: str) -> list[ModelSpec]:
        if config.get("name", name) not in ("", name):
            raise LoadError(f"its name is {config['name']!r}, and must be that of its folder, {name!r}")
        if reason := triton_config.refusal(config):
            raise LoadError(reason)
        triton_config.check(config)
        there = _numbered(folder)
        if not there:
            raise LoadError(f"{folder} has no version: a folder in it must be named 1, or by a higher number")
        known = triton_config.backend(config, there)
        without_effect = triton_config.idle(config)
        if without_effect:
            logger.warning("model %s: %s: without effect here: %s", name, where, ", ".join(without_effect))
        config = {**config, "name": name, "platform": known.platform, "backend": known.name}
        specs = []
        for version in triton_config.versions(config, [int(one.name) for one in there]):
            directory = folder / str(version)
            file = triton_config.filename(config, known, directory)
            specs.append(
                ModelSpec(
                    name=name,
                    directory=directory,
                    version=str(version),
                    runtime="triton",
                    settings={
                        "config": {**config, "default_model_filename": file},
                        "runtime": known.runtime,
                        **triton_config.runtime_settings(config),
                    },
                    scheduling=triton_config.scheduling(config, self._base),
                    isolation=self._isolation,
                )
            )
        return specs


def _config(folder: Path, parameters: Mapping[str, Any]) -> tuple[str, Config]:
    """A model's configuration, and where it is from. A model without one has an empty one."""
    file = folder / CONFIG
    override = parameters.get("config")
    if any(key.startswith("file:") for key in parameters):
        raise LoadError(f"model {folder.name}: a load request cannot bring files here: put them into {folder}")
    if override is not None:
        where = "the parameter config"
        found, unknown = _of_json(override, f"model {folder.name}: {where}")
    elif file.is_file():
        where = CONFIG
        found, unknown = parse(_read(file), str(file))
    else:
        return str(folder), {}
    for field in unknown:
        logger.warning("model %s: %s: the field %s is not known and is left out", folder.name, where, field)
    return where, found


def _of_json(text: Any, where: str) -> tuple[Config, list[str]]:
    try:
        value = json.loads(text) if isinstance(text, str | bytes) else text
    except ValueError as error:
        raise LoadError(f"{where} is no JSON: {error}") from None
    return from_json(value, where)


def _read(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            data = opened.read(_LIMIT + 1)
        if len(data) > _LIMIT:
            raise LoadError(f"{file} is larger than {_LIMIT} bytes, and no configuration")
        return data.decode()
    except OSError as error:
        raise LoadError(f"{file} cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise LoadError(f"{file} is not UTF-8 at byte {error.start}") from None


def _folders(root: Path) -> list[Path]:
    try:
        return sorted(entry for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith((".", "__")))
    except OSError:
        return []


def _numbered(folder: Path) -> list[Path]:
    """A model's versions, by number. Triton's rule: names that begin with a zero are none."""
    found = [entry for entry in _folders(folder) if entry.name.isdecimal() and not entry.name.startswith("0")]
    return sorted((entry for entry in found if len(entry.name) < 19), key=lambda entry: int(entry.name))
