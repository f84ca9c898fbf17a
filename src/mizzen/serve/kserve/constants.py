"""KServe's constants, as far as models use them."""

from __future__ import annotations

import os

from mizzen.serve.forwarding.config import PredictorProtocol

KSERVE_LOGLEVEL = os.environ.get("KSERVE_LOGLEVEL", "INFO").upper()
KSERVE_GROUP = "serving.kserve.io"
DEFAULT_HTTP_PORT = 8080
DEFAULT_HTTPS_PORT = 8443
DEFAULT_GRPC_PORT = 8081
MAX_GRPC_MESSAGE_LENGTH = 8 * 1024 * 1024
INFERENCE_CONTENT_LENGTH_HEADER = "inference-header-content-length"

__all__ = [
    "DEFAULT_GRPC_PORT",
    "DEFAULT_HTTPS_PORT",
    "DEFAULT_HTTP_PORT",
    "INFERENCE_CONTENT_LENGTH_HEADER",
    "KSERVE_GROUP",
    "KSERVE_LOGLEVEL",
    "MAX_GRPC_MESSAGE_LENGTH",
    "PredictorProtocol",
]
