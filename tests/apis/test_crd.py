"""The CRDs made from our types accept what KServe's own accept."""

import json
from pathlib import Path

import pytest

from mizzen.apis import podspec
from mizzen.apis.crd import crd
from mizzen.apis.httproute import HTTP_ROUTE, HTTPRoute
from mizzen.apis.serving import v1alpha1
from mizzen.apis.serving.v1beta1.inferenceservice import INFERENCE_SERVICE, InferenceService

REFERENCE = Path(__file__).parents[3] / "shared/data/crds"

# What KServe's CRDs have and ours do not, with the reason.
NEWER = {"hostnameOverride", "fileKeyRef", "restartPolicyRules", "podCertificate", "stopSignal", "workloadRef"}
LEFT_OUT = NEWER | {"ephemeralContainers"}  # which belong to running pods


def schema(manifest):
    return manifest["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


def missing(ours, theirs, path=""):
    """The paths that the other schema has and ours lacks."""
    for name, child in theirs.get("properties", {}).items():
        mine = ours.get("properties", {}).get(name)
        if mine is None:
            if name not in LEFT_OUT and not ours.get("x-kubernetes-preserve-unknown-fields"):
                yield f"{path}.{name}"
        else:
            yield from missing(mine, child, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if isinstance(theirs.get(key), dict):
            yield from missing(ours.get(key, {}), theirs[key], path + "[]")


def stricter(ours, theirs, path=""):
    """The places where ours demands what the other does not."""
    demanded = set(ours.get("required", ())) - set(theirs.get("required", ()))
    if demanded:
        yield path, demanded
    for key in ("type", "enum", "pattern", "minimum", "maximum", "minItems", "minLength", "maxLength"):
        if key in ours and ours[key] != theirs.get(key) and "x-kubernetes-preserve-unknown-fields" not in theirs:
            yield path, key
    for name, child in ours.get("properties", {}).items():
        if name in theirs.get("properties", {}):
            yield from stricter(child, theirs["properties"][name], f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if isinstance(theirs.get(key), dict) and isinstance(ours.get(key), dict):
            yield from stricter(ours[key], theirs[key], path + "[]")


CASES = [
    (InferenceService, INFERENCE_SERVICE),
    (v1alpha1.ServingRuntime, v1alpha1.SERVING_RUNTIME),
    (v1alpha1.ClusterServingRuntime, v1alpha1.CLUSTER_SERVING_RUNTIME),
]


@pytest.mark.parametrize(("kind", "resource"), CASES, ids=lambda value: getattr(value, "kind", ""))
def test_against_the_published_crd(kind, resource):
    path = REFERENCE / f"{resource.plural}.{resource.group}.json"
    if not path.exists():
        pytest.skip("the published CRDs are not beside this checkout")
    theirs = json.loads(path.read_text())
    ours = crd(kind, resource)
    assert ours["spec"]["names"] == theirs["spec"]["names"]
    assert ours["spec"]["scope"] == theirs["spec"]["scope"]
    columns = ours["spec"]["versions"][0]["additionalPrinterColumns"]
    assert columns == theirs["spec"]["versions"][0]["additionalPrinterColumns"]
    assert [p for p in missing(schema(ours), schema(theirs)) if p != ".status"] == []
    # A resource without a spec is refused by the schema here, by the webhook there; a name KServe's Go types insist
    # on in a canary's containers is filled in by admission here.
    assert [found for found in stricter(schema(ours), schema(theirs)) if found != ("", {"spec"})] == []


def test_inline_structs_name_every_field_of_their_definition():
    from mizzen.apis.schemas import definitions

    pod = set(podspec.PodSpecFields.__struct_encode_fields__)
    assert pod == set(definitions()[podspec.PodSpecFields.INLINE]["properties"]) - {"ephemeralContainers"}
    container = set(podspec.ContainerFields.__struct_encode_fields__)
    assert container == set(definitions()[podspec.ContainerFields.INLINE]["properties"])


def test_the_gateway_kinds_have_what_routes_need():
    route = schema(crd(HTTPRoute, HTTP_ROUTE))
    rule = route["properties"]["spec"]["properties"]["rules"]["items"]["properties"]
    weight = rule["backendRefs"]["items"]["properties"]["weight"]
    assert weight.pop("description")
    assert weight == {"type": "integer", "default": 1, "minimum": 0, "maximum": 1_000_000}
    assert rule["matches"]["default"] == [{"path": {"type": "PathPrefix", "value": "/"}}]
    parents = route["properties"]["status"]["properties"]["parents"]["items"]
    assert parents["properties"]["conditions"]["x-kubernetes-list-map-keys"] == ["type"]
