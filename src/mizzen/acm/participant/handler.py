"""What an element handler does, and what it is told; everything between this and Kafka is the participant's.

A handler knows nothing of messages, revisions or acknowledgements. It is given one element, does what is asked, and
returns what came of it, or raises. Each call runs as a task of its own; when a newer order for the same element comes,
or the runtime has given it up, the task is cancelled, and what a handler has begun by then it may leave: the next order
finds it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from msgspec import Struct, field

from mizzen.acm.messages.concepts import Identifier
from mizzen.acm.messages.states import DeployState
from mizzen.errors import MizzenError

Properties = Mapping[str, Any]


class Unsupported(Exception):
    """A handler does nothing of that kind; what that means, the participant's configuration says."""


class Failed(MizzenError):
    """It did not work out, for a reason that the operator should read: the text becomes the acknowledgement's message.

    Args:
        message: begins with the constant that Java's participant would send, then says why.
        out_properties: what is known of the element all the same.
    """

    def __init__(self, message: str, out_properties: Properties | None = None) -> None:
        super().__init__(message)
        self.out_properties = out_properties


class Element(Struct, kw_only=True, frozen=True):
    """One element of an instance, as it is (or is to be).

    Attributes:
        definition: which element of the composition it is.
        composition_properties: common to all instances.
        properties: its own.
        composition_out: what its definition got from being primed.
        out_properties: what it told of itself last.
    """

    composition_id: UUID
    instance_id: UUID
    element_id: UUID
    definition: Identifier
    composition_properties: Properties = field(default_factory=dict)
    properties: Properties = field(default_factory=dict)
    composition_out: Properties = field(default_factory=dict)
    out_properties: Properties = field(default_factory=dict)


class Composition(Struct, kw_only=True, frozen=True):
    """A definition's elements that are this participant's.

    Attributes:
        properties, out_properties: by definition.
    """

    composition_id: UUID
    properties: Mapping[Identifier, Properties] = field(default_factory=dict)
    out_properties: Mapping[Identifier, Properties] = field(default_factory=dict)


class Outcome(Struct, kw_only=True, frozen=True):
    """What came of it.

    Attributes:
        message: for the acknowledgement.
        out_properties: None leaves what is known as it is.
        stage: the next stage of this element, while there is one.
    """

    message: str
    out_properties: Properties | None = None
    operational_state: str | None = None
    use_state: str | None = None
    stage: int | None = None


class Publisher(ABC):
    """How a handler tells of an element without being asked."""

    @abstractmethod
    async def element_info(
        self,
        instance_id: UUID,
        element_id: UUID,
        *,
        out_properties: Properties,
        operational_state: str | None = None,
        use_state: str | None = None,
    ) -> None:
        """Remember it, and send a ``PARTICIPANT_STATUS``. While Kafka is away it waits; the newest is what is sent."""


class ElementHandler(ABC):
    """One kind of element. Every method but two may be left out; then it is unsupported.

    Raises:
        Failed: with what the operator should read.
        Unsupported: it does nothing of that kind.
    """

    async def start(self, publisher: Publisher) -> None:
        """Called once, before anything else."""

    async def close(self) -> None:
        """Called once, at the end: watches end, elements stay."""

    async def check(self) -> str | None:
        """For the health page: what is wrong with the far side, or None."""
        return None

    @abstractmethod
    async def deploy(self, element: Element) -> Outcome:
        """Bring it up, and return once it is."""

    @abstractmethod
    async def undeploy(self, element: Element) -> Outcome:
        """Take it down, and return once it is."""

    async def update(self, before: Element, after: Element) -> Outcome:
        """Change what is deployed."""
        raise Unsupported

    async def rollback_update(self, before: Element, after: Element) -> Outcome:
        """Go back from ``before``, a change that failed, to ``after``, which was there first."""
        raise Unsupported

    async def migrate(self, before: Element | None, after: Element | None, stage: int) -> Outcome:
        """Bring it to another definition; ``before`` is None for what is new, ``after`` for what is to go."""
        raise Unsupported

    async def rollback_migrate(self, before: Element | None, after: Element | None, stage: int) -> Outcome:
        raise Unsupported

    async def precheck(self, before: Element | None, after: Element | None) -> Outcome:
        raise Unsupported

    async def prepare(self, element: Element, stage: int) -> Outcome:
        raise Unsupported

    async def review(self, element: Element) -> Outcome:
        raise Unsupported

    async def lock(self, element: Element) -> Outcome:
        raise Unsupported

    async def unlock(self, element: Element) -> Outcome:
        raise Unsupported

    async def delete(self, element: Element) -> Outcome:
        raise Unsupported

    async def prime(self, composition: Composition) -> Outcome:
        raise Unsupported

    async def deprime(self, composition: Composition) -> Outcome:
        raise Unsupported

    async def deployed(self, element: Element) -> None:
        """An element stands deployed by what the runtime says: after a restart, or because another replica did it.

        The handler watches over it from here on, as it does after :meth:`deploy`. Called again, it changes nothing.
        """

    async def gone(self, element: Element, state: DeployState) -> None:
        """The runtime says that an element is not deployed any more: what watches over it ends, nothing else."""
