"""The addresses of Services: listens on every ``clusterIP:port`` that may be bound, and passes connections through.

This is layer 4: a connection goes to one ready endpoint, whatever is spoken on it, and stays there as long as it lasts.
ClusterIPs of the embedded cluster are loopback addresses, which Linux lets anybody bind; ports below 1024 need a
privilege, and without it those services are reached by their names through the gateway's own port.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
from collections.abc import Callable
from typing import Any

from mizzen.apis.core import Service
from mizzen.apis.meta import given, given_or
from mizzen.cluster.gateway.action import Backend
from mizzen.cluster.gateway.endpoints import Endpoint, Endpoints
from mizzen.cluster.gateway.errors import Unavailable
from mizzen.cluster.gateway.splice import Side
from mizzen.http.dial import dial
from mizzen.http.errors import ConnectFailed
from mizzen.kube.controller import Controller
from mizzen.kube.informer import Informer

log = logging.getLogger(__name__)

Address = tuple[str, int]

_CONNECT = 3.0
_BACKLOG = 512
# How long until an address that somebody else holds is tried again, in seconds.
_TAKEN = 5.0


def addresses(service: Service) -> dict[Address, Backend]:
    """Where a Service wants to be listened for, and what it means by each address."""
    ip = given_or(service.spec.cluster_ip, "")
    if not ip or service.spec.is_headless or given(service.spec.type) == "ExternalName":
        return {}
    return {
        (ip, port.port): Backend(service.namespace, service.name, port.port)
        for port in given(service.spec.ports) or ()
        if given_or(port.protocol, "TCP") == "TCP"
    }


class _Inbound(Side):
    """A client of a Service. It is not listened to before an endpoint is connected."""

    def __init__(self, owner: ClusterIPs, backend: Backend) -> None:
        super().__init__()
        self._owner = owner
        self._backend = backend
        self._task: asyncio.Task[None] | None = None
        self.endpoint: Endpoint | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._task = self._owner.accepted(self, self._backend)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._task is not None:
            self._task.cancel()
        self._owner.lost(self)
        super().connection_lost(exc)


class ClusterIPs:
    """Listens for Services, as an informer tells of them. Run :meth:`run`.

    Attributes:
        listening: the addresses that are bound now.
    """

    def __init__(self, services: Informer, endpoints: Endpoints) -> None:
        self.listening: dict[Address, asyncio.Server] = {}
        self._services = services
        self._endpoints = endpoints
        self._bound: dict[tuple[str, str], dict[Address, Backend]] = {}
        self._clients: set[_Inbound] = set()
        self._group: asyncio.TaskGroup | None = None
        self._empty: asyncio.Future[None] | None = None
        self._noted: set[Address | int] = set()
        self._controller = Controller("clusterip", self._reconcile)
        self._controller.watches(services)

    @property
    def connections(self) -> int:
        return len(self._clients)

    async def run(self) -> None:
        """Listen until cancelled. Then no more connections are taken; those that are open go on until :meth:`close`."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                await self._controller.run()
        finally:
            self._group = None
            for listener in self.listening.values():
                listener.close()
            self.listening.clear()
            self._bound.clear()

    async def close(self, grace: float) -> None:
        """Give the connections that are still open ``grace`` seconds to end, then break them off."""
        if not self._clients:
            return
        self._empty = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(grace):
                await self._empty
        except TimeoutError:
            pass
        finally:
            self._empty = None
            for client in list(self._clients):
                client.abort()

    async def _reconcile(self, namespace: str, name: str) -> float | None:
        service = self._services.get(namespace, name, Service)
        wanted = addresses(service) if service is not None else {}
        bound = self._bound.get((namespace, name), {})
        for address in [address for address, backend in bound.items() if wanted.get(address) != backend]:
            del bound[address]
            self.listening.pop(address).close()
        again: float | None = None
        for address, backend in wanted.items():
            if address not in bound and (delay := await self._bind(address, backend, bound)) is not None:
                again = delay
        if bound:
            self._bound[namespace, name] = bound
        else:
            self._bound.pop((namespace, name), None)
        return again

    async def _bind(self, address: Address, backend: Backend, bound: dict[Address, Backend]) -> float | None:
        """Listen at an address if it may be. Returns after how many seconds to try again, if that may help."""
        loop = asyncio.get_running_loop()
        try:
            listener: Any = await loop.create_server(lambda: _Inbound(self, backend), *address, backlog=_BACKLOG)
        except OSError as error:
            return self._not_bound(address, backend, error)
        self.listening[address] = listener
        bound[address] = backend
        return None

    def _not_bound(self, address: Address, backend: Backend, error: OSError) -> float | None:
        ip, port = address
        taken = error.errno == errno.EADDRINUSE
        subject: Address | int = address if taken else error.errno or 0
        if subject not in self._noted:
            self._noted.add(subject)
            log.log(
                logging.WARNING if taken else logging.INFO,
                "cannot listen at %s:%s for service %s/%s: %s. Its clients reach it by its name through the gateway's "
                "own port (said once%s)",
                *(ip, port, *backend[:2], os.strerror(error.errno or 0), "" if taken else " for all services"),
            )
        return _TAKEN if taken else None

    # Connections

    def accepted(self, client: _Inbound, backend: Backend) -> asyncio.Task[None] | None:
        """A client has connected: find it an endpoint."""
        self._clients.add(client)
        if self._group is None:
            client.abort()
            return None
        return self._group.create_task(self._connect(client, backend))

    def lost(self, client: _Inbound) -> None:
        """A client is gone."""
        self._clients.discard(client)
        if not self._clients and self._empty is not None and not self._empty.done():
            self._empty.set_result(None)
        if client.endpoint is not None:
            client.endpoint.under_way -= 1
            client.endpoint = None

    async def _connect(self, client: _Inbound, backend: Backend) -> None:
        loop = asyncio.get_running_loop()
        refused: list[Endpoint] = []
        while True:
            try:
                endpoint = self._endpoints.pick(backend, loop.time(), refused)
            except Unavailable as error:
                log.debug("a connection to %s is closed: %s", backend, error)
                client.abort()
                return
            client.endpoint = endpoint
            endpoint.under_way += 1
            server = Side()
            try:
                await dial(_always(server), endpoint.host, endpoint.port, source=None, timeout=_CONNECT)
            except ConnectFailed:
                endpoint.under_way -= 1
                client.endpoint = None
                endpoint.failed(loop.time())
                refused.append(endpoint)
            except BaseException:
                # It may have come about in the moment in which nobody wanted it any more.
                server.abort()
                client.abort()
                raise
            else:
                client.join(server)
                return


def _always(side: Side) -> Callable[[], Side]:
    return lambda: side
