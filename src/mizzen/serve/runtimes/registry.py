"""The runtimes there are: by name, which module serves it and how its files are told from others'.

Nothing is imported until a model of the kind is built. A runtime is a module with ``build(spec, environ)``, which makes
a model without touching its files; :meth:`~mizzen.serve.model.Servable.load` does that.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from mizzen.serve.errors import LoadError
from mizzen.serve.model import Servable
from mizzen.serve.runtimes.artifact import held
from mizzen.serve.spec import ModelSpec


class Runtime(NamedTuple):
    """Attributes:
    module: in this package.
    suffixes: of files that only this runtime has.
    """

    module: str
    suffixes: tuple[str, ...]


RUNTIMES: dict[str, Runtime] = {
    "sklearn": Runtime("sklearn", (".joblib", ".pkl", ".pickle")),
}


def detect(directory: Path) -> str:
    """The runtime that a folder's files are for.

    Raises:
        LoadError: none knows them.
    """
    names = [directory.name] if directory.is_file() else held(directory)
    for name, runtime in RUNTIMES.items():
        if any(file.endswith(runtime.suffixes) for file in names):
            return name
    wanted = ", ".join(suffix for runtime in RUNTIMES.values() for suffix in runtime.suffixes)
    what = f"it holds {', '.join(names[:8])}{', ...' if len(names) > 8 else ''}" if names else "it is empty"
    raise LoadError(f"there is no model file in {directory}: {what}; known are {wanted}")


def build(spec: ModelSpec, environ: Mapping[str, str]) -> Servable:
    """The model of a spec, not yet loaded.

    Raises:
        LoadError: there is no such runtime, or its framework is not installed.
    """
    name = spec.runtime or detect(spec.directory)
    runtime = RUNTIMES.get(name)
    if runtime is None:
        raise LoadError(f"model {spec.name}: there is no runtime {name!r}; there are {', '.join(RUNTIMES)}")
    module = importlib.import_module(f"mizzen.serve.runtimes.{runtime.module}")
    model: Servable = module.build(spec, environ)
    return model
