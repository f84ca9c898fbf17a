"""How long the slowest hundredth of requests takes when they arrive by chance (Poisson), V2 REST on iris, one core.

Twice: at half of the rate that KServe's server reaches in a closed loop with 64 connections, where both are asked; and
at half of our own such rate, where only ours can follow. Latencies count from when a request should have been sent.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import iris
import rates
import servers
from figures import Figure, Say
from servers import Side

OURS = 3.0
SHARE = 0.5


def measure(quick: bool, say: Say) -> list[Figure]:
    count, seconds = (1, 1.0) if quick else (5, 6.0)
    figures = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = iris.train(folder)
        ours, kserve = servers.ours(model), servers.kserve("kserve_sklearn.py", model)
        sides = [side for side in (ours, kserve) if side]
        workload = folder / "v2.json"
        with rates.running(sides):
            peaks = {name: max(one["rate"] for one in found) for name, found in _closed(sides, workload).items()}
            if kserve is not None:
                rate = SHARE * peaks[kserve.name]
                found = {
                    side.name: [_p99(side, workload, rate, seconds) for _ in range(count)] for side in (ours, kserve)
                }
                shares = [mine / other for mine, other in zip(found[ours.name], found[kserve.name], strict=True)]
                what = "p99 at half of KServe's peak"
                figures.append(Figure(name=f"{what}: ours to KServe's", unit="x", readings=shares, at_most=0.5))
                figures += [Figure(name=f"{what}: {side}", unit="ms", readings=each) for side, each in found.items()]
            rate = SHARE * peaks[ours.name]
            readings = [_p99(ours, workload, rate, seconds) for _ in range(count)]
            figures.append(Figure(name="p99 at half of our own peak", unit="ms", readings=readings, at_most=OURS))
            say(f"peaks {peaks}; at half of ours p99 {readings}")
    figures[0].note = rates.missing([*sides, Side("MLServer", [], 0, 0, "")])
    return figures


def _closed(sides: list[Side], workload: Path) -> rates.Rounds:
    return rates.rounds(sides, workload, 64, 2, 2.0)


def _p99(side: Side, workload: Path, rate: float, seconds: float) -> float:
    _, others = servers.cores()
    command = [sys.executable, str(servers.HERE / "poisson.py"), str(workload), "--port", str(side.port)]
    command += ["--rate", str(rate), "--seconds", str(seconds), "--processes", str(min(2, len(others)))]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    os.sched_setaffinity(process.pid, others)
    result = json.loads(process.communicate()[0])
    if result["errors"]:
        raise RuntimeError(f"{side.name}: {result['errors']}")
    return float(result["p99_ms"])
