"""What is to be done: one call of the element handler, with the order that it answers."""

from __future__ import annotations

from uuid import UUID

from msgspec import Struct

from mizzen.acm.messages.states import PrimeOrder
from mizzen.acm.participant.handler import Composition, Element
from mizzen.acm.participant.operations import Operation


class Call(Struct, frozen=True, kw_only=True):
    """About one element.

    Attributes:
        before, after: as the handler's methods have them; most know but one, and that is ``after``.
        stage: of preparation and migration.
        order: the message's id; None for what is taken up again after a restart.
        at: when the runtime sent the order.
    """

    operation: Operation
    before: Element | None = None
    after: Element | None = None
    stage: int = 0
    order: UUID | None = None
    at: int = 0

    @property
    def element(self) -> Element:
        """The side that there is."""
        found = self.after or self.before
        assert found is not None
        return found

    @property
    def removes(self) -> bool:
        """Whether the element is to be no more, in the instance's next definition."""
        return self.after is None


class DefinitionCall(Struct, frozen=True, kw_only=True):
    """About a composition's elements together."""

    prime: PrimeOrder
    composition: Composition
    order: UUID
    at: int
