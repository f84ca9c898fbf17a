"""Derive the schemas of the built-in kinds from the PyPI package ``kubernetes-validate``.

    python scripts/derive_schemas.py            # rewrites src/mizzen/apis/schemas/kubernetes.json
    python scripts/derive_schemas.py --check    # exits 1 if the file on disk differs

What is kept is what decides about data: types, required fields, list and map types, merge keys. Descriptions are
left out: ours are written in our own words where `kubectl explain` needs one. Types become plain (``string``
instead of ``[string, null]``); a quantity and an int-or-string become a ``format``, which the readers of this file
expand as OpenAPI or as a structural schema needs it.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate

VERSION = "1.33"
TARGET = Path(__file__).parent.parent / "src/mizzen/apis/schemas/kubernetes.json"

# The kinds the embedded API serves, or is about to, and the bodies of their sub-resources.
ROOTS = [
    "io.k8s.api.apps.v1.ControllerRevision",
    "io.k8s.api.apps.v1.DaemonSet",
    "io.k8s.api.apps.v1.Deployment",
    "io.k8s.api.apps.v1.ReplicaSet",
    "io.k8s.api.apps.v1.StatefulSet",
    "io.k8s.api.autoscaling.v1.Scale",
    "io.k8s.api.autoscaling.v2.HorizontalPodAutoscaler",
    "io.k8s.api.batch.v1.CronJob",
    "io.k8s.api.batch.v1.Job",
    "io.k8s.api.coordination.v1.Lease",
    "io.k8s.api.core.v1.Binding",
    "io.k8s.api.core.v1.ConfigMap",
    "io.k8s.api.core.v1.Endpoints",
    "io.k8s.api.core.v1.Event",
    "io.k8s.api.core.v1.Namespace",
    "io.k8s.api.core.v1.Node",
    "io.k8s.api.core.v1.PersistentVolume",
    "io.k8s.api.core.v1.PersistentVolumeClaim",
    "io.k8s.api.core.v1.Pod",
    "io.k8s.api.core.v1.Secret",
    "io.k8s.api.core.v1.Service",
    "io.k8s.api.core.v1.ServiceAccount",
    "io.k8s.api.discovery.v1.EndpointSlice",
    "io.k8s.api.networking.v1.Ingress",
    "io.k8s.api.networking.v1.IngressClass",
    "io.k8s.api.policy.v1.Eviction",
    "io.k8s.api.policy.v1.PodDisruptionBudget",
    "io.k8s.api.rbac.v1.ClusterRole",
    "io.k8s.api.rbac.v1.ClusterRoleBinding",
    "io.k8s.api.rbac.v1.Role",
    "io.k8s.api.rbac.v1.RoleBinding",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition",
]

# Kinds whose JSON form is not what their Go type says, and a name for that form.
OPEN = {
    "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1",
    "io.k8s.apimachinery.pkg.runtime.RawExtension",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrArray",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrBool",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrStringArray",
}
FORMATS = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": "quantity",
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": "int-or-string",
}
# Defaults that decide which list item is meant: they are part of a list's keys.
DEFAULTS = {
    "io.k8s.api.core.v1.ContainerPort": {"protocol": "TCP"},
    "io.k8s.api.core.v1.ServicePort": {"protocol": "TCP"},
}
KEPT = ("format", "required", "enum", "minimum", "maximum", "pattern", "default")


def compact(node: dict[str, Any]) -> dict[str, Any]:
    """One schema node without descriptions and null alternatives."""
    if "$ref" in node:
        beside = {k: v for k, v in node.items() if k.startswith("x-kubernetes-")}
        return {"$ref": node["$ref"].rpartition("/")[2], **beside}
    out: dict[str, Any] = {}
    kind = node.get("type")
    if isinstance(kind, list):
        kind = next(t for t in kind if t != "null")
    if kind:
        out["type"] = kind
    for key in KEPT:
        if key in node:
            out[key] = node[key]
    for key, value in node.items():
        if key.startswith("x-kubernetes-") and key != "x-kubernetes-unions":
            out[key] = value
    if "properties" in node:
        out["properties"] = {name: compact(child) for name, child in sorted(node["properties"].items())}
        for name in ("apiVersion", "kind"):
            out["properties"].get(name, {}).pop("enum", None)
    if "items" in node:
        out["items"] = compact(node["items"])
    if isinstance(node.get("additionalProperties"), dict):
        out["additionalProperties"] = compact(node["additionalProperties"])
    return out


def references(node: Any) -> set[str]:
    if isinstance(node, dict):
        found = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
        return found.union(*(references(value) for value in node.values()))
    if isinstance(node, list):
        return set().union(*(references(value) for value in node))
    return set()


def derive(source: dict[str, Any]) -> dict[str, Any]:
    """The definitions that ``ROOTS`` reach, compacted, in name order."""
    kept: dict[str, Any] = {}
    pending = list(ROOTS)
    while pending:
        name = pending.pop()
        if name in kept:
            continue
        if name in OPEN:
            kept[name] = {"x-kubernetes-preserve-unknown-fields": True}
        elif name in FORMATS:
            kept[name] = {"format": FORMATS[name]}
        else:
            kept[name] = compact(source[name])
            for field, value in DEFAULTS.get(name, {}).items():
                kept[name]["properties"][field]["default"] = value
        pending += references(kept[name])
    return {"version": VERSION, "definitions": dict(sorted(kept.items()))}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare with the file on disk instead of writing it")
    arguments = parser.parse_args()
    package = Path(kubernetes_validate.__file__).parent
    source = json.loads((package / f"kubernetes-json-schema/v{VERSION}.0-local/_definitions.json").read_text())
    text = json.dumps(derive(source["$defs"]), separators=(",", ":")) + "\n"
    if arguments.check:
        return 0 if TARGET.read_text() == text else 1
    TARGET.write_text(text)
    print(f"{TARGET}: {len(text):,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
