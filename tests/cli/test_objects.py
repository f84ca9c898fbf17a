"""``mizzen get``, ``describe`` and ``delete``, for those who have no kubectl."""

import json
import shutil
import subprocess

import pytest
import yaml

from installed import iris_manifest, until


def lines(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_a_service_is_listed_as_kubectl_lists_it(mizzen, iris):
    header, row = lines(mizzen("get", "isvc"))
    assert header[:3] == ["NAME", "URL", "READY"]
    assert row[:3] == ["iris", "http://iris-default.example.com", "True"]
    for word in ("inferenceservice", "inferenceservices", "InferenceService", "inferenceservices.serving.kserve.io"):
        assert lines(mizzen("get", word, "iris"))[1][:3] == row[:3]
    everywhere = lines(mizzen("get", "isvc", "-A"))
    assert everywhere[0][:2] == ["NAMESPACE", "NAME"]
    assert everywhere[1][:2] == ["default", "iris"]
    assert "IP" in lines(mizzen("get", "pods", "-o", "wide"))[0]
    assert "IP" not in lines(mizzen("get", "pods"))[0]


def test_only_those_that_are_selected(mizzen, iris):
    [_, row] = lines(mizzen("get", "pods", "-l", "serving.kserve.io/inferenceservice=iris"))
    assert row[0].startswith("iris-predictor-")
    nothing = mizzen.run("get", "pods", "-l", "app=other")
    assert (nothing.returncode, nothing.stdout) == (0, "")
    assert "no pods found" in nothing.stderr
    wrong = mizzen.run("get", "pods", "-l", "a in b")
    assert wrong.returncode == 1
    assert "found 'b', expected: '('" in wrong.stderr


def test_forms(mizzen, iris):
    found = json.loads(mizzen("get", "isvc", "iris", "-o", "json"))
    assert found == yaml.safe_load(mizzen("get", "isvc", "iris", "-o", "yaml"))
    assert found["kind"] == "InferenceService"
    assert "managedFields" not in found["metadata"]
    whole = yaml.safe_load(mizzen("get", "isvc", "-o", "yaml"))
    assert (whole["kind"], whole["items"]) == ("List", [found])
    [name] = mizzen("get", "isvc", "-o", "name").split()
    assert name == "inferenceservice.serving.kserve.io/iris"
    assert lines(mizzen("get", name))[1][0] == "iris", "what is printed can be given back"
    [pod] = mizzen("get", "pods", "-o", "name").split()
    assert pod.startswith("pod/iris-predictor-")
    assert json.loads(mizzen("get", pod, "-o", "json"))["kind"] == "Pod"


@pytest.mark.parametrize("there", [True, False], ids=["objects there", "none yet"])
def test_changes_are_watched(mizzen, iris, model, there):
    words = ["isvc"] if there else ["isvc", "-n", "watched"]
    where = [] if there else ["-n", "watched"]
    if not there:
        mizzen.apply("apiVersion: v1\nkind: Namespace\nmetadata: {name: watched}\n")
    watching = mizzen.start("get", *words, "-w")
    try:
        first = watching.stdout.readline().split()
        assert first[0] == "NAME" if there else first == ["no", "inferenceservices", "found"]
        mizzen("apply", *where, "-f", "-", input=iris_manifest(model, name="seen"))
        rows = []
        for line in watching.stdout:
            rows.append(line.split())
            if rows[-1][0] == "seen" and "True" in rows[-1]:
                break
        assert [row[0] for row in rows].count("NAME") == (0 if there else 1)
        mizzen("delete", "isvc", "seen", *where)
    finally:
        watching.terminate()
        watching.communicate()


def test_what_is_not_there_is_said(mizzen):
    for arguments, says in (
        (("get", "isvc", "nobody"), '"nobody" not found'),
        (("get", "nonsense"), 'no resource type "nonsense"'),
        (("describe", "pod", "nobody"), '"nobody" not found'),
        (("describe", "nonsense", "x"), 'no resource type "nonsense"'),
        (("delete", "isvc", "nobody"), '"nobody" not found'),
    ):
        refused = mizzen.run(*arguments)
        assert (refused.returncode, refused.stdout) == (1, ""), arguments
        assert says in refused.stderr
        assert "Traceback" not in refused.stderr
    for arguments in (("delete",), ("delete", "isvc"), ("describe", "isvc"), ("get", "isvc/a", "pod/b"), ("get",)):
        assert mizzen.run(*arguments).returncode == 2, arguments


def test_a_service_is_described_with_its_state_pods_and_events(mizzen, iris, model):
    told = mizzen("describe", "isvc", "iris")
    for part in (
        "Name:          iris",
        f"sklearn file://{model}",
        "kserve-sklearnserver",
        "http://iris-default.example.com",
        "http://iris-predictor.default.svc.cluster.local",
        "Model state:   Loaded\n",
        "PredictorReady",
        "iris-predictor-",
        "1/1     Running   0",
        "InferenceServiceReady",
    ):
        assert part in told
    [pod] = mizzen("get", "pods", "-o", "name", "-l", "serving.kserve.io/inferenceservice=iris").split()
    of_pod = mizzen("describe", pod)
    assert "kserve-container" in of_pod
    assert "Scheduled" in of_pod


def call(told: str) -> str:
    """The command line that a description ends with."""
    [line] = [line.strip() for line in told.splitlines() if line.strip().startswith("curl ")]
    return line


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl on this machine")
@pytest.mark.parametrize(
    ("name", "protocol", "answered"), [("iris", None, "predictions"), ("iris2", "v2", "outputs")], ids=["v1", "v2"]
)
def test_the_line_that_calls_it_is_right_as_it_stands(mizzen, model, name, protocol, answered):
    server = {"modelFormat": {"name": "sklearn"}, "storageUri": f"file://{model}"}
    server |= {"protocolVersion": protocol} if protocol else {}
    mizzen.apply(iris_manifest(model, name=name, sklearn=None, model=server))
    mizzen.wait_ready(name)
    line = call(mizzen("describe", "isvc", name))
    assert mizzen.status()["gateway"]["url"] in line
    done = subprocess.run(line.replace("curl ", "curl -sS "), shell=True, capture_output=True, text=True, check=True)
    assert list(json.loads(done.stdout))[-1 if protocol else 0] == answered, done.stdout


def test_a_service_that_cannot_be_called_yet_has_no_such_line(mizzen, tmp_path):
    mizzen.apply(iris_manifest(tmp_path / "nowhere", name="away"))
    until(lambda: mizzen.condition("away").get("status") == "False")
    told = mizzen("describe", "isvc", "away")
    assert "curl" not in told
    assert "Conditions:" in told
    mizzen("delete", "isvc", "away")


def test_deleting_by_name_by_file_and_twice(mizzen, model, tmp_path):
    file = tmp_path / "two.yaml"
    file.write_text(f"{iris_manifest(model, name='one')}\n---\n{iris_manifest(model, name='two')}\n")
    mizzen("apply", "-f", str(file))
    mizzen.wait_ready("one")
    assert mizzen("delete", "isvc", "one") == "inferenceservice.serving.kserve.io/one deleted\n"
    assert mizzen.run("get", "isvc", "one").returncode == 1, "it returns when the object is gone"
    again = mizzen.run("delete", "-f", str(file))
    assert again.returncode == 1
    assert again.stdout == "inferenceservice.serving.kserve.io/two deleted\n", "the others are deleted all the same"
    assert '"one" not found' in again.stderr
    until(lambda: not [pod for pod in mizzen.objects("pods") if pod["metadata"]["name"].startswith(("one", "two"))])
    assert not [found for found in mizzen.objects("deploy") if found["metadata"]["name"].startswith(("one", "two"))]


def test_what_comes_back_by_itself_was_deleted_all_the_same(mizzen):
    before = mizzen.object("cm", "kube-root-ca.crt")["metadata"]["uid"]
    assert mizzen("delete", "cm/kube-root-ca.crt") == "configmap/kube-root-ca.crt deleted\n"
    until(lambda: mizzen.run("get", "cm", "kube-root-ca.crt").returncode == 0)
    assert mizzen.object("cm", "kube-root-ca.crt")["metadata"]["uid"] != before


def test_a_finalizer_is_waited_for_or_not(mizzen):
    held = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "held", "finalizers": ["example.com/hold"]}}
    mizzen.apply(json.dumps(held))
    assert "deleted" in mizzen("delete", "cm", "held", "--no-wait")
    assert mizzen.object("cm", "held")["metadata"]["deletionTimestamp"]
    waiting = mizzen.start("delete", "cm", "held")
    held["metadata"].pop("finalizers")
    mizzen.apply(json.dumps(held))
    assert "deleted" in waiting.communicate(timeout=30)[0]


def test_several_kinds_are_listed_at_once(mizzen, iris):
    tables = [block.splitlines() for block in mizzen("get", "isvc,deploy,svc").split("\n\n")]
    names = ["inferenceservice.serving.kserve.io/iris", "deployment.apps/iris-predictor", "service/iris-predictor"]
    assert len(tables) == 3
    for name, (header, *rows) in zip(names, tables, strict=True):
        assert header.startswith("NAME ") and name in [row.split()[0] for row in rows]
    named = mizzen.run("get", "all", "-o", "name")
    assert named.stderr == ""
    kinds = {name.partition("/")[0] for name in named.stdout.split()}
    assert {"pod", "service", "deployment.apps", "replicaset.apps"} <= kinds
    both = json.loads(mizzen("get", "isvc,svc", "-o", "json"))
    assert {item["kind"] for item in both["items"]} == {"InferenceService", "Service"}
    refused = mizzen.run("get", "isvc,pods", "-w")
    assert refused.returncode == 2 and "one kind can be watched at a time" in refused.stderr
    unknown = mizzen.run("get", "isvc,nonsense")
    assert unknown.returncode == 1 and 'no resource type "nonsense"' in unknown.stderr
