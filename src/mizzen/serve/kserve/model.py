"""KServe's model class, and what models import from beside it."""

from __future__ import annotations

from typing import Any

from mizzen.serve.custom.messages import InferRequest, InferResponse
from mizzen.serve.custom.model import BaseModel as BaseKServeModel
from mizzen.serve.custom.model import InferenceVerb, Model
from mizzen.serve.custom.model import Model as InferenceModel
from mizzen.serve.forwarding.config import PredictorConfig, PredictorProtocol

__all__ = [
    "BaseKServeModel",
    "InferRequest",
    "InferResponse",
    "InferenceModel",
    "InferenceVerb",
    "Model",
    "PredictorConfig",
    "PredictorProtocol",
]


def __getattr__(name: str) -> Any:
    if name in ("ModelInferRequest", "ModelInferResponse"):
        from mizzen.serve.kserve.protocol.grpc import grpc_predict_v2_pb2

        return getattr(grpc_predict_v2_pb2, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
