"""The door: HTTP basic authentication, and no orders from other sites' pages.

A browser that was once given the password sends it along whatever page asks it to. ONAP's API has no tokens against
that, so the browser's own word on where a request comes from is heeded.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from mizzen.acm.runtime.rest.credentials import Credentials
from mizzen.acm.runtime.rest.refusals import answer, refused

_HARMLESS = frozenset({"GET", "HEAD", "OPTIONS"})
_FROM_ELSEWHERE = frozenset({"cross-site", "same-site"})
_ELSEWHERE = refused(
    403,
    "A page of another site may not give orders.",
    "A page of another site may not give orders.",
    "Give it from the runtime's own page, or from a program.",
)


class Guard:
    def __init__(self, app: ASGIApp, credentials: Credentials) -> None:
        self._app = app
        self._credentials = credentials

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            request = Request(scope)
            if not self._credentials.admit(request.headers.get("authorization")):
                refusal = Response(status_code=401, headers={"WWW-Authenticate": 'Basic realm="acm", charset="UTF-8"'})
                await refusal(scope, receive, send)
                return
            if request.method not in _HARMLESS and request.headers.get("sec-fetch-site") in _FROM_ELSEWHERE:
                await answer(_ELSEWHERE)(scope, receive, send)
                return
        await self._app(scope, receive, send)
