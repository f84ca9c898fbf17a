"""gRPC ModelInfer a second on one core: scikit-learn's SVC on iris, one row in a request, 16 connections.

The load is ``h2load`` of nghttp2, which looks at statuses only; so before it every server is asked one hundred
different rows by ``grpcio``, and each answer compared with the model's own.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import struct
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import iris
import rates
import servers
from figures import Figure, Say
from servers import Side

TARGET = 3.0
METHOD = "/inference.GRPCInferenceService/ModelInfer"
CONNECTIONS = 16


def measure(quick: bool, say: Say) -> list[Figure]:
    if shutil.which("h2load") is None:
        raise RuntimeError("h2load is missing; on Debian: apt-get install nghttp2-client")
    count, seconds = (1, 1) if quick else (5, 4)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = iris.train(folder)
        items = json.loads((folder / "v2.json").read_text())
        (folder / "frame").write_bytes(_frame(items[0]))
        ours = servers.ours(model)
        peers = [
            servers.kserve("kserve_sklearn.py", model, grpc_too=True),
            servers.mlserver("mlserver_sklearn.SKLearnModel", model / "model.joblib", folder / "mlserver", False),
        ]
        sides = [ours, *(side for side in peers if side)]
        found: rates.Rounds = {side.name: [] for side in sides}
        with rates.running(sides):
            for side in sides:
                _check(side, items[:100])
            for _ in range(count):
                for side in sides:
                    found[side.name].append({"rate": _rate(side, folder / "frame", seconds)})
    figures = rates.compared(f"gRPC ModelInfer, {CONNECTIONS} connections", found, ours.name, TARGET, say)
    figures[0].note = rates.missing(sides)
    return figures


def _message(item: dict[str, Any]) -> bytes:
    from mizzen.serve.protocols.grpc import schema

    [tensor] = json.loads(item["body"])["inputs"]
    request = schema.ModelInferRequest(model_name="iris")
    one = request.inputs.add(name=tensor["name"], datatype=tensor["datatype"], shape=tensor["shape"])
    one.contents.fp32_contents.extend(tensor["data"])
    encoded: bytes = request.SerializeToString()
    return encoded


def _frame(item: dict[str, Any]) -> bytes:
    message = _message(item)
    return struct.pack(">BI", 0, len(message)) + message


def _check(side: Side, items: list[dict[str, Any]]) -> None:
    import grpc

    from mizzen.serve.protocols.grpc import schema

    with grpc.insecure_channel(f"127.0.0.1:{side.grpc_port}") as channel:
        ask = channel.unary_unary(METHOD, lambda data: data, schema.ModelInferResponse.FromString)
        for item in items:
            [output] = ask(_message(item), timeout=20).outputs
            if list(output.contents.int64_contents) != item["expect"]:
                raise RuntimeError(f"{side.name}: expected {item['expect']}, got {output}")


def _rate(side: Side, frame: Path, seconds: int) -> float:
    _, others = servers.cores()
    command = ["h2load", "-t", str(min(2, len(others))), "-c", str(CONNECTIONS), "-m", "1", "-D", str(seconds)]
    command += ["--warm-up-time", "1", "-d", str(frame), "-H", "content-type: application/grpc", "-H", "te: trailers"]
    command.append(f"http://127.0.0.1:{side.grpc_port}{METHOD}")
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    os.sched_setaffinity(process.pid, others)
    text = process.communicate()[0]
    done = re.search(r"finished in [\d.]+\w+, ([\d.]+) req/s", text)
    counted = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored", text)
    if not done or not counted or counted.group(2) != "0":
        raise RuntimeError(f"{side.name}: h2load says: {text}")
    return float(done.group(1))
