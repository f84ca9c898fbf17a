"""The endpoints controller: keeps each service's Endpoints and EndpointSlices true to its pods.

:mod:`addresses` says what they should be. The slices are written first, because the gateway routes by them; a pod that
turns ready is in its slice one request later.
"""

from __future__ import annotations

from collections.abc import Iterable

from mizzen.apis.core import ENDPOINTS, Pod, Service
from mizzen.apis.networking import ENDPOINT_SLICE
from mizzen.cluster.workloads import addresses
from mizzen.cluster.workloads.caches import LABEL_INDEX, SELECTOR_INDEX, SERVICE_INDEX, Caches, label_key
from mizzen.cluster.workloads.namespace import is_ending
from mizzen.cluster.workloads.together import WORKERS
from mizzen.kube.client import Client
from mizzen.kube.controller import Controller
from mizzen.kube.errors import ApiError
from mizzen.kube.informer import Change, Key
from mizzen.kube.selectors import from_labels


class EndpointWriter:
    """Reconciles services. ``controller`` is to be run."""

    def __init__(self, client: Client, caches: Caches) -> None:
        self._client = client
        self._services = caches.services
        self._pods = caches.pods
        self._slices = caches.slices
        self._endpoints = caches.endpoints
        self.controller = Controller("endpoints", self.reconcile, workers=WORKERS)
        self.controller.watches(self._services)
        self.controller.watches(self._pods, self._selecting)
        self.controller.watches(self._slices, _service_of)
        self.controller.watches(self._endpoints)

    def _selecting(self, change: Change) -> Iterable[Key]:
        """The services that select the pod, as it was or as it is."""
        labels = {pair for entry in change.entries for pair in entry.labels.items()}
        found = (
            key for pair in labels for key in self._services.by_index(SELECTOR_INDEX, label_key(change.key[0], *pair))
        )
        return list(dict.fromkeys(found))

    async def reconcile(self, namespace: str, name: str) -> None:
        service = self._services.get(namespace, name, Service)
        if service is None or service.metadata.deletion_timestamp or not addresses.is_managed(service):
            return
        pods = self._selected(service)
        try:
            await self._write_slices(service, pods)
            await self._write_endpoints(service, pods)
        except ApiError as error:
            # In a namespace that ends nothing can be created, and the service itself is about to go.
            if not is_ending(error):
                raise

    def _selected(self, service: Service) -> list[Pod]:
        wanted = service.spec.selector or {}
        selector = from_labels(wanted)
        candidates = self._pods.by_index(LABEL_INDEX, label_key(service.namespace, *min(wanted.items())))
        matching = (key for key in candidates if (entry := self._pods.entry(*key)) and selector.matches(entry.labels))
        return [pod for key in matching if (pod := self._pods.get(*key, Pod)) is not None]

    async def _write_slices(self, service: Service, pods: list[Pod]) -> None:
        keys = self._slices.by_index(SERVICE_INDEX, f"{service.namespace}/{service.name}")
        present = [found for key in keys if (found := self._slices.object(*key)) is not None]
        plan = addresses.plan_slices(service, pods, present)
        for body in plan.update:
            self._slices.accept(await self._client.update(ENDPOINT_SLICE, body))
        for body in plan.create:
            self._slices.accept(await self._client.create(ENDPOINT_SLICE, body))
        for name in plan.delete:
            try:
                await self._client.delete(ENDPOINT_SLICE, name, service.namespace)
            except ApiError as error:
                if error.code != 404:
                    raise
            self._slices.forget(service.namespace, name)

    async def _write_endpoints(self, service: Service, pods: list[Pod]) -> None:
        body = addresses.endpoints_body(service, pods)
        present = self._endpoints.object(service.namespace, service.name)
        if present is None:
            self._endpoints.accept(await self._client.create(ENDPOINTS, body))
        elif not addresses.says_endpoints(present, body):
            body["metadata"] = present["metadata"] | body["metadata"]
            self._endpoints.accept(await self._client.update(ENDPOINTS, body))


def _service_of(change: Change) -> Iterable[Key]:
    """The service that a slice of ours belongs to, so that one that others changed or deleted is put right."""
    found = {value for entry in change.entries for value in entry.indexed[SERVICE_INDEX]}
    for value in found:
        namespace, _, name = value.partition("/")
        yield namespace, name
