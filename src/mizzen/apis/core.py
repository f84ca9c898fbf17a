"""The core group: the fields of pods, services, nodes and their like that Mizzen reads.

A PodSpec belongs to somebody else and stays the mapping it was written as; :class:`Pod` types the status and the few
fields of the spec that decide where a pod goes.
"""

from __future__ import annotations

import msgspec
from msgspec import UNSET

from mizzen.apis.meta import Mapping, Object, Opt, ResourceDef, Schema


def _core(kind: str, plural: str, *, namespaced: bool = True, short: str = "", all_: bool = False) -> ResourceDef:
    return ResourceDef(
        group="",
        version="v1",
        kind=kind,
        plural=plural,
        namespaced=namespaced,
        short_names=(short,) if short else (),
        categories=("all",) if all_ else (),
    )


NAMESPACE = _core("Namespace", "namespaces", namespaced=False, short="ns")
NODE = _core("Node", "nodes", namespaced=False, short="no")
POD = _core("Pod", "pods", short="po", all_=True)
SERVICE = _core("Service", "services", short="svc", all_=True)
ENDPOINTS = _core("Endpoints", "endpoints", short="ep")
CONFIG_MAP = _core("ConfigMap", "configmaps", short="cm")
SECRET = _core("Secret", "secrets")
SERVICE_ACCOUNT = _core("ServiceAccount", "serviceaccounts", short="sa")
EVENT = _core("Event", "events", short="ev")
PERSISTENT_VOLUME = _core("PersistentVolume", "persistentvolumes", namespaced=False, short="pv")
PERSISTENT_VOLUME_CLAIM = _core("PersistentVolumeClaim", "persistentvolumeclaims", short="pvc")
LEASE = ResourceDef(group="coordination.k8s.io", version="v1", kind="Lease", plural="leases")


class StatusCondition(Schema):
    """A condition of a built-in kind."""

    type: str
    status: str
    reason: Opt[str] = UNSET
    message: Opt[str] = UNSET
    last_probe_time: Opt[str] = UNSET
    last_heartbeat_time: Opt[str] = UNSET
    last_transition_time: Opt[str] = UNSET
    last_update_time: Opt[str] = UNSET
    observed_generation: Opt[int] = UNSET


class NamespaceSpec(Schema):
    finalizers: Opt[list[str]] = UNSET


class NamespaceStatus(Schema):
    phase: Opt[str] = UNSET


class Namespace(Object):
    spec: NamespaceSpec = msgspec.field(default_factory=NamespaceSpec)
    status: NamespaceStatus = msgspec.field(default_factory=NamespaceStatus)


class ContainerStateWaiting(Schema):
    reason: Opt[str] = UNSET
    message: Opt[str] = UNSET


class ContainerStateRunning(Schema):
    started_at: Opt[str] = UNSET


class ContainerStateTerminated(Schema):
    exit_code: int = 0
    signal: Opt[int] = UNSET
    reason: Opt[str] = UNSET
    message: Opt[str] = UNSET
    started_at: Opt[str] = UNSET
    finished_at: Opt[str] = UNSET
    container_id: Opt[str] = msgspec.field(name="containerID", default=UNSET)


class ContainerState(Schema):
    """One of the three is set; none means waiting."""

    waiting: Opt[ContainerStateWaiting] = UNSET
    running: Opt[ContainerStateRunning] = UNSET
    terminated: Opt[ContainerStateTerminated] = UNSET


class ContainerStatus(Schema):
    name: str
    image: str = ""
    image_id: str = msgspec.field(name="imageID", default="")
    container_id: Opt[str] = msgspec.field(name="containerID", default=UNSET)
    ready: bool = False
    started: Opt[bool] = UNSET
    restart_count: int = 0
    state: ContainerState = msgspec.field(default_factory=ContainerState)
    last_state: ContainerState = msgspec.field(default_factory=ContainerState)


class PodIP(Schema):
    ip: str


class PodStatus(Schema):
    phase: Opt[str] = UNSET
    reason: Opt[str] = UNSET
    message: Opt[str] = UNSET
    conditions: Opt[list[StatusCondition]] = UNSET
    host_ip: Opt[str] = msgspec.field(name="hostIP", default=UNSET)
    pod_ip: Opt[str] = msgspec.field(name="podIP", default=UNSET)
    pod_ips: Opt[list[PodIP]] = msgspec.field(name="podIPs", default=UNSET)
    start_time: Opt[str] = UNSET
    init_container_statuses: Opt[list[ContainerStatus]] = UNSET
    container_statuses: Opt[list[ContainerStatus]] = UNSET

    def condition(self, kind: str) -> StatusCondition | None:
        return next((condition for condition in self.conditions or () if condition.type == kind), None)


class Pod(Object):
    """A pod. ``spec`` is the PodSpec as stored."""

    spec: Mapping = {}
    status: PodStatus = msgspec.field(default_factory=PodStatus)

    @property
    def node_name(self) -> str:
        return self.spec.get("nodeName") or ""

    @property
    def is_ready(self) -> bool:
        condition = self.status.condition("Ready")
        return condition is not None and condition.status == "True"

    @property
    def is_finished(self) -> bool:
        """Whether it ran to its end and will not run again."""
        return self.status.phase in ("Succeeded", "Failed")


class ServicePort(Schema):
    port: int
    name: Opt[str] = UNSET
    protocol: Opt[str] = UNSET
    app_protocol: Opt[str] = UNSET
    target_port: Opt[int | str] = UNSET
    node_port: Opt[int] = UNSET


class ServiceSpec(Schema):
    type: Opt[str] = UNSET
    selector: Opt[dict[str, str]] = UNSET
    ports: Opt[list[ServicePort]] = UNSET
    cluster_ip: Opt[str] = msgspec.field(name="clusterIP", default=UNSET)
    external_name: Opt[str] = UNSET
    publish_not_ready_addresses: Opt[bool] = UNSET

    @property
    def is_headless(self) -> bool:
        return self.cluster_ip == "None"


class Service(Object):
    spec: ServiceSpec = msgspec.field(default_factory=ServiceSpec)


class ConfigMap(Object):
    data: Opt[dict[str, str]] = UNSET
    binary_data: Opt[dict[str, str]] = UNSET


class Secret(Object):
    """Values of ``data`` are base64 text, as on the wire."""

    type: Opt[str] = UNSET
    data: Opt[dict[str, str]] = UNSET


class Taint(Schema):
    key: str
    effect: str
    value: Opt[str] = UNSET


class NodeSpec(Schema):
    unschedulable: Opt[bool] = UNSET
    taints: Opt[list[Taint]] = UNSET


class NodeStatus(Schema):
    capacity: Opt[dict[str, str]] = UNSET
    allocatable: Opt[dict[str, str]] = UNSET
    conditions: Opt[list[StatusCondition]] = UNSET
    addresses: Opt[list[Mapping]] = UNSET


class Node(Object):
    spec: NodeSpec = msgspec.field(default_factory=NodeSpec)
    status: NodeStatus = msgspec.field(default_factory=NodeStatus)

    @property
    def is_ready(self) -> bool:
        return any(c.type == "Ready" and c.status == "True" for c in self.status.conditions or ())
