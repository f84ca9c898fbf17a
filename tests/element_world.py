"""Elements of automation compositions against a real API server: the test plays KServe, the runtime and the network.

Between the handler and the API stands a relay that notes every request, and on demand refuses, delays or drops some.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import aiohttp
from aiohttp import web
from msgspec import structs

from apiserver_fixture import Server, serving
from fake_api import Answer, until
from mizzen.acm.messages.concepts import Identifier
from mizzen.acm.participant.handler import Element, Publisher
from mizzen.acm.participant.kserve import KserveHandler, Settings
from mizzen.apis.core import NAMESPACE
from mizzen.apis.crd import crd
from mizzen.apis.meta import ResourceDef
from mizzen.apis.serving.v1beta1.inferenceservice import INFERENCE_SERVICE, InferenceService
from mizzen.control.inference.admission import ADMITTERS
from mizzen.kube.client import Client, Unreachable
from mizzen.kube.config import ClusterConfig
from mizzen.kube.errors import ApiError
from mizzen.kube.informer import Change, Informer

SETTINGS = Settings(ready_timeout=20, status_interval=5, undeploy_timeout=20, debounce=0.05)
DEFINITION = Identifier("onap.policy.clamp.ac.element.KserveAutomationCompositionElement", "1.2.3")
CUSTOM_RESOURCES = ResourceDef(
    group="apiextensions.k8s.io",
    version="v1",
    kind="CustomResourceDefinition",
    plural="customresourcedefinitions",
    namespaced=False,
)
SPEC = {"predictor": {"model": {"modelFormat": {"name": "sklearn"}, "storageUri": "https://models/iris"}}}


class Request(NamedTuple):
    method: str
    path: str
    query: Mapping[str, str]
    body: Any

    @property
    def verb(self) -> str:
        """What a role would call it."""
        if self.method == "GET":
            collection = self.path.endswith("/inferenceservices")
            return ("watch" if "watch" in self.query else "list") if collection else "get"
        return {"POST": "create", "PATCH": "patch", "PUT": "update", "DELETE": "delete"}[self.method]


class Relay:
    """What the handler takes for the API.

    Attributes:
        url: where it is.
        requests: everything that was asked, in order.
        away: set, every connection is dropped.
    """

    def __init__(self, server: Server) -> None:
        self.url = ""
        self.requests: list[Request] = []
        self.away = False
        self._server = server
        self._rules: list[tuple[Callable[[Request], bool], Answer]] = []
        self._streams: set[asyncio.Transport] = set()
        self._session: aiohttp.ClientSession | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Relay]:
        application = web.Application(client_max_size=2**24)
        application.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(application, handler_cancellation=True, shutdown_timeout=0.1)
        async with self._server.session(auto_decompress=False) as self._session:
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            try:
                yield self
            finally:
                await runner.cleanup()

    def answer(self, verb: str, with_: Answer) -> Callable[[], None]:
        """Answer requests of a verb so instead of passing them on. Returns what ends it."""
        rule = (lambda asked: asked.verb == verb, with_)
        self._rules.append(rule)
        return lambda: self._rules.remove(rule)

    def lose(self, verb: str) -> None:
        """Pass the next request of a verb on, and lose its answer."""

        async def answer(request: web.Request) -> web.StreamResponse:
            self._rules.remove(rule)
            body = await request.read()
            assert self._session is not None
            async with self._session.request(request.method, request.raw_path, data=body, headers=_kept(request)):
                pass
            if request.transport is not None:
                request.transport.close()
            return web.Response()

        rule = (lambda asked: asked.verb == verb, answer)
        self._rules.append(rule)

    def before(self, verb: str, happens: Callable[[], Awaitable[Any]]) -> None:
        """Have something happen just before the next request of a verb arrives."""

        async def answer(request: web.Request) -> web.StreamResponse:
            self._rules.remove(rule)
            await happens()
            return await self._passed_on(request, await request.read())

        rule = (lambda asked: asked.verb == verb, answer)
        self._rules.append(rule)

    def go(self) -> None:
        """Be away: what is open breaks off, too."""
        self.away = True
        for transport in self._streams:
            transport.close()

    def come_back(self) -> None:
        self.away = False

    def count(self, verb: str) -> int:
        return sum(request.verb == verb for request in self.requests)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        asked = Request(request.method, request.path, dict(request.query), json.loads(body) if body else None)
        if self.away:
            if request.transport is not None:
                request.transport.close()
            return web.Response()
        self.requests.append(asked)
        for applies, answer in self._rules:
            if applies(asked):
                return await answer(request)
        return await self._passed_on(request, body)

    async def _passed_on(self, request: web.Request, body: bytes) -> web.StreamResponse:
        assert self._session is not None
        transport = request.transport
        if transport is None:
            return web.Response()
        self._streams.add(transport)
        try:
            async with self._session.request(
                request.method, request.raw_path, data=body or None, headers=_kept(request)
            ) as answer:
                names = ("Content-Type", "Content-Encoding")
                told = {name: answer.headers[name] for name in names if name in answer.headers}
                passed = web.StreamResponse(status=answer.status, headers=told)
                await passed.prepare(request)
                async for chunk in answer.content.iter_any():
                    await passed.write(chunk)
                await passed.write_eof()
                return passed
        finally:
            self._streams.discard(transport)


def _kept(request: web.Request) -> dict[str, str]:
    return {name: request.headers[name] for name in ("Content-Type", "Accept") if name in request.headers}


def slow(seconds: float) -> Answer:
    """No answer for so long, then a broken connection."""

    async def answer(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(seconds)
        if request.transport is not None:
            request.transport.close()
        return web.Response()

    return answer


class Told(NamedTuple):
    instance: UUID
    element: UUID
    properties: Mapping[str, Any]
    state: str | None


class Runtime(Publisher):
    """Hears what is told of elements."""

    def __init__(self) -> None:
        self.told: list[Told] = []
        self.flowing = asyncio.Event()
        self.flowing.set()

    async def element_info(
        self,
        instance_id: UUID,
        element_id: UUID,
        *,
        out_properties: Mapping[str, Any],
        operational_state: str | None = None,
        use_state: str | None = None,
    ) -> None:
        await self.flowing.wait()
        self.told.append(Told(instance_id, element_id, out_properties, operational_state))

    async def hears(self, holds: Callable[[Told], Any]) -> Told:
        """The newest that was told, once it is so."""
        await until(lambda: bool(self.told) and holds(self.told[-1]))
        return self.told[-1]


class World:
    """The server, a client of the test's own, and the relay that the handler asks."""

    def __init__(self, client: Client, relay: Relay) -> None:
        self.client = client
        self.relay = relay
        self.wrong: dict[str, dict[str, Any]] = {}  # by name: a status that KServe writes, in place of a good one

    def participant_s(self) -> KserveHandler:
        """A handler that somebody else starts and closes."""
        return KserveHandler(Client(ClusterConfig(server=self.relay.url)), SETTINGS)

    @asynccontextmanager
    async def handler(
        self, settings: Settings = SETTINGS, **changed: Any
    ) -> AsyncIterator[tuple[KserveHandler, Runtime]]:
        """A participant's handler, started, and the runtime it tells things."""
        config = ClusterConfig(server=self.relay.url)
        async with Client(config, field_manager="mizzen-acm") as client:
            handler, runtime = KserveHandler(client, structs.replace(settings, **changed)), Runtime()
            await handler.start(runtime)
            try:
                yield handler, runtime
            finally:
                await handler.close()

    @asynccontextmanager
    async def kserve(self) -> AsyncIterator[None]:
        """Play KServe: whatever is wanted is ready at once, but for what is ``wrong``."""
        waiting: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        informer = Informer(self.client, INFERENCE_SERVICE)

        def changed(change: Change) -> None:
            if change.new is not None:
                waiting.put_nowait(change.key)

        async def write() -> None:
            while True:
                namespace, name = await waiting.get()
                found = informer.object(namespace, name)
                if found is not None and not found["metadata"].get("deletionTimestamp"):
                    generation = found["metadata"]["generation"]
                    wanted = self.wrong.get(name) or standing(True, name, generation)
                    if found.get("status") != wanted:
                        await self.stand(name, wanted, namespace)

        informer.on_change(changed)
        tasks = [asyncio.create_task(informer.run()), asyncio.create_task(write())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(isinstance(result, asyncio.CancelledError) for result in results), results

    async def stand(self, name: str, status: Mapping[str, Any], namespace: str = "default") -> None:
        """Write a status as KServe's controller does."""
        try:
            found = await self.client.get(INFERENCE_SERVICE, name, namespace)
            body = {**found, "status": status}
            await self.client.update(INFERENCE_SERVICE, body, subresource="status")
        except ApiError as error:
            if error.code not in (404, 409):
                raise

    async def find(self, name: str, namespace: str = "default") -> dict[str, Any] | None:
        try:
            return await self.client.get(INFERENCE_SERVICE, name, namespace)
        except ApiError as error:
            if error.code != 404:
                raise
            return None

    async def have(self, name: str, holds: Callable[[dict[str, Any]], Any] = lambda _: True) -> dict[str, Any]:
        """An InferenceService, once it is there and so."""
        async with asyncio.timeout(30):
            while True:
                found = await self.find(name)
                if found is not None and holds(found):
                    return found
                await asyncio.sleep(0.01)

    async def make(self, name: str, **metadata: Any) -> dict[str, Any]:
        """An InferenceService that somebody else has made."""
        body = {
            "apiVersion": INFERENCE_SERVICE.api_version,
            "kind": "InferenceService",
            "metadata": {"name": name, "namespace": "default", **metadata},
            "spec": SPEC,
        }
        return await self.client.create(INFERENCE_SERVICE, body)

    async def hold(self, name: str, finalizers: list[str] | None) -> None:
        """Have somebody hold it, or let it go."""
        await self.client.patch(INFERENCE_SERVICE, name, "default", {"metadata": {"finalizers": finalizers}})


def standing(
    ready: bool, name: str = "iris", generation: int = 1, reason: str = "", message: str = "", url: str = ""
) -> dict[str, Any]:
    """The status of an InferenceService."""
    since = "2026-01-01T00:00:00Z" if ready else "2026-01-02T00:00:00Z"
    condition = {"type": "Ready", "status": "True" if ready else "False", "lastTransitionTime": since}
    if reason:
        condition |= {"reason": reason, "message": message}
    conditions = [{"type": kind, "status": condition["status"]} for kind in ("IngressReady", "PredictorReady")]
    return {
        "observedGeneration": generation,
        "conditions": [*conditions, condition],
        "url": url or f"http://{name}-default.example.com",
    }


@asynccontextmanager
async def world(home: Path) -> AsyncIterator[World]:
    async with serving(home, admitters=ADMITTERS, reserve=0) as server:
        config = ClusterConfig(server=server.url, ca=server.ca.read_text(), token=server.token)
        async with Client(config, field_manager="tester") as client, Relay(server).running() as relay:
            await client.apply(CUSTOM_RESOURCES, crd(InferenceService, INFERENCE_SERVICE))
            for name in ("default", "other", "kserve-test"):
                try:
                    await client.create(NAMESPACE, {"metadata": {"name": name}})
                except ApiError as error:
                    assert error.code == 409
            await _served(client)
            yield World(client, relay)


async def _served(client: Client) -> None:
    async with asyncio.timeout(30):
        while True:
            try:
                await client.list(INFERENCE_SERVICE)
                return
            except (ApiError, Unreachable):
                await asyncio.sleep(0.01)


def payload(name: str | None = "iris", **spec: Any) -> dict[str, Any]:
    """An InferenceService as an instance's properties have it."""
    found: dict[str, Any] = {"apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService"}
    if name:
        found["metadata"] = {"name": name}
    return found | {"spec": spec or SPEC}


def entity(name: str = "iris", **given: Any) -> dict[str, Any]:
    """One of the list ``kserveInferenceEntities``."""
    found = {
        "kserveInferenceEntityId": {"name": f"entity-{name}", "version": "1.0.1"},
        "name": name,
        "namespace": "default",
        "payload": json.dumps(payload(name)),
    }
    return {key: value for key, value in (found | given).items() if value is not None}


def element(
    *entities: Any, like: Element | None = None, common: Mapping[str, Any] | None = None, **properties: Any
) -> Element:
    """An element of a new instance, or of the same as ``like``, with other properties."""
    given = {"kserveInferenceEntities": list(entities)} | properties
    if like is not None:
        return structs.replace(like, properties=given)
    return Element(
        composition_id=uuid4(),
        instance_id=uuid4(),
        element_id=uuid4(),
        definition=DEFINITION,
        composition_properties={"provider": "ONAP", "startPhase": 0, **(common or {})},
        properties=given,
    )
