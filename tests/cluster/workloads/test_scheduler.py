"""Pods find their node, or read why they do not, and are looked at again when something changes."""

from __future__ import annotations

from typing import Any

from mizzen.apis.core import EVENT, NODE, POD
from mizzen.kube.client import Client
from workload_cluster import Cluster, LateClient, eventually

NS = "default"


def _pod(name: str, image: str = "a:1", limits: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    container: dict[str, Any] = {"name": "main", "image": image}
    if limits:
        container["resources"] = {"limits": limits}
    return {"metadata": {"name": name}, "spec": {"containers": [container]} | spec}


async def _scheduled(client: Client, name: str) -> tuple[str, str, str] | None:
    """Status, reason and message of the PodScheduled condition."""
    pod = await client.get(POD, name, NS)
    found = (one for one in pod["status"].get("conditions", ()) if one["type"] == "PodScheduled")
    return next(((one["status"], one.get("reason", ""), one.get("message", "")) for one in found), None)


async def _waits(client: Client, name: str, why: str) -> None:
    async def check() -> bool:
        return await _scheduled(client, name) == ("False", "Unschedulable", why)

    await eventually(check, f"{name} waits because {why}")


async def _runs_on(client: Client, name: str, node: str) -> None:
    async def check() -> bool:
        pod = await client.get(POD, name, NS)
        return pod["spec"].get("nodeName") == node and pod["status"]["phase"] == "Running"

    await eventually(check, f"{name} runs on {node}")


async def _events(client: Client, reason: str, name: str) -> list[str]:
    selector = f"reason={reason},involvedObject.name={name}"
    return [one["message"] for one in await client.list(EVENT, NS, field_selector=selector)]


async def test_a_pod_is_bound_and_it_is_told(cluster: Cluster) -> None:
    client = cluster.client
    await client.create(POD, _pod("p", limits={"cpu": "64", "memory": "1Ti"}), NS)
    await _runs_on(client, "p", "n1")
    assert await _scheduled(client, "p") == ("True", "", "")

    async def told() -> list[str]:
        return await _events(client, "Scheduled", "p")

    assert await eventually(told) == ["Successfully assigned default/p to n1"]


async def test_without_overcommit_requests_are_admission(bare: Cluster) -> None:
    await bare.control(overcommit=False)
    await bare.run_node()
    await bare.client.create(POD, _pod("p", limits={"cpu": "64"}), NS)
    await _waits(bare.client, "p", "0/1 nodes are available: 1 Insufficient cpu.")


async def test_a_pod_waits_for_a_device_until_one_is_free(bare: Cluster) -> None:
    client = bare.client
    await bare.control()
    await bare.run_node(allocatable={"nvidia.com/gpu": "1"})
    gpu = {"nvidia.com/gpu": "1"}
    await client.create(POD, _pod("first", limits=gpu), NS)
    await _runs_on(client, "first", "n1")
    for name in ("second", "third"):
        await client.create(POD, _pod(name, limits=gpu), NS)
    why = "0/1 nodes are available: 1 Insufficient nvidia.com/gpu."
    await _waits(client, "second", why)
    await _waits(client, "third", why)

    async def told() -> list[str]:
        return await _events(client, "FailedScheduling", "second")

    assert await eventually(told) == [why]
    await client.delete(POD, "first", NS, grace_period=0)

    async def who_runs() -> list[str]:
        pods = await client.list(POD, NS)
        return [one["metadata"]["name"] for one in pods if one["spec"].get("nodeName")]

    [lucky] = await eventually(who_runs)
    [unlucky] = {"second", "third"} - {lucky}
    await _waits(client, unlucky, why)
    # One that has ended gives its device back as well.
    await client.patch(POD, lucky, NS, {"status": {"phase": "Succeeded"}}, subresource="status")
    await _runs_on(client, unlucky, "n1")


async def test_a_place_that_the_copy_does_not_show_yet_is_not_given_twice(bare: Cluster) -> None:
    client = bare.client
    await bare.run_node(allocatable={"nvidia.com/gpu": "1"})

    async def registered() -> bool:
        return any(node.get("status", {}).get("conditions") for node in await client.list(NODE))

    await eventually(registered)
    async with LateClient(bare.config) as late:
        controllers = await bare.control(late)
        gpu = {"nvidia.com/gpu": "1"}
        await client.create(POD, _pod("first", limits=gpu), NS)
        await client.create(POD, _pod("second", limits=gpu), NS)
        # Each change of the node makes the scheduler look at all pods that its copy shows without a node.
        for number in range(10):
            await client.patch(NODE, "n1", "", {"metadata": {"labels": {"look": str(number)}}})
        await _runs_on(client, "first", "n1")
        await _waits(client, "second", "0/1 nodes are available: 1 Insufficient nvidia.com/gpu.")
        await bare.background.stop(controllers)
    assert await _scheduled(client, "first") == ("True", "", "")


async def test_a_change_of_a_node_wakes_the_pods_that_wait(bare: Cluster) -> None:
    client = bare.client
    await bare.control()
    await client.create(POD, _pod("p", nodeSelector={"disk": "ssd"}), NS)
    await _waits(client, "p", "no nodes available to schedule pods")
    await bare.run_node()
    await _waits(client, "p", "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.")
    await client.patch(NODE, "n1", "", {"metadata": {"labels": {"disk": "ssd"}}, "spec": {"unschedulable": True}})
    await _waits(client, "p", "0/1 nodes are available: 1 node(s) were unschedulable.")
    await client.patch(NODE, "n1", "", {"spec": {"unschedulable": None}})
    await _runs_on(client, "p", "n1")


async def test_pods_of_another_scheduler_and_gated_pods_are_left_alone(cluster: Cluster) -> None:
    client = cluster.client
    await client.create(POD, _pod("other", schedulerName="other"), NS)
    await client.create(POD, _pod("gated", schedulingGates=[{"name": "example.com/wait"}]), NS)

    async def gated() -> bool:
        found = await _scheduled(client, "gated")
        return found is not None and found[1] == "SchedulingGated"

    await eventually(gated)
    await client.patch(POD, "gated", NS, {"spec": {"schedulingGates": None}})
    await _runs_on(client, "gated", "n1")
    assert await _scheduled(client, "other") is None
