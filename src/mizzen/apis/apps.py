"""The apps group: deployments and the replica sets they roll through. Pod templates stay mappings."""

from __future__ import annotations

import msgspec
from msgspec import UNSET

from mizzen.apis.core import StatusCondition
from mizzen.apis.meta import LabelSelector, Mapping, Object, Opt, ResourceDef, Schema

DEPLOYMENT = ResourceDef(
    group="apps", version="v1", kind="Deployment", plural="deployments", short_names=("deploy",), categories=("all",)
)
REPLICA_SET = ResourceDef(
    group="apps", version="v1", kind="ReplicaSet", plural="replicasets", short_names=("rs",), categories=("all",)
)

# Which revision of its deployment a replica set (or the deployment itself) stands for.
REVISION_ANNOTATION = "deployment.kubernetes.io/revision"
POD_TEMPLATE_HASH = "pod-template-hash"


class RollingUpdate(Schema):
    """Counts, or percentages of the wanted replicas as text (``25%``)."""

    max_surge: Opt[int | str] = UNSET
    max_unavailable: Opt[int | str] = UNSET


class DeploymentStrategy(Schema):
    type: Opt[str] = UNSET
    rolling_update: Opt[RollingUpdate] = UNSET


class DeploymentSpec(Schema):
    selector: LabelSelector = msgspec.field(default_factory=LabelSelector)
    template: Mapping = {}
    replicas: Opt[int] = UNSET
    strategy: DeploymentStrategy = msgspec.field(default_factory=DeploymentStrategy)
    min_ready_seconds: Opt[int] = UNSET
    revision_history_limit: Opt[int] = UNSET
    progress_deadline_seconds: Opt[int] = UNSET
    paused: Opt[bool] = UNSET


class DeploymentStatus(Schema):
    observed_generation: Opt[int] = UNSET
    replicas: Opt[int] = UNSET
    updated_replicas: Opt[int] = UNSET
    ready_replicas: Opt[int] = UNSET
    available_replicas: Opt[int] = UNSET
    unavailable_replicas: Opt[int] = UNSET
    collision_count: Opt[int] = UNSET
    conditions: Opt[list[StatusCondition]] = UNSET

    def condition(self, kind: str) -> StatusCondition | None:
        return next((condition for condition in self.conditions or () if condition.type == kind), None)


class Deployment(Object):
    spec: DeploymentSpec = msgspec.field(default_factory=DeploymentSpec)
    status: DeploymentStatus = msgspec.field(default_factory=DeploymentStatus)


class ReplicaSetSpec(Schema):
    selector: LabelSelector = msgspec.field(default_factory=LabelSelector)
    template: Mapping = {}
    replicas: Opt[int] = UNSET
    min_ready_seconds: Opt[int] = UNSET


class ReplicaSetStatus(Schema):
    observed_generation: Opt[int] = UNSET
    replicas: Opt[int] = UNSET
    fully_labeled_replicas: Opt[int] = UNSET
    ready_replicas: Opt[int] = UNSET
    available_replicas: Opt[int] = UNSET
    conditions: Opt[list[StatusCondition]] = UNSET


class ReplicaSet(Object):
    spec: ReplicaSetSpec = msgspec.field(default_factory=ReplicaSetSpec)
    status: ReplicaSetStatus = msgspec.field(default_factory=ReplicaSetStatus)
