"""What an installation starts with is itself valid, and KServe's own manifests fit it."""

from __future__ import annotations

import msgspec
import pytest

from admission_path import KINDS, node_of, write
from inference_objects import Shelf, isvc, model, shipped_by_kserve
from mizzen import __version__
from mizzen.apis.crd import resource_schema
from mizzen.apis.schema import builtin
from mizzen.apis.serving.v1alpha1 import ClusterServingRuntime
from mizzen.cluster.apiserver import schema
from mizzen.control.inference.manifests import crds, objects
from mizzen.control.inference.runtimes import select

BUILT_IN = {
    ("v1", "Namespace"): ("", "v1", "Namespace"),
    ("v1", "ConfigMap"): ("", "v1", "ConfigMap"),
    ("networking.k8s.io/v1", "IngressClass"): ("networking.k8s.io", "v1", "IngressClass"),
}


@pytest.mark.parametrize("definition", crds(), ids=lambda found: found["metadata"]["name"])
def test_a_definition_is_structural(definition):
    names = definition["spec"]["names"]
    assert definition["metadata"]["name"] == f"{names['plural']}.{definition['spec']['group']}"
    version = definition["spec"]["versions"][0]
    assert schema.structural_causes(version["schema"]["openAPIV3Schema"], "schema") == []
    node = builtin("apiextensions.k8s.io", "v1", "CustomResourceDefinition")
    assert schema.type_error(definition, node) is None
    assert schema.prune(definition, node) == []


@pytest.mark.parametrize("found", objects(), ids=lambda found: f"{found['kind']}-{found['metadata']['name']}")
def test_a_shipped_object_is_valid(found):
    group, _, _ = found["apiVersion"].rpartition("/")
    known = BUILT_IN.get((found["apiVersion"], found["kind"]))
    node = builtin(*known) if known else node_of(found["kind"], group)
    assert schema.type_error(found, node) is None
    assert schema.prune(found, node) == []
    assert schema.validate(found, node) == []


def test_what_a_shipped_object_needs_comes_before_it():
    place = {(found["kind"], found["metadata"]["name"]): index for index, found in enumerate(objects())}
    for found in objects():
        namespace = found["metadata"].get("namespace")
        if namespace:
            assert place["Namespace", namespace] < place[found["kind"], found["metadata"]["name"]]
    assert place["GatewayClass", "mizzen"] < place["Gateway", "kserve-ingress-gateway"]


def test_images_carry_our_version():
    text = str(objects())
    assert "$VERSION" not in text
    assert f"mizzen/sklearnserver:{__version__}" in text
    assert f"mizzen/storage-initializer:{__version__}" in text


RUNTIMES = {found["metadata"]["name"]: found for found in objects() if found["kind"] == "ClusterServingRuntime"}

# What is left out of KServe's runtimes, and why: TensorRT takes Triton itself, and grpc-v1 is TensorFlow Serving's own.
NOT_SERVED = {
    "kserve-tritonserver": ({"tensorrt"}, set()),
    "kserve-tensorflow-serving": (set(), {"grpc-v1"}),
}
# Arguments and variables that are other than KServe's.
OTHER_ARGUMENTS = {
    "kserve-huggingfaceserver": ["--model_dir=/mnt/models", "--http_port=8080"],
    "kserve-tensorflow-serving": ["--rest_api_timeout_in_ms=60000"],
}


@pytest.mark.skipif(not shipped_by_kserve(), reason="KServe's runtimes are not beside this checkout")
def test_a_runtime_under_kserves_name_is_chosen_and_told_as_kserves_is():
    theirs = {found["metadata"]["name"]: found for found in shipped_by_kserve()}
    shared = RUNTIMES.keys() & theirs.keys()
    assert shared == {name for name in RUNTIMES if name.startswith("kserve-")}
    assert {name for name in RUNTIMES if name not in shared} == {"mizzen-catboostserver", "mizzen-pytorchserver"}
    for name in shared:
        ours, known = RUNTIMES[name]["spec"], theirs[name]["spec"]
        formats, protocols = NOT_SERVED.get(name, (set(), set()))
        assert ours["supportedModelFormats"] == [f for f in known["supportedModelFormats"] if f["name"] not in formats]
        assert ours["protocolVersions"] == [
            protocol for protocol in known["protocolVersions"] if protocol not in protocols
        ]
        kind = "serving.kserve.io/server-type"
        assert RUNTIMES[name]["metadata"]["annotations"][kind] == theirs[name]["metadata"]["annotations"][kind]
        (container,), (original,) = ours["containers"], known["containers"]
        different = {*container.get("args", ())} ^ {*original.get("args", ())}
        assert sorted(different) == sorted(OTHER_ARGUMENTS.get(name, ()))
        if name != "kserve-huggingfaceserver":  # its variable is vLLM's
            assert container.get("env") == original.get("env")


def test_metrics_are_where_the_runtimes_say():
    for name, found in RUNTIMES.items():
        told = {"prometheus.kserve.io/port": "8080", "prometheus.kserve.io/path": "/metrics"}
        assert found["spec"]["annotations"] == told, name


@pytest.mark.parametrize(
    ("format_name", "protocol", "chosen"),
    [
        ("sklearn", None, "kserve-sklearnserver"),
        ("sklearn", "v2", "kserve-mlserver"),
        ("xgboost", None, "kserve-xgbserver"),
        ("xgboost", "v2", "kserve-mlserver"),
        ("lightgbm", None, "kserve-lgbserver"),
        ("mlflow", "v2", "kserve-mlserver"),
        ("catboost", None, "mizzen-catboostserver"),
        ("catboost", "v2", "mizzen-catboostserver"),
        ("huggingface", None, "kserve-huggingfaceserver"),
        ("huggingface", "v2", "kserve-huggingfaceserver"),
        ("onnx", "v2", "kserve-tritonserver"),
        ("onnx", "grpc-v2", "kserve-tritonserver"),
        ("triton", "v2", "kserve-tritonserver"),
        ("tensorflow", None, "kserve-tensorflow-serving"),
        ("tensorflow", "v2", "kserve-tritonserver"),
        ("pytorch", None, "mizzen-pytorchserver"),
        ("pytorch", "v2", "mizzen-pytorchserver"),
    ],
)
def test_which_shipped_runtime_serves_a_format(format_name, protocol, chosen):
    shipped = [msgspec.convert(found, ClusterServingRuntime) for found in RUNTIMES.values()]
    asked = isvc(predictor=model(format_name, **({"protocolVersion": protocol} if protocol else {})))
    assert select(asked.spec.predictor, [], shipped).name == chosen


def test_each_call_gives_objects_of_its_own():
    objects()[1]["data"].clear()
    assert objects()[1]["data"]


def test_the_shipped_runtimes_pass_admission():
    for found in objects():
        if (found["apiVersion"], found["kind"]) in KINDS:
            _, warnings = write(found, Shelf())
            assert warnings == []


@pytest.mark.skipif(not shipped_by_kserve(), reason="KServe's runtimes are not beside this checkout")
def test_kserves_own_runtimes_are_stored_together_unchanged():
    shelf = Shelf()
    for found in shipped_by_kserve():
        stored, warnings = write(found, shelf)
        assert warnings == []
        assert stored == found
        shelf.objects.append(stored)


def test_schemas_are_made_anew_for_each_caller():
    from mizzen.apis.httproute import HTTPRoute

    resource_schema(HTTPRoute)["properties"].clear()
    assert resource_schema(HTTPRoute)["properties"]
