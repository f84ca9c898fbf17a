"""Deployments and ReplicaSets: a template, a count, and a selector that never changes."""

from __future__ import annotations

import re
from typing import Any

from mizzen.apis.meta import ResourceDef
from mizzen.cluster.apiserver.builtin.podrules import pod_spec_causes
from mizzen.cluster.apiserver.builtin.podspec import default_pod_spec
from mizzen.cluster.apiserver.resources import (
    SCALE,
    STATUS,
    Column,
    Object,
    Resource,
    Scaling,
    at,
    fill,
    text_at,
)
from mizzen.cluster.apiserver.table import AGE
from mizzen.kube.errors import Cause, forbidden_field, invalid_value, required, unsupported
from mizzen.kube.selectors import SelectorError, from_typed

DEPLOYMENT = ResourceDef(
    group="apps", version="v1", kind="Deployment", plural="deployments", short_names=("deploy",), categories=("all",)
)
REPLICA_SET = ResourceDef(
    group="apps", version="v1", kind="ReplicaSet", plural="replicasets", short_names=("rs",), categories=("all",)
)

_PERCENT = re.compile(r"[0-9]+%")


def _selector_text(value: Object) -> str:
    return str(from_typed(at(value, "spec", "selector")))


SCALING = Scaling(("spec", "replicas"), ("status", "replicas"), _selector_text)


class Deployments(Resource):
    definition = DEPLOYMENT
    counts_generation = True
    subresources = (STATUS, SCALE)
    scaling = SCALING

    def default(self, value: Object) -> None:
        spec = value.setdefault("spec", {})
        fill(spec, replicas=1, revisionHistoryLimit=10, progressDeadlineSeconds=600)
        fill(spec.setdefault("strategy", {}), type="RollingUpdate")
        if spec["strategy"]["type"] == "RollingUpdate":
            fill(spec["strategy"].setdefault("rollingUpdate", {}), maxUnavailable="25%", maxSurge="25%")
        _default_template(spec)

    def prepare_create(self, value: Object) -> None:
        value["status"] = {}

    def wanted(self, value: Object) -> Any:
        # Annotations count too: an old habit of this kind that `kubectl rollout` has come to rely on.
        return value.get("spec"), value["metadata"].get("annotations") or {}

    def validate(self, value: Object) -> list[Cause]:
        spec = value["spec"]
        causes = _template_causes(spec)
        strategy = spec["strategy"]
        if strategy["type"] not in ("Recreate", "RollingUpdate"):
            causes.append(unsupported("spec.strategy.type", strategy["type"], ("Recreate", "RollingUpdate")))
        elif strategy["type"] == "Recreate" and strategy.get("rollingUpdate") is not None:
            why = "may not be specified when strategy `type` is 'Recreate'"
            causes.append(forbidden_field("spec.strategy.rollingUpdate", why))
        elif strategy["type"] == "RollingUpdate":
            causes += _rolling_causes(strategy["rollingUpdate"], "spec.strategy.rollingUpdate")
        for field in ("minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"):
            causes += _negative_causes(spec, field)
        if spec["progressDeadlineSeconds"] <= spec.get("minReadySeconds", 0):
            causes.append(
                invalid_value(
                    "spec.progressDeadlineSeconds",
                    spec["progressDeadlineSeconds"],
                    "must be greater than minReadySeconds",
                )
            )
        return causes

    def validate_update(self, value: Object, old: Object, subresource: str) -> list[Cause]:
        return _selector_change_causes(value, old)

    columns = (
        Column("Ready", lambda value, now: f"{_count(value, 'status', 'readyReplicas')}/{_replicas(value)}"),
        Column("Up-to-date", lambda value, now: _count(value, "status", "updatedReplicas"), "integer"),
        Column("Available", lambda value, now: _count(value, "status", "availableReplicas"), "integer"),
        AGE,
        Column("Containers", lambda value, now: _containers(value, "name"), wide=True),
        Column("Images", lambda value, now: _containers(value, "image"), wide=True),
        Column("Selector", lambda value, now: _selector_text(value), wide=True),
    )


class ReplicaSets(Resource):
    definition = REPLICA_SET
    counts_generation = True
    subresources = (STATUS, SCALE)
    scaling = SCALING
    selectable = {"status.replicas": text_at("status", "replicas")}  # noqa: RUF012

    def default(self, value: Object) -> None:
        spec = value.setdefault("spec", {})
        fill(spec, replicas=1)
        _default_template(spec)

    def prepare_create(self, value: Object) -> None:
        value["status"] = {"replicas": 0}

    def validate(self, value: Object) -> list[Cause]:
        return _template_causes(value["spec"]) + _negative_causes(value["spec"], "minReadySeconds")

    def validate_update(self, value: Object, old: Object, subresource: str) -> list[Cause]:
        return _selector_change_causes(value, old)

    columns = (
        Column("Desired", lambda value, now: _replicas(value), "integer"),
        Column("Current", lambda value, now: _count(value, "status", "replicas"), "integer"),
        Column("Ready", lambda value, now: _count(value, "status", "readyReplicas"), "integer"),
        AGE,
        Column("Containers", lambda value, now: _containers(value, "name"), wide=True),
        Column("Images", lambda value, now: _containers(value, "image"), wide=True),
        Column("Selector", lambda value, now: _selector_text(value), wide=True),
    )


def _default_template(spec: Object) -> None:
    template = spec.get("template")
    if template is not None:
        template.setdefault("metadata", {})
        default_pod_spec(template.setdefault("spec", {}))


def _template_causes(spec: Object) -> list[Cause]:
    causes = _negative_causes(spec, "replicas")
    template = spec.get("template")
    if template is None:
        return [*causes, required("spec.template")]
    try:
        selector = from_typed(spec["selector"])
    except SelectorError as error:
        causes.append(invalid_value("spec.selector", str(spec["selector"]), str(error)))
    else:
        labels = template["metadata"].get("labels") or {}
        if selector.is_everything:
            causes.append(invalid_value("spec.selector", "{}", "empty selector is invalid for this kind"))
        elif not selector.matches(labels):
            why = "`selector` does not match template `labels`"
            causes.append(invalid_value("spec.template.metadata.labels", str(labels), why))
    causes += pod_spec_causes(template["spec"], "spec.template.spec")
    policy = template["spec"].get("restartPolicy")
    if policy in ("Never", "OnFailure"):
        causes.append(unsupported("spec.template.spec.restartPolicy", policy, ("Always",)))
    return causes


def _rolling_causes(rolling: Object, path: str) -> list[Cause]:
    causes: list[Cause] = []
    for field in ("maxUnavailable", "maxSurge"):
        value = rolling[field]
        if isinstance(value, str) and not _PERCENT.fullmatch(value):
            causes.append(invalid_value(f"{path}.{field}", value, "must be a whole number or a percentage such as 25%"))
        elif isinstance(value, int) and value < 0:
            causes.append(invalid_value(f"{path}.{field}", value, "must be greater than or equal to 0"))
    unavailable = rolling["maxUnavailable"]
    if isinstance(unavailable, str) and _PERCENT.fullmatch(unavailable) and int(unavailable[:-1]) > 100:
        causes.append(invalid_value(f"{path}.maxUnavailable", unavailable, "must not be greater than 100%"))
    if not causes and all(str(rolling[field]).rstrip("%") == "0" for field in ("maxUnavailable", "maxSurge")):
        causes.append(invalid_value(f"{path}.maxUnavailable", unavailable, "may not be 0 when `maxSurge` is 0"))
    return causes


def _negative_causes(spec: Object, field: str) -> list[Cause]:
    value = spec.get(field, 0)
    return [invalid_value(f"spec.{field}", value, "must be greater than or equal to 0")] if value < 0 else []


def _selector_change_causes(value: Object, old: Object) -> list[Cause]:
    if value["spec"].get("selector") == old["spec"].get("selector"):
        return []
    return [invalid_value("spec.selector", str(value["spec"].get("selector")), "field is immutable")]


def _replicas(value: Object) -> int:
    return _count(value, "spec", "replicas")


def _count(value: Object, *path: str) -> int:
    return int(at(value, *path) or 0)


def _containers(value: Object, field: str) -> str:
    found = at(value, "spec", "template", "spec", "containers") or ()
    return ",".join(container.get(field, "") for container in found)
