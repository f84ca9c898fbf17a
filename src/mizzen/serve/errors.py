"""What keeps a model server from answering, and the status each has.

The statuses and wordings are KServe's (data plane reference, 1.4), with one rule of our own: bad input is 400 wherever
it is found by us, and what a model's ``predict`` raises is 500 with its text.
"""

from __future__ import annotations

from mizzen.errors import MizzenError


class ServeError(MizzenError):
    """Anything that this package raises. ``status`` is the HTTP status that it is answered with."""

    status = 500


class InvalidInput(ServeError):
    """The request cannot be read as what its protocol asks for, or is not what the model takes."""

    status = 400

    @property
    def reason(self) -> str:
        """The sentence, by the name that KServe's models know it by."""
        return str(self)


class BodyTooLarge(ServeError):
    """A body is larger than the server takes, once it is no longer compressed."""

    status = 413

    def __init__(self, limit: int) -> None:
        super().__init__(f"the request's body is larger, uncompressed, than the {limit} bytes that this server takes")


class ModelNotFound(ServeError):
    """No model has this name."""

    status = 404

    def __init__(self, name: str) -> None:
        super().__init__(f"Model with name {name} does not exist.")


class NotFound(ServeError):
    """Nothing is served at this path."""

    status = 404


class MethodNotAllowed(ServeError):
    """The path is served, but not with this method. ``allowed`` are those it has."""

    status = 405

    def __init__(self, method: str, path: str, allowed: list[str], hint: str = "") -> None:
        super().__init__(f"{path} takes {' or '.join(allowed)}, not {method}" + (f"; {hint}" if hint else ""))
        self.allowed = list(allowed)


class ModelNotReady(ServeError):
    """The model is known and cannot answer now."""

    status = 503

    def __init__(self, name: str, reason: str = "") -> None:
        super().__init__(f"Model with name {name} is not ready." + (f" {reason}" if reason else ""))


class Unloaded(ModelNotReady):
    """The model could be served, and is not loaded."""

    def __init__(self, name: str) -> None:
        super().__init__(name, f"It is unloaded; POST to /v2/repository/models/{name}/load to load it.")


class Asleep(ModelNotReady):
    """The model was unloaded to make room: whoever asks loads it first, and asks again."""

    def __init__(self, name: str) -> None:
        super().__init__(name, "It is unloaded to make room and must be loaded first.")
        self.name = name


class ServerNotReady(ServeError):
    """The server is about to end, or none of its models can answer."""

    status = 503

    def __init__(self, reason: str = "") -> None:
        super().__init__("Server is not ready." + (f" {reason}" if reason else ""))


class QueueFull(ServeError):
    """As many requests wait for the model as may. ``retry_after`` is in seconds."""

    status = 503
    retry_after = 1

    def __init__(self, name: str, waiting: int) -> None:
        super().__init__(f"Model with name {name} has {waiting} requests to answer and takes no more now.")


class DeadlineExceeded(ServeError):
    """The answer did not come in the time that the caller gave it."""

    status = 504

    def __init__(self) -> None:
        super().__init__("The model did not answer within the time that the request gave it.")


class VersionNotFound(ServeError):
    """The model is known, this version of it is not."""

    status = 404

    def __init__(self, name: str, version: str, known: list[str]) -> None:
        there = f"; there is {', '.join(known)}" if known else ""
        super().__init__(f"Model with name {name} has no version {version}{there}.")


class InferenceError(ServeError):
    """The model was asked and failed; the text is what it said.

    Args:
        status: the HTTP status to answer with, where the model names one.
    """

    def __init__(self, reason: str, status: int | None = None) -> None:
        super().__init__(reason)
        if status is not None:
            self.status = status


class LoadError(ServeError):
    """A model could not be loaded. The sentence names the file and the reason."""

    status = 503


def describe(error: BaseException) -> tuple[int, str]:
    """The HTTP status and the sentence for an error met while answering.

    A model's own exception is a 500, unless it names its status as the web frameworks' ``HTTPException`` does.
    """
    if isinstance(error, ServeError):
        return error.status, str(error)
    status = getattr(error, "status_code", None)
    if isinstance(status, int) and 400 <= status <= 599:
        return status, str(getattr(error, "detail", None) or error)
    text = str(error) or type(error).__name__
    return (501 if isinstance(error, NotImplementedError) else 500), text
