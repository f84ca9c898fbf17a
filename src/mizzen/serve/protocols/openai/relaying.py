"""A request passed on whole to the server behind a model, and its answer passed back as it comes."""

from __future__ import annotations

import msgspec

from mizzen.http.errors import Disconnected
from mizzen.http.exchange import Exchange
from mizzen.http.headers import JSON, encode
from mizzen.serve.generation.relay import Answer, RelayLane, UpstreamError
from mizzen.serve.protocols.openai.events import EventStream

# As much of a wrong answer as a sentence can hold.
_SHOWN = 200


class _Detail(msgspec.Struct):
    message: str


class _Error(msgspec.Struct):
    error: _Detail


async def relay(exchange: Exchange, lane: RelayLane, path: str, body: bytes) -> None:
    """Ask and answer."""
    events = EventStream(exchange)
    try:
        async with lane.ask(path, body, exchange.headers) as answer:
            if answer.status >= 300:
                await _refused(exchange, answer)
            elif answer.streams:
                exchange.start(answer.status, encode(answer.headers))
                async for piece in answer.pieces():
                    exchange.write(piece)
                    await exchange.drain()
                exchange.finish()
            else:
                exchange.respond(answer.status, await answer.read(), encode(answer.headers))
    except Disconnected:
        return
    except Exception as error:
        events.fail(error)


async def _refused(exchange: Exchange, answer: Answer) -> None:
    """An error in OpenAI's form is the client's to read; any other answer is none."""
    body = await answer.read()
    try:
        msgspec.json.decode(body, type=_Error)
    except (msgspec.DecodeError, UnicodeDecodeError):
        shown = body[:_SHOWN].decode("utf-8", "replace")
        raise UpstreamError(
            f"Received invalid response from upstream: status {answer.status}, {shown!r}", 502, "BadGateway"
        ) from None
    again = [pair for pair in answer.headers if pair[0] == b"retry-after"]
    exchange.respond(answer.status, body, JSON + encode(again))
