"""Sending: a record is handed to librdkafka, and the caller waits until a broker has acknowledged it.

What librdkafka says of its fate arrives on the thread that polls it, which sets the caller's future. A record that
nobody acknowledged in time is given up there too, so that it cannot arrive after the caller was told that it failed
(unless the broker had it and only the acknowledgement was lost).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from mizzen.bus.errors import BusError, trouble
from mizzen.bus.settings import Configuration
from mizzen.bus.watch import Watch

# librdkafka looks for what has timed out about once a second.
_SLACK = 3.0
# What is wrong with the record itself.
_REFUSED = {"MSG_SIZE_TOO_LARGE", "INVALID_MSG", "INVALID_RECORD"}
_FLUSH = 0.5
_SILENT = {"_MSG_TIMED_OUT", "_TIMED_OUT", "_TRANSPORT", "_ALL_BROKERS_DOWN"}


class Sender:
    """A producer. :meth:`step` belongs to one thread, :meth:`send` to any event loop."""

    def __init__(self, configuration: Configuration, watch: Watch, servers: str, timeout: float) -> None:
        self._watch = watch
        self._servers = servers
        self._timeout = timeout
        self._producer = Producer({**configuration, "error_cb": watch.complaint})

    def step(self, timeout: float) -> None:
        """Wait for news of records and of the connection for ``timeout`` seconds at most."""
        self._producer.poll(timeout)

    async def send(self, topic: str, value: bytes, key: str | None, headers: Sequence[tuple[str, bytes]]) -> None:
        """Return once the record is acknowledged.

        Raises:
            BusError: it was not, in the time given, or the broker refuses it.
        """
        loop = asyncio.get_running_loop()
        acknowledged: asyncio.Future[KafkaError | None] = loop.create_future()

        def delivered(error: KafkaError | None, message: Message[Any, Any]) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed, and nobody waits
                loop.call_soon_threadsafe(_settle, acknowledged, error)

        self._watch.follow([topic])
        try:
            self._producer.produce(
                topic, value, key=key, headers=list(headers) if headers else None, on_delivery=delivered
            )
        except BufferError:
            why = f"too much waits to be sent already; {self._watch.reason}".rstrip("; ")
            raise self._failed(topic, why) from None
        except KafkaException as error:
            raise self._failed(topic, trouble(error.args[0]).text, error.args[0].name()) from error
        try:
            failure = await asyncio.wait_for(acknowledged, self._timeout + _SLACK)
        except TimeoutError:
            raise self._failed(topic, self._silence(topic)) from None
        if failure is not None:
            why = self._silence(topic) if failure.name() in _SILENT else trouble(failure).text
            raise self._failed(topic, why, failure.name())

    def close(self) -> None:
        """Give up what still waits; their callers get an error."""
        self._producer.purge()
        self._producer.flush(_FLUSH)

    def _silence(self, topic: str) -> str:
        view = self._watch.view
        if not view.connected:
            why = self._watch.reason
        elif topic in view.troubles:
            why = view.troubles[topic].text
        else:
            why = "it did not acknowledge the record"
        return f"{why} (tried for {self._timeout:g} s)"

    def _failed(self, topic: str, why: str, name: str = "") -> BusError:
        error = BusError(f"nothing could be sent to topic {topic} of the Kafka broker at {self._servers}: {why}")
        error.refused = name in _REFUSED
        return error


def _settle(acknowledged: asyncio.Future[Any], error: KafkaError | None) -> None:
    if not acknowledged.done():
        acknowledged.set_result(error)
