"""Which server a model asks, and how: as the command line says it, or as a model is told."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mizzen.serve.arguments import Arguments


class PredictorProtocol(enum.Enum):
    """What a predictor is asked in."""

    REST_V1 = "v1"
    REST_V2 = "v2"
    GRPC_V2 = "grpc-v2"


class PredictorConfig:
    """Args:
    predictor_host: ``host`` or ``host:port``; empty is none. A service of the cluster may be named as such.
    predictor_protocol: ``v1``, ``v2`` or ``grpc-v2``.
    predictor_use_ssl: whether it speaks TLS.
    predictor_request_timeout_seconds: for its answer.
    predictor_request_retries: how often it is asked again if it cannot be reached, or is not ready.
    predictor_health_check: whether the model is ready only while the predictor is.
    """

    def __init__(
        self,
        predictor_host: str | None,
        predictor_protocol: str = PredictorProtocol.REST_V1.value,
        predictor_use_ssl: bool = False,
        predictor_request_timeout_seconds: float = 600,
        predictor_request_retries: int = 0,
        predictor_health_check: bool = False,
    ) -> None:
        protocol = predictor_protocol
        self.predictor_host = predictor_host
        self.predictor_protocol: str = protocol.value if isinstance(protocol, PredictorProtocol) else protocol
        self.predictor_use_ssl = predictor_use_ssl
        self.predictor_request_timeout_seconds = predictor_request_timeout_seconds
        self.predictor_request_retries = predictor_request_retries
        self.predictor_health_check = predictor_health_check

    @property
    def predictor_base_url(self) -> str:
        """Its address as a URL, without a path."""
        return f"{'https' if self.predictor_use_ssl else 'http'}://{self.predictor_host}"

    # The names that KServe's older versions had.

    @property
    def protocol(self) -> str:
        return self.predictor_protocol

    @property
    def use_ssl(self) -> bool:
        return self.predictor_use_ssl

    @property
    def timeout(self) -> float:
        return self.predictor_request_timeout_seconds

    @property
    def retries(self) -> int:
        return self.predictor_request_retries


_current: PredictorConfig | None = None


def current() -> PredictorConfig | None:
    """The predictor that this process was told of, or None."""
    return _current


def configure(config: PredictorConfig | None) -> None:
    """Tell this process of its predictor."""
    global _current
    _current = config


def of_arguments(arguments: Arguments) -> PredictorConfig:
    """The predictor that the command line names."""
    return PredictorConfig(
        arguments.predictor_host,
        arguments.predictor_protocol,
        arguments.predictor_use_ssl,
        arguments.predictor_request_timeout_seconds,
        arguments.predictor_request_retries,
        arguments.enable_predictor_health_check,
    )
