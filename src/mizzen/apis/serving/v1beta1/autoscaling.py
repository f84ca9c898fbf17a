"""By which metrics the number of a component's pods changes, in the words of KEDA and of Kubernetes' autoscaler."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET

from mizzen.apis.meta import Int32, Mapping, Opt, Schema, field_schema

_Quantity = Annotated[Opt[int | str | float], field_schema(format="quantity")]


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
    average_utilization: Int32 = UNSET


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
