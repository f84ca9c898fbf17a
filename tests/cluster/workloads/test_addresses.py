"""What a service's pods make of its slices and its Endpoints object."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mizzen.apis.core import Pod
from mizzen.cluster.workloads import addresses
from workload_objects import pod, service

_DELETED = {"deletionTimestamp": "2026-01-01T00:00:00Z"}
_NAMED = {"containers": [{"name": "main", "ports": [{"name": "http", "containerPort": 9000}]}]}


def _stored(plan: addresses.SlicePlan, present: list[dict[str, Any]] | None = None) -> list[dict[str, Any]]:
    """The slices after the plan was carried out, as the API would hold them."""
    by_name = {one["metadata"]["name"]: one for one in present or ()}
    for body in plan.update:
        by_name[body["metadata"]["name"]] = body
    for name in plan.delete:
        del by_name[name]
    number = len(by_name)
    for body in plan.create:
        while f"web-{number}" in by_name:
            number += 1
        metadata = {key: value for key, value in body["metadata"].items() if key != "generateName"}
        by_name[f"web-{number}"] = body | {"metadata": metadata | {"name": f"web-{number}", "resourceVersion": "1"}}
    return list(by_name.values())


@pytest.mark.parametrize(
    ("found", "patient", "conditions"),
    [
        (pod(), False, (True, True, False)),
        (pod(ready=None), False, (False, False, False)),
        (pod(ready=None), True, (True, False, False)),
        (pod(**_DELETED), False, (False, True, True)),
        (pod(ready=None, **_DELETED), False, (False, False, True)),
        (pod(**_DELETED), True, (True, True, True)),
        (pod(phase="Failed"), False, None),
        (pod(phase="Succeeded"), True, None),
        (pod(ip=""), True, None),
    ],
)
def test_readiness_of_an_endpoint(found: Pod, patient: bool, conditions: tuple[bool, ...] | None) -> None:
    web = service(publishNotReadyAddresses=patient)
    [one] = addresses.plan_slices(web, [found], []).create
    told = [tuple(endpoint["conditions"].values()) for endpoint in one["endpoints"]]
    assert told == ([conditions] if conditions else [])


def test_a_slice_says_where_it_belongs_and_who_answers() -> None:
    [one] = addresses.plan_slices(service(), [pod("p", ip="127.1.0.1")], []).create
    assert one["metadata"]["labels"] == {
        "app": "web",
        "kubernetes.io/service-name": "web",
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
    }
    assert one["metadata"]["ownerReferences"][0]["uid"] == "s-uid"
    assert one["addressType"] == "IPv4"
    assert one["ports"] == [{"name": "", "port": 8080, "protocol": "TCP"}]
    [endpoint] = one["endpoints"]
    assert endpoint["addresses"] == ["127.1.0.1"]
    assert endpoint["nodeName"] == "n1"
    assert endpoint["targetRef"] == {"kind": "Pod", "namespace": "default", "name": "p", "uid": "p-uid"}


@pytest.mark.parametrize(
    ("port", "spec", "number"),
    [
        ({"port": 80}, {}, 80),
        ({"port": 80, "targetPort": 8080}, {}, 8080),
        ({"port": 80, "targetPort": "8081"}, {}, 8081),
        ({"port": 80, "targetPort": "http"}, _NAMED, 9000),
        ({"port": 80, "targetPort": "grpc"}, _NAMED, None),
        ({"port": 80, "targetPort": "http", "protocol": "UDP"}, _NAMED, None),
        (
            {"port": 80, "targetPort": "http"},
            {"initContainers": [{"restartPolicy": "Always"} | _NAMED["containers"][0]]},
            9000,
        ),
        ({"port": 80, "targetPort": "http"}, {"initContainers": _NAMED["containers"]}, None),
    ],
)
def test_a_port_is_looked_up_in_the_pod(port: dict[str, Any], spec: dict[str, Any], number: int | None) -> None:
    web = service(ports=[port])
    assert addresses.resolve((web.spec.ports or [])[0], pod(spec=spec)) == number


def test_pods_with_different_numbers_for_a_named_port_are_in_different_slices() -> None:
    other = {"containers": [{"name": "main", "ports": [{"name": "http", "containerPort": 9001}]}]}
    web = service(ports=[{"name": "web", "port": 80, "targetPort": "http"}])
    pods = [pod("a", spec=_NAMED), pod("b", spec=other), pod("c", spec=_NAMED)]
    plan = addresses.plan_slices(web, pods, [])
    found = {one["ports"][0]["port"]: [e["targetRef"]["name"] for e in one["endpoints"]] for one in plan.create}
    assert found == {9000: ["a", "c"], 9001: ["b"]}
    subsets = addresses.endpoints_body(web, pods)["subsets"]
    assert [[one["targetRef"]["name"] for one in subset["addresses"]] for subset in subsets] == [["a", "c"], ["b"]]


def test_nothing_is_written_when_nothing_changed() -> None:
    pods = [pod(f"p{i:03}", ip=f"127.1.1.{i % 250}") for i in range(150)]
    stored = _stored(addresses.plan_slices(service(), pods, []))
    assert [len(one["endpoints"]) for one in stored] == [100, 50]
    assert addresses.plan_slices(service(), list(reversed(pods)), stored) == addresses.SlicePlan([], [], [])


def test_a_change_touches_its_own_slice_alone() -> None:
    pods = [pod(f"p{i:03}", ip="127.1.1.1") for i in range(150)]
    stored = _stored(addresses.plan_slices(service(), pods, []))
    pods[3] = pod("p003", ip="127.1.1.1", ready=None)
    plan = addresses.plan_slices(service(), pods, stored)
    assert ([one["metadata"]["name"] for one in plan.update], plan.create, plan.delete) == (["web-0"], [], [])
    stored = _stored(plan, stored)
    # A new pod takes the place of one that goes, and nobody moves.
    plan = addresses.plan_slices(service(), [*pods[1:], pod("new", ip="127.1.1.9")], stored)
    assert [(one["metadata"]["name"], len(one["endpoints"])) for one in plan.update] == [("web-0", 100)]
    assert (plan.create, plan.delete) == ([], [])
    plan = addresses.plan_slices(service(), [*pods, pod("new", ip="127.1.1.9")], stored)
    assert [(one["metadata"]["name"], len(one["endpoints"])) for one in plan.update] == [("web-1", 51)]


def test_the_last_slice_stays_when_the_last_pod_goes_and_is_used_again() -> None:
    [full] = _stored(addresses.plan_slices(service(), [pod()], []))
    plan = addresses.plan_slices(service(), [], [full])
    assert (plan.create, plan.delete) == ([], [])
    [empty] = _stored(plan, [full])
    assert (empty["endpoints"], empty["ports"]) == ([], [])
    assert addresses.plan_slices(service(), [], [empty]) == addresses.SlicePlan([], [], [])
    assert [
        one["metadata"]["name"] for one in _stored(addresses.plan_slices(service(), [pod()], [empty]), [empty])
    ] == ["web-0"]


@settings(deadline=None)
@given(st.lists(st.sets(st.integers(0, 320), max_size=320), min_size=1, max_size=4))
def test_whatever_pods_come_and_go_the_slices_hold_them_all_once(history: list[set[int]]) -> None:
    stored: list[dict[str, Any]] = []
    for numbers in history:
        pods = [pod(f"p{number}", ip="127.1.1.1") for number in numbers]
        stored = _stored(addresses.plan_slices(service(), pods, stored), stored)
        found = [endpoint["targetRef"]["name"] for one in stored for endpoint in one["endpoints"]]
        assert sorted(found) == sorted(one.name for one in pods)
        assert all(len(one["endpoints"]) <= addresses.LARGEST_SLICE for one in stored)
        assert stored
        assert addresses.plan_slices(service(), pods, stored) == addresses.SlicePlan([], [], [])


def test_a_headless_service_without_ports() -> None:
    web = service(ports=[], clusterIP="None")
    found = pod(spec={"hostname": "p-0", "subdomain": "web"})
    [one] = addresses.plan_slices(web, [found], []).create
    assert one["metadata"]["labels"]["service.kubernetes.io/headless"] == ""
    assert (one["ports"], one["endpoints"][0]["hostname"]) == ([], "p-0")
    [subset] = addresses.endpoints_body(web, [found])["subsets"]
    assert "ports" not in subset
    assert subset["addresses"][0]["hostname"] == "p-0"


def test_the_endpoints_object_keeps_those_not_ready_apart() -> None:
    pods = [pod("a", ip="127.1.0.1"), pod("b", ip="127.1.0.2", ready=None), pod("c", ip="127.1.0.3", **_DELETED)]
    body = addresses.endpoints_body(service(), pods)
    [subset] = body["subsets"]
    assert subset["ports"] == [{"port": 8080, "protocol": "TCP"}]
    assert [one["ip"] for one in subset["addresses"]] == ["127.1.0.1"]
    assert [one["ip"] for one in subset["notReadyAddresses"]] == ["127.1.0.2"]
    assert addresses.says_endpoints(body, addresses.endpoints_body(service(), reversed(pods)))
    assert "subsets" not in addresses.endpoints_body(service(), [])


@pytest.mark.parametrize(
    ("spec", "managed"),
    [({}, True), ({"selector": None}, False), ({"selector": {}}, False), ({"type": "ExternalName"}, False)],
)
def test_a_service_that_selects_nobody_is_left_alone(spec: dict[str, Any], managed: bool) -> None:
    assert addresses.is_managed(service(**spec)) is managed
