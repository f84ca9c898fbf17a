"""A model to serve, and an InferenceService as its user sees it: applied, watched, asked through the gateway."""

from __future__ import annotations

import asyncio
import http.client
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from home import PATIENCE, Home
from mizzen.apis.core import POD
from mizzen.apis.serving.v1beta1.inferenceservice import INFERENCE_SERVICE
from mizzen.kube import config
from mizzen.kube.client import Client

ASKED = [[6.8, 2.8, 4.8, 1.4], [6.0, 3.4, 4.5, 1.6], [5.1, 3.5, 1.4, 0.2]]

_TRAINING = """
import json, sys
import joblib
from sklearn.datasets import load_iris
from sklearn.svm import SVC

features, labels = load_iris(return_X_y=True)
model = SVC(gamma="scale").fit(features, labels)
joblib.dump(model, sys.argv[1])
print(json.dumps(model.predict(json.loads(sys.argv[2])).tolist()))
"""


def train(folder: Path) -> list[int]:
    """Save a classifier of the iris flowers in ``folder``; returns its own answers to :data:`ASKED`.

    In a process of its own, so that the one that measures has not the same libraries mapped as what it measures.
    """
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-c", _TRAINING, str(folder / "model.joblib"), json.dumps(ASKED)]
    found: list[int] = json.loads(subprocess.check_output(command))
    return found


def manifest(name: str, folder: Path, **annotations: str) -> dict[str, Any]:
    return {
        "apiVersion": INFERENCE_SERVICE.api_version,
        "kind": INFERENCE_SERVICE.kind,
        "metadata": {"name": name, "namespace": "default", "annotations": annotations},
        "spec": {"predictor": {"sklearn": {"storageUri": f"file://{folder}"}}},
    }


def client(home: Home) -> Client:
    """A client of the home's API, as the kubeconfig tells it."""
    return Client(config.load(home.kubeconfig), field_manager="bench")


async def until_ready(api: Client, applied: dict[str, Any], wanted: str = "True") -> float:
    """Watch a service from when it was applied until its condition Ready is so; the time of that event's arrival."""
    name, since = applied["metadata"]["name"], applied["metadata"]["resourceVersion"]
    async for event in api.watch(
        INFERENCE_SERVICE, "default", resource_version=since, field_selector=f"metadata.name={name}", timeout=60
    ):
        arrived = time.perf_counter()
        conditions = json.loads(bytes(event.object)).get("status", {}).get("conditions", [])
        if any(one["type"] == "Ready" and one["status"] == wanted for one in conditions):
            return arrived
    raise RuntimeError(f"the InferenceService {name} did not become Ready={wanted}")


async def without_pods(api: Client, name: str) -> None:
    """Return when a service has no pod any more."""
    selector = f"serving.kserve.io/inferenceservice={name}"
    deadline = time.monotonic() + PATIENCE
    while (await api.list_raw(POD, "default", label_selector=selector))[0]:
        if time.monotonic() > deadline:
            raise RuntimeError(f"the pods of {name} do not end")
        await asyncio.sleep(0.02)


class Asker:
    """A client of the gateway with one connection that it keeps."""

    def __init__(self, home: Home, expected: list[int]) -> None:
        self._connection = http.client.HTTPConnection(*home.gateway, timeout=PATIENCE)
        self._body = json.dumps({"instances": ASKED})
        self._expected = expected

    def until_answered(self, name: str) -> tuple[float, int]:
        """Ask until the model answers; the time at which its answer was in, and how many times it was refused before.

        Raises:
            RuntimeError: it answers wrongly, or not at all.
        """
        headers = {"Host": f"{name}-default.example.com", "Content-Type": "application/json"}
        refused = 0
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            self._connection.request("POST", f"/v1/models/{name}:predict", self._body, headers)
            answer = self._connection.getresponse()
            body = answer.read()
            arrived = time.perf_counter()
            if answer.status == 200:
                if json.loads(body)["predictions"] != self._expected:
                    raise RuntimeError(f"the model {name} answers {body!r}, not {self._expected}")
                return arrived, refused
            refused += 1
            time.sleep(0.001)
        raise RuntimeError(f"the model {name} does not answer: {answer.status} {body!r}")

    def close(self) -> None:
        self._connection.close()
