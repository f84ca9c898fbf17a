"""The node agent: turns the pods that the API binds to this machine into processes, and tells the API of them.

It may be killed at any time. Everything that runs belongs to the pod parents, everything that it knows lies on disk or
in the API, and the next agent goes on where this one was.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from decimal import Decimal

from mizzen.apis.core import POD
from mizzen.apis.meta import Mapping
from mizzen.cluster.node import machine, registration
from mizzen.cluster.node.config import NodeConfig
from mizzen.cluster.node.host import Host
from mizzen.cluster.node.logserver import LogServer
from mizzen.cluster.node.parents import Parent, Parents, launcher, zygote
from mizzen.cluster.node.pods import Pods
from mizzen.cluster.node.recipes import RecipeBook
from mizzen.cluster.node.references import References
from mizzen.cluster.node.registration import Registration
from mizzen.cluster.node.runtime.network import PodAddresses
from mizzen.kube import times
from mizzen.kube.client import Client
from mizzen.kube.events import EventRecorder
from mizzen.kube.informer import Informer

log = logging.getLogger(__name__)

# The name that Kubernetes' users know a node agent by, in events and managed fields.
COMPONENT = "kubelet"
_RECIPES_INTERVAL = 20.0


async def run(config: NodeConfig, *, ready: Callable[[], None]) -> None:
    """Be the node until cancelled. Pods live on when it is.

    Args:
        ready: called once when pods can be run.

    Raises:
        ParentUnreachable: the launcher cannot be started, so no pod could be either.
    """
    config.pods.mkdir(parents=True, exist_ok=True)
    name = config.name or machine.kept_node_name(config.pods)
    capacity = machine.capacity(config.pods)
    recipes = RecipeBook(config.recipes)

    def known() -> list[Parent]:
        return [launcher(), *(zygote(*item) for item in recipes.zygotes.items())]

    def warm() -> list[Parent]:
        return [zygote(*item) for item in recipes.warm().items()] if config.warm else []

    def status(stored: Mapping) -> Mapping:
        return _status(config, name, capacity, stored)

    async with (
        Client(config.cluster, field_manager=COMPONENT) as client,
        Parents(config.parents, known=known, warm=warm, hold_fd=config.block.fd) as parents,
        asyncio.TaskGroup() as group,
    ):
        events = EventRecorder(client, COMPONENT, host=name)
        pods = Informer(client, POD, field_selector=f"spec.nodeName={name}")
        node = Registration(client, name, registration.labels(name, machine.architecture()), status)
        host = Host(
            address=config.block.node,
            client=client,
            pods=pods,
            parents=parents,
            recipes=recipes,
            references=References(client, group),
            events=events,
            addresses=PodAddresses(config.block),
            isolated=config.isolation.mode != "none",
            folder=config.pods,
            gateway=config.gateway,
            first_port=machine.first_port(),
            allocatable=capacity,
            # The home may have been named by a path that means another folder where a pod runs.
            environment={**os.environ, "MIZZEN_HOME": config.home} if config.home else os.environ,
        )
        work = Pods(host, group)
        group.create_task(events.run())
        group.create_task(pods.run())
        await parents.adopt()
        async with asyncio.TaskGroup() as start:
            start.create_task(parents.ensure(launcher()))
            start.create_task(pods.synced.wait())
            start.create_task(node.register())
        work.begin()
        async with LogServer(work, config.pods).serving(config.socket):
            group.create_task(node.keep())
            group.create_task(parents.watch_memory())
            group.create_task(_tell_of_mistakes(recipes, events, node))
            ready()
            for parent in warm():
                group.create_task(parents.keep(parent))
            await asyncio.Event().wait()


def _status(config: NodeConfig, name: str, capacity: dict[str, Decimal], stored: Mapping) -> Mapping:
    """The Node's status, as far as it is ours."""
    addresses = [{"type": "InternalIP", "address": config.block.node}, {"type": "Hostname", "address": name}]
    amounts = machine.spelled(capacity)
    isolation = config.isolation
    because = (isolation.reason or "mount namespaces are not permitted") if isolation.mode == "none" else ""
    return {
        "capacity": amounts,
        "allocatable": amounts,
        "addresses": addresses,
        "nodeInfo": machine.node_info(),
        "conditions": registration.conditions(
            machine.pressures(config.pods), because, stored.get("conditions") or [], times.now()
        ),
    }


async def _tell_of_mistakes(recipes: RecipeBook, events: EventRecorder, node: Registration) -> None:
    """Say when the user's recipes cannot be read, until cancelled: in the log, and as an event of the Node."""
    told = ""
    while True:
        recipes.refresh()
        if recipes.problem != told:
            told = recipes.problem
            if told:
                log.warning("%s", told)
                events.record(node.reference, "Warning", "InvalidRecipes", told)
        await asyncio.sleep(_RECIPES_INTERVAL)
