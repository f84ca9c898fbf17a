"""What an installation starts with is itself valid, and KServe's own manifests fit it."""

from __future__ import annotations

import pytest

from admission_path import KINDS, node_of, write
from inference_objects import Shelf, shipped_by_kserve
from mizzen import __version__
from mizzen.apis.crd import resource_schema
from mizzen.apis.schema import builtin
from mizzen.cluster.apiserver import schema
from mizzen.control.inference.manifests import crds, objects

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
    from mizzen.apis.networking import HTTPRoute

    resource_schema(HTTPRoute)["properties"].clear()
    assert resource_schema(HTTPRoute)["properties"]
