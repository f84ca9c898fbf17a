"""What messages carry: definitions, elements, and what is known of them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from msgspec import Struct, field

from mizzen.acm.messages.concepts import Identifier, NodeTemplate
from mizzen.acm.messages.states import (
    DeployOrder,
    DeployState,
    ElementState,
    LockState,
    MigrationState,
    StateChangeResult,
)

Properties = dict[str, Any]


class Part(Struct, rename="camel", kw_only=True):
    """Anything inside a message."""


class SupportedElementType(Part):
    """``ParticipantSupportedElementType``: a type of element that a participant takes.

    Attributes:
        id: any, made anew at each start; types are compared by name and version.
        type_version: three numbers with dots.
    """

    id: UUID
    type_name: str
    type_version: str


class ElementDefinition(Part):
    """``AutomationCompositionElementDefinition``: one element of a composition, as commissioned."""

    ac_element_definition_id: Identifier
    automation_composition_element_tosca_node_template: NodeTemplate
    out_properties: Properties = field(default_factory=dict)


class ParticipantDefinition(Part):
    """The elements of a composition that one participant takes."""

    participant_id: UUID
    automation_composition_element_definition_list: list[ElementDefinition] = field(default_factory=list)


class CompositionDto(Part):
    """A composition's elements, flat: the keys are ``name version``."""

    composition_id: UUID
    in_properties_map: dict[str, Properties] = field(default_factory=dict)
    out_properties_map: dict[str, Properties] = field(default_factory=dict)


class ParticipantPrimeDto(Part):
    participant_id: UUID
    composition_dto: CompositionDto


class ElementOrder(Part):
    """``AcElementDeploy``: one element of an instance, and what is to be done with it."""

    id: UUID
    definition: Identifier
    ordered_state: DeployOrder = DeployOrder.NONE
    migration_state: MigrationState = MigrationState.DEFAULT
    properties: Properties = field(default_factory=dict)


class ParticipantDeploy(Part):
    """The elements of an instance that one participant takes."""

    participant_id: UUID
    ac_element_list: list[ElementOrder] = field(default_factory=list)


class CompositionElement(Part):
    """``CompositionElementDto``: an element as its definition has it."""

    composition_id: UUID
    element_definition_id: Identifier
    in_properties: Properties = field(default_factory=dict)
    out_properties: Properties = field(default_factory=dict)
    state: ElementState = ElementState.PRESENT


class InstanceElement(Part):
    """``InstanceElementDto``: an element as its instance has it."""

    instance_id: UUID
    element_id: UUID
    in_properties: Properties = field(default_factory=dict)
    out_properties: Properties = field(default_factory=dict)
    state: ElementState = ElementState.PRESENT


class ElementDto(Part):
    """An element before and after an order, its definition before and after a migration."""

    composition_element: CompositionElement
    instance_element: InstanceElement | None = None
    composition_element_target: CompositionElement | None = None
    instance_element_target: InstanceElement | None = None


class ParticipantDto(Part):
    participant_id: UUID
    element_dtos: list[ElementDto] = field(default_factory=list)


class ElementRestart(Part):
    """``AcElementRestart``: an element as the runtime knows it."""

    id: UUID
    definition: Identifier
    participant_id: UUID | None = None
    deploy_state: DeployState = DeployState.UNDEPLOYED
    lock_state: LockState = LockState.NONE
    migration_state: MigrationState = MigrationState.DEFAULT
    operational_state: str | None = None
    use_state: str | None = None
    properties: Properties = field(default_factory=dict)
    out_properties: Properties = field(default_factory=dict)


class InstanceRestart(Part):
    """``ParticipantRestartAc``: an instance as the runtime knows it."""

    automation_composition_id: UUID
    deploy_state: DeployState
    lock_state: LockState = LockState.NONE
    state_change_result: StateChangeResult | None = None
    revision_id: UUID | None = None
    composition_target_id: UUID | None = None
    ac_element_list: list[ElementRestart] = field(default_factory=list)


class ElementInfo(Part):
    """``AutomationCompositionElementInfo``: what a participant tells of an element without being asked."""

    automation_composition_element_id: UUID
    deploy_state: DeployState | None = None
    lock_state: LockState | None = None
    operational_state: str | None = None
    use_state: str | None = None
    out_properties: Properties = field(default_factory=dict)


class InstanceInfo(Part):
    automation_composition_id: UUID
    deploy_state: DeployState | None = None
    lock_state: LockState | None = None
    elements: list[ElementInfo] = field(default_factory=list)


class ElementAck(Part):
    """``AcElementDeployAck``: how one element came out of an order.

    Attributes:
        result: always true; how it went is the message's ``stateChangeResult``.
    """

    deploy_state: DeployState
    lock_state: LockState = LockState.NONE
    operational_state: str | None = None
    use_state: str | None = None
    out_properties: Properties = field(default_factory=dict)
    result: bool = True
    message: str | None = None


class PrimeElementAck(Part):
    """What a definition's element has got from being primed."""

    element_definition_id: Identifier
    out_properties: Properties = field(default_factory=dict)
