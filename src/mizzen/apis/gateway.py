"""The Gateway API's gateways: their classes, their listeners, and the conditions of all its kinds.

The Gateway API is not built into Kubernetes; its CRDs are made from the structs here and in
:mod:`mizzen.apis.httproute` by :mod:`mizzen.apis.crd`.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import UNSET

from mizzen.apis.meta import Mapping, Object, Opt, ResourceDef, Schema, list_map

GATEWAY_GROUP = "gateway.networking.k8s.io"

GATEWAY_CLASS = ResourceDef(
    group=GATEWAY_GROUP,
    version="v1",
    kind="GatewayClass",
    plural="gatewayclasses",
    namespaced=False,
    short_names=("gc",),
    categories=("gateway-api",),
)

GATEWAY = ResourceDef(
    group=GATEWAY_GROUP,
    version="v1",
    kind="Gateway",
    plural="gateways",
    short_names=("gtw",),
    categories=("gateway-api",),
)


class Condition(Schema):
    """A condition of the Gateway API: all fields are required there.

    Attributes:
        type: what the condition is about.
        status: True, False or Unknown.
        reason: one word for it, for programs.
        message: what is the case, for people.
        last_transition_time: when the status changed last, RFC 3339.
        observed_generation: the generation of the spec that the condition is about.
    """

    type: str
    status: str
    reason: str
    message: str
    last_transition_time: str
    observed_generation: Opt[int] = UNSET


BY_TYPE = list_map("type")


class Listener(Schema):
    """A port of a Gateway, and the routes that may use it.

    Attributes:
        name: its name, unique in the Gateway.
        port: its port. All listeners are served at the one port of the embedded gateway.
        protocol: HTTP; others are not served.
        hostname: the hosts it is for, a leading *. allowed; any if left out.
        tls: certificates and how they are used; not served.
        allowed_routes: routes of which namespaces and kinds may attach; HTTPRoutes of the Gateway's namespace by
            default.
    """

    name: str
    port: int
    protocol: str
    hostname: Opt[str] = UNSET
    tls: Opt[Mapping] = UNSET
    allowed_routes: Opt[Mapping] = UNSET


class GatewaySpec(Schema):
    """The class of the Gateway, and its listeners.

    Attributes:
        gateway_class_name: the GatewayClass.
        listeners: where requests are taken.
        addresses: addresses that are asked for; without effect.
        infrastructure: labels and annotations of what is started for the Gateway; without effect.
    """

    gateway_class_name: str
    listeners: Annotated[list[Listener], list_map("name")] = []
    addresses: Opt[list[Mapping]] = UNSET
    infrastructure: Opt[Mapping] = UNSET


class GatewayStatus(Schema):
    """Where the Gateway takes requests, or why it does not.

    Attributes:
        addresses: where requests are taken.
        conditions: Accepted and Programmed, each with a reason and a message.
        listeners: what became of each listener, and how many routes are attached to it.
    """

    addresses: Opt[list[dict[str, str]]] = UNSET
    conditions: Annotated[Opt[list[Condition]], BY_TYPE] = UNSET
    listeners: Opt[list[Mapping]] = UNSET


class Gateway(Object, kw_only=True):
    """A door to the cluster, which HTTPRoutes name as their parent.

    Attributes:
        spec: the class of the Gateway, and its listeners.
        status: where the Gateway takes requests, or why it does not.
    """

    PRINTER_COLUMNS: ClassVar[tuple[tuple[str, str, str], ...]] = (
        ("Class", "string", ".spec.gatewayClassName"),
        ("Address", "string", ".status.addresses[*].value"),
        ("Programmed", "string", ".status.conditions[?(@.type=='Programmed')].status"),
        ("Age", "date", ".metadata.creationTimestamp"),
    )

    spec: GatewaySpec
    status: GatewayStatus = msgspec.field(default_factory=GatewayStatus)


class GatewayClassSpec(Schema):
    """The program that opens Gateways of the class.

    Attributes:
        controller_name: the name of the program.
        description: what the class is for.
        parameters_ref: settings for the program; without effect.
    """

    controller_name: str
    description: Opt[str] = UNSET
    parameters_ref: Opt[dict[str, Any]] = UNSET


class GatewayClassStatus(Schema):
    """Whether the class is in use.

    Attributes:
        conditions: Accepted, with a reason and a message.
    """

    conditions: Annotated[Opt[list[Condition]], BY_TYPE] = UNSET


class GatewayClass(Object, kw_only=True):
    """Which program opens the Gateways of a class.

    Attributes:
        spec: the program that opens Gateways of the class.
        status: whether the class is in use.
    """

    PRINTER_COLUMNS: ClassVar[tuple[tuple[str, str, str], ...]] = (
        ("Controller", "string", ".spec.controllerName"),
        ("Accepted", "string", ".status.conditions[?(@.type=='Accepted')].status"),
        ("Age", "date", ".metadata.creationTimestamp"),
    )

    spec: GatewayClassSpec
    status: GatewayClassStatus = msgspec.field(default_factory=GatewayClassStatus)
