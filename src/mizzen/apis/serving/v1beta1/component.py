"""The parts of an InferenceService: predictor, transformer, explainer.

Each is a pod of the user's own plus KServe's fields; the pod's fields stay mappings (:mod:`mizzen.apis.podspec`).
"""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET

from mizzen.apis.meta import ATOMIC_LIST, Int32, Mapping, Opt, Schema, field_schema
from mizzen.apis.podspec import ContainerFields, PodSpecFields
from mizzen.apis.serving.v1beta1.autoscaling import AutoScaling
from mizzen.apis.serving.v1beta1.model import FrameworkSpec, ModelSpec, StorageSpec, StorageUri

PREDICTOR_CONTAINER = "kserve-container"
TRANSFORMER_CONTAINER = "transformer-container"


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

    min_replicas: Int32 = UNSET
    max_replicas: Int32 = UNSET
    scale_target: Int32 = UNSET
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
