"""Lists: which objects, as of when, and the token that leads to the next page.

A list is a snapshot. Its first page settles the revision, and the token carries it, so every further page shows the
same moment however long the client takes, until the store has forgotten that moment.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Any

import msgspec

from mizzen.cluster.apiserver.requests import ListOptions
from mizzen.cluster.apiserver.resources import Resource
from mizzen.cluster.apiserver.store import Compacted, Entry, Store
from mizzen.kube.errors import ApiError, bad_request

# How long a list waits for a revision that is yet to come, in seconds.
_PATIENCE = 3.0
_EVERYWHERE = ("metadata.name", "metadata.namespace")
# In a token: the moment is forgotten, go on with whatever is there now.
_NEWEST = -1


class Token(msgspec.Struct):
    """Where the next page begins: after ``start``, a key as ``namespace/name`` and a NUL, at revision ``rv``."""

    v: str
    rv: int
    start: str


class _PageExpired(ApiError):
    """A 410 with the token that leads on regardless."""

    def __init__(self, token: str, message: str) -> None:
        super().__init__(410, "Expired", message)
        self._token = token

    @property
    def status(self) -> dict[str, Any]:
        return {**super().status, "metadata": {"continue": self._token}}


class Listing(msgspec.Struct):
    """Some objects, as bytes, at one revision. ``remaining`` is known only when nothing is left out by selectors."""

    items: list[bytes]
    revision: int
    token: str = ""
    remaining: int | None = None


async def list_objects(store: Store, resource: Resource, namespace: str, options: ListOptions) -> Listing:
    """One page of a collection; an empty ``namespace`` means all of them.

    Raises:
        ApiError: 400 for a token or a field selector that makes no sense, 410 for a moment that is forgotten, 504 for
            a revision that does not come.
    """
    check_fields(resource, options)
    revision, after = await _moment(store, options)
    shelf = store.shelf(resource.storage)
    place = namespace or None
    if revision is None:
        revision = store.revision
        entries = _candidates(store, resource, namespace, options, after)
    else:
        entries = shelf.at(revision, place, after)
    try:
        if any(not entry.data for entry in entries):
            entries = await store.restored_entries(entries)
    except Compacted:
        raise _forgotten(options) from None
    if options.selects:
        matches = matcher(resource, options)
        entries = [entry for entry in entries if matches(entry)]
    if not options.limit or len(entries) <= options.limit:
        return Listing([entry.data for entry in entries], revision)
    page = entries[: options.limit]
    last = page[-1].key
    remaining = None if options.selects else len(entries) - len(page)
    return Listing([entry.data for entry in page], revision, _written(revision, last.namespace, last.name), remaining)


def matcher(resource: Resource, options: ListOptions) -> Callable[[Entry], bool]:
    """Whether an entry is selected."""
    labels, fields = options.labels, options.fields

    def field_of(entry: Entry) -> Callable[[str], str]:
        def read(name: str) -> str:
            if name == "metadata.name":
                return entry.key.name
            if name == "metadata.namespace":
                return entry.key.namespace
            if entry.fields is None:
                entry.fields = resource.fields(entry.decode())
            return entry.fields.get(name, "")

        return read

    def matches(entry: Entry) -> bool:
        return labels.matches(entry.labels) and (not fields.requirements or fields.matches(field_of(entry)))

    return matches


def check_fields(resource: Resource, options: ListOptions) -> None:
    """Raise 400 if the field selector names a field that this kind does not offer."""
    for wanted in options.fields.requirements:
        if wanted.field not in _EVERYWHERE and wanted.field not in resource.selectable:
            known = ", ".join(f'"{name}"' for name in (*_EVERYWHERE, *resource.selectable))
            raise bad_request(f'"{wanted.field}" is not a known field selector: only {known}')


def _candidates(
    store: Store, resource: Resource, namespace: str, options: ListOptions, after: tuple[str, str] | None
) -> list[Entry]:
    """The newest entries that may be meant: one if the selector gives its name, else all."""
    shelf = store.shelf(resource.storage)
    name = options.fields.demanded("metadata.name")
    place = namespace or options.fields.demanded("metadata.namespace") or None
    if name is None or after is not None or (resource.definition.namespaced and place is None):
        return shelf.newest(place, after)
    entry = shelf.get(place or "", name)
    return [entry] if entry is not None else []


async def _moment(store: Store, options: ListOptions) -> tuple[int | None, tuple[str, str] | None]:
    """The revision to list at (``None``: the newest) and the key to go on after."""
    if options.continue_token:
        if options.revision:
            raise bad_request("specifying resource version is not allowed when using continue")
        token, after = _read(options.continue_token)
        if token.rv == _NEWEST:
            return None, after
        if token.rv < store.floor:
            raise _forgotten(options)
        return min(token.rv, store.revision), after
    if not options.revision:
        return None, None
    if not await store.reached(options.revision, _PATIENCE):
        raise too_large(options.revision, store.revision)
    exact = options.match == "Exact" or (not options.match and options.limit > 0)
    if not exact:
        return None, None
    if options.revision < store.floor:
        raise _forgotten(options)
    return options.revision, None


def too_large(revision: int, current: int) -> ApiError:
    """A revision that does not exist yet."""
    message = f"Too large resource version: {revision}, current: {current}"
    cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
    return ApiError(504, "Timeout", f"Timeout: {message}", {"causes": [cause], "retryAfterSeconds": 1})


def expired(message: str = "The resourceVersion for the provided list is too old.") -> ApiError:
    return ApiError(410, "Expired", message)


def _forgotten(options: ListOptions) -> ApiError:
    """A 410; for a page it offers to go on without consistency."""
    if not options.continue_token:
        return expired()
    _, after = _read(options.continue_token)
    return _PageExpired(
        _written(_NEWEST, *after),
        "The provided continue parameter is too old to display a consistent list result. You can start a new list"
        " without the continue parameter, or use the continue token in this response to retrieve the remainder of the"
        " results. Continuing with the provided token results in an inconsistent list - objects that were created,"
        " modified, or deleted between the time the first chunk was returned and now may show up in the list.",
    )


def _written(revision: int, namespace: str, name: str) -> str:
    token = Token("meta.k8s.io/v1", revision, f"{namespace}/{name}\0")
    return base64.urlsafe_b64encode(msgspec.json.encode(token)).decode().rstrip("=")


def _read(text: str) -> tuple[Token, tuple[str, str]]:
    try:
        token = msgspec.json.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=Token)
    except (binascii.Error, ValueError) as error:
        raise bad_request(f"continue key is not valid: {error}") from error
    namespace, slash, name = token.start.removesuffix("\0").partition("/")
    if token.v != "meta.k8s.io/v1" or not slash:
        raise bad_request("continue key is not valid: it was not issued by this server")
    return token, (namespace, name)
