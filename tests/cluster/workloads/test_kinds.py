"""Every kind is seen, its metadata alone, from the moment the API serves it until it no longer does."""

from __future__ import annotations

from typing import Any

from mizzen.apis.apiextensions import CUSTOM_RESOURCE_DEFINITION
from mizzen.apis.core import CONFIG_MAP, SECRET
from mizzen.apis.meta import ResourceDef
from mizzen.cluster.workloads.kinds import Kinds
from mizzen.cluster.workloads.owners import Kind
from mizzen.kube.informer import Change, Informer
from workload_cluster import Cluster, eventually

NS = "default"
WIDGETS: Kind = ("example.com", "widgets")


def _definition(*versions: str) -> dict[str, Any]:
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    served = [
        {"name": name, "served": True, "storage": place == 0, "schema": schema} for place, name in enumerate(versions)
    ]
    names = {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"}
    spec = {"group": "example.com", "scope": "Namespaced", "names": names, "versions": served}
    return {"metadata": {"name": "widgets.example.com"}, "spec": spec}


async def test_every_kind_is_followed_by_its_metadata_alone(bare: Cluster) -> None:
    client = bare.client
    await client.create(SECRET, {"metadata": {"name": "s", "labels": {"a": "b"}}, "stringData": {"k": "secret"}}, NS)
    shared = Informer(client, CONFIG_MAP)
    bare.background.start(shared.run())
    kinds = Kinds(client, [shared])
    seen: list[tuple[Kind, str]] = []
    kinds.on_change(lambda kind, change: seen.append((kind, _told(change))))
    bare.background.start(kinds.run())
    await kinds.synced()

    secrets = kinds.informer(("", "secrets"))
    assert secrets is not None
    stored = secrets.object(NS, "s")
    assert stored is not None
    assert "data" not in stored
    assert stored["metadata"]["labels"] == {"a": "b"}
    assert (("", "secrets"), "+s") in seen
    assert kinds.informer(("", "configmaps")) is shared
    for unwatched in (("", "events"), ("coordination.k8s.io", "leases"), WIDGETS):
        assert kinds.informer(unwatched) is None

    news: list[None] = []
    kinds.on_new_kinds(lambda: news.append(None))
    await client.create(CUSTOM_RESOURCE_DEFINITION, _definition("v1"))

    async def followed() -> bool:
        return kinds.informer(WIDGETS) is not None

    await eventually(followed)
    assert news
    widget = ResourceDef(group="example.com", version="v1", kind="Widget", plural="widgets")
    await client.create(widget, {"metadata": {"name": "w"}, "spec": {"size": 1}}, NS)

    async def told() -> bool:
        return (WIDGETS, "+w") in seen

    await eventually(told)
    await client.delete(CUSTOM_RESOURCE_DEFINITION, "widgets.example.com")

    async def forgotten() -> bool:
        return kinds.informer(WIDGETS) is None

    await eventually(forgotten)


def _told(change: Change) -> str:
    sign = "-" if change.new is None else "+" if change.old is None else "~"
    return sign + change.key[1]


async def test_a_kind_in_several_versions_is_followed_once(bare: Cluster) -> None:
    client = bare.client
    await client.create(CUSTOM_RESOURCE_DEFINITION, _definition("v1", "v1beta1"))
    kinds = Kinds(client, [])
    seen: list[str] = []
    kinds.on_change(lambda kind, change: seen.append(_told(change)) if kind == WIDGETS else None)
    bare.background.start(kinds.run())

    async def followed() -> bool:
        return kinds.informer(WIDGETS) is not None

    await eventually(followed)
    await kinds.synced()
    beta = ResourceDef(group="example.com", version="v1beta1", kind="Widget", plural="widgets")
    await client.create(beta, {"metadata": {"name": "w"}}, NS)

    async def told() -> bool:
        return bool(seen)

    await eventually(told)
    assert seen == ["+w"]
