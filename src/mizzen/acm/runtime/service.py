"""What the runtime can be asked, by its REST API and its pages alike.

Bodies are plain values as REST sends them (camel case, ``lastMsg`` and all), so that the API passes them on and pages
read the same. What is refused is a :class:`Refused` with REST's status and text.
"""

from __future__ import annotations

import builtins
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractContextManager
from typing import Any
from uuid import UUID

from msgspec import Struct

from mizzen.acm.messages.states import DeployOrder, DeployState, LockOrder, PrimeOrder, StateChangeResult, SubOrder
from mizzen.acm.tosca.problems import Problem
from mizzen.errors import MizzenError

Body = dict[str, Any]


class Refused(MizzenError):
    """It is not done.

    Args:
        status: of HTTP.
        details: ``errorDetails``, word for word what Java's runtime says where it says something.
        problems: where in the document, for pages and the command line.
    """

    def __init__(self, status: int, details: str, problems: Sequence[Problem] = ()) -> None:
        super().__init__(details)
        self.status = status
        self.details = details
        self.problems = tuple(problems)


class Page(Struct, frozen=True):
    """``page`` counts from 0; without one of the two, everything is told."""

    page: int | None = None
    size: int | None = None


class Created(Struct, frozen=True):
    """What POST came to: whether something was made (201) or changed (200), where it is, and what is said of it."""

    created: bool
    location: str
    body: Body


class Change(Struct, frozen=True):
    """Something is not as it was. ``kind``: ``composition``, ``instance``, ``participant`` or ``message``."""

    kind: str
    id: str


class Logged(Struct, frozen=True):
    """A message that went over Kafka, with what is sensitive masked.

    Attributes:
        at: ISO 8601.
        direction: ``in`` or ``out``.
        outcome: ``sent``, ``waiting``, ``applied``, ``ignored: <why>``.
    """

    number: int
    at: str
    direction: str
    topic: str
    type: str
    composition_id: str | None
    instance_id: str | None
    participant_id: str | None
    outcome: str
    body: Body


class Compositions(ABC):
    @abstractmethod
    async def list(
        self, *, name: str | None = None, version: str | None = None, participant: UUID | None = None, page: Page
    ) -> list[Body]:
        """Service templates (the member ``service_templates`` of the answer)."""

    @abstractmethod
    async def commission(self, document: bytes, media_type: str) -> Created:
        """Take a definition, or another in the place of one (``metadata.compositionId``)."""

    @abstractmethod
    async def get(self, composition: UUID) -> Body: ...

    @abstractmethod
    async def order(self, composition: UUID, order: PrimeOrder) -> None:
        """Prime or deprime."""

    @abstractmethod
    async def delete(self, composition: UUID) -> Body: ...

    @abstractmethod
    async def fields(self, composition: UUID) -> builtins.list[Body]:
        """For a form: ``{"element": {"name", "version"}, "participantId", "fields": [...]}`` for each element."""


class Instances(ABC):
    @abstractmethod
    async def list(
        self,
        *,
        composition: UUID | None = None,
        name: str | None = None,
        version: str | None = None,
        participant: UUID | None = None,
        ids: Sequence[UUID] = (),
        deploy_states: Sequence[DeployState] = (),
        results: Sequence[StateChangeResult] = (),
        sort: str | None = None,
        order: str | None = None,
        page: Page,
    ) -> list[Body]: ...

    @abstractmethod
    async def post(self, composition: UUID, document: bytes, media_type: str) -> Created:
        """Make one, or update, migrate or check a migration (``instanceId``)."""

    @abstractmethod
    async def get(self, composition: UUID, instance: UUID) -> Body: ...

    @abstractmethod
    async def order(
        self,
        composition: UUID,
        instance: UUID,
        deploy: DeployOrder | None,
        lock: LockOrder | None,
        sub: SubOrder | None,
    ) -> None: ...

    @abstractmethod
    async def delete(self, composition: UUID, instance: UUID) -> Body: ...

    @abstractmethod
    async def rollback(self, composition: UUID, instance: UUID) -> None: ...

    @abstractmethod
    def allowed(self, instance: Body) -> builtins.list[str]:
        """The orders that an instance takes now, by the names of REST: for buttons."""


class Participants(ABC):
    @abstractmethod
    async def list(self, page: Page) -> list[Body]: ...

    @abstractmethod
    async def get(self, participant: UUID, page: Page) -> Body: ...

    @abstractmethod
    async def request_status(self, participant: UUID | None) -> None: ...

    @abstractmethod
    async def synchronise(self, participant: UUID | None) -> None: ...

    @abstractmethod
    async def compositions(self, participant: UUID, page: Page) -> Body: ...

    @abstractmethod
    async def composition(self, participant: UUID, composition: UUID) -> Body: ...


class Service(ABC):
    """The runtime. Attributes: what each is asked of."""

    compositions: Compositions
    instances: Instances
    participants: Participants

    @abstractmethod
    def changes(self) -> AbstractContextManager[AsyncIterator[Change]]:
        """From now on, for as long as the context is open; whoever is too slow misses some, never the last."""

    @abstractmethod
    async def messages(
        self,
        *,
        type: str | None = None,
        composition: str | None = None,
        instance: str | None = None,
        participant: str | None = None,
        direction: str | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> list[Logged]:
        """The newest first; the log is bounded."""

    @abstractmethod
    async def health(self) -> dict[str, str | None]:
        """By part (``database``, ``kafka``): None, or what is wrong."""
