"""KServe's helpers that models use."""

from __future__ import annotations

from mizzen.serve.arguments import FALSE, TRUE
from mizzen.serve.custom.tabular import generate_uuid, get_predict_input, get_predict_response

__all__ = ["generate_uuid", "get_predict_input", "get_predict_response", "strtobool"]


def strtobool(val: str) -> bool:
    """KServe's booleans.

    Raises:
        ValueError: it is none.
    """
    word = val.lower()
    if word not in TRUE | FALSE:
        raise ValueError(f"{val!r} is neither true nor false")
    return word in TRUE
