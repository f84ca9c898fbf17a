"""Writes the status of what is served, once it is served, and only where it differs from what is there.

The table learns of an object before the controllers here do, because both hear of it from the same informer in turn.
So whoever reads that a route is accepted can send a request.
"""

from __future__ import annotations

import asyncio
from typing import Any

from mizzen.apis.gateway import GATEWAY, GATEWAY_CLASS, Gateway, GatewayClass
from mizzen.apis.httproute import HTTP_ROUTE, HTTPRoute
from mizzen.apis.meta import ResourceDef, given
from mizzen.apis.networking import INGRESS
from mizzen.cluster.gateway import status
from mizzen.cluster.gateway.attachment import CONTROLLER
from mizzen.cluster.gateway.endpoints import Endpoints
from mizzen.cluster.gateway.sources import BACKEND_INDEX, GATEWAY_INDEX, Sources
from mizzen.kube.client import Client
from mizzen.kube.controller import Controller
from mizzen.kube.errors import ApiError
from mizzen.kube.informer import Change, Informer, Key
from mizzen.kube.times import now

# Routes come in heaps; their Gateway counts them when the heap is through. In seconds.
_SETTLING = 0.25


class Publisher:
    """The status writers. Run :meth:`run`.

    Args:
        address, port: where clients find the gateway.
    """

    def __init__(self, client: Client, sources: Sources, endpoints: Endpoints, address: str, port: int) -> None:
        self._client = client
        self._sources = sources
        self._endpoints = endpoints
        self._address = address
        self._ingress = status.ingress_status(address, port)
        ingresses = Controller("ingress status", self._publish_ingress)
        ingresses.watches(sources.ingresses)
        routes = Controller("httproute status", self._publish_route)
        routes.watches(sources.http_routes)
        routes.watches(sources.gateways, sources.routes_of_gateway)
        routes.watches(sources.classes, sources.routes_of_class)
        routes.watches(sources.namespaces, sources.routes_of_namespace)
        routes.watches(sources.services, self._routes_of_service)
        self._gateways = Controller("gateway status", self._publish_gateway, workers=1)
        self._gateways.watches(sources.gateways)
        self._gateways.watches(sources.classes, sources.gateways_of_class)
        sources.http_routes.on_change(self._count_routes)
        classes = Controller("gatewayclass status", self._publish_class, workers=1)
        classes.watches(sources.classes)
        self._controllers = [ingresses, routes, self._gateways, classes]

    async def run(self) -> None:
        """Write until cancelled."""
        async with asyncio.TaskGroup() as group:
            for controller in self._controllers:
                group.create_task(controller.run())

    def _routes_of_service(self, change: Change) -> list[Key]:
        return self._sources.http_routes.by_index(BACKEND_INDEX, "/".join(change.key))

    def _count_routes(self, change: Change) -> None:
        parents = {value for entry in change.entries for value in entry.indexed[GATEWAY_INDEX]}
        for parent in parents:
            namespace, _, name = parent.partition("/")
            self._gateways.queue.add_after((namespace, name), _SETTLING)

    async def _publish_ingress(self, namespace: str, name: str) -> None:
        await self._write(self._sources.ingresses, INGRESS, (namespace, name), self._ingress)

    async def _publish_class(self, namespace: str, name: str) -> None:
        key = namespace, name
        found = self._sources.classes.get(*key, GatewayClass)
        if found is not None and found.spec.controller_name == CONTROLLER:
            stored = self._stored(self._sources.classes, key)
            wanted = status.class_status(stored, given(found.metadata.generation), now())
            await self._write(self._sources.classes, GATEWAY_CLASS, key, wanted)

    async def _publish_route(self, namespace: str, name: str) -> None:
        key = namespace, name
        route = self._sources.http_routes.get(*key, HTTPRoute)
        if route is None:
            return
        wanted = status.route_status(
            route,
            self._stored(self._sources.http_routes, key),
            self._sources.attachments.get(key) or (),
            self._sources.problems.get(key, ""),
            self._endpoints.has_service,
            self._endpoints.has_port,
            now(),
        )
        await self._write(self._sources.http_routes, HTTP_ROUTE, key, wanted)

    async def _publish_gateway(self, namespace: str, name: str) -> None:
        key = namespace, name
        gateway = self._sources.gateways.get(*key, Gateway)
        if gateway is None or not self._sources.is_ours(gateway.spec.gateway_class_name):
            return
        attached: dict[str, int] = {}
        for attachments in self._sources.attachments.values():
            # A route counts once for each listener, however many of its parents lead there.
            for listener in {name for one in attachments if one.gateway == key for name in one.listeners}:
                attached[listener] = attached.get(listener, 0) + 1
        stored = self._stored(self._sources.gateways, key)
        wanted = status.gateway_status(gateway, stored, self._address, attached, now())
        await self._write(self._sources.gateways, GATEWAY, key, wanted)

    def _stored(self, informer: Informer, key: Key) -> dict[str, Any]:
        return (informer.object(*key) or {}).get("status") or {}

    async def _write(self, informer: Informer, resource: ResourceDef, key: Key, wanted: status.Status) -> None:
        entry = informer.entry(*key)
        if entry is None or entry.deleting:
            return
        stored = entry.object.get("status") or {}
        if all(stored.get(field) == value for field, value in wanted.items()):
            return
        if wanted == {"parents": []} and "parents" not in stored:
            return
        # Lists are written whole, so what somebody else has put into them since must not get lost.
        body = {"metadata": {"resourceVersion": str(entry.resource_version)}, "status": wanted}
        try:
            informer.accept(
                await self._client.patch(resource, key[1], key[0], body, kind="merge", subresource="status")
            )
        except ApiError as error:
            if error.code != 404:
                raise
