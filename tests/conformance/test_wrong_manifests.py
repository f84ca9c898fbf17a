"""Manifests that are wrong, through kubectl and over plain HTTP: the API's own Status, and nothing stored."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.error
import urllib.request
from typing import Any

import pytest

from installed import Mizzen, installation, kubectl_versions
from mizzen.kube import config

ISVC = "/apis/serving.kserve.io/v1beta1/namespaces/default/inferenceservices"
MAPS = "/api/v1/namespaces/default/configmaps"


@pytest.fixture(scope="module")
def mizzen():
    with installation() as running:
        yield running


def call(mizzen: Mizzen, method: str, path: str, body: bytes, media_type: str = "application/yaml") -> tuple[int, Any]:
    """One request to the API as any HTTP client makes it. Returns the status and the decoded answer."""
    cluster = config.load(mizzen.home / "kubeconfig")
    headers = {"Authorization": f"Bearer {cluster.token}", "Content-Type": media_type}
    request = urllib.request.Request(cluster.server + path, body, headers, method=method)
    try:
        with urllib.request.urlopen(request, context=cluster.ssl_context(), timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def service(predictor: str, name: str = "wrong") -> bytes:
    text = f"apiVersion: serving.kserve.io/v1beta1\nkind: InferenceService\nmetadata: {{name: {name}}}\nspec:\n"
    return f"{text}  predictor: {predictor}\n".encode()


# The path, the body, and of the Status: code, reason, and what the message says.
WRONG = {
    "malformed YAML": (ISVC, b"a: b\n  c: d\n", 400, "BadRequest", ["line 2, column 4", "`c: d`"]),
    "malformed JSON": (MAPS, b'{"a": 1,,}', 400, "BadRequest", ["line 1, column 9"]),
    "no UTF-8": (MAPS, b"a: \xff\n", 400, "BadRequest", ["not UTF-8", "0xff"]),
    "no object": (MAPS, b"- a\n", 400, "BadRequest", ["a list where one object is expected"]),
    "an unknown kind": (
        "/apis/serving.kserve.io/v1beta1/nonsense",
        b"{}",
        404,
        "NotFound",
        ["could not find the requested resource"],
    ),
    "an unknown field": (
        f"{ISVC}?fieldValidation=Strict",
        service("{sklearn: {storageUrl: x}}"),
        400,
        "BadRequest",
        ['unknown field "spec.predictor.sklearn.storageUrl"'],
    ),
    "a wrong type": (
        ISVC,
        service("{minReplicas: many, sklearn: {}}"),
        422,
        "Invalid",
        ["spec.predictor.minReplicas", "integer", '"many"'],
    ),
    "a wrong type of a built-in kind": (
        MAPS,
        b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata: {a: 1}\n",
        400,
        "BadRequest",
        ["data.a", "number 1"],
    ),
    "the kind of another path": (
        MAPS,
        service("{sklearn: {}}"),
        400,
        "BadRequest",
        ["Kind=InferenceService", "Kind=ConfigMap"],
    ),
    "two frameworks": (ISVC, service("{sklearn: {}, xgboost: {}}"), 400, "BadRequest", ["sklearn, xgboost"]),
    "a name that is no label": (ISVC, service("{sklearn: {}}", "Iris_1"), 422, "Invalid", ["metadata.name", "Iris_1"]),
    "more at least than at most": (
        ISVC,
        service("{minReplicas: 3, maxReplicas: 2, sklearn: {}}"),
        400,
        "BadRequest",
        ["spec.predictor.minReplicas", "3", "2"],
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_status_says_what_is_wrong_and_nothing_is_stored(mizzen, case):
    path, body, code, reason, says = WRONG[case]
    answered, status = call(mizzen, "POST", path, body)
    assert (answered, status["kind"], status["status"]) == (code, "Status", "Failure"), status
    assert (status["code"], status["reason"]) == (code, reason)
    for part in says:
        assert part in status["message"]
    assert call(mizzen, "GET", ISVC, b"")[1]["items"] == []


@pytest.fixture(params=kubectl_versions() or [None], ids=lambda path: path.name if path else "none")
def kubectl(request, mizzen, tmp_path):
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = mizzen.environment | {"KUBECONFIG": str(mizzen.home / "kubeconfig")}
        command = [str(request.param), "--cache-dir", str(tmp_path / "cache"), *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)

    return run


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="there is no kubectl on this machine")
def test_kubectl_names_the_file_and_the_line_of_malformed_yaml(kubectl, mizzen, tmp_path):
    file = tmp_path / "broken.yaml"
    file.write_bytes(service("{sklearn: {storageUri: x}}") + b"  indented: wrongly\n oh: no\n")
    for verb in ("apply", "create"):
        refused = kubectl(verb, "-f", str(file))
        assert refused.returncode == 1
        assert "broken.yaml" in refused.stderr
        assert "line 6" in refused.stderr or "line 7" in refused.stderr
    assert mizzen.objects("isvc") == []


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="there is no kubectl on this machine")
def test_of_several_documents_kubectl_stores_the_right_ones_and_tells_of_each_wrong_one(kubectl, mizzen, tmp_path):
    file = tmp_path / "several.yaml"
    documents = [
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\n",
        "apiVersion: v1\nkind: Nonsense\nmetadata: {name: x}\n",
        service("{minReplicas: many, sklearn: {}}").decode(),
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bad}\ndat: {}\n",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: two}\n",
    ]
    file.write_text("---\n".join(documents))
    refused = kubectl("apply", "-f", str(file))
    assert refused.returncode == 1
    for part in ('no matches for kind "Nonsense"', "spec.predictor.minReplicas", '"many"', 'unknown field "dat"'):
        assert part in refused.stderr
    assert "several.yaml" in refused.stderr
    stored = {found["metadata"]["name"] for found in mizzen.objects("cm")} - {"kube-root-ca.crt"}
    assert stored == {"one", "two"}
    assert mizzen.objects("isvc") == []
    mizzen("delete", "cm", "one", "two")
