"""What an order says of this participant's elements, whichever dialect it speaks.

The newer dialect brings every element whole, before and after, with its definition's properties. The older one brings
what is new and leaves the rest to memory: composition properties always, and all of the element where nothing about it
changes. From here on there is one form: an element before and after, either of which may be absent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar
from uuid import UUID

from msgspec import Struct, structs

from mizzen.acm.messages.elements import (
    CompositionElement,
    ElementDto,
    ElementOrder,
    InstanceElement,
    ParticipantDeploy,
    ParticipantDto,
)
from mizzen.acm.messages.orders import Deploy, Migration, Prepare, PropertiesUpdate, StateChange
from mizzen.acm.messages.states import ElementState, MigrationState
from mizzen.acm.participant.cache import Cache, CachedInstance
from mizzen.acm.participant.handler import Element

_Entry = TypeVar("_Entry", ParticipantDto, ParticipantDeploy)

_ABSENT = (ElementState.NOT_PRESENT, ElementState.REMOVED)


class Told(Struct, frozen=True):
    """One element. ``after`` is what it is to be, or simply is; None where it is to go. ``before`` may be unknown."""

    before: Element | None
    after: Element | None

    @property
    def present(self) -> Element:
        """The side that there is, the one after where there are both."""
        found = self.after or self.before
        assert found is not None
        return found


def told(message: Deploy | StateChange | PropertiesUpdate | Prepare | Migration, cache: Cache) -> list[Told]:
    """This participant's elements in an order; empty where it names none and nothing is remembered."""
    dtos = _own(message.participant_dto_list or (), cache.participant)
    if dtos is not None:
        return _newer(message, dtos.element_dtos, cache)
    instance_id = message.automation_composition_id
    if instance_id is None:
        return []
    instance = cache.instances.get(instance_id)
    match message:
        case Deploy() | PropertiesUpdate():
            listed = _own(message.participant_updates_list, cache.participant)
            return _older(instance_id, message.composition_id, listed, instance, cache)
        case Prepare(pre_deploy=True):
            listed = _own(message.participant_list, cache.participant)
            return _older(instance_id, message.composition_id, listed, instance, cache)
        case Migration():
            return _migration(message, instance_id, instance, cache)
        case _:
            elements = instance.elements.values() if instance else ()
            return [Told(None, cache.for_handler(instance, element)) for element in elements if instance]


def kinds(message: Migration, participant: UUID) -> set[MigrationState]:
    """How this participant's elements stand between the two definitions of a migration."""
    dtos = _own(message.participant_dto_list or (), participant)
    if dtos is not None:
        return {_kind(dto) for dto in dtos.element_dtos}
    listed = _own(message.participant_updates_list, participant)
    return {entry.migration_state for entry in listed.ac_element_list} if listed else set()


def _own(entries: Sequence[_Entry], participant: UUID) -> _Entry | None:
    return next((entry for entry in entries if entry.participant_id == participant), None)


def _newer(
    message: Deploy | StateChange | PropertiesUpdate | Prepare | Migration, dtos: Sequence[ElementDto], cache: Cache
) -> list[Told]:
    found = []
    for dto in dtos:
        if isinstance(message, Migration):
            before = _side(dto.composition_element, dto.instance_element)
            after = _side(dto.composition_element_target, dto.instance_element_target)
        elif isinstance(message, StateChange):
            # After a migration that failed, what is on one side only may be running all the same.
            before, after = None, _any_side(dto, cache)
        else:
            before = _side(dto.composition_element, dto.instance_element)
            after = _side(dto.composition_element, dto.instance_element_target)
        if before or after:
            found.append(Told(_remembered(before, cache), _remembered(after, cache)))
    return found


def _side(definition: CompositionElement | None, element: InstanceElement | None) -> Element | None:
    if definition is None or element is None or definition.state in _ABSENT or element.state in _ABSENT:
        return None
    return _joined(definition, element)


def _any_side(dto: ElementDto, cache: Cache) -> Element | None:
    element = dto.instance_element_target or dto.instance_element
    if element is None:
        return None
    known = cache.element(element.instance_id, element.element_id)
    if known is not None and not element.in_properties:
        element = structs.replace(element, in_properties=dict(known.properties))
    return _joined(dto.composition_element, element)


def _joined(definition: CompositionElement, element: InstanceElement) -> Element:
    return Element(
        composition_id=definition.composition_id,
        instance_id=element.instance_id,
        element_id=element.element_id,
        definition=definition.element_definition_id,
        composition_properties=definition.in_properties,
        composition_out=definition.out_properties,
        properties=element.in_properties,
        out_properties=element.out_properties,
    )


def _remembered(element: Element | None, cache: Cache) -> Element | None:
    """With what this replica told of the element, which may be newer than what the runtime had when it sent."""
    known = cache.element(element.instance_id, element.element_id) if element else None
    if element is None or known is None or not known.out_properties:
        return element
    return structs.replace(element, out_properties=known.out_properties)


def _older(
    instance_id: UUID,
    composition: UUID | None,
    listed: ParticipantDeploy | None,
    instance: CachedInstance | None,
    cache: Cache,
) -> list[Told]:
    composition = composition or (instance.composition_id if instance else None)
    if listed is None or composition is None:
        return []
    found = []
    for entry in listed.ac_element_list:
        known = instance.elements.get(entry.id) if instance else None
        before = cache.for_handler(instance, known) if instance and known else None
        found.append(Told(before, _entered(instance_id, composition, entry, before, cache)))
    return found


# A migration that is taken back says of each element what it was in the migration.
_TURNED = {
    MigrationState.NEW: MigrationState.REMOVED,
    MigrationState.REMOVED: MigrationState.NEW,
    MigrationState.DEFAULT: MigrationState.DEFAULT,
}


def _migration(message: Migration, instance_id: UUID, instance: CachedInstance | None, cache: Cache) -> list[Told]:
    source = message.composition_id or (instance.composition_id if instance else None)
    listed = _own(message.participant_updates_list, cache.participant)
    if listed is None or source is None:
        return []
    target = message.composition_target_id or source
    found = []
    for entry in listed.ac_element_list:
        known = instance.elements.get(entry.id) if instance else None
        # Once a stage has run, memory holds what is to be; the side before is only what is still known of it.
        before = cache.for_handler(instance, known, source) if instance and known else None
        state = _TURNED[entry.migration_state] if message.rollback else entry.migration_state
        if state is MigrationState.NEW:
            before = None
        after = _entered(instance_id, target, entry, before, cache)
        found.append(Told(before, None if state is MigrationState.REMOVED else after))
    # Releases before migration states leave out what is to go.
    named = {entry.id for entry in listed.ac_element_list}
    if instance:
        gone = [element for element in instance.elements.values() if element.element_id not in named]
        found += [Told(cache.for_handler(instance, element, source), None) for element in gone]
    return [each for each in found if each.before or each.after]


def _entered(
    instance_id: UUID, composition: UUID, entry: ElementOrder, before: Element | None, cache: Cache
) -> Element:
    known = cache.compositions.get(composition)
    return Element(
        composition_id=composition,
        instance_id=instance_id,
        element_id=entry.id,
        definition=entry.definition,
        composition_properties=known.properties.get(entry.definition, {}) if known else {},
        composition_out=known.out_properties.get(entry.definition, {}) if known else {},
        properties=entry.properties,
        out_properties=before.out_properties if before else {},
    )


def _kind(dto: ElementDto) -> MigrationState:
    if _side(dto.composition_element, dto.instance_element) is None:
        return MigrationState.NEW
    if _side(dto.composition_element_target, dto.instance_element_target) is None:
        return MigrationState.REMOVED
    return MigrationState.DEFAULT
