"""``mizzen acm participant`` and ``runtime``: one part alone, in the foreground, from configuration and environment."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Coroutine, Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import click
import msgspec

from mizzen.cli.acm import extra
from mizzen.errors import MizzenError
from mizzen.up.acm.home import Credentials

_PORT = click.IntRange(0, 65535)
_PATIENCE = 0.02
# In a set all parts are on one machine, and a replica that is gone is to be missed soon.
_HEARTBEAT_MS = 5000


class NotGiven(MizzenError):
    """Something without which it cannot start."""


def _of_a_set(command: Callable[..., Any]) -> Callable[..., Any]:
    """What ``mizzen acm up`` tells the parts that it starts."""
    for option in (
        click.option("--parent", type=int, hidden=True, help="End when this process does."),
        click.option("--ready", type=int, hidden=True, help="A descriptor to say on that it is ready."),
        click.option("--listening", type=int, hidden=True, help="A descriptor of a socket that listens."),
        click.option("--credentials", type=click.Path(path_type=Path), hidden=True, help="Who may sign in."),
        click.option("--quick", is_flag=True, hidden=True, help="The broker is the embedded one."),
    ):
        command = option(command)
    return command


_CONFIG = click.option("--config", type=click.Path(path_type=Path), help="A YAML file of settings.")
_BROKER = click.option("--broker", metavar="HOST:PORT", help="Kafka, before what the configuration says.")


@click.command(short_help="Run a KServe participant alone.")
@_CONFIG
@_BROKER
@click.option("--kubeconfig", type=click.Path(path_type=Path), help="The cluster [default: as kubectl finds it].")
@click.option("--port", type=_PORT, help="Of health and metrics; 0 means any [default: the configuration's].")
@_of_a_set
def participant(
    config: Path | None,
    broker: str | None,
    kubeconfig: Path | None,
    port: int | None,
    parent: int | None,
    ready: int | None,
    listening: int | None,
    credentials: Path | None,
    quick: bool,
) -> None:
    """Run a KServe participant in the foreground, until Ctrl-C or SIGTERM.

    It is configured as ONAP's own is: by the YAML files of --config or SPRING_CONFIG_LOCATION, and by the environment.
    """
    extra.require(extra.PARTICIPANT)
    from mizzen.acm.participant.kserve import KserveHandler
    from mizzen.acm.participant.main import configured, main
    from mizzen.acm.participant.participant import Participant

    _with_log()
    _tied_to(parent)
    files = [config] if config else []
    # In a set, a file of the home says what is to be different; alone, it is the whole configuration.
    if parent is not None or (not files and not os.environ.get("SPRING_CONFIG_LOCATION")):
        shipped = resources.files("mizzen.acm.participant.kserve") / "application.yaml"
        files.insert(0, Path(str(shipped)))
    given = [
        ("participant.intermediaryParameters.kafka.bootstrapServers", broker, "--broker"),
        ("mizzen.kserve.kubeconfig", str(kubeconfig) if kubeconfig else None, "--kubeconfig"),
        ("server.port", None if port is None else str(port), "--port"),
    ]
    if quick:
        given.append(("mizzen.embeddedBroker", "true", "--quick"))
        given.append(("participant.intermediaryParameters.reportingTimeIntervalMs", str(_HEARTBEAT_MS), "--quick"))
    if credentials is not None:
        given.append(("server.address", "127.0.0.1", "--credentials"))
        known = msgspec.json.decode(credentials.read_bytes(), type=Credentials)
        given.append(("spring.security.user.name", known.user, "--credentials"))
        given.append(("spring.security.user.password", known.password, "--credentials"))
    telling: list[asyncio.Task[None]] = []

    def started(there: Participant, _: int | None) -> None:
        telling.append(asyncio.create_task(_say_ready(ready, lambda: there.registered)))

    told = [(path, text, origin) for path, text, origin in given if text is not None]
    main(configured(files, told), KserveHandler.of, started)


@click.command(short_help="Run a runtime of automation compositions alone.")
@_CONFIG
@_BROKER
@click.option("--database", metavar="URL", help="sqlite:///FILE or postgresql://..., before the configuration's.")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address of API and page.")
@click.option("--port", type=_PORT, default=6969, show_default=True, help="Their port; 0 means any.")
@click.option("--user", help="Who may use it, before the configuration's.")
@click.option("--password", envvar="RUNTIME_PASSWORD", help="The password; better by RUNTIME_PASSWORD.")
@click.option("--tls-certificate", type=click.Path(), help="A PEM file: with it, API and page speak HTTPS.")
@click.option("--tls-key", type=click.Path(), help="Its key, where the certificate's file has none.")
@click.option("--key-file", hidden=True, help="The secret for sensitive properties.")
@_of_a_set
def runtime(
    config: Path | None,
    broker: str | None,
    database: str | None,
    host: str,
    port: int,
    user: str | None,
    password: str | None,
    tls_certificate: str | None,
    tls_key: str | None,
    key_file: str | None,
    parent: int | None,
    ready: int | None,
    listening: int | None,
    credentials: Path | None,
    quick: bool,
) -> None:
    """Run a runtime of automation compositions in the foreground, until Ctrl-C or SIGTERM.

    It is configured by a YAML file, and by the environment variables that ONAP's own runtime has.
    """
    extra.require(extra.RUNTIME)
    from mizzen.acm.runtime.config import read
    from mizzen.acm.runtime.rest import app as rest
    from mizzen.acm.runtime.rest.serving import serve as listen
    from mizzen.acm.runtime.rest.settings import Settings as RestSettings
    from mizzen.acm.runtime.rest.settings import Tls
    from mizzen.acm.runtime.runtime import Runtime
    from mizzen.bus.client import Bus

    _with_log()
    _tied_to(parent)
    given: dict[str, Any] = {"broker": broker, "database": database, "user": user, "password": password}
    if credentials is not None:
        known = msgspec.json.decode(credentials.read_bytes(), type=Credentials)
        given |= {"user": known.user, "password": known.password}
    if key_file is not None:
        given |= {"encryption": True, "encryption_key_file": key_file}
    if quick and config is None:
        given |= {"heart_beat_ms": _HEARTBEAT_MS // 2, "max_status_wait_ms": 3 * _HEARTBEAT_MS}
    settings, warnings = read(config, **given)
    log = logging.getLogger("mizzen.acm.runtime")
    for warning in warnings:
        log.warning("configuration: %s", warning)
    if settings.basic_auth and not (settings.user and settings.password):
        raise NotGiven("who may use the runtime? Name --user and --password, or RUNTIME_USER and RUNTIME_PASSWORD")
    access = RestSettings(user=settings.user, password=settings.password, basic_auth=settings.basic_auth).check()
    tls = Tls(tls_certificate, tls_key) if tls_certificate else None

    async def serve() -> None:
        async with Bus(settings.bus(quick=quick)) as bus, Runtime(settings, bus) as running:
            app = rest.app(running.service, access)

            def listens(at: int) -> None:
                log.info("API and page at port %d, Kafka at %s", at, settings.broker)
                _tell(ready)

            inherited = socket.socket(fileno=listening) if listening is not None else None
            await listen(app, host, port, tls, listening=listens, inherited=inherited)

    _run(serve())


def _with_log() -> None:
    level = os.environ.get("MIZZEN_LOG_LEVEL", "INFO").upper()
    logging.basicConfig(stream=sys.stderr, level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for chatty in ("alembic", "uvicorn"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, logging.getLogger().level))


def _tied_to(parent: int | None) -> None:
    """End when whoever started this ends, even if it is killed."""
    if parent is None:
        return
    from mizzen.cluster.node.runtime.syscalls import set_parent_death_signal

    set_parent_death_signal(signal.SIGTERM)
    if os.getppid() != parent:
        raise SystemExit(0)


def _run(work: Coroutine[Any, Any, None]) -> None:
    """Until it ends, or SIGTERM or SIGINT comes."""
    with contextlib.suppress(asyncio.CancelledError, KeyboardInterrupt):
        asyncio.run(_until_told(work))


async def _until_told(work: Coroutine[Any, Any, None]) -> None:
    task = asyncio.create_task(work)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    try:
        await task
    except BaseExceptionGroup as errors:
        raise next(_leaves(errors)) from None


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from _leaves(one)
    else:
        yield error


async def _say_ready(descriptor: int | None, is_ready: Callable[[], bool]) -> None:
    if descriptor is None:
        return
    while not is_ready():
        await asyncio.sleep(_PATIENCE)
    _tell(descriptor)


def _tell(descriptor: int | None) -> None:
    if descriptor is not None:
        os.write(descriptor, b"ready\n")
        os.close(descriptor)
