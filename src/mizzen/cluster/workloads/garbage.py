"""The garbage collector: deletes what nobody owns any more, in the background, in the foreground, or lets it go.

It watches the metadata of every kind (:mod:`kinds`), keeps the graph of owners, and asks :mod:`owners` what to do with
an object whose owners changed. Before anything is deleted its missing owner is asked for in the API itself, since a
copy may lag; and every write holds for the version it was decided on only.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import msgspec

from mizzen.apis.meta import Object, OwnerReference, ResourceDef
from mizzen.cluster.workloads import owners
from mizzen.cluster.workloads.kinds import Kinds, kind_of
from mizzen.cluster.workloads.owners import Item, Kind, State
from mizzen.kube.client import Client
from mizzen.kube.controller import Controller
from mizzen.kube.discovery import UnknownKind
from mizzen.kube.errors import ApiError
from mizzen.kube.events import EventRecorder, Reference
from mizzen.kube.informer import Change

_REMEMBERED = 10_000
# Where an owner was and which one it was: a reference with a wrong kind or namespace says nothing about that uid.
_Coordinates = tuple[Kind, str, str, str]


class Collector:
    """Collects garbage of every kind. ``controller`` is to be run; its keys are ("", uid)."""

    def __init__(self, client: Client, kinds: Kinds, events: EventRecorder) -> None:
        self._client = client
        self._kinds = kinds
        self._events = events
        self._graph = owners.Graph()
        self._absent: OrderedDict[_Coordinates, None] = OrderedDict()
        self._unresolved: set[str] = set()
        self.controller = Controller("garbage", self.reconcile, workers=8)
        kinds.on_change(self._changed)
        kinds.on_new_kinds(self._reconsider)

    def _changed(self, kind: Kind, change: Change) -> None:
        old, new = change.old, change.new
        if old is not None and (new is None or new.uid != old.uid):
            self._graph.drop(old.uid)
            self._note_absent((kind, *change.key, old.uid))
            self._queue(*self._graph.dependents(old.uid), *old.owner_uids)
        if new is None:
            return
        self._graph.put(kind, change.key, new.uid, new.owner_uids)
        is_news = old is None or old.uid != new.uid or old.owner_uids != new.owner_uids
        if new.deleting or (is_news and new.owner_uids):
            self._queue(new.uid)
        if new.deleting and (old is None or not old.deleting):
            self._queue(*self._graph.dependents(new.uid))
        # An owner that is being deleted may have waited for just this: a reference that is gone, or no longer blocks.
        former = old.owner_uids if old is not None else ()
        self._queue(*(uid for uid in {*former, *new.owner_uids} if self._is_ending(uid)))

    def _queue(self, *uids: str) -> None:
        for uid in uids:
            self.controller.queue.add(("", uid))

    def _is_ending(self, uid: str) -> bool:
        place = self._graph.place(uid)
        informer = self._kinds.informer(place[0]) if place else None
        entry = informer.entry(*place[1]) if place and informer else None
        return entry is not None and entry.deleting

    def _note_absent(self, coordinates: _Coordinates) -> None:
        self._absent[coordinates] = None
        if len(self._absent) > _REMEMBERED:
            self._absent.popitem(last=False)

    def _reconsider(self) -> None:
        """Other kinds are served: what hung on an unknown one is looked at again."""
        unresolved, self._unresolved = self._unresolved, set()
        self._queue(*unresolved)

    def _item(self, uid: str) -> Item | None:
        place = self._graph.place(uid)
        informer = self._kinds.informer(place[0]) if place else None
        entry = informer.entry(*place[1]) if place and informer else None
        if place is None or entry is None or entry.uid != uid:
            # Its kind is served no longer, so it will not be heard of again.
            self._graph.drop(uid)
            return None
        return Item.of(*place, entry)

    def _dependents(self, item: Item) -> list[Item]:
        return [found for uid in self._graph.dependents(item.uid) if (found := self._item(uid)) is not None]

    async def reconcile(self, _: str, uid: str) -> None:
        await self._kinds.synced()
        item = self._item(uid)
        if item is None:
            return
        if item.is_deleting:
            if owners.ORPHAN in item.finalizers:
                await self._orphan(item)
            elif owners.FOREGROUND in item.finalizers:
                await self._wait_for_dependents(item)
        elif item.owners:
            states = {owner.uid: await self._state(item, owner) for owner in item.owners}
            await self._carry_out(item, owners.decide(item, states, self._dependents(item)))

    async def _carry_out(self, item: Item, verdict: owners.Verdict) -> None:
        match verdict:
            case owners.Detach(uids):
                await self._patch(item, {"ownerReferences": _written(owners.without(item, uids))})
            case owners.Delete(propagation, unblock):
                version = item.version
                if unblock:
                    answer = await self._patch(item, {"ownerReferences": _written(owners.unblocked(item))})
                    version = answer["metadata"]["resourceVersion"] if answer else version
                await self._delete(item, propagation, version)

    async def _orphan(self, owner: Item) -> None:
        for dependent in self._dependents(owner):
            references = owners.without(dependent, frozenset({owner.uid}))
            await self._patch(dependent, {"ownerReferences": _written(references)})
        await self._drop_finalizer(owner, owners.ORPHAN)

    async def _wait_for_dependents(self, owner: Item) -> None:
        dependents = self._dependents(owner)
        if owners.blocking(owner, dependents):
            self._queue(*(one.uid for one in dependents if not one.is_deleting))
        else:
            await self._drop_finalizer(owner, owners.FOREGROUND)

    async def _drop_finalizer(self, item: Item, finalizer: str) -> None:
        kept = [one for one in item.finalizers if one != finalizer]
        await self._patch(item, {"finalizers": kept or None})

    async def _state(self, item: Item, owner: OwnerReference) -> State:
        """What has become of one owner; asked of the API unless it is there for all to see."""
        known = self._item(owner.uid)
        if known is not None and self._is_meant(item, owner, known):
            return known.state
        try:
            resource = self._kinds.catalogue.by_kind(owner.api_version, owner.kind)
        except UnknownKind:
            self._unresolved.add(item.uid)
            return State.UNKNOWN
        namespace = item.key[0]
        if resource.namespaced and not namespace:
            # What belongs to no namespace cannot be owned from inside one.
            self._complain(item, owner, "is cluster-scoped and cannot be owned by an object in a namespace")
            return State.UNKNOWN
        coordinates = (kind_of(resource), namespace if resource.namespaced else "", owner.name, owner.uid)
        if coordinates in self._absent:
            return State.GONE
        state = await self._live_state(resource, owner, coordinates)
        if state is State.GONE:
            self._note_absent(coordinates)
            if known is not None:
                self._complain(item, owner, f"names an owner that is not in namespace {namespace!r}")
        return state

    def _is_meant(self, item: Item, owner: OwnerReference, found: Item) -> bool:
        """Whether the object with the owner's uid is where and what the reference says."""
        informer = self._kinds.informer(found.kind)
        resource = informer.resource if informer else None
        group = owner.api_version.rpartition("/")[0]
        return (
            resource is not None
            and (resource.group, resource.kind) == (group, owner.kind)
            and found.key[1] == owner.name
            and found.key[0] in ("", item.key[0])
        )

    async def _live_state(self, resource: ResourceDef, owner: OwnerReference, at: _Coordinates) -> State:
        try:
            answer = await self._client.get_metadata(resource, owner.name, at[1])
        except ApiError as error:
            if error.code != 404:
                raise
            # A 404 that does not name the object is about its kind, which has gone away in the meantime.
            named = (error.details or {}).get("name") == owner.name
            return State.GONE if named else State.UNKNOWN
        metadata = msgspec.convert(answer, Object).metadata
        return Item(at[0], (at[1], owner.name), metadata).state if metadata.uid == owner.uid else State.GONE

    def _complain(self, item: Item, owner: OwnerReference, why: str) -> None:
        informer = self._kinds.informer(item.kind)
        if informer is None:
            return
        about = Reference(
            api_version=informer.resource.api_version,
            kind=informer.resource.kind,
            name=item.key[1],
            namespace=item.key[0],
            uid=item.uid,
        )
        sentence = f"ownerReference to {owner.kind} {owner.name!r} (uid {owner.uid}): the object {why}"
        self._events.record(about, "Warning", "OwnerRefInvalidNamespace", sentence)

    async def _patch(self, item: Item, metadata: dict[str, Any]) -> dict[str, Any] | None:
        """Change the metadata of an item in the version that was looked at; ``None`` when it is gone."""
        informer = self._kinds.informer(item.kind)
        if informer is None:
            return None
        body = {"metadata": {"uid": item.uid, "resourceVersion": item.version} | metadata}
        try:
            return await self._client.patch(informer.resource, item.key[1], item.key[0], body)
        except ApiError as error:
            if error.code != 404:
                raise
            return None

    async def _delete(self, item: Item, propagation: str, version: str) -> None:
        informer = self._kinds.informer(item.kind)
        if informer is None:
            return
        try:
            await self._client.delete(
                informer.resource,
                item.key[1],
                item.key[0],
                propagation=propagation,
                uid=item.uid,
                resource_version=version,
            )
        except ApiError as error:
            if error.code != 404:
                raise


def _written(references: list[OwnerReference]) -> list[Any] | None:
    """References as a merge patch spells them: none at all removes the field."""
    return [msgspec.to_builtins(reference) for reference in references] or None
