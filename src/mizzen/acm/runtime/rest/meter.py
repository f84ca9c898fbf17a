"""How often the API was asked and how long it took, under the names that ONAP's dashboards read."""

from __future__ import annotations

import time

from prometheus_client import CollectorRegistry, Summary
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Set by the routes: a path with its names in place of its ids, of which there are few.
TEMPLATE = "mizzen.template"

_OUTCOMES = {1: "INFORMATIONAL", 2: "SUCCESS", 3: "REDIRECTION", 4: "CLIENT_ERROR", 5: "SERVER_ERROR"}


class Meter:
    """Counts into a registry; several may share one."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._taken = Summary(
            "http_server_requests_seconds",
            "Seconds that requests took.",
            ["method", "uri", "status", "outcome"],
            registry=registry,
        )

    def around(self, app: ASGIApp) -> ASGIApp:
        async def metered(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            status = 500
            began = time.perf_counter()

            async def noted(message: Message) -> None:
                nonlocal status
                if message["type"] == "http.response.start":
                    status = message["status"]
                await send(message)

            try:
                await app(scope, receive, noted)
            finally:
                took = time.perf_counter() - began
                uri = scope.get(TEMPLATE, "UNKNOWN")
                method = scope["method"] if uri != "UNKNOWN" else "OTHER"
                self._taken.labels(method, uri, str(status), _OUTCOMES.get(status // 100, "UNKNOWN")).observe(took)

        return metered
