"""Ingresses and their classes."""

from __future__ import annotations

from mizzen.apis.meta import ResourceDef
from mizzen.cluster.apiserver.resources import STATUS, Column, Object, Resource, at
from mizzen.cluster.apiserver.table import AGE
from mizzen.kube.errors import Cause, invalid_value, required, unsupported

INGRESS = ResourceDef(group="networking.k8s.io", version="v1", kind="Ingress", plural="ingresses", short_names=("ing",))
INGRESS_CLASS = ResourceDef(
    group="networking.k8s.io", version="v1", kind="IngressClass", plural="ingressclasses", namespaced=False
)
_PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")


class Ingresses(Resource):
    definition = INGRESS
    counts_generation = True
    subresources = (STATUS,)

    def prepare_create(self, value: Object) -> None:
        value["status"] = {"loadBalancer": {}}

    def validate(self, value: Object) -> list[Cause]:
        spec = value.get("spec") or {}
        causes: list[Cause] = []
        if not spec.get("rules") and not spec.get("defaultBackend"):
            causes.append(invalid_value("spec", "", "either `defaultBackend` or `rules` must be specified"))
        if spec.get("defaultBackend"):
            causes += _backend_causes(spec["defaultBackend"], "spec.defaultBackend")
        for place, rule in enumerate(spec.get("rules") or ()):
            path = f"spec.rules[{place}]"
            host = rule.get("host") or ""
            if "*" in host and (not host.startswith("*.") or "*" in host[1:]):
                causes.append(
                    invalid_value(f"{path}.host", host, "a wildcard stands only for the first label: *.domain")
                )
            for index, found in enumerate(at(rule, "http", "paths") or ()):
                causes += _path_causes(found, f"{path}.http.paths[{index}]")
        return causes

    columns = (
        Column("Class", lambda value, now: at(value, "spec", "ingressClassName") or "<none>"),
        Column("Hosts", lambda value, now: _hosts(value)),
        Column("Address", lambda value, now: _address(value)),
        Column("Ports", lambda value, now: "80, 443" if at(value, "spec", "tls") else "80"),
        AGE,
    )


class IngressClasses(Resource):
    definition = INGRESS_CLASS
    counts_generation = True

    columns = (
        Column("Controller", lambda value, now: at(value, "spec", "controller") or ""),
        Column("Parameters", lambda value, now: _parameters(value)),
        AGE,
    )


def _path_causes(found: Object, path: str) -> list[Cause]:
    causes: list[Cause] = []
    kind = found.get("pathType")
    if kind not in _PATH_TYPES:
        causes.append(unsupported(f"{path}.pathType", kind, _PATH_TYPES) if kind else required(f"{path}.pathType"))
    elif kind != "ImplementationSpecific" and not (found.get("path") or "").startswith("/"):
        causes.append(invalid_value(f"{path}.path", found.get("path") or "", "must be an absolute path"))
    return causes + _backend_causes(found.get("backend") or {}, f"{path}.backend")


def _backend_causes(backend: Object, path: str) -> list[Cause]:
    service = backend.get("service")
    if service is None:
        return [] if backend.get("resource") else [required(path, "port name or number is required")]
    causes = [] if service.get("name") else [required(f"{path}.service.name")]
    port = service.get("port") or {}
    if bool(port.get("name")) == bool(port.get("number")):
        causes.append(required(f"{path}.service.port", "port name or number is required, and only one of them"))
    return causes


def _hosts(value: Object) -> str:
    hosts = [rule["host"] for rule in at(value, "spec", "rules") or () if rule.get("host")]
    if len(hosts) > 3:
        return f"{','.join(hosts[:3])} + {len(hosts) - 3} more..."
    return ",".join(hosts) or "*"


def _address(value: Object) -> str:
    found = at(value, "status", "loadBalancer", "ingress") or ()
    return ",".join(item.get("ip") or item.get("hostname") or "" for item in found)


def _parameters(value: Object) -> str:
    found = at(value, "spec", "parameters")
    if not found:
        return "<none>"
    group = found.get("apiGroup")
    return f"{found.get('kind')}.{group}/{found.get('name')}" if group else f"{found.get('kind')}/{found.get('name')}"
