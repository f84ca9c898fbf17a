"""Instances over REST: make, change, order about, roll back, delete, list."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from mizzen.acm.messages.states import DeployOrder, DeployState, LockOrder, StateChangeResult, SubOrder
from mizzen.acm.runtime.rest import formats, parameters
from mizzen.acm.runtime.rest.verbs import verbs
from mizzen.acm.runtime.service import Service

_PATH = "/compositions/{compositionId}/instances"


class InstanceRoutes:
    def __init__(self, service: Service, body_limit: int) -> None:
        self._asked = service.instances
        self._limit = body_limit

    def routes(self) -> Sequence[BaseRoute]:
        return [
            verbs("/instances", get=self.list),
            verbs(_PATH, get=self.of_composition, post=self.post),
            verbs(f"{_PATH}/{{instanceId}}", get=self.get, put=self.order, delete=self.delete),
            verbs(f"{_PATH}/{{instanceId}}/rollback", post=self.rollback),
        ]

    async def list(self, request: Request) -> Response:
        formats.wanted(request)
        found = await self._asked.list(
            participant=parameters.in_query(request, "participantId"),
            ids=parameters.uuids(request, "instanceIds"),
            deploy_states=parameters.enums(request, "deployState", DeployState),
            results=parameters.enums(request, "stateChangeResult", StateChangeResult),
            sort=request.query_params.get("sort") or None,
            order=request.query_params.get("sortOrder") or None,
            page=parameters.page(request),
        )
        return formats.respond(request, {"automationCompositionList": found})

    async def of_composition(self, request: Request) -> Response:
        formats.wanted(request)
        found = await self._asked.list(
            composition=parameters.in_path(request, "compositionId"),
            name=request.query_params.get("name") or None,
            version=request.query_params.get("version") or None,
            page=parameters.page(request),
        )
        return formats.respond(request, {"automationCompositionList": found})

    async def post(self, request: Request) -> Response:
        composition = parameters.in_path(request, "compositionId")
        formats.wanted(request)
        media_type = formats.given(request)
        made = await self._asked.post(composition, await formats.body(request, self._limit), media_type)
        return formats.created(request, made)

    async def get(self, request: Request) -> Response:
        formats.wanted(request)
        composition, instance = self._which(request)
        return formats.respond(request, await self._asked.get(composition, instance))

    async def order(self, request: Request) -> Response:
        composition, instance = self._which(request)
        body = await formats.order(request)
        await self._asked.order(
            composition,
            instance,
            parameters.of_body(body, "deployOrder", DeployOrder),
            parameters.of_body(body, "lockOrder", LockOrder),
            parameters.of_body(body, "subOrder", SubOrder),
        )
        return Response(status_code=202)

    async def delete(self, request: Request) -> Response:
        formats.wanted(request)
        composition, instance = self._which(request)
        return formats.respond(request, await self._asked.delete(composition, instance), 202)

    async def rollback(self, request: Request) -> Response:
        composition, instance = self._which(request)
        await self._asked.rollback(composition, instance)
        return Response(status_code=202)

    @staticmethod
    def _which(request: Request) -> tuple[UUID, UUID]:
        return parameters.in_path(request, "compositionId"), parameters.in_path(request, "instanceId")
