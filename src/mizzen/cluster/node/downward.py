"""The downward API: what a pod can learn about itself, as text."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping as ReadMapping
from decimal import Decimal
from typing import Literal

from mizzen.apis import quantity
from mizzen.apis.meta import Mapping
from mizzen.cluster.node import podspec
from mizzen.cluster.node.errors import ConfigMissing
from mizzen.cluster.node.podspec import Facts

_SUBSCRIPT = re.compile(r"metadata\.(labels|annotations)\['([^']*)'\]")


def field(path: str, facts: Facts) -> str:
    """The text of a ``fieldRef``.

    Raises:
        ConfigMissing: there is no such field.
    """
    metadata, spec = facts.pod["metadata"], facts.pod["spec"]
    subscript = _SUBSCRIPT.fullmatch(path)
    if subscript:
        return str((metadata.get(subscript[1]) or {}).get(subscript[2], ""))
    match path:
        case "metadata.name" | "metadata.namespace" | "metadata.uid":
            return str(metadata.get(path.removeprefix("metadata.")) or "")
        case "metadata.labels" | "metadata.annotations":
            return _lines(metadata.get(path.removeprefix("metadata.")) or {})
        case "spec.nodeName":
            return str(spec.get("nodeName") or "")
        case "spec.serviceAccountName":
            return str(spec.get("serviceAccountName") or "")
        case "status.hostIP" | "status.hostIPs":
            return facts.host
        case "status.podIP" | "status.podIPs":
            return facts.address
    raise ConfigMissing(f"the downward API has no field {path!r}")


def _lines(values: ReadMapping[str, str]) -> str:
    return "\n".join(f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in sorted(values.items()))


def resource(reference: Mapping, container: Mapping, facts: Facts) -> str:
    """The text of a ``resourceFieldRef``: a limit or request in units of the divisor, rounded up.

    A limit that is not set is what the node has, a request that is not set is the limit or nothing.

    Raises:
        ConfigMissing: there is no such container or resource.
    """
    name = reference.get("containerName") or container["name"]
    asked = podspec.container_named(facts.pod["spec"], name)
    if asked is None:
        raise ConfigMissing(f"resourceFieldRef names the container {name!r}, which the pod does not have")
    path = str(reference.get("resource") or "")
    kind, _, which = path.partition(".")
    if kind not in ("limits", "requests") or not which:
        raise ConfigMissing(f"resourceFieldRef names {path!r}, which is neither a limit nor a request")
    value = _amount(asked, "limits" if kind == "limits" else "requests", which, facts)
    divisor = quantity.parse(reference.get("divisor") or "1")
    return str(math.ceil(value / (divisor or Decimal(1))))


def _amount(container: Mapping, kind: Literal["limits", "requests"], which: str, facts: Facts) -> Decimal:
    own = podspec.amount(container, kind, which)
    if own is None and kind == "requests":
        own = podspec.amount(container, "limits", which) or Decimal(0)
    return facts.allocatable.get(which, Decimal(0)) if own is None else own
