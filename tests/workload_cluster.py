"""A cluster without nodes of its own: the real API server, the real controllers, and a kubelet that only plays one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

from apiserver_fixture import Server, serving
from kubelet_double import Kubelet
from mizzen.cluster.workloads import manager
from mizzen.kube.admission import Admitter
from mizzen.kube.client import Client, WatchEvent
from mizzen.kube.config import ClusterConfig

PATIENCE = 30.0


class Background:
    """Tasks that a test runs beside itself; one that fails makes the test fail."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.append(task)
        return task

    async def start_until_ready(
        self, work: Callable[[Callable[[], None]], Coroutine[Any, Any, None]]
    ) -> asyncio.Task[None]:
        """Start ``work(ready)`` and wait until it has called ``ready``."""
        ready = asyncio.Event()
        task = self.start(work(ready.set))
        waiting = asyncio.create_task(ready.wait())
        await asyncio.wait({task, waiting}, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if task.done():
            task.result()
        assert ready.is_set(), "it did not get ready"
        return task

    async def stop(self, task: asyncio.Task[None]) -> None:
        self._tasks.remove(task)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def stop_all(self) -> None:
        tasks, self._tasks = self._tasks[::-1], []
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, BaseException) and not isinstance(result, asyncio.CancelledError):
                raise result


class Cluster:
    """What a test holds in its hands."""

    def __init__(self, directory: Path) -> None:
        self.background = Background()
        self.admitters: tuple[Admitter, ...] = ()
        self.server: Server
        self.client: Client
        self.kubelet: Kubelet
        self._directory = directory
        self._serving: AbstractAsyncContextManager[Server] | None = None
        self._port = 0

    @property
    def config(self) -> ClusterConfig:
        return ClusterConfig(server=self.server.url, ca=self.server.ca.read_text(), token=self.server.token)

    async def serve(self) -> None:
        """Start the API server; again on the same port when it has run before."""
        self._serving = serving(self._directory, port=self._port, admitters=self.admitters, reserve=0)
        self.server = await self._serving.__aenter__()
        self._port = int(self.server.url.rpartition(":")[2])

    async def stop_serving(self) -> None:
        if self._serving is not None:
            await self._serving.__aexit__(None, None, None)

    async def control(self, client: Client | None = None, **options: Any) -> asyncio.Task[None]:
        """Start the workload controllers."""
        return await self.background.start_until_ready(
            lambda ready: manager.run(client or self.client, ready=ready, **options)
        )

    async def run_node(self, name: str = "n1", **options: Any) -> Kubelet:
        kubelet = Kubelet(self.client, name, **options)
        self.background.start(kubelet.run())
        return kubelet


class LateClient(Client):
    """Everything that a watch tells comes late."""

    async def watch(self, *args: Any, **options: Any) -> AsyncIterator[WatchEvent]:
        async for event in super().watch(*args, **options):
            await asyncio.sleep(0.3)
            yield event


async def eventually(check: Callable[[], Awaitable[Any]], what: str = "") -> Any:
    """Ask again until the answer is true, and return it."""
    found: Any = None
    try:
        async with asyncio.timeout(PATIENCE):
            while True:
                found = await check()
                if found:
                    return found
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"never came true: {what or check}; the last answer was {found!r}") from None
