"""A PodSpec or a Container written inline into somebody's own struct.

KServe lets a user write any field of a pod beside its own, so the two structs here name those fields and leave their
values as mappings. :func:`inline` takes them out again as the PodSpec or Container that goes into a pod.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec
from msgspec import UNSET

from mizzen.apis.meta import Mapping, Opt, Schema


class ContainerFields(Schema):
    """Every field of core/v1 Container."""

    INLINE: ClassVar[str] = "io.k8s.api.core.v1.Container"

    name: Opt[str] = UNSET
    image: Opt[str] = UNSET
    command: Opt[list[str]] = UNSET
    args: Opt[list[str]] = UNSET
    working_dir: Opt[str] = UNSET
    ports: Opt[list[Mapping]] = UNSET
    env_from: Opt[list[Mapping]] = UNSET
    env: Opt[list[Mapping]] = UNSET
    resources: Opt[Mapping] = UNSET
    resize_policy: Opt[list[Mapping]] = UNSET
    restart_policy: Opt[str] = UNSET
    volume_mounts: Opt[list[Mapping]] = UNSET
    volume_devices: Opt[list[Mapping]] = UNSET
    liveness_probe: Opt[Mapping] = UNSET
    readiness_probe: Opt[Mapping] = UNSET
    startup_probe: Opt[Mapping] = UNSET
    lifecycle: Opt[Mapping] = UNSET
    termination_message_path: Opt[str] = UNSET
    termination_message_policy: Opt[str] = UNSET
    image_pull_policy: Opt[str] = UNSET
    security_context: Opt[Mapping] = UNSET
    stdin: Opt[bool] = UNSET
    stdin_once: Opt[bool] = UNSET
    tty: Opt[bool] = UNSET


class PodSpecFields(Schema):
    """Every field of core/v1 PodSpec but ephemeral containers, which are added to pods that run."""

    INLINE: ClassVar[str] = "io.k8s.api.core.v1.PodSpec"

    volumes: Opt[list[Mapping]] = UNSET
    init_containers: Opt[list[Mapping]] = UNSET
    containers: Opt[list[Mapping]] = UNSET
    restart_policy: Opt[str] = UNSET
    termination_grace_period_seconds: Opt[int] = UNSET
    active_deadline_seconds: Opt[int] = UNSET
    dns_policy: Opt[str] = UNSET
    node_selector: Opt[dict[str, str]] = UNSET
    service_account_name: Opt[str] = UNSET
    service_account: Opt[str] = UNSET
    automount_service_account_token: Opt[bool] = UNSET
    node_name: Opt[str] = UNSET
    host_network: Opt[bool] = UNSET
    host_pid: Opt[bool] = msgspec.field(name="hostPID", default=UNSET)
    host_ipc: Opt[bool] = msgspec.field(name="hostIPC", default=UNSET)
    host_users: Opt[bool] = UNSET
    share_process_namespace: Opt[bool] = UNSET
    security_context: Opt[Mapping] = UNSET
    image_pull_secrets: Opt[list[Mapping]] = UNSET
    hostname: Opt[str] = UNSET
    subdomain: Opt[str] = UNSET
    affinity: Opt[Mapping] = UNSET
    scheduler_name: Opt[str] = UNSET
    tolerations: Opt[list[Mapping]] = UNSET
    host_aliases: Opt[list[Mapping]] = UNSET
    priority_class_name: Opt[str] = UNSET
    priority: Opt[int] = UNSET
    dns_config: Opt[Mapping] = UNSET
    readiness_gates: Opt[list[Mapping]] = UNSET
    runtime_class_name: Opt[str] = UNSET
    enable_service_links: Opt[bool] = UNSET
    preemption_policy: Opt[str] = UNSET
    overhead: Opt[Mapping] = UNSET
    topology_spread_constraints: Opt[list[Mapping]] = UNSET
    set_hostname_as_fqdn: Opt[bool] = msgspec.field(name="setHostnameAsFQDN", default=UNSET)
    os: Opt[Mapping] = UNSET
    scheduling_gates: Opt[list[Mapping]] = UNSET
    resource_claims: Opt[list[Mapping]] = UNSET
    resources: Opt[Mapping] = UNSET


def inline(struct: Schema, part: type[Schema]) -> Mapping:
    """The fields of ``part`` that are set in ``struct``, as a mapping spelled as on the wire."""
    names = zip(part.__struct_fields__, part.__struct_encode_fields__, strict=True)
    found = ((wire, getattr(struct, name)) for name, wire in names)
    return {wire: value for wire, value in found if value is not UNSET and value is not None}
