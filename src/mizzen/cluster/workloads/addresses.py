"""Who answers for a service: the pure part of the endpoints controller.

A service's pods become one Endpoints object and, for those who read many, EndpointSlices of at most 100 endpoints. A
slice that is right already is not touched: endpoints keep their slice, new ones fill what has room. Rules of readiness
and of ports are kube-controller-manager's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from mizzen.apis.core import SERVICE, Pod, Service, ServicePort
from mizzen.apis.meta import Mapping, owner_reference
from mizzen.apis.networking import SERVICE_NAME_LABEL

MANAGED_BY_LABEL = "endpointslice.kubernetes.io/managed-by"
MANAGER = "endpointslice-controller.k8s.io"
HEADLESS_LABEL = "service.kubernetes.io/headless"
_ENDPOINTS_MANAGED_BY = {"endpoints.kubernetes.io/managed-by": "endpoint-controller"}
LARGEST_SLICE = 100


class Group(msgspec.Struct, frozen=True):
    """What all endpoints of one slice have in common: address family and ports (encoded, so that it can be a key)."""

    family: str
    ports: bytes

    @property
    def port_list(self) -> list[Mapping]:
        found: list[Mapping] = msgspec.json.decode(self.ports)
        return found


def is_managed(service: Service) -> bool:
    """Whether the service's endpoints are ours to write: it selects pods."""
    return bool(service.spec.selector) and service.spec.type != "ExternalName"


def has_address(pod: Pod) -> bool:
    return bool(_ips(pod)) and not pod.is_finished


def _ips(pod: Pod) -> list[str]:
    several = [one.ip for one in pod.status.pod_ips or ()]
    return several or ([pod.status.pod_ip] if pod.status.pod_ip else [])


def resolve(port: ServicePort, pod: Pod) -> int | None:
    """The number that the port has in this pod, or ``None`` when a name it gives is not there."""
    target = port.target_port or port.port
    if isinstance(target, int):
        return target
    if target.isdecimal():
        return int(target)
    protocol = port.protocol or "TCP"
    containers = [
        *(pod.spec.get("containers") or ()),
        *(one for one in pod.spec.get("initContainers") or () if one.get("restartPolicy") == "Always"),
    ]
    for container in containers:
        for declared in container.get("ports") or ():
            if declared.get("name") == target and (declared.get("protocol") or "TCP") == protocol:
                return int(declared["containerPort"])
    return None


def _ports(service: Service, pod: Pod) -> list[Mapping]:
    """The service's ports as this pod has them; one that it lacks is left out."""
    found = []
    for port in service.spec.ports or ():
        number = resolve(port, pod)
        if number is None:
            continue
        one: Mapping = {"name": port.name or "", "port": number, "protocol": port.protocol or "TCP"}
        if port.app_protocol:
            one["appProtocol"] = port.app_protocol
        found.append(one)
    return found


def _target(pod: Pod) -> Mapping:
    return {"kind": "Pod", "namespace": pod.namespace, "name": pod.name, "uid": pod.uid}


def _hostname(service: Service, pod: Pod) -> str:
    """The name that a pod has below a headless service."""
    return str(pod.spec.get("hostname") or "") if pod.spec.get("subdomain") == service.name else ""


def endpoint(service: Service, pod: Pod, address: str) -> Mapping:
    """One endpoint of a slice. A pod that ends still serves until it is gone, but is not ready for new clients."""
    terminating = bool(pod.metadata.deletion_timestamp)
    ready = pod.is_ready and not terminating
    found: Mapping = {
        "addresses": [address],
        "conditions": {
            "ready": ready or bool(service.spec.publish_not_ready_addresses),
            "serving": pod.is_ready,
            "terminating": terminating,
        },
        "targetRef": _target(pod),
    }
    if pod.node_name:
        found["nodeName"] = pod.node_name
    if hostname := _hostname(service, pod):
        found["hostname"] = hostname
    return found


def grouped(service: Service, pods: Iterable[Pod]) -> dict[Group, list[Mapping]]:
    """All endpoints of the service by what a slice must have in common, in order of pod names."""
    found: dict[Group, list[Mapping]] = {}
    for pod in sorted(pods, key=lambda pod: pod.name):
        if not has_address(pod):
            continue
        ports = msgspec.json.encode(_ports(service, pod))
        for address in _ips(pod):
            group = Group("IPv6" if ":" in address else "IPv4", ports)
            found.setdefault(group, []).append(endpoint(service, pod, address))
    # A service without pods has one empty slice, so that readers tell it from one nobody has looked at.
    return found or {Group("IPv4", b"[]"): []}


class SlicePlan(msgspec.Struct, frozen=True):
    """What to write: new slices, changed ones (whole objects with their version), and names to delete."""

    create: list[Mapping]
    update: list[Mapping]
    delete: list[str]


def plan_slices(service: Service, pods: Iterable[Pod], present: Sequence[Mapping]) -> SlicePlan:
    """Make the service's slices say what its pods are, with the fewest writes.

    Args:
        present: the slices that this controller has written for the service, as they are.
    """
    plan = SlicePlan([], [], [])
    slices = sorted(present, key=lambda one: str(one["metadata"]["name"]))
    for group, endpoints in grouped(service, pods).items():
        own = [one for one in slices if _group_of(one) == group]
        slices = [one for one in slices if one not in own]
        _fill(service, group, endpoints, own, plan)
    # What is left has ports or a family that no pod has any more.
    plan.delete.extend(one["metadata"]["name"] for one in slices)
    return _recycled(plan, {one["metadata"]["name"]: one for one in present})


def _recycled(plan: SlicePlan, present: dict[str, Mapping]) -> SlicePlan:
    """Write over a slice that would go rather than delete it and create another: readers never see neither."""
    create, update, delete = [], list(plan.update), list(plan.delete)
    for body in plan.create:
        name = next((name for name in delete if present[name].get("addressType") == body["addressType"]), None)
        if name is None:
            create.append(body)
        else:
            delete.remove(name)
            update.append(_over(present[name], body))
    return SlicePlan(create, update, delete)


def _over(one: Mapping, body: Mapping) -> Mapping:
    """``body`` as an update of a stored slice."""
    return body | {"metadata": one["metadata"] | {key: body["metadata"][key] for key in ("labels", "ownerReferences")}}


def _group_of(one: Mapping) -> Group:
    keys = ("name", "port", "protocol", "appProtocol")
    ports = [{key: port[key] for key in keys if port.get(key) is not None} for port in one.get("ports") or ()]
    return Group(one.get("addressType", "IPv4"), msgspec.json.encode(ports))


def _identity(one: Mapping) -> tuple[str, str]:
    return (one.get("targetRef") or {}).get("uid", ""), one["addresses"][0]


def _fill(service: Service, group: Group, endpoints: list[Mapping], own: list[Mapping], plan: SlicePlan) -> None:
    pending = {_identity(one): one for one in endpoints}
    filled = [
        (one, [pending.pop(_identity(old)) for old in one.get("endpoints") or () if _identity(old) in pending])
        for one in own
    ]
    rest = list(pending.values())
    for one, kept in sorted(filled, key=lambda pair: -len(pair[1])):
        room = max(0, LARGEST_SLICE - len(kept))
        kept += rest[:room]
        rest = rest[room:]
        body = slice_body(service, group, kept)
        if not kept and (endpoints or one is not own[0]):
            plan.delete.append(one["metadata"]["name"])
        elif not _says(one, body):
            plan.update.append(_over(one, body))
    while rest or not (own or plan.create):
        plan.create.append(slice_body(service, group, rest[:LARGEST_SLICE]))
        rest = rest[LARGEST_SLICE:]


def _says(one: Mapping, body: Mapping) -> bool:
    """Whether a stored slice says what ``body`` does."""
    return (one.get("endpoints") or []) == body["endpoints"] and _is_labelled(one, body)


def _is_labelled(one: Mapping, body: Mapping) -> bool:
    metadata, wanted = one["metadata"], body["metadata"]
    found = metadata.get("labels") or {}, metadata.get("ownerReferences") or []
    return bool(found == (wanted["labels"], wanted["ownerReferences"]))


def _service_labels(service: Service) -> dict[str, str]:
    own = (SERVICE_NAME_LABEL, MANAGED_BY_LABEL, HEADLESS_LABEL)
    kept = {key: value for key, value in (service.metadata.labels or {}).items() if key not in own}
    return kept | ({HEADLESS_LABEL: ""} if service.spec.is_headless else {})


def slice_body(service: Service, group: Group, endpoints: list[Mapping]) -> Mapping:
    """An EndpointSlice as it is created."""
    labels = _service_labels(service) | {SERVICE_NAME_LABEL: service.name, MANAGED_BY_LABEL: MANAGER}
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "generateName": f"{service.name}-",
            "namespace": service.namespace,
            "labels": labels,
            "ownerReferences": [owner_reference(service, SERVICE)],
        },
        "addressType": group.family,
        "endpoints": endpoints,
        "ports": group.port_list,
    }


def endpoints_body(service: Service, pods: Iterable[Pod]) -> Mapping:
    """The Endpoints object: addresses that share their ports together, those not ready apart."""
    subsets: dict[bytes, Mapping] = {}
    patient = bool(service.spec.publish_not_ready_addresses)
    for pod in sorted(pods, key=lambda pod: pod.name):
        if not has_address(pod) or (pod.metadata.deletion_timestamp and not patient):
            continue
        ports = [{key: value for key, value in port.items() if value != ""} for port in _ports(service, pod)]
        if service.spec.ports and not ports:
            continue
        subset = subsets.setdefault(msgspec.json.encode(ports), {"ports": ports} if ports else {})
        address: Mapping = {"ip": _ips(pod)[0], "targetRef": _target(pod)}
        if pod.node_name:
            address["nodeName"] = pod.node_name
        if hostname := _hostname(service, pod):
            address["hostname"] = hostname
        subset.setdefault("addresses" if pod.is_ready or patient else "notReadyAddresses", []).append(address)
    body: Mapping = {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {
            "name": service.name,
            "namespace": service.namespace,
            "labels": _service_labels(service) | _ENDPOINTS_MANAGED_BY,
            "ownerReferences": [owner_reference(service, SERVICE)],
        },
    }
    if subsets:
        body["subsets"] = list(subsets.values())
    return body


def says_endpoints(present: Mapping, body: Mapping) -> bool:
    """Whether a stored Endpoints object says what ``body`` does."""
    return (present.get("subsets") or []) == body.get("subsets", []) and _is_labelled(present, body)
