"""PyTorch models in the forms that run without their code, requests to them, and files that need it."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections import namedtuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed")

import torch
from torch import nn

from mizzen.serve.codecs import datatypes
from mizzen.serve.errors import InferenceError, InvalidInput, LoadError
from mizzen.serve.model import NO_OPTIONS, Tensor
from mizzen.serve.runtimes.torch import PRELOAD, TorchModel
from mizzen.serve.runtimes.torch_names import leaves

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")

ROWS = np.random.default_rng(2).normal(size=(5, 4)).astype(np.float32)


class Linear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)
        self.dropout = nn.Dropout(0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.dropout(self.layer(x))


class Two(nn.Module):
    """Two arguments, and a dictionary back."""

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"sum": a + b, "difference": a - b}


class Pair(nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x + 1, x.sum(1)


class Scaled(nn.Module):
    """An argument with a default, and one that is a number."""

    def forward(self, x: torch.Tensor, factor: float = 2.0, shift: torch.Tensor | None = None) -> torch.Tensor:
        y = x * factor
        return y if shift is None else y + shift


class Words(nn.Module):
    def forward(self, words: list[str]) -> tuple[torch.Tensor, list[str]]:
        return torch.tensor([len(word) for word in words]), [word.upper() for word in words]


class Keyed(nn.Module):
    def forward(self, given: dict[str, torch.Tensor]) -> torch.Tensor:
        return given["left"] - given["right"]


class Nested(nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, dict[str, tuple[torch.Tensor, torch.Tensor]]]:
        return x, {"pair": (x + 1, x + 2)}


def script(folder: Path, module: nn.Module, name: str = "model.pt") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    torch.jit.script(module).save(str(folder / name))
    return folder


def export(folder: Path, module: nn.Module, *arguments: torch.Tensor, dynamic: bool = True, **named: Any) -> Path:
    """An exported program whose inputs may have any number of rows."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = {0: torch.export.Dim("rows")}
    shapes = (tuple(rows for _ in arguments), dict.fromkeys(named, rows)) if dynamic else None
    if shapes is not None:
        shapes = [*shapes[0], *shapes[1].values()] if named else shapes[0]
    program = torch.export.export(module.eval(), arguments, named, dynamic_shapes=shapes)
    torch.export.save(program, folder / "model.pt2")
    return folder


def load(folder: Path, settings: dict[str, Any] | None = None, **environ: str) -> TorchModel:
    made = TorchModel("m", folder, environ, settings=settings)
    made.load()
    return made


def ask(made: TorchModel, arrays: dict[str, Any]) -> dict[str, Any]:
    tensors = [Tensor(name, np.asarray(array)) for name, array in arrays.items()]
    return {tensor.name: tensor.array for tensor in made.infer(tensors, NO_OPTIONS)}


@pytest.fixture(scope="module")
def trained() -> Linear:
    torch.manual_seed(1)
    return Linear().eval()


def expected(module: nn.Module, rows: Any) -> Any:
    with torch.inference_mode():
        return module(torch.from_numpy(rows)).numpy()


@pytest.mark.parametrize("form", ["script", "trace", "program"])
async def test_the_answer_is_the_librarys_own_over_both_protocols(serving, tensor, tmp_path, trained, form):
    if form == "script":
        folder = script(tmp_path / "m", trained)
    elif form == "trace":
        folder = tmp_path / "m"
        folder.mkdir()
        torch.jit.trace(trained, torch.zeros(2, 4)).save(str(folder / "net.pth"))
    else:
        folder = export(tmp_path / "m", trained, torch.zeros(2, 4))
    made = load(folder)
    ask_ = await serving(made)
    answer = await ask_.infer("m", tensor(ROWS, "FP32", "input-0"))
    assert answer.status == 200, answer.body
    [output] = answer.json["outputs"]
    assert (output["name"], output["datatype"], output["shape"]) == ("output-0", "FP32", [5, 3])
    np.testing.assert_allclose(np.float32(output["data"]).reshape(5, 3), expected(trained, ROWS), atol=1e-6)
    answer = await ask_.predict("m", ROWS.tolist())
    np.testing.assert_allclose(answer.json["predictions"], expected(trained, ROWS), atol=1e-6)
    assert not made.batchable


def test_a_program_tells_what_it_takes(tmp_path, trained):
    made = load(export(tmp_path / "m", trained, torch.zeros(2, 4)))
    assert [(one.name, one.datatype, one.shape) for one in made.inputs] == [("input-0", "FP32", [-1, 4])]
    assert [(one.name, one.datatype, one.shape) for one in made.outputs] == [("output-0", "FP32", [-1, 3])]
    for rows in (0, 1, 2, 7):
        assert ask(made, {"x": np.zeros((rows, 4))})["output-0"].shape == (rows, 3)
    with pytest.raises(InvalidInput, match=r"input 'input-0' of model 'm' is of shape \[-1, 4\].* not \[2, 5\]"):
        ask(made, {"input-0": np.zeros((2, 5))})
    with pytest.raises(InvalidInput, match="takes FP32, not BYTES"):
        ask(made, {"input-0": np.array([["a"] * 4], object)})


def test_a_program_of_fixed_shape_says_so(tmp_path, trained):
    made = load(export(tmp_path / "m", trained, torch.zeros(2, 4), dynamic=False))
    assert made.inputs[0].shape == [2, 4]
    with pytest.raises(InvalidInput, match=r"is of shape \[2, 4\], not \[3, 4\]"):
        ask(made, {"input-0": np.zeros((3, 4))})


@pytest.mark.parametrize(
    "names", [("input-0", "input-1"), ("a", "b"), ("INPUT__0", "INPUT__1")], ids=["ours", "its own", "triton's"]
)
@pytest.mark.parametrize("form", ["script", "program"])
def test_names_of_arguments_and_of_a_dictionary(tmp_path, form, names):
    folder = tmp_path / "m"
    if form == "script":
        script(folder, Two())
    else:
        export(folder, Two(), torch.zeros(2, 2), b=torch.zeros(2, 2))
    answer = ask(load(folder), {names[1]: np.float32([[1, 2]]), names[0]: np.float32([[5, 5]])})
    assert {name: array.tolist() for name, array in answer.items()} == {"sum": [[6, 7]], "difference": [[4, 3]]}


def test_tuples_are_numbered_and_nesting_is_named(tmp_path):
    x = np.float32([[1, 2]])
    answer = ask(load(script(tmp_path / "pair", Pair())), {"x": x})
    assert {name: array.tolist() for name, array in answer.items()} == {"output-0": [[2, 3]], "output-1": [3]}
    answer = ask(load(script(tmp_path / "nested", Nested())), {"x": x})
    assert list(answer) == ["output-0", "output-1-pair-0", "output-1-pair-1"]
    fields = namedtuple("fields", "low high")
    assert leaves(fields(1, (2, None))) == {"low": 1, "high-0": 2}


def declare(*names: str, datatype: str | None = "FP32") -> list[dict[str, Any]]:
    return [{"name": name, "datatype": datatype, "shape": [-1, 2]} for name in names]


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [
        pytest.param(["left", "right"], ["plus", "minus"], id="in order"),
        pytest.param(["b", "a"], ["difference", "sum"], id="by name"),
        pytest.param(["INPUT__1", "INPUT__0"], ["OUTPUT__1", "OUTPUT__0"], id="by number"),
    ],
)
def test_settings_may_name_inputs_and_outputs(tmp_path, inputs, outputs):
    turned = outputs[0] in ("difference", "OUTPUT__1")
    settings = {"inputs": declare(*inputs), "outputs": declare(*outputs)}
    made = load(script(tmp_path / "m", Two()), settings)
    first, second = [[5, 5]], [[1, 2]]
    left, right = (second, first) if turned else (first, second)
    answer = ask(made, {inputs[0]: np.float64(left), inputs[1]: np.int64(right)})
    plus, minus = reversed(outputs) if turned else outputs
    assert {name: array.tolist() for name, array in answer.items()} == {plus: [[6, 7]], minus: [[4, 3]]}
    assert {one.name for one in made.inputs} == set(inputs)
    assert {one.datatype for one in made.inputs} == {"FP32"}
    with pytest.raises(InvalidInput, match="Unexpected inference input 'z'"):
        ask(made, {"z": np.float32([[1, 2]])})


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        (declare("x", "y", "z"), "3 inputs are declared ('x', 'y', 'z'), the model takes 2: 'a', 'b'"),
        (declare("x__0", "y__7"), "2 inputs are declared"),
        (declare("a"), "no input is declared for the arguments 'b' of its forward"),
        ([{"datatype": "FP32"}], "inputs[0] must be an object with a name"),
        (declare("a", "b", datatype="FLOAT"), "datatype 'FLOAT' is not known"),
    ],
)
def test_settings_that_do_not_fit_the_model(tmp_path, inputs, says):
    with pytest.raises(LoadError) as caught:
        load(script(tmp_path / "m", Two()), {"inputs": inputs})
    assert says in str(caught.value)


def test_arguments_with_defaults_and_numbers(tmp_path):
    made = load(script(tmp_path / "m", Scaled()))
    x = np.float32([1, 2])
    assert ask(made, {"x": x})["output-0"].tolist() == [2, 4]
    assert ask(made, {"x": x, "factor": [3.0], "shift": np.float32([10, 10])})["output-0"].tolist() == [13, 16]
    with pytest.raises(InvalidInput, match="'factor' is a single float, not 2 values"):
        ask(made, {"x": x, "factor": [3.0, 4.0]})


def test_texts_in_and_out(tmp_path):
    made = load(script(tmp_path / "m", Words()))
    answer = ask(made, {"words": np.array(["ab", b"cde"], object)})
    assert answer["output-0"].tolist() == [2, 3]
    assert answer["output-1"].tolist() == ["AB", "CDE"]
    assert answer["output-1"].dtype == object
    with pytest.raises(InvalidInput, match="takes BYTES, not FP64"):
        ask(made, {"words": [1.5]})


def test_a_dictionary_of_tensors(tmp_path):
    made = load(script(tmp_path / "m", Keyed()))
    assert ask(made, {"left": np.float32([3]), "right": np.float32([1])})["output-0"].tolist() == [2]


class Identity(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


@pytest.mark.parametrize("datatype", [name for name in datatypes.NUMPY if name != "BYTES"])
def test_each_datatype(tmp_path, datatype):
    made = load(script(tmp_path / "m", Identity()), {"inputs": [{"name": "x", "datatype": datatype, "shape": [-1]}]})
    answer = ask(made, {"x": np.array([0, 1])})["output-0"]
    assert answer.dtype == datatypes.NUMPY[datatype]
    assert answer.tolist() == [0, 1]


def test_floats_become_what_the_weights_are(tmp_path, trained):
    """JSON's numbers are doubles, and TorchScript does not tell its types."""
    made = load(script(tmp_path / "m", trained))
    np.testing.assert_allclose(ask(made, {"x": np.float64(ROWS)})["output-0"], expected(trained, ROWS), atol=1e-6)
    with pytest.raises(InvalidInput, match="a value is too large for FP32"):
        ask(made, {"x": np.full((1, 4), 1e300)})
    with pytest.raises(InferenceError, match=r"inputs, in model-settings\.json or config\.pbtxt, to have"):
        ask(made, {"x": np.ones((1, 4), np.int64)})


def test_bfloat16_goes_in_and_out_as_single_precision(tmp_path):
    folder = export(tmp_path / "m", Linear().to(torch.bfloat16), torch.zeros(2, 4, dtype=torch.bfloat16))
    made = load(folder)
    assert made.inputs[0].datatype == made.outputs[0].datatype == "FP32"
    assert ask(made, {"x": ROWS})["output-0"].dtype == np.float32


def test_what_a_request_brought_is_not_written_to(tmp_path):
    class Greedy(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.add_(1)

    made = load(script(tmp_path / "m", Greedy()))
    kept = np.float32([1, 2])
    kept.flags.writeable = False
    assert ask(made, {"x": kept})["output-0"].tolist() == [2, 3]
    assert kept.tolist() == [1, 2]


async def test_a_failure_within_the_model_is_a_sentence(serving, tensor, tmp_path, trained):
    ask_ = await serving(load(script(tmp_path / "m", trained)))
    answer = await ask_.infer("m", tensor(np.zeros((2, 5)), "FP32", "x"))
    assert answer.status == 500
    assert answer.error == "mat1 and mat2 shapes cannot be multiplied (2x5 and 4x3)"
    assert (await ask_.infer("m", tensor(np.zeros((2, 4)), "FP32", "x"))).status == 200


async def test_an_output_that_no_protocol_can_carry(serving, tensor, tmp_path):
    class Complex(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.complex(x, x)

    ask_ = await serving(load(script(tmp_path / "m", Complex())))
    answer = await ask_.infer("m", tensor([1.0], "FP32", "x"))
    assert answer.status == 500
    assert "output 'output-0' is of torch.complex64, which the protocol does not know" in answer.error


def zipped(*names: str) -> Any:
    def make(path: Path) -> None:
        with zipfile.ZipFile(path, "w") as archive:
            for name in names:
                archive.writestr(name, "{}")

    return make


@pytest.mark.parametrize(
    ("name", "make", "says"),
    [
        pytest.param(
            "model.pt", lambda path: torch.save(Linear().state_dict(), path), "is a pickle of weights", id="weights"
        ),
        pytest.param("model.pth", lambda path: torch.save(Linear(), path), "is a pickle of weights", id="module"),
        pytest.param(
            "model.pt",
            lambda path: torch.save({}, path, _use_new_zipfile_serialization=False),
            "is a pickle, and needs its author's Python code",
            id="old pickle",
        ),
        pytest.param("model.pt", lambda path: path.write_text("hello"), "is neither TorchScript nor an", id="text"),
        pytest.param("model.pt", lambda path: path.write_bytes(b""), "is neither TorchScript nor an", id="empty"),
        pytest.param("model.pt2", zipped("a/b.txt"), "is a zip archive, but none of PyTorch's", id="zip"),
        pytest.param(
            "model.pt", zipped("MAR-INF/MANIFEST.json"), "is a TorchServe archive: unpack it", id="TorchServe"
        ),
        pytest.param(
            "model.pt2",
            zipped("m/data/aotinductor/model/x.so"),
            "compiled for the machine it was made on",
            id="compiled",
        ),
        pytest.param("model.pt", zipped("m/code/x.py"), ", TorchScript, cannot be loaded by PyTorch", id="damaged"),
        pytest.param(
            "model.pt2", zipped("m/models/x.json"), "an exported program, cannot be loaded", id="damaged program"
        ),
    ],
)
def test_files_that_cannot_be_served(tmp_path, name, make, says):
    make(tmp_path / name)
    with pytest.raises(LoadError) as caught:
        load(tmp_path)
    assert says in str(caught.value)
    assert str(tmp_path / name) in str(caught.value)


def test_a_file_that_is_cut_short(tmp_path, trained):
    file = script(tmp_path / "m", trained) / "model.pt"
    file.write_bytes(file.read_bytes()[:-200])
    with pytest.raises(LoadError, match="is cut short"):
        load(tmp_path / "m")


def test_a_forward_that_takes_what_tensors_cannot_be(tmp_path):
    class Listed(nn.Module):
        def forward(self, xs: list[torch.Tensor]) -> torch.Tensor:
            return xs[0]

    with pytest.raises(LoadError, match=r"its forward takes 'xs', List\[Tensor\], for which no tensor can stand"):
        load(script(tmp_path / "m", Listed()))


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
    from mizzen.serve.runtimes.torch import TorchModel
    for folder in {folders!r}:
        model = TorchModel("m", Path(folder), {{"MIZZEN_CPU": "2"}})
        model.load()
        [output] = model.infer([Tensor("x", numpy.ones((512, 4)))], NO_OPTIONS)
        print(output.array.shape, flush=True)
    os._exit(0)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_fork_of_what_was_imported_serves(tmp_path, trained):
    folders = [script(tmp_path / "script", trained), export(tmp_path / "program", trained, torch.zeros(2, 4))]
    code = FORK.format(preload=PRELOAD, folders=[str(folder) for folder in folders])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:2] == ["(512, 3)"] * 2


def test_threads_are_the_pods_share(tmp_path, trained):
    folder = script(tmp_path / "m", trained)
    code = (
        "import torch; from pathlib import Path; from mizzen.serve.runtimes.torch import TorchModel;"
        f"TorchModel('m', Path({str(folder)!r}), {{'MIZZEN_CPU': '1'}}).load(); print(torch.get_num_threads())"
    )
    environ = {name: text for name, text in os.environ.items() if name != "OMP_NUM_THREADS"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, env=environ, check=False
    )
    assert done.stdout.strip() == "1", done.stderr
