"""An HTTP/2 client that shares connections, for whoever forwards gRPC.

One connection to a server carries all requests; a second is opened only when the server takes no more on the first. A
request is sent again only where that cannot do it twice by the client's own fault: the server said that it did not work
on it (GOAWAY, REFUSED_STREAM), or a connection that had been kept died without a byte in return; and its body is whole.

Without TLS the server must speak HTTP/2 from the first byte ("prior knowledge").
"""

from __future__ import annotations

import asyncio
import os
import ssl as tls
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple
from urllib.parse import urlsplit

from mizzen.http.client import Timeouts
from mizzen.http.dial import BIND_ADDRESS, dial
from mizzen.http.errors import ConnectFailed, ConnectTimedOut, Disconnected, HttpError
from mizzen.http.headers import Headers
from mizzen.http.http2.blocks import encode_fields, encode_pairs
from mizzen.http.http2.call import Answer, Call
from mizzen.http.http2.upstream import Http2Upstream
from mizzen.http.resolve import resolve

# How often a request that was not worked on is sent again.
_AGAIN = 3


class _Address(NamedTuple):
    host: str
    port: int
    # Whose certificate is expected; empty without TLS.
    name: str


@dataclass
class _Shared:
    """The connections to one address, and who waits for one."""

    upstreams: list[Http2Upstream] = field(default_factory=list)
    dialling: asyncio.Task[Http2Upstream] | None = None
    waiters: deque[asyncio.Future[None]] = field(default_factory=deque)


class Http2Client:
    """Belongs to the event loop that first uses it.

    Args:
        ssl: for ``https``; it must offer HTTP/2 (:func:`mizzen.http.sniff.offer_http2`).
        connections: to one address at most.
        keep_alive: seconds for which a connection without requests is kept; less than servers do.
        silence: seconds without a byte from a server that has requests, after which it is asked for a sign of life,
            and as long again after which it is taken for lost.
        environ: where the cluster's gateway and the pod's own address are named.
    """

    def __init__(
        self,
        *,
        timeouts: Timeouts | None = None,
        ssl: tls.SSLContext | None = None,
        connections: int = 4,
        keep_alive: float = 50.0,
        silence: float = 20.0,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.timeouts = timeouts or Timeouts()
        self._ssl = ssl
        self._environ = os.environ if environ is None else environ
        self._source = self._environ.get(BIND_ADDRESS) or None
        self._most = connections
        self._keep_alive = keep_alive
        self._silence = silence
        self._shared: dict[_Address, _Shared] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def connections(self) -> int:
        return sum(len(shared.upstreams) for shared in self._shared.values())

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Headers | None = None,
        body: bytes = b"",
        timeouts: Timeouts | None = None,
    ) -> Answer:
        """Send a request and wait for its whole answer. Cluster services go by name (:mod:`mizzen.http.resolve`).

        A caller that is cancelled, or too late, resets its request.

        Raises:
            ConnectFailed: the server has not seen it, or said that it did not work on it.
            Disconnected, TimedOut, Malformed: the answer did not come, or is none.
        """
        address, block = self._prepare(method, url, headers)
        timeouts = timeouts or self.timeouts
        expires = None if timeouts.total is None else asyncio.get_running_loop().time() + timeouts.total
        for attempt in range(_AGAIN):
            upstream = await self._take(address, timeouts, expires)
            kept = upstream.used
            call = upstream.call(method.encode(), block, body)
            try:
                return await _answer(call, timeouts, expires)
            except ConnectFailed:
                if attempt == _AGAIN - 1:
                    raise
            except Disconnected:
                if attempt == _AGAIN - 1 or not kept or call.heard:
                    raise
            finally:
                call.cancel()
        raise AssertionError("the last attempt returns or raises")

    @asynccontextmanager
    async def open(
        self, method: str, url: str, *, headers: Headers | None = None, timeouts: Timeouts | None = None
    ) -> AsyncIterator[Call]:
        """Begin a request whose body, and answer, come in pieces. Leaving it unfinished resets it.

        ``timeouts.head`` is left to the caller, who alone knows when the request is complete.

        Raises:
            HttpError: no connection came about.
        """
        address, block = self._prepare(method, url, headers)
        timeouts = timeouts or self.timeouts
        expires = None if timeouts.total is None else asyncio.get_running_loop().time() + timeouts.total
        upstream = await self._take(address, timeouts, expires)
        async with upstream.call(method.encode(), block, None) as call:
            if expires is not None:
                call.expire(expires, _late(timeouts.total))
            yield call

    def _prepare(self, method: str, url: str, headers: Headers | None) -> tuple[_Address, bytes]:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or not url.isascii() or not url.isprintable():
            raise HttpError(f"this client speaks http:// and https:// to a host, not {url!r}")
        if " " in url or not method.isalpha():
            raise ValueError(f"this is no request: {method!r} {url!r}")
        secure = parts.scheme == "https"
        if secure and self._ssl is None:
            raise HttpError(f"this client has no TLS context for {url!r}")
        standard = 443 if secure else 80
        destination = resolve(parts.hostname, parts.port or standard, self._environ, standard)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        authority = destination.authority.encode()
        rest = []
        for name, value in headers or ():
            if name == b"host":
                authority = value
            else:
                rest.append((name, value))
        block = encode_fields(
            [
                (b":method", method.encode()),
                (b":scheme", parts.scheme.encode()),
                (b":authority", authority),
                (b":path", target.encode()),
            ]
        )
        address = _Address(destination.host, destination.port, parts.hostname if secure else "")
        return address, block + encode_pairs(rest)

    async def _take(self, address: _Address, timeouts: Timeouts, expires: float | None) -> Http2Upstream:
        """A connection that takes a request now.

        Raises:
            ConnectFailed
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + timeouts.connect
        if expires is not None:
            end = min(end, expires)
        while True:
            if self._closed:
                raise HttpError("the client is closed")
            shared = self._shared.get(address)
            if shared is None:
                shared = self._shared[address] = _Shared()
            for upstream in shared.upstreams:
                if upstream.free:
                    return upstream
            try:
                async with asyncio.timeout_at(end):
                    dialled = await self._wait(address, shared, max(end - loop.time(), 0.001))
            except TimeoutError:
                raise ConnectTimedOut(
                    f"{address.host}:{address.port} took no more requests within {timeouts.connect:g} s"
                ) from None
            if dialled is not None and dialled.failure is not None:
                raise dialled.failure

    async def _wait(self, address: _Address, shared: _Shared, timeout: float) -> Http2Upstream | None:
        """Wait for a connection to be opened, or to have room. Returns one that was opened."""
        usable = [upstream for upstream in shared.upstreams if upstream.usable]
        if shared.dialling is None and len(usable) < self._most and not any(upstream.new for upstream in usable):
            shared.dialling = asyncio.get_running_loop().create_task(self._dial(address, shared, timeout))
        if shared.dialling is not None:
            # Others wait for the same, so it goes on if this one is cancelled.
            return await asyncio.shield(shared.dialling)
        waiter = asyncio.get_running_loop().create_future()
        shared.waiters.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                _wake(shared)  # it was this one's turn, which somebody else can use
            raise
        finally:
            if waiter in shared.waiters:
                shared.waiters.remove(waiter)
        return None

    async def _dial(self, address: _Address, shared: _Shared, timeout: float) -> Http2Upstream:
        try:
            upstream = await dial(
                lambda: Http2Upstream(partial(_wake, shared), partial(self._forget, address)),
                address.host,
                address.port,
                source=self._source,
                timeout=timeout,
                ssl=self._ssl if address.name else None,
                name=address.name,
            )
            if address.name and upstream.agreed != "h2":
                upstream.abort()
                raise ConnectFailed(
                    f"{address.name}:{address.port} does not offer HTTP/2 (ALPN h2) to this TLS context"
                )
            if upstream.failure is None:
                shared.upstreams.append(upstream)
        finally:
            shared.dialling = None
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._tick, self._sweep)
        return upstream

    def _forget(self, address: _Address, lost: Http2Upstream) -> None:
        shared = self._shared.get(address)
        if shared is None:
            return
        if lost in shared.upstreams:
            shared.upstreams.remove(lost)
        _wake(shared, every=True)
        if not shared.upstreams and not shared.waiters and shared.dialling is None:
            del self._shared[address]

    @property
    def _tick(self) -> float:
        return min(self._keep_alive, self._silence) / 4

    def _sweep(self) -> None:
        self._timer = None
        loop = asyncio.get_running_loop()
        now = loop.time()
        for shared in list(self._shared.values()):
            for upstream in list(shared.upstreams):
                if upstream.idle_since is not None and now - upstream.idle_since > self._keep_alive:
                    upstream.close()
                else:
                    upstream.check_time(now, self._silence)
        if self._shared:
            self._timer = loop.call_later(self._tick, self._sweep)

    async def close(self) -> None:
        """End all connections; answers under way are cut off."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        dialling = [shared.dialling for shared in self._shared.values() if shared.dialling is not None]
        for task in dialling:
            task.cancel()
        await asyncio.gather(*dialling, return_exceptions=True)
        for shared in list(self._shared.values()):
            _wake(shared, every=True)
            for upstream in list(shared.upstreams):
                upstream.fail(lambda: Disconnected("the client was closed"))
        self._shared.clear()

    async def __aenter__(self) -> Http2Client:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()


def _wake(shared: _Shared, every: bool = False) -> None:
    """Somebody who waits may try again."""
    while shared.waiters:
        waiter = shared.waiters.popleft()
        if not waiter.done():
            waiter.set_result(None)
            if not every:
                return


def _late(total: float | None) -> str:
    return "" if total is None else f"the answer was not complete within {total:g} s"


async def _answer(call: Call, timeouts: Timeouts, expires: float | None) -> Answer:
    if timeouts.head is not None:
        patience = asyncio.get_running_loop().time() + timeouts.head
        if expires is None or patience < expires:
            call.expire(patience, f"no answer within {timeouts.head:g} s")
            await call.head()
    call.expire(expires, _late(timeouts.total))
    return await call.answer()
