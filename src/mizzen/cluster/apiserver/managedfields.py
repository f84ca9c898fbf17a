"""``metadata.managedFields``: for each manager, the fields it owns and since when.

One entry stands for one manager, operation, version and sub-resource (appliers keep theirs from version to version).
Whoever changes a field takes it: an update silently, an apply only if nobody else owns it or if it is forced. Updates
are many and anonymous, so only the newest ten entries of them are kept apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from mizzen.apis.schema import Node
from mizzen.cluster.apiserver.fieldsets import FieldSet, FieldSetError
from mizzen.cluster.apiserver.typed import Changes, changes

APPLY = "Apply"
UPDATE = "Update"
MAX_UPDATE_ENTRIES = 10
ANCIENT_CHANGES = "ancient-changes"
BEFORE_FIRST_APPLY = "before-first-apply"

# Metadata that the API server writes or that says which object it is: nobody owns it.
_UNOWNED_METADATA = frozenset(
    (
        "creationTimestamp",
        "generation",
        "managedFields",
        "name",
        "namespace",
        "resourceVersion",
        "selfLink",
        "uid",
    )
)

Identity = tuple[str, str, str, str]


class Entry(msgspec.Struct):
    """What one manager owns. ``time`` is RFC 3339, empty where it is not known."""

    manager: str
    operation: str
    api_version: str
    subresource: str
    time: str
    fields: FieldSet

    @property
    def identity(self) -> Identity:
        version = self.api_version if self.operation == UPDATE else ""
        return self.manager, self.operation, version, self.subresource


Managers = dict[Identity, Entry]


class Scope(msgspec.Struct, frozen=True):
    """Which part of an object a request can write: all but the status, the status alone, or all of it."""

    subresource: str = ""
    has_status: bool = False

    def of(self, value: Mapping[str, Any] | None) -> dict[str, Any]:
        """The part of an object that this request could have written and somebody can own."""
        if value is None:
            return {}
        if self.subresource == "status":
            return {"status": value["status"]} if "status" in value else {}
        hidden = {"apiVersion", "kind", "metadata"}
        if self.has_status and not self.subresource:
            hidden.add("status")
        part = {key: child for key, child in value.items() if key not in hidden}
        metadata = value.get("metadata")
        if isinstance(metadata, dict):
            part["metadata"] = {key: child for key, child in metadata.items() if key not in _UNOWNED_METADATA}
        return part


def changes_in(scope: Scope, live: Mapping[str, Any] | None, new: Mapping[str, Any], node: Node) -> Changes:
    """What a request changed. ``live`` is ``None`` for an object that is new."""
    before, after = scope.of(live), scope.of(new)
    # Metadata as such is everybody's, and so are the outermost structs of a built-in kind, which Go always has.
    bases = ["metadata"] if "metadata" in after or "metadata" in before else []
    if "x-kubernetes-group-version-kind" in node.raw:
        bases += [name for name in ("spec", "status") if isinstance(after.get(name), dict)]
    for name in bases:
        before.setdefault(name, {})
        after.setdefault(name, {})
    return changes(before, after, node)


def decode(entries: Any) -> Managers:
    """The managers that a ``managedFields`` value names.

    Raises:
        FieldSetError: an entry is not what the API server writes.
    """
    managers: Managers = {}
    for raw in entries or ():
        if not isinstance(raw, dict) or raw.get("operation") not in (APPLY, UPDATE):
            raise FieldSetError("an entry of managedFields needs the operation Apply or Update")
        if raw.get("fieldsType") != "FieldsV1":
            raise FieldSetError("an entry of managedFields needs the fieldsType FieldsV1")
        words = [raw.get(name) or "" for name in ("manager", "operation", "apiVersion", "subresource", "time")]
        if not all(isinstance(word, str) for word in words):
            raise FieldSetError("an entry of managedFields holds something other than a text")
        manager, operation, api_version, subresource, time = words
        fields = FieldSet.parse(raw.get("fieldsV1") or {})
        entry = Entry(manager, operation, api_version, subresource, time, fields)
        managers[entry.identity] = entry
    return managers


def decode_stored(live: Mapping[str, Any] | None) -> Managers:
    """The managers of a stored object; none if what it holds cannot be read."""
    try:
        return decode(((live or {}).get("metadata") or {}).get("managedFields"))
    except FieldSetError:
        return {}


def encode(managers: Managers) -> list[dict[str, Any]]:
    """The entries as they are stored: appliers first, then by time. Managers that own nothing are left out."""
    entries = sorted(
        (entry for entry in managers.values() if entry.fields),
        key=lambda entry: (entry.operation, entry.time, entry.manager, entry.api_version, entry.subresource),
    )
    return [
        {
            "manager": entry.manager,
            "operation": entry.operation,
            "apiVersion": entry.api_version,
            **({"time": entry.time} if entry.time else {}),
            "fieldsType": "FieldsV1",
            "fieldsV1": entry.fields.fields_v1,
            **({"subresource": entry.subresource} if entry.subresource else {}),
        }
        for entry in entries
    ]


def with_entries(value: dict[str, Any], managers: Managers) -> dict[str, Any]:
    """``value`` with these managers in its metadata; the field is absent where nobody owns anything."""
    metadata = {key: child for key, child in (value.get("metadata") or {}).items() if key != "managedFields"}
    entries = encode(managers)
    if entries:
        metadata["managedFields"] = entries
    return {**value, "metadata": metadata}


def update_managed_fields(
    live: dict[str, Any] | None,
    new: dict[str, Any],
    *,
    node: Node,
    manager: str,
    api_version: str,
    subresource: str = "",
    now: str,
    has_status: bool = False,
) -> list[dict[str, Any]]:
    """The ``managedFields`` of an object after a create, a PUT or a patch that is no apply.

    What the request added or changed belongs to (``manager``, Update) alone from now on, what it removed to nobody. An
    entry keeps its time unless its manager made a change. A client may edit the entries of an object in ``new``: an
    empty list, or one empty entry, forgets all ownership, and entries that cannot be read are ignored.

    Args:
        live: the stored object, ``None`` on create.
        new: the object as it is going to be stored.
        node: the schema of its kind.
        manager: who made the request.
        api_version: the version the request spoke.
        subresource: ``status``, ``scale`` or another one, empty for the object itself.
        now: the time of the request, RFC 3339.
        has_status: whether the kind has a status sub-resource, so that the status is not written here.
    """
    managers = _chosen(live, new, subresource)
    found = changes_in(Scope(subresource, has_status), live, new, node)
    own = Entry(manager, UPDATE, api_version, subresource, now, FieldSet())
    return encode(_capped(after_update(managers, found, own)))


def after_update(managers: Managers, found: Changes, own: Entry) -> Managers:
    """The managers after the one of ``own``, an entry without fields, made these changes by an update."""
    taken = found.taken
    after: Managers = {}
    previous = managers.get(own.identity)
    for identity, entry in managers.items():
        if identity != own.identity:
            after[identity] = msgspec.structs.replace(entry, fields=entry.fields - taken - found.removed)
    fields = (previous.fields - found.removed if previous else FieldSet()) | taken
    if previous and not taken and fields == previous.fields:
        own = previous
    after[own.identity] = msgspec.structs.replace(own, fields=fields)
    return after


def _chosen(live: Mapping[str, Any] | None, new: Mapping[str, Any], subresource: str) -> Managers:
    """The entries to go on from: those the request brought if it may edit them and they can be read."""
    brought = (new.get("metadata") or {}).get("managedFields")
    if subresource or brought is None:
        return decode_stored(live)
    if brought in ([], [{}]):
        return {}
    try:
        return decode(brought) or decode_stored(live)
    except FieldSetError:
        return decode_stored(live)


def _capped(managers: Managers) -> Managers:
    """At most ten entries of updates: the oldest of each version become one."""
    updates = sorted(
        (entry for entry in managers.values() if entry.operation == UPDATE and entry.fields),
        key=lambda entry: (entry.time, entry.identity),
    )
    if len(updates) <= MAX_UPDATE_ENTRIES:
        return managers
    capped = dict(managers)
    excess = len(updates) - MAX_UPDATE_ENTRIES
    first: dict[str, Entry] = {}
    for entry in updates:
        if excess == 0:
            break
        version = entry.api_version
        older = first.get(version)
        if older is not None:
            capped.pop(older.identity, None)
            capped.pop(entry.identity, None)
            bucket = Entry(ANCIENT_CHANGES, UPDATE, version, "", entry.time, older.fields | entry.fields)
            capped[bucket.identity] = bucket
            excess -= 1
        else:
            bucket = entry
        first[version] = bucket
    return capped


def owned_by_all(managers: Managers) -> FieldSet:
    """What anybody owns."""
    owned = FieldSet()
    for entry in managers.values():
        owned |= entry.fields
    return owned
