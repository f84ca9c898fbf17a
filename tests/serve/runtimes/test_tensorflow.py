"""TensorFlow's SavedModels: signatures, versions, texts, and folders that are none."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="tensorflow is not installed")

import tensorflow as tf

from mizzen.serve.errors import InvalidInput, LoadError
from mizzen.serve.model import NO_OPTIONS, Options, Tensor
from mizzen.serve.runtimes import registry
from mizzen.serve.runtimes.tensorflow import PRELOAD, TensorflowModel

ROWS = np.random.default_rng(2).normal(size=(5, 4)).astype(np.float32)
WEIGHTS = np.random.default_rng(1).normal(size=(4, 3)).astype(np.float32)


class Module(tf.Module):
    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        self.weights = tf.Variable(WEIGHTS * factor)

    @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32, name="x")])
    def score(self, x: Any) -> Any:
        return {"y": x @ self.weights, "total": tf.reduce_sum(x, 1)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def upper(self, text: Any) -> Any:
        return {"out": tf.strings.upper(text)}

    @tf.function(
        input_signature=[tf.TensorSpec([None, 2], tf.float32, name="a"), tf.TensorSpec([None, 2], tf.float32, name="b")]
    )
    def add(self, a: Any, b: Any) -> Any:
        return {"sum": a + b}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int32, name="i")])
    def pick(self, i: Any) -> Any:
        return {"out": tf.gather(self.weights, i)}


@pytest.fixture(scope="session")
def save(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    def make(*inner: str, factor: float = 1.0, folder: Path | None = None) -> Path:
        root = folder or tmp_path_factory.mktemp("saved")
        module = Module(factor)
        signatures = {
            "serving_default": module.score,
            "upper": module.upper,
            "add": module.add,
            "pick": module.pick,
        }
        tf.saved_model.save(module, str(root.joinpath(*inner)), signatures=signatures)
        return root

    return make


@pytest.fixture(scope="session")
def saved(save: Callable[..., Path]) -> Path:
    return save()


def load(folder: Path, settings: dict[str, Any] | None = None, **environ: str) -> TensorflowModel:
    made = TensorflowModel("m", folder, environ, settings=settings)
    made.load()
    return made


def ask(made: TensorflowModel, arrays: dict[str, Any], signature: str | None = None) -> dict[str, Any]:
    options = NO_OPTIONS if signature is None else Options(parameters={"signature_name": signature})
    tensors = [Tensor(name, np.asarray(array)) for name, array in arrays.items()]
    return {tensor.name: tensor.array for tensor in made.infer(tensors, options)}


async def test_the_answer_is_the_librarys_own_over_both_protocols(serving, tensor, saved):
    made = load(saved)
    ask_ = await serving(made)
    expected = tf.saved_model.load(str(saved)).signatures["serving_default"](x=tf.constant(ROWS))
    answer = await ask_.infer("m", tensor(ROWS, "FP32", "x"))
    assert answer.status == 200, answer.body
    found = {one["name"]: np.float32(one["data"]).reshape(one["shape"]) for one in answer.json["outputs"]}
    for name in ("y", "total"):
        np.testing.assert_array_equal(found[name], expected[name].numpy())
    answer = await ask_.predict("m", ROWS.tolist())
    rows = answer.json["predictions"]
    np.testing.assert_allclose([row["y"] for row in rows], expected["y"].numpy(), rtol=1e-6)
    metadata = (await ask_("GET", "/v2/models/m")).json
    assert metadata["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}]
    assert {one["name"]: one["shape"] for one in metadata["outputs"]} == {"y": [-1, 3], "total": [-1]}
    assert not made.batchable


async def test_a_request_names_its_signature(serving, saved):
    ask_ = await serving(load(saved))
    texts = {"name": "text", "datatype": "BYTES", "shape": [2], "data": ["a", "bc"]}
    answer = await ask_.infer("m", texts, parameters={"signature_name": "upper"})
    assert answer.json["outputs"][0]["data"] == ["A", "BC"]
    answer = await ask_("POST", "/v1/models/m:predict", {"signature_name": "upper", "instances": ["a", "bc"]})
    assert answer.json["predictions"] == ["A", "BC"]
    body = {"signature_name": "add", "instances": [{"a": [1, 2], "b": [3, 4]}, {"a": [0, 0], "b": [1, 1]}]}
    answer = await ask_("POST", "/v1/models/m:predict", {**body, "signature_name": "none"})
    assert answer.status == 400
    assert "model 'm' has no signature 'none'; its signatures are" in answer.error


def test_settings_name_the_usual_signature(saved):
    made = load(saved, {"signature_name": "add"})
    assert [one.name for one in made.inputs] == ["a", "b"]
    assert ask(made, {"b": [[1.0, 2]], "a": [[3, 4]]})["sum"].tolist() == [[4, 6]]
    with pytest.raises(LoadError, match="has no signature 'none'; its signatures are"):
        load(saved, {"signature_name": "none"})


def test_bytes_stay_bytes(saved):
    assert ask(load(saved), {"text": np.array([b"\xffa", "é"], object)}, "upper")["out"].tolist() == [
        b"\xffA",
        "é".encode(),
    ]


@pytest.mark.parametrize(
    ("arrays", "signature", "says"),
    [
        ({"z": ROWS}, None, "Unexpected inference input 'z' for model 'm'; its input is 'x'"),
        ({"x": ROWS[:, :3]}, None, "input 'x' of model 'm' is of shape [-1, 4] (-1: any length), not [5, 3]"),
        ({"x": np.array([["a"] * 4], object)}, None, "takes FP32, not BYTES"),
        ({"a": [[1, 2]]}, "add", "input 'b' is missing for model 'm'"),
        ({"i": [1.5]}, "pick", "takes INT32; 1.5 is no such value"),
        ({"i": [7]}, "pick", "indices[0] = 7 is not in [0, 4)"),
        ({"a": [[1, 2]], "b": [[1, 2]] * 3}, "add", ""),
    ],
)
def test_requests_that_do_not_fit_are_explained(saved, arrays, signature, says):
    made = load(saved)
    if not says:
        assert ask(made, arrays, signature)["sum"].shape == (3, 2)  # it broadcasts, as TensorFlow does
        return
    with pytest.raises(InvalidInput) as caught:
        ask(made, arrays, signature)
    assert says in str(caught.value)


def test_of_numbered_folders_the_highest_is_served(save):
    root = save("2")
    save("10", factor=3.0, folder=root)
    (root / "11").mkdir()
    np.testing.assert_allclose(ask(load(root), {"x": ROWS})["y"], 3 * ROWS @ WEIGHTS, rtol=1e-4, atol=1e-5)
    assert registry.detect(root) == "tensorflow"


def test_a_folder_as_triton_names_it(save):
    root = save("model.savedmodel")
    assert ask(load(root), {"x": ROWS})["y"].shape == (5, 3)


def test_a_repository_of_triton(save, tmp_path):
    from mizzen.serve.layouts.triton import TritonRepository

    save("1", "model.savedmodel", folder=tmp_path / "net")
    (tmp_path / "net" / "config.pbtxt").write_text(
        'platform: "tensorflow_savedmodel" max_batch_size: 4\n'
        'parameters { key: "TF_SIGNATURE_DEF" value { string_value: "add" } }\n'
        'input [ { name: "a" data_type: TYPE_FP32 dims: 2 }, { name: "b" data_type: TYPE_FP32 dims: 2 } ]\n'
        'output { name: "sum" data_type: TYPE_FP32 dims: 2 }'
    )
    [spec] = TritonRepository(tmp_path).specs("net")
    made: Any = registry.build(spec, {})
    made.load()
    given = [Tensor("a", np.float32([[1, 2]])), Tensor("b", np.float32([[3, 4]]))]
    assert made.infer(given, NO_OPTIONS)[0].array.tolist() == [[4, 6]]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda root: None, "there is no SavedModel in"),
        (lambda root: (root / "model.keras").touch(), "holds model.keras, which needs Keras"),
        (lambda root: (root / "saved_model.pb").write_bytes(b"hello"), "cannot be loaded by TensorFlow"),
        (lambda root: tf.saved_model.save(tf.Module(), str(root)), "has no signatures, which tell what it takes"),
    ],
    ids=["empty", "keras", "damaged", "no signatures"],
)
def test_folders_that_cannot_be_served(tmp_path, make, says):
    make(tmp_path)
    with pytest.raises(LoadError) as caught:
        load(tmp_path)
    assert says in str(caught.value)
    assert str(tmp_path) in str(caught.value)


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
    from mizzen.serve.runtimes.tensorflow import TensorflowModel
    model = TensorflowModel("m", Path({folder!r}), {{"MIZZEN_CPU": "2"}})
    model.load()
    print(model.infer([Tensor("x", numpy.ones((512, 4)))], NO_OPTIONS)[1].array.shape, flush=True)
    os._exit(0)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_fork_of_what_was_imported_serves(saved):
    code = FORK.format(preload=PRELOAD, folder=str(saved))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "(512, 3)"
