"""Which version of HTTP a new connection speaks.

Under TLS both sides have agreed on it (ALPN, RFC 7301). Without, and where a client offered nothing, the first bytes
say it: HTTP/2 begins with a preface that is no request of HTTP/1.1 (RFC 9113, section 3.4). Once that is known the
connection gets a protocol of its own, so whoever speaks HTTP/1.1 pays for this only once.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Any

from mizzen.http.connection import Connection
from mizzen.http.http2.connection import Http2Connection
from mizzen.http.http2.frames import PREFACE

if TYPE_CHECKING:
    from mizzen.http.server import Server


def offer_http2(context: ssl.SSLContext) -> None:
    """Let TLS clients and servers of this context agree on HTTP/2, or else on HTTP/1.1."""
    context.set_alpn_protocols(["h2", "http/1.1"])


class Sniffer(asyncio.Protocol):
    """A connection whose version is not known yet."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._transport: Any = None
        self._agreed: str | None = None
        self._begun = b""
        self._since = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._since = self.server.opened(self)
        tls = transport.get_extra_info("ssl_object")
        self._agreed = tls.selected_alpn_protocol() if tls is not None else None
        if self._agreed not in (None, "h2"):
            self._become(Connection(self.server))

    def data_received(self, data: bytes) -> None:
        data = self._begun + data
        if data.startswith(PREFACE):
            self._go_on(Http2Connection(self.server), data[len(PREFACE) :])
        elif PREFACE.startswith(data):
            if not self._begun:
                self._since = self.server.ticks
            self._begun = data
        elif self._agreed:
            self._transport.close()  # it has broken its word
        else:
            self._go_on(Connection(self.server), data)

    def eof_received(self) -> bool:
        if not self._begun or self._agreed:
            return False
        # The beginning of a preface may be the beginning of a request that was cut off: HTTP/1.1 has words for it.
        protocol = Connection(self.server)
        self._go_on(protocol, self._begun)
        return protocol.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self.server.closed(self)

    def _become(self, protocol: Connection | Http2Connection) -> None:
        self._transport.set_protocol(protocol)
        protocol.connection_made(self._transport)
        self.server.closed(self)

    def _go_on(self, protocol: Connection | Http2Connection, data: bytes) -> None:
        self._become(protocol)
        if data:
            protocol.data_received(data)

    def check_time(self, now: int) -> None:
        waited = (now - self._since) * self.server.tick
        limits = self.server.limits
        if waited > (limits.head_timeout if self._begun else limits.keep_alive):
            self._transport.close()

    def retire(self) -> None:
        """Whoever has said nothing yet is told with its first answer."""

    def close_if_idle(self) -> None:
        if not self._begun:
            self._transport.close()

    def abort(self) -> None:
        self._transport.abort()
