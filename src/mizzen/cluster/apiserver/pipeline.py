"""The one way into the store: every create, update, patch and apply takes the same steps in the same order.

Settle type and place, default and prune, record who manages which field, admit, validate, count the generation, and
store, unless nothing has changed. A change runs its steps while it holds the object's turn, so what it read is what it
replaces. Steps that would hold the event loop for long run in a thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec
import orjson

from mizzen.cluster.apiserver import apply
from mizzen.cluster.apiserver import metadata as meta
from mizzen.cluster.apiserver.admission import Admission
from mizzen.cluster.apiserver.intake import refuse_if_wrong, take_in
from mizzen.cluster.apiserver.requests import WriteOptions
from mizzen.cluster.apiserver.resources import Object, Resource
from mizzen.cluster.apiserver.store import Entry, Key, Store, Turn
from mizzen.kube.admission import AdmissionRequest
from mizzen.kube.errors import ApiError, Cause, already_exists, forbidden, not_found

T = TypeVar("T")

# Above this many bytes the steps of a write leave the event loop: a definition of 700 KB takes some 100 ms.
_LARGE = 48 * 1024
# What tells the entries of one object's managed fields apart.
_MANAGER = ("manager", "operation", "apiVersion", "subresource")
# How often a generated name is drawn again when it is taken.
_NAME_ATTEMPTS = 8


class Outcome(msgspec.Struct):
    """What a write left behind: the object's bytes in the version of the request, and what to warn the client of."""

    data: bytes
    created: bool = False
    warnings: list[str] = []


class Pipeline:
    """Takes objects into the store.

    Args:
        now: gives the present time as RFC 3339.
    """

    def __init__(self, store: Store, admission: Admission, now: Callable[[], str]) -> None:
        self.store = store
        self.now = now
        self._admission = admission

    async def create(
        self,
        resource: Resource,
        namespace: str,
        value: Object,
        options: WriteOptions,
        *,
        size: int = 0,
        duplicates: Sequence[str] = (),
        managed: list[Any] | None = None,
    ) -> Outcome:
        """Store a new object of settled type and place; the mapping becomes ours.

        ``managed`` are its managed fields where an apply has found them out already; ``size`` is a hint of how much
        work it will be, in bytes.

        Raises:
            ApiError: 400, 403, 404 (no such namespace), 409 (it exists) or 422, as the object deserves.
        """
        metadata = value["metadata"]
        self.check_namespace(resource, namespace, metadata.get("name") or "")
        generated = not metadata.get("name") and bool(metadata.get("generateName"))

        def complete() -> list[str]:
            warnings = take_in(value, resource, options.validation, duplicates)
            meta.begin(value["metadata"], resource, self.now())
            if resource.has_status:
                value.pop("status", None)
            found = self._managed_fields({}, value, resource, options, "") if managed is None else managed
            _set_managed(value, found)
            return warnings

        warnings = await offloaded(size, complete)
        value = await self._admitted(value, None, resource, options, "", size, warnings)
        resource.prepare_create(value)
        try:
            await offloaded(size, lambda: refuse_if_wrong(value, None, resource))
            warnings += resource.warnings(value)
            self._admission.check(_request(value, None, resource, options, ""), warnings)
            for attempt in range(_NAME_ATTEMPTS):
                key = Key(resource.storage, namespace, value["metadata"]["name"])
                async with self.store.exclusive(key) as turn:
                    if turn.current is None:
                        self.check_namespace(resource, namespace, key.name)
                        data = await self._stored(turn, value, resource, options)
                        if options.dry_run:
                            resource.abandon(value)
                        return Outcome(data, True, warnings)
                if not generated or attempt == _NAME_ATTEMPTS - 1:
                    break
                meta.draw_name(value["metadata"])
            raise already_exists(resource.definition, key.name)
        except BaseException:
            resource.abandon(value)
            raise

    async def change(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        change: Callable[[Object], Object],
        options: WriteOptions,
        *,
        subresource: str = "",
        size: int = 0,
        duplicates: Sequence[str] = (),
        managed: bool = False,
    ) -> Outcome:
        """Replace an object by what ``change`` makes of it.

        ``change`` gets a mapping of its own; it may raise :class:`ApiError`. What it says about status is dropped,
        or with ``subresource="status"`` kept alone; other sub-resources change what they need. ``managed`` says that
        it has settled the managed fields.

        Raises:
            ApiError: 404, or as for :meth:`create`.
        """
        key = Key(resource.storage, namespace if resource.definition.namespaced else "", name)
        async with self.store.exclusive(key) as turn:
            if turn.current is None:
                raise not_found(resource.definition, name)
            data = resource.present(turn.current.data)
            size = max(size, len(data))
            old: Object = orjson.loads(data)

            def computed() -> tuple[Object, list[str]]:
                new, warnings = _taken_in(change(orjson.loads(data)), old, resource, options, subresource, duplicates)
                meta.carry_over(new["metadata"], old["metadata"])
                if not managed:
                    _set_managed(new, self._managed_fields(old, new, resource, options, subresource))
                resource.prepare_update(new, old, subresource)
                return new, warnings

            new, warnings = await offloaded(size, computed)
            try:
                return await self._replace(turn, new, old, data, resource, options, subresource, size, warnings)
            finally:
                # What was stored is no longer ours to give back; this concerns failures, dry runs and no-ops.
                resource.abandon(new)

    async def _replace(
        self,
        turn: Turn,
        new: Object,
        old: Object,
        data: bytes,
        resource: Resource,
        options: WriteOptions,
        subresource: str,
        size: int,
        warnings: list[str],
    ) -> Outcome:
        """The second half of a change: admit, judge, and store what differs."""
        new = await self._admitted(new, old, resource, options, subresource, size, warnings)
        unchanged, problem = await offloaded(size, lambda: _judged(new, old, resource, subresource))
        if problem is not None:
            raise problem
        self._admission.check(_request(new, old, resource, options, subresource), warnings)
        if unchanged:
            return Outcome(data, warnings=warnings)
        warnings += resource.warnings(new)
        if resource.counts_generation:
            generation = old["metadata"].get("generation", 1)
            new["metadata"]["generation"] = generation + (resource.wanted(new) != resource.wanted(old))
        if meta.is_ending(new["metadata"]) and not is_held(new, resource):
            return Outcome(await self.removed(turn, new, resource, options), warnings=warnings)
        return Outcome(await self._stored(turn, new, resource, options), warnings=warnings)

    def check_namespace(self, resource: Resource, namespace: str, name: str) -> None:
        """Raise 404 or 403 unless the namespace of a new object is there and not about to go."""
        if not resource.definition.namespaced:
            return
        key = Key("namespaces", "", namespace)
        entry = self.store.get(key)
        if entry is None:
            about = {"name": namespace, "kind": "namespaces"}
            raise ApiError(404, "NotFound", f'namespaces "{namespace}" not found', about)
        # A deletion that is on its way to the disk comes before us, so it counts already.
        found = self.store.pending(key) or entry.decode()
        if meta.is_ending(found["metadata"]):
            text = f"unable to create new content in namespace {namespace} because it is being terminated"
            error = forbidden(
                f'{resource.definition.qualified} "{name}" is forbidden: {text}', resource.definition, name
            )
            cause = Cause("NamespaceTerminating", "metadata.namespace", f"namespace {namespace} is being terminated")
            error.details = {**(error.details or {}), "causes": [cause]}
            raise error

    async def removed(self, turn: Turn, last: Object, resource: Resource, options: WriteOptions) -> bytes:
        """Take an object out of the store; returns its last state as the client sees it."""
        if options.dry_run:
            return orjson.dumps(last)
        return _shown(await turn.delete(resource.stored(last)), resource)

    async def _stored(self, turn: Turn, value: Object, resource: Resource, options: WriteOptions) -> bytes:
        if options.dry_run:
            return orjson.dumps(value)
        entry = await turn.put(resource.stored(value), freeing=meta.is_ending(value["metadata"]))
        return _shown(entry, resource)

    async def _admitted(
        self,
        value: Object,
        old: Object | None,
        resource: Resource,
        options: WriteOptions,
        subresource: str,
        size: int,
        warnings: list[str],
    ) -> Object:
        """The object as the rules that may change it leave it, complete again."""
        found = self._admission.mutate(_request(value, old, resource, options, subresource), warnings)
        if found is None:
            return value
        metadata = value["metadata"]
        await offloaded(size, lambda: take_in(found, resource))
        # Rules may set labels and the like; who an object is was settled before them.
        meta.carry_over(found["metadata"], metadata)
        for field in ("name", "namespace", "managedFields"):
            if field in metadata:
                found["metadata"][field] = metadata[field]
        return found

    def _managed_fields(
        self, old: Object, new: Object, resource: Resource, options: WriteOptions, subresource: str
    ) -> list[Any]:
        return apply.update_managed_fields(
            old,
            new,
            node=resource.node,
            manager=options.manager,
            api_version=resource.definition.api_version,
            subresource=subresource,
            has_status=resource.has_status,
            now=self.now(),
        )


async def offloaded(size: int, function: Callable[[], T]) -> T:
    """Run a pure function: here when its input is small, in a thread when it would hold the event loop for long."""
    return await asyncio.to_thread(function) if size > _LARGE else function()


def is_held(value: Object, resource: Resource) -> bool:
    """Whether an object that is being deleted still waits: for its finalizers, or for its grace period to end."""
    metadata = value["metadata"]
    return bool(metadata.get("finalizers") or metadata.get("deletionGracePeriodSeconds") or resource.holds(value))


def _taken_in(
    given: Object,
    old: Object,
    resource: Resource,
    options: WriteOptions,
    subresource: str,
    duplicates: Sequence[str],
) -> tuple[Object, list[str]]:
    """The complete new object, and warnings. In a write of status, all else is the old object's own, not a copy."""
    if subresource == "status":
        part: Object = {"apiVersion": old["apiVersion"], "kind": old["kind"], "metadata": {}}
        if "status" in given:
            part["status"] = given["status"]
        warnings = take_in(part, resource, options.validation, duplicates)
        new = {**old, "metadata": {**old["metadata"]}}
        new.pop("status", None)
        if "status" in part:
            new["status"] = part["status"]
        managed = (given.get("metadata") or {}).get("managedFields")
        if managed is not None:
            new["metadata"]["managedFields"] = managed
        return new, warnings
    keeps_status = resource.has_status and not subresource
    if keeps_status:
        given.pop("status", None)
    warnings = take_in(given, resource, options.validation, duplicates)
    if keeps_status and "status" in old:
        # A copy: some kinds keep their status in line with what is wanted.
        given["status"] = orjson.loads(orjson.dumps(old["status"]))
    return given, warnings


def _judged(new: Object, old: Object, resource: Resource, subresource: str) -> tuple[bool, ApiError | None]:
    """Whether nothing has changed; if something has, what is wrong with it."""
    if _is_unchanged(new, old):
        return True, None
    try:
        refuse_if_wrong(new, old, resource, subresource)
    except ApiError as error:
        return False, error
    return False, None


def _is_unchanged(new: Object, old: Object) -> bool:
    """Whether two versions of an object say the same, apart from when a field's manager last wrote it."""
    if any(new.get(key) != old.get(key) for key in new.keys() | old.keys() if key != "metadata"):
        return False
    then, now = _timeless(old["metadata"]), _timeless(new["metadata"])
    # To Python 1, 1.0 and true are equal; to the reader of an object they are not.
    return then == now and _text({**old, "metadata": then}) == _text({**new, "metadata": now})


def _text(value: Object) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def _timeless(metadata: dict[str, Any]) -> dict[str, Any]:
    managed = [{**entry, "time": ""} for entry in metadata.get("managedFields") or ()]
    # They are stored in the order of their times, so that without these any order is the same.
    managed.sort(key=lambda entry: tuple(str(entry.get(name)) for name in _MANAGER))
    return {key: value for key, value in metadata.items() if value or value == 0} | {"managedFields": managed}


def _set_managed(value: Object, managed: list[Any]) -> None:
    if managed:
        value["metadata"]["managedFields"] = managed
    else:
        value["metadata"].pop("managedFields", None)


def _shown(entry: Entry, resource: Resource) -> bytes:
    return resource.present(entry.data)


def _request(
    value: Object, old: Object | None, resource: Resource, options: WriteOptions, subresource: str
) -> AdmissionRequest:
    metadata = value["metadata"]
    return AdmissionRequest(
        operation="CREATE" if old is None else "UPDATE",
        resource=resource.definition,
        namespace=metadata.get("namespace") or "",
        name=metadata.get("name") or "",
        object=value,
        old_object=old,
        subresource=subresource,
        dry_run=options.dry_run,
        user=options.user,
    )
