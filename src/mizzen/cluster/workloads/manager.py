"""All workload controllers in one task group: the part of an installation that a kube-controller-manager would be.

They share one set of copies, so the answer to one controller's write wakes the next without a round through the API:
from a deployment to a bound pod there are three writes and no wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from mizzen.cluster.workloads.caches import Caches
from mizzen.cluster.workloads.deployment import Deployments
from mizzen.cluster.workloads.endpoints import EndpointWriter
from mizzen.cluster.workloads.garbage import Collector
from mizzen.cluster.workloads.kinds import Kinds
from mizzen.cluster.workloads.namespace import Namespaces
from mizzen.cluster.workloads.nodelife import GRACE, NodeWatch
from mizzen.cluster.workloads.podgc import FINISHED_LIMIT, QUARANTINE, PodCollector
from mizzen.cluster.workloads.replicaset import ReplicaSets
from mizzen.cluster.workloads.scheduler import NAME, Scheduler
from mizzen.cluster.workloads.serviceaccount import ServiceAccounts
from mizzen.kube.client import Client
from mizzen.kube.events import EventRecorder


async def run(
    client: Client,
    *,
    ready: Callable[[], None],
    root_ca: str = "",
    overcommit: bool = True,
    finished_pods: int = FINISHED_LIMIT,
    node_grace: float = GRACE,
    quarantine: float = QUARANTINE,
) -> None:
    """Run until cancelled; an API that is away is waited for.

    Args:
        ready: called once, when every copy has its first full list and the controllers work.
        root_ca: the API's authority in PEM, to be put into every namespace; empty for none.
        overcommit: cpu, memory and disk requests are weights and refuse no pod.
        finished_pods: how many pods that have ended are kept.
        node_grace: seconds without a sign of life after which a node is lost.
        quarantine: seconds that a node must be missing before its pods are removed.
    """
    caches = Caches(client)
    kinds = Kinds(client, caches.all)
    deployment_events = EventRecorder(client, "deployment-controller")
    replica_set_events = EventRecorder(client, "replicaset-controller")
    scheduler_events = EventRecorder(client, NAME)
    node_events = EventRecorder(client, "node-controller")
    garbage_events = EventRecorder(client, "garbage-collector-controller")
    work = [
        caches.run(),
        kinds.run(),
        *(one.run() for one in (deployment_events, replica_set_events, scheduler_events, node_events, garbage_events)),
        Scheduler(client, caches, scheduler_events, overcommit=overcommit).controller.run(),
        ReplicaSets(client, caches, replica_set_events).controller.run(),
        Deployments(client, caches, deployment_events).controller.run(),
        EndpointWriter(client, caches).controller.run(),
        Collector(client, kinds, garbage_events).controller.run(),
        Namespaces(client, caches, kinds).controller.run(),
        PodCollector(client, caches, limit=finished_pods, quarantine=quarantine).controller.run(),
        ServiceAccounts(client, caches, root_ca).run(),
        NodeWatch(client, caches, node_events, grace=node_grace).run(),
    ]
    async with asyncio.TaskGroup() as group:
        for one in work:
            group.create_task(one)
        await caches.synced()
        await kinds.synced()
        ready()
