"""An HTTP/1.1 client that keeps connections, for a gateway's hundreds of upstreams as for a transformer's one.

A request is sent again only where that cannot do it twice by the client's own fault: nothing went out, or a connection
that had been kept died without a byte in return (the server closed it while the request was on its way), and the body
can be produced again.
"""

from __future__ import annotations

import asyncio
import os
import ssl as tls
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import urlsplit

from mizzen.http.dial import BIND_ADDRESS, dial
from mizzen.http.errors import Disconnected, HttpError
from mizzen.http.headers import Headers, encode
from mizzen.http.resolve import Destination, resolve
from mizzen.http.response import Response
from mizzen.http.upstream import Upstream

Content = bytes | AsyncIterable[bytes] | None

_LATE = "the answer was not complete in the time it had"

# How much of a streamed body is remembered so that it can be sent again.
_REPLAY = 64 * 1024


@dataclass(frozen=True, slots=True)
class Timeouts:
    """In seconds; None is for ever.

    Attributes:
        connect: to a connection.
        head: from the request's last byte to the answer's head.
        total: from the call to the answer's last byte.
    """

    connect: float = 5.0
    head: float | None = 600.0
    total: float | None = None


class _Address(NamedTuple):
    """Where a connection leads, and whose certificate it was opened with; empty without TLS."""

    host: str
    port: int
    name: str


class Client:
    """Sends requests and keeps connections, by address. Belongs to the event loop that first uses it.

    Args:
        max_idle: connections kept for each address.
        keep_alive: seconds for which an idle connection is kept; less than servers do, so that they seldom cross.
        ssl: for ``https``.
        environ: where the cluster's gateway and the pod's own address are named.
    """

    def __init__(
        self,
        *,
        timeouts: Timeouts | None = None,
        max_idle: int = 64,
        keep_alive: float = 50.0,
        ssl: tls.SSLContext | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.timeouts = timeouts or Timeouts()
        self._environ = os.environ if environ is None else environ
        self._source = self._environ.get(BIND_ADDRESS) or None
        self._max_idle = max_idle
        self._keep_alive = keep_alive
        self._ssl = ssl
        self._idle: dict[_Address, list[Upstream]] = {}
        self._address: dict[Upstream, _Address] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def connections(self) -> int:
        """Open connections, idle ones included."""
        return len(self._address)

    @property
    def idle(self) -> int:
        return sum(map(len, self._idle.values()))

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Headers | None = None,
        body: Content = None,
        timeouts: Timeouts | None = None,
    ) -> Response:
        """Send a request to a URL; names of cluster services are found (:mod:`mizzen.http.resolve`).

        Raises:
            HttpError: no answer came; the class says why.
        """
        parts = urlsplit(url)
        secure = parts.scheme == "https" and self._ssl is not None
        if (parts.scheme != "http" and not secure) or not parts.hostname or not url.isascii():
            raise HttpError(f"this client speaks http:// to a host, not {url!r}")
        standard = 443 if secure else 80
        destination = resolve(parts.hostname, parts.port or standard, self._environ, standard)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        fields = [(b"host", destination.authority.encode())]
        fields += headers or []
        name = parts.hostname if secure else ""
        return await self.send(
            destination, method.encode(), target.encode(), fields, body, name=name, timeouts=timeouts
        )

    async def send(
        self,
        destination: Destination | tuple[str, int],
        method: bytes,
        target: bytes,
        headers: Headers,
        body: Content = None,
        *,
        length: int | None = None,
        name: str = "",
        timeouts: Timeouts | None = None,
    ) -> Response:
        """Send a request to an address as it is, and return its answer once the head is there.

        Args:
            headers: all fields, ``host`` included, framing excluded.
            length: of a streamed body, where known; else it goes in chunks.
            name: whose certificate is expected; without it there is no TLS.

        Raises:
            ConnectFailed: nothing was sent.
            Disconnected, TimedOut, Malformed: the answer did not come, or is none.
        """
        timeouts = timeouts or self.timeouts
        message = _head(method, target, headers, body, length)
        content: bytes | _Replay = body if isinstance(body, bytes) else b"" if body is None else _Replay(body)
        address = _Address(destination[0], destination[1], name)
        loop = asyncio.get_running_loop()
        expires = None if timeouts.total is None else loop.time() + timeouts.total
        while True:
            upstream = self._take(address)
            if upstream is None:
                left = timeouts.connect if expires is None else min(timeouts.connect, expires - loop.time())
                upstream = await self._open(address, left)
            try:
                return await self._exchange(upstream, method, message, content, length is None, timeouts.head, expires)
            except Disconnected:
                again = isinstance(content, bytes) or content.replayable
                if not upstream.reused or upstream.received or not again:
                    raise

    async def _exchange(
        self,
        upstream: Upstream,
        method: bytes,
        message: bytes,
        content: bytes | _Replay,
        chunked: bool,
        patience: float | None,
        expires: float | None,
    ) -> Response:
        loop = asyncio.get_running_loop()
        pump: asyncio.Task[None] | None = None
        waiter = upstream.send(method, message, content if isinstance(content, bytes) else b"")
        try:
            if expires is not None:
                upstream.expect(waiter, expires, _LATE)
            if not isinstance(content, bytes):
                upstream.sent = False
                pump = loop.create_task(_pump(upstream, content, chunked, patience))
                # The server may answer before it has read everything, so both are waited for.
                await asyncio.wait((pump, waiter), return_when=asyncio.FIRST_COMPLETED)
            if patience is None or waiter.done():
                head = await waiter
            else:
                begun = loop.time()
                if expires is None or begun + patience < expires:
                    upstream.expect(waiter, begun + patience, f"no answer within {patience:g} s")
                head = await waiter
                upstream.expect(waiter, expires, _LATE)
            return Response(head, upstream, waiter, pump)
        except BaseException:
            waiter.cancel()
            upstream.give_up(waiter, Disconnected("the request was given up"))
            if pump is not None:
                pump.cancel()
                await asyncio.wait((pump,))
            raise

    async def _open(self, address: _Address, timeout: float) -> Upstream:
        if self._closed:
            raise HttpError("the client is closed")
        upstream = await dial(
            lambda: Upstream(self._release, self._forget),
            address.host,
            address.port,
            source=self._source,
            timeout=timeout,
            ssl=self._ssl if address.name else None,
            name=address.name,
        )
        self._address[upstream] = address
        return upstream

    def _take(self, address: _Address) -> Upstream | None:
        """The connection that was used last, so that those not needed grow old and go."""
        kept = self._idle.get(address)
        while kept:
            upstream = kept.pop()
            if not kept:
                del self._idle[address]
            if upstream.usable:
                return upstream
        return None

    def _release(self, upstream: Upstream) -> None:
        address = self._address.get(upstream)
        kept = self._idle.setdefault(address, []) if address is not None else None
        if kept is None or self._closed or len(kept) >= self._max_idle:
            upstream.close()
            return
        loop = asyncio.get_running_loop()
        upstream.idle_since = loop.time()
        kept.append(upstream)
        if self._timer is None:
            self._timer = loop.call_later(self._keep_alive / 4, self._expire)

    def _forget(self, upstream: Upstream) -> None:
        address = self._address.pop(upstream, None)
        if address is not None and (kept := self._idle.get(address)) is not None and upstream in kept:
            kept.remove(upstream)
            if not kept:
                del self._idle[address]

    def _expire(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = None
        oldest = loop.time() - self._keep_alive
        for address, kept in list(self._idle.items()):
            fresh = [upstream for upstream in kept if upstream.idle_since > oldest]
            for upstream in kept:
                if upstream.idle_since <= oldest:
                    upstream.close()
            if fresh:
                self._idle[address] = fresh
            else:
                del self._idle[address]
        if self._idle:
            self._timer = loop.call_later(self._keep_alive / 4, self._expire)

    async def close(self) -> None:
        """End all connections; answers under way are cut off."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for upstream in list(self._address):
            upstream.fail(Disconnected("the client was closed"))
        self._idle.clear()

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()


class _Replay:
    """A streamed body that can be sent again if it was small and had come to its end."""

    def __init__(self, source: AsyncIterable[bytes]) -> None:
        self._source = aiter(source)
        self._seen: list[bytes] | None = []
        self._size = 0
        self._ended = False

    @property
    def replayable(self) -> bool:
        return self._ended and self._seen is not None

    async def pieces(self) -> AsyncIterator[bytes]:
        if self._ended:
            for piece in self._seen or ():
                yield piece
            return
        async for piece in self._source:
            if self._seen is not None:
                self._size += len(piece)
                if self._size <= _REPLAY:
                    self._seen.append(piece)
                else:
                    self._seen = None
            yield piece
        self._ended = True


async def _pump(upstream: Upstream, content: _Replay, chunked: bool, patience: float | None) -> None:
    try:
        async for piece in content.pieces():
            if piece:
                upstream.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
                await upstream.drain(patience)
        if chunked:
            upstream.write(b"0\r\n\r\n")
        upstream.sent = True
    except HttpError as error:
        upstream.fail(error)
    except Exception as error:
        upstream.fail(HttpError(f"the request's body could not be read: {error}"))


def _head(method: bytes, target: bytes, headers: Headers, body: Content, length: int | None) -> bytes:
    """The encoded head, framing included.

    Raises:
        ValueError: a part would break the message.
    """
    if b" " in target or b"\r" in target or b"\n" in target or not method.isalpha():
        raise ValueError(f"this is no request line: {method!r} {target!r}")
    if isinstance(body, bytes):
        framing = b"content-length: %d\r\n" % len(body)
    elif body is None:
        framing = b"content-length: 0\r\n" if method in (b"POST", b"PUT", b"PATCH") else b""
    elif length is None:
        framing = b"transfer-encoding: chunked\r\n"
    else:
        framing = b"content-length: %d\r\n" % length
    return b"%b %b HTTP/1.1\r\n%b%b\r\n" % (method, target, encode(headers), framing)
