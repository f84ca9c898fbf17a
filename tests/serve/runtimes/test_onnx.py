"""ONNX models as exporters write them, requests that fit and that do not, and files that are none."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

# Before it is imported: its official builds report to their maker otherwise.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
pytest.importorskip("onnx", reason="onnx is not installed")

import onnx
import onnxruntime
from onnx import TensorProto, helper

from mizzen.serve.codecs import datatypes
from mizzen.serve.errors import InferenceError, InvalidInput, LoadError
from mizzen.serve.model import NO_OPTIONS, Options, Tensor
from mizzen.serve.runtimes.onnx import PRELOAD, OnnxModel
from serve.runtimes.onnx_graphs import BATCH, linear, model, node, save, value

WEIGHTS = np.random.default_rng(1).normal(size=(4, 3)).astype(np.float32)
ROWS = np.random.default_rng(2).normal(size=(5, 4)).astype(np.float32)

ELEMENTS = {
    "BOOL": "BOOL",
    "UINT8": "UINT8",
    "UINT16": "UINT16",
    "UINT32": "UINT32",
    "UINT64": "UINT64",
    "INT8": "INT8",
    "INT16": "INT16",
    "INT32": "INT32",
    "INT64": "INT64",
    "FP32": "FLOAT",
    "FP64": "DOUBLE",
    "FP16": "FLOAT16",
}


def load(folder: Path, settings: dict[str, Any] | None = None, **environ: str) -> OnnxModel:
    made = OnnxModel("m", folder, environ, settings=settings)
    made.load()
    return made


def ask(made: OnnxModel, options: Options = NO_OPTIONS, /, **arrays: Any) -> dict[str, Any]:
    tensors = [Tensor(name, np.asarray(array)) for name, array in arrays.items()]
    return {tensor.name: tensor.array for tensor in made.infer(tensors, options)}


def identity(element: str, shape: Any = (BATCH, 2)) -> Any:
    return model([node("Identity", "x", "y")], [value("x", element, shape)], [value("y", element, shape)])


async def test_the_answer_is_the_librarys_own_over_both_protocols(serving, tensor, tmp_path):
    folder = save(tmp_path / "m", linear(WEIGHTS))
    ask = await serving(load(folder))
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
    [expected] = session.run(None, {"x": ROWS})
    answer = await ask.infer("m", tensor(ROWS, "FP32", "x"))
    assert answer.status == 200, answer.body
    [output] = answer.json["outputs"]
    assert (output["name"], output["datatype"], output["shape"]) == ("y", "FP32", [5, 3])
    np.testing.assert_array_equal(np.float32(output["data"]).reshape(5, 3), expected)
    answer = await ask.predict("m", ROWS.tolist())
    np.testing.assert_array_equal(np.float32(answer.json["predictions"]), expected)
    metadata = (await ask("GET", "/v2/models/m")).json
    assert metadata["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}]
    assert metadata["outputs"] == [{"name": "y", "datatype": "FP32", "shape": [-1, 3]}]


async def test_requests_that_share_a_call_get_their_own_answers(serving, tensor, tmp_path):
    ask = await serving(load(save(tmp_path / "m", linear(WEIGHTS))))
    rows = np.random.default_rng(3).normal(size=(200, 4)).astype(np.float32)
    answers = await asyncio.gather(*(ask.infer("m", tensor(row[None], "FP32", "x")) for row in rows))
    for row, answer in zip(rows, answers, strict=True):
        np.testing.assert_allclose(answer.json["outputs"][0]["data"], row @ WEIGHTS, rtol=1e-4, atol=1e-5)
    [served] = ask.server.repository
    assert served.batching
    assert sum(served.metrics.batch.counts) < len(rows)


@pytest.mark.parametrize("datatype", [name for name in ELEMENTS if name != "FP16"])
async def test_each_datatype_goes_through_json(serving, tensor, tmp_path, datatype):
    ask = await serving(load(save(tmp_path / "m", identity(ELEMENTS[datatype]))))
    rows = np.array([[0, 1], [1, 0]]).astype(datatypes.NUMPY[datatype])
    answer = await ask.infer("m", tensor(rows, datatype, "x"))
    assert answer.status == 200, answer.body
    assert answer.json["outputs"][0]["datatype"] == datatype
    assert answer.json["outputs"][0]["data"] == rows.ravel().tolist()


def test_half_precision(tmp_path):
    made = load(save(tmp_path / "m", identity("FLOAT16")))
    assert made.inputs[0].datatype == "FP16"
    assert ask(made, x=np.float64([[0.1, 65504]]))["y"].tolist() == [[np.float16(0.1), 65504]]
    with pytest.raises(InvalidInput, match="input 'x' of model 'm': a value is too large for FP16"):
        ask(made, x=np.float32([[1, 70000]]))


async def test_texts(serving, tmp_path):
    made = load(save(tmp_path / "m", identity("STRING", [BATCH])))
    ask_ = await serving(made)
    answer = await ask_.infer("m", {"name": "x", "datatype": "BYTES", "shape": [2], "data": ["né", ""]})
    assert answer.json["outputs"][0] == {
        "name": "y",
        "shape": [2],
        "datatype": "BYTES",
        "parameters": None,
        "data": ["né", ""],
    }
    # gRPC and the binary form bring bytes.
    assert ask(made, x=np.array([b"n\xc3\xa9", "a"], object))["y"].tolist() == ["né", "a"]
    with pytest.raises(InvalidInput, match="element 1 is not UTF-8"):
        ask(made, x=np.array([b"a", b"\xff"], object))
    with pytest.raises(InvalidInput, match="takes BYTES, not FP64"):
        ask(made, x=[1.5])


@pytest.mark.parametrize(
    ("element", "given", "expected"),
    [
        pytest.param("FLOAT", np.float64([[0.1, 2]]), np.float32([[0.1, 2]]), id="doubles to floats are rounded"),
        pytest.param("FLOAT", np.int64([[1, 2]]), np.float32([[1, 2]]), id="whole numbers to floats"),
        pytest.param("FLOAT", np.float16([[1, 2]]), np.float32([[1, 2]]), id="halves to floats"),
        pytest.param("FLOAT", np.float64([[np.inf, np.nan]]), np.float32([[np.inf, np.nan]]), id="infinity stays"),
        pytest.param("DOUBLE", np.float32([[0.5, 2]]), np.float64([[0.5, 2]]), id="floats to doubles"),
        pytest.param("INT64", np.float64([[1.0, -2.0]]), np.int64([[1, -2]]), id="whole floats to integers"),
        pytest.param("INT64", np.int8([[1, -2]]), np.int64([[1, -2]]), id="small integers to large"),
        pytest.param("INT8", np.int64([[127, -128]]), np.int8([[127, -128]]), id="large integers that fit"),
        pytest.param("BOOL", np.int64([[1, 0]]), np.bool_([[True, False]]), id="ones and noughts to booleans"),
        pytest.param("INT32", np.bool_([[True, False]]), np.int32([[1, 0]]), id="booleans to integers"),
    ],
)
def test_numbers_are_converted_where_their_value_survives(tmp_path, element, given, expected):
    answer = ask(load(save(tmp_path / "m", identity(element))), x=given)["y"]
    assert answer.dtype == expected.dtype
    np.testing.assert_array_equal(answer, expected)


@pytest.mark.parametrize(
    ("element", "given", "says"),
    [
        ("FLOAT", np.float64([[1e300, 0]]), "a value is too large for FP32"),
        ("INT64", np.float64([[1.5, 0]]), "takes INT64; 1.5 is no such value"),
        ("INT64", np.float64([[np.nan, 0]]), "takes INT64; nan is no such value"),
        ("INT64", np.uint64([[2**64 - 1, 0]]), "takes INT64; 18446744073709551615 is no such value"),
        ("UINT8", np.int64([[0, -1]]), "takes UINT8; -1 is no such value"),
        ("UINT64", np.int64([[0, -1]]), "takes UINT64; -1 is no such value"),
        ("INT8", np.int64([[0, 128]]), "takes INT8; 128 is no such value"),
        ("BOOL", np.int64([[0, 2]]), "takes BOOL; 2 is no such value"),
        ("FLOAT", np.array([["1", "2"]], object), "takes FP32, not BYTES"),
        ("FLOAT", np.array([[1.5, None]], object), "takes FP32, and no None: every row needs a value"),
    ],
)
def test_numbers_that_would_become_others_are_refused(tmp_path, element, given, says):
    with pytest.raises(InvalidInput, match="input 'x' of model 'm'") as caught:
        ask(load(save(tmp_path / "m", identity(element))), x=given)
    assert says in str(caught.value)


@pytest.fixture
def two(tmp_path) -> OnnxModel:
    """A model of two inputs and two outputs: a + b, and a - b."""
    graph = model(
        [node("Add", "a b", "sum"), node("Sub", "a b", "difference")],
        [value("a", shape=[BATCH, 2]), value("b", shape=[BATCH, 2])],
        [value("sum", shape=[BATCH, 2]), value("difference", shape=[BATCH, 2])],
    )
    return load(save(tmp_path / "two", graph))


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        pytest.param(
            [("a", [[1, 2]]), ("c", [[1, 2]])],
            "Unexpected inference input 'c' for model 'm'; its inputs are 'a', 'b'",
            id="unknown name",
        ),
        pytest.param([("a", [[1, 2]])], "input 'b' is missing for model 'm'; its inputs are 'a', 'b'", id="missing"),
        pytest.param([("a", [[1, 2]])] * 2, "input 'a' of model 'm' is given twice", id="twice"),
        pytest.param(
            [("a", [[1, 2]]), ("b", [[1, 2, 3]])],
            "input 'b' of model 'm' is of shape [-1, 2] (-1: any length), not [1, 3]",
            id="length",
        ),
        pytest.param([("a", [1, 2]), ("b", [[1, 2]])], "input 'a' of model 'm' is of shape [-1, 2]", id="rank"),
        pytest.param([("instances", [[1, 2]])], "Unexpected inference input 'instances'", id="one unnamed for two"),
    ],
)
async def test_requests_that_do_not_fit_are_explained(serving, tensor, two, inputs, says):
    ask = await serving(two)
    answer = await ask.infer("m", *(tensor(rows, "FP32", name) for name, rows in inputs))
    assert answer.status == 400
    assert says in answer.error
    assert (await ask.infer("m", tensor([[1, 2]], "FP32", "a"), tensor([[1, 2]], "FP32", "b"))).status == 200


async def test_several_inputs_by_rows_and_by_columns(serving, two):
    """V1's two forms for models of several inputs, whose numbers have no type."""
    ask = await serving(two)
    expected = [{"sum": [4.0, 6.0], "difference": [-2.0, -2.0]}, {"sum": [1.0, 1.0], "difference": [1.0, 1.0]}]
    rows = [{"a": [1, 2], "b": [3, 4]}, {"b": [0, 0], "a": [1, 1]}]
    answer = await ask("POST", "/v1/models/m:predict", {"instances": rows})
    assert answer.json == {"predictions": expected}
    answer = await ask("POST", "/v1/models/m:predict", {"inputs": {"a": [[1, 2], [1, 1]], "b": [[3, 4], [0, 0]]}})
    assert answer.json == {"predictions": expected}


async def test_outputs_that_are_asked_for(serving, tensor, two):
    ask = await serving(two)
    inputs = [tensor([[1, 2]], "FP32", "b"), tensor([[5, 5]], "FP32", "a")]
    answer = await ask.infer("m", *inputs)
    assert {one["name"]: one["data"] for one in answer.json["outputs"]} == {"sum": [6, 7], "difference": [4, 3]}
    answer = await ask.infer("m", *inputs, outputs=[{"name": "difference"}])
    assert [one["name"] for one in answer.json["outputs"]] == ["difference"]
    answer = await ask.infer("m", *inputs, outputs=[{"name": "product"}])
    assert answer.status == 400
    assert "Unexpected inference output 'product' for model 'm'" in answer.error


def test_values_that_the_graph_refuses_are_the_requests_fault(tmp_path):
    graph = model(
        [node("Gather", "x i", "y")],
        [value("x", shape=["n", 2]), value("i", "INT64", ["k"])],
        [value("y", shape=["k", 2])],
    )
    made = load(save(tmp_path / "m", graph))
    assert ask(made, x=[[1.0, 2.0]], i=[0])["y"].tolist() == [[1, 2]]
    with pytest.raises(InvalidInput, match="indices element out of data bounds, idx=3"):
        ask(made, x=[[1.0, 2.0]], i=[3])


@pytest.mark.parametrize("name", ["instances", "input-0", "x"])
def test_the_only_input_may_go_by_the_names_that_clients_give_it(tmp_path, name):
    made = load(save(tmp_path / "m", linear(WEIGHTS)))
    np.testing.assert_allclose(ask(made, **{name: ROWS})["y"], ROWS @ WEIGHTS, rtol=1e-4, atol=1e-5)


def test_a_column_may_come_as_rows_or_as_a_matrix_of_one(tmp_path):
    made = load(save(tmp_path / "m", identity("FLOAT", [BATCH, 1])))
    assert ask(made, x=[1.0, 2.0])["y"].tolist() == [[1], [2]]
    made = load(save(tmp_path / "n", identity("FLOAT", [BATCH])))
    assert ask(made, x=[[1.0], [2.0]])["y"].tolist() == [1, 2]


def quantized() -> list[Any]:
    return [
        node("DynamicQuantizeLinear", "x", "q scale zero"),
        node("DequantizeLinear", "q scale zero", "y"),
    ]


def branch(nodes: list[Any]) -> Any:
    graph = helper.make_graph(nodes, "inner", [], [value("y")])
    return node("If", "yes", "y", then_branch=graph, else_branch=graph)


def in_a_function() -> Any:
    opsets = [helper.make_opsetid("", 17)]
    inner = helper.make_function("mine", "Quantized", ["x"], ["y"], quantized(), opsets)
    return model([node("Quantized", "x", "y", domain="mine")], [value("x")], [value("y")], functions=[inner])


@pytest.mark.parametrize(
    ("graph", "batchable"),
    [
        pytest.param(lambda: linear(WEIGHTS), True, id="any number of rows"),
        pytest.param(lambda: identity("FLOAT", [None, 4]), True, id="without a name"),
        pytest.param(lambda: identity("FLOAT", [1, 4]), False, id="one row"),
        pytest.param(lambda: identity("FLOAT", []), False, id="a scalar"),
        pytest.param(
            lambda: model([node("ReduceSum", "x", "y", keepdims=0)], [value("x")], [value("y", shape=[])]),
            False,
            id="an output without rows",
        ),
        pytest.param(
            lambda: model(
                [node("MatMul", "a b", "y")],
                [value("a", shape=["n", 4]), value("b", shape=[4, 2])],
                [value("y", shape=["n", 2])],
            ),
            False,
            id="an input without rows",
        ),
        pytest.param(
            lambda: model(
                [node("Gather", "x i", "y")],
                [value("x", shape=["n", 2]), value("i", "INT64", ["k"])],
                [value("y", shape=["k", 2])],
            ),
            False,
            id="rows of two kinds",
        ),
        pytest.param(
            lambda: model(
                [node("Neg", "x", "y")], [value("x", shape=["unk__1", 2])], [value("y", shape=["unk__2", 2])]
            ),
            True,
            id="names that tf2onnx makes up",
        ),
        pytest.param(lambda: model(quantized(), [value("x")], [value("y")]), False, id="dynamic quantisation"),
        pytest.param(
            lambda: model([branch(quantized())], [value("x")], [value("y")], {"yes": np.bool_(True)}),
            False,
            id="dynamic quantisation in a branch",
        ),
        pytest.param(in_a_function, False, id="dynamic quantisation in a function"),
    ],
)
def test_which_models_share_calls(tmp_path, graph, batchable):
    made = load(save(tmp_path / "m", graph()))
    assert made.batchable is batchable
    assert not made.foreign


def classifier(keys: str) -> Any:
    """What scikit-learn's converter writes of a classifier: labels, and a map of scores for each row."""
    labels = {"classlabels_int64s": [7, 9]} if keys == "INT64" else {"classlabels_strings": ["no", "yes"]}
    zipmap = helper.make_node("ZipMap", ["scores"], ["probabilities"], domain="ai.onnx.ml", **labels)
    element = helper.make_tensor_type_proto(TensorProto.FLOAT, None)
    maps = helper.make_sequence_type_proto(helper.make_map_type_proto(getattr(TensorProto, keys), element))
    return model(
        [node("Softmax", "x", "scores"), zipmap],
        [value("x", shape=[None, 2])],
        [value("scores", shape=[None, 2]), helper.make_value_info("probabilities", maps)],
        ml=True,
    )


@pytest.mark.parametrize("keys", ["INT64", "STRING"])
async def test_maps_of_scores_become_a_matrix(serving, tensor, tmp_path, keys):
    made = load(save(tmp_path / "m", classifier(keys)))
    assert made.batchable
    assert [(one.name, one.datatype, one.shape) for one in made.outputs] == [
        ("scores", "FP32", [-1, 2]),
        ("probabilities", "FP32", [-1, -1]),
    ]
    ask_ = await serving(made)
    answer = await ask_.infer("m", tensor([[0, 1], [3, 2]], "FP32", "x"))
    scores, probabilities = answer.json["outputs"]
    assert probabilities["shape"] == [2, 2]
    assert probabilities["data"] == scores["data"]


def test_a_classifier_of_scikit_learn(tmp_path):
    skl2onnx = pytest.importorskip("skl2onnx", reason="skl2onnx is not installed")
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression

    features, labels = load_iris(return_X_y=True)
    fitted = LogisticRegression(max_iter=500).fit(features, labels)
    made = load(save(tmp_path / "m", skl2onnx.to_onnx(fitted, features[:1].astype(np.float32))))
    answer = ask(made, X=features)
    np.testing.assert_array_equal(answer["output_label"], fitted.predict(features))
    np.testing.assert_allclose(answer["output_probability"], fitted.predict_proba(features), atol=1e-5)
    assert made.batchable


def sequence(shapes: str) -> Any:
    tensors = helper.make_sequence_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, None))
    return model(
        [node("SequenceConstruct", shapes, "s")],
        [value("x", shape=[2]), value("z", shape=["k"])],
        [helper.make_value_info("s", tensors)],
    )


def test_lists_of_tensors_are_stacked_where_they_can_be(tmp_path):
    made = load(save(tmp_path / "m", sequence("x z")))
    assert not made.batchable
    assert ask(made, x=[1, 2], z=[3, 4])["s"].tolist() == [[1, 2], [3, 4]]
    with pytest.raises(InferenceError, match=r"output 's' is a list of tensors of different shapes, \[.*\], \[.*\]"):
        ask(made, x=[1, 2], z=[3, 4, 5])


def test_defaults_may_be_overridden(tmp_path):
    graph = linear(WEIGHTS)
    graph.graph.input.append(value("w", shape=[4, 3]))
    made = load(save(tmp_path / "m", graph))
    assert [one.name for one in made.inputs] == ["x"]
    assert made.batchable
    np.testing.assert_allclose(ask(made, instances=ROWS)["y"], ROWS @ WEIGHTS, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(ask(made, x=ROWS, w=2 * WEIGHTS)["y"], 2 * ROWS @ WEIGHTS, rtol=1e-4, atol=1e-5)


def external() -> Any:
    graph = linear(WEIGHTS)
    [weights] = graph.graph.initializer
    onnx.external_data_helper.set_external_data(weights, "weights.bin")
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    return graph


@pytest.mark.parametrize("inner", [".", "model.onnx"])
def test_weights_in_a_file_of_their_own(tmp_path, inner):
    folder = save(tmp_path / "m" / inner, external())
    (folder / "weights.bin").write_bytes(WEIGHTS.tobytes())
    made = load(tmp_path / "m")
    np.testing.assert_allclose(ask(made, x=ROWS)["y"], ROWS @ WEIGHTS, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("names", [["other.onnx"], ["model.onnx", "part.onnx"]])
def test_the_names_a_model_file_may_have(tmp_path, names):
    for name in names:
        save(tmp_path, linear(WEIGHTS), name)
    assert ask(load(tmp_path), x=ROWS)["y"].shape == (5, 3)
    assert ask(load(tmp_path / names[0]), x=ROWS)["y"].shape == (5, 3)


@pytest.mark.parametrize(
    ("file", "says"),
    [
        pytest.param(None, ["does not exist"], id="no folder"),
        pytest.param(b"hello, I am text", ["it is no ONNX model, or is cut short"], id="text"),
        pytest.param(b"", ["it is no ONNX model, or is cut short"], id="empty"),
        pytest.param(
            lambda: linear(WEIGHTS).SerializeToString()[:-30], ["it is no ONNX model, or is cut short"], id="cut short"
        ),
        pytest.param(
            lambda: model([node("Relu", "x", "y")], [value("x")], [value("y")], ir_version=99),
            ["it is of ONNX's IR version 99, and onnxruntime", "save the model with ir_version="],
            id="IR version",
        ),
        pytest.param(
            lambda: model([node("Relu", "x", "y")], [value("x")], [value("y")], opset=99),
            ["it is of opset 99, and onnxruntime", "export the model with opset_version="],
            id="opset",
        ),
        pytest.param(
            lambda: model([node("Frobnicate", "x", "y")], [value("x")], [value("y")]),
            ["has no operator Frobnicate"],
            id="operator",
        ),
        pytest.param(
            lambda: model([node("Own", "x", "y", domain="acme")], [value("x")], [value("y")]),
            ["it uses operators of the domain 'acme', which onnxruntime"],
            id="domain",
        ),
        pytest.param(external, ["keeps weights in the file weights.bin, which must lie beside it"], id="weights"),
        pytest.param(
            lambda: identity("BFLOAT16"),
            ["its input 'x' is a tensor(bfloat16), which the protocol cannot carry"],
            id="bfloat16",
        ),
        pytest.param(
            lambda: model(
                [helper.make_node("DictVectorizer", ["x"], ["y"], domain="ai.onnx.ml", string_vocabulary=["a"])],
                [
                    helper.make_value_info(
                        "x",
                        helper.make_map_type_proto(
                            TensorProto.STRING, helper.make_tensor_type_proto(TensorProto.FLOAT, None)
                        ),
                    )
                ],
                [value("y", shape=[1, 1])],
                ml=True,
            ),
            ["its input 'x' is a map(string,tensor(float)), which the protocol cannot carry"],
            id="map",
        ),
    ],
)
def test_files_that_cannot_be_served(tmp_path, file, says):
    folder = tmp_path / "m"
    if file is not None:
        save(folder, file() if callable(file) else file)
    with pytest.raises(LoadError) as caught:
        load(folder)
    for part in [str(folder), *says]:
        assert part in str(caught.value)
    assert "/onnxruntime_src/" not in str(caught.value)


async def test_a_failure_within_the_graph_is_a_sentence(serving, tensor, tmp_path):
    """A request may fit and ask for what cannot be computed; the next one is answered."""
    graph = model(
        [node("Reshape", "x shape", "y")],
        [value("x", shape=["n"])],
        [value("y", shape=["m", 2])],
        {"shape": np.int64([-1, 2])},
    )
    ask = await serving(load(save(tmp_path / "m", graph)))
    answer = await ask.infer("m", tensor([1, 2, 3], "FP32", "x"))
    assert answer.status in (400, 500)
    assert "Reshape" in answer.error
    assert "/onnxruntime_src/" not in answer.error
    assert (await ask.infer("m", tensor([1, 2], "FP32", "x"))).json["outputs"][0]["shape"] == [1, 2]


@pytest.mark.parametrize(
    ("settings", "environ", "threads"),
    [({}, {"MIZZEN_CPU": "0.5"}, 1), ({"intra_op_thread_count": "3"}, {"MIZZEN_CPU": "1"}, 3), ({}, {}, None)],
)
def test_threads_are_the_pods_share(tmp_path, settings, environ, threads):
    made = load(save(tmp_path / "m", linear(WEIGHTS)), settings, **environ)
    expected = threads or len(os.sched_getaffinity(0))
    assert made._session.get_session_options().intra_op_num_threads == expected


def test_threads_that_are_no_number(tmp_path):
    with pytest.raises(LoadError, match="intra_op_thread_count must be a number of threads, not 'many'"):
        load(tmp_path, {"intra_op_thread_count": "many"})


FORK = """
import importlib, os, sys
os.environ["OMP_NUM_THREADS"] = "1"
for name in {preload!r}:
    importlib.import_module(name)
assert len(os.listdir("/proc/self/task")) == 1, "the import started a thread"
child = os.fork()
if not child:
    import numpy
    from pathlib import Path
    from mizzen.serve.model import NO_OPTIONS, Tensor
    from mizzen.serve.runtimes.onnx import OnnxModel
    model = OnnxModel("m", Path({folder!r}), {{}})
    model.load()
    [output] = model.infer([Tensor("x", numpy.ones((2, 4)))], NO_OPTIONS)
    print(output.array.shape, flush=True)
    os._exit(0)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def run(code: str) -> subprocess.CompletedProcess[str]:
    """Another Python's answer, where nobody has said what ONNX Runtime may report."""
    environ = {name: text for name, text in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False, env=environ
    )


def test_a_fork_of_what_was_imported_serves(tmp_path):
    folder = save(tmp_path / "m", linear(WEIGHTS))
    done = run(FORK.format(preload=PRELOAD, folder=str(folder)))
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "(2, 3)"


def test_nothing_is_reported_to_the_maker_of_the_runtime():
    done = run("import os, mizzen.serve.runtimes.onnx; print(os.environ['ORT_DISABLE_TELEMETRY'])")
    assert done.stdout.strip() == "1", done.stderr
