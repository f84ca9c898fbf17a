"""Which kinds an API serves, asked of the API itself: for tools that meet a kind they were not written for."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

from mizzen.apis.meta import ResourceDef
from mizzen.errors import MizzenError
from mizzen.kube.client import Client

_V2 = (
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,"
    "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json"
)


class UnknownKind(MizzenError):
    """A kind or resource name that the API does not serve."""


class Catalogue:
    """The kinds of one API, in order of preference.

    Args:
        verbs: what can be done with each; kinds that are not named can do nothing that is asked about.
    """

    def __init__(self, resources: list[ResourceDef], verbs: Mapping[ResourceDef, frozenset[str]]) -> None:
        self.resources = resources
        self._verbs = verbs

    def supporting(self, verbs: Set[str]) -> list[ResourceDef]:
        """The kinds that can do all of ``verbs``: reviews cannot be listed, metrics cannot be watched."""
        return [resource for resource in self.resources if verbs <= self._verbs.get(resource, frozenset())]

    def by_kind(self, api_version: str, kind: str) -> ResourceDef:
        """The resource of a manifest's apiVersion and kind. Raises :class:`UnknownKind`, saying what is close."""
        for resource in self.resources:
            if resource.api_version == api_version and resource.kind == kind:
                return resource
        elsewhere = [r.api_version for r in self.resources if r.kind == kind]
        hint = f"; {kind} is served as {', '.join(elsewhere)}" if elsewhere else ""
        raise UnknownKind(f'no matches for kind "{kind}" in version "{api_version}"{hint}')

    def by_word(self, word: str) -> ResourceDef:
        """The resource that a person means by ``pods``, ``po``, ``pod`` or ``deployments.apps``."""
        wanted = word.lower()
        for resource in self.resources:
            names = {resource.plural, resource.singular, resource.kind.lower(), *resource.short_names}
            qualified = {f"{name}.{resource.group}" for name in names} if resource.group else set()
            if wanted in names or wanted in qualified:
                return resource
        raise UnknownKind(f'the API serves no resource type "{word}"; `kubectl api-resources` lists those it has')

    def by_words(self, words: str) -> list[ResourceDef]:
        """The resources of words with commas between them, of which each may be a category, such as ``all``."""
        found: dict[ResourceDef, None] = {}
        for word in words.split(","):
            members = [resource for resource in self.resources if word.lower() in resource.categories]
            found |= dict.fromkeys(members or [self.by_word(word)])
        return list(found)


async def catalogue(client: Client) -> Catalogue:
    """Ask the API for all it serves, in two requests."""
    found: dict[ResourceDef, frozenset[str]] = {}
    for root in ("/api", "/apis"):
        for group in (await client.raw("GET", root, accept=_V2)).get("items") or ():
            found |= _of_group(group)
    return Catalogue(list(found), found)


def _of_group(group: dict[str, Any]) -> dict[ResourceDef, frozenset[str]]:
    name = group["metadata"].get("name") or ""
    found = {}
    for version in group.get("versions") or ():
        for resource in version.get("resources") or ():
            if not resource.get("responseKind"):
                continue
            definition = ResourceDef(
                group=name,
                version=version["version"],
                kind=resource["responseKind"]["kind"],
                plural=resource["resource"],
                namespaced=resource["scope"] == "Namespaced",
                short_names=tuple(resource.get("shortNames") or ()),
                categories=tuple(resource.get("categories") or ()),
            )
            found[definition] = frozenset(resource.get("verbs") or ())
    return found
