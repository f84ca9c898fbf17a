"""The small methods: what the server and its models are, and what is loaded."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mizzen
from mizzen.serve.errors import LoadError, ModelNotFound
from mizzen.serve.model import Servable
from mizzen.serve.protocols.grpc import schema
from mizzen.serve.repository import Repository
from mizzen.serve.spec import ModelSpec


async def test_the_server(speak: Any, kit: Any) -> None:
    speaker = await speak(kit.Echo())
    assert (await speaker.ask("ServerLive", schema.ServerLiveRequest())).live
    assert (await speaker.ask("ServerReady", schema.ServerReadyRequest())).ready
    metadata = await speaker.ask("ServerMetadata", schema.ServerMetadataRequest())
    assert (metadata.name, metadata.version) == ("mizzen", mizzen.__version__)
    assert "model_repository" in metadata.extensions
    speaker.repository.draining = True
    assert (await speaker.ask("ServerLive", schema.ServerLiveRequest())).live
    assert not (await speaker.ask("ServerReady", schema.ServerReadyRequest())).ready
    assert not (await speaker.ask("ModelReady", schema.ModelReadyRequest(name="echo"))).ready


async def test_a_model(speak: Any, kit: Any) -> None:
    speaker = await speak(kit.Echo(version="2"), kit.Echo(version="10"))
    metadata = await speaker.ask("ModelMetadata", schema.ModelMetadataRequest(name="echo"))
    assert (metadata.name, list(metadata.versions), metadata.platform) == ("echo", ["2", "10"], "echo")
    described = [(tensor.name, tensor.datatype, list(tensor.shape)) for tensor in metadata.inputs]
    assert described == [("x", "FP32", [-1, 4]), ("text", "BYTES", [-1])]
    assert [tensor.name for tensor in metadata.outputs] == ["x"]
    for version in ("", "2", "10"):
        assert (await speaker.ask("ModelReady", schema.ModelReadyRequest(name="echo", version=version))).ready
    for method, kind in (
        ("ModelReady", schema.ModelReadyRequest),
        ("ModelMetadata", schema.ModelMetadataRequest),
        ("ModelConfig", schema.ModelConfigRequest),
        ("ModelStatistics", schema.ModelStatisticsRequest),
    ):
        assert await speaker.refused(method, kind(name="none")) == (
            "NOT_FOUND",
            "Model with name none does not exist.",
        )
        code, text = await speaker.refused(method, kind(name="echo", version="3"))
        assert (code, text) == ("NOT_FOUND", "Model with name echo has no version 3; there is 2, 10.")


async def test_a_model_that_broke_is_not_ready_beside_one_that_is(speak: Any, kit: Any) -> None:
    speaker = await speak(kit.Echo(), kit.Doubled())
    speaker.repository.get("doubled").fail("its file is damaged")
    assert not (await speaker.ask("ModelReady", schema.ModelReadyRequest(name="doubled"))).ready
    assert (await speaker.ask("ModelReady", schema.ModelReadyRequest(name="echo"))).ready
    code, text = await speaker.refused("ModelInfer", kit.raw_request("doubled", kit.floats))
    assert (code, text) == ("UNAVAILABLE", "Model with name doubled is not ready. its file is damaged")
    index = await speaker.ask("RepositoryIndex", schema.RepositoryIndexRequest())
    assert [(one.name, one.state, one.reason) for one in index.models] == [
        ("echo", "READY", ""),
        ("doubled", "UNAVAILABLE", "its file is damaged"),
    ]
    index = await speaker.ask("RepositoryIndex", schema.RepositoryIndexRequest(ready=True))
    assert [one.name for one in index.models] == ["echo"]


async def test_configuration(speak: Any, kit: Any) -> None:
    speaker = await speak(kit.Echo(), kit.Doubled())
    config = (await speaker.ask("ModelConfig", schema.ModelConfigRequest(name="echo"))).config
    types = schema.POOL.FindEnumTypeByName("inference.DataType").values_by_name
    assert (config.name, config.platform, config.max_batch_size) == ("echo", "echo", 0)
    assert [(one.name, one.data_type, list(one.dims)) for one in config.input] == [
        ("x", types["TYPE_FP32"].number, [-1, 4]),
        ("text", types["TYPE_STRING"].number, [-1]),
    ]
    assert not config.HasField("dynamic_batching")
    config = (await speaker.ask("ModelConfig", schema.ModelConfigRequest(name="doubled"))).config
    assert config.HasField("dynamic_batching")


async def test_statistics(speak: Any, kit: Any) -> None:
    speaker = await speak(kit.Echo(), kit.Raising(ValueError("no")))
    for _ in range(3):
        await speaker.ask("ModelInfer", kit.raw_request("echo", kit.floats))
    await speaker.refused("ModelInfer", kit.raw_request("raising", kit.floats))
    found = await speaker.ask("ModelStatistics", schema.ModelStatisticsRequest())
    assert [one.name for one in found.model_stats] == ["echo", "raising"]
    echo, raising = found.model_stats
    assert (echo.inference_count, echo.execution_count) == (3, 3)
    stats = echo.inference_stats
    parts = (stats.queue, stats.compute_input, stats.compute_infer, stats.compute_output)
    assert [part.count for part in parts] == [3, 3, 3, 3]
    assert all(part.ns > 0 for part in parts)
    assert (stats.success.count, stats.fail.count) == (3, 0)
    assert abs(echo.last_inference / 1000 - time.time()) < 60
    assert stats.success.ns == sum(part.ns for part in parts)
    assert (raising.inference_stats.success.count, raising.inference_stats.fail.count) == (0, 1)
    [only] = (await speaker.ask("ModelStatistics", schema.ModelStatisticsRequest(name="echo"))).model_stats
    assert only.name == "echo"


class Shelf:
    """Models by name; one of them is broken."""

    def __init__(self, kit: Any, folder: Path) -> None:
        self.kit = kit
        self.folder = folder
        (folder / "model").write_text("a model of some size")
        self.parameters: list[Mapping[str, Any]] = []
        self.hold = threading.Event()
        self.hold.set()

    def names(self) -> list[str]:
        return ["one", "two", "torn"]

    def specs(self, name: str, parameters: Mapping[str, Any] | None = None) -> Sequence[ModelSpec]:
        if name not in self.names():
            raise ModelNotFound(name)
        self.parameters.append(dict(parameters or {}))
        return [ModelSpec(name=name, directory=self.folder)]

    def build(self, spec: ModelSpec) -> Servable:
        if spec.name == "torn":
            raise LoadError("model.joblib is torn")
        model = self.kit.Echo(spec.name)
        model.load = lambda: self.hold.wait(20)
        made: Servable = model
        return made


@pytest.fixture
async def shelf(kit: Any, tmp_path: Path) -> Shelf:
    return Shelf(kit, tmp_path)


@pytest.fixture
async def shelved(speak: Any, shelf: Shelf) -> Any:
    return await speak(repository=Repository(source=shelf, build=shelf.build))


def states(index: Any) -> dict[str, str]:
    return {one.name: one.state for one in index.models}


async def test_loading_as_triton_s_clients_do(shelved: Any, shelf: Shelf, kit: Any) -> None:
    request = schema.RepositoryModelLoadRequest(model_name="one")
    request.parameters["config"].string_param = "{}"
    request.parameters["file:1/model"].bytes_param = b"\xff"
    request.parameters["count"].int64_param = 3
    answer = await shelved.ask("RepositoryModelLoad", request)
    assert (answer.model_name, answer.isLoaded) == ("one", True)
    assert shelf.parameters == [{"config": "{}", "file:1/model": "/w==", "count": 3}]
    assert (await shelved.ask("ModelInfer", kit.raw_request("one", kit.floats))).outputs
    index = await shelved.ask("RepositoryIndex", schema.RepositoryIndexRequest())
    assert states(index) == {"one": "READY", "two": "UNAVAILABLE", "torn": "UNAVAILABLE"}
    answer = await shelved.ask("RepositoryModelUnload", schema.RepositoryModelUnloadRequest(model_name="one"))
    assert (answer.model_name, answer.isUnloaded) == ("one", True)
    for name in ("one", "two"):
        assert not (await shelved.ask("ModelReady", schema.ModelReadyRequest(name=name))).ready
        assert await shelved.refused("ModelInfer", kit.raw_request(name, kit.floats)) == (
            "UNAVAILABLE",
            f"Model with name {name} is not ready. It is unloaded; "
            f"POST to /v2/repository/models/{name}/load to load it.",
        )
    assert (await shelved.refused("ModelReady", schema.ModelReadyRequest(name="none")))[0] == "NOT_FOUND"


async def test_loading_as_kserve_s_clients_do(shelved: Any, kit: Any) -> None:
    """Their name is in the first field, where Triton has the repository's."""
    await shelved.ask("RepositoryModelLoad", schema.RepositoryModelLoadRequest(repository_name="two"))
    assert (await shelved.ask("ModelInfer", kit.raw_request("two", kit.floats))).outputs
    request = schema.RepositoryModelUnloadRequest(repository_name="two")
    assert (await shelved.ask("RepositoryModelUnload", request)).isUnloaded


async def test_what_cannot_be_loaded_or_let_go(shelved: Any) -> None:
    load, unload = schema.RepositoryModelLoadRequest, schema.RepositoryModelUnloadRequest
    assert await shelved.refused("RepositoryModelLoad", load(model_name="none")) == (
        "NOT_FOUND",
        "Model with name none does not exist.",
    )
    code, text = await shelved.refused("RepositoryModelLoad", load(model_name="torn"))
    assert code in ("UNAVAILABLE", "INTERNAL")
    assert text == "model.joblib is torn"
    assert await shelved.refused("RepositoryModelLoad", load()) == (
        "INVALID_ARGUMENT",
        "the request names no model",
    )
    assert (await shelved.refused("RepositoryModelUnload", unload(model_name="one")))[0] == "NOT_FOUND"
    request = load(model_name="one")
    request.parameters["config"].SetInParent()
    assert await shelved.refused("RepositoryModelLoad", request) == (
        "INVALID_ARGUMENT",
        "the parameter config has no value",
    )


async def test_a_load_outlives_who_asked_for_it(shelved: Any, shelf: Shelf) -> None:
    shelf.hold.clear()
    request = schema.RepositoryModelLoadRequest(model_name="one")
    code, _ = await shelved.refused("RepositoryModelLoad", request, timeout=0.3)
    assert code == "DEADLINE_EXCEEDED"
    shelf.hold.set()
    async with asyncio.timeout(10):
        while True:
            try:
                if (await shelved.ask("ModelReady", schema.ModelReadyRequest(name="one"))).ready:
                    break
            except Exception:  # not listed yet
                await asyncio.sleep(0.01)


async def test_a_model_that_was_unloaded_to_make_room_is_loaded_for_a_call(speak: Any, shelf: Shelf, kit: Any) -> None:
    repository = Repository(source=shelf, build=shelf.build, memory=1)
    speaker = await speak(repository=repository)
    for name in ("one", "two"):
        await repository.open(name)
    [first] = [served.model.name for served in repository if served.dormant]
    answer = await speaker.ask("ModelInfer", kit.raw_request(first, kit.floats))
    assert answer.raw_output_contents[0] == kit.floats.tobytes()
    other = next(served.model.name for served in repository if served.dormant)
    stream = speaker.stub("ModelStreamInfer")
    requests = [kit.raw_request(name, kit.floats, id=name) for name in (other, first, other)]
    answers = await speaker.run(lambda: list(stream(iter(requests), timeout=20)))
    assert [answer.infer_response.id for answer in answers] == [other, first, other]
    assert [answer.error_message for answer in answers] == ["", "", ""]


async def test_triton_s_client_manages_models(shelved: Any) -> None:
    triton = pytest.importorskip("tritonclient.grpc", reason="tritonclient is not installed")

    def story() -> None:
        client = triton.InferenceServerClient(shelved.address)
        assert client.is_server_live() and client.is_server_ready()
        client.load_model("one", config="{}", files={"file:1/model.onnx": b"\0"})
        assert client.is_model_ready("one")
        assert client.get_model_metadata("one", as_json=True)["platform"] == "echo"
        assert client.get_model_config("one", as_json=True)["config"]["name"] == "one"
        tensor = triton.InferInput("x", [1], "FP64")
        tensor.set_data_from_numpy(np.ones(1))
        client.infer("one", [tensor])
        assert client.get_inference_statistics("one").model_stats[0].inference_count == 1
        assert client.get_model_repository_index().models[0].state == "READY"
        client.unload_model("one")
        assert not client.is_model_ready("one")
        with pytest.raises(Exception, match="It is unloaded"):
            client.infer("one", [tensor])
        with pytest.raises(Exception, match="has no method SystemSharedMemoryStatus here"):
            client.get_system_shared_memory_status()
        client.close()

    await shelved.run(story)
