"""From the start of a model server's command to its first answer: a new interpreter, no zygote, the page cache warm."""

from __future__ import annotations

import subprocess
import tempfile
import time
from pathlib import Path

import iris
import servers
from figures import Figure, Say

LIMIT = 1.2


def measure(quick: bool, say: Say) -> list[Figure]:
    count = 2 if quick else 10
    figures = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = iris.train(folder)
        found = {"mizzen": [_start(servers.ours(model)) for _ in range(count)]}
        kserve = servers.kserve("kserve_sklearn.py", model)
        if kserve is not None:
            found["KServe"] = [_start(kserve) for _ in range(min(count, 5))]
        other = servers.mlserver("mlserver_sklearn.SKLearnModel", model / "model.joblib", folder / "mlserver", False)
        if other is not None:
            found["MLServer"] = [_start(other) for _ in range(min(count, 5))]
    for side, readings in found.items():
        limit = LIMIT if side == "mizzen" else None
        figures.append(Figure(name=f"cold process to first answer: {side}", unit="s", readings=readings, at_most=limit))
    say(", ".join(f"{side} {min(readings):.2f} s" for side, readings in found.items()))
    return figures


def _start(side: servers.Side) -> float:
    begun = time.perf_counter()
    process = subprocess.Popen(side.command, cwd=side.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        servers.wait(process, f"http://127.0.0.1:{side.port}/v2/models/{side.model}/ready")
        return time.perf_counter() - begun
    finally:
        process.terminate()
        process.wait(40)
