"""Which participants are there, for the pages on which that matters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from mizzen.acm.messages.states import ParticipantState
from mizzen.acm.runtime.service import Body, Page, Service
from mizzen.acm.runtime.web.rendering import moment


class Replica(Struct, frozen=True):
    """Attributes:
    heard: seconds since the epoch.
    """

    id: str
    state: str
    heard: float | None


class Present(Struct, frozen=True):
    """Attributes:
    elements: how many of instances it has.
    """

    id: str
    online: bool
    types: tuple[tuple[str, str], ...]
    replicas: tuple[Replica, ...]
    definitions: int
    elements: int


async def participants(service: Service) -> list[Present]:
    return [_present(one) for one in await service.participants.list(Page())]


def _present(body: Body) -> Present:
    told = body["participant"]
    replicas = tuple(
        Replica(one["replicaId"], one["participantState"], moment(one.get("lastMsg")))
        for one in (told.get("replicas") or {}).values()
    )
    types = {
        (one["typeName"], one["typeVersion"]) for one in (told.get("participantSupportedElementTypes") or {}).values()
    }
    return Present(
        id=told["participantId"],
        online=any(one.state == ParticipantState.ON_LINE for one in replicas),
        types=tuple(sorted(types)),
        replicas=replicas,
        definitions=len(body.get("acNodeTemplateStateDefinitionMap") or {}),
        elements=len(body.get("acElementInstanceMap") or {}),
    )


def online(present: Sequence[Present]) -> Mapping[str, bool]:
    return {one.id: one.online for one in present}
