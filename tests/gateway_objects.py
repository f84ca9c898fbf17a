"""Objects that routes come from, as the API gives them, and the shortest way to say what a test wants of them."""

from __future__ import annotations

from typing import Any

import msgspec

from mizzen.apis.core import Service
from mizzen.apis.gateway import Gateway
from mizzen.apis.httproute import HTTPRoute
from mizzen.apis.networking import SERVICE_NAME_LABEL, EndpointSlice, Ingress

Body = dict[str, Any]


def metadata(name: str, namespace: str = "default", **more: Any) -> Body:
    return {"name": name, "namespace": namespace, **more}


def service_body(name: str, *ports: Body | int, namespace: str = "default", **spec: Any) -> Body:
    """A Service. A port is its number, or all of its fields."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(name, namespace),
        "spec": {"ports": [{"port": port} if isinstance(port, int) else port for port in ports], **spec},
    }


def service(name: str, *ports: Body | int, **options: Any) -> Service:
    return msgspec.convert(service_body(name, *ports, **options), Service)


def slice_body(
    owner: str, addresses: list[str], port: int, *, port_name: str = "", namespace: str = "default", **conditions: bool
) -> Body:
    """The EndpointSlice of a Service, all of whose endpoints are in the same state: ready if nothing is said."""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": metadata(f"{owner}-abcde", namespace, labels={SERVICE_NAME_LABEL: owner}),
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address], "conditions": conditions} for address in addresses],
        "ports": [{"name": port_name, "port": port, "protocol": "TCP"}],
    }


def slice_of(owner: str, addresses: list[str], port: int, **options: Any) -> EndpointSlice:
    return msgspec.convert(slice_body(owner, addresses, port, **options), EndpointSlice)


def ingress_body(name: str, *rules: Body, namespace: str = "default", created: str = "", **spec: Any) -> Body:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": metadata(name, namespace, **({"creationTimestamp": created} if created else {})),
        "spec": {**({"rules": list(rules)} if rules else {}), **spec},
    }


def ingress(name: str, *rules: Body, **options: Any) -> Ingress:
    return msgspec.convert(ingress_body(name, *rules, **options), Ingress)


def backend(name: str, port: int | str = 80) -> Body:
    return {"service": {"name": name, "port": {"number": port} if isinstance(port, int) else {"name": port}}}


def rule(host: str | None, *paths: tuple[str, str, Body]) -> Body:
    """A rule of an Ingress: path, type and backend of each path."""
    entries = [{"path": path, "pathType": kind, "backend": to} for path, kind, to in paths]
    return {**({"host": host} if host is not None else {}), "http": {"paths": entries}}


def http_route_body(
    name: str,
    *rules: Body,
    hostnames: list[str] | None = None,
    namespace: str = "default",
    created: str = "",
    **spec: Any,
) -> Body:
    spec.setdefault("parentRefs", [{"name": "gate", "namespace": "default"}])
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": metadata(name, namespace, **({"creationTimestamp": created} if created else {})),
        "spec": {"rules": list(rules), **({"hostnames": hostnames} if hostnames is not None else {}), **spec},
    }


def http_route(name: str, *rules: Body, **options: Any) -> HTTPRoute:
    return msgspec.convert(http_route_body(name, *rules, **options), HTTPRoute)


def gateway_body(name: str, *listeners: Body, namespace: str = "default", class_name: str = "mizzen") -> Body:
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "Gateway",
        "metadata": metadata(name, namespace),
        "spec": {"gatewayClassName": class_name, "listeners": list(listeners)},
    }


def gateway(name: str, *listeners: Body, **options: Any) -> Gateway:
    return msgspec.convert(gateway_body(name, *listeners, **options), Gateway)


def listener(name: str = "http", port: int = 80, protocol: str = "HTTP", **more: Any) -> Body:
    """A listener that takes routes of every namespace unless told otherwise."""
    more.setdefault("allowedRoutes", {"namespaces": {"from": "All"}})
    return {"name": name, "port": port, "protocol": protocol, **more}


def ref(name: str, port: int | None = 80, **more: Any) -> Body:
    """A backendRef."""
    return {"name": name, **({"port": port} if port is not None else {}), **more}


def matching(path: str = "/", kind: str = "PathPrefix", **more: Any) -> Body:
    return {"path": {"type": kind, "value": path}, **more}
