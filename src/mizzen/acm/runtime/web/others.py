"""The pages beside definitions and instances: participants, and the log of messages."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from mizzen.acm.messages.codec import TYPES
from mizzen.acm.runtime.rest import parameters
from mizzen.acm.runtime.rest.refusals import refused
from mizzen.acm.runtime.service import Refused, Service
from mizzen.acm.runtime.web import presence
from mizzen.acm.runtime.web.explaining import Notice, explain
from mizzen.acm.runtime.web.gate import Visit
from mizzen.acm.runtime.web.rendering import mask

_AT_ONCE = 50
_FILTERS = ("type", "direction", "composition", "instance", "participant")


class Participants:
    def __init__(self, service: Service) -> None:
        self._service = service

    async def all(self, visit: Visit) -> Response:
        return await self._all(visit)

    async def _all(self, visit: Visit, status: int = 200, notice: Notice | None = None, said: str = "") -> Response:
        found = await presence.participants(self._service)
        return visit.page("participants", status, participants=found, notice=notice, said=said)

    async def order(self, visit: Visit) -> Response:
        given = visit.text("participant")
        order = visit.text("order")
        try:
            which = parameters.uuid("participantId", given) if given else None
            if order == "status":
                await self._service.participants.request_status(which)
                said = "They were asked; whoever is there answers at once."
            elif order == "sync":
                await self._service.participants.synchronise(which)
                said = "They were told again what they should know."
            else:
                raise refused(400, f"There is no order {order!r}.")
        except Refused as refusal:
            return await self._all(visit, refusal.status, explain(refusal))
        return await self._all(visit, said=said)


class Messages:
    def __init__(self, service: Service) -> None:
        self._service = service

    async def all(self, visit: Visit) -> Response:
        query = visit.request.query_params
        chosen: dict[str, Any] = {name: query.get(name, "").strip() for name in _FILTERS}
        before = query.get("before", "")
        number = int(before) if before.isdecimal() and len(before) < 16 else None
        found = await self._service.messages(
            **{name: value or None for name, value in chosen.items()}, before=number, limit=_AT_ONCE + 1
        )
        return visit.page(
            "messages",
            messages=found[:_AT_ONCE],
            chosen=chosen,
            filtered=any(chosen.values()),
            before=number,
            older=found[_AT_ONCE - 1].number if len(found) > _AT_ONCE else None,
            types=sorted(TYPES),
        )

    async def one(self, visit: Visit) -> Response:
        text = visit.request.path_params["number"]
        number = int(text) if text.isdecimal() and len(text) < 16 else -1
        found = await self._service.messages(before=number + 1, limit=1)
        if not found or found[0].number != number:
            raise refused(404, f"There is no message {text} in the log any more.")
        return visit.page("message", message=found[0], body=mask(found[0].body))
