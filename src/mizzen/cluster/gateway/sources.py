"""Where routes come from: copies of the API's objects, and what each change of one means for the table.

Ingress, Service and EndpointSlice are built in. The Gateway API's kinds exist once their CustomResourceDefinitions do,
so their copies start and end with those. A further source (VirtualService, Knative's Ingress) is another function that
compiles an object to routes, and another line here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from mizzen.apis.apiextensions import CUSTOM_RESOURCE_DEFINITION
from mizzen.apis.core import NAMESPACE, SERVICE, Service
from mizzen.apis.gateway import GATEWAY, GATEWAY_CLASS, Gateway, GatewayClass
from mizzen.apis.httproute import HTTP_ROUTE, HTTPRoute
from mizzen.apis.meta import Object
from mizzen.apis.networking import ENDPOINT_SLICE, INGRESS, SERVICE_NAME_LABEL, EndpointSlice, Ingress
from mizzen.cluster.gateway.attachment import CONTROLLER, Attachment, Gateways
from mizzen.cluster.gateway.endpoints import Endpoints
from mizzen.cluster.gateway.errors import Unsupported
from mizzen.cluster.gateway.httproute import compile_http_route
from mizzen.cluster.gateway.ingress import compile_ingress
from mizzen.cluster.gateway.routes import Origin, Route, Table
from mizzen.cluster.gateway.service import compile_service
from mizzen.kube.client import Client
from mizzen.kube.informer import Change, Informer, Key

R = TypeVar("R", bound=Object)


# HTTPRoutes by the Gateways that they name as parents, and by the Services that they name as backends.
GATEWAY_INDEX = "gateway"
BACKEND_INDEX = "backend"
# Gateways by their class.
CLASS_INDEX = "class"


class Sources:
    """The informers, feeding a table and the endpoints. Run :meth:`run`.

    Attributes:
        attachments: what became of each HTTPRoute's parents.
        problems: why an HTTPRoute cannot be served at all, in words.
    """

    def __init__(self, client: Client, table: Table, endpoints: Endpoints) -> None:
        self.attachments: dict[Key, list[Attachment]] = {}
        self.problems: dict[Key, str] = {}
        self._table = table
        self._endpoints = endpoints
        self.services = Informer(client, SERVICE)
        self.slices = Informer(client, ENDPOINT_SLICE)
        self.ingresses = Informer(client, INGRESS)
        self.namespaces = Informer(client, NAMESPACE, metadata_only=True)
        self.classes = Informer(client, GATEWAY_CLASS)
        self.gateways = Informer(client, GATEWAY, indexes={CLASS_INDEX: _class_of})
        self.http_routes = Informer(
            client, HTTP_ROUTE, indexes={GATEWAY_INDEX: _parents_of, BACKEND_INDEX: _backends_of}
        )
        self._definitions = Informer(client, CUSTOM_RESOURCE_DEFINITION, metadata_only=True)
        self._built_in = [self.services, self.slices, self.ingresses, self.namespaces, self._definitions]
        self._custom = {one.resource.qualified: one for one in (self.classes, self.gateways, self.http_routes)}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._gateways = Gateways(
            lambda namespace, name: self.gateways.get(namespace, name, Gateway), self.is_ours, self._labels_of
        )
        self.services.on_change(self._service_changed)
        self.slices.on_change(self._slice_changed)
        self.ingresses.on_change(self._compiling(INGRESS.kind, Ingress, compile_ingress))
        self.http_routes.on_change(lambda change: self._compile_http_route(change.key))
        self.gateways.on_change(self._compile_dependents(self.routes_of_gateway))
        self.classes.on_change(self._compile_dependents(self.routes_of_class))
        self.namespaces.on_change(self._compile_dependents(self.routes_of_namespace))

    async def run(self) -> None:
        """Keep everything true until cancelled; an API that is away is waited for."""
        async with asyncio.TaskGroup() as group:
            self._definitions.on_change(lambda change: self._definition_changed(change, group))
            for informer in self._built_in:
                group.create_task(informer.run())

    async def synced(self) -> None:
        """Wait until every kind that is served has been read in full."""
        for informer in self._built_in:
            await informer.synced.wait()
        for name in list(self._running):
            await self._custom[name].synced.wait()

    def _definition_changed(self, change: Change, group: asyncio.TaskGroup) -> None:
        name = change.key[1]
        informer = self._custom.get(name)
        if informer is None:
            return
        if change.new is None:
            # Its objects went with it, whether or not the watch had time to say so.
            self._running.pop(name).cancel()
            for gone in informer.keys():  # noqa: SIM118 - an informer is no dictionary
                informer.forget(*gone)
        elif name not in self._running:
            self._running[name] = group.create_task(informer.run())

    # Built-in kinds

    def _service_changed(self, change: Change) -> None:
        if change.new is None:
            self._endpoints.remove_service(*change.key)
            self._table.remove(Origin(SERVICE.kind, *change.key))
            return
        service = change.new.decode(Service)
        self._endpoints.put_service(service)
        self._table.put(Origin(SERVICE.kind, *change.key), compile_service(service))

    def _slice_changed(self, change: Change) -> None:
        before = change.old.labels.get(SERVICE_NAME_LABEL) if change.old else None
        after = change.new.labels.get(SERVICE_NAME_LABEL) if change.new else None
        if before and before != after:
            self._endpoints.remove_slice(change.key[0], before, change.key[1])
        if after and change.new is not None:
            self._endpoints.put_slice(after, change.new.decode(EndpointSlice))

    def _compiling(self, kind: str, type_: type[R], compile_: Callable[[R], list[Route]]) -> Callable[[Change], None]:
        """A handler for objects whose routes follow from themselves alone."""

        def changed(change: Change) -> None:
            origin = Origin(kind, *change.key)
            if change.new is None:
                self._table.remove(origin)
            else:
                self._table.put(origin, compile_(change.new.decode(type_)))

        return changed

    # The Gateway API

    def is_ours(self, class_name: str) -> bool:
        """Whether the Gateways of this class are for this controller to serve."""
        found = self.classes.get("", class_name, GatewayClass)
        return found is not None and found.spec.controller_name == CONTROLLER

    def _labels_of(self, namespace: str) -> dict[str, str]:
        entry = self.namespaces.entry("", namespace)
        return entry.labels if entry is not None else {}

    def routes_of_gateway(self, change: Change) -> list[Key]:
        """The HTTPRoutes that name a Gateway which has changed."""
        return self.http_routes.by_index(GATEWAY_INDEX, "/".join(change.key))

    def gateways_of_class(self, change: Change) -> list[Key]:
        return self.gateways.by_index(CLASS_INDEX, change.key[1])

    def routes_of_class(self, change: Change) -> list[Key]:
        found = (
            key
            for gateway in self.gateways_of_class(change)
            for key in self.http_routes.by_index(GATEWAY_INDEX, "/".join(gateway))
        )
        return list(dict.fromkeys(found))

    def routes_of_namespace(self, change: Change) -> list[Key]:
        """The HTTPRoutes of a namespace whose labels have changed: listeners may select by them."""
        if change.old is not None and change.new is not None and change.old.labels == change.new.labels:
            return []
        return self.http_routes.keys(change.key[1])

    def _compile_dependents(self, keys: Callable[[Change], Iterable[Key]]) -> Callable[[Change], None]:
        def changed(change: Change) -> None:
            for key in keys(change):
                self._compile_http_route(key)

        return changed

    def _compile_http_route(self, key: Key) -> None:
        origin = Origin(HTTP_ROUTE.kind, *key)
        self.problems.pop(key, None)
        self.attachments.pop(key, None)
        route = self.http_routes.get(*key, HTTPRoute)
        if route is None:
            self._table.remove(origin)
            return
        attachments = self.attachments[key] = self._gateways.attach(route)
        hosts = dict.fromkeys(host for one in attachments for host in one.hosts)
        try:
            self._table.put(origin, compile_http_route(route, hosts))
        except Unsupported as error:
            self.problems[key] = str(error)
            self._table.remove(origin)


def _class_of(gateway: dict[str, Any]) -> Iterable[str]:
    return (gateway["spec"]["gatewayClassName"],)


def _parents_of(route: dict[str, Any]) -> Iterable[str]:
    own = route["metadata"]["namespace"]
    return {f"{one.get('namespace') or own}/{one['name']}" for one in route["spec"].get("parentRefs") or ()}


def _backends_of(route: dict[str, Any]) -> Iterable[str]:
    own = route["metadata"]["namespace"]
    return {
        f"{ref.get('namespace') or own}/{ref['name']}"
        for rule in route["spec"].get("rules") or ()
        for ref in rule.get("backendRefs") or ()
    }
