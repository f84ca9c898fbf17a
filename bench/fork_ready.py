"""How long a model server takes to be ready: from asking the zygote for it to its accepting a connection.

Measured where the node agent stands, with its own client of the pod parent and the shipped recipe's zygote: begun when
the request to start the container is sent; *ready* when a TCP connection to the server's port is accepted, which is
what the readiness probe of a model server waits for (a server listens only when its model is loaded), tried every
half millisecond. The container has a file system view of its own with the model mounted, where the machine permits it.
Beside it the same server started by exec of a new interpreter, as it is without a zygote.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import service
from figures import Figure, Say
from home import PATIENCE
from mizzen.cluster.node.parents import Parent, launcher, zygote
from mizzen.cluster.node.recipes import shipped
from mizzen.cluster.node.runtime.client import PodParent
from mizzen.cluster.node.runtime.spec import Mount, ProcessSpec

LIMIT = 50.0
_MOUNTED = "/mnt/models"
_ADDRESS = "127.0.0.1"


def measure(quick: bool, say: Say) -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="mzb-") as name:
        return asyncio.run(_measure(Path(name), 3 if quick else 50, 1 if quick else 10, say))


async def _measure(root: Path, forks: int, execs: int, say: Say) -> list[Figure]:
    service.train(root / "models")
    parents = {}
    figures = []
    try:
        kinds = {"fork": zygote("sklearn", shipped().zygotes["sklearn"]), "exec": launcher()}
        for way, count in (("fork", forks), ("exec", execs)):
            parents[way] = await _parent(root, kinds[way])
            readings = []
            for turn in range(count):
                readings.append(await _start(parents[way], root, f"{way}-{turn}", by_fork=way == "fork"))
            say(f"{way}: {min(readings):.1f} to {max(readings):.1f} ms")
            if way == "fork":
                figures.append(Figure(name="model server, fork to ready", unit="ms", readings=readings, at_most=LIMIT))
            else:
                figures.append(Figure(name="the same by exec, without a zygote", unit="ms", readings=readings))
    finally:
        for way in parents:
            await PodParent.end(root / f"{way}.sock", root / way, grace=5.0)
    return figures


async def _parent(root: Path, which: Parent) -> PodParent:
    way = "exec" if which == launcher() else "fork"
    return await PodParent.ensure(root / f"{way}.sock", root / way, name=which.name, preload=which.preload)


async def _start(parent: PodParent, root: Path, name: str, *, by_fork: bool) -> float:
    """Start a server, wait for it, end it again. Returns the milliseconds from request to ready."""
    isolated = parent.info.isolation.mode != "none"
    port = _free_port()
    folder = _MOUNTED if isolated else str(root / "models")
    arguments = [f"--model_dir={folder}", "--model_name=iris", f"--http_port={port}"]
    command = {"entry": "mizzen.serve.main:container", "argv": arguments}
    if not by_fork:
        command = {"argv": [sys.executable, "-P", "-m", "mizzen.serve", *arguments]}
    spec = ProcessSpec(
        id=name,
        state_dir=str(root / "pods" / name),
        log_path=str(root / "pods" / name / "0.log"),
        env={"PATH": os.environ["PATH"], "MIZZEN_BIND_ADDRESS": _ADDRESS, "HOME": "/"},
        mounts=[Mount(str(root / "models"), _MOUNTED, True)] if isolated else [],
        isolate=isolated,
        cpu=1,
        **command,
    )
    begun = time.perf_counter()
    await parent.start(spec)
    while not _accepts(port):
        if time.perf_counter() - begun > PATIENCE:
            raise RuntimeError(f"the model server is not ready: {Path(spec.log_path).read_text()}")
        await asyncio.sleep(0.0005)
    took = time.perf_counter() - begun
    await asyncio.to_thread(_check, port)
    await parent.stop(name, grace=5.0)
    await parent.forget(name)
    return took * 1000


def _check(port: int) -> None:
    """That what accepts is the server, with its model."""
    with urllib.request.urlopen(f"http://{_ADDRESS}:{port}/v2/models/iris/ready", timeout=10) as answer:
        if answer.status != 200:
            raise RuntimeError(f"the model server accepts, but its model is not ready: {answer.status}")


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((_ADDRESS, port)) == 0


def _free_port() -> int:
    with socket.create_server((_ADDRESS, 0)) as probe:
        return int(probe.getsockname()[1])
