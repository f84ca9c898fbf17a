"""What one more live model server adds to the zygote, after it has answered: PSS in MB (10^6 bytes).

(PSS of the zygote and 20 servers forked from it, each with a model of its own and 5,000 answers behind it, less PSS of
the zygote alone before) / 20. Beside it the PSS of one server of each peer with the same model, alone.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from pathlib import Path

import fork_ready
import iris
import processes
import rates
import servers
from figures import Figure, Say
from mizzen.cluster.node.parents import zygote
from mizzen.cluster.node.recipes import shipped
from mizzen.cluster.node.runtime.client import PodParent
from mizzen.cluster.node.runtime.spec import ProcessSpec

LIMIT = 12.0
ANSWERS = 5000


def measure(quick: bool, say: Say) -> list[Figure]:
    count, answers = (2, 200) if quick else (20, ANSWERS)
    with tempfile.TemporaryDirectory(prefix="mzb-") as name:
        folder = Path(name)
        model = iris.train(folder)
        readings = [asyncio.run(_each(folder, model, count, answers, turn)) for turn in range(1 if quick else 3)]
        say(f"each of {count}: {readings}")
        figures = [Figure(name="one more server, forked", unit="MB", readings=readings, at_most=LIMIT)]
        sides = [
            servers.kserve("kserve_sklearn.py", model),
            servers.mlserver("mlserver_sklearn.SKLearnModel", model / "model.joblib", folder / "mlserver", False),
        ]
        core, _ = servers.cores()
        for side in [servers.ours(model, name="mizzen, no zygote"), *(side for side in sides if side)]:
            with servers.running(side, core) as process:
                _drive(folder, side.port, answers)
                size = sum(processes.pss(pid) for pid in processes.descendants(process.pid))
            figures.append(Figure(name=f"one server alone: {side.name}", unit="MB", readings=[size]))
    return figures


async def _each(folder: Path, model: Path, count: int, answers: int, turn: int) -> float:
    kind = zygote("sklearn", shipped().zygotes["sklearn"])
    place = folder / f"parent-{turn}"
    socket = folder / f"p{turn}.sock"
    parent = await PodParent.ensure(socket, place, name=kind.name, preload=kind.preload)
    try:
        await asyncio.sleep(2)
        before = _pss(parent)
        ports = []
        for number in range(count):
            ports.append(servers.free_port())
            await parent.start(_spec(folder, model, f"s{turn}-{number}", ports[-1]))
        for port in ports:
            while not fork_ready._accepts(port):
                await asyncio.sleep(0.01)
            await asyncio.to_thread(_drive, folder, port, answers)
        return (_pss(parent) - before) / count
    finally:
        await PodParent.end(socket, place, grace=5.0)


def _spec(folder: Path, model: Path, name: str, port: int) -> ProcessSpec:
    state = folder / "pods" / name
    return ProcessSpec(
        id=name,
        state_dir=str(state),
        log_path=str(state / "0.log"),
        env={"PATH": os.environ["PATH"], "MIZZEN_BIND_ADDRESS": "127.0.0.1", "HOME": "/"},
        mounts=[],
        isolate=False,
        cpu=1,
        entry="mizzen.serve.main:container",
        argv=[f"--model_dir={model}", "--model_name=iris", f"--http_port={port}", "--enable_grpc=false"],
    )


def _pss(parent: PodParent) -> float:
    return sum(processes.pss(pid) for pid in processes.descendants(parent.info.identity.pid))


def _drive(folder: Path, port: int, answers: int) -> None:
    _, others = servers.cores()
    asked = 0
    while asked < answers:
        asked += rates.load(folder / "v2.json", port, 16, 0.5, others)["requests"]
