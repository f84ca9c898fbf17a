"""What a bus keeps while it is entered: the producer, the client that asks, and the thread that serves both."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from mizzen.bus.errors import BusError, is_unanswered, is_vague, trouble
from mizzen.bus.sender import Sender
from mizzen.bus.settings import BusSettings
from mizzen.bus.watch import Topic, Watch, answer, describe

log = logging.getLogger(__name__)

_ROUND = 0.05
_GRACE = 3.0
_AFTER_DEFECT = 1.0
_INTERVAL, _QUICK_INTERVAL = 5.0, 1.0
_PATIENCE, _QUICK_PATIENCE = 3.0, 1.0
_BROKERS_CHOICE = -1


class Service:
    """Raises BusError, when made, if a property is wrong."""

    def __init__(self, settings: BusSettings) -> None:
        self._settings = settings
        try:
            asking: dict[str, Any] = {**settings.for_admin(), "error_cb": _weakly(self._complaint)}
            self._admin = AdminClient(asking)
            self.watch = Watch(
                self._admin,
                settings.servers,
                interval=_QUICK_INTERVAL if settings.quick else _INTERVAL,
                patience=_QUICK_PATIENCE if settings.quick else _PATIENCE,
            )
            self.sender = Sender(settings.for_producer(), self.watch, settings.servers, settings.send_timeout)
        except KafkaException as error:
            raise BusError(f"the properties for Kafka are wrong: {error.args[0].str()}") from error
        self._stop = threading.Event()

    def start(self) -> None:
        """Start the thread; on the loop on which :meth:`stop` will wait for it."""
        loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[None] = loop.create_future()

        def run() -> None:
            try:
                self._serve()
            finally:
                with contextlib.suppress(RuntimeError):  # the loop is closed, and nobody waits
                    loop.call_soon_threadsafe(self._ended.set_result, None)

        threading.Thread(target=run, name="bus", daemon=True).start()

    async def stop(self) -> None:
        """End the thread; a send that still waits fails."""
        self._stop.set()
        await asyncio.wait({self._ended}, timeout=_GRACE)

    async def check(self, timeout: float) -> str | None:
        for future in describe(self._admin, [], timeout).values():
            found = await _answered(future)
            if found is None or isinstance(found, Topic) or not is_unanswered(found):
                continue
            return f"the Kafka broker at {self._settings.servers} cannot be reached: {self._why(found)}"
        return None

    async def ensure_topics(self, topics: Sequence[str], partitions: int) -> None:
        timeout = self._settings.send_timeout
        # Who may use a topic may see it, and need not be permitted to create any.
        missing = []
        for name, future in (describe(self._admin, dict.fromkeys(topics), timeout) if topics else {}).items():
            found = await _answered(future)
            if isinstance(found, KafkaError):
                if is_unanswered(found):
                    raise self._uncreated(name, found)
                missing.append(NewTopic(name, partitions, _BROKERS_CHOICE))
        if not missing:
            return
        asked = self._admin.create_topics(missing, request_timeout=timeout, operation_timeout=timeout)
        for name, future in asked.items():
            try:
                await asyncio.shield(asyncio.wrap_future(future))
            except KafkaException as error:
                if error.args[0].name() != "TOPIC_ALREADY_EXISTS":
                    raise self._uncreated(name, error.args[0]) from error
        self.watch.hurry()

    def _uncreated(self, topic: str, failure: KafkaError) -> BusError:
        servers = self._settings.servers
        return BusError(f"topic {topic} cannot be created by the Kafka broker at {servers}: {self._why(failure)}")

    def _why(self, failure: KafkaError) -> str:
        """What a client says of its failure, or what others know of the connection where it says little."""
        return (is_vague(failure) and self.watch.reason) or trouble(failure).text

    def _complaint(self, error: Any) -> None:
        self.watch.complaint(error)

    def _serve(self) -> None:
        while not self._stop.is_set():
            try:
                self.sender.step(_ROUND)
                self._admin.poll(0)
                self.watch.step()
            except Exception:
                # Whatever it is, those who send and listen depend on this thread.
                log.exception("serving the connection to Kafka failed; going on")
                self._stop.wait(_AFTER_DEFECT)
        self.sender.close()


def _weakly(method: Callable[[Any], None]) -> Callable[[Any], None]:
    """``method`` as a callback that keeps nobody alive: a client that waits for the collector keeps its threads."""
    held = weakref.WeakMethod(method)

    def call(argument: Any) -> None:
        found = held()
        if found is not None:
            found(argument)

    return call


async def _answered(future: Future[Any]) -> Topic | KafkaError | None:
    with contextlib.suppress(KafkaException):
        await asyncio.shield(asyncio.wrap_future(future))
    return answer(future)
