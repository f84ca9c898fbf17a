"""Pods and templates: what is filled in, what is refused, what may still change."""

from __future__ import annotations

from typing import Any

import pytest

from api_client import APPS, CORE, DEFAULT, STRATEGIC, TABLE, Api, deployment, pod

PODS = f"{DEFAULT}/pods"


def container(**fields: Any) -> dict[str, Any]:
    return {"name": "main", "image": "example.com/app:1", **fields}


async def test_a_bare_pod_is_completed(api: Api) -> None:
    made = (await api.create(PODS, pod("p"))).ok()
    assert made["spec"] == {
        "containers": [
            {
                "name": "main",
                "image": "example.com/app:1",
                "imagePullPolicy": "IfNotPresent",
                "resources": {},
                "terminationMessagePath": "/dev/termination-log",
                "terminationMessagePolicy": "File",
            }
        ],
        "dnsPolicy": "ClusterFirst",
        "enableServiceLinks": True,
        "restartPolicy": "Always",
        "schedulerName": "default-scheduler",
        "securityContext": {},
        "serviceAccount": "default",
        "serviceAccountName": "default",
        "terminationGracePeriodSeconds": 30,
    }
    assert made["status"] == {"phase": "Pending", "qosClass": "BestEffort"}
    assert made["metadata"]["generation"] == 1


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"image": "app"}, {"imagePullPolicy": "Always"}),
        ({"image": "example.com:5000/app"}, {"imagePullPolicy": "Always"}),
        ({"image": "app:latest"}, {"imagePullPolicy": "Always"}),
        ({"image": "app@sha256:" + "0" * 64}, {"imagePullPolicy": "IfNotPresent"}),
        ({"imagePullPolicy": "Never"}, {"imagePullPolicy": "Never"}),
        ({"imagePullPolicy": ""}, {"imagePullPolicy": "IfNotPresent"}),
        ({"ports": [{"containerPort": 80}]}, {"ports": [{"containerPort": 80, "protocol": "TCP"}]}),
        (
            {"resources": {"limits": {"cpu": 0.1, "memory": "1024Mi"}}},
            {"resources": {"limits": {"cpu": "100m", "memory": "1Gi"}, "requests": {"cpu": "100m", "memory": "1Gi"}}},
        ),
        (
            {"readinessProbe": {"httpGet": {"port": 80}}},
            {
                "readinessProbe": {
                    "httpGet": {"port": 80, "path": "/", "scheme": "HTTP"},
                    "timeoutSeconds": 1,
                    "periodSeconds": 10,
                    "successThreshold": 1,
                    "failureThreshold": 3,
                }
            },
        ),
        (
            {"livenessProbe": {"grpc": {"port": 80}, "periodSeconds": 3, "initialDelaySeconds": 0}},
            {
                "livenessProbe": {
                    "grpc": {"port": 80, "service": ""},
                    "timeoutSeconds": 1,
                    "initialDelaySeconds": 0,
                    "periodSeconds": 3,
                    "successThreshold": 1,
                    "failureThreshold": 3,
                }
            },
        ),
        (
            {"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]},
            {"env": [{"name": "A", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}}]},
        ),
        (
            {"env": [{"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}}]},
            {"env": [{"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "0"}}}]},
        ),
        # A name may stand twice in env: the last one counts.
        ({"env": [{"name": "A"}, {"name": "A"}]}, {"env": [{"name": "A"}, {"name": "A"}]}),
    ],
)
async def test_containers_are_completed(api: Api, given: Any, expected: Any) -> None:
    made = (await api.create(PODS, pod("p", containers=[container(**given)]))).ok()
    found = made["spec"]["containers"][0]
    assert {key: found[key] for key in expected} == expected


@pytest.mark.parametrize(
    ("volume", "expected"),
    [
        ({}, {"emptyDir": {}}),
        ({"emptyDir": {"sizeLimit": "0.5Gi"}}, {"emptyDir": {"sizeLimit": "512Mi"}}),
        ({"configMap": {"name": "c"}}, {"configMap": {"name": "c", "defaultMode": 420}}),
        ({"secret": {"secretName": "s", "defaultMode": 0}}, {"secret": {"secretName": "s", "defaultMode": 0}}),
        ({"hostPath": {"path": "/x"}}, {"hostPath": {"path": "/x", "type": ""}}),
        (
            {"projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}},
            {
                "projected": {
                    "sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 3600}}],
                    "defaultMode": 420,
                }
            },
        ),
    ],
)
async def test_volumes_are_completed(api: Api, volume: Any, expected: Any) -> None:
    made = (await api.create(PODS, pod("p", volumes=[{"name": "v", **volume}]))).ok()
    assert made["spec"]["volumes"] == [{"name": "v", **expected}]


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ({}, "BestEffort"),
        ({"requests": {"cpu": "1"}}, "Burstable"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}}, "Guaranteed"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}}, "Burstable"),
        ({"limits": {"cpu": "1"}}, "Burstable"),
        ({"requests": {"ephemeral-storage": "1Gi"}}, "BestEffort"),
    ],
)
async def test_the_quality_of_service(api: Api, resources: Any, expected: str) -> None:
    made = (await api.create(PODS, pod("p", containers=[container(resources=resources)]))).ok()
    assert made["status"]["qosClass"] == expected


@pytest.mark.parametrize(
    ("spec", "field", "reason"),
    [
        ({"containers": []}, "spec.containers", "FieldValueRequired"),
        ({"containers": [{"name": "a"}]}, "spec.containers[0].image", "FieldValueRequired"),
        ({"containers": [{"image": "a"}]}, "spec.containers[0].name", "FieldValueRequired"),
        ({"containers": [container(image=" a")]}, "spec.containers[0].image", "FieldValueInvalid"),
        ({"containers": [container(name="A")]}, "spec.containers[0].name", "FieldValueInvalid"),
        ({"containers": [container(), container()]}, "spec.containers[1].name", "FieldValueDuplicate"),
        ({"initContainers": [container()]}, "spec.containers[0].name", "FieldValueDuplicate"),
        ({"restartPolicy": "Maybe"}, "spec.restartPolicy", "FieldValueNotSupported"),
        ({"dnsPolicy": "Mine"}, "spec.dnsPolicy", "FieldValueNotSupported"),
        ({"terminationGracePeriodSeconds": -1}, "spec.terminationGracePeriodSeconds", "FieldValueInvalid"),
        ({"activeDeadlineSeconds": 0}, "spec.activeDeadlineSeconds", "FieldValueInvalid"),
        ({"volumes": [{"name": "v"}, {"name": "v"}]}, "spec.volumes[1].name", "FieldValueDuplicate"),
        (
            {"volumes": [{"name": "v", "emptyDir": {}, "hostPath": {"path": "/"}}]},
            "spec.volumes[0].hostPath",
            "FieldValueForbidden",
        ),
        (
            {"containers": [container(volumeMounts=[{"name": "v", "mountPath": "/x"}])]},
            "spec.containers[0].volumeMounts[0].name",
            "FieldValueNotFound",
        ),
        (
            {
                "volumes": [{"name": "v"}],
                "containers": [container(volumeMounts=[{"name": "v", "mountPath": "/x"}] * 2)],
            },
            "spec.containers[0].volumeMounts[1].mountPath",
            "FieldValueInvalid",
        ),
        (
            {"containers": [container(ports=[{"containerPort": 0}])]},
            "spec.containers[0].ports[0].containerPort",
            "FieldValueInvalid",
        ),
        (
            {"containers": [container(ports=[{"containerPort": 65536}])]},
            "spec.containers[0].ports[0].containerPort",
            "FieldValueInvalid",
        ),
        (
            {"containers": [container(ports=[{"containerPort": 1, "protocol": "SPX"}])]},
            "spec.containers[0].ports[0].protocol",
            "FieldValueNotSupported",
        ),
        (
            {"containers": [container(ports=[{"containerPort": 1, "name": "a"}, {"containerPort": 2, "name": "a"}])]},
            "spec.containers[0].ports[1].name",
            "FieldValueDuplicate",
        ),
        (
            {"containers": [container(env=[{"name": "A=B"}])]},
            "spec.containers[0].env[0].name",
            "FieldValueInvalid",
        ),
        (
            {
                "containers": [
                    container(env=[{"name": "A", "value": "x", "valueFrom": {"fieldRef": {"fieldPath": "x"}}}])
                ]
            },
            "spec.containers[0].env[0].valueFrom",
            "FieldValueInvalid",
        ),
        (
            {"containers": [container(resources={"limits": {"cpu": "1"}, "requests": {"cpu": "2"}})]},
            "spec.containers[0].resources.requests",
            "FieldValueInvalid",
        ),
        (
            {"containers": [container(resources={"limits": {"cpu": "-1"}})]},
            "spec.containers[0].resources.limits.cpu",
            "FieldValueInvalid",
        ),
        ({"containers": [container(livenessProbe={})]}, "spec.containers[0].livenessProbe", "FieldValueRequired"),
        (
            {"containers": [container(livenessProbe={"exec": {"command": ["x"]}, "tcpSocket": {"port": 1}})]},
            "spec.containers[0].livenessProbe.tcpSocket",
            "FieldValueForbidden",
        ),
        (
            {"containers": [container(livenessProbe={"tcpSocket": {"port": 1}, "successThreshold": 2})]},
            "spec.containers[0].livenessProbe.successThreshold",
            "FieldValueInvalid",
        ),
        (
            {"containers": [container(livenessProbe={"httpGet": {"port": 0}})]},
            "spec.containers[0].livenessProbe.httpGet.port",
            "FieldValueInvalid",
        ),
    ],
)
async def test_pods_that_cannot_run_are_refused(api: Api, spec: Any, field: str, reason: str) -> None:
    answer = await api.create(PODS, pod("p", **spec))
    assert answer.code == 422, answer.text
    assert (field, reason) in answer.fields
    body = deployment("d")
    body["spec"]["template"]["spec"] |= spec
    within = await api.create(f"{APPS}/deployments", body)
    assert (field.replace("spec.", "spec.template.spec.", 1), reason) in within.fields


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ({"containers": "none"}, "containers"),
        ({"containers": [container(ports=[{"containerPort": "80"}])]}, "containerPort"),
        ({"containers": [container(resources={"limits": {"cpu": "lots"}})]}, "lots"),
        ({"hostNetwork": "yes"}, "hostNetwork"),
        ({"nodeSelector": {"a": 1}}, "nodeSelector"),
    ],
)
async def test_a_wrong_type_is_a_malformed_request(api: Api, spec: Any, text: str) -> None:
    answer = await api.create(PODS, pod("p", **spec))
    assert (answer.code, answer.reason) == (400, "BadRequest")
    assert text in answer.message


async def test_of_a_pods_spec_little_can_be_changed(api: Api) -> None:
    path = f"{PODS}/p"
    await api.create(PODS, pod("p", tolerations=[{"key": "a", "operator": "Exists"}]))
    image = {"spec": {"containers": [{"name": "main", "image": "example.com/app:2"}]}}
    assert (await api.patch(path, image, STRATEGIC)).ok()["metadata"]["generation"] == 2
    assert (await api.patch(path, {"metadata": {"labels": {"a": "b"}}})).ok()["metadata"]["generation"] == 2
    assert (await api.patch(path, {"spec": {"activeDeadlineSeconds": 5}})).ok()
    more = {"spec": {"tolerations": [{"key": "a", "operator": "Exists"}, {"key": "b", "operator": "Exists"}]}}
    assert (await api.patch(path, more)).ok()
    assert (await api.patch(path, {"spec": {"tolerations": []}})).fields == [("spec.tolerations", "FieldValueInvalid")]
    for change in ({"nodeName": "n1"}, {"restartPolicy": "Never"}, {"containers": [container(command=["x"])]}):
        refused = await api.patch(path, {"spec": change})
        assert refused.fields == [("spec", "FieldValueForbidden")], change


async def test_a_pod_is_bound_once(api: Api) -> None:
    made = (await api.create(PODS, pod("p"))).ok()
    nobody = await api.create(f"{PODS}/p/binding", {"target": {}})
    assert nobody.fields == [("target.name", "FieldValueRequired")]
    assert (await api.create(f"{PODS}/absent/binding", {"target": {"name": "n1"}})).code == 404
    bound = await api.create(f"{PODS}/p/binding", {"kind": "Binding", "target": {"kind": "Node", "name": "n1"}})
    assert (bound.code, bound["status"]) == (201, "Success")
    found = (await api.get(f"{PODS}/p")).ok()
    assert found["spec"]["nodeName"] == "n1"
    assert found["metadata"]["generation"] == made["metadata"]["generation"]
    (condition,) = found["status"]["conditions"]
    assert (condition["type"], condition["status"]) == ("PodScheduled", "True")
    again = await api.create(f"{PODS}/p/binding", {"target": {"name": "n2"}})
    assert (again.code, again.reason) == (409, "Conflict")
    assert 'already assigned to node "n1"' in again.message


@pytest.mark.parametrize(
    ("status", "ready", "word", "restarts"),
    [
        ({"phase": "Pending"}, "0/1", "Pending", "0"),
        (
            {"phase": "Pending", "containerStatuses": [{"state": {"waiting": {"reason": "ErrImagePull"}}}]},
            "0/1",
            "ErrImagePull",
            "0",
        ),
        (
            {"phase": "Running", "containerStatuses": [{"ready": True, "state": {"running": {}}, "restartCount": 2}]},
            "1/1",
            "Running",
            "2",
        ),
        (
            {
                "phase": "Running",
                "containerStatuses": [
                    {
                        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                        "restartCount": 3,
                        "lastState": {"terminated": {"exitCode": 1, "finishedAt": "2001-01-01T00:00:00Z"}},
                    }
                ],
            },
            "0/1",
            "CrashLoopBackOff",
            "3 (2",
        ),
        (
            {"phase": "Failed", "containerStatuses": [{"state": {"terminated": {"exitCode": 3}}}]},
            "0/1",
            "ExitCode:3",
            "0",
        ),
        (
            {"phase": "Failed", "containerStatuses": [{"state": {"terminated": {"exitCode": 137, "signal": 9}}}]},
            "0/1",
            "Signal:9",
            "0",
        ),
        (
            {"phase": "Succeeded", "containerStatuses": [{"state": {"terminated": {"reason": "Completed"}}}]},
            "0/1",
            "Completed",
            "0",
        ),
        (
            {"phase": "Pending", "initContainerStatuses": [{"state": {"running": {}}}]},
            "0/1",
            "Init:0/1",
            "0",
        ),
        (
            {
                "phase": "Pending",
                "initContainerStatuses": [{"state": {"terminated": {"exitCode": 1, "reason": "Error"}}}],
            },
            "0/1",
            "Init:Error",
            "0",
        ),
        ({"phase": "Failed", "reason": "Evicted"}, "0/1", "Evicted", "0"),
    ],
)
async def test_a_pod_in_a_table(api: Api, status: Any, ready: str, word: str, restarts: str) -> None:
    await api.create(PODS, pod("p", initContainers=[container(name="init")]))
    (await api.patch(f"{PODS}/p/status", {"status": status})).ok()
    table = (await api.get(f"{CORE}/pods", Accept=TABLE)).ok()
    cells = table["rows"][0]["cells"]
    assert cells[:3] == ["p", ready, word]
    assert cells[3].startswith(restarts)


async def test_a_pod_that_ends_says_so(api: Api) -> None:
    await api.create(PODS, pod("p"))
    await api.create(f"{PODS}/p/binding", {"target": {"name": "n1"}})
    await api.delete(f"{PODS}/p")
    table = (await api.get(f"{PODS}/p", Accept=TABLE)).ok()
    assert table["rows"][0]["cells"][2] == "Terminating"
    assert [column["name"] for column in table["columnDefinitions"]][5:] == [
        "IP",
        "Node",
        "Nominated Node",
        "Readiness Gates",
    ]
    assert table["rows"][0]["cells"][5:] == ["<none>", "n1", "<none>", "<none>"]
