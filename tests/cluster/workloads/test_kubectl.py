"""The kubectl commands that people drive rollouts with, by the real binaries of each version they may have."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from pathlib import Path

import pytest

from mizzen.apis.core import POD
from workload_cluster import PATIENCE, Cluster, eventually

VERSIONS = ("1.28", "1.29", "1.30", "1.31", "1.32", "1.33")

MANIFEST = """
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
spec:
  replicas: 3
  selector:
    matchLabels: {app: web}
  template:
    metadata:
      labels: {app: web}
    spec:
      containers:
      - name: main
        image: a:1
"""


class Kubectl:
    def __init__(self, cluster: Cluster, version: str) -> None:
        self._cluster = cluster
        self._binary = binary(version)

    async def __call__(self, *arguments: str, stdin: str = "", fails: bool = False) -> str:
        """Run one command; returns what it printed on both channels."""
        process = await asyncio.create_subprocess_exec(
            self._binary,
            *arguments,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=self._cluster.server.environment,
        )
        async with asyncio.timeout(PATIENCE):
            printed, _ = await process.communicate(stdin.encode())
        assert bool(process.returncode) is fails, f"{arguments}: {printed.decode()}"
        return printed.decode()


def binary(version: str) -> Path:
    """kubectl of a version; the plain name may be a dispatcher that picks a version of its own."""
    found = shutil.which("kubectl")
    if found is None:
        pytest.skip("no kubectl on this machine")
    versioned = Path(found).resolve().with_name(f"kubectl.{version}")
    if not versioned.exists():
        pytest.skip(f"no kubectl {version} on this machine")
    return versioned


@pytest.mark.parametrize("version", VERSIONS)
async def test_rollouts_by_kubectl(cluster: Cluster, version: str) -> None:
    kubectl = Kubectl(cluster, version)
    await kubectl("apply", "-f", "-", stdin=MANIFEST)
    status = await kubectl("rollout", "status", "deployment/web", "--timeout=20s")
    assert "successfully rolled out" in status
    await kubectl("wait", "deployment/web", "--for=condition=Available", "--timeout=20s")

    await kubectl("scale", "deployment/web", "--replicas=5")
    await kubectl("rollout", "status", "deployment/web", "--timeout=20s")
    assert len((await kubectl("get", "pods", "-o", "name")).split()) == 5
    await kubectl("scale", "deployment/web", "--replicas=2", "--current-replicas=5")

    await kubectl("set", "image", "deployment/web", "main=a:2")
    await kubectl("annotate", "deployment/web", "kubernetes.io/change-cause=second image")
    await kubectl("rollout", "status", "deployment/web", "--timeout=20s")

    async def has_cause() -> bool:
        return "second image" in await kubectl("rollout", "history", "deployment/web")

    await eventually(has_cause)
    assert "a:1" in await kubectl("rollout", "history", "deployment/web", "--revision=1")

    await kubectl("rollout", "undo", "deployment/web")
    await kubectl("rollout", "status", "deployment/web", "--timeout=20s")
    images = await kubectl("get", "pods", "-o", "jsonpath={.items[*].spec.containers[0].image}")
    assert set(images.split()) == {"a:1"}
    history = await kubectl("rollout", "history", "deployment/web")
    assert [line.split()[0] for line in history.splitlines() if line[:1].isdigit()] == ["2", "3"]

    before = {pod["metadata"]["uid"] for pod in await cluster.client.list(POD, "default")}
    await kubectl("rollout", "restart", "deployment/web")
    await kubectl("rollout", "status", "deployment/web", "--timeout=20s")

    async def all_new() -> bool:
        return not before & {pod["metadata"]["uid"] for pod in await cluster.client.list(POD, "default")}

    await eventually(all_new)

    await kubectl("rollout", "pause", "deployment/web")
    await kubectl("set", "image", "deployment/web", "main=a:3")
    await kubectl("rollout", "restart", "deployment/web", fails=True)
    await kubectl("rollout", "undo", "deployment/web", fails=True)
    await kubectl("rollout", "resume", "deployment/web")
    await kubectl("rollout", "status", "deployment/web", "--timeout=20s")
    images = await kubectl("get", "pods", "-o", "jsonpath={.items[*].spec.containers[0].image}")
    assert set(images.split()) == {"a:3"}

    described = await kubectl("describe", "deployment/web")
    assert "NewReplicaSet:" in described
    assert "ScalingReplicaSet" in described
    await kubectl("delete", "deployment/web", "--cascade=foreground", "--timeout=20s")
    assert "No resources found" in await kubectl("get", "pods,replicasets")


async def test_a_stuck_rollout_is_told_by_kubectl(cluster: Cluster) -> None:
    kubectl = Kubectl(cluster, VERSIONS[-1])
    manifest = MANIFEST.replace("replicas: 3", "replicas: 3\n  progressDeadlineSeconds: 1").replace("a:1", "stuck:1")
    await kubectl("apply", "-f", "-", stdin=manifest)
    told = await kubectl("rollout", "status", "deployment/web", "--timeout=20s", fails=True)
    assert "exceeded its progress deadline" in told


async def test_kubectl_deletes_a_namespace_and_waits_for_its_end(cluster: Cluster) -> None:
    kubectl = Kubectl(cluster, VERSIONS[-1])
    await kubectl("create", "namespace", "team", "--dry-run=client", "-o", "name")
    await kubectl("apply", "-f", "-", stdin="apiVersion: v1\nkind: Namespace\nmetadata: {name: team}\n")
    await kubectl("apply", "-n", "team", "-f", "-", stdin=MANIFEST)
    await kubectl("rollout", "status", "-n", "team", "deployment/web", "--timeout=20s")
    await kubectl("delete", "namespace", "team", "--timeout=20s")
    assert "NotFound" in await kubectl("get", "namespace", "team", fails=True)


async def test_kubectl_cordons_and_pods_wait(cluster: Cluster) -> None:
    kubectl = Kubectl(cluster, VERSIONS[-1])

    async def registered() -> bool:
        return "n1" in await kubectl("get", "nodes")

    await eventually(registered)
    await kubectl("cordon", "n1")
    await kubectl("apply", "-f", "-", stdin=MANIFEST)

    async def told() -> bool:
        return "node(s) were unschedulable" in await kubectl("describe", "pods")

    await eventually(told)
    await kubectl("uncordon", "n1")
    await kubectl("rollout", "status", "deployment/web", "--timeout=20s")
