"""gRPC's health checking protocol: of the server, of its service, and of each model by its name."""

from __future__ import annotations

import asyncio
from typing import Any

from mizzen.serve import about
from mizzen.serve.errors import ModelNotFound, NotFound, ServerNotReady, Unloaded
from mizzen.serve.protocols.grpc.inference import parse
from mizzen.serve.protocols.grpc.schema import HEALTH, SERVICES, HealthCheckRequest, HealthCheckResponse
from mizzen.serve.protocols.grpc.stream import Stream
from mizzen.serve.repository import Repository

SERVING = HealthCheckResponse.SERVING
NOT_SERVING = HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN = HealthCheckResponse.SERVICE_UNKNOWN

# How soon somebody who watches is told, in seconds.
LOOK_EVERY = 0.2


class Health:
    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self.methods = {f"{HEALTH}/Check": self.check}
        self.streams = {f"{HEALTH}/Watch": self.watch}

    def status(self, name: str) -> int:
        """Of the whole server (the empty name), a service, or a model."""
        if not name or name in SERVICES:
            ready = about.is_ready(self._repository)
        else:
            try:
                served = self._repository.get(name)
            except ModelNotFound:
                return int(SERVICE_UNKNOWN)
            except Unloaded:
                return int(NOT_SERVING)
            ready = (served.ready or served.dormant) and not self._repository.draining
        return int(SERVING if ready else NOT_SERVING)

    def check(self, request: Any) -> Any:
        status = self.status(request.service)
        if status == SERVICE_UNKNOWN:
            raise NotFound(f"neither a model nor a service is called {request.service}")
        return HealthCheckResponse(status=status)

    async def watch(self, stream: Stream) -> None:
        """Tell the status, and whenever it changes, for as long as the client listens."""
        async for message in stream.requests():
            name = parse(HealthCheckRequest, message).service
            break
        else:
            return
        told = None
        while True:
            status = self.status(name)
            if status != told:
                told = status
                await stream.send(HealthCheckResponse(status=status).SerializeToString())
            if stream.ended.is_set():
                raise ServerNotReady
            try:
                async with asyncio.timeout(LOOK_EVERY):
                    await stream.ended.wait()
            except TimeoutError:
                pass
