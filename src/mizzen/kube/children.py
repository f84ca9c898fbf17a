"""Keeping the objects that a controller renders as rendered, with no request when they already are.

A child is left alone when every rendered field has its value in the cached object and the object carries the hash of
this very render. The first catches what somebody else changed, the second what an earlier render set and this one
leaves out.
"""

from __future__ import annotations

import hashlib
from typing import Any

import orjson

from mizzen.apis.meta import Mapping, ResourceDef
from mizzen.kube.client import Client

HASH_ANNOTATION = "mizzen.internal/render-hash"


def render_hash(rendered: Mapping) -> str:
    """A short name for exactly this render."""
    return hashlib.sha256(orjson.dumps(rendered, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]


def covers(live: Any, rendered: Any) -> bool:
    """Whether ``live`` says all that ``rendered`` says. It may say more: what the API defaults, or others add.

    Zero, false and empty values may be missing: an API server written in Go leaves them out of what it stores, and
    would be asked for them with every look.
    """
    if isinstance(rendered, dict):
        return isinstance(live, dict) and all(
            covers(live[key], value) if key in live else _says_nothing(value) for key, value in rendered.items()
        )
    if isinstance(rendered, list):
        return isinstance(live, list) and len(live) == len(rendered) and all(map(covers, live, rendered))
    return bool(live == rendered)


def _says_nothing(value: Any) -> bool:
    return all(map(_says_nothing, value.values())) if isinstance(value, dict) else not value


def is_current(rendered: Mapping, live: Mapping | None) -> bool:
    """Whether the cached object is what this render would make it."""
    if live is None or (live.get("metadata") or {}).get("deletionTimestamp"):
        return False
    annotations = (live.get("metadata") or {}).get("annotations") or {}
    return annotations.get(HASH_ANNOTATION) == render_hash(rendered) and covers(live, rendered)


async def apply_child(client: Client, resource: ResourceDef, rendered: Mapping, live: Mapping | None) -> Mapping | None:
    """Apply a render server-side if the cached object differs from it. Returns the new object, or ``None`` if not."""
    if is_current(rendered, live):
        return None
    metadata = dict(rendered["metadata"])
    metadata["annotations"] = {**(metadata.get("annotations") or {}), HASH_ANNOTATION: render_hash(rendered)}
    return await client.apply(resource, {**rendered, "metadata": metadata})
