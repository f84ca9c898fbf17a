"""Which node a pod gets, and the sentences that say why it gets none."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from mizzen.cluster.workloads.placement import Ledger, Room, Verdict, place
from workload_objects import node, pod


def _asking(**amounts: str) -> dict[str, Any]:
    requests = {name.replace("_", "/"): amount for name, amount in amounts.items()}
    requests = {"nvidia.com/gpu" if name == "gpu" else name: amount for name, amount in requests.items()}
    return {"containers": [{"name": "main", "resources": {"requests": requests}}]}


def _place(spec: dict[str, Any], *rooms: Room, overcommit: bool = True) -> Verdict:
    return place(pod(node="", spec=spec), rooms, overcommit=overcommit)


_GPU = {"nvidia.com/gpu": "2"}


def _affinity(*expressions: dict[str, Any], fields: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    terms = [{"matchExpressions": list(expressions)} | ({"matchFields": fields} if fields else {})]
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
    return {"affinity": {"nodeAffinity": required}}


_OS = "kubernetes.io/os"


@pytest.mark.parametrize(
    ("spec", "room", "why"),
    [
        pytest.param({}, Room(node()), "", id="nothing asked"),
        pytest.param(_asking(cpu="100", memory="1Ti"), Room(node()), "", id="cpu and memory are weights"),
        pytest.param(_asking(gpu="1"), Room(node()), "1 Insufficient nvidia.com/gpu", id="no such device"),
        pytest.param(_asking(gpu="2"), Room(node(allocatable=_GPU)), "", id="devices"),
        pytest.param(
            _asking(gpu="2"),
            Room(node(allocatable=_GPU), 1, {"nvidia.com/gpu": Decimal(1)}),
            "1 Insufficient nvidia.com/gpu",
            id="a device is taken",
        ),
        pytest.param(_asking(gpu="0"), Room(node()), "", id="none of a device"),
        pytest.param({}, Room(node(), 110), "1 Too many pods", id="full"),
        pytest.param({"nodeSelector": {_OS: "linux"}}, Room(node()), "", id="selector"),
        pytest.param(
            {"nodeSelector": {"gpu": "a100"}},
            Room(node()),
            "1 node(s) didn't match Pod's node affinity/selector",
            id="selector that nothing matches",
        ),
        pytest.param(_affinity({"key": _OS, "operator": "In", "values": ["linux"]}), Room(node()), "", id="In"),
        pytest.param(_affinity({"key": "x", "operator": "NotIn", "values": ["y"]}), Room(node()), "", id="NotIn"),
        pytest.param(_affinity({"key": "x", "operator": "DoesNotExist"}), Room(node()), "", id="DoesNotExist"),
        pytest.param(
            _affinity({"key": "x", "operator": "Exists"}),
            Room(node()),
            "1 node(s) didn't match Pod's node affinity/selector",
            id="Exists",
        ),
        pytest.param(
            _affinity({"key": "n", "operator": "Gt", "values": ["3"]}), Room(node(labels={"n": "4"})), "", id="Gt"
        ),
        pytest.param(
            _affinity({"key": "n", "operator": "Lt", "values": ["3"]}),
            Room(node(labels={"n": "4"})),
            "1 node(s) didn't match Pod's node affinity/selector",
            id="Lt",
        ),
        pytest.param(
            _affinity(fields=[{"key": "metadata.name", "operator": "In", "values": ["n1"]}]),
            Room(node()),
            "",
            id="field",
        ),
        pytest.param(
            _affinity(), Room(node()), "1 node(s) didn't match Pod's node affinity/selector", id="an empty term"
        ),
        pytest.param({}, Room(node(unschedulable=True)), "1 node(s) were unschedulable", id="cordoned"),
        pytest.param(
            {"tolerations": [{"key": "node.kubernetes.io/unschedulable", "operator": "Exists"}]},
            Room(node(unschedulable=True)),
            "",
            id="cordoned and tolerated",
        ),
        pytest.param(
            {},
            Room(node(taints=[{"key": "team", "value": "a", "effect": "NoSchedule"}])),
            "1 node(s) had untolerated taint {team: a}",
            id="taint",
        ),
        pytest.param(
            {}, Room(node(taints=[{"key": "team", "effect": "PreferNoSchedule"}])), "", id="a taint that is a wish"
        ),
        pytest.param(
            {"tolerations": [{"key": "team", "value": "a", "effect": "NoSchedule"}]},
            Room(node(taints=[{"key": "team", "value": "a", "effect": "NoSchedule"}])),
            "",
            id="tolerated",
        ),
        pytest.param(
            {"tolerations": [{"key": "team", "value": "b"}]},
            Room(node(taints=[{"key": "team", "value": "a", "effect": "NoSchedule"}])),
            "1 node(s) had untolerated taint {team: a}",
            id="another value is tolerated",
        ),
        pytest.param(
            {"tolerations": [{"operator": "Exists"}]},
            Room(node(ready="False", taints=[{"key": "team", "effect": "NoExecute"}])),
            "",
            id="everything is tolerated",
        ),
        pytest.param(
            {},
            Room(node(ready="False")),
            "1 node(s) had untolerated taint {node.kubernetes.io/not-ready: }",
            id="not ready",
        ),
        pytest.param(
            {},
            Room(node(ready="Unknown")),
            "1 node(s) had untolerated taint {node.kubernetes.io/unreachable: }",
            id="lost",
        ),
    ],
)
def test_whether_a_node_takes_a_pod(spec: dict[str, Any], room: Room, why: str) -> None:
    expected = Verdict(message=f"0/1 nodes are available: {why}.") if why else Verdict(node="n1")
    assert _place(spec, room) == expected


def test_without_overcommit_every_shortage_is_named() -> None:
    verdict = _place(_asking(cpu="5", memory="9Gi"), Room(node()), overcommit=False)
    assert verdict.message == "0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient memory."
    assert _place(_asking(cpu="4", memory="8Gi"), Room(node()), overcommit=False).node == "n1"


def test_the_reasons_of_several_nodes_are_counted() -> None:
    rooms = [Room(node("a")), Room(node("b")), Room(node("c", unschedulable=True))]
    verdict = _place(_asking(gpu="1"), *rooms)
    assert verdict.message == ("0/3 nodes are available: 1 node(s) were unschedulable, 2 Insufficient nvidia.com/gpu.")
    assert _place({}).message == "no nodes available to schedule pods"


def test_the_emptiest_node_is_chosen() -> None:
    rooms = [
        Room(node("a"), 1, {"cpu": Decimal(2)}),
        Room(node("b"), 3, {"cpu": Decimal(1)}),
        Room(node("c"), 0, {"cpu": Decimal(3)}),
    ]
    assert _place(_asking(cpu="1"), *rooms).node == "b"
    assert _place({}, Room(node("b"), 2), Room(node("a"), 3)).node == "b"


def test_the_ledger_counts_each_pod_once_and_gives_back() -> None:
    ledger, one = Ledger(), node()
    ledger.put("a", "n1", {"nvidia.com/gpu": Decimal(1)})
    ledger.put("b", "n1", {"nvidia.com/gpu": Decimal(2)})
    ledger.put("a", "n1", {"nvidia.com/gpu": Decimal(1)})
    assert (ledger.room(one).pods, ledger.room(one).used) == (2, {"nvidia.com/gpu": Decimal(3)})
    assert ledger.drop("b")
    assert not ledger.drop("b")
    assert (ledger.room(one).pods, ledger.room(one).used) == (1, {"nvidia.com/gpu": Decimal(1)})
    ledger.put("a", "n2", {})
    assert (ledger.node_of("a"), ledger.room(one).pods) == ("n2", 0)
