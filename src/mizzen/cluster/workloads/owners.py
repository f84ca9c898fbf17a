"""Who is garbage: the pure part of the garbage collector.

An object lives as long as one of its owners does. An owner is meant by its uid: one that was deleted and created anew
under the same name is another. What is not known for certain (an owner of a kind that the API does not serve) is left
alone. Source: the Kubernetes documentation of garbage collection, and reference section 5 of the Kubernetes API.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum

import msgspec

from mizzen.apis.meta import Object, ObjectMeta, OwnerReference
from mizzen.kube.informer import Entry, Key

FOREGROUND, ORPHAN = "foregroundDeletion", "orphan"

# A kind in whatever version it is served: its group and plural.
Kind = tuple[str, str]


class State(Enum):
    """What has become of an owner. ``WAITING``: it is being deleted and waits for its dependents to go first."""

    ALIVE = "alive"
    WAITING = "waiting"
    GONE = "gone"
    UNKNOWN = "unknown"


class Item(msgspec.Struct, frozen=True):
    """One object as the collector sees it."""

    kind: Kind
    key: Key
    metadata: ObjectMeta

    @property
    def uid(self) -> str:
        return self.metadata.uid or ""

    @property
    def version(self) -> str:
        return self.metadata.resource_version or ""

    @property
    def owners(self) -> Sequence[OwnerReference]:
        return self.metadata.owner_references or ()

    @property
    def finalizers(self) -> Sequence[str]:
        return self.metadata.finalizers or ()

    @property
    def is_deleting(self) -> bool:
        return bool(self.metadata.deletion_timestamp)

    @property
    def state(self) -> State:
        return State.WAITING if self.is_deleting and FOREGROUND in self.finalizers else State.ALIVE

    @classmethod
    def of(cls, kind: Kind, key: Key, entry: Entry) -> Item:
        return cls(kind, key, entry.decode(Object).metadata)


class Keep(msgspec.Struct, frozen=True):
    """Leave it as it is."""


class Detach(msgspec.Struct, frozen=True):
    """It lives, but these owners no longer count."""

    uids: frozenset[str]


class Delete(msgspec.Struct, frozen=True):
    """Nobody owns it any more. ``unblock``: stop holding up its owners first, which wait for it in a circle."""

    propagation: str
    unblock: bool = False


Verdict = Keep | Detach | Delete


def decide(item: Item, states: Mapping[str, State], dependents: Sequence[Item]) -> Verdict:
    """What is to be done with an object that has owners and is not being deleted.

    Args:
        states: what has become of each owner, by uid.
        dependents: the objects that name ``item`` as their owner.
    """
    found = [states[owner.uid] for owner in item.owners]
    lost = frozenset(uid for uid, state in states.items() if state in (State.GONE, State.WAITING))
    if not found or (State.UNKNOWN in found and State.ALIVE not in found):
        return Keep()
    if State.ALIVE in found:
        return Detach(lost) if lost else Keep()
    if State.WAITING in found and dependents:
        return Delete("Foreground", unblock=any(one.state is State.WAITING for one in dependents))
    if ORPHAN in item.finalizers:
        return Delete("Orphan")
    return Delete("Foreground" if FOREGROUND in item.finalizers else "Background")


def blocking(owner: Item, dependents: Sequence[Item]) -> list[Item]:
    """The dependents that an owner in foreground deletion must wait for."""
    return [
        one
        for one in dependents
        if any(reference.uid == owner.uid and reference.block_owner_deletion for reference in one.owners)
    ]


def without(item: Item, uids: frozenset[str]) -> list[OwnerReference]:
    """The references that are left when those to ``uids`` are dropped."""
    return [reference for reference in item.owners if reference.uid not in uids]


def unblocked(item: Item) -> list[OwnerReference]:
    """The same references, none of which holds up its owner."""
    return [msgspec.structs.replace(reference, block_owner_deletion=False) for reference in item.owners]


class Graph:
    """Where each object is, and who names it as an owner, by uid."""

    def __init__(self) -> None:
        self._places: dict[str, tuple[Kind, Key]] = {}
        self._owners: dict[str, tuple[str, ...]] = {}
        self._dependents: dict[str, set[str]] = {}

    def put(self, kind: Kind, key: Key, uid: str, owners: tuple[str, ...]) -> None:
        self._disown(uid)
        self._places[uid] = kind, key
        if owners:
            self._owners[uid] = owners
        for owner in owners:
            self._dependents.setdefault(owner, set()).add(uid)

    def drop(self, uid: str) -> None:
        """Forget an object; those it owned are still known as its dependents."""
        self._disown(uid)
        self._places.pop(uid, None)

    def _disown(self, uid: str) -> None:
        for owner in self._owners.pop(uid, ()):
            dependents = self._dependents.get(owner)
            if dependents is not None:
                dependents.discard(uid)
                if not dependents:
                    del self._dependents[owner]

    def place(self, uid: str) -> tuple[Kind, Key] | None:
        return self._places.get(uid)

    def dependents(self, uid: str) -> list[str]:
        """The uids of the objects that name this one as an owner, in a fixed order."""
        return sorted(self._dependents.get(uid, ()))

    def of_kind(self, kind: Kind) -> list[str]:
        return [uid for uid, (one, _) in self._places.items() if one == kind]
