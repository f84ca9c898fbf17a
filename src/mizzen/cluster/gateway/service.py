"""Routes from Services themselves, by the names that a cluster's DNS gives them.

Pods whose ClusterIPs could not be bound reach services so: their clients send ``<svc>.<ns>.svc.cluster.local`` to the
gateway, which tells the service's ports apart by the port in the ``host`` field. A headless service has no port of its
own; its name means the pods, so their ports are known under it too.
"""

from __future__ import annotations

from mizzen.apis.core import SERVICE, Service
from mizzen.apis.meta import given, given_or
from mizzen.cluster.gateway.action import Backend, to
from mizzen.cluster.gateway.routes import Origin, Route

_SUFFIXES = ("", ".svc", ".svc.cluster.local")


def origin(service: Service) -> Origin:
    return Origin(SERVICE.kind, service.namespace, service.name)


def compile_service(service: Service) -> list[Route]:
    """The routes to each TCP port of a Service under each of its names."""
    own = origin(service)
    created = given_or(service.metadata.creation_timestamp, "")
    ports = [port for port in given(service.spec.ports) or () if given_or(port.protocol, "TCP") == "TCP"]
    numbers = [port.port for port in ports]
    if service.spec.is_headless:
        numbers += [port.target_port for port in ports if isinstance(port.target_port, int)]
    routes: list[Route] = []
    for number in dict.fromkeys(numbers):
        action = to(Backend(service.namespace, service.name, number))
        for suffix in _SUFFIXES:
            host = f"{service.name}.{service.namespace}{suffix}"
            routes.append(Route(origin=own, action=action, host=host, port=number, created=created, order=len(routes)))
    return routes
