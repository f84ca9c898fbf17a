"""Deployments through the real API: rolled, scaled, paused, taken back, refused, and with caches that lag."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from typing import Any

import pytest

from mizzen.apis.apps import DEPLOYMENT, REPLICA_SET
from mizzen.apis.core import EVENT, POD, SERVICE
from mizzen.cluster.workloads import revisions
from mizzen.kube.admission import AdmissionRequest, AdmissionResponse, Admitter, Reader
from mizzen.kube.client import Client
from workload_cluster import Cluster, LateClient, eventually
from workload_objects import deployment_body, template

NS = "default"


async def _apply(client: Client, **spec: Any) -> dict[str, Any]:
    return await client.create(DEPLOYMENT, deployment_body(**spec), NS)


async def _roll_to(client: Client, image: str) -> None:
    await client.patch(DEPLOYMENT, "web", NS, {"spec": {"template": template(image)}})


async def _rolled_out(client: Client, image: str | None = None) -> dict[str, Any]:
    """Wait as ``kubectl rollout status`` does; returns the deployment."""

    async def done() -> dict[str, Any] | None:
        web = await client.get(DEPLOYMENT, "web", NS)
        spec, status = web["spec"], web.get("status", {})
        wanted = spec["replicas"]
        is_done = (
            status.get("observedGeneration", 0) >= web["metadata"]["generation"]
            and status.get("updatedReplicas", 0) == wanted
            and status.get("replicas", 0) == wanted
            and status.get("availableReplicas", 0) == wanted
            and (image is None or spec["template"]["spec"]["containers"][0]["image"] == image)
        )
        return web if is_done else None

    return await eventually(done, "the rollout")


def _condition(web: dict[str, Any], kind: str) -> tuple[str, str] | None:
    found = (one for one in web.get("status", {}).get("conditions", ()) if one["type"] == kind)
    return next(((one["status"], one["reason"]) for one in found), None)


async def _condition_is(client: Client, kind: str, status: str, reason: str) -> dict[str, Any]:
    async def check() -> dict[str, Any] | None:
        web = await client.get(DEPLOYMENT, "web", NS)
        return web if _condition(web, kind) == (status, reason) else None

    return await eventually(check, f"{kind}={status} because of {reason}")


async def _sizes(client: Client) -> dict[str, int]:
    """Wanted pods by image."""
    sets = await client.list(REPLICA_SET, NS)
    return {one["spec"]["template"]["spec"]["containers"][0]["image"]: one["spec"]["replicas"] for one in sets}


async def _sizes_are(client: Client, **sizes: int) -> None:
    async def check() -> bool:
        return await _sizes(client) == sizes

    await eventually(check, f"sizes {sizes}")


async def test_a_deployment_becomes_a_replica_set_and_pods(cluster: Cluster) -> None:
    client = cluster.client
    await _apply(client, replicas=3)
    web = await _rolled_out(client)
    [one] = await client.list(REPLICA_SET, NS)
    code = one["metadata"]["labels"]["pod-template-hash"]
    assert one["metadata"]["name"] == f"web-{code}"
    assert one["metadata"]["ownerReferences"][0]["uid"] == web["metadata"]["uid"]
    pods = await client.list(POD, NS)
    assert len(pods) == 3
    for pod in pods:
        assert pod["metadata"]["name"].startswith(f"web-{code}-")
        assert pod["metadata"]["labels"] == {"app": "web", "pod-template-hash": code}
        assert pod["spec"]["nodeName"] == "n1"
    assert web["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "1"
    await _condition_is(client, "Progressing", "True", "NewReplicaSetAvailable")
    await _condition_is(client, "Available", "True", "MinimumReplicasAvailable")

    async def told() -> bool:
        events = {(one["involvedObject"]["kind"], one["reason"]) for one in await client.list(EVENT, NS)}
        wanted = {("Deployment", "ScalingReplicaSet"), ("ReplicaSet", "SuccessfulCreate"), ("Pod", "Scheduled")}
        return wanted <= events

    await eventually(told, "the events")


async def test_a_new_template_replaces_the_pods_within_the_bounds(cluster: Cluster) -> None:
    client = cluster.client
    await _apply(client, replicas=4, strategy=_rolling(1, 1))
    await _rolled_out(client)
    seen: list[tuple[int, int]] = []

    async def observe() -> None:
        while True:
            pods = await client.list(POD, NS)
            alive = [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]
            ready = [pod for pod in alive if _is_ready(pod)]
            seen.append((len(alive), len(ready)))
            await asyncio.sleep(0)

    observing = cluster.background.start(observe())
    await _roll_to(client, "a:2")
    web = await _rolled_out(client, "a:2")
    await cluster.background.stop(observing)
    assert web["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "2"
    assert await _sizes(client) == {"a:1": 0, "a:2": 4}
    assert min(ready for _, ready in seen) >= 3
    await eventually(lambda: _pod_count(client, 4))


def _rolling(surge: int, unavailable: int) -> dict[str, Any]:
    return {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}


def _is_ready(pod: dict[str, Any]) -> bool:
    return any(one["type"] == "Ready" and one["status"] == "True" for one in pod["status"].get("conditions", ()))


async def _pod_count(client: Client, count: int) -> bool:
    return len(await client.list(POD, NS)) == count


async def test_recreate_starts_nothing_before_the_last_old_pod_is_gone(cluster: Cluster) -> None:
    client = cluster.client
    await _apply(client, replicas=2, image="stubborn:1", strategy={"type": "Recreate"})
    await _rolled_out(client)
    await _roll_to(client, "a:2")

    async def all_ending() -> bool:
        pods = await client.list(POD, NS)
        return len(pods) == 2 and all(pod["metadata"].get("deletionTimestamp") for pod in pods)

    await eventually(all_ending)
    assert await _sizes(client) == {"stubborn:1": 0}
    cluster.kubelet.mercy.set()
    await _rolled_out(client, "a:2")
    assert await _sizes(client) == {"stubborn:1": 0, "a:2": 2}


async def test_an_old_template_finds_its_replica_set_again(cluster: Cluster) -> None:
    client = cluster.client
    await _apply(client, replicas=1)
    await _rolled_out(client)
    for image in ("a:2", "a:1"):
        await _roll_to(client, image)
        await _rolled_out(client, image)
    sets = await client.list(REPLICA_SET, NS)
    found = {one["spec"]["template"]["spec"]["containers"][0]["image"]: one["metadata"]["annotations"] for one in sets}
    assert {image: one["deployment.kubernetes.io/revision"] for image, one in found.items()} == {"a:1": "3", "a:2": "2"}
    assert found["a:1"]["deployment.kubernetes.io/revision-history"] == "1"


async def test_a_paused_deployment_scales_and_rolls_when_it_goes_on(cluster: Cluster) -> None:
    client = cluster.client
    await _apply(client, replicas=2)
    await _rolled_out(client)
    await client.patch(DEPLOYMENT, "web", NS, {"spec": {"paused": True}})
    await _condition_is(client, "Progressing", "Unknown", "DeploymentPaused")
    await _roll_to(client, "a:2")
    await client.patch(DEPLOYMENT, "web", NS, {"spec": {"replicas": 3}})
    await _sizes_are(client, **{"a:1": 3})
    await client.patch(DEPLOYMENT, "web", NS, {"spec": {"paused": False}})
    await _rolled_out(client, "a:2")
    await _condition_is(client, "Progressing", "True", "NewReplicaSetAvailable")


async def test_the_history_is_cleaned_up(cluster: Cluster) -> None:
    client = cluster.client
    await _apply(client, replicas=1, revisionHistoryLimit=1)
    await _rolled_out(client)
    for number in range(2, 5):
        await _roll_to(client, f"a:{number}")
        await _rolled_out(client, f"a:{number}")
    await _sizes_are(client, **{"a:3": 0, "a:4": 1})


async def test_a_rollout_that_does_not_move_is_told_and_goes_on_when_it_can(cluster: Cluster) -> None:
    client = cluster.client
    await _apply(client, replicas=2, progressDeadlineSeconds=1)
    await _rolled_out(client)
    await _roll_to(client, "stuck:1")
    await _condition_is(client, "Progressing", "False", "ProgressDeadlineExceeded")
    assert _condition(await client.get(DEPLOYMENT, "web", NS), "Available") == ("True", "MinimumReplicasAvailable")
    await _roll_to(client, "a:3")
    await _rolled_out(client, "a:3")
    await _condition_is(client, "Progressing", "True", "NewReplicaSetAvailable")


async def test_pods_count_as_available_after_min_ready_seconds(cluster: Cluster) -> None:
    client = cluster.client
    await _apply(client, replicas=1, minReadySeconds=2)

    async def ready() -> dict[str, Any] | None:
        web = await client.get(DEPLOYMENT, "web", NS)
        return web if web.get("status", {}).get("readyReplicas") else None

    web = await eventually(ready)
    assert web["status"].get("availableReplicas", 0) == 0
    assert _condition(web, "Available") == ("False", "MinimumReplicasUnavailable")
    await _rolled_out(client)


def _refuse(request: AdmissionRequest, reader: Reader) -> AdmissionResponse:
    labels = (request.object or {}).get("metadata", {}).get("labels", {})
    allowed = labels.get("quota") != "none"
    return AdmissionResponse(allowed=allowed, message="no room in the quota")


async def test_what_the_api_refuses_is_told_on_the_deployment_and_tried_again(bare: Cluster) -> None:
    await bare.stop_serving()
    bare.admitters = (Admitter(name="quota", resources=(POD,), operations=("CREATE",), admit=_refuse),)
    await bare.serve()
    await bare.control()
    await bare.run_node()
    client = bare.client
    body = deployment_body(replicas=3, template=template(quota="none"))
    await client.create(DEPLOYMENT, body, NS)
    web = await _condition_is(client, "ReplicaFailure", "True", "FailedCreate")
    [condition] = [one for one in web["status"]["conditions"] if one["type"] == "ReplicaFailure"]
    assert "no room in the quota" in condition["message"]

    async def told() -> bool:
        events = await client.list(EVENT, NS, field_selector="reason=FailedCreate")
        return any("Error creating" in one["message"] and "quota" in one["message"] for one in events)

    await eventually(told)
    await client.patch(DEPLOYMENT, "web", NS, {"spec": {"template": template()}}, kind="merge")
    await client.patch(DEPLOYMENT, "web", NS, {"spec": {"template": {"metadata": {"labels": {"quota": None}}}}})
    web = await _rolled_out(client)

    async def forgotten() -> bool:
        return _condition(await client.get(DEPLOYMENT, "web", NS), "ReplicaFailure") is None

    await eventually(forgotten)


async def test_a_name_that_a_stranger_has_taken_is_avoided(cluster: Cluster) -> None:
    client = cluster.client
    # What the API makes of the template is what the name is made of, so it is asked first.
    stored = await _apply(client, replicas=1, paused=True)
    code = revisions.template_hash(stored["spec"]["template"], 0)
    labels = {"app": "stranger"}
    stranger = {
        "metadata": {"name": f"web-{code}"},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": labels},
            "template": template() | {"metadata": {"labels": labels}},
        },
    }
    await client.create(REPLICA_SET, stranger, NS)
    await client.patch(DEPLOYMENT, "web", NS, {"spec": {"paused": False}})
    web = await _rolled_out(client)
    assert web["status"]["collisionCount"] == 1
    names = {one["metadata"]["name"] for one in await client.list(REPLICA_SET, NS)}
    assert names == {f"web-{code}", f"web-{revisions.template_hash(stored['spec']['template'], 1)}"}


async def test_pods_are_released_and_adopted_by_their_labels(cluster: Cluster) -> None:
    client = cluster.client
    await _apply(client, replicas=2)
    await _rolled_out(client)
    [first, _] = await client.list(POD, NS)
    name = first["metadata"]["name"]
    await client.patch(POD, name, NS, {"metadata": {"labels": {"app": "debugged"}}})

    async def released() -> bool:
        pods = await client.list(POD, NS)
        alone = next(one for one in pods if one["metadata"]["name"] == name)
        return len(pods) == 3 and not alone["metadata"].get("ownerReferences")

    await eventually(released, "the pod is on its own and replaced")
    await client.patch(POD, name, NS, {"metadata": {"labels": {"app": "web"}}})
    await eventually(lambda: _pod_count(client, 2))
    pods = await client.list(POD, NS)
    assert all(one["metadata"]["ownerReferences"][0]["kind"] == "ReplicaSet" for one in pods)


async def test_an_orphaned_replica_set_is_adopted(cluster: Cluster) -> None:
    client = cluster.client
    await _apply(client, replicas=1)
    await _rolled_out(client)
    [before] = await client.list(POD, NS)
    await client.delete(DEPLOYMENT, "web", NS, propagation="Orphan")

    async def orphaned() -> bool:
        [one] = await client.list(REPLICA_SET, NS)
        return not one["metadata"].get("ownerReferences")

    await eventually(orphaned)
    await _apply(client, replicas=1)
    await _rolled_out(client)
    [after] = await client.list(POD, NS)
    assert after["metadata"]["uid"] == before["metadata"]["uid"]


async def test_caches_that_lag_make_no_duplicates(bare: Cluster) -> None:
    created: list[str] = []

    def count(request: AdmissionRequest, reader: Reader) -> AdmissionResponse:
        created.append(request.resource.kind)
        return AdmissionResponse()

    await bare.stop_serving()
    bare.admitters = (Admitter(name="count", resources=(POD, REPLICA_SET), operations=("CREATE",), admit=count),)
    await bare.serve()
    kubelet = await bare.run_node()
    async with LateClient(bare.config) as late:
        controllers = await bare.control(late)
        await _apply(bare.client, replicas=6, image="stubborn:1")
        await _rolled_out(bare.client)
        await bare.client.patch(DEPLOYMENT, "web", NS, {"spec": {"replicas": 2}})
        await _rolled_out(bare.client)

        async def told() -> list[int]:
            events = await bare.client.list(EVENT, NS, field_selector="reason=SuccessfulDelete")
            return [one["count"] for one in events if len(events) == 4]

        # Each of the four was told to go once.
        assert await eventually(told) == [1, 1, 1, 1]
        kubelet.mercy.set()
        await eventually(lambda: _pod_count(bare.client, 2))
        await bare.background.stop(controllers)
    assert sorted(created) == ["Pod"] * 6 + ["ReplicaSet"]
    assert await _pod_count(bare.client, 2)


_CONTROLLERS = """
import asyncio, sys
from pathlib import Path
from mizzen.cluster.workloads import manager
from mizzen.kube import config
from mizzen.kube.client import Client

async def main():
    async with Client(config.load(Path(sys.argv[1]))) as client:
        await manager.run(client, ready=lambda: print("ready", flush=True))

asyncio.run(main())
"""


@pytest.mark.parametrize("moment", [0.0, 0.02, 0.1])
async def test_controllers_that_are_killed_in_a_rollout_reach_the_same_state_afterwards(
    bare: Cluster, moment: float
) -> None:
    """The same manifest, the same end: whatever was half done when the process died."""
    await bare.run_node()
    command = [sys.executable, "-c", _CONTROLLERS, str(bare.server.kubeconfig)]
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, env=bare.server.environment)
    assert process.stdout is not None
    assert await process.stdout.readline() == b"ready\n"
    client = bare.client
    await _apply(client, replicas=8)
    await _rolled_out(client)
    await _roll_to(client, "a:2")
    await asyncio.sleep(moment)
    os.kill(process.pid, signal.SIGKILL)
    await process.wait()
    await bare.control()
    await _rolled_out(client, "a:2")
    assert await _sizes(client) == {"a:1": 0, "a:2": 8}
    await eventually(lambda: _pod_count(client, 8))


async def test_an_installation_at_rest_writes_nothing_and_neither_do_controllers_that_start_again(
    bare: Cluster,
) -> None:
    client = bare.client
    controllers = await bare.control(root_ca="PEM")
    await bare.run_node()
    await _apply(client, replicas=3)
    service = {"metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]}}
    await client.create(SERVICE, service, NS)
    waiting = {"containers": [{"name": "main", "image": "a:1"}], "nodeSelector": {"disk": "ssd"}}
    await client.create(POD, {"metadata": {"name": "waiting"}, "spec": waiting}, NS)
    await _rolled_out(client)
    await _roll_to(client, "a:2")
    await _rolled_out(client, "a:2")

    async def version() -> str:
        return (await client.list_raw(POD, NS))[1]

    async def at_rest() -> bool:
        before = await version()
        await asyncio.sleep(1.0)
        return before == await version()

    await eventually(at_rest, "a second without any write")
    before = await version()
    await bare.background.stop(controllers)
    await bare.control(root_ca="PEM")
    await asyncio.sleep(1.0)
    assert await version() == before
