"""A closed-loop load generator: N connections, each with one request under way, every answer checked.

It reads a workload (:mod:`workload`), sends its requests in turn over connections that are kept, and prints requests/s
and latencies as JSON. Every status is checked, and one body in ``--sample`` is decoded and compared with what the model
itself answers. It runs in processes of its own, away from the server's core, and is light enough to outrun the server:
asyncio protocols on uvloop, no HTTP library.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import sys
import time
from pathlib import Path
from typing import Any

import uvloop

import workload
from workload import Item

LAST_CHUNK = b"0\r\n\r\n"


def joined(chunks: bytes) -> bytes:
    """The body that came in chunks."""
    pieces = []
    at = 0
    while size := int(chunks[at : chunks.index(b"\r\n", at)], 16):
        start = chunks.index(b"\r\n", at) + 2
        pieces.append(chunks[start : start + size])
        at = start + size + 2
    return b"".join(pieces)


class Connection(asyncio.Protocol):
    """One client. Sends the next request as soon as its answer is in."""

    def __init__(self, load: Load, first: int) -> None:
        self.load = load
        self.turn = first
        self.buffer = bytearray()
        self.need = 0
        self.chunked = False
        self.sent = 0.0
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.ask()

    def ask(self) -> None:
        load = self.load
        self.turn = (self.turn + 1) % len(load.requests)
        self.sent = time.perf_counter()
        self.transport.write(load.requests[self.turn])

    def data_received(self, data: bytes) -> None:
        if self.buffer:
            self.buffer += data
            if len(self.buffer) < self.need or (self.chunked and not self.buffer.endswith(LAST_CHUNK)):
                return
            data = bytes(self.buffer)
        if not self.need:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                self.buffer = bytearray(data)
                return
            head = data[:end].lower() + b"\r\n"
            start = head.find(b"\r\ncontent-length: ")
            self.chunked = start < 0
            if not self.chunked:
                self.need = end + 4 + int(head[start + 18 : head.find(b"\r", start + 2)])
            elif b"\r\ntransfer-encoding: chunked" in head:
                self.need = end + 4 + len(LAST_CHUNK)
            else:
                self.load.fail(f"an answer without an end: {head!r}")
                return
        if len(data) < self.need or (self.chunked and not data.endswith(LAST_CHUNK)):
            self.buffer = bytearray(data)
            return
        if self.chunked:
            end = data.index(b"\r\n\r\n") + 4
            data = data[:end] + joined(data[end:])
        elif len(data) > self.need:
            self.load.fail("more bytes than the answer has")
            return
        self.need = 0
        self.buffer = bytearray()
        load = self.load
        now = time.perf_counter()
        load.check(self.turn, data)
        if load.measuring:
            load.latencies.append(now - self.sent)
        if load.running:
            self.ask()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.load.running:
            self.load.fail(f"the server closed a connection: {exc}")


class Load:
    """One process's share of the connections."""

    def __init__(self, host: str, items: list[Item], sample: int) -> None:
        self.items = items
        self.requests = [item.encode(host) for item in items]
        self.sample = sample
        self.seen = 0
        self.checked = 0
        self.latencies: list[float] = []
        self.errors: list[str] = []
        self.measuring = False
        self.running = True

    def check(self, turn: int, answer: bytes) -> None:
        self.seen += 1
        item = self.items[turn]
        if not answer.startswith(item.status_line):
            self.fail(f"status {answer[:300]!r}")
        elif self.seen % self.sample == 0:
            self.checked += 1
            if wrong := item.wrong(answer[answer.index(b"\r\n\r\n") + 4 :]):
                self.fail(wrong)

    def fail(self, why: str) -> None:
        if len(self.errors) < 5:
            self.errors.append(why)


async def drive(load: Load, host: str, port: int, connections: int, warm: float, seconds: float) -> float:
    loop = asyncio.get_running_loop()
    for number in range(connections):
        await loop.create_connection(lambda number=number: Connection(load, number * 7919), host, port)
    await asyncio.sleep(warm)
    load.measuring = True
    begun = time.perf_counter()
    await asyncio.sleep(seconds)
    load.measuring = False
    took = time.perf_counter() - begun
    load.running = False
    return took


def work(options: argparse.Namespace, connections: int, results: Any) -> None:
    load = Load(options.host, workload.read(Path(options.workload)), options.sample)
    took = uvloop.run(drive(load, options.host, options.port, connections, options.warm, options.seconds))
    results.put((took, load.latencies, load.checked, load.errors))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workload")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--warm", type=float, default=1.0, help="seconds before counting")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--sample", type=int, default=16, help="decode and compare one body in so many")
    options = parser.parse_args()
    processes = min(options.processes, options.connections)
    share = [options.connections // processes + (n < options.connections % processes) for n in range(processes)]
    context = multiprocessing.get_context("fork")
    results = context.SimpleQueue()
    workers = [context.Process(target=work, args=(options, count, results)) for count in share]
    for worker in workers:
        worker.start()
    parts = [results.get() for _ in workers]
    for worker in workers:
        worker.join()
    latencies = sorted(value for _, values, _, _ in parts for value in values)
    errors = [error for part in parts for error in part[3]]
    rate = sum(len(values) / took for took, values, _, _ in parts)
    if not latencies:
        errors.append("no answer came")
        latencies = [0.0]
    summary = {
        "rate": round(rate, 1),
        "requests": len(latencies),
        "checked": sum(part[2] for part in parts),
        "p50_ms": round(latencies[len(latencies) // 2] * 1000, 3),
        "p99_ms": round(latencies[int(len(latencies) * 0.99)] * 1000, 3),
        "connections": options.connections,
        "errors": errors,
    }
    print(json.dumps(summary))
    sys.stdout.flush()
    os._exit(1 if errors else 0)


if __name__ == "__main__":
    main()
