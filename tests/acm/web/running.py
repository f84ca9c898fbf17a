"""The application on a port of its own, in a thread, so that a browser and a test can both reach it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from mizzen.acm.runtime.rest.app import app
from mizzen.acm.runtime.rest.serving import serve
from mizzen.acm.runtime.rest.settings import PREFIX, Settings
from mizzen.acm.runtime.service import Service

T = TypeVar("T")
USER, PASSWORD = "demo", "zb!XztG34"
_LONGEST = 30


class Running:
    """Attributes:
    url: of the pages, without a slash at its end.
    """

    def __init__(self, service: Any, loop: asyncio.AbstractEventLoop, port: int) -> None:
        self.service = service
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.api = f"{self.url}{PREFIX}/v2"
        self._loop = loop

    def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call a function where the service lives."""

        async def called() -> T:
            return function(*arguments)

        return asyncio.run_coroutine_threadsafe(called(), self._loop).result(_LONGEST)


@contextmanager
def running(service: Service, settings: Settings | None = None) -> Iterator[Running]:
    loop = asyncio.new_event_loop()
    settings = settings or Settings(user=USER, password=PASSWORD)
    ports: list[int] = []
    ready = threading.Event()
    tasks: list[asyncio.Task[None]] = []

    async def main() -> None:
        def listening(port: int) -> None:
            ports.append(port)
            ready.set()

        tasks.append(asyncio.ensure_future(serve(app(service, settings), "127.0.0.1", 0, listening=listening)))
        await asyncio.gather(*tasks, return_exceptions=True)

    thread = threading.Thread(target=loop.run_until_complete, args=(main(),))
    thread.start()
    try:
        assert ready.wait(_LONGEST), "the server did not begin"
        yield Running(service, loop, ports[0])
    finally:
        loop.call_soon_threadsafe(lambda: [task.cancel() for task in tasks])
        thread.join(_LONGEST)
        assert not thread.is_alive(), "the server did not end"
        loop.close()
