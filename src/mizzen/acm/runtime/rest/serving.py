"""The application on a port, until it is cancelled: then open answers get a moment, and streams are ended at once."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Iterator

import uvicorn
from starlette.applications import Starlette

from mizzen.acm.runtime.rest.settings import Tls
from mizzen.acm.runtime.web.events import end_streams
from mizzen.errors import MizzenError

_GRACE = 3


class NotListening(MizzenError):
    """The port cannot be had."""


class _Server(uvicorn.Server):
    """Signals are the command's business, not this server's."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(
    app: Starlette,
    host: str,
    port: int,
    tls: Tls | None = None,
    *,
    listening: Callable[[int], None] | None = None,
    inherited: socket.socket | None = None,
) -> None:
    """Serve until cancelled.

    Args:
        port: 0 for any that is free.
        listening: told the port once requests are taken.
        inherited: a socket that listens already, in the place of ``host`` and ``port``.

    Raises:
        NotListening: the port is taken, or is not for us; or the certificate cannot be read.
    """
    listener = inherited if inherited is not None else _listener(host, port)
    listener.setblocking(False)
    try:
        configuration = uvicorn.Config(
            app,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_GRACE,
            ssl_certfile=tls.certificate if tls else None,
            ssl_keyfile=tls.key if tls else None,
        )
        try:
            configuration.load()
        except (OSError, ssl.SSLError) as error:
            raise NotListening(f"The certificate cannot be used: {error}") from None
        server = _Server(configuration)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            while not server.started and not serving.done():
                await asyncio.sleep(0.005)
            if listening is not None and not serving.done():
                listening(listener.getsockname()[1])
            await asyncio.shield(serving)
        finally:
            server.should_exit = True
            end_streams(app)
            await serving
    finally:
        listener.close()


def _listener(host: str, port: int) -> socket.socket:
    found = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((host, port))
        found.listen(256)
        found.setblocking(False)
    except OSError as error:
        found.close()
        raise NotListening(f"Port {port} of {host} cannot be had: {error.strerror or error}") from None
    return found
