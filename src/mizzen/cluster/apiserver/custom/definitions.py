"""All definitions together: they decide what the registry serves, at once and again after every change."""

from __future__ import annotations

from collections.abc import Callable

import orjson

from mizzen.apis.apiextensions import CUSTOM_RESOURCE_DEFINITION
from mizzen.cluster.apiserver.custom.definition import is_conflicting, is_established
from mizzen.cluster.apiserver.custom.resource import CustomResource, identity_of
from mizzen.cluster.apiserver.metadata import is_ending
from mizzen.cluster.apiserver.registry import Registry
from mizzen.cluster.apiserver.resources import Object
from mizzen.cluster.apiserver.store import Change, Store


class Definitions:
    """Keeps a registry in line with the stored definitions.

    Args:
        replaced: called with a shelf whose resources are served in another way from now on, or no more.
    """

    def __init__(self, store: Store, registry: Registry, replaced: Callable[[str], None]) -> None:
        self._store = store
        self._registry = registry
        self._replaced = replaced
        # By name of definition: the version its objects are stored in.
        self._stored: dict[str, CustomResource] = {}
        # Those whose objects were stored under another schema than the one of today.
        self._outdated: set[str] = set()
        # Those that wait for names which are in use, and those that are being deleted.
        self.conflicting: set[str] = set()
        self.ending: set[str] = set()

    def follow(self) -> Callable[[], None]:
        """Serve what is stored, and follow every change; returns how to stop."""
        for entry in self._store.shelf(CUSTOM_RESOURCE_DEFINITION.qualified).newest():
            self._settle(entry.decode())
        return self._store.observe(CUSTOM_RESOURCE_DEFINITION.qualified, self._changed)

    def taken(self, group: str, name: str) -> dict[str, set[str]]:
        """The names in a group that are held by others than the definition ``name``."""
        names: set[str] = set()
        kinds: set[str] = set()
        for resource in self._registry:
            found = resource.definition
            if found.group == group and found.qualified != name:
                names |= {found.plural, resource.singular, *found.short_names}
                kinds |= {found.kind, resource.list_kind}
        return {"names": names, "kinds": kinds}

    async def modernise(self) -> None:
        """Bring the stored objects of definitions whose schema has changed to what it says today."""
        while self._outdated:
            storage = self._outdated.pop()
            resource = self._stored.get(storage)
            if resource is not None:
                await self._store.rewrite(storage, resource.conformed)

    def _changed(self, change: Change) -> None:
        name = change.after.key.name
        if change.deleted:
            self.conflicting.discard(name)
            self.ending.discard(name)
            if self._stored.pop(name, None) is not None:
                self._registry.replace(name, ())
                self._replaced(name)
            return
        self._settle(orjson.loads(change.after.data))

    def _settle(self, definition: Object) -> None:
        name, spec = definition["metadata"]["name"], definition["spec"]
        before = self._stored.get(name)
        _include(self.conflicting, name, is_conflicting(definition))
        _include(self.ending, name, is_ending(definition["metadata"]))
        if not is_established(definition) or (before and before.identity == identity_of(definition)):
            return
        served = [CustomResource(definition, version["name"]) for version in spec["versions"] if version["served"]]
        stored = next(version["name"] for version in spec["versions"] if version["storage"])
        self._stored[name] = CustomResource(definition, stored)
        self._registry.replace(name, served)
        if before is not None:
            if before.schema != self._stored[name].schema:
                self._outdated.add(name)
            self._replaced(name)


def _include(names: set[str], name: str, wanted: bool) -> None:
    if wanted:
        names.add(name)
    else:
        names.discard(name)
