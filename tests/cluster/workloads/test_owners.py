"""Who is garbage: the verdicts, and the graph that finds dependents."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mizzen.apis.meta import Object
from mizzen.cluster.workloads import owners
from mizzen.cluster.workloads.owners import Delete, Detach, Item, Keep, State

A, G, W, U = State.ALIVE, State.GONE, State.WAITING, State.UNKNOWN


def _item(uid: str = "x", owned_by: list[str] | None = None, block: bool = True, **metadata: Any) -> Item:
    references = [
        {"apiVersion": "v1", "kind": "ConfigMap", "name": owner, "uid": owner, "blockOwnerDeletion": block}
        for owner in owned_by or ()
    ]
    body = {"metadata": {"name": uid, "uid": uid, "ownerReferences": references} | metadata}
    return Item(("", "configmaps"), ("default", uid), msgspec.convert(body, Object).metadata)


_FOREGROUND = {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["foregroundDeletion"]}


@pytest.mark.parametrize(
    ("states", "dependents", "metadata", "verdict"),
    [
        pytest.param([A], [], {}, Keep(), id="its owner lives"),
        pytest.param([G], [], {}, Delete("Background"), id="its owner is gone"),
        pytest.param([G, G], [], {}, Delete("Background"), id="all are"),
        pytest.param([G, A], [], {}, Detach(frozenset({"0"})), id="one lives on"),
        pytest.param([W, A], [], {}, Detach(frozenset({"0"})), id="one goes, one lives on"),
        pytest.param([U], [], {}, Keep(), id="not known"),
        pytest.param([U, G], [], {}, Keep(), id="not known, the other gone"),
        pytest.param([U, G, A], [], {}, Detach(frozenset({"1"})), id="only what is known to be gone"),
        pytest.param([W], [], {}, Delete("Background"), id="its owner waits for it"),
        pytest.param([W], [_item("d")], {}, Delete("Foreground"), id="and it for others"),
        pytest.param([W], [_item("d", **_FOREGROUND)], {}, Delete("Foreground", unblock=True), id="in a circle"),
        pytest.param([G], [_item("d")], {}, Delete("Background"), id="nobody waits: those below follow later"),
        pytest.param([G], [], {"finalizers": ["orphan"]}, Delete("Orphan"), id="asked to orphan"),
        pytest.param([G], [], {"finalizers": ["foregroundDeletion"]}, Delete("Foreground"), id="asked to wait"),
    ],
)
def test_the_verdict(
    states: list[State], dependents: list[Item], metadata: dict[str, Any], verdict: owners.Verdict
) -> None:
    uids = [str(number) for number in range(len(states))]
    item = _item(owned_by=uids, **metadata)
    assert owners.decide(item, dict(zip(uids, states, strict=True)), dependents) == verdict


def test_only_those_that_say_so_hold_up_their_owner() -> None:
    owner = _item("o", **_FOREGROUND)
    blocking, free = _item("a", ["o", "p"]), _item("b", ["o"], block=False)
    assert owners.blocking(owner, [blocking, free, _item("c", ["p"])]) == [blocking]
    metadata = msgspec.structs.replace(blocking.metadata, owner_references=owners.unblocked(blocking))
    assert owners.blocking(owner, [msgspec.structs.replace(blocking, metadata=metadata)]) == []


def test_references_are_dropped_by_uid() -> None:
    assert [one.uid for one in owners.without(_item("a", ["o", "p", "q"]), frozenset({"o", "q"}))] == ["p"]


_names = st.sampled_from("abcdef")
_steps = st.lists(st.tuples(_names, st.none() | st.sets(_names, max_size=3)), max_size=30)


@given(_steps)
def test_the_graph_knows_the_dependents_of_everything_that_was_put_into_it(
    steps: list[tuple[str, set[str] | None]],
) -> None:
    graph, truth = owners.Graph(), dict[str, set[str]]()
    for uid, owned_by in steps:
        if owned_by is None:
            graph.drop(uid)
            truth.pop(uid, None)
        else:
            graph.put(("", "configmaps"), ("default", uid), uid, tuple(owned_by))
            truth[uid] = owned_by
    for uid in "abcdef":
        assert (graph.place(uid) is not None) is (uid in truth)
        assert graph.dependents(uid) == sorted(other for other, owned_by in truth.items() if uid in owned_by)
