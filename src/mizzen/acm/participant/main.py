"""A participant as a process: configuration in, participant and endpoints side by side, until it is told to end."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from mizzen.acm.participant.configuration import Configuration, load, read
from mizzen.acm.participant.endpoints import application
from mizzen.acm.participant.handler import ElementHandler
from mizzen.acm.participant.participant import Participant
from mizzen.acm.participant.web import bound
from mizzen.acm.participant.web import serve as serve_web
from mizzen.bus.client import Bus
from mizzen.bus.java import of_java
from mizzen.bus.settings import BusSettings

_log = logging.getLogger(__name__)

HandlerFactory = Callable[[Configuration], ElementHandler]
Started = Callable[[Participant, int | None], None]
Given = tuple[str, str, str]


async def serve(configuration: Configuration, handler_factory: HandlerFactory, on_start: Started | None = None) -> None:
    """Run a participant until cancelled.

    Args:
        handler_factory: makes the handler; what it wants to know it asks of ``configuration.settings``.
        on_start: told of the participant, and of the port of its endpoints, where they are served.

    Raises:
        Misconfigured: the endpoints' address cannot be had, or the handler's part of the configuration is wrong.
        BusError: Kafka's properties are wrong, or its client library is not installed.
    """
    handler = handler_factory(configuration)
    configuration.settings.check()
    settings, warnings = bus_settings(configuration)
    for warning in [*configuration.warnings(), *warnings]:
        _log.warning("configuration: %s", warning)
    async with Bus(settings) as bus:
        participant = Participant(configuration, bus, handler)
        try:
            async with asyncio.TaskGroup() as group:
                port = None
                if configuration.credentials is not None:
                    listening = bound(configuration.host, configuration.port)
                    port = int(listening.getsockname()[1])
                    app = application(participant, configuration.context_path, configuration.credentials)
                    group.create_task(serve_web(app, listening), name="endpoints")
                group.create_task(participant.run(), name="participant")
                if on_start is not None:
                    on_start(participant, port)
        except BaseExceptionGroup as errors:
            raise _first(errors) from None


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    found: BaseException = errors
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found


def bus_settings(configuration: Configuration) -> tuple[BusSettings, list[str]]:
    """What the bus is told, and a warning for each property that Java's client has and ours has not.

    Raises:
        BusError: the credentials cannot be read.
    """
    kafka = configuration.kafka
    common, warnings = of_java(kafka.properties)
    consumer, of_consumer = of_java(kafka.consumer)
    producer, of_producer = of_java(kafka.producer)
    settings = BusSettings(
        servers=kafka.servers, properties=common, consumer=consumer, producer=producer, quick=kafka.quick
    )
    return settings, [*warnings, *of_consumer, *of_producer]


def configured(
    files: Sequence[Path] = (), given: Iterable[Given] = (), environment: Mapping[str, str] | None = None
) -> Configuration:
    """The configuration from files (those that ``SPRING_CONFIG_LOCATION`` names where there are none) and environment.

    Args:
        given: values that go before all others: path, text, and who says so.

    Raises:
        Misconfigured: with all that is wrong.
    """
    settings = load(files, os.environ if environment is None else environment)
    for path, text, origin in given:
        settings.set(path, text, origin)
    return read(settings)


def main(configuration: Configuration, handler_factory: HandlerFactory, on_start: Started | None = None) -> None:
    """Run a participant in the foreground until SIGTERM or SIGINT.

    Raises:
        MizzenError: why it cannot run.
    """
    asyncio.run(_until_signal(configuration, handler_factory, on_start))


async def _until_signal(
    configuration: Configuration, handler_factory: HandlerFactory, on_start: Started | None
) -> None:
    def started(participant: Participant, port: int | None) -> None:
        _announce(participant, port)
        if on_start is not None:
            on_start(participant, port)

    loop = asyncio.get_running_loop()
    serving = asyncio.create_task(serve(configuration, handler_factory, started))
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, serving.cancel)
    try:
        await serving
    except asyncio.CancelledError:
        _log.info("ended")


def _announce(participant: Participant, port: int | None) -> None:
    configuration = participant.configuration
    _log.info(
        "participant %s, replica %s, Kafka at %s%s",
        configuration.participant_id,
        configuration.replica_id,
        configuration.kafka.servers,
        f", endpoints at port {port}{configuration.context_path}" if port is not None else "",
    )
