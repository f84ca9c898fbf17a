"""How objects end: at once, after their finalizers, after their grace, and never behind anybody's back."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

import pytest

from api_client import APPS, DEFAULT, STRATEGIC, Api, config_map, deployment, pod

MAPS = f"{DEFAULT}/configmaps"
PODS = f"{DEFAULT}/pods"
HOLD = "example.com/hold"


async def test_most_deletions_answer_with_a_status(api: Api) -> None:
    made = (await api.create(MAPS, config_map("a"))).ok()
    gone = (await api.delete(f"{MAPS}/a")).ok()
    assert gone == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": {"name": "a", "kind": "configmaps", "uid": made["metadata"]["uid"]},
    }
    missing = await api.delete(f"{MAPS}/a")
    assert (missing.code, missing.message) == (404, 'configmaps "a" not found')
    assert missing["details"] == {"name": "a", "kind": "configmaps"}


@pytest.mark.parametrize(
    ("plural", "body"),
    [
        ("services", {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}}),
        ("serviceaccounts", {"metadata": {"name": "s"}}),
        ("pods", pod("s")),
    ],
)
async def test_some_kinds_answer_with_the_object(api: Api, plural: str, body: Any) -> None:
    made = (await api.create(f"{DEFAULT}/{plural}", body)).ok()
    gone = (await api.delete(f"{DEFAULT}/{plural}/s")).ok()
    assert (gone["kind"], gone["metadata"]["uid"]) == (made["kind"], made["metadata"]["uid"])
    assert (await api.get(f"{DEFAULT}/{plural}/s")).code == 404


async def test_a_finalizer_holds_an_object_and_its_removal_lets_it_go(api: Api) -> None:
    path = f"{APPS}/deployments/web"
    body = deployment("web")
    body["metadata"]["finalizers"] = [HOLD, "example.com/other"]
    made = (await api.create(f"{APPS}/deployments", body)).ok()
    async with api.watch(f"{APPS}/deployments?resourceVersion={made.version}") as stream:
        ending = (await api.delete(path)).ok()
        assert ending["kind"] == "Deployment"
        assert ending["metadata"]["deletionTimestamp"]
        assert ending["metadata"]["deletionGracePeriodSeconds"] == 0
        assert ending["metadata"]["generation"] == 2
        assert (await api.delete(path)).ok() == ending
        more = await api.patch(path, {"metadata": {"finalizers": [HOLD, "example.com/new"]}})
        assert more.fields == [("metadata.finalizers", "FieldValueForbidden")]
        assert (await api.patch(path, {"metadata": {"labels": {"still": "mutable"}}})).ok()
        assert (await api.patch(path, {"metadata": {"finalizers": [HOLD]}})).ok()
        last = (await api.patch(path, {"metadata": {"finalizers": None}})).ok()
        assert last["metadata"]["uid"] == made["metadata"]["uid"]
        assert (await api.get(path)).code == 404
        assert [kind for kind, _ in await stream.take(4)] == ["MODIFIED", "MODIFIED", "MODIFIED", "DELETED"]


async def test_the_time_of_deletion_belongs_to_the_server(api: Api) -> None:
    made = (await api.create(MAPS, config_map("a", finalizers=[HOLD]))).ok()
    made["metadata"]["deletionTimestamp"] = "2001-01-01T00:00:00Z"
    assert "deletionTimestamp" not in (await api.put(f"{MAPS}/a", made)).ok()["metadata"]
    ending = (await api.delete(f"{MAPS}/a")).ok()
    ending["metadata"].pop("deletionTimestamp")
    again = (await api.put(f"{MAPS}/a", ending)).ok()
    assert again["metadata"]["deletionTimestamp"]


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"preconditions": {"uid": "wrong"}}, 409),
        ({"preconditions": {"resourceVersion": "1"}}, 409),
        ({"propagationPolicy": "Sometimes"}, 422),
        ({"orphanDependents": True, "propagationPolicy": "Orphan"}, 422),
        ({"dryRun": ["Half"]}, 422),
        ({"gracePeriodSeconds": "soon"}, 400),
        ({"kind": "DeleteOptions", "apiVersion": "v1"}, 200),
        ({}, 200),
    ],
)
async def test_options(api: Api, options: Any, code: int) -> None:
    await api.create(MAPS, config_map("a"))
    answer = await api.delete(f"{MAPS}/a", options)
    assert answer.code == code, answer.text
    assert (await api.get(f"{MAPS}/a")).code == (404 if code == 200 else 200)


async def test_a_precondition_that_holds_deletes(api: Api) -> None:
    made = (await api.create(MAPS, config_map("a"))).ok()
    conditions = {"uid": made["metadata"]["uid"], "resourceVersion": made.version}
    assert (await api.delete(f"{MAPS}/a", {"preconditions": conditions})).ok()


@pytest.mark.parametrize(
    ("query", "body", "finalizers"),
    [
        ("", {"propagationPolicy": "Foreground"}, ["foregroundDeletion"]),
        ("", {"propagationPolicy": "Orphan"}, ["orphan"]),
        ("", {"orphanDependents": True}, ["orphan"]),
        ("?propagationPolicy=Foreground", None, ["foregroundDeletion"]),
        ("", {"propagationPolicy": "Background"}, None),
        ("", None, None),
    ],
)
async def test_a_policy_becomes_a_finalizer_for_the_collector(
    api: Api, query: str, body: Any, finalizers: list[str] | None
) -> None:
    await api.create(MAPS, config_map("a"))
    answer = (await api.delete(f"{MAPS}/a{query}", body)).ok()
    assert answer["metadata"].get("finalizers") == finalizers
    assert ("deletionTimestamp" in answer["metadata"]) is (finalizers is not None)


async def test_background_takes_the_collectors_finalizers_off_again(api: Api) -> None:
    await api.create(MAPS, config_map("a", finalizers=["orphan", HOLD]))
    answer = (await api.delete(f"{MAPS}/a", {"propagationPolicy": "Background"})).ok()
    assert answer["metadata"]["finalizers"] == [HOLD]


async def bound_pod(api: Api, name: str = "p", **spec: Any) -> None:
    (await api.create(PODS, pod(name, **spec))).ok()
    binding = {"target": {"kind": "Node", "name": "n1"}}
    assert (await api.create(f"{PODS}/{name}/binding", binding)).ok().code == 201


def seconds_left(answer: Any) -> float:
    metadata = answer["metadata"]
    return (
        datetime.fromisoformat(metadata["deletionTimestamp"]) - datetime.fromisoformat(metadata["creationTimestamp"])
    ).total_seconds()


async def test_a_running_pod_is_given_time_and_goes_when_its_node_says_so(api: Api) -> None:
    await bound_pod(api, terminationGracePeriodSeconds=300)
    ending = (await api.delete(f"{PODS}/p")).ok()
    assert ending["metadata"]["deletionGracePeriodSeconds"] == 300
    assert 290 < seconds_left(ending) < 330
    again = (await api.delete(f"{PODS}/p", {"gracePeriodSeconds": 600})).ok()
    assert again["metadata"]["deletionGracePeriodSeconds"] == 300
    sooner = (await api.delete(f"{PODS}/p", {"gracePeriodSeconds": 100})).ok()
    assert sooner["metadata"]["deletionGracePeriodSeconds"] == 100
    assert seconds_left(sooner) < 130
    assert (await api.patch(f"{PODS}/p/status", {"status": {"phase": "Running"}})).ok()
    assert (await api.delete(f"{PODS}/p", {"gracePeriodSeconds": 0})).ok()["kind"] == "Pod"
    assert (await api.get(f"{PODS}/p")).code == 404


async def test_a_pod_with_a_finalizer_outlives_its_grace(api: Api) -> None:
    body = pod("p")
    body["metadata"]["finalizers"] = [HOLD]
    await api.create(PODS, body)
    await api.create(f"{PODS}/p/binding", {"target": {"name": "n1"}})
    assert (await api.delete(f"{PODS}/p")).ok()["metadata"]["deletionGracePeriodSeconds"] == 30
    held = (await api.delete(f"{PODS}/p", {"gracePeriodSeconds": 0})).ok()
    assert held["metadata"]["deletionGracePeriodSeconds"] == 0
    assert (await api.patch(f"{PODS}/p", {"metadata": {"finalizers": []}}, STRATEGIC)).ok()
    assert (await api.patch(f"{PODS}/p", {"metadata": {"finalizers": None}})).ok()
    assert (await api.get(f"{PODS}/p")).code == 404


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
async def test_a_pod_that_is_over_goes_at_once(api: Api, phase: str) -> None:
    await bound_pod(api)
    await api.patch(f"{PODS}/p/status", {"status": {"phase": phase}})
    assert (await api.delete(f"{PODS}/p")).ok()
    assert (await api.get(f"{PODS}/p")).code == 404


async def test_an_eviction_is_a_deletion(api: Api) -> None:
    await bound_pod(api)
    answer = await api.create(f"{PODS}/p/eviction", {"deleteOptions": {"gracePeriodSeconds": 7}})
    assert (answer.code, answer["status"]) == (201, "Success")
    assert (await api.get(f"{PODS}/p")).ok()["metadata"]["deletionGracePeriodSeconds"] == 7


async def test_a_collection_is_deleted_by_its_selector(api: Api) -> None:
    for name, labels in (("a", {"x": "1"}), ("b", {"x": "1"}), ("c", {"x": "2"})):
        await api.create(MAPS, config_map(name, labels=labels, finalizers=[HOLD] if name == "b" else []))
    deleted = (await api.delete(f"{MAPS}?labelSelector=x%3D1")).ok()
    assert (deleted["kind"], deleted.names) == ("ConfigMapList", ["a", "b"])
    assert (await api.get(MAPS)).ok().names == ["b", "c"]
    assert (await api.get(f"{MAPS}/b")).ok()["metadata"]["deletionTimestamp"]
    assert (await api.delete(f"{MAPS}?fieldSelector=metadata.name%3Dc")).ok().names == ["c"]


async def test_a_deletion_takes_a_revision_of_its_own(api: Api) -> None:
    made = (await api.create(MAPS, config_map("a"))).ok()
    async with api.watch(f"{MAPS}?resourceVersion={made.version}") as stream:
        await api.delete(f"{MAPS}/a")
        event = await stream.next()
    assert event["type"] == "DELETED"
    assert int(event["object"]["metadata"]["resourceVersion"]) == int(made.version) + 1
    assert event["object"]["metadata"]["uid"] == made["metadata"]["uid"]


async def test_of_many_deletions_one_finds_the_object(api: Api) -> None:
    await api.create(MAPS, config_map("a"))
    answers = await asyncio.gather(*(api.delete(f"{MAPS}/a") for _ in range(8)))
    assert sorted(answer.code for answer in answers) == [200] + [404] * 7


@pytest.mark.parametrize("name", ["default", "kube-system", "kube-public"])
async def test_some_namespaces_stay(api: Api, name: str) -> None:
    answer = await api.delete(f"/api/v1/namespaces/{name}")
    assert (answer.code, answer.reason) == (403, "Forbidden")


async def test_a_namespace_goes_when_whoever_empties_it_says_so(api: Api) -> None:
    path = "/api/v1/namespaces/team"
    made = (await api.create("/api/v1/namespaces", {"metadata": {"name": "team"}})).ok()
    assert made["spec"] == {"finalizers": ["kubernetes"]}
    assert made["status"] == {"phase": "Active"}
    assert made["metadata"]["labels"] == {"kubernetes.io/metadata.name": "team"}
    assert (await api.patch(path, {"spec": {"finalizers": []}})).ok()["spec"] == {"finalizers": ["kubernetes"]}
    ending = (await api.delete(path)).ok()
    assert ending["status"]["phase"] == "Terminating"
    refused = await api.create(f"{path}/configmaps", config_map("late"))
    assert (refused.code, refused.reason) == (403, "Forbidden")
    assert refused.fields == [("metadata.namespace", "NamespaceTerminating")]
    applied = await api.apply(f"{path}/configmaps/late", config_map("late"))
    assert applied.code == 403
    ending["spec"] = {"finalizers": []}
    assert (await api.put(f"{path}/finalize", ending)).ok()
    assert (await api.get(path)).code == 404
