"""What can go wrong between two ends of a connection."""

from __future__ import annotations

from mizzen.errors import MizzenError


class HttpError(MizzenError):
    """Anything that keeps a request from being answered."""


class ConnectFailed(HttpError):
    """No connection came about, so nothing was sent: the request may be tried elsewhere without harm."""


class Disconnected(HttpError):
    """The other end went away before its message was complete."""


class Reset(Disconnected):
    """The other end gave up this one message; the connection goes on. Only HTTP/2 has this.

    Attributes:
        code: why (RFC 9113, section 7).
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class TimedOut(HttpError):
    """The other end took longer than it was given."""


class ConnectTimedOut(ConnectFailed, TimedOut):
    """Nobody took the connection in time."""


class Malformed(HttpError):
    """A message that is not HTTP, or breaks a limit.

    Attributes:
        status: what a server answers it with.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
