"""What the gateway costs: requests per second of one core of it, and the time that it adds to each request.

    python bench/gateway.py [--seconds 4] [--rounds 3] [--hosts 1000]

A server that answers at once stands behind it; the same load goes to that server directly and through the gateway, in
turns, and what counts is the ratio. Gateway, server and load have a core each. The gateway's table holds ``--hosts``
hosts; the load asks for one of them. Processor time is the gateway's own, so it also holds on a busy machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import socket
import statistics
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
import uvloop

import load
from figures import Figure, Say
from mizzen.apis.core import Service
from mizzen.apis.networking import EndpointSlice, Ingress
from mizzen.cluster.gateway import ingress
from mizzen.cluster.gateway.endpoints import Endpoints
from mizzen.cluster.gateway.proxy import Proxy
from mizzen.cluster.gateway.routes import Table
from mizzen.http.exchange import Exchange
from mizzen.http.headers import JSON
from mizzen.http.server import Server
from workload import Item

ANSWER = b'{"predictions": [1, 2, 0]}'
WORKLOAD = [
    {
        "path": "/v1/models/iris:predict",
        "body": json.dumps({"instances": [[6.8, 2.8, 4.8, 1.4], [6.0, 3.4, 4.5, 1.6], [5.1, 3.5, 1.4, 0.2]]}),
        "expect": [1, 2, 0],
    }
]


def pin(core: int) -> None:
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) >= 3:
        os.sched_setaffinity(0, {cores[core]})


def serve(core: int, prepare: Callable[[socket.socket], Any], sock: socket.socket) -> None:
    pin(core)

    async def main() -> None:
        await prepare(sock)
        await asyncio.Event().wait()

    uvloop.run(main())


async def upstream(sock: socket.socket) -> None:
    def answer(exchange: Exchange) -> None:
        exchange.respond(200, ANSWER, JSON)

    await Server(answer).listen(sock=sock)


class Gateway:
    """A proxy whose table is filled as the API's objects would fill it."""

    def __init__(self, hosts: int, port: int) -> None:
        self.hosts = hosts
        self.port = port

    async def __call__(self, sock: socket.socket) -> None:
        table, endpoints = Table(sock.getsockname()[1]), Endpoints()
        for number in range(self.hosts):
            name = f"m{number}"
            endpoints.put_service(of(Service, name, spec={"ports": [{"port": 80}]}))
            one = of(
                EndpointSlice,
                name,
                addressType="IPv4",
                endpoints=[{"addresses": ["127.0.0.1"]}],
                ports=[{"name": "", "port": self.port}],
            )
            endpoints.put_slice(name, one)
            backend = {"service": {"name": name, "port": {"number": 80}}}
            rule = {"host": host(number), "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}
            found = of(Ingress, name, spec={"rules": [rule]})
            table.put(ingress.origin(found), ingress.compile_ingress(found))
        await Proxy(table, endpoints).listen(sock)


def of(kind: type, name: str, **fields: Any) -> Any:
    return msgspec.convert({"metadata": {"name": name, "namespace": "default"}, **fields}, kind)


def host(number: int) -> str:
    return f"m{number}-default.example.com"


def ask(port: int, asked: str, connections: int, seconds: float, results: Any) -> None:
    pin(2)
    one = load.Load(asked, [Item(one) for one in WORKLOAD], sample=64)
    took = uvloop.run(load.drive(one, "127.0.0.1", port, connections, 0.5, seconds))
    latencies = sorted(one.latencies) or [0.0]
    results.put(
        {
            "rate": len(one.latencies) / took,
            "p50_us": latencies[len(latencies) // 2] * 1e6,
            "p99_us": latencies[int(len(latencies) * 0.99)] * 1e6,
            "asked": one.seen,
            "errors": one.errors,
        }
    )


def busy(pid: int) -> float:
    """Seconds of processor time that a process has used."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rows(seconds: float, rounds: int, hosts: int, connections: Sequence[int]) -> Iterator[dict[str, Any]]:
    """For each number of connections, the readings of every round, directly and through the gateway.

    Raises:
        RuntimeError: an answer was wrong.
    """
    context = multiprocessing.get_context("fork")
    behind, front = (socket.create_server(("127.0.0.1", 0), backlog=1024) for _ in range(2))
    ports = {"direct": behind.getsockname()[1], "gateway": front.getsockname()[1]}
    server = context.Process(target=serve, args=(1, upstream, behind))
    gateway = context.Process(target=serve, args=(0, Gateway(hosts, ports["direct"]), front))
    server.start()
    gateway.start()
    try:
        for number in connections:
            row: dict[str, Any] = {"connections": number, "direct": [], "gateway": [], "gateway_cpu_us": []}
            for _ in range(rounds):
                for way, port in ports.items():
                    results = context.SimpleQueue()
                    before = busy(gateway.pid or 0)
                    asking = context.Process(target=ask, args=(port, host(hosts // 2), number, seconds, results))
                    asking.start()
                    found = results.get()
                    asking.join()
                    if found["errors"]:
                        raise RuntimeError(f"wrong answers {way}: {found['errors']}")
                    row[way].append(found)
                    if way == "gateway":
                        row["gateway_cpu_us"].append((busy(gateway.pid or 0) - before) / max(found["asked"], 1) * 1e6)
            yield row
    finally:
        for process in (gateway, server):
            process.terminate()
            process.join()


def measure(quick: bool, say: Say) -> list[Figure]:
    """Rate, ratio and cost of a request, for ``bench/run.py``."""
    seconds, rounds, connections = (0.4, 1, (2,)) if quick else (4.0, 5, (1, 16, 64))
    figures = []
    for row in rows(seconds, rounds, 1000, connections):
        at = f"gateway, {row['connections']} connection{'s' if row['connections'] > 1 else ''}"
        rates = [one["rate"] for one in row["gateway"]]
        pairs = list(zip(row["gateway"], row["direct"], strict=True))
        ratios = [through["rate"] / direct["rate"] for through, direct in pairs]
        added = [through["p50_us"] - direct["p50_us"] for through, direct in pairs]
        figures += [
            Figure(name=f"{at}: requests on its core", unit="/s", readings=rates),
            Figure(name=f"{at}: ratio to asking directly", unit="x", readings=ratios),
            Figure(name=f"{at}: its processor time a request", unit="µs", readings=row["gateway_cpu_us"]),
            Figure(name=f"{at}: added to the median latency", unit="µs", readings=added),
        ]
        say(f"{at}: {statistics.median(rates):,.0f}/s")
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--hosts", type=int, default=1000)
    options = parser.parse_args()
    for found in rows(options.seconds, options.rounds, options.hosts, (1, 16, 64)):
        row: dict[str, Any] = {"connections": found["connections"]}
        for way in ("direct", "gateway"):
            for figure in ("rate", "p50_us", "p99_us"):
                row[f"{way}_{figure}"] = round(statistics.median(run[figure] for run in found[way]))
        row["added_p50_us"] = row["gateway_p50_us"] - row["direct_p50_us"]
        row["rate_ratio"] = round(row["gateway_rate"] / row["direct_rate"], 2)
        row["gateway_cpu_us"] = round(statistics.median(found["gateway_cpu_us"]), 1)
        print(json.dumps(row), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
