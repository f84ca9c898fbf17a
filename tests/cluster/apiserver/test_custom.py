"""Custom resources: served as soon as their definition is stored, by its schema, until it is gone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from api_client import DEFAULT, MERGE, STRATEGIC, TABLE, Api, config_map
from apiserver_fixture import serving
from widgets import CRDS, SCHEMA, WIDGETS, definition, widget

SHARED = Path(__file__).parents[3].parent / "shared"


async def eventually(check: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(20):
        while not await check():
            await asyncio.sleep(0.02)


async def test_a_definition_is_served_at_once(api: Api) -> None:
    assert (await api.get(WIDGETS)).code == 404
    made = (await api.create(CRDS, definition())).ok()
    conditions = {condition["type"]: condition["status"] for condition in made["status"]["conditions"]}
    assert conditions == {"NamesAccepted": "True", "Established": "True"}
    assert made["status"]["storedVersions"] == ["v1"]
    assert made["status"]["acceptedNames"]["listKind"] == "WidgetList"
    assert made["spec"]["names"]["singular"] == "widget"
    assert made["spec"]["conversion"] == {"strategy": "None"}
    assert (await api.get(WIDGETS)).ok()["kind"] == "WidgetList"
    found = (await api.get("/apis/exp.io/v1")).ok()["resources"]
    assert [resource["name"] for resource in found] == ["widgets", "widgets/status"]
    assert found[0]["shortNames"] == ["wd"]


async def test_an_object_is_defaulted_pruned_and_validated(api: Api) -> None:
    await api.create(CRDS, definition())
    made = (await api.create(WIDGETS, widget("w", parts=[{"name": "x", "y": 1}], free={"any": 1}, junk=1))).ok()
    assert made["spec"] == {"size": 1, "mode": "a", "parts": [{"name": "x", "on": True}], "free": {"any": 1}}
    assert sorted(made.warnings) == [
        '299 - "unknown field \\"spec.junk\\""',
        '299 - "unknown field \\"spec.parts[0].y\\""',
    ]
    assert made["metadata"]["generation"] == 1
    strict = await api.create(f"{WIDGETS}?fieldValidation=Strict", widget("v", junk=1))
    assert strict.message == 'strict decoding error: unknown field "spec.junk"'


@pytest.mark.parametrize(
    ("spec", "field", "reason"),
    [
        ({"size": 11}, "spec.size", "FieldValueInvalid"),
        ({"size": "big"}, "spec.size", "FieldValueTypeInvalid"),
        ({"size": None}, "spec.size", "FieldValueRequired"),
        ({"mode": "c"}, "spec.mode", "FieldValueNotSupported"),
        ({"port": 1.5}, "spec.port", "FieldValueTypeInvalid"),
        ({"parts": [{"name": "x"}, {"name": "x"}]}, "spec.parts[1]", "FieldValueDuplicate"),
        ({"parts": [{}]}, "spec.parts[0].name", "FieldValueRequired"),
        ({"free": 7}, "spec.free", "FieldValueTypeInvalid"),
    ],
)
async def test_what_the_schema_forbids_is_refused(api: Api, spec: Any, field: str, reason: str) -> None:
    await api.create(CRDS, definition())
    answer = await api.create(WIDGETS, widget("w", **spec))
    assert answer.code == 422, answer.text
    assert (field, reason) in answer.fields
    assert answer["details"]["kind"] == "Widget"
    assert answer.message.startswith('Widget.exp.io "w" is invalid: ')
    assert (await api.get(WIDGETS)).ok()["items"] == []


async def test_custom_items_carry_their_type(api: Api) -> None:
    await api.create(CRDS, definition())
    await api.create(WIDGETS, widget("w"))
    (item,) = (await api.get(WIDGETS)).ok()["items"]
    assert (item["apiVersion"], item["kind"]) == ("exp.io/v1", "Widget")


async def test_the_type_of_a_body_must_be_that_of_the_path(api: Api) -> None:
    await api.create(CRDS, definition())
    answer = await api.create(WIDGETS, {**widget("w"), "kind": "Gadget"})
    assert (answer.code, answer.fields) == (422, [("kind", "FieldValueInvalid")])
    assert (await api.create(WIDGETS, {**widget("w"), "metadata": {"name": 7}})).code == 400


async def test_status_generation_and_versions(api: Api) -> None:
    await api.create(CRDS, definition())
    path = f"{WIDGETS}/w"
    made = (await api.create(WIDGETS, {**widget("w"), "status": {"replicas": 5}})).ok()
    assert "status" not in made
    blind = await api.put(path, widget("w", size=2))
    assert blind.fields == [("metadata.resourceVersion", "FieldValueInvalid")]
    made["spec"]["size"] = 2
    changed = (await api.put(path, made)).ok()
    assert changed["metadata"]["generation"] == 2
    status = (await api.patch(path + "/status", {"status": {"replicas": 3}, "spec": {"size": 9}})).ok()
    assert (status["status"], status["spec"]["size"]) == ({"replicas": 3}, 2)
    assert status["metadata"]["generation"] == 2
    labelled = (await api.patch(path, {"metadata": {"labels": {"a": "b"}}, "status": {"replicas": 9}})).ok()
    assert labelled["metadata"]["generation"] == 2
    assert labelled["status"] == {"replicas": 3}
    assert (await api.patch(path + "/status", {"status": {"replicas": "many"}})).code == 422
    assert (await api.patch(path, {"metadata": {"finalizers": ["example.com/x"]}})).ok()["metadata"]["generation"] == 2
    assert (await api.delete(path)).ok()["metadata"]["generation"] == 3


async def test_a_strategic_patch_is_refused_in_the_known_words(api: Api) -> None:
    await api.create(CRDS, definition())
    await api.create(WIDGETS, widget("w"))
    answer = await api.patch(f"{WIDGETS}/w", {}, STRATEGIC)
    assert answer.code == 415
    assert answer.message.startswith(
        "application/strategic-merge-patch+json is not supported by exp.io/v1, Kind=Widget"
    )


async def test_a_definition_may_have_rules_about_names(api: Api) -> None:
    body = definition()
    rules = {"type": "object", "properties": {"name": {"type": "string", "pattern": "^w-"}}}
    body["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["metadata"] = rules
    (await api.create(CRDS, body)).ok()
    assert (await api.create(WIDGETS, widget("gear"))).fields == [("metadata.name", "FieldValueInvalid")]
    applied = widget("w-gear")
    applied["metadata"]["annotations"] = {"example.com/note": "kept"}
    assert (await api.apply(f"{WIDGETS}/w-gear", applied)).ok()["metadata"]["annotations"]


async def test_keyed_lists_are_shared_among_appliers(api: Api) -> None:
    await api.create(CRDS, definition())
    await api.apply(f"{WIDGETS}/w", widget("w", parts=[{"name": "a"}]), "one")
    both = (
        await api.apply(
            f"{WIDGETS}/w",
            {
                "apiVersion": "exp.io/v1",
                "kind": "Widget",
                "metadata": {"name": "w"},
                "spec": {"parts": [{"name": "b", "on": False}]},
            },
            "two",
        )
    ).ok()
    assert sorted(part["name"] for part in both["spec"]["parts"]) == ["a", "b"]


async def test_scale(api: Api) -> None:
    paths = {
        "specReplicasPath": ".spec.size",
        "statusReplicasPath": ".status.replicas",
        "labelSelectorPath": ".status.selector",
    }
    await api.create(CRDS, definition(subresources={"status": {}, "scale": paths}))
    await api.create(WIDGETS, widget("w", size=3))
    await api.patch(f"{WIDGETS}/w/status", {"status": {"replicas": 2, "selector": "a=b"}})
    scale = (await api.get(f"{WIDGETS}/w/scale")).ok()
    assert (scale["spec"], scale["status"]) == ({"replicas": 3}, {"replicas": 2, "selector": "a=b"})
    scale["metadata"].pop("resourceVersion")
    scale["spec"]["replicas"] = 7
    assert (await api.put(f"{WIDGETS}/w/scale", scale)).ok()["spec"] == {"replicas": 7}
    assert (await api.get(f"{WIDGETS}/w")).ok()["spec"]["size"] == 7
    assert (await api.patch(f"{WIDGETS}/w/scale", {"spec": {"replicas": 11}})).code == 422


async def test_columns(api: Api) -> None:
    def column(name: str, path: str, kind: str = "string", **more: Any) -> dict[str, Any]:
        return {"name": name, "jsonPath": path, "type": kind, **more}

    columns = [
        column("Ready", '.status.conditions[?(@.type=="Ready")].status'),
        column("Size", ".spec.size", "integer"),
        column("Free", ".spec.free", priority=1),
        column("Since", ".metadata.creationTimestamp", "date"),
        column("Wrong", ".spec.mode", "integer"),
    ]
    await api.create(CRDS, definition(additionalPrinterColumns=columns))
    await api.create(WIDGETS, widget("w", size=3, free={"a": 1}))
    cells = (await api.get(WIDGETS, Accept=TABLE)).ok()["rows"][0]["cells"]
    assert cells[:4] == ["w", None, 3, '{"a":1}']
    assert cells[4].endswith("s") and cells[5] is None
    await api.patch(f"{WIDGETS}/w/status", {"status": {"conditions": [{"type": "Ready", "status": "True"}]}})
    table = (await api.get(f"{WIDGETS}/w", Accept=TABLE)).ok()
    assert table["rows"][0]["cells"][1] == "True"
    assert [found["priority"] for found in table["columnDefinitions"]] == [0, 0, 0, 1, 0, 0]


async def test_without_columns_the_age_is_shown(api: Api) -> None:
    await api.create(CRDS, definition())
    table = (await api.get(WIDGETS, Accept=TABLE)).ok()
    assert [found["name"] for found in table["columnDefinitions"]] == ["Name", "Age"]


async def test_selectable_fields(api: Api) -> None:
    await api.create(CRDS, definition(selectableFields=[{"jsonPath": ".spec.color"}]))
    for name, color in (("a", "red"), ("b", "blue")):
        (await api.create(WIDGETS, widget(name, color=color))).ok()
    assert (await api.get(f"{WIDGETS}?fieldSelector=spec.color%3Dred")).ok().names == ["a"]
    assert (await api.get(f"{WIDGETS}?fieldSelector=spec.mode%3Da")).code == 400
    async with api.watch(f"{WIDGETS}?fieldSelector=spec.color%3Dred") as stream:
        await api.patch(f"{WIDGETS}/b", {"spec": {"color": "red"}})
        await api.patch(f"{WIDGETS}/a", {"spec": {"color": "blue"}})
        assert await stream.take(3) == [("ADDED", "a"), ("ADDED", "b"), ("DELETED", "a")]


def second_version(schema: Any = None, **fields: Any) -> dict[str, Any]:
    found = definition()
    found["spec"]["versions"].append(
        {
            "name": "v1beta1",
            "served": True,
            "storage": False,
            "schema": {"openAPIV3Schema": schema or deepcopy(SCHEMA)},
            "subresources": {"status": {}},
            **fields,
        }
    )
    return found


async def test_several_versions_show_the_same_objects(api: Api) -> None:
    beta = WIDGETS.replace("v1", "v1beta1")
    await api.create(CRDS, second_version())
    group = (await api.get("/apis/exp.io")).ok()
    assert [version["version"] for version in group["versions"]] == ["v1", "v1beta1"]
    made = (await api.create(beta, {**widget("w", size=4), "apiVersion": "exp.io/v1beta1"})).ok()
    assert made["apiVersion"] == "exp.io/v1beta1"
    old = (await api.get(f"{WIDGETS}/w")).ok()
    assert (old["apiVersion"], old["spec"]["size"], old.version) == ("exp.io/v1", 4, made.version)
    assert [item["apiVersion"] for item in (await api.get(beta)).ok()["items"]] == ["exp.io/v1beta1"]
    async with api.watch(beta) as stream:
        await api.patch(f"{WIDGETS}/w", {"spec": {"size": 5}})
        events = [await stream.next(), await stream.next()]
    assert {event["object"]["apiVersion"] for event in events} == {"exp.io/v1beta1"}
    assert (await api.create(beta, widget("x"))).code == 422
    managed = (await api.get(f"{beta}/w")).ok()["metadata"]["managedFields"]
    assert {entry["apiVersion"] for entry in managed} == {"exp.io/v1", "exp.io/v1beta1"}


async def test_a_version_with_another_schema_prunes_and_defaults(api: Api) -> None:
    beta = WIDGETS.replace("v1", "v1beta1")
    narrow = deepcopy(SCHEMA)
    narrow["properties"]["spec"]["properties"].pop("color")
    narrow["properties"]["spec"]["properties"]["extra"] = {"type": "string", "default": "yes"}
    await api.create(CRDS, second_version(narrow))
    await api.create(WIDGETS, widget("w", color="red"))
    assert (await api.get(f"{beta}/w")).ok()["spec"] == {"size": 1, "mode": "a", "extra": "yes"}
    assert (await api.get(f"{WIDGETS}/w")).ok()["spec"] == {"size": 1, "mode": "a", "color": "red"}
    await api.create(beta, {**widget("x"), "apiVersion": "exp.io/v1beta1"})
    assert (await api.get(f"{WIDGETS}/x")).ok()["spec"] == {"size": 1, "mode": "a"}


async def test_versions_that_are_deprecated_or_not_served(api: Api) -> None:
    beta = WIDGETS.replace("v1", "v1beta1")
    await api.create(CRDS, second_version(deprecated=True))
    assert (await api.get(beta)).ok().warnings == ['299 - "exp.io/v1beta1 Widget is deprecated"']
    hidden = (await api.get(f"{CRDS}/widgets.exp.io")).ok()
    hidden["spec"]["versions"][1]["served"] = False
    (await api.put(f"{CRDS}/widgets.exp.io", hidden)).ok()
    assert (await api.get(beta)).code == 404
    assert (await api.get(WIDGETS)).ok()


async def test_a_changed_schema_holds_for_what_is_stored(api: Api) -> None:
    await api.create(CRDS, definition())
    made = (await api.create(WIDGETS, widget("w", color="red"))).ok()
    changed = (await api.get(f"{CRDS}/widgets.exp.io")).ok()
    properties = changed["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    properties.pop("color")
    properties["extra"] = {"type": "string", "default": "new"}
    (await api.put(f"{CRDS}/widgets.exp.io", changed)).ok()

    async def is_new() -> bool:
        found = (await api.get(f"{WIDGETS}/w")).ok()
        assert found.version == made.version
        return bool(found["spec"] == {"size": 1, "mode": "a", "extra": "new"})

    await eventually(is_new)


async def test_streams_end_when_the_definition_changes(api: Api) -> None:
    await api.create(CRDS, definition())
    async with api.watch(WIDGETS) as stream:
        await api.patch(f"{CRDS}/widgets.exp.io", {"metadata": {"labels": {"a": "b"}}})
        await api.create(WIDGETS, widget("w"))
        assert await stream.take(1) == [("ADDED", "w")]
        changed = (await api.get(f"{CRDS}/widgets.exp.io")).ok()
        changed["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["description"] = "changed"
        (await api.put(f"{CRDS}/widgets.exp.io", changed)).ok()
        assert await stream.rest() == []


async def test_deleting_a_definition_deletes_its_objects(api: Api) -> None:
    await api.create(CRDS, definition())
    await api.create(WIDGETS, widget("a"))
    held = widget("b")
    held["metadata"]["finalizers"] = ["example.com/hold"]
    await api.create(WIDGETS, held)
    ending = (await api.delete(f"{CRDS}/widgets.exp.io")).ok()
    assert ending["metadata"]["finalizers"] == ["customresourcecleanup.apiextensions.k8s.io"]

    async def only_the_held_one() -> bool:
        return (await api.get(WIDGETS)).ok().names == ["b"]

    await eventually(only_the_held_one)
    assert (await api.create(WIDGETS, widget("late"))).code == 405
    assert (await api.patch(f"{WIDGETS}/b", {"metadata": {"finalizers": None}}, MERGE)).ok()

    async def gone() -> bool:
        return (await api.get(f"{CRDS}/widgets.exp.io")).code == 404

    await eventually(gone)
    assert (await api.get(WIDGETS)).code == 404
    assert (await api.get("/apis/exp.io")).code == 404
    again = (await api.create(CRDS, definition())).ok()
    assert again["metadata"]["uid"] != ending["metadata"]["uid"]
    assert (await api.get(WIDGETS)).ok()["items"] == []


async def test_names_are_held_until_they_are_free(api: Api) -> None:
    await api.create(CRDS, definition())
    rival = definition("gizmos", "Widget")
    waiting = (await api.create(CRDS, rival)).ok()
    conditions = {found["type"]: (found["status"], found["reason"]) for found in waiting["status"]["conditions"]}
    assert conditions == {"NamesAccepted": ("False", "SingularConflict"), "Established": ("False", "NotAccepted")}
    gizmos = WIDGETS.replace("widgets", "gizmos")
    assert (await api.get(gizmos)).code == 404
    await api.delete(f"{CRDS}/widgets.exp.io")

    async def served() -> bool:
        return (await api.get(gizmos)).code == 200

    await eventually(served)


def without(path: str) -> dict[str, Any]:
    found: Any = definition()
    *above, last = path.split(".")
    target = found
    for key in above:
        target = target[int(key)] if key.isdigit() else target[key]
    target.pop(last)
    return found


def having(path: str, value: Any) -> dict[str, Any]:
    found: Any = definition()
    *above, last = path.split(".")
    target = found
    for key in above:
        target = target[int(key)] if key.isdigit() else target[key]
    target[last] = value
    return found


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (having("metadata.name", "wrong.exp.io"), "metadata.name"),
        (having("spec.group", "nodots"), "spec.group"),
        (having("spec.scope", "Galaxy"), "spec.scope"),
        (having("spec.names.plural", "Widgets"), "spec.names.plural"),
        (having("spec.names.listKind", "Widget"), "spec.names.listKind"),
        (having("spec.conversion", {"strategy": "Magic"}), "spec.conversion.strategy"),
        (having("spec.preserveUnknownFields", True), "spec.preserveUnknownFields"),
        (having("spec.versions.0.storage", False), "spec.versions"),
        (having("spec.versions.0.name", "V1"), "spec.versions[0].name"),
        (without("spec.versions.0.schema"), "spec.versions[0].schema.openAPIV3Schema"),
        (
            having("spec.versions.0.schema", {"openAPIV3Schema": {"type": "object", "properties": {"a": {}}}}),
            "spec.versions[0].schema.openAPIV3Schema.properties[a].type",
        ),
        (
            having("spec.versions.0.additionalPrinterColumns", [{"name": "x", "type": "text", "jsonPath": ".a"}]),
            "spec.versions[0].additionalPrinterColumns[0].type",
        ),
        (
            having("spec.versions.0.additionalPrinterColumns", [{"name": "x", "type": "string", "jsonPath": ".a["}]),
            "spec.versions[0].additionalPrinterColumns[0].jsonPath",
        ),
        (
            having(
                "spec.versions.0.subresources",
                {"scale": {"specReplicasPath": ".size", "statusReplicasPath": ".status.replicas"}},
            ),
            "spec.versions[0].subresources.scale.specReplicasPath",
        ),
        (
            having("spec.versions.0.selectableFields", [{"jsonPath": ".spec.parts[0]"}]),
            "spec.versions[0].selectableFields[0].jsonPath",
        ),
        (without("spec.group"), "spec.group"),
        (without("spec.versions"), "spec.versions"),
        (without("spec.names"), "spec.names"),
        (without("spec"), "spec.group"),
    ],
)
async def test_definitions_that_make_no_sense_are_refused(api: Api, body: Any, field: str) -> None:
    answer = await api.create(CRDS, body)
    assert answer.code == 422, answer.text
    assert field in [found for found, _ in answer.fields], answer.fields


async def test_what_objects_rely_on_cannot_be_changed(api: Api) -> None:
    await api.create(CRDS, definition())
    path = f"{CRDS}/widgets.exp.io"
    assert (await api.patch(path, {"spec": {"scope": "Cluster"}})).fields == [("spec.scope", "FieldValueInvalid")]
    other = {**definition()["spec"]["versions"][0], "name": "v2"}
    gone = await api.patch(path, {"spec": {"versions": [other]}})
    assert gone.fields == [("status.storedVersions[0]", "FieldValueInvalid")]


async def test_rules_in_cel_are_kept_and_warned_of(api: Api) -> None:
    body = definition()
    rule = [{"rule": "self.size > 0"}]
    body["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["x-kubernetes-validations"] = rule
    made = (await api.create(CRDS, body)).ok()
    assert "not enforced" in made.warnings[0]
    schema = made["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    assert schema["properties"]["spec"]["x-kubernetes-validations"] == rule


async def test_cluster_scoped_kinds(api: Api) -> None:
    body = definition()
    body["spec"]["scope"] = "Cluster"
    await api.create(CRDS, body)
    made = (await api.create("/apis/exp.io/v1/widgets", {**widget("w"), "metadata": {"name": "w"}})).ok()
    assert "namespace" not in made["metadata"]
    assert (await api.get("/apis/exp.io/v1/widgets/w")).ok()
    assert (await api.get(WIDGETS)).code == 404


async def test_definitions_and_objects_survive_a_restart(tmp_path: Path) -> None:
    async with serving(tmp_path) as server, server.session() as session:
        api = Api(session)
        await api.create(CRDS, definition())
        made = (await api.create(WIDGETS, widget("w"))).ok()
        await api.create(f"{DEFAULT}/configmaps", config_map("c"))
    async with serving(tmp_path) as server, server.session() as session:
        api = Api(session)
        assert (await api.get(f"{WIDGETS}/w")).ok() == made
        assert (await api.create(WIDGETS, widget("v", size=99))).code == 422


@pytest.mark.skipif(not SHARED.is_dir(), reason="the reference data is not beside this checkout")
async def test_every_published_definition_is_served(api: Api) -> None:
    count = 0
    for file in sorted((SHARED / "data/crds").glob("*.json")):
        body = json.loads(file.read_text())
        answer = await api.create(CRDS, file.read_bytes())
        if body["apiVersion"] != "apiextensions.k8s.io/v1":
            assert answer.code == 400
            continue
        made = answer.ok()
        count += 1
        plural, group = body["spec"]["names"]["plural"], body["spec"]["group"]
        for version in body["spec"]["versions"]:
            if version["served"]:
                assert (await api.get(f"/apis/{group}/{version['name']}/{plural}")).ok()["items"] == []
        again = (await api.put(f"{CRDS}/{made['metadata']['name']}", made)).ok()
        assert again.version == made.version
    assert count > 20
