"""The sentences in which services refuse, the same for all of them: KServe's words, then what can be done about it.

Scripts and people search for these beginnings (reference: the data plane, section 7.3). What a library or server has to
say itself is added only where it says something about this case.
"""

from __future__ import annotations

from mizzen.storage.errors import StorageError, TransientError


class Failures:
    """The sentences for ``service``, a name such as ``S3``.

    ``credentials`` says, as the end of a sentence, from where its credentials are read.
    """

    def __init__(self, service: str, credentials: str) -> None:
        self.service = service
        self._credentials = credentials

    def authentication(self, why: str = "") -> StorageError:
        """The credentials are wrong, or there are none."""
        reason = f" ({why})" if why else ""
        hint = f"Credentials are read from {self._credentials}"
        return StorageError(f"{self.service} authentication failed{reason}. {hint}")

    def denied(self, what: str, *, anonymous: bool = False) -> StorageError:
        """The credentials are right, and do not permit it."""
        hint = f" It was asked without credentials; they are read from {self._credentials}" if anonymous else ""
        return StorageError(f"Access denied to {self.service} resource '{what}'. Verify permissions.{hint}")

    def not_found(self, what: str, why: str = "") -> StorageError:
        """There is no such thing, or nothing that may be seen."""
        return StorageError(f"{self.service} resource '{what}' not found.{f' {why}' if why else ''}")

    def unreachable(self, endpoint: str, why: str = "") -> TransientError:
        """There was no answer."""
        return TransientError(f"Failed to connect to {self.service} endpoint '{endpoint}'{f': {why}' if why else ''}")

    def busy(self, status: int | str, retry_after: float = 0.0) -> TransientError:
        """The service has difficulties of its own."""
        return TransientError(f"{self.service} is not available just now (status {status})", retry_after)

    def other(self, why: str) -> StorageError:
        return StorageError(f"{self.service} error: {why}")
