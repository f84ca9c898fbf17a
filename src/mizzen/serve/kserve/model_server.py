"""KServe's server class and its command line's parser."""

from __future__ import annotations

from typing import Any

from mizzen.serve.custom.program import ModelServer, parser

__all__ = ["ModelServer", "parser"]


def __getattr__(name: str) -> Any:
    if name == "args":
        return parser.parse_known_args()[0]
    if name == "app":
        raise ImportError("this server is no FastAPI application, so there is no app to put middleware or routes into")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
