"""Where the status says that a service is, it is, for a pod: by every spelling of its name, and by its ClusterIP."""

from __future__ import annotations

import json
import os
import sys

import pytest

from installed import installation, iris_manifest, train, until

# A program of somebody's: asks each URL of its arguments with our client, and prints what came.
ASK = """
import asyncio, json, os, sys
from mizzen.http.client import Client

async def main():
    async with Client() as client:
        for base in sys.argv[1:]:
            body = json.dumps({"instances": [[5.1, 3.5, 1.4, 0.2]]}).encode()
            try:
                answer = await client.request("POST", base + "/v1/models/iris:predict", body=body)
                print(base, answer.status, (await answer.read()).decode(), flush=True)
            except Exception as error:
                print(base, type(error).__name__, error, flush=True)

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def mizzen(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    train(folder)
    with installation() as running:
        running.apply(iris_manifest(folder))
        running.apply("apiVersion: v1\nkind: Namespace\nmetadata: {name: elsewhere}\n")
        running.wait_ready("iris")
        yield running


def asked(mizzen, name: str, urls: list[str], namespace: str = "default", program: str = ASK) -> list[str]:
    """What a pod prints that asks these URLs."""
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "restartPolicy": "Never",
            "containers": [
                {
                    "name": "main",
                    "image": "python:3.12",
                    "command": ["python", "-c", program, *urls],
                    "env": [{"name": "PYTHONPATH", "value": os.pathsep.join(filter(None, sys.path))}],
                }
            ],
        },
    }
    mizzen.apply(json.dumps(pod))
    ended = ("Succeeded", "Failed")
    until(lambda: mizzen.object("pod", name, namespace).get("status", {}).get("phase") in ended)
    return mizzen("logs", name, "-n", namespace).splitlines()


def test_the_address_and_every_spelling_of_it(mizzen):
    address = mizzen.object("isvc", "iris")["status"]["address"]["url"]
    assert address == "http://iris-predictor.default.svc.cluster.local"
    names = [
        address,
        "http://iris-predictor.default.svc.cluster.local:80",
        "http://iris-predictor.default.svc.cluster.local.",
        "http://iris-predictor.default.svc",
        "http://iris-predictor.default",
        "http://iris-predictor",
    ]
    assert asked(mizzen, "near", names) == [f'{name} 200 {{"predictions":[0]}}' for name in names]


def test_from_another_namespace(mizzen):
    names = ["http://iris-predictor.default.svc.cluster.local", "http://iris-predictor.default"]
    told = asked(mizzen, "far", [*names, "http://iris-predictor"], namespace="elsewhere")
    assert told[:2] == [f'{name} 200 {{"predictions":[0]}}' for name in names]
    assert "200" not in told[2], "a bare name is a service of one's own namespace"


def test_a_service_that_is_none_is_said_and_not_waited_for(mizzen):
    [line] = asked(mizzen, "lost", ["http://nobody.default.svc.cluster.local"])
    assert line.split()[1] in ("404", "503")
    assert "nobody" in line.partition(" ")[2]


def test_its_cluster_ip_answers_to_any_client(mizzen):
    """Where this user may listen on the service's port; else the names above are the way."""
    service = mizzen.object("svc", "iris-predictor")["spec"]
    address, port = service["clusterIP"], service["ports"][0]["port"]
    with open("/proc/sys/net/ipv4/ip_unprivileged_port_start") as setting:
        first = int(setting.read())
    if os.geteuid() and port < first:
        pytest.skip(f"only root may have every port below {first} here")
    program = """
import json, sys, urllib.request
for base in sys.argv[1:]:
    body = json.dumps({"instances": [[5.1, 3.5, 1.4, 0.2]]}).encode()
    with urllib.request.urlopen(base + "/v1/models/iris:predict", body) as answer:
        print(answer.status, json.load(answer))
"""
    assert asked(mizzen, "plain", [f"http://{address}:{port}"], program=program) == ["200 {'predictions': [0]}"]
