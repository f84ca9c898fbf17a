from __future__ import annotations

from typing import Any

import pytest

from mizzen.apis.apps import REPLICA_SET
from mizzen.cluster.workloads import ownership
from mizzen.kube.informer import Entry
from mizzen.kube.selectors import from_labels
from workload_objects import replica_set

_WEB = from_labels({"app": "web"})


def _entry(labels: dict[str, str], controller: str = "", deleting: bool = False) -> Entry:
    indexed = {"controller": (controller,) if controller else ()}
    return Entry(
        raw=b"{}", uid="x", resource_version=1, labels=labels, owner_uids=(), deleting=deleting, indexed=indexed
    )


@pytest.mark.parametrize(
    ("labels", "controller", "deleting", "owner_deleting", "claim"),
    [
        ("web", "me", False, False, "owned"),
        ("web", "me", True, False, "owned"),
        ("other", "me", False, False, "release"),
        ("other", "me", False, True, None),
        ("web", "", False, False, "adopt"),
        ("web", "", True, False, None),
        ("web", "", False, True, None),
        ("other", "", False, False, None),
        ("web", "you", False, False, None),
        ("other", "you", False, False, None),
    ],
)
def test_what_an_owner_has_takes_and_lets_go(
    labels: str, controller: str, deleting: bool, owner_deleting: bool, claim: str | None
) -> None:
    candidate = (("default", "x"), _entry({"app": labels}, controller, deleting))
    found = ownership.sort_out("me", owner_deleting, _WEB, [candidate])
    for name in ("owned", "adopt", "release"):
        assert getattr(found, name) == ([("default", "x")] if name == claim else [])


def test_adopting_adds_a_reference_and_releasing_takes_only_ones_own() -> None:
    other: dict[str, Any] = {"apiVersion": "v1", "kind": "ConfigMap", "name": "c", "uid": "other"}
    owner = replica_set("web-1")
    patch = ownership.adopted({"resourceVersion": "7", "ownerReferences": [other]}, owner, REPLICA_SET)
    assert patch["metadata"]["resourceVersion"] == "7"
    assert [one["uid"] for one in patch["metadata"]["ownerReferences"]] == ["other", "web-1-uid"]
    metadata = patch["metadata"]
    assert ownership.released(metadata, "web-1-uid")["metadata"]["ownerReferences"] == [other]
    alone = {"resourceVersion": "8", "ownerReferences": [other]}
    assert ownership.released(alone, "other")["metadata"]["ownerReferences"] is None
