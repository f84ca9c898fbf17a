"""Ownership and its end: background, foreground and orphan, custom resources, and what must not be touched."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from mizzen.apis.apiextensions import CUSTOM_RESOURCE_DEFINITION
from mizzen.apis.apps import DEPLOYMENT, REPLICA_SET
from mizzen.apis.core import CONFIG_MAP, NODE, POD, SECRET
from mizzen.apis.meta import ResourceDef
from mizzen.kube.client import Client, WatchEvent
from mizzen.kube.errors import ApiError
from workload_cluster import Cluster, eventually
from workload_objects import deployment_body

NS = "default"
WIDGET = ResourceDef(group="example.com", version="v1", kind="Widget", plural="widgets")


def _refer(owner: dict[str, Any], resource: ResourceDef, *, block: bool = True) -> dict[str, Any]:
    metadata = owner["metadata"]
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "name": metadata["name"],
        "uid": metadata["uid"],
        "blockOwnerDeletion": block,
    }


async def _config_map(client: Client, name: str, *owners: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    references = {"ownerReferences": list(owners)} if owners else {}
    return await client.create(CONFIG_MAP, {"metadata": {"name": name} | references | metadata}, NS)


async def _exists(client: Client, resource: ResourceDef, name: str, namespace: str = NS) -> bool:
    try:
        await client.get(resource, name, namespace)
    except ApiError as error:
        if error.code != 404:
            raise
        return False
    return True


async def _gone(client: Client, resource: ResourceDef, *names: str) -> None:
    async def check() -> bool:
        return not any([await _exists(client, resource, name) for name in names])

    await eventually(check, f"{resource.plural} {names} are gone")


async def _collector_is_idle(client: Client) -> None:
    """Wait until the collector must have looked at everything: garbage that is made now is collected."""
    owner = await _config_map(client, "probe-owner")
    await _config_map(client, "probe", _refer(owner, CONFIG_MAP))
    await client.delete(CONFIG_MAP, "probe-owner", NS)
    await _gone(client, CONFIG_MAP, "probe")
    await asyncio.sleep(0.2)


async def test_in_the_background_the_owner_goes_at_once_and_its_dependents_follow(cluster: Cluster) -> None:
    client = cluster.client
    await client.create(DEPLOYMENT, deployment_body(replicas=3), NS)

    async def running() -> bool:
        return len(await client.list(POD, NS)) == 3

    await eventually(running)
    await client.delete(DEPLOYMENT, "web", NS)
    assert not await _exists(client, DEPLOYMENT, "web")

    async def gone() -> bool:
        return not await client.list(REPLICA_SET, NS) and not await client.list(POD, NS)

    await eventually(gone)


async def test_in_the_foreground_the_owner_waits_for_its_dependents(cluster: Cluster) -> None:
    client = cluster.client
    await client.create(DEPLOYMENT, deployment_body(replicas=2, image="stubborn:1"), NS)

    async def running() -> bool:
        pods = await client.list(POD, NS)
        return len(pods) == 2 and all(pod["status"]["phase"] == "Running" for pod in pods)

    await eventually(running)
    await client.delete(DEPLOYMENT, "web", NS, propagation="Foreground")

    async def ending() -> bool:
        pods = await client.list(POD, NS)
        return all(pod["metadata"].get("deletionTimestamp") for pod in pods)

    await eventually(ending)
    web = await client.get(DEPLOYMENT, "web", NS)
    assert web["metadata"]["finalizers"] == ["foregroundDeletion"]
    [one] = await client.list(REPLICA_SET, NS)
    assert one["metadata"]["finalizers"] == ["foregroundDeletion"]
    cluster.kubelet.mercy.set()
    await _gone(client, DEPLOYMENT, "web")
    assert not await client.list(REPLICA_SET, NS)
    assert not await client.list(POD, NS)


async def test_orphans_lose_their_owner_and_stay(cluster: Cluster) -> None:
    client = cluster.client
    first, second = await _config_map(client, "first"), await _config_map(client, "second")
    await _config_map(client, "child", _refer(first, CONFIG_MAP), _refer(second, CONFIG_MAP))
    await _config_map(client, "only", _refer(first, CONFIG_MAP))
    await client.delete(CONFIG_MAP, "first", NS, propagation="Orphan")
    await _gone(client, CONFIG_MAP, "first")
    child, only = await client.get(CONFIG_MAP, "child", NS), await client.get(CONFIG_MAP, "only", NS)
    assert [one["uid"] for one in child["metadata"]["ownerReferences"]] == [second["metadata"]["uid"]]
    assert not only["metadata"].get("ownerReferences")


async def test_an_owner_in_foreground_deletion_does_not_wait_for_what_others_own_too(cluster: Cluster) -> None:
    client = cluster.client
    first, second = await _config_map(client, "first"), await _config_map(client, "second")
    await _config_map(client, "shared", _refer(first, CONFIG_MAP), _refer(second, CONFIG_MAP))
    await _config_map(client, "held", _refer(first, CONFIG_MAP), finalizers=["example.com/hold"])
    await client.delete(CONFIG_MAP, "first", NS, propagation="Foreground")

    async def detached() -> bool:
        shared = await client.get(CONFIG_MAP, "shared", NS)
        return [one["name"] for one in shared["metadata"]["ownerReferences"]] == ["second"]

    await eventually(detached)
    # What no longer holds up its owner by its own word lets it go as well.
    free = {"metadata": {"ownerReferences": [_refer(first, CONFIG_MAP, block=False)]}}
    await client.patch(CONFIG_MAP, "held", NS, free)
    await _gone(client, CONFIG_MAP, "first")
    assert await _exists(client, CONFIG_MAP, "shared")
    await client.patch(CONFIG_MAP, "held", NS, {"metadata": {"finalizers": None}})
    await _gone(client, CONFIG_MAP, "held")


async def test_an_owner_waits_no_longer_when_its_last_dependent_gets_another_owner(cluster: Cluster) -> None:
    client = cluster.client
    first, second = await _config_map(client, "first"), await _config_map(client, "second")
    await _config_map(client, "shared", _refer(first, CONFIG_MAP), _refer(second, CONFIG_MAP))
    await client.delete(CONFIG_MAP, "first", NS, propagation="Foreground")
    await _gone(client, CONFIG_MAP, "first")
    assert await _exists(client, CONFIG_MAP, "shared")


async def test_one_living_owner_is_enough(cluster: Cluster) -> None:
    client = cluster.client
    first, second = await _config_map(client, "first"), await _config_map(client, "second")
    await _config_map(client, "child", _refer(first, CONFIG_MAP), _refer(second, CONFIG_MAP))
    await client.delete(CONFIG_MAP, "first", NS)

    async def detached() -> bool:
        child = await client.get(CONFIG_MAP, "child", NS)
        return [one["name"] for one in child["metadata"]["ownerReferences"]] == ["second"]

    await eventually(detached)
    await client.delete(CONFIG_MAP, "second", NS)
    await _gone(client, CONFIG_MAP, "child")


async def test_an_owner_is_meant_by_its_uid_and_a_namesake_does_not_count(cluster: Cluster) -> None:
    client = cluster.client
    owner = await _config_map(client, "owner")
    stale = _refer(owner, CONFIG_MAP) | {"uid": "11111111-2222-3333-4444-555555555555"}
    await _config_map(client, "of-a-namesake", stale)
    await _gone(client, CONFIG_MAP, "of-a-namesake")
    assert await _exists(client, CONFIG_MAP, "owner")


async def test_a_dependent_that_comes_after_its_owner_has_gone_is_collected(cluster: Cluster) -> None:
    client = cluster.client
    owner = await _config_map(client, "owner")
    await client.delete(CONFIG_MAP, "owner", NS)
    await _config_map(client, "late", _refer(owner, CONFIG_MAP))
    await _gone(client, CONFIG_MAP, "late")


class SlowToHearOfOwners(Client):
    """What is told of config maps comes late, so that their dependents are known before them."""

    async def watch(self, resource: ResourceDef, *args: Any, **options: Any) -> AsyncIterator[WatchEvent]:
        async for event in super().watch(resource, *args, **options):
            await asyncio.sleep(0.5 if resource.plural == CONFIG_MAP.plural else 0)
            yield event


async def test_an_owner_that_is_not_heard_of_yet_is_not_taken_for_gone(bare: Cluster) -> None:
    client = bare.client
    async with SlowToHearOfOwners(bare.config) as slow:
        controllers = await bare.control(slow)
        owner = await _config_map(client, "owner")
        await client.create(SECRET, {"metadata": {"name": "s", "ownerReferences": [_refer(owner, CONFIG_MAP)]}}, NS)
        await client.create(SECRET, {"metadata": {"name": "late", "ownerReferences": [_refer(owner, CONFIG_MAP)]}}, NS)
        dead = _refer(owner, CONFIG_MAP) | {"name": "never", "uid": "u-1"}
        await client.create(SECRET, {"metadata": {"name": "garbage", "ownerReferences": [dead]}}, NS)
        await _gone(client, SECRET, "garbage")
        assert await _exists(client, SECRET, "s")
        await client.delete(CONFIG_MAP, "owner", NS)
        await _gone(client, SECRET, "s", "late")
        await bare.background.stop(controllers)


async def test_what_was_garbage_before_the_collector_started_is_collected(bare: Cluster) -> None:
    client = bare.client
    owner = await _config_map(client, "owner")
    await _config_map(client, "child", _refer(owner, CONFIG_MAP))
    await _config_map(client, "grandchild", _refer(await client.get(CONFIG_MAP, "child", NS), CONFIG_MAP))
    await client.delete(CONFIG_MAP, "owner", NS)
    await bare.control()
    await _gone(client, CONFIG_MAP, "child", "grandchild")


@pytest.mark.parametrize("propagation", ["Background", "Foreground"])
async def test_a_circle_does_not_hang(cluster: Cluster, propagation: str) -> None:
    client = cluster.client
    first = await _config_map(client, "first")
    second = await _config_map(client, "second", _refer(first, CONFIG_MAP))
    third = await _config_map(client, "third", _refer(second, CONFIG_MAP))
    circle = {"metadata": {"ownerReferences": [_refer(third, CONFIG_MAP)]}}
    await client.patch(CONFIG_MAP, "first", NS, circle)
    await client.delete(CONFIG_MAP, "first", NS, propagation=propagation)
    await _gone(client, CONFIG_MAP, "first", "second", "third")


async def test_owners_of_unknown_kinds_and_owners_in_a_namespace_of_something_outside_are_left_alone(
    cluster: Cluster,
) -> None:
    client = cluster.client
    strange = {"apiVersion": "strange.example.com/v1", "kind": "Thing", "name": "t", "uid": "u-1"}
    await _config_map(client, "of-a-stranger", strange)
    inside = {"apiVersion": "v1", "kind": "ConfigMap", "name": "c", "uid": "u-2"}
    await client.create(NODE, {"metadata": {"name": "odd", "ownerReferences": [inside]}})
    await _collector_is_idle(client)
    assert await _exists(client, CONFIG_MAP, "of-a-stranger")
    assert await _exists(client, NODE, "odd")


async def test_an_owner_in_another_namespace_is_no_owner(cluster: Cluster) -> None:
    client = cluster.client
    owner = await client.create(CONFIG_MAP, {"metadata": {"name": "owner"}}, "kube-system")
    await _config_map(client, "child", _refer(owner, CONFIG_MAP))
    await _gone(client, CONFIG_MAP, "child")


async def test_a_cluster_scoped_owner_owns_in_every_namespace(cluster: Cluster) -> None:
    client = cluster.client
    owner = await client.create(NODE, {"metadata": {"name": "owner"}})
    await _config_map(client, "child", _refer(owner, NODE))
    await _collector_is_idle(client)
    assert await _exists(client, CONFIG_MAP, "child")
    await client.delete(NODE, "owner")
    await _gone(client, CONFIG_MAP, "child")


def _widgets() -> dict[str, Any]:
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"}
    spec = {"group": "example.com", "scope": "Namespaced", "names": names, "versions": [version]}
    return {"metadata": {"name": "widgets.example.com"}, "spec": spec}


async def _define_widgets(client: Client) -> None:
    await client.create(CUSTOM_RESOURCE_DEFINITION, _widgets())

    async def served() -> bool:
        try:
            await client.list(WIDGET, NS)
        except ApiError:
            return False
        return True

    await eventually(served, "widgets are served")


async def test_custom_resources_own_and_are_owned_from_the_moment_they_are_defined(cluster: Cluster) -> None:
    client = cluster.client
    # Left alone as long as nobody knows what a Widget is.
    dead = {"apiVersion": "example.com/v1", "kind": "Widget", "name": "never", "uid": "u-1"}
    await _config_map(client, "of-a-widget", dead)
    await _collector_is_idle(client)
    assert await _exists(client, CONFIG_MAP, "of-a-widget")
    await _define_widgets(client)
    await _gone(client, CONFIG_MAP, "of-a-widget")
    top = await _config_map(client, "top")
    widget = {"metadata": {"name": "w", "ownerReferences": [_refer(top, CONFIG_MAP)]}, "spec": {"size": 1}}
    stored = await client.create(WIDGET, widget, NS)
    secret = {"metadata": {"name": "s", "ownerReferences": [_refer(stored, WIDGET)]}}
    await client.create(SECRET, secret, NS)
    await client.delete(CONFIG_MAP, "top", NS)
    await _gone(client, WIDGET, "w")
    await _gone(client, SECRET, "s")


async def test_a_custom_resource_in_foreground_deletion_waits(cluster: Cluster) -> None:
    client = cluster.client
    await _define_widgets(client)
    stored = await client.create(WIDGET, {"metadata": {"name": "w"}}, NS)
    await _config_map(client, "held", _refer(stored, WIDGET), finalizers=["example.com/hold"])
    await _config_map(client, "free", _refer(stored, WIDGET))
    await client.delete(WIDGET, "w", NS, propagation="Foreground")
    await _gone(client, CONFIG_MAP, "free")
    assert (await client.get(WIDGET, "w", NS))["metadata"]["finalizers"] == ["foregroundDeletion"]
    await client.patch(CONFIG_MAP, "held", NS, {"metadata": {"finalizers": None}})
    await _gone(client, WIDGET, "w")
    await _gone(client, CONFIG_MAP, "held")
