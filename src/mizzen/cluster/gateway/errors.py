"""What keeps a route from being served, or a request from being answered."""

from __future__ import annotations

from mizzen.errors import MizzenError
from mizzen.http.errors import HttpError


class Unsupported(MizzenError):
    """An HTTPRoute with a value that is not served here; the message says which, and at which field."""


class Unavailable(MizzenError):
    """A backend that nobody answers for; the message names the service and says why."""


class Failed(HttpError):
    """A request that gets no answer from a service.

    Attributes:
        status: what the client is told instead, with the message as its body.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
