"""The autoscaling rules of an InferenceService's admission: which fields go with which autoscaler.

Source: reference of the KServe control plane, section 3.3, rule 9c. The class is an annotation; with the mode Standard
it is ``hpa`` or ``keda``, otherwise Knative's.
"""

from __future__ import annotations

from collections.abc import Iterator

from mizzen.apis.meta import given
from mizzen.apis.quantity import QuantityError, parse
from mizzen.apis.serving.v1beta1.autoscaling import AutoScalingMetric, MetricTarget
from mizzen.apis.serving.v1beta1.component import ComponentFields
from mizzen.apis.serving.v1beta1.inferenceservice import InferenceService
from mizzen.control.inference.config import MODE_ANNOTATION

AUTOSCALER_ANNOTATION = "serving.kserve.io/autoscalerClass"
AUTOSCALER_CLASSES = ("hpa", "external", "keda", "none")

_KNATIVE_CLASS = "autoscaling.knative.dev/class"


def scaling_problem(isvc: InferenceService, path: str, component: ComponentFields) -> Iterator[str]:
    """What is wrong with a component's scaling fields, first problem first."""
    if isvc.metadata.annotation(MODE_ANNOTATION) == "Standard":
        match isvc.metadata.annotation(AUTOSCALER_ANNOTATION):
            case "hpa":
                yield from _hpa(path, component)
            case "keda":
                yield from _keda(path, component)
    elif isvc.metadata.annotation(_KNATIVE_CLASS) == "hpa.autoscaling.knative.dev":
        yield from _hpa(path, component)
    else:
        yield from _kpa(path, component)


def _hpa(path: str, component: ComponentFields) -> Iterator[str]:
    metric = component.scale_metric or "cpu"
    if metric not in ("cpu", "memory"):
        yield f"{path}.scaleMetric: the horizontal pod autoscaler knows cpu and memory, not {metric}"
    target = given(component.scale_target)
    if target is not None and not 1 <= target <= 100:
        yield f"{path}.scaleTarget: {target} is no utilisation between 1 and 100 percent"
    for place, entry in enumerate(_metrics(component)):
        if entry.type != "Resource" or given(entry.resource) is None:
            yield f"{path}.autoScaling.metrics[{place}]: the horizontal pod autoscaler takes metrics of type Resource"


def _keda(path: str, component: ComponentFields) -> Iterator[str]:
    if component.scale_metric:
        yield f"{path}.scaleMetric: not used with KEDA; name the metric in {path}.autoScaling.metrics"
    for place, entry in enumerate(_metrics(component)):
        where = f"{path}.autoScaling.metrics[{place}]"
        target: MetricTarget | None = None
        if entry.type == "Resource":
            resource = given(entry.resource)
            if resource is None:
                yield f"{where}.resource: required for the type Resource"
                continue
            target = resource.target
            yield from _resource_target(f"{where}.resource", resource.name, target)
        elif entry.type in ("External", "PodMetric"):
            field = "external" if entry.type == "External" else "podmetric"
            source = given(entry.external) if field == "external" else given(entry.podmetric)
            if source is None:
                yield f"{where}.{field}: required for the type {entry.type}"
                continue
            target = source.target
            if not source.metric.query:
                yield f"{where}.{field}.metric.query: required"
            if given(target.value) is None:
                yield f"{where}.{field}.target.value: required"
        if target is not None:
            yield from _target(where, target)


def _resource_target(where: str, name: str, target: MetricTarget) -> Iterator[str]:
    if name == "cpu" and target.type != "Utilization":
        yield f"{where}.target.type: cpu scales by Utilization"
    if name == "memory" and target.type not in ("AverageValue", "Utilization"):
        yield f"{where}.target.type: memory scales by AverageValue or Utilization"
    value = given(target.average_value)
    if name == "memory" and target.type == "AverageValue" and value is not None:
        try:
            if parse(str(value)) < 2**20:
                yield f"{where}.target.averageValue: {value} is less than 1Mi"
        except QuantityError as error:
            yield f"{where}.target.averageValue: {error}"


def _target(where: str, target: MetricTarget) -> Iterator[str]:
    match target.type:
        case "Utilization":
            value = given(target.average_utilization)
            if value is None or not 1 <= value <= 100:
                yield f"{where}: the target type Utilization needs averageUtilization between 1 and 100"
        case "AverageValue" if given(target.average_value) is None:
            yield f"{where}: the target type AverageValue needs averageValue"
        case "Value" if given(target.value) is None:
            yield f"{where}: the target type Value needs value"


def _kpa(path: str, component: ComponentFields) -> Iterator[str]:
    if given(component.deployment_strategy) is not None:
        yield f"{path}.deploymentStrategy: Knative rolls revisions out itself; use the deployment mode Standard"
    metric = component.scale_metric
    if metric and metric not in ("concurrency", "rps"):
        yield f"{path}.scaleMetric: Knative's autoscaler knows concurrency and rps, not {metric}"
    target = given(component.scale_target)
    if metric == "rps" and target is not None and target < 1:
        yield f"{path}.scaleTarget: {target} requests per second is less than 1"


def _metrics(component: ComponentFields) -> list[AutoScalingMetric]:
    scaling = given(component.auto_scaling)
    return list(scaling.metrics or ()) if scaling is not None else []
