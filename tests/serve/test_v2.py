"""The Open Inference Protocol over REST, byte for byte where clients see bytes."""

from __future__ import annotations

import json
import uuid

import numpy as np
import pytest

import mizzen
from mizzen.serve import about
from mizzen.serve.errors import LoadError
from mizzen.serve.model import Options, Tensor, TensorModel

ROWS = [[5.1, 3.5, 1.4, 0.2], [6.8, 2.8, 4.8, 1.4], [6.0, 3.4, 4.5, 1.6], [7.7, 2.6, 6.9, 2.3]]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v2", {"name": "mizzen", "version": mizzen.__version__, "extensions": about.EXTENSIONS}),
        ("/v2/health/live", {"live": True}),
        ("/v2/health/ready", {"ready": True}),
        ("/v2/models", {"models": ["iris"]}),
        ("/v2/models/iris/ready", {"name": "iris", "ready": True}),
        (
            "/v2/models/iris",
            {
                "name": "iris",
                "versions": None,
                "platform": "sklearn",
                "inputs": [{"name": "input-0", "datatype": "FP64", "shape": [-1, 4]}],
                "outputs": [{"name": "output-0", "datatype": "INT64", "shape": [-1]}],
            },
        ),
    ],
)
async def test_what_can_be_asked_about_the_server(ask, path, body):
    answer = await ask("GET", path)
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json == body
    assert list(answer.json) == list(body)


async def test_an_answer_has_every_key_in_the_references_order(ask, tensor):
    answer = await ask.infer("iris", tensor(ROWS[:2], "FP32"), id="mine")
    assert answer.body == (
        b'{"model_name":"iris","model_version":null,"id":"mine","parameters":null,"outputs":[{"name":"output-0",'
        b'"shape":[2],"datatype":"INT64","parameters":null,"data":[0,1]}]}'
    )


async def test_a_request_without_an_id_gets_one_of_its_own(ask, tensor):
    ids = [(await ask.infer("iris", tensor(ROWS))).json["id"] for _ in range(50)]
    assert len(set(ids)) == 50
    assert {uuid.UUID(id_).version for id_ in ids} == {4}


@pytest.mark.parametrize("datatype", ["FP32", "FP64", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT64"])
async def test_every_numeric_datatype_reaches_the_model(ask, tensor, classifier, datatype):
    rows = np.array(ROWS) if datatype.startswith("FP") else np.array(ROWS).astype(int)
    answer = await ask.infer("iris", tensor(rows, datatype))
    assert answer.json["outputs"][0]["data"] == classifier.predict(rows).tolist()


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"data": ROWS}, id="nested data"),
        pytest.param({"datatype": "fp64"}, id="datatype in lower case"),
        pytest.param({"shape": [-1, 4]}, id="unknown dimension"),
        pytest.param({"shape": ["4", "4"]}, id="shape in strings"),
        pytest.param({"data": [str(value) for row in ROWS for value in row]}, id="numbers in strings"),
        pytest.param({"parameters": {"a": 1, "b": "c", "d": True, "e": 1.5}}, id="parameters"),
        pytest.param({"parameters": None}, id="no parameters"),
        pytest.param({"unknown": {"deep": [None]}}, id="unknown keys"),
    ],
)
async def test_what_else_is_a_request(ask, tensor, classifier, change):
    answer = await ask.infer("iris", tensor(ROWS) | change, unknown=[1], parameters={"x": 1}, model_name="ignored")
    assert answer.status == 200
    assert answer.json["outputs"][0]["data"] == classifier.predict(ROWS).tolist()


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "application/json",
        "application/json; charset=utf-8",
        "Application/JSON",
        "application/x-www-form-urlencoded",
    ],
)
async def test_the_media_type_does_not_matter(ask, tensor, content_type):
    headers = {} if content_type is None else {"content-type": content_type}
    body = {"inputs": [tensor(ROWS)]}
    assert (await ask("POST", "/v2/models/iris/infer", body, headers)).status == 200


PATHS = ["/v1/models/iris:predict", "/v2/models/iris/infer"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("media_type", "text"),
    [
        ("image/png", "(the body is said to be image/png; this path takes JSON)"),
        ("Text/Plain; charset=utf-8", "(the body is said to be text/plain; this path takes JSON)"),
        ("application/octet-stream", "the header Inference-Header-Content-Length must say where that ends)"),
        ("multipart/form-data; boundary=x", "multipart/form-data"),
    ],
)
async def test_a_body_of_another_kind_is_named(ask, path, media_type, text):
    answer = await ask("POST", path, b"\x1f\x8b\x08\x00", {"content-type": media_type})
    assert answer.status == 400
    assert answer.error.startswith("Unrecognized request format: ")
    assert text in answer.error


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("media_type", ["application/json", "application/x-www-form-urlencoded"])
async def test_a_media_type_that_is_no_news_is_not_named(ask, path, media_type):
    answer = await ask("POST", path, b"\x1f\x8b\x08\x00", {"content-type": media_type})
    assert answer.status == 400 and "the body is" not in answer.error


async def test_outputs_that_are_asked_for(ask, tensor):
    answer = await ask.infer("iris", tensor(ROWS), outputs=[{"name": "output-0", "parameters": {"binary_data": False}}])
    assert [output["name"] for output in answer.json["outputs"]] == ["output-0"]
    answer = await ask.infer("iris", tensor(ROWS), outputs=[{"name": "z"}])
    assert (answer.status, answer.error) == (400, "Unexpected inference output 'z' for model 'iris'")


T = {"name": "i", "shape": [1, 4], "datatype": "FP64", "data": [1, 2, 3, 4]}


@pytest.mark.parametrize(
    ("body", "text"),
    [
        pytest.param(b"", "Unrecognized request format: ", id="nothing"),
        pytest.param(b"not json", "Unrecognized request format: ", id="not JSON"),
        pytest.param(b'{"inputs": [', "Unrecognized request format: ", id="cut off"),
        pytest.param(b'{"inputs": [NaN]}', "Unrecognized request format: ", id="NaN"),
        pytest.param(b'{"inputs": [{"name": "\xff"}]}', "not UTF-8", id="not UTF-8"),
        pytest.param(b"[" * 100_000, "nested too deeply", id="deep"),
        pytest.param([], "must be a JSON object, not a list", id="a list"),
        pytest.param("x", "must be a JSON object, not a string", id="a string"),
        pytest.param({}, '"inputs" to be a list', id="no inputs"),
        pytest.param({"inputs": []}, "at least one tensor", id="empty inputs"),
        pytest.param({"inputs": {}}, '"inputs" to be a list', id="inputs an object"),
        pytest.param({"inputs": [1]}, "inputs[0] must be an object", id="an input a number"),
        pytest.param({"inputs": [{}]}, "inputs[0] needs a name", id="no name"),
        pytest.param({"inputs": [T | {"name": 1}]}, "inputs[0] needs a name", id="name a number"),
        pytest.param({"inputs": [T | {"datatype": "FLOAT"}]}, "datatype 'FLOAT' is not known", id="unknown datatype"),
        pytest.param({"inputs": [T | {"datatype": None}]}, "datatype is missing", id="no datatype"),
        pytest.param({"inputs": [T | {"datatype": "FP16"}]}, "FP16 data via JSON is not supported", id="FP16"),
        pytest.param({"inputs": [T | {"shape": [3, 2]}]}, "shape [3, 2] takes 6 elements, data has 4", id="shape"),
        pytest.param({"inputs": [T | {"shape": []}]}, "takes 1 elements, data has 4", id="no shape"),
        pytest.param({"inputs": [T | {"shape": None}]}, "shape must be a list", id="null shape"),
        pytest.param({"inputs": [T | {"shape": [1.5, 4]}]}, "1.5 is none", id="half a dimension"),
        pytest.param({"inputs": [T | {"shape": [True, 4]}]}, "True is none", id="boolean dimension"),
        pytest.param({"inputs": [T | {"shape": [-2, -2]}]}, "negative dimension", id="negative dimension"),
        pytest.param({"inputs": [T | {"shape": [-1, -1]}]}, "more than one -1", id="two unknown dimensions"),
        pytest.param({"inputs": [T | {"shape": [-1, 3]}]}, "a multiple of 3", id="indivisible"),
        pytest.param({"inputs": [T | {"shape": [10**30, 4]}]}, "data has 4", id="huge dimension"),
        pytest.param({"inputs": [T | {"shape": [1] * 100 + [4]}]}, "at most 64 dimensions", id="many dimensions"),
        pytest.param({"inputs": [T | {"data": 1}]}, "data must be a list, not a number", id="data a number"),
        pytest.param({"inputs": [T | {"data": None}]}, "data must be a list, not null", id="data null"),
        pytest.param(
            {"inputs": [{key: T[key] for key in ("name", "shape", "datatype")}]},
            "'data' field is missing for input 'i' for model 'iris'",
            id="no data",
        ),
        pytest.param({"inputs": [T | {"data": [[1, 2], [3]]}]}, "ragged", id="ragged"),
        pytest.param({"inputs": [T | {"data": [1, [2], 3, 4]}]}, "ragged", id="a list among numbers"),
        pytest.param({"inputs": [T | {"data": ["a", 2, 3, 4]}]}, "'a' is not a number", id="a word"),
        pytest.param({"inputs": [T | {"data": [{}, 2, 3, 4]}]}, "{} is not a number", id="an object"),
        pytest.param(
            {"inputs": [T | {"datatype": "FP32", "data": [1e40, 2, 3, 4]}]}, "too large for float32", id="FP32 overflow"
        ),
        pytest.param(
            {"inputs": [T | {"datatype": "FP32", "shape": [100], "data": [1e40] * 100}]}, "too large", id="more of it"
        ),
        pytest.param({"inputs": [T | {"data": [10**400, 2, 3, 4]}]}, "too large", id="FP64 overflow"),
        pytest.param(
            {"inputs": [T | {"datatype": "INT8", "data": [300, 2, 3, 4]}]},
            "input 'i': 300 is out of range for INT8, which is from -128 to 127",
            id="INT8",
        ),
        pytest.param(
            {"inputs": [T | {"datatype": "UINT8", "data": [-1, 2, 3, 4]}]},
            "-1 is out of range for UINT8, which is from 0 to 255",
            id="UINT8",
        ),
        pytest.param(
            {"inputs": [T | {"datatype": "INT64", "data": [2**63, 2, 3, 4]}]},
            "9223372036854775808 is out of range for INT64",
            id="INT64",
        ),
        pytest.param({"inputs": [T | {"datatype": "INT64", "data": [1.5, 2, 3, 4]}]}, "1.5 is not a whole", id="half"),
        pytest.param(
            {"inputs": [T | {"datatype": "INT64", "data": [None, 2, 3, 4]}]}, "None is not a whole", id="null"
        ),
        pytest.param({"inputs": [T | {"datatype": "BOOL", "data": ["no", 1, 0, True]}]}, "'no' is neither", id="BOOL"),
        pytest.param({"inputs": [T | {"datatype": "BYTES", "data": [1, 2, 3, 4]}]}, "1 is not a string", id="BYTES"),
        pytest.param({"inputs": [T], "id": 7}, '"id" must be a string, not a number', id="id a number"),
        pytest.param({"inputs": [T], "parameters": {"a": None}}, "parameter 'a' must be", id="null parameter"),
        pytest.param({"inputs": [T | {"parameters": {"a": []}}]}, "input 'i': parameter 'a'", id="list parameter"),
        pytest.param({"inputs": [T], "parameters": []}, "parameters must be an object", id="list of parameters"),
        pytest.param({"inputs": [T], "outputs": {}}, '"outputs" to be a list', id="outputs an object"),
        pytest.param(
            {"inputs": [T], "outputs": [{}]}, "outputs[0] must be an object with a name", id="nameless output"
        ),
    ],
)
async def test_what_is_no_request_is_400_and_says_why(ask, body, text):
    answer = await ask("POST", "/v2/models/iris/infer", body)
    assert answer.status == 400
    assert text in answer.error
    assert len(answer.error) < 400


async def test_rows_that_the_model_cannot_take_are_400_with_its_text(ask, tensor):
    answer = await ask.infer("iris", tensor([[1.0, 2.0]]))
    assert answer.status == 400
    assert answer.error == "X has 2 features, but SVC is expecting 4 features as input."


@pytest.mark.parametrize(
    ("method", "path", "status", "text"),
    [
        ("GET", "/v2/models/other", 404, "Model with name other does not exist."),
        ("GET", "/v2/models/other/ready", 404, "Model with name other does not exist."),
        ("POST", "/v2/models/other/infer", 404, "Model with name other does not exist."),
        ("GET", "/v2/models/iris/versions/1", 404, "Model with name iris has no version 1."),
        ("GET", "/v2/models/other/versions/1/ready", 404, "Model with name other does not exist."),
        ("POST", "/v2/models/iris/versions/1/infer", 404, "Model with name iris has no version 1."),
        ("GET", "/v2/models/iris/infer", 405, "/v2/models/iris/infer takes POST, not GET"),
        ("POST", "/v2/models/iris", 405, "/v2/models/iris takes GET, not POST"),
        ("DELETE", "/v2", 405, "/v2 takes GET, not DELETE"),
        ("GET", "/v2/nothing", 404, "nothing is served at /v2/nothing"),
        ("GET", "/v2/models/a/b/c", 404, "nothing is served at /v2/models/a/b/c"),
        ("GET", "/v2/repository/index", 405, "/v2/repository/index takes POST, not GET"),
    ],
)
async def test_what_is_not_served(ask, method, path, status, text):
    answer = await ask(method, path)
    assert (answer.status, answer.error) == (status, text)
    if status == 405:
        assert answer.headers["allow"] in ("GET, HEAD, OPTIONS", "POST, OPTIONS")


async def test_head_is_served_where_get_is(ask):
    answer = await ask("HEAD", "/v2/health/ready")
    assert (answer.status, answer.body, answer.headers["content-length"]) == (200, b"", "14")
    answer = await ask("HEAD", "/v2/models/other")
    assert (answer.status, answer.body) == (404, b"")


async def test_options_tells_what_a_path_takes(ask):
    answer = await ask("OPTIONS", "/v2/models/iris/infer")
    assert (answer.status, answer.body, answer.headers["allow"]) == (204, b"", "POST, OPTIONS")
    assert (await ask("OPTIONS", "/v2/models/iris")).headers["allow"] == "GET, HEAD, OPTIONS"
    assert (await ask("OPTIONS", "/nothing")).status == 404


async def test_a_trailing_slash_is_redirected(ask):
    answer = await ask("GET", "/v2/models/?a=b")
    assert (answer.status, answer.headers["location"]) == (307, "/v2/models?a=b")


class Tricky(TensorModel):
    """Answers with whatever it is told."""

    def __init__(self, name: str, *outputs: Tensor) -> None:
        super().__init__(name)
        self._outputs = list(outputs)

    def load(self) -> None:
        pass

    def infer(self, inputs: list[Tensor], options: Options) -> list[Tensor]:
        return self._outputs


@pytest.mark.parametrize(
    ("array", "datatype", "data"),
    [
        (np.array([1.5, np.nan, np.inf]), "FP64", [1.5, None, None]),
        (np.array([0.1], np.float32), "FP32", [0.10000000149011612]),
        (np.array([[True], [False]]), "BOOL", [True, False]),
        (np.array([[1, 2], [3, 4]], np.uint8), "UINT8", [1, 2, 3, 4]),
        (np.array([2**64 - 1], np.uint64), "UINT64", [2**64 - 1]),
        (np.array(["a", "ü"]), "BYTES", ["a", "ü"]),
        (np.array(["a", b"b", 3], dtype=object), "BYTES", ["a", "b", "3"]),
        (np.array(["2024-05-01T10:00:00"], "datetime64[s]"), "BYTES", ["2024-05-01 10:00:00"]),
        (np.array([], np.int32), "INT32", []),
    ],
)
async def test_what_outputs_look_like(serving, tensor, array, datatype, data):
    ask = await serving(Tricky("m", Tensor("o", array)))
    [output] = (await ask.infer("m", tensor([[1.0]]))).json["outputs"]
    assert output == {
        "name": "o",
        "shape": list(array.shape),
        "datatype": datatype,
        "parameters": None,
        "data": data,
    }


@pytest.mark.parametrize(
    ("array", "status", "text"),
    [
        (np.array([1.5], np.float16), 400, "FP16 data via JSON is not supported"),
        (np.array([1j]), 500, "complex128"),
        (np.array([b"\xff"], dtype=object), 500, "not UTF-8"),
    ],
)
async def test_outputs_that_json_cannot_carry(serving, tensor, array, status, text):
    ask = await serving(Tricky("m", Tensor("o", array)))
    answer = await ask.infer("m", tensor([[1.0]]))
    assert (answer.status, text in answer.error) == (status, True)


async def test_outputs_are_given_in_the_order_asked_for(serving, tensor):
    ask = await serving(Tricky("m", Tensor("a", np.array([1])), Tensor("b", np.array([2]))))
    answer = await ask.infer("m", tensor([[1.0]]), outputs=[{"name": "b"}, {"name": "a"}])
    assert [output["name"] for output in answer.json["outputs"]] == ["b", "a"]
    answer = await ask.infer("m", tensor([[1.0]]), outputs=[{"name": "b"}])
    assert [output["data"] for output in answer.json["outputs"]] == [[2]]


@pytest.mark.parametrize("name", ["ein Modell", "a:b", "mödel", "100%", "a/b", "a?b#c"])
async def test_a_models_name_may_hold_anything(serving, tensor, name):
    from urllib.parse import quote

    ask = await serving(Tricky(name, Tensor("o", np.array([1]))))
    path = quote(name, safe="")
    assert (await ask("GET", f"/v2/models/{path}/ready")).json["name"] == name
    body = {"inputs": [tensor([[1.0]])]}
    assert (await ask("POST", f"/v2/models/{path}/infer", body)).json["model_name"] == name
    assert (await ask("POST", f"/v1/models/{path}:predict", {"instances": [1]})).json == {"predictions": [1]}


class Broken(TensorModel):
    def load(self) -> None:
        raise LoadError("/models/x cannot be read")


async def test_a_broken_model_beside_a_healthy_one(serving, iris, tensor):
    ask = await serving(iris)
    with pytest.raises(LoadError):
        ask.server.repository.load(Broken("broken"))
    assert (await ask("GET", "/v2/models")).json == {"models": ["iris", "broken"]}
    for method, path in [
        ("GET", "/v2/models/broken/ready"),
        ("POST", "/v2/models/broken/infer"),
        ("GET", "/v1/models/broken"),
        ("POST", "/v1/models/broken:predict"),
    ]:
        answer = await ask(method, path, b"{}" if method == "POST" else None)
        assert (answer.status, answer.error) == (
            503,
            "Model with name broken is not ready. /models/x cannot be read",
        )
    assert (await ask.infer("iris", tensor(ROWS))).status == 200


async def test_a_body_that_is_too_large(serving, iris, tensor):
    from mizzen.http.server import Limits

    ask = await serving(iris, limits=Limits(body=10_000))
    answer = await ask.infer("iris", tensor(ROWS * 200))
    assert answer.status == 413
    assert "10000 bytes" in answer.error
    assert (await ask.infer("iris", tensor(ROWS))).status == 200


async def test_a_large_tensor_comes_through_whole(serving, tensor):
    class Sum(Tricky):
        def infer(self, inputs: list[Tensor], options: Options) -> list[Tensor]:
            return [Tensor("o", inputs[0].array.sum(axis=1))]

    ask = await serving(Sum("m"))
    rows = np.arange(300_000).reshape(300, 1000)
    for body in (tensor(rows, "INT64"), tensor(rows, "FP64") | {"data": rows.tolist()}):
        answer = await ask.infer("m", body)
        assert answer.json["outputs"][0]["data"] == rows.sum(axis=1).tolist()


async def test_text_with_lone_surrogates_still_gets_an_answer(ask):
    body = json.dumps({"inputs": [{"name": "\ud800", "shape": [9], "datatype": "FP64", "data": [1]}]}).encode()
    answer = await ask("POST", "/v2/models/iris/infer", body)
    assert answer.status == 400
