"""Emptying the outbox into Kafka.

Rows of one key go one after the other, in the order of their numbers; a row that another runtime is to send holds back
the later ones of its key. A row that is not due yet holds back nobody, since whatever comes after it was decided after
it and does not contradict it. A row is gone once the broker has acknowledged the record: a runtime that dies between
the two sends it again.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import Any

import orjson

from mizzen.acm.runtime.conduct import Conductor
from mizzen.acm.runtime.encryption import PREFIX, Cipher, Undecipherable, texts
from mizzen.acm.runtime.moments import MILLISECOND, now
from mizzen.acm.runtime.post import SENT
from mizzen.acm.runtime.store import log as messages
from mizzen.acm.runtime.store import outbox
from mizzen.acm.runtime.store.engine import Store, Unavailable, Work
from mizzen.bus import Bus, BusError

log = logging.getLogger(__name__)

# A pass takes no more rows than this, and of one key so many: the other keys' next rows wait for its end.
_MOST, _MOST_OF_KEY = 500, 50
_PAUSE = 0.25
_AFTER_FAILURE = 1.0
_BEGINNING = f'"{PREFIX}'.encode()

Row = Any


class Sender:
    """Args: ``cipher``: opens what is encrypted."""

    def __init__(self, store: Store, bus: Bus, conductor: Conductor, cipher: Cipher | None) -> None:
        self._store = store
        self._bus = bus
        self._conductor = conductor
        self._owner = conductor.post.owner
        self._cipher = cipher
        self._wake = asyncio.Event()
        self._complained = False

    def wake(self) -> None:
        """Something was written into the outbox."""
        self._wake.set()

    async def run(self) -> None:
        """Send until cancelled, whatever becomes of broker and database."""
        while True:
            self._wake.clear()
            pause = await self._pass()
            if pause is None:
                await self._wake.wait()
            elif pause:
                await asyncio.sleep(pause)

    async def _pass(self) -> float | None:
        """Send what can be sent; returns the pause until the next pass, None if there is nothing left to do."""
        try:
            rows = await self._store.read(lambda work: outbox.waiting(work, _MOST))
            lanes = self._lanes(rows)
            sent: list[Row] = []
            refused: list[tuple[Row, str]] = []
            async with asyncio.TaskGroup() as tasks:
                outcomes = [tasks.create_task(self._lane(lane, sent, refused)) for lane in lanes]
            if sent:
                await self._store.write(lambda work: _settle(work, sent))
            for row, why in refused:
                await self._store.write(partial(self._give_up, row=row, why=why))
        except Unavailable as error:
            log.error("messages wait: %s", error)
            return _AFTER_FAILURE
        if not all(outcome.result() for outcome in outcomes):
            return _AFTER_FAILURE
        if len(rows) == _MOST or self._wake.is_set() or any(len(lane) == _MOST_OF_KEY for lane in lanes):
            return 0 if sent or refused else _PAUSE
        return None if len(sent) + len(refused) == len(rows) else self._until_due(rows, sent)

    def _lanes(self, rows: list[Row]) -> list[list[Row]]:
        """What may be sent now, by key."""
        lanes: dict[str, list[Row]] = {}
        held: set[str] = set()
        at = now()
        for row in rows:
            key = f"key {row.key}" if row.key is not None else f"row {row.number}"
            if key in held:
                continue
            if row.owner != self._owner:
                held.add(key)
            elif row.due <= at:
                lanes.setdefault(key, []).append(row)
        return [lane[:_MOST_OF_KEY] for lane in lanes.values()]

    async def _lane(self, rows: list[Row], sent: list[Row], refused: list[tuple[Row, str]]) -> bool:
        """One after the other, up to the first that cannot be sent; whether there was none such."""
        for row in rows:
            try:
                await self._bus.send(row.topic, self._opened(row), key=row.key)
            except (BusError, Undecipherable) as error:
                if isinstance(error, BusError) and error.refused:
                    refused.append((row, str(error)))
                    continue
                if not self._complained:
                    log.error("messages wait: %s", error)
                self._complained = True
                return False
            self._complained = False
            sent.append(row)
        return True

    def _give_up(self, work: Work, row: Row, why: str) -> None:
        """A record that no broker will ever take must not hold up what comes after it."""
        log.error("%s", why)
        outbox.remove(work, [row.number])
        messages.set_outcome(work, [row.logged], f"refused: {why}")
        self._conductor.refused(work, orjson.loads(row.body), why)

    def _opened(self, row: Row) -> bytes:
        body: bytes = row.body.encode()
        if self._cipher is None or _BEGINNING not in body:
            return body
        return orjson.dumps(texts(orjson.loads(body), self._cipher.decrypt))

    def _until_due(self, rows: list[Row], sent: list[Row]) -> float:
        done = {row.number for row in sent}
        waits: list[float] = [(row.due - now()) / (1000 * MILLISECOND) for row in rows if row.number not in done]
        return max(0.0, min([_PAUSE, *(wait for wait in waits if wait > 0)]))


def _settle(work: Work, sent: list[Row]) -> None:
    outbox.remove(work, [row.number for row in sent])
    messages.set_outcome(work, [row.logged for row in sent], SENT)
