"""All pods of this node: one worker for each, known by its uid, and an end for what belongs to none.

A pod that is deleted and made again under its name is another pod: the old one's worker ends it while the new one's
begins, each with its own folder, address and processes.
"""

from __future__ import annotations

import asyncio
import logging

from mizzen.cluster.node.host import Host
from mizzen.cluster.node.lifecycle import FORCED_GRACE
from mizzen.cluster.node.podfolder import PodFolder, folders
from mizzen.cluster.node.worker import PodWorker
from mizzen.kube.informer import Change

log = logging.getLogger(__name__)

_FIRST_RETRY = 1.0
_LONGEST_RETRY = 60.0


class Pods:
    """Works on whatever the API binds to this node.

    Args:
        group: of which the workers are tasks.
    """

    def __init__(self, host: Host, group: asyncio.TaskGroup) -> None:
        self._host = host
        self._group = group
        self._workers: dict[str, PodWorker] = {}
        # Those whose work is done while the API still knows them: a finalizer holds them.
        self._done: set[str] = set()

    def begin(self) -> None:
        """Take over what is there, end what nobody wants any more, and follow the API from now on.

        The list of pods must be complete, and the parents that live must have been adopted.
        """
        entries = (self._host.pods.entry(*key) for key in self._host.pods.keys())  # noqa: SIM118 (no mapping)
        wanted = {entry.uid for entry in entries if entry is not None}
        running = {id.partition("/")[0] for id, held in self._host.parents.held.items() if held.is_running}
        for folder in folders(self._host.folder):
            record = folder.record()
            if folder.uid in running and record is not None and record.address:
                self._host.addresses.adopt(record.address)
            if folder.uid not in wanted:
                self._group.create_task(self._end_stray(folder))
        for id in list(self._host.parents.held):
            uid = id.partition("/")[0]
            if uid not in wanted and not (self._host.folder / uid).is_dir():
                self._group.create_task(self._host.parents.stop(id, FORCED_GRACE))
        self._host.pods.on_change(self._changed)

    def worker(self, namespace: str, name: str) -> tuple[PodWorker, str] | None:
        """Who works on the pod that goes by this name now, and its uid."""
        entry = self._host.pods.entry(namespace, name)
        worker = self._workers.get(entry.uid) if entry is not None else None
        return (worker, entry.uid) if entry is not None and worker is not None else None

    def _changed(self, change: Change) -> None:
        old, new = change.old, change.new
        if old is not None and (new is None or new.uid != old.uid):
            self._done.discard(old.uid)
            if old.uid in self._workers:
                self._workers[old.uid].vanish()
        if new is None or new.uid in self._done:
            return
        worker = self._workers.get(new.uid)
        if worker is not None:
            worker.update(new.object)
            return
        self._workers[new.uid] = PodWorker(self._host, new.object)
        self._group.create_task(self._work(new.uid, change.key), name=f"pod {'/'.join(change.key)}")

    async def _work(self, uid: str, key: tuple[str, str]) -> None:
        """See a pod through. A defect in one pod's work is logged and tried again; the others go on."""
        pause = _FIRST_RETRY
        while True:
            try:
                await self._workers[uid].run()
                break
            except Exception:
                log.exception("the work on pod %s failed (again in %g s)", "/".join(key), pause)
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_RETRY)
            entry = self._host.pods.entry(*key)
            if entry is None or entry.uid != uid:
                await self._end_stray(PodFolder(self._host.folder, uid))
                break
            # It starts from what lies on disk, as after a crash of the whole agent.
            self._workers[uid] = PodWorker(self._host, entry.object)
        del self._workers[uid]
        entry = self._host.pods.entry(*key)
        if entry is not None and entry.uid == uid:
            self._done.add(uid)

    async def _end_stray(self, folder: PodFolder) -> None:
        """End what is left of a pod that the API no longer knows."""
        log.info("what is left of pod %s is ended", folder.uid)
        strays = [id for id in self._host.parents.held if id.startswith(f"{folder.uid}/")]
        await asyncio.gather(*(self._host.parents.stop(id, FORCED_GRACE) for id in strays))
        for id in strays:
            await self._host.parents.forget(id)
        record = folder.record()
        if record is not None and record.address:
            self._host.addresses.release(record.address)
        try:
            await asyncio.to_thread(folder.remove)
        except OSError as error:
            log.warning("the folder %s is not removed: %s", folder.root, error)
