"""The application: the API under ONAP's prefix, the pages beside it, and what operations watch under both."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, ProcessCollector
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import BaseRoute, Mount, Router

from mizzen.acm.runtime.rest import refusals
from mizzen.acm.runtime.rest.actuator import ActuatorRoutes
from mizzen.acm.runtime.rest.compositions import CompositionRoutes
from mizzen.acm.runtime.rest.credentials import Credentials
from mizzen.acm.runtime.rest.envelope import Envelope
from mizzen.acm.runtime.rest.guard import Guard
from mizzen.acm.runtime.rest.instances import InstanceRoutes
from mizzen.acm.runtime.rest.meter import Meter
from mizzen.acm.runtime.rest.openapi.routes import OpenApiRoutes
from mizzen.acm.runtime.rest.participants import ParticipantRoutes
from mizzen.acm.runtime.rest.settings import PREFIX, Settings
from mizzen.acm.runtime.service import Service
from mizzen.acm.runtime.web.events import Streams
from mizzen.acm.runtime.web.pages import pages


def app(service: Service, settings: Settings, registry: CollectorRegistry | None = None) -> Starlette:
    """Everything on one port.

    Args:
        registry: for numbers of others beside those of HTTP and the process.

    Raises:
        NoPassword
    """
    registry = _registry(registry)
    credentials = Credentials(settings)
    v2 = [
        *ParticipantRoutes(service).routes(),
        *CompositionRoutes(service, settings.body_limit).routes(),
        *InstanceRoutes(service, settings.body_limit).routes(),
    ]
    rooms = [
        Mount("/v2", app=Router(v2, redirect_slashes=False)),
        *OpenApiRoutes().routes(),
        *ActuatorRoutes(service, registry).routes(),
    ]
    api = _guarded(rooms, credentials, Meter(registry))
    streams = Streams()
    found = Starlette(
        routes=[Mount(PREFIX, app=api), Mount("/", app=pages(service, settings, credentials, streams))],
        # A path with a line's end in it belongs to neither.
        exception_handlers={HTTPException: refusals.of_routing},
    )
    found.state.streams = streams
    found.router.redirect_slashes = False
    return found


def actuator(service: Service, settings: Settings, registry: CollectorRegistry | None = None) -> Starlette:
    """Health and metrics alone, for a second port (ONAP's runtime has them on 6970).

    Args:
        registry: the one that :func:`app` counts into.
    """
    routes = ActuatorRoutes(service, registry or _registry(None)).routes()
    return Starlette(routes=[Mount(PREFIX, app=_guarded(list(routes), Credentials(settings), None))])


def _registry(given: CollectorRegistry | None) -> CollectorRegistry:
    registry = given if given is not None else CollectorRegistry()
    ProcessCollector(registry=registry)
    return registry


def _guarded(routes: list[BaseRoute], credentials: Credentials, meter: Meter | None) -> Starlette:
    middleware = [Middleware(Envelope), Middleware(Guard, credentials=credentials)]
    if meter is not None:
        middleware.insert(0, Middleware(meter.around))
    found = Starlette(routes=routes, middleware=middleware, exception_handlers=refusals.HANDLERS)
    # A path with a slash too many is none: clients that are redirected lose what they sent.
    found.router.redirect_slashes = False
    return found
