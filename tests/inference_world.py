"""A real API server with KServe's kinds and rules, the InferenceService controller; the test plays everybody else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from apiserver_fixture import Server, serving
from inference_objects import manifest
from mizzen.apis.apps import DEPLOYMENT
from mizzen.apis.core import CONFIG_MAP, EVENT, NAMESPACE, POD, SERVICE
from mizzen.apis.httproute import HTTP_ROUTE
from mizzen.apis.meta import ResourceDef
from mizzen.apis.networking import INGRESS
from mizzen.apis.serving.v1beta1.inferenceservice import INFERENCE_SERVICE
from mizzen.control.inference.admission import ADMITTERS
from mizzen.control.inference.controller import InferenceServices
from mizzen.control.inference.manifests import crds, objects
from mizzen.control.inference.standard import INFERENCE_SERVICE_LABEL
from mizzen.kube import times
from mizzen.kube.admission import Admitter
from mizzen.kube.client import Client
from mizzen.kube.config import ClusterConfig
from mizzen.kube.discovery import UnknownKind, catalogue
from mizzen.kube.errors import ApiError

PATIENCE = 30.0
CUSTOM_RESOURCES = ResourceDef(
    group="apiextensions.k8s.io",
    version="v1",
    kind="CustomResourceDefinition",
    plural="customresourcedefinitions",
    namespaced=False,
)
SETTINGS = ("inferenceservice-config", "kserve")


class CountingClient(Client):
    """A client that notes what it asks."""

    def __init__(self, config: ClusterConfig, **options: Any) -> None:
        super().__init__(config, **options)
        self.asked: list[tuple[str, str]] = []

    @asynccontextmanager
    async def _request(self, method: str, path: str, *args: Any, **options: Any) -> AsyncIterator[Any]:
        self.asked.append((method, path))
        async with super()._request(method, path, *args, **options) as response:
            yield response

    @property
    def writes(self) -> list[tuple[str, str]]:
        """Everything that was not read, events apart."""
        return [(method, path) for method, path in self.asked if method != "GET" and "/events" not in path]


class World:
    """What a test holds in its hands: the server, its own client, and those who look after services."""

    def __init__(self, server: Server, client: Client) -> None:
        self.server = server
        self.client = client

    @property
    def config(self) -> ClusterConfig:
        return ClusterConfig(server=self.server.url, ca=self.server.ca.read_text(), token=self.server.token)

    @asynccontextmanager
    async def controlled(self, **options: Any) -> AsyncIterator[CountingClient]:
        """Run the controller; what is given is the client that it asks with."""
        ready = asyncio.Event()
        async with CountingClient(self.config) as client:
            task = asyncio.create_task(InferenceServices(client, **options).run(ready.set))
            waiting = asyncio.create_task(ready.wait())
            try:
                await asyncio.wait([task, waiting], timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
                if task.done():
                    await task
                assert ready.is_set(), "the controller did not get ready"
                yield client
            finally:
                waiting.cancel()
                task.cancel()
                result = (await asyncio.gather(task, return_exceptions=True))[0]
                assert isinstance(result, asyncio.CancelledError), result

    async def apply(self, name: str = "iris", **fields: Any) -> dict[str, Any]:
        """Apply a service as a user would; the words of :func:`inference_objects.manifest`."""
        found = manifest(name, **fields)
        found["metadata"] = {key: value for key, value in found["metadata"].items() if key not in ("uid", "generation")}
        return await self.client.apply(INFERENCE_SERVICE, found)

    async def annotate(self, name: str, **annotations: str | None) -> None:
        written = {f"serving.kserve.io/{key.replace('_', '-')}": value for key, value in annotations.items()}
        body = {"metadata": {"annotations": written}}
        await self.client.patch(INFERENCE_SERVICE, name, "default", body)

    async def configure(self, **data: str | None) -> None:
        """Change keys of the config map."""
        await self.client.patch(CONFIG_MAP, *SETTINGS, {"data": data})

    async def find(self, resource: ResourceDef, name: str, namespace: str = "default") -> dict[str, Any] | None:
        try:
            return await self.client.get(resource, name, namespace)
        except ApiError as error:
            if error.code != 404:
                raise
            return None

    async def have(
        self,
        resource: ResourceDef,
        name: str,
        condition: Callable[[dict[str, Any]], Any] = lambda _: True,
        namespace: str = "default",
    ) -> dict[str, Any]:
        """The object, once it is there and the condition holds."""
        found: dict[str, Any] | None = None
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    found = await self.find(resource, name, namespace)
                    if found is not None and condition(found):
                        return found
                    await asyncio.sleep(0.01)
        except TimeoutError:
            raise AssertionError(f"{resource.kind} {name} never got there; it is {found!r}") from None

    async def gone(self, resource: ResourceDef, name: str) -> None:
        async with asyncio.timeout(PATIENCE):
            while await self.find(resource, name) is not None:
                await asyncio.sleep(0.01)

    async def says(self, name: str, kind: str, status: str, reason: str | None = None) -> dict[str, Any]:
        """The service, once one of its conditions is so."""

        def holds(found: dict[str, Any]) -> bool:
            one = condition(found, kind)
            return one.get("status") == status and reason in (None, one.get("reason", ""))

        return await self.have(INFERENCE_SERVICE, name, holds)

    async def deployed(self, name: str = "iris-predictor", *, available: bool = True, **status: Any) -> None:
        """Play the Deployment controller."""
        found = await self.have(DEPLOYMENT, name)
        replicas = found["spec"].get("replicas", 1)
        word = "True" if available else "False"
        conditions = [
            {"type": "Available", "status": word, "reason": "MinimumReplicas", "message": "played"},
            {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable" if available else "Updated"},
        ]
        body = {
            "observedGeneration": found["metadata"]["generation"],
            "replicas": replicas,
            "availableReplicas": replicas if available else 0,
            "conditions": conditions,
        } | status
        await self.client.patch(DEPLOYMENT, name, "default", {"status": body}, subresource="status")

    async def routed(self, name: str = "iris") -> None:
        """Play the gateway for a classic Ingress."""
        await self.have(INGRESS, name)
        body = {"status": {"loadBalancer": {"ingress": [{"hostname": "localhost"}]}}}
        await self.client.patch(INGRESS, name, "default", body, subresource="status")

    async def taken_up(self, name: str, status: str = "True") -> None:
        """Play the gateway for an HTTPRoute."""
        found = await self.have(HTTP_ROUTE, name)
        condition = {
            "type": "Accepted",
            "status": status,
            "reason": "Accepted" if status == "True" else "NotAllowed",
            "message": "played",
            "lastTransitionTime": times.now(),
            "observedGeneration": found["metadata"]["generation"],
        }
        parent = {"parentRef": found["spec"]["parentRefs"][0], "controllerName": "test", "conditions": [condition]}
        await self.client.patch(HTTP_ROUTE, name, "default", {"status": {"parents": [parent]}}, subresource="status")

    async def started(self, name: str = "iris-predictor-0", service: str = "iris", **status: Any) -> None:
        """Play the node: a pod of the predictor with this status."""
        labels = {INFERENCE_SERVICE_LABEL: service, "component": "predictor"}
        containers = [{"name": "kserve-container", "image": "i"}]
        if await self.find(POD, name) is None:
            body = {
                "metadata": {"name": name, "namespace": "default", "labels": labels},
                "spec": {"containers": containers},
            }
            await self.client.create(POD, body)
        await self.client.patch(POD, name, "default", {"status": status}, subresource="status")

    async def live(self, name: str = "iris", routes: str = "Ingress") -> dict[str, Any]:
        """Play everybody until the service is ready."""
        await self.deployed(f"{name}-predictor")
        if routes == "Ingress":
            await self.routed(name)
        else:
            await self.taken_up(name)
            await self.taken_up(f"{name}-predictor")
        return await self.says(name, "Ready", "True")

    async def quiet(self, client: CountingClient) -> None:
        """Wait until the controller has nothing more to write."""
        count = -1
        async with asyncio.timeout(PATIENCE):
            while len(client.writes) != count:
                count = len(client.writes)
                await asyncio.sleep(0.2)

    async def told(self, reason: str, name: str = "iris") -> dict[str, Any]:
        """An event about the service, once it is there."""
        async with asyncio.timeout(PATIENCE):
            while True:
                for event in await self.client.list(EVENT, "default"):
                    if (event["reason"], event["involvedObject"]["name"]) == (reason, name):
                        return event
                await asyncio.sleep(0.01)


def condition(found: dict[str, Any], kind: str) -> dict[str, Any]:
    conditions = found.get("status", {}).get("conditions", ())
    return next((one for one in conditions if one["type"] == kind), {})


@asynccontextmanager
async def world(home: Path, *rules: Admitter) -> AsyncIterator[World]:
    """A world in which KServe's kinds are installed and nobody looks after them yet; ``rules`` are admitted by too."""
    async with serving(home, admitters=(*ADMITTERS, *rules), reserve=0) as server:
        config = ClusterConfig(server=server.url, ca=server.ca.read_text(), token=server.token)
        async with Client(config, field_manager="tester") as client:
            await install(client)
            yield World(server, client)


async def install(client: Client) -> None:
    for definition in crds():
        await client.apply(CUSTOM_RESOURCES, definition)
    if not any(one["metadata"]["name"] == "default" for one in await client.list(NAMESPACE)):
        await client.create(NAMESPACE, {"metadata": {"name": "default"}})
    for found in objects():
        await client.apply(await _served(client, found), found)


async def _served(client: Client, found: dict[str, Any]) -> ResourceDef:
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                return (await catalogue(client)).by_kind(found["apiVersion"], found["kind"])
            except UnknownKind:
                await asyncio.sleep(0.01)


__all__ = ["DEPLOYMENT", "INFERENCE_SERVICE", "INGRESS", "SERVICE", "CountingClient", "World", "condition", "world"]
