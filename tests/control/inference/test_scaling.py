"""Which scaling fields go with which autoscaler (reference of the KServe control plane, section 3.3, rule 9c)."""

from __future__ import annotations

from typing import Any

import pytest

from inference_objects import isvc, model
from mizzen.control.inference.config import MODE_ANNOTATION
from mizzen.control.inference.scaling import AUTOSCALER_ANNOTATION
from mizzen.control.inference.validation import Refusal, validate

HPA = {MODE_ANNOTATION: "Standard", AUTOSCALER_ANNOTATION: "hpa"}
KEDA = {MODE_ANNOTATION: "Standard", AUTOSCALER_ANNOTATION: "keda"}
KNATIVE = {MODE_ANNOTATION: "Knative"}
KNATIVE_HPA = KNATIVE | {"autoscaling.knative.dev/class": "hpa.autoscaling.knative.dev"}
NO_CLASS = {MODE_ANNOTATION: "Standard"}
EXTERNAL = {MODE_ANNOTATION: "Standard", AUTOSCALER_ANNOTATION: "external"}
UNKNOWN_MODE = {MODE_ANNOTATION: "nonsense"}
RECREATE = {"deploymentStrategy": {"type": "Recreate"}}


def metrics(*found: dict[str, Any]) -> dict[str, Any]:
    return {"autoScaling": {"metrics": list(found)}}


def resource(name: str = "cpu", **target: Any) -> dict[str, Any]:
    return {"type": "Resource", "resource": {"name": name, "target": target}}


def external(query: str | None = "q", **target: Any) -> dict[str, Any]:
    metric = {"backend": "prometheus", "serverAddress": "http://p"} | ({"query": query} if query is not None else {})
    return {"type": "External", "external": {"metric": metric, "target": target}}


def per_pod(query: str | None = "q", **target: Any) -> dict[str, Any]:
    metric = {"backend": "opentelemetry"} | ({"query": query} if query is not None else {})
    return {"type": "PodMetric", "podmetric": {"metric": metric, "target": target}}


HALF = {"type": "Utilization", "averageUtilization": 50}
VALUE = {"type": "Value", "value": "100.5"}

ACCEPTED: dict[str, tuple[dict[str, str], dict[str, Any]]] = {
    "hpa, nothing said": (HPA, {}),
    "hpa cpu": (HPA, {"scaleMetric": "cpu", "scaleTarget": 1}),
    "hpa memory": (HPA, {"scaleMetric": "memory", "scaleTarget": 100}),
    "hpa target alone": (HPA, {"scaleTarget": 75}),
    "hpa metrics": (HPA, metrics(resource(**HALF), resource("memory", type="AverageValue", averageValue="1Gi"))),
    "hpa strategy": (HPA, RECREATE),
    "hpa of Knative": (KNATIVE_HPA, {"scaleMetric": "memory", "scaleTarget": 50}),
    "hpa of Knative with a strategy": (KNATIVE_HPA, RECREATE),
    "keda, nothing said": (KEDA, {}),
    "keda target": (KEDA, {"scaleTarget": 1000}),
    "keda cpu": (KEDA, metrics(resource(**HALF))),
    "keda memory value": (KEDA, metrics(resource("memory", type="AverageValue", averageValue="10Gi"))),
    "keda memory value in plain bytes": (KEDA, metrics(resource("memory", type="AverageValue", averageValue=1048576))),
    "keda memory share": (KEDA, metrics(resource("memory", **HALF))),
    "keda external": (KEDA, metrics(external(**VALUE))),
    "keda per pod": (KEDA, metrics(per_pod(**VALUE))),
    "keda value zero": (KEDA, metrics(external(type="Value", value=0))),
    "no class, anything": (NO_CLASS, {"scaleMetric": "rps", "scaleTarget": 1000} | RECREATE),
    "external, anything": (EXTERNAL, {"scaleMetric": "concurrency", "scaleTarget": -1}),
    "knative, nothing said": (KNATIVE, {}),
    "knative concurrency": (KNATIVE, {"scaleMetric": "concurrency", "scaleTarget": 0}),
    "knative rps": (KNATIVE, {"scaleMetric": "rps", "scaleTarget": 1}),
    "an unknown mode counts as Knative": (UNKNOWN_MODE, {"scaleMetric": "rps"}),
}


@pytest.mark.parametrize(("annotations", "fields"), ACCEPTED.values(), ids=ACCEPTED)
def test_accepted(annotations, fields):
    validate(isvc(annotations=annotations, predictor=model(predictor=fields)))


def place(field: str) -> str:
    return f"spec.predictor.{field}"


METRIC = place("autoScaling.metrics[0]")
REFUSED: dict[str, tuple[dict[str, str], dict[str, Any], str]] = {
    "hpa concurrency": (HPA, {"scaleMetric": "concurrency"}, place("scaleMetric")),
    "hpa rps": (HPA, {"scaleMetric": "rps"}, place("scaleMetric")),
    "hpa cpu too little": (HPA, {"scaleTarget": 0}, place("scaleTarget")),
    "hpa cpu too much": (HPA, {"scaleMetric": "cpu", "scaleTarget": 101}, place("scaleTarget")),
    "hpa memory too little": (HPA, {"scaleMetric": "memory", "scaleTarget": 0}, place("scaleTarget")),
    "hpa memory too much": (HPA, {"scaleMetric": "memory", "scaleTarget": 200}, place("scaleTarget")),
    "hpa external metric": (HPA, metrics(external(**VALUE)), METRIC),
    "hpa metric of nothing": (HPA, metrics({"type": "Resource"}), METRIC),
    "hpa second metric": (HPA, metrics(resource(**HALF), per_pod(**VALUE)), place("autoScaling.metrics[1]")),
    "hpa of Knative": (KNATIVE_HPA, {"scaleMetric": "rps"}, place("scaleMetric")),
    "keda scaleMetric": (KEDA, {"scaleMetric": "cpu"}, place("scaleMetric")),
    "keda resource of nothing": (KEDA, metrics({"type": "Resource"}), f"{METRIC}.resource"),
    "keda cpu by value": (
        KEDA,
        metrics(resource(type="AverageValue", averageValue="1")),
        f"{METRIC}.resource.target.type",
    ),
    "keda cpu of no type": (KEDA, metrics(resource(averageUtilization=50)), f"{METRIC}.resource.target.type"),
    "keda memory by value": (KEDA, metrics(resource("memory", **VALUE)), f"{METRIC}.resource.target.type"),
    "keda memory too little": (
        KEDA,
        metrics(resource("memory", type="AverageValue", averageValue="1023Ki")),
        f"{METRIC}.resource.target.averageValue",
    ),
    "keda memory in nonsense": (
        KEDA,
        metrics(resource("memory", type="AverageValue", averageValue="much")),
        f"{METRIC}.resource.target.averageValue",
    ),
    "keda memory of no value": (KEDA, metrics(resource("memory", type="AverageValue")), METRIC),
    "keda cpu of no share": (KEDA, metrics(resource(type="Utilization")), METRIC),
    "keda share too little": (KEDA, metrics(resource(type="Utilization", averageUtilization=0)), METRIC),
    "keda share too much": (KEDA, metrics(resource(type="Utilization", averageUtilization=101)), METRIC),
    "keda external of nothing": (KEDA, metrics({"type": "External"}), f"{METRIC}.external"),
    "keda external without a query": (KEDA, metrics(external(None, **VALUE)), f"{METRIC}.external.metric.query"),
    "keda external with an empty query": (KEDA, metrics(external("", **VALUE)), f"{METRIC}.external.metric.query"),
    "keda external without a value": (KEDA, metrics(external(type="Value")), f"{METRIC}.external.target.value"),
    "keda external by average": (KEDA, metrics(external(type="AverageValue", value="1")), METRIC),
    "keda per pod of nothing": (KEDA, metrics({"type": "PodMetric"}), f"{METRIC}.podmetric"),
    "keda per pod without a query": (KEDA, metrics(per_pod(None, **VALUE)), f"{METRIC}.podmetric.metric.query"),
    "keda per pod without a value": (KEDA, metrics(per_pod(**HALF)), f"{METRIC}.podmetric.target.value"),
    "knative cpu": (KNATIVE, {"scaleMetric": "cpu"}, place("scaleMetric")),
    "knative rps too little": (KNATIVE, {"scaleMetric": "rps", "scaleTarget": 0}, place("scaleTarget")),
    "knative strategy": (KNATIVE, RECREATE, place("deploymentStrategy")),
    "knative empty strategy": (KNATIVE, {"deploymentStrategy": {}}, place("deploymentStrategy")),
}


@pytest.mark.parametrize(("annotations", "fields", "path"), REFUSED.values(), ids=REFUSED)
def test_refused_with_the_field_named(annotations, fields, path):
    with pytest.raises(Refusal) as caught:
        validate(isvc(annotations=annotations, predictor=model(predictor=fields)))
    assert str(caught.value).startswith(f"{path}:")


def test_other_components_are_looked_at_too():
    transformer = {"containers": [{"image": "t"}], "scaleMetric": "rps"}
    with pytest.raises(Refusal, match=r"^spec\.transformer\.scaleMetric"):
        validate(isvc(annotations=HPA, transformer=transformer))
