"""The gateway as one role of an installation: it learns, serves, says what it serves, and ends well."""

from __future__ import annotations

import asyncio
import logging
import resource
import socket
from collections.abc import Callable

import msgspec

from mizzen.cluster.gateway.clusterip import ClusterIPs
from mizzen.cluster.gateway.endpoints import Endpoints
from mizzen.cluster.gateway.proxy import Proxy
from mizzen.cluster.gateway.publisher import Publisher
from mizzen.cluster.gateway.routes import Table
from mizzen.cluster.gateway.sources import Sources
from mizzen.kube.client import Client
from mizzen.kube.config import ClusterConfig

log = logging.getLogger(__name__)

FIELD_MANAGER = "mizzen-gateway"

# How long clients are kept waiting for the first routes before they are told that there are none, in seconds.
_PATIENCE = 5.0


class GatewayConfig(msgspec.Struct, kw_only=True):
    """What a gateway needs to know.

    Attributes:
        cluster: the API it learns from.
        sock: bound and listening. Whoever made it keeps it, so that clients wait while a gateway is replaced.
        address, port: where clients find the gateway, as published in status.
        grace: seconds that requests under way get when it stops.
    """

    cluster: ClusterConfig
    sock: socket.socket
    address: str
    port: int
    grace: float = 10.0


async def run(config: GatewayConfig, *, ready: Callable[[], None]) -> None:
    """Serve until cancelled, then let what is under way finish.

    Args:
        ready: called once, when every route that the API knows is served.
    """
    _allow_sockets()
    table = Table(config.port)
    endpoints = Endpoints()
    proxy = Proxy(table, endpoints)
    async with Client(config.cluster, field_manager=FIELD_MANAGER) as client:
        sources = Sources(client, table, endpoints)
        publisher = Publisher(client, sources, endpoints, config.address, config.port)
        cluster_ips = ClusterIPs(sources.services, endpoints)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(sources.run())
                group.create_task(publisher.run())
                group.create_task(cluster_ips.run())
                await _open(proxy, sources, config)
                ready()
        finally:
            await asyncio.gather(proxy.close(config.grace), cluster_ips.close(config.grace))


async def _open(proxy: Proxy, sources: Sources, config: GatewayConfig) -> None:
    """Take requests as soon as all routes are known; if that lasts, take them anyway and say so."""
    try:
        async with asyncio.timeout(_PATIENCE):
            await sources.synced()
    except TimeoutError:
        log.warning("the API at %s has not told the gateway its routes yet", config.cluster.server)
        proxy.learning = True
    await proxy.listen(config.sock)
    if proxy.learning:
        await sources.synced()
        proxy.learning = False


def _allow_sockets() -> None:
    """Ask for all the descriptors that this process may have: each ClusterIP takes one, each request two."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
