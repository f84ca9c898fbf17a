"""Nodes, and the Leases that keep them and every elected leader honest."""

from __future__ import annotations

from mizzen.apis.meta import ResourceDef
from mizzen.cluster.apiserver.builtin.podspec import canonicalise
from mizzen.cluster.apiserver.resources import STATUS, Column, Object, Resource, at
from mizzen.cluster.apiserver.table import AGE
from mizzen.kube.errors import Cause, invalid_value

NODE = ResourceDef(group="", version="v1", kind="Node", plural="nodes", namespaced=False, short_names=("no",))
LEASE = ResourceDef(group="coordination.k8s.io", version="v1", kind="Lease", plural="leases")

_ROLE = "node-role.kubernetes.io/"


class Nodes(Resource):
    definition = NODE
    subresources = (STATUS,)
    selectable = {  # noqa: RUF012
        "spec.unschedulable": lambda node: "true" if at(node, "spec", "unschedulable") else "false",
    }

    def default(self, value: Object) -> None:
        value.setdefault("spec", {})
        for field in ("capacity", "allocatable"):
            canonicalise(at(value, "status", field))

    def prepare_create(self, value: Object) -> None:
        value["status"] = {}

    columns = (
        Column("Status", lambda node, now: _status(node), description="Whether it is ready, and takes new pods."),
        Column("Roles", lambda node, now: _roles(node)),
        AGE,
        Column("Version", lambda node, now: at(node, "status", "nodeInfo", "kubeletVersion") or ""),
        Column("Internal-IP", lambda node, now: _address(node, "InternalIP"), wide=True),
        Column("External-IP", lambda node, now: _address(node, "ExternalIP"), wide=True),
        Column("OS-Image", lambda node, now: _info(node, "osImage"), wide=True),
        Column("Kernel-Version", lambda node, now: _info(node, "kernelVersion"), wide=True),
        Column("Container-Runtime", lambda node, now: _info(node, "containerRuntimeVersion"), wide=True),
    )


class Leases(Resource):
    definition = LEASE
    unconditional_update = False

    def validate(self, value: Object) -> list[Cause]:
        causes: list[Cause] = []
        for field, least in (("leaseDurationSeconds", 1), ("leaseTransitions", 0)):
            found = at(value, "spec", field)
            if found is not None and found < least:
                causes.append(invalid_value(f"spec.{field}", found, f"must be greater than or equal to {least}"))
        return causes

    columns = (Column("Holder", lambda lease, now: at(lease, "spec", "holderIdentity") or ""), AGE)


def _status(node: Object) -> str:
    statuses = [c.get("status") for c in at(node, "status", "conditions") or () if c.get("type") == "Ready"]
    word = {"True": "Ready", "False": "NotReady"}.get(statuses[0] if statuses else "", "Unknown")
    return f"{word},SchedulingDisabled" if at(node, "spec", "unschedulable") else word


def _roles(node: Object) -> str:
    labels = node["metadata"].get("labels") or {}
    return ",".join(sorted(key.removeprefix(_ROLE) for key in labels if key.startswith(_ROLE))) or "<none>"


def _address(node: Object, kind: str) -> str:
    found = at(node, "status", "addresses") or ()
    return next((item.get("address", "") for item in found if item.get("type") == kind), "<none>")


def _info(node: Object, field: str) -> str:
    return at(node, "status", "nodeInfo", field) or "<unknown>"
