"""The kinds that are served from the start, in the order discovery lists their groups."""

from __future__ import annotations

from mizzen.cluster.apiserver.builtin.accounts import ServiceAccounts
from mizzen.cluster.apiserver.builtin.autoscaling import HorizontalPodAutoscalers
from mizzen.cluster.apiserver.builtin.configuration import ConfigMaps, Secrets
from mizzen.cluster.apiserver.builtin.events import Events
from mizzen.cluster.apiserver.builtin.ingresses import IngressClasses, Ingresses
from mizzen.cluster.apiserver.builtin.namespaces import Namespaces
from mizzen.cluster.apiserver.builtin.nodes import Leases, Nodes
from mizzen.cluster.apiserver.builtin.pods import Pods
from mizzen.cluster.apiserver.builtin.services import EndpointSlices, EndpointsResource, Services
from mizzen.cluster.apiserver.builtin.volumes import PersistentVolumeClaims, PersistentVolumes
from mizzen.cluster.apiserver.builtin.workloads import Deployments, ReplicaSets
from mizzen.cluster.apiserver.resources import Resource


def resources(services: Services) -> list[Resource]:
    """One of each; ``services`` knows the network its addresses come from."""
    return [
        ConfigMaps(),
        EndpointsResource(),
        Events(),
        Namespaces(),
        Nodes(),
        PersistentVolumeClaims(),
        PersistentVolumes(),
        Pods(),
        Secrets(),
        ServiceAccounts(),
        services,
        Deployments(),
        ReplicaSets(),
        HorizontalPodAutoscalers(),
        Ingresses(),
        IngressClasses(),
        Leases(),
        EndpointSlices(),
    ]
