"""A real node on a real API server, and what tests of the node do with it over and over."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from apiserver_fixture import Server, serving
from cluster.node.runtime.pod_bench import in_child
from mizzen.apis.core import EVENT, NAMESPACE, POD
from mizzen.cluster.node import agent
from mizzen.cluster.node.runtime import namespaces
from mizzen.cluster.node.runtime.client import PodParent
from mizzen.cluster.node.runtime.network import AddressBlock
from mizzen.cluster.node.runtime.processes import CONTAINER_MARK, PARENT_MARK, environment, table
from mizzen.cluster.node.runtime.spec import Isolation
from mizzen.kube.client import Client
from mizzen.kube.config import ClusterConfig
from mizzen.kube.errors import ApiError
from node_agent import node_config

PATIENCE = 60.0
Object = dict[str, Any]
AGENT = Path(__file__).with_name("node_agent.py")


def permitted() -> str:
    """Which namespaces this user may make."""
    found: str = in_child(lambda: namespaces.probe().mode)
    return found


class World:
    """One API server and one node.

    Attributes:
        mode: how containers see their volumes: ``mount`` or ``user`` with real paths, ``none`` with rewritten ones.
    """

    def __init__(self, home: Path, server: Server, client: Client, mode: str) -> None:
        self.home = home
        self.server = server
        self.client = client
        self.mode = mode
        self.agent: asyncio.Task[None] | None = None
        self.process: subprocess.Popen[str] | None = None
        self.blocks: list[AddressBlock] = []

    @property
    def isolation(self) -> Isolation:
        return Isolation("none", "this test forbids it") if self.mode == "none" else Isolation(self.mode)  # type: ignore[arg-type]

    # The agent

    async def start(self, **fields: Any) -> None:
        """Start the agent in this process."""
        config = node_config(self.home, self.server.url, self.server.ca, self.server.token, self.isolation, **fields)
        ready = asyncio.Event()
        self.agent = asyncio.create_task(agent.run(config, ready=ready.set))
        waiting = asyncio.create_task(ready.wait())
        await asyncio.wait({self.agent, waiting}, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if self.agent.done():
            self.agent.result()
        assert ready.is_set(), "the agent did not get ready"
        # Held like the supervisor holds it: while agents come and go.
        self.blocks.append(config.block)

    async def stop(self) -> None:
        """Stop the agent; pods live on."""
        if self.agent is None:
            return
        task, self.agent = self.agent, None
        task.cancel()
        await asyncio.wait({task})
        if not task.cancelled() and task.exception() is not None:
            raise AssertionError("the agent failed") from task.exception()

    async def spawn(self) -> None:
        """Start the agent in a process of its own."""
        arguments = [str(self.home), self.server.url, str(self.server.ca), self.server.token, self.mode]
        self.process = await asyncio.to_thread(
            subprocess.Popen,
            [sys.executable, str(AGENT), *arguments],
            stdout=subprocess.PIPE,
            text=True,
            env=self.server.environment,
        )
        assert self.process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            assert (await asyncio.to_thread(self.process.stdout.readline)).strip() == "ready"

    def kill(self) -> None:
        """Kill the agent's process as hard as it goes."""
        process, self.process = self.process, None
        if process is not None:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()

    async def close(self) -> None:
        self.kill()
        await self.stop()
        for block in self.blocks:
            block.release()
        for socket in self.home.glob("run/parents/*.sock"):
            await PodParent.end(socket, socket.with_suffix(""), grace=0.0)

    def leftovers(self) -> list[tuple[int, bytes]]:
        """The processes that stem from this node."""
        marks = tuple(f"{name}={self.home / 'run'}/".encode() for name in (CONTAINER_MARK, PARENT_MARK))
        return [(pid, _command(pid)) for pid in table() if any(value.startswith(marks) for value in environment(pid))]

    def leftovers_of(self, pod: Object) -> list[tuple[int, bytes]]:
        """The processes that were executed in a pod's containers."""
        mark = f"#{pod['metadata']['uid']}/".encode()
        return [
            (pid, _command(pid))
            for pid in table()
            if any(value.startswith(CONTAINER_MARK.encode()) and mark in value for value in environment(pid))
        ]

    # Pods

    async def run(self, name: str, *containers: Object, **spec: Any) -> Object:
        """Make a pod that is bound to the node already. Containers without a name are called ``main``."""
        named = [{"name": "main", "image": "busybox"} | container for container in containers]
        metadata = {"name": name, "namespace": "default"} | spec.pop("metadata", {})
        body = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata}
        return await self.client.create(POD, body | {"spec": {"nodeName": "n1", "containers": named} | spec}, "default")

    async def pod(self, name: str) -> Object | None:
        try:
            return await self.client.get(POD, name, "default")
        except ApiError as error:
            if error.code != 404:
                raise
            return None

    async def until(self, name: str, holds: Callable[[Object], Any], patience: float = PATIENCE) -> Object:
        """Wait until something holds of a pod, and return the pod."""
        end = time.monotonic() + patience
        while True:
            pod = await self.pod(name)
            if pod is not None and holds(pod):
                return pod
            assert time.monotonic() < end, f"it never came true; the pod's status is {(pod or {}).get('status')}"
            await asyncio.sleep(0.01)

    async def until_gone(self, name: str) -> None:
        end = time.monotonic() + PATIENCE
        while await self.pod(name) is not None:
            assert time.monotonic() < end, "the pod is still there"
            await asyncio.sleep(0.01)

    async def delete(self, name: str, grace: int | None = None) -> None:
        await self.client.delete(POD, name, "default", grace_period=grace)

    async def finished(self, name: str) -> Object:
        return await self.until(name, lambda pod: pod["status"]["phase"] in ("Succeeded", "Failed"))

    async def ready(self, name: str) -> Object:
        return await self.until(name, is_ready)

    async def log(self, name: str, **query: str) -> str:
        """A container's log through the API, as ``kubectl logs`` gets it."""
        async with self.client.logs(name, "default", query) as stream:
            return (await stream.read()).decode()

    async def output(self, name: str, *containers: Object, **spec: Any) -> str:
        """Run a pod to its end, which must be a good one, and return what it wrote."""
        await self.run(name, *containers, restartPolicy="Never", **spec)
        pod = await self.finished(name)
        text = await self.log(name)
        assert pod["status"]["phase"] == "Succeeded", (text, pod["status"])
        return text

    async def says(self, name: str, text: str, **query: str) -> str:
        """Wait until a container has written something."""
        end = time.monotonic() + PATIENCE
        while True:
            try:
                found = await self.log(name, **query)
            except ApiError as error:
                if error.code != 400:
                    raise
                found = ""
            if text in found:
                return found
            assert time.monotonic() < end, f"it never said so: {found}"
            await asyncio.sleep(0.02)

    async def event(self, name: str, reason: str) -> str:
        """Wait for an event about a pod, and return its sentence."""
        end = time.monotonic() + PATIENCE
        while True:
            events = [e for e in await self.client.list(EVENT, "default") if e["involvedObject"]["name"] == name]
            for event in events:
                if event["reason"] == reason:
                    return str(event["message"])
            assert time.monotonic() < end, [(event["reason"], event["message"]) for event in events]
            await asyncio.sleep(0.02)

    def folder(self, pod: Object) -> Path:
        found: Path = self.home / "pods" / pod["metadata"]["uid"]
        return found

    def pid(self, pod: Object, container: str = "main") -> int:
        """The process of a container's latest run."""
        runs = sorted(
            self.folder(pod).glob(f"containers/{container}/*/pid.json"), key=lambda path: int(path.parent.name)
        )
        return int(json.loads(runs[-1].read_text())["pid"])


def status_of(pod: Object, container: str = "main") -> Object:
    """A container's status; an empty one while there is none."""
    status = pod.get("status") or {}
    found = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    return next((one for one in found if one["name"] == container), {})


def condition(pod: Object, kind: str) -> str:
    found = pod["status"].get("conditions") or ()
    return next((str(one["status"]) for one in found if one["type"] == kind), "")


def is_ready(pod: Object) -> bool:
    return condition(pod, "Ready") == "True"


def waiting(pod: Object, container: str = "main") -> str:
    """Why a container waits, unless it is only on its way."""
    found = (status_of(pod, container).get("state") or {}).get("waiting") or {}
    reason = str(found.get("reason") or "")
    return "" if reason in ("ContainerCreating", "PodInitializing") else reason


def shell(script: str, **fields: Any) -> Object:
    return {"command": ["sh", "-c", script]} | fields


@asynccontextmanager
async def world(folder: Path, mode: str, name: str = "home") -> AsyncIterator[World]:
    """A world without an agent yet; whatever it started is ended with it, and must be."""
    home = folder / name
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(
            serving(folder / f"{name}-api", node_socket=home / "run" / "node.sock", reserve=0)
        )
        config = ClusterConfig(server=server.url, ca=server.ca.read_text(), token=server.token)
        client = await stack.enter_async_context(Client(config))
        for namespace in ("default", "kube-node-lease"):
            try:
                await client.create(NAMESPACE, {"metadata": {"name": namespace}})
            except ApiError as error:
                assert error.reason == "AlreadyExists"
        found = World(home, server, client, mode)
        try:
            yield found
        finally:
            await found.close()
            assert found.leftovers() == []


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
