"""Namespaces: what each starts with, and that nothing outlives them."""

from __future__ import annotations

from typing import Any

from mizzen.apis.apps import DEPLOYMENT, REPLICA_SET
from mizzen.apis.core import CONFIG_MAP, NAMESPACE, POD, SECRET, SERVICE, SERVICE_ACCOUNT
from mizzen.apis.networking import ENDPOINT_SLICE
from mizzen.kube.errors import ApiError
from workload_cluster import Cluster, eventually
from workload_objects import deployment_body


async def _is_gone(cluster: Cluster, name: str) -> bool:
    try:
        await cluster.client.get(NAMESPACE, name)
    except ApiError as error:
        assert error.code == 404
        return True
    return False


async def test_everything_in_a_namespace_goes_with_it(cluster: Cluster) -> None:
    client = cluster.client
    await client.create(NAMESPACE, {"metadata": {"name": "team"}})
    for name in ("web", "other"):
        body = deployment_body(name, replicas=3)
        body["metadata"]["namespace"] = "team"
        await client.create(DEPLOYMENT, body)
    port = {"port": 80}
    await client.create(
        SERVICE, {"metadata": {"name": "s"}, "spec": {"selector": {"app": "web"}, "ports": [port]}}, "team"
    )
    await client.create(SECRET, {"metadata": {"name": "s"}}, "team")

    async def running() -> bool:
        return len(await client.list(POD, "team")) == 6

    await eventually(running)
    await client.delete(NAMESPACE, "team")
    await eventually(lambda: _is_gone(cluster, "team"))
    for resource in (DEPLOYMENT, REPLICA_SET, POD, SERVICE, SECRET, CONFIG_MAP, SERVICE_ACCOUNT, ENDPOINT_SLICE):
        assert await client.list(resource, "team") == []


async def test_a_namespace_waits_for_finalizers_and_says_so(cluster: Cluster) -> None:
    client = cluster.client
    await client.create(NAMESPACE, {"metadata": {"name": "team"}})
    await client.create(CONFIG_MAP, {"metadata": {"name": "held", "finalizers": ["example.com/hold"]}}, "team")
    await client.delete(NAMESPACE, "team")

    async def told() -> dict[str, Any] | None:
        status = (await client.get(NAMESPACE, "team"))["status"]
        found = {one["type"]: one["message"] for one in status.get("conditions", ())}
        return found if "NamespaceFinalizersRemaining" in found else None

    conditions = await eventually(told)
    assert conditions["NamespaceContentRemaining"].endswith("configmaps has 1 resource instances")
    assert "example.com/hold in 1 resource instances" in conditions["NamespaceFinalizersRemaining"]
    await client.patch(CONFIG_MAP, "held", "team", {"metadata": {"finalizers": None}})
    await eventually(lambda: _is_gone(cluster, "team"))


async def test_controllers_that_start_late_end_namespaces_that_wait(bare: Cluster) -> None:
    client = bare.client
    await client.create(NAMESPACE, {"metadata": {"name": "team"}})
    await client.create(SECRET, {"metadata": {"name": "s"}}, "team")
    await client.delete(NAMESPACE, "team")
    await bare.control()
    await eventually(lambda: _is_gone(bare, "team"))


async def test_each_namespace_has_its_service_account_and_the_authority(bare: Cluster) -> None:
    client = bare.client
    await bare.control(root_ca="-----BEGIN CERTIFICATE-----\n")
    await client.create(NAMESPACE, {"metadata": {"name": "team"}})

    async def furnished() -> bool:
        accounts = [one["metadata"]["name"] for one in await client.list(SERVICE_ACCOUNT, "team")]
        maps = {one["metadata"]["name"]: one["data"] for one in await client.list(CONFIG_MAP, "team")}
        return accounts == ["default"] and maps == {"kube-root-ca.crt": {"ca.crt": "-----BEGIN CERTIFICATE-----\n"}}

    await eventually(furnished)
    await client.patch(CONFIG_MAP, "kube-root-ca.crt", "team", {"data": {"ca.crt": "forged"}})
    await client.delete(SERVICE_ACCOUNT, "default", "team")
    await eventually(furnished)
