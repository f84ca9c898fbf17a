"""What the runtime knows: compositions, instances with their elements, participants.

Plain values, read from the store at the beginning of a unit of work and written back at its end. What orders and
acknowledgements do to them is in :mod:`mizzen.acm.runtime.orders`; nothing here or there knows of a database.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

from msgspec import Struct, field

from mizzen.acm.messages.concepts import Identifier
from mizzen.acm.messages.states import (
    AcTypeState,
    DeployState,
    LockState,
    MigrationState,
    StateChangeResult,
    SubState,
    on_the_way,
)

Properties = dict[str, Any]


class NodeState(Struct, kw_only=True):
    """Where one element of a composition is, and which participant takes it."""

    id: UUID = field(default_factory=uuid4)
    definition: Identifier
    participant_id: UUID | None = None
    state: AcTypeState = AcTypeState.COMMISSIONED
    message: str | None = None
    out_properties: Properties = field(default_factory=dict)


class Composition(Struct, kw_only=True):
    """A commissioned definition.

    Attributes:
        text: the normalised service template, as JSON.
        last: when it was last ordered or changed, in microseconds since 1970.
        deadline: when the order counts as timed out, likewise; None while nothing is going on.
        revision: new with every change; participants compare it with what they remember.
        nodes: by the name of their node template.
    """

    id: UUID
    name: str
    version: str
    text: str
    state: AcTypeState = AcTypeState.COMMISSIONED
    result: StateChangeResult = StateChangeResult.NO_ERROR
    last: int = 0
    deadline: int | None = None
    revision: UUID = field(default_factory=uuid4)
    nodes: dict[str, NodeState] = field(default_factory=dict)

    @property
    def participants(self) -> list[UUID]:
        """Whoever takes an element of it, each once."""
        return list(dict.fromkeys(node.participant_id for node in self.nodes.values() if node.participant_id))


class Element(Struct, kw_only=True):
    """One element of an instance.

    Attributes:
        stage: the next one, where an order goes by stages and the participant has told.
    """

    id: UUID
    definition: Identifier
    participant_id: UUID | None = None
    deploy: DeployState = DeployState.UNDEPLOYED
    lock: LockState = LockState.NONE
    sub: SubState = SubState.NONE
    migration: MigrationState = MigrationState.DEFAULT
    stage: int | None = None
    operational_state: str | None = None
    use_state: str | None = None
    message: str | None = None
    description: str | None = None
    properties: Properties = field(default_factory=dict)
    out_properties: Properties = field(default_factory=dict)

    @property
    def on_the_way(self) -> bool:
        return on_the_way(self.deploy, self.lock, self.sub)


class Instance(Struct, kw_only=True):
    """An automation composition.

    Attributes:
        target_id: the definition that it migrates to.
        last: when it was last ordered or went to its next phase, in microseconds since 1970.
        deadline: when the order counts as timed out, likewise; None while nothing is going on.
        phase: of the order that is going on, or its stage.
        first: the phase or stage that the order began with.
        revision: new with every change that participants are told of.
    """

    id: UUID
    composition_id: UUID
    name: str
    version: str
    description: str | None = None
    target_id: UUID | None = None
    deploy: DeployState = DeployState.UNDEPLOYED
    lock: LockState = LockState.NONE
    sub: SubState = SubState.NONE
    result: StateChangeResult = StateChangeResult.NO_ERROR
    last: int = 0
    deadline: int | None = None
    phase: int | None = None
    first: int | None = None
    revision: UUID = field(default_factory=uuid4)
    elements: dict[UUID, Element] = field(default_factory=dict)

    @property
    def on_the_way(self) -> bool:
        return on_the_way(self.deploy, self.lock, self.sub)

    @property
    def participants(self) -> list[UUID]:
        """Whoever has an element of it, each once."""
        return list(dict.fromkeys(one.participant_id for one in self.elements.values() if one.participant_id))


class Before(Struct, kw_only=True):
    """An instance's elements as they were before it was updated or migrated: what a rollback goes back to.

    Attributes:
        replaced: once it is rolled back, the elements that are given up.
    """

    composition_id: UUID
    elements: dict[UUID, Element]
    replaced: dict[UUID, Element] | None = None


class SupportedType(Struct, frozen=True):
    id: UUID
    name: str
    version: str


class Participant(Struct, kw_only=True):
    """Attributes: ``replicas`` are its processes that are heard of, with when each was heard of last."""

    id: UUID
    types: list[SupportedType] = field(default_factory=list)
    replicas: dict[UUID, int] = field(default_factory=dict)

    def takes(self) -> set[tuple[str, str]]:
        return {(one.name, one.version) for one in self.types}
