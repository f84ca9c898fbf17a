"""Probes: when a container has started, when it is ready, and when it is to be killed.

Kubernetes asks once a period, so a server that is up after 30 ms counts as ready seconds later. Here a container is
asked at once and every 20 ms until it answers for the first time, and then at its period. Failures count as they do in
Kubernetes all the same, once a period: being asked more often is never worse for a container.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec

from mizzen.apis.meta import Mapping
from mizzen.cluster.node.checks import Result

FIRST_INTERVAL = 0.02
# A container that takes long to start is asked less often, so that the first answer comes at most so much late.
_SHARE_OF_WAIT = 0.01
# A check that is dear (a command) must not keep the machine busy.
_TIMES_ITS_COST = 5.0

_NAMES = {"startupProbe": "Startup", "readinessProbe": "Readiness", "livenessProbe": "Liveness"}


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """One probe, with its times in seconds.

    Attributes:
        handler: the mapping with ``exec``, ``httpGet``, ``tcpSocket`` or ``grpc``.
        grace: what a container that is killed for it gets; ``None`` is the pod's own.
    """

    kind: str
    handler: Mapping
    delay: float = 0.0
    period: float = 10.0
    timeout: float = 1.0
    successes: int = 1
    failures: int = 3
    grace: float | None = None

    @classmethod
    def of(cls, container: Mapping, field: str) -> Probe | None:
        """The container's probe of that field, such as ``readinessProbe``, if it has one."""
        found = container.get(field)
        if not found:
            return None
        grace = found.get("terminationGracePeriodSeconds")
        return cls(
            kind=_NAMES[field],
            handler=found,
            delay=float(found.get("initialDelaySeconds") or 0),
            period=float(found.get("periodSeconds") or 10),
            timeout=float(found.get("timeoutSeconds") or 1),
            successes=int(found.get("successThreshold") or 1),
            failures=int(found.get("failureThreshold") or 3),
            grace=None if grace is None else float(grace),
        )


class Listener(Protocol):
    """Who is told what the probes find."""

    def started(self) -> None:
        """The container has started."""

    def ready(self, is_ready: bool) -> None:
        """The container takes requests, or does not; said with every answer, new or not."""

    def failed(self, probe: Probe, message: str, in_a_row: int) -> None:
        """A probe failed, and its period is over."""

    async def kill(self, probe: Probe) -> None:
        """The startup or liveness probe has failed too often."""


Check = Callable[[Probe], Awaitable[Result]]


class Tally:
    """Whether enough answers in a row were good, or bad, to change what is thought of a container."""

    def __init__(self, probe: Probe, good: bool) -> None:
        self.good = good
        self.failed = 0
        self._succeeded = 0
        self._probe = probe

    def add(self, ok: bool) -> bool:
        """Take in one answer; returns what is thought now."""
        if ok:
            self._succeeded, self.failed = self._succeeded + 1, 0
            self.good = self.good or self._succeeded >= self._probe.successes
        else:
            self._succeeded, self.failed = 0, self.failed + 1
            self.good = self.good and self.failed < self._probe.failures
        return self.good


def interval(waited: float, cost: float, period: float) -> float:
    """Seconds until the next try, before the first success.

    Args:
        waited: since the first try.
        cost: how long the last try took.
    """
    return min(max(FIRST_INTERVAL, waited * _SHARE_OF_WAIT, cost * _TIMES_ITS_COST), period)


def is_worth_telling(in_a_row: int) -> bool:
    """Whether the so manyth failure in a row is an event: each of them is a write, and all say the same."""
    return in_a_row <= 3 or in_a_row & (in_a_row - 1) == 0


class Prober:
    """Asks one container.

    Args:
        container: its part of the PodSpec.
        check: does what a probe says, once.
        listener: told what was found.
        running_since: seconds since the epoch.
    """

    def __init__(self, container: Mapping, check: Check, listener: Listener, running_since: float) -> None:
        self._startup = Probe.of(container, "startupProbe")
        self._readiness = Probe.of(container, "readinessProbe")
        self._liveness = Probe.of(container, "livenessProbe")
        self._check = check
        self._listener = listener
        self._since = running_since

    async def run(self, *, has_started: bool = False, is_ready: bool = False) -> None:
        """Ask until cancelled, or until there is nothing to ask.

        Args:
            has_started, is_ready: what was known of this very run of the container before.
        """
        if not has_started:
            if self._startup is not None and not await self._until_started(self._startup):
                return
            self._listener.started()
        async with asyncio.TaskGroup() as group:
            if self._readiness is None:
                self._listener.ready(True)
            else:
                group.create_task(self._ask_readiness(self._readiness, is_ready))
            if self._liveness is not None:
                group.create_task(self._ask_liveness(self._liveness))

    async def _until_started(self, probe: Probe) -> bool:
        """Whether the container started before its probe had failed too often."""
        await self._delay(probe)
        return await self._until_success(probe, probe.failures)

    async def _until_success(self, probe: Probe, limit: int | None) -> bool:
        """Ask quickly until it answers; failures count at the end of each period, up to ``limit``."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        due = began + probe.period
        counted = 0
        while True:
            asked = loop.time()
            result = await self._check(probe)
            now = loop.time()
            if result.ok:
                return True
            if now >= due:
                counted += 1
                due += probe.period
                self._listener.failed(probe, result.message, counted)
                if limit is not None and counted >= limit:
                    await self._listener.kill(probe)
                    return False
            await asyncio.sleep(interval(now - began, now - asked, probe.period))

    async def _ask_readiness(self, probe: Probe, is_ready: bool) -> None:
        tally = Tally(probe, is_ready)
        pause = 0.0
        if not is_ready:
            await self._delay(probe)
            await self._until_success(probe, None)
            self._listener.ready(tally.add(True))
            pause = probe.period
        while True:
            await asyncio.sleep(pause)
            result = await self._check(probe)
            self._listener.ready(tally.add(result.ok))
            if not result.ok:
                self._listener.failed(probe, result.message, tally.failed)
            pause = probe.period

    async def _ask_liveness(self, probe: Probe) -> None:
        await self._delay(probe)
        tally = Tally(probe, True)
        while True:
            await asyncio.sleep(probe.period)
            result = await self._check(probe)
            alive = tally.add(result.ok)
            if not result.ok:
                self._listener.failed(probe, result.message, tally.failed)
            if not alive:
                await self._listener.kill(probe)
                return

    async def _delay(self, probe: Probe) -> None:
        """Wait out ``initialDelaySeconds``, which count from the container's start."""
        left = self._since + probe.delay - time.time()
        if left > 0:
            await asyncio.sleep(left)
