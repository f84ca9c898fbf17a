"""Quantities are spelled as the API stores them, and only where a quantity stands."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admission_path import write
from inference_objects import manifest, model
from mizzen.apis.quantity import parse
from mizzen.control.inference.quantities import as_stored, without_fractions


def test_quantities_are_spelled_as_they_are_stored():
    written = {"limits": {"cpu": "1000m", "memory": "1024Mi", "nvidia.com/gpu": 1}, "requests": {"cpu": 0.1}}
    stored = {"limits": {"cpu": "1", "memory": "1Gi", "nvidia.com/gpu": "1"}, "requests": {"cpu": "100m"}}
    divisor = {"name": "M", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1024Ki"}}}
    found = as_stored(
        {
            "containers": [{"name": "a", "resources": written, "env": [divisor, {"name": "N", "value": "1000m"}]}],
            "initContainers": [{"name": "b", "resources": written}],
            "resources": written,
            "overhead": {"cpu": "1000m"},
            "volumes": [{"name": "v", "emptyDir": {"sizeLimit": "1024Mi"}}],
            "nodeSelector": {"cpu": "1000m"},
        }
    )
    assert found["containers"][0]["resources"] == stored
    assert found["containers"][0]["env"][0]["valueFrom"]["resourceFieldRef"]["divisor"] == "1Mi"
    assert found["containers"][0]["env"][1]["value"] == "1000m"
    assert found["initContainers"][0]["resources"] == stored
    assert found["resources"] == stored
    assert found["overhead"] == {"cpu": "1"}
    assert found["volumes"][0]["emptyDir"]["sizeLimit"] == "1Gi"
    assert found["nodeSelector"] == {"cpu": "1000m"}


def test_what_is_no_quantity_is_left_for_the_api_to_name():
    pod_spec = {"containers": [{"name": "a", "resources": {"limits": {"cpu": "much"}}}]}
    assert as_stored(pod_spec) == pod_spec


HALF = {"resources": {"limits": {"cpu": 0.5, "memory": "1024Mi", "nvidia.com/gpu": 1}}}
WRITTEN = {"resources": {"limits": {"cpu": "500m", "memory": "1024Mi", "nvidia.com/gpu": 1}}}


@pytest.mark.parametrize(
    ("component", "written"),
    [
        ({"model": HALF}, {"model": WRITTEN}),
        ({"sklearn": HALF, "minReplicas": 1}, {"sklearn": WRITTEN, "minReplicas": 1}),
        ({"art": HALF}, {"art": WRITTEN}),
        ({"containers": [HALF], "initContainers": [HALF]}, {"containers": [WRITTEN], "initContainers": [WRITTEN]}),
        (HALF, WRITTEN),
        ({"workerSpec": {"containers": [HALF]}}, {"workerSpec": {"containers": [WRITTEN]}}),
        ({"model": {"env": 0.5, "resources": None}}, {"model": {"env": 0.5, "resources": None}}),
        ({"scaleTarget": 0.5}, {"scaleTarget": 0.5}),
        (0.5, 0.5),
        (None, None),
    ],
)
def test_fractions_become_texts(component, written):
    before = copy.deepcopy(component)
    assert without_fractions(component) == written
    assert component == before


def test_a_service_with_a_fraction_of_a_core_is_stored():
    canary = {"predictor": model(**HALF, predictor={"name": "v2"}), "trafficPercent": 1}
    found, _ = write(manifest(predictor=model(**HALF), canary=[canary], transformer={"containers": [HALF]}))
    spec = found["spec"]
    assert spec["predictor"]["model"]["resources"] == WRITTEN["resources"]
    assert spec["canary"][0]["predictor"]["model"]["resources"] == WRITTEN["resources"]
    assert spec["transformer"]["containers"][0]["resources"]["limits"]["cpu"] == "500m"


@given(st.floats(min_value=0, max_value=1e6).map(lambda value: round(value, 3)))
def test_a_fraction_keeps_its_value(value):
    found = without_fractions({"resources": {"limits": {"cpu": value}}})["resources"]["limits"]["cpu"]
    assert isinstance(found, str)
    assert parse(found) == parse(value)
