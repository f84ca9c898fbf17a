"""Closed-loop load on several servers in turns, and the ratios of what they answer a second."""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import servers
from figures import Figure, Say
from servers import Side

HERE = Path(__file__).resolve().parent
Rounds = dict[str, list[dict[str, Any]]]


def load(
    workload: Path, port: int, connections: int, seconds: float, cores: list[int], sample: int = 16
) -> dict[str, Any]:
    """What one load saw of a server.

    Raises:
        RuntimeError: an answer was wrong.
    """
    command = [sys.executable, str(HERE / "load.py"), str(workload), "--port", str(port), "--processes", "2"]
    command += ["--connections", str(connections), "--seconds", str(seconds), "--warm", str(min(1.0, seconds / 2))]
    command += ["--sample", str(sample)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    os.sched_setaffinity(process.pid, cores)
    result: dict[str, Any] = json.loads(process.communicate()[0])
    if result["errors"]:
        raise RuntimeError(f"wrong answers: {result['errors']}")
    return result


@contextlib.contextmanager
def running(sides: Sequence[Side]) -> Iterator[None]:
    """All servers at once, on one core; only one is asked at a time."""
    core, _ = servers.cores()
    with contextlib.ExitStack() as stack:
        for side in sides:
            stack.enter_context(servers.running(side, core))
        yield


def rounds(
    sides: Sequence[Side], workload: Path, connections: int, count: int, seconds: float, sample: int = 16
) -> Rounds:
    """So many turns of each side, one after the other."""
    _, others = servers.cores()
    found: Rounds = {side.name: [] for side in sides}
    for _ in range(count):
        for side in sides:
            found[side.name].append(load(workload, side.port, connections, seconds, others, sample))
    return found


def compared(what: str, found: Rounds, first: str, target: float | None, say: Say) -> list[Figure]:
    """The ratio of the first side to each other one, turn by turn, and every side's rate.

    Args:
        target: for each ratio to a peer.
    """
    rates = {name: [one["rate"] for one in each] for name, each in found.items()}
    figures = []
    for name, theirs in rates.items():
        if name != first:
            ratios = [mine / other for mine, other in zip(rates[first], theirs, strict=True)]
            wanted = target if name.startswith(("KServe", "MLServer")) else None
            figures.append(Figure(name=f"{what}: {first} to {name}", unit="x", readings=ratios, at_least=wanted))
    for name, readings in rates.items():
        figures.append(Figure(name=f"{what}: {name}", unit="/s", readings=readings))
    say(f"{what}: " + ", ".join(f"{name} {statistics.median(each):,.0f}/s" for name, each in rates.items()))
    return figures


def missing(sides: Sequence[Side]) -> str:
    """For a note: which peers are not there to compare with."""
    names = [peer for peer in ("KServe", "MLServer") if not any(side.name.startswith(peer) for side in sides)]
    return f"no {' and no '.join(names)} to compare with: `make peer-envs` installs them" if names else ""
