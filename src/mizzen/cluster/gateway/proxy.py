"""The hot path: every request is routed by its own host and path, sent to an endpoint, and its answer passed back.

Nothing about a request is decided by the connection it came on, because clients keep connections by address and change
the host. Bodies stream both ways at the pace of the slower side. A request may go to another endpoint as long as nobody
can have acted on it; after that its failure is told at once. Whoever reads an error of ours learns that it comes from
the gateway, which service is meant and why.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import Collection
from urllib.parse import urlsplit

from mizzen.cluster.gateway.action import Action, Backend, HeaderEdits, Target
from mizzen.cluster.gateway.content import Content, is_awaited
from mizzen.cluster.gateway.endpoints import Endpoint, Endpoints
from mizzen.cluster.gateway.errors import Failed, Unavailable
from mizzen.cluster.gateway.fields import SERVER, request_fields, response_fields
from mizzen.cluster.gateway.metrics import CLIENT_GONE, CONTENT_TYPE, Metrics
from mizzen.cluster.gateway.routes import Route, Table, is_authority
from mizzen.http.client import Client, Timeouts
from mizzen.http.errors import ConnectFailed, Disconnected, HttpError, Malformed, TimedOut
from mizzen.http.exchange import Exchange
from mizzen.http.headers import JSON, encode
from mizzen.http.response import Response
from mizzen.http.server import Limits, Server

logger = logging.getLogger(__name__)

METRICS_HOST = b"mizzen-gateway"

# RFC 9110, section 9.2.2: doing these twice is the same as doing them once.
_IDEMPOTENT = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"})
# How many endpoints may refuse one request before its client is told.
_ATTEMPTS = 3
_CONNECT = 3.0
_HEAD = 600.0
_KEPT_PER_ENDPOINT = 256


def refusal(status: int, message: str) -> tuple[bytes, bytes]:
    """Body and fields of an answer that comes from the gateway itself."""
    return json.dumps({"error": message}, ensure_ascii=False).encode(), JSON + SERVER


class Proxy:
    """Answers requests by the routes of a table, from the endpoints of services.

    To be made on the event loop that it works on.

    Args:
        table, endpoints: read for each request; whoever keeps them true may change them at any time.

    Attributes:
        learning: whether routes may be missing that the API knows.
    """

    def __init__(self, table: Table, endpoints: Endpoints, *, limits: Limits | None = None) -> None:
        self.learning = False
        self._loop = asyncio.get_running_loop()
        self._table = table
        self._endpoints = endpoints
        self.server = Server(self._handle, limits=limits, streaming=True, refusal=refusal)
        self.metrics = Metrics(lambda: self.server.connections)
        # Endpoints are addresses: nothing is resolved, and nothing of this process's environment counts.
        self._client = Client(timeouts=Timeouts(connect=_CONNECT, head=_HEAD), max_idle=_KEPT_PER_ENDPOINT, environ={})

    async def listen(self, sock: socket.socket) -> None:
        await self.server.listen(sock=sock)

    async def close(self, grace: float) -> bool:
        """Let what is under way finish within ``grace`` seconds, then end the rest. Returns whether it finished."""
        finished = await self.server.close(grace)
        await self._client.close()
        return finished

    def _handle(self, exchange: Exchange) -> None:
        authority, target = exchange.header(b"host") or b"", exchange.target
        if not target.startswith(b"/") or not exchange.method.isalpha():
            try:
                authority, target = _unusual(exchange, authority)
            except Malformed as error:
                self._refuse(exchange, "", error.status, str(error))
                return
        route = self._table.resolve(authority, exchange.method, target, exchange.headers)
        if route is None:
            if authority.partition(b":")[0].lower() == METRICS_HOST:
                self._own(exchange, target)
            else:
                self._refuse(exchange, "", *self._unknown(exchange.method, authority, target))
        elif exchange.method == b"GET" and exchange.header(b"sec-websocket-key") is not None:
            self._refuse(exchange, _label(route), 501, "this gateway does not pass WebSockets on")
        else:
            exchange.spawn(self._forward(exchange, route, authority, target))

    def _own(self, exchange: Exchange, target: bytes) -> None:
        if target.partition(b"?")[0] == b"/metrics":
            exchange.respond(200, self.metrics.text(), CONTENT_TYPE + SERVER)
        else:
            exchange.respond(404, *refusal(404, "the gateway itself has /metrics and nothing else"))

    def _unknown(self, method: bytes, authority: bytes, target: bytes) -> tuple[int, str]:
        """Status and sentence for a request that no route takes."""
        host = authority.decode("latin-1")
        if not is_authority(authority):
            return 400, f"the host field {host!r} is no host name"
        if self.learning:
            return 503, "the gateway has not learned its routes yet: the API server does not answer"
        if not host:
            return 404, "the request names no host, and no route takes requests without one"
        routes = self._table.routes_of(authority)
        if routes:
            origins = ", ".join(dict.fromkeys(str(route.origin) for route in routes[:10]))
            asked = f"{method.decode()} {target.partition(b'?')[0].decode('latin-1')}"
            return 404, f"host {host} is known ({origins}), but none of its routes takes {asked}"
        if ports := self._table.ports_of(authority):
            known = ", ".join(map(str, ports))
            return 404, f"host {host} names a port that its service does not have; its ports: {known}"
        return 404, (
            f"host {host} is not known here. The known ones are in the HOSTS column of `kubectl get ingress -A` and "
            "the HOSTNAMES column of `kubectl get httproute -A`; services are known as <service>.<namespace>"
        )

    def _refuse(self, exchange: Exchange, label: str, status: int, message: str) -> None:
        self.metrics.count(label, status, 0.0)
        if exchange.received or not is_awaited(exchange):
            exchange.respond(status, *refusal(status, message))
        else:
            exchange.spawn(_refuse_later(exchange, status, message))

    async def _forward(self, exchange: Exchange, route: Route, authority: bytes, target: bytes) -> None:
        begun = self._loop.time()
        status = CLIENT_GONE
        try:
            status = await self._answer(exchange, route, authority, target)
        except Failed as error:
            status = error.status
            exchange.respond(status, *refusal(status, str(error)))
        except HttpError as error:
            # What is out cannot be taken back, but it must not look complete.
            logger.debug("%s: an answer broke off: %s", route.origin, error)
            status = CLIENT_GONE if exchange.gone else 502
            exchange.abort()
        finally:
            self.metrics.count(_label(route), status, self._loop.time() - begun)

    async def _answer(self, exchange: Exchange, route: Route, authority: bytes, target: bytes) -> int:
        """Answer a request that has a route. Returns the status.

        Raises:
            Failed: there is no answer.
            HttpError: the answer broke off.
        """
        action = route.action
        if action.redirect is not None:
            location = encode([(b"location", action.redirect.location(authority, target))])
            exchange.respond(action.redirect.status, b"", location + SERVER)
            return action.redirect.status
        chosen = action.choose()
        if chosen is None or chosen.backend is None:
            problem = "it names no backend with any weight" if chosen is None else chosen.problem
            raise Failed(500, f"{route.origin} cannot be served: {problem}")
        response, endpoint = await self._send(exchange, action, chosen, chosen.backend, authority, target)
        try:
            await _relay(exchange, response, action.response, chosen.response)
        finally:
            endpoint.under_way -= 1
            response.close()
        return response.status

    async def _send(
        self, exchange: Exchange, action: Action, chosen: Target, backend: Backend, authority: bytes, target: bytes
    ) -> tuple[Response, Endpoint]:
        """Get the head of an answer, from whichever endpoint gives one. The endpoint counts as busy from here on.

        Raises:
            Failed: nobody gave one.
        """
        loop = self._loop
        host = authority or f"{backend.service}.{backend.namespace}".encode()
        if action.rewrite is not None:
            host, target = action.rewrite.apply(host, target)
        headers = request_fields(exchange.headers, host, authority, exchange.peer.encode())
        for edits in (action.request, chosen.request):
            if edits is not None:
                headers = edits.apply(headers)
        body = await Content.of(exchange)
        expires = None if action.timeout is None else loop.time() + action.timeout
        refused: list[Endpoint] = []
        again = exchange.method in _IDEMPOTENT
        failure: HttpError | None = None
        while True:
            try:
                endpoint = await self._endpoint(backend, refused)
            except Unavailable as error:
                raise Failed(503, f"{error}: {failure}" if failure else str(error)) from error
            endpoint.under_way += 1
            try:
                response = await self._client.send(
                    (endpoint.host, endpoint.port),
                    exchange.method,
                    target,
                    headers,
                    body.content,
                    length=body.length,
                    timeouts=None if expires is None else _until(expires - loop.time()),
                )
            except BaseException as error:
                endpoint.under_way -= 1
                if not isinstance(error, HttpError):
                    raise
                if expires is not None and loop.time() >= expires:
                    raise Failed(504, f"{_named(backend)} did not answer in the {action.timeout:g} s it had") from error
                if isinstance(error, ConnectFailed) and not body.begun and len(refused) < _ATTEMPTS:
                    refused.append(endpoint)
                elif isinstance(error, Disconnected) and not body.begun and again:
                    again = False
                else:
                    raise _failed(error, backend) from error
                endpoint.failed(loop.time())
                failure = error
            else:
                return response, endpoint

    async def _endpoint(self, backend: Backend, refused: Collection[Endpoint]) -> Endpoint:
        """An endpoint that can take a request now.

        This is where a request waits, if it waits for a service at all: for its first endpoint when it is scaled from
        zero, for room when every endpoint is full.

        Raises:
            Unavailable: there is none, or none but those that refused already.
        """
        return self._endpoints.pick(backend, self._loop.time(), refused)


async def _refuse_later(exchange: Exchange, status: int, message: str) -> None:
    """Refuse a request once its body is in, which leaves the connection to be used again."""
    assert exchange.stream is not None
    await exchange.stream.read_all()
    exchange.respond(status, *refusal(status, message))


async def _relay(exchange: Exchange, response: Response, *edits: HeaderEdits | None) -> None:
    headers = response_fields(response.headers)
    for one in edits:
        if one is not None:
            headers = one.apply(headers)
    lines = encode(headers)
    status = response.status
    bodiless = exchange.method == b"HEAD" or status in (204, 304)
    if response.complete and not bodiless:
        exchange.respond(status, await response.read(), lines)
        return
    length = response.header(b"content-length")
    exchange.start(status, lines, int(length) if length is not None else None)
    while piece := await response.piece():
        exchange.write(piece)
        await exchange.drain()
    exchange.finish()


def _unusual(exchange: Exchange, authority: bytes) -> tuple[bytes, bytes]:
    """Host and path of a request whose target is not a path (RFC 9112, section 3.2).

    Raises:
        Malformed: it is of no form that a gateway takes.
    """
    if not exchange.method.isalpha():
        raise Malformed(501, f"the method {exchange.method.decode()} is not passed on")
    if exchange.target.startswith(b"/") or (exchange.target == b"*" and exchange.method == b"OPTIONS"):
        return authority, exchange.target
    try:
        parts = urlsplit(exchange.target)
    except ValueError as error:
        raise Malformed(400, f"the request target is no URL: {error}") from error
    if parts.scheme.lower() not in (b"http", b"https") or not parts.netloc or b"@" in parts.netloc:
        raise Malformed(400, f"the request target {exchange.target.decode('latin-1')!r} is neither a path nor a URL")
    # The host in an absolute target is the one that counts, whatever the field says.
    return parts.netloc, (parts.path or b"/") + (b"?" + parts.query if parts.query else b"")


def _until(seconds: float) -> Timeouts:
    """What is left of a route's timeout. It covers all from the request to the answer's last byte."""
    left = max(seconds, 0.001)
    return Timeouts(connect=min(_CONNECT, left), head=None, total=left)


def _failed(error: HttpError, backend: Backend) -> Failed:
    """What the client is told when a service did not answer."""
    service = _named(backend)
    if isinstance(error, ConnectFailed):
        return Failed(503, f"{service} cannot be reached: {error}")
    if isinstance(error, TimedOut):
        return Failed(504, f"{service} did not answer in time: {error}")
    if isinstance(error, Disconnected):
        return Failed(503, f"{service} went away before it had answered: {error}")
    if isinstance(error, Malformed) and error.status != 502:
        return Failed(error.status, str(error))  # the client's own body was no good
    return Failed(502, f"{service} did not answer in HTTP: {error}")


def _named(backend: Backend) -> str:
    return f"service {backend.service} in namespace {backend.namespace}"


def _label(route: Route) -> str:
    return route.host or "*"
