"""How a model comes to its server (reference of the KServe control plane, section 3.4)."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference_objects import custom, isvc, model
from mizzen.control.inference.config import Config, parse_config
from mizzen.control.inference.storage import (
    READONLY_ANNOTATION,
    SOURCE_ANNOTATION,
    StorageError,
    source_uri,
    with_model,
)

AGENT = "internal.serving.kserve.io/agent"
INITIALIZER = {
    "name": "storage-initializer",
    "image": "kserve/storage-initializer:latest",
    "args": ["https://models/iris", "/mnt/models"],
    "resources": {
        "limits": {"cpu": "1", "memory": "1Gi"},
        "requests": {"cpu": "100m", "memory": "100Mi"},
    },
    "terminationMessagePolicy": "FallbackToLogsOnError",
    "volumeMounts": [{"name": "kserve-provision-location", "mountPath": "/mnt/models"}],
}
DOWNLOADED = {"name": "kserve-provision-location", "mountPath": "/mnt/models", "readOnly": True}


def pod(uri="https://models/iris", *names, annotations=None, **spec):
    written = {SOURCE_ANNOTATION: uri} if uri else {}
    containers = [{"name": name, "image": "i"} for name in names or ("kserve-container",)]
    return {
        "metadata": {"annotations": written | (annotations or {})},
        "spec": {"containers": containers} | spec,
    }


def mounts(found):
    return {container["name"]: container.get("volumeMounts", []) for container in found["spec"]["containers"]}


def test_a_model_is_downloaded_before_its_server_starts():
    found = with_model(pod(volumes=[{"name": "own", "emptyDir": {}}]), Config())["spec"]
    assert found["initContainers"] == [INITIALIZER]
    assert found["volumes"] == [{"name": "own", "emptyDir": {}}, {"name": "kserve-provision-location", "emptyDir": {}}]
    assert found["containers"] == [{"name": "kserve-container", "image": "i", "volumeMounts": [DOWNLOADED]}]


def test_the_users_init_containers_come_first():
    own = {"name": "own", "image": "o"}
    found = with_model(pod(initContainers=[own]), Config())["spec"]
    assert [container["name"] for container in found["initContainers"]] == ["own", "storage-initializer"]


def test_image_and_resources_are_the_config_maps():
    settings = '{"image": "mine:1", "cpuRequest": "1m", "cpuLimit": "2m", "memoryRequest": "1Mi", "memoryLimit": "2Mi"}'
    found = with_model(pod(), parse_config({"storageInitializer": settings}))["spec"]["initContainers"][0]
    assert found["image"] == "mine:1"
    assert found["resources"] == {
        "limits": {"cpu": "2m", "memory": "2Mi"},
        "requests": {"cpu": "1m", "memory": "1Mi"},
    }


@pytest.mark.parametrize(
    ("uri", "claim", "path"),
    [("pvc://claim", "claim", None), ("pvc://claim/", "claim", None), ("pvc://claim/a/b", "claim", "a/b")],
)
def test_a_claim_is_mounted(uri, claim, path):
    found = with_model(pod(uri), Config())
    volume = {"name": "kserve-pvc-source", "persistentVolumeClaim": {"claimName": claim}}
    assert found["spec"]["volumes"] == [volume]
    assert "initContainers" not in found["spec"]
    mount = {"name": "kserve-pvc-source", "mountPath": "/mnt/models", "readOnly": True}
    assert mounts(found) == {"kserve-container": [mount | ({"subPath": path} if path else {})]}


@pytest.mark.parametrize(("annotated", "readonly"), [("false", False), ("true", True), ("nonsense", True)])
def test_a_model_is_read_only_unless_annotated(annotated, readonly):
    for uri in ("pvc://claim", "gs://b/m"):
        found = with_model(pod(uri, annotations={READONLY_ANNOTATION: annotated}), Config())
        assert mounts(found)["kserve-container"][0]["readOnly"] is readonly
    assert "readOnly" not in found["spec"]["initContainers"][0]["volumeMounts"][0]


@pytest.mark.parametrize(
    ("names", "with_mount"),
    [
        (["kserve-container", "other"], {"kserve-container"}),
        (["kserve-container", "transformer-container"], {"kserve-container", "transformer-container"}),
        (["worker-container"], {"worker-container"}),
        (["worker-container", "transformer-container"], {"worker-container", "transformer-container"}),
        (["kserve-container", "worker-container"], {"kserve-container"}),
    ],
)
def test_who_gets_the_model(names, with_mount):
    found = with_model(pod("gs://b/m", *names), Config())
    assert {name for name, mounted in mounts(found).items() if mounted} == with_mount


@pytest.mark.parametrize("names", [["other"], ["transformer-container"]])
def test_nobody_there_to_get_the_model(names):
    with pytest.raises(StorageError, match=r"gs://b/m.*kserve-container"):
        with_model(pod("gs://b/m", *names), Config())


def test_a_mount_of_the_users_at_the_models_place_gives_way():
    found = pod()
    found["spec"]["containers"][0]["volumeMounts"] = [
        {"name": "own", "mountPath": "/mnt/models"},
        {"name": "own", "mountPath": "/own"},
    ]
    assert mounts(with_model(found, Config()))["kserve-container"] == [{"name": "own", "mountPath": "/own"}, DOWNLOADED]


def test_a_server_that_reads_its_variable_finds_the_model():
    found = pod("gs://b/m", "kserve-container", "other")
    for container in found["spec"]["containers"]:
        container["env"] = [{"name": "STORAGE_URI", "value": "gs://b/m"}, {"name": "A", "value": "1"}]
    containers = with_model(found, Config())["spec"]["containers"]
    assert containers[0]["env"] == [{"name": "STORAGE_URI", "value": "/mnt/models"}, {"name": "A", "value": "1"}]
    assert containers[1]["env"][0]["value"] == "gs://b/m"


@pytest.mark.parametrize("value", [{"value": ""}, {"valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}, {}])
def test_a_variable_without_a_value_stays(value):
    found = pod()
    found["spec"]["containers"][0]["env"] = [{"name": "STORAGE_URI"} | value]
    assert with_model(found, Config())["spec"]["containers"][0]["env"] == [{"name": "STORAGE_URI"} | value]


@pytest.mark.parametrize(
    "found",
    [
        pytest.param(pod(""), id="no source"),
        pytest.param(pod(annotations={AGENT: "true"}), id="the agent brings it"),
        pytest.param(pod(initContainers=[{"name": "storage-initializer", "image": "mine"}]), id="one is there"),
        pytest.param(pod("oci://registry/model:1"), id="an image"),
        pytest.param(pod("oci+native://registry/model:1"), id="an image volume"),
        pytest.param({"metadata": {}, "spec": {"containers": []}}, id="no annotations"),
    ],
)
def test_pods_that_stay_as_they_are(found):
    assert with_model(found, Config()) is found


def test_a_path_that_begins_like_an_image_is_a_path():
    assert "initContainers" in with_model(pod("ocimodels/iris"), Config())["spec"]


NAMES = st.lists(
    st.sampled_from(["kserve-container", "transformer-container", "other"]), min_size=1, max_size=3, unique=True
).filter(lambda names: "kserve-container" in names)


@given(st.sampled_from(["gs://b/m", "pvc://c/m", "file:///m", "/m", "oci://i"]), NAMES, st.booleans())
def test_admission_may_call_twice(uri, names, readonly):
    written = pod(uri, *names, annotations={READONLY_ANNOTATION: str(readonly).lower()})
    before = copy.deepcopy(written)
    once = with_model(written, Config())
    assert with_model(once, Config()) == once
    assert written == before


@pytest.mark.parametrize(
    "uri",
    [
        *(f"{scheme}://x/y" for scheme in ("gs", "s3", "pvc", "https", "http", "hdfs", "webhdfs", "oci", "hf")),
        "file:///x/y",
        "oci+native://x/y",
        "oci+fetch://x/y",
        "/x/y",
        "x/y",
        "",
        "https://account.blob.core.windows.net/container/model",
    ],
)
def test_known_sources(uri):
    assert source_uri(isvc(predictor=model(uri=uri)).spec.predictor) == uri
    container = {"image": "i", "env": [{"name": "STORAGE_URI", "value": uri}]}
    assert source_uri(isvc(predictor=custom(container)).spec.predictor) == uri


@pytest.mark.parametrize(
    ("predictor", "field"),
    [
        (model(uri="ftp://x/y"), "spec.predictor.model.storageUri"),
        (custom({"image": "i", "env": [{"name": "STORAGE_URI", "value": "ftp://x/y"}]}), "STORAGE_URI"),
    ],
)
def test_a_source_that_nobody_knows(predictor, field):
    with pytest.raises(StorageError) as caught:
        source_uri(isvc(predictor=predictor).spec.predictor)
    assert field in str(caught.value)
    assert "ftp://x/y" in str(caught.value)
