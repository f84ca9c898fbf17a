"""The line that calls a model works as it is pasted, or says what is missing, in ``describe`` and in ``serve``."""

import json
import shlex
import shutil
import subprocess

import msgspec
import pytest

from installed import iris_manifest
from mizzen.serve.example import FILE, NOTE, Input, command

needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl on this machine")


def body(told: str) -> dict:
    words = shlex.split(told.splitlines()[0])
    return json.loads(words[words.index("-d") + 1])


@pytest.mark.parametrize(
    ("one", "protocol", "sent"),
    [
        ({"shape": [-1, 2]}, "v1", {"instances": [[1.0, 1.0]]}),
        ({"shape": [-1]}, "v1", {"instances": [1.0]}),
        ({"shape": [-1], "datatype": "BYTES"}, "v1", {"instances": ["text"]}),
        ({"shape": [-1, 2], "columns": ["age", "a, 'b'"]}, "v1", {"instances": [{"age": 1.0, "a, 'b'": 1.0}]}),
        ({"shape": [-1, 2], "columns": ["too few"]}, "v1", {"instances": [[1.0, 1.0]]}),
        (
            {"shape": [-1, 2], "columns": ["a", "b"]},
            "v2",
            {"inputs": [{"name": n, "shape": [1], "datatype": "FP64", "data": [1.0]} for n in "ab"]},
        ),
        (
            {"shape": [-1, 2], "datatype": "INT32"},
            "v2",
            {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "INT32", "data": [1, 1]}]},
        ),
    ],
)
def test_a_row_of_the_shape_that_the_model_tells(one, protocol, sent):
    columns = one.pop("columns", None)
    told = {"name": "x", "datatype": "FP64", **one} | ({"parameters": {"columns": columns}} if columns else {})
    line = command("curl u", "m", [msgspec.convert(told, Input)], protocol)
    assert body(line) == sent
    assert line.splitlines()[1] == NOTE


@pytest.mark.parametrize("protocol", ["v1", "v2"])
@pytest.mark.parametrize("inputs", [[], [Input("picture", "UINT8", [-1, 224, 224, 3])]], ids=["unknown", "a picture"])
def test_what_cannot_be_made_up_is_read_from_a_file(inputs, protocol):
    first, line = command("curl u", "m", inputs, protocol).splitlines()
    assert first.startswith(f"{FILE} is to hold: {{")
    assert line.endswith(f" -d @{FILE}")
    assert ("instances" in first) == (protocol == "v1")


def test_several_inputs_go_over_v2():
    inputs = [Input("a", "FP32", [-1, 1]), Input("b", "BOOL", [-1])]
    line = command("curl u", "m", inputs)
    assert "/v2/models/m/infer" in line
    assert [one["name"] for one in body(line)["inputs"]] == ["a", "b"]


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A model that takes columns by their names and nothing else."""
    pandas = pytest.importorskip("pandas")
    joblib = pytest.importorskip("joblib")
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import LinearRegression
    from sklearn.pipeline import make_pipeline

    frame = pandas.DataFrame({"age": [1.0, 2.0, 3.0], "city": [4.0, 1.0, 2.0]})
    model = make_pipeline(make_column_transformer(("passthrough", ["city"])), LinearRegression())
    folder = tmp_path_factory.mktemp("table")
    joblib.dump(model.fit(frame, [1.0, 2.0, 3.0]), folder / "model.joblib")
    return folder


def call(told: str) -> dict:
    [line] = [line.strip() for line in told.splitlines() if line.strip().startswith("curl ")]
    done = subprocess.run(f"{line} -sS", shell=True, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@needs_curl
@pytest.mark.parametrize(("protocol", "answered"), [("v1", "predictions"), ("v2", "outputs")])
def test_a_model_of_named_columns_answers_the_line(mizzen, table, protocol, answered):
    server = {"modelFormat": {"name": "sklearn"}, "storageUri": f"file://{table}", "protocolVersion": protocol}
    mizzen.apply(iris_manifest(table, name="table", sklearn=None, model=server))
    mizzen.wait_ready("table")
    told = mizzen("describe", "isvc", "table")
    assert answered in call(told)
    assert NOTE in told
    mizzen("delete", "isvc", "table")


@needs_curl
def test_so_it_does_where_it_is_served_alone(mizzen, table):
    process = mizzen.start("serve", str(table), "--port", "0")
    try:
        shown = [next(line for line in process.stdout if ". Try:" in line)]
        shown += [process.stdout.readline() for _ in range(3)]
        assert "predictions" in call("".join(shown))
        assert shown[-1].strip() == NOTE
    finally:
        process.terminate()
        process.communicate()
