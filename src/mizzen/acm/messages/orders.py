"""What the runtime asks of participants: prime, deploy, change, prepare, migrate. Sent on the operation topic."""

from __future__ import annotations

from uuid import UUID

from msgspec import field

from mizzen.acm.messages.elements import (
    ParticipantDefinition,
    ParticipantDeploy,
    ParticipantDto,
    ParticipantPrimeDto,
)
from mizzen.acm.messages.envelope import Message
from mizzen.acm.messages.states import DeployOrder, LockOrder, PrimeOrder


class Prime(Message, tag="PARTICIPANT_PRIME"):
    """Take these definitions, or give them up.

    Attributes:
        participant_definition_updates: full node templates; empty is deprime to those who know no ``primeOrder``.
        prime_dto_list: None in the older dialect.
        prime_order: None in the older dialect.
    """

    participant_definition_updates: list[ParticipantDefinition] = field(default_factory=list)
    prime_dto_list: list[ParticipantPrimeDto] | None = None
    prime_order: PrimeOrder | None = None


class Deploy(Message, tag="AUTOMATION_COMPOSITION_DEPLOY"):
    """Deploy the elements of one phase.

    Attributes:
        participant_updates_list: all elements of the instance, those of other phases, too.
        start_phase: those elements act whose definition has this phase.
        first_start_phase: the participant begins anew with what it knows of the instance.
        participant_dto_list: None in the older dialect.
    """

    participant_updates_list: list[ParticipantDeploy] = field(default_factory=list)
    start_phase: int = 0
    first_start_phase: bool = False
    participant_dto_list: list[ParticipantDto] | None = None


class StateChange(Message, tag="AUTOMATION_COMPOSITION_STATE_CHANGE"):
    """Undeploy, delete, lock or unlock the elements of one phase."""

    deploy_ordered_state: DeployOrder = DeployOrder.NONE
    lock_ordered_state: LockOrder = LockOrder.NONE
    start_phase: int = 0
    first_start_phase: bool = False
    participant_dto_list: list[ParticipantDto] | None = None


class PropertiesUpdate(Message, tag="PROPERTIES_UPDATE"):
    """Change deployed elements, all at once, or go back to what they were (``rollback``)."""

    participant_updates_list: list[ParticipantDeploy] = field(default_factory=list)
    rollback: bool = False
    participant_dto_list: list[ParticipantDto] | None = None


class Prepare(Message, tag="AUTOMATION_COMPOSITION_PREPARE"):
    """Before a deployment prepare a stage (``preDeploy``), after it review.

    Attributes:
        participant_list: empty at review.
    """

    participant_list: list[ParticipantDeploy] = field(default_factory=list)
    pre_deploy: bool = False
    stage: int = 0
    participant_dto_list: list[ParticipantDto] | None = None


class Migration(Message, tag="AUTOMATION_COMPOSITION_MIGRATION"):
    """Bring an instance to another definition, stage by stage; check it beforehand, or go back."""

    composition_target_id: UUID | None = None
    revision_id_composition_target: UUID | None = None
    participant_updates_list: list[ParticipantDeploy] = field(default_factory=list)
    participant_dto_list: list[ParticipantDto] | None = None
    precheck: bool = False
    rollback: bool = False
    first_stage: bool = False
    stage: int = 0
