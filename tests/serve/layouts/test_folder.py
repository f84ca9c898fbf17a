"""Folders of models: which path is one, which models and versions are in it, and how a server of one behaves."""

from __future__ import annotations

from pathlib import Path

import joblib
import pytest
from sklearn.dummy import DummyClassifier

from mizzen.serve.arguments import parse
from mizzen.serve.errors import LoadError, ModelNotFound
from mizzen.serve.layouts import find
from mizzen.serve.layouts.folder import Folder
from mizzen.serve.layouts.mlserver import MLServerRepository
from mizzen.serve.layouts.single import Single
from mizzen.serve.runtimes import registry


def model(folder: Path, answer: int = 1) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    joblib.dump(DummyClassifier(strategy="constant", constant=answer).fit([[0], [1]], [answer, 0]), folder / "m.joblib")
    return folder


def source(path: Path, *argv: str):
    return find.source(path, parse(list(argv), {}), {})


def test_a_folder_with_a_model_file_is_that_model(tmp_path):
    found = source(model(tmp_path / "iris"), "--model_name=iris")
    assert isinstance(found, Single)
    [spec] = found.specs("iris")
    assert (spec.name, spec.directory, spec.version) == ("iris", tmp_path / "iris", None)
    with pytest.raises(ModelNotFound):
        found.specs("other")


def test_a_model_file_is_a_model(tmp_path):
    [spec] = source(model(tmp_path) / "m.joblib").specs("model")
    assert registry.detect(spec.directory) == "sklearn"


def test_a_folder_of_models_has_them_by_their_names_and_numbered_folders_are_versions(tmp_path):
    model(tmp_path / "iris")
    for version in ("1", "2", "10"):
        model(tmp_path / "wine" / version)
    (tmp_path / ".hidden").mkdir()
    found = source(tmp_path)
    assert isinstance(found, Folder)
    assert found.names() == ["iris", "wine"]
    assert [spec.version for spec in found.specs("wine")] == ["1", "2", "10"]
    assert [spec.version for spec in found.specs("iris")] == [None]
    for name in ("../wine", "..", ".", "", ".hidden", "iris/../wine", "/etc", "iris\0", "nothing"):
        with pytest.raises(ModelNotFound):
            found.specs(name)
    model(tmp_path / "later")
    assert "later" in found.names(), "what is put there later can be loaded"


def test_one_folder_around_a_model_that_has_a_name_is_a_mistake_in_packing(tmp_path):
    model(tmp_path / "inner")
    with pytest.raises(LoadError, match="the folder inner in it has one"):
        source(tmp_path, "--model_name=iris")
    assert source(tmp_path).names() == ["inner"]
    model(tmp_path / "second")
    arguments = parse(["--model_name=iris"], {})
    assert find.source(tmp_path, arguments, {}).names() == ["inner", "second"]
    [warning] = arguments.warnings
    assert "--model_name=iris has no effect" in warning


async def test_a_server_of_a_folder(start, client, tmp_path):
    from serving_process import ask

    model(tmp_path / "one", 1)
    model(tmp_path / "two" / "3", 3)
    model(tmp_path / "two" / "12", 12)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "m.joblib").write_text("nothing")
    process = start("--model_dir", str(tmp_path), "--http_port=0", "--host=127.0.0.1")
    url = await process.url()

    async def predict(name: str):
        return await ask(client, f"{url}/v1/models/{name}:predict", {"instances": [[1.0]]})

    assert await predict("one") == (200, {"predictions": [1]})
    assert await predict("two") == (200, {"predictions": [12]}), "the highest version, by its number"
    status, body = await predict("broken")
    assert status == 503
    assert "is no pickle or joblib file" in body["error"]
    infer = {"inputs": [{"name": "x", "shape": [1, 1], "datatype": "FP64", "data": [1.0]}]}
    status, body = await ask(client, f"{url}/v2/models/two/versions/3/infer", infer)
    assert (status, body["model_version"], body["outputs"][0]["data"]) == (200, "3", [3])
    assert (await ask(client, f"{url}/v2/models/two"))[1]["versions"] == ["3", "12"]
    assert any("is no pickle or joblib file" in line for line in process.lines)


async def test_past_its_memory_the_least_used_sleeps_until_it_is_asked(start, client, tmp_path):
    from serving_process import ask

    for name in ("a", "b", "c"):
        model(tmp_path / name, ord(name))
    size = (tmp_path / "a" / "m.joblib").stat().st_size
    process = start("--model_dir", str(tmp_path), "--http_port=0", "--host=127.0.0.1", f"--model_memory={2 * size + 1}")
    url = await process.url()

    async def awake() -> set[str]:
        return {entry["name"] for entry in (await ask(client, f"{url}/v2/repository/index", {"ready": True}))[1]}

    for name in ("a", "b", "c", "a", "b", "a", "c"):
        status, body = await ask(client, f"{url}/v1/models/{name}:predict", {"instances": [[1.0]]})
        assert (status, body) == (200, {"predictions": [ord(name)]})
        assert name in await awake()
        assert len(await awake()) <= 2
    assert await awake() == {"a", "c"}
    assert any("model b is unloaded to make room" in line for line in process.lines)


def test_mlservers_settings_are_read(tmp_path):
    model(tmp_path / "iris")
    (tmp_path / "iris" / "model-settings.json").write_text(
        '{"name": "flowers", "implementation": "mlserver_sklearn.SKLearnModel", "max_batch_size": 8,'
        ' "max_batch_time": 0.01, "parameters": {"uri": "./m.joblib", "version": "v2"}}'
    )
    found = source(tmp_path)
    assert isinstance(found, MLServerRepository)
    [spec] = found.specs("flowers")
    assert (spec.version, spec.directory.name, spec.runtime) == ("v2", "m.joblib", "mlserver_sklearn.SKLearnModel")
    assert (spec.scheduling.rows, spec.scheduling.latency, spec.scheduling.batching) == (8, 0.01, True)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "model-settings.json: Input data was truncated"),
        ('{"name": "m"}', "missing required field `implementation`"),
        ('{"implementation": 3}', "Expected `str`, got `int` - at `$.implementation`"),
    ],
)
def test_settings_that_cannot_be_read_say_where_and_why(tmp_path, text, says):
    model(tmp_path / "m")
    (tmp_path / "m" / "model-settings.json").write_text(text)
    found = source(tmp_path)
    with pytest.raises(LoadError) as caught:
        found.specs("m")
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ("my_model.py:MyModel", True),
        ("/a/b/my_model.py:MyModel", True),
        ("package.module:Model", True),
        ("s3://bucket/a:b", False),
        ("models", False),
        ("./models", False),
        ("c:/models", False),
    ],
)
def test_code_is_told_from_paths(given, code):
    assert find.is_code(given) is code


def test_mlservers_server_settings_count_unless_the_command_line_says_otherwise(tmp_path):
    model(tmp_path / "m")
    (tmp_path / "m" / "model-settings.json").write_text('{"implementation": "mlserver_sklearn.SKLearnModel"}')
    (tmp_path / "settings.json").write_text('{"http_port": 9001, "grpc_port": 9002, "kafka_enabled": true}')
    arguments = parse(["--http_port=9000"], {})
    find.source(tmp_path, arguments, {})
    assert (arguments.http_port, arguments.grpc_port) == (9000, 9002)
    assert arguments.warnings == [f"{tmp_path / 'settings.json'}: kafka_enabled has no effect on this server"]
    (tmp_path / "settings.json").write_text('{"http_port": "many"}')
    with pytest.raises(LoadError, match="http_port must be a number, not 'many'"):
        find.source(tmp_path, parse([], {}), {})


def test_a_folder_of_nothing_but_versions_is_one_model(tmp_path):
    for version in ("1", "12", "2"):
        model(tmp_path / version)
    found = source(tmp_path, "--model_name=wine")
    assert found.names() == ["wine"]
    assert [spec.version for spec in found.specs("wine")] == ["1", "2", "12"]
    model(tmp_path / "13")
    assert [spec.version for spec in found.specs("wine")][-1] == "13"


def test_a_name_in_mlservers_settings_is_read_anew_when_it_changes(tmp_path):
    model(tmp_path / "m")
    file = tmp_path / "m" / "model-settings.json"
    file.write_text('{"name": "before", "implementation": "mlserver_sklearn.SKLearnModel"}')
    found = source(tmp_path)
    assert found.names() == ["before"]
    file.write_text('{"name": "afterwards", "implementation": "mlserver_sklearn.SKLearnModel"}')
    assert found.names() == ["afterwards"]
    assert found.specs("afterwards")
    with pytest.raises(ModelNotFound):
        found.specs("before")
