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
    """One of several sources of a model and where in the container it appears.

    Attributes:
        uri: where the model is.
        mount_path: where the container finds it, an absolute path; /mnt/models by default.
    """

    uri: Annotated[str, field_schema(minLength=1)]
    mount_path: Annotated[Opt[str], field_schema(default="/mnt/models", maxLength=255, pattern="^/.*")] = UNSET


class StorageSpec(Schema):
    """A model in storage whose credentials a secret holds. Not served yet.

    Attributes:
        path: the model within the storage.
        parameters: what else the storage needs to know, such as its type or bucket.
        key: the entry of the secret that holds the credentials.
        schema_path: a file within the storage that says what the model's inputs are.
    """

    path: Opt[str] = UNSET
    parameters: Opt[dict[str, str]] = UNSET
    key: Opt[str] = UNSET
    schema_path: Opt[str] = UNSET


class Confidential(Schema):
    """A model that is stored encrypted. Not served yet.

    Attributes:
        enabled: whether the model is decrypted after its download.
        resource_id: the key, as kbs:///repository/type/tag.
    """

    enabled: bool
    resource_id: Opt[str] = UNSET


class ModelFormat(Schema):
    """The format of a model, which decides what runtimes can serve it.

    Attributes:
        name: such as sklearn or xgboost, as a runtime lists it.
        version: the version of the format; any if left out.
    """

    name: str
    version: Opt[str] = UNSET


class FrameworkSpec(ContainerFields):
    """A predictor named by its framework: where the model is, and overrides of the runtime's container.

    Attributes:
        storage_uri: the model: a local path, or an address of file://, http:// or https://. Others are not served yet.
        runtime_version: the tag of the runtime's image; the runtime's own by default.
        protocol_version: the inference protocol, such as v1 or v2; the default depends on the format and is mostly v1.
        storage: the model in storage with credentials; not served yet, use storage_uri.
        confidential: how an encrypted model is decrypted; not served yet.
    """

    storage_uri: Opt[str] = UNSET
    runtime_version: Opt[str] = UNSET
    protocol_version: Opt[str] = UNSET
    storage: Opt[StorageSpec] = UNSET
    confidential: Opt[Confidential] = UNSET


class ModelSpec(FrameworkSpec):
    """A predictor's model, its format, and optionally the runtime that serves it.

    Attributes:
        model_format: the format of the model; a runtime that serves it is chosen.
        runtime: the ServingRuntime or ClusterServingRuntime to use; chosen by format and protocol if left out.
    """

    model_format: Opt[ModelFormat] = UNSET
    runtime: Opt[str] = UNSET


class LoggerStorage(StorageSpec):
    """Where in storage payloads are written to.

    Attributes:
        service_account_name: the ServiceAccount whose secrets hold the credentials.
    """

    service_account_name: Opt[str] = UNSET


class Logger(Schema):
    """Where payloads are logged to. Not served yet.

    Attributes:
        url: where the events are posted to.
        mode: what is logged: request, response, or all for both.
        metadata_headers: request headers that are logged too, by name.
        metadata_annotations: annotations of the service that are logged too, by name.
        storage: where the events are written to, instead of being posted.
        marshaller_url: the program that turns events into the files that are stored.
        batch_size: how many events make one file.
        batch_interval: the longest time between two files, a duration such as 30s.
    """

    url: Opt[str] = UNSET
    mode: Annotated[Opt[str], field_schema(enum=["all", "request", "response"])] = UNSET
    metadata_headers: Opt[list[str]] = UNSET
    metadata_annotations: Opt[list[str]] = UNSET
    storage: Opt[LoggerStorage] = UNSET
    marshaller_url: Opt[str] = UNSET
    batch_size: Opt[int] = UNSET
    batch_interval: Opt[str] = UNSET


class Batcher(Schema):
    """Gathers single requests into larger ones. Not served yet; the model server batches by itself.

    Attributes:
        max_batch_size: at this many instances a batch is sent.
        max_latency: after this many milliseconds a batch is sent, full or not.
        timeout: how many seconds a batch may take.
    """

    max_batch_size: Opt[int] = UNSET
    max_latency: Opt[int] = UNSET
    timeout: Opt[int] = UNSET


class MetricTarget(Schema):
    """The value of a metric that the autoscaler aims at.

    Attributes:
        type: which of the values counts: Utilization, Value or AverageValue.
        value: the metric's value as a whole, a quantity.
        average_value: the value per pod, a quantity.
        average_utilization: the average use over all pods, in percent of what they request.
    """

    type: Annotated[Opt[str], field_schema(enum=["Utilization", "Value", "AverageValue"])] = UNSET
    value: _Quantity = UNSET
    average_value: _Quantity = UNSET
    average_utilization: _Int32 = UNSET


class ResourceMetric(Schema):
    """How much cpu or memory the pods use.

    Attributes:
        name: cpu or memory.
        target: the use to aim at.
    """

    name: Annotated[str, field_schema(enum=["cpu", "memory"])]
    target: MetricTarget


class ExternalMetricIdentifier(Schema):
    """A metric that is asked of a monitoring system.

    Attributes:
        backend: the kind of monitoring system: prometheus or graphite.
        server_address: the URL of the monitoring system.
        query: what is asked, in the system's own language.
        namespace: the namespace the question is asked for, where the system keeps them apart.
    """

    backend: Annotated[Opt[str], field_schema(enum=["prometheus", "graphite"])] = UNSET
    server_address: Opt[str] = UNSET
    query: Opt[str] = UNSET
    namespace: Opt[str] = UNSET


class AuthenticationName(Schema):
    """A TriggerAuthentication of KEDA.

    Attributes:
        name: its name.
    """

    name: str


class MetricAuthentication(Schema):
    """How to log in to a monitoring system.

    Attributes:
        authentication_ref: what holds the credentials.
        auth_modes: the ways of logging in, separated by commas, such as basic.
    """

    authentication_ref: AuthenticationName
    auth_modes: Opt[str] = UNSET


class ExternalMetric(Schema):
    """A metric of a monitoring system, and the value to aim at.

    Attributes:
        metric: the metric.
        target: the value to aim at.
        authentication_ref: how to log in to the monitoring system.
    """

    metric: ExternalMetricIdentifier
    target: MetricTarget
    authentication_ref: Opt[MetricAuthentication] = UNSET


class PodMetricIdentifier(Schema):
    """A metric that the pods send themselves.

    Attributes:
        backend: where it is collected: opentelemetry.
        server_address: the address of the collector.
        metric_names: the metrics to collect.
        query: what is asked of the collector.
        operation_over_time: how the values of a period become one, such as avg or max.
    """

    backend: Annotated[Opt[str], field_schema(enum=["opentelemetry"])] = UNSET
    server_address: Opt[str] = UNSET
    metric_names: Opt[list[str]] = UNSET
    query: Opt[str] = UNSET
    operation_over_time: Opt[str] = UNSET


class PodMetric(Schema):
    """A metric of the pods' own, and the value to aim at.

    Attributes:
        metric: the metric.
        target: the value to aim at.
    """

    metric: PodMetricIdentifier
    target: MetricTarget


class AutoScalingMetric(Schema):
    """One metric to scale by, in the field that its type names.

    Attributes:
        type: Resource, External or PodMetric.
        resource: cpu or memory, for the type Resource.
        external: a metric of a monitoring system, for the type External.
        podmetric: a metric of the pods' own, for the type PodMetric.
    """

    type: Annotated[str, field_schema(enum=["Resource", "External", "PodMetric"])]
    resource: Opt[ResourceMetric] = UNSET
    external: Opt[ExternalMetric] = UNSET
    podmetric: Opt[PodMetric] = UNSET


class AutoScaling(Schema):
    """By which metrics the number of pods changes, and how fast. Not served yet.

    Attributes:
        metrics: the metrics; the one that asks for most pods decides.
        behavior: how fast pods are added and removed, as spec.behavior of a HorizontalPodAutoscaler.
    """

    metrics: Opt[list[AutoScalingMetric]] = UNSET
    behavior: Annotated[
        Opt[Mapping], field_schema(definition="io.k8s.api.autoscaling.v2.HorizontalPodAutoscalerBehavior")
    ] = UNSET


class ComponentFields(PodSpecFields):
    """A pod of the user's, and what predictor, transformer and explainer share. Times are seconds.

    Attributes:
        min_replicas: the number of pods, 1 by default. It does not grow with load, as autoscaling is not served yet.
        max_replicas: the most pods the autoscaler may start; not served yet: min_replicas pods run.
        scale_target: the value of scale_metric to aim at: percent for cpu, otherwise a count per pod; not served yet.
        scale_metric: the metric to scale by: cpu, memory, concurrency or rps; not served yet.
        scale_metric_type: how scale_target is meant: Utilization, Value or AverageValue; not served yet.
        auto_scaling: scaling by several metrics, or by others than scale_metric knows; not served yet.
        container_concurrency: how many requests a pod works on at once, 0 for any number; not served yet.
        timeout: how many seconds a request may take, 60 by default; effective with HTTPRoutes only.
        canary_traffic_percent: the share of requests, 0 to 100, that go to the newest revision; not served yet.
        logger: where requests and responses are logged to; not served yet.
        batcher: how single requests are gathered into larger ones; not served yet.
        labels: added to the pods, the Deployment and the Service.
        annotations: added to the pods, the Deployment and the Service.
        deployment_strategy: how old pods are replaced by new ones; RollingUpdate by default.
    """

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
    """The pods of the further nodes of a predictor that spans several. Not served yet.

    Attributes:
        pipeline_parallel_size: how many nodes share the model, each with some of its layers.
        tensor_parallel_size: how many GPUs of a node share each layer.
    """

    pipeline_parallel_size: Opt[int] = UNSET
    tensor_parallel_size: Opt[int] = UNSET


class PredictorSpec(ComponentFields):
    """What answers requests: a model with its format, a framework shorthand, or a container of the user's own.

    Attributes:
        name: part of the names of the predictor's Deployment and Service; a new name promotes a new model.
        sklearn: a model for scikit-learn; stored as model, with the format sklearn.
        xgboost: a model for XGBoost; stored as model, with the format xgboost.
        tensorflow: a model for TensorFlow; stored as model, with the format tensorflow.
        pytorch: a model for PyTorch; stored as model, with the format pytorch.
        triton: a model for the Triton inference server; stored as model, with the format triton.
        onnx: a model for ONNX Runtime; stored as model, with the format onnx.
        huggingface: a model for the Hugging Face server; stored as model, with the format huggingface.
        pmml: a model for a PMML evaluator; stored as model, with the format pmml.
        lightgbm: a model for LightGBM; stored as model, with the format lightgbm.
        paddle: a model for PaddlePaddle; stored as model, with the format paddle.
        model: the model, its format, and optionally the runtime that serves it.
        storage_uris: several sources, each with a path of its own; not served yet.
        storage_container_name: the ClusterStorageContainer that downloads the model; not served yet.
        worker_spec: the pods of further nodes; not served yet.
    """

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
    """A container that changes requests on their way to the predictor, and answers on their way back.

    Attributes:
        storage_uris: several sources, each with a path of its own; not served yet.
    """

    storage_uris: Annotated[Opt[list[StorageUri]], ATOMIC_LIST, field_schema(minItems=1)] = UNSET


class ArtExplainer(ContainerFields):
    """An explainer of the Adversarial Robustness Toolbox.

    Attributes:
        type: the method, such as SquareAttack.
        storage_uri: what the explainer loads; a path or an address.
        runtime_version: the tag of the explainer's image.
        config: settings of the method.
        storage: what the explainer loads, from storage with credentials.
    """

    type: Opt[str] = UNSET
    storage_uri: Opt[str] = UNSET
    runtime_version: Opt[str] = UNSET
    config: Opt[dict[str, str]] = UNSET
    storage: Opt[StorageSpec] = UNSET


class ExplainerSpec(ComponentFields):
    """A container that says why the predictor answered as it did.

    Attributes:
        art: an explainer of the Adversarial Robustness Toolbox.
        storage_uris: several sources, each with a path of its own; not served yet.
    """

    art: Opt[ArtExplainer] = UNSET
    storage_uris: Annotated[Opt[list[StorageUri]], ATOMIC_LIST, field_schema(minItems=1)] = UNSET


class Canary(Schema):
    """A second predictor that gets a share of the traffic; what it leaves out is as in the stable one.

    Attributes:
        predictor: the second predictor, which needs a name of its own.
        traffic_percent: its share of the requests, 0 to 100.
    """

    predictor: PredictorSpec
    traffic_percent: Annotated[int, field_schema(format="int32", minimum=0, maximum=100)]


class InferenceServiceSpec(Schema):
    """What is to be served.

    Attributes:
        predictor: what answers requests: a model with its format, a framework shorthand, or a container of your own.
        transformer: a container that changes requests before the predictor gets them, and answers after; not served
            yet.
        explainer: a container that says why the predictor answered as it did; not served yet.
        canary: further predictors, each with a share of the requests; not served yet.
    """

    predictor: PredictorSpec
    transformer: Opt[TransformerSpec] = UNSET
    explainer: Opt[ExplainerSpec] = UNSET
    canary: Annotated[Opt[list[Canary]], ATOMIC_LIST] = UNSET


class Address(Schema):
    """Where something answers.

    Attributes:
        url: the URL.
        name: what tells several addresses apart.
        ca_certs: certificates, in PEM, of the authorities to trust there.
        audience: who a token for this address must be meant for.
    """

    url: Opt[str] = UNSET
    name: Opt[str] = UNSET
    ca_certs: Opt[str] = msgspec.field(name="CACerts", default=UNSET)
    audience: Opt[str] = UNSET


class TrafficTarget(Schema):
    """The share of the requests that one revision gets.

    Attributes:
        configuration_name: the Knative configuration whose newest revision is meant.
        revision_name: the revision.
        latest_revision: whether this is the newest revision.
        percent: its share, 0 to 100.
        tag: a name under which the revision can be reached by itself.
        url: where the revision answers by itself.
    """

    configuration_name: Opt[str] = UNSET
    revision_name: Opt[str] = UNSET
    latest_revision: Opt[bool] = UNSET
    percent: Opt[int] = UNSET
    tag: Opt[str] = UNSET
    url: Opt[str] = UNSET


class ComponentStatus(Schema):
    """Where a predictor, transformer or explainer stands. Revisions are there with Knative only.

    Attributes:
        latest_ready_revision: the newest revision that is ready.
        latest_created_revision: the newest revision.
        previous_rolledout_revision: the revision that got all requests before the latest one.
        latest_rolledout_revision: the latest revision that got all requests.
        traffic: how requests are shared among revisions.
        url: where the component answers.
        rest_url: where it answers requests of REST.
        grpc_url: where it answers requests of gRPC.
        address: where it answers inside the cluster.
    """

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
    """The state of the model that answers, and of the one that is to take its place.

    Attributes:
        active_model_state: that of the model that answers now.
        target_model_state: that of the model that is wanted; empty if it is the same.
    """

    active_model_state: Annotated[Opt[str], field_schema(default="Pending", enum=_STATES)] = UNSET
    target_model_state: Annotated[Opt[str], field_schema(default="", enum=_STATES)] = UNSET


class FailureInfo(Schema):
    """What failed last.

    Attributes:
        location: the pod or other place where it failed.
        reason: one word for it, for programs.
        message: what happened, for people.
        model_revision_name: the revision of the model that failed.
        time: when it failed, RFC 3339.
        exit_code: the exit code of the container that ended.
    """

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
    """How many pods hold the model.

    Attributes:
        failed_copies: how many could not load it.
        total_copies: how many have it loaded.
    """

    failed_copies: Annotated[Opt[int], field_schema(default=0)] = UNSET
    total_copies: Opt[int] = UNSET


class ModelStatus(Schema):
    """Where the model stands: the state that answers now, the one that is wanted, and what failed last.

    Attributes:
        transition_status: how the change to the wanted model goes.
        states: the state of the model that answers, and of the one that is wanted.
        last_failure_info: what failed last.
        copies: how many pods hold the model.
    """

    transition_status: Annotated[
        Opt[str],
        field_schema(default="UpToDate", enum=["", "UpToDate", "InProgress", "BlockedByFailedLoad", "InvalidSpec"]),
    ] = UNSET
    states: Opt[ModelStates] = UNSET
    last_failure_info: Opt[FailureInfo] = UNSET
    copies: Opt[ModelCopies] = UNSET


class CanaryStatus(Schema):
    """Where one canary stands.

    Attributes:
        name: the name of the canary's predictor.
        ready: whether it answers.
        traffic_percent: its share of the requests, 0 to 100.
        model_status: where its model stands.
    """

    name: str
    ready: bool
    traffic_percent: int
    model_status: Opt[ModelStatus] = UNSET


class InferenceServiceStatus(Schema):
    """Where the service answers, or why it does not.

    Attributes:
        observed_generation: the generation of the spec that this status is about.
        conditions: Ready, and what it depends on; each with a reason and a message while it is not True.
        annotations: notes of the controller.
        url: where the service answers from outside the cluster.
        address: where the service answers inside the cluster.
        components: where each part stands: predictor, transformer, explainer.
        model_status: where the model stands.
        canary_statuses: where each canary stands; not served yet.
        deployment_mode: how the service is run; fixed when it is created.
        serving_runtime_name: the ServingRuntime that is used.
        cluster_serving_runtime_name: the ClusterServingRuntime that is used.
    """

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
    """A model, served: what to serve, and in its status where it answers or why it does not.

    Attributes:
        spec: what is to be served.
        status: where the service answers, or why it does not.
    """

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
