"""Where a name is dialled.

Inside an embedded cluster a service's name means the installation's gateway, which routes service names too; the
environment of a pod says where that is. Everywhere else, and for every other name, the system's resolver decides: on a
real cluster its search list knows the same names.

Two labels (``iris.models``) are taken for a service and its namespace, as a pod's resolver would try them first.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from mizzen.http.errors import HttpError

GATEWAY = "MIZZEN_CLUSTER_GATEWAY"
NAMESPACE = "MIZZEN_NAMESPACE"

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_SUFFIXES = (["svc"], ["svc", "cluster", "local"])


class Destination(NamedTuple):
    """Where to connect, and what the request calls it.

    Attributes:
        host, port: the address that is dialled.
        authority: what stands in the ``host`` field.
    """

    host: str
    port: int
    authority: str


def service(host: str, namespace: str = "") -> str | None:
    """The ``<service>.<namespace>`` that a host name means inside a cluster, or None if it means no service.

    Args:
        namespace: where a bare name lives; without it a bare name is no service.
    """
    labels = host.lower().removesuffix(".").split(".")
    if not all(_LABEL.fullmatch(label) for label in labels) or labels[-1].isdigit():
        return None
    if len(labels) == 1:
        return f"{labels[0]}.{namespace}" if namespace and labels[0] != "localhost" else None
    if len(labels) == 2 or labels[2:] in _SUFFIXES:
        return f"{labels[0]}.{labels[1]}"
    return None


def resolve(host: str, port: int, environ: Mapping[str, str], default_port: int = 80) -> Destination:
    """Decide where ``host:port`` is dialled.

    Raises:
        HttpError: the environment names a gateway that is no ``host:port``.
    """
    shown = f"[{host}]" if ":" in host else host
    authority = shown if port == default_port else f"{shown}:{port}"
    gateway = environ.get(GATEWAY)
    if not gateway:
        return Destination(host, port, authority)
    name = service(host, environ.get(NAMESPACE, ""))
    if name is None:
        return Destination(host, port, authority)
    gateway_host, _, gateway_port = gateway.rpartition(":")
    if not gateway_host or not gateway_port.isdigit():
        raise HttpError(f"{GATEWAY} must be host:port, not {gateway!r}")
    if "." not in host.removesuffix("."):
        # The gateway cannot know whose bare name this is.
        authority = name if port == default_port else f"{name}:{port}"
    return Destination(gateway_host.strip("[]"), int(gateway_port), authority)
