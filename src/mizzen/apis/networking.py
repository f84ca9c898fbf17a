"""How traffic finds a service by what is built into Kubernetes: Ingress and EndpointSlice."""

from __future__ import annotations

import msgspec
from msgspec import UNSET

from mizzen.apis.meta import Mapping, Object, Opt, ResourceDef, Schema

INGRESS = ResourceDef(group="networking.k8s.io", version="v1", kind="Ingress", plural="ingresses", short_names=("ing",))

INGRESS_CLASS = ResourceDef(
    group="networking.k8s.io", version="v1", kind="IngressClass", plural="ingressclasses", namespaced=False
)

ENDPOINT_SLICE = ResourceDef(group="discovery.k8s.io", version="v1", kind="EndpointSlice", plural="endpointslices")

# Which Service a slice belongs to.
SERVICE_NAME_LABEL = "kubernetes.io/service-name"


class ServiceBackendPort(Schema):
    name: Opt[str] = UNSET
    number: Opt[int] = UNSET


class IngressServiceBackend(Schema):
    name: str
    port: ServiceBackendPort = msgspec.field(default_factory=ServiceBackendPort)


class IngressBackend(Schema):
    service: Opt[IngressServiceBackend] = UNSET


class IngressPath(Schema):
    backend: IngressBackend
    path: Opt[str] = UNSET
    path_type: Opt[str] = UNSET


class IngressHTTP(Schema):
    paths: list[IngressPath] = []


class IngressRule(Schema):
    host: Opt[str] = UNSET
    http: Opt[IngressHTTP] = UNSET


class IngressSpec(Schema):
    ingress_class_name: Opt[str] = UNSET
    default_backend: Opt[IngressBackend] = UNSET
    rules: Opt[list[IngressRule]] = UNSET


class IngressLoadBalancer(Schema):
    ingress: Opt[list[Mapping]] = UNSET


class IngressStatus(Schema):
    load_balancer: Opt[IngressLoadBalancer] = UNSET


class Ingress(Object):
    spec: IngressSpec = msgspec.field(default_factory=IngressSpec)
    status: IngressStatus = msgspec.field(default_factory=IngressStatus)


class EndpointConditions(Schema):
    ready: Opt[bool] = UNSET
    serving: Opt[bool] = UNSET
    terminating: Opt[bool] = UNSET


class Endpoint(Schema):
    addresses: list[str]
    conditions: EndpointConditions = msgspec.field(default_factory=EndpointConditions)
    target_ref: Opt[Mapping] = UNSET
    node_name: Opt[str] = UNSET


class EndpointPort(Schema):
    name: Opt[str] = UNSET
    port: Opt[int] = UNSET
    protocol: Opt[str] = UNSET
    app_protocol: Opt[str] = UNSET


class EndpointSlice(Object):
    address_type: str = "IPv4"
    endpoints: Opt[list[Endpoint]] = UNSET
    ports: Opt[list[EndpointPort]] = UNSET
