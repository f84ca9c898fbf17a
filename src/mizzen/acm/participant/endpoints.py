"""Health and metrics over HTTP, as Spring's actuator gives them.

Every path wants user and password, also those that there are not: without them nobody learns which is which. Readiness
is that of a start: it comes once the replica can hear the runtime, and stays while Kafka is away, which restarting
would not help. What is wrong now is in ``/health``.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from mizzen.acm.participant.configuration import Credentials
from mizzen.acm.participant.participant import Participant

_PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"


def application(participant: Participant, context_path: str, credentials: Credentials) -> Starlette:
    """The endpoints of ``participant`` below ``context_path`` (empty, or with a slash before it)."""

    async def health(request: Request) -> Response:
        parts = {name: _component(wrong) for name, wrong in (await participant.health()).items()}
        parts["ping"] = _component(None)
        up = all(part["status"] == "UP" for part in parts.values())
        return _status("UP" if up else "DOWN", components=parts)

    async def liveness(request: Request) -> Response:
        return _status("UP")

    async def readiness(request: Request) -> Response:
        return _status("UP" if participant.begun else "OUT_OF_SERVICE")

    async def names(request: Request) -> Response:
        return JSONResponse(participant.metrics.names())

    async def one(request: Request) -> Response:
        found = participant.metrics.one(request.path_params["name"])
        return JSONResponse(found) if found else Response(status_code=404)

    async def prometheus(request: Request) -> Response:
        return Response(participant.metrics.prometheus(), headers={"Content-Type": _PROMETHEUS})

    routes = [
        Route("/health", health),
        Route("/health/liveness", liveness),
        Route("/health/readiness", readiness),
        Route("/metrics", names),
        Route("/metrics/{name}", one),
        Route("/prometheus", prometheus),
    ]
    return Starlette(
        routes=[Mount(context_path, routes=routes)] if context_path else routes,
        middleware=[Middleware(BasicAuthentication, credentials=credentials)],
    )


class BasicAuthentication:
    """Lets those through who give user and password."""

    def __init__(self, app: ASGIApp, credentials: Credentials) -> None:
        self._app = app
        self._user = credentials.user.encode()
        self._password = credentials.password.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not self._is_known(scope):
            answer = Response(status_code=401, headers={"WWW-Authenticate": 'Basic realm="Realm"'})
            await answer(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _is_known(self, scope: Scope) -> bool:
        given = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        scheme, _, encoded = given.partition(b" ")
        if scheme.lower() != b"basic":
            return False
        try:
            user, colon, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
        except binascii.Error:
            return False
        # Both are compared, and in a time that tells nothing of where they differ.
        same = (hmac.compare_digest(user, self._user), hmac.compare_digest(password, self._password))
        return bool(colon) and all(same)


def _component(wrong: str | None) -> dict[str, Any]:
    return {"status": "UP"} if wrong is None else {"status": "DOWN", "details": {"error": wrong}}


def _status(status: str, **more: Any) -> Response:
    return JSONResponse({"status": status, **more}, status_code=200 if status == "UP" else 503)
