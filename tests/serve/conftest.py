"""Models trained on the spot, a server in the test's own loop, and a way to ask it."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Before scikit-learn: several OpenMP threads on a busy machine wait for each other for seconds.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import joblib
import numpy as np
import pytest
import uvloop
from sklearn.datasets import load_iris
from sklearn.svm import SVC

from mizzen.http.client import Client
from mizzen.http.server import Limits
from mizzen.serve.lanes.scheduling import Scheduling
from mizzen.serve.model import TensorModel
from mizzen.serve.repository import Repository
from mizzen.serve.runtimes.sklearn import SklearnModel
from mizzen.serve.server import ModelServer
from serving_process import Process, Start


@pytest.hookimpl(optionalhook=True)
def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop}


FEATURES, LABELS = load_iris(return_X_y=True)


@pytest.fixture(scope="session")
def classifier() -> Any:
    return SVC(gamma="scale").fit(FEATURES, LABELS)


@pytest.fixture(scope="session")
def iris(classifier: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model."""
    folder = tmp_path_factory.mktemp("iris")
    joblib.dump(classifier, folder / "model.joblib")
    return folder


@pytest.fixture
def save(tmp_path: Path) -> Callable[[Any], Path]:
    """Save an estimator, get its folder."""

    def dump(estimator: Any, name: str = "model.joblib") -> Path:
        folder = tmp_path / f"model-{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        joblib.dump(estimator, folder / name)
        return folder

    return dump


@dataclass
class Asked:
    status: int
    body: bytes
    headers: dict[str, str]

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        assert set(self.json) == {"error"}
        return str(self.json["error"])


class Asker:
    """A client of one server."""

    def __init__(self, client: Client, port: int, server: ModelServer) -> None:
        self.client = client
        self.port = port
        self.server = server

    async def __call__(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Asked:
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        fields = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
        async with asyncio.timeout(20):
            url = f"http://127.0.0.1:{self.port}{path}"
            async with await self.client.request(method, url, body=data, headers=fields) as response:
                text = await response.read()
        found = {name.decode(): value.decode() for name, value in response.headers}
        return Asked(response.status, text, found)

    async def infer(self, name: str, *inputs: dict[str, Any], **more: Any) -> Asked:
        return await self("POST", f"/v2/models/{name}/infer", {"inputs": list(inputs), **more})

    async def predict(self, name: str, instances: Any) -> Asked:
        return await self("POST", f"/v1/models/{name}:predict", {"instances": instances})


@pytest.fixture
async def serving() -> AsyncIterator[Callable[..., Any]]:
    """``ask = await serving(model, ...)``: models that are loaded here, or folders of scikit-learn ones."""
    running = []

    async def start(
        *models: TensorModel | Path, scheduling: Scheduling | None = None, limits: Limits | None = None
    ) -> Asker:
        repository = Repository(scheduling)
        for model in models:
            repository.load(model if isinstance(model, TensorModel) else SklearnModel("iris", model, {}))
        server = ModelServer(repository, limits)
        [(_, port)] = await server.listen("127.0.0.1", 0)
        client = Client(environ={})
        running.append((server, client))
        return Asker(client, port, server)

    yield start
    for server, client in running:
        await client.close()
        await server.drain(0, 0)


@pytest.fixture
async def ask(serving: Callable[..., Any], iris: Path) -> Asker:
    """A server of the iris model."""
    asker: Asker = await serving(iris)
    return asker


def tensor(rows: Any, datatype: str = "FP64", name: str = "input-0", **more: Any) -> dict[str, Any]:
    """A V2 input."""
    array = np.asarray(rows)
    return {"name": name, "shape": list(array.shape), "datatype": datatype, "data": array.ravel().tolist(), **more}


@pytest.fixture(name="tensor")
def tensor_fixture() -> Callable[..., dict[str, Any]]:
    return tensor


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    running = []

    def run(*arguments: str, code: str | None = None, **environ: str) -> Process:
        command = [sys.executable, "-c", code] if code else [sys.executable, "-m", "mizzen.serve", *arguments]
        running.append(Process(command, environ))
        return running[-1]

    yield run
    for process in running:
        if process.popen.poll() is None:
            process.popen.kill()
        await process.ended()


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with Client(environ={}) as client:
        yield client
