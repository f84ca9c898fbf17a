"""A model that cannot be served says why, at the service, and the rest of the installation does not suffer."""

import json
import pickle
import time
from pathlib import Path

import pytest

from installed import installation, iris_manifest, train, until


@pytest.fixture(scope="module")
def mizzen():
    with installation() as running:
        yield running


def failure(mizzen, name: str) -> dict:
    """What the service says of its model once it says that the load has failed."""

    def info() -> dict:
        return mizzen.object("isvc", name).get("status", {}).get("modelStatus", {})

    until(lambda: info().get("transitionStatus") == "BlockedByFailedLoad", lambda: json.dumps(info()))
    return info()["lastFailureInfo"]


def test_a_path_that_is_not_there(mizzen, tmp_path):
    missing = tmp_path / "nowhere"
    mizzen.apply(iris_manifest(missing, name="missing"))
    found = failure(mizzen, "missing")
    assert found["reason"] == "ModelLoadFailed"
    assert found["exitCode"] == 1
    assert str(missing) in found["message"]
    ready = mizzen.condition("missing")
    assert ready["status"] == "False"
    assert str(missing) in ready["message"]
    described = mizzen("describe", "isvc", "missing")
    assert str(missing) in described

    def told() -> list[dict]:
        return [one for one in mizzen.objects("events") if one["involvedObject"]["name"] == "missing"]

    until(lambda: bool(told()))
    events = told()
    assert [(one["type"], one["reason"], one.get("count", 1)) for one in events] == [("Warning", "ModelLoadFailed", 1)]
    assert str(missing) in events[0]["message"]


def test_a_file_that_is_no_model(mizzen, tmp_path):
    (tmp_path / "model.joblib").write_text("this is no model")
    mizzen.apply(iris_manifest(tmp_path, name="nonsense"))
    found = failure(mizzen, "nonsense")
    assert "model.joblib" in found["message"]
    assert "model.joblib" in mizzen.condition("nonsense")["message"]


def test_a_folder_without_a_model(mizzen, tmp_path):
    (tmp_path / "README").write_text("no model here")
    mizzen.apply(iris_manifest(tmp_path, name="empty"))
    assert ".joblib" in failure(mizzen, "empty")["message"]


def test_a_model_of_a_class_that_is_not_installed(mizzen, tmp_path):
    text = b"cnowhere_at_all\nModel\n."
    with pytest.raises(ModuleNotFoundError):
        pickle.loads(text)
    (tmp_path / "model.pkl").write_bytes(text)
    mizzen.apply(iris_manifest(tmp_path, name="foreign"))
    assert "nowhere_at_all" in failure(mizzen, "foreign")["message"]


def test_a_model_of_another_library_version(mizzen, tmp_path):
    """A model that remembers another scikit-learn and cannot be loaded names both versions."""
    train(tmp_path)
    written = (tmp_path / "model.joblib").read_bytes()
    import sklearn

    version = sklearn.__version__.encode()
    other = b"0.10.0"[: len(version)].ljust(len(version), b"0")
    assert version in written
    broken = written.replace(version, other).replace(b"_svm_type", b"_svm_typo").replace(b"SVC", b"SVZ")
    (tmp_path / "model.joblib").write_bytes(broken)
    mizzen.apply(iris_manifest(tmp_path, name="old"))
    message = failure(mizzen, "old")["message"]
    assert "model.joblib" in message
    assert sklearn.__version__ in message


def test_no_restart_storm(mizzen, tmp_path):
    """A server that keeps failing is tried again ever more rarely, not in a loop."""
    (tmp_path / "model.joblib").write_text("this is no model")
    mizzen.apply(iris_manifest(tmp_path, name="storm"))
    failure(mizzen, "storm")
    until(lambda: restarts(mizzen) >= 1)
    time.sleep(4)
    assert restarts(mizzen) <= 2
    pods = [pod for pod in mizzen.objects("pods") if pod["metadata"]["name"].startswith("storm")]
    assert len(pods) == 1
    waiting = pods[0]["status"]["containerStatuses"][0]["state"].get("waiting", {})
    assert waiting.get("reason") == "CrashLoopBackOff"


def restarts(mizzen) -> int:
    pods = [pod for pod in mizzen.objects("pods") if pod["metadata"]["name"].startswith("storm")]
    return pods[0]["status"]["containerStatuses"][0]["restartCount"]


def test_a_mended_model_is_served(mizzen, tmp_path):
    broken, good = tmp_path / "broken", tmp_path / "good"
    broken.mkdir()
    train(good)
    mizzen.apply(iris_manifest(broken, name="mended"))
    failure(mizzen, "mended")
    mizzen.apply(iris_manifest(good, name="mended"))
    mizzen.wait_ready("mended")
    until(lambda: mizzen.predict("mended", [[5.1, 3.5, 1.4, 0.2]]) == (200, {"predictions": [0]}))


def test_a_broken_update_leaves_the_old_model_answering(mizzen, tmp_path):
    good = tmp_path / "good"
    train(good)
    mizzen.apply(iris_manifest(good, name="update"))
    mizzen.wait_ready("update")
    mizzen.apply(iris_manifest(tmp_path / "nowhere", name="update"))
    until(lambda: mizzen.object("isvc", "update")["status"]["modelStatus"]["transitionStatus"] == "BlockedByFailedLoad")
    assert mizzen.predict("update", [[5.1, 3.5, 1.4, 0.2]]) == (200, {"predictions": [0]})
    states = mizzen.object("isvc", "update")["status"]["modelStatus"]["states"]
    assert states == {"activeModelState": "Loaded", "targetModelState": "FailedToLoad"}


def test_a_framework_that_no_runtime_serves(mizzen):
    mizzen.apply(iris_manifest(Path("/x"), name="other", sklearn=None, pmml={"storageUri": "file:///x"}))
    until(lambda: mizzen.condition("other").get("reason") == "NoSupportingRuntime")
    message = mizzen.condition("other")["message"]
    assert "pmml" in message
    assert "sklearn" in message, "what there is instead"


def test_an_image_that_nobody_knows(mizzen):
    container = {"name": "kserve-container", "image": "example.org/mine:1"}
    mizzen.apply(iris_manifest(Path("/x"), name="custom", sklearn=None, containers=[container]))
    until(lambda: mizzen.condition("custom").get("reason") in ("ErrImagePull", "ImagePullBackOff"))
    message = mizzen.condition("custom")["message"]
    assert "example.org/mine:1" in message
    assert str(mizzen.home / "recipes.yaml") in message


@pytest.mark.parametrize(
    ("field", "spec"),
    [
        ("spec.transformer", {"transformer": {"containers": [{"name": "c", "image": "x"}]}}),
        ("spec.explainer", {"explainer": {"containers": [{"name": "c", "image": "x"}]}}),
        ("spec.predictor.logger", {"predictor": {"logger": {"url": "http://x"}}}),
        ("spec.predictor.batcher", {"predictor": {"batcher": {"maxBatchSize": 2}}}),
        ("spec.predictor.canaryTrafficPercent", {"predictor": {"canaryTrafficPercent": 10}}),
    ],
    ids=lambda value: value.rpartition(".")[2] if isinstance(value, str) else "",
)
def test_what_is_not_built_yet_is_named(mizzen, tmp_path, field, spec):
    name = field.rpartition(".")[2].lower()
    manifest = json.loads(iris_manifest(tmp_path, name=name))
    for part, value in spec.items():
        manifest["spec"].setdefault(part, {}).update(value)
    mizzen.apply(json.dumps(manifest))
    until(lambda: mizzen.condition(name).get("reason") == "NotSupported", lambda: mizzen.condition(name))
    assert field in mizzen.condition(name)["message"]
