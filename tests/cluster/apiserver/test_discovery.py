"""Discovery and OpenAPI: what is served, in every form that clients ask for."""

from __future__ import annotations

import json
from typing import Any

import pytest

from api_client import Api
from widgets import CRDS, definition

AGGREGATED = (
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,"
    "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json"
)
SWAGGER = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"


@pytest.mark.parametrize("slash", ["", "/"])
async def test_the_old_form(api: Api, slash: str) -> None:
    assert (await api.get(f"/api{slash}")).ok()["versions"] == ["v1"]
    groups = (await api.get(f"/apis{slash}")).ok()["groups"]
    assert [group["name"] for group in groups] == [
        "apps",
        "autoscaling",
        "networking.k8s.io",
        "coordination.k8s.io",
        "discovery.k8s.io",
        "apiextensions.k8s.io",
    ]
    assert groups[0]["preferredVersion"] == {"groupVersion": "apps/v1", "version": "v1"}
    assert (await api.get(f"/apis/apps{slash}")).ok()["kind"] == "APIGroup"
    core = (await api.get(f"/api/v1{slash}")).ok()
    found = {resource["name"]: resource for resource in core["resources"]}
    assert {"pods", "pods/log", "pods/status", "pods/binding", "namespaces/finalize"} <= set(found)
    assert found["pods"]["shortNames"] == ["po"] and found["pods"]["namespaced"]
    assert not found["nodes"]["namespaced"]
    apps = (await api.get(f"/apis/apps/v1{slash}")).ok()
    (scale,) = [resource for resource in apps["resources"] if resource["name"] == "deployments/scale"]
    assert (scale["group"], scale["version"], scale["kind"]) == ("autoscaling", "v1", "Scale")


async def test_the_new_form(api: Api) -> None:
    core = await api.get("/api", Accept=AGGREGATED)
    assert core.headers["Content-Type"] == "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    (group,) = core.ok()["items"]
    assert "name" not in group["metadata"]
    pods = next(found for found in group["versions"][0]["resources"] if found["resource"] == "pods")
    assert pods["scope"] == "Namespaced" and pods["singularResource"] == "pod"
    assert {sub["subresource"] for sub in pods["subresources"]} == {"status", "binding", "eviction", "log"}
    rest = (await api.get("/apis", Accept=AGGREGATED)).ok()
    assert rest["apiVersion"] == "apidiscovery.k8s.io/v2"
    assert "apps" in [found["metadata"]["name"] for found in rest["items"]]
    beta = await api.get("/apis", Accept=AGGREGATED.split(",")[1])
    assert beta.ok()["apiVersion"] == "apidiscovery.k8s.io/v2beta1"
    # A group version has only the old form, whatever is preferred.
    assert (await api.get("/api/v1", Accept=AGGREGATED)).ok()["kind"] == "APIResourceList"


async def test_a_custom_kind_appears_everywhere_at_once(api: Api) -> None:
    before = (await api.get("/openapi/v3")).ok()["paths"]
    await api.create(CRDS, definition())
    assert "exp.io" in [group["name"] for group in (await api.get("/apis")).ok()["groups"]]
    assert "exp.io" in [
        found["metadata"]["name"] for found in (await api.get("/apis", Accept=AGGREGATED)).ok()["items"]
    ]
    after = (await api.get("/openapi/v3")).ok()["paths"]
    assert set(after) - set(before) == {"apis/exp.io/v1"}
    assert all(after[path] == before[path] for path in before)
    document = (await api.get(after["apis/exp.io/v1"]["serverRelativeURL"])).ok()
    schema = document["components"]["schemas"]["io.exp.v1.Widget"]
    assert schema["x-kubernetes-group-version-kind"] == [{"group": "exp.io", "version": "v1", "kind": "Widget"}]
    assert schema["properties"]["spec"]["properties"]["size"]["maximum"] == 10
    changed = (await api.get(f"{CRDS}/widgets.exp.io")).ok()
    changed["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["description"] = "A widget."
    (await api.put(f"{CRDS}/widgets.exp.io", changed)).ok()
    renewed = (await api.get("/openapi/v3")).ok()["paths"]["apis/exp.io/v1"]["serverRelativeURL"]
    assert renewed != after["apis/exp.io/v1"]["serverRelativeURL"]
    document = (await api.get(renewed)).ok()
    assert document["components"]["schemas"]["io.exp.v1.Widget"]["description"] == "A widget."


def references(value: Any) -> set[str]:
    if isinstance(value, dict):
        found = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return found.union(*(references(child) for child in value.values()))
    return set().union(*(references(child) for child in value)) if isinstance(value, list) else set()


async def test_every_document_describes_what_is_served(api: Api) -> None:
    await api.create(CRDS, definition())
    index = (await api.get("/openapi/v3")).ok()["paths"]
    for name, place in index.items():
        answer = (await api.get(place["serverRelativeURL"])).ok()
        assert "immutable" in answer.headers["Cache-Control"]
        schemas = answer["components"]["schemas"]
        assert {found.rpartition("/")[2] for found in references(answer)} <= set(schemas), name
        described = {
            (gvk["group"], gvk["version"], gvk["kind"])
            for schema in schemas.values()
            for gvk in schema.get("x-kubernetes-group-version-kind", ())
        }
        for resource in (await api.get(f"/{name}")).ok()["resources"]:
            if "/" in resource["name"]:
                continue
            group, _, version = name.removeprefix("apis/").removeprefix("api/").rpartition("/")
            assert (group, version, resource["kind"]) in described
            patch = next(
                path["patch"]
                for path in answer["paths"].values()
                if path.get("patch", {}).get("x-kubernetes-group-version-kind", {}).get("kind") == resource["kind"]
            )
            assert {"fieldValidation", "dryRun"} <= {parameter["name"] for parameter in patch["parameters"]}


async def test_lists_say_how_they_merge(api: Api) -> None:
    schemas = (await api.get("/openapi/v3/api/v1")).ok()["components"]["schemas"]
    containers = schemas["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"]
    assert containers["x-kubernetes-patch-merge-key"] == "name"
    assert containers["x-kubernetes-list-map-keys"] == ["name"]
    assert containers["items"] == {"$ref": "#/components/schemas/io.k8s.api.core.v1.Container"}
    assert schemas["io.k8s.api.core.v1.Pod"]["description"]
    assert schemas["io.k8s.api.core.v1.ConfigMap"]["properties"]["metadata"]["allOf"]
    assert schemas["io.k8s.apimachinery.pkg.api.resource.Quantity"] == {
        "oneOf": [{"type": "string"}, {"type": "number"}]
    }
    apps = (await api.get("/openapi/v3/apis/apps/v1")).ok()["components"]["schemas"]
    strategy = apps["io.k8s.api.apps.v1.DeploymentSpec"]["properties"]["strategy"]
    assert strategy["x-kubernetes-patch-strategy"] == "retainKeys"


async def test_the_second_version_is_there_in_protobuf(api: Api) -> None:
    async with api.session.get("/openapi/v2", headers={"Accept": SWAGGER}) as response:
        body = await response.read()
        assert response.status == 200
        assert response.headers["Content-Type"] == "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
    assert body.startswith(b"\x0a\x032.0")
    for word in (b"io.k8s.api.core.v1.Pod", b"x-kubernetes-group-version-kind", b"fieldValidation"):
        assert word in body
    assert (await api.get("/openapi/v2")).code == 406


@pytest.mark.parametrize(
    ("path", "code", "text"),
    [
        ("/apis/none.io", 404, "404 page not found\n"),
        ("/apis/none.io/v1", 404, "404 page not found\n"),
        ("/apis/none.io/v1/things", 404, "404 page not found\n"),
        ("/apis/apps/v9", 404, "404 page not found\n"),
        ("/openapi/v3/apis/none.io/v1", 404, "404 page not found\n"),
        ("/nowhere", 404, "404 page not found\n"),
        ("/api/v1/things", 404, ""),
        ("/apis/apps/v1/things", 404, ""),
        ("/api/v1/pods/p", 404, ""),
        ("/api/v1/namespaces/default/nodes", 404, ""),
        ("/api/v1/namespaces/default/configmaps/a/status", 404, ""),
    ],
)
async def test_what_is_not_served(api: Api, path: str, code: int, text: str) -> None:
    answer = await api.get(path)
    assert answer.code == code
    if text:
        assert answer.text == text
        assert answer.headers["Content-Type"].startswith("text/plain")
    else:
        assert json.loads(answer.text)["message"] == "the server could not find the requested resource"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/v1/namespaces/default/configmaps/a"),
        ("PUT", "/api/v1/namespaces/default/configmaps"),
        ("POST", "/api/v1/configmaps"),
        ("DELETE", "/api/v1/configmaps"),
        ("POST", "/apis/apps/v1/namespaces/default/deployments/a/status"),
        ("GET", "/api/v1/namespaces/default/pods/a/binding"),
        ("POST", "/version"),
    ],
)
async def test_wrong_methods(api: Api, method: str, path: str) -> None:
    answer = await api.request(method, path, {"metadata": {"name": "a"}})
    assert (answer.code, answer.reason) == (405, "MethodNotAllowed")
