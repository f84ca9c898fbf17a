"""What can go wrong between the node agent and the processes it asked for."""

from __future__ import annotations

from mizzen.errors import MizzenError


class RuntimeFailure(MizzenError):
    """The root of this package's errors."""


class StartFailed(RuntimeFailure):
    """A container could not be started: its executable, entry point, a mount or its folder is not what it should be.

    Attributes:
        exit_code: what a shell would report: 127 for what is not found, 126 for what cannot be executed, 128 else.
        reason: one word for status fields: ``StartError``, or ``AlreadyExists`` for an id that is taken.
    """

    def __init__(self, message: str, exit_code: int = 128, reason: str = "StartError") -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.reason = reason


class UnknownContainer(RuntimeFailure):
    """The parent holds no container of that id, or holds one that is no longer running."""


class Refused(RuntimeFailure):
    """The parent understood the request and does not do it; the message says why."""


class ParentLost(RuntimeFailure):
    """The pod parent is gone, and every container it held with it."""


class ParentUnreachable(RuntimeFailure):
    """No pod parent could be started or reached at a socket; the message says what was found there."""


class MountFailed(RuntimeFailure):
    """A container's view of the file system could not be made."""


class AddressesUnavailable(RuntimeFailure):
    """No block of loopback addresses, or none of its addresses, can be had."""
