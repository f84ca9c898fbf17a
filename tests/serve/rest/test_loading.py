"""Versions, and the model repository extension, over a source of our own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from mizzen.http.client import Client
from mizzen.serve.errors import LoadError, ModelNotFound
from mizzen.serve.model import Options, Tensor, TensorMetadata
from mizzen.serve.repository import Repository
from mizzen.serve.server import ModelServer
from mizzen.serve.spec import ModelSpec

from ..conftest import Asker
from .conftest import Echo

TENSOR = {"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}


class Numbered(Echo):
    def infer(self, inputs: list[Tensor], options: Options) -> list[Tensor]:
        self.options = options
        return inputs


class Shelf:
    """What could be served: names with their versions."""

    def __init__(self, **versions: list[str | None]) -> None:
        self.versions = versions
        self.asked: list[Mapping[str, Any] | None] = []
        self.broken: set[str] = set()
        self.hold: threading.Event | None = None

    def names(self) -> list[str]:
        return list(self.versions)

    def specs(self, name: str, parameters: Mapping[str, Any] | None = None) -> Sequence[ModelSpec]:
        self.asked.append(parameters)
        if name not in self.versions:
            raise ModelNotFound(name)
        return [ModelSpec(name=name, directory=Path("/nowhere"), version=version) for version in self.versions[name]]

    def build(self, spec: ModelSpec) -> Echo:
        if self.hold is not None:
            self.hold.wait(10)
        if spec.name in self.broken:
            raise LoadError(f"/models/{spec.name}/model.joblib cannot be read")
        return Numbered(spec.name, spec.version)


@pytest.fixture
async def start():
    running = []

    async def begin(shelf: Shelf) -> Asker:
        repository = Repository(source=shelf, build=shelf.build)
        repository.load_all()
        server = ModelServer(repository)
        [(_, port)] = await server.listen("127.0.0.1", 0)
        client = Client(environ={})
        running.append((server, client))
        return Asker(client, port, server)

    yield begin
    for server, client in running:
        await client.close()
        await server.drain(0, 0)


async def test_every_version_has_routes_of_its_own(start):
    ask = await start(Shelf(m=["1", "2", "10"], other=[None]))
    metadata = (await ask("GET", "/v2/models/m")).json
    assert (metadata["name"], metadata["versions"], metadata["platform"]) == ("m", ["1", "2", "10"], "echo")
    assert (await ask("GET", "/v2/models/m/versions/2")).json["versions"] == ["1", "2", "10"]
    assert (await ask("GET", "/v2/models/other")).json["versions"] is None
    for version in ("1", "2", "10"):
        assert (await ask("GET", f"/v2/models/m/versions/{version}/ready")).json == {"name": "m", "ready": True}
        answer = await ask("POST", f"/v2/models/m/versions/{version}/infer", {"inputs": [TENSOR]})
        assert (answer.json["model_name"], answer.json["model_version"]) == ("m", version)
    assert (await ask.infer("m", TENSOR)).json["model_version"] == "10"
    answer = await ask("POST", "/v2/models/m/versions/3/infer", {"inputs": [TENSOR]})
    assert (answer.status, answer.error) == (404, "Model with name m has no version 3; there is 1, 2, 10.")
    assert (await ask("GET", "/v2/models/m/versions/3/ready")).status == 404


async def test_the_index(start):
    shelf = Shelf(m=["1", "2"], plain=[None], broken=[None])
    shelf.broken.add("broken")
    ask = await start(shelf)
    shelf.versions["new"] = [None]
    ready = [
        {"name": "m", "version": "1", "state": "READY", "reason": ""},
        {"name": "m", "version": "2", "state": "READY", "reason": ""},
        {"name": "plain", "state": "READY", "reason": ""},
    ]
    assert (await ask("POST", "/v2/repository/index", {"ready": True})).json == ready
    for body in (None, b"", b" ", {}, {"ready": False}):
        assert (await ask("POST", "/v2/repository/index", body)).json == [
            *ready,
            {
                "name": "broken",
                "state": "UNAVAILABLE",
                "reason": "/models/broken/model.joblib cannot be read",
            },
            {"name": "new", "state": "UNAVAILABLE", "reason": "unloaded"},
        ]
    for body in (b"{", [], {"ready": "yes"}):
        assert (await ask("POST", "/v2/repository/index", body)).status == 400


async def test_loading_and_unloading(start):
    shelf = Shelf(m=[None])
    ask = await start(shelf)
    assert (await ask("POST", "/v2/repository/models/m/unload")).json == {"name": "m", "unload": True}
    said = "Model with name m is not ready. It is unloaded; POST to /v2/repository/models/m/load to load it."
    for answer in (
        await ask("GET", "/v2/models/m/ready"),
        await ask("GET", "/v1/models/m"),
        await ask("GET", "/v2/models/m"),
        await ask.infer("m", TENSOR),
        await ask.predict("m", [[1]]),
    ):
        assert (answer.status, answer.error) == (503, said)
    assert (await ask("GET", "/v2/models/nobody/ready")).status == 404
    assert (await ask("POST", "/v2/repository/models/m/unload")).status == 404
    parameters = {"config": "{}", "file:1/model": "AAAA"}
    answer = await ask("POST", "/v2/repository/models/m/load", {"parameters": parameters})
    assert answer.json == {"name": "m", "load": True}
    assert shelf.asked[-1] == parameters
    assert (await ask.infer("m", TENSOR)).status == 200
    answer = await ask("POST", "/v2/repository/models/nobody/load", {})
    assert (answer.status, answer.error) == (404, "Model with name nobody does not exist.")
    for body in (b"{", [], {"parameters": []}, {"parameters": {"a": {}}}):
        assert (await ask("POST", "/v2/repository/models/m/load", body)).status == 400


async def test_what_cannot_be_loaded_is_503_and_says_why(start):
    shelf = Shelf(m=[None], broken=[None])
    shelf.broken.add("broken")
    ask = await start(shelf)
    answer = await ask("POST", "/v2/repository/models/broken/load", {})
    text = "/models/broken/model.joblib cannot be read"
    assert (answer.status, answer.error) == (503, f"Model with name broken is not ready. {text}")
    shelf.broken.add("m")
    answer = await ask("POST", "/v2/repository/models/m/load", {})
    assert answer.status == 503
    assert answer.error.startswith("Model with name m could not be loaded anew and goes on as it was.")
    assert (await ask.infer("m", TENSOR)).status == 200


async def test_a_load_goes_on_when_who_asked_for_it_leaves(start):
    shelf = Shelf(m=[None])
    ask = await start(shelf)
    await ask("POST", "/v2/repository/models/m/unload")
    shelf.hold = threading.Event()
    _, writer = await asyncio.open_connection("127.0.0.1", ask.port)
    writer.write(b"POST /v2/repository/models/m/load HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n")
    async with asyncio.timeout(10):
        while not shelf.asked or shelf.asked[-1] is not None or (await ask("GET", "/v2/models")).json["models"]:
            await asyncio.sleep(0.01)
            if len(shelf.asked) > 1:
                break
        writer.transport.abort()
        shelf.hold.set()
        while (await ask("GET", "/v2/models/m/ready")).status != 200:
            await asyncio.sleep(0.01)


async def test_a_server_of_fixed_models_says_what_is_loaded(serving, echo):
    ask = await serving(echo)
    assert (await ask("POST", "/v2/repository/models/m/load")).json == {"name": "m", "load": True}
    assert (await ask("POST", "/v2/repository/models/other/load")).status == 404


async def test_a_server_is_ready_while_a_model_is(start):
    shelf = Shelf(m=[None], broken=[None])
    shelf.broken.add("broken")
    ask = await start(shelf)
    assert (await ask("GET", "/v2/health/ready")).json == {"ready": True}
    ask.server.repository.get("m").fail("it is stuck")
    answer = await ask("GET", "/v2/health/ready")
    assert answer.status == 503
    assert answer.error == ("Server is not ready. m: it is stuck. broken: /models/broken/model.joblib cannot be read.")
    assert (await ask("GET", "/v2/health/live")).json == {"live": True}
    assert (await ask("GET", "/")).json == {"status": "alive"}
    for name in ("m", "broken"):
        await ask("POST", f"/v2/repository/models/{name}/unload")
    assert (await ask("GET", "/v2/health/ready")).json == {"ready": True}
    ask.server.repository.draining = True
    assert (await ask("GET", "/v2/health/ready")).status == 503


async def test_a_model_that_was_unloaded_to_make_room_is_ready_and_not_woken_by_the_question(tmp_path):
    shelf = Shelf(a=[None], b=[None])
    repository = Repository(source=shelf, build=shelf.build, memory=1)
    repository.load_all()
    server = ModelServer(repository)
    [(_, port)] = await server.listen("127.0.0.1", 0)
    client = Client(environ={})
    ask = Asker(client, port, server)
    try:
        served = repository.get("a")
        served.dormant, served.state = True, type(served.state).UNAVAILABLE
        for path in ("/v1/models/a", "/v2/models/a/ready"):
            assert (await ask("GET", path)).json == {"name": "a", "ready": True}
        assert repository.get("a").dormant
        assert (await ask.infer("a", TENSOR)).status == 200
        assert not repository.get("a").dormant
    finally:
        await client.close()
        await server.drain(0, 0)


async def test_statistics(start):
    shelf = Shelf(m=["1", "2"], plain=[None])
    ask = await start(shelf)
    [one] = (await ask("GET", "/v2/models/plain/stats")).json["model_stats"]
    assert (one["name"], one["version"], one["last_inference"], one["inference_count"]) == ("plain", "", 0, 0)
    for _ in range(3):
        await ask.infer("plain", TENSOR)
    await ask("POST", "/v1/models/plain:predict", {"instances": [1]})
    await ask.infer("plain", TENSOR, parameters={"timeout": 1e-9 * 1e6})
    await ask("POST", "/v2/models/plain/infer", {"inputs": [TENSOR], "outputs": [{"name": "none"}]})
    [one] = (await ask("GET", "/v2/models/plain/stats")).json["model_stats"]
    import time

    assert abs(one["last_inference"] / 1000 - time.time()) < 60
    numbers = one["inference_stats"]
    assert one["inference_count"] == numbers["success"]["count"] >= 4
    assert numbers["fail"]["count"] >= 1
    assert numbers["compute_infer"]["count"] >= 5 and numbers["compute_infer"]["ns"] > 0
    stages = ("queue", "compute_input", "compute_infer", "compute_output")
    assert numbers["success"]["ns"] == sum(numbers[stage]["ns"] for stage in stages)
    assert one["execution_count"] >= 5
    found = (await ask("GET", "/v2/models/m/stats")).json["model_stats"]
    assert [entry["version"] for entry in found] == ["1", "2"]
    found = (await ask("GET", "/v2/models/m/versions/2/stats")).json["model_stats"]
    assert [entry["version"] for entry in found] == ["2"]
    found = (await ask("GET", "/v2/models/stats")).json["model_stats"]
    assert [(entry["name"], entry["version"]) for entry in found] == [("m", "1"), ("m", "2"), ("plain", "")]
    assert (await ask("GET", "/v2/models/m/versions/3/stats")).status == 404


async def test_the_configuration_of_a_model_that_has_none_of_its_own(serving):
    model = Echo(inputs=[TensorMetadata("x", "FP32", [-1, 4]), TensorMetadata("text", "BYTES", [-1])])
    ask = await serving(model)
    answer = await ask("GET", "/v2/models/m/config")
    assert answer.json == {
        "name": "m",
        "platform": "echo",
        "max_batch_size": 0,
        "input": [
            {"name": "x", "data_type": "TYPE_FP32", "dims": [-1, 4]},
            {"name": "text", "data_type": "TYPE_STRING", "dims": [-1]},
        ],
        "output": [],
    }
