"""An element of an instance as its page shows it: state, what it runs and where that is reached, what it was given."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct

from mizzen.acm.messages.states import DeployState
from mizzen.acm.runtime.service import Body
from mizzen.acm.runtime.web.guidance import settled, unready
from mizzen.acm.runtime.web.rendering import MASK, mask
from mizzen.acm.tosca.fields import sensitive_paths, transform

_ENTITIES = "kserveInferenceEntities"
# What is told of an element with entities is told of each of them, too.
_OF_ENTITIES = frozenset({"entities", "ready", "url", "lastTransition"})
_FLAT = ("name", "namespace", "payload")
# In a list, a reason is one line or two.
_SHORT = 120


class Entity(Struct, frozen=True, kw_only=True):
    """An inference service of an element.

    Attributes:
        ready: None while nothing is known.
    """

    name: str
    namespace: str
    ready: bool | None
    url: str
    reason: str


class Shown(Struct, frozen=True, kw_only=True):
    """
    Attributes:
        out: what it tells of itself beside its entities.
        properties: masked.
        online: whether its participant is; None if it has none, or none is known.
    """

    id: str
    name: str
    version: str
    description: str
    participant: str
    online: bool | None
    deploy: str
    lock: str
    sub: str
    migration: str
    stage: str
    operational: str
    use: str
    message: str
    settled: bool
    entities: tuple[Entity, ...]
    out: tuple[tuple[str, Any], ...]
    properties: dict[str, Any]


def shown(instance: Body, template: Mapping[str, Any], online: Mapping[str, bool]) -> list[Shown]:
    """Args:
    template: the definition's service template, which says what is sensitive.
    online: by participant.
    """
    return [_shown(one, template, online) for one in instance["elements"].values()]


def _shown(element: Body, template: Mapping[str, Any], online: Mapping[str, bool]) -> Shown:
    name = element["definition"]["name"]
    told = mask(element.get("outProperties") or {})
    participant = element.get("participantId") or ""
    entities = _entities(element.get("properties") or {}, told)
    known = bool(entities) and isinstance(told.get("entities"), list)
    return Shown(
        id=element["id"],
        name=name,
        version=element["definition"]["version"],
        description=element.get("description") or "",
        participant=participant,
        online=online.get(participant) if participant else None,
        deploy=element["deployState"],
        lock=element["lockState"],
        sub=element["subState"],
        migration=element.get("migrationState") or "DEFAULT",
        stage="" if element.get("stage") is None else str(element["stage"]),
        operational=element.get("operationalState") or "",
        use=element.get("useState") or "",
        message=element.get("message") or "",
        settled=settled(element),
        entities=entities,
        out=tuple((key, value) for key, value in told.items() if not (known and key in _OF_ENTITIES)),
        properties=mask(hidden(element.get("properties") or {}, template, name)),
    )


def ailing(instances: Iterable[Body]) -> dict[str, str]:
    """The instances that are deployed and do not work, by id: the first reason that is told; empty if none is."""
    found = {}
    for instance in instances:
        if instance["deployState"] == DeployState.DEPLOYED:
            sick = [one for one in instance["elements"].values() if unready(one)]
            if sick:
                found[instance["instanceId"]] = next(filter(None, map(_reason, sick)), "")
    return found


def _reason(element: Body) -> str:
    told = mask(element.get("outProperties") or {})
    entities = _entities(element.get("properties") or {}, told)
    reason = next((one.reason for one in entities if one.reason), "") or _told(told)
    return reason if len(reason) <= _SHORT else f"{reason[:_SHORT].rstrip()}…"


def hidden(properties: Any, template: Mapping[str, Any], name: str) -> Any:
    """Properties without what the definition calls sensitive."""
    return transform(properties, sensitive_paths(template, name), lambda text: MASK if text else text)


def _entities(properties: Mapping[str, Any], told: Mapping[str, Any]) -> tuple[Entity, ...]:
    """What was asked for, with what is told of it; and what is told of that nobody asked for."""
    wanted = properties.get(_ENTITIES)
    if not isinstance(wanted, list):
        wanted = [properties] if all(name in properties for name in _FLAT) else []
    said = told.get("entities")
    known = {_key(one): one for one in said if isinstance(one, dict)} if isinstance(said, list) else {}
    found = [_entity(one, known.pop(_key(one), {})) for one in wanted if isinstance(one, dict)]
    return tuple(found + [_entity(one, one) for one in known.values()])


def _key(one: Mapping[str, Any]) -> tuple[str, str]:
    return str(one.get("namespace") or ""), str(one.get("name") or "")


def _entity(wanted: Mapping[str, Any], told: Mapping[str, Any]) -> Entity:
    namespace, name = _key(wanted)
    ready = told.get("ready")
    return Entity(
        name=name,
        namespace=namespace,
        ready=ready if isinstance(ready, bool) else None,
        url=str(told.get("url") or ""),
        reason=_told(told) if ready is not True else "",
    )


def _told(told: Mapping[str, Any]) -> str:
    return ": ".join(str(told[key]) for key in ("reason", "message") if told.get(key))
