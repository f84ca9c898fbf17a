"""A local copy of one kind of resource, kept true by a list and a watch.

Objects are kept as bytes beside the few fields that decide who cares about them, and decoded when somebody reads them:
10,000 decoded pods take some 150 MB, as bytes 30. ``managedFields`` are dropped on arrival. A controller that has just
written an object puts the answer into the copy (:meth:`Informer.accept`), so that its next look does not see the past.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import msgspec
import orjson

from mizzen.apis.meta import LabelSelector, Object, ResourceDef
from mizzen.kube import selectors
from mizzen.kube.client import Client, Unreachable
from mizzen.kube.errors import ApiError

log = logging.getLogger(__name__)

Key = tuple[str, str]  # namespace (empty for cluster-scoped kinds) and name
R = TypeVar("R", bound=Object)
Index = Callable[[dict[str, Any]], Iterable[str]]

_UID, _CONTROLLER = "uid", "controller"
_RELIST_PAUSE = 0.1
_LONGEST_PAUSE = 10.0


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One object of the copy: its bytes and what can be asked without decoding them."""

    raw: bytes
    uid: str
    resource_version: int
    labels: dict[str, str]
    owner_uids: tuple[str, ...]
    deleting: bool
    indexed: dict[str, tuple[str, ...]]

    def decode(self, kind: type[R]) -> R:
        return msgspec.json.decode(self.raw, type=kind)

    @property
    def controller_uid(self) -> str:
        """The uid of the owner that controls the object, or empty."""
        return next(iter(self.indexed[_CONTROLLER]), "")

    @property
    def object(self) -> dict[str, Any]:
        found: dict[str, Any] = orjson.loads(self.raw)
        return found


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What happened to one key: ``old`` is ``None`` when it is new, ``new`` is ``None`` when it is gone."""

    key: Key
    old: Entry | None
    new: Entry | None

    @property
    def entries(self) -> tuple[Entry, ...]:
        return tuple(entry for entry in (self.old, self.new) if entry is not None)


class Informer:
    """The copy of one kind, of one namespace or all.

    Args:
        indexes: functions that name the keys under which :meth:`by_index` finds an object again.
        metadata_only: keep the objects' ``metadata`` alone, for kinds of which nothing else matters.
    """

    def __init__(
        self,
        client: Client,
        resource: ResourceDef,
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        indexes: dict[str, Index] | None = None,
        metadata_only: bool = False,
    ) -> None:
        self.resource = resource
        self.synced = asyncio.Event()
        self._client = client
        self._namespace = namespace
        self._label_selector = label_selector
        self._field_selector = field_selector
        self._metadata_only = metadata_only
        self._entries: dict[Key, Entry] = {}
        self._gone: dict[Key, int] = {}
        self._seen = 0  # every change up to this version has been taken in
        self._indexes = {_UID: _uid, _CONTROLLER: _controller} | (indexes or {})
        self._indexed: dict[tuple[str, str], set[Key]] = {}
        self._handlers: list[Callable[[Change], None]] = []

    def on_change(self, handler: Callable[[Change], None]) -> None:
        """Call ``handler`` for every change from now on, and now for all that is already here."""
        self._handlers.append(handler)
        for key, entry in list(self._entries.items()):
            handler(Change(key=key, old=None, new=entry))

    def entry(self, namespace: str, name: str) -> Entry | None:
        return self._entries.get((namespace, name))

    def get(self, namespace: str, name: str, kind: type[R]) -> R | None:
        """One object, typed, or ``None``."""
        entry = self._entries.get((namespace, name))
        return entry.decode(kind) if entry else None

    def object(self, namespace: str, name: str) -> dict[str, Any] | None:
        """One object as a mapping of its own, or ``None``."""
        entry = self._entries.get((namespace, name))
        return entry.object if entry else None

    def keys(self, namespace: str = "", selector: LabelSelector | None = None) -> list[Key]:
        """The keys of all objects, or of those in a namespace, or of those whose labels match."""
        wanted = selectors.EVERYTHING if selector is None else selectors.from_typed(selector)
        return [
            key
            for key, entry in self._entries.items()
            if (not namespace or key[0] == namespace) and wanted.matches(entry.labels)
        ]

    def all(self, kind: type[R], namespace: str = "", selector: LabelSelector | None = None) -> list[R]:
        return [self._entries[key].decode(kind) for key in self.keys(namespace, selector)]

    def by_index(self, index: str, value: str) -> list[Key]:
        """The keys of the objects for which the index function named ``value``, in order of their names."""
        return sorted(self._indexed.get((index, value), ()))

    def owned_by(self, uid: str, kind: type[R]) -> list[R]:
        """The objects whose controller has this uid, in order of their names."""
        return [self._entries[key].decode(kind) for key in self.by_index(_CONTROLLER, uid)]

    def key_of(self, uid: str) -> Key | None:
        """Where the object with this uid is."""
        return next(iter(self._indexed.get((_UID, uid), ())), None)

    def accept(self, obj: dict[str, Any]) -> None:
        """Take in the answer to a write of our own, unless the watch has already told of a newer state.

        What the watch has passed and the copy does not hold was deleted meanwhile, or is not selected.
        """
        if _key(obj) in self._entries or int(obj["metadata"]["resourceVersion"]) > self._seen:
            self._store(obj)

    def forget(self, namespace: str, name: str, resource_version: int = 0) -> None:
        """Take out an object that a delete of our own removed."""
        self._remove((namespace, name), resource_version)

    async def run(self) -> None:
        """Keep the copy true until cancelled; an API that is away is waited for."""
        loop = asyncio.get_running_loop()
        pause = _RELIST_PAUSE
        while True:
            started = loop.time()
            try:
                version = await self._list()
                self.synced.set()
                await self._watch(version)
            except ApiError as error:
                if error.code != 410:
                    log.warning("watching %s: %s", self.resource.qualified, error)
            except Unreachable as error:
                log.debug("watching %s: %s", self.resource.qualified, error)
            if loop.time() - started > _LONGEST_PAUSE:
                pause = _RELIST_PAUSE  # it went well for long enough
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _list(self) -> str:
        items, version = await self._client.list_raw(
            self.resource,
            self._namespace,
            label_selector=self._label_selector,
            field_selector=self._field_selector,
            metadata_only=self._metadata_only,
        )
        seen = {self._store(msgspec.json.decode(item)) for item in items}
        for key in [key for key in self._entries if key not in seen]:
            # What a write of ours put here after the list was taken is newer than the list.
            if self._entries[key].resource_version <= int(version):
                self._remove(key, int(version))
        self._seen = int(version)
        return version

    async def _watch(self, version: str) -> None:
        while True:
            stream = self._client.watch(
                self.resource,
                self._namespace,
                resource_version=version,
                label_selector=self._label_selector,
                field_selector=self._field_selector,
                metadata_only=self._metadata_only,
            )
            try:
                async for event in stream:
                    obj = msgspec.json.decode(event.object)
                    version = obj["metadata"]["resourceVersion"]
                    if event.type == "DELETED":
                        self._remove(_key(obj), int(version))
                    elif event.type != "BOOKMARK":
                        self._store(obj)
                    self._seen = int(version)
            finally:
                await stream.aclose()  # type: ignore[attr-defined]
            # A server that ends every stream at once must not be asked in a tight loop.
            await asyncio.sleep(_RELIST_PAUSE)

    def _store(self, obj: dict[str, Any]) -> Key:
        metadata = obj["metadata"]
        key = _key(obj)
        version = int(metadata["resourceVersion"])
        old = self._entries.get(key)
        if (old is not None and old.resource_version >= version) or self._gone.get(key, 0) >= version:
            return key
        metadata.pop("managedFields", None)
        owners = metadata.get("ownerReferences") or ()
        new = Entry(
            raw=orjson.dumps({"apiVersion": self.resource.api_version, "kind": self.resource.kind} | obj),
            uid=metadata.get("uid", ""),
            resource_version=version,
            labels=metadata.get("labels") or {},
            owner_uids=tuple(owner["uid"] for owner in owners),
            deleting=bool(metadata.get("deletionTimestamp")),
            indexed={name: tuple(index(obj)) for name, index in self._indexes.items()},
        )
        self._gone.pop(key, None)
        self._entries[key] = new
        self._reindex(key, old, new)
        self._tell(Change(key=key, old=old, new=new))
        return key

    def _remove(self, key: Key, version: int) -> None:
        old = self._entries.get(key)
        if old is None or (version and old.resource_version > version):
            return
        del self._entries[key]
        # Remembered so that a late answer to a write of ours does not bring it back; old ones are let go.
        self._gone[key] = max(version, old.resource_version)
        while len(self._gone) > 1000:
            del self._gone[next(iter(self._gone))]
        self._reindex(key, old, None)
        self._tell(Change(key=key, old=old, new=None))

    def _reindex(self, key: Key, old: Entry | None, new: Entry | None) -> None:
        for entry, present in ((old, False), (new, True)):
            if entry is None:
                continue
            for name, values in entry.indexed.items():
                for value in values:
                    keys = self._indexed.setdefault((name, value), set())
                    if present:
                        keys.add(key)
                    else:
                        keys.discard(key)
                        if not keys:
                            del self._indexed[name, value]

    def _tell(self, change: Change) -> None:
        for handler in self._handlers:
            handler(change)


def _key(obj: dict[str, Any]) -> Key:
    return obj["metadata"].get("namespace") or "", obj["metadata"]["name"]


def _uid(obj: dict[str, Any]) -> list[str]:
    return [obj["metadata"].get("uid", "")]


def _controller(obj: dict[str, Any]) -> list[str]:
    owners = obj["metadata"].get("ownerReferences") or ()
    return [owner["uid"] for owner in owners if owner.get("controller")]
