"""``mizzen predict``: a request from the line, a file or standard input, and what is said when there is no answer."""

import json

import pytest

from installed import iris_manifest, until

FLOWER = [5.1, 3.5, 1.4, 0.2]
V1 = {"instances": [FLOWER]}
V2 = {"id": "q", "inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP64", "data": FLOWER}]}


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        (V1, {"predictions": [0]}),
        ([FLOWER, FLOWER], {"predictions": [0, 0]}),
        ({"inputs": [FLOWER]}, {"predictions": [0]}),
    ],
    ids=["instances", "bare rows", "V1 inputs"],
)
def test_v1_from_the_line_a_file_and_standard_input(mizzen, iris, tmp_path, request_, answer):
    file = tmp_path / "request.json"
    file.write_text(json.dumps(request_))
    assert json.loads(mizzen("predict", "iris", "-d", file.read_text())) == answer
    assert json.loads(mizzen("predict", "iris", "-d", f"@{file}")) == answer
    assert json.loads(mizzen("predict", "iris", stdin=file.open())) == answer


def test_v2(mizzen, iris):
    answer = json.loads(mizzen("predict", "iris", "-d", json.dumps(V2)))
    assert (answer["id"], answer["model_name"]) == ("q", "iris")
    assert answer["outputs"][0]["data"] == [0]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ('{"instances": [', "no JSON"),
        ('{"rows": []}', "the request needs"),
        ('{"instances": [[1, 2]]}', "4 features"),
        ('{"inputs": [{"name": "x", "shape": [2, 4], "datatype": "FP64", "data": [1]}]}', "shape [2, 4]"),
        ("@nowhere.json", "nowhere.json: No such file"),
        ("7", "instances"),
    ],
)
def test_a_bad_request_is_told_and_the_exit_code_says_so(mizzen, iris, data, says):
    refused = mizzen.run("predict", "iris", "-d", data)
    assert refused.returncode == 1
    assert says in refused.stdout + refused.stderr
    assert "Traceback" not in refused.stderr


def test_input_that_is_no_text(mizzen, iris):
    refused = mizzen.run("predict", "iris", input=b"\xff\xfe", text=False)
    assert refused.returncode == 1
    assert b"no JSON" in refused.stderr
    assert b"Traceback" not in refused.stderr


def test_a_service_that_is_not_there_or_not_ready(mizzen, tmp_path):
    unknown = mizzen.run("predict", "nobody", "-d", "[]")
    assert unknown.returncode == 1
    assert '"nobody" not found' in unknown.stderr
    mizzen.apply(iris_manifest(tmp_path / "nowhere", name="away"))
    until(lambda: "nowhere" in mizzen.condition("away").get("message", ""))
    unready = mizzen.run("predict", "away", "-d", json.dumps(V1))
    assert unready.returncode == 1
    assert unready.stderr.startswith("mizzen: away is not ready yet: "), "one sentence"
    assert unready.stderr.count(str(tmp_path / "nowhere: ")) == 1, "and why, once"
    assert "UNSET" not in unready.stderr


def test_a_service_of_another_namespace(mizzen, model):
    mizzen.apply("apiVersion: v1\nkind: Namespace\nmetadata: {name: apart}\n")
    manifest = json.loads(iris_manifest(model))
    manifest["metadata"]["namespace"] = "apart"
    mizzen.apply(json.dumps(manifest))
    until(lambda: mizzen.object("isvc", "iris", "apart").get("status", {}).get("url"))
    until(lambda: mizzen.run("predict", "iris", "-n", "apart", "-d", json.dumps(V1)).returncode == 0)
