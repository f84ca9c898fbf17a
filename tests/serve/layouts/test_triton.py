"""Triton's repositories: configurations of all kinds, versions, requests to the letter, load and unload."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

# Before it is imported: its official builds report to their maker otherwise.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
pytest.importorskip("onnx", reason="onnx is not installed")

from mizzen.http.client import Client
from mizzen.serve.errors import LoadError, ModelNotFound
from mizzen.serve.lanes.scheduling import Scheduling
from mizzen.serve.layouts.triton import TritonRepository, find
from mizzen.serve.model import NO_OPTIONS, Options, Tensor
from mizzen.serve.repository import Repository
from mizzen.serve.runtimes import registry
from mizzen.serve.runtimes.triton import TritonModel
from mizzen.serve.served import State
from mizzen.serve.server import ModelServer
from serve.runtimes.onnx_graphs import BATCH, linear, model, node, save, value

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")

WEIGHTS = np.random.default_rng(1).normal(size=(4, 3)).astype(np.float32)
ROWS = np.random.default_rng(2).normal(size=(5, 4)).astype(np.float32)

PORTS = """
input [ { name: "x" data_type: TYPE_FP32 dims: [ 4 ] } ]
output [ { name: "y" data_type: TYPE_FP32 dims: [ 3 ] } ]
"""
IRIS = 'name: "iris"\nplatform: "onnxruntime_onnx"\nmax_batch_size: 8' + PORTS


def lay(root: Path, name: str = "iris", config: str | None = IRIS, graphs: dict[int, Any] | None = None) -> Path:
    """A model in a repository."""
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    if config is not None:
        (folder / "config.pbtxt").write_text(config)
    for version, graph in (graphs or {1: linear(WEIGHTS)}).items():
        save(folder / str(version), graph)
    return root


def load(root: Path, name: str = "iris", **parameters: Any) -> TritonModel:
    [spec] = TritonRepository(root).specs(name, parameters or None)
    made = registry.build(spec, {})
    made.load()
    assert isinstance(made, TritonModel)
    return made


def ask(made: TritonModel, arrays: dict[str, Any], options: Options = NO_OPTIONS) -> dict[str, Any]:
    tensors = [Tensor(name, np.asarray(array)) for name, array in arrays.items()]
    return {tensor.name: tensor.array for tensor in made.infer(tensors, options)}


class Served:
    """A server of a repository."""

    def __init__(self, client: Client, port: int, repository: Repository) -> None:
        self.port, self.repository, self._client = port, repository, client

    async def __call__(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        data = None if body is None else json.dumps(body).encode()
        async with asyncio.timeout(20):
            url = f"http://127.0.0.1:{self.port}{path}"
            async with await self._client.request(method, url, body=data, headers=[]) as response:
                text = await response.read()
        return response.status, json.loads(text) if text else None


@pytest.fixture
async def serve() -> AsyncIterator[Callable[..., Any]]:
    running = []

    async def start(root: Path) -> Served:
        repository = Repository(source=TritonRepository(root), build=partial(registry.build, environ={}))
        repository.load_all()
        server = ModelServer(repository)
        [(_, port)] = await server.listen("127.0.0.1", 0)
        client = Client(environ={})
        running.append((server, client))
        return Served(client, port, repository)

    yield start
    for server, client in running:
        await client.close()
        await server.drain(0, 0)


def tensor(rows: Any, datatype: str = "FP32", name: str = "x") -> dict[str, Any]:
    array = np.asarray(rows)
    return {"name": name, "shape": list(array.shape), "datatype": datatype, "data": array.ravel().tolist()}


async def test_a_model_is_served_by_its_configuration(serve, tmp_path):
    served = await serve(lay(tmp_path))
    status, metadata = await served("GET", "/v2/models/iris")
    assert status == 200
    assert metadata["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}]
    assert metadata["outputs"] == [{"name": "y", "datatype": "FP32", "shape": [-1, 3]}]
    status, answer = await served("POST", "/v2/models/iris/infer", {"inputs": [tensor(ROWS)]})
    assert status == 200, answer
    np.testing.assert_allclose(answer["outputs"][0]["data"], (ROWS @ WEIGHTS).ravel(), rtol=1e-4, atol=1e-5)
    _, answer = await served("POST", "/v1/models/iris:predict", {"instances": ROWS.tolist()})
    np.testing.assert_allclose(answer["predictions"], ROWS @ WEIGHTS, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        pytest.param(
            [tensor(ROWS, "FP64")],
            "inference input 'x' data-type is 'FP64', but model 'iris' expects 'FP32'",
            id="datatype",
        ),
        pytest.param(
            [tensor([[1, 2, 3]])],
            "unexpected shape for input 'x' for model 'iris'. Expected [-1, 4], got [1, 3]",
            id="shape",
        ),
        pytest.param([tensor([1, 2, 3, 4])], "Expected [-1, 4], got [4]. The first is the batch axis", id="rank"),
        pytest.param(
            [tensor(ROWS, name="z")],
            "unexpected inference input 'z' for model 'iris'; allowed inputs are: x",
            id="name",
        ),
        pytest.param([tensor(ROWS), tensor(ROWS)], "input 'x' for model 'iris' is given twice", id="twice"),
        pytest.param(
            [tensor(np.zeros((9, 4)))], "inference request batch-size must be <= 8 for 'iris'", id="too many rows"
        ),
    ],
)
async def test_requests_are_held_to_it(serve, tmp_path, inputs, says):
    served = await serve(lay(tmp_path))
    status, answer = await served("POST", "/v2/models/iris/infer", {"inputs": inputs})
    assert status == 400
    assert says in answer["error"]
    assert (await served("POST", "/v2/models/iris/infer", {"inputs": [tensor(ROWS)]}))[0] == 200


async def test_outputs_that_are_asked_for(serve, tmp_path):
    served = await serve(lay(tmp_path))
    body = {"inputs": [tensor(ROWS)], "outputs": [{"name": "z"}]}
    status, answer = await served("POST", "/v2/models/iris/infer", body)
    assert status == 400
    assert "unexpected inference output 'z' for model 'iris'" in answer["error"].replace("Unexpected", "unexpected")


def sum_and_difference() -> Any:
    return model(
        [node("Add", "a b", "sum"), node("Sub", "a b", "difference")],
        [value("a", shape=[BATCH, 2]), value("b", shape=[BATCH, 2])],
        [value("sum", shape=[BATCH, 2]), value("difference", shape=[BATCH, 2])],
    )


def test_the_configuration_may_leave_outputs_out(tmp_path):
    config = """platform: "onnxruntime_onnx" max_batch_size: 4
    input [ { name: "a" data_type: TYPE_FP32 dims: 2 }, { name: "b" data_type: TYPE_FP32 dims: 2 } ]
    output { name: "difference" data_type: TYPE_FP32 dims: 2 }"""
    made = load(lay(tmp_path, "m", config, {1: sum_and_difference()}), "m")
    a, b = np.float32([[5, 5]]), np.float32([[1, 2]])
    assert {name: array.tolist() for name, array in ask(made, {"a": a, "b": b}).items()} == {"difference": [[4, 3]]}
    with pytest.raises(Exception, match="expected 2 inputs but got 1 for model 'm'; missing: b"):
        ask(made, {"a": a})
    with pytest.raises(Exception, match="must have one batch size, not 'a' 1, 'b' 2"):
        ask(made, {"a": a, "b": np.concatenate([b, b])})


def test_without_a_batch_axis_dims_are_the_whole_shape(tmp_path):
    config = """backend: "onnxruntime"
    input { name: "x" data_type: TYPE_FP32 dims: [-1, 4] }
    output { name: "y" data_type: TYPE_FP32 dims: [-1, 3] }"""
    root = lay(tmp_path, "m", config)
    made = load(root, "m")
    assert made.inputs[0].shape == [-1, 4]
    assert ask(made, {"x": ROWS})["y"].shape == (5, 3)
    assert not made.batchable
    [spec] = TritonRepository(root).specs("m")
    assert spec.scheduling is not None
    assert spec.scheduling.batching is False


def test_shapes_may_be_others_for_clients_than_for_the_model(tmp_path):
    config = """max_batch_size: 8 platform: "onnxruntime_onnx"
    input { name: "x" data_type: TYPE_FP32 dims: [2, 2] reshape { shape: [4] } }
    output { name: "y" data_type: TYPE_FP32 dims: [3, 1] reshape { shape: [3] } }"""
    made = load(lay(tmp_path, "m", config), "m")
    assert made.inputs[0].shape == [-1, 2, 2]
    answer = ask(made, {"x": ROWS.reshape(5, 2, 2)})["y"]
    np.testing.assert_allclose(answer, (ROWS @ WEIGHTS).reshape(5, 3, 1), rtol=1e-4, atol=1e-5)


def test_a_number_without_an_axis(tmp_path):
    """The model takes [rows]; Triton has no dims of length nought, so clients say [rows, 1]."""
    graph = model([node("Neg", "x", "y")], [value("x", shape=[BATCH])], [value("y", shape=[BATCH])])
    config = """max_batch_size: 8 platform: "onnxruntime_onnx"
    input { name: "x" data_type: TYPE_FP32 dims: [1] reshape { shape: [] } }
    output { name: "y" data_type: TYPE_FP32 dims: [1] reshape { shape: [] } }"""
    made = load(lay(tmp_path, "m", config, {1: graph}), "m")
    assert ask(made, {"x": np.float32([[1], [2]])})["y"].tolist() == [[-1], [-2]]


@pytest.mark.parametrize(
    ("policy", "versions"),
    [
        ("", ["10"]),
        ("version_policy { latest { num_versions: 2 } }", ["3", "10"]),
        ("version_policy: { all { } }", ["1", "3", "10"]),
        ("version_policy: { specific { versions: [1, 3, 7] } }", ["1", "3"]),
    ],
)
def test_the_policy_says_which_versions(tmp_path, policy, versions):
    root = lay(tmp_path, config=IRIS + policy, graphs={at: linear(WEIGHTS * at) for at in (1, 3, 10)})
    for other in ("0", "02", "x", ".git"):
        (root / "iris" / other).mkdir()
    assert [spec.version for spec in TritonRepository(root).specs("iris")] == versions


async def test_several_versions_answer_each_for_itself(serve, tmp_path):
    graphs = {version: linear(WEIGHTS * version) for version in (1, 2)}
    served = await serve(lay(tmp_path, config=IRIS + "version_policy: { all { } }", graphs=graphs))
    assert served.repository.versions("iris") == ["1", "2"]
    for path, factor in (("", 2), ("/versions/1", 1), ("/versions/2", 2)):
        _, answer = await served("POST", f"/v2/models/iris{path}/infer", {"inputs": [tensor(ROWS)]})
        expected = factor * (ROWS @ WEIGHTS)
        np.testing.assert_allclose(answer["outputs"][0]["data"], expected.ravel(), rtol=1e-4, atol=1e-5)
        assert answer["model_version"] == str(factor)


@pytest.mark.parametrize("config", [None, "", 'name: "m"', 'backend: "onnxruntime" instance_group { count: 1 }'])
def test_what_is_not_said_is_completed_from_the_model(tmp_path, config):
    made = load(lay(tmp_path, "m", config), "m")
    assert made.platform == "onnxruntime_onnx"
    assert [(one.name, one.datatype, one.shape) for one in made.inputs] == [("x", "FP32", [-1, 4])]
    assert made.batchable
    assert ask(made, {"x": np.zeros((2000, 4), np.float32)})["y"].shape == (2000, 3)
    told = made.config
    assert told["input"] == [{"name": "x", "data_type": "TYPE_FP32", "dims": [4], "format": "FORMAT_NONE"}]
    assert told["max_batch_size"] > 0
    assert told["default_model_filename"] == "model.onnx"
    assert told["version_policy"] == {"latest": {"num_versions": 1}}


def test_a_model_of_fixed_rows_is_completed_without_a_batch_axis(tmp_path):
    graph = model([node("Neg", "x", "y")], [value("x", shape=[1, 4])], [value("y", shape=[1, 4])])
    made = load(lay(tmp_path, "m", None, {1: graph}), "m")
    assert made.inputs[0].shape == [1, 4]
    assert made.config["max_batch_size"] == 0
    assert made.config["input"][0]["dims"] == [1, 4]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("", {"batching": None, "rows": 8}),
        ("dynamic_batching { }", {"batching": True, "rows": 8, "latency": 0.0}),
        (
            "dynamic_batching { max_queue_delay_microseconds: 500 default_queue_policy { max_queue_size: 9 } }",
            {"batching": True, "latency": 0.0005, "queue": 9},
        ),
        ("instance_group [ { count: 2 kind: KIND_CPU }, { kind: KIND_CPU } ]", {"concurrency": 3}),
    ],
)
def test_how_requests_are_put_to_the_model(tmp_path, said, expected):
    base = Scheduling(limit=7.0)
    [spec] = TritonRepository(lay(tmp_path, config=IRIS + said), base).specs("iris")
    assert spec.scheduling is not None
    assert {name: getattr(spec.scheduling, name) for name in expected} == expected
    assert spec.scheduling.limit == 7.0


async def test_requests_share_calls_and_instances(serve, tmp_path):
    config = IRIS + "dynamic_batching { } instance_group { count: 3 }"
    served = await serve(lay(tmp_path, config=config))
    rows = np.random.default_rng(4).normal(size=(100, 4)).astype(np.float32)
    answers = await asyncio.gather(
        *(served("POST", "/v2/models/iris/infer", {"inputs": [tensor(row[None])]}) for row in rows)
    )
    for row, (status, answer) in zip(rows, answers, strict=True):
        assert status == 200
        np.testing.assert_allclose(answer["outputs"][0]["data"], row @ WEIGHTS, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ('name: "other"' + PORTS, "its name is 'other', and must be that of its folder, 'm'"),
        ('platform: "ensemble"', "it is an ensemble"),
        ('ensemble_scheduling { step { model_name: "a" } }', "it is an ensemble"),
        (IRIS.replace("iris", "m") + "sequence_batching { }", "sequence_batching keeps state"),
        ("model_transaction_policy { decoupled: true }", "it is decoupled"),
        ("batch_input { kind: BATCH_ELEMENT_COUNT }", "batch_input gives the model inputs"),
        ('input { name: "x" data_type: TYPE_FP32 dims: 4 allow_ragged_batch: true }', "'x' has allow_ragged_batch"),
        ('input { name: "x" data_type: TYPE_BF16 dims: 4 }', "input 'x' is of TYPE_BF16"),
        ('model_operations { op_library_filename: "a.so" }', "op_library_filename loads operators"),
        ('model_repository_agents { agents { name: "checksum" } }', "model_repository_agents change"),
        ('platform: "tensorrt_plan"', "platform 'tensorrt_plan' is not served here; there are onnxruntime_onnx"),
        ('backend: "python"', "backend 'python' is not served here"),
        ('default_model_filename: "other.onnx"', "nor is there a file other.onnx in its versions"),
        (
            'backend: "onnxruntime" default_model_filename: "other.onnx"',
            "version 1 has no file other.onnx",
        ),
        ("version_policy { specific { versions: 4 } }", "no version is to be served: there is 1"),
        ("version_policy { all {} latest {} }", "version_policy says all and latest: it can be one of them"),
        ("input { data_type: TYPE_FP32 dims: 4 }", "input[0] needs a name"),
        ('input { name: "x" dims: 4 }', "input 'x' needs a data_type"),
        ('input { name: "x" data_type: TYPE_FP32 }', "input 'x' needs dims"),
        ('input { name: "x" data_type: TYPE_FP32 dims: [0] }', "dims must be positive, or -1"),
        (PORTS + PORTS, "input 'x' is there twice"),
        (
            'input { name: "x" data_type: TYPE_FP32 dims: 4 reshape { shape: [3] } }',
            "reshape [3] has another number of elements than dims [4]",
        ),
        ("max_batch_size: -1", "max_batch_size must not be negative"),
        (PORTS + "dynamic_batching { }", "dynamic_batching needs a max_batch_size"),
        ("max_batch_size: many", "config.pbtxt:1:17: max_batch_size: 'many' is no int32"),
    ],
)
async def test_configurations_that_cannot_be_served(serve, tmp_path, config, says):
    """The model is listed with the reason, beside one that answers."""
    served = await serve(lay(lay(tmp_path, "m", config), "good", None))
    entries = {entry.name: entry for entry in served.repository.index()}
    assert entries["good"].state == State.READY.value
    assert entries["m"].state == State.UNAVAILABLE.value
    assert says in entries["m"].reason
    assert "m" in entries["m"].reason
    assert (await served("POST", "/v2/models/m/infer", {"inputs": [tensor(ROWS)]}))[0] == 503
    assert (await served("POST", "/v2/models/good/infer", {"inputs": [tensor(ROWS)]}))[0] == 200


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"x"', '"z"', "the configuration has an input 'z', the model has x"),
        ('"y"', '"z"', "the configuration has an output 'z', the model has y"),
        (
            "TYPE_FP32 dims: [ 4 ]",
            "TYPE_INT64 dims: [ 4 ]",
            "input 'x' is TYPE_INT64 in the configuration, and TYPE_FP32",
        ),
        (
            "[ 4 ]",
            "[ 5 ]",
            "input 'x' of the model is of shape [-1, 4]; the configuration says dims [5] after the batch",
        ),
        ("[ 4 ]", "[ 4, 1 ]", "input 'x' of the model is of shape [-1, 4]"),
        ("max_batch_size: 8", "", "and no batch axis, since max_batch_size is 0"),
    ],
)
def test_configurations_that_contradict_the_model(tmp_path, old, new, says):
    assert old in IRIS
    with pytest.raises(LoadError) as caught:
        load(lay(tmp_path, config=IRIS.replace(old, new)))
    assert says in str(caught.value)
    assert "model iris, version 1" in str(caught.value)


def test_a_batch_needs_an_axis(tmp_path):
    graph = model([node("Neg", "x", "y")], [value("x", shape=[1, 4])], [value("y", shape=[1, 4])])
    config = IRIS.replace("dims: [ 3 ]", "dims: [ 4 ]")
    with pytest.raises(LoadError, match=r"of shape \[1, 4\]; the configuration says dims \[4\] after the batch axis"):
        load(lay(tmp_path, config=config, graphs={1: graph}))


def test_fields_without_effect_and_unknown_ones_are_named(tmp_path, caplog):
    config = (
        IRIS
        + """
    optimization { graph { level: 1 } } model_warmup { name: "w" } novel_field: 3
    parameters { key: "execution_mode" value { string_value: "1" } }
    parameters { key: "intra_op_thread_count" value { string_value: "1" } }"""
    )
    with caplog.at_level(logging.WARNING):
        load(lay(tmp_path, config=config))
    told = " ".join(caplog.messages)
    for part in ("optimization", "model_warmup", "novel_field (line 7)", "parameters['execution_mode']"):
        assert part in told
    assert "intra_op_thread_count" not in told


async def test_models_are_loaded_anew_and_unloaded(serve, tmp_path):
    root = lay(tmp_path)
    served = await serve(root)
    lay(root, graphs={2: linear(WEIGHTS * 2)})
    lay(root, "late", None)
    assert {entry.name for entry in served.repository.index()} == {"iris", "late"}
    await served.repository.open("iris")
    await served.repository.open("late")
    assert served.repository.versions("iris") == ["2"]
    _, answer = await served("POST", "/v2/models/iris/infer", {"inputs": [tensor(ROWS)]})
    np.testing.assert_allclose(answer["outputs"][0]["data"], (ROWS @ WEIGHTS).ravel() * 2, rtol=1e-4, atol=1e-4)
    # What is broken does not take the place of what answers.
    (root / "iris" / "config.pbtxt").write_text("max_batch_size: many")
    with pytest.raises(LoadError, match="many"):
        await served.repository.open("iris")
    assert (await served("POST", "/v2/models/iris/infer", {"inputs": [tensor(ROWS)]}))[0] == 200
    await served.repository.shut("iris")
    status, answer = await served("POST", "/v2/models/iris/infer", {"inputs": [tensor(ROWS)]})
    assert status == 503 and "It is unloaded" in answer["error"]
    with pytest.raises(ModelNotFound):
        await served.repository.open("nobody")


async def test_a_load_request_may_bring_a_configuration(serve, tmp_path):
    served = await serve(lay(tmp_path))
    brought = {
        "platform": "onnxruntime_onnx",
        "maxBatchSize": 2,
        "input": [{"name": "x", "data_type": "TYPE_FP32", "dims": ["4"]}],
        "output": [{"name": "y", "data_type": "TYPE_FP32", "dims": [3]}],
    }
    await served.repository.open("iris", {"config": json.dumps(brought)})
    status, answer = await served("POST", "/v2/models/iris/infer", {"inputs": [tensor(ROWS)]})
    assert status == 400
    assert "batch-size must be <= 2" in answer["error"]
    for parameters, says in (
        ({"config": "{"}, "the parameter config is no JSON"),
        ({"config": '{"max_batch_size": "x"}'}, "max_batch_size: 'x' is no int32"),
        ({"file:1/model.onnx": "AAAA"}, "a load request cannot bring files here"),
    ):
        with pytest.raises(LoadError) as caught:
            await served.repository.open("iris", parameters)
        assert says in str(caught.value)


def test_a_repository_is_told_from_other_folders(tmp_path):
    assert find(lay(tmp_path / "configured"))
    assert find(lay(lay(tmp_path / "mixed", config=None), "other", ""))
    assert not find(lay(tmp_path / "bare", config=None))
    save(tmp_path / "folder" / "m", linear(WEIGHTS))
    assert not find(tmp_path / "folder")
    assert not find(tmp_path / "configured" / "iris")
    assert not find(tmp_path / "nowhere")
    (tmp_path / "saved" / "m" / "1").mkdir(parents=True)
    (tmp_path / "saved" / "m" / "1" / "saved_model.pb").touch()
    assert not find(tmp_path / "saved")


def test_a_folder_without_versions_says_so(tmp_path):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "config.pbtxt").write_text("")
    with pytest.raises(LoadError, match="has no version: a folder in it must be named 1"):
        TritonRepository(tmp_path).specs("m")


def test_weights_in_a_file_beside_the_graph(tmp_path):
    """The model is a folder of that name, as Triton has it."""
    save(tmp_path / "m" / "1" / "model.onnx", linear(WEIGHTS))
    assert ask(load(tmp_path, "m"), {"x": ROWS})["y"].shape == (5, 3)


def test_torchscript_by_triton_names(tmp_path):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    folder = tmp_path / "net" / "1"
    folder.mkdir(parents=True)
    torch.manual_seed(1)
    layer = torch.nn.Linear(4, 3)
    torch.jit.trace(layer, torch.zeros(1, 4)).save(str(folder / "model.pt"))
    config = """platform: "pytorch_libtorch" max_batch_size: 8 dynamic_batching { }
    input { name: "INPUT__0" data_type: TYPE_FP32 dims: 4 }
    output { name: "OUTPUT__0" data_type: TYPE_FP32 dims: 3 }"""
    (tmp_path / "net" / "config.pbtxt").write_text(config)
    made = load(tmp_path, "net")
    with torch.inference_mode():
        expected = layer(torch.from_numpy(ROWS)).numpy()
    np.testing.assert_allclose(ask(made, {"INPUT__0": ROWS})["OUTPUT__0"], expected, atol=1e-6)
    (tmp_path / "net" / "config.pbtxt").unlink()
    with pytest.raises(LoadError, match="the model does not tell its inputs"):
        load(tmp_path, "net")


def test_an_exported_program_needs_no_configuration(tmp_path):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    folder = tmp_path / "net" / "1"
    folder.mkdir(parents=True)
    rows = {0: torch.export.Dim("rows")}
    program = torch.export.export(torch.nn.Linear(4, 3), (torch.zeros(2, 4),), dynamic_shapes=(rows,))
    torch.export.save(program, folder / "model.pt2")
    made = load(tmp_path, "net")
    assert made.platform == "pytorch_libtorch"
    assert ask(made, {"input-0": ROWS})["output-0"].shape == (5, 3)


async def test_tritons_own_client(serve, tmp_path):
    """Unmodified: JSON and binary, versions, the index, load with a configuration, unload, and its errors."""
    triton = pytest.importorskip("tritonclient.http", reason="tritonclient is not installed")
    graphs = {version: linear(WEIGHTS * version) for version in (1, 2)}
    served = await serve(lay(tmp_path, config=IRIS + "version_policy: { all { } }", graphs=graphs))

    def drive() -> None:
        with triton.InferenceServerClient(f"127.0.0.1:{served.port}") as client:
            assert client.is_server_ready()
            assert client.is_model_ready("iris", "2")
            assert client.get_model_metadata("iris")["platform"] == "onnxruntime_onnx"
            assert client.get_model_metadata("iris")["versions"] == ["1", "2"]
            for binary in (False, True):
                given = triton.InferInput("x", [5, 4], "FP32")
                given.set_data_from_numpy(ROWS, binary_data=binary)
                wanted = [triton.InferRequestedOutput("y", binary_data=binary)]
                for version, factor in (("", 2), ("1", 1)):
                    result = client.infer("iris", [given], model_version=version, outputs=wanted)
                    expected = factor * (ROWS @ WEIGHTS)
                    np.testing.assert_allclose(result.as_numpy("y"), expected, rtol=1e-4, atol=1e-4)
                    assert result.get_response()["model_version"] == str(factor)
            wrong = triton.InferInput("x", [5, 4], "FP64")
            wrong.set_data_from_numpy(ROWS.astype(np.float64))
            with pytest.raises(triton.InferenceServerException, match="data-type is 'FP64', but model 'iris' expects"):
                client.infer("iris", [wrong])
            client.load_model("iris", config=json.dumps({"max_batch_size": 2, "platform": "onnxruntime_onnx"}))
            [line] = client.get_model_repository_index()
            assert (line["name"], line["version"], line["state"]) == ("iris", "2", "READY")
            with pytest.raises(triton.InferenceServerException, match="batch-size must be <= 2"):
                client.infer("iris", [given])
            client.unload_model("iris")
            assert not client.is_model_ready("iris")

    await asyncio.to_thread(drive)


async def test_tritons_own_clients_read_the_configuration(serve, tmp_path):
    """The same over both protocols, as it is configured: dims without the batch."""
    http = pytest.importorskip("tritonclient.http", reason="tritonclient is not installed")
    grpc = pytest.importorskip("tritonclient.grpc", reason="tritonclient is not installed")
    served = await serve(lay(tmp_path, config=IRIS + "dynamic_batching { preferred_batch_size: [ 4, 8 ] }"))

    def drive() -> None:
        with http.InferenceServerClient(f"127.0.0.1:{served.port}") as client:
            configured = client.get_model_config("iris")
            assert client.get_model_config("iris", "1") == configured
            assert "model_configuration" in client.get_server_metadata()["extensions"]
        assert (configured["name"], configured["platform"]) == ("iris", "onnxruntime_onnx")
        assert configured["max_batch_size"] == 8
        [x], [y] = configured["input"], configured["output"]
        assert (x["name"], x["data_type"], x["dims"]) == ("x", "TYPE_FP32", [4])
        assert (y["name"], y["data_type"], y["dims"]) == ("y", "TYPE_FP32", [3])
        assert configured["dynamic_batching"] == {"preferred_batch_size": [4, 8]}
        assert configured["version_policy"] == {"latest": {"num_versions": 1}}
        with grpc.InferenceServerClient(f"127.0.0.1:{served.port}") as client:
            for version in ("", "1"):
                config = client.get_model_config("iris", version, as_json=True)["config"]
                assert (config["name"], config["max_batch_size"]) == ("iris", 8)
                [x], [y] = config["input"], config["output"]
                assert (x["data_type"], x["dims"], y["dims"]) == ("TYPE_FP32", ["4"], ["3"])
                assert config["dynamic_batching"] == {"preferred_batch_size": [4, 8]}

    await asyncio.to_thread(drive)
    status, answer = await served("GET", "/v2/models/nobody/config")
    assert (status, answer) == (404, {"error": "Model with name nobody does not exist."})


def test_half_precision_and_booleans_go_in_the_binary_form(tmp_path):
    graph = model(
        [node("Cast", "flag", "half", to=10), node("Mul", "half x", "y")],
        [value("flag", "BOOL", [BATCH, 2]), value("x", "FLOAT16", [BATCH, 2])],
        [value("y", "FLOAT16", [BATCH, 2])],
    )
    made = load(lay(tmp_path, "m", None, {1: graph}), "m")
    flags, halves = np.array([[True, False]]), np.float16([[1.5, 2]])
    assert ask(made, {"flag": flags, "x": halves})["y"].tolist() == [[1.5, 0]]
    assert made.config["input"][1]["data_type"] == "TYPE_FP16"
