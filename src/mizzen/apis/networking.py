"""How traffic finds a service: Ingress, EndpointSlice, and the part of the Gateway API that Mizzen reads and writes.

The Gateway API is not built into Kubernetes; its CRDs are made from the structs here by :mod:`mizzen.apis.crd`.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import UNSET

from mizzen.apis.meta import ATOMIC_LIST, Mapping, Object, Opt, ResourceDef, Schema, field_schema, list_map

INGRESS = ResourceDef(group="networking.k8s.io", version="v1", kind="Ingress", plural="ingresses", short_names=("ing",))
INGRESS_CLASS = ResourceDef(
    group="networking.k8s.io", version="v1", kind="IngressClass", plural="ingressclasses", namespaced=False
)
ENDPOINT_SLICE = ResourceDef(group="discovery.k8s.io", version="v1", kind="EndpointSlice", plural="endpointslices")
_GATEWAY_GROUP = "gateway.networking.k8s.io"
GATEWAY_CLASS = ResourceDef(
    group=_GATEWAY_GROUP,
    version="v1",
    kind="GatewayClass",
    plural="gatewayclasses",
    namespaced=False,
    short_names=("gc",),
    categories=("gateway-api",),
)
GATEWAY = ResourceDef(
    group=_GATEWAY_GROUP,
    version="v1",
    kind="Gateway",
    plural="gateways",
    short_names=("gtw",),
    categories=("gateway-api",),
)
HTTP_ROUTE = ResourceDef(
    group=_GATEWAY_GROUP, version="v1", kind="HTTPRoute", plural="httproutes", categories=("gateway-api",)
)

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


class Condition(Schema):
    """A condition of the Gateway API: all fields are required there."""

    type: str
    status: str
    reason: str
    message: str
    last_transition_time: str
    observed_generation: Opt[int] = UNSET


_BY_TYPE = list_map("type")


class ParentReference(Schema):
    """The Gateway (or Service) that a route attaches to."""

    name: str
    namespace: Opt[str] = UNSET
    group: Annotated[Opt[str], field_schema(default=_GATEWAY_GROUP)] = UNSET
    kind: Annotated[Opt[str], field_schema(default="Gateway")] = UNSET
    section_name: Opt[str] = UNSET
    port: Opt[int] = UNSET


class PathMatch(Schema):
    """``Exact``, ``PathPrefix`` or ``RegularExpression``."""

    type: Annotated[Opt[str], field_schema(default="PathPrefix")] = UNSET
    value: Annotated[Opt[str], field_schema(default="/")] = UNSET


class HeaderMatch(Schema):
    """``Exact`` or ``RegularExpression``."""

    name: str
    value: str
    type: Annotated[Opt[str], field_schema(default="Exact")] = UNSET


class RouteMatch(Schema):
    path: Annotated[Opt[PathMatch], field_schema(default={"type": "PathPrefix", "value": "/"})] = UNSET
    headers: Opt[list[HeaderMatch]] = UNSET
    query_params: Opt[list[HeaderMatch]] = UNSET
    method: Opt[str] = UNSET


class Header(Schema):
    name: str
    value: str


class HeaderModifier(Schema):
    set: Opt[list[Header]] = UNSET
    add: Opt[list[Header]] = UNSET
    remove: Opt[list[str]] = UNSET


class PathModifier(Schema):
    """``ReplaceFullPath`` or ``ReplacePrefixMatch``."""

    type: str
    replace_full_path: Opt[str] = UNSET
    replace_prefix_match: Opt[str] = UNSET


class URLRewrite(Schema):
    hostname: Opt[str] = UNSET
    path: Opt[PathModifier] = UNSET


class RouteFilter(Schema):
    type: str
    request_header_modifier: Opt[HeaderModifier] = UNSET
    response_header_modifier: Opt[HeaderModifier] = UNSET
    url_rewrite: Opt[URLRewrite] = UNSET
    request_redirect: Opt[Mapping] = UNSET
    request_mirror: Opt[Mapping] = UNSET
    extension_ref: Opt[Mapping] = UNSET


class BackendRef(Schema):
    name: str
    namespace: Opt[str] = UNSET
    port: Opt[int] = UNSET
    group: Annotated[Opt[str], field_schema(default="")] = UNSET
    kind: Annotated[Opt[str], field_schema(default="Service")] = UNSET
    weight: Annotated[Opt[int], field_schema(minimum=0, maximum=1_000_000, default=1)] = UNSET
    filters: Opt[list[RouteFilter]] = UNSET


class RouteTimeouts(Schema):
    """Durations of the Gateway API, such as ``60s``."""

    request: Opt[str] = UNSET
    backend_request: Opt[str] = UNSET


class RouteRule(Schema):
    name: Opt[str] = UNSET
    matches: Annotated[
        Opt[list[RouteMatch]],
        ATOMIC_LIST,
        field_schema(default=[{"path": {"type": "PathPrefix", "value": "/"}}]),
    ] = UNSET
    filters: Annotated[Opt[list[RouteFilter]], ATOMIC_LIST] = UNSET
    backend_refs: Annotated[Opt[list[BackendRef]], ATOMIC_LIST] = UNSET
    timeouts: Opt[RouteTimeouts] = UNSET
    retry: Opt[Mapping] = UNSET
    session_persistence: Opt[Mapping] = UNSET


class HTTPRouteSpec(Schema):
    parent_refs: Annotated[Opt[list[ParentReference]], ATOMIC_LIST] = UNSET
    hostnames: Annotated[Opt[list[str]], ATOMIC_LIST] = UNSET
    rules: Annotated[Opt[list[RouteRule]], ATOMIC_LIST] = UNSET


class RouteParentStatus(Schema):
    parent_ref: ParentReference
    controller_name: str
    conditions: Annotated[Opt[list[Condition]], _BY_TYPE] = UNSET


class HTTPRouteStatus(Schema):
    parents: Annotated[Opt[list[RouteParentStatus]], ATOMIC_LIST] = UNSET


class HTTPRoute(Object):
    """Routes requests of some hostnames to Services, by path, header and weight."""

    PRINTER_COLUMNS: ClassVar[tuple[tuple[str, str, str], ...]] = (
        ("Hostnames", "string", ".spec.hostnames"),
        ("Age", "date", ".metadata.creationTimestamp"),
    )

    spec: HTTPRouteSpec = msgspec.field(default_factory=HTTPRouteSpec)
    status: HTTPRouteStatus = msgspec.field(default_factory=HTTPRouteStatus)


class Listener(Schema):
    name: str
    port: int
    protocol: str
    hostname: Opt[str] = UNSET
    tls: Opt[Mapping] = UNSET
    allowed_routes: Opt[Mapping] = UNSET


class GatewaySpec(Schema):
    gateway_class_name: str
    listeners: Annotated[list[Listener], list_map("name")] = []
    addresses: Opt[list[Mapping]] = UNSET
    infrastructure: Opt[Mapping] = UNSET


class GatewayStatus(Schema):
    addresses: Opt[list[dict[str, str]]] = UNSET
    conditions: Annotated[Opt[list[Condition]], _BY_TYPE] = UNSET
    listeners: Opt[list[Mapping]] = UNSET


class Gateway(Object, kw_only=True):
    """A door to the cluster, which HTTPRoutes name as their parent."""

    PRINTER_COLUMNS: ClassVar[tuple[tuple[str, str, str], ...]] = (
        ("Class", "string", ".spec.gatewayClassName"),
        ("Address", "string", ".status.addresses[*].value"),
        ("Programmed", "string", ".status.conditions[?(@.type=='Programmed')].status"),
        ("Age", "date", ".metadata.creationTimestamp"),
    )

    spec: GatewaySpec
    status: GatewayStatus = msgspec.field(default_factory=GatewayStatus)


class GatewayClassSpec(Schema):
    controller_name: str
    description: Opt[str] = UNSET
    parameters_ref: Opt[dict[str, Any]] = UNSET


class GatewayClassStatus(Schema):
    conditions: Annotated[Opt[list[Condition]], _BY_TYPE] = UNSET


class GatewayClass(Object, kw_only=True):
    """Which program opens the Gateways of a class."""

    PRINTER_COLUMNS: ClassVar[tuple[tuple[str, str, str], ...]] = (
        ("Controller", "string", ".spec.controllerName"),
        ("Accepted", "string", ".status.conditions[?(@.type=='Accepted')].status"),
        ("Age", "date", ".metadata.creationTimestamp"),
    )

    spec: GatewayClassSpec
    status: GatewayClassStatus = msgspec.field(default_factory=GatewayClassStatus)
