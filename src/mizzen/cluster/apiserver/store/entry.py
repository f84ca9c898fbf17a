"""The three values the store deals in: a key, an object as stored under it, and one change of it."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
import orjson


class Key(NamedTuple):
    """Where an object lies. ``resource`` is the plural with its group (``deployments.apps``), whatever the version."""

    resource: str
    namespace: str
    name: str


class _Metadata(msgspec.Struct):
    labels: dict[str, str] | None = None


class _Envelope(msgspec.Struct):
    metadata: _Metadata


_envelope = msgspec.json.Decoder(_Envelope)

_NO_LABELS: dict[str, str] = {}


class Entry:
    """One object at one revision.

    Attributes:
        key: where it lies.
        revision: the revision that wrote it; also its resourceVersion.
        data: the object as JSON. It begins with ``apiVersion`` and ``kind``, in this order, so that views can replace
            both without decoding the rest. Empty once a superseded object has been dropped from memory; then only
            :meth:`Store.restored` brings it back.
        labels: its labels, for selectors.
        time: when it was written, in whole seconds since the epoch.
        fields: the values its kind offers to field selectors, filled in when first asked for.
    """

    __slots__ = ("data", "fields", "key", "labels", "revision", "time")

    def __init__(self, key: Key, revision: int, data: bytes, labels: dict[str, str], time: int) -> None:
        self.key = key
        self.revision = revision
        self.data = data
        self.labels = labels or _NO_LABELS
        self.time = time
        self.fields: dict[str, str] | None = None

    @classmethod
    def read(cls, key: Key, revision: int, data: bytes, time: int) -> Entry:
        """An entry from stored bytes. Raises ``msgspec.MsgspecError`` if they are no object."""
        return cls(key, revision, data, _envelope.decode(data).metadata.labels or _NO_LABELS, time)

    def decode(self) -> dict[str, Any]:
        """The object as a mapping of the caller's own."""
        found: dict[str, Any] = orjson.loads(self.data)
        return found


class Change:
    """One write: what an object was before and what it is after.

    For a deletion, ``after`` holds the last state with the deletion's revision, as the DELETED event carries it.
    """

    __slots__ = ("after", "before", "deleted")

    def __init__(self, before: Entry | None, after: Entry, deleted: bool) -> None:
        self.before = before
        self.after = after
        self.deleted = deleted

    @property
    def revision(self) -> int:
        return self.after.revision


def encoded(value: dict[str, Any], revision: int) -> bytes:
    """An object as the store keeps it: ``apiVersion`` and ``kind`` first, stamped with its revision."""
    value["metadata"]["resourceVersion"] = str(revision)
    return orjson.dumps({"apiVersion": value["apiVersion"], "kind": value["kind"], **value})


def restamped(data: bytes, revision: int) -> bytes:
    """Stored bytes with another revision."""
    return encoded(orjson.loads(data), revision)
