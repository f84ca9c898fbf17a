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
from collections.abc import Sequence
from typing import Any

from mizzen.http.exchange import Exchange
from mizzen.http.headers import encode
from mizzen.http.server import Limits, Server, json_refusal
from mizzen.http.sniff import offer_http2
from mizzen.serve.errors import Asleep, MethodNotAllowed, NotFound
from mizzen.serve.observing.exposition import Exposition, Merged, render
from mizzen.serve.observing.observer import Observer, observed
from mizzen.serve.openapi.page import Reference
from mizzen.serve.protocols.grpc.call import STANDARD, MessageLimits
from mizzen.serve.protocols.grpc.service import GrpcService
from mizzen.serve.protocols.loading import Loading
from mizzen.serve.protocols.openai import OpenAI
from mizzen.serve.protocols.rest import attend, refuse, reply
from mizzen.serve.protocols.v1 import V1
from mizzen.serve.protocols.v2 import V2
from mizzen.serve.repository import Repository
from mizzen.serve.routing import Protocol, Redirect, Router
from mizzen.serve.running.peers import Peers

logger = logging.getLogger(__name__)

# How long a thread may keep the interpreter from the loop; Python's own 5 ms is longer than most requests take.
SWITCH_INTERVAL = 0.0005


class ModelServer:
    """Args:
    repository: its models.
    limits: what a client may ask of it.
    messages: what gRPC's messages may weigh; None, and gRPC is not spoken.
    protocols: what is served beside V1, V2 and OpenAI's.
    docs: whether there is a page to read and try it by, at ``/docs``.
    observers: are told of each request, such as :class:`~mizzen.serve.observing.accesslog.AccessLog`.
    latency: whether the log has a line with each request's times.

    Attributes:
        peers: the server's processes, where there are several.
    """

    def __init__(
        self,
        repository: Repository,
        limits: Limits | None = None,
        messages: MessageLimits | None = STANDARD,
        *,
        protocols: Sequence[Protocol] = (),
        docs: bool = True,
        observers: Sequence[Observer] = (),
        latency: bool = False,
    ) -> None:
        self.repository = repository
        self.peers: Peers | None = None
        self._exposition = Exposition(repository)
        self._router = Router()
        self._router.add("GET", "/", self._alive)
        self._router.add("GET", "/metrics", self._metrics)
        self._openai = OpenAI(repository)
        routes: list[Protocol] = [
            V1(repository, latency=latency),
            V2(repository, latency=latency),
            Loading(repository),
            self._openai,
            *protocols,
        ]
        routes.append(Reference(repository, tuple(routes), page=docs))
        for protocol in routes:
            protocol.register(self._router)
        self._grpc = GrpcService(repository, messages) if messages is not None else None
        if self._grpc is not None:
            for path in self._grpc.paths:
                self._router.add("POST", path, self._grpc.handle)
        streaming = self._grpc.streams if self._grpc is not None else False
        self._observers = tuple(observers)
        handler = self._handle_observed if self._observers else self.handle
        self._http = Server(handler, limits=limits, streaming=streaming, refuse=self._refuse, http2=True)

    def handle(self, exchange: Exchange) -> None:
        """Answer a request, now or when its model has."""
        try:
            self._router.find(exchange)(exchange)
        except Redirect as redirect:
            exchange.respond(307, b"", encode([(b"location", redirect.location.encode("latin-1"))]))
        except Asleep as asleep:
            attend(exchange, self._wake(exchange, asleep.name))
        except Exception as error:
            self._answer(exchange, error)

    def _handle_observed(self, exchange: Exchange) -> None:
        self.handle(observed(exchange, self._observers))

    def _answer(self, exchange: Exchange, error: Exception) -> None:
        """Answer a request that came to nothing, in its protocol's shape."""
        # gRPC's methods are routes; a call of a method that is none is gRPC's to answer all the same.
        if isinstance(error, NotFound | MethodNotAllowed) and self._grpc is not None and self._grpc.handles(exchange):
            self._grpc.handle(exchange)
        elif not self._openai.refuse(exchange, error):
            refuse(exchange, error)

    def _refuse(self, exchange: Exchange, status: int, text: str) -> None:
        """Answer what is wrong before it is handled, or was left unanswered."""
        if self._observers:
            exchange = observed(exchange, self._observers)
        if self._grpc is not None and self._grpc.refuse(exchange, status, text):
            return
        if not self._openai.refuse_early(exchange, status, text):
            body, headers = json_refusal(status, text)
            exchange.respond(status, body, headers)

    async def _wake(self, exchange: Exchange, name: str) -> None:
        """Load the model that a request is for, and handle it again."""
        try:
            await self.repository.wake(name)
        except Exception as error:
            self._answer(exchange, error)
            return
        exchange.on_disconnect = None
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
        """What :class:`~mizzen.serve.running.peers.Peers` asks of this process."""
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
        if tls is not None:
            offer_http2(tls)
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
        self._http.retire()
        await asyncio.sleep(min(notice, grace))
        if self._grpc is not None:
            self._grpc.drain()
        finished = await self._http.close(max(end - loop.time(), 0.0))
        for observer in self._observers:
            await asyncio.to_thread(observer.close)
        self.repository.close()
        return finished
