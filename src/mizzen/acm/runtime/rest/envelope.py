"""What every answer of the API has: the headers of the version, the id of the request, an end even for a defect."""

from __future__ import annotations

from uuid import uuid4

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mizzen.acm.runtime.rest import parameters, refusals
from mizzen.acm.runtime.service import Refused

_NAME = "X-onap-RequestId"


class Envelope:
    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        given = request.headers.get(_NAME)
        scope["mizzen.request"] = number = given or str(uuid4())
        begun = False

        async def wrapped(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                headers = MutableHeaders(scope=message)
                headers["X-LatestVersion"] = "1.0.0"
                headers["X-MinorVersion"] = "0"
                headers["X-PatchVersion"] = "0"
                headers["X-ONAP-RequestID"] = number
                headers["Cache-Control"] = "no-store"
                headers["X-Content-Type-Options"] = "nosniff"
            await send(message)

        try:
            if given:
                parameters.uuid(_NAME, given)
            await self._app(scope, receive, wrapped)
        except Refused as refusal:
            # Only of the line above: the application answers its own.
            number = str(uuid4())
            await refusals.answer(refusal)(scope, receive, wrapped)
        except Exception as error:
            if begun:
                raise
            response = await refusals.of_defect(request, error)
            await response(scope, receive, wrapped)
