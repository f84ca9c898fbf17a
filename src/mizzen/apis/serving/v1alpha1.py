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
    """One format a runtime can serve; a greater ``priority`` is preferred among runtimes of one scope.

    Attributes:
        name: the format, as a model's modelFormat names it.
        version: the version of the format; models that ask for a version need one that is listed.
        auto_select: whether the runtime may be chosen for a model that names none; false by default.
        priority: the greater, the sooner it is chosen among runtimes of one scope; 1 or more.
    """

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
    """The pods of a runtime.

    Attributes:
        labels: added to the pods, the Deployment and the Service.
        annotations: added to the pods, the Deployment and the Service.
    """

    labels: Opt[dict[str, str]] = UNSET
    annotations: Opt[dict[str, str]] = UNSET


class RuntimeWorkerSpec(RuntimePod):
    """The pods of the further nodes of a runtime that spans several. Not served yet.

    Attributes:
        pipeline_parallel_size: how many nodes share a model, each with some of its layers.
        tensor_parallel_size: how many GPUs of a node share each layer.
    """

    pipeline_parallel_size: Opt[int] = UNSET
    tensor_parallel_size: Opt[int] = UNSET


class StorageHelper(Schema):
    """The container of ModelMesh that fetches models. Not served.

    Attributes:
        disabled: whether it is left out.
    """

    disabled: Opt[bool] = UNSET


class BuiltInAdapter(Schema):
    """How ModelMesh talks to a known model server. Not served.

    Attributes:
        server_type: the model server.
        runtime_management_port: the port on which models are loaded and unloaded.
        mem_buffer_bytes: memory that is kept free of models, in bytes.
        model_loading_timeout_millis: how many milliseconds loading may take.
        env: variables of the adapter.
    """

    server_type: Opt[str] = UNSET
    runtime_management_port: Opt[int] = UNSET
    mem_buffer_bytes: Opt[int] = UNSET
    model_loading_timeout_millis: Opt[int] = UNSET
    env: Annotated[Opt[list[Mapping]], field_schema(items_definition="io.k8s.api.core.v1.EnvVar")] = UNSET


class ServingRuntimeSpec(RuntimePod):
    """The pod template, and the models it can serve.

    Attributes:
        supported_model_formats: the formats it can serve.
        multi_model: whether one pod serves many models, as with ModelMesh; such a runtime is never chosen by itself.
        disabled: whether the runtime is out of use; false by default.
        protocol_versions: the inference protocols it speaks, such as v1 and v2; any if left out.
        worker_spec: the pods of further nodes; not served yet.
        grpc_endpoint: where ModelMesh loads and unloads models; not served.
        grpc_data_endpoint: where ModelMesh sends requests of gRPC; not served.
        http_data_endpoint: where ModelMesh sends requests of REST; not served.
        replicas: how many pods ModelMesh starts; not served, a predictor's minReplicas counts.
        storage_helper: the container of ModelMesh that fetches models; not served.
        built_in_adapter: how ModelMesh talks to a known model server; not served.
    """

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
    """A pod template for models of some formats, for the InferenceServices of its namespace.

    Attributes:
        spec: the pod template, and the models it can serve.
    """

    PRINTER_COLUMNS: ClassVar[tuple[tuple[str, str, str], ...]] = _COLUMNS

    spec: ServingRuntimeSpec


class ClusterServingRuntime(Object, kw_only=True):
    """A pod template for models of some formats, for all namespaces.

    Attributes:
        spec: the pod template, and the models it can serve.
    """

    PRINTER_COLUMNS: ClassVar[tuple[tuple[str, str, str], ...]] = _COLUMNS

    spec: ServingRuntimeSpec
