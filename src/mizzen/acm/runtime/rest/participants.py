"""Participants over REST: who is there, asking them how they are, telling them again what they should know."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from mizzen.acm.runtime.rest import formats, parameters
from mizzen.acm.runtime.rest.verbs import verbs
from mizzen.acm.runtime.service import Service

_PATH = "/participants/{participantId}"


class ParticipantRoutes:
    def __init__(self, service: Service) -> None:
        self._asked = service.participants

    def routes(self) -> Sequence[BaseRoute]:
        return [
            verbs("/participants", get=self.list, put=self.request_all),
            # Before the one below, which would take `sync` for an id.
            verbs("/participants/sync", put=self.synchronise_all),
            verbs("/participants/sync/{participantId}", put=self.synchronise),
            verbs(_PATH, get=self.get, put=self.request),
            verbs(f"{_PATH}/compositions", get=self.compositions),
            verbs(f"{_PATH}/compositions/{{compositionId}}", get=self.composition),
        ]

    async def list(self, request: Request) -> Response:
        formats.wanted(request)
        return formats.respond(request, await self._asked.list(parameters.page(request)))

    async def get(self, request: Request) -> Response:
        formats.wanted(request)
        participant = parameters.in_path(request, "participantId")
        return formats.respond(request, await self._asked.get(participant, parameters.page(request)))

    async def request_all(self, request: Request) -> Response:
        await self._asked.request_status(None)
        return Response(status_code=202)

    async def request(self, request: Request) -> Response:
        await self._asked.request_status(parameters.in_path(request, "participantId"))
        return Response(status_code=202)

    async def synchronise_all(self, request: Request) -> Response:
        await self._asked.synchronise(None)
        return Response(status_code=202)

    async def synchronise(self, request: Request) -> Response:
        await self._asked.synchronise(parameters.in_path(request, "participantId"))
        return Response(status_code=202)

    async def compositions(self, request: Request) -> Response:
        formats.wanted(request)
        participant = parameters.in_path(request, "participantId")
        return formats.respond(request, await self._asked.compositions(participant, parameters.page(request)))

    async def composition(self, request: Request) -> Response:
        formats.wanted(request)
        participant = parameters.in_path(request, "participantId")
        composition = parameters.in_path(request, "compositionId")
        return formats.respond(request, await self._asked.composition(participant, composition))
