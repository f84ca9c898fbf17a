"""A participant: the parts put together, and run side by side.

Two listeners take what the runtime says, the operation topic in a group that all replicas share and the sync topic each
for itself; a heartbeat tells that the replica is there; tasks carry orders out. All of them end together.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Protocol

from mizzen.acm.participant.answers import Policy
from mizzen.acm.participant.cache import Cache
from mizzen.acm.participant.configuration import Configuration
from mizzen.acm.participant.dispatch import Dispatch
from mizzen.acm.participant.execution import Execution
from mizzen.acm.participant.handler import ElementHandler
from mizzen.acm.participant.held import Holding
from mizzen.acm.participant.identity import Identity
from mizzen.acm.participant.lifecycle import Lifecycle
from mizzen.acm.participant.metrics import Metrics
from mizzen.acm.participant.publisher import StatusPublisher
from mizzen.acm.participant.sender import Producer, Sender
from mizzen.acm.participant.tasks import Tasks
from mizzen.acm.participant.watching import Watching
from mizzen.bus.listener import Listener
from mizzen.bus.record import Handler

_LEAVING = 5.0
_CHECK = 2.0
# Held orders are looked at this often, and what they need is asked for again.
_HELD_LOOK = 5.0


class Bus(Producer, Protocol):
    """What is used here of :class:`mizzen.bus.client.Bus`."""

    def group(self, topics: list[str], group: str, handle: Handler) -> Listener: ...

    def tail(self, topics: list[str], handle: Handler, *, group: str) -> Listener: ...

    async def check(self, timeout: float = ...) -> str | None: ...


class Participant:
    """One replica.

    Args:
        bus: open, and open for as long as the participant runs.

    Attributes:
        metrics: for the endpoints.
    """

    def __init__(self, configuration: Configuration, bus: Bus, handler: ElementHandler) -> None:
        self.configuration = configuration
        self.metrics = Metrics()
        self._bus = bus
        self._handler = handler
        self._me = Identity(configuration.participant_id, configuration.replica_id, configuration.types)
        self._cache = Cache(configuration.participant_id)
        self._sender = Sender(bus, configuration.topics, self.metrics)
        self._holding = Holding(configuration.held_timeout)
        self._lifecycle = Lifecycle(self._me, self._sender, configuration.heartbeat)
        self._publisher = StatusPublisher(self._me, self._cache, self._sender)
        self._orders = Tasks(configuration.pool_size)
        self._watches = Tasks(configuration.pool_size)
        self._requests = Tasks(configuration.pool_size)
        watching = Watching(self._watches, handler)
        policy = Policy(configuration.fail_unsupported, configuration.generic_failure_texts)
        execution = Execution(
            self._me, self._cache, self._orders, handler, self._sender, policy, on_start=watching.ordered
        )
        self._dispatch = Dispatch(
            self._me,
            self._cache,
            self._holding,
            execution,
            watching,
            self._lifecycle,
            self._requests,
            self._sender,
            self.metrics,
        )
        self._add_gauges()

    @property
    def registered(self) -> bool:
        """Whether the runtime has acknowledged this replica."""
        return self._lifecycle.registered

    @property
    def begun(self) -> bool:
        """Whether the replica has been able to hear the runtime: for readiness."""
        return self._lifecycle.begun

    async def health(self) -> dict[str, str | None]:
        """By part (``kafka``, ``handler``): None, or what is wrong with it."""
        async with asyncio.TaskGroup() as group:
            kafka = group.create_task(self._bus.check(_CHECK))
            handler = group.create_task(self._handler.check())
        return {"kafka": kafka.result(), "handler": handler.result()}

    async def run(self) -> None:
        """Take part until cancelled; on the way out the runtime is told."""
        topics, kafka = self.configuration.topics, self.configuration.kafka
        await self._handler.start(self._publisher)
        try:
            async with AsyncExitStack() as stack:
                for tasks in (self._orders, self._watches, self._requests):
                    await stack.enter_async_context(tasks.open())
                operation = self._bus.group([topics.operation], kafka.group, self._dispatch.record)
                sync = self._bus.tail([topics.sync], self._dispatch.record, group=kafka.sync_group)
                async with asyncio.TaskGroup() as group:
                    group.create_task(operation.run(), name="operation topic")
                    group.create_task(sync.run(), name="sync topic")
                    group.create_task(self._lifecycle.run((operation.ready, sync.ready)), name="lifecycle")
                    group.create_task(self._publisher.run(), name="publisher")
                    group.create_task(self._look_after_held(), name="held orders")
        finally:
            await self._lifecycle.leave(_LEAVING)
            await self._handler.close()

    async def _look_after_held(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_HELD_LOOK)
            self._holding.expire(loop.time())
            for needs in self._holding.wanted():
                self._dispatch.request(needs)

    def _add_gauges(self) -> None:
        for name, about, read in (
            ("participant.registered", "Whether the runtime knows this replica", lambda: float(self.registered)),
            ("participant.tasks", "Operations going on", lambda: float(len(self._orders))),
            ("participant.held", "Orders that wait for what they need", lambda: float(len(self._holding))),
            ("participant.instances", "Instances that are remembered", lambda: float(len(self._cache.instances))),
        ):
            self.metrics.gauge(name, about, read)
