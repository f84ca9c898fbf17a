"""What admission writes into an InferenceService (reference of the KServe control plane, section 3.2)."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference_objects import custom, manifest, model
from mizzen.apis.serving.v1beta1.model import FRAMEWORKS
from mizzen.control.inference.config import MODE_ANNOTATION, Config, parse_config
from mizzen.control.inference.defaults import defaulted

KNATIVE = parse_config({"deploy": '{"defaultDeploymentMode": "Knative"}'})
MODELMESH = parse_config({"deploy": '{"defaultDeploymentMode": "ModelMesh"}'})
RESOURCES = parse_config(
    {
        "inferenceService": '{"resource": {"cpuLimit": "1", "memoryLimit": "2Gi", "cpuRequest": "1",'
        ' "memoryRequest": "2Gi"}}',
        "security": '{"autoMountServiceAccountToken": true}',
    }
)
FULL = {"requests": {"cpu": "1", "memory": "2Gi"}, "limits": {"cpu": "1", "memory": "2Gi"}}


def annotations(found):
    return found["metadata"].get("annotations", {})


@pytest.mark.parametrize(
    ("written", "config", "result"),
    [
        (None, Config(), "Standard"),
        (None, KNATIVE, None),
        (None, MODELMESH, "ModelMesh"),
        ("RawDeployment", KNATIVE, "Standard"),
        ("Serverless", Config(), "Knative"),
        ("Knative", Config(), "Knative"),
        ("nonsense", Config(), "nonsense"),
    ],
)
def test_the_mode_is_written_down(written, config, result):
    given_annotations = None if written is None else {MODE_ANNOTATION: written}
    found = defaulted(manifest(annotations=given_annotations), config)
    assert annotations(found).get(MODE_ANNOTATION) == result


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_shorthand_becomes_a_model(framework):
    written = {"storageUri": "gs://b/m", "env": [{"name": "A", "value": "1"}], "resources": {"limits": {"cpu": "2"}}}
    found = defaulted(manifest(predictor={framework: written, "minReplicas": 2}), RESOURCES)
    expected = written | {"modelFormat": {"name": framework}}
    if framework in ("triton", "onnx", "huggingface"):
        expected["protocolVersion"] = "v2"
    assert found["spec"]["predictor"] == {"minReplicas": 2, "model": expected}
    assert annotations(found)["modelFormat"] == framework


@pytest.mark.parametrize(
    ("format_name", "protocol", "result"),
    [
        ("triton", None, "v2"),
        ("vLLM", None, "v2"),
        ("triton", "v1", "v1"),
        ("sklearn", None, None),
        ("onnx", None, None),
    ],
)
def test_two_formats_speak_v2_unless_told_otherwise(format_name, protocol, result):
    more = {} if protocol is None else {"protocolVersion": protocol}
    found = defaulted(manifest(predictor=model(format_name, **more)), Config())
    assert found["spec"]["predictor"]["model"].get("protocolVersion") == result


def test_a_shorthand_keeps_the_protocol_it_was_given():
    found = defaulted(manifest(predictor={"onnx": {"protocolVersion": "grpc-v2"}}), Config())
    assert found["spec"]["predictor"]["model"]["protocolVersion"] == "grpc-v2"


def test_the_format_annotation_of_the_user_stays():
    found = defaulted(manifest(annotations={"modelFormat": "mine"}), Config())
    assert annotations(found)["modelFormat"] == "mine"


def test_a_predictor_of_modelmesh_stays_as_it_was_written():
    predictor = {"sklearn": {"storageUri": "gs://b/m"}}
    found = defaulted(manifest(predictor=predictor, annotations={MODE_ANNOTATION: "ModelMesh"}), Config())
    assert found["spec"]["predictor"] == predictor
    assert "modelFormat" not in annotations(found)


def test_where_modelmesh_is_only_the_default_the_predictor_is_defaulted():
    found = defaulted(manifest(predictor={"sklearn": {}}), MODELMESH)
    assert found["spec"]["predictor"]["model"]["modelFormat"] == {"name": "sklearn"}


@pytest.mark.parametrize(
    "predictor",
    [
        {"sklearn": {}, "xgboost": {}},
        {"sklearn": {}, "model": {"modelFormat": {"name": "onnx"}}},
    ],
)
def test_two_implementations_stay_for_validation_to_name(predictor):
    found = defaulted(manifest(predictor=predictor), RESOURCES)
    assert found["spec"]["predictor"] == predictor


@pytest.mark.parametrize(
    ("containers", "names"),
    [
        ([{"name": "mine", "image": "a"}], ["kserve-container"]),
        ([{"image": "a"}], ["kserve-container"]),
        ([{"image": "a"}, {"name": "b", "image": "b"}], ["kserve-container", "b"]),
        ([{"name": "a", "image": "a"}, {"name": "b", "image": "b"}], ["a", "b"]),
    ],
)
def test_a_custom_predictors_container_is_named(containers, names):
    found = defaulted(manifest(predictor=custom(*containers)), RESOURCES)["spec"]["predictor"]["containers"]
    assert [container["name"] for container in found] == names
    assert found[0]["resources"] == FULL
    assert all("resources" not in container for container in found[1:])


@pytest.mark.parametrize("component", ["transformer", "explainer"])
def test_the_first_container_of_other_components_is_always_named(component):
    containers = [{"name": "a", "image": "a"}, {"name": "b", "image": "b"}]
    found = defaulted(manifest(**{component: {"containers": containers}}), RESOURCES)["spec"][component]
    assert [container["name"] for container in found["containers"]] == ["kserve-container", "b"]
    assert found["containers"][0]["resources"] == FULL


@pytest.mark.parametrize(
    ("written", "result"),
    [
        ({}, FULL),
        ({"limits": {"cpu": "4"}}, {"requests": FULL["requests"], "limits": {"cpu": "4", "memory": "2Gi"}}),
        (
            {"requests": {"memory": "1Gi"}, "limits": {"nvidia.com/gpu": 1}},
            {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "1", "memory": "2Gi", "nvidia.com/gpu": 1}},
        ),
    ],
)
def test_resources_are_filled_in_one_by_one(written, result):
    container = {"name": "kserve-container", "image": "a", "resources": written}
    found = defaulted(manifest(predictor=custom(container)), RESOURCES)
    assert found["spec"]["predictor"]["containers"][0]["resources"] == result


def test_a_model_gets_no_resources_from_the_config_map():
    found = defaulted(manifest(predictor=model()), RESOURCES)
    assert "resources" not in found["spec"]["predictor"]["model"]


def test_an_empty_setting_is_skipped():
    found = defaulted(manifest(predictor=custom({"image": "a"})), Config())
    assert found["spec"]["predictor"]["containers"] == [{"image": "a", "name": "kserve-container"}]


def test_collocated_containers_beside_a_model_stay_as_they_are():
    containers = [{"name": "transformer-container", "image": "t"}]
    found = defaulted(manifest(predictor=model(predictor={"containers": containers})), RESOURCES)
    assert found["spec"]["predictor"]["containers"] == containers


@pytest.mark.parametrize(("config", "result"), [(Config(), False), (RESOURCES, None)])
def test_tokens_are_not_mounted_unless_the_config_map_says_so(config, result):
    containers = {"containers": [{"image": "t"}]}
    found = defaulted(manifest(transformer=containers, explainer=dict(containers)), config)["spec"]
    assert {found[name].get("automountServiceAccountToken") for name in found} == {result}


def test_a_choice_about_the_token_stays():
    found = defaulted(manifest(predictor=model(predictor={"automountServiceAccountToken": True})), Config())
    assert found["spec"]["predictor"]["automountServiceAccountToken"] is True


def test_the_manifest_itself_is_left_alone():
    written = manifest(predictor={"sklearn": {}}, transformer={"containers": [{"image": "t"}]})
    before = copy.deepcopy(written)
    assert defaulted(written, RESOURCES) != written
    assert written == before


@pytest.mark.parametrize(
    "predictor", [{"sklearn": {}}, {"onnx": {}}, model("vLLM"), custom(), custom({"image": "a"}, {"image": "b"})]
)
def test_defaulting_twice_changes_nothing_more(predictor):
    once = defaulted(manifest(predictor=predictor), RESOURCES)
    assert defaulted(once, RESOURCES) == once


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from(["containers", "model", "sklearn", "onnx", "modelFormat", "name", "resources", "limits"])
SPECS = st.recursive(JSON, lambda inner: st.dictionaries(FIELDS, inner, max_size=4) | st.lists(inner, max_size=2))


@given(st.dictionaries(st.sampled_from(["predictor", "transformer", "explainer"]), SPECS), JSON)
def test_what_is_misshapen_is_left_to_the_schema(spec, metadata):
    for body in ({"spec": spec}, {"metadata": metadata, "spec": spec}, {"spec": metadata}):
        assert "spec" in defaulted(copy.deepcopy(body), RESOURCES)


STORED = {"modelFormat": {"name": "sklearn"}, "storageUri": "file:///one"}


def predictor_after_update(predictor: dict, stored: dict = STORED) -> dict:
    """What an update makes of a predictor while a service with ``stored`` as its model is there."""
    old = {"metadata": {"annotations": {"modelFormat": "sklearn"}}, "spec": {"predictor": {"model": stored}}}
    new = {"metadata": {"annotations": {"modelFormat": "sklearn"}}, "spec": {"predictor": predictor}}
    return defaulted(new, Config(), old)


def test_a_shorthand_that_is_applied_again_takes_the_place_of_the_model_made_of_it():
    """kubectl merges the manifest into what is stored, so both stand there."""
    found = predictor_after_update({"sklearn": {"storageUri": "file:///two"}, "model": STORED})
    model = {"modelFormat": {"name": "sklearn"}, "storageUri": "file:///two"}
    assert found["spec"]["predictor"]["model"] == model
    assert "sklearn" not in found["spec"]["predictor"]


def test_another_shorthand_changes_the_format():
    found = predictor_after_update({"xgboost": {"storageUri": "file:///two"}, "model": STORED})
    assert found["spec"]["predictor"]["model"]["modelFormat"] == {"name": "xgboost"}
    assert found["metadata"]["annotations"]["modelFormat"] == "xgboost"


def test_a_shorthand_beside_a_model_that_was_changed_too_is_left_for_validation():
    changed = {"sklearn": {"storageUri": "file:///two"}, "model": STORED | {"storageUri": "file:///three"}}
    assert {"sklearn", "model"} <= set(predictor_after_update(changed)["spec"]["predictor"])
