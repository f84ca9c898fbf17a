"""Who owns what after updates: creates, PUTs and patches."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.apiserver.sample_kinds import deployment, deployment_object, widget, widget_object
from mizzen.cluster.apiserver.apply import update_managed_fields
from mizzen.cluster.apiserver.fieldsets import FieldSet, FieldSetError, rendered
from mizzen.cluster.apiserver.managedfields import decode, encode

NOW, LATER = "2024-01-01T00:00:00Z", "2024-01-02T00:00:00Z"


def written(
    live: dict[str, Any] | None, new: dict[str, Any], manager: str = "m", now: str = NOW, **options: Any
) -> dict[str, Any]:
    """``new`` as it would be stored: with the entries that the update leaves."""
    node = options.pop("node", widget())
    options = {"api_version": "exp.io/v1", "has_status": True, **options}
    entries = update_managed_fields(live, new, node=node, manager=manager, now=now, **options)
    stored = copy.deepcopy(new)
    stored["metadata"].pop("managedFields", None)
    if entries:
        stored["metadata"]["managedFields"] = entries
    return stored


def owners(value: dict[str, Any]) -> dict[str, list[str]]:
    found = {}
    for entry in value["metadata"].get("managedFields", ()):
        name = entry["manager"] + ("/" + entry["subresource"] if "subresource" in entry else "")
        found[name] = [rendered(path) for path in FieldSet.parse(entry["fieldsV1"]).paths()]
    return found


def times(value: dict[str, Any]) -> dict[str, str]:
    return {entry["manager"]: entry["time"] for entry in value["metadata"]["managedFields"]}


def test_who_creates_owns_all_but_what_the_server_writes() -> None:
    new = widget_object(size=1, tags=["a"])
    new["metadata"] |= {
        "uid": "u",
        "labels": {"a": "b"},
        "generateName": "w-",
        "creationTimestamp": NOW,
        "generation": 1,
    }
    new["status"] = {"ready": True}
    stored = written(None, new)
    assert stored["metadata"]["managedFields"] == [
        {
            "manager": "m",
            "operation": "Update",
            "apiVersion": "exp.io/v1",
            "time": NOW,
            "fieldsType": "FieldsV1",
            "fieldsV1": {
                "f:metadata": {"f:generateName": {}, "f:labels": {".": {}, "f:a": {}}},
                "f:spec": {".": {}, "f:size": {}, "f:tags": {".": {}, 'v:"a"': {}}},
            },
        }
    ]


def test_the_outermost_structs_of_a_built_in_kind_are_nobodys() -> None:
    new = deployment_object({"name": "c"}, replicas=1)
    stored = written(None, new, node=deployment(), api_version="apps/v1")
    fields = stored["metadata"]["managedFields"][0]["fieldsV1"]
    assert "." not in fields["f:spec"]
    assert fields["f:spec"]["f:replicas"] == fields["f:spec"]["f:selector"] == {}


def test_a_change_moves_the_field_to_who_made_it() -> None:
    first = written(None, widget_object(size=1, mode="a", labels={"x": "1"}), "one")
    second = written(first, widget_object(size=2, mode="a", labels={"x": "1", "y": "2"}), "two", LATER)
    assert owners(second) == {
        "one": [".spec", ".spec.labels", ".spec.labels.x", ".spec.mode"],
        "two": [".spec.labels.y", ".spec.size"],
    }
    assert times(second) == {"one": NOW, "two": LATER}


def test_a_removed_field_is_nobodys_and_leaves_no_empty_entry() -> None:
    first = written(None, widget_object(mode="a"), "one")
    second = written(first, widget_object(mode="a", size=1), "two")
    third = written(second, widget_object(mode="a"), "one", LATER)
    assert owners(third) == {"one": [".spec", ".spec.mode"]}
    assert times(third) == {"one": NOW}


def test_an_update_that_changes_nothing_changes_no_entry() -> None:
    first = written(None, widget_object(size=1, env=[{"name": "a"}]), "one")
    assert written(first, widget_object(size=1, env=[{"name": "a"}]), "one", LATER) == first
    assert written(first, first, "two", LATER) == first


def test_time_moves_when_the_manager_changes_its_own_field_or_removes_it() -> None:
    first = written(None, widget_object(size=1, mode="a"), "one")
    changed = written(first, widget_object(size=2, mode="a"), "one", LATER)
    assert owners(changed) == owners(first)
    assert times(changed) == {"one": LATER}
    removed = written(first, widget_object(mode="a"), "one", LATER)
    assert times(removed) == {"one": LATER}


def test_a_status_belongs_to_who_writes_the_sub_resource() -> None:
    first = written(None, widget_object(size=1), "user")
    new = copy.deepcopy(first) | {"status": {"ready": True}}
    new["spec"]["size"] = 5  # ignored: this request writes the status alone
    second = written(first, new, "controller", subresource="status")
    assert owners(second) == {"user": [".spec", ".spec.size"], "controller/status": [".status", ".status.ready"]}
    third = written(second, second | {"status": {"ready": False}}, "user", LATER)
    assert owners(third) == owners(second)


def test_a_kind_without_a_status_sub_resource_owns_its_status_like_all_else() -> None:
    new = widget_object(size=1) | {"status": {"ready": True}}
    assert ".status.ready" in owners(written(None, new, has_status=False))["m"]


def test_another_sub_resource_has_an_entry_of_its_own() -> None:
    first = written(None, widget_object(size=1), "m")
    second = written(first, widget_object(size=2), "m", LATER, subresource="scale")
    assert owners(second) == {"m": [".spec"], "m/scale": [".spec.size"]}


def with_entries(value: dict[str, Any], entries: Any) -> dict[str, Any]:
    edited = copy.deepcopy(value)
    edited["metadata"]["managedFields"] = entries
    return edited


@pytest.mark.parametrize("entries", [[], [{}]])
def test_a_client_can_forget_all_ownership(entries: Any) -> None:
    first = written(None, widget_object(size=1), "one")
    assert "managedFields" not in written(first, with_entries(first, entries), "two")["metadata"]


def test_a_client_can_edit_the_entries() -> None:
    first = written(None, widget_object(size=1, mode="a"), "one")
    entry = {**first["metadata"]["managedFields"][0], "manager": "heir"}
    second = written(first, with_entries(first, [entry]), "two", LATER)
    assert owners(second) == {"heir": [".spec", ".spec.mode", ".spec.size"]}


@pytest.mark.parametrize(
    "entries",
    [
        None,
        "text",
        [1],
        [{"manager": "x"}],
        [{"manager": "x", "operation": "Update", "fieldsType": "FieldsV2"}],
        [{"manager": "x", "operation": "Update", "fieldsType": "FieldsV1", "fieldsV1": {"spec": {}}}],
        [{"manager": 1, "operation": "Update", "fieldsType": "FieldsV1", "fieldsV1": {}}],
        [{"manager": "x", "operation": "Update", "fieldsType": "FieldsV1", "fieldsV1": {}}, {}],
    ],
)
def test_entries_that_cannot_be_read_are_ignored(entries: Any) -> None:
    first = written(None, widget_object(size=1), "one")
    assert owners(written(first, with_entries(first, entries), "two")) == owners(first)
    if entries:
        with pytest.raises(FieldSetError):
            decode(entries)


def test_a_sub_resource_cannot_edit_the_entries() -> None:
    first = written(None, widget_object(size=1), "one")
    assert owners(written(first, with_entries(first, []), "two", subresource="status")) == owners(first)


def test_stored_entries_that_cannot_be_read_are_given_up() -> None:
    broken = with_entries(widget_object(size=1), [{"manager": "x"}])
    assert owners(written(broken, widget_object(size=2), "one")) == {"one": [".spec.size"]}


def test_the_ten_newest_updates_are_kept_apart() -> None:
    value = written(None, widget_object(labels={"start": "x"}), "m00", "2024-01-01T00:00:00Z")
    for number in range(1, 15):
        labels = {**value["spec"]["labels"], f"l{number:02}": "x"}
        now = f"2024-01-{number + 1:02}T00:00:00Z"
        value = written(
            value, with_entries(widget_object(labels=labels), value["metadata"]["managedFields"]), f"m{number:02}", now
        )
    found = owners(value)
    assert list(found) == ["ancient-changes", *(f"m{number:02}" for number in range(6, 15))]
    assert len(found) == 10
    assert found["ancient-changes"][-6:] == [
        ".spec.labels.l01",
        *(f".spec.labels.l{n:02}" for n in range(2, 6)),
        ".spec.labels.start",
    ]
    assert times(value)["ancient-changes"] == "2024-01-06T00:00:00Z"
    everything = {path for paths in found.values() for path in paths}
    assert {f".spec.labels.l{number:02}" for number in range(1, 15)} <= everything


def test_entries_stand_in_one_order() -> None:
    def entry(manager: str, operation: str, time: str, version: str = "v1") -> dict[str, Any]:
        fields = {"f:a": {}}
        return {
            "manager": manager,
            "operation": operation,
            "apiVersion": version,
            "time": time,
            "fieldsType": "FieldsV1",
            "fieldsV1": fields,
        }

    entries = [
        entry("b", "Apply", LATER),
        entry("a", "Update", NOW),
        entry("z", "Update", NOW),
        entry("z", "Update", NOW, "v2"),
        entry("b", "Update", LATER),
    ]
    assert encode(decode(list(reversed(entries)))) == entries


text = st.sampled_from("ab")
specs = st.fixed_dictionaries(
    {},
    optional={
        "size": st.integers(1, 3),
        "tags": st.lists(text, unique=True, max_size=2),
        "args": st.lists(text, max_size=2),
        "labels": st.dictionaries(text, text, max_size=2),
        "env": st.lists(
            st.fixed_dictionaries({"name": text}, optional={"value": text}), unique_by=lambda e: e["name"], max_size=2
        ),
    },
)


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["one", "two", "three"]), specs), min_size=1, max_size=6))
def test_every_field_has_one_owner_and_no_owner_has_what_is_not_there(history: list[tuple[str, Any]]) -> None:
    value: dict[str, Any] | None = None
    for manager, spec in history:
        before = copy.deepcopy(value)
        value_after = written(value, widget_object(**spec), manager)
        assert value == before
        value = value_after
        managers = decode(value["metadata"].get("managedFields"))
        owned = [path for entry in managers.values() for path in entry.fields.paths()]
        assert len(owned) == len(set(owned))
        complete = written(None, widget_object(**spec), "all")
        assert set(owned) == set(next(iter(decode(complete["metadata"].get("managedFields")).values())).fields.paths())
