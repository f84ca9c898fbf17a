"""What has changed, as server-sent events: a word each, and the page asks for what it shows of that."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.responses import Response, StreamingResponse

from mizzen.acm.runtime.service import Service
from mizzen.acm.runtime.web.gate import Visit

# A proxy drops what is silent for a minute.
_BEAT = 15.0


class Streams:
    """The open ones, so that a server that ends need not wait for readers who never leave."""

    def __init__(self) -> None:
        self._ending = asyncio.Event()

    def end(self) -> None:
        self._ending.set()

    async def wait(self) -> None:
        await self._ending.wait()


def end_streams(app: Starlette) -> None:
    """Let an application's streams end."""
    app.state.streams.end()


class Events:
    def __init__(self, service: Service, streams: Streams) -> None:
        self._service = service
        self._streams = streams

    async def get(self, visit: Visit) -> Response:
        return StreamingResponse(
            self._told(),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )

    async def _told(self) -> AsyncIterator[str]:
        with self._service.changes() as changes:
            # From now on it misses nothing; what it shows may be older than that, so it asks for it anew.
            yield "retry: 1000\nevent: ready\ndata:\n\n"
            ending = asyncio.create_task(self._streams.wait())
            coming = asyncio.ensure_future(anext(changes))
            try:
                while True:
                    done, _ = await asyncio.wait({ending, coming}, timeout=_BEAT, return_when=asyncio.FIRST_COMPLETED)
                    if ending in done:
                        return
                    if coming in done:
                        try:
                            change = coming.result()
                        except StopAsyncIteration:
                            return
                        yield f"data: {change.kind} {change.kind}:{change.id}\n\n"
                        coming = asyncio.ensure_future(anext(changes))
                    elif not done:
                        yield ": still here\n\n"
            finally:
                ending.cancel()
                coming.cancel()
                await asyncio.gather(ending, coming, return_exceptions=True)
