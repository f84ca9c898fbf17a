"""The KServe element handler: an element is a list of InferenceServices, and stands when all of them are ready.

Entities are brought up one after another, as the list has them. What failed is told with its reason, and what a failed
deployment has made is removed again, so that an element is either there or not. A change leaves what is there as far as
it got: the old model goes on serving, and the operator may change again, roll back or undeploy.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from msgspec import structs

from mizzen.acm.messages.states import DeployState
from mizzen.acm.participant.configuration import Configuration
from mizzen.acm.participant.handler import Element, ElementHandler, Failed, Outcome, Publisher, Unsupported
from mizzen.acm.participant.kserve.entities import Entity, Invalid, Key, Wanted, milliseconds, named, parse
from mizzen.acm.participant.kserve.monitor import Monitor, Watched
from mizzen.acm.participant.kserve.ownership import Owner, Whose, told
from mizzen.acm.participant.kserve.patience import Patience
from mizzen.acm.participant.kserve.readiness import DISABLED, ENABLED, Standing, out_properties, readiness
from mizzen.acm.participant.kserve.services import Found, Services
from mizzen.acm.participant.kserve.services import named as name_of
from mizzen.acm.participant.kserve.settings import REJECT, Settings, configured
from mizzen.acm.participant.kserve.trouble import Trouble
from mizzen.acm.participant.kserve.view import View
from mizzen.acm.participant.stages import migrate_stages
from mizzen.errors import MizzenError
from mizzen.kube import config
from mizzen.kube.client import Client
from mizzen.kube.errors import ApiError

log = logging.getLogger(__name__)

# What Java's participant says; whatever more is to be said comes after it.
DEPLOYED, UNDEPLOYED = "Deployed", "Undeployed"
DEPLOY_FAILED = "Automation composition element deploy failed"
UNDEPLOY_FAILED = "Undeploy Failed"
UPDATE_FAILED = "Automation composition element update failed"
MIGRATE_FAILED = "Automation composition element migrate failed"
PRECHECK_FAILED = "Automation composition element migrate precheck failed"
ROLLBACK_FAILED = "Automation composition rollback migrate failed"
DELETE_FAILED = "Automation composition element delete failed"

FIELD_MANAGER = "mizzen-acm"
# Seconds by which an answer must be under way before the runtime gives the element up.
_MARGIN = 5.0
_UNDO_SECONDS = 3.0
_CHECK_SECONDS = 5.0
# Of an acknowledgement. What an order leaves behind must be told, however long the reason.
_LONGEST_MESSAGE = 255


class KserveHandler(ElementHandler):
    """
    Args:
        client: of the cluster where KServe is; it is closed with the handler.
    """

    def __init__(self, client: Client, settings: Settings | None = None) -> None:
        self._client = client
        self._settings = settings or Settings()
        self._view = View(client, self._settings)
        self._services = Services(client, self._settings, self._view)
        self._monitor: Monitor | None = None
        self._task: asyncio.Task[None] | None = None

    @classmethod
    def of(cls, configuration: Configuration) -> KserveHandler:
        """The handler that a participant's configuration asks for; to be called where an event loop runs.

        Raises:
            SettingsError: its part of the configuration is wrong.
            ConfigError: there is no cluster to be found, or no way to sign in.
        """
        settings = configured(configuration.settings)
        cluster = config.load(Path(settings.kubeconfig) if settings.kubeconfig else None)
        return cls(Client(cluster, field_manager=FIELD_MANAGER), settings)

    async def start(self, publisher: Publisher) -> None:
        self._monitor = Monitor(self._services, self._view, self._settings, publisher)
        ready = asyncio.Event()
        self._task = asyncio.create_task(self._run(self._monitor, ready), name="kserve handler")
        await ready.wait()

    async def close(self) -> None:
        task, self._task, self._monitor = self._task, None, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
            if not task.cancelled() and task.exception() is not None:
                log.error("the watch over InferenceServices had failed", exc_info=task.exception())
        await self._client.close()

    async def _run(self, monitor: Monitor, ready: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._view.run())
            group.create_task(monitor.run(ready.set))

    async def check(self) -> str | None:
        if self._task is None or self._task.done():
            return "the watch over InferenceServices does not run"
        resource = self._settings.resource
        path = resource.path(next(iter(self._settings.namespaces), ""))
        try:
            async with asyncio.timeout(_CHECK_SECONDS):
                await self._client.raw("GET", path, {"limit": "1"})
        except TimeoutError:
            return f"the Kubernetes API has not answered within {_CHECK_SECONDS:.0f} s"
        except ApiError as error:
            if error.code == 404:
                return f"KServe is not installed there: the API knows no {resource.qualified} {resource.version}"
            return f"{error.code} {error.reason}: {error.message}"
        except MizzenError as error:
            return str(error)
        return None if self._view.is_whole else f"{resource.plural} have not been listed yet"

    async def deploy(self, element: Element) -> Outcome:
        with self._failing(DEPLOY_FAILED):
            wanted = parse(element, self._settings)
            self._leave(element)
            begun: set[Key] = set()
            try:
                standings = await self._bring_up(element, wanted, begun, self._budget(element, "deployTimeoutMs"))
            except Trouble as error:
                self._leave(element)
                raise Failed(_fitting(f"{DEPLOY_FAILED}: {error}", await self._undone(element, begun))) from error
            except BaseException:
                self._leave(element)
                raise
            return self._stands(element, wanted, standings, DEPLOYED)

    async def undeploy(self, element: Element) -> Outcome:
        with self._failing(UNDEPLOY_FAILED):
            seconds = self._budget(element, "undeployTimeoutMs") or self._settings.undeploy_timeout
            patience = self._services.patience(seconds)
            await self._claim(element, patience)
            watched = self._leave(element)
            try:
                left_alone = await self._take_down(element, patience)
            except BaseException:
                if watched is not None:
                    self._watch(watched.element, watched.entities, watched.told)
                raise
            message = UNDEPLOYED if not left_alone else f"{UNDEPLOYED}; left alone: {'; '.join(left_alone)}"
            return Outcome(message=message, out_properties={}, operational_state=DISABLED)

    async def delete(self, element: Element) -> Outcome:
        """Remove what an undeployment may have left behind."""
        with self._failing(DELETE_FAILED):
            self._leave(element)
            seconds = self._budget(element, "deleteTimeoutMs") or self._settings.undeploy_timeout
            patience = self._services.patience(seconds)
            await self._services.remove(await self._services.owned(Owner.of(element), patience), patience)
            return Outcome(message="Deleted")

    async def update(self, before: Element, after: Element) -> Outcome:
        return await self._change(before, after, UPDATE_FAILED, "Updated", "updateTimeoutMs")

    async def rollback_update(self, before: Element, after: Element) -> Outcome:
        return await self._change(before, after, UPDATE_FAILED, "Update rolled back", "updateTimeoutMs")

    async def migrate(self, before: Element | None, after: Element | None, stage: int) -> Outcome:
        outcome = await self._migrated(before, after, MIGRATE_FAILED, "Migrated")
        return structs.replace(outcome, stage=_next_stage(after, stage))

    async def rollback_migrate(self, before: Element | None, after: Element | None, stage: int) -> Outcome:
        outcome = await self._migrated(before, after, ROLLBACK_FAILED, "Migration rolled back")
        return structs.replace(outcome, stage=_next_stage(after, stage, back=True))

    async def precheck(self, before: Element | None, after: Element | None) -> Outcome:
        """Ask the API whether it would take what a migration brings; nothing is changed."""
        if self._settings.updates == REJECT:
            raise Unsupported
        if after is None:
            return Outcome(message="Prechecked: it is to be undeployed")
        with self._failing(PRECHECK_FAILED):
            wanted = parse(after, self._settings)
            patience = self._services.patience(self._settings.ready_timeout)
            for entity in wanted.entities:
                await self._services.try_out(entity, Owner.of(after), patience)
            return Outcome(message="Prechecked")

    async def deployed(self, element: Element) -> None:
        try:
            wanted = parse(element, self._settings)
        except Invalid as error:
            log.warning("element %s is deployed, but cannot be watched: %s", element.element_id, error)
            return
        if self._monitor is not None:
            self._monitor.watch(element, wanted.entities, element.out_properties, claimed=False)

    async def gone(self, element: Element, state: DeployState) -> None:
        self._leave(element)

    async def _bring_up(
        self,
        element: Element,
        wanted: Wanted,
        begun: set[Key],
        budget: float | None,
        before: Wanted | None = None,
    ) -> list[Standing]:
        """Make or change one entity after another, each until it is ready."""
        owner = Owner.of(element)
        all_in_all = self._services.patience(budget) if budget is not None else None
        known = {entity.key: entity for entity in before.entities} if before else {}
        found: dict[Key, Found] = {}
        for entity in wanted.entities:
            seconds = wanted.ready_timeout
            if all_in_all is not None:
                seconds = min(seconds, all_in_all.left)
            patience = self._services.patience(seconds)
            applied = await self._services.ensure(entity, owner, patience, begun, known.get(entity.key))
            log.info("InferenceService %s %s", entity, "created" if applied.created else "changed")
            made = [one for one in wanted.entities if one.key in found or one is entity]
            self._watch(element, made, None)  # while it comes up, what hinders it is told
            found[entity.key] = await self._services.ready(entity, owner, applied, patience, wanted.status_interval)
        mode = self._settings.readiness
        return [Standing(entity=one, readiness=readiness(found[one.key], mode)) for one in wanted.entities]

    async def _undone(self, element: Element, begun: Iterable[Key]) -> str:
        """Remove what an order has made before it failed; what is to be said of it."""
        keys = sorted(begun)
        if not keys:
            return ""
        if self._settings.keep_failed:
            return f"; kept: {_listed(keys)}"
        owner = Owner.of(element)
        left = []
        patience = self._services.patience(_UNDO_SECONDS)
        for key in keys:
            try:
                found = await self._services.find(key, patience)
                if found is not None and owner.whose(found) is Whose.OURS:
                    await self._services.delete(found, patience)
            except Trouble as error:
                log.warning("element %s: %s could not be removed again: %s", element.element_id, "/".join(key), error)
                left.append(key)
        if left:
            return f"; perhaps left behind: {_listed(left)}"
        return "; what was made is removed again"

    async def _take_down(self, element: Element, patience: Patience) -> list[str]:
        """Remove all that is the element's. Returns what its properties name and is not its own, in words."""
        owner = Owner.of(element)
        targets = {_key(found): found for found in await self._services.owned(owner, patience)}
        left_alone = []
        for key in named(element, self._settings):
            if key in targets:
                continue
            if not self._settings.allows(key[0]):
                left_alone.append(f"{'/'.join(key)}, whose namespace is not allowed here")
                continue
            found = await self._services.find(key, patience)
            if found is not None and owner.whose(found) is Whose.OURS:
                targets[key] = found
            elif found is not None:
                log.warning("InferenceService %s is left alone: %s", "/".join(key), told(found))
                left_alone.append(f"{'/'.join(key)}: {told(found)}")
        await self._services.remove(list(targets.values()), patience)
        for name in map(name_of, targets.values()):
            log.info("InferenceService %s removed", name)
        return left_alone

    async def _change(self, before: Element, after: Element, failed: str, done: str, timeout: str) -> Outcome:
        """Bring what is deployed to what is wanted now; what is wanted no more goes at the end."""
        if self._settings.updates == REJECT:
            raise Unsupported
        with self._failing(failed):
            wanted = parse(after, self._settings)
            was = self._parsed(before)
            await self._claim(after, self._services.patience(self._settings.undeploy_timeout))
            self._leave(after)
            budget = self._budget(after, timeout)
            all_in_all = self._services.patience(budget) if budget is not None else None
            try:
                standings = await self._bring_up(after, wanted, set(), budget, was)
                seconds = all_in_all.left if all_in_all else self._settings.undeploy_timeout
                patience = self._services.patience(seconds)
                there = await self._services.owned(Owner.of(after), patience)
                await self._services.remove([one for one in there if _key(one) not in wanted.keys], patience)
            except BaseException:
                # Whatever came of it, or whoever cancelled it: it is still deployed, and watched over.
                self._watch(after, wanted.entities, None)
                raise
            return self._stands(after, wanted, standings, done)

    async def _migrated(self, before: Element | None, after: Element | None, failed: str, done: str) -> Outcome:
        if after is None:
            if before is None:
                raise Failed(f"{failed}: there is neither an element before nor one after")
            return await self.undeploy(before)
        if before is None:
            return await self.deploy(after)
        return await self._change(before, after, failed, done, "migrateTimeoutMs")

    def _parsed(self, element: Element) -> Wanted | None:
        """What was wanted before; it need not have been right."""
        try:
            return parse(element, self._settings)
        except Invalid:
            return None

    def _stands(self, element: Element, wanted: Wanted, standings: Sequence[Standing], message: str) -> Outcome:
        properties = out_properties(standings)
        watched = self._leave(element)
        # What was told while it came up lies in another partition than this answer, and may be read after it: then how
        # it stands is told once more, behind that.
        said_otherwise = watched is not None and watched.told not in (None, properties)
        self._watch(element, wanted.entities, None if said_otherwise else properties)
        return Outcome(message=message, out_properties=properties, operational_state=ENABLED)

    async def _claim(self, element: Element, patience: Patience) -> None:
        """An order may come before what a synchronisation has named is known to be the element's."""
        for entity in self._monitor.unclaimed(element.element_id) if self._monitor else ():
            await self._services.claim(entity, Owner.of(element), patience)

    def _watch(self, element: Element, entities: Sequence[Entity], known: Mapping[str, Any] | None) -> None:
        if self._monitor is not None:
            self._monitor.watch(element, entities, known, claimed=True)

    def _leave(self, element: Element) -> Watched | None:
        return self._monitor.leave(element.element_id) if self._monitor is not None else None

    def _budget(self, element: Element, key: str) -> float | None:
        """The seconds that the instance gives an order, less what it takes to answer; None if it says nothing."""
        seconds = milliseconds(element, key)
        return None if seconds is None else max(1.0, seconds - _MARGIN)

    @contextmanager
    def _failing(self, constant: str) -> Iterator[None]:
        """Tell of trouble as an acknowledgement does: Java's constant, and the reason."""
        try:
            yield
        except (Invalid, Trouble) as error:
            raise Failed(_fitting(f"{constant}: {error}")) from error


def _next_stage(after: Element | None, stage: int, *, back: bool = False) -> int | None:
    """The stage at which this element is asked again: migrations go up, rollbacks go down. What is done is done at
    each of them, which after the first changes nothing."""
    stages = migrate_stages(after.composition_properties) if after is not None else frozenset()
    if back:
        return max((one for one in stages if one < stage), default=None)
    return min((one for one in stages if one > stage), default=None)


def _key(found: Found) -> Key:
    return found["metadata"].get("namespace") or "", found["metadata"]["name"]


def _fitting(text: str, rest: str = "") -> str:
    """As much of a text as an acknowledgement has room for beside the rest."""
    room = _LONGEST_MESSAGE - len(rest)
    if len(text) <= room:
        return text + rest
    log.warning("in full: %s%s", text, rest)
    return f"{text[: max(0, room - 3)]}...{rest}"


def _listed(keys: Iterable[Key]) -> str:
    return ", ".join("/".join(key) for key in keys)
