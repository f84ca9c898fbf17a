"""What a request costs in the server beside ``predict``: parsing, decoding, queueing, encoding, writing.

Measured in one process, on the server's own classes with a transport that has no socket under it, because system calls
are the load's business and not the handler's: from the bytes of so many requests at once to the bytes of their answers,
less the time in the model, divided by their number. Microseconds, medians of 200 turns.
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
import time
from pathlib import Path

import uvloop

import iris
import servers
from figures import Figure, Say

LIMIT = 60.0


def measure(quick: bool, say: Say) -> list[Figure]:
    core, _ = servers.cores()
    os.sched_setaffinity(0, {core})
    with tempfile.TemporaryDirectory() as name:
        iris.train(Path(name))
        found = uvloop.run(_handler(Path(name), 20 if quick else 200))
    figures = [
        Figure(
            name=f"{protocol.upper()} REST, {together} at once",
            unit="us",
            readings=readings,
            at_most=LIMIT,
        )
        for (protocol, together), readings in found.items()
    ]
    say(", ".join(f"{figure.name} {figure.median:.1f} us" for figure in figures))
    return figures


class Sink:
    """A transport without a socket."""

    def write(self, data: bytes) -> None:
        pass

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0


async def _handler(folder: Path, turns: int) -> dict[tuple[str, int], list[float]]:
    from mizzen.http.connection import Connection
    from mizzen.http.server import Server
    from mizzen.serve.repository import Repository
    from mizzen.serve.runtimes.sklearn import SklearnModel
    from mizzen.serve.server import ModelServer

    repository = Repository()
    served = repository.load(SklearnModel("iris", folder / "model", {}))
    http = Server(ModelServer(repository).handle)
    connection = Connection(http)
    connection.connection_made(Sink())  # type: ignore[arg-type]
    found = {}
    for protocol in ("v2", "v1"):
        requests = []
        for item in json.loads((folder / f"{protocol}.json").read_text()):
            body = item["body"].encode()
            head = f"POST {item['path']} HTTP/1.1\r\nHost: a\r\nUser-Agent: b\r\nAccept: */*\r\n"
            requests.append(
                f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
            )
        for together in (1, 16, 64):
            readings = []
            for turn in range(turns + 200):
                before = served.metrics.predict.total
                begun = time.perf_counter()
                for at in range(together):
                    connection.data_received(requests[(turn * together + at) % len(requests)])
                while served.in_flight:
                    await asyncio.sleep(0)
                took = time.perf_counter() - begun
                predicted = (served.metrics.predict.total - before) / together
                if turn >= 200:  # by now predict runs on the loop
                    readings.append((took - predicted) / together * 1e6)
            found[protocol, together] = readings
    repository.close()
    http.closed(connection)
    return found
