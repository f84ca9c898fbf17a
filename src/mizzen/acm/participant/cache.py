"""What a replica remembers: the compositions that it was primed with, its elements of their instances, and revisions.

Memory only. It is filled by orders and by what the runtime tells every replica, so it may be behind; revisions show
whether it is, and then the runtime is asked. Only elements of this participant are kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from uuid import UUID

from msgspec import Struct, field

from mizzen.acm.messages.concepts import Identifier
from mizzen.acm.messages.elements import ElementRestart, InstanceRestart, ParticipantDefinition
from mizzen.acm.messages.states import DeployState, LockState, SubState
from mizzen.acm.participant.handler import Composition, Element, Properties


class CachedElement(Struct, kw_only=True):
    """Attributes: what ``ElementAck`` repeats of them, and what a handler is given."""

    element_id: UUID
    definition: Identifier
    deploy_state: DeployState = DeployState.UNDEPLOYED
    lock_state: LockState = LockState.NONE
    sub_state: SubState = SubState.NONE
    operational_state: str | None = None
    use_state: str | None = None
    properties: Properties = field(default_factory=dict)
    out_properties: Properties = field(default_factory=dict)


class CachedInstance(Struct, kw_only=True):
    instance_id: UUID
    composition_id: UUID
    composition_target_id: UUID | None = None
    deploy_state: DeployState = DeployState.UNDEPLOYED
    lock_state: LockState = LockState.NONE
    revision: UUID | None = None
    elements: dict[UUID, CachedElement] = field(default_factory=dict)


class CachedComposition(Struct, kw_only=True):
    """Attributes: by definition, what the composition says of it, and what it got from being primed."""

    composition_id: UUID
    revision: UUID | None = None
    properties: dict[Identifier, Properties] = field(default_factory=dict)
    out_properties: dict[Identifier, Properties] = field(default_factory=dict)

    def for_handler(self) -> Composition:
        return Composition(
            composition_id=self.composition_id, properties=self.properties, out_properties=self.out_properties
        )


class Cache:
    """
    Args:
        participant: whose elements are kept.
    """

    def __init__(self, participant: UUID) -> None:
        self.participant = participant
        self.compositions: dict[UUID, CachedComposition] = {}
        self.instances: dict[UUID, CachedInstance] = {}

    def knows_composition(self, composition: UUID | None, revision: UUID | None) -> bool:
        """Whether it is remembered as of this revision; runtimes before 8.2.1 name none, and anything will do."""
        if revision is None or composition is None:
            return True
        found = self.compositions.get(composition)
        return found is not None and found.revision == revision

    def knows_instance(self, instance: UUID | None, revision: UUID | None) -> bool:
        if revision is None or instance is None:
            return True
        found = self.instances.get(instance)
        return found is not None and found.revision == revision

    def element(self, instance: UUID, element: UUID) -> CachedElement | None:
        found = self.instances.get(instance)
        return found.elements.get(element) if found else None

    def define(
        self, composition: UUID, revision: UUID | None, definitions: Iterable[ParticipantDefinition]
    ) -> CachedComposition:
        """Remember a composition by its node templates."""
        found = CachedComposition(composition_id=composition, revision=revision)
        for entry in definitions:
            if entry.participant_id == self.participant:
                for element in entry.automation_composition_element_definition_list:
                    template = element.automation_composition_element_tosca_node_template
                    found.properties[element.ac_element_definition_id] = template.properties or {}
                    found.out_properties[element.ac_element_definition_id] = element.out_properties
        self.compositions[composition] = found
        return found

    def define_flat(
        self,
        composition: UUID,
        revision: UUID | None,
        properties: Mapping[str, Properties],
        out_properties: Mapping[str, Properties],
    ) -> CachedComposition:
        """Remember a composition by maps whose keys are ``name version``."""
        found = CachedComposition(composition_id=composition, revision=revision)
        found.properties.update({Identifier.of(key): value for key, value in properties.items()})
        found.out_properties.update({Identifier.of(key): value for key, value in out_properties.items()})
        self.compositions[composition] = found
        return found

    def begin(self, instance: UUID, composition: UUID, revision: UUID | None, elements: Iterable[Element]) -> None:
        """Remember an instance anew, with what was known of its elements' running."""
        before = self.instances.get(instance)
        known = before.elements if before else {}
        found = CachedInstance(instance_id=instance, composition_id=composition, revision=revision)
        for element in elements:
            found.elements[element.element_id] = _cached(element, known.get(element.element_id))
        self.instances[instance] = found

    def add(self, element: Element) -> CachedElement:
        """Remember one element as it is told, within its instance, which is made where it is not known."""
        instance = self.instances.get(element.instance_id)
        if instance is None:
            instance = CachedInstance(instance_id=element.instance_id, composition_id=element.composition_id)
            self.instances[element.instance_id] = instance
        found = _cached(element, instance.elements.get(element.element_id))
        instance.elements[element.element_id] = found
        return found

    def put(self, composition: UUID, told: InstanceRestart) -> CachedInstance:
        """Remember an instance as the runtime knows it."""
        found = CachedInstance(
            instance_id=told.automation_composition_id,
            composition_id=composition,
            composition_target_id=told.composition_target_id,
            deploy_state=told.deploy_state,
            lock_state=told.lock_state,
            revision=told.revision_id,
            elements={entry.id: _restarted(entry) for entry in self.own(told)},
        )
        self.instances[found.instance_id] = found
        return found

    def own(self, told: InstanceRestart) -> list[ElementRestart]:
        """Those elements of an instance that are this participant's."""
        return [entry for entry in told.ac_element_list if entry.participant_id == self.participant]

    def for_handler(self, instance: CachedInstance, cached: CachedElement, composition: UUID | None = None) -> Element:
        """An element as a handler is given it, by its instance's composition or by another."""
        composition = composition or instance.composition_id
        known = self.compositions.get(composition)
        return Element(
            composition_id=composition,
            instance_id=instance.instance_id,
            element_id=cached.element_id,
            definition=cached.definition,
            composition_properties=known.properties.get(cached.definition, {}) if known else {},
            composition_out=known.out_properties.get(cached.definition, {}) if known else {},
            properties=cached.properties,
            out_properties=cached.out_properties,
        )


def _cached(element: Element, before: CachedElement | None) -> CachedElement:
    if before is None:
        return CachedElement(
            element_id=element.element_id,
            definition=element.definition,
            properties=element.properties,
            out_properties=element.out_properties,
        )
    before.definition, before.properties = element.definition, element.properties
    before.out_properties = element.out_properties
    return before


def _restarted(entry: ElementRestart) -> CachedElement:
    return CachedElement(
        element_id=entry.id,
        definition=entry.definition,
        deploy_state=entry.deploy_state,
        lock_state=entry.lock_state,
        operational_state=entry.operational_state,
        use_state=entry.use_state,
        properties=entry.properties,
        out_properties=entry.out_properties,
    )
