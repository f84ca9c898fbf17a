"""An order in words: the message for what is going on with an instance, made from its state.

Every message says the same twice, in the newer structures (before and after, definition and instance) and in the older
ones; which of the two is sent is decided where it is encoded. Elements that are gone already are not mentioned.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar
from uuid import UUID

from mizzen.acm.messages.concepts import Identifier
from mizzen.acm.messages.elements import (
    CompositionElement,
    ElementDto,
    ElementOrder,
    InstanceElement,
    ParticipantDeploy,
    ParticipantDto,
)
from mizzen.acm.messages.envelope import Message
from mizzen.acm.messages.orders import Deploy, Migration, Prepare, PropertiesUpdate, StateChange
from mizzen.acm.messages.states import DeployOrder, DeployState, ElementState, LockOrder, MigrationState
from mizzen.acm.runtime.model import Before, Element, Instance
from mizzen.acm.runtime.orders.definition import Definition
from mizzen.acm.runtime.orders.operations import Operation

_T = TypeVar("_T")
_DEPLOY_ORDERS = {Operation.UNDEPLOY: DeployOrder.UNDEPLOY, Operation.DELETE: DeployOrder.DELETE}
_LOCK_ORDERS = {Operation.LOCK: LockOrder.LOCK, Operation.UNLOCK: LockOrder.UNLOCK}
_SIDES = {
    MigrationState.DEFAULT: ElementState.PRESENT,
    MigrationState.NEW: ElementState.NEW,
    MigrationState.REMOVED: ElementState.REMOVED,
}


def order(
    instance: Instance,
    going_on: Operation,
    definition: Definition,
    *,
    target: Definition | None = None,
    before: Before | None = None,
) -> Message:
    """The message for the phase or stage that an instance is in.

    Args:
        target: while it migrates, and while a failed migration is cleaned up.
        before: what a rollback goes, or went, back to; where it is updated or migrated.
    """
    words = _Words(instance, going_on, definition, target, before)
    message = words.message()
    message.composition_id = definition.id
    message.automation_composition_id = instance.id
    message.revision_id_composition = definition.revision
    message.revision_id_instance = instance.revision
    message.participant_id_list = list(
        dict.fromkeys(one.participant_id for one in words.elements if one.participant_id)
    )
    return message


class _Words:
    def __init__(
        self,
        instance: Instance,
        going_on: Operation,
        definition: Definition,
        target: Definition | None,
        before: Before | None,
    ) -> None:
        self.instance = instance
        self.going_on = going_on
        self.definition = definition
        self.target = target
        self.before = before
        self.elements = [
            one for one in instance.elements.values() if one.participant_id and one.deploy is not DeployState.DELETED
        ]

    def message(self) -> Message:
        phase = self.instance.phase or 0
        first = self.instance.phase == self.instance.first
        match self.going_on:
            case Operation.DEPLOY:
                return Deploy(
                    participant_updates_list=self._orders(DeployOrder.DEPLOY),
                    start_phase=phase,
                    first_start_phase=first,
                    participant_dto_list=self._dtos(self._now),
                )
            case Operation.UPDATE | Operation.UPDATE_REVERT:
                # Not UPDATE_REVERT: releases before 9.0.2 know no such order.
                return PropertiesUpdate(
                    participant_updates_list=self._orders(DeployOrder.UPDATE),
                    rollback=self.going_on is Operation.UPDATE_REVERT,
                    participant_dto_list=self._dtos(self._changed),
                )
            case Operation.PREPARE | Operation.REVIEW:
                prepare = self.going_on is Operation.PREPARE
                return Prepare(
                    participant_list=self._orders(DeployOrder.NONE) if prepare else [],
                    pre_deploy=prepare,
                    stage=phase,
                    participant_dto_list=self._dtos(self._now),
                )
            case Operation.MIGRATE | Operation.MIGRATION_REVERT | Operation.MIGRATE_PRECHECK:
                return self._migration(phase, first)
            case _:
                return StateChange(
                    deploy_ordered_state=_DEPLOY_ORDERS.get(self.going_on, DeployOrder.NONE),
                    lock_ordered_state=_LOCK_ORDERS.get(self.going_on, LockOrder.NONE),
                    start_phase=phase,
                    first_start_phase=first,
                    participant_dto_list=self._dtos(self._now),
                )

    def _migration(self, stage: int, first: bool) -> Migration:
        rollback = self.going_on is Operation.MIGRATION_REVERT
        return Migration(
            composition_target_id=self.target.id if self.target else None,
            revision_id_composition_target=self.target.revision if self.target else None,
            participant_updates_list=self._orders(DeployOrder.MIGRATION_REVERT if rollback else DeployOrder.MIGRATE),
            participant_dto_list=self._dtos(self._taken_back if rollback else self._migrated),
            precheck=self.going_on is Operation.MIGRATE_PRECHECK,
            rollback=rollback,
            first_stage=first,
            stage=stage,
        )

    def _orders(self, ordered: DeployOrder) -> list[ParticipantDeploy]:
        def told(element: Element) -> ElementOrder:
            return ElementOrder(
                id=element.id,
                definition=element.definition,
                ordered_state=ordered,
                migration_state=element.migration,
                properties=element.properties,
            )

        return [ParticipantDeploy(participant_id=who, ac_element_list=what) for who, what in self._grouped(told)]

    def _dtos(self, told: Callable[[Element], ElementDto]) -> list[ParticipantDto]:
        return [ParticipantDto(participant_id=who, element_dtos=what) for who, what in self._grouped(told)]

    def _grouped(self, told: Callable[[Element], _T]) -> Iterable[tuple[UUID, list[_T]]]:
        groups: dict[UUID, list[_T]] = {}
        for element in self.elements:
            if element.participant_id is not None:
                groups.setdefault(element.participant_id, []).append(told(element))
        return groups.items()

    def _now(self, element: Element) -> ElementDto:
        """Nothing changes but the state. What a failed migration has left behind says so."""
        definition, side = self.definition, _SIDES[element.migration]
        if self.target is not None and not definition.has(element.definition):
            definition = self.target
        return ElementDto(
            composition_element=_defined(definition, element.definition, side),
            instance_element_target=self._element(element, side),
        )

    def _changed(self, element: Element) -> ElementDto:
        earlier = self._earlier(element)
        return ElementDto(
            composition_element=_defined(self.definition, element.definition),
            instance_element=self._element(earlier),
            instance_element_target=self._element(element),
        )

    def _migrated(self, element: Element) -> ElementDto:
        return self._between(element, self.definition, self.target or self.definition, {})

    def _taken_back(self, element: Element) -> ElementDto:
        # A rollback goes from the target to the definition that the instance had; added and removed change places.
        turned = {MigrationState.NEW: MigrationState.REMOVED, MigrationState.REMOVED: MigrationState.NEW}
        return self._between(element, self.target or self.definition, self.definition, turned)

    def _between(
        self,
        element: Element,
        source: Definition,
        goal: Definition,
        turned: dict[MigrationState, MigrationState],
    ) -> ElementDto:
        earlier, change = self._earlier(element), turned.get(element.migration, element.migration)
        absent = ElementState.NOT_PRESENT if change is MigrationState.NEW else ElementState.PRESENT
        side = _SIDES[change]
        return ElementDto(
            composition_element=_defined(source, earlier.definition, absent),
            instance_element=self._element(earlier, absent),
            composition_element_target=_defined(goal, element.definition, side),
            instance_element_target=self._element(element, side),
        )

    def _earlier(self, element: Element) -> Element:
        if self.before is None:
            return element
        reverts = self.going_on in (Operation.UPDATE_REVERT, Operation.MIGRATION_REVERT)
        kept = (self.before.replaced or {}) if reverts else self.before.elements
        return kept.get(element.id, element)

    def _element(self, element: Element, state: ElementState = ElementState.PRESENT) -> InstanceElement:
        present = state is not ElementState.NOT_PRESENT
        return InstanceElement(
            instance_id=self.instance.id,
            element_id=element.id,
            in_properties=element.properties if present else {},
            out_properties=element.out_properties if present else {},
            state=state,
        )


def _defined(
    definition: Definition, identifier: Identifier, state: ElementState = ElementState.PRESENT
) -> CompositionElement:
    return CompositionElement(
        composition_id=definition.id,
        element_definition_id=identifier,
        in_properties=definition.properties(identifier),
        out_properties=definition.out_properties(identifier),
        state=state,
    )
