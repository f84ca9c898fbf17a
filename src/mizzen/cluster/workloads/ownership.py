"""Whose child is this: how a controller comes to own what its selector matches, and lets go of what it no longer does.

An object belongs to the one owner whose uid its controlling reference names. An owner adopts matching objects that
nobody controls and releases its own that stopped matching. Source: the Kubernetes documentation of ReplicaSet, and the
behaviour of kube-controller-manager.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from mizzen.apis.meta import Mapping, Object, ResourceDef, owner_reference
from mizzen.kube.client import Client
from mizzen.kube.errors import ApiError, conflict
from mizzen.kube.informer import Change, Entry, Informer, Key
from mizzen.kube.selectors import Selector


class Claim(msgspec.Struct, frozen=True):
    """What an owner has, what it should take, and what it should let go of."""

    owned: list[Key]
    adopt: list[Key]
    release: list[Key]


def sort_out(uid: str, deleting: bool, selector: Selector, candidates: Iterable[tuple[Key, Entry]]) -> Claim:
    """Decide for each candidate; ``uid`` and ``deleting`` are the owner's. An owner that goes away takes nothing."""
    claim = Claim([], [], [])
    for key, entry in candidates:
        matches = selector.matches(entry.labels)
        if entry.controller_uid == uid:
            if matches:
                claim.owned.append(key)
            elif not deleting:
                claim.release.append(key)
        elif not entry.controller_uid and matches and not deleting and not entry.deleting:
            claim.adopt.append(key)
    return claim


def is_up_for_adoption(change: Change) -> bool:
    """Whether the change may make somebody adopt the object: nobody controls it, and that or its labels are new."""
    old, new = change.old, change.new
    if new is None or new.controller_uid:
        return False
    return old is None or bool(old.controller_uid) or old.labels != new.labels


def adopted(metadata: Mapping, owner: Object, resource: ResourceDef) -> Mapping:
    """The merge patch that makes ``owner`` the controller of an object that has none."""
    references = [*(metadata.get("ownerReferences") or ()), owner_reference(owner, resource)]
    return _references(metadata, references)


def released(metadata: Mapping, uid: str) -> Mapping:
    """The merge patch that takes the owner with ``uid`` off an object."""
    kept = [reference for reference in metadata.get("ownerReferences") or () if reference["uid"] != uid]
    return _references(metadata, kept)


def _references(metadata: Mapping, references: list[Mapping]) -> Mapping:
    # The list is replaced as a whole, so the patch holds for the version it was made from only.
    version = metadata["resourceVersion"]
    return {"metadata": {"resourceVersion": version, "ownerReferences": references or None}}


async def claim(
    client: Client,
    owner: Object,
    resource: ResourceDef,
    selector: Selector,
    children: Informer,
    candidates: Iterable[Key],
) -> list[Key]:
    """Adopt and release in the API; returns the keys of all that ``owner`` owns then.

    Raises:
        ApiError: the owner is gone or another object has its name now (409), or a write was refused.
    """
    entries = [(key, entry) for key in candidates if (entry := children.entry(*key)) is not None]
    sorted_out = sort_out(owner.uid, bool(owner.metadata.deletion_timestamp), selector, entries)
    owned = list(sorted_out.owned)
    if sorted_out.adopt:
        # A cache that lags may show an owner that is gone; adopting for it would orphan the child later.
        live = await client.get(resource, owner.name, owner.namespace)
        if live["metadata"]["uid"] != owner.uid or live["metadata"].get("deletionTimestamp"):
            raise conflict(resource, owner.name, f"it is no longer the object with uid {owner.uid}")
    for key in sorted_out.adopt:
        if await _write(client, children, key, lambda metadata: adopted(metadata, owner, resource)):
            owned.append(key)
    for key in sorted_out.release:
        await _write(client, children, key, lambda metadata: released(metadata, owner.uid))
    return owned


async def _write(client: Client, children: Informer, key: Key, change: Any) -> bool:
    child = children.object(*key)
    if child is None:
        return False
    try:
        answer = await client.patch(children.resource, key[1], key[0], change(child["metadata"]))
    except ApiError as error:
        if error.code == 404:
            return False
        raise
    children.accept(answer)
    return True
