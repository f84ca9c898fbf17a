"""Answers: of participants to orders, of the runtime to registration."""

from __future__ import annotations

from uuid import UUID

from msgspec import field

from mizzen.acm.messages.elements import ElementAck, PrimeElementAck
from mizzen.acm.messages.envelope import Ack
from mizzen.acm.messages.states import AcTypeState


class RegisterAck(Ack, tag="PARTICIPANT_REGISTER_ACK"):
    """The runtime knows the replica. Sent on the sync topic."""


class DeregisterAck(Ack, tag="PARTICIPANT_DEREGISTER_ACK"):
    """The runtime has forgotten the replica. To everyone, on the operation topic."""


class PrimeAck(Ack, tag="PARTICIPANT_PRIME_ACK"):
    """How a participant came out of prime or deprime, for all of its elements."""

    composition_state: AcTypeState | None = None
    out_properties_list: list[PrimeElementAck] | None = None


class StateChangeAck(Ack, tag="AUTOMATION_COMPOSITION_STATECHANGE_ACK"):
    """How elements came out of an order.

    Attributes:
        automation_composition_result_map: by element; empty says that the participant knows none of the instance.
        stage: the next one, while there are more.
        out_properties_updated: whether what the map says beside the states is to be stored.
    """

    automation_composition_id: UUID | None = None
    stage: int | None = None
    out_properties_updated: bool = False
    automation_composition_result_map: dict[UUID, ElementAck] = field(default_factory=dict)


class DeployAck(StateChangeAck, tag="AUTOMATION_COMPOSITION_DEPLOY_ACK"):
    """The same under an older name."""
