"""A service that asks for what is not built yet is told which field it is."""

from __future__ import annotations

import importlib

import pytest

from inference_objects import custom, isvc, model
from mizzen.control.inference.support import STORAGE_SCHEMES, ignored, unsupported

CONTAINERS = {"containers": [{"image": "i"}]}


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"transformer": CONTAINERS}, "spec.transformer"),
        ({"explainer": CONTAINERS}, "spec.explainer"),
        ({"canary": [{"predictor": model(), "trafficPercent": 1}]}, "spec.canary"),
        *(
            ({"predictor": model(predictor={name: value})}, f"spec.predictor.{name}")
            for name, value in {
                "canaryTrafficPercent": 0,
                "logger": {"mode": "all"},
                "batcher": {},
                "workerSpec": {},
                "storageUris": [{"uri": "gs://b/m"}],
                "storageContainerName": "mine",
            }.items()
        ),
        ({"predictor": model(storage={"key": "k"})}, "spec.predictor.model.storage"),
        ({"predictor": model(confidential={"enabled": True})}, "spec.predictor.model.confidential"),
        *(
            ({"predictor": model(uri=f"{scheme}://x/y")}, f"spec.predictor.model.storageUri: {scheme}:// is not")
            for scheme in ("pvc", "hdfs", "webhdfs", "modelscope", "oci", "oci+fetch", "oci+modelcar", "ftp")
        ),
        (
            {"predictor": model(uri="https://account.file.core.windows.net/share/model")},
            "spec.predictor.model.storageUri: Azure Files is not",
        ),
        (
            {"predictor": custom({"image": "i", "env": [{"name": "STORAGE_URI", "value": "hdfs://b/m"}]})},
            "spec.predictor.containers: STORAGE_URI",
        ),
    ],
)
def test_the_field_is_named(fields, field):
    found = unsupported(isvc(**fields), "Standard")
    assert len(found) == 1
    assert found[0].startswith(field)


@pytest.mark.parametrize(
    "predictor",
    [
        model(),
        model(uri="file:///models/iris"),
        model(uri="/models/iris"),
        model(uri="models/iris"),
        *(model(uri=f"{scheme}://x/y") for scheme in ("http", "https", "s3", "gs", "hf", "S3")),
        model(uri="https://account.blob.core.windows.net/container/model"),
        model(uri="https://git.example/acme/iris.git"),
        model(uri="https://"),
        model(uri=None),
        custom({"image": "i", "env": [{"name": "STORAGE_URI", "value": "gs://b/m"}]}),
        model(confidential={"enabled": False}),
        custom(),
        model(predictor={"minReplicas": 0, "maxReplicas": 5, "timeout": 5, "containerConcurrency": 1}),
        model(predictor={"deploymentStrategy": {"type": "Recreate"}, "labels": {"a": "b"}}),
    ],
)
def test_what_is_built(predictor):
    assert unsupported(isvc(predictor=predictor, canary=[]), "Standard") == []


def test_what_is_built_is_what_the_storage_fetches():
    fetched = importlib.import_module("mizzen.storage.download")  # the package has a function of this name
    # A path needs no scheme, and nobody makes the volume of a claim.
    assert {*STORAGE_SCHEMES, "", "pvc"} == set(fetched._PROVIDERS)


@pytest.mark.parametrize("mode", ["Knative", "ModelMesh"])
def test_other_modes(mode):
    found = unsupported(isvc(), mode)
    assert len(found) == 1
    assert found[0].startswith("metadata.annotations[serving.kserve.io/deploymentMode]")
    assert mode in found[0]


def test_all_of_it_is_told_at_once():
    found = unsupported(
        isvc(transformer=CONTAINERS, predictor=model(uri="hdfs://b/m", predictor={"batcher": {}})), "Knative"
    )
    assert [sentence.split(":")[0].split(" ")[0] for sentence in found] == [
        "metadata.annotations[serving.kserve.io/deploymentMode]",
        "spec.transformer",
        "spec.predictor.batcher",
        "spec.predictor.model.storageUri",
    ]


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({}, []),
        ({"minReplicas": 3}, []),
        ({"maxReplicas": 0}, []),
        ({"maxReplicas": 1}, []),
        ({"minReplicas": 3, "maxReplicas": 3}, []),
        ({"maxReplicas": 3}, ["spec.predictor.maxReplicas"]),
        ({"scaleTarget": 50, "scaleMetric": "cpu"}, ["spec.predictor.scaleTarget", "spec.predictor.scaleMetric"]),
        ({"autoScaling": {"metrics": []}}, ["spec.predictor.autoScaling"]),
    ],
)
def test_fields_without_effect(fields, found):
    assert ignored(isvc(predictor=model(predictor=fields))) == found
