"""The exceptions that users' models raise and catch, by the names and with the attributes that KServe's have.

Each is one of the server's own errors, so that it is answered with that one's status; most are also the built-in
exception that KServe derives them from. ``InvalidInput`` is the server's itself: a model that catches it catches
whatever the server's helpers object to.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mizzen.serve import errors
from mizzen.serve.errors import InvalidInput

__all__ = [
    "InferenceError",
    "InvalidInput",
    "ModelMissingError",
    "ModelNotFound",
    "ModelNotReady",
    "NoModelReady",
    "ServerNotLive",
    "ServerNotReady",
    "UnsupportedProtocol",
    "WorkersShouldBeLessThanMaxWorkersError",
]


class InferenceError(errors.InferenceError, RuntimeError):
    """The model was asked and failed: 500, or ``status`` where that is an HTTP error.

    Args:
        status: stands before the text, in brackets, as KServe writes it.
        debug_details: kept, and not shown to clients.
    """

    def __init__(self, reason: str | None, status: str | int | None = None, debug_details: Any = None) -> None:
        text = "" if reason is None else reason
        super().__init__(text if status is None else f"[{status}] {text}", _http_status(status))
        self.reason = reason
        self.debug_details = debug_details


class ModelMissingError(errors.LoadError):
    """There is no model file at ``path``."""

    def __init__(self, path: str) -> None:
        super().__init__(str(path))
        self.path = path


class ModelNotFound(errors.ModelNotFound):
    """No model has this name: 404."""

    def __init__(self, model_name: str | None = None) -> None:
        super().__init__(str(model_name))
        self.reason = str(self)


class ModelNotReady(errors.ModelNotReady, RuntimeError):
    """The model cannot answer now: 503."""

    def __init__(self, model_name: str, detail: str | None = None) -> None:
        super().__init__(model_name, detail or "")
        self.model_name = model_name
        self.error_msg = str(self)


class ServerNotReady(errors.ServeError, RuntimeError):
    """The server cannot answer now: 503."""

    status = 503

    def __init__(self, detail: str | None = None) -> None:
        self.error_msg = "Server is not ready." + (f" {detail}" if detail else "")
        super().__init__(self.error_msg)


class ServerNotLive(errors.ServeError, RuntimeError):
    """The server does not live any more: 503."""

    status = 503

    def __init__(self, detail: str | None = None) -> None:
        self.error_msg = "Server is not live." + (f" {detail}" if detail else "")
        super().__init__(self.error_msg)


class UnsupportedProtocol(errors.ServeError):
    """There is no such protocol here: 501."""

    status = 501

    def __init__(self, protocol_version: str | None = None) -> None:
        self.reason = f"Unsupported protocol {protocol_version}."
        super().__init__(self.reason)


class WorkersShouldBeLessThanMaxWorkersError(errors.ServeError):
    """The model cannot be served by so many processes."""

    def __init__(self, max_workers: int | None = None) -> None:
        self.reason = f"Workers cannot be greater than {max_workers}"
        super().__init__(self.reason)


class NoModelReady(errors.LoadError, RuntimeError):
    """None of the models can be served, so there is nothing to serve."""

    def __init__(self, models: Sequence[Any], detail: str | None = None) -> None:
        names = [model.name for model in models]
        what = f"Model with name {names[0]} is" if len(names) == 1 else f"Models with names {','.join(names)} are"
        self.error_msg = f"{what} not ready." + (f" {detail}" if detail else "")
        super().__init__(self.error_msg)
        self.models = list(models)
        self.detail = detail


def _http_status(status: str | int | None) -> int | None:
    """A status that HTTP knows as an error, or None."""
    text = str(status)
    return int(text) if text.isdecimal() and len(text) == 3 and "400" <= text <= "599" else None
