"""What goes on after an element is deployed: its InferenceServices are watched, and what changes is told.

One worker for each element waits until something of its own changes, gathers changes for a moment, and tells the
runtime how the element stands if that is not what was told last. An API that is away changes nothing: what was known
stands until there is something newer. What a synchronisation names as deployed is first made sure to be the element's.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from mizzen.acm.participant.handler import Element, Publisher
from mizzen.acm.participant.kserve.entities import Entity, Key
from mizzen.acm.participant.kserve.ownership import Owner, Whose, is_other, told
from mizzen.acm.participant.kserve.readiness import Readiness, Standing, operational_state, out_properties, readiness
from mizzen.acm.participant.kserve.services import Services
from mizzen.acm.participant.kserve.settings import Settings
from mizzen.acm.participant.kserve.trouble import Trouble
from mizzen.acm.participant.kserve.view import View

log = logging.getLogger(__name__)

_CLAIM_SECONDS = 30.0
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0


class Watched:
    """One deployed element.

    Attributes:
        claimed: whether its InferenceServices are known to be its own, or not to be.
        told: the ``outProperties`` that the runtime has; None if nobody knows.
    """

    def __init__(
        self, element: Element, entities: Sequence[Entity], told: Mapping[str, Any] | None, *, claimed: bool
    ) -> None:
        self.element = element
        self.owner = Owner.of(element)
        self.entities = tuple(entities)
        self.told = told
        self.claimed = claimed
        self.changed = asyncio.Event()
        self.changed.set()
        self.task: asyncio.Task[None] | None = None


class Monitor:
    """All deployed elements of this participant."""

    def __init__(self, services: Services, view: View, settings: Settings, publisher: Publisher) -> None:
        self._services = services
        self._view = view
        self._settings = settings
        self._publisher = publisher
        self._watched: dict[UUID, Watched] = {}
        self._by_key: dict[Key, set[UUID]] = {}
        self._group: asyncio.TaskGroup | None = None
        view.on_change(self._wake)

    async def run(self, ready: Callable[[], None]) -> None:
        """Watch until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            ready()
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                self._group = None
                for watched in self._watched.values():
                    if watched.task is not None:
                        watched.task.cancel()

    def watch(
        self,
        element: Element,
        entities: Sequence[Entity],
        told: Mapping[str, Any] | None,
        *,
        claimed: bool,
    ) -> None:
        """Watch over an element from here on. What is watched so already goes on as it is.

        Args:
            claimed: whether its InferenceServices are known to be its own.
        """
        known = self._watched.get(element.element_id)
        if known is not None and not claimed and known.entities == tuple(entities):
            return
        self.leave(element.element_id)
        if self._group is None:
            return
        watched = Watched(element, entities, told, claimed=claimed)
        self._watched[element.element_id] = watched
        for entity in entities:
            self._by_key.setdefault(entity.key, set()).add(element.element_id)
        name = f"kserve element {element.element_id}"
        watched.task = self._group.create_task(self._attend(watched), name=name)

    def leave(self, element_id: UUID) -> Watched | None:
        """Watch no more; returns what was watched."""
        watched = self._watched.pop(element_id, None)
        if watched is None:
            return None
        for entity in watched.entities:
            ids = self._by_key.get(entity.key, set())
            ids.discard(element_id)
            if not ids:
                self._by_key.pop(entity.key, None)
        if watched.task is not None:
            watched.task.cancel()
            watched.task = None
        return watched

    def unclaimed(self, element_id: UUID) -> tuple[Entity, ...]:
        """What a synchronisation has named as this element's, and nobody has looked at yet."""
        watched = self._watched.get(element_id)
        return watched.entities if watched is not None and not watched.claimed else ()

    def _wake(self, key: Key) -> None:
        for element_id in self._by_key.get(key, ()):
            self._watched[element_id].changed.set()

    async def _attend(self, watched: Watched) -> None:
        pause = _FIRST_PAUSE
        while True:
            await watched.changed.wait()
            await asyncio.sleep(self._settings.debounce)
            watched.changed.clear()
            try:
                await self._look(watched)
            except Trouble as error:
                log.warning("element %s: %s", watched.element.element_id, error)
            except Exception:
                # A defect in here, or in who publishes, must not end the watch over all the others.
                log.exception("element %s cannot be watched", watched.element.element_id)
            else:
                pause = _FIRST_PAUSE
                continue
            watched.changed.set()
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _look(self, watched: Watched) -> None:
        if not watched.claimed:
            await self._claim(watched)
        await self._view.listed(entity.key for entity in watched.entities)
        standings = [Standing(entity=one, readiness=await self._standing(one, watched)) for one in watched.entities]
        properties = out_properties(standings)
        if properties == watched.told:
            return
        state = operational_state(standings)
        element = watched.element
        log.info("element %s is %s", element.element_id, state)
        await self._publisher.element_info(
            element.instance_id, element.element_id, out_properties=properties, operational_state=state
        )
        watched.told = properties

    async def _claim(self, watched: Watched) -> None:
        for entity in watched.entities:
            patience = self._services.patience(_CLAIM_SECONDS)
            if not await self._services.claim(entity, watched.owner, patience):
                continue
            found = self._view.find(entity.key)
            if found is not None and is_other(found, entity):
                log.warning("InferenceService %s is not from the payload that its instance has now", entity)
        watched.claimed = True

    async def _standing(self, entity: Entity, watched: Watched) -> Readiness:
        found = self._view.find(entity.key)
        if found is None:
            # It is gone, or has lost its labels, which to the view is the same.
            found = await self._services.find(entity.key, self._services.patience(_CLAIM_SECONDS))
        if found is None:
            return Readiness(ready=False, reason="Deleted", message="it does not exist any more")
        if watched.owner.whose(found) is not Whose.OURS:
            return Readiness(ready=False, reason="NotOurs", message=told(found))
        if found["metadata"].get("deletionTimestamp"):
            return Readiness(ready=False, reason="Terminating", message="it is being deleted")
        return readiness(found, self._settings.readiness)
