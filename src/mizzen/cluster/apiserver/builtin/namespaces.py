"""Namespaces: they end only when what is in them has ended."""

from __future__ import annotations

from mizzen.apis.meta import ResourceDef
from mizzen.cluster.apiserver.resources import STATUS, Column, NameRule, Object, Resource, Subresource, at, text_at
from mizzen.cluster.apiserver.table import AGE
from mizzen.kube.errors import forbidden

NAMESPACE = ResourceDef(
    group="", version="v1", kind="Namespace", plural="namespaces", namespaced=False, short_names=("ns",)
)
# There from the start; the first three stay.
SYSTEM = ("default", "kube-system", "kube-public", "kube-node-lease")
_UNDELETABLE = SYSTEM[:3]

FINALIZER = "kubernetes"
_NAME_LABEL = "kubernetes.io/metadata.name"


class Namespaces(Resource):
    definition = NAMESPACE
    name_rule: NameRule = "label"
    subresources = (STATUS, Subresource("finalize", ("update",)))
    selectable = {"status.phase": text_at("status", "phase")}  # noqa: RUF012

    def prepare_create(self, value: Object) -> None:
        _label(value)
        finalizers = at(value, "spec", "finalizers") or []
        if FINALIZER not in finalizers:
            finalizers = [*finalizers, FINALIZER]
        value["spec"] = {**(value.get("spec") or {}), "finalizers": finalizers}
        value["status"] = {"phase": "Active"}

    def prepare_update(self, value: Object, old: Object, subresource: str) -> None:
        _label(value)
        if subresource != "finalize":
            value["spec"] = {**(value.get("spec") or {}), "finalizers": at(old, "spec", "finalizers") or []}

    def check_delete(self, value: Object) -> None:
        name = value["metadata"]["name"]
        if name in _UNDELETABLE:
            message = f'namespaces "{name}" is forbidden: this namespace may not be deleted'
            raise forbidden(message, self.definition, name)

    def holds(self, value: Object) -> bool:
        return bool(at(value, "spec", "finalizers"))

    def ending(self, value: Object) -> None:
        value["status"] = {**(value.get("status") or {}), "phase": "Terminating"}

    columns = (Column("Status", lambda value, now: at(value, "status", "phase") or "", description="Its phase."), AGE)


def _label(value: Object) -> None:
    metadata = value["metadata"]
    if not metadata.get("name"):
        # It is about to be refused.
        return
    metadata["labels"] = {**(metadata.get("labels") or {}), _NAME_LABEL: metadata["name"]}
