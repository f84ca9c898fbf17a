"""Bringing an API up to what this version ships: its CRDs, runtimes and settings.

Runs at every start and writes nothing when nothing has changed. What a user has edited stays edited: a shipped object
is applied again only when a new version ships another one, and then never over a field that somebody else has taken.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

from mizzen.apis.apiextensions import CUSTOM_RESOURCE_DEFINITION
from mizzen.apis.meta import Mapping, ResourceDef
from mizzen.control.inference import manifests
from mizzen.kube.children import HASH_ANNOTATION, apply_child, render_hash
from mizzen.kube.client import Client, Unreachable
from mizzen.kube.discovery import catalogue
from mizzen.kube.errors import ApiError

log = logging.getLogger(__name__)

_PAUSE = 0.02


async def wait_for_api(client: Client) -> None:
    """Return when the API answers that it is ready."""
    while True:
        try:
            await client.raw("GET", "/version")
        except Unreachable:
            await asyncio.sleep(_PAUSE)
        else:
            return


async def wait_for_kinds(client: Client, kinds: Iterable[ResourceDef]) -> None:
    """Return when the API serves all of these kinds."""
    for kind in kinds:
        while True:
            try:
                await client.list_raw(kind, page=1)
                break
            except ApiError as error:
                if error.code != 404:
                    raise
                await asyncio.sleep(_PAUSE)


async def install(client: Client) -> None:
    """Apply what this version ships, as far as the API does not have it already."""
    # One after another: together they would swell the API server by megabytes that it keeps from then on.
    for crd in manifests.crds():
        await _install_crd(client, crd)
    kinds = await catalogue(client)
    for shipped in manifests.objects():
        await _install(client, kinds.by_kind(shipped["apiVersion"], shipped["kind"]), shipped)


async def _install_crd(client: Client, crd: Mapping) -> None:
    name = crd["metadata"]["name"]
    await apply_child(
        client, CUSTOM_RESOURCE_DEFINITION, crd, await _live(client, CUSTOM_RESOURCE_DEFINITION, name, "")
    )
    while True:
        conditions = (await client.get(CUSTOM_RESOURCE_DEFINITION, name)).get("status", {}).get("conditions") or ()
        if any(c["type"] == "Established" and c["status"] == "True" for c in conditions):
            return
        await asyncio.sleep(_PAUSE)


async def _install(client: Client, resource: ResourceDef, shipped: Mapping) -> None:
    metadata = shipped["metadata"]
    live = await _live(client, resource, metadata["name"], metadata.get("namespace", ""))
    shipped = {**shipped, "metadata": {**metadata, "annotations": dict(metadata.get("annotations") or {})}}
    mark = render_hash(shipped)
    annotations = ((live or {}).get("metadata") or {}).get("annotations") or {}
    if annotations.get(HASH_ANNOTATION) == mark:
        return
    shipped["metadata"]["annotations"][HASH_ANNOTATION] = mark
    try:
        await client.apply(resource, shipped, force=live is None)
    except ApiError as error:
        if error.code != 409:
            raise
        log.warning("%s %s has edits of yours and was left as it is: %s", resource.kind, metadata["name"], error)


async def _live(client: Client, resource: ResourceDef, name: str, namespace: str) -> Mapping | None:
    try:
        return await client.get(resource, name, namespace)
    except ApiError as error:
        if error.code != 404:
            raise
        return None
