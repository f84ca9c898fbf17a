"""What keeps a predictor from answering, with the status that the client gets."""

from __future__ import annotations

from mizzen.serve.errors import InferenceError


class PredictorError(InferenceError):
    """The predictor answered with an error; status and words are its own."""


class Unreachable(InferenceError):
    """No answer came from the predictor: 503 if it cannot be reached, 504 if it took too long, 502 if it broke off."""
