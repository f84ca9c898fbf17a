"""What the embedded API server does in a second, and how soon a watcher hears of a change.

The server is the installation's own, in a process of its own with its store on disk, TLS and authentication; nothing
else runs beside it. The client is Mizzen's, in another process; it costs as much processor time as the server, so the
rates are what a client sees, not what the server could do at most. Objects are ConfigMaps of 1 KiB. Every write that is
answered is on the disk: the rates of creating depend on how fast that flushes.

- *create, get, delete*: requests a second, one at a time and 64 at once.
- *list*: objects a second out of whole lists, in pages of 500.
- *watch*: every one of 50 watchers gets every event of objects that are created 16 at once. The rate is that of
  deliveries; the latency is from sending the request that creates an object to the arrival of its event.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from figures import Figure, Say, percentile
from home import PATIENCE
from mizzen.apis.core import CONFIG_MAP
from mizzen.cluster.apiserver.auth import Credentials, ensure_credentials
from mizzen.cluster.apiserver.config import ApiServerConfig
from mizzen.kube.client import Client
from mizzen.kube.config import ClusterConfig

_PAYLOAD = "x" * 1024
_NAMESPACE = "default"


def measure(quick: bool, say: Say) -> list[Figure]:
    rounds, objects, watchers = (1, 50, 3) if quick else (5, 2000, 50)
    with tempfile.TemporaryDirectory(prefix="mzb-") as name, _server(Path(name)) as cluster:
        import uvloop

        return uvloop.run(_measure(cluster, rounds, objects, watchers, say))


async def _measure(cluster: ClusterConfig, rounds: int, objects: int, watchers: int, say: Say) -> list[Figure]:
    rates: dict[str, list[float]] = {}
    p50, p99 = [], []
    async with Client(cluster, field_manager="bench") as api:
        for turn in range(rounds):
            few = max(objects // 10, 10)
            names = [f"c{turn}-{number}" for number in range(objects)]
            work = {
                "create": lambda name: api.create(CONFIG_MAP, _object(name)),
                "get": lambda name: api.get(CONFIG_MAP, name, _NAMESPACE),
                "delete": lambda name: api.delete(CONFIG_MAP, name, _NAMESPACE),
            }
            for verb, one in work.items():
                if verb == "delete":
                    rates.setdefault("list, objects", []).append(await _listed(api, objects))
                rates.setdefault(f"{verb}, one at a time", []).append(await _rate(one, names[:few], 1))
                rates.setdefault(f"{verb}, 64 at once", []).append(await _rate(one, names[few:], 64))
            delivered, latencies = await _fan_out(api, turn, objects // 4, watchers)
            rates.setdefault(f"watch, deliveries to {watchers} watchers", []).append(delivered)
            p50.append(percentile(latencies, 0.5) * 1000)
            p99.append(percentile(latencies, 0.99) * 1000)
            say(
                f"round {turn + 1} of {rounds}: "
                + ", ".join(f"{key} {found[-1]:,.0f}/s" for key, found in rates.items())
            )
    figures = [Figure(name=f"API server: {name}", unit="/s", readings=found) for name, found in rates.items()]
    about = f"API server: create to event at {watchers} watchers"
    return [
        *figures,
        Figure(name=f"{about}, median", unit="ms", readings=p50),
        Figure(name=f"{about}, p99", unit="ms", readings=p99),
    ]


def _object(name: str) -> dict[str, object]:
    metadata = {"name": name, "namespace": _NAMESPACE, "labels": {"app": "bench"}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"payload": _PAYLOAD}}


async def _rate(one: Callable[[str], Awaitable[object]], names: list[str], together: int) -> float:
    """Requests a second, with so many under way at any time."""
    waiting = iter(names)

    async def worker() -> None:
        for name in waiting:
            await one(name)

    begun = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(together):
            group.create_task(worker())
    return len(names) / (time.perf_counter() - begun)


async def _listed(api: Client, objects: int) -> float:
    """Objects a second out of whole lists, kept as bytes by the client."""
    seen, begun = 0, time.perf_counter()
    for _ in range(3):
        found, _ = await api.list_raw(CONFIG_MAP, _NAMESPACE)
        if len(found) < objects:
            raise RuntimeError(f"the list has {len(found)} objects of {objects}")
        seen += len(found)
    return seen / (time.perf_counter() - begun)


async def _fan_out(api: Client, turn: int, objects: int, watchers: int) -> tuple[float, list[float]]:
    """Deliveries a second, and the seconds of each from request to arrival."""
    names = [f"w{turn}-{number}" for number in range(objects)]
    sent: dict[bytes, float] = {}
    latencies: list[float] = []
    _, since = await api.list_raw(CONFIG_MAP, _NAMESPACE)
    listening = 0

    async def watcher() -> None:
        nonlocal listening
        left = objects
        listening += 1
        async for event in api.watch(CONFIG_MAP, _NAMESPACE, resource_version=since, timeout=60):
            if event.type != "ADDED":
                continue
            arrived = time.perf_counter()
            body = bytes(event.object)
            at = body.index(b'"name":"') + 8
            latencies.append(arrived - sent[body[at : body.index(b'"', at)]])
            left -= 1
            if not left:
                return
        raise RuntimeError(f"a watch ended with {left} of {objects} events missing")

    async def create(name: str) -> None:
        sent[name.encode()] = time.perf_counter()
        await api.create(CONFIG_MAP, _object(name))

    async with asyncio.TaskGroup() as group:
        for _ in range(watchers):
            group.create_task(watcher())
        while listening < watchers:
            await asyncio.sleep(0)
        await asyncio.sleep(0.5)  # until all streams are open
        begun = time.perf_counter()
        await _rate(create, names, min(16, objects))
    took = time.perf_counter() - begun
    await _rate(lambda name: api.delete(CONFIG_MAP, name, _NAMESPACE), names, 64)
    return len(latencies) / took, latencies


@contextmanager
def _server(root: Path) -> Iterator[ClusterConfig]:
    """An API server in a process of its own."""
    credentials = ensure_credentials(root / "pki")
    server = subprocess.Popen([sys.executable, __file__, str(root)], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        if not url:
            raise RuntimeError(f"the API server ended with {server.wait()} before it was ready")
        yield ClusterConfig(server=url, ca=credentials.ca.read_text(), token=credentials.token)
    finally:
        server.terminate()
        try:
            server.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


async def _serve(root: Path, credentials: Credentials) -> None:
    from mizzen.cluster.apiserver.server import run

    sock = socket.create_server(("127.0.0.1", 0), backlog=1024)
    url = f"https://127.0.0.1:{sock.getsockname()[1]}"
    config = ApiServerConfig(
        sock=sock, data_dir=root / "store", credentials=credentials, service_network="127.40.128.0/17"
    )
    task = asyncio.create_task(run(config, ready=lambda: print(url, flush=True)))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        pass


if __name__ == "__main__":
    import uvloop

    here = Path(sys.argv[1])
    uvloop.run(_serve(here, ensure_credentials(here / "pki")))
    sys.stdout.flush()
    os._exit(0)
