"""``serving.kserve.io/v1beta1``: InferenceService.

Source: reference of the KServe control plane, section 1. A predictor is a pod of the user's own plus KServe's fields;
the pod's fields stay mappings (:mod:`mizzen.apis.podspec`).
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec
from msgspec import UNSET

from mizzen.apis.conditions import Condition
from mizzen.apis.meta import ATOMIC_LIST, Mapping, Object, Opt, ResourceDef, Schema, field_schema
from mizzen.apis.podspec import ContainerFields, PodSpecFields
from mizzen.apis.serving import GROUP

INFERENCE_SERVICE = ResourceDef(
    group=GROUP, version="v1beta1", kind="InferenceService", plural="inferenceservices", short_names=("isvc",)
)

# The shorthands of a predictor, in the order in which the defaulter looks for one.
FRAMEWORKS = (
    "sklearn",
    "tensorflow",
    "xgboost",
    "pytorch",
    "triton",
    "onnx",
    "huggingface",
    "pmml",
    "lightgbm",
    "paddle",
)
PREDICTOR_CONTAINER = "kserve-container"
TRANSFORMER_CONTAINER = "transformer-container"

_Int32 = Annotated[Opt[int], field_schema(format="int32")]
_Quantity = Annotated[Opt[int | str | float], field_schema(format="quantity")]


class StorageUri(Schema):
    """One of several sources of a model and where in the container it appears."""

    uri: Annotated[str, field_schema(minLength=1)]
    mount_path: Annotated[Opt[str], field_schema(default="/mnt/models", maxLength=255, pattern="^/.*")] = UNSET


class StorageSpec(Schema):
    """A model in storage whose credentials a secret holds under ``key``."""

    path: Opt[str] = UNSET
    parameters: Opt[dict[str, str]] = UNSET
    key: Opt[str] = UNSET
    schema_path: Opt[str] = UNSET


class Confidential(Schema):
    enabled: bool
    resource_id: Opt[str] = UNSET


class ModelFormat(Schema):
    name: str
    version: Opt[str] = UNSET


class FrameworkSpec(ContainerFields):
    """A predictor named by its framework: where the model is, and overrides of the runtime's container."""

    storage_uri: Opt[str] = UNSET
    runtime_version: Opt[str] = UNSET
    protocol_version: Opt[str] = UNSET
    storage: Opt[StorageSpec] = UNSET
    confidential: Opt[Confidential] = UNSET


class ModelSpec(FrameworkSpec):
    """A predictor's model, its format, and optionally the runtime that serves it."""

    model_format: Opt[ModelFormat] = UNSET
    runtime: Opt[str] = UNSET


class LoggerStorage(StorageSpec):
    service_account_name: Opt[str] = UNSET


class Logger(Schema):
    """Where payloads are logged to."""

    url: Opt[str] = UNSET
    mode: Annotated[Opt[str], field_schema(enum=["all", "request", "response"])] = UNSET
    metadata_headers: Opt[list[str]] = UNSET
    metadata_annotations: Opt[list[str]] = UNSET
    storage: Opt[LoggerStorage] = UNSET
    marshaller_url: Opt[str] = UNSET
    batch_size: Opt[int] = UNSET
    batch_interval: Opt[str] = UNSET


class Batcher(Schema):
    """Requests are gathered up to ``max_batch_size`` instances or ``max_latency`` milliseconds."""

    max_batch_size: Opt[int] = UNSET
    max_latency: Opt[int] = UNSET
    timeout: Opt[int] = UNSET


class MetricTarget(Schema):
    type: Annotated[Opt[str], field_schema(enum=["Utilization", "Value", "AverageValue"])] = UNSET
    value: _Quantity = UNSET
    average_value: _Quantity = UNSET
    average_utilization: _Int32 = UNSET


class ResourceMetric(Schema):
    name: Annotated[str, field_schema(enum=["cpu", "memory"])]
    target: MetricTarget


class ExternalMetricIdentifier(Schema):
    backend: Annotated[Opt[str], field_schema(enum=["prometheus", "graphite"])] = UNSET
    server_address: Opt[str] = UNSET
    query: Opt[str] = UNSET
    namespace: Opt[str] = UNSET


class AuthenticationName(Schema):
    name: str


class MetricAuthentication(Schema):
    authentication_ref: AuthenticationName
    auth_modes: Opt[str] = UNSET


class ExternalMetric(Schema):
    metric: ExternalMetricIdentifier
    target: MetricTarget
    authentication_ref: Opt[MetricAuthentication] = UNSET


class PodMetricIdentifier(Schema):
    backend: Annotated[Opt[str], field_schema(enum=["opentelemetry"])] = UNSET
    server_address: Opt[str] = UNSET
    metric_names: Opt[list[str]] = UNSET
    query: Opt[str] = UNSET
    operation_over_time: Opt[str] = UNSET


class PodMetric(Schema):
    metric: PodMetricIdentifier
    target: MetricTarget


class AutoScalingMetric(Schema):
    type: Annotated[str, field_schema(enum=["Resource", "External", "PodMetric"])]
    resource: Opt[ResourceMetric] = UNSET
    external: Opt[ExternalMetric] = UNSET
    podmetric: Opt[PodMetric] = UNSET


class AutoScaling(Schema):
    metrics: Opt[list[AutoScalingMetric]] = UNSET
    behavior: Annotated[
        Opt[Mapping], field_schema(definition="io.k8s.api.autoscaling.v2.HorizontalPodAutoscalerBehavior")
    ] = UNSET


class ComponentFields(PodSpecFields):
    """A pod of the user's, and what predictor, transformer and explainer share. Times are seconds."""

    min_replicas: _Int32 = UNSET
    max_replicas: _Int32 = UNSET
    scale_target: _Int32 = UNSET
    scale_metric: Annotated[Opt[str], field_schema(enum=["cpu", "memory", "concurrency", "rps"])] = UNSET
    scale_metric_type: Annotated[Opt[str], field_schema(enum=["Utilization", "Value", "AverageValue"])] = UNSET
    auto_scaling: Opt[AutoScaling] = UNSET
    container_concurrency: Opt[int] = UNSET
    timeout: Opt[int] = UNSET
    canary_traffic_percent: Opt[int] = UNSET
    logger: Opt[Logger] = UNSET
    batcher: Opt[Batcher] = UNSET
    labels: Opt[dict[str, str]] = UNSET
    annotations: Opt[dict[str, str]] = UNSET
    deployment_strategy: Annotated[Opt[Mapping], field_schema(definition="io.k8s.api.apps.v1.DeploymentStrategy")] = (
        UNSET
    )


class WorkerSpec(PodSpecFields):
    pipeline_parallel_size: Opt[int] = UNSET
    tensor_parallel_size: Opt[int] = UNSET


class PredictorSpec(ComponentFields):
    """What answers requests: a model with its format, a framework shorthand, or a container of the user's own."""

    name: Annotated[Opt[str], field_schema(pattern="^[a-z]([-a-z0-9]*[a-z0-9])?$")] = UNSET
    sklearn: Opt[FrameworkSpec] = UNSET
    xgboost: Opt[FrameworkSpec] = UNSET
    tensorflow: Opt[FrameworkSpec] = UNSET
    pytorch: Opt[FrameworkSpec] = UNSET
    triton: Opt[FrameworkSpec] = UNSET
    onnx: Opt[FrameworkSpec] = UNSET
    huggingface: Opt[FrameworkSpec] = UNSET
    pmml: Opt[FrameworkSpec] = UNSET
    lightgbm: Opt[FrameworkSpec] = UNSET
    paddle: Opt[FrameworkSpec] = UNSET
    model: Opt[ModelSpec] = UNSET
    storage_uris: Annotated[Opt[list[StorageUri]], ATOMIC_LIST, field_schema(minItems=1)] = UNSET
    storage_container_name: Opt[str] = UNSET
    worker_spec: Opt[WorkerSpec] = UNSET


class TransformerSpec(ComponentFields):
    """A container that changes requests on their way to the predictor, and answers on their way back."""

    storage_uris: Annotated[Opt[list[StorageUri]], ATOMIC_LIST, field_schema(minItems=1)] = UNSET


class ArtExplainer(ContainerFields):
    type: Opt[str] = UNSET
    storage_uri: Opt[str] = UNSET
    runtime_version: Opt[str] = UNSET
    config: Opt[dict[str, str]] = UNSET
    storage: Opt[StorageSpec] = UNSET


class ExplainerSpec(ComponentFields):
    """A container that says why the predictor answered as it did."""

    art: Opt[ArtExplainer] = UNSET
    storage_uris: Annotated[Opt[list[StorageUri]], ATOMIC_LIST, field_schema(minItems=1)] = UNSET


class Canary(Schema):
    """A second predictor that gets a share of the traffic; what it leaves out is as in the stable one."""

    predictor: PredictorSpec
    traffic_percent: Annotated[int, field_schema(format="int32", minimum=0, maximum=100)]


class InferenceServiceSpec(Schema):
    predictor: PredictorSpec
    transformer: Opt[TransformerSpec] = UNSET
    explainer: Opt[ExplainerSpec] = UNSET
    canary: Annotated[Opt[list[Canary]], ATOMIC_LIST] = UNSET


class Address(Schema):
    url: Opt[str] = UNSET
    name: Opt[str] = UNSET
    ca_certs: Opt[str] = msgspec.field(name="CACerts", default=UNSET)
    audience: Opt[str] = UNSET


class TrafficTarget(Schema):
    configuration_name: Opt[str] = UNSET
    revision_name: Opt[str] = UNSET
    latest_revision: Opt[bool] = UNSET
    percent: Opt[int] = UNSET
    tag: Opt[str] = UNSET
    url: Opt[str] = UNSET


class ComponentStatus(Schema):
    latest_ready_revision: Opt[str] = UNSET
    latest_created_revision: Opt[str] = UNSET
    previous_rolledout_revision: Opt[str] = UNSET
    latest_rolledout_revision: Opt[str] = UNSET
    traffic: Opt[list[TrafficTarget]] = UNSET
    url: Opt[str] = UNSET
    rest_url: Opt[str] = UNSET
    grpc_url: Opt[str] = UNSET
    address: Opt[Address] = UNSET


_STATES = ["", "Pending", "Standby", "Loading", "Loaded", "FailedToLoad"]


class ModelStates(Schema):
    active_model_state: Annotated[Opt[str], field_schema(default="Pending", enum=_STATES)] = UNSET
    target_model_state: Annotated[Opt[str], field_schema(default="", enum=_STATES)] = UNSET


class FailureInfo(Schema):
    location: Opt[str] = UNSET
    reason: Annotated[
        Opt[str],
        field_schema(
            enum=[
                "ModelLoadFailed",
                "RuntimeUnhealthy",
                "RuntimeDisabled",
                "NoSupportingRuntime",
                "RuntimeNotRecognized",
                "InvalidPredictorSpec",
            ]
        ),
    ] = UNSET
    message: Opt[str] = UNSET
    model_revision_name: Opt[str] = UNSET
    time: Opt[str] = UNSET
    exit_code: _Int32 = UNSET


class ModelCopies(Schema):
    failed_copies: Annotated[Opt[int], field_schema(default=0)] = UNSET
    total_copies: Opt[int] = UNSET


class ModelStatus(Schema):
    """Where the model stands: the state that answers now, the one that is wanted, and what failed last."""

    transition_status: Annotated[
        Opt[str],
        field_schema(default="UpToDate", enum=["", "UpToDate", "InProgress", "BlockedByFailedLoad", "InvalidSpec"]),
    ] = UNSET
    states: Opt[ModelStates] = UNSET
    last_failure_info: Opt[FailureInfo] = UNSET
    copies: Opt[ModelCopies] = UNSET


class CanaryStatus(Schema):
    name: str
    ready: bool
    traffic_percent: int
    model_status: Opt[ModelStatus] = UNSET


class InferenceServiceStatus(Schema):
    observed_generation: Opt[int] = UNSET
    conditions: Opt[list[Condition]] = UNSET
    annotations: Opt[dict[str, str]] = UNSET
    url: Opt[str] = UNSET
    address: Opt[Address] = UNSET
    components: Opt[dict[str, ComponentStatus]] = UNSET
    model_status: Opt[ModelStatus] = UNSET
    canary_statuses: Annotated[Opt[list[CanaryStatus]], ATOMIC_LIST] = UNSET
    deployment_mode: Opt[str] = UNSET
    serving_runtime_name: Opt[str] = UNSET
    cluster_serving_runtime_name: Opt[str] = UNSET


class InferenceService(Object, kw_only=True):
    """A model, served: what to serve, and in its status where it answers or why it does not."""

    PRINTER_COLUMNS: ClassVar[tuple[tuple[str, str, str], ...]] = (
        ("URL", "string", ".status.url"),
        ("Ready", "string", ".status.conditions[?(@.type=='Ready')].status"),
        ("Prev", "integer", ".status.components.predictor.traffic[?(@.tag=='prev')].percent"),
        ("Latest", "integer", ".status.components.predictor.traffic[?(@.latestRevision==true)].percent"),
        ("PrevRolledoutRevision", "string", ".status.components.predictor.traffic[?(@.tag=='prev')].revisionName"),
        (
            "LatestReadyRevision",
            "string",
            ".status.components.predictor.traffic[?(@.latestRevision==true)].revisionName",
        ),
        ("Age", "date", ".metadata.creationTimestamp"),
    )

    spec: InferenceServiceSpec
    status: InferenceServiceStatus = msgspec.field(default_factory=InferenceServiceStatus)
