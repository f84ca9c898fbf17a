"""The servers that are measured beside each other: ours, KServe's, MLServer's, each at its best, on one core.

KServe and MLServer pin other versions than ours, so each lives in an environment of its own: ``make peer-envs``, or the
interpreters that ``MIZZEN_KSERVE_PYTHON`` and ``MIZZEN_MLSERVER_PYTHON`` name. *At their best*: no access log, no
latency log, uvloop (older than 0.22 for MLServer, which newer ones break), MLServer with ``parallel_workers=0`` (its
own default, one worker process, is slower on one core), and with adaptive batching on and off.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
ENVIRONMENTS = {"kserve": "MIZZEN_KSERVE_PYTHON", "mlserver": "MIZZEN_MLSERVER_PYTHON"}
_PATIENCE = 60.0


@dataclass
class Side:
    """One server.

    Attributes:
        name: in the table.
        command: that starts it.
        port, grpc_port: where it listens; ours speaks all protocols on both.
        model: what requests call the model.
        folder: where it runs.
    """

    name: str
    command: list[str]
    port: int
    grpc_port: int
    model: str
    folder: Path = HERE
    environ: dict[str, str] = field(default_factory=dict)


def interpreter(peer: str) -> str | None:
    """The interpreter of a peer's own environment, if there is one."""
    if os.environ.get("MIZZEN_BENCH_PEERS") == "off":
        return None
    beside = HERE.parent / f".venv-{peer}/bin/python"
    return os.environ.get(ENVIRONMENTS[peer]) or (str(beside) if beside.exists() else None)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def ours(model: str | Path, *more: str, name: str = "mizzen", called: str = "iris") -> Side:
    port, grpc = free_port(), free_port()
    command = [sys.executable, "-m", "mizzen.serve", "--model_dir", str(model), "--model_name", called]
    command += ["--host", "127.0.0.1", "--http_port", str(port), "--grpc_port", str(grpc), *more]
    return Side(name, command, port, grpc, called)


def kserve(script: str, model: Path, called: str = "iris", grpc_too: bool = False) -> Side | None:
    """KServe's server with a model of ``bench/peers``; None where it is not installed."""
    python = interpreter("kserve")
    if python is None:
        return None
    port, grpc = free_port(), free_port()
    # Its dependencies warn at every request; that would be its log, not its work.
    command = [python, "-W", "ignore", str(HERE / "peers" / script), "--model_dir", str(model)]
    command += ["--model_name", called, "--http_port", str(port), "--grpc_port", str(grpc)]
    command += ["--enable_latency_logging", "false", "--enable_grpc", str(grpc_too).lower()]
    return Side("KServe", command, port, grpc, called)


def mlserver(
    implementation: str, model: Path | None, folder: Path, batching: bool, called: str = "iris"
) -> Side | None:
    """MLServer in a folder made for it; None where it is not installed."""
    python = interpreter("mlserver")
    if python is None:
        return None
    port, grpc = free_port(), free_port()
    folder.mkdir(parents=True)
    settings = {
        "http_port": port,
        "grpc_port": grpc,
        "metrics_port": free_port(),
        "host": "127.0.0.1",
        "parallel_workers": 0,
        "debug": False,
        "gzip_enabled": False,
        "logging_settings": str(folder / "logging.json"),
    }
    logging = {"version": 1, "disable_existing_loggers": True, "root": {"level": "ERROR"}}
    described: dict[str, object] = {"name": called, "implementation": implementation}
    if model is not None:
        described["parameters"] = {"uri": str(model)}
    if batching:
        described |= {"max_batch_size": 64, "max_batch_time": 0.001}
    for name, value in (("settings", settings), ("model-settings", described), ("logging", logging)):
        (folder / f"{name}.json").write_text(json.dumps(value))
    shutil.copy(HERE / "peers" / "mlserver_identity.py", folder)
    command = [str(Path(python).parent / "mlserver"), "start", str(folder)]
    return Side("MLServer, batching" if batching else "MLServer", command, port, grpc, called, folder)


@contextlib.contextmanager
def running(side: Side, core: int) -> Iterator[subprocess.Popen[bytes]]:
    """A server process pinned to one core, ready to answer."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"} | side.environ
    process = subprocess.Popen(
        side.command, env=environment, cwd=side.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    # Threads and children that it starts later stay on that core, too.
    os.sched_setaffinity(process.pid, {core})
    try:
        wait(process, f"http://127.0.0.1:{side.port}/v2/models/{side.model}/ready")
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(40)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait(process: subprocess.Popen[bytes], url: str) -> None:
    """Until the server answers 200.

    Raises:
        RuntimeError: it ended, or does not.
    """
    begun = time.monotonic()
    while time.monotonic() - begun < _PATIENCE:
        try:
            with urllib.request.urlopen(url, timeout=1) as answer:
                answer.read()
                return
        except OSError:
            if process.poll() is not None:
                raise RuntimeError(f"{process.args} ended with {process.returncode}") from None
            time.sleep(0.05)
    raise RuntimeError(f"{process.args} does not answer")


def cores() -> tuple[int, list[int]]:
    """The core of the servers, and those of the load."""
    found = sorted(os.sched_getaffinity(0))
    return found[-1], found[:-1] or found
