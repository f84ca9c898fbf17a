"""What the runtime tells every replica, on the sync topic."""

from __future__ import annotations

from uuid import UUID

from msgspec import field

from mizzen.acm.messages.elements import InstanceRestart, ParticipantDefinition
from mizzen.acm.messages.envelope import Message
from mizzen.acm.messages.states import AcTypeState, StateChangeResult


class StatusRequest(Message, tag="PARTICIPANT_STATUS_REQ"):
    """Say how it goes."""


class Sync(Message, tag="PARTICIPANT_SYNC_MSG"):
    """How a composition or an instance stands now.

    Attributes:
        state: of the composition; ``PRIMED`` wherever an instance is meant.
        automation_compositions: the instances, with the elements of all participants.
        exclude_replicas: those who know it already.
        restarting: for one replica, and everything that it should know.
        delete: forget it.
    """

    state: AcTypeState | None = None
    participant_definition_updates: list[ParticipantDefinition] = field(default_factory=list)
    automation_compositions: list[InstanceRestart] = field(default_factory=list, name="automationcompositionList")
    exclude_replicas: list[UUID] = field(default_factory=list)
    restarting: bool = False
    delete: bool = False
    state_change_result: StateChangeResult | None = None
