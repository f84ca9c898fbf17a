"""A run while it lives: the hook after its start, its probes, and how it is ended."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from mizzen.apis.meta import Mapping
from mizzen.cluster.node import checks, hooks, launch, podspec
from mizzen.cluster.node.checks import Result, Target
from mizzen.cluster.node.errors import NotStartable
from mizzen.cluster.node.host import PodContext
from mizzen.cluster.node.probes import Probe, Prober, is_worth_telling
from mizzen.cluster.node.runs import Run
from mizzen.cluster.node.runtime.spec import ExecResult, Exit
from mizzen.cluster.node.status import ContainerView, Running

log = logging.getLogger(__name__)


class Tending:
    """Looks after one run. It is what the run's probes report to.

    Args:
        view: the container's, which is kept true.
        since: when the run began, in seconds since the epoch.
        has_started: called once when it has started.
        field: the part of the pod that events are about.
    """

    def __init__(
        self,
        pod: PodContext,
        spec: Mapping,
        view: ContainerView,
        run: Run,
        *,
        since: float,
        has_started: Callable[[], None],
        field: str,
    ) -> None:
        self._pod = pod
        self._spec = spec
        self._view = view
        self._run = run
        self._since = since
        self._has_started = has_started
        self._field = field
        self._target = Target(pod.address, checks.named_ports(spec), self._exec)

    async def tend(self, *, fresh: bool) -> None:
        """Look after it until cancelled.

        Args:
            fresh: whether it was started just now, and not found running; then its view says what was known of it.
        """
        if fresh:
            done = await hooks.run(self._spec, "postStart", self._target, hooks.LONGEST_START)
            if done is not None and not done.ok:
                self._event("Warning", "FailedPostStartHook", f"PostStartHook failed: {done.message}")
                await self.stop(podspec.grace(self._pod.spec), "FailedPostStartHook")
                return
            self._view.state = Running(self._since)
            self._view.started = self._view.ready = False
            self._pod.changed()
        if self._view.started:
            self._has_started()
        prober = Prober(self._spec, self._check, self, self._since)
        await prober.run(has_started=self._view.started, is_ready=self._view.ready)

    async def stop(self, grace: float, why: str, *, hook: bool = True) -> Exit | None:
        """End the run: its hook, SIGTERM, and SIGKILL when ``grace`` seconds are over; ``None`` if it never ran."""
        self._event("Normal", "Killing", why)
        if hook and grace > 0:
            loop = asyncio.get_running_loop()
            began = loop.time()
            done = await hooks.run(self._spec, "preStop", self._target, grace)
            if done is not None:
                if not done.ok:
                    self._event("Warning", "FailedPreStopHook", f"PreStopHook failed: {done.message}")
                grace = max(grace - (loop.time() - began), hooks.LEAST_GRACE)
        return await self._pod.host.parents.stop(self._run.id, grace)

    async def _exec(self, command: Sequence[str], timeout: float) -> ExecResult:
        try:
            mounts = self._pod.volumes.mounts(self._spec, {})
        except NotStartable:
            # Its mounts were possible when it was started, so a volume has changed since.
            mounts = []
        argv = launch.rewritten(command, mounts, isolated=self._pod.host.isolated)
        return await self._pod.host.parents.exec(self._run.id, argv, timeout)

    async def _check(self, probe: Probe) -> Result:
        return await checks.check(probe.handler, self._target, probe.timeout)

    def _event(self, kind: str, reason: str, message: str) -> None:
        self._pod.event("Warning" if kind == "Warning" else "Normal", reason, message, self._field)

    # What the probes report

    def started(self) -> None:
        if not self._view.started:
            self._view.started = True
            self._pod.changed()
        self._has_started()

    def ready(self, is_ready: bool) -> None:
        if self._view.ready != is_ready:
            self._view.ready = is_ready
            self._pod.changed()

    def failed(self, probe: Probe, message: str, in_a_row: int) -> None:
        if is_worth_telling(in_a_row):
            self._event("Warning", "Unhealthy", f"{probe.kind} probe failed: {message}")

    async def kill(self, probe: Probe) -> None:
        grace = podspec.grace(self._pod.spec) if probe.grace is None else probe.grace
        why = f"Container {self._view.name} failed {probe.kind.lower()} probe, will be restarted"
        await self.stop(grace, why)
