"""The two envelopes: messages, and acknowledgements of them."""

from __future__ import annotations

from datetime import UTC, datetime
from time import time_ns
from uuid import UUID, uuid4

from msgspec import Struct, field

from mizzen.acm.messages.states import StateChangeResult

# The runtime keeps an acknowledgement's message in a column of this many characters.
LONGEST_MESSAGE = 255


def now() -> str:
    """This instant, with nine digits: ``2026-08-21T12:00:00.123456789Z``."""
    seconds, nanoseconds = divmod(time_ns(), 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{nanoseconds:09}Z"


def cut(message: str) -> str:
    """A message as long as the runtime can keep it."""
    return message if len(message) <= LONGEST_MESSAGE else message[: LONGEST_MESSAGE - 3] + "..."


class Envelope(Struct, rename="camel", kw_only=True, tag_field="messageType"):
    """What all of them have.

    Attributes:
        timestamp: ISO 8601 in UTC, with up to nine digits of a second.
        composition_id: orders the messages of one composition, being their key.
        participant_id: the one who sends it, or the only one it is for.
        replica_id: which process of that participant.
    """

    timestamp: str | None = field(default_factory=now)
    composition_id: UUID | None = None
    participant_id: UUID | None = None
    replica_id: UUID | None = None

    @property
    def key(self) -> str | None:
        """The record's key: what has the same one keeps its order."""
        found = self.composition_id or self.participant_id
        return str(found) if found else None

    def applies_to(self, participant: UUID, replica: UUID) -> bool:
        """Whether it is for this replica of this participant."""
        if self.participant_id is None:
            return True
        if self.replica_id is None:
            return self.participant_id == participant
        return self.replica_id == replica


class Message(Envelope):
    """Orders, reports and synchronisation.

    Attributes:
        message_id: given back as ``responseTo``.
        automation_composition_id: the instance.
        participant_id_list: whom it is for; empty is everyone.
    """

    message_id: UUID = field(default_factory=uuid4)
    automation_composition_id: UUID | None = None
    revision_id_composition: UUID | None = None
    revision_id_instance: UUID | None = None
    participant_id_list: list[UUID] = field(default_factory=list)

    def applies_to(self, participant: UUID, replica: UUID) -> bool:
        if self.participant_id_list and participant not in self.participant_id_list:
            return False
        return super().applies_to(participant, replica)


class Ack(Envelope):
    """Answers.

    Attributes:
        message: at most 255 characters, or a runtime of Java's cannot store it.
    """

    response_to: UUID | None = None
    state_change_result: StateChangeResult | None = None
    message: str | None = None
