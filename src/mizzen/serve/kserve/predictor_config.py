"""KServe's configuration of a predictor."""

from mizzen.serve.forwarding.config import PredictorConfig

__all__ = ["PredictorConfig"]
