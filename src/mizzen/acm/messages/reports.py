"""What participants say by themselves: that they are there, how it goes, what they have missed, that they leave."""

from __future__ import annotations

from uuid import UUID

from msgspec import field

from mizzen.acm.messages.elements import InstanceInfo, ParticipantDefinition, SupportedElementType
from mizzen.acm.messages.envelope import Message


class Register(Message, tag="PARTICIPANT_REGISTER"):
    """A replica has started."""

    participant_supported_element_type: list[SupportedElementType] = field(default_factory=list)
    intermediary_version: str | None = None


class Deregister(Message, tag="PARTICIPANT_DEREGISTER"):
    """A replica ends."""


class Status(Message, tag="PARTICIPANT_STATUS"):
    """A heartbeat, and whatever has changed. Its lists are always sent: a runtime of Java's fails without them."""

    participant_definition_updates: list[ParticipantDefinition] = field(default_factory=list)
    automation_composition_info_list: list[InstanceInfo] = field(default_factory=list)
    participant_supported_element_type: list[SupportedElementType] = field(default_factory=list)


class RequestSync(Message, tag="PARTICIPANT_REQ_SYNC_MSG"):
    """What this participant knows is older than what it was asked about. Only the ids that are outdated are set."""

    composition_target_id: UUID | None = None
