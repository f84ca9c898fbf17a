from __future__ import annotations

from typing import Any

import pytest

from mizzen.cluster.workloads import revisions
from workload_objects import deployment, replica_set, template

_SIZES = revisions.size_annotations(3, 4)


def test_a_new_replica_set_is_tied_to_its_template_by_hash() -> None:
    web = deployment(replicas=3, minReadySeconds=5, metadata={"annotations": {"team": "a"}})
    body = revisions.replica_set(web, 2, _SIZES, 7)
    code = body["metadata"]["labels"]["pod-template-hash"]
    assert body["metadata"]["name"] == f"web-{code}"
    assert body["spec"]["selector"]["matchLabels"] == {"app": "web", "pod-template-hash": code}
    assert body["spec"]["template"]["metadata"]["labels"] == {"app": "web", "pod-template-hash": code}
    assert body["spec"]["replicas"] == 2
    assert body["spec"]["minReadySeconds"] == 5
    assert body["metadata"]["annotations"] == {
        "team": "a",
        "deployment.kubernetes.io/revision": "7",
        "deployment.kubernetes.io/desired-replicas": "3",
        "deployment.kubernetes.io/max-replicas": "4",
    }
    [owner] = body["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"], owner["controller"], owner["blockOwnerDeletion"]) == (
        "Deployment",
        "d-uid",
        True,
        True,
    )


def test_the_hash_follows_the_template_and_the_collisions_and_nothing_else() -> None:
    plain = template()
    assert revisions.template_hash(plain, 0) == revisions.template_hash(template(**{"pod-template-hash": "x"}), 0)
    reordered = {"spec": plain["spec"], "metadata": plain["metadata"]}
    assert revisions.template_hash(plain, 0) == revisions.template_hash(reordered, 0)
    different = {revisions.template_hash(plain, n) for n in range(3)} | {revisions.template_hash(template("b"), 0)}
    assert len(different) == 4


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({}, True),
        ({"metadata": {"creationTimestamp": None, "labels": {"app": "web", "pod-template-hash": "abc"}}}, True),
        ({"metadata": {"labels": {"app": "other"}}}, False),
        ({"metadata": {"labels": {"app": "web"}, "annotations": {"kubectl.kubernetes.io/restartedAt": "now"}}}, False),
        ({"spec": {}}, False),
    ],
)
def test_templates_are_one_revision_when_they_differ_in_the_hash_alone(change: dict[str, Any], same: bool) -> None:
    assert revisions.same_template(template(), template() | change) is same


def test_the_oldest_of_several_that_fit_is_the_present_one() -> None:
    web = deployment(image="a:2")
    older, newer = replica_set("b", image="a:2", age=50), replica_set("a", image="a:2", age=20)
    other = replica_set("c", image="a:1", age=90)
    new, old = revisions.new_and_old(web, [newer, other, older])
    assert new is older
    assert old == [other, newer]


@pytest.mark.parametrize(
    ("new", "old", "web", "patch"),
    [
        pytest.param({"revision": 2}, [1], {}, {}, id="nothing to do"),
        pytest.param(
            {"revision": 1},
            [2, 5],
            {},
            {
                "metadata": {
                    "annotations": {
                        "deployment.kubernetes.io/revision": "6",
                        "deployment.kubernetes.io/revision-history": "1",
                    }
                }
            },
            id="back again",
        ),
        pytest.param(
            {"revision": 6, "annotations": {"deployment.kubernetes.io/revision-history": "1"}},
            [7],
            {},
            {
                "metadata": {
                    "annotations": {
                        "deployment.kubernetes.io/revision": "8",
                        "deployment.kubernetes.io/revision-history": "1,6",
                    }
                }
            },
            id="and again",
        ),
        pytest.param({"revision": 2}, [1], {"minReadySeconds": 9}, {"spec": {"minReadySeconds": 9}}, id="minReady"),
        pytest.param(
            {"revision": 2},
            [1],
            {
                "metadata": {
                    "annotations": {"kubernetes.io/change-cause": "why", "deployment.kubernetes.io/revision": "2"}
                }
            },
            {"metadata": {"annotations": {"kubernetes.io/change-cause": "why"}}},
            id="the change cause, for kubectl rollout history",
        ),
    ],
)
def test_what_a_present_replica_set_has_to_learn(
    new: dict[str, Any], old: list[int], web: dict[str, Any], patch: dict[str, Any]
) -> None:
    present = replica_set("new", **new)
    others = [replica_set(f"old{number}", image="b", revision=number) for number in old]
    assert revisions.amendment(deployment(**web), present, others) == patch


def test_a_long_history_loses_its_beginning() -> None:
    history = ",".join(str(number) for number in range(1000, 1500))
    present = replica_set("new", revision=1, annotations={"deployment.kubernetes.io/revision-history": history})
    patch = revisions.amendment(deployment(), present, [replica_set("old", image="b", revision=2000)])
    longer = patch["metadata"]["annotations"]["deployment.kubernetes.io/revision-history"]
    assert len(longer) <= 2000
    assert longer.endswith(",1499,1")
