"""Which roles an installation has, and what each is given: the one place where all of its rooms are named.

They are imported here, before the supervisor forks, so that the roles share the code.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec

from mizzen.cluster.apiserver import server
from mizzen.cluster.apiserver.auth import Credentials
from mizzen.cluster.apiserver.config import ApiServerConfig
from mizzen.cluster.gateway import gateway
from mizzen.cluster.node import agent
from mizzen.cluster.node.config import NodeConfig
from mizzen.cluster.node.runtime.network import AddressBlock
from mizzen.cluster.node.runtime.spec import Isolation
from mizzen.cluster.workloads import manager
from mizzen.control.inference.admission import ADMITTERS
from mizzen.control.inference.controller import WATCHED, InferenceServices
from mizzen.kube.client import Client
from mizzen.kube.config import ClusterConfig
from mizzen.up.home import Home
from mizzen.up.install import install, wait_for_api, wait_for_kinds

LOOPBACK = "127.0.0.1"

Ready = Callable[[], None]


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """One role: its coroutine, the listening socket that it takes over, and whether it is done some time."""

    name: str
    main: Callable[[Ready], Coroutine[Any, Any, None]]
    keeps: socket.socket | None = None
    once: bool = False


class Listener(msgspec.Struct, frozen=True):
    """A listening socket of the supervisor's. The port outlives the socket, which all roles but one close."""

    sock: socket.socket
    port: int

    @property
    def address(self) -> str:
        return f"{LOOPBACK}:{self.port}"


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """What the roles of one installation share."""

    home: Home
    block: AddressBlock
    credentials: Credentials
    isolation: Isolation
    api: Listener
    gateway: Listener

    @property
    def api_url(self) -> str:
        return f"https://{self.api.address}"

    @property
    def gateway_url(self) -> str:
        """Where models answer."""
        return f"http://{self.gateway.address}"

    @property
    def cluster(self) -> ClusterConfig:
        """The API as a role of this installation reaches it."""
        return ClusterConfig(server=self.api_url, ca=self.credentials.ca.read_text(), token=self.credentials.token)


def members(around: Surroundings) -> list[Member]:
    """The roles in the order in which they start; the API server, which all others need, first."""
    return [
        Member(name="apiserver", main=lambda ready: _apiserver(around, ready), keeps=around.api.sock),
        Member(name="install", main=lambda ready: _install(around), once=True),
        Member(name="node", main=lambda ready: _node(around, ready)),
        Member(name="controllers", main=lambda ready: _controllers(around, ready)),
        Member(name="gateway", main=lambda ready: _gateway(around, ready), keeps=around.gateway.sock),
    ]


async def _apiserver(around: Surroundings, ready: Ready) -> None:
    config = ApiServerConfig(
        sock=around.api.sock,
        data_dir=around.home.store,
        credentials=around.credentials,
        service_network=around.block.services,
        admitters=ADMITTERS,
        node_socket=around.home.node_socket,
    )
    await server.run(config, ready=ready)


async def _controllers(around: Surroundings, ready: Ready) -> None:
    waiting = {"workloads", "inference"}

    def heard(name: str) -> None:
        waiting.discard(name)
        if not waiting:
            ready()

    async with Client(around.cluster, field_manager="mizzen") as client:
        await wait_for_api(client)
        async with asyncio.TaskGroup() as group:
            root_ca = around.credentials.ca.read_text()
            group.create_task(manager.run(client, ready=lambda: heard("workloads"), root_ca=root_ca))
            await wait_for_kinds(client, WATCHED)
            group.create_task(InferenceServices(client).run(lambda: heard("inference")))


async def _install(around: Surroundings) -> None:
    """Apart from the controllers, because the definitions it makes take more memory than these need for ever after."""
    async with Client(around.cluster, field_manager="mizzen") as client:
        await wait_for_api(client)
        await install(client)


async def _gateway(around: Surroundings, ready: Ready) -> None:
    config = gateway.GatewayConfig(
        cluster=around.cluster,
        sock=around.gateway.sock,
        address=LOOPBACK,
        port=around.gateway.port,
    )
    async with Client(around.cluster) as client:
        await wait_for_api(client)
    await gateway.run(config, ready=ready)


async def _node(around: Surroundings, ready: Ready) -> None:
    async with Client(around.cluster) as client:
        await wait_for_api(client)
    config = NodeConfig(
        cluster=around.cluster,
        block=around.block,
        parents=around.home.parents,
        pods=around.home.pods,
        socket=around.home.node_socket,
        recipes=around.home.recipes,
        home=str(around.home.root),
        gateway=around.gateway.address,
        isolation=around.isolation,
    )
    await agent.run(config, ready=ready)
