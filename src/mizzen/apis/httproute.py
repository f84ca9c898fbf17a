"""The Gateway API's HTTPRoute: which requests go to which Services, and what is changed of them on their way."""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec
from msgspec import UNSET

from mizzen.apis.gateway import BY_TYPE, GATEWAY_GROUP, Condition
from mizzen.apis.meta import ATOMIC_LIST, Mapping, Object, Opt, ResourceDef, Schema, field_schema

HTTP_ROUTE = ResourceDef(
    group=GATEWAY_GROUP, version="v1", kind="HTTPRoute", plural="httproutes", categories=("gateway-api",)
)


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
    group: Annotated[Opt[str], field_schema(default=GATEWAY_GROUP)] = UNSET
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
    conditions: Annotated[Opt[list[Condition]], BY_TYPE] = UNSET


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
