"""A V1 request to a model that takes payloads: what the client sent, decoded from its wire form and nothing more.

Most models take tensors, and a protocol turns what it got into them. A model that somebody wrote for KServe takes the
payload itself: a JSON object, a list, or bytes. Its lane says so by having :meth:`PayloadLane.submit_payload`; how the
answer is written to the wire, CloudEvents included, stays the protocol's.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Literal, Protocol, runtime_checkable

from mizzen.serve.lanes.lane import Call
from mizzen.serve.model import NO_OPTIONS, Extras

Verb = Literal["predict", "explain"]

# What a lane may answer with: a JSON value; text or bytes, sent as they are; or pieces of them, sent as they come.
Chunk = bytes | str | dict[str, Any] | list[Any]
Result = Chunk | AsyncIterator[Chunk]


class PayloadCall(Call):
    """One request on its way through a model that takes payloads. A protocol derives its own.

    The lane settles it by :meth:`give`, once, on the server's loop: with a result and perhaps response headers
    (``Extras.headers``), or with an exception. An asynchronous iterator is read on the server's loop, a piece at a time
    and no faster than the client does; it is closed (``aclose``) if the client goes away.

    Attributes:
        payload: a dict, a list or another JSON value; ``bytes`` where the request is not JSON by its media type.
        headers: the request's fields, names in lower case; the model may change them, nobody else reads them.
        verb: which of its two questions the model is asked.
    """

    __slots__ = ("headers", "payload", "verb")

    def __init__(
        self,
        payload: Any,
        headers: dict[str, str],
        verb: Verb,
        arrived: float,
        deadline: float | None = None,
        identifier: str | None = None,
    ) -> None:
        super().__init__([], arrived, NO_OPTIONS, deadline, identifier)
        self.payload = payload
        self.headers = headers
        self.verb: Verb = verb

    def resolve(self, outputs: Any, extras: Extras | None = None) -> None:
        """Answer with a :data:`Result`. Whatever it raises is given to :meth:`reject`."""
        raise NotImplementedError

    def give(self, answer: Any, extras: Extras | None = None) -> None:
        """Settle it: with a :data:`Result`, or with an exception."""
        super().give(answer, extras)


@runtime_checkable
class PayloadLane(Protocol):
    """What a lane has, beside what every lane has, whose model takes payloads."""

    def submit_payload(self, call: PayloadCall) -> None:
        """Take a request; it is settled later, on the loop.

        Raises:
            QueueFull: as many wait as may.
        """
