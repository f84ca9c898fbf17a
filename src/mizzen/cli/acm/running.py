"""``mizzen acm up`` and ``down``: a broker, a runtime and a participant on this machine, kept running together."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from pathlib import Path

import click

from mizzen.cli import output
from mizzen.cli.acm import extra
from mizzen.cli.connection import named_or_own_kubeconfig
from mizzen.up.acm import state
from mizzen.up.acm.home import AcmHome, already_running
from mizzen.up.acm.state import State

_REST_PORT = 6969


@click.command(short_help="Start a broker, a runtime and a KServe participant.")
@click.option("-d", "--detach", is_flag=True, help="Return when all of it is ready, and leave it running.")
@click.option(
    "--rest-port",
    type=click.IntRange(0, 65535),
    default=_REST_PORT,
    show_default=True,
    help="Port of the runtime's API and page; 0 means any.",
)
@click.option("--user", help="Who may use the runtime [default: admin, or who was named before].")
@click.option("--password", help="The password [default: the one from before, or a new one].")
@click.option("--broker", metavar="HOST:PORT", help="A Kafka that is there, instead of one of our own.")
@click.option("--database", metavar="URL", help="sqlite:///FILE or postgresql://... [default: a file in the home].")
@click.option(
    "--kubeconfig",
    type=click.Path(path_type=Path),
    help="The cluster for the models [default: $KUBECONFIG, or the installation of this home].",
)
@click.option("--background", is_flag=True, hidden=True, help="What --detach starts.")
def up(
    detach: bool,
    rest_port: int,
    user: str | None,
    password: str | None,
    broker: str | None,
    database: str | None,
    kubeconfig: Path | None,
    background: bool,
) -> None:
    """Start what automation compositions need on this machine: a Kafka broker, a runtime with its page, and a
    participant that deploys InferenceServices to the installation of `mizzen up`.

    Runs until Ctrl-C or `mizzen acm down`. Everything it keeps is in $MIZZEN_HOME/acm.
    """
    extra.require(extra.RUNTIME)
    home = AcmHome.from_environment()
    if state.read(home) is not None:
        raise already_running(home)  # before its credentials are replaced
    cluster = named_or_own_kubeconfig(kubeconfig)
    home.make()
    credentials = home.given_credentials(user, password)
    begun = time.monotonic()
    if detach:
        from mizzen.up.acm import detached

        arguments = [f"--rest-port={rest_port}", f"--kubeconfig={cluster}"]
        arguments += [f"--broker={broker}"] if broker else []
        arguments += [f"--database={database}"] if database else []
        _tell(home, detached.start(home, arguments), begun)
        return
    from mizzen.up.acm.supervisor import Set, Settings

    settings = Settings(
        rest_port=rest_port, credentials=credentials, kubeconfig=cluster, broker=broker, database=database
    )
    # What the broker's end is told by goes into the same log; the bus would tell it a second time.
    logging.getLogger("mizzen.bus").addHandler(logging.NullHandler())
    end = "" if background else "Ctrl-C ends it"
    asyncio.run(Set(home, settings, _say, lambda running: _tell(home, running, begun, end)).run())
    _say("stopped; everything it started has ended")


def _say(line: str) -> None:
    """Print a line, unless the terminal is gone or the disk is full, which must not keep the set from ending."""
    with contextlib.suppress(OSError):
        click.echo(line)


def _tell(home: AcmHome, running: State, begun: float, end: str = "") -> None:
    kept = home.kept_credentials()
    _say(f"ready in {time.monotonic() - begun:.1f} s")
    rows = [
        ("  page", f"{running.url}   sign in as {kept.user if kept else ''}"),
        ("  password", f"in {home.credentials}"),
        ("  API", f"{running.url}/onap/policy/clamp/acm/v2"),
        ("  Kafka", running.broker),
    ]
    _say(output.table(rows))
    if end:
        _say(end)


@click.command(short_help="End what `mizzen acm up` has started.")
def down() -> None:
    """End broker, runtime and participant. Definitions and instances stay stored, models that are deployed stay up."""
    from mizzen.up.acm import detached

    home = AcmHome.from_environment()
    click.echo("stopped" if detached.stop(home) else f"nothing runs in {home.root}")
