"""A runtime's pod with the predictor's wishes laid over it (reference of the KServe control plane, section 2.4)."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference_objects import custom, isvc, model, model_format, runtime
from mizzen.control.inference.podspec import PodSpecError, merged_container, predictor_pod
from mizzen.control.inference.runtimes import select

NAME_ENV = {"name": "INFERENCE_SERVICE_NAME", "value": "iris"}


def pod(predictor=None, *, labels=None, **runtime_fields):
    """The pod of a model on a runtime with the given spec."""
    service = isvc(predictor=predictor or model(), labels=labels)
    found = runtime(runtime_fields.pop("name", "mine"), model_format(), **runtime_fields)
    return predictor_pod(service.spec.predictor, service.metadata, select(service.spec.predictor, [], [found]))


def server(**fields):
    return {"name": "kserve-container", "image": "k:1"} | fields


def names(items):
    return [item["name"] for item in items]


def test_a_runtime_alone():
    found = pod(containers=[server(args=["--model_name={{.Name}}"])])
    assert found == {
        "automountServiceAccountToken": False,
        "containers": [{"name": "kserve-container", "image": "k:1", "args": ["--model_name=iris"], "env": [NAME_ENV]}],
    }


@pytest.mark.parametrize(
    ("base", "patch", "merged"),
    [
        pytest.param({"args": ["a"]}, {"args": ["b"]}, {"args": ["a", "b"]}, id="arguments are appended"),
        pytest.param({}, {"args": ["b"]}, {"args": ["b"]}, id="arguments of the model alone"),
        pytest.param({"args": ["a"]}, {}, {"args": ["a"]}, id="arguments of the runtime alone"),
        pytest.param({"command": ["a", "b"]}, {"command": ["c"]}, {"command": ["c"]}, id="a command is replaced"),
        pytest.param({"name": "k"}, {"name": ""}, {"name": "k"}, id="an empty name changes nothing"),
        pytest.param({"image": "a"}, {"image": "b"}, {"image": "b"}, id="an image is replaced"),
        pytest.param(
            {"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]},
            {"env": [{"name": "B", "value": "3"}, {"name": "C", "value": "4"}]},
            {"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "3"}, {"name": "C", "value": "4"}]},
            id="variables merge by name",
        ),
        pytest.param(
            {"env": [{"name": "A", "value": "1"}]},
            {"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]},
            {"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]},
            id="a variable from elsewhere drops its old value",
        ),
        pytest.param(
            {"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]},
            {"env": [{"name": "A", "value": "1"}]},
            {"env": [{"name": "A", "value": "1"}]},
            id="a plain variable drops its old source",
        ),
        pytest.param(
            {"ports": [{"containerPort": 8080, "name": "http"}]},
            {"ports": [{"containerPort": 8080, "protocol": "TCP"}]},
            {"ports": [{"containerPort": 8080, "name": "http", "protocol": "TCP"}]},
            id="ports merge by number",
        ),
        pytest.param(
            {"volumeMounts": [{"name": "a", "mountPath": "/a"}]},
            {"volumeMounts": [{"name": "b", "mountPath": "/a"}]},
            {"volumeMounts": [{"name": "b", "mountPath": "/a"}]},
            id="mounts merge by path",
        ),
        pytest.param(
            {"resources": {"limits": {"cpu": "1", "memory": "2Gi"}, "requests": {"cpu": "1"}}},
            {"resources": {"limits": {"cpu": "2"}}},
            {"resources": {"limits": {"cpu": "2", "memory": "2Gi"}, "requests": {"cpu": "1"}}},
            id="resources merge one by one",
        ),
        pytest.param(
            {"readinessProbe": {"httpGet": {"path": "/", "port": 1}, "periodSeconds": 5}},
            {"readinessProbe": {"periodSeconds": 1}},
            {"readinessProbe": {"httpGet": {"path": "/", "port": 1}, "periodSeconds": 1}},
            id="a probe merges field by field",
        ),
        pytest.param(
            {"securityContext": {"capabilities": {"drop": ["ALL"]}, "runAsUser": 1}},
            {"securityContext": {"capabilities": {"drop": []}}},
            {"securityContext": {"capabilities": {"drop": []}, "runAsUser": 1}},
            id="a plain list is replaced",
        ),
    ],
)
def test_merging_containers(base, patch, merged):
    before = copy.deepcopy((base, patch))
    found = merged_container(base, patch)
    assert {key: sorted(v, key=str) if key == "env" else v for key, v in found.items()} == {
        key: sorted(v, key=str) if key == "env" else v for key, v in merged.items()
    }
    assert (base, patch) == before


def test_the_pods_fields_merge_and_tolerations_are_replaced():
    found = pod(
        model(
            predictor={
                "nodeSelector": {"b": "mine", "c": "mine"},
                "tolerations": [{"key": "mine"}],
                "imagePullSecrets": [{"name": "mine"}],
                "volumes": [{"name": "mine", "emptyDir": {}}],
                "serviceAccountName": "me",
                "affinity": {"nodeAffinity": {}},
            }
        ),
        nodeSelector={"a": "theirs", "b": "theirs"},
        tolerations=[{"key": "theirs"}],
        imagePullSecrets=[{"name": "theirs"}],
        volumes=[{"name": "theirs", "emptyDir": {}}],
        schedulerName="theirs",
        affinity={"podAffinity": {}},
        hostIPC=True,
    )
    assert found["nodeSelector"] == {"a": "theirs", "b": "mine", "c": "mine"}
    assert found["tolerations"] == [{"key": "mine"}]
    assert sorted(names(found["imagePullSecrets"])) == ["mine", "theirs"]
    assert sorted(names(found["volumes"])) == ["mine", "theirs"]
    assert found["schedulerName"] == "theirs"
    assert found["serviceAccountName"] == "me"
    assert found["affinity"] == {"nodeAffinity": {}, "podAffinity": {}}
    assert "hostIPC" not in found


def test_the_order_of_the_containers():
    found = pod(
        model(
            predictor={
                "containers": [
                    {"name": "mine", "image": "m"},
                    {"name": "transformer-container", "args": ["--mine"], "image": "t:2"},
                ]
            }
        ),
        containers=[
            {"name": "theirs", "image": "o"},
            {"name": "transformer-container", "image": "t:1", "args": ["--theirs={{.Name}}"]},
            server(),
        ],
    )
    assert names(found["containers"]) == ["kserve-container", "transformer-container", "theirs", "mine"]
    assert found["containers"][1]["image"] == "t:2"
    assert found["containers"][1]["args"] == ["--theirs=iris", "--mine"]
    assert all(NAME_ENV in container["env"] for container in found["containers"])


@pytest.mark.parametrize("of_runtime", [True, False])
def test_a_transformer_beside_from_one_side(of_runtime):
    transformer = {"name": "transformer-container", "image": "t:1"}
    theirs = {"containers": [server(), transformer]} if of_runtime else {"containers": [server()]}
    mine = {} if of_runtime else {"containers": [transformer]}
    found = pod(model(predictor=mine), **theirs)
    assert names(found["containers"]) == ["kserve-container", "transformer-container"]
    assert found["containers"][1]["image"] == "t:1"


def test_only_server_and_transformer_have_placeholders():
    text = "{{.Name}}.{{.Namespace}}.{{.Labels.team}}.{{.Annotations.modelFormat}}.{{.Labels.absent}}"
    found = pod(
        labels={"team": "a"},
        containers=[server(env=[{"name": "T", "value": text}]), {"name": "other", "image": "o", "args": ["{{.Name}}"]}],
    )
    assert found["containers"][0]["env"][0]["value"] == "iris.default.a.sklearn.<no value>"
    assert found["containers"][1]["args"] == ["{{.Name}}"]


def test_a_placeholder_that_is_not_understood():
    with pytest.raises(PodSpecError, match=r"kserve-container.*if \.Name"):
        pod(containers=[server(args=["{{if .Name}}"])])


def test_a_runtime_without_a_server():
    with pytest.raises(PodSpecError, match=r"runtime mine has no container named kserve-container.*it has: a, b"):
        pod(containers=[{"name": "a", "image": "a"}, {"name": "b", "image": "b"}])


GPU = {"limits": {"nvidia.com/gpu": "1"}}
MIG = {"limits": {"nvidia.com/mig-1g.5gb": "1"}}


@pytest.mark.parametrize(
    ("runtime_name", "image", "fields", "tagged"),
    [
        ("mine", "k:1", {"runtimeVersion": "2"}, "k:2"),
        ("mine", "k", {"runtimeVersion": "2"}, "k:2"),
        ("mine", "localhost:5000/a/k", {"runtimeVersion": "2"}, "localhost:5000/a/k:2"),
        ("mine", "localhost:5000/a/k:1", {"runtimeVersion": "2"}, "localhost:5000/a/k:2"),
        ("mine", "k@sha256:0123", {"runtimeVersion": "2"}, "k@sha256:0123"),
        ("mine", "k:1@sha256:0123", {"runtimeVersion": "2"}, "k:1@sha256:0123"),
        ("mine", "k:1", {"resources": GPU}, "k:1"),
        ("kserve-tensorflow-serving", "t:1", {"resources": GPU}, "t:1-gpu"),
        ("kserve-torchserve", "t:1", {"resources": MIG}, "t:1-gpu"),
        ("kserve-huggingfaceserver", "h:1-gpu", {"resources": GPU}, "h:1-gpu"),
        ("kserve-huggingfaceserver", "h:1", {"resources": {"requests": GPU["limits"]}}, "h:1"),
        ("kserve-huggingfaceserver", "h:1", {"resources": {"limits": {"amd.com/gpu": 1}}}, "h:1"),
        # A version that the user names is taken as it is named.
        ("kserve-tensorflow-serving", "t:1", {"resources": GPU, "runtimeVersion": "2"}, "t:2"),
        ("kserve-tritonserver", "t:1", {"resources": GPU}, "t:1"),
        ("kserve-vllmserver", "vllm/vllm-openai:latest", {}, "vllm/vllm-openai-cpu:latest"),
        ("kserve-vllmserver", "vllm/vllm-openai-cpu:latest", {}, "vllm/vllm-openai-cpu:latest"),
        ("kserve-vllmserver", "vllm/vllm-openai:latest", {"resources": GPU}, "vllm/vllm-openai:latest"),
        ("kserve-vllmserver", "vllm/vllm-openai:latest", {"runtimeVersion": "v1"}, "vllm/vllm-openai:v1"),
        ("mine", "k:1", {"image": "own:3"}, "own:3"),
        ("mine", "k:1", {"image": "own:3", "runtimeVersion": "2"}, "own:2"),
    ],
)
def test_the_tag_of_the_image(runtime_name, image, fields, tagged):
    found = pod(model(runtime=runtime_name, **fields), name=runtime_name, containers=[server(image=image)])
    assert found["containers"][0]["image"] == tagged


def test_a_custom_predictor_is_put_first():
    service = isvc(predictor=custom({"name": "a", "image": "a"}, server(args=["{{.Name}}"]), serviceAccountName="me"))
    found = predictor_pod(service.spec.predictor, service.metadata, None)
    assert names(found["containers"]) == ["kserve-container", "a"]
    assert found["containers"][0]["args"] == ["{{.Name}}"]
    assert found["serviceAccountName"] == "me"
    assert all(container["env"] == [NAME_ENV] for container in found["containers"])


def test_a_custom_predictor_without_a_server():
    service = isvc(predictor=custom({"name": "a", "image": "a"}, {"name": "b", "image": "b"}))
    with pytest.raises(PodSpecError, match=r"no container named kserve-container.*it has: a, b"):
        predictor_pod(service.spec.predictor, service.metadata, None)


def test_the_name_of_the_service_is_said_once():
    found = pod(model(env=[{"name": "INFERENCE_SERVICE_NAME", "value": "other"}]), containers=[server()])
    assert found["containers"][0]["env"] == [NAME_ENV]


def test_neither_service_nor_runtime_is_changed():
    service = isvc(predictor=model(env=[{"name": "A", "value": "1"}], predictor={"containers": [{"name": "x"}]}))
    found = runtime("mine", model_format(), containers=[server(env=[{"name": "B", "value": "2"}]), {"name": "o"}])
    before = copy.deepcopy((service, found))
    predictor_pod(service.spec.predictor, service.metadata, select(service.spec.predictor, [], [found]))
    assert (service, found) == before


ENV = st.lists(
    st.fixed_dictionaries({"name": st.sampled_from("ABC"), "value": st.text(max_size=3)}),
    max_size=3,
    unique_by=lambda entry: entry["name"],
)
CONTAINERS = st.fixed_dictionaries(
    {},
    optional={
        "image": st.sampled_from(["a:1", "b:2"]),
        "env": ENV,
        "args": st.lists(st.sampled_from(["-a", "-b"]), max_size=2),
        "resources": st.fixed_dictionaries(
            {}, optional={"limits": st.dictionaries(st.sampled_from(["cpu"]), st.just(1))}
        ),
    },
)


@given(CONTAINERS, CONTAINERS)
def test_the_patch_wins_and_nothing_else_is_lost(base, patch):
    found = merged_container(base, patch)
    if "image" in patch:
        assert found["image"] == patch["image"]
    assert found.get("args", []) == base.get("args", []) + patch.get("args", [])
    values = {entry["name"]: entry["value"] for entry in found.get("env", [])}
    expected = {entry["name"]: entry["value"] for entry in base.get("env", []) + patch.get("env", [])}
    assert values == expected
    assert len(found.get("env", [])) == len(values)


@given(CONTAINERS)
def test_merging_with_nothing_changes_nothing(container):
    assert merged_container(container, {}) == container
    without_empty = {k: v for k, v in merged_container({}, container).items() if v not in ([], {})}
    assert without_empty == {k: v for k, v in container.items() if v not in ([], {})}
