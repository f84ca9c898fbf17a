"""Requests per second of the model server on one core: scikit-learn's SVC on iris, V2 and V1 over REST.

    python bench/serve_v2.py [--kserve-python /path/to/python]

With ``--kserve-python`` (an interpreter that has ``kserve`` and ``scikit-learn``; by default the one that
``MIZZEN_KSERVE_PYTHON`` names, else that of ``.venv-kserve``) KServe's server runs beside ours and takes turns with it,
on the same core, under the same load, as quiet as it can be; what counts is the ratio, reading by reading. Without it
ours runs alone. ``--batching`` compares shared calls with single ones. ``--handler`` prints, from the server's own
process, what a request costs beside ``predict``.

The load (``bench/load.py``) runs on the other cores, sends rows that differ, one in a request, and checks every status
and one body in sixteen against what the model itself predicts. A rate is requests answered a second, with so many
connections that each have one request under way.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import platform
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from figures import Figure, Say

HERE = Path(__file__).resolve().parent
ROWS = 500
# By protocol and connections, how many times as fast as KServe's server ours is to be.
TARGETS = {("v2", 64): 20.0, ("v2", 16): 15.0, ("v1", 64): 15.0}
KSERVE_PYTHON = "MIZZEN_KSERVE_PYTHON"


def train(folder: Path) -> None:
    """Save the model, and a workload for each protocol with the model's own answers."""
    import joblib
    import numpy as np
    from sklearn.datasets import load_iris
    from sklearn.svm import SVC

    features, labels = load_iris(return_X_y=True)
    model = SVC(gamma="scale").fit(features, labels)
    (folder / "model").mkdir()
    joblib.dump(model, folder / "model" / "model.joblib")
    random = np.random.default_rng(7)
    rows = features[random.integers(0, len(features), ROWS)] + random.normal(0, 0.1, (ROWS, 4))
    rows = np.round(rows, 2)
    v1, v2 = [], []
    for row, first, second in zip(rows, model.predict(rows), model.predict(rows.astype(np.float32)), strict=True):
        tensor = {"name": "input-0", "shape": [1, 4], "datatype": "FP32", "data": row.tolist()}
        v2.append({"path": "/v2/models/iris/infer", "body": json.dumps({"inputs": [tensor]}), "expect": [int(second)]})
        body = json.dumps({"instances": [row.tolist()]})
        v1.append({"path": "/v1/models/iris:predict", "body": body, "expect": [int(first)]})
    (folder / "v1.json").write_text(json.dumps(v1))
    (folder / "v2.json").write_text(json.dumps(v2))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def server(command: list[str], core: int, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A server process pinned to one core, ready to answer."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    # Threads and children that it starts later stay on that core, too.
    os.sched_setaffinity(process.pid, {core})
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/health/ready", timeout=1).read()
                break
            except OSError:
                if process.poll() is not None:
                    raise SystemExit(f"{command} ended with {process.returncode}") from None
                time.sleep(0.1)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(40)
        except subprocess.TimeoutExpired:
            process.kill()


def load(workload: Path, port: int, connections: int, seconds: float, cores: list[int]) -> dict[str, Any]:
    command = [sys.executable, str(HERE / "load.py"), str(workload), "--port", str(port), "--processes", "2"]
    command += ["--connections", str(connections), "--seconds", str(seconds), "--warm", str(min(1.0, seconds / 2))]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    os.sched_setaffinity(process.pid, cores)
    result: dict[str, Any] = json.loads(process.communicate()[0])
    if result["errors"]:
        raise SystemExit(f"wrong answers: {result['errors']}")
    return result


def ours(folder: Path, port: int, *more: str) -> list[str]:
    command = [sys.executable, "-m", "mizzen.serve", "--model_dir", str(folder / "model"), "--model_name", "iris"]
    return [*command, "--host", "127.0.0.1", "--http_port", str(port), *more]


def kserve(python: str, folder: Path, port: int) -> list[str]:
    # Its dependencies warn at every request; that would be its log, not its work.
    command = [python, "-W", "ignore", str(HERE / "peers" / "kserve_sklearn.py"), "--model_dir", str(folder / "model")]
    return [*command, "--model_name", "iris", "--http_port", str(port), "--enable_latency_logging", "false"]


Rounds = dict[str, list[dict[str, Any]]]


def compare(
    options: argparse.Namespace, folder: Path, sides: dict[str, list[str]], ports: dict[str, int]
) -> Iterator[tuple[str, int, Rounds]]:
    """For each protocol and number of connections, what the load saw of each side, in rounds that alternate."""
    with contextlib.ExitStack() as stack:
        for side, command in sides.items():
            stack.enter_context(server(command, options.core, ports[side]))
        for protocol in options.protocols:
            for connections in options.connections:
                rounds: Rounds = {side: [] for side in sides}
                for _ in range(options.rounds):
                    for side in sides:
                        workload = folder / f"{protocol}.json"
                        rounds[side].append(
                            load(workload, ports[side], connections, options.seconds, options.load_cores)
                        )
                yield protocol, connections, rounds


def table(compared: Iterator[tuple[str, int, Rounds]], sides: list[str]) -> None:
    """Print medians, and the ratio of the first side to the last."""
    head = f"{'protocol':10}{'connections':>12}"
    print(head + "".join(f"{side + ' req/s':>20}{'p50 ms':>9}{'p99 ms':>9}" for side in sides) + f"{'ratio':>8}")
    for protocol, connections, rounds in compared:
        line = f"{protocol:10}{connections:>12}"
        for side in sides:
            rate, p50, p99 = (_median(rounds[side], key) for key in ("rate", "p50_ms", "p99_ms"))
            line += f"{rate:>20,.0f}{p50:>9.2f}{p99:>9.2f}"
        rates = [_median(rounds[side], "rate") for side in sides]
        print(line + (f"{rates[0] / rates[-1]:>7.1f}x" if len(rates) > 1 else f"{'':>8}"), flush=True)


def _median(found: list[dict[str, Any]], key: str) -> float:
    return statistics.median(one[key] for one in found)


def measure(quick: bool, say: Say) -> list[Figure]:
    """Rates of both servers and their ratio, for ``bench/run.py``."""
    options = parser().parse_args([])
    if quick:
        options.rounds, options.seconds, options.connections = 1, 0.4, [2]
    else:
        options.rounds = 5
    figures = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        train(folder)
        sides, ports = _sides(options, folder)
        for protocol, connections, rounds in compare(options, folder, sides, ports):
            at = f"{protocol.upper()} REST, {connections} connection{'s' if connections > 1 else ''}"
            rates = {side: [one["rate"] for one in found] for side, found in rounds.items()}
            if "kserve" in rates:
                ratios = [ours / theirs for ours, theirs in zip(rates["mizzen"], rates["kserve"], strict=True)]
                target = TARGETS.get((protocol, connections))
                figures.append(Figure(name=f"{at}: ratio to KServe", unit="x", readings=ratios, at_least=target))
            for side, found in rates.items():
                figures.append(Figure(name=f"{at}: {side}", unit="/s", readings=found))
            say(f"{at}: " + ", ".join(f"{side} {statistics.median(found):,.0f}/s" for side, found in rates.items()))
    if "kserve" not in sides:
        figures[0].note = f"no KServe to compare with: `make kserve-env` installs it, or {KSERVE_PYTHON} names one"
    return figures


async def handler(folder: Path) -> None:
    """What one request costs in the server beside ``predict``: parsing, decoding, queueing, encoding, writing."""
    from mizzen.http.connection import Connection
    from mizzen.http.server import Server
    from mizzen.serve.repository import Repository
    from mizzen.serve.runtimes.sklearn import SklearnModel
    from mizzen.serve.server import ModelServer

    class Sink:
        """A transport without a socket: system calls are the load's business, not the handler's."""

        def write(self, data: bytes) -> None:
            pass

        def is_closing(self) -> bool:
            return False

        def get_write_buffer_size(self) -> int:
            return 0

    repository = Repository()
    served = repository.load(SklearnModel("iris", folder / "model", {}))
    http = Server(ModelServer(repository).handle)
    connection = Connection(http)
    connection.connection_made(Sink())  # type: ignore[arg-type]
    for protocol in ("v2", "v1"):
        requests = []
        for item in json.loads((folder / f"{protocol}.json").read_text()):
            body = item["body"].encode()
            head = f"POST {item['path']} HTTP/1.1\r\nHost: a\r\nUser-Agent: b\r\nAccept: */*\r\n"
            requests.append(
                f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
            )
        for together in (1, 16, 64):
            samples = []
            for turn in range(400):
                before = served.metrics.predict.total
                begun = time.perf_counter()
                for at in range(together):
                    connection.data_received(requests[(turn * together + at) % ROWS])
                while served.lane.in_flight:
                    await asyncio.sleep(0)
                took = time.perf_counter() - begun
                predicted = (served.metrics.predict.total - before) / together
                if turn >= 200:  # by now predict runs on the loop
                    samples.append((took - predicted) / together)
            each = statistics.median(samples) * 1e6
            print(f"{protocol}, {together:2} together: {each:6.1f} us a request beside predict")
    repository.close()
    http.closed(connection)


def kserve_python() -> str | None:
    """The interpreter of KServe's own environment, if there is one."""
    beside = HERE.parent / ".venv-kserve/bin/python"
    return os.environ.get(KSERVE_PYTHON) or (str(beside) if beside.exists() else None)


def _sides(options: argparse.Namespace, folder: Path) -> tuple[dict[str, list[str]], dict[str, int]]:
    """The servers' commands and ports: ours, and what it is compared with."""
    ports = {"mizzen": free_port()}
    sides = {"mizzen": ours(folder, ports["mizzen"])}
    if options.batching:
        ports["single"] = free_port()
        sides["single"] = ours(folder, ports["single"], "--batching", "off")
    elif options.kserve_python:
        ports["kserve"] = free_port()
        sides["kserve"] = kserve(options.kserve_python, folder, ports["kserve"])
    return sides, ports


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    found.add_argument("--kserve-python", default=kserve_python(), help="an interpreter that has kserve")
    found.add_argument("--batching", action="store_true", help="compare shared calls with single ones instead")
    found.add_argument("--handler", action="store_true", help="print the handler's time less predict instead")
    found.add_argument("--connections", type=int, nargs="+", default=[64, 16, 1])
    found.add_argument("--protocols", nargs="+", default=["v2", "v1"])
    found.add_argument("--rounds", type=int, default=3)
    found.add_argument("--seconds", type=float, default=4.0)
    cores = sorted(os.sched_getaffinity(0))
    found.add_argument("--core", type=int, default=cores[-1], help="the servers' core")
    found.set_defaults(load_cores=cores[:-1] or cores)
    return found


def main() -> None:
    options = parser().parse_args()
    options.load_cores = [core for core in os.sched_getaffinity(0) if core != options.core] or [options.core]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        train(folder)
        print(f"Python {platform.python_version()}, scikit-learn {version('scikit-learn')}, uvloop {version('uvloop')}")
        if options.handler:
            import uvloop

            os.sched_setaffinity(0, {options.core})
            uvloop.run(handler(folder))
            return
        sides, ports = _sides(options, folder)
        if "kserve" in sides:
            code = "import importlib.metadata as m; print(m.version('kserve'), m.version('scikit-learn'))"
            print(
                "kserve, scikit-learn:", subprocess.check_output([options.kserve_python, "-c", code], text=True).strip()
            )
        table(compare(options, folder, sides, ports), list(sides))


if __name__ == "__main__":
    main()
