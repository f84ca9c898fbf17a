"""Create, update, patch and apply: identity, versions, generations, and writes that change nothing."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from api_client import APPS, DEFAULT, JSON_PATCH, MERGE, STRATEGIC, Api, config_map, deployment, pod

MAPS = f"{DEFAULT}/configmaps"
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


async def test_a_new_object_gets_its_identity_from_the_server(api: Api) -> None:
    body = config_map(
        "a", {"k": "v"}, uid="mine", creationTimestamp="2001-01-01T00:00:00Z", generation=7, selfLink="/x"
    )
    made = (await api.create(MAPS, body)).ok()
    assert made.code == 201
    metadata = made["metadata"]
    assert UUID.fullmatch(metadata["uid"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", metadata["creationTimestamp"])
    assert not metadata["creationTimestamp"].startswith("2001")
    assert metadata["resourceVersion"].isdigit()
    assert metadata["namespace"] == "default"
    assert "generation" not in metadata and "selfLink" not in metadata
    assert (await api.get(f"{MAPS}/a")).ok() == made


async def test_names_can_be_drawn(api: Api) -> None:
    made = [(await api.create(MAPS, config_map("", generateName="job-"))).ok() for _ in range(5)]
    names = {answer["metadata"]["name"] for answer in made}
    assert len(names) == 5
    assert all(re.fullmatch(r"job-[bcdfghjklmnpqrstvwxz2456789]{5}", name) for name in names)
    long = (await api.create(MAPS, config_map("", generateName="x" * 80))).ok()
    assert len(long["metadata"]["name"]) == 63


@pytest.mark.parametrize(
    ("body", "code", "text"),
    [
        ({"metadata": {}}, 422, "name or generateName is required"),
        (config_map("Upper"), 422, "metadata.name"),
        (config_map("a" * 254), 422, "Too long"),
        (config_map("a", namespace="other"), 400, "does not match the namespace"),
        (config_map("a", resourceVersion="7"), 400, "resourceVersion should not be set"),
        ({"kind": "Secret", "metadata": {"name": "a"}}, 400, "Kind=Secret"),
        ({"apiVersion": "v2", "metadata": {"name": "a"}}, 400, "v2"),
        ({"metadata": "a"}, 400, "metadata"),
        ({"metadata": {"name": 7}}, 400, "name"),
        (config_map("a", labels={"k": "-bad-"}), 422, "metadata.labels"),
        (config_map("a", labels={"a b": "c"}), 422, "metadata.labels"),
        (config_map("a", labels={"k": 7}), 400, "labels"),
        (config_map("a", annotations={"k": "x" * 300_000}), 422, "Too long"),
        (config_map("a", finalizers=["not a name"]), 422, "finalizers"),
        (config_map("a", ownerReferences=[{"kind": "X", "name": "n"}]), 422, "ownerReferences[0].apiVersion"),
        (b"", 400, "empty"),
        (b"[]", 400, "list"),
        (b"{", 400, "JSON"),
        (b"\xff\xfe", 400, "UTF-8"),
    ],
)
async def test_what_cannot_be_created_is_refused_in_words(api: Api, body: Any, code: int, text: str) -> None:
    answer = await api.create(MAPS, body)
    assert answer.code == code, answer.text
    assert text in answer.message
    assert answer["kind"] == "Status" and answer["status"] == "Failure" and answer["code"] == code
    assert answer.headers["Content-Type"] == "application/json"
    assert (await api.get(MAPS)).ok()["items"] == []


async def test_two_controllers_of_one_object_are_refused(api: Api) -> None:
    owners = [
        {"apiVersion": "v1", "kind": "X", "name": name, "uid": name, "controller": True} for name in ("one", "two")
    ]
    answer = await api.create(MAPS, config_map("a", ownerReferences=owners))
    assert answer.fields == [("metadata.ownerReferences", "FieldValueInvalid")]


async def test_kind_and_version_may_be_left_out(api: Api) -> None:
    made = (await api.create(MAPS, {"metadata": {"name": "a"}})).ok()
    assert (made["apiVersion"], made["kind"]) == ("v1", "ConfigMap")


async def test_an_object_is_created_once(api: Api) -> None:
    answers = await asyncio.gather(*(api.create(MAPS, config_map("a", {"n": str(n)})) for n in range(8)))
    assert sorted(answer.code for answer in answers) == [201] + [409] * 7
    refused = next(answer for answer in answers if answer.code == 409)
    assert refused.reason == "AlreadyExists"
    assert refused.message == 'configmaps "a" already exists'
    assert refused["details"] == {"name": "a", "kind": "configmaps"}


async def test_a_namespace_must_be_there(api: Api) -> None:
    answer = await api.create("/api/v1/namespaces/nowhere/configmaps", config_map("a"))
    assert (answer.code, answer.message) == (404, 'namespaces "nowhere" not found')


async def test_a_body_may_be_yaml(api: Api) -> None:
    text = "metadata:\n  name: a\ndata:\n  on_: 'yes'\n  when: '2020-01-01'\n"
    made = (await api.create(MAPS, text, content="application/yaml")).ok()
    assert made["data"] == {"on_": "yes", "when": "2020-01-01"}


async def test_optimistic_concurrency(api: Api) -> None:
    made = (await api.create(MAPS, config_map("a"))).ok()
    first = (await api.put(f"{MAPS}/a", config_map("a", {"x": "1"}, resourceVersion=made.version))).ok()
    assert int(first.version) > int(made.version)
    late = await api.put(f"{MAPS}/a", config_map("a", {"x": "2"}, resourceVersion=made.version))
    assert (late.code, late.reason) == (409, "Conflict")
    assert late.message == (
        'Operation cannot be fulfilled on configmaps "a": the object has been modified; please apply your changes to'
        " the latest version and try again"
    )
    assert (await api.put(f"{MAPS}/a", config_map("a", {"x": "3"}))).ok()["data"] == {"x": "3"}
    assert (await api.put(f"{MAPS}/a", config_map("a", uid="wrong"))).code == 409
    assert (await api.put(f"{MAPS}/b", config_map("b"))).code == 404
    assert (await api.put(f"{MAPS}/a", config_map("b"))).code == 400


async def test_of_many_that_compare_one_wins_each_round(api: Api) -> None:
    await api.create(MAPS, config_map("n", {"count": "0"}))

    async def increment() -> int:
        tries = 0
        while True:
            tries += 1
            found = (await api.get(f"{MAPS}/n")).ok()
            found["data"]["count"] = str(int(found["data"]["count"]) + 1)
            if (await api.put(f"{MAPS}/n", found)).code == 200:
                return tries

    await asyncio.gather(*(increment() for _ in range(12)))
    assert (await api.get(f"{MAPS}/n")).ok()["data"] == {"count": "12"}


async def test_patches_never_conflict_with_each_other(api: Api) -> None:
    await api.create(MAPS, config_map("n"))
    answers = await asyncio.gather(*(api.patch(f"{MAPS}/n", {"data": {f"k{n}": "v"}}) for n in range(30)))
    assert {answer.code for answer in answers} == {200}
    assert len((await api.get(f"{MAPS}/n")).ok()["data"]) == 30


async def test_a_write_that_changes_nothing_is_no_write(api: Api) -> None:
    made = (await api.create(APPS + "/deployments", deployment("web"))).ok()
    same = [
        await api.put(f"{APPS}/deployments/web", made),
        await api.patch(f"{APPS}/deployments/web", {"spec": {"replicas": 1}}),
        await api.patch(f"{APPS}/deployments/web", {}, STRATEGIC),
        await api.patch(f"{APPS}/deployments/web", [], JSON_PATCH),
    ]
    assert [answer.ok() for answer in same] == [made] * 4
    applied = (await api.apply(f"{APPS}/deployments/web", deployment("web"))).ok()
    again = (await api.apply(f"{APPS}/deployments/web", deployment("web"))).ok()
    assert applied == again
    assert (await api.get(f"{APPS}/deployments/web")).ok().version == applied.version


async def test_generation_counts_what_is_wanted(api: Api) -> None:
    path = f"{APPS}/deployments/web"
    steps = [
        (await api.create(APPS + "/deployments", deployment("web"))).ok(),
        (await api.patch(path, {"spec": {"replicas": 3}})).ok(),
        (await api.patch(path, {"metadata": {"labels": {"a": "b"}}})).ok(),
        (await api.patch(path + "/status", {"status": {"replicas": 3}})).ok(),
        (await api.patch(path, {"metadata": {"annotations": {"a": "b"}}})).ok(),
    ]
    assert [step["metadata"]["generation"] for step in steps] == [1, 2, 2, 2, 3]


async def test_status_and_the_rest_are_written_apart(api: Api) -> None:
    path = f"{APPS}/deployments/web"
    await api.create(APPS + "/deployments", {**deployment("web"), "status": {"replicas": 9}})
    assert (await api.get(path)).ok()["status"] == {}
    found = (await api.get(path)).ok()
    found["status"] = {"replicas": 5}
    found["spec"]["replicas"] = 2
    assert (await api.put(path, found)).ok()["status"] == {}
    found = (await api.get(path)).ok()
    found["status"] = {"replicas": 5}
    found["spec"]["replicas"] = 7
    found["metadata"]["labels"] = {"ignored": "yes"}
    written = (await api.put(path + "/status", found)).ok()
    assert written["status"]["replicas"] == 5
    assert written["spec"]["replicas"] == 2
    assert "labels" not in written["metadata"]
    assert (await api.get(path + "/status")).ok() == written


@pytest.mark.parametrize(
    ("content", "patch", "expected"),
    [
        (MERGE, {"data": {"a": None, "c": "3"}}, {"b": "2", "c": "3"}),
        (STRATEGIC, {"data": {"a": "9"}}, {"a": "9", "b": "2"}),
        (STRATEGIC, {"data": {"$patch": "replace", "z": "1"}}, {"z": "1"}),
        (
            JSON_PATCH,
            [{"op": "test", "path": "/data/a", "value": "1"}, {"op": "remove", "path": "/data/a"}],
            {"b": "2"},
        ),
    ],
)
async def test_patches(api: Api, content: str, patch: Any, expected: dict[str, str]) -> None:
    await api.create(MAPS, config_map("a", {"a": "1", "b": "2"}))
    assert (await api.patch(f"{MAPS}/a", patch, content)).ok()["data"] == expected


@pytest.mark.parametrize(
    ("content", "patch", "code"),
    [
        (JSON_PATCH, [{"op": "test", "path": "/data/a", "value": "no"}], 422),
        (JSON_PATCH, {"op": "add"}, 400),
        (MERGE, {"metadata": {"uid": "x"}}, 422),
        (MERGE, {"metadata": {"name": "b"}}, 400),
        (MERGE, {"metadata": {"namespace": "b"}}, 400),
        (MERGE, {"metadata": {"resourceVersion": "1"}}, 409),
        (MERGE, {"kind": "Secret"}, 400),
        (MERGE, {"data": {"bad key": "x"}}, 422),
        (MERGE, {"data": {"a": 7}}, 400),
        ("text/plain", {}, 415),
    ],
)
async def test_patches_that_are_refused(api: Api, content: str, patch: Any, code: int) -> None:
    made = (await api.create(MAPS, config_map("a", {"a": "1"}))).ok()
    assert (await api.patch(f"{MAPS}/a", patch, content)).code == code
    assert (await api.get(f"{MAPS}/a")).ok() == made


async def test_unknown_fields_are_dropped_warned_of_or_refused(api: Api) -> None:
    body = {**config_map("a"), "dtaa": {"x": "y"}}
    body["metadata"]["lables"] = {}
    warned = (await api.create(MAPS, body)).ok()
    assert warned.warnings == [
        '299 - "unknown field \\"metadata.lables\\""',
        '299 - "unknown field \\"dtaa\\""',
    ]
    assert "dtaa" not in warned
    ignored = await api.put(f"{MAPS}/a?fieldValidation=Ignore", body)
    assert ignored.ok().warnings == []
    strict = await api.put(f"{MAPS}/a?fieldValidation=Strict", body)
    assert strict.code == 400
    assert strict.message == 'strict decoding error: unknown field "metadata.lables", unknown field "dtaa"'
    twice = '{"metadata": {"name": "b"}, "data": {"k": "1", "k": "2"}}'
    assert 'duplicate field "data.k"' in (await api.create(f"{MAPS}?fieldValidation=Strict", twice)).message
    assert (await api.patch(f"{MAPS}/a?fieldValidation=Strict", {"dtaa": 1})).code == 400
    assert (await api.apply(f"{MAPS}/a", body, query="&fieldValidation=Strict")).code == 400


async def test_a_dry_run_goes_all_the_way_and_stores_nothing(api: Api) -> None:
    dry = (await api.create(f"{MAPS}?dryRun=All", config_map("a"))).ok()
    assert dry.code == 201 and "resourceVersion" not in dry["metadata"] and dry["metadata"]["uid"]
    assert (await api.get(f"{MAPS}/a")).code == 404
    made = (await api.create(MAPS, config_map("a", {"x": "1"}))).ok()
    assert (await api.create(f"{MAPS}?dryRun=All", config_map("a"))).code == 409
    assert (await api.put(f"{MAPS}/a?dryRun=All", config_map("a", {"x": "2"}))).ok()["data"] == {"x": "2"}
    assert (await api.patch(f"{MAPS}/a?dryRun=All", {"data": {"bad key": ""}})).code == 422
    assert (await api.apply(f"{MAPS}/b", config_map("b"), query="&dryRun=All")).ok().code == 201
    assert (await api.delete(f"{MAPS}/a?dryRun=All")).ok()["status"] == "Success"
    assert (await api.delete(f"{MAPS}/a", {"dryRun": ["All"]})).ok()
    assert (await api.get(f"{MAPS}/a")).ok() == made
    assert (await api.get(MAPS)).ok().names == ["a"]


async def test_apply_creates_merges_and_prunes(api: Api) -> None:
    path = f"{MAPS}/a"
    made = await api.apply(path, config_map("a", {"x": "1", "y": "2"}), "one")
    assert made.code == 201
    shared = (await api.apply(path, config_map("a", {"y": "2", "z": "3"}), "two")).ok()
    assert (shared.code, shared["data"]) == (200, {"x": "1", "y": "2", "z": "3"})
    refused = await api.apply(path, config_map("a", {"y": "9"}), "two")
    assert (refused.code, refused.reason) == (409, "Conflict")
    assert refused.fields == [(".data.y", "FieldManagerConflict")]
    assert 'conflict with "one"' in refused.message
    forced = (await api.apply(path, config_map("a", {"y": "9"}), "two", "&force=true")).ok()
    assert forced["data"] == {"x": "1", "y": "9"}
    pruned = (await api.apply(path, config_map("a"), "one")).ok()
    assert pruned["data"] == {"y": "9"}
    managers = {entry["manager"]: entry["fieldsV1"] for entry in pruned["metadata"]["managedFields"]}
    assert managers["two"] == {"f:data": {"f:y": {}}}


@pytest.mark.parametrize(
    ("path", "body", "code", "text"),
    [
        ("a?fieldManager=m", {"kind": "ConfigMap", "metadata": {"name": "a"}}, 400, "Incorrect version specified"),
        ("a", config_map("a"), 422, "fieldManager: Required value"),
        ("a?fieldManager=m", config_map("b"), 400, "does not match the name"),
        ("a?fieldManager=m", config_map("a", managedFields=[{"manager": "x"}]), 400, "managedFields must be nil"),
        ("a?fieldManager=m", config_map("a", uid="x"), 409, "uid mismatch"),
        ("a?fieldManager=m", config_map("a", resourceVersion="7"), 409, "modified"),
    ],
)
async def test_applies_that_are_refused(api: Api, path: str, body: Any, code: int, text: str) -> None:
    answer = await api.patch(f"{MAPS}/{path}", body, "application/apply-patch+yaml")
    assert answer.code == code, answer.text
    assert text in answer.message
    assert (await api.get(MAPS)).ok()["items"] == []


async def test_force_belongs_to_apply(api: Api) -> None:
    await api.create(MAPS, config_map("a"))
    answer = await api.patch(f"{MAPS}/a?force=true", {})
    assert answer.fields == [("force", "FieldValueForbidden")]


async def test_many_applies_of_a_new_object_at_once_all_succeed(api: Api) -> None:
    answers = await asyncio.gather(
        *(api.apply(f"{MAPS}/a", config_map("a", {f"k{n}": "v"}), f"m{n}") for n in range(10))
    )
    assert sorted(answer.code for answer in answers) == [200] * 9 + [201]
    assert len((await api.get(f"{MAPS}/a")).ok()["data"]) == 10


async def test_the_manager_of_a_write_is_recorded_by_subresource(api: Api) -> None:
    await api.create(f"{DEFAULT}/pods?fieldManager=maker", pod("p"))
    await api.patch(f"{DEFAULT}/pods/p/status?fieldManager=kubelet", {"status": {"phase": "Running"}})
    found = (await api.get(f"{DEFAULT}/pods/p")).ok()
    entries = {
        (entry["manager"], entry["operation"], entry.get("subresource", ""))
        for entry in found["metadata"]["managedFields"]
    }
    assert entries == {("maker", "Update", ""), ("kubelet", "Update", "status")}
