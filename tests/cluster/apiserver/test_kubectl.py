"""kubectl 1.28 to 1.33, as people use it, on built-in kinds and on a custom one."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from api_client import APPS, DEFAULT, Api, deployment, pod
from apiserver_fixture import Server, process
from kubectl import VERSIONS, Kubectl
from widgets import definition

MANIFEST = """
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {color: red}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: main
        image: example.com/web:1
        ports: [{containerPort: 80}]
        env: [{name: A, value: one}, {name: B, value: two}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports: [{port: 80}]
"""
CHANGED = MANIFEST.replace("color: red", "color: blue").replace("name: B, value: two", "name: C, value: three")

WIDGET = """
apiVersion: exp.io/v1
kind: Widget
metadata: {name: gear}
spec: {size: 2, parts: [{name: tooth, "on": true}]}
"""


def widgets() -> str:
    columns = [
        {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
        {"name": "Ready", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Ready")].status'},
    ]
    found = definition(
        additionalPrinterColumns=columns,
        subresources={
            "status": {},
            "scale": {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.replicas"},
        },
    )
    properties = found["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
    properties["spec"]["properties"]["size"]["description"] = "How many teeth it has."
    return json.dumps(found)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with process(tmp_path_factory.mktemp("kubectl")) as found:
        yield found


@pytest.fixture(params=VERSIONS)
def kubectl(request: pytest.FixtureRequest, server: Server) -> Iterator[Kubectl]:
    found = Kubectl(request.param, server)
    yield found
    found.result(
        "delete", "deployments,replicasets,pods,configmaps,services,events,crds", "--all", "--wait=true", "--force"
    )


def test_manifests_are_applied_changed_and_deleted(kubectl: Kubectl) -> None:
    assert kubectl("apply", "-f", "-", input=MANIFEST).splitlines() == [
        "configmap/settings created",
        "deployment.apps/web created",
        "service/web created",
    ]
    assert kubectl("apply", "-f", "-", input=MANIFEST).splitlines() == [
        "configmap/settings unchanged",
        "deployment.apps/web unchanged",
        "service/web unchanged",
    ]
    code, difference = kubectl.result("diff", "-f", "-", input=CHANGED)
    assert code == 1
    changes = {" ".join(line.split()) for line in difference.splitlines()}
    assert {"- color: red", "+ color: blue", "- - name: B", "+ - name: C"} <= changes
    assert kubectl("apply", "-f", "-", input=CHANGED).splitlines()[:2] == [
        "configmap/settings configured",
        "deployment.apps/web configured",
    ]
    names = kubectl("get", "deployment", "web", "-o", "jsonpath={.spec.template.spec.containers[0].env[*].name}")
    assert names == "A C"
    assert kubectl.result("diff", "-f", "-", input=CHANGED)[0] == 0
    applied = kubectl("apply", "--server-side", "-f", "-", input=CHANGED)
    assert "deployment.apps/web serverside-applied" in applied
    code, said = kubectl.result("apply", "--server-side", "--field-manager=other", "-f", "-", input=MANIFEST)
    assert code == 1 and "conflict" in said and ".data.color" in said
    forced = kubectl("apply", "--server-side", "--field-manager=other", "--force-conflicts", "-f", "-", input=MANIFEST)
    assert "serverside-applied" in forced
    dry = kubectl("apply", "--dry-run=server", "-f", "-", input=CHANGED)
    assert "(server dry run)" in dry
    deleted = kubectl("delete", "-f", "-", input=MANIFEST)
    assert 'deployment.apps "web" deleted' in deleted
    assert kubectl.result("get", "deployment", "web")[0] == 1


def test_what_is_wrong_is_said_with_its_place(kubectl: Kubectl) -> None:
    code, said = kubectl.result("apply", "-f", "-", input=MANIFEST.replace("replicas:", "replicsa:"))
    assert code == 1 and 'unknown field "spec.replicsa"' in said
    code, said = kubectl.result("apply", "-f", "-", input=MANIFEST.replace("replicas: 2", "replicas: two"))
    assert code == 1 and "replicas" in said
    code, said = kubectl.result("apply", "-f", "-", input=MANIFEST.replace("replicas: 2", "replicas: -2"))
    assert code == 1 and "spec.replicas: Invalid value: -2" in said
    assert "NotFound" in kubectl.result("get", "configmap", "absent")[1]
    assert 'the server doesn\'t have a resource type "gadgets"' in kubectl.result("get", "gadgets")[1]
    kubectl("delete", "service,configmap", "--all")


def test_tables_and_their_forms(kubectl: Kubectl) -> None:
    kubectl("create", "-f", "-", input=MANIFEST)
    everything = kubectl("get", "all")
    assert re.search(r"deployment.apps/web +0/2 +0 +0 +\d+s", everything)
    assert re.search(r"service/web +ClusterIP +127\.40\.\d+\.\d+ +<none> +80/TCP", everything)
    wide = kubectl("get", "deployments", "-A", "-o", "wide")
    assert "example.com/web:1" in wide and "app=web" in wide
    assert kubectl("get", "cm", "settings", "-o", "name").strip() == "configmap/settings"
    listed = kubectl("get", "cm", "--sort-by=.metadata.name", "-o", "custom-columns=N:.metadata.name", "--no-headers")
    assert "settings" in listed.split()
    assert kubectl("get", "svc,deploy", "-l", "app=web", "-o", "name").split() == ["deployment.apps/web"]
    assert "color: red" in kubectl("get", "cm", "settings", "-o", "yaml")
    assert kubectl("get", "cm", "--field-selector=metadata.name=settings", "-o", "name").strip()
    paged = kubectl("get", "ns", "--chunk-size=1", "-o", "name").split()
    assert paged == [f"namespace/{name}" for name in ("default", "kube-node-lease", "kube-public", "kube-system")]
    assert json.loads(kubectl("get", "--raw", "/version"))["minor"] == "33"
    assert "deployments" in kubectl("api-resources", "--api-group=apps")
    assert "apps/v1" in kubectl("api-versions")
    assert "v1.33" in kubectl("version")


def test_descriptions_and_explanations(kubectl: Kubectl) -> None:
    kubectl("create", "-f", "-", input=MANIFEST)
    described = kubectl("describe", "deployment", "web")
    assert re.search(r"StrategyType: +RollingUpdate", described)
    assert re.search(r"Replicas: +2 desired", described)
    assert "red" in kubectl("describe", "configmap", "settings")
    assert re.search(r"TargetPort: +80/TCP", kubectl("describe", "service", "web"))
    explained = kubectl("explain", "deployment.spec.strategy.rollingUpdate")
    assert "maxSurge" in explained and "25%" in explained
    containers = kubectl("explain", "pods.spec.containers")
    assert "imagePullPolicy" in containers and "containers" in containers
    assert "readinessProbe" in kubectl("explain", "pod", "--recursive")


def test_changes_one_by_one(kubectl: Kubectl) -> None:
    kubectl("create", "-f", "-", input=MANIFEST)
    assert "labeled" in kubectl("label", "deployment", "web", "tier=front")
    assert "annotate" in kubectl("annotate", "deployment", "web", "note=yes")
    assert "image updated" in kubectl("set", "image", "deployment/web", "main=example.com/web:2")
    assert "env updated" in kubectl("set", "env", "deployment/web", "D=four")
    assert "patched" in kubectl("patch", "deployment", "web", "-p", '{"spec":{"minReadySeconds":1}}')
    patch = '[{"op":"replace","path":"/spec/replicas","value":5}]'
    assert "patched" in kubectl("patch", "deployment", "web", "--type=json", "-p", patch)
    assert "scaled" in kubectl("scale", "deployment", "web", "--replicas=3")
    assert kubectl.result("scale", "deployment", "web", "--replicas=4", "--current-replicas=9")[0] == 1
    found = json.loads(kubectl("get", "deployment", "web", "-o", "json"))
    container = found["spec"]["template"]["spec"]["containers"][0]
    assert container["image"] == "example.com/web:2"
    assert [variable["name"] for variable in container["env"]] == ["A", "B", "D"]
    assert (found["spec"]["replicas"], found["spec"]["minReadySeconds"]) == (3, 1)
    assert found["metadata"]["labels"] == {"app": "web", "tier": "front"}
    found["spec"]["replicas"] = 7
    assert "replaced" in kubectl("replace", "-f", "-", input=json.dumps(found))
    assert kubectl.result("replace", "-f", "-", input=json.dumps(found))[0] == 1, "an old version was accepted"
    assert "exposed" in kubectl("expose", "deployment", "web", "--name=web2", "--port=80")
    assert "created" in kubectl("run", "one", "--image=example.com/one")
    assert "deleted" in kubectl("delete", "pod", "one")


def test_a_rollout_is_followed(kubectl: Kubectl, server: Server) -> None:
    kubectl("create", "-f", "-", input=MANIFEST)

    async def roll_out(revision: int) -> None:
        """What the deployment controller would do: a replica set of the revision, and a status that says done."""
        async with server.session() as session:
            api = Api(session)
            found = (await api.get(f"{APPS}/deployments/web")).ok()
            owner = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": found["metadata"]["uid"]}
            replica_set = deployment("web")
            replica_set["kind"] = "ReplicaSet"
            replica_set["metadata"] = {
                "name": f"web-{revision}",
                "labels": {"app": "web"},
                "annotations": {"deployment.kubernetes.io/revision": str(revision)},
                "ownerReferences": [{**owner, "controller": True}],
            }
            replica_set["spec"]["template"] = found["spec"]["template"]
            (await api.create(f"{APPS}/replicasets", replica_set)).ok()
            annotations = {"deployment.kubernetes.io/revision": str(revision)}
            (await api.patch(f"{APPS}/deployments/web", {"metadata": {"annotations": annotations}})).ok()
            found = (await api.get(f"{APPS}/deployments/web")).ok()
            replicas = found["spec"]["replicas"]
            status = dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), replicas)
            status["observedGeneration"] = found["metadata"]["generation"]
            (await api.patch(f"{APPS}/deployments/web/status", {"status": status})).ok()

    waiting = kubectl.start("rollout", "status", "deployment/web", "--timeout=60s")
    asyncio.run(roll_out(1))
    said, _ = waiting.communicate(timeout=60)
    assert waiting.returncode == 0 and 'deployment "web" successfully rolled out' in said
    assert "restarted" in kubectl("rollout", "restart", "deployment/web")
    asyncio.run(roll_out(2))
    history = kubectl("rollout", "history", "deployment/web")
    assert [line.split()[0] for line in history.splitlines() if line[:1].isdigit()] == ["1", "2"]
    assert "rolled back" in kubectl("rollout", "undo", "deployment/web", "--to-revision=1")
    assert "restartedAt" not in kubectl("get", "deployment", "web", "-o", "jsonpath={.spec.template.metadata}")


def test_a_custom_kind(kubectl: Kubectl) -> None:
    assert "created" in kubectl("apply", "-f", "-", input=widgets())
    kubectl("wait", "--for=condition=Established", "crd/widgets.exp.io", "--timeout=30s")
    assert kubectl("apply", "-f", "-", input=WIDGET).strip() == "widget.exp.io/gear created"
    assert kubectl("apply", "-f", "-", input=WIDGET).strip() == "widget.exp.io/gear unchanged"
    bigger = WIDGET.replace("size: 2", "size: 3")
    assert "+  size: 3" in kubectl.result("diff", "-f", "-", input=bigger)[1]
    assert kubectl("apply", "-f", "-", input=bigger).strip() == "widget.exp.io/gear configured"
    assert kubectl("apply", "--server-side", "-f", "-", input=bigger).strip() == "widget.exp.io/gear serverside-applied"
    assert "scaled" in kubectl("scale", "widget/gear", "--replicas=5")
    kubectl(
        "patch", "wd", "gear", "--subresource=status", "--type=merge", "-p",
        '{"status":{"conditions":[{"type":"Ready","status":"True"}]}}',
    )  # fmt: skip
    assert "condition met" in kubectl("wait", "--for=condition=Ready", "wd/gear", "--timeout=30s")
    assert "condition met" in kubectl("wait", "--for=jsonpath={.spec.size}=5", "wd/gear", "--timeout=30s")
    assert re.search(r"gear +5 +True", kubectl("get", "widgets"))
    assert "How many teeth it has." in kubectl("explain", "widget.spec.size")
    assert re.search(r"Size: +5", kubectl("describe", "widget", "gear"))
    code, said = kubectl.result("apply", "-f", "-", input=WIDGET.replace("size: 2", "size: 99"))
    assert code == 1 and "spec.size: Invalid value: 99" in said
    code, said = kubectl.result("apply", "-f", "-", input=WIDGET.replace("size: 2", "size: 2, sise: 3"))
    assert code == 1 and 'unknown field "spec.sise"' in said
    assert "deleted" in kubectl("delete", "widget", "gear")
    assert "deleted" in kubectl("delete", "crd", "widgets.exp.io")
    assert kubectl.result("get", "widgets")[0] == 1


def test_changes_are_watched(kubectl: Kubectl) -> None:
    kubectl("create", "-f", "-", input=MANIFEST)
    watching = kubectl.start("get", "configmap", "settings", "-w", "-o", "jsonpath={.data.color}{'\\n'}")
    try:
        assert watching.stdout is not None
        assert watching.stdout.readline() == "red\n"
        kubectl("patch", "configmap", "settings", "-p", '{"data":{"color":"green"}}')
        assert watching.stdout.readline() == "green\n"
    finally:
        watching.kill()
        watching.communicate()
    tabulated = kubectl.start("get", "configmaps", "-w")
    try:
        assert tabulated.stdout is not None
        assert tabulated.stdout.readline().split() == ["NAME", "DATA", "AGE"]
        assert tabulated.stdout.readline().split()[:2] == ["settings", "1"]
        kubectl("patch", "configmap", "settings", "-p", '{"data":{"size":"2"}}')
        assert tabulated.stdout.readline().split()[:2] == ["settings", "2"]
    finally:
        tabulated.kill()
        tabulated.communicate()


def test_deletion_waits_and_cascades(kubectl: Kubectl, server: Server) -> None:
    kubectl("create", "-f", "-", input=MANIFEST)
    kubectl("patch", "cm", "settings", "-p", '{"metadata":{"finalizers":["example.com/hold"]}}')
    deleting = kubectl.start("delete", "cm", "settings", "--timeout=60s")
    waiting = kubectl.start("wait", "--for=delete", "cm/settings", "--timeout=60s")

    async def let_go() -> None:
        async with server.session() as session, asyncio.timeout(30):
            api = Api(session)
            while "deletionTimestamp" not in (await api.get(f"{DEFAULT}/configmaps/settings")).ok()["metadata"]:
                await asyncio.sleep(0.02)
            (await api.patch(f"{DEFAULT}/configmaps/settings", {"metadata": {"finalizers": None}})).ok()

    asyncio.run(let_go())
    assert 'configmap "settings" deleted' in deleting.communicate(timeout=60)[0]
    waiting.communicate(timeout=60)
    assert waiting.returncode == 0
    assert "deleted" in kubectl("delete", "deployment", "web", "--cascade=orphan", "--wait=false")
    finalizers = kubectl("get", "deployment", "web", "-o", "jsonpath={.metadata.finalizers}")
    assert finalizers == '["orphan"]'
    kubectl("patch", "deployment", "web", "--type=merge", "-p", '{"metadata":{"finalizers":null}}')


def test_pods_logs_and_events(kubectl: Kubectl, server: Server) -> None:
    async def run_pod() -> None:
        async with server.session() as session:
            api = Api(session)
            made = (await api.create(f"{DEFAULT}/pods", pod("one"))).ok()
            (await api.create(f"{DEFAULT}/pods/one/binding", {"target": {"name": "n1"}})).ok()
            about = {"kind": "Pod", "name": "one", "namespace": "default", "uid": made["metadata"]["uid"]}
            body = {
                "metadata": {"name": "one.1"},
                "involvedObject": about,
                "reason": "Pulled",
                "message": "it is there",
                "type": "Normal",
                "source": {"component": "kubelet"},
                "firstTimestamp": "2026-01-01T00:00:00Z",
                "lastTimestamp": "2026-01-01T00:00:00Z",
                "count": 1,
            }
            await api.create(f"{DEFAULT}/events", body)

    asyncio.run(run_pod())
    described = kubectl("describe", "pod", "one")
    assert "it is there" in described and re.search(r"Node: +n1", described)
    assert "it is there" in kubectl("get", "events")
    assert "it is there" in kubectl("events")
    code, said = kubectl.result("logs", "one")
    assert code == 1 and "no node" in said
    assert kubectl("get", "pods", "-o", "wide").splitlines()[1].split()[6] == "n1"
    assert "deleted" in kubectl("delete", "pod", "one", "--force", "--grace-period=0")


def test_typed_bodies_in_protobuf_are_refused_in_words(kubectl: Kubectl) -> None:
    code, said = kubectl.result("create", "configmap", "typed", "--from-literal=a=b")
    if kubectl.version in ("1.32", "1.33"):
        assert code == 1 and "application/json" in said
    else:
        assert code == 0 and "created" in said


def test_the_home_of_kubectl_is_left_alone(kubectl: Kubectl, server: Server) -> None:
    kubectl("get", "ns")
    assert not (Path(server.home) / ".kube").exists()
