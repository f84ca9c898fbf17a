"""Nodes that fall silent or disappear, and the pods they leave behind."""

from __future__ import annotations

from typing import Any

from mizzen.apis.apps import DEPLOYMENT
from mizzen.apis.core import LEASE, NODE, POD
from mizzen.kube import times
from mizzen.kube.client import Client
from workload_cluster import Cluster, eventually
from workload_objects import deployment_body

NS = "default"


async def _ready(client: Client, status: str) -> bool:
    found = [node for node in await client.list(NODE) if node["metadata"]["name"] == "n1"]
    conditions = [one for node in found for one in node.get("status", {}).get("conditions", ())]
    return any(one["type"] == "Ready" and one["status"] == status for one in conditions)


def _pod(name: str, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"containers": [{"name": "main", "image": "a:1"}]} | spec}


async def test_a_silent_node_is_lost_with_its_pods_until_it_speaks_again(bare: Cluster) -> None:
    client = bare.client
    await bare.control(node_grace=1.0)
    await bare.run_node()
    await eventually(lambda: _ready(client, "True"))
    await client.create(POD, _pod("p"), NS)
    await eventually(lambda: _ready(client, "Unknown"))

    async def not_ready() -> bool:
        conditions = (await client.get(POD, "p", NS))["status"]["conditions"]
        return any(one["type"] == "Ready" and one["status"] == "False" for one in conditions)

    await eventually(not_ready)
    await client.create(POD, _pod("late"), NS)

    async def waits() -> bool:
        conditions = (await client.get(POD, "late", NS))["status"].get("conditions", ())
        return any("node.kubernetes.io/unreachable" in one.get("message", "") for one in conditions)

    await eventually(waits)
    # A lease alone is a sign of life, but only the node itself can say that it is ready.
    await client.create(
        LEASE, {"metadata": {"name": "n1"}, "spec": {"renewTime": times.now_micro()}}, "kube-node-lease"
    )
    await bare.run_node()

    async def runs() -> bool:
        return (await client.get(POD, "late", NS))["status"]["phase"] == "Running"

    await eventually(runs)


async def test_the_pods_of_a_node_that_is_gone_are_removed_and_replaced(bare: Cluster) -> None:
    client = bare.client
    await bare.control(quarantine=0.2)
    first = await bare.run_node("first")
    await client.create(DEPLOYMENT, deployment_body(replicas=2, image="stubborn:1"), NS)

    async def on(node: str) -> bool:
        pods = await client.list(POD, NS)
        return len(pods) == 2 and all(one["spec"].get("nodeName") == node for one in pods)

    await eventually(lambda: on(first.name))
    await bare.run_node("second")
    await client.delete(NODE, "first")
    await eventually(lambda: on("second"))


async def test_finished_pods_are_kept_up_to_a_number(bare: Cluster) -> None:
    client = bare.client
    await bare.control(finished_pods=2)
    await bare.run_node()
    for name in ("a", "b", "c", "d"):
        await client.create(POD, _pod(name), NS)

    async def all_run() -> bool:
        return [one["status"]["phase"] for one in await client.list(POD, NS)] == ["Running"] * 4

    await eventually(all_run)
    for name in ("a", "b", "c"):
        await client.patch(POD, name, NS, {"status": {"phase": "Succeeded"}}, subresource="status")

    async def left() -> list[str]:
        return [one["metadata"]["name"] for one in await client.list(POD, NS)]

    async def one_less() -> bool:
        return len(await left()) == 3

    await eventually(one_less)
    assert "d" in await left()


async def test_controllers_go_on_after_the_api_was_away(bare: Cluster) -> None:
    client = bare.client
    await bare.control()
    await bare.run_node()
    await client.create(DEPLOYMENT, deployment_body(replicas=1), NS)

    async def runs(count: int) -> bool:
        pods = await client.list(POD, NS)
        return [one["status"]["phase"] for one in pods] == ["Running"] * count

    await eventually(lambda: runs(1))
    await bare.stop_serving()
    await bare.serve()
    await client.patch(DEPLOYMENT, "web", NS, {"spec": {"replicas": 3}})
    await eventually(lambda: runs(3))
