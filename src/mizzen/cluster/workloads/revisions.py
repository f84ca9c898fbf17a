"""A deployment's revisions: each replica set stands for one pod template that the deployment has had.

The name, labels and annotations of a replica set tie it to its template and its place in the history, and
``kubectl rollout history`` and ``undo`` read them. Two templates are one revision when they are equal but for the hash
label, so going back to an old template finds its old replica set.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import msgspec

from mizzen.apis.apps import DEPLOYMENT, POD_TEMPLATE_HASH, REVISION_ANNOTATION, Deployment, ReplicaSet
from mizzen.apis.meta import Mapping, owner_reference

HISTORY_ANNOTATION = "deployment.kubernetes.io/revision-history"
DESIRED_ANNOTATION = "deployment.kubernetes.io/desired-replicas"
MAX_ANNOTATION = "deployment.kubernetes.io/max-replicas"
_OWN = (
    "kubectl.kubernetes.io/last-applied-configuration",
    "deprecated.deployment.rollback.to",
    REVISION_ANNOTATION,
    HISTORY_ANNOTATION,
    DESIRED_ANNOTATION,
    MAX_ANNOTATION,
)
_LONGEST_HISTORY = 2000
# Letters that make no words and no numbers, as Kubernetes uses them in generated names.
_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
# The largest int32 as a history limit means to keep everything.
_UNLIMITED = 2**31 - 1


def template_hash(template: Mapping, collisions: int) -> str:
    """Ten letters that stand for a pod template; ``collisions`` picks others after a clash of names."""
    text = msgspec.json.encode(_essence(template), order="deterministic") + (b"%d" % collisions if collisions else b"")
    digest = hashlib.sha256(text).digest()
    return "".join(_LETTERS[byte % len(_LETTERS)] for byte in digest[:10])


def same_template(left: Mapping, right: Mapping) -> bool:
    """Whether two pod templates are one revision: equal but for the hash label."""
    return _essence(left) == _essence(right)


def _essence(template: Mapping) -> Mapping:
    metadata = {key: value for key, value in (template.get("metadata") or {}).items() if value}
    labels = {key: value for key, value in metadata.pop("labels", {}).items() if key != POD_TEMPLATE_HASH}
    return {"metadata": metadata | {"labels": labels}, "spec": template.get("spec") or {}}


def new_and_old(deployment: Deployment, sets: Iterable[ReplicaSet]) -> tuple[ReplicaSet | None, list[ReplicaSet]]:
    """The replica set of the present template, if there is one, and all others; oldest first.

    Of several that fit (two controllers once ran at the same time) the oldest is the one.
    """
    by_age = sorted(sets, key=age)
    fitting = (one for one in by_age if same_template(one.spec.template, deployment.spec.template))
    new = next(fitting, None)
    return new, [one for one in by_age if one is not new]


def age(replica_set: ReplicaSet) -> tuple[str, str]:
    """Sorts replica sets from the oldest to the newest."""
    return replica_set.metadata.creation_timestamp or "", replica_set.name


def revision(replica_set: ReplicaSet) -> int:
    text = replica_set.metadata.annotation(REVISION_ANNOTATION)
    return int(text) if text.isdecimal() else 0


def next_revision(old: Sequence[ReplicaSet]) -> int:
    return max((revision(one) for one in old), default=0) + 1


def size_annotations(desired: int, most: int) -> dict[str, str]:
    """What a replica set remembers of its deployment's size, for a later proportional scaling."""
    return {DESIRED_ANNOTATION: str(desired), MAX_ANNOTATION: str(most)}


def replica_set(deployment: Deployment, replicas: int, sizes: dict[str, str], revision: int) -> Mapping:
    """A new replica set of the deployment's present template, for ``replicas`` pods.

    ``sizes`` are the annotations of :func:`size_annotations`.
    """
    spec = deployment.spec
    code = template_hash(spec.template, deployment.status.collision_count or 0)
    template_metadata = spec.template.get("metadata") or {}
    labels = (template_metadata.get("labels") or {}) | {POD_TEMPLATE_HASH: code}
    selector = msgspec.to_builtins(spec.selector)
    selector["matchLabels"] = (selector.get("matchLabels") or {}) | {POD_TEMPLATE_HASH: code}
    annotations = _inherited(deployment) | {REVISION_ANNOTATION: str(revision)}
    body: Mapping = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{deployment.name[:242]}-{code}",
            "namespace": deployment.namespace,
            "labels": labels,
            "annotations": annotations | sizes,
            "ownerReferences": [owner_reference(deployment, DEPLOYMENT)],
        },
        "spec": {
            "replicas": replicas,
            "selector": selector,
            "template": {**spec.template, "metadata": {**template_metadata, "labels": labels}},
        },
    }
    if spec.min_ready_seconds:
        body["spec"]["minReadySeconds"] = spec.min_ready_seconds
    return body


def amendment(deployment: Deployment, new: ReplicaSet, old: Sequence[ReplicaSet]) -> Mapping:
    """The merge patch that makes the present replica set the newest revision; empty when it is already."""
    annotations = dict(new.metadata.annotations or {})
    wanted = annotations | _inherited(deployment)
    latest = next_revision(old)
    if revision(new) < latest:
        before = annotations.get(REVISION_ANNOTATION)
        wanted[REVISION_ANNOTATION] = str(latest)
        if before:
            wanted[HISTORY_ANNOTATION] = _longer_history(annotations.get(HISTORY_ANNOTATION, ""), before)
    patch: Mapping = {}
    changed = {key: value for key, value in wanted.items() if annotations.get(key) != value}
    if changed:
        patch["metadata"] = {"annotations": changed}
    if (new.spec.min_ready_seconds or 0) != (deployment.spec.min_ready_seconds or 0):
        patch["spec"] = {"minReadySeconds": deployment.spec.min_ready_seconds or 0}
    return patch


def _longer_history(history: str, before: str) -> str:
    numbers = [*filter(None, history.split(",")), before]
    while len(",".join(numbers)) > _LONGEST_HISTORY:
        numbers.pop(0)
    return ",".join(numbers)


def _inherited(deployment: Deployment) -> dict[str, str]:
    return {key: value for key, value in (deployment.metadata.annotations or {}).items() if key not in _OWN}


def superfluous(deployment: Deployment, old: Sequence[ReplicaSet]) -> list[ReplicaSet]:
    """The old replica sets beyond the history limit, lowest revision first. One that still has pods stays."""
    limit = deployment.spec.revision_history_limit
    if not isinstance(limit, int) or limit == _UNLIMITED:
        return []
    alive = sorted(
        (one for one in old if not one.metadata.deletion_timestamp), key=lambda one: (revision(one), age(one))
    )
    beyond = alive[: max(0, len(alive) - limit)]
    return [one for one in beyond if _is_idle(one)]


def _is_idle(one: ReplicaSet) -> bool:
    settled = (one.metadata.generation or 0) <= (one.status.observed_generation or 0)
    return settled and not one.spec.replicas and not one.status.replicas
