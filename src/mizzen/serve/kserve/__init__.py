"""The ``kserve`` package's modules by their names there, for custom models, transformers and explainers written for it.

``from mizzen.serve import kserve`` in place of ``import kserve``, and ``from mizzen.serve.kserve.errors import ...`` in
place of ``from kserve.errors import ...``: nothing else in such a file has to change. What is here is what those files
use; KServe's client for Kubernetes and its OpenAI classes are not.
"""

from __future__ import annotations

import importlib
from typing import Any

from mizzen import serve

_MODULES = {
    "constants",
    "errors",
    "logging",
    "model",
    "model_repository",
    "model_server",
    "predictor_config",
    "protocol",
    "storage",
    "utils",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name in serve.__all__:
        return getattr(serve, name)
    raise AttributeError(
        f"mizzen.serve.kserve has no {name}: it has what custom models use ({', '.join(serve.__all__)})"
    )
