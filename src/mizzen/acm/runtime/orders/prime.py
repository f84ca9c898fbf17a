"""Priming and depriming of a composition: what the order does, its message, its answers, its end."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from uuid import UUID, uuid4

from mizzen.acm.messages.acks import PrimeAck
from mizzen.acm.messages.elements import (
    CompositionDto,
    ElementDefinition,
    ParticipantDefinition,
    ParticipantPrimeDto,
)
from mizzen.acm.messages.envelope import cut
from mizzen.acm.messages.orders import Prime
from mizzen.acm.messages.states import COMPOSITIONS_ON_THE_WAY, AcTypeState, PrimeOrder, StateChangeResult
from mizzen.acm.runtime.model import Composition
from mizzen.acm.runtime.orders import deadlines
from mizzen.acm.runtime.orders.definition import Definition, node_template
from mizzen.errors import MizzenError

_DURING = {PrimeOrder.PRIME: AcTypeState.PRIMING, PrimeOrder.DEPRIME: AcTypeState.DEPRIMING}
_ORDERS = {state: order for order, state in _DURING.items()}
_AFTER = {AcTypeState.PRIMING: AcTypeState.PRIMED, AcTypeState.DEPRIMING: AcTypeState.COMMISSIONED}
_TIMEOUTS = {PrimeOrder.PRIME: "primeTimeoutMs", PrimeOrder.DEPRIME: "deprimeTimeoutMs"}


class NotSupported(MizzenError):
    """No participant takes an element's type; the text is what REST says."""


def assign(definition: Definition, takers: Mapping[tuple[str, str], UUID]) -> None:
    """Give each element to the participant that takes its type.

    Args:
        takers: by the type's name and version.

    Raises:
        NotSupported: nobody takes one of them.
    """
    for element in definition.template.elements.values():
        taker = takers.get((element.type, element.type_version))
        if taker is None:
            raise NotSupported(f"Element Type {element.type} {element.type_version} not supported")
        definition.composition.nodes[element.name].participant_id = taker


def begin(definition: Definition, order: PrimeOrder, *, now: int, default: int) -> None:
    """Set states and deadline (``default`` in milliseconds)."""
    composition = definition.composition
    composition.state = _DURING[order]
    composition.result = StateChangeResult.NO_ERROR
    composition.last = now
    composition.deadline = deadlines.of_composition(definition, _TIMEOUTS[order], now, default)
    composition.revision = uuid4()
    for node in composition.nodes.values():
        node.state, node.message = composition.state, None


def message(definition: Definition) -> Prime:
    """The order that is going on, to all participants at once."""
    composition = definition.composition
    priming = composition.state is AcTypeState.PRIMING
    return Prime(
        composition_id=composition.id,
        revision_id_composition=composition.revision,
        participant_id_list=composition.participants,
        # Older participants tell the two orders apart by this.
        participant_definition_updates=definitions(definition) if priming else [],
        prime_dto_list=[
            ParticipantPrimeDto(participant_id=who, composition_dto=dto(definition, who))
            for who in composition.participants
        ],
        prime_order=_ORDERS[composition.state],
    )


def definitions(definition: Definition, participant: UUID | None = None) -> list[ParticipantDefinition]:
    """The elements of each participant, or of one."""
    found: dict[UUID, ParticipantDefinition] = {}
    for identifier, element in definition.template.elements.items():
        who = definition.participant(identifier)
        if who is None or participant not in (None, who):
            continue
        group = found.setdefault(who, ParticipantDefinition(participant_id=who))
        group.automation_composition_element_definition_list.append(
            ElementDefinition(
                ac_element_definition_id=identifier,
                automation_composition_element_tosca_node_template=node_template(element),
                out_properties=definition.out_properties(identifier),
            )
        )
    return list(found.values())


def dto(definition: Definition, participant: UUID) -> CompositionDto:
    """The same, flat."""
    own = {
        identifier: element
        for identifier, element in definition.template.elements.items()
        if definition.participant(identifier) == participant
    }
    return CompositionDto(
        composition_id=definition.id,
        in_properties_map={identifier.key: element.properties for identifier, element in own.items()},
        out_properties_map={identifier.key: definition.out_properties(identifier) for identifier in own},
    )


def apply(composition: Composition, ack: PrimeAck, asked: Collection[UUID]) -> str | None:
    """Take over a participant's answer, for all of its elements; returns why not, or None."""
    if ack.state_change_result not in (StateChangeResult.NO_ERROR, StateChangeResult.FAILED):
        return f"stateChangeResult is {ack.state_change_result or 'missing'}"
    if ack.composition_state not in (AcTypeState.PRIMED, AcTypeState.COMMISSIONED):
        return f"compositionState is {ack.composition_state or 'missing'}"
    if composition.state not in COMPOSITIONS_ON_THE_WAY:
        return "nothing was asked of the composition"
    if ack.response_to is not None and ack.response_to not in asked:
        return "it answers an earlier order"
    failed = ack.state_change_result is StateChangeResult.FAILED
    if not failed and ack.composition_state is not _AFTER[composition.state]:
        return f"{ack.composition_state} is no result of {_ORDERS[composition.state]}"
    own = [node for node in composition.nodes.values() if node.participant_id == ack.participant_id]
    if not own:
        return "the participant has no element of the composition"
    for node in own:
        node.state = ack.composition_state
        node.message = cut(ack.message) if ack.message is not None else None
    for told in ack.out_properties_list or []:
        for node in own:
            if node.definition == told.element_definition_id:
                node.out_properties = told.out_properties
    if failed:
        composition.result = StateChangeResult.FAILED
        composition.deadline = None
    return None


def advance(composition: Composition, now: int) -> bool:
    """Whether it is done; a composition of which an element has failed stays as it is."""
    if composition.state not in COMPOSITIONS_ON_THE_WAY or composition.result is StateChangeResult.FAILED:
        return False
    goal = _AFTER[composition.state]
    if any(node.state is not goal for node in composition.nodes.values()):
        return False
    composition.state = goal
    composition.result = StateChangeResult.NO_ERROR
    composition.last = now
    composition.deadline = None
    composition.revision = uuid4()
    return True


def time_out(composition: Composition, now: int) -> bool:
    """Give up waiting, if it is time."""
    waiting = composition.state in COMPOSITIONS_ON_THE_WAY and composition.result is StateChangeResult.NO_ERROR
    if not waiting or composition.deadline is None or composition.deadline > now:
        return False
    composition.result = StateChangeResult.TIMEOUT
    composition.deadline = None
    composition.revision = uuid4()
    return True
