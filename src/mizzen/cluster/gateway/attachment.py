"""Which listeners of which Gateways an HTTPRoute attaches to, and in words why not to the others.

Source: the Gateway API's rules for ``parentRefs``, ``allowedRoutes`` and hostnames. Every HTTP listener of a Gateway of
ours is served on the gateway's one port, whatever port it names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from mizzen.apis.gateway import GATEWAY, Gateway, Listener
from mizzen.apis.httproute import HTTP_ROUTE, HTTPRoute, ParentReference
from mizzen.apis.meta import given, given_or
from mizzen.kube.selectors import SelectorError, from_typed

CONTROLLER = "mizzen.internal/gateway"


class Attachment(msgspec.Struct, frozen=True, kw_only=True):
    """One parent of a route that is a Gateway of ours.

    Attributes:
        hosts: those under which the route is served through this parent; empty text is any host.
        reason, message: of the condition ``Accepted``.
    """

    parent: ParentReference
    gateway: tuple[str, str]
    listeners: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    reason: str = "Accepted"
    message: str = "the route is served"

    @property
    def accepted(self) -> bool:
        return bool(self.listeners)


class Gateways:
    """The Gateways as a route sees them.

    Args:
        find: a Gateway by namespace and name.
        is_ours: whether a GatewayClass is this controller's.
        labels: of a namespace.
    """

    def __init__(
        self,
        find: Callable[[str, str], Gateway | None],
        is_ours: Callable[[str], bool],
        labels: Callable[[str], dict[str, str]],
    ) -> None:
        self._find = find
        self._is_ours = is_ours
        self._labels = labels

    def attach(self, route: HTTPRoute) -> list[Attachment]:
        """What becomes of each parent of ``route``. Parents that belong to another controller are left out."""
        return [
            found
            for parent in given(route.spec.parent_refs) or ()
            if (found := self._attach(route, parent)) is not None
        ]

    def _attach(self, route: HTTPRoute, parent: ParentReference) -> Attachment | None:
        if given_or(parent.group, GATEWAY.group) != GATEWAY.group or given_or(parent.kind, "Gateway") != "Gateway":
            return None
        key = given_or(parent.namespace, "") or route.namespace, parent.name
        gateway = self._find(*key)
        if gateway is None:
            # Nobody else in the embedded cluster would ever say so.
            return _refused(parent, key, "NoMatchingParent", f"there is no Gateway {'/'.join(key)}")
        if not self._is_ours(gateway.spec.gateway_class_name):
            return None
        named = [listener for listener in gateway.spec.listeners if _is_named(parent, listener)]
        if not named:
            wanted = given(parent.section_name) or f"port {given(parent.port)}"
            have = ", ".join(f"{listener.name} (port {listener.port})" for listener in gateway.spec.listeners)
            return _refused(
                parent, key, "NoMatchingParent", f"Gateway {'/'.join(key)} has no listener {wanted}; it has {have}"
            )
        allowing = [one for one in named if listener_problem(one) is None and self._allows(one, gateway, route)]
        if not allowing:
            message = f"no listener of Gateway {'/'.join(key)} allows an HTTPRoute of namespace {route.namespace}"
            return _refused(parent, key, "NotAllowedByListeners", message)
        own = [host.lower() for host in given(route.spec.hostnames) or ()]
        listeners: list[str] = []
        hosts: dict[str, None] = {}
        for listener in allowing:
            common = intersect(own, given_or(listener.hostname, "").lower())
            if common:
                listeners.append(listener.name)
                hosts.update(dict.fromkeys(common))
        if not listeners:
            listening = ", ".join(given_or(listener.hostname, "") for listener in allowing)
            message = f"none of the route's hostnames ({', '.join(own)}) is one of the listener's ({listening})"
            return _refused(parent, key, "NoMatchingListenerHostname", message)
        return Attachment(parent=parent, gateway=key, listeners=tuple(listeners), hosts=tuple(hosts))

    def _allows(self, listener: Listener, gateway: Gateway, route: HTTPRoute) -> bool:
        allowed = given(listener.allowed_routes) or {}
        kinds = allowed.get("kinds") or ()
        if kinds and not any(_is_http_route(kind) for kind in kinds):
            return False
        namespaces = allowed.get("namespaces") or {}
        scope = namespaces.get("from") or "Same"
        if scope == "All":
            return True
        if scope == "Same":
            return route.namespace == gateway.namespace
        if scope != "Selector":
            return False
        try:
            return from_typed(namespaces.get("selector")).matches(self._labels(route.namespace))
        except SelectorError:
            return False


def listener_problem(listener: Listener) -> tuple[str, str] | None:
    """Reason and message why a listener is not served, or None."""
    if listener.protocol != "HTTP":
        message = f"protocol {listener.protocol} is not served by this gateway, only HTTP"
        return "UnsupportedProtocol", message
    return None


def supports_routes(listener: Listener) -> bool:
    """Whether the kinds that a listener allows are all of a kind that is served here."""
    kinds = (given(listener.allowed_routes) or {}).get("kinds") or ()
    return all(_is_http_route(kind) for kind in kinds)


def _is_http_route(kind: dict[str, Any]) -> bool:
    return kind.get("kind") == HTTP_ROUTE.kind and (kind.get("group") or HTTP_ROUTE.group) == HTTP_ROUTE.group


def _is_named(parent: ParentReference, listener: Listener) -> bool:
    name, port = given(parent.section_name), given(parent.port)
    return (not name or name == listener.name) and (not port or port == listener.port)


def _refused(parent: ParentReference, key: tuple[str, str], reason: str, message: str) -> Attachment:
    return Attachment(parent=parent, gateway=key, reason=reason, message=message)


def intersect(hostnames: Iterable[str], listener: str) -> list[str]:
    """The hostnames that a route and a listener have in common; for each pair it is the narrower of the two.

    Empty text, and no hostnames at all, stand for any host.
    """
    common = []
    for host in list(hostnames) or [""]:
        if not listener or covers(listener, host):
            common.append(host)
        elif not host or covers(host, listener):
            common.append(listener)
    return list(dict.fromkeys(common))


def covers(wide: str, narrow: str) -> bool:
    """Whether every host that ``narrow`` means is meant by ``wide``; ``*.`` stands for one label or more."""
    return wide == narrow or (wide.startswith("*.") and narrow.endswith(wide[1:]) and narrow != wide[1:])
