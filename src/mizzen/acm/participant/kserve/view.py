"""The InferenceServices of all instances, as the API has them now: one list and watch for many elements.

One copy for the cluster, or one for each namespace where the settings name some, and in it only what bears an
instance's label. Who waits for an object is woken when it changes; what is looked up meanwhile goes into the copy.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from mizzen.acm.participant.kserve.entities import Key
from mizzen.acm.participant.kserve.ownership import INSTANCE_LABEL, labels_of
from mizzen.acm.participant.kserve.settings import Settings
from mizzen.kube.client import Client
from mizzen.kube.informer import Change, Informer

log = logging.getLogger(__name__)

_AGAIN = 5.0


class View:
    """Everything labelled, and who waits for what."""

    def __init__(self, client: Client, settings: Settings) -> None:
        self._informers = {
            namespace: Informer(client, settings.resource, namespace=namespace, label_selector=INSTANCE_LABEL)
            for namespace in settings.namespaces or ("",)
        }
        self._waiting: dict[Key, set[asyncio.Event]] = {}
        self._told: list[Callable[[Key], None]] = []
        for informer in self._informers.values():
            informer.on_change(self._changed)

    def on_change(self, tell: Callable[[Key], None]) -> None:
        """Call ``tell`` with the key of whatever changes from now on."""
        self._told.append(tell)

    async def run(self) -> None:
        """Keep it true until cancelled."""
        async with asyncio.TaskGroup() as group:
            for informer in self._informers.values():
                group.create_task(_kept(informer))

    def is_true(self, key: Key) -> bool:
        """Whether what is not here is not there."""
        informer = self._informer(key)
        return informer is not None and informer.synced.is_set()

    @property
    def is_whole(self) -> bool:
        return all(informer.synced.is_set() for informer in self._informers.values())

    async def listed(self, keys: Iterable[Key]) -> None:
        """Wait until all that could be there has been listed once."""
        for key in keys:
            informer = self._informer(key)
            if informer is not None:
                await informer.synced.wait()

    def find(self, key: Key) -> dict[str, Any] | None:
        informer = self._informer(key)
        return informer.object(*key) if informer is not None else None

    def accept(self, found: dict[str, Any]) -> None:
        """Take in what a request of our own has answered."""
        metadata = found["metadata"]
        informer = self._informer((metadata.get("namespace") or "", metadata["name"]))
        if informer is not None and INSTANCE_LABEL in labels_of(found):
            informer.accept(found)

    @contextmanager
    def waking(self, key: Key) -> Iterator[asyncio.Event]:
        """An event that is set whenever the object changes."""
        event = asyncio.Event()
        self._waiting.setdefault(key, set()).add(event)
        try:
            yield event
        finally:
            self._waiting[key].discard(event)
            if not self._waiting[key]:
                del self._waiting[key]

    def _informer(self, key: Key) -> Informer | None:
        return self._informers.get("") or self._informers.get(key[0])

    def _changed(self, change: Change) -> None:
        for event in self._waiting.get(change.key, ()):
            event.set()
        for tell in self._told:
            tell(change.key)


async def _kept(informer: Informer) -> None:
    """A defect, or an answer that no API gives, must not be the end of every watch."""
    while True:
        try:
            await informer.run()
        except Exception:
            log.exception("watching %s broke off, and is begun again", informer.resource.qualified)
        await asyncio.sleep(_AGAIN)
