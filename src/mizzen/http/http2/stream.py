"""One stream: what either side still has to send, and how much of it the other will take."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Generic, TypeVar

O = TypeVar("O")  # noqa: E741

# What may wait in a stream before its writer is held, and from where on it may go on.
HIGH = 64 * 1024
LOW = 16 * 1024


class Stream(Generic[O]):
    """Attributes:
    owner: whom it belongs to: an exchange or a call.
    window: what the other side takes of it now.
    pending: what waits for the window, in order; None if nothing does. Never empty.
    unsent: the bytes of that.
    sending: whether our side is still open.
    ending: whether our side ends after what is pending.
    trailers: their encoded block, if our side ends with some.
    allowance: what the other side may send now.
    owed: what was taken since the other side was told so.
    paused: whether the reader of what comes has enough for now.
    withheld: what has come since, of which the other side is not told.
    receiving: whether the other side is still open.
    since: when there was progress last.
    """

    __slots__ = (
        "_waiters",
        "allowance",
        "ending",
        "id",
        "owed",
        "owner",
        "paused",
        "pending",
        "receiving",
        "sending",
        "since",
        "trailers",
        "unsent",
        "window",
        "withheld",
    )

    def __init__(self, number: int, owner: O, window: int, allowance: int, receiving: bool, since: float) -> None:
        self.id = number
        self.owner = owner
        self.window = window
        self.pending: deque[memoryview] | None = None
        self.unsent = 0
        self.sending = True
        self.ending = False
        self.trailers = b""
        self.allowance = allowance
        self.owed = 0
        self.paused = False
        self.withheld = 0
        self.receiving = receiving
        self.since = since
        self._waiters: list[asyncio.Future[None]] | None = None

    def hold(self, piece: bytes) -> None:
        """Keep a piece until the other side takes it."""
        if piece:
            if self.pending is None:
                self.pending = deque()
            self.pending.append(memoryview(piece))
            self.unsent += len(piece)

    def take(self, size: int) -> memoryview:
        """At most ``size`` bytes of what is pending."""
        assert self.pending
        piece = self.pending[0]
        if len(piece) > size:
            self.pending[0] = piece[size:]
            piece = piece[:size]
        else:
            self.pending.popleft()
        self.unsent -= len(piece)
        if self._waiters is not None and self.unsent <= LOW:
            self.wake()
        return piece

    def drop(self) -> None:
        """Nothing more will be taken."""
        self.pending = None
        self.unsent = 0
        self.sending = False
        self.wake()

    async def drained(self) -> None:
        """Wait until less is pending, or nothing will be taken any more."""
        waiter = asyncio.get_running_loop().create_future()
        if self._waiters is None:
            self._waiters = []
        self._waiters.append(waiter)
        await waiter

    def wake(self) -> None:
        waiters, self._waiters = self._waiters, None
        for waiter in waiters or ():
            if not waiter.done():
                waiter.set_result(None)
