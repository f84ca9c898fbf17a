"""Definitions over REST: commission, list, prime, deprime, delete."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from mizzen.acm.messages.states import PrimeOrder
from mizzen.acm.runtime.rest import formats, parameters
from mizzen.acm.runtime.rest.verbs import verbs
from mizzen.acm.runtime.service import Service


class CompositionRoutes:
    def __init__(self, service: Service, body_limit: int) -> None:
        self._asked = service.compositions
        self._limit = body_limit

    def routes(self) -> Sequence[BaseRoute]:
        return [
            verbs("/compositions", get=self.list, post=self.commission),
            verbs("/compositions/{compositionId}", get=self.get, put=self.order, delete=self.delete),
        ]

    async def list(self, request: Request) -> Response:
        formats.wanted(request)
        found = await self._asked.list(
            name=request.query_params.get("name") or None,
            version=request.query_params.get("version") or None,
            participant=parameters.in_query(request, "participantId"),
            page=parameters.page(request),
        )
        return formats.respond(request, {"service_templates": found})

    async def commission(self, request: Request) -> Response:
        formats.wanted(request)
        media_type = formats.given(request)
        made = await self._asked.commission(await formats.body(request, self._limit), media_type)
        return formats.created(request, made)

    async def get(self, request: Request) -> Response:
        formats.wanted(request)
        return formats.respond(request, await self._asked.get(parameters.in_path(request, "compositionId")))

    async def order(self, request: Request) -> Response:
        composition = parameters.in_path(request, "compositionId")
        order = parameters.of_body(await formats.order(request), "primeOrder", PrimeOrder)
        await self._asked.order(composition, order or PrimeOrder.NONE)
        return Response(status_code=202)

    async def delete(self, request: Request) -> Response:
        formats.wanted(request)
        return formats.respond(request, await self._asked.delete(parameters.in_path(request, "compositionId")))
