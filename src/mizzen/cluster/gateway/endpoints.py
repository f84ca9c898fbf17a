"""Who answers for a Service right now, and which of them gets the next request.

Addresses come from EndpointSlices, their meaning from the Service: a backend names a port of the Service, the slice
says under which number each pod listens. Of two candidates taken at random the one with fewer requests under way is
chosen; that spreads load nearly as well as looking at all, and never sends everybody to the same newcomer. An endpoint
that refused a connection is left aside for a moment, until the slices say what became of it.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence

from mizzen.apis.core import Service
from mizzen.apis.meta import given, given_or
from mizzen.apis.networking import EndpointSlice
from mizzen.cluster.gateway.action import Backend
from mizzen.cluster.gateway.errors import Unavailable

# For how many seconds an endpoint that refused a connection is asked only if no other is there.
_ASIDE = 1.0


class Endpoint:
    """One address of a Service's port.

    Attributes:
        host, port: where it listens.
        under_way: requests and connections that it is busy with.
    """

    __slots__ = ("_aside_until", "host", "port", "under_way")

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port
        self.under_way = 0
        self._aside_until = 0.0

    def failed(self, now: float) -> None:
        """It refused a connection at this time of the loop's clock."""
        self._aside_until = now + _ASIDE

    def is_aside(self, now: float) -> bool:
        return self._aside_until > now

    def __repr__(self) -> str:
        return f"<Endpoint {self.host}:{self.port}, {self.under_way} under way>"


class _Port:
    """The endpoints of one port of a Service, ready ones and the number of those that are not."""

    __slots__ = ("ready", "unready")

    def __init__(self, ready: list[Endpoint], unready: int) -> None:
        self.ready = ready
        self.unready = unready


class _Service:
    """What is known of one Service: the object, its slices, and what follows from both."""

    def __init__(self) -> None:
        self.service: Service | None = None
        self.slices: dict[str, EndpointSlice] = {}
        self._ports: dict[int | str, _Port] = {}
        self._endpoints: dict[tuple[str, int], Endpoint] = {}

    def changed(self) -> None:
        self._ports.clear()
        alive = {
            (address, port.port)
            for one in self.slices.values()
            for port in given(one.ports) or ()
            for endpoint in given(one.endpoints) or ()
            for address in endpoint.addresses
        }
        # An endpoint stays the same one as long as a slice names it, so that what it is busy with stays known.
        self._endpoints = {key: found for key, found in self._endpoints.items() if key in alive}

    def port(self, wanted: int | str) -> _Port | None:
        """The endpoints of a port, or None if the Service has no such port."""
        found = self._ports.get(wanted)
        if found is None:
            found = self._find(wanted)
            if found is not None:
                self._ports[wanted] = found
        return found

    def _find(self, wanted: int | str) -> _Port | None:
        assert self.service is not None
        for port in given(self.service.spec.ports) or ():
            name = given_or(port.name, "")
            if wanted in (port.port, name):
                return self._collect(name=name)
        if self.service.spec.is_headless:
            # There is no address between a headless service's clients and its pods, so they use the pods' ports.
            found = self._collect(number=wanted)
            return found if found.ready or found.unready else None
        return None

    def _collect(self, name: str | None = None, number: int | str | None = None) -> _Port:
        """The endpoints of the slices' ports of this name, or of this number."""
        ready: dict[Endpoint, None] = {}
        leaving: dict[Endpoint, None] = {}
        unready = 0
        for one in self.slices.values():
            for port in given(one.ports) or () if one.address_type != "FQDN" else ():
                found = given(port.port)
                if found is None or (given_or(port.name, "") != name if name is not None else found != number):
                    continue
                for endpoint in given(one.endpoints) or ():
                    state = endpoint.conditions
                    if given_or(state.ready, True):
                        ready[self._endpoint(endpoint.addresses[0], found)] = None
                    elif given_or(state.serving, False):
                        leaving[self._endpoint(endpoint.addresses[0], found)] = None
                    else:
                        unready += 1
        # Pods that are on their way out but still serve are better than nobody (as for kube-proxy).
        return _Port(list(ready or leaving), unready)

    def _endpoint(self, address: str, number: int) -> Endpoint:
        found = self._endpoints.get((address, number))
        if found is None:
            found = self._endpoints[address, number] = Endpoint(address, number)
        return found


class Endpoints:
    """All Services and their endpoints."""

    def __init__(self) -> None:
        self._services: dict[tuple[str, str], _Service] = {}

    def put_service(self, service: Service) -> None:
        known = self._known(service.namespace, service.name)
        known.service = service
        known.changed()

    def remove_service(self, namespace: str, name: str) -> None:
        known = self._services.get((namespace, name))
        if known is not None:
            known.service = None
            known.changed()
            self._tidy(namespace, name)

    def put_slice(self, service: str, one: EndpointSlice) -> None:
        """A slice of the named Service is there, or has changed."""
        known = self._known(one.namespace, service)
        known.slices[one.name] = one
        known.changed()

    def remove_slice(self, namespace: str, service: str, name: str) -> None:
        known = self._services.get((namespace, service))
        if known is not None and known.slices.pop(name, None) is not None:
            known.changed()
            self._tidy(namespace, service)

    def _known(self, namespace: str, name: str) -> _Service:
        found = self._services.get((namespace, name))
        if found is None:
            found = self._services[namespace, name] = _Service()
        return found

    def _tidy(self, namespace: str, name: str) -> None:
        known = self._services[namespace, name]
        if known.service is None and not known.slices:
            del self._services[namespace, name]

    def has_service(self, namespace: str, name: str) -> bool:
        known = self._services.get((namespace, name))
        return known is not None and known.service is not None

    def has_port(self, backend: Backend) -> bool:
        """Whether the Service is there and has the port."""
        known = self._services.get((backend.namespace, backend.service))
        return known is not None and known.service is not None and known.port(backend.port) is not None

    def pick(self, backend: Backend, now: float, avoid: Collection[Endpoint] = ()) -> Endpoint:
        """The endpoint for the next request.

        Args:
            now: the loop's time.
            avoid: those that this request has tried already.

        Raises:
            Unavailable: nobody is there, or nobody else.
        """
        known = self._services.get((backend.namespace, backend.service))
        port = known.port(backend.port) if known is not None and known.service is not None else None
        if port is None or not port.ready:
            raise Unavailable(self._why(backend, known, port))
        ready = port.ready
        if not avoid:
            found = _less_busy(ready)
            if not found.is_aside(now):
                return found
        candidates = [one for one in ready if one not in avoid]
        if not candidates:
            raise Unavailable(f"service {_named(backend)}: none of its {len(ready)} ready endpoints answers")
        return _less_busy([one for one in candidates if not one.is_aside(now)] or candidates)

    def _why(self, backend: Backend, known: _Service | None, port: _Port | None) -> str:
        name = _named(backend)
        if known is None or known.service is None:
            return f"there is no service {name}"
        if given(known.service.spec.type) == "ExternalName":
            return f"service {name} is of type ExternalName, which this gateway does not follow"
        if port is None:
            ports = given(known.service.spec.ports) or ()
            have = ", ".join(f"{one.port} ({one.name})" if one.name else str(one.port) for one in ports) or "none"
            return f"service {name} has no port {backend.port}; its ports: {have}"
        if port.unready:
            pods = "its only pod is not" if port.unready == 1 else f"none of its {port.unready} pods is"
            return f"service {name} has no endpoint yet: {pods} ready"
        return f"service {name} has no endpoints: no pod runs for it (scaled to zero, not started, or not matched)"


def _less_busy(endpoints: Sequence[Endpoint]) -> Endpoint:
    """The better of two taken at random; the only one, if it is."""
    count = len(endpoints)
    if count == 1:
        return endpoints[0]
    one = int(random.random() * count)
    other = int(random.random() * (count - 1))
    first, second = endpoints[one], endpoints[other + (other >= one)]
    return first if first.under_way <= second.under_way else second


def _named(backend: Backend) -> str:
    return f"{backend.service} in namespace {backend.namespace}"
