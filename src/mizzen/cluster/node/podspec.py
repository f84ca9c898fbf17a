"""What the node reads out of a PodSpec, which stays the mapping that somebody else defined."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Literal

import msgspec

from mizzen.apis import quantity
from mizzen.apis.meta import Mapping

# An ordinary init container ends before the next one starts; a sidecar is an init container that runs on.
Kind = Literal["init", "sidecar", "main"]

DEFAULT_GRACE = 30.0


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """A pod and where it runs, as its containers may ask about it.

    Attributes:
        address: the pod's own; empty while it has none.
        host: the node's address.
        allocatable: what the node has, for containers without a limit.
    """

    pod: Mapping
    address: str = ""
    host: str = ""
    allocatable: dict[str, Decimal] = {}


def kind_of(container: Mapping, *, initial: bool) -> Kind:
    if not initial:
        return "main"
    return "sidecar" if container.get("restartPolicy") == "Always" else "init"


def containers(spec: Mapping) -> Iterator[tuple[Mapping, Kind]]:
    """Every container with its kind, in the order in which they start."""
    for container in spec.get("initContainers") or ():
        yield container, kind_of(container, initial=True)
    for container in spec.get("containers") or ():
        yield container, "main"


def container_named(spec: Mapping, name: str) -> Mapping | None:
    return next((container for container, _ in containers(spec) if container["name"] == name), None)


def restart_policy(spec: Mapping) -> str:
    return spec.get("restartPolicy") or "Always"


def grace(spec: Mapping) -> float:
    """Seconds between SIGTERM and SIGKILL."""
    given = spec.get("terminationGracePeriodSeconds")
    return DEFAULT_GRACE if given is None else float(given)


_PROBES = ("startupProbe", "readinessProbe", "livenessProbe")
_PROBED = ("httpGet", "tcpSocket", "grpc")


def tcp_ports(spec: Mapping) -> list[int]:
    """The TCP ports that the containers listen on, as far as the spec tells: by declaring or by probing them.

    One that declares nothing is probed all the same, and a stranger who listened there would say that it is ready.
    """
    found: set[int] = set()
    for container, _ in containers(spec):
        declared = (port for port in container.get("ports") or () if (port.get("protocol") or "TCP") == "TCP")
        found.update(int(port["containerPort"]) for port in declared)
        for probe in filter(None, map(container.get, _PROBES)):
            checks = (probe[way] for way in _PROBED if probe.get(way))
            found.update(check["port"] for check in checks if isinstance(check["port"], int) and not check.get("host"))
    return sorted(found)


def amount(container: Mapping, kind: Literal["limits", "requests"], resource: str) -> Decimal | None:
    """A container's limit or request, in base units (cores, bytes); ``None`` where it has none."""
    found = ((container.get("resources") or {}).get(kind) or {}).get(resource)
    return None if found is None else quantity.parse(found)


def hostname(pod: Mapping) -> str:
    """What ``HOSTNAME`` and ``/etc/hosts`` call the pod."""
    name: str = pod["spec"].get("hostname") or pod["metadata"]["name"]
    return name[:63].rstrip("-.")
