"""Everything that the API stores, whatever it is: one copy of the metadata of each kind, custom resources included.

The garbage collector and the namespace controller must see kinds that nobody here was written for. Discovery tells
which there are; it is asked again when a CustomResourceDefinition changes, never by the clock. Kinds that the
controllers have a copy of already are read from that one.

Events and leases are left out. Nothing owns them but for leases that name their node, nodes outlive their leases here,
and both change often enough to cost something for nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from mizzen.apis.apiextensions import CUSTOM_RESOURCE_DEFINITION
from mizzen.apis.meta import ResourceDef
from mizzen.cluster.workloads.owners import Kind
from mizzen.kube.client import Client, Unreachable
from mizzen.kube.discovery import Catalogue, catalogue
from mizzen.kube.errors import ApiError
from mizzen.kube.informer import Change, Informer

log = logging.getLogger(__name__)

_NOT_WATCHED = {("", "events"), ("events.k8s.io", "events"), ("coordination.k8s.io", "leases")}
_NEEDED = {"list", "watch", "delete"}
_SETTLING = 0.1
_LONGEST_PAUSE = 30.0


def kind_of(resource: ResourceDef) -> Kind:
    return resource.group, resource.plural


class Kinds:
    """Copies of every kind, kept in step with what the API serves. Run :meth:`run` beside their readers.

    Args:
        shared: copies that others keep; they run them.
    """

    def __init__(self, client: Client, shared: list[Informer]) -> None:
        self.catalogue = Catalogue([], {})
        self.known = asyncio.Event()
        self._client = client
        self._shared = {kind_of(informer.resource): informer for informer in shared}
        self._informers: dict[Kind, Informer] = {}
        self._tasks: dict[Kind, asyncio.Task[None]] = {}
        self._handlers: list[Callable[[Kind, Change], None]] = []
        self._arrivals: list[Callable[[], None]] = []
        self._stale = asyncio.Event()

    def on_change(self, handler: Callable[[Kind, Change], None]) -> None:
        """Call ``handler`` for every change of any kind, and now for all that is already here."""
        self._handlers.append(handler)
        for kind, informer in self._informers.items():
            _follow(informer, kind, handler)

    def on_new_kinds(self, handler: Callable[[], None]) -> None:
        """Call ``handler`` when the API serves other kinds than before."""
        self._arrivals.append(handler)

    def informer(self, kind: Kind) -> Informer | None:
        return self._informers.get(kind)

    async def synced(self) -> None:
        """Wait until every copy has its first full list."""
        await self.known.wait()
        for informer in list(self._informers.values()):
            await informer.synced.wait()

    async def run(self) -> None:
        """Follow what the API serves until cancelled."""
        pause = _SETTLING
        async with asyncio.TaskGroup() as group:
            while True:
                self._stale.clear()
                try:
                    self._take(await catalogue(self._client), group)
                except (ApiError, Unreachable) as error:
                    log.debug("discovery: %s", error)
                    await asyncio.sleep(pause)
                    pause = min(pause * 2, _LONGEST_PAUSE)
                    continue
                pause = _SETTLING
                self.known.set()
                await self._stale.wait()
                # Definitions come in heaps; one question answers for all of them.
                await asyncio.sleep(_SETTLING)

    def _take(self, found: Catalogue, group: asyncio.TaskGroup) -> None:
        """Start copies of the kinds that are new, and end those of kinds that are no longer served."""
        self.catalogue = found
        served: dict[Kind, ResourceDef] = {}
        for resource in found.supporting(_NEEDED):
            if kind_of(resource) not in _NOT_WATCHED:
                served.setdefault(kind_of(resource), resource)
        before = set(self._informers)
        for kind, informer in list(self._informers.items()):
            # What others keep stays; of the rest, what is served no longer or not in this version ends.
            if kind not in self._shared and served.get(kind) != informer.resource:
                del self._informers[kind]
                self._tasks.pop(kind).cancel()
        for kind, resource in served.items():
            if kind not in self._informers:
                self._start(kind, resource, group)
        if set(self._informers) != before:
            for handler in self._arrivals:
                handler()

    def _start(self, kind: Kind, resource: ResourceDef, group: asyncio.TaskGroup) -> None:
        informer = self._shared.get(kind)
        if informer is None:
            informer = Informer(self._client, resource, metadata_only=True)
            self._tasks[kind] = group.create_task(informer.run())
        self._informers[kind] = informer
        if kind == kind_of(CUSTOM_RESOURCE_DEFINITION):
            informer.on_change(lambda change: self._stale.set())
        for handler in self._handlers:
            _follow(informer, kind, handler)


def _follow(informer: Informer, kind: Kind, handler: Callable[[Kind, Change], None]) -> None:
    informer.on_change(lambda change: handler(kind, change))


def stored(found: Catalogue) -> list[ResourceDef]:
    """Every kind whose objects can be listed and deleted, each in its preferred version; those not watched too."""
    kinds: dict[Kind, ResourceDef] = {}
    for resource in found.supporting({"list", "delete"}):
        # The two groups of events are two views of the same objects.
        if resource.group != "events.k8s.io":
            kinds.setdefault(kind_of(resource), resource)
    return list(kinds.values())
