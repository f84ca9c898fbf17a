"""Ending what outlives the supervisor: the pod parents and everything they started."""

from __future__ import annotations

import asyncio
from pathlib import Path

from mizzen.cluster.node.runtime.client import PodParent
from mizzen.cluster.node.runtime.errors import ParentLost, ParentUnreachable
from mizzen.up.aside import aside
from mizzen.up.home import Home

_ANSWER_PATIENCE = 2.0


def end_pods(home: Home, grace: float) -> None:
    """End all containers of the installation, gracefully at first, and their parents.

    Args:
        grace: seconds that a container gets between SIGTERM and SIGKILL.
    """
    sockets = parents(home)
    if not sockets:
        return
    aside(lambda: asyncio.run(_end(sockets, grace)))


def parents(home: Home) -> list[Path]:
    """The sockets of the pod parents that live, or may."""
    return sorted(home.parents.glob("*.sock")) if home.parents.is_dir() else []


def has_pods(home: Home) -> bool:
    """Whether containers run, with a supervisor or without one. Parents that only wait for work do not count."""
    sockets = parents(home)
    return bool(sockets) and asyncio.run(_any_runs(sockets))


async def _any_runs(sockets: list[Path]) -> bool:
    return any(await asyncio.gather(*map(_runs, sockets)))


async def _runs(socket: Path) -> bool:
    try:
        async with asyncio.timeout(_ANSWER_PATIENCE), await PodParent.connect(socket) as parent:
            return any(container.state != "exited" for container in await parent.list())
    except (FileNotFoundError, ConnectionRefusedError, ConnectionResetError, ParentLost):
        return False
    except (ParentUnreachable, TimeoutError):
        return True  # it lives; what it holds cannot be known


async def _end(sockets: list[Path], grace: float) -> None:
    await asyncio.gather(*(PodParent.end(socket, socket.with_suffix(""), grace) for socket in sockets))
    for socket in sockets:
        socket.unlink(missing_ok=True)  # one that was killed has left it behind
