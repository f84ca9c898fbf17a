"""What is done to InferenceServices: made, changed, waited for, taken over, removed.

Everything goes by name and label. Something is made by a plain create, whose conflict shows that it is there already;
it is changed by a patch that replaces ``spec`` as a whole, so that what the new payload leaves out is gone and what
KServe's defaulting had moved about does not stand beside it; and each write names the version it was decided upon, so
that nothing happens to an object which has become somebody else's meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from functools import partial
from typing import Any

from msgspec import Struct

from mizzen.acm.participant.kserve.entities import Entity, Key
from mizzen.acm.participant.kserve.ownership import Owner, Whose, marked, told
from mizzen.acm.participant.kserve.patience import Patience
from mizzen.acm.participant.kserve.readiness import Readiness, readiness
from mizzen.acm.participant.kserve.settings import Settings
from mizzen.acm.participant.kserve.trouble import Hopeless, NotOurs, OutOfTime, Refused, Trouble, Vanished, reason
from mizzen.acm.participant.kserve.view import View
from mizzen.kube.client import Client
from mizzen.kube.errors import ApiError

log = logging.getLogger(__name__)

# Seconds between looks at what no watch tells of.
_LOOK = 1.0
# Seconds for which a status has to say that it is hopeless: a controller may write it before it has seen everything.
_HOPE = 2.0
_NOTHING_SEEN = Readiness(ready=False, reason=None, message="nothing was heard of it")

Found = dict[str, Any]


class Applied(Struct, frozen=True):
    """An object as it is now, and whether it was made, or may have been made, just now."""

    found: Found
    created: bool


class Services:
    """The InferenceServices that this participant's elements ask for."""

    def __init__(self, client: Client, settings: Settings, view: View) -> None:
        self._client = client
        self._settings = settings
        self._view = view
        self._resource = settings.resource

    def patience(self, seconds: float) -> Patience:
        return Patience(seconds, self._settings.call_timeout)

    async def ensure(
        self, entity: Entity, owner: Owner, patience: Patience, begun: set[Key], before: Entity | None = None
    ) -> Applied:
        """Make it, or change what is there and ours to what is wanted.

        Args:
            before: what was wanted until now, so that labels and annotations go which are wanted no more.
            begun: gets the entity's key as soon as this has made the object, or may have.

        Raises:
            Refused: the API does not take it.
            NotOurs: it is there and somebody else's.
            OutOfTime: the API did not answer, or what was there would not go.
        """
        try:
            return await self._ensured(entity, owner, patience, begun, before)
        except OutOfTime as error:
            text = str(error)
            raise OutOfTime(text if text.startswith(str(entity)) else f"{entity}: {text}") from error

    async def _ensured(
        self, entity: Entity, owner: Owner, patience: Patience, begun: set[Key], before: Entity | None
    ) -> Applied:
        body = marked(entity, owner)
        while True:
            troubled = patience.troubled
            try:
                made = await patience.call(lambda: self._client.create(self._resource, body))
            except ApiError as error:
                if patience.troubled > troubled:
                    begun.add(entity.key)
                if error.code != 409:
                    raise self._refused(error, entity) from error
            except OutOfTime:
                begun.add(entity.key)
                raise
            else:
                begun.add(entity.key)
                self._view.accept(made)
                return Applied(made, True)
            changed = await self._changed(entity, owner, patience, before)
            if changed is not None:
                return Applied(changed, entity.key in begun)
            await patience.pause()

    async def _changed(self, entity: Entity, owner: Owner, patience: Patience, before: Entity | None) -> Found | None:
        """What is there, changed; None if it has gone or changed under our hands."""
        live = await self.find(entity.key, patience, entity)
        if live is None:
            return None
        if live["metadata"].get("deletionTimestamp"):
            await self._disappearance(live, patience)
            return None
        self._check_owner(live, entity, owner)
        try:
            patch = _replacing(live, marked(entity, owner), before)
            changed = await patience.call(
                lambda: self._client.patch(self._resource, entity.name, entity.namespace, patch, kind="json")
            )
        except ApiError as error:
            if error.code in (404, 409):
                return None
            raise self._refused(error, entity) from error
        self._view.accept(changed)
        return changed

    async def try_out(self, entity: Entity, owner: Owner, patience: Patience) -> None:
        """Ask the API whether it would take it, without doing it.

        Raises:
            Refused, NotOurs, OutOfTime: as for :meth:`ensure`.
        """
        body = marked(entity, owner)
        live = await self.find(entity.key, patience, entity)
        if live is not None:
            self._check_owner(live, entity, owner)
        try:
            if live is None:
                await patience.call(lambda: self._client.create(self._resource, body, dry_run=True))
            else:
                # Without the version: a status that is written meanwhile is no reason to refuse.
                patch = [one for one in _replacing(live, body) if one["path"] != _VERSION]
                name, namespace = entity.name, entity.namespace
                await patience.call(
                    lambda: self._client.patch(self._resource, name, namespace, patch, kind="json", dry_run=True)
                )
        except ApiError as error:
            raise self._refused(error, entity) from error

    async def ready(self, entity: Entity, owner: Owner, applied: Applied, patience: Patience, interval: float) -> Found:
        """Wait until it is ready, and return it.

        Args:
            interval: seconds after which to look, though the watch tells of nothing.

        Raises:
            OutOfTime: it is not; the text says why, by its status.
            Hopeless: nothing but another spec would make it so.
            Vanished: it is there no more.
            NotOurs: it has become somebody else's.
        """
        loop = asyncio.get_running_loop()
        found: Found | None = applied.found
        ready_since: float | None = None
        hopeless_since: float | None = None
        look = loop.time() + interval
        with self._view.waking(entity.key) as woken:
            while True:
                woken.clear()
                found = await self._newest(entity, patience, found, look <= loop.time())
                if look <= loop.time():
                    look = loop.time() + interval
                state = _NOTHING_SEEN
                if found is not None:
                    self._still_ours(found, entity, owner)
                    state = readiness(found, self._settings.readiness)
                    ready_since = None if not state.ready or state.blocked else ready_since or loop.time()
                    grace = self._settings.generation_grace
                    sure = state.observed and state.newest
                    if ready_since is not None and (sure or loop.time() - ready_since >= grace):
                        return found
                    hopeless_since = (hopeless_since or loop.time()) if state.hopeless and state.observed else None
                    if hopeless_since is not None and loop.time() - hopeless_since >= _HOPE:
                        raise Hopeless(f"{entity} cannot get ready: {state.why_not}")
                if patience.left <= 0:
                    why = f"; {patience.trouble}" if patience.is_troubled else ""
                    raise OutOfTime(f"{entity} is not ready after {patience.seconds:.0f} s: {state.why_not}{why}")
                until = [patience.left, max(0.0, look - loop.time())]
                if ready_since is not None:
                    until.append(max(0.0, ready_since + grace - loop.time()))
                if hopeless_since is not None:
                    until.append(max(0.0, hopeless_since + _HOPE - loop.time()))
                if not self._view.is_true(entity.key):
                    until.append(_LOOK)
                    look = min(look, loop.time() + _LOOK)
                await _woken(woken, min(until))

    async def _newest(self, entity: Entity, patience: Patience, last: Found | None, look: bool) -> Found | None:
        """What is known of it; what is not in the view, or is due for a look, is asked for.

        Raises:
            Vanished: the API knows nothing of it.
        """
        found = self._view.find(entity.key)
        if found is not None and not look:
            return found
        if not look and not self._view.is_true(entity.key):
            return last
        try:
            answer = await patience.once(lambda: self._client.get(self._resource, entity.name, entity.namespace))
        except ApiError as error:
            if error.code == 404:
                raise Vanished(f"{entity} has been deleted by somebody else") from error
            raise self._refused(error, entity) from error
        if answer is None:
            return found or last
        self._view.accept(answer[0])
        return answer[0]

    def _still_ours(self, found: Found, entity: Entity, owner: Owner) -> None:
        if found["metadata"].get("deletionTimestamp"):
            raise Vanished(f"{entity} is being deleted by somebody else")
        self._check_owner(found, entity, owner)

    async def claim(self, entity: Entity, owner: Owner, patience: Patience) -> bool:
        """Take over what bears no instance's label. Returns whether it is this element's then.

        Raises:
            Refused, OutOfTime: nobody can say.
        """
        while True:
            live = await self.find(entity.key, patience, entity)
            if live is None or owner.whose(live) is Whose.ANOTHERS:
                return False
            if owner.whose(live) is Whose.OURS:
                self._view.accept(live)
                return True
            log.warning(
                "InferenceService %s bears no instance's label, but instance %s is deployed with it: taken over for "
                "its element %s",
                entity,
                owner.instance,
                owner.element,
            )
            # No hash: what is there may not be this payload.
            metadata = {"resourceVersion": live["metadata"]["resourceVersion"], "labels": owner.labels(entity.id)}
            request = partial(self._client.patch, self._resource, entity.name, entity.namespace, {"metadata": metadata})
            try:
                taken = await patience.call(request)
            except ApiError as error:
                if error.code not in (404, 409):
                    raise self._refused(error, entity) from error
                await patience.pause()
                continue
            self._view.accept(taken)
            return True

    async def owned(self, owner: Owner, patience: Patience) -> list[Found]:
        """Everything that bears the element's labels, wherever it may be.

        Raises:
            Refused, OutOfTime: nobody can say.
        """
        found: list[Found] = []
        for namespace in self._settings.namespaces or ("",):
            request = partial(self._client.list, self._resource, namespace, label_selector=owner.selector)
            try:
                found += await patience.call(request)
            except ApiError as error:
                if error.code == 404:
                    continue  # no such kind: nothing of it can be there
                raise Refused(reason(error)) from error
        return found

    async def remove(self, targets: list[Found], patience: Patience) -> None:
        """Delete these very objects, and wait until they are gone.

        Raises:
            OutOfTime: the text names what is still there, and what holds it.
            Refused: the API does not let us.
        """
        for target in targets:
            await self.delete(target, patience)
        async with asyncio.TaskGroup() as group:
            waiting = [group.create_task(self._remaining(target, patience)) for target in targets]
        still = [text for task in waiting if (text := task.result())]
        if still:
            raise OutOfTime("; ".join(still))

    async def _remaining(self, target: Found, patience: Patience) -> str:
        """What is to be said of an object that does not go; nothing if it does."""
        try:
            await self._disappearance(target, patience)
        except Trouble as error:
            return str(error)
        return ""

    async def delete(self, target: Found, patience: Patience) -> None:
        """Delete this very object, and none that has its name."""
        metadata = target["metadata"]
        try:
            await patience.call(
                lambda: self._client.delete(
                    self._resource,
                    metadata["name"],
                    metadata["namespace"],
                    grace_period=self._settings.grace_period,
                    uid=metadata["uid"],
                )
            )
        except ApiError as error:
            # 409: it has gone, and another bears its name.
            if error.code not in (404, 409):
                raise Refused(f"{named(target)}: {reason(error)}") from error

    async def _disappearance(self, target: Found, patience: Patience) -> None:
        """Wait until this very object is gone.

        Raises:
            OutOfTime: the text says what holds it.
        """
        metadata = target["metadata"]
        key = (metadata["namespace"], metadata["name"])
        with self._view.waking(key) as woken:
            while True:
                woken.clear()
                answer = await self._looked_up(key, patience)
                if answer is not None:
                    if answer[0] is None or answer[0]["metadata"]["uid"] != metadata["uid"]:
                        return
                    target = answer[0]
                if patience.left <= 0:
                    raise OutOfTime(_held(target, patience))
                await _woken(woken, min(patience.left, _LOOK))

    async def _looked_up(self, key: Key, patience: Patience) -> tuple[Found | None] | None:
        """The object, or None in a tuple if it is not there; None alone if nobody can say."""
        try:
            return await patience.once(lambda: self._client.get(self._resource, key[1], key[0]))
        except ApiError as error:
            if error.code == 404:
                return (None,)
            raise Refused(f"{'/'.join(key)}: {reason(error)}") from error

    async def find(self, key: Key, patience: Patience, entity: Entity | None = None) -> Found | None:
        """
        Raises:
            Refused, OutOfTime: nobody can say.
        """
        try:
            return await patience.call(lambda: self._client.get(self._resource, key[1], key[0]))
        except ApiError as error:
            if error.code == 404:
                return None
            raise Refused(f"{'/'.join(key)}: {reason(error, entity.payload if entity else None)}") from error

    def _check_owner(self, found: Found, entity: Entity, owner: Owner) -> None:
        if owner.whose(found) is not Whose.OURS:
            raise NotOurs(f"{entity} exists already and is not this element's: {told(found)}")

    def _refused(self, error: ApiError, entity: Entity) -> Refused:
        if error.code == 404 and "namespaces" not in error.message:
            return Refused(f"{entity}: the API knows no {self._resource.qualified}: is KServe installed there?")
        return Refused(f"{entity}: {reason(error, entity.payload)}")


_VERSION = "/metadata/resourceVersion"


def _replacing(live: Mapping[str, Any], body: Mapping[str, Any], before: Entity | None = None) -> list[dict[str, Any]]:
    """The patch that gives an object a payload's spec, labels and annotations; others' labels and annotations stay."""
    notes = []
    for part in ("labels", "annotations"):
        dropped = (before.payload["metadata"].get(part) or {}) if before else {}
        kept = {key: value for key, value in (live["metadata"].get(part) or {}).items() if key not in dropped}
        notes.append({"op": "add", "path": f"/metadata/{part}", "value": kept | body["metadata"][part]})
    return [
        {"op": "replace", "path": _VERSION, "value": live["metadata"]["resourceVersion"]},
        *notes,
        *({"op": "add", "path": f"/{key}", "value": body[key]} for key in body if key not in _NO_CONTENT),
    ]


_NO_CONTENT = ("apiVersion", "kind", "metadata", "status")


def _held(target: Found, patience: Patience) -> str:
    metadata = target["metadata"]
    if patience.is_troubled:
        return f"{named(target)} may still exist: {patience.trouble}"
    finalizers = metadata.get("finalizers") or ()
    if finalizers:
        return f"{named(target)} still exists, held by finalizer {', '.join(finalizers)}"
    return f"{named(target)} still exists"


def named(found: Mapping[str, Any]) -> str:
    return f"{found['metadata'].get('namespace')}/{found['metadata']['name']}"


async def _woken(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
