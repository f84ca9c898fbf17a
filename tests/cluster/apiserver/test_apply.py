"""Server-side apply: stories of several managers, told through the objects that come out."""

from __future__ import annotations

import copy
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.apiserver.sample_kinds import deployment, deployment_object, inference_service, widget, widget_object
from mizzen.cluster.apiserver.apply import apply, update_managed_fields
from mizzen.cluster.apiserver.fieldsets import FieldSet, rendered
from mizzen.cluster.apiserver.typed import changes
from mizzen.kube.errors import ApiError

NOW, LATER = "2024-01-01T00:00:00Z", "2024-01-02T00:00:00Z"
Object = dict[str, Any]


def applied(live: Object | None, config: Object, manager: str = "m", now: str = NOW, **options: Any) -> Object:
    options = {"api_version": config["apiVersion"], "has_status": True, "force": False, "node": widget(), **options}
    before = copy.deepcopy((live, config))
    result = apply(live, config, manager=manager, now=now, **options)
    assert (live, config) == before
    return result


def updated(live: Object | None, new: Object, manager: str = "u", now: str = NOW, **options: Any) -> Object:
    options = {"api_version": new["apiVersion"], "has_status": True, "node": widget(), **options}
    stored = copy.deepcopy(new)
    stored["metadata"]["managedFields"] = update_managed_fields(live, new, manager=manager, now=now, **options)
    return stored


def owners(value: Object) -> dict[str, list[str]]:
    found = {}
    for entry in value["metadata"].get("managedFields", ()):
        name = f"{entry['manager']}/{entry['operation']}" + (
            f"/{entry['subresource']}" if "subresource" in entry else ""
        )
        found[name] = [rendered(path) for path in FieldSet.parse(entry["fieldsV1"]).paths()]
    return found


def nothing() -> Object:
    """A configuration without an opinion."""
    return {"apiVersion": "exp.io/v1", "kind": "Widget", "metadata": {"name": "w"}}


def conflict(live: Object, config: Object, manager: str = "m", **options: Any) -> ApiError:
    with pytest.raises(ApiError) as caught:
        applied(live, config, manager, **options)
    assert (caught.value.code, caught.value.reason) == (409, "Conflict")
    return caught.value


def test_applying_creates_and_owns_what_was_said() -> None:
    value = applied(None, widget_object(size=1, env=[{"name": "a", "value": "1"}]))
    entries = value["metadata"].pop("managedFields")
    assert value == widget_object(size=1, env=[{"name": "a", "value": "1"}])
    assert entries == [
        {
            "manager": "m",
            "operation": "Apply",
            "apiVersion": "exp.io/v1",
            "time": NOW,
            "fieldsType": "FieldsV1",
            "fieldsV1": {
                "f:spec": {"f:env": {'k:{"name":"a"}': {".": {}, "f:name": {}, "f:value": {}}}, "f:size": {}},
            },
        }
    ]


def test_saying_the_same_again_changes_nothing_at_all() -> None:
    config = widget_object(size=1, tags=["a"], env=[{"name": "a"}])
    first = applied(None, config)
    first["spec"]["mode"] = "a"  # a default, which nobody owns
    assert applied(first, config, now=LATER) == first


def test_what_is_not_said_any_more_goes() -> None:
    first = applied(None, widget_object(size=1, tags=["a", "b"], labels={"x": "1"}, env=[{"name": "a"}, {"name": "b"}]))
    second = applied(first, widget_object(tags=["b"], env=[{"name": "b"}]), now=LATER)
    assert second["spec"] == {"tags": ["b"], "env": [{"name": "b"}]}
    assert owners(second) == {"m/Apply": ['.spec.env[name="b"]', '.spec.env[name="b"].name', '.spec.tags[="b"]']}
    assert second["metadata"]["managedFields"][0]["time"] == LATER


@pytest.mark.parametrize("field", ["labels", "annotations", "finalizers"])
def test_an_object_keeps_its_identity_when_nothing_of_its_metadata_is_said_any_more(field: str) -> None:
    config = nothing()
    config["metadata"][field] = ["example.com/hold"] if field == "finalizers" else {"a": "b"}
    first = applied(None, config)
    first["metadata"] |= {"uid": "u", "namespace": "default", "resourceVersion": "1"}
    second = applied(first, nothing(), now=LATER)
    second["metadata"].pop("managedFields", None)
    assert second["metadata"].pop(field, None) in (None, [], {})
    assert second["metadata"] == {"name": "w", "uid": "u", "namespace": "default", "resourceVersion": "1"}


def test_defaults_go_with_the_item_that_held_them() -> None:
    first = applied(None, widget_object(env=[{"name": "a"}, {"name": "b"}]))
    for item in first["spec"]["env"]:
        item["mode"] = "plain"
    second = applied(first, widget_object(env=[{"name": "b"}]))
    assert second["spec"] == {"env": [{"name": "b", "mode": "plain"}]}


def test_two_managers_share_what_they_agree_on() -> None:
    first = applied(None, widget_object(size=1, mode="a"), "one")
    second = applied(first, widget_object(size=1), "two")
    assert owners(second) == {"one/Apply": [".spec.mode", ".spec.size"], "two/Apply": [".spec.size"]}
    third = applied(second, widget_object(mode="a"), "one")
    assert third["spec"] == {"size": 1, "mode": "a"}
    fourth = applied(third, nothing(), "two")
    assert fourth["spec"] == {"mode": "a"}
    assert owners(fourth) == {"one/Apply": [".spec.mode"]}


def test_one_conflict_is_said_in_one_sentence() -> None:
    first = applied(None, widget_object(size=1), "m1")
    error = conflict(first, widget_object(size=2), "m2")
    assert error.message == 'Apply failed with 1 conflict: conflict with "m1": .spec.size'
    assert error.details == {
        "causes": [{"reason": "FieldManagerConflict", "message": 'conflict with "m1"', "field": ".spec.size"}]
    }


def test_all_conflicts_are_listed_by_manager() -> None:
    value = applied(None, widget_object(size=1, env=[{"name": "e", "value": "1"}]), "m1")
    value = updated(value, {**value, "spec": {**value["spec"], "mode": "b"}}, "editor")
    value = updated(value, {**value, "status": {"count": 1}}, "controller", subresource="status")
    error = conflict(value, widget_object(size=2, mode="a", env=[{"name": "e", "value": "2"}]), "m2")
    assert error.message == (
        "Apply failed with 3 conflicts: "
        'conflicts with "editor" using exp.io/v1:\n- .spec.mode\n'
        'conflicts with "m1":\n- .spec.env[name="e"].value\n- .spec.size'
    )
    assert error.details is not None
    assert [cause["field"] for cause in error.details["causes"]] == [
        ".spec.mode",
        '.spec.env[name="e"].value',
        ".spec.size",
    ]
    error = conflict(value, {**widget_object(), "status": {"count": 2}}, "m2", subresource="status")
    assert error.message.endswith('conflict with "controller" with subresource "status" using exp.io/v1: .status.count')


def test_force_takes_over() -> None:
    first = applied(None, widget_object(size=1, mode="a"), "one")
    second = applied(first, widget_object(size=2), "two", force=True)
    assert second["spec"] == {"size": 2, "mode": "a"}
    assert owners(second) == {"one/Apply": [".spec.mode"], "two/Apply": [".spec.size"]}
    third = applied(second, widget_object(mode="b", size=2), "three", force=True)
    assert owners(third) == {"three/Apply": [".spec.mode", ".spec.size"], "two/Apply": [".spec.size"]}


def test_an_update_takes_a_field_and_the_next_apply_meets_it() -> None:
    config = widget_object(size=1)
    first = applied(None, config)
    second = updated(first, {**first, "spec": {"size": 5}}, "kubectl-edit")
    assert owners(second) == {"kubectl-edit/Update": [".spec.size"]}
    error = conflict(second, config)
    assert error.message == 'Apply failed with 1 conflict: conflict with "kubectl-edit" using exp.io/v1: .spec.size'
    assert applied(second, widget_object(size=5))["spec"] == {"size": 5}


def test_what_others_added_stays() -> None:
    first = applied(None, widget_object(labels={"a": "1"}, limits={"cpu": "1"}))
    grown = {**first, "spec": {"labels": {"a": "1", "b": "2"}, "limits": {"cpu": "1", "deep": {"x": 1}}}}
    second = updated(first, grown)
    third = applied(second, nothing())
    assert third["spec"] == {"labels": {"b": "2"}, "limits": {"deep": {"x": 1}}}
    assert owners(third) == {"u/Update": [".spec.labels.b", ".spec.limits.deep", ".spec.limits.deep.x"]}


def test_an_item_that_its_applier_drops_goes_with_what_others_changed_in_it() -> None:
    first = applied(None, widget_object(env=[{"name": "a"}, {"name": "b"}]))
    second = updated(first, {**first, "spec": {"env": [{"name": "a"}, {"name": "b", "value": "theirs"}]}})
    third = applied(second, widget_object(env=[{"name": "a"}]))
    assert third["spec"] == {"env": [{"name": "a"}]}
    assert owners(third) == {"m/Apply": ['.spec.env[name="a"]', '.spec.env[name="a"].name']}


def test_atomic_parts_have_one_owner() -> None:
    first = applied(None, widget_object(args=["a"], selector={"app": "x"}), "one")
    error = conflict(first, widget_object(args=["a", "b"], selector={"tier": "y"}), "two")
    assert ".spec.args" in error.message
    assert ".spec.selector" in error.message
    second = applied(first, widget_object(args=["b"], selector={"tier": "y"}), "two", force=True)
    assert second["spec"] == {"args": ["b"], "selector": {"tier": "y"}}
    assert owners(second) == {"two/Apply": [".spec.args", ".spec.selector"]}


def test_a_port_without_a_protocol_is_the_tcp_port() -> None:
    live = updated(
        None, widget_object(ports=[{"port": 80, "protocol": "TCP", "name": "x"}, {"port": 80, "protocol": "UDP"}])
    )
    value = applied(live, widget_object(ports=[{"port": 80, "name": "y"}]), force=True)
    assert value["spec"]["ports"] == [{"port": 80, "protocol": "TCP", "name": "y"}, {"port": 80, "protocol": "UDP"}]
    port = '.spec.ports[port=80,protocol="TCP"]'
    assert owners(value)["m/Apply"] == [port, f"{port}.name", f"{port}.port"]


def test_what_was_there_before_the_first_apply_is_attributed() -> None:
    live = widget_object(size=1, mode="a") | {"status": {"ready": True}}
    value = applied(live, widget_object(size=1))
    assert owners(value) == {
        "m/Apply": [".spec.size"],
        "before-first-apply/Update": [".spec", ".spec.mode", ".spec.size"],
    }
    error = conflict(live, widget_object(size=2))
    assert 'conflict with "before-first-apply" using exp.io/v1: .spec.size' in error.message


def test_the_status_is_not_applied_with_the_object_nor_the_object_with_the_status() -> None:
    config = widget_object(size=1) | {"status": {"ready": True}}
    first = applied(None, config)
    assert "status" not in first
    assert owners(first) == {"m/Apply": [".spec.size"]}
    config["spec"]["size"] = 7
    config["metadata"]["labels"] = {"a": "b"}
    second = applied(first, config, subresource="status")
    assert second["spec"] == {"size": 1}
    assert second["status"] == {"ready": True}
    assert "labels" not in second["metadata"]
    assert owners(second) == {"m/Apply": [".spec.size"], "m/Apply/status": [".status.ready"]}
    third = applied(second, widget_object(size=1), now=LATER)
    assert third == second


def test_a_kind_without_a_status_sub_resource_has_its_status_applied() -> None:
    config = widget_object() | {"status": {"ready": True}}
    assert applied(None, config, has_status=False)["status"] == {"ready": True}


def test_nulls_say_nothing_unless_null_is_a_value() -> None:
    first = applied(None, widget_object(size=None, note=None, mode="a"))
    assert first["spec"] == {"note": None, "mode": "a"}
    assert owners(first) == {"m/Apply": [".spec.mode", ".spec.note"]}


def test_an_applier_keeps_its_entry_from_version_to_version() -> None:
    first = applied(None, widget_object(size=1, mode="a"))
    newer = widget_object(mode="a") | {"apiVersion": "exp.io/v2"}
    second = applied(first, newer, now=LATER)
    assert second["spec"] == {"mode": "a"}
    (entry,) = second["metadata"]["managedFields"]
    assert (entry["apiVersion"], entry["time"]) == ("exp.io/v2", LATER)


def test_an_empty_configuration_owns_nothing_and_leaves_no_entry() -> None:
    assert owners(applied(None, widget_object())) == {"m/Apply": [".spec"]}
    assert "managedFields" not in applied(None, nothing())["metadata"]
    assert "managedFields" not in applied({}, nothing())["metadata"]


def test_the_identity_of_an_object_is_nobodys() -> None:
    config = widget_object(size=1)
    config["metadata"] |= {"namespace": "n", "labels": {"a": "b"}, "finalizers": ["f"], "uid": "u"}
    value = applied(None, config)
    assert owners(value) == {
        "m/Apply": ['.metadata.finalizers[="f"]', ".metadata.labels.a", ".spec.size"],
    }


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"apiVersion": None},
            "Incorrect version specified in apply patch. Specified patch version: , expected: exp.io/v1",
        ),
        ({"apiVersion": "exp.io/v2"}, "Specified patch version: exp.io/v2, expected: exp.io/v1"),
        ({"kind": None}, "Kind"),
        ({"metadata": {"name": "w", "managedFields": [{}]}}, "metadata.managedFields must be nil"),
        ({"metadata": []}, "metadata"),
        (
            {"spec": {"env": [{"name": "c"}, {"name": "c"}]}},
            "failed to create typed patch object (w; exp.io/v1, Kind=Widget): "
            '.spec.env: duplicate entries for key [name="c"]',
        ),
        ({"spec": {"env": [{"value": "c"}]}}, 'omits key field "name"'),
        ({"spec": {"foo": 1}}, ".spec.foo: field not declared in schema"),
        ({"spec": {"foo": 1, "bar": 1}}, "errors:\n  .spec.foo: field not declared in schema\n  .spec.bar"),
    ],
)
def test_what_cannot_be_applied_is_a_bad_request(change: Object, words: str) -> None:
    with pytest.raises(ApiError) as caught:
        applied(None, widget_object() | change, api_version="exp.io/v1")
    assert caught.value.code == 400
    assert words in caught.value.message


def test_a_duplicate_container_of_a_deployment_is_named() -> None:
    config = deployment_object({"name": "c"}, {"name": "c"})
    with pytest.raises(ApiError) as caught:
        applied(None, config, node=deployment())
    assert '.spec.template.spec.containers: duplicate entries for key [name="c"]' in caught.value.message


def test_the_order_of_containers_is_the_appliers() -> None:
    live = applied(None, deployment_object({"name": "a"}, {"name": "b"}), "one", node=deployment())
    value = applied(live, deployment_object({"name": "x"}, {"name": "b"}, {"name": "a"}), "two", node=deployment())
    assert [c["name"] for c in value["spec"]["template"]["spec"]["containers"]] == ["x", "b", "a"]


def test_two_managers_of_an_inference_service() -> None:
    def service(**predictor: Any) -> Object:
        return {
            "apiVersion": "serving.kserve.io/v1beta1",
            "kind": "InferenceService",
            "metadata": {"name": "s", "namespace": "default"},
            "spec": {"predictor": predictor},
        }

    model = {"modelFormat": {"name": "sklearn"}, "storageUri": "s3://m", "env": [{"name": "A", "value": "1"}]}
    first = applied(None, service(model=model, minReplicas=1), "team", node=inference_service())
    scaled = applied(first, service(maxReplicas=3), "autoscaler", node=inference_service())
    assert scaled["spec"]["predictor"] == {"model": model, "minReplicas": 1, "maxReplicas": 3}
    again = applied(scaled, service(model=model), "team", node=inference_service())
    assert again["spec"]["predictor"] == {"model": model, "maxReplicas": 3}
    error = conflict(again, service(model={"storageUri": "s3://other"}), "autoscaler", node=inference_service())
    assert error.message.endswith('conflict with "team": .spec.predictor.model.storageUri')


text = st.sampled_from("abc")
configs = st.fixed_dictionaries(
    {},
    optional={
        "size": st.integers(1, 3),
        "tags": st.lists(text, unique=True, max_size=3),
        "args": st.lists(text, max_size=2),
        "labels": st.dictionaries(text, text, max_size=2),
        "selector": st.fixed_dictionaries({}, optional={"app": text}),
        "extra": st.dictionaries(text, text, max_size=2),
        "env": st.lists(
            st.fixed_dictionaries({"name": text}, optional={"value": text, "mode": text}),
            unique_by=lambda item: item["name"],
            max_size=3,
        ),
    },
)


def fields(value: Object, manager: str) -> set[tuple[str, ...]]:
    entries = value["metadata"].get("managedFields", ())
    sets = [FieldSet.parse(entry["fieldsV1"]) for entry in entries if entry["manager"] == manager]
    return {path for found in sets for path in found.paths()}


@settings(deadline=None)
@given(configs, configs, configs)
def test_applying_again_is_a_no_op_whatever_was_there(first: Any, second: Any, third: Any) -> None:
    value = updated(None, widget_object(**first), "u")
    value = applied(value, widget_object(**second), "other", force=True)
    once = applied(value, widget_object(**third), force=True)
    assert applied(once, widget_object(**third), now=LATER) == once
    assert applied(once, widget_object(**third), now=LATER, force=True) == once
    orjson.dumps(once)


@settings(deadline=None)
@given(configs, configs)
def test_what_one_manager_applies_and_drops_again_leaves_the_other_as_it_was(theirs: Any, ours: Any) -> None:
    start = applied(None, widget_object(**theirs), "other")
    try:
        both = applied(start, widget_object(**ours))
    except ApiError as error:
        assert error.code == 409
        return
    end = applied(both, nothing())
    assert fields(end, "other") == fields(start, "other")
    assert fields(end, "m") == set()
    # Keyed lists may stand in the order that we gave them, which nobody owns.
    again = applied(end, widget_object(**theirs), "other")
    found = changes(end["spec"], again["spec"], widget().declared("spec"))
    assert not found.taken
    assert not found.removed
    assert again["metadata"] == end["metadata"]
    alone = {path for path in fields(both, "m") - fields(start, "other") if path[-1][:2] in ("k:", "v:")}
    assert not alone & _everything(end)


def _everything(value: Object) -> set[tuple[str, ...]]:
    """Every path in the spec of an object, those in between included."""
    return set(changes({}, {"spec": value["spec"]} if "spec" in value else {}, widget()).added.paths())


@settings(deadline=None)
@given(configs, configs)
def test_after_a_forced_apply_everything_it_said_is_so(live: Any, config: Any) -> None:
    value = applied(updated(None, widget_object(**live)), widget_object(**config), force=True)
    for name, said in config.items():
        found = value["spec"][name]
        if name in ("size", "args", "selector"):
            assert found == said
        elif name == "tags":
            assert [item for item in found if item in said] == said
        elif name == "env":
            assert [item["name"] for item in found if item["name"] in [e["name"] for e in said]] == [
                e["name"] for e in said
            ]
        else:
            assert said.items() <= found.items()


@settings(deadline=None)
@given(configs, configs, st.booleans())
def test_nobody_owns_what_is_not_there(live: Any, config: Any, force: bool) -> None:
    value = updated(None, widget_object(**live))
    try:
        value = applied(value, widget_object(**config), force=force)
    except ApiError:
        return
    assert fields(value, "m") | fields(value, "u") <= _everything(value)
