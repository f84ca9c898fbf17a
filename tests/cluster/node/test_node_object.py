"""What the node says of itself, and its lease."""

from __future__ import annotations

import asyncio
import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from mizzen.apis.core import LEASE, NODE
from mizzen.cluster.node import machine, registration
from mizzen.kube.errors import ApiError
from node_world import World


async def node_when(world: World, holds: Any) -> dict[str, Any]:
    async with asyncio.timeout(30):
        while True:
            try:
                found = await world.client.get(NODE, "n1")
            except ApiError as error:
                assert error.code == 404
            else:
                if holds(found):
                    return found
            await asyncio.sleep(0.02)


def conditions(node: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {found["type"]: found for found in node["status"].get("conditions") or ()}


async def test_the_node_and_its_lease(either: World) -> None:
    node = await either.client.get(NODE, "n1")
    assert node["metadata"]["labels"]["kubernetes.io/os"] == "linux"
    assert node["metadata"]["labels"]["kubernetes.io/hostname"] == "n1"
    status = node["status"]
    assert int(status["capacity"]["cpu"]) == len(os.sched_getaffinity(0))
    assert status["allocatable"] == status["capacity"]
    found = {address["type"]: address["address"] for address in status["addresses"]}
    assert found["InternalIP"].startswith("127.") and found["InternalIP"].endswith(".0.1")
    assert status["nodeInfo"]["containerRuntimeVersion"].startswith("mizzen://")
    stated = conditions(node)
    assert stated["Ready"]["status"] == "True"
    real = stated["VolumesAtRealPaths"]
    if either.mode == "none":
        assert real["status"] == "False"
        assert "because this test forbids it" in real["message"]
    else:
        assert real["status"] == "True"
    lease = await either.client.get(LEASE, "n1", "kube-node-lease")
    assert lease["spec"]["holderIdentity"] == "n1"
    assert lease["metadata"]["ownerReferences"][0]["uid"] == node["metadata"]["uid"]


async def test_the_lease_is_renewed_and_the_node_is_put_right(bare: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registration, "RENEWAL", 0.05)
    await bare.start()
    first = await bare.client.get(LEASE, "n1", "kube-node-lease")
    async with asyncio.timeout(30):
        while (await bare.client.get(LEASE, "n1", "kube-node-lease"))["spec"] == first["spec"]:
            await asyncio.sleep(0.02)
    lost = [{"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown"}]
    foreign = [{"type": "Weather", "status": "True"}]
    patch = {"status": {"conditions": lost + foreign}}
    await bare.client.patch(NODE, "n1", "", patch, subresource="status")
    node = await node_when(bare, lambda node: conditions(node)["Ready"]["status"] == "True")
    assert "Weather" in conditions(node)
    await bare.client.delete(NODE, "n1")
    again = await node_when(bare, lambda found: found["metadata"]["uid"] != node["metadata"]["uid"])
    assert again["metadata"]["labels"]["kubernetes.io/os"] == "linux"


async def test_a_node_with_nothing_to_do_writes_nothing_but_its_lease(
    bare: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registration, "RENEWAL", 0.05)
    await bare.start()
    node = await bare.client.get(NODE, "n1")
    lease = await bare.client.get(LEASE, "n1", "kube-node-lease")
    async with asyncio.timeout(30):
        while (await bare.client.get(LEASE, "n1", "kube-node-lease"))["spec"] == lease["spec"]:
            await asyncio.sleep(0.02)
    assert (await bare.client.get(NODE, "n1"))["metadata"]["resourceVersion"] == node["metadata"]["resourceVersion"]


def test_renewals_are_rare_enough_for_a_disk_and_often_enough_for_the_node_to_live() -> None:
    assert 60 / registration.RENEWAL <= 3
    assert registration.DURATION >= 2 * registration.RENEWAL


def test_conditions_keep_their_time() -> None:
    first = registration.conditions({}, "", [], "t1")
    second = registration.conditions({"DiskPressure": "3 MiB are left"}, "", first, "t2")
    times = {found["type"]: found["lastTransitionTime"] for found in second}
    assert times == {
        "MemoryPressure": "t1",
        "DiskPressure": "t2",
        "PIDPressure": "t1",
        "VolumesAtRealPaths": "t1",
        "Ready": "t1",
    }
    (disk,) = [found for found in second if found["type"] == "DiskPressure"]
    assert (disk["status"], disk["message"]) == ("True", "3 MiB are left")


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("laptop", "laptop"),
        ("Ann's MacBook.local", "ann-s-macbook.local"),
        ("-x-", "x"),
        ("___", "node"),
        ("a" * 100, "a" * 63),
    ],
)
def test_names_of_machines(monkeypatch: pytest.MonkeyPatch, given: str, name: str) -> None:
    monkeypatch.setattr(machine.socket, "gethostname", lambda: given)
    assert machine.node_name() == name


def test_a_node_keeps_its_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(machine.socket, "gethostname", lambda: "office")
    assert machine.kept_node_name(tmp_path) == "office"
    monkeypatch.setattr(machine.socket, "gethostname", lambda: "home")
    assert machine.kept_node_name(tmp_path) == "office"


def test_amounts() -> None:
    amounts = {
        "cpu": Decimal(4),
        "memory": Decimal(16 * 2**30),
        "ephemeral-storage": Decimal(1000 * 1024 + 7),
        "pods": Decimal(1000),
    }
    spelled = machine.spelled(amounts)
    assert spelled == {"cpu": "4", "memory": "16Gi", "ephemeral-storage": "1000Ki", "pods": "1k"}
