"""The store itself: one writer that commits in groups, and readers that never wait for it.

A write goes through a :class:`Turn`, which is the only right to write one key, so that what a writer has read is still
true when its write is committed. Turns on different keys run at once and meet in the writer's next group: the group is
stamped with revisions, committed by the worker thread with one fsync, and only then shown in memory and to observers.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import orjson

from mizzen.cluster.apiserver.store.database import Database, Row
from mizzen.cluster.apiserver.store.entry import Change, Entry, Key, encoded, restamped
from mizzen.cluster.apiserver.store.errors import Compacted, DiskFull, StoreError
from mizzen.cluster.apiserver.store.history import History
from mizzen.cluster.apiserver.store.reserve import DEFAULT_SIZE
from mizzen.cluster.apiserver.store.shelf import Shelf
from mizzen.cluster.apiserver.store.turn import Turn, Write

Observer = Callable[[Change], None]

# At least five minutes are promised; a little more covers a client that asks at the last moment.
HISTORY_SECONDS = 330.0
HISTORY_BYTES = 16 * 1024 * 1024
# A group is one transaction. Its size bounds the write-ahead log, and so what must be held back for a full disk.
_GROUP, _GROUP_BYTES = 512, 1024 * 1024
_REMOVED_WITH_GROUP = 500


class Store:
    """Use :meth:`open`. ``revision`` is the newest that readers see."""

    def __init__(self, database: Database, worker: ThreadPoolExecutor, history: History, now: Callable[[], float]):
        self.revision = history.floor
        self._issued = history.floor
        self._database = database
        self._worker = worker
        self._history = history
        self._now = now
        self._shelves: dict[str, Shelf] = {}
        self._observers: dict[str, list[Observer]] = {}
        self._turns: dict[Key, deque[asyncio.Future[None]]] = {}
        self._queue: deque[Write] = deque()
        self._pending: dict[Key, Write] = {}
        self._wake = asyncio.Event()
        self._closing = False
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        self._writer: asyncio.Task[None] | None = None

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        path: Path,
        *,
        history_seconds: float = HISTORY_SECONDS,
        history_bytes: int = HISTORY_BYTES,
        reserve: int = DEFAULT_SIZE,
        now: Callable[[], float] = time.time,
    ) -> AsyncIterator[Store]:
        """The store in the file ``path``, made if it is not there, until the block ends.

        Raises:
            StoreError: the file is locked, damaged, not ours or too new.
        """
        worker = ThreadPoolExecutor(1, "store")
        loop = asyncio.get_running_loop()
        try:
            database = await loop.run_in_executor(worker, Database, path, reserve)
            try:
                store = cls(database, worker, History(database.floor, history_seconds, history_bytes), now)
                await loop.run_in_executor(worker, store._load)
                store._writer = asyncio.create_task(store._write_groups())
                try:
                    yield store
                finally:
                    store._closing = True
                    store._wake.set()
                    await asyncio.wait([store._writer])
            finally:
                await loop.run_in_executor(worker, database.close)
        finally:
            worker.shutdown()

    async def writing(self) -> None:
        """Wait for the writer, which ends only with the store; raises whatever defect has stopped it before."""
        assert self._writer is not None
        await asyncio.shield(self._writer)

    @property
    def floor(self) -> int:
        """The revision up to which history is forgotten: a watch or list can start at it, not before it."""
        return self._history.floor

    def get(self, key: Key) -> Entry | None:
        return self.shelf(key.resource).get(key.namespace, key.name)

    def shelf(self, resource: str) -> Shelf:
        """The objects of one resource; empty if it has none."""
        shelf = self._shelves.get(resource)
        if shelf is None:
            shelf = self._shelves[resource] = Shelf()
        return shelf

    def observe(self, resource: str, observer: Observer) -> Callable[[], None]:
        """Call ``observer`` with every change of a resource, after it is committed; returns how to stop."""
        observers = self._observers.setdefault(resource, [])
        observers.append(observer)
        return lambda: observers.remove(observer)

    async def reached(self, revision: int, timeout: float) -> bool:
        """Wait until readers see ``revision``; false if they do not within ``timeout`` seconds."""
        if revision <= self.revision:
            return True
        future = asyncio.get_running_loop().create_future()
        self._waiting.append((revision, future))
        try:
            async with asyncio.timeout(timeout):
                await future
        except TimeoutError:
            return False
        finally:
            self._waiting.remove((revision, future))
        return True

    async def restored(self, changes: Sequence[Change]) -> list[Change]:
        """Changes with their bytes read back where they had left memory.

        Raises:
            Compacted: some are gone from the log as well by now.
        """
        missing = {entry.revision for change in changes for entry in _sources(change) if not entry.data}
        if not missing:
            return list(changes)
        found = await self._read(missing)
        return [_refilled(change, found) for change in changes]

    async def restored_entries(self, entries: Sequence[Entry]) -> list[Entry]:
        """Entries with their bytes read back where they had left memory. Raises :class:`Compacted`."""
        missing = {entry.revision for entry in entries if not entry.data}
        if not missing:
            return list(entries)
        found = await self._read(missing)
        return [entry if entry.data else _copied(entry, found[entry.revision]) for entry in entries]

    @asynccontextmanager
    async def exclusive(self, key: Key) -> AsyncIterator[Turn]:
        """The right to write ``key``. Whoever has it never asks for a second one, so nobody waits in a circle."""
        waiting = self._turns.get(key)
        if waiting is None:
            self._turns[key] = deque()
        else:
            mine = asyncio.get_running_loop().create_future()
            waiting.append(mine)
            try:
                await mine
            except asyncio.CancelledError:
                if mine.done() and not mine.cancelled():
                    self._pass_on(key)
                raise
        turn = Turn(self, key)
        try:
            yield turn
        finally:
            if turn.pending is not None and not turn.pending.done():
                # The holder was cancelled while its write is under way: the next one must see the outcome.
                turn.pending.add_done_callback(lambda _: self._pass_on(key))
            else:
                self._pass_on(key)

    def pending(self, key: Key) -> dict[str, Any] | None:
        """The object that is being written under ``key`` right now; every later write comes after it."""
        write = self._pending.get(key)
        return write.value if write is not None else None

    def submit(self, key: Key, value: dict[str, Any], freeing: bool, deletes: bool) -> asyncio.Future[Entry]:
        """Queue a write for the next group. Only a :class:`Turn` may."""
        if self._closing:
            raise StoreError("the store is closing")
        done: asyncio.Future[Entry] = asyncio.get_running_loop().create_future()
        write = self._pending[key] = Write(key, value, freeing, deletes, done)

        def finished(future: asyncio.Future[Entry]) -> None:
            if self._pending.get(key) is write:
                del self._pending[key]
            # Whoever waits may be gone by the time it fails; asking marks the failure as seen.
            _ = future.cancelled() or future.exception()

        done.add_done_callback(finished)
        self._queue.append(write)
        self._wake.set()
        return done

    async def rewrite(self, resource: str, converted: Callable[[bytes], bytes]) -> None:
        """Replace the bytes of a resource's objects in place, with no new revision: they mean the same as before.

        Objects written meanwhile are left alone; they were written under the new rules already.
        """
        entries = self.shelf(resource).newest()
        pairs = await asyncio.to_thread(lambda: [(entry, converted(entry.data)) for entry in entries])
        changed = [(entry, data) for entry, data in pairs if data != entry.data and self.get(entry.key) is entry]
        if changed:
            await self._run(self._database.replace, [(data, entry.revision) for entry, data in changed])
            for entry, data in changed:
                if entry.data:
                    entry.data = data

    def _load(self) -> None:
        """Fill the shelves and the history from the log. Runs in the worker, before anybody else sees the store."""
        newest: dict[str, dict[tuple[str, str], Entry]] = {}
        floor = self._history.floor
        for row in self._database.rows():
            entries = newest.setdefault(row.resource, {})
            place = (row.namespace, row.name)
            before = entries.get(place)
            key = before.key if before else Key(sys.intern(row.resource), sys.intern(row.namespace), row.name)
            try:
                if row.value is not None:
                    after = entries[place] = Entry.read(key, row.revision, row.value, row.time)
                elif before is not None:
                    after = Entry(key, row.revision, restamped(before.data, row.revision), before.labels, row.time)
                    del entries[place]
                else:
                    continue
            except (msgspec.MsgspecError, orjson.JSONDecodeError, KeyError) as error:
                raise StoreError(
                    f"{self._database.path}: the store is damaged at {'/'.join(key)}, revision {row.revision}: {error};"
                    " restore it from a backup, or move it away to start anew"
                ) from error
            if row.revision > floor:
                self._history.add(Change(before, after, row.value is None), self.shelf(row.resource))
            self.revision = self._issued = max(self.revision, row.revision)
        for resource, entries in newest.items():
            self.shelf(resource).fill(entries)

    async def _write_groups(self) -> None:
        """Commit whatever has queued up, group after group, until the store closes."""
        while True:
            while not self._queue:
                if self._closing:
                    return
                self._wake.clear()
                await self._wake.wait()
            group = self._next_group()
            try:
                await self._commit(group)
            except BaseException as error:
                self._closing = True
                for write in (*(write for write, _ in group), *self._queue):
                    _fail(write, StoreError(f"the store has stopped writing: {error!r}"))
                raise

    def _next_group(self) -> list[tuple[Write, Entry]]:
        """Take the next writes off the queue, stamped with their revisions and encoded."""
        now = int(self._now())
        stamped: list[tuple[Write, Entry]] = []
        size = 0
        while self._queue and len(stamped) < _GROUP and size < _GROUP_BYTES:
            write = self._queue.popleft()
            revision = self._issued + 1
            try:
                labels = write.value["metadata"].get("labels") or {}
                entry = Entry(write.key, revision, encoded(write.value, revision), labels, now)
            except (TypeError, KeyError) as error:
                _fail(write, StoreError(f"{write.key} cannot be stored as JSON: {error}"))
                continue
            self._issued = revision
            size += len(entry.data)
            stamped.append((write, entry))
        return stamped

    async def _commit(self, group: list[tuple[Write, Entry]]) -> None:
        self._history.forget(self._now())
        floor, rows = self._history.removable(_REMOVED_WITH_GROUP + len(group))
        try:
            await self._run(self._database.append, [_row(*pair) for pair in group], rows, floor)
        except DiskFull as error:
            for write, _ in group:
                if not write.freeing:
                    _fail(write, error)
            group = [pair for pair in group if pair[0].freeing]
            if not await self._commit_from_reserve(group):
                return
        except StoreError as error:
            for write, _ in group:
                _fail(write, error)
            return
        else:
            self._history.removed(floor)
        for write, entry in group:
            self._apply(write, entry)
        self._release_waiting()

    async def _commit_from_reserve(self, group: list[tuple[Write, Entry]]) -> bool:
        if not group:
            return False
        try:
            await self._run(self._database.append_from_reserve, [_row(*pair) for pair in group])
        except StoreError as error:
            for write, _ in group:
                _fail(write, error)
            return False
        return True

    def _apply(self, write: Write, entry: Entry) -> None:
        key = entry.key
        shelf = self.shelf(key.resource)
        if write.deletes:
            before = shelf.get(key.namespace, key.name)
            shelf.remove((key.namespace, key.name))
        else:
            before = shelf.put(entry)
        self.revision = entry.revision
        change = Change(before, entry, write.deletes)
        if not write.done.done():
            write.done.set_result(entry)
        for observer in tuple(self._observers.get(key.resource, ())):
            observer(change)
        self._history.add(change, shelf)

    def _release_waiting(self) -> None:
        for revision, future in self._waiting:
            if revision <= self.revision and not future.done():
                future.set_result(None)

    def _pass_on(self, key: Key) -> None:
        waiting = self._turns[key]
        while waiting:
            following = waiting.popleft()
            if not following.done():
                following.set_result(None)
                return
        del self._turns[key]

    async def _read(self, revisions: Iterable[int]) -> dict[int, bytes]:
        wanted = sorted(revisions)
        found: dict[int, bytes] = await self._run(self._database.values, wanted)
        if len(found) < len(wanted):
            raise Compacted(f"revision {next(r for r in wanted if r not in found)} is no longer in the log")
        return found

    async def _run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Run in the worker and wait for the end even when cancelled: the file must not change behind our back."""
        future = asyncio.get_running_loop().run_in_executor(self._worker, function, *arguments)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            await asyncio.wait([future])
            raise


def _row(write: Write, entry: Entry) -> Row:
    return Row(entry.revision, *entry.key, entry.time, None if write.deletes else entry.data)


def _fail(write: Write, error: StoreError) -> None:
    if not write.done.done():
        write.done.set_exception(error)


def _sources(change: Change) -> list[Entry]:
    """The entries whose log rows a change is rebuilt from. A deletion has none of its own."""
    return [entry for entry in (change.before, None if change.deleted else change.after) if entry is not None]


def _copied(entry: Entry, data: bytes) -> Entry:
    return Entry(entry.key, entry.revision, data, entry.labels, entry.time)


def _refilled(change: Change, found: dict[int, bytes]) -> Change:
    before, after = change.before, change.after
    if before is not None and not before.data:
        before = _copied(before, found[before.revision])
    if not after.data:
        data = restamped(before.data, after.revision) if change.deleted and before else found[after.revision]
        after = _copied(after, data)
    return Change(before, after, change.deleted)
