"""Which API a command talks to: what ``$KUBECONFIG`` or ``--kubeconfig`` names, else the installation of this home."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from mizzen.kube import config
from mizzen.kube.client import Client
from mizzen.up import state
from mizzen.up.errors import UpError
from mizzen.up.home import Home

T = TypeVar("T")


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--kubeconfig`` and ``--namespace``, as every command on objects has them."""
    command = click.option(
        "--kubeconfig", type=click.Path(path_type=Path), help="Talk to this cluster instead of the installation."
    )(command)
    return click.option("-n", "--namespace", default="", help="The namespace [default: the kubeconfig's].")(command)


def cluster(kubeconfig: Path | None) -> config.ClusterConfig:
    """The API to talk to.

    Raises:
        UpError: no kubeconfig was named and no installation runs in this home.
    """
    if kubeconfig is None and not os.environ.get("KUBECONFIG"):
        kubeconfig = _own_kubeconfig()
    return config.load(kubeconfig)


def named_or_own_kubeconfig(kubeconfig: Path | None) -> Path:
    """The file to hand to another process: the one that is named, ``$KUBECONFIG``'s first, or this installation's.

    Raises:
        UpError: as :func:`cluster`, or the file is not there.
    """
    named = kubeconfig or Path((os.environ.get("KUBECONFIG") or "").split(os.pathsep)[0] or _own_kubeconfig())
    if not named.is_file():
        raise UpError(f"there is no kubeconfig {named}")
    return named.absolute()


def _own_kubeconfig() -> Path:
    home = Home.from_environment()
    if not home.kubeconfig.exists() or state.read(home) is None:
        raise UpError(
            f"no installation runs in {home.root}; start one with `mizzen up -d`, or name a cluster with KUBECONFIG"
        )
    return home.kubeconfig


def with_client(kubeconfig: Path | None, work: Callable[[Client], Awaitable[T]]) -> T:
    """Run ``work`` with a client of the chosen API."""
    chosen = cluster(kubeconfig)

    async def run() -> T:
        async with Client(chosen, field_manager="mizzen-cli") as client:
            return await work(client)

    return asyncio.run(run())


def gateway_url(chosen: config.ClusterConfig) -> str | None:
    """Where the installation of this home answers requests for models; ``None`` for any other cluster."""
    running = state.read(Home.from_environment())
    return running.gateway_url if running and running.api_url == chosen.server else None
