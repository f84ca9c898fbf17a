"""One route a path, whatever its verbs: so that a wrong verb is answered with those that are right."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mizzen.acm.runtime.rest.meter import TEMPLATE

Handler = Callable[[Request], Awaitable[Response]]


def verbs(path: str, **handlers: Handler) -> Route:
    """Args:
    handlers: by verb, in small letters.
    """
    if "get" in handlers:
        handlers.setdefault("head", handlers["get"])

    async def dispatch(request: Request) -> Response:
        request.scope[TEMPLATE] = path
        return await handlers[request.method.lower()](request)

    return Route(path, dispatch, methods=[verb.upper() for verb in handlers])
