"""A turn: the right to write one key, from reading what is there until the write is committed."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from mizzen.cluster.apiserver.store.entry import Entry, Key


class Write:
    """One write that waits for its group."""

    __slots__ = ("deletes", "done", "freeing", "key", "value")

    def __init__(
        self, key: Key, value: dict[str, Any], freeing: bool, deletes: bool, done: asyncio.Future[Entry]
    ) -> None:
        self.key = key
        self.value = value
        self.freeing = freeing
        self.deletes = deletes
        self.done = done


class Writer(Protocol):
    """What a turn needs of the store."""

    def get(self, key: Key) -> Entry | None: ...

    def submit(self, key: Key, value: dict[str, Any], freeing: bool, deletes: bool) -> asyncio.Future[Entry]: ...


class Turn:
    """The right to write one key, held until the write is committed. ``current`` is what lies there, or ``None``."""

    def __init__(self, store: Writer, key: Key) -> None:
        self.key = key
        self._store = store
        self.pending: asyncio.Future[Entry] | None = None

    @property
    def current(self) -> Entry | None:
        return self._store.get(self.key)

    async def put(self, value: dict[str, Any], *, freeing: bool = False) -> Entry:
        """Store an object and return it as stored, once it is on disk. The mapping becomes the store's.

        ``freeing`` marks a write on the way to a deletion, which may use the space held back for those.

        Raises:
            DiskFull: no space; nothing was stored.
            StoreError: the disk or the file refuses; nothing was stored.
        """
        return await self._submit(value, freeing, deletes=False)

    async def delete(self, last: dict[str, Any]) -> Entry:
        """Remove the object; ``last`` is the state its watchers see, returned with the revision of the deletion."""
        if self.current is None:
            raise LookupError(f"nothing to delete under {self.key}")
        return await self._submit(last, freeing=True, deletes=True)

    async def _submit(self, value: dict[str, Any], freeing: bool, deletes: bool) -> Entry:
        self.pending = self._store.submit(self.key, value, freeing, deletes)
        # A client that goes away does not take back what it has asked for.
        return await asyncio.shield(self.pending)
