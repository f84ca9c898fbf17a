"""An open-loop load generator: requests arrive by chance at a given rate, whether the server keeps up or not.

Each arrival takes a connection that is free, or waits for one, and its latency counts from the moment it should have
been sent, so a server that stalls is charged for all who came meanwhile. It spins instead of sleeping, because the
event loop's timers are as coarse as the latencies that are measured.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import json
import multiprocessing
import os
import random
import sys
import time
from pathlib import Path
from typing import Any

import uvloop

import workload


class Connection(asyncio.Protocol):
    """One client, at most one request under way."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.buffer = b""
        self.turn = 0
        self.due = 0.0
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def ask(self, due: float) -> None:
        self.due = due
        self.turn = self.load.next_turn()
        self.transport.write(self.load.requests[self.turn])

    def data_received(self, data: bytes) -> None:
        data = self.buffer + data if self.buffer else data
        end = data.find(b"\r\n\r\n")
        if end < 0:
            self.buffer = data
            return
        start = data.lower().find(b"\r\ncontent-length: ", 0, end)
        if len(data) < end + 4 + int(data[start + 18 : data.find(b"\r", start + 2)]):
            self.buffer = data
            return
        self.buffer = b""
        self.load.answered(self, data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.load.running:
            self.load.errors.append(f"the server closed a connection: {exc}")


class Load:
    """One process's share of the arrivals."""

    def __init__(self, items: list[workload.Item], host: str, seed: int) -> None:
        self.items = items
        self.requests = [item.encode(host) for item in items]
        self.random = random.Random(seed)
        self.turn = seed
        self.free: list[Connection] = []
        self.waiting: collections.deque[float] = collections.deque()
        self.latencies: list[float] = []
        self.errors: list[str] = []
        self.seen = 0
        self.measure_from = 0.0
        self.running = True

    def next_turn(self) -> int:
        self.turn = (self.turn + 1) % len(self.requests)
        return self.turn

    def answered(self, connection: Connection, answer: bytes) -> None:
        now = time.perf_counter()
        if connection.due >= self.measure_from:
            self.latencies.append(now - connection.due)
        self.seen += 1
        item = self.items[connection.turn]
        if not answer.startswith(item.status_line):
            self.errors.append(f"status {answer[:200]!r}")
        elif self.seen % 64 == 0 and (wrong := item.wrong(answer[answer.index(b"\r\n\r\n") + 4 :])):
            self.errors.append(wrong)
        if self.waiting:
            connection.ask(self.waiting.popleft())
        else:
            self.free.append(connection)

    async def drive(self, host: str, port: int, rate: float, connections: int, warm: float, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(connections):
            _, connection = await loop.create_connection(lambda: Connection(self), host, port)
            self.free.append(connection)
        begun = time.perf_counter()
        self.measure_from = begun + warm
        due = begun
        while due < begun + warm + seconds:
            now = time.perf_counter()
            while due <= now:
                if self.free:
                    self.free.pop().ask(due)
                else:
                    self.waiting.append(due)
                due += self.random.expovariate(rate)
            await asyncio.sleep(0)
        async with asyncio.timeout(10):
            while len(self.free) < connections:
                await asyncio.sleep(0.01)
        self.running = False


def work(options: argparse.Namespace, number: int, results: Any) -> None:
    load = Load(workload.read(Path(options.workload)), options.host, number + 1)
    share = 1 / options.processes
    uvloop.run(
        load.drive(
            options.host,
            options.port,
            options.rate * share,
            int(options.connections * share),
            options.warm,
            options.seconds,
        )
    )
    results.put((load.latencies, load.errors))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workload")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--rate", type=float, required=True, help="arrivals a second")
    parser.add_argument("--connections", type=int, default=256)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--warm", type=float, default=1.0)
    parser.add_argument("--seconds", type=float, default=5.0)
    options = parser.parse_args()
    context = multiprocessing.get_context("fork")
    results = context.SimpleQueue()
    workers = [context.Process(target=work, args=(options, number, results)) for number in range(options.processes)]
    for worker in workers:
        worker.start()
    parts = [results.get() for _ in workers]
    for worker in workers:
        worker.join()
    latencies = sorted(value for values, _ in parts for value in values)
    errors = [error for _, found in parts for error in found[:3]]
    found = {
        "rate": round(len(latencies) / options.seconds, 1),
        "p50_ms": round(latencies[len(latencies) // 2] * 1000, 3),
        "p99_ms": round(latencies[int(len(latencies) * 0.99)] * 1000, 3),
        "errors": errors,
    }
    print(json.dumps(found))
    sys.stdout.flush()
    os._exit(1 if errors else 0)


if __name__ == "__main__":
    main()
