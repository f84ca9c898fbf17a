"""kubectl against a whole installation: every version drives InferenceServices and Deployments as its users do."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from installed import Mizzen, installation, iris_manifest, kubectl_versions, train, until

VERSIONS = kubectl_versions()
pytestmark = pytest.mark.skipif(not VERSIONS, reason="there is no kubectl on this machine")

WEB = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: web
        image: python:3
        command: [python, -c]
        args:
        - |
          import http.server, os
          print("listening", flush=True)
          address = os.environ["POD_IP"], 8000
          http.server.ThreadingHTTPServer(address, http.server.SimpleHTTPRequestHandler).serve_forever()
        ports: [{containerPort: 8000}]
        readinessProbe: {httpGet: {path: /, port: 8000}}
"""


class Kubectl:
    """One binary, talking to one installation."""

    def __init__(self, binary: Path, mizzen: Mizzen, cache: Path) -> None:
        self._command = [str(binary), "--cache-dir", str(cache)]
        self._environment = mizzen.environment | {"KUBECONFIG": str(mizzen.home / "kubeconfig")}

    def run(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        options = {"capture_output": True, "text": True, "timeout": 60, "env": self._environment} | options
        return subprocess.run([*self._command, *arguments], check=False, **options)

    def __call__(self, *arguments: str, **options: Any) -> str:
        done = self.run(*arguments, **options)
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stdout}{done.stderr}"
        return done.stdout

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen([*self._command, *arguments], env=self._environment, stdout=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def mizzen():
    with installation() as running:
        yield running


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    train(folder)
    return folder


@pytest.fixture(params=VERSIONS, ids=lambda path: path.name)
def kubectl(request, mizzen, tmp_path):
    return Kubectl(request.param, mizzen, tmp_path / "cache")


def test_an_inference_service_from_apply_to_delete(kubectl, mizzen, model, tmp_path):
    manifest = tmp_path / "iris.yaml"
    manifest.write_text(iris_manifest(model))
    watching = kubectl.start("get", "isvc", "-w", "--no-headers")
    assert "iris created" in kubectl("apply", "-f", str(manifest))
    assert "condition met" in kubectl("wait", "--for=condition=Ready", "isvc/iris", "--timeout=60s")
    listed = kubectl("get", "isvc")
    assert listed.split()[:3] == ["NAME", "URL", "READY"]
    assert re.search(r"iris +http://iris-default\.example\.com +True", listed)
    assert "iris-predictor" in kubectl("get", "pods", "-o", "wide", "-l", "serving.kserve.io/inferenceservice=iris")
    told = kubectl("describe", "isvc", "iris")
    assert "http://iris-default.example.com" in told
    assert "InferenceServiceReady" in told
    pod = kubectl("get", "pods", "-l", "serving.kserve.io/inferenceservice=iris", "-o", "name").strip()
    assert "kserve-container" in kubectl("describe", pod)
    assert "iris" in kubectl("logs", pod)
    assert "fetched" in kubectl("logs", pod, "-c", "storage-initializer")
    assert mizzen.predict("iris", [[5.1, 3.5, 1.4, 0.2]]) == (200, {"predictions": [0]})
    # The API keeps the shorthand as a model, so kubectl sends it again; nothing comes of it.
    before = json.loads(kubectl("get", "isvc", "iris", "-o", "json"))["metadata"]
    kubectl("apply", "-f", str(manifest))
    assert kubectl.run("diff", "-f", str(manifest)).returncode == 0
    after = json.loads(kubectl("get", "isvc", "iris", "-o", "json"))["metadata"]
    assert (after["generation"], after["resourceVersion"]) == (before["generation"], before["resourceVersion"])
    kubectl("apply", "--server-side", "-f", str(manifest), "--force-conflicts")
    kubectl("apply", "--server-side", "-f", str(manifest))
    kubectl("delete", "-f", str(manifest))
    assert kubectl.run("get", "isvc", "iris").returncode == 1
    until(lambda: "No resources" in kubectl.run("get", "pods,svc,ing,deploy", "-l", "x!=y").stderr or gone(kubectl))
    watching.terminate()
    seen, _ = watching.communicate(timeout=10)
    assert "True" in seen


def gone(kubectl: Kubectl) -> bool:
    left = json.loads(kubectl("get", "pods,deploy,ing,svc", "-o", "json"))["items"]
    return not [item for item in left if "iris" in item["metadata"]["name"]]


def test_the_replicas_of_a_service_are_edited(kubectl, mizzen, model):
    kubectl("apply", "-f", "-", input=iris_manifest(model, name="many"))
    kubectl("wait", "--for=condition=Ready", "isvc/many", "--timeout=60s")
    kubectl("patch", "isvc", "many", "--type=merge", "-p", '{"spec":{"predictor":{"minReplicas":3}}}')
    kubectl("rollout", "status", "deploy/many-predictor", "--timeout=60s")
    until(lambda: "3/3" in kubectl("get", "deploy", "many-predictor", "--no-headers"))
    kubectl("patch", "isvc", "many", "--type=merge", "-p", '{"spec":{"predictor":{"minReplicas":1}}}')
    until(lambda: "1/1" in kubectl("get", "deploy", "many-predictor", "--no-headers"))
    kubectl("delete", "isvc", "many")


def test_a_deployment_is_scaled_rolled_out_and_undone(kubectl, mizzen):
    kubectl("apply", "-f", "-", input=WEB)
    assert "successfully rolled out" in kubectl("rollout", "status", "deploy/web", "--timeout=60s")
    kubectl("wait", "--for=condition=Available", "deploy/web", "--timeout=60s")
    assert "scaled" in kubectl("scale", "deploy/web", "--replicas=3")
    kubectl("rollout", "status", "deploy/web", "--timeout=60s")
    assert "3/3" in kubectl("get", "deploy", "web", "--no-headers")
    scale = json.loads(kubectl("get", "--raw", "/apis/apps/v1/namespaces/default/deployments/web/scale"))
    assert (scale["kind"], scale["spec"]["replicas"], scale["status"]["replicas"]) == ("Scale", 3, 3)
    kubectl("scale", "deploy/web", "--replicas=1")
    kubectl("set", "env", "deploy/web", "COLOUR=blue")
    kubectl("rollout", "status", "deploy/web", "--timeout=60s")
    assert "listening" in kubectl("logs", "deploy/web")
    history = kubectl("rollout", "history", "deploy/web")
    assert re.findall(r"^(\d+) ", history, re.MULTILINE) == ["1", "2"]
    kubectl("rollout", "undo", "deploy/web")
    kubectl("rollout", "status", "deploy/web", "--timeout=60s")
    template = json.loads(kubectl("get", "deploy", "web", "-o", "json"))["spec"]["template"]
    assert not template["spec"]["containers"][0].get("env")
    kubectl("rollout", "restart", "deploy/web")
    kubectl("rollout", "status", "deploy/web", "--timeout=60s")
    assert "deployment.apps/web" in kubectl("get", "all", "-o", "name")
    assert "RollingUpdate" in kubectl("describe", "deploy", "web")
    kubectl("delete", "deploy", "web")
    until(lambda: "web-" not in kubectl("get", "pods", "-o", "name"))


def test_logs_are_followed_until_the_pod_ends(kubectl):
    once = """
apiVersion: v1
kind: Pod
metadata: {name: once}
spec:
  restartPolicy: Never
  containers:
  - name: main
    image: busybox
    command: [sh, -c, "for i in 1 2 3; do echo line $i; sleep 0.2; done; exit 3"]
"""
    kubectl("apply", "-f", "-", input=once)
    until(lambda: kubectl.run("logs", "once").returncode == 0)
    followed = kubectl("logs", "-f", "once")
    assert followed.splitlines() == ["line 1", "line 2", "line 3"]
    assert kubectl("logs", "once", "--tail=1").strip() == "line 3"
    stamped = kubectl("logs", "once", "--timestamps")
    assert re.match(r"\d{4}-\d\d-\d\dT[\d:.]+Z line 1", stamped)
    kubectl("wait", "--for=jsonpath={.status.phase}=Failed", "pod/once", "--timeout=30s")
    terminated = json.loads(kubectl("get", "pod", "once", "-o", "json"))["status"]["containerStatuses"][0]["state"]
    assert terminated["terminated"]["exitCode"] == 3
    kubectl("delete", "pod", "once")


EXPLAINED = {
    "pods": "spec.containers.readinessProbe",
    "services": "spec.clusterIP",
    "deployments": "spec.strategy",
    "inferenceservices": "spec.predictor.model.storageUri",
    "clusterservingruntimes": "spec.supportedModelFormats",
}


def test_every_kind_can_be_listed_described_and_explained(kubectl, mizzen):
    words = [line.split()[0] for line in kubectl("api-resources", "--no-headers", "--verbs=list").splitlines()]
    assert {"pods", "deployments", "inferenceservices", "httproutes"} <= set(words)
    for word in words:
        kubectl("get", word, "-A")
        kubectl("describe", word, "-n", "default")
        explained = kubectl("explain", word)
        assert "VERSION:" in explained, word
        assert "metadata" in explained, word
    for word, path in EXPLAINED.items():
        assert "FIELD" in kubectl("explain", f"{word}.{path}"), path


@pytest.mark.parametrize(
    ("case", "manifest", "says"),
    [
        ("an unknown kind", {"kind": "Nonsense"}, "Nonsense"),
        ("an unknown field", {"spec": {"predictor": {"sklearn": {"storageUrl": "x"}}}}, "storageUrl"),
        ("a wrong type", {"spec": {"predictor": {"minReplicas": "many", "sklearn": {}}}}, "spec.predictor.minReplicas"),
        ("two frameworks", {"spec": {"predictor": {"sklearn": {}, "xgboost": {}}}}, "sklearn, xgboost"),
        ("a name that is no label", {"metadata": {"name": "Iris_1"}}, "Iris_1"),
        (
            "more at least than at most",
            {"spec": {"predictor": {"minReplicas": 3, "maxReplicas": 2, "sklearn": {}}}},
            "spec.predictor.minReplicas",
        ),
    ],
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) and " " in value else "",
)
def test_what_cannot_be_meant_is_refused_with_its_place(kubectl, case, manifest, says):
    whole = {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": "wrong"},
        "spec": {"predictor": {"sklearn": {"storageUri": "file:///x"}}},
    } | manifest
    refused = kubectl.run("apply", "-f", "-", input=json.dumps(whole))
    assert refused.returncode == 1
    assert says in refused.stderr
    assert kubectl.run("get", "isvc", whole["metadata"]["name"]).returncode == 1, "nothing is stored"


def test_the_kubeconfig_is_all_that_kubectl_needs(kubectl, mizzen):
    exported = dict(line.removeprefix("export ").split("=", 1) for line in mizzen("env").splitlines())
    assert Path(exported["KUBECONFIG"]) == mizzen.home / "kubeconfig"
    environment = {key: value for key, value in os.environ.items() if key != "KUBECONFIG"} | exported
    assert "Server Version: v1.33" in kubectl("version", env=environment)
