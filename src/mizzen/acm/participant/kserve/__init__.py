"""InferenceServices as elements of automation compositions: the handler that works on a Kubernetes API."""

from mizzen.acm.participant.kserve.handler import KserveHandler
from mizzen.acm.participant.kserve.settings import Settings

__all__ = ["KserveHandler", "Settings"]
