"""A scikit-learn model served by a pod as an InferenceService makes one: the real initializer, zygote and server."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from mizzen.cluster.node.runtime.spec import read_parent
from mizzen.http.client import Client
from node_world import Object, World, is_ready, status_of

pytest.importorskip("sklearn", reason="scikit-learn is not installed")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import joblib
    from sklearn.linear_model import LogisticRegression

    folder = tmp_path_factory.mktemp("model")
    joblib.dump(LogisticRegression().fit([[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1]), folder / "model.joblib")
    # Tests may run as a user who owns nothing else here.
    return folder


def service(model: Path, **server: Any) -> tuple[Object, dict[str, Any]]:
    """Container and spec of a predictor's pod."""
    mount = {"name": "kserve-provision-location", "mountPath": "/mnt/models"}
    container = {
        "name": "kserve-container",
        "image": "kserve/sklearnserver:v0.15.0",
        "args": ["--model_name=step", "--model_dir=/mnt/models", "--http_port=8080"],
        "readinessProbe": {"tcpSocket": {"port": 8080}},
        "resources": {"limits": {"cpu": "1", "memory": "2Gi"}},
        "volumeMounts": [mount | {"readOnly": True}],
    } | server
    initializer = {
        "name": "storage-initializer",
        "image": "kserve/storage-initializer:v0.15.0",
        "args": [f"file://{model}", "/mnt/models"],
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [mount],
    }
    volumes = [{"name": "kserve-provision-location", "emptyDir": {}}]
    return container, {"initContainers": [initializer], "volumes": volumes}


async def predict(pod: Object) -> Any:
    async with Client(environ={}) as client:
        url = f"http://{pod['status']['podIP']}:8080/v1/models/step:predict"
        answer = await client.request("POST", url, body=b'{"instances": [[0.0], [3.0]]}')
        return answer.status, json.loads(await answer.read())


async def test_a_model_answers(either: World, model: Path) -> None:
    container, spec = service(model)
    await either.run("step", container, **spec)
    pod = await either.ready("step")
    assert await predict(pod) == (200, {"predictions": [0, 1]})
    killed = either.pid(pod, "kserve-container")
    os.kill(killed, signal.SIGKILL)
    pod = await either.until(
        "step", lambda pod: status_of(pod, "kserve-container")["restartCount"] == 1 and is_ready(pod)
    )
    assert await predict(pod) == (200, {"predictions": [0, 1]})
    log = await either.says("step", "the server before this one", container="kserve-container")
    assert f"(process {killed}) was killed while no model was at work" in log


async def test_a_zygote_that_is_killed_is_started_again(node: World, model: Path) -> None:
    container, spec = service(model)
    await node.run("step", container, **spec)
    pod = await node.ready("step")
    (zygote,) = [path for path in (node.home / "run/parents").glob("sklearn-*") if path.is_dir()]
    identity = read_parent(zygote)
    assert identity is not None
    os.kill(identity.pid, signal.SIGKILL)
    pod = await node.until(
        "step", lambda pod: status_of(pod, "kserve-container")["restartCount"] == 1 and is_ready(pod)
    )
    assert await predict(pod) == (200, {"predictions": [0, 1]})


async def test_a_variable_that_is_read_at_import_is_heeded(either: World, model: Path) -> None:
    container, spec = service(model, env=[{"name": "OMP_NUM_THREADS", "value": "1"}])
    await either.run("step", container, **spec)
    pod = await either.ready("step")
    command = Path(f"/proc/{either.pid(pod, 'kserve-container')}/cmdline").read_bytes()
    assert b"mizzen.cluster.node.entry\0mizzen.serve.main:container\0" in command
    assert await predict(pod) == (200, {"predictions": [0, 1]})


async def test_a_folder_without_a_model(node: World, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "notes.txt").write_text("no model")
    container, spec = service(tmp_path / "model", terminationMessagePolicy="FallbackToLogsOnError")
    await node.run("step", container, restartPolicy="Never", **spec)
    pod = await node.finished("step")
    assert "there is no model file" in status_of(pod, "kserve-container")["state"]["terminated"]["message"]
