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
    """A condition of the Gateway API: all fields are required there.

    Attributes:
        type: what the condition is about.
        status: True, False or Unknown.
        reason: one word for it, for programs.
        message: what is the case, for people.
        last_transition_time: when the status changed last, RFC 3339.
        observed_generation: the generation of the spec that the condition is about.
    """

    type: str
    status: str
    reason: str
    message: str
    last_transition_time: str
    observed_generation: Opt[int] = UNSET


_BY_TYPE = list_map("type")


class ParentReference(Schema):
    """The Gateway (or Service) that a route attaches to.

    Attributes:
        name: its name.
        namespace: its namespace; the route's own by default.
        group: its API group; that of the Gateway API by default.
        kind: its kind, Gateway by default; other parents are not served.
        section_name: the one listener that is meant; all if left out.
        port: the listeners that are meant, by their port; all if left out.
    """

    name: str
    namespace: Opt[str] = UNSET
    group: Annotated[Opt[str], field_schema(default=_GATEWAY_GROUP)] = UNSET
    kind: Annotated[Opt[str], field_schema(default="Gateway")] = UNSET
    section_name: Opt[str] = UNSET
    port: Opt[int] = UNSET


class PathMatch(Schema):
    """Which paths are meant.

    Attributes:
        type: how they are compared: Exact, PathPrefix (the default) or RegularExpression.
        value: what they are compared with; / by default.
    """

    type: Annotated[Opt[str], field_schema(default="PathPrefix")] = UNSET
    value: Annotated[Opt[str], field_schema(default="/")] = UNSET


class HeaderMatch(Schema):
    """Which values of a header field or query parameter are meant.

    Attributes:
        name: the name of the field or parameter.
        value: what its value is compared with.
        type: how they are compared: Exact (the default) or RegularExpression.
    """

    name: str
    value: str
    type: Annotated[Opt[str], field_schema(default="Exact")] = UNSET


class RouteMatch(Schema):
    """Which requests are meant: those that meet everything given here.

    Attributes:
        path: their path; any by default.
        headers: their header fields, all of which must match.
        query_params: their query parameters, all of which must match.
        method: their method, such as POST; any if left out.
    """

    path: Annotated[Opt[PathMatch], field_schema(default={"type": "PathPrefix", "value": "/"})] = UNSET
    headers: Opt[list[HeaderMatch]] = UNSET
    query_params: Opt[list[HeaderMatch]] = UNSET
    method: Opt[str] = UNSET


class Header(Schema):
    """A header field.

    Attributes:
        name: its name; upper and lower case are the same.
        value: its value.
    """

    name: str
    value: str


class HeaderModifier(Schema):
    """Changes of the header fields of requests or responses.

    Attributes:
        set: fields that take the place of those of the same name.
        add: fields that are added to those of the same name.
        remove: the names of fields that are taken out.
    """

    set: Opt[list[Header]] = UNSET
    add: Opt[list[Header]] = UNSET
    remove: Opt[list[str]] = UNSET


class PathModifier(Schema):
    """A change of the path.

    Attributes:
        type: what is replaced: ReplaceFullPath or ReplacePrefixMatch.
        replace_full_path: the new path, for ReplaceFullPath.
        replace_prefix_match: what takes the place of the prefix that matched, for ReplacePrefixMatch.
    """

    type: str
    replace_full_path: Opt[str] = UNSET
    replace_prefix_match: Opt[str] = UNSET


class URLRewrite(Schema):
    """What a backend gets to see instead of the request's own host and path.

    Attributes:
        hostname: the new host.
        path: the change of the path.
    """

    hostname: Opt[str] = UNSET
    path: Opt[PathModifier] = UNSET


class RouteFilter(Schema):
    """One change of requests or responses, in the field that its type names.

    Attributes:
        type: RequestHeaderModifier, ResponseHeaderModifier, URLRewrite or RequestRedirect; others are not served.
        request_header_modifier: changes of the request's header fields.
        response_header_modifier: changes of the response's header fields.
        url_rewrite: the host and path that the backend gets to see; in rules only.
        request_redirect: sends the client elsewhere: scheme, hostname, port, path, statusCode (302); in rules only.
        request_mirror: sends a copy of the request to another backend; not served.
        extension_ref: a filter of another API; not served.
    """

    type: str
    request_header_modifier: Opt[HeaderModifier] = UNSET
    response_header_modifier: Opt[HeaderModifier] = UNSET
    url_rewrite: Opt[URLRewrite] = UNSET
    request_redirect: Opt[Mapping] = UNSET
    request_mirror: Opt[Mapping] = UNSET
    extension_ref: Opt[Mapping] = UNSET


class BackendRef(Schema):
    """A Service that requests are sent to.

    Attributes:
        name: the name of the Service.
        namespace: its namespace; only the route's own, the default, is served.
        port: the port of the Service; required.
        group: its API group, empty by default; others are not served.
        kind: its kind, Service by default; others are not served.
        weight: its share of the requests, in proportion to the weights of all; 1 by default, 0 for none.
        filters: changes for this backend alone; of header fields only.
    """

    name: str
    namespace: Opt[str] = UNSET
    port: Opt[int] = UNSET
    group: Annotated[Opt[str], field_schema(default="")] = UNSET
    kind: Annotated[Opt[str], field_schema(default="Service")] = UNSET
    weight: Annotated[Opt[int], field_schema(minimum=0, maximum=1_000_000, default=1)] = UNSET
    filters: Opt[list[RouteFilter]] = UNSET


class RouteTimeouts(Schema):
    """How long requests may take, as durations such as 500ms or 60s. The shorter limit counts.

    Attributes:
        request: for the whole answer; 0s for no limit.
        backend_request: for the answer of a backend; 0s for no limit.
    """

    request: Opt[str] = UNSET
    backend_request: Opt[str] = UNSET


class RouteRule(Schema):
    """What is done with some requests.

    Attributes:
        name: what tells rules apart; without effect.
        matches: the requests that are meant: those that meet one of the entries; all by default.
        filters: changes of requests and responses.
        backend_refs: the Services that requests are sent to, each with its share.
        timeouts: how long requests may take.
        retry: when a request is sent again; not served, a route with it is refused.
        session_persistence: keeps a client with one backend; not served, a route with it is refused.
    """

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
    """Where the route is attached, and what it does.

    Attributes:
        parent_refs: the Gateways it is attached to.
        hostnames: the hosts it is for, a leading *. allowed; those of the listener if left out.
        rules: what is done with requests; of several that match, the most specific counts.
    """

    parent_refs: Annotated[Opt[list[ParentReference]], ATOMIC_LIST] = UNSET
    hostnames: Annotated[Opt[list[str]], ATOMIC_LIST] = UNSET
    rules: Annotated[Opt[list[RouteRule]], ATOMIC_LIST] = UNSET


class RouteParentStatus(Schema):
    """What became of the route at one parent.

    Attributes:
        parent_ref: the parent.
        controller_name: the program that says so.
        conditions: Accepted and ResolvedRefs, each with a reason and a message.
    """

    parent_ref: ParentReference
    controller_name: str
    conditions: Annotated[Opt[list[Condition]], _BY_TYPE] = UNSET


class HTTPRouteStatus(Schema):
    """What became of the route.

    Attributes:
        parents: what became of it at each parent.
    """

    parents: Annotated[Opt[list[RouteParentStatus]], ATOMIC_LIST] = UNSET


class HTTPRoute(Object):
    """Routes requests of some hostnames to Services, by path, header and weight.

    Attributes:
        spec: where the route is attached, and what it does.
        status: what became of the route at each of its parents.
    """

    PRINTER_COLUMNS: ClassVar[tuple[tuple[str, str, str], ...]] = (
        ("Hostnames", "string", ".spec.hostnames"),
        ("Age", "date", ".metadata.creationTimestamp"),
    )

    spec: HTTPRouteSpec = msgspec.field(default_factory=HTTPRouteSpec)
    status: HTTPRouteStatus = msgspec.field(default_factory=HTTPRouteStatus)


class Listener(Schema):
    """A port of a Gateway, and the routes that may use it.

    Attributes:
        name: its name, unique in the Gateway.
        port: its port. All listeners are served at the one port of the embedded gateway.
        protocol: HTTP; others are not served.
        hostname: the hosts it is for, a leading *. allowed; any if left out.
        tls: certificates and how they are used; not served.
        allowed_routes: routes of which namespaces and kinds may attach; HTTPRoutes of the Gateway's namespace by
            default.
    """

    name: str
    port: int
    protocol: str
    hostname: Opt[str] = UNSET
    tls: Opt[Mapping] = UNSET
    allowed_routes: Opt[Mapping] = UNSET


class GatewaySpec(Schema):
    """The class of the Gateway, and its listeners.

    Attributes:
        gateway_class_name: the GatewayClass.
        listeners: where requests are taken.
        addresses: addresses that are asked for; without effect.
        infrastructure: labels and annotations of what is started for the Gateway; without effect.
    """

    gateway_class_name: str
    listeners: Annotated[list[Listener], list_map("name")] = []
    addresses: Opt[list[Mapping]] = UNSET
    infrastructure: Opt[Mapping] = UNSET


class GatewayStatus(Schema):
    """Where the Gateway takes requests, or why it does not.

    Attributes:
        addresses: where requests are taken.
        conditions: Accepted and Programmed, each with a reason and a message.
        listeners: what became of each listener, and how many routes are attached to it.
    """

    addresses: Opt[list[dict[str, str]]] = UNSET
    conditions: Annotated[Opt[list[Condition]], _BY_TYPE] = UNSET
    listeners: Opt[list[Mapping]] = UNSET


class Gateway(Object, kw_only=True):
    """A door to the cluster, which HTTPRoutes name as their parent.

    Attributes:
        spec: the class of the Gateway, and its listeners.
        status: where the Gateway takes requests, or why it does not.
    """

    PRINTER_COLUMNS: ClassVar[tuple[tuple[str, str, str], ...]] = (
        ("Class", "string", ".spec.gatewayClassName"),
        ("Address", "string", ".status.addresses[*].value"),
        ("Programmed", "string", ".status.conditions[?(@.type=='Programmed')].status"),
        ("Age", "date", ".metadata.creationTimestamp"),
    )

    spec: GatewaySpec
    status: GatewayStatus = msgspec.field(default_factory=GatewayStatus)


class GatewayClassSpec(Schema):
    """The program that opens Gateways of the class.

    Attributes:
        controller_name: the name of the program.
        description: what the class is for.
        parameters_ref: settings for the program; without effect.
    """

    controller_name: str
    description: Opt[str] = UNSET
    parameters_ref: Opt[dict[str, Any]] = UNSET


class GatewayClassStatus(Schema):
    """Whether the class is in use.

    Attributes:
        conditions: Accepted, with a reason and a message.
    """

    conditions: Annotated[Opt[list[Condition]], _BY_TYPE] = UNSET


class GatewayClass(Object, kw_only=True):
    """Which program opens the Gateways of a class.

    Attributes:
        spec: the program that opens Gateways of the class.
        status: whether the class is in use.
    """

    PRINTER_COLUMNS: ClassVar[tuple[tuple[str, str, str], ...]] = (
        ("Controller", "string", ".spec.controllerName"),
        ("Accepted", "string", ".status.conditions[?(@.type=='Accepted')].status"),
        ("Age", "date", ".metadata.creationTimestamp"),
    )

    spec: GatewayClassSpec
    status: GatewayClassStatus = msgspec.field(default_factory=GatewayClassStatus)
