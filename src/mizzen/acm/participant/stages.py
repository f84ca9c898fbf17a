"""When an element's turn is: phases of deployment, stages of preparation and migration. A composition's node template
says so, in properties ``startPhase`` and ``stage``; what an instance says of them counts for nothing."""

from __future__ import annotations

from typing import Any

from mizzen.acm.participant.handler import Properties

_ONLY_STAGE = frozenset({0})


def start_phase(properties: Properties) -> int:
    """0 where there is none, or none that can be understood."""
    found = _whole(properties.get("startPhase"))
    return 0 if found is None else found


def prepare_stages(properties: Properties) -> frozenset[int]:
    told = properties.get("stage")
    return _stages(told.get("prepare")) if isinstance(told, dict) else _ONLY_STAGE


def migrate_stages(properties: Properties) -> frozenset[int]:
    """A plain list is of migration, as releases had it that knew no other stages."""
    told = properties.get("stage")
    return _stages(told.get("migrate") if isinstance(told, dict) else told)


def _stages(told: Any) -> frozenset[int]:
    found = [_whole(stage) for stage in told] if isinstance(told, list) else []
    return frozenset(stage for stage in found if stage is not None) or _ONLY_STAGE


def _whole(value: Any) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return int(value)
    except (ValueError, OverflowError):
        return None
