"""What can be in the way of an installation."""

from mizzen.errors import MizzenError


class UpError(MizzenError):
    """An installation cannot be started, found or ended; the message says why and what to do."""
