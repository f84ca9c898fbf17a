"""PersistentVolumes and their claims, as records: binding them is a controller's work."""

from __future__ import annotations

from mizzen.apis.meta import ResourceDef
from mizzen.cluster.apiserver.builtin.podspec import canonicalise
from mizzen.cluster.apiserver.resources import STATUS, Column, Object, Resource, at, fill
from mizzen.cluster.apiserver.table import AGE
from mizzen.kube.errors import Cause, required

CLAIM = ResourceDef(
    group="", version="v1", kind="PersistentVolumeClaim", plural="persistentvolumeclaims", short_names=("pvc",)
)
VOLUME = ResourceDef(
    group="", version="v1", kind="PersistentVolume", plural="persistentvolumes", namespaced=False, short_names=("pv",)
)
_MODES = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}


class PersistentVolumeClaims(Resource):
    definition = CLAIM
    returns_deleted = True
    subresources = (STATUS,)

    def default(self, value: Object) -> None:
        spec = value.setdefault("spec", {})
        fill(spec, volumeMode="Filesystem")
        canonicalise(at(spec, "resources", "requests"))
        canonicalise(at(spec, "resources", "limits"))
        canonicalise(at(value, "status", "capacity"))

    def prepare_create(self, value: Object) -> None:
        value["status"] = {"phase": "Pending"}

    def validate(self, value: Object) -> list[Cause]:
        causes = [] if at(value, "spec", "accessModes") else [required("spec.accessModes", "at least 1 access mode")]
        if not at(value, "spec", "resources", "requests", "storage"):
            causes.append(required("spec.resources[storage]"))
        return causes

    columns = (
        Column("Status", lambda value, now: _phase(value)),
        Column("Volume", lambda value, now: at(value, "spec", "volumeName") or ""),
        Column("Capacity", lambda value, now: at(value, "status", "capacity", "storage") or ""),
        Column("Access Modes", lambda value, now: _modes(at(value, "status", "accessModes"))),
        Column("StorageClass", lambda value, now: at(value, "spec", "storageClassName") or ""),
        Column("VolumeAttributesClass", lambda value, now: _attributes(value)),
        AGE,
        Column("VolumeMode", lambda value, now: at(value, "spec", "volumeMode") or "<unset>", wide=True),
    )


class PersistentVolumes(Resource):
    definition = VOLUME
    returns_deleted = True
    subresources = (STATUS,)

    def default(self, value: Object) -> None:
        spec = value.setdefault("spec", {})
        fill(spec, volumeMode="Filesystem", persistentVolumeReclaimPolicy="Retain")
        canonicalise(spec.get("capacity"))

    def prepare_create(self, value: Object) -> None:
        value["status"] = {"phase": "Pending"}

    def validate(self, value: Object) -> list[Cause]:
        causes = [] if at(value, "spec", "accessModes") else [required("spec.accessModes")]
        return causes if at(value, "spec", "capacity") else [*causes, required("spec.capacity")]

    columns = (
        Column("Capacity", lambda value, now: at(value, "spec", "capacity", "storage") or ""),
        Column("Access Modes", lambda value, now: _modes(at(value, "spec", "accessModes"))),
        Column("Reclaim Policy", lambda value, now: at(value, "spec", "persistentVolumeReclaimPolicy") or ""),
        Column("Status", lambda value, now: _phase(value)),
        Column("Claim", lambda value, now: _claim(value)),
        Column("StorageClass", lambda value, now: at(value, "spec", "storageClassName") or ""),
        Column("VolumeAttributesClass", lambda value, now: _attributes(value)),
        Column("Reason", lambda value, now: at(value, "status", "reason") or ""),
        AGE,
        Column("VolumeMode", lambda value, now: at(value, "spec", "volumeMode") or "<unset>", wide=True),
    )


def _phase(value: Object) -> str:
    if value["metadata"].get("deletionTimestamp"):
        return "Terminating"
    return at(value, "status", "phase") or ""


def _modes(found: list[str] | None) -> str:
    return ",".join(_MODES.get(mode, mode) for mode in found or ())


def _claim(value: Object) -> str:
    claim = at(value, "spec", "claimRef")
    return f"{claim.get('namespace')}/{claim.get('name')}" if claim else ""


def _attributes(value: Object) -> str:
    return at(value, "spec", "volumeAttributesClassName") or "<unset>"
