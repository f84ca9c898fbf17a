"""Every measurement runs to its end, prints its table, and leaves nothing running. What it reads is not looked at."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

RUN = Path(__file__).parents[2] / "bench/run.py"
MARK = "MIZZEN_BENCH_TESTED"

pytest.importorskip("sklearn", reason="scikit-learn is not installed")


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(RUN), *arguments]
    return subprocess.run(
        command, env=os.environ | environment, capture_output=True, text=True, timeout=300, check=False
    )


def left(mark: str) -> list[str]:
    """The command lines of processes that were started with a variable, those apart that only wait to be reaped."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in folder.joinpath("environ").read_bytes().split(b"\0"):
                found.append(folder.joinpath("cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return found


@pytest.mark.parametrize(
    ("measurement", "figure"),
    [
        ("startup", "`mizzen up` to ready, new home"),
        ("memory", "PSS, first start, zygote warm"),
        ("first_answer", "apply to Ready to first answer, zygote warm"),
        ("fork_ready", "model server, fork to ready"),
        ("idle", "idle with one model: flushes a minute"),
        ("serve_rest", "V2 REST, 2 connections: mizzen"),
        ("serve_handler", "V2 REST, 16 at once"),
        ("serve_tensor", "1 MiB of FP32, binary: mizzen"),
        ("serve_grpc", "gRPC ModelInfer, 16 connections: mizzen"),
        ("serve_latency", "p99 at half of our own peak"),
        ("serve_start", "cold process to first answer: mizzen"),
        ("serve_memory", "one more server, forked"),
        ("serve_many", "20 models, cold start to ready"),
        ("serve_mixed", "growth of memory after the first tenth"),
        ("gateway", "gateway, 2 connections: ratio to asking directly"),
        ("apiserver", "API server: create, 64 at once"),
        ("acm_deploy", "order to deploy to DEPLOYED, added"),
        ("acm_runtime", "50 instances of 2 elements, deployed"),
        ("acm_dispatch", "participant, messages of whole lives"),
    ],
)
def test_a_measurement_runs(measurement: str, figure: str) -> None:
    mark = str(uuid.uuid4())
    # The peers take seconds to start; that they are found and asked is shown once.
    peers = "on" if measurement == "serve_rest" else "off"
    done = run("--quick", measurement, **{MARK: mark, "MIZZEN_BENCH_PEERS": peers})
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[1] == measurement
    assert lines[2].split()[:3] == ["figure", "target", "median"]
    assert any(line.startswith(figure) for line in lines), done.stdout
    assert left(f"{MARK}={mark}") == []


def test_an_unknown_measurement_is_refused() -> None:
    done = run("--quick", "speed")
    assert done.returncode == 2
    assert "there is no measurement 'speed'" in done.stderr
