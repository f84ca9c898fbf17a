"""What the gateway says about the objects that it serves: their ``status``, as values.

Sources: the Gateway API's specification of conditions and reasons, and the Ingress API. A condition keeps the time of
its last change as long as its status does not change, so the same state is written once.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from mizzen.apis.gateway import Gateway, Listener
from mizzen.apis.httproute import HTTP_ROUTE, HTTPRoute
from mizzen.apis.meta import given
from mizzen.cluster.gateway.action import Backend
from mizzen.cluster.gateway.attachment import CONTROLLER, Attachment, listener_problem, supports_routes
from mizzen.cluster.gateway.httproute import backend_problem

Status = dict[str, Any]


class Finding(NamedTuple):
    """A condition before it is compared with the one that is stored."""

    type: str
    holds: bool
    reason: str
    message: str


def conditions(
    findings: Iterable[Finding], stored: Sequence[Mapping[str, Any]], generation: int | None, now: str
) -> list[Status]:
    """The conditions as they are stored. ``now`` (RFC 3339) is the time of those that change."""
    before = {one.get("type"): one for one in stored}
    found = []
    for finding in findings:
        status = "True" if finding.holds else "False"
        old = before.get(finding.type) or {}
        found.append(
            {
                "type": finding.type,
                "status": status,
                "reason": finding.reason,
                "message": finding.message,
                "lastTransitionTime": old["lastTransitionTime"] if old.get("status") == status else now,
            }
            | ({"observedGeneration": generation} if generation else {})
        )
    return found


def ingress_status(address: str, port: int) -> Status:
    """``status`` of every Ingress: where the gateway is."""
    where = {"ip": address} if _is_ip(address) else {"hostname": address}
    return {"loadBalancer": {"ingress": [where | {"ports": [{"port": port, "protocol": "TCP"}]}]}}


def class_status(stored: Mapping[str, Any], generation: int | None, now: str) -> Status:
    """``status`` of a GatewayClass of ours."""
    accepted = Finding("Accepted", True, "Accepted", "Gateways of this class are served by Mizzen's gateway")
    return {"conditions": conditions([accepted], stored.get("conditions") or (), generation, now)}


def route_status(
    route: HTTPRoute,
    stored: Mapping[str, Any],
    attachments: Iterable[Attachment],
    problem: str,
    services: Callable[[str, str], bool],
    ports: Callable[[Backend], bool],
    now: str,
) -> Status:
    """``status`` of an HTTPRoute: what became of each parent that is ours. What others wrote about theirs stays.

    Args:
        stored: the present status.
        problem: why the route cannot be served at all, if so.
        services, ports: whether a Service, or a port of one, exists.
    """
    present = [one for one in stored.get("parents") or () if isinstance(one, dict)]
    others = [one for one in present if one.get("controllerName") != CONTROLLER]
    resolved = _resolved(route, services, ports)
    own = []
    for one in attachments:
        parent = msgspec.to_builtins(one.parent)
        before = next((had for had in present if had not in others and had.get("parentRef") == parent), {})
        accepted = Finding("Accepted", one.accepted, one.reason, one.message)
        if one.accepted and problem:
            accepted = Finding("Accepted", False, "UnsupportedValue", problem)
        found = conditions([accepted, resolved], before.get("conditions") or (), given(route.metadata.generation), now)
        own.append({"parentRef": parent, "controllerName": CONTROLLER, "conditions": found})
    return {"parents": others + own}


def _resolved(route: HTTPRoute, services: Callable[[str, str], bool], ports: Callable[[Backend], bool]) -> Finding:
    for rule in given(route.spec.rules) or ():
        for ref in given(rule.backend_refs) or ():
            problem = backend_problem(ref, route.namespace)
            if problem is not None:
                return Finding("ResolvedRefs", False, *problem)
            if not services(route.namespace, ref.name):
                message = f"there is no Service {ref.name} in namespace {route.namespace}"
                return Finding("ResolvedRefs", False, "BackendNotFound", message)
            port = given(ref.port)
            if port and not ports(Backend(route.namespace, ref.name, port)):
                message = f"Service {ref.name} in namespace {route.namespace} has no port {port}"
                return Finding("ResolvedRefs", False, "BackendNotFound", message)
    return Finding("ResolvedRefs", True, "ResolvedRefs", "every backend is a port of a Service")


def gateway_status(
    gateway: Gateway, stored: Mapping[str, Any], address: str, attached: Mapping[str, int], now: str
) -> Status:
    """``status`` of a Gateway of ours.

    Args:
        attached: how many routes are attached to each listener, by its name.
    """
    generation = given(gateway.metadata.generation)
    before = {one.get("name"): one for one in stored.get("listeners") or ()}
    listeners = [
        _listener(one, before.get(one.name) or {}, attached.get(one.name, 0), generation, now)
        for one in gateway.spec.listeners
    ]
    problems = [problem for one in gateway.spec.listeners if (problem := listener_problem(one)) is not None]
    served = len(problems) < len(listeners)
    if problems:
        accepted = Finding("Accepted", served, "ListenersNotValid", "; ".join(message for _, message in problems))
    else:
        accepted = Finding("Accepted", True, "Accepted", "every listener is served")
    where = f"requests for all listeners are taken at {address}"
    programmed = (
        Finding("Programmed", True, "Programmed", where)
        if served
        else Finding("Programmed", False, "Invalid", "no listener can be served")
    )
    return {
        "addresses": [{"type": "IPAddress" if _is_ip(address) else "Hostname", "value": address}],
        "conditions": conditions([accepted, programmed], stored.get("conditions") or (), generation, now),
        "listeners": listeners,
    }


def _listener(listener: Listener, stored: Mapping[str, Any], attached: int, generation: int | None, now: str) -> Status:
    problem = listener_problem(listener)
    kinds = [{"group": HTTP_ROUTE.group, "kind": HTTP_ROUTE.kind}] if problem is None else []
    if problem is None:
        accepted = Finding("Accepted", True, "Accepted", "the listener is served")
        programmed = Finding("Programmed", True, "Programmed", "the listener takes requests")
    else:
        accepted = Finding("Accepted", False, *problem)
        programmed = Finding("Programmed", False, "Invalid", problem[1])
    if supports_routes(listener):
        resolved = Finding("ResolvedRefs", True, "ResolvedRefs", "every kind of route that it allows is served")
    else:
        resolved = Finding("ResolvedRefs", False, "InvalidRouteKinds", "of its kinds only HTTPRoute is served")
    conflicted = Finding("Conflicted", False, "NoConflicts", "no other listener stands in its way")
    return {
        "name": listener.name,
        "supportedKinds": kinds,
        "attachedRoutes": attached,
        "conditions": conditions(
            [accepted, programmed, resolved, conflicted], stored.get("conditions") or (), generation, now
        ),
    }


def _is_ip(address: str) -> bool:
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return False
    return True
