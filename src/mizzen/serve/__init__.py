"""The model server: models in files become answers over KServe's protocols.

One process, one event loop. A request is parsed, decoded straight into typed structures, joined with others that wait
for the same model, answered by one ``predict``, and written; nothing on that way waits for a timer or costs a task.

What users write models with is offered here, ``from mizzen.serve import Model, ModelServer``, and imported when it is
asked for: whoever imports a module of this package pays for that module alone. Models that were written for the
``kserve`` package find its modules, by their names there, under :mod:`mizzen.serve.kserve`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mizzen.serve import kserve as kserve
    from mizzen.serve.custom import logs as logging
    from mizzen.serve.custom import program as model_server
    from mizzen.serve.custom.errors import (
        InferenceError,
        InvalidInput,
        ModelMissingError,
        ModelNotFound,
        ModelNotReady,
        NoModelReady,
        ServerNotLive,
        ServerNotReady,
        UnsupportedProtocol,
    )
    from mizzen.serve.custom.logs import configure_logging, logger
    from mizzen.serve.custom.messages import InferRequest, InferResponse
    from mizzen.serve.custom.model import InferenceVerb, Model
    from mizzen.serve.custom.program import ModelServer, parser
    from mizzen.serve.custom.registered import ModelRepository
    from mizzen.serve.custom.tabular import (
        from_np_dtype,
        generate_uuid,
        get_predict_input,
        get_predict_response,
        to_np_dtype,
    )
    from mizzen.serve.custom.tensors import InferInput, InferOutput, RequestedOutput
    from mizzen.serve.forwarding.config import PredictorConfig, PredictorProtocol
    from mizzen.serve.kserve import constants

_HOMES = {
    "custom.model": ["InferenceVerb", "Model"],
    "custom.program": ["ModelServer", "parser"],
    "custom.registered": ["ModelRepository"],
    "custom.messages": ["InferRequest", "InferResponse"],
    "custom.tensors": ["InferInput", "InferOutput", "RequestedOutput"],
    "custom.tabular": [
        "from_np_dtype",
        "generate_uuid",
        "get_predict_input",
        "get_predict_response",
        "to_np_dtype",
    ],
    "custom.errors": [
        "InferenceError",
        "InvalidInput",
        "ModelMissingError",
        "ModelNotFound",
        "ModelNotReady",
        "NoModelReady",
        "ServerNotLive",
        "ServerNotReady",
        "UnsupportedProtocol",
    ],
    "custom.logs": ["configure_logging", "logger"],
    "forwarding.config": ["PredictorConfig", "PredictorProtocol"],
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

# Modules of the kserve package that models reach through its own name: ``kserve.model_server.parser``.
_MODULES = {"model_server": "custom.program", "logging": "custom.logs", "constants": "kserve.constants"}

__all__ = [
    "InferInput",
    "InferOutput",
    "InferRequest",
    "InferResponse",
    "InferenceError",
    "InferenceVerb",
    "InvalidInput",
    "Model",
    "ModelMissingError",
    "ModelNotFound",
    "ModelNotReady",
    "ModelRepository",
    "ModelServer",
    "NoModelReady",
    "PredictorConfig",
    "PredictorProtocol",
    "RequestedOutput",
    "ServerNotLive",
    "ServerNotReady",
    "UnsupportedProtocol",
    "configure_logging",
    "constants",
    "from_np_dtype",
    "generate_uuid",
    "get_predict_input",
    "get_predict_response",
    "logger",
    "logging",
    "model_server",
    "parser",
    "to_np_dtype",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    elif name in _MODULES:
        value = importlib.import_module(f"{__name__}.{_MODULES[name]}")
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
