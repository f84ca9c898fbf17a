"""The model server: protocols over models, behind one HTTP server.

It listens only once its models are loaded, and ends in an order that loses nothing: readiness fails first, what is
under way finishes, then connections close.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import sys

from mizzen.http.exchange import Exchange
from mizzen.http.headers import encode
from mizzen.http.server import Limits, Server
from mizzen.serve.metrics import Exposition
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
    """

    def __init__(self, repository: Repository, limits: Limits | None = None) -> None:
        self.repository = repository
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
        except Exception as error:
            refuse(exchange, error)

    def _alive(self, exchange: Exchange) -> None:
        reply(exchange, {"status": "alive"})

    def _metrics(self, exchange: Exchange) -> None:
        accept = (exchange.header(b"accept") or b"").decode("latin-1")
        body, media_type = self._exposition.render(accept)
        exchange.respond(200, body, encode([(b"content-type", media_type.encode())]))

    async def listen(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> list[tuple[str, int]]:
        """Serve at an address; port 0 means any. Returns the addresses.

        Raises:
            OSError: the address is taken or not ours.
        """
        sys.setswitchinterval(SWITCH_INTERVAL)
        return await self._http.listen(host, port, ssl=tls)

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
