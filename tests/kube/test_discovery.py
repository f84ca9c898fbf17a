"""Which kinds an API serves, by manifest and by the words that people use."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fake_api import client_of, fake_api, refusing, saying
from mizzen.kube.discovery import Catalogue, UnknownKind, catalogue
from mizzen.kube.errors import ApiError


def resource(plural: str, kind: str, **fields: Any) -> dict[str, Any]:
    return {
        "resource": plural,
        "responseKind": {"group": "", "version": "", "kind": kind},
        "scope": "Namespaced",
        "verbs": ["get", "list", "watch"],
    } | fields


def group(name: str, **versions: list[dict[str, Any]]) -> dict[str, Any]:
    metadata = {"name": name} if name else {}
    return {"metadata": metadata, "versions": [{"version": v, "resources": found} for v, found in versions.items()]}


CORE = group(
    "",
    v1=[
        resource("pods", "Pod", shortNames=["po"], categories=["all"]),
        resource("nodes", "Node", scope="Cluster", shortNames=["no"]),
        resource("events", "Event", shortNames=["ev"]),
        {"resource": "bindings", "scope": "Namespaced", "verbs": ["create"]},
    ],
)
APPS = group("apps", v1=[resource("deployments", "Deployment", shortNames=["deploy"])])
OTHER = group("events.k8s.io", v1=[resource("events", "Event", shortNames=["ev"])])
SERVING = group(
    "serving.kserve.io",
    v1beta1=[resource("inferenceservices", "InferenceService", shortNames=["isvc"])],
    v1alpha1=[resource("servingruntimes", "ServingRuntime", verbs=["get"])],
)


async def asked(*groups: dict[str, Any]) -> tuple[Catalogue, list[tuple[str, str, dict[str, str]]]]:
    core = [one for one in groups if not one["metadata"]]
    others = [one for one in groups if one["metadata"]]
    async with fake_api() as api, client_of(api) as client:
        api.answers = [saying(json.dumps({"items": found})) for found in (core, others)]
        return await catalogue(client), api.requests


async def test_two_questions_tell_of_everything():
    found, requests = await asked(CORE, APPS, SERVING)
    assert [path for _, path, _ in requests] == ["/api", "/apis"]
    assert [one.qualified for one in found.resources] == [
        "pods",
        "nodes",
        "events",
        "deployments.apps",
        "inferenceservices.serving.kserve.io",
        "servingruntimes.serving.kserve.io",
    ]
    pods, nodes, *_ = found.resources
    assert (pods.api_version, pods.kind, pods.namespaced, pods.categories) == ("v1", "Pod", True, ("all",))
    assert not nodes.namespaced


@pytest.mark.parametrize(
    ("word", "qualified"),
    [
        ("pods", "pods"),
        ("pod", "pods"),
        ("po", "pods"),
        ("Pod", "pods"),
        ("PODS", "pods"),
        ("deploy", "deployments.apps"),
        ("deployments.apps", "deployments.apps"),
        ("deployment.apps", "deployments.apps"),
        ("isvc", "inferenceservices.serving.kserve.io"),
        ("isvc.serving.kserve.io", "inferenceservices.serving.kserve.io"),
        ("ev", "events"),
        ("events.events.k8s.io", "events.events.k8s.io"),
    ],
)
async def test_words_for_kinds(word, qualified):
    found, _ = await asked(CORE, APPS, OTHER, SERVING)
    assert found.by_word(word).qualified == qualified


async def test_a_word_that_nobody_knows():
    found, _ = await asked(CORE)
    with pytest.raises(UnknownKind, match='no resource type "unicorns"'):
        found.by_word("unicorns")


async def test_the_kind_of_a_manifest():
    found, _ = await asked(CORE, SERVING)
    assert found.by_kind("serving.kserve.io/v1beta1", "InferenceService").plural == "inferenceservices"
    assert found.by_kind("v1", "Pod").plural == "pods"
    with pytest.raises(UnknownKind, match=r'kind "InferenceService" in version "serving.kserve.io/v1alpha2".*v1beta1'):
        found.by_kind("serving.kserve.io/v1alpha2", "InferenceService")
    with pytest.raises(UnknownKind) as caught:
        found.by_kind("v1", "Unicorn")
    assert "served as" not in str(caught.value)


async def test_what_can_be_done_with_a_kind():
    found, _ = await asked(CORE, SERVING)
    assert [one.plural for one in found.supporting({"list", "watch"})] == [
        "pods",
        "nodes",
        "events",
        "inferenceservices",
    ]
    assert len(found.supporting({"get"})) == 5
    assert found.supporting({"patch"}) == []


async def test_an_api_that_serves_nothing():
    found, _ = await asked()
    assert found.resources == []


async def test_an_api_that_does_not_say():
    async with fake_api() as api, client_of(api) as client:
        api.answers = [refusing(403, "Forbidden", "you may not")]
        with pytest.raises(ApiError, match="you may not"):
            await catalogue(client)
