"""Services and the endpoints that follow their pods."""

from __future__ import annotations

from typing import Any

from mizzen.apis.apps import DEPLOYMENT
from mizzen.apis.core import ENDPOINTS, POD, SERVICE
from mizzen.apis.networking import ENDPOINT_SLICE
from mizzen.kube.client import Client
from mizzen.kube.errors import ApiError
from workload_cluster import Cluster, eventually
from workload_objects import deployment_body

NS = "default"


def _service(**spec: Any) -> dict[str, Any]:
    ports = [{"name": "http", "port": 80, "targetPort": 8080}]
    return {
        "metadata": {"name": "web", "labels": {"team": "a"}},
        "spec": {"selector": {"app": "web"}, "ports": ports} | spec,
    }


async def _slices(client: Client) -> list[dict[str, Any]]:
    return await client.list(ENDPOINT_SLICE, NS, label_selector="kubernetes.io/service-name=web")


async def _ready_addresses(client: Client) -> set[str]:
    return {
        address
        for one in await _slices(client)
        for endpoint in one["endpoints"] or ()
        if endpoint["conditions"]["ready"]
        for address in endpoint["addresses"]
    }


async def _addresses_follow(client: Client, count: int) -> None:
    """Wait until slices and Endpoints name the addresses of so many ready pods."""

    async def check() -> bool:
        pods = await client.list(POD, NS, label_selector="app=web")
        ready = {one["status"]["podIP"] for one in pods if _is_ready(one)}
        try:
            subsets = (await client.get(ENDPOINTS, "web", NS)).get("subsets") or []
        except ApiError:
            return False
        listed = {address["ip"] for subset in subsets for address in subset.get("addresses", ())}
        return len(ready) == count and await _ready_addresses(client) == ready == listed

    await eventually(check, f"{count} addresses")


def _is_ready(pod: dict[str, Any]) -> bool:
    conditions = pod["status"].get("conditions", ())
    is_ready = any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
    return is_ready and not pod["metadata"].get("deletionTimestamp")


async def test_endpoints_follow_the_pods(cluster: Cluster) -> None:
    client = cluster.client
    await client.create(SERVICE, _service(), NS)

    async def placeholder() -> bool:
        return len(await _slices(client)) == 1

    await eventually(placeholder)
    await client.create(DEPLOYMENT, deployment_body(replicas=3), NS)
    await _addresses_follow(client, 3)
    [one] = await _slices(client)
    assert one["ports"] == [{"name": "http", "port": 8080, "protocol": "TCP"}]
    assert one["metadata"]["labels"]["team"] == "a"
    await client.patch(DEPLOYMENT, "web", NS, {"spec": {"replicas": 1}})
    await _addresses_follow(client, 1)
    [pod] = await client.list(POD, NS)
    conditions = [{"type": "Ready", "status": "False"}]
    await client.patch(
        POD, pod["metadata"]["name"], NS, {"status": {"conditions": conditions}}, kind="strategic", subresource="status"
    )
    await _addresses_follow(client, 0)
    [endpoint] = (await _slices(client))[0]["endpoints"]
    assert endpoint["conditions"] == {"ready": False, "serving": False, "terminating": False}


async def test_a_pod_that_ends_serves_until_it_is_gone_but_takes_no_new_clients(cluster: Cluster) -> None:
    client = cluster.client
    await client.create(SERVICE, _service(), NS)
    await client.create(DEPLOYMENT, deployment_body(replicas=1, image="stubborn:1"), NS)
    await _addresses_follow(client, 1)
    await client.patch(DEPLOYMENT, "web", NS, {"spec": {"replicas": 0}})

    async def terminating() -> bool:
        endpoints = [endpoint for one in await _slices(client) for endpoint in one["endpoints"] or ()]
        return [one["conditions"] for one in endpoints] == [{"ready": False, "serving": True, "terminating": True}]

    await eventually(terminating)
    cluster.kubelet.mercy.set()

    async def gone() -> bool:
        return not any(one["endpoints"] for one in await _slices(client))

    await eventually(gone)


async def test_what_others_change_or_delete_is_put_right(cluster: Cluster) -> None:
    client = cluster.client
    await client.create(SERVICE, _service(), NS)
    await client.create(DEPLOYMENT, deployment_body(replicas=2), NS)
    await _addresses_follow(client, 2)
    [one] = await _slices(client)
    await client.delete(ENDPOINT_SLICE, one["metadata"]["name"], NS)
    await _addresses_follow(client, 2)
    await client.delete(ENDPOINTS, "web", NS)
    await _addresses_follow(client, 2)
    [one] = await _slices(client)
    await client.patch(ENDPOINT_SLICE, one["metadata"]["name"], NS, {"endpoints": []})
    await _addresses_follow(client, 2)
    await client.patch(ENDPOINTS, "web", NS, {"subsets": None})
    await _addresses_follow(client, 2)


async def test_endpoints_go_with_their_service_and_those_of_others_stay(cluster: Cluster) -> None:
    client = cluster.client
    await client.create(SERVICE, _service(), NS)
    await client.create(DEPLOYMENT, deployment_body(replicas=1), NS)
    await _addresses_follow(client, 1)
    by_hand = {"metadata": {"name": "hand"}, "subsets": [{"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 80}]}]}
    await client.create(SERVICE, {"metadata": {"name": "hand"}, "spec": {"ports": [{"port": 80}]}}, NS)
    await client.create(ENDPOINTS, by_hand, NS)
    await client.delete(SERVICE, "web", NS)

    async def gone() -> bool:
        names = {one["metadata"]["name"] for one in await client.list(ENDPOINTS, NS)}
        return not await _slices(client) and names == {"hand"}

    await eventually(gone)
    assert (await client.get(ENDPOINTS, "hand", NS))["subsets"][0]["addresses"] == [{"ip": "10.0.0.1"}]


async def test_a_new_selector_finds_other_pods(cluster: Cluster) -> None:
    client = cluster.client
    await client.create(SERVICE, _service(selector={"app": "nobody"}), NS)
    await client.create(DEPLOYMENT, deployment_body(replicas=2), NS)
    await client.patch(SERVICE, "web", NS, {"spec": {"selector": {"app": "web"}}})
    await _addresses_follow(client, 2)
    await client.patch(SERVICE, "web", NS, {"spec": {"publishNotReadyAddresses": True}})
    await client.patch(DEPLOYMENT, "web", NS, {"spec": {"replicas": 0}})

    async def gone() -> bool:
        return not any(one["endpoints"] for one in await _slices(client))

    await eventually(gone)
