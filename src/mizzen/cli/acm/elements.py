"""What an element tells of the InferenceServices that it is made of, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def entities(element: Mapping[str, Any]) -> list[tuple[str, str]]:
    """``namespace/name`` of each InferenceService, and ``ready URL`` or why it is not.

    None for an element that is undeployed: what it told last is about something that is gone. None, too, where a
    participant of another kind tells other things.
    """
    if element.get("deployState") == "UNDEPLOYED":
        return []
    return [(_name(one), _standing(one)) for one in _told(element)]


def hindrance(element: Mapping[str, Any]) -> str:
    """What an element that is under way waits for; empty where it has not said."""
    waiting = [one for one in _told(element) if not one.get("ready") and (one.get("reason") or one.get("message"))]
    return "; ".join(f"{_name(one)}: {_why(one)}" for one in waiting)


def others(element: Mapping[str, Any]) -> dict[str, Any]:
    """What it tells besides: all of it, where it tells of no InferenceServices."""
    properties = element.get("outProperties") or {}
    summary = ("entities", "lastTransition", "ready", "url") if _told(element) else ()
    return {name: value for name, value in sorted(properties.items()) if name not in summary}


def _told(element: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found = (element.get("outProperties") or {}).get("entities")
    if not isinstance(found, list) or not all(isinstance(one, dict) and one.get("name") for one in found):
        return []
    return found


def _name(entity: Mapping[str, Any]) -> str:
    namespace = entity.get("namespace")
    return f"{namespace}/{entity['name']}" if namespace else str(entity["name"])


def _standing(entity: Mapping[str, Any]) -> str:
    if entity.get("ready"):
        return f"ready {entity['url']}" if entity.get("url") else "ready"
    why = _why(entity)
    return f"not ready: {why}" if why else "not ready"


def _why(entity: Mapping[str, Any]) -> str:
    return ": ".join(str(entity[part]) for part in ("reason", "message") if entity.get(part))
