"""Starting one run of a container: what it is started with is gathered and looked up anew each time."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from mizzen.apis.meta import Mapping
from mizzen.cluster.node import environment, launch
from mizzen.cluster.node.host import PodContext
from mizzen.cluster.node.launch import Launch, Place
from mizzen.cluster.node.patience import PASSING, Patience
from mizzen.cluster.node.podfolder import RunRecord
from mizzen.cluster.node.recipes import told
from mizzen.cluster.node.runs import Run
from mizzen.cluster.node.runtime.spec import TERMINATION_FILE, Container
from mizzen.cluster.node.status import Waiting

log = logging.getLogger(__name__)

_HOSTS = Path("/etc/hosts")


class Starting:
    """Starts runs of one container.

    Args:
        spec: gives the container's part of the PodSpec as it is now.
        show: told the state to show while it cannot be started.
        field: the part of the pod that events are about.
    """

    def __init__(
        self, pod: PodContext, spec: Callable[[], Mapping], show: Callable[[Waiting], None], field: str
    ) -> None:
        self._pod = pod
        self._spec = spec
        self._show = show
        self._field = field

    async def start(self, run: Run) -> tuple[RunRecord, Container]:
        """Start a run as soon as that is possible. Returns what it was started as, and what its parent says of it.

        Raises:
            StartFailed: it was tried, and the run is over.
        """
        with Patience(self._pod, environment.references(self._spec()), self._show, self._field) as patience:
            while True:
                try:
                    return await self._try(run)
                except PASSING as problem:
                    await patience.after(problem)

    async def _try(self, run: Run) -> tuple[RunRecord, Container]:
        spec = self._spec()
        planned, recipe = await self._plan(spec, run)
        record = RunRecord(image=spec["image"], recipe=recipe, parent=planned.parent.key, step=run.step)
        folder, name = self._pod.folder, spec["name"]
        folder.write_run_record(name, run.number, record)
        folder.forget_runs_before(name, run.number)
        place = folder.run(name, run.number)
        (place / "work").mkdir(exist_ok=True)
        if not planned.spec.isolate:
            # Nothing is mounted at the path that programs know; they are told this one instead.
            (place / TERMINATION_FILE).touch()
        container = await self._pod.host.parents.start(planned.parent, planned.spec)
        how = f"forked from {planned.parent.name}" if planned.spec.entry else f"executing {planned.spec.argv[0]}"
        self._pod.event("Normal", "Started", f"Started container {name} (recipe {recipe}, {how})", self._field)
        for warning in container.warnings:
            log.info("%s: %s", run.id, warning)
        return record, container

    async def _plan(self, spec: Mapping, run: Run) -> tuple[Launch, str]:
        pod, host = self._pod, self._pod.host
        facts = pod.facts
        found = host.recipes.find(spec["image"], told(spec))
        objects = await host.references.fetch(pod.namespace, environment.references(spec))
        own = launch.own_environment(facts, found, host.environment, gateway=host.gateway, container=spec)
        declared = environment.environment(spec, facts, objects, own)
        place = Place(
            id=run.id,
            folder=pod.folder.run(spec["name"], run.number),
            log=pod.folder.log(spec["name"], run.number),
            isolated=host.isolated,
            cpus=float(host.allocatable["cpu"]),
        )
        planned = launch.plan(
            spec,
            facts,
            found,
            place,
            own=own,
            declared=declared,
            mounts=pod.volumes.mounts(spec, {**own, **declared}),
            machine_hosts=_HOSTS.read_text() if _HOSTS.exists() else "",
        )
        return planned, found.recipe.title
