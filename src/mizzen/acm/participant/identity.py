"""Who a participant is: what stays in its configuration, and what is made anew at each start."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from uuid import UUID

from msgspec import Struct

from mizzen.acm.messages.elements import SupportedElementType
from mizzen.acm.messages.envelope import Envelope


class Identity(Struct, frozen=True):
    """
    Attributes:
        participant_id: all replicas have the same.
        replica_id: this process's own.
    """

    participant_id: UUID
    replica_id: UUID
    types: tuple[SupportedElementType, ...]

    def is_meant(self, message: Envelope) -> bool:
        return message.applies_to(self.participant_id, self.replica_id)


def library_version() -> str:
    """What REGISTER gives as the version of the library; runtimes only keep it."""
    try:
        return f"mizzen {version('mizzen')}"
    except PackageNotFoundError:
        return "mizzen"
