"""The routing table: from a request's host, path, method and fields to what is done with it.

Every source object contributes a list of routes, under its own name. A change of one object touches the hosts that it
names, before and after, and no others; a lookup of a host that was asked for before is one look into a dictionary.

Precedence is the Gateway API's, which says all that Ingress says and more: the most specific host alone decides, then
the condition (:mod:`condition`), the older object, its name, and the place in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from mizzen.cluster.gateway.action import Action
from mizzen.cluster.gateway.condition import Condition
from mizzen.http.headers import Headers

DEFAULT_PORT = 80
_LARGEST_CACHE = 10_000
# RFC 3986, sections 3.2.2 and 3.2.3, without user names and percent signs, which no host field has.
_AUTHORITY = re.compile(rb"(?:[A-Za-z0-9._~!$&'()*+;=-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")


class Origin(NamedTuple):
    """The object that a route comes from."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One condition and what to do when it holds.

    Attributes:
        host: a name, ``*.example.com``, empty for any host, or None for what no other route takes.
        one_label: whether the wildcard stands for one label (Ingress) or for any number (Gateway API).
        port: of the ``host`` field, where the host means a Service; None for any.
        created: the object's creationTimestamp.
        order: the place in the object.
    """

    origin: Origin
    action: Action
    host: str | None
    condition: Condition = Condition()
    one_label: bool = False
    port: int | None = None
    created: str = ""
    order: int = 0

    def precedence(self) -> tuple[object, ...]:
        """Sorts the routes of one host, the one that is asked first in front."""
        # A Service's own name comes after whatever somebody wants it to mean.
        of_service = self.port is not None
        age = self.created, self.origin.namespace, self.origin.name, self.order
        return *self.condition.precedence(), of_service, *age


def is_authority(authority: bytes) -> bool:
    """Whether this can stand in a ``host`` field; it may be empty there. No server may guess what else would mean."""
    return _AUTHORITY.fullmatch(authority) is not None


def split_authority(authority: bytes) -> tuple[str, int | None]:
    """The host in lower case, without a dot at its end, and the port of a ``host`` field, if it names one."""
    text = authority.decode("ascii").lower()
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        return text.removesuffix("."), None
    return host.removesuffix("."), int(port) if port else None


class _Group:
    """The routes of one host pattern, by the object that they come from."""

    __slots__ = ("_sorted", "parts")

    def __init__(self) -> None:
        self.parts: dict[Origin, list[Route]] = {}
        self._sorted: list[Route] | None = None

    def put(self, origin: Origin, routes: list[Route]) -> None:
        self.parts[origin] = routes
        self._sorted = None

    def remove(self, origin: Origin) -> None:
        del self.parts[origin]
        self._sorted = None

    @property
    def routes(self) -> list[Route]:
        if self._sorted is None:
            self._sorted = sorted((route for part in self.parts.values() for route in part), key=Route.precedence)
        return self._sorted


class Table:
    """All routes of the gateway.

    Args:
        own_port: the gateway's. A client that reaches a Service's name through it, writes it into ``host``.
    """

    def __init__(self, own_port: int = DEFAULT_PORT) -> None:
        self._own_port = own_port
        # Exact names, wildcards as ".example.com", "" for any host, None for what no other takes.
        self._groups: dict[str | None, _Group] = {}
        self._hosts: dict[Origin, set[str | None]] = {}
        self._seen: dict[bytes, list[Route]] = {}

    def put(self, origin: Origin, routes: Iterable[Route]) -> None:
        """Make ``routes`` all that comes from one object."""
        by_host: dict[str | None, list[Route]] = {}
        for route in routes:
            by_host.setdefault(_key(route.host), []).append(route)
        for host in self._hosts.get(origin, set()) - by_host.keys():
            self._drop(host, origin)
        for host, own in by_host.items():
            group = self._groups.get(host)
            if group is None:
                group = self._groups[host] = _Group()
            group.put(origin, own)
        if by_host:
            self._hosts[origin] = set(by_host)
        else:
            self._hosts.pop(origin, None)
        self._seen.clear()

    def remove(self, origin: Origin) -> None:
        """Forget what came from an object."""
        for host in self._hosts.pop(origin, ()):
            self._drop(host, origin)
        self._seen.clear()

    def _drop(self, host: str | None, origin: Origin) -> None:
        group = self._groups[host]
        group.remove(origin)
        if not group.parts:
            del self._groups[host]

    def __contains__(self, origin: Origin) -> bool:
        return origin in self._hosts

    def __len__(self) -> int:
        """How many host patterns are known."""
        return len(self._groups)

    def resolve(self, authority: bytes, method: bytes, target: bytes, headers: Headers) -> Route | None:
        """The route for a request, or None.

        Args:
            authority: the ``host`` field as it came.
            target: in origin form, with its query.
            headers: with names in lower case.
        """
        routes = self._seen.get(authority)
        if routes is None:
            routes = self._look_up(authority)
        if not routes:
            return None
        if routes[0].condition.takes_all:
            return routes[0]
        path, _, query = target.partition(b"?")
        for route in routes:
            if route.condition.holds(method, path, query, headers):
                return route
        return None

    def routes_of(self, authority: bytes) -> list[Route]:
        """Every route that a request to a host may take, in the order in which they are asked."""
        return self._seen.get(authority) or self._look_up(authority)

    def ports_of(self, authority: bytes) -> list[int]:
        """The ports under which a host is known, if it is a Service's name; the one in ``authority`` does not count."""
        group = self._groups.get(split_authority(authority)[0]) if is_authority(authority) else None
        return sorted({route.port for route in group.routes if route.port is not None}) if group is not None else []

    def _look_up(self, authority: bytes) -> list[Route]:
        routes: list[Route] = []
        if is_authority(authority):
            host, port = split_authority(authority)
            routes = self._by_host(host, DEFAULT_PORT if port is None else port)
            if not routes and port == self._own_port:
                routes = self._by_host(host, DEFAULT_PORT)
            default = self._groups.get(None)
            if default is not None:
                routes = routes + default.routes
        if len(self._seen) >= _LARGEST_CACHE:
            self._seen.clear()
        self._seen[authority] = routes
        return routes

    def _by_host(self, host: str, port: int) -> list[Route]:
        group = self._groups.get(host) if host and host[0] != "." else None
        if group is not None:
            found = [route for route in group.routes if route.port is None or route.port == port]
            if found:
                return found
        dot, labels = host.find("."), 1
        while dot >= 0:
            group = self._groups.get(host[dot:])
            if group is not None:
                found = [route for route in group.routes if labels == 1 or not route.one_label]
                if found:
                    return found
            dot, labels = host.find(".", dot + 1), labels + 1
        group = self._groups.get("")
        return list(group.routes) if group is not None else []


def _key(host: str | None) -> str | None:
    """How a host pattern is kept: a wildcard by the dot and what follows, everything in lower case."""
    if host is None:
        return None
    host = host.lower().removesuffix(".")
    return host[1:] if host.startswith("*.") else host
