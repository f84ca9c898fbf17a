"""Services, and the endpoints behind them."""

from __future__ import annotations

from collections.abc import Callable

from mizzen.apis.meta import ResourceDef
from mizzen.cluster.apiserver.builtin.addresses import Addresses
from mizzen.cluster.apiserver.builtin.podrules import port_causes, port_or_name_causes
from mizzen.cluster.apiserver.resources import STATUS, Column, NameRule, Object, Resource, at, fill, text_at
from mizzen.cluster.apiserver.store import Change, Store
from mizzen.cluster.apiserver.table import AGE
from mizzen.kube.errors import ApiError, Cause, duplicate, invalid, invalid_value, required, unsupported

SERVICE = ResourceDef(
    group="", version="v1", kind="Service", plural="services", short_names=("svc",), categories=("all",)
)
ENDPOINTS = ResourceDef(group="", version="v1", kind="Endpoints", plural="endpoints", short_names=("ep",))
ENDPOINT_SLICE = ResourceDef(group="discovery.k8s.io", version="v1", kind="EndpointSlice", plural="endpointslices")

_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_PROTOCOLS = ("SCTP", "TCP", "UDP")
_ADDRESS_TYPES = ("FQDN", "IPv4", "IPv6")
HEADLESS = "None"


class Services(Resource):
    """Services, each with an address of its own from ``addresses`` unless it wants none."""

    definition = SERVICE
    name_rule: NameRule = "service"
    returns_deleted = True
    subresources = (STATUS,)
    selectable = {  # noqa: RUF012
        "spec.clusterIP": text_at("spec", "clusterIP"),
        "spec.type": text_at("spec", "type"),
    }

    def __init__(self, addresses: Addresses) -> None:
        self._addresses = addresses

    def follow(self, store: Store) -> Callable[[], None]:
        """Learn which addresses are taken, now and from every change; returns how to stop."""
        for entry in store.shelf(self.storage).newest():
            self._addresses.stored("", _cluster_ip(entry.decode()))

        def changed(change: Change) -> None:
            before = _cluster_ip(change.before.decode()) if change.before else ""
            self._addresses.stored(before, "" if change.deleted else _cluster_ip(change.after.decode()))

        return store.observe(self.storage, changed)

    def default(self, value: Object) -> None:
        spec = value.setdefault("spec", {})
        fill(spec, type="ClusterIP", sessionAffinity="None")
        if spec["sessionAffinity"] == "ClientIP":
            fill(spec.setdefault("sessionAffinityConfig", {}).setdefault("clientIP", {}), timeoutSeconds=10800)
        if spec["type"] != "ExternalName":
            fill(spec, internalTrafficPolicy="Cluster")
        if spec["type"] in ("NodePort", "LoadBalancer"):
            fill(spec, externalTrafficPolicy="Cluster")
        for port in spec.get("ports") or ():
            fill(port, protocol="TCP")
            if port.get("targetPort") in (None, "", 0):
                port["targetPort"] = port.get("port")

    def prepare_create(self, value: Object) -> None:
        value["status"] = {"loadBalancer": {}}
        self._settle_address(value)

    def prepare_update(self, value: Object, old: Object, subresource: str) -> None:
        if subresource == "status":
            return
        spec, before = value["spec"], old["spec"]
        if spec["type"] != "ExternalName" and before["type"] != "ExternalName":
            # A writer that leaves the address out means to keep it.
            for field in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
                if spec.get(field) in (None, "", []) and field in before:
                    spec[field] = before[field]
        if spec["type"] == "ExternalName" or not spec.get("clusterIP") or spec["clusterIP"] != before.get("clusterIP"):
            self._settle_address(value, before.get("clusterIP") or "")

    def abandon(self, value: Object) -> None:
        self._addresses.give_back(_cluster_ip(value))

    def _settle_address(self, value: Object, before: str = "") -> None:
        spec = value["spec"]
        if spec["type"] == "ExternalName":
            for field in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
                spec.pop(field, None)
            return
        wanted = spec.get("clusterIP") or (spec.get("clusterIPs") or [""])[0]
        name = value["metadata"].get("name") or ""
        if before not in ("", wanted):
            # A change that validation is about to refuse; nothing is promised for it.
            return
        if not wanted:
            drawn = self._addresses.draw()
            if drawn is None:
                raise ApiError(
                    500, "InternalError", f"no cluster IP is left in {self._addresses.network}; delete unused Services"
                )
            wanted = drawn
        elif wanted != HEADLESS and wanted not in self._addresses:
            why = f"the provided IP ({wanted}) is not in the valid range. The range of valid IPs is"
            cause = invalid_value("spec.clusterIPs", f'["{wanted}"]', f"{why} {self._addresses.network}")
            raise invalid(self.definition, name, [cause])
        elif wanted not in (HEADLESS, before) and not self._addresses.promise(wanted):
            cause = invalid_value("spec.clusterIPs", f'["{wanted}"]', "provided IP is already allocated")
            raise invalid(self.definition, name, [cause])
        spec["clusterIP"], spec["clusterIPs"] = wanted, [wanted]
        fill(spec, ipFamilies=["IPv4"], ipFamilyPolicy="SingleStack")

    def validate(self, value: Object) -> list[Cause]:
        spec = value["spec"]
        if spec["type"] not in _TYPES:
            return [unsupported("spec.type", spec["type"], _TYPES)]
        causes: list[Cause] = []
        ports = spec.get("ports") or []
        if spec["type"] == "ExternalName":
            if not spec.get("externalName"):
                causes.append(required("spec.externalName"))
        elif not ports and spec.get("clusterIP") != HEADLESS:
            causes.append(required("spec.ports"))
        if spec["type"] == "LoadBalancer" and spec.get("clusterIP") == HEADLESS:
            causes.append(invalid_value("spec.clusterIPs[0]", HEADLESS, "may not be set to 'None' for LoadBalancer"))
        if spec["sessionAffinity"] not in ("ClientIP", "None"):
            causes.append(unsupported("spec.sessionAffinity", spec["sessionAffinity"], ("ClientIP", "None")))
        return causes + _port_causes(ports)

    def validate_update(self, value: Object, old: Object, subresource: str) -> list[Cause]:
        before, after = _cluster_ip(old), _cluster_ip(value)
        if before and after and before != after:
            return [invalid_value("spec.clusterIPs[0]", f'["{after}"]', "may not change once set")]
        return []

    columns = (
        Column("Type", lambda value, now: at(value, "spec", "type") or "", description="How it is reached."),
        Column("Cluster-IP", lambda value, now: at(value, "spec", "clusterIP") or "<none>", description="Its address."),
        Column("External-IP", lambda value, now: _external(value), description="Its addresses from outside."),
        Column("Port(s)", lambda value, now: _ports(value), description="The ports it serves."),
        AGE,
        Column("Selector", lambda value, now: _selector(value), wide=True, description="The pods behind it."),
    )


class EndpointsResource(Resource):
    definition = ENDPOINTS

    columns = (Column("Endpoints", lambda value, now: _endpoints(value), description="Ready addresses."), AGE)


class EndpointSlices(Resource):
    definition = ENDPOINT_SLICE
    # The one kind of this group that counts its generation without having a status.
    counts_generation = True

    def default(self, value: Object) -> None:
        for port in value.get("ports") or ():
            fill(port, name="", protocol="TCP")

    def wanted(self, value: Object) -> object:
        return {key: part for key, part in value.items() if key != "metadata"}

    def validate(self, value: Object) -> list[Cause]:
        if value.get("addressType") not in _ADDRESS_TYPES:
            return [unsupported("addressType", value.get("addressType"), _ADDRESS_TYPES)]
        return [
            required(f"endpoints[{place}].addresses", "must contain at least 1 address")
            for place, endpoint in enumerate(value.get("endpoints") or ())
            if not endpoint.get("addresses")
        ]

    def validate_update(self, value: Object, old: Object, subresource: str) -> list[Cause]:
        if value["addressType"] == old["addressType"]:
            return []
        return [invalid_value("addressType", value["addressType"], "field is immutable")]

    columns = (
        Column("AddressType", lambda value, now: value.get("addressType", "")),
        Column("Ports", lambda value, now: _listed([str(port.get("port", "*")) for port in value.get("ports") or ()])),
        Column(
            "Endpoints",
            lambda value, now: _listed([a for e in value.get("endpoints") or () for a in e.get("addresses") or ()]),
        ),
        AGE,
    )


def _port_causes(ports: list[Object]) -> list[Cause]:
    causes: list[Cause] = []
    names: set[str] = set()
    seen: set[tuple[object, object]] = set()
    for place, port in enumerate(ports):
        path = f"spec.ports[{place}]"
        name = port.get("name") or ""
        if not name and len(ports) > 1:
            causes.append(required(f"{path}.name"))
        elif name in names:
            causes.append(duplicate(f"{path}.name", name))
        names.add(name)
        causes += port_causes(port.get("port"), f"{path}.port")
        causes += port_or_name_causes(port.get("targetPort"), f"{path}.targetPort")
        if port["protocol"] not in _PROTOCOLS:
            causes.append(unsupported(f"{path}.protocol", port["protocol"], _PROTOCOLS))
        if (port.get("port"), port["protocol"]) in seen:
            causes.append(duplicate(path, port.get("port")))
        seen.add((port.get("port"), port["protocol"]))
    return causes


def _cluster_ip(value: Object) -> str:
    found = at(value, "spec", "clusterIP") or ""
    return "" if found == HEADLESS else str(found)


def _external(value: Object) -> str:
    spec = value.get("spec") or {}
    if spec.get("type") == "ExternalName":
        return str(spec.get("externalName") or "")
    found = [
        item.get("ip") or item.get("hostname") or "" for item in at(value, "status", "loadBalancer", "ingress") or ()
    ]
    found += spec.get("externalIPs") or []
    if not found:
        return "<pending>" if spec.get("type") == "LoadBalancer" else "<none>"
    return ",".join(found)


def _ports(value: Object) -> str:
    found = []
    for port in at(value, "spec", "ports") or ():
        node = f":{port['nodePort']}" if port.get("nodePort") else ""
        found.append(f"{port.get('port')}{node}/{port.get('protocol')}")
    return ",".join(found) or "<none>"


def _selector(value: Object) -> str:
    labels = at(value, "spec", "selector") or {}
    return ",".join(f"{key}={text}" for key, text in sorted(labels.items())) or "<none>"


def _endpoints(value: Object) -> str:
    found = []
    for subset in value.get("subsets") or ():
        for address in subset.get("addresses") or ():
            ports = subset.get("ports") or ()
            found += [f"{address.get('ip')}:{port.get('port')}" for port in ports] or [address.get("ip", "")]
    return _listed(found)


def _listed(found: list[str]) -> str:
    """A few, and how many more."""
    if not found:
        return "<none>"
    shown = ",".join(found[:3])
    return f"{shown} + {len(found) - 3} more..." if len(found) > 3 else shown
