"""Routes from HTTPRoute objects (``gateway.networking.k8s.io/v1``).

What the gateway cannot do is refused as a whole, in words, and never left out: a route whose mirror or whose extension
was silently dropped would look as if it worked. Source: the Gateway API's HTTPRoute specification. A regular expression
has to match the whole path, as in Envoy, which KServe's routes are written for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from mizzen.apis.httproute import (
    HTTP_ROUTE,
    BackendRef,
    HeaderMatch,
    HeaderModifier,
    HTTPRoute,
    PathMatch,
    PathModifier,
    RouteFilter,
    RouteMatch,
    RouteRule,
    RouteTimeouts,
)
from mizzen.apis.meta import given, given_or
from mizzen.cluster.gateway.action import Action, Backend, HeaderEdits, PathEdit, Redirect, Rewrite, Target
from mizzen.cluster.gateway.condition import Condition, FieldMatch, PathType
from mizzen.cluster.gateway.errors import Unsupported
from mizzen.cluster.gateway.routes import Origin, Route

_PATH_TYPES: dict[str, PathType] = {"Exact": "exact", "PathPrefix": "prefix", "RegularExpression": "regex"}
_DURATION = re.compile(r"(\d+)(h|ms|m|s)")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
# These say where a message ends and whom it is for. Whoever writes the message decides them.
_UNTOUCHABLE = frozenset({b"host", b"content-length", b"transfer-encoding", b"connection"})


def origin(route: HTTPRoute) -> Origin:
    return Origin(HTTP_ROUTE.kind, route.namespace, route.name)


def compile_http_route(route: HTTPRoute, hosts: Iterable[str]) -> list[Route]:
    """The routes that an HTTPRoute asks for, under ``hosts`` (empty text for any).

    Raises:
        Unsupported: it asks for what this gateway does not do.
    """
    own = origin(route)
    created = given_or(route.metadata.creation_timestamp, "")
    hosts = list(hosts)
    routes: list[Route] = []
    for number, rule in enumerate(given(route.spec.rules) or ()):
        where = f"spec.rules[{number}]"
        for index, match in enumerate(given(rule.matches) or [RouteMatch()]):
            condition = _condition(match, f"{where}.matches[{index}]")
            action = _action(rule, route.namespace, condition, where)
            for host in hosts:
                found = Route(
                    origin=own, host=host, action=action, created=created, order=len(routes), condition=condition
                )
                routes.append(found)
    return routes


def _condition(match: RouteMatch, where: str) -> Condition:
    path = given(match.path) or PathMatch()
    kind = given_or(path.type, "PathPrefix")
    value = given_or(path.value, "/")
    if kind not in _PATH_TYPES:
        raise Unsupported(f"{where}.path.type: {kind!r} is not served; use Exact, PathPrefix or RegularExpression")
    pattern = _pattern(value, f"{where}.path.value") if kind == "RegularExpression" else None
    return Condition(
        path_type=_PATH_TYPES[kind],
        path=(value.rstrip("/") if kind == "PathPrefix" else value).encode(),
        pattern=pattern,
        method=given_or(match.method, "").encode(),
        headers=_fields(given(match.headers) or (), f"{where}.headers", lower=True),
        query=_fields(given(match.query_params) or (), f"{where}.queryParams", lower=False),
    )


def _fields(matches: Sequence[HeaderMatch], where: str, *, lower: bool) -> tuple[FieldMatch, ...]:
    found: dict[bytes, FieldMatch] = {}
    for index, match in enumerate(matches):
        name = (match.name.lower() if lower else match.name).encode()
        kind = given_or(match.type, "Exact")
        if kind not in ("Exact", "RegularExpression"):
            raise Unsupported(f"{where}[{index}].type: {kind!r} is not served; use Exact or RegularExpression")
        exact = kind == "Exact"
        value = match.value.encode() if exact else _pattern(match.value, f"{where}[{index}].value")
        # Of several conditions on one name the first counts, as the specification has it.
        found.setdefault(name, FieldMatch(name, value))
    return tuple(found.values())


def _pattern(text: str, where: str) -> re.Pattern[bytes]:
    try:
        return re.compile(text.encode())
    except re.error as error:
        raise Unsupported(f"{where}: {text!r} is no regular expression: {error}") from error


def _action(rule: RouteRule, namespace: str, condition: Condition, where: str) -> Action:
    prefix = condition.path if condition.path_type == "prefix" else None
    filters = _Filters(given(rule.filters) or (), prefix, f"{where}.filters")
    targets = tuple(
        _target(ref, namespace, f"{where}.backendRefs[{index}]")
        for index, ref in enumerate(given(rule.backend_refs) or ())
    )
    if filters.redirect is not None and targets:
        raise Unsupported(f"{where}: a RequestRedirect leaves nothing for backendRefs to answer; remove one of the two")
    if given(rule.retry) or given(rule.session_persistence):
        field = "retry" if given(rule.retry) else "sessionPersistence"
        raise Unsupported(f"{where}.{field}: this is not served; remove it")
    return Action(
        targets=targets,
        request=filters.request,
        response=filters.response,
        rewrite=filters.rewrite,
        redirect=filters.redirect,
        timeout=_timeout(given(rule.timeouts) or RouteTimeouts(), f"{where}.timeouts"),
    )


def _timeout(timeouts: RouteTimeouts, where: str) -> float | None:
    """The shorter of both limits: a request is sent again only when the first try has failed at once."""
    limits = (
        duration(given_or(timeouts.request, ""), f"{where}.request"),
        duration(given_or(timeouts.backend_request, ""), f"{where}.backendRequest"),
    )
    return min((limit for limit in limits if limit is not None), default=None)


def backend_problem(ref: BackendRef, namespace: str) -> tuple[str, str] | None:
    """Reason and message why a ``backendRefs`` entry can never be served, or None."""
    group, kind = given_or(ref.group, ""), given_or(ref.kind, "Service")
    if group or kind != "Service":
        return "InvalidKind", f"backend {ref.name} is a {kind}{'.' + group if group else ''}; only Services are served"
    if given_or(ref.namespace, "") not in ("", namespace):
        message = f"backend {ref.namespace}/{ref.name} is in another namespace, and no ReferenceGrant is served here"
        return "RefNotPermitted", message
    if not given(ref.port):
        return "UnsupportedValue", f"backend {ref.name} names no port"
    return None


def _target(ref: BackendRef, namespace: str, where: str) -> Target:
    problem = backend_problem(ref, namespace)
    filters = _Filters(given(ref.filters) or (), None, f"{where}.filters")
    if filters.rewrite is not None or filters.redirect is not None:
        raise Unsupported(f"{where}.filters: a backend can change header fields only")
    return Target(
        backend=Backend(namespace, ref.name, given_or(ref.port, 0)) if problem is None else None,
        weight=given_or(ref.weight, 1),
        request=filters.request,
        response=filters.response,
        problem="" if problem is None else problem[1],
    )


class _Filters:
    """The ``filters`` of a rule or a backend, each read into what it does.

    Args:
        prefix: the path prefix that the rule matches, if it matches one.
    """

    def __init__(self, filters: Sequence[RouteFilter], prefix: bytes | None, where: str) -> None:
        self.request: HeaderEdits | None = None
        self.response: HeaderEdits | None = None
        self.rewrite: Rewrite | None = None
        self.redirect: Redirect | None = None
        for index, one in enumerate(filters):
            here = f"{where}[{index}]"
            if one.type == "RequestHeaderModifier":
                self.request = _edits(given(one.request_header_modifier), f"{here}.requestHeaderModifier")
            elif one.type == "ResponseHeaderModifier":
                self.response = _edits(given(one.response_header_modifier), f"{here}.responseHeaderModifier")
            elif one.type == "URLRewrite":
                self.rewrite = _rewrite(one, prefix, here)
            elif one.type == "RequestRedirect":
                self.redirect = _redirect(one, prefix, here)
            else:
                raise Unsupported(
                    f"{here}.type: {one.type!r} is not served; RequestHeaderModifier, ResponseHeaderModifier, "
                    "URLRewrite and RequestRedirect are"
                )


def _edits(modifier: HeaderModifier | None, where: str) -> HeaderEdits:
    modifier = modifier or HeaderModifier()
    edits = HeaderEdits(
        set=tuple((one.name.lower().encode(), one.value.encode()) for one in given(modifier.set) or ()),
        add=tuple((one.name.lower().encode(), one.value.encode()) for one in given(modifier.add) or ()),
        remove=tuple(name.lower().encode() for name in given(modifier.remove) or ()),
    )
    for name in (*(name for name, _ in edits.set + edits.add), *edits.remove):
        if name in _UNTOUCHABLE:
            hint = "; use a URLRewrite with a hostname" if name == b"host" else ""
            raise Unsupported(f"{where}: the field {name.decode()!r} cannot be changed{hint}")
    return edits


def _rewrite(one: RouteFilter, prefix: bytes | None, where: str) -> Rewrite:
    rewrite = given(one.url_rewrite)
    if rewrite is None:
        raise Unsupported(f"{where}.urlRewrite: missing")
    path = given(rewrite.path)
    return Rewrite(
        host=given_or(rewrite.hostname, "").encode(),
        path=_path_edit(path, prefix, f"{where}.urlRewrite.path") if path is not None else None,
    )


def _path_edit(path: PathModifier, prefix: bytes | None, where: str) -> PathEdit:
    if path.type == "ReplaceFullPath":
        return PathEdit(given_or(path.replace_full_path, "").encode() or b"/")
    if path.type != "ReplacePrefixMatch":
        raise Unsupported(f"{where}.type: {path.type!r} is not served; use ReplaceFullPath or ReplacePrefixMatch")
    if prefix is None:
        raise Unsupported(f"{where}: ReplacePrefixMatch needs a match of type PathPrefix in every match of the rule")
    return PathEdit(given_or(path.replace_prefix_match, "").encode(), len(prefix))


def _redirect(one: RouteFilter, prefix: bytes | None, where: str) -> Redirect:
    given_redirect = given(one.request_redirect) or {}
    path = given_redirect.get("path")
    if path is not None:
        edit = _path_edit(
            PathModifier(
                type=path.get("type") or "",
                replace_full_path=path.get("replaceFullPath"),
                replace_prefix_match=path.get("replacePrefixMatch"),
            ),
            prefix,
            f"{where}.requestRedirect.path",
        )
    return Redirect(
        status=given_redirect.get("statusCode") or 302,
        scheme=given_redirect.get("scheme") or "",
        host=given_redirect.get("hostname") or "",
        port=given_redirect.get("port"),
        path=edit if path is not None else None,
    )


def duration(text: str, where: str) -> float | None:
    """Seconds of a Gateway API duration such as ``1m30s``; None for none and for zero, which switches a limit off.

    Raises:
        Unsupported: it is no duration.
    """
    if not text:
        return None
    if not re.fullmatch(rf"(?:{_DURATION.pattern})+", text):
        raise Unsupported(f"{where}: {text!r} is no duration such as 500ms, 60s or 1m30s")
    return sum(int(number) * _SECONDS[unit] for number, unit in _DURATION.findall(text)) or None
