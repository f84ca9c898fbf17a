"""HorizontalPodAutoscalers, as records: scaling is a controller's work."""

from __future__ import annotations

from mizzen.apis.meta import ResourceDef
from mizzen.cluster.apiserver.resources import STATUS, Column, Object, Resource, at, fill
from mizzen.cluster.apiserver.table import AGE
from mizzen.kube.errors import Cause, invalid_value

AUTOSCALER = ResourceDef(
    group="autoscaling",
    version="v2",
    kind="HorizontalPodAutoscaler",
    plural="horizontalpodautoscalers",
    short_names=("hpa",),
    categories=("all",),
)
_DEFAULT_METRICS = [
    {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}
]


class HorizontalPodAutoscalers(Resource):
    definition = AUTOSCALER
    unconditional_update = False
    subresources = (STATUS,)

    def default(self, value: Object) -> None:
        spec = value.setdefault("spec", {})
        fill(spec, minReplicas=1)
        if not spec.get("metrics"):
            spec["metrics"] = [dict(metric) for metric in _DEFAULT_METRICS]

    def prepare_create(self, value: Object) -> None:
        value["status"] = {"currentMetrics": None, "desiredReplicas": 0}

    def validate(self, value: Object) -> list[Cause]:
        spec = value["spec"]
        least, most = spec["minReplicas"], spec["maxReplicas"]
        if least < 1:
            return [invalid_value("spec.minReplicas", least, "must be greater than or equal to 1")]
        if most < least:
            return [invalid_value("spec.maxReplicas", most, "must be greater than or equal to `minReplicas`")]
        return []

    columns = (
        Column("Reference", lambda value, now: _reference(value)),
        Column("Targets", lambda value, now: _targets(value)),
        Column("MinPods", lambda value, now: at(value, "spec", "minReplicas"), "integer"),
        Column("MaxPods", lambda value, now: at(value, "spec", "maxReplicas"), "integer"),
        Column("Replicas", lambda value, now: at(value, "status", "currentReplicas") or 0, "integer"),
        AGE,
    )


def _reference(value: Object) -> str:
    target = at(value, "spec", "scaleTargetRef") or {}
    return f"{target.get('kind')}/{target.get('name')}"


def _targets(value: Object) -> str:
    current = {_name(metric): metric for metric in at(value, "status", "currentMetrics") or ()}
    found = []
    for metric in at(value, "spec", "metrics") or ():
        name = _name(metric)
        target = _detail(metric).get("target") or {}
        now = (_detail(current.get(name) or {})).get("current") or {}
        if "averageUtilization" in target:
            seen = f"{now['averageUtilization']}%" if "averageUtilization" in now else "<unknown>"
            found.append(f"{name}: {seen}/{target['averageUtilization']}%")
        else:
            wanted = target.get("averageValue") or target.get("value") or "<auto>"
            found.append(f"{now.get('averageValue') or now.get('value') or '<unknown>'}/{wanted}")
    return ", ".join(found) or "<none>"


def _detail(metric: Object) -> Object:
    kind = metric.get("type") or ""
    return metric.get(kind[:1].lower() + kind[1:]) or {}


def _name(metric: Object) -> str:
    detail = _detail(metric)
    return str(detail.get("name") or at(detail, "metric", "name") or "")
