"""What operations ask: does it run, can it work, and its numbers; in the shape that Spring's actuator gives them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute

from mizzen.acm.runtime.rest.refusals import refused
from mizzen.acm.runtime.rest.settings import PREFIX
from mizzen.acm.runtime.rest.verbs import verbs
from mizzen.acm.runtime.service import Service

_HERE = "/actuator"
# As Spring calls them.
_PARTS = {"database": "db", "kafka": "kafkaReadiness"}
_STATISTICS = {"_count": "COUNT", "_sum": "TOTAL", "_total": "COUNT", "_max": "MAX"}


class ActuatorRoutes:
    """Args:
    registry: whose numbers are told.
    """

    def __init__(self, service: Service, registry: CollectorRegistry) -> None:
        self._service = service
        self._registry = registry

    def routes(self) -> Sequence[BaseRoute]:
        return [
            verbs(_HERE, get=self.links),
            verbs(f"{_HERE}/health", get=self.health),
            verbs(f"{_HERE}/health/liveness", get=self.liveness),
            verbs(f"{_HERE}/health/readiness", get=self.readiness),
            verbs(f"{_HERE}/metrics", get=self.metrics),
            verbs(f"{_HERE}/metrics/{{name}}", get=self.metric),
            verbs(f"{_HERE}/prometheus", get=self.prometheus),
        ]

    async def links(self, request: Request) -> Response:
        names = ("health", "health/liveness", "health/readiness", "metrics", "prometheus")
        root = f"{request.url.scheme}://{request.url.netloc}{PREFIX}{_HERE}"
        return JSONResponse({"_links": {name: {"href": f"{root}/{name}", "templated": False} for name in names}})

    async def health(self, request: Request) -> Response:
        return await self._told("DOWN")

    async def readiness(self, request: Request) -> Response:
        return await self._told("OUT_OF_SERVICE")

    async def liveness(self, request: Request) -> Response:
        """Whoever answers lives: a database that is away is no reason to be started again."""
        return JSONResponse({"status": "UP"})

    async def _told(self, bad: str) -> Response:
        found = await self._service.health()
        components: dict[str, Any] = {}
        for part, wrong in found.items():
            components[_PARTS.get(part, part)] = (
                {"status": "UP"} if wrong is None else {"status": "DOWN", "details": {"error": wrong}}
            )
        well = all(wrong is None for wrong in found.values())
        return JSONResponse({"status": "UP" if well else bad, "components": components}, 200 if well else 503)

    async def metrics(self, request: Request) -> Response:
        return JSONResponse({"names": sorted(family.name for family in self._registry.collect())})

    async def metric(self, request: Request) -> Response:
        name = request.path_params["name"]
        for family in self._registry.collect():
            if family.name != name:
                continue
            sums: dict[str, float] = {}
            tags: dict[str, set[str]] = {}
            for sample in family.samples:
                ending = sample.name.removeprefix(name)
                if ending == "_created":
                    continue
                statistic = _STATISTICS.get(ending, "VALUE")
                sums[statistic] = sums.get(statistic, 0.0) + sample.value
                for tag, value in sample.labels.items():
                    tags.setdefault(tag, set()).add(value)
            return JSONResponse(
                {
                    "name": name,
                    "description": family.documentation,
                    "measurements": [{"statistic": one, "value": value} for one, value in sums.items()],
                    "availableTags": [{"tag": tag, "values": sorted(values)} for tag, values in tags.items()],
                }
            )
        raise refused(
            404, f"There is no metric {name}.", f"There is no metric {name}.", "Their names are at ../metrics."
        )

    async def prometheus(self, request: Request) -> Response:
        return Response(generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST})
