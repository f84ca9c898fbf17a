"""One container of a pod, from its first start to its last end.

It is seen through run by run: started as soon as that is possible, tended while it lives, and started again if its
policy says so. What happened before this agent lived is recalled first, so taking over a container that runs is the
same code as starting one. Cancelling leaves the process alone; only :meth:`ContainerWorker.end` ends it.
"""

from __future__ import annotations

import asyncio
import time

from mizzen.apis.meta import Mapping
from mizzen.cluster.node import lifecycle, podspec, runs
from mizzen.cluster.node.host import PodContext
from mizzen.cluster.node.lifecycle import Pause
from mizzen.cluster.node.parents import Held
from mizzen.cluster.node.podspec import Kind
from mizzen.cluster.node.runs import Run
from mizzen.cluster.node.runtime.errors import StartFailed
from mizzen.cluster.node.starting import Starting
from mizzen.cluster.node.status import ContainerView, Ended, Running, Waiting, container_id
from mizzen.cluster.node.tending import Tending


class ContainerWorker:
    """Sees one container through.

    Args:
        waits_for: the reason of its first state.

    Attributes:
        view: what the container does now.
        has_started: set once it has started, as its startup probe says.
    """

    def __init__(self, pod: PodContext, spec: Mapping, kind: Kind, waits_for: str) -> None:
        self.has_started = asyncio.Event()
        self._pod = pod
        self._host = pod.host
        self._spec = spec
        self._replaced = asyncio.Event()
        self._field = f"spec.{'containers' if kind == 'main' else 'initContainers'}{{{spec['name']}}}"
        self._starting = Starting(pod, lambda: self._spec, self.show, self._field)
        past = runs.recall(pod.folder, self._host.parents, spec)
        self._past = past
        self._run = past.run
        self.view = ContainerView(
            name=spec["name"],
            kind=kind,
            image=past.image or spec["image"],
            image_id=past.recipe,
            restarts=past.run.number,
            state=past.ended or Waiting(waits_for),
            last=past.last,
            ready=kind == "init" and past.ended is not None and past.ended.exit_code == 0,
        )
        if past.running_since is not None:
            # What was known of it is true until its probes say otherwise: taking over must not stop the traffic.
            before = self._as_stored(past.run)
            self.view.state, self.view.id = Running(past.running_since), past.run.id
            self.view.started, self.view.ready = bool(before.get("started")), bool(before.get("ready"))

    @property
    def name(self) -> str:
        return self.view.name

    @property
    def kind(self) -> Kind:
        return self.view.kind

    def update(self, spec: Mapping) -> None:
        """Take note of what the API says of the container now. Of what matters, only its image can change."""
        if spec["image"] != self._spec["image"]:
            self._replaced.set()
        self._spec = spec

    def show(self, state: Waiting) -> None:
        """Show why it has not started."""
        if self.view.state != state:
            self.view.state = state
            self._pod.changed()

    async def run(self) -> Ended:
        """Start the container, and again whenever it has to be. Returns how it ended for good."""
        run, ended, fresh = self._past.run, self._past.ended, self._past.running_since is None
        while True:
            self._run = run
            if ended is None:
                ended = await (self._start_and_watch(run) if fresh else self._watch(run, fresh=False))
            await self._show_end(run, ended)
            replaced = self._replaced.is_set()
            self._replaced.clear()
            policy = podspec.restart_policy(self._pod.spec)
            if not replaced and not lifecycle.restarts(self.kind, policy, ended.exit_code):
                return ended
            ran = ended.finished - ended.started if ended.started else 0.0
            blameless = replaced or self._ended_with_its_parent(run, ended)
            pause = Pause(0, 0.0) if blameless else lifecycle.pause(run.step, ran)
            self.view.last = ended
            await self._back_off(ended.finished + pause.seconds - time.time(), pause.seconds)
            number = run.number + 1
            run = Run(number=number, id=self._pod.folder.run_id(self.name, number), step=pause.step)
            ended, fresh = None, True

    async def _start_and_watch(self, run: Run) -> Ended:
        try:
            record, _ = await self._starting.start(run)
        except StartFailed as failure:
            self._pod.event("Warning", "Failed", f"Error: {failure}", self._field)
            return runs.not_started(failure, run.id)
        self.view.image, self.view.image_id = record.image, record.recipe
        return await self._watch(run, fresh=True)

    async def _watch(self, run: Run, *, fresh: bool) -> Ended:
        held = self._host.parents.held[run.id]
        self.view.id, self.view.restarts = run.id, run.number
        # What it was started as is what counts, whatever was asked for in the meantime.
        if self.view.image == self._spec["image"]:
            self._replaced.clear()
        else:
            self._replaced.set()
        async with asyncio.TaskGroup() as group:
            tending = self._tending(run, held)
            work = [
                group.create_task(tending.tend(fresh=fresh)),
                group.create_task(self._replace(tending)),
            ]
            exit = await asyncio.shield(held.exited)
            for task in work:
                task.cancel()
        return runs.ended(exit, run.id, self._spec, self._pod.folder.log(self.name, run.number))

    def _ended_with_its_parent(self, run: Run, ended: Ended) -> bool:
        """Whether its pod parent died and took it along, which is no failure of its own that it should wait for."""
        record = self._pod.folder.run_record(self.name, run.number)
        return record is not None and self._host.parents.began(record.parent) > ended.finished

    def _tending(self, run: Run, held: Held) -> Tending:
        container = held.container
        since = container.started_at if container is not None else None
        return Tending(
            self._pod,
            self._spec,
            self.view,
            run,
            since=since or time.time(),
            has_started=self.has_started.set,
            field=self._field,
        )

    async def _replace(self, tending: Tending) -> None:
        """End the run when the container is to be another image."""
        await self._replaced.wait()
        why = f"Container {self.name} definition changed, will be restarted"
        await tending.stop(podspec.grace(self._pod.spec), why)

    def _as_stored(self, run: Run) -> Mapping:
        """What the API knows of this very run."""
        stored = self._pod.pod.get("status") or {}
        statuses = [*(stored.get("initContainerStatuses") or ()), *(stored.get("containerStatuses") or ())]
        return next((found for found in statuses if found.get("containerID") == container_id(run.id)), {})

    async def _show_end(self, run: Run, ended: Ended) -> None:
        view = self.view
        view.id, view.restarts, view.state = run.id, run.number, ended
        view.started = False
        # An init container is ready when it has done its work.
        view.ready = self.kind == "init" and ended.exit_code == 0
        self._pod.changed()
        await self._host.parents.forget(run.id)

    async def _back_off(self, left: float, whole: float) -> None:
        if left <= 0:
            return
        who = f"{self.name} pod={self._pod.name}_{self._pod.namespace}({self._pod.uid})"
        self.show(Waiting("CrashLoopBackOff", f"back-off {_duration(whole)} restarting failed container={who}"))
        sentence = f"Back-off restarting failed container {who.replace(' pod=', ' in pod ')}"
        self._pod.event("Warning", "BackOff", sentence, self._field)
        try:
            async with asyncio.timeout(left):
                await self._replaced.wait()
        except TimeoutError:
            pass

    async def end(self, grace: float, *, hook: bool = True) -> None:
        """End what runs, when nobody sees the container through any more. May be asked again with less time."""
        held = self._host.parents.held.get(self._run.id)
        if held is None:
            return
        if held.is_running:
            # One that is only just being started has nothing yet that a hook could talk to.
            hook = hook and held.container is not None
            exit = await self._tending(self._run, held).stop(grace, f"Stopping container {self.name}", hook=hook)
        else:
            exit = held.exited.result()
        if exit is not None:
            log = self._pod.folder.log(self.name, self._run.number)
            await self._show_end(self._run, runs.ended(exit, self._run.id, self._spec, log))


def _duration(seconds: float) -> str:
    """A duration as Go writes it: ``10s``, ``1m20s``, ``5m0s``."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
