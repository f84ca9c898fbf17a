"""What the server does on its own: begin with the system namespaces, clean up after definitions, forget old events.

One task looks at the state of the store whenever something it cares about has changed, and does what that state
calls for; it remembers nothing, so a restart picks up where a crash left off. While nothing happens it sleeps.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from mizzen.apis.apiextensions import CUSTOM_RESOURCE_DEFINITION
from mizzen.cluster.apiserver.api import Api
from mizzen.cluster.apiserver.builtin import events, namespaces
from mizzen.cluster.apiserver.custom.definition import CLEANUP
from mizzen.cluster.apiserver.custom.definitions import Definitions
from mizzen.cluster.apiserver.deletion import DeleteOptions
from mizzen.cluster.apiserver.metadata import is_ending
from mizzen.cluster.apiserver.requests import WriteOptions
from mizzen.cluster.apiserver.resources import Object, Resource
from mizzen.cluster.apiserver.store import Change, Key, StoreError
from mizzen.kube.errors import ApiError

log = logging.getLogger(__name__)

_NAMESPACES = namespaces.NAMESPACE.plural
_EVENTS = events.EVENT.plural
_OPTIONS = WriteOptions(manager="mizzen-apiserver", validation="Ignore", user="system:apiserver")
# While something is being emptied, how often to look again, in seconds: soon at first, then less often.
_SOON, _LATER = 0.05, 2.0
# Events are swept in groups, so that their ends cost one write and not many.
_SWEEP_SECONDS = 300.0


class Housekeeping:
    """The server's own task."""

    def __init__(self, api: Api, definitions: Definitions, now: Callable[[], float] = time.time) -> None:
        self._api = api
        self._store = api.store
        self._definitions = definitions
        self._now = now
        self._wake = asyncio.Event()

    async def prepare(self) -> None:
        """Make the namespaces that are there from the start."""
        missing = [name for name in namespaces.SYSTEM if self._store.get(Key(_NAMESPACES, "", name)) is None]
        values = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in missing]
        create = self._api.pipeline.create
        # At once, so that they go to the disk together.
        await asyncio.gather(*(create(self._resource(_NAMESPACES), "", value, _OPTIONS) for value in values))

    async def run(self) -> None:
        """Work until cancelled."""
        stops = [
            self._store.observe(CUSTOM_RESOURCE_DEFINITION.qualified, self._changed),
            self._store.observe(_EVENTS, self._first_event),
        ]
        pause = _SOON
        try:
            while True:
                try:
                    waiting = await self._work()
                except (StoreError, ApiError) as error:
                    # A full disk, or somebody else's write in between: both pass.
                    log.warning("housekeeping will be tried again: %s", error)
                    waiting = True
                pause = min(pause * 2, _LATER) if waiting else _SOON
                await self._sleep(pause if waiting else self._until_sweep())
        finally:
            for stop in stops:
                stop()

    async def _work(self) -> bool:
        """Do what there is to do; returns whether something is still on its way out."""
        self._wake.clear()
        await self._definitions.modernise()
        await self._accept_names()
        waiting = False
        for name in tuple(self._definitions.ending):
            waiting |= await self._empty_definition(name)
        await self._sweep_events()
        return waiting

    async def _sleep(self, seconds: float | None) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            pass

    def _changed(self, change: Change) -> None:
        self._wake.set()

    def _first_event(self, change: Change) -> None:
        # From the first event on there is something to sweep one day.
        if len(self._store.shelf(_EVENTS)) == 1:
            self._wake.set()

    async def _empty_definition(self, name: str) -> bool:
        """Delete every object of a kind and, once none is left, let its definition go."""
        resource = self._api.registry.storages().get(name)
        if resource is not None and await self._delete_all(resource):
            return True

        def released(value: Object) -> Object:
            finalizers = value["metadata"].get("finalizers") or ()
            value["metadata"]["finalizers"] = [found for found in finalizers if found != CLEANUP]
            return value

        await self._change(name, released)
        return False

    async def _delete_all(self, resource: Resource) -> int:
        """Delete every object of a kind; returns how many remain."""
        shelf = self._store.shelf(resource.storage)
        going = [entry.data for entry in shelf.newest() if not is_ending(entry.decode()["metadata"])]
        await self._api.delete_all(resource, going, DeleteOptions(policy="Background"))
        return len(shelf)

    async def _accept_names(self) -> None:
        """Look again at definitions whose names were in use."""
        for name in tuple(self._definitions.conflicting):
            await self._change(name, lambda value: value)

    async def _sweep_events(self) -> None:
        old = self._now() - events.KEPT
        expired = [entry for entry in self._store.shelf(_EVENTS).newest() if entry.time < old]
        if not expired:
            return

        async def remove(key: Key, revision: int) -> None:
            async with self._store.exclusive(key) as turn:
                if turn.current is not None and turn.current.revision == revision:
                    try:
                        await turn.delete(turn.current.decode())
                    except StoreError as error:
                        log.warning("an old event stays until the next sweep: %s", error)

        async with asyncio.TaskGroup() as tasks:
            for entry in expired:
                tasks.create_task(remove(entry.key, entry.revision))

    def _until_sweep(self) -> float | None:
        """How long to sleep until events have grown old; ``None`` while there are none."""
        entries = self._store.shelf(_EVENTS).newest()
        if not entries:
            return None
        oldest = min(entry.time for entry in entries)
        return max(oldest + events.KEPT - self._now(), 0) + _SWEEP_SECONDS

    async def _change(self, name: str, change: Callable[[Object], Object]) -> None:
        """Change a definition, if it is still there."""
        resource = self._resource(CUSTOM_RESOURCE_DEFINITION.qualified)
        try:
            await self._api.pipeline.change(resource, "", name, change, _OPTIONS)
        except ApiError as error:
            if error.reason != "NotFound":
                raise

    def _resource(self, qualified: str) -> Resource:
        return self._api.registry.storages()[qualified]
