"""One pod on this node, from the moment it is bound until nothing of it is left.

The work is one task: prepare address and volumes, run the init containers one after another, run the others, keep the
status true. It ends early when the pod is deleted, is gone from the API, or has run longer than it may; then whatever
runs is ended within the grace period, and the pod is removed from the API. Cancelling the task leaves everything as it
is, for the next agent to go on with.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Literal

from mizzen.apis.core import POD
from mizzen.apis.meta import Mapping
from mizzen.cluster.node import lifecycle, podspec, projections
from mizzen.cluster.node.container import ContainerWorker
from mizzen.cluster.node.host import Host, PodContext
from mizzen.cluster.node.patience import PASSING, Patience
from mizzen.cluster.node.podfolder import PodRecord
from mizzen.cluster.node.status import PodView, Waiting, render
from mizzen.cluster.node.statuswriter import StatusWriter
from mizzen.kube.client import Unreachable
from mizzen.kube.errors import ApiError

log = logging.getLogger(__name__)

Told = Literal["", "deleted", "vanished", "overdue"]
_RETRY = 0.2
_LONGEST_RETRY = 5.0
# By less than this, two ways to count the time that is left may differ. Seconds.
_CLOCKS_DIFFER = 0.5


class PodWorker:
    """Works on one pod, known by its uid."""

    def __init__(self, host: Host, pod: Mapping) -> None:
        self._host = host
        self._pod = PodContext(host, pod, self._changed)
        self._record = self._pod.folder.record()
        self._known = self._record is not None
        self._seen_alive = not lifecycle.is_deleting(pod)
        self._told: Told = ""
        self._news = asyncio.Event()
        spec = pod["spec"]
        waits_for = "PodInitializing" if spec.get("initContainers") else "ContainerCreating"
        self._containers = [
            ContainerWorker(self._pod, container, kind, waits_for) for container, kind in podspec.containers(spec)
        ]
        self._view = PodView(
            spec=spec,
            containers=[worker.view for worker in self._containers],
            host=host.address,
            start=self._record.started_at if self._record else self._first_seen(pod),
        )
        if self._record is not None and self._is_held():
            # Adopted: the containers that run have this address and these volumes.
            self._pod.address = self._view.address = self._record.address
            self._view.prepared = True
            self._pod.volumes.pod_changed()
        self._writer = StatusWriter(host.client, host.pods, pod, lambda stored: render(self._view, stored, time.time()))

    @staticmethod
    def _first_seen(pod: Mapping) -> float:
        return lifecycle.epoch((pod.get("status") or {}).get("startTime")) or time.time()

    def update(self, pod: Mapping) -> None:
        """Take in a newer state of the pod."""
        self._pod.pod = pod
        self._view.spec = pod["spec"]
        found = {container["name"]: container for container, _ in podspec.containers(pod["spec"])}
        for worker in self._containers:
            worker.update(found[worker.name])
        self._pod.volumes.pod_changed()
        if lifecycle.is_deleting(pod):
            self._tell("deleted")
        else:
            self._seen_alive = True
        self._news.set()
        self._changed()

    def vanish(self) -> None:
        """The pod is no longer in the API."""
        self._tell("vanished")

    def is_running(self, container: str, run: int) -> bool:
        """Whether that very run of the container is still going on."""
        held = self._host.parents.held.get(self._pod.folder.run_id(container, run))
        return held is not None and held.is_running

    def run_with_log(self, container: str, *, previous: bool) -> int | None:
        """The number of the run whose log is meant: the latest, or the one before it; ``None`` if there is none.

        While a container waits to be started again, the run that ended last counts as the one before, too.
        """
        view = next((worker.view for worker in self._containers if worker.name == container), None)
        if view is None:
            return None
        if not previous:
            return view.restarts
        if isinstance(view.state, Waiting):
            return view.restarts if view.last is not None else None
        return view.restarts - 1 if view.restarts else None

    def _tell(self, told: Told) -> None:
        if self._told != "vanished":
            self._told = told
        self._news.set()

    def _changed(self) -> None:
        self._writer.changed()

    # The work

    async def run(self) -> None:
        """Work until the pod is gone."""
        pod = self._pod.pod
        if lifecycle.is_deleting(pod):
            self._tell("deleted")
        if lifecycle.is_finished(pod) or (lifecycle.is_deleting(pod) and not self._known):
            # Its status has been written by whoever saw it end, and stays as it is.
            if self._is_held():
                await self._end()
            await self._until_leaving()
        else:
            async with asyncio.TaskGroup() as group:
                writing = group.create_task(self._writer.run())
                await self._live_and_end()
                writing.cancel()
        if self._told != "vanished":
            await self._delete()
        await self._clean_up()

    async def _until_leaving(self) -> None:
        while self._told not in ("deleted", "vanished"):
            self._news.clear()
            await self._news.wait()

    async def _live_and_end(self) -> None:
        await self._until_told()
        await self._end()
        self._view.terminal = True
        self._changed()
        if self._told == "overdue":
            self._told = ""
            await self._until_leaving()
        if self._told != "vanished":
            await self._settled()

    async def _settled(self) -> None:
        """Wait for the last status to be written, unless there is nobody left to write it for."""
        async with asyncio.TaskGroup() as group:
            settled = group.create_task(self._writer.settled())
            gone = group.create_task(self._until_vanished())
            await asyncio.wait({settled, gone}, return_when=asyncio.FIRST_COMPLETED)
            settled.cancel()
            gone.cancel()

    async def _until_vanished(self) -> None:
        while self._told != "vanished":
            self._news.clear()
            await self._news.wait()

    async def _until_told(self) -> None:
        """Let the pod live until it is told to end, or has run longer than it may."""
        async with asyncio.TaskGroup() as group:
            living = group.create_task(self._live())
            while not self._told:
                self._news.clear()
                due = None if living.done() else lifecycle.deadline(self._pod.pod, self._view.start)
                left = None if due is None else max(0.0, due - time.time())
                waiting = group.create_task(self._news.wait())
                await asyncio.wait(
                    {waiting} if living.done() else {waiting, living},
                    timeout=left,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                waiting.cancel()
                if due is not None and not living.done() and not self._told and time.time() >= due:
                    self._overdue()
            living.cancel()

    def _overdue(self) -> None:
        self._view.reason = "DeadlineExceeded"
        self._view.message = "Pod was active on the node longer than the specified deadline"
        self._pod.event("Normal", "DeadlineExceeded", self._view.message)
        self._told = "overdue"

    async def _live(self) -> None:
        """Everything that a pod does of itself. Returns when its containers have ended for good."""
        await self._prepare()
        async with asyncio.TaskGroup() as group:
            current = group.create_task(self._pod.volumes.keep_current())
            beside: list[tuple[ContainerWorker, asyncio.Task[object]]] = []
            if await self._begin(group, beside):
                async with asyncio.TaskGroup() as main:
                    for worker in self._containers:
                        if worker.kind == "main":
                            main.create_task(worker.run())
            for worker, task in reversed(beside):
                task.cancel()
                await asyncio.wait({task})
                await worker.end(podspec.grace(self._pod.spec))
            current.cancel()

    async def _begin(
        self, group: asyncio.TaskGroup, beside: list[tuple[ContainerWorker, asyncio.Task[object]]]
    ) -> bool:
        """Run the init containers, one after another; False if one failed for good."""
        # In a pod that is taken over the beginning may lie behind; then nothing has to wait for a sidecar's restart.
        begun = any(worker.view.has_run for worker in self._containers if worker.kind == "main")
        for worker in self._containers:
            if worker.kind == "sidecar":
                beside.append((worker, group.create_task(worker.run())))
                if not begun:
                    await worker.has_started.wait()
            elif worker.kind == "init" and not begun:
                ended = await worker.run()
                if ended.exit_code:
                    return False
        return True

    async def _prepare(self) -> None:
        """An address, a folder, volumes: what every container needs. Waits for what is not there yet."""
        if self._view.prepared:
            return
        volumes = self._pod.spec.get("volumes") or ()
        wanted = {reference for volume in volumes for reference in projections.references(volume)}
        first = self._containers[0]
        with Patience(self._pod, wanted, first.show) as patience:
            while True:
                try:
                    self._pod.address = self._view.address = self._address()
                    self._note()
                    await self._pod.volumes.set_up()
                    break
                except PASSING as problem:
                    await patience.after(problem)
        self._view.prepared = True
        self._changed()

    def _address(self) -> str:
        """The pod's address: the one it has, or a new one on which its ports are free.

        Raises:
            AddressesUnavailable: there is none.
        """
        if self._pod.address:
            return self._pod.address
        if self._pod.spec.get("hostNetwork"):
            return self._host.address
        return self._host.addresses.allocate(self._testable_ports())

    def _is_held(self) -> bool:
        return any(
            held.is_running for id, held in self._host.parents.held.items() if id.startswith(f"{self._pod.uid}/")
        )

    def _testable_ports(self) -> list[int]:
        """The ports to look for a free address with. One that this user may not bind is the container's to fail at."""
        ports = podspec.tcp_ports(self._pod.spec)
        refused = [port for port in ports if port < self._host.first_port]
        if refused:
            self._pod.event(
                "Warning",
                "PrivilegedPort",
                f"ports below {self._host.first_port} are for root on this machine; a container that listens on "
                f"{', '.join(map(str, refused))} will fail",
            )
        return [port for port in ports if port not in refused]

    def _note(self) -> None:
        record = PodRecord(
            namespace=self._pod.namespace,
            name=self._pod.name,
            uid=self._pod.uid,
            started_at=self._view.start,
            address=self._pod.address,
        )
        if record != self._record:
            self._pod.folder.write_record(record)
            self._record = record

    # The end

    def _grace(self) -> float:
        if self._told == "deleted":
            return lifecycle.grace_left(self._pod.pod, time.time(), seen_before=self._seen_alive)
        whole = podspec.grace(self._pod.spec)
        return min(whole, lifecycle.FORCED_GRACE) if self._told == "vanished" else whole

    async def _end(self) -> None:
        """End whatever runs, in the time that is given. A later word that gives less time is heeded."""
        loop = asyncio.get_running_loop()
        due = loop.time() + self._grace()
        hook = True
        while True:
            self._news.clear()
            async with asyncio.TaskGroup() as group:
                ending = group.create_task(self._end_containers(due, hook=hook))
                sooner = group.create_task(self._until_sooner(due))
                await asyncio.wait({ending, sooner}, return_when=asyncio.FIRST_COMPLETED)
                done = ending.done()
                ending.cancel()
                sooner.cancel()
            if done:
                return
            due = min(due, loop.time() + self._grace())
            hook = False

    async def _until_sooner(self, due: float) -> None:
        while asyncio.get_running_loop().time() + self._grace() >= due - _CLOCKS_DIFFER:
            await self._news.wait()
            self._news.clear()

    async def _end_containers(self, due: float, *, hook: bool) -> None:
        """The main containers all together, then the sidecars, the last one first."""
        loop = asyncio.get_running_loop()
        sidecars = [worker for worker in self._containers if worker.kind == "sidecar"]
        async with asyncio.TaskGroup() as group:
            for worker in self._containers:
                if worker not in sidecars:
                    group.create_task(worker.end(max(0.0, due - loop.time()), hook=hook))
        for worker in reversed(sidecars):
            await worker.end(max(0.0, due - loop.time()), hook=hook)

    async def _delete(self) -> None:
        """Remove the pod from the API, now that nothing of it runs."""
        pause = _RETRY
        while self._told != "vanished":
            try:
                await self._host.client.delete(
                    POD, self._pod.name, self._pod.namespace, grace_period=0, uid=self._pod.uid
                )
                return
            except ApiError as error:
                if error.code in (404, 409):
                    return
                log.warning("pod %s/%s is not removed: %s", self._pod.namespace, self._pod.name, error)
            except Unreachable:
                pass
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_RETRY)

    async def _clean_up(self) -> None:
        if self._pod.address and not self._pod.spec.get("hostNetwork"):
            self._host.addresses.release(self._pod.address)
        for id in [id for id in self._host.parents.held if id.startswith(f"{self._pod.uid}/")]:
            await self._host.parents.forget(id)
        try:
            # A model may be large, and its files are removed one by one.
            await asyncio.to_thread(self._pod.folder.remove)
        except OSError as error:
            log.warning("the folder %s is not removed: %s", self._pod.folder.root, error)
