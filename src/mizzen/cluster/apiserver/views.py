"""Stored bytes as an answer: the object itself, its metadata alone, or a table, for one object, a list or an event.

The object itself is sent as it is stored, so a list is mostly a join of bytes and an event is a splice. A view knows
its ``key``: watchers whose views have equal keys share the bytes of an event.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

import msgspec
import orjson

from mizzen.cluster.apiserver.negotiation import Form
from mizzen.cluster.apiserver.resources import Resource
from mizzen.cluster.apiserver.store.entry import restamped
from mizzen.cluster.apiserver.table import columns_of, definitions, present_time, row
from mizzen.kube.errors import bad_request

_INITIAL_END = {"k8s.io/initial-events-end": "true"}


class ListMeta(msgspec.Struct, omit_defaults=True, rename={"token": "continue"}):
    """``metadata`` of a list."""

    resourceVersion: str
    token: str = ""
    remainingItemCount: int | None = None


class View(Protocol):
    """One form of the objects of one resource. ``needs_columns`` says that the first event of a stream
    differs, ``decodes`` that every object has to be decoded."""

    key: tuple[str, ...]
    needs_columns: bool
    decodes: bool

    def single(self, data: bytes) -> bytes:
        """One object as a whole answer."""

    def listing(self, items: Iterable[bytes], meta: ListMeta) -> bytes:
        """Several objects as a whole answer."""

    def event(self, data: bytes, *, first: bool) -> bytes:
        """The ``object`` of a watch event. ``first`` marks the first event of a stream."""

    def bookmark(self, revision: int, *, initial_end: bool) -> bytes:
        """The ``object`` of a BOOKMARK event."""


def view_of(resource: Resource, form: Form, include: str = "") -> View:
    """The view for a negotiated form. Raises 400 if ``include`` (``includeObject``) has an unknown value."""
    if form.shape == "table":
        if include not in ("", "Metadata", "Object", "None"):
            raise bad_request(f'includeObject: "{include}" is not one of None, Metadata, Object')
        return TableView(resource, form.version, include or "Metadata")
    return PartialView(resource, form.version) if form.shape == "partial" else ObjectView(resource)


class ObjectView:
    """The object as it is. Items of built-in lists carry no type of their own, those of custom resources do."""

    needs_columns = False
    decodes = False

    def __init__(self, resource: Resource) -> None:
        self.key: tuple[str, ...] = ("object", resource.definition.version)
        self._resource = resource

    def single(self, data: bytes) -> bytes:
        return self._resource.present(data)

    def listing(self, items: Iterable[bytes], meta: ListMeta) -> bytes:
        resource, present = self._resource, self._resource.present
        cut = 0 if resource.custom else len(resource.prefix)
        shown = (present(data) for data in items)
        joined = b",".join(b"{" + data[cut:] for data in shown) if cut else b",".join(shown)
        head = _list_head(resource.list_kind, resource.definition.api_version, meta)
        return b"%s[%s]}\n" % (head, joined)

    def event(self, data: bytes, *, first: bool) -> bytes:
        return self._resource.present(data)

    def bookmark(self, revision: int, *, initial_end: bool) -> bytes:
        definition = self._resource.definition
        return _bookmark(definition.kind, definition.api_version, revision, initial_end)


class _Partial(msgspec.Struct):
    metadata: msgspec.Raw


_partial = msgspec.json.Decoder(_Partial)


class PartialView:
    """The metadata alone, as ``PartialObjectMetadata``."""

    needs_columns = False
    decodes = False

    def __init__(self, resource: Resource, version: str) -> None:
        self.key: tuple[str, ...] = ("partial", version)
        self._api_version = f"meta.k8s.io/{version}"
        self._head = f'{{"kind":"PartialObjectMetadata","apiVersion":"{self._api_version}","metadata":'.encode()

    def single(self, data: bytes) -> bytes:
        return b"%s%s}" % (self._head, bytes(_partial.decode(data).metadata))

    def listing(self, items: Iterable[bytes], meta: ListMeta) -> bytes:
        head = _list_head("PartialObjectMetadataList", self._api_version, meta)
        return b"%s[%s]}\n" % (head, b",".join(self.single(data) for data in items))

    def event(self, data: bytes, *, first: bool) -> bytes:
        return self.single(data)

    def bookmark(self, revision: int, *, initial_end: bool) -> bytes:
        return _bookmark("PartialObjectMetadata", self._api_version, revision, initial_end)


class TableView:
    """Rows with the columns of the kind."""

    needs_columns = True
    decodes = True

    def __init__(self, resource: Resource, version: str, include: str) -> None:
        self.key: tuple[str, ...] = ("table", resource.definition.version, version, include)
        self._resource = resource
        self._api_version = f"meta.k8s.io/{version}"
        self._include = include

    def single(self, data: bytes) -> bytes:
        return self._table([data], None, with_columns=True)

    def listing(self, items: Iterable[bytes], meta: ListMeta) -> bytes:
        return self._table(items, meta, with_columns=True) + b"\n"

    def event(self, data: bytes, *, first: bool) -> bytes:
        # Columns are needed once a stream.
        return self._table([data], None, with_columns=first)

    def bookmark(self, revision: int, *, initial_end: bool) -> bytes:
        table: dict[str, Any] = {
            "kind": "Table",
            "apiVersion": self._api_version,
            "metadata": {"resourceVersion": str(revision)},
            "columnDefinitions": None,
            "rows": [],
        }
        if initial_end:
            table["metadata"]["annotations"] = _INITIAL_END
        return orjson.dumps(table)

    def _table(self, items: Iterable[bytes], meta: ListMeta | None, *, with_columns: bool) -> bytes:
        now, resource = present_time(), self._resource
        columns = columns_of(resource)
        rows = []
        revision = ""
        for data in items:
            value = orjson.loads(resource.present(data))
            revision = value["metadata"]["resourceVersion"]
            rows.append(orjson.dumps(row(value, columns, self._include, now)))
        head = _list_head("Table", self._api_version, meta or ListMeta(revision), items="columnDefinitions")
        found = definitions(tuple(columns)) if with_columns else b"null"
        return b'%s%s,"rows":[%s]}' % (head, found, b",".join(rows))


def event_line(kind: str, value: bytes) -> bytes:
    """One line of a watch stream."""
    return b'{"type":"%s","object":%s}\n' % (kind.encode(), value)


def at_revision(data: bytes, revision: int) -> bytes:
    """An object that a selector no longer matches: its last matching state, at the revision of the change."""
    return restamped(data, revision)


def _list_head(kind: str, api_version: str, meta: ListMeta, items: str = "items") -> bytes:
    encoded = msgspec.json.encode(meta)
    return b'{"kind":"%s","apiVersion":"%s","metadata":%s,"%s":' % (
        kind.encode(),
        api_version.encode(),
        encoded,
        items.encode(),
    )


def _bookmark(kind: str, api_version: str, revision: int, initial_end: bool) -> bytes:
    metadata: dict[str, Any] = {"resourceVersion": str(revision), "creationTimestamp": None}
    if initial_end:
        metadata["annotations"] = _INITIAL_END
    return orjson.dumps({"kind": kind, "apiVersion": api_version, "metadata": metadata})
