"""The two topics, and which message goes over which."""

from __future__ import annotations

from msgspec import Struct

from mizzen.acm.messages.acks import RegisterAck
from mizzen.acm.messages.envelope import Envelope
from mizzen.acm.messages.sync import StatusRequest, Sync

# What the sync topic carries, to every replica; everything else goes over the operation topic.
_SYNC = (RegisterAck, StatusRequest, Sync)


class Topics(Struct, frozen=True):
    """Attributes: orders and all that participants say; what every replica is told."""

    operation: str = "policy-acruntime-participant"
    sync: str = "acm-ppnt-sync"

    def of(self, message: Envelope) -> str:
        return self.sync if isinstance(message, _SYNC) else self.operation
