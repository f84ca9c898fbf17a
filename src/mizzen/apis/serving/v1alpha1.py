"""``serving.kserve.io/v1alpha1``: ServingRuntime and ClusterServingRuntime.

A runtime is a pod template that can serve models of some formats. Source: reference of the KServe control plane,
section 2.1. The fields that only ModelMesh reads are carried and not interpreted.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec
from msgspec import UNSET

from mizzen.apis.meta import Mapping, Object, Opt, ResourceDef, Schema, field_schema
from mizzen.apis.serving import GROUP

SERVING_RUNTIME = ResourceDef(group=GROUP, version="v1alpha1", kind="ServingRuntime", plural="servingruntimes")
CLUSTER_SERVING_RUNTIME = ResourceDef(
    group=GROUP, version="v1alpha1", kind="ClusterServingRuntime", plural="clusterservingruntimes", namespaced=False
)


class SupportedModelFormat(Schema):
    """One format a runtime can serve; a greater ``priority`` is preferred among runtimes of one scope."""

    name: str
    version: Opt[str] = UNSET
    auto_select: Opt[bool] = UNSET
    priority: Annotated[Opt[int], field_schema(format="int32", minimum=1)] = UNSET


class RuntimePodFields(Schema):
    """The fields of a PodSpec that a runtime may set, and the metadata of its pods."""

    INLINE: ClassVar[str] = "io.k8s.api.core.v1.PodSpec"

    containers: list[Mapping]
    volumes: Opt[list[Mapping]] = UNSET
    node_selector: Opt[dict[str, str]] = UNSET
    affinity: Opt[Mapping] = UNSET
    tolerations: Opt[list[Mapping]] = UNSET
    image_pull_secrets: Opt[list[Mapping]] = UNSET
    host_ipc: Opt[bool] = msgspec.field(name="hostIPC", default=UNSET)
    scheduler_name: Opt[str] = UNSET
    resource_claims: Opt[list[Mapping]] = UNSET


class RuntimePod(RuntimePodFields):
    labels: Opt[dict[str, str]] = UNSET
    annotations: Opt[dict[str, str]] = UNSET


class RuntimeWorkerSpec(RuntimePod):
    pipeline_parallel_size: Opt[int] = UNSET
    tensor_parallel_size: Opt[int] = UNSET


class StorageHelper(Schema):
    disabled: Opt[bool] = UNSET


class BuiltInAdapter(Schema):
    server_type: Opt[str] = UNSET
    runtime_management_port: Opt[int] = UNSET
    mem_buffer_bytes: Opt[int] = UNSET
    model_loading_timeout_millis: Opt[int] = UNSET
    env: Annotated[Opt[list[Mapping]], field_schema(items_definition="io.k8s.api.core.v1.EnvVar")] = UNSET


class ServingRuntimeSpec(RuntimePod):
    supported_model_formats: Opt[list[SupportedModelFormat]] = UNSET
    multi_model: Opt[bool] = UNSET
    disabled: Opt[bool] = UNSET
    protocol_versions: Opt[list[str]] = UNSET
    worker_spec: Opt[RuntimeWorkerSpec] = UNSET
    grpc_endpoint: Opt[str] = UNSET
    grpc_data_endpoint: Opt[str] = UNSET
    http_data_endpoint: Opt[str] = UNSET
    replicas: Opt[int] = UNSET
    storage_helper: Opt[StorageHelper] = UNSET
    built_in_adapter: Opt[BuiltInAdapter] = UNSET


_COLUMNS = (
    ("Disabled", "boolean", ".spec.disabled"),
    ("ModelType", "string", ".spec.supportedModelFormats[*].name"),
    ("Containers", "string", ".spec.containers[*].name"),
    ("Age", "date", ".metadata.creationTimestamp"),
)


class ServingRuntime(Object, kw_only=True):
    """A pod template for models of some formats, for the InferenceServices of its namespace."""

    PRINTER_COLUMNS: ClassVar[tuple[tuple[str, str, str], ...]] = _COLUMNS

    spec: ServingRuntimeSpec


class ClusterServingRuntime(Object, kw_only=True):
    """A pod template for models of some formats, for all namespaces."""

    PRINTER_COLUMNS: ClassVar[tuple[tuple[str, str, str], ...]] = _COLUMNS

    spec: ServingRuntimeSpec
