"""Watches: every change of a collection, in order, to everybody who asked to hear of it.

One :class:`Hub` a shelf hears of each change once, right after its commit, and puts the bytes of the event into the
queues of the watchers it concerns; watchers with the same view share those bytes. A watcher that reads too slowly is
not waited for: its stream ends and its client resumes at the last revision it saw.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable

import orjson

from mizzen.cluster.apiserver.listing import check_fields, expired, matcher, too_large
from mizzen.cluster.apiserver.requests import ListOptions
from mizzen.cluster.apiserver.resources import Resource
from mizzen.cluster.apiserver.store import Change, Compacted, Store
from mizzen.cluster.apiserver.views import View, at_revision, event_line
from mizzen.kube.errors import ApiError

Write = Callable[[bytes], Awaitable[None]]
# The bytes of one change's events, by type and view, while it is being handed out.
Shared = dict[tuple[str, tuple[str, ...]], bytes]

_QUEUE_EVENTS = 8192
_QUEUE_BYTES = 32 * 1024 * 1024
_CHUNK_EVENTS = 64
# kopf gives a stream up after 70 s of silence.
_BOOKMARK_SECONDS = 45.0
_SHORTEST_DEFAULT, _LONGEST_DEFAULT = 1800.0, 3600.0
_PATIENCE = 3.0


class Hub:
    """The watchers of one shelf."""

    def __init__(self, store: Store, storage: str) -> None:
        self._watchers: set[Watcher] = set()
        self._stop = store.observe(storage, self._publish)

    def add(self, watcher: Watcher) -> None:
        self._watchers.add(watcher)

    def remove(self, watcher: Watcher) -> None:
        self._watchers.discard(watcher)

    def close(self) -> None:
        """End every stream, as after its timeout."""
        self._stop()
        for watcher in tuple(self._watchers):
            watcher.close()

    def _publish(self, change: Change) -> None:
        shared: Shared = {}
        for watcher in self._watchers:
            watcher.offer(change, shared)


class Hubs:
    """The hubs of a server, made when somebody first watches a shelf."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._found: dict[str, Hub] = {}
        self._closed = False

    def of(self, storage: str) -> Hub:
        hub = self._found.get(storage)
        if hub is None:
            hub = self._found[storage] = Hub(self._store, storage)
        return hub

    def close_one(self, storage: str) -> None:
        hub = self._found.pop(storage, None)
        if hub is not None:
            hub.close()

    def close(self) -> None:
        for storage in tuple(self._found):
            self.close_one(storage)


class Watcher:
    """One stream.

    Args:
        namespace: empty means all namespaces.
    """

    def __init__(
        self, store: Store, hub: Hub, resource: Resource, namespace: str, options: ListOptions, view: View
    ) -> None:
        self._store = store
        self._hub = hub
        self._resource = resource
        self._namespace = namespace
        self._options = options
        self._view = view
        self._matches = matcher(resource, options) if options.selects else None
        self._queue: deque[bytes] = deque()
        self._queued = 0
        self._wake = asyncio.Event()
        self._ended = False
        self._first = True
        self._live = False

    def close(self) -> None:
        self._ended = True
        self._wake.set()

    def offer(self, change: Change, shared: Shared) -> None:
        """Queue the event that a change is for this watcher, if it is any."""
        line = self._line(change, shared)
        if line is None or self._ended:
            return
        self._queue.append(line)
        self._queued += len(line)
        if len(self._queue) > _QUEUE_EVENTS or self._queued > _QUEUE_BYTES:
            self._queue.clear()
            self._ended = True
        self._wake.set()

    async def run(self, write: Write) -> None:
        """Send the stream until it ends: at its timeout, when the server closes it, or when it falls behind.

        Raises:
            ApiError: before anything is written, for options that make no sense.
        """
        options = self._options
        check_fields(self._resource, options)
        # The revision 0 means any; with initial events, at least the one that is named.
        if options.revision and options.initial_events and not await self._store.reached(options.revision, _PATIENCE):
            raise too_large(options.revision, self._store.revision)
        # Whatever is wrong with the request has been said; the client waits for the headers, events or not.
        await write(b"")
        start = 0 if options.initial_events else options.revision or 0
        if start and not self._store.floor <= start <= self._store.revision:
            # A revision from the future can only come from a store that was lost: it will never be reached.
            newest = self._store.revision
            await write(_error_line(expired(f"too old resource version: {start} ({newest})")))
            return
        # No await between taking the snapshot and joining the hub, so that no event is lost or doubled.
        self._hub.add(self)
        try:
            revision = self._store.revision
            if start:
                backlog = self._store.shelf(self._resource.storage).since(start)
                await self._send_backlog(backlog, write)
            else:
                entries = self._store.shelf(self._resource.storage).newest(self._namespace or None)
                # The bytes of an entry may leave memory once its object is replaced, so they are taken now.
                found = [entry.data for entry in entries if self._matches is None or self._matches(entry)]
                await self._send_state(found, write)
            self._live = True
            if options.initial_events:
                await write(event_line("BOOKMARK", self._view.bookmark(revision, initial_end=True)))
            await self._send_live(write)
        finally:
            self._hub.remove(self)

    async def _send_state(self, found: list[bytes], write: Write) -> None:
        for start in range(0, len(found), _CHUNK_EVENTS):
            lines = []
            for data in found[start : start + _CHUNK_EVENTS]:
                lines.append(event_line("ADDED", self._view.event(data, first=self._first)))
                self._first = False
            await write(b"".join(lines))

    async def _send_backlog(self, changes: list[Change], write: Write) -> None:
        try:
            changes = await self._store.restored(changes)
        except Compacted:
            await write(_error_line(expired(f"too old resource version: {self._options.revision}")))
            self.close()
            return
        lines = [line for change in changes if (line := self._line(change, {})) is not None]
        for start in range(0, len(lines), _CHUNK_EVENTS):
            await write(b"".join(lines[start : start + _CHUNK_EVENTS]))

    async def _send_live(self, write: Write) -> None:
        loop = asyncio.get_running_loop()
        timeout = self._options.timeout
        deadline = loop.time() + (timeout or random.uniform(_SHORTEST_DEFAULT, _LONGEST_DEFAULT))
        bookmark = loop.time() + _BOOKMARK_SECONDS if self._options.bookmarks else float("inf")
        while not self._ended or self._queue:
            if self._queue:
                chunk = b"".join(self._queue)
                self._queue.clear()
                self._queued = 0
                await write(chunk)
                continue
            now = loop.time()
            if now >= deadline or now >= bookmark:
                # The queue is empty, so everything up to the newest revision has been sent.
                if self._options.bookmarks:
                    await write(event_line("BOOKMARK", self._view.bookmark(self._store.revision, initial_end=False)))
                    bookmark = now + _BOOKMARK_SECONDS
                if now >= deadline:
                    return
                continue
            self._wake.clear()
            if self._queue or self._ended:
                continue
            try:
                async with asyncio.timeout_at(min(deadline, bookmark)):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def _line(self, change: Change, shared: Shared) -> bytes | None:
        """The event that a change is for this watcher, as a line, or ``None`` if it does not concern it."""
        key = change.after.key
        if self._namespace and key.namespace != self._namespace:
            return None
        matches = self._matches
        was = change.before is not None and (matches is None or matches(change.before))
        is_now = not change.deleted and (matches is None or matches(change.after))
        if not was and not is_now:
            return None
        kind = "MODIFIED" if was and is_now else "ADDED" if is_now else "DELETED"
        if self._first and self._view.needs_columns:
            # What comes while the stream begins is sent after it, so only then the columns are known to be sent.
            self._first = not self._live
            return event_line(kind, self._view.event(_shown(change, kind), first=True))
        place = (kind, self._view.key)
        line = shared.get(place)
        if line is None:
            line = shared[place] = event_line(kind, self._view.event(_shown(change, kind), first=False))
        return line


def _shown(change: Change, kind: str) -> bytes:
    """The bytes an event shows: of an object that is no longer selected, the state that was selected last."""
    if kind == "DELETED" and not change.deleted and change.before is not None:
        return at_revision(change.before.data, change.revision)
    return change.after.data


def _error_line(error: ApiError) -> bytes:
    return event_line("ERROR", orjson.dumps(error.status))
