"""A real API server for tests: on any free port, with a home of its own, in process or in a process of its own.

In process, where a test also wants to look inside or hand over admission rules::

    async with serving(tmp_path) as server:
        async with server.session() as session:
            await session.get("/api/v1/namespaces")

In a process of its own, where a test wants to kill it, or must not share an event loop with it::

    with process(tmp_path) as server:
        subprocess.run(["kubectl", "get", "ns"], env=server.environment)

Run as a script (``python apiserver_fixture.py HOME [PORT]``) it serves until it is interrupted.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiohttp

from mizzen.cluster.apiserver.auth import Credentials, ensure_credentials
from mizzen.cluster.apiserver.config import ApiServerConfig
from mizzen.cluster.apiserver.server import run

SERVICE_NETWORK = "127.40.128.0/17"
_START_SECONDS = 60


class Server:
    """A running server: ``url``, ``token``, ``ca`` and ``kubeconfig`` are what a client needs."""

    def __init__(self, home: Path, url: str, credentials: Credentials) -> None:
        self.home = home
        self.url = url
        self.token = credentials.token
        self.ca = credentials.ca
        self.credentials = credentials
        self.kubeconfig = home / "kubeconfig"
        self.process: subprocess.Popen[str] | None = None
        credentials.write_kubeconfig(self.kubeconfig, url)

    def ssl_context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.ca))

    def session(self, **options: Any) -> aiohttp.ClientSession:
        """An aiohttp session that is authenticated and takes paths; by default many connections at once."""
        headers = {"Authorization": f"Bearer {self.token}", **options.pop("headers", {})}
        connector = aiohttp.TCPConnector(ssl=self.ssl_context(), limit=0)
        return aiohttp.ClientSession(self.url, headers=headers, connector=connector, **options)

    @property
    def environment(self) -> dict[str, str]:
        """The variables for kubectl and Python clients. Those that name other authorities are left out."""
        foreign = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
        kept = {name: value for name, value in os.environ.items() if name not in foreign}
        return kept | {"KUBECONFIG": str(self.kubeconfig), "KUBECACHEDIR": str(self.home / "kube-cache")}


def listening(port: int = 0) -> socket.socket:
    """A socket on loopback that an API server can be given."""
    return socket.create_server(("127.0.0.1", port), backlog=1024)


def config_for(home: Path, sock: socket.socket, **options: Any) -> ApiServerConfig:
    """The configuration of a server whose home is ``home``."""
    return ApiServerConfig(
        sock=sock,
        data_dir=home / "data",
        credentials=ensure_credentials(home / "pki"),
        service_network=options.pop("service_network", SERVICE_NETWORK),
        **options,
    )


@asynccontextmanager
async def serving(home: Path, *, port: int = 0, **options: Any) -> AsyncIterator[Server]:
    """A server in this process; ``options`` are those of :class:`ApiServerConfig`."""
    sock = listening(port)
    url = f"https://127.0.0.1:{sock.getsockname()[1]}"
    config = config_for(home, sock, **options)
    ready = asyncio.Event()
    task = asyncio.create_task(run(config, ready=ready.set))
    waiting = asyncio.create_task(ready.wait())
    await asyncio.wait([task, waiting], timeout=_START_SECONDS, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if not ready.is_set():
        task.cancel()
        await task
        raise AssertionError("the server ended before it was ready")
    try:
        yield Server(home, url, config.credentials)
    finally:
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled() and task.exception() is not None:
            raise AssertionError("the server failed") from task.exception()


@contextmanager
def process(home: Path, *, port: int = 0) -> Iterator[Server]:
    """A server in a process of its own; ``server.process`` is for killing it."""
    credentials = ensure_credentials(home / "pki")
    child = subprocess.Popen(
        [sys.executable, __file__, str(home), str(port)], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert child.stdout is not None
        url = child.stdout.readline().strip()
        if not url:
            raise AssertionError(f"the server ended with {child.wait()} before it was ready")
        server = Server(home, url, credentials)
        server.process = child
        yield server
    finally:
        if child.poll() is None:
            child.terminate()
        child.wait(_START_SECONDS)
        if child.stdout is not None:
            child.stdout.close()


async def _serve(home: Path, port: int) -> None:
    sock = listening(port)
    url = f"https://127.0.0.1:{sock.getsockname()[1]}"
    task = asyncio.create_task(run(config_for(home, sock), ready=lambda: print(url, flush=True)))
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        pass


if __name__ == "__main__":
    import uvloop

    uvloop.run(_serve(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0))
