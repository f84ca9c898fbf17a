"""Models written for the kserve package, what they are asked, and what KServe's own server answers.

The files under ``tests/serve/custom/samples`` import ``kserve`` and nothing of ours. ``answers.json`` beside them is
what the real package's server gave; to record it anew: ``python tests/kserve_samples.py PYTHON``, where PYTHON is the
interpreter of an environment with that package.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec

SAMPLES = Path(__file__).parent / "serve" / "custom" / "samples"
ANSWERS = SAMPLES / "answers.json"

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


class Question(msgspec.Struct, frozen=True):
    """One request to a sample.

    Attributes:
        status: ours, where it differs from KServe's on purpose; then the bodies are not compared.
        text: a part of our answer then, or None.
    """

    sample: str
    path: str
    body: Any = None
    headers: dict[str, str] = {}
    status: int | None = None
    text: str | None = None

    @property
    def name(self) -> str:
        told = json.dumps(self.body)
        return f"{self.sample} {self.path} {told} {self.headers or ''}".strip()


# What follows the file's name on its command line.
ARGUMENTS = {"arguments": ["--model_name", "greeter", "--greeting", "bonjour"]}


def _x(data: list[Any], shape: list[int], datatype: str = "FP32") -> dict[str, Any]:
    return {"name": "x", "shape": shape, "datatype": datatype, "data": data}


V1, V2 = "/v1/models/{}:predict", "/v2/models/{}/infer"
QUESTIONS = [
    Question("rows", "/v1/models"),
    Question("rows", "/v1/models/rows"),
    Question("rows", V1.format("rows"), {"instances": [[1, 2], [4.5, 3]]}),
    Question("rows", V1.format("rows"), {"instances": []}),
    Question("rows", V1.format("rows"), {"boom": 1}, status=500, text='{"error":"the model broke"}'),
    Question("rows", V1.format("rows"), {"rows": 1}, status=500, text="'instances'"),
    Question("rows", V1.format("rows"), {"instances": 5}),
    Question("rows", V1.format("other"), {"instances": []}),
    Question("rows", "/v1/models/rows:explain", {"instances": [[1, 2]]}),
    Question("tensors", V1.format("tensors"), {"instances": [[1, 2], [3, 4]]}),
    Question("tensors", V1.format("tensors"), {"inputs": [1.5]}),
    Question("tensors", "/v2/models/tensors/ready"),
    Question("tensors", V2.format("tensors"), {"id": "7", "inputs": [_x([1, 2, 3, 4], [2, 2])]}),
    Question("tensors", V2.format("tensors"), {"inputs": [_x([[1, 2], [3, 4]], [2, 2])]}),
    Question("tensors", V2.format("tensors"), {"inputs": [_x([1, 2], [1, 2])], "outputs": [{"name": "largest"}]}),
    Question("tensors", V2.format("tensors"), {"inputs": [_x([1, 2], [1, 2])], "outputs": [{"name": "none"}]}),
    Question("tensors", V2.format("tensors"), {"id": "t", "inputs": [_x(["ä", "b"], [2], "BYTES")]}),
    Question("tensors", V2.format("tensors"), {"inputs": [_x([True], [1], "BOOL")]}),
    Question("tensors", V2.format("tensors"), {"inputs": [_x([], [0, 2])]}),
    Question("arguments", V1.format("greeter"), {"instances": ["you"]}),
    Question("stream", V1.format("counting"), {"count": 5}),
    Question("stream", V1.format("counting"), {"count": 5, "stream": True}),
    Question("dicts", V2.format("dicts"), {"inputs": [_x([1, 2], [1, 2], "FP64")]}),
]


def source(sample: str, package: str) -> str:
    """A sample's text, as it stands, or with its imports changed to another package."""
    text = (SAMPLES / f"{sample}.py").read_text()
    if package == "kserve":
        return text
    home, _, name = package.rpartition(".")
    text = re.sub(r"^import kserve$", f"from {home} import {name}", text, flags=re.MULTILINE)
    return re.sub(r"^from kserve\b", f"from {package}", text, flags=re.MULTILINE)


def told(status: int, headers: dict[str, str], body: bytes) -> dict[str, Any]:
    """An answer as it is kept and compared: ids are different every time."""
    text = _UUID.sub("<uuid>", body.decode())
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    kept = {name: headers[name] for name in ("content-type", "x-greeting") if name in headers}
    return {"status": status, "headers": kept, "body": value}


async def _record(python: str) -> None:
    from custom_serving import Asker

    answers: dict[str, Any] = {}
    for sample in dict.fromkeys(question.sample for question in QUESTIONS):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        command = [python, str(SAMPLES / f"{sample}.py"), f"--http_port={port}", "--enable_grpc=false"]
        process = subprocess.Popen([*command, *ARGUMENTS.get(sample, [])])
        ask = Asker(f"http://127.0.0.1:{port}")
        try:
            while True:
                try:
                    await ask("GET", "/")
                    break
                except Exception:
                    assert process.poll() is None
                    await asyncio.sleep(0.2)
            for question in QUESTIONS:
                if question.sample == sample:
                    answer = await put(ask, question)
                    answers[question.name] = told(answer.status, answer.headers, answer.body)
        finally:
            await ask.client.close()
            process.terminate()
            process.wait()
    ANSWERS.write_text(json.dumps(answers, indent=1, ensure_ascii=False, sort_keys=True) + "\n")


async def put(ask: Any, question: Question) -> Any:
    """Ask it; the answer."""
    headers = {"content-type": "application/json"} | question.headers
    method = "GET" if question.body is None else "POST"
    return await ask(method, question.path, question.body, headers)


if __name__ == "__main__":
    asyncio.run(_record(sys.argv[1]))
