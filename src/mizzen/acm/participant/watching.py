"""Telling the handler how elements stand, by what the runtime says: to watch over them, or to watch no more.

That happens beside orders and is not answered. What is said of an element later takes the place of what was said
before, and an order takes the place of both: the handler knows by itself what becomes of what it does.
"""

from __future__ import annotations

import logging
from uuid import UUID

from mizzen.acm.messages.states import DeployState
from mizzen.acm.participant.handler import Element, ElementHandler
from mizzen.acm.participant.tasks import Place, Tasks, Work

_log = logging.getLogger(__name__)


class Watching:
    def __init__(self, tasks: Tasks, handler: ElementHandler) -> None:
        self._tasks = tasks
        self._handler = handler

    def deployed(self, element: Element) -> None:
        async def work(place: Place) -> None:
            await self._handler.deployed(element)

        self._start(element, DeployState.DEPLOYED, work)

    def gone(self, element: Element, state: DeployState) -> None:
        async def work(place: Place) -> None:
            await self._handler.gone(element, state)

        self._start(element, state, work)

    def ordered(self, element: UUID) -> None:
        """An order begins about the element."""
        self._tasks.cancel(("watch", element))

    def _start(self, element: Element, state: DeployState, work: Work) -> None:
        _log.debug("element %s is %s, as the runtime says", element.element_id, state)
        self._tasks.start(("watch", element.element_id), state, work)
