"""A model server in a process of its own: how it is asked, and what it holds (descriptors, threads, memory)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import joblib
import numpy as np
from sklearn.datasets import load_iris
from sklearn.svm import SVC

from mizzen.http.client import Client
from mizzen.http.http2.client import Http2Client
from mizzen.serve.protocols.grpc import schema
from mizzen.serve.protocols.grpc.framing import frame
from mizzen.serve.protocols.grpc.status import Code, decode_message
from serving_process import Process

PATIENCE = 60
MIB = 1024 * 1024
HERE = Path(__file__).parent
FLOWER = [5.1, 3.5, 1.4, 0.2]
INFER = f"/{schema.INFERENCE}/ModelInfer"
GRPC = (b"content-type", b"application/grpc")
HEADER = "inference-header-content-length"

Asked = tuple[int | str, Any]


def children(pid: int) -> list[int]:
    """The processes that a process has started, by any of its threads, and that live."""
    found = []
    for listed in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found += [int(child) for child in listed.read_text().split()]
    return found


class Server:
    """A running server. Asked once, each way: status or code, and what it says (JSON, or gRPC's sentence)."""

    def __init__(self, process: Process, url: str) -> None:
        self.process = process
        self.url = url
        parts = urlsplit(url)
        assert parts.hostname is not None and parts.port is not None
        self.address = parts.hostname, parts.port

    @property
    def pid(self) -> int:
        return self.process.popen.pid

    @property
    def children(self) -> list[int]:
        return children(self.pid)

    @property
    def everybody(self) -> set[int]:
        """Its processes: workers and those of models included."""
        found, new = set(), {self.pid}
        while new:
            found |= new
            new = {child for pid in new for child in children(pid)} - found
        return found

    @property
    def log(self) -> str:
        return "\n".join(self.process.lines)

    def held(self) -> tuple[int, int]:
        """How many descriptors and threads it has."""
        folder = Path(f"/proc/{self.pid}")
        return len(list((folder / "fd").iterdir())), len(list((folder / "task").iterdir()))

    async def lets_go(self, before: tuple[int, int]) -> None:
        """Wait until it holds no more than it did."""
        end = time.monotonic() + PATIENCE / 3
        while any(now > then for now, then in zip(self.held(), before, strict=True)):
            assert time.monotonic() < end, f"descriptors and threads were {before} and stay at {self.held()}"
            await asyncio.sleep(0.02)

    async def warm(self) -> tuple[int, int]:
        """Ask its models something, so that their threads run. Returns what it holds then."""
        assert await self.rest("/v1/models/iris:predict", {"instances": [FLOWER]}) == (200, {"predictions": [0]})
        assert await self.rest("/v1/models/moody:predict", {"instances": [[1]]}) == (200, {"predictions": [2]})
        held = None
        while held != (held := self.held()):  # until the clients that asked are gone
            await asyncio.sleep(0.05)
        return held

    def memory(self, field: str = "VmRSS", pid: int | None = None) -> int:
        """Its memory in bytes, now; or the most that it had since :meth:`forget_peak` (``VmHWM``)."""
        text = Path(f"/proc/{pid or self.pid}/status").read_text()
        [found] = re.findall(rf"^{field}:\s+(\d+) kB$", text, re.MULTILINE)
        return int(found) * 1024

    def forget_peak(self) -> int:
        """From now on the peak is counted anew. Returns what memory it has."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")
        return self.memory("VmHWM")

    async def rest(
        self, path: str, body: Any = None, headers: dict[str, str] | None = None, client: Client | None = None
    ) -> Asked:
        """POST a body, JSON unless it is bytes; or GET where there is none."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        fields = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
        async with asyncio.timeout(PATIENCE), contextlib.AsyncExitStack() as kept:
            if client is None:
                client = await kept.enter_async_context(Client(environ={}))
            method = "GET" if body is None else "POST"
            async with await client.request(method, self.url + path, body=data, headers=fields) as answer:
                text = await answer.read()
                media = answer.header(b"content-type")
        return answer.status, json.loads(text) if media == b"application/json" else text

    async def grpc(self, body: bytes, *headers: tuple[bytes, bytes], client: Http2Client | None = None) -> Asked:
        """Call ModelInfer with frames of messages; answers with the message, or the code's name and its sentence."""
        async with asyncio.timeout(PATIENCE), contextlib.AsyncExitStack() as kept:
            if client is None:
                client = await kept.enter_async_context(Http2Client(environ={}))
            answer = await client.request("POST", self.url + INFER, headers=[GRPC, *headers], body=body)
        assert answer.status == 200
        fields = dict(answer.trailers or answer.headers)
        code = Code(int(fields[b"grpc-status"])).name
        if code == "OK":
            return code, schema.ModelInferResponse.FromString(answer.body[5:])
        return code, decode_message(fields[b"grpc-message"])

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(*self.address)

    async def metric(self, name: str, **labels: str) -> float:
        """A sample of its metrics, 0 if there is none."""
        _, text = await self.rest("/metrics")
        for line in text.decode().splitlines():
            if line.startswith(f"{name}{{") and all(f'{key}="{value}"' in line for key, value in labels.items()):
                return float(line.rpartition(" ")[2])
        return 0.0


@contextlib.contextmanager
def serving(*arguments: str, code: str | None = None, **environ: str) -> Iterator[Server]:
    """Start a server, and end it.

    Args:
        arguments: of the server; or, where they begin with a Python file, that program and its own.
        code: what Python is to run in place of the server's module.
    """
    if code is not None:
        command = [sys.executable, "-c", code, *arguments]
    elif arguments[0].endswith(".py"):
        command = [sys.executable, *arguments]
    else:
        command = [sys.executable, "-m", "mizzen.serve", *arguments]
    path = os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])
    process = Process([*command, "--http_port=0", "--host=127.0.0.1"], {"PYTHONPATH": path, **environ})
    try:
        yield Server(process, _url(process))
    finally:
        process.popen.terminate()
        try:
            process.popen.wait(PATIENCE)
        finally:
            process.popen.kill()
            process.popen.wait()


def _url(process: Process) -> str:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        for line in process.lines:
            if found := re.search(
                r"is served(?: by \d+ processes)? at (\S+) \(\d+ ms\)$|are served.* at (\S+) \(", line
            ):
                return found.group(1) or found.group(2)
        assert process.popen.poll() is None, process.lines
        time.sleep(0.01)
    raise AssertionError(f"it does not serve: {process.lines}")


async def eventually(condition: Callable[[], bool | Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            found = condition()
            if found if isinstance(found, bool) else await found:
                return
            await asyncio.sleep(0.02)


def write_iris(folder: Path) -> None:
    """A classifier of scikit-learn's own."""
    folder.mkdir(parents=True)
    joblib.dump(SVC(gamma="scale").fit(*load_iris(return_X_y=True)), folder / "model.joblib")


def write_model(folder: Path, kind: str, *arguments: int) -> None:
    """One of the models in ``behaviours.py``, as a pickle that names it."""
    folder.mkdir(parents=True, exist_ok=True)
    told = b"".join(b"I%d\n" % argument for argument in arguments)
    (folder / "model.pkl").write_bytes(b"cbehaviours\n%b\n(%btR." % (kind.encode(), told))


def tensor(rows: Any, datatype: str = "FP64", **change: Any) -> dict[str, Any]:
    array = np.asarray(rows)
    return {"name": "x", "shape": list(array.shape), "datatype": datatype, "data": array.ravel().tolist()} | change


def binary(inputs: list[dict[str, Any]], *blocks: bytes, **more: Any) -> tuple[bytes, dict[str, str]]:
    """A V2 body with raw blocks, and its header."""
    text = json.dumps({"inputs": inputs, **more}).encode()
    return text + b"".join(blocks), {HEADER: str(len(text))}


def block(array: np.ndarray, datatype: str, **change: Any) -> dict[str, Any]:
    """The input that tells of an array's block."""
    said = {"name": "x", "shape": list(array.shape), "datatype": datatype}
    return said | {"parameters": {"binary_data_size": array.nbytes}} | change


def message(model: str, array: np.ndarray, datatype: str = "FP64", **change: Any) -> Any:
    """A request of gRPC's, raw."""
    request = schema.ModelInferRequest(model_name=model)
    request.inputs.add(name="x", datatype=datatype, shape=change.get("shape", list(array.shape)))
    request.raw_input_contents.append(change.get("raw", array.tobytes()))
    return request


def framed(request: Any) -> bytes:
    return frame(request.SerializeToString())
