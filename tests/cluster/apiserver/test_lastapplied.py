"""The way from client-side apply to server-side apply, as kubectl walks it."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from cluster.apiserver.sample_kinds import widget, widget_object
from mizzen.cluster.apiserver.apply import apply, update_managed_fields
from mizzen.cluster.apiserver.lastapplied import ANNOTATION
from mizzen.kube.errors import ApiError

NOW = "2024-01-01T00:00:00Z"
API_VERSION = "exp.io/v1"


def client_side(**spec: Any) -> dict[str, Any]:
    """An object as ``kubectl apply`` without --server-side leaves it."""
    value = widget_object(**spec)
    value["metadata"]["annotations"] = {ANNOTATION: json.dumps(widget_object(**spec)) + "\n"}
    value["metadata"]["managedFields"] = update_managed_fields(
        None, value, node=widget(), manager="kubectl-client-side-apply", api_version=API_VERSION, now=NOW
    )
    return value


def server_side(live: dict[str, Any], manager: str = "kubectl", **spec: Any) -> dict[str, Any]:
    return apply(
        live, widget_object(**spec), node=widget(), manager=manager, api_version=API_VERSION, force=False, now=NOW
    )


def test_a_field_as_kubectl_left_it_is_no_conflict_for_kubectl() -> None:
    live = client_side(size=1, mode="a")
    value = server_side(live, size=2, mode="a")
    assert value["spec"] == {"size": 2, "mode": "a"}
    with pytest.raises(ApiError, match='"kubectl-client-side-apply"') as caught:
        server_side(live, "somebody", size=2)
    assert caught.value.code == 409


def test_a_field_that_somebody_changed_since_is_one() -> None:
    live = client_side(size=1, mode="a")
    edited = copy.deepcopy(live)
    edited["spec"]["size"] = 5
    edited["metadata"]["managedFields"] = update_managed_fields(
        live, edited, node=widget(), manager="kubectl-edit", api_version=API_VERSION, now=NOW
    )
    with pytest.raises(ApiError) as caught:
        server_side(edited, size=2, mode="b")
    assert caught.value.details is not None
    assert [cause["field"] for cause in caught.value.details["causes"]] == [".spec.size"]


def test_the_annotation_goes_on_saying_what_was_applied_last() -> None:
    value = server_side(client_side(size=1), size=2)
    remembered = json.loads(value["metadata"]["annotations"][ANNOTATION])
    assert remembered == widget_object(size=2)
    assert server_side(value, size=2) == value
    other = server_side(client_side(size=1), "somebody", size=1)
    assert json.loads(other["metadata"]["annotations"][ANNOTATION]) == widget_object(size=1)


def test_an_object_without_the_annotation_does_not_get_one() -> None:
    assert "annotations" not in server_side({}, size=1)["metadata"]


@pytest.mark.parametrize("annotation", ["", "not json", "[]", '{"apiVersion": "exp.io/v9"}'])
def test_an_annotation_that_says_nothing_usable_allows_nothing(annotation: str) -> None:
    live = client_side(size=1)
    live["metadata"]["annotations"][ANNOTATION] = annotation
    with pytest.raises(ApiError, match=r"\.spec\.size"):
        server_side(live, size=2)


def test_an_annotation_that_would_be_too_large_is_emptied() -> None:
    live = client_side(labels={"a": "x"})
    value = server_side(live, labels={"a": "x" * 300_000})
    assert value["metadata"]["annotations"][ANNOTATION] == ""
