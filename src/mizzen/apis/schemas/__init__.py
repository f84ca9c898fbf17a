"""The schemas of the built-in kinds, as data: ``kubernetes.json``, made by ``scripts/derive_schemas.py``."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any

import msgspec


@cache
def definitions() -> dict[str, dict[str, Any]]:
    """Every definition by its OpenAPI name, such as ``io.k8s.api.core.v1.PodSpec``. Do not change what it returns."""
    text = resources.files(__package__).joinpath("kubernetes.json").read_bytes()
    found: dict[str, dict[str, Any]] = msgspec.json.decode(text)["definitions"]
    return found


@cache
def names_by_kind() -> dict[tuple[str, str, str], str]:
    """Definition name by (group, version, kind), for the kinds that are whole resources."""
    found: dict[tuple[str, str, str], str] = {}
    for name, definition in definitions().items():
        for gvk in definition.get("x-kubernetes-group-version-kind", ()):
            found.setdefault((gvk["group"], gvk["version"], gvk["kind"]), name)
    return found
