"""How an InferenceService stands by what its status says: pure functions on what the API answered.

Java's participant looks at the third condition, which is ``Ready`` only in some deployment modes; here the condition is
found by its type, and must be about the newest spec. The old way is there as a switch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from mizzen.acm.participant.kserve.entities import Entity
from mizzen.acm.participant.kserve.settings import INDEX_2

ENABLED, DISABLED = "ENABLED", "DISABLED"

_LONGEST_MESSAGE = 200


class Readiness(Struct, frozen=True, kw_only=True):
    """
    Attributes:
        ready: whether the condition that counts is True.
        observed: whether the status is about the newest spec, as far as it says.
        reason, message: why it is not ready.
        since: when Ready changed last.
        newest: whether what is ready is the newest model, as far as the status says.
        blocked: whether the newest model cannot be loaded, while an older one may still answer.
        hopeless: whether nothing but another spec, or another cluster, can make it ready.
    """

    ready: bool
    observed: bool = True
    url: str | None = None
    reason: str | None = None
    message: str | None = None
    since: str | None = None
    newest: bool = True
    blocked: bool = False
    hopeless: bool = False

    @property
    def why_not(self) -> str:
        """For the operator, as a clause."""
        if self.ready and not self.observed and not self.blocked:
            return "its status is still about an older spec"
        told = ": ".join(part for part in (self.reason, self.message) if part)
        return told or "its status does not say why"


def readiness(found: Mapping[str, Any], mode: str) -> Readiness:
    """How an object of the API stands."""
    status = found.get("status") or {}
    conditions = [one for one in status.get("conditions") or () if isinstance(one, dict)]
    counts = _third(conditions) if mode == INDEX_2 else _of_type(conditions, "Ready")
    ready = str((counts or {}).get("status", "")).lower() == "true"
    generation, observed = found["metadata"].get("generation"), status.get("observedGeneration")
    # While a model is changed, the one before goes on answering, and Ready stays True.
    transition = (status.get("modelStatus") or {}).get("transitionStatus") if mode != INDEX_2 else None
    blocked = transition in ("BlockedByFailedLoad", "InvalidSpec")
    return Readiness(
        ready=ready,
        observed=mode == INDEX_2 or not observed or not generation or observed >= generation,
        url=status.get("url") or None,
        since=(_of_type(conditions, "Ready") or {}).get("lastTransitionTime"),
        newest=transition != "InProgress",
        blocked=blocked,
        hopeless=transition == "InvalidSpec",
        **(_reason(conditions, status) if blocked or not ready else {}),
    )


def _of_type(conditions: Sequence[Mapping[str, Any]], kind: str) -> Mapping[str, Any] | None:
    return next((one for one in conditions if one.get("type") == kind), None)


def _third(conditions: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    return conditions[2] if len(conditions) > 2 else None


def _reason(conditions: Sequence[Mapping[str, Any]], status: Mapping[str, Any]) -> dict[str, str | None]:
    """What the status gives as the cause: the model's own failure first, then Ready's, then any other condition's."""
    if not conditions:
        return {
            "reason": "NoStatus",
            "message": "Kserve setup is unavailable: no controller has written a status",
        }
    failure = (status.get("modelStatus") or {}).get("lastFailureInfo") or {}
    others = [one for one in conditions if str(one.get("status")).lower() != "true" and one.get("severity") != "Info"]
    # Ready often only repeats the name of what it waits for; a cause has a message.
    ranked = [failure, *(one for one in others if one.get("type") == "Ready"), *others]
    for one in (*(one for one in ranked if one.get("message")), *(one for one in ranked if one.get("reason"))):
        return {"reason": one.get("reason") or one.get("type"), "message": str(one.get("message") or "") or None}
    return {"reason": None, "message": f"not True are {', '.join(str(one.get('type')) for one in others)}"}


class Standing(Struct, frozen=True, kw_only=True):
    """One entity with how its InferenceService stands."""

    entity: Entity
    readiness: Readiness


def out_properties(standings: Sequence[Standing]) -> dict[str, Any]:
    """What an element tells of itself: all in all, and for each of its entities.

    ``url`` is the first entity's that has one; ``ready`` is whether all are; ``lastTransition`` is the newest.
    """
    entities = [_told(standing) for standing in standings]
    found: dict[str, Any] = {"ready": all(one.readiness.ready for one in standings)}
    urls = [one["url"] for one in entities if "url" in one]
    times = [one["lastTransition"] for one in entities if "lastTransition" in one]
    if urls:
        found["url"] = urls[0]
    if times:
        found["lastTransition"] = max(times)
    return found | {"entities": entities}


def operational_state(standings: Sequence[Standing]) -> str:
    return ENABLED if all(one.readiness.ready for one in standings) else DISABLED


def _told(standing: Standing) -> dict[str, Any]:
    entity, ready = standing.entity, standing.readiness
    found: dict[str, Any] = {
        "kserveInferenceEntityId": entity.id.plain(),
        "name": entity.name,
        "namespace": entity.namespace,
        "ready": ready.ready,
    }
    message = ready.message[:_LONGEST_MESSAGE] if ready.message else None
    more = {"url": ready.url, "lastTransition": ready.since, "reason": ready.reason, "message": message}
    return found | {key: value for key, value in more.items() if value}
