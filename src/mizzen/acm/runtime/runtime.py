"""A runtime that runs: its database is at its schema, its tasks are under way, its service answers.

It needs a database to start and no broker: whatever waits for Kafka is in the database meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any

import orjson
from sqlalchemy import select

from mizzen.acm.runtime.conduct import Conductor
from mizzen.acm.runtime.config import Misconfigured, Settings
from mizzen.acm.runtime.encryption import PREFIX, Cipher, Undecipherable, is_sealed, texts
from mizzen.acm.runtime.feed import Feed
from mizzen.acm.runtime.post import Post
from mizzen.acm.runtime.service import Service
from mizzen.acm.runtime.services.whole import RuntimeService
from mizzen.acm.runtime.store import leases, schema
from mizzen.acm.runtime.store.engine import Store, Unavailable, Work
from mizzen.acm.runtime.store.tables import elements
from mizzen.acm.runtime.supervision.inbox import Inbox
from mizzen.acm.runtime.supervision.presence import Presence
from mizzen.acm.runtime.supervision.repeats import Repeats
from mizzen.acm.runtime.supervision.scanner import Scanner
from mizzen.acm.runtime.supervision.sender import Sender
from mizzen.bus import Bus, BusError
from mizzen.errors import MizzenError

log = logging.getLogger(__name__)

# A database that is away at start is waited for this long, in seconds.
_PATIENCE = 30.0
_AGAIN = 1.0


class Runtime:
    """An async context manager.

    Args:
        bus: entered already, and left by whoever made it.

    Attributes:
        service: what it can be asked, while it runs.
    """

    service: Service

    def __init__(self, settings: Settings, bus: Bus) -> None:
        self.settings = settings
        self._bus = bus
        self._running: asyncio.Task[None] | None = None
        self._store: Store | None = None
        self._scanner: Scanner | None = None

    async def __aenter__(self) -> Runtime:
        """
        Raises:
            Unavailable: the database cannot be used.
            Misconfigured: encryption and what is in the database do not agree.
        """
        secret = self.settings.secret()
        cipher = Cipher(secret) if secret else None
        feed = Feed()
        sender: Sender | None = None

        def committed(work: Work) -> None:
            feed.tell(work.changes)
            if work.sends and sender is not None:
                sender.wake()

        store = self._store = Store(self.settings.database, committed)
        try:
            await _prepared(store)
            await store.read(lambda work: _check_key(work, cipher))
        except BaseException:
            store.close()
            raise
        post = Post(leases.new_owner(), self.settings.topics, self.settings.dialect)
        conductor = Conductor(self.settings, post)
        presence = Presence(conductor)
        inbox = Inbox(store, conductor, presence)
        sender = Sender(store, self._bus, conductor, cipher)
        scanner = self._scanner = Scanner(store, conductor, presence, feed)
        listener = self._bus.group([self.settings.operation_topic], self.settings.group, inbox.handle)
        repeats = Repeats(store, self._bus, conductor, listener, self._topics, lambda: scanner.leads)
        self.service = RuntimeService(store, conductor, presence, self._bus, feed, cipher)
        self._running = asyncio.create_task(
            _together(listener=listener.run, sender=sender.run, scanner=scanner.run, repeats=repeats.run),
            name="acm runtime",
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait([self._running])
        if self._scanner is not None:
            with contextlib.suppress(Unavailable):
                await self._scanner.leave()
        if self._store is not None:
            await asyncio.to_thread(self._store.close)

    async def _topics(self) -> None:
        """Make the topics, however long the broker is away."""
        told = ""
        while True:
            try:
                topics = self.settings.topics
                await self._bus.ensure_topics([topics.operation, topics.sync], self.settings.partitions)
                return
            except BusError as error:
                if str(error) != told:
                    log.error("%s", error)
                told = str(error)
                await asyncio.sleep(_AGAIN)


async def _prepared(store: Store) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _PATIENCE
    while True:
        try:
            await asyncio.to_thread(schema.upgrade, store)
            return
        except Unavailable as error:
            if loop.time() > deadline:
                raise
            log.error("%s", error)
            await asyncio.sleep(_AGAIN)


def _check_key(work: Work, cipher: Cipher | None) -> None:
    """What was encrypted once can only be read with the same key: better to say so now than with every order."""
    query = select(elements.c.properties).where(elements.c.properties.contains(f'"{PREFIX}'))
    for properties in work.connection.execute(query).scalars():
        sealed = _sealed(orjson.loads(properties))
        if sealed and cipher is None:
            raise Misconfigured(
                "the database has encrypted properties, but encryption is off: "
                "set MSG_ENABLE_ENCRYPTION and the key that they were encrypted with"
            )
        if sealed and cipher is not None:
            try:
                cipher.decrypt(sealed[0])
            except Undecipherable as error:
                raise Misconfigured(str(error)) from None
            return


def _sealed(properties: object) -> list[str]:
    found: list[str] = []

    def collect(text: str) -> str:
        if is_sealed(text):
            found.append(text)
        return text

    texts(properties, collect)
    return found


async def _together(**makes: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async with asyncio.TaskGroup() as tasks:
        for name, make in makes.items():
            tasks.create_task(_lasting(name, make), name=f"acm {name}")


async def _lasting(name: str, make: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """A task that is there as long as the runtime: what goes wrong in it is told, and it begins again."""
    while True:
        try:
            await make()
        except MizzenError as error:
            log.error("%s: %s", name, error)
        except Exception:
            log.exception("%s has met a defect and begins again", name)
        await asyncio.sleep(_AGAIN)
