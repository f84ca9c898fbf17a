"""A stream of server-sent events, as OpenAI's clients read it.

Its head goes out with its first event, so that whatever goes wrong before has a status of its own. What goes wrong
later is an event, too, and the stream then ends without its ``[DONE]``.
"""

from __future__ import annotations

from typing import Any

from mizzen.http.exchange import Exchange
from mizzen.http.headers import encode
from mizzen.serve.codecs import bodies
from mizzen.serve.protocols.openai import errors

# Proxies (nginx, for one) hold answers back to fill their buffers unless they are told not to.
HEAD = encode(
    [
        (b"content-type", b"text/event-stream; charset=utf-8"),
        (b"cache-control", b"no-cache"),
        (b"x-accel-buffering", b"no"),
    ]
)


class EventStream:
    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    async def send(self, value: Any) -> None:
        """Send an event, and wait while the client reads more slowly than they come.

        Raises:
            Disconnected: the client has gone.
        """
        self._write(bodies.encode(value))
        await self._exchange.drain()

    def end(self) -> None:
        """Everything was said."""
        self._write(b"[DONE]")
        self._exchange.finish()

    def fail(self, error: BaseException) -> None:
        """It cannot go on."""
        if not self._exchange.started:
            errors.refuse(self._exchange, error)
            return
        errors.note(self._exchange, error)
        self._write(bodies.encode(errors.refusal(error)[1]))
        self._exchange.finish()

    def _write(self, data: bytes) -> None:
        if not self._exchange.started:
            self._exchange.start(200, HEAD)
        self._exchange.write(b"data: %b\n\n" % data)
