"""Discovery: what is served, in the old form of one document a group version and in the new one of two in all."""

from __future__ import annotations

from typing import Any

import orjson

from mizzen.cluster.apiserver.negotiation import Form
from mizzen.cluster.apiserver.registry import Registry
from mizzen.cluster.apiserver.resources import VERBS, Resource

Document = dict[str, Any]


class Discovery:
    """The discovery documents of a registry, made when first asked for and again when the registry has changed."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._generation = -1
        self._made: dict[str, bytes | None] = {}

    def document(self, path: str, form: Form) -> tuple[bytes, str] | None:
        """The document at ``/api``, ``/apis``, ``/api/v1``, ``/apis/G`` or ``/apis/G/V`` with its media type."""
        if self._generation != self._registry.generation:
            self._generation = self._registry.generation
            self._made.clear()
        media = "application/json"
        key = path
        if form.shape == "discovery" and path in ("/api", "/apis"):
            media = f"application/json;g=apidiscovery.k8s.io;v={form.version};as=APIGroupDiscoveryList"
            key = f"{path} {form.version}"
        if key not in self._made:
            found = self._aggregated(path, form.version) if key != path else self._plain(path)
            self._made[key] = orjson.dumps(found) if found is not None else None
        body = self._made[key]
        return (body, media) if body is not None else None

    def _plain(self, path: str) -> Document | None:
        parts = path.strip("/").split("/")
        groups = self._registry.groups()
        match parts:
            case ["api"]:
                addresses = [{"clientCIDR": "0.0.0.0/0", "serverAddress": ""}]
                return {"kind": "APIVersions", "versions": groups.get("", []), "serverAddressByClientCIDRs": addresses}
            case ["apis"]:
                found = [_group(name, versions) for name, versions in groups.items() if name]
                return {"kind": "APIGroupList", "apiVersion": "v1", "groups": found}
            case ["apis", group] if group in groups:
                return {"kind": "APIGroup", "apiVersion": "v1", **_group(group, groups[group])}
            case ["api", version] if version in groups.get("", ()):
                return self._resources("", version)
            case ["apis", group, version] if version in groups.get(group, ()):
                return self._resources(group, version)
        return None

    def _resources(self, group: str, version: str) -> Document:
        found = []
        for resource in self._registry.of_version(group, version):
            definition = resource.definition
            found.append(_entry(resource, definition.plural, resource.singular, definition.kind, verbs=VERBS))
            if definition.short_names:
                found[-1]["shortNames"] = list(definition.short_names)
            if definition.categories:
                found[-1]["categories"] = list(definition.categories)
            for sub in resource.subresources:
                name = f"{definition.plural}/{sub.name}"
                entry = _entry(resource, name, "", sub.kind or definition.kind, verbs=sub.verbs)
                if sub.version:
                    entry |= {"group": sub.group, "version": sub.version}
                found.append(entry)
        group_version = f"{group}/{version}" if group else version
        return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": found}

    def _aggregated(self, path: str, version: str) -> Document:
        items = []
        for group, versions in self._registry.groups().items():
            if bool(group) != (path == "/apis"):
                continue
            found = [
                {
                    "version": name,
                    "resources": [_discovered(resource) for resource in self._registry.of_version(group, name)],
                    "freshness": "Current",
                }
                for name in versions
            ]
            metadata = {"name": group, "creationTimestamp": None} if group else {"creationTimestamp": None}
            items.append({"metadata": metadata, "versions": found})
        return {
            "kind": "APIGroupDiscoveryList",
            "apiVersion": f"apidiscovery.k8s.io/{version}",
            "metadata": {},
            "items": items,
        }


def _group(name: str, versions: list[str]) -> Document:
    found = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": found, "preferredVersion": found[0]}


def _entry(resource: Resource, name: str, singular: str, kind: str, verbs: tuple[str, ...]) -> Document:
    return {
        "name": name,
        "singularName": singular,
        "namespaced": resource.definition.namespaced,
        "kind": kind,
        "verbs": list(verbs),
    }


def _discovered(resource: Resource) -> Document:
    definition = resource.definition
    found: Document = {
        "resource": definition.plural,
        "responseKind": {"group": "", "version": "", "kind": definition.kind},
        "scope": "Namespaced" if definition.namespaced else "Cluster",
        "singularResource": resource.singular,
        "verbs": list(VERBS),
    }
    if definition.short_names:
        found["shortNames"] = list(definition.short_names)
    if definition.categories:
        found["categories"] = list(definition.categories)
    if resource.subresources:
        found["subresources"] = [
            {
                "subresource": sub.name,
                "responseKind": {"group": sub.group, "version": sub.version, "kind": sub.kind or definition.kind},
                "verbs": list(sub.verbs),
            }
            for sub in resource.subresources
        ]
    return found
