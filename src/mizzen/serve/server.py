"""The model server: protocols over models, behind one HTTP server.

It listens only once its models are loaded, and ends in an order that loses nothing: readiness fails first, what is
under way finishes, then connections close.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import sys
from typing import Any

from mizzen.http.exchange import Exchange
from mizzen.http.headers import encode
from mizzen.http.server import Limits, Server
from mizzen.serve.errors import Asleep
from mizzen.serve.exposition import Exposition, Merged, render
from mizzen.serve.peers import Peers
from mizzen.serve.protocols.rest import refuse, reply
from mizzen.serve.protocols.v1 import V1
from mizzen.serve.protocols.v2 import V2
from mizzen.serve.repository import Repository
from mizzen.serve.routing import Redirect, Router

logger = logging.getLogger(__name__)

# How long a thread may keep the interpreter from the loop; Python's own 5 ms is longer than most requests take.
SWITCH_INTERVAL = 0.0005


class ModelServer:
    """Args:
    repository: its models.
    limits: what a client may ask of it.

    Attributes:
        peers: the server's processes, where there are several.
    """

    def __init__(self, repository: Repository, limits: Limits | None = None) -> None:
        self.repository = repository
        self.peers: Peers | None = None
        self._exposition = Exposition(repository)
        self._router = Router()
        self._router.add("GET", "/", self._alive)
        self._router.add("GET", "/metrics", self._metrics)
        for protocol in (V1(repository), V2(repository)):
            protocol.register(self._router)
        self._http = Server(self.handle, limits=limits)

    def handle(self, exchange: Exchange) -> None:
        """Answer a request, now or when its model has."""
        try:
            self._router.find(exchange)(exchange)
        except Redirect as redirect:
            exchange.respond(307, b"", encode([(b"location", redirect.location.encode("latin-1"))]))
        except Asleep as asleep:
            exchange.spawn(self._wake(exchange, asleep.name))
        except Exception as error:
            refuse(exchange, error)

    async def _wake(self, exchange: Exchange, name: str) -> None:
        """Load the model that a request is for, and handle it again."""
        try:
            await self.repository.wake(name)
        except Exception as error:
            refuse(exchange, error)
        else:
            self.handle(exchange)

    def _alive(self, exchange: Exchange) -> None:
        reply(exchange, {"status": "alive"})

    def _metrics(self, exchange: Exchange) -> None:
        if self.peers is None:
            self._expose(exchange, self._exposition)
        else:
            exchange.spawn(self._expose_all(exchange, self.peers))

    async def _expose_all(self, exchange: Exchange, peers: Peers) -> None:
        self._expose(exchange, Merged(await peers.everyone("metrics")))

    def _expose(self, exchange: Exchange, metrics: Exposition | Merged) -> None:
        accept = (exchange.header(b"accept") or b"").decode("latin-1")
        body, media_type = render(metrics, accept)
        exchange.respond(200, body, encode([(b"content-type", media_type.encode())]))

    async def act(self, verb: str, arguments: list[Any]) -> Any:
        """What :class:`~mizzen.serve.peers.Peers` asks of this process."""
        if verb == "metrics":
            return self._exposition.samples()
        return await self.repository.act(verb, arguments)

    async def listen(
        self,
        host: str | None = None,
        port: int = 0,
        tls: ssl.SSLContext | None = None,
        *,
        sock: socket.socket | None = None,
    ) -> list[tuple[str, int]]:
        """Serve at an address (port 0 means any), or on a socket that is bound already. Returns the addresses.

        Raises:
            OSError: the address is taken or not ours.
        """
        sys.setswitchinterval(SWITCH_INTERVAL)
        return await self._http.listen(host, port, sock=sock, ssl=tls)

    async def drain(self, grace: float, notice: float) -> bool:
        """End: say not ready and go on serving for ``notice`` seconds, then finish what is under way.

        Args:
            grace: seconds for all of it.
            notice: how long those who route to this server are given to notice.

        Returns:
            whether everything finished in time.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + grace
        self.repository.draining = True
        await asyncio.sleep(min(notice, grace))
        finished = await self._http.close(max(end - loop.time(), 0.0))
        self.repository.close()
        return finished
