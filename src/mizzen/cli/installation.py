"""``mizzen up``, ``down``, ``status``, ``kubeconfig`` and ``env``: an installation on this machine."""

from __future__ import annotations

import os
import shlex
import sys
import time
from typing import Any

import click

from mizzen import __version__
from mizzen.cli import output
from mizzen.up import state
from mizzen.up.errors import UpError
from mizzen.up.home import Home
from mizzen.up.supervisor import stop_signals_held

_API_PORT = 7443
_GATEWAY_PORT = 7080
_PORT = click.IntRange(0, 65535)


@click.command(short_help="Start Mizzen on this machine.")
@click.option("-d", "--detach", is_flag=True, help="Return when it is ready, and leave it running.")
@click.option(
    "--api-port", type=_PORT, default=_API_PORT, show_default=True, help="Port of the Kubernetes API; 0 means any."
)
@click.option(
    "--gateway-port", type=_PORT, default=_GATEWAY_PORT, show_default=True, help="Port for models; 0 means any."
)
def up(detach: bool, api_port: int, gateway_port: int) -> None:
    """Start Mizzen on this machine: a Kubernetes API, the controllers, a node and a gateway.

    Runs until Ctrl-C or `mizzen down`. Everything it keeps is in $MIZZEN_HOME (~/.mizzen).
    """
    home = Home.from_environment()
    begun = time.monotonic()
    # The roles' code is loaded here alone, because it takes longer than any other command.
    if detach:
        from mizzen.up import detached

        detached.start(home, api_port, gateway_port, say=click.echo)
        _tell_how_to_use(home, begun)
        return
    with stop_signals_held():
        from mizzen.up import installation

        click.echo(f"mizzen {__version__} in {home.root}")
        claimed = installation.claim(home, api_port, gateway_port)
        installation.run(claimed, _say, lambda: _tell_how_to_use(home, begun, end="Ctrl-C ends it"), background=False)
    _say("stopped; everything it started has ended")


def _say(line: str) -> None:
    """Print a line, unless the terminal is gone, which must not keep the installation from ending cleanly."""
    try:
        click.echo(line)
    except OSError:
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, sys.stdout.fileno())
        os.close(devnull)


def _tell_how_to_use(home: Home, begun: float, end: str = "") -> None:
    running = state.read(home)
    assert running is not None
    _say(f"ready in {time.monotonic() - begun:.1f} s")
    rows = [
        ("API", f"{running.api_url}   export KUBECONFIG={shlex.quote(str(home.kubeconfig))}"),
        ("models", f"{running.gateway_url}   mizzen describe isvc NAME prints the line that calls one"),
        ("pods", running.mounts),
    ]
    _say(output.table([(f"  {name}", text) for name, text in rows]))
    if end:
        _say(end)


@click.command(short_help="End the installation and everything it started.")
def down() -> None:
    """End the installation and everything it started. Objects stay stored for the next `mizzen up`."""
    from mizzen.up import detached

    home = Home.from_environment()
    click.echo("stopped" if detached.stop(home) else f"nothing runs in {home.root}")


@click.command(short_help="Tell whether Mizzen runs, and where.")
@click.option("-o", "--output", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def status(form: str) -> None:
    """Tell whether an installation runs here, what answers where, and how its roles are. Exit code 1 if not ready."""
    home = Home.from_environment()
    running = state.read(home)
    told = _told(home, running) if running else _told_stopped(home)
    if form == "json":
        click.echo(output.as_json(told))
    elif running is None and told["podsLeft"]:
        click.echo(
            f"no installation runs in {home.root}, but models of one that was killed still run: "
            "`mizzen up -d` adopts them, `mizzen down` ends them"
        )
    elif running is None:
        click.echo(f"no installation runs in {home.root}; start one with `mizzen up -d`")
    else:
        click.echo(output.table(_rows(home, running)))
    if not told["ready"]:
        raise click.exceptions.Exit(1)


def _told_stopped(home: Home) -> dict[str, Any]:
    from mizzen.up.ending import has_pods  # what it takes to ask them is loaded for nobody else

    return {"ready": False, "phase": "stopped", "home": str(home.root), "podsLeft": has_pods(home)}


def _told(home: Home, running: state.State) -> dict[str, Any]:
    """The contract with scripts: ``ready``, ``api.url``, ``gateway.url``, ``kubeconfig``."""
    return {
        "ready": running.is_ready,
        "phase": running.phase,
        "api": {"url": running.api_url},
        "gateway": {"url": running.gateway_url},
        "kubeconfig": str(home.kubeconfig),
        "home": str(home.root),
        "version": running.version,
        "pid": running.supervisor.pid,
        "startedAt": running.started_at,
        "addresses": running.address_block,
        "volumes": running.mounts,
        "roles": {
            name: {"pid": role.pid, "ready": role.ready, "restarts": role.restarts}
            for name, role in running.roles.items()
        },
    }


def _rows(home: Home, running: state.State) -> list[tuple[str, str]]:
    word = "ready" if running.is_ready else running.phase if running.phase != "ready" else "recovering"
    rows = [
        ("state", f"{word} (pid {running.supervisor.pid}, version {running.version})"),
        ("api", running.api_url),
        ("gateway", running.gateway_url),
        ("kubeconfig", str(home.kubeconfig)),
        ("home", str(home.root)),
        ("addresses", f"pods have {running.address_block}"),
        ("volumes", running.mounts),
    ]
    for name, role in running.roles.items():
        notes = [f"pid {role.pid}"] if role.pid else []
        if role.restarts:
            notes.append("started again once" if role.restarts == 1 else f"started again {role.restarts} times")
        word = "ready" if role.ready else "starting"
        rows.append((name, f"{word} ({', '.join(notes)})" if notes else word))
    return rows


@click.command(short_help="Print the path of the kubeconfig.")
def kubeconfig() -> None:
    """Print the path of the installation's kubeconfig, for KUBECONFIG or --kubeconfig."""
    home = Home.from_environment()
    if not home.kubeconfig.exists():
        raise UpError(f"{home.root} has no installation yet; start one with `mizzen up -d`")
    click.echo(str(home.kubeconfig))


@click.command(short_help="Print export lines for a shell.")
def env() -> None:
    """Print export lines for a shell: eval "$(mizzen env)" makes kubectl talk to the installation."""
    home = Home.from_environment()
    running = state.read(home)
    if running is None:
        raise UpError(f"no installation runs in {home.root}; start one with `mizzen up -d`")
    click.echo(f"export KUBECONFIG={shlex.quote(str(home.kubeconfig))}")
    click.echo(f"export MIZZEN_GATEWAY={shlex.quote(running.gateway_url)}")
