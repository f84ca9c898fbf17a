"""Which Gateways take an HTTPRoute, under which hosts, and what is said about the rest."""

import pytest

from gateway_objects import gateway, http_route, listener
from mizzen.cluster.gateway.attachment import Gateways, covers, intersect

LABELS = {"default": {"team": "a"}, "other": {"team": "b"}}


def attach(route, *gateways, classes=("mizzen",)):
    known = {(one.namespace, one.name): one for one in gateways}
    finder = Gateways(lambda *key: known.get(key), lambda name: name in classes, lambda ns: LABELS.get(ns, {}))
    return finder.attach(route)


def one_of(route, *listeners):
    [found] = attach(route, gateway("gate", *listeners))
    return found


def route(hostnames=None, namespace="default", **parent):
    parents = [{"name": "gate", "namespace": "default", **parent}]
    return http_route("r", hostnames=hostnames, namespace=namespace, parentRefs=parents)


def test_a_route_is_served_under_its_own_hosts():
    found = one_of(route(["a.example.com", "b.example.com"]), listener())
    assert (found.accepted, found.reason) == (True, "Accepted")
    assert (found.hosts, found.listeners) == (("a.example.com", "b.example.com"), ("http",))


def test_a_route_without_hosts_takes_those_of_its_listeners():
    assert one_of(route(), listener()).hosts == ("",)
    assert one_of(route(), listener(hostname="*.example.com")).hosts == ("*.example.com",)


def test_the_narrower_of_both_counts():
    found = one_of(
        route(["a.example.com", "*.example.org", "c.net"]),
        listener("one", hostname="*.example.com"),
        listener("two", hostname="b.example.org"),
        listener("three", hostname="other.net"),
    )
    assert found.hosts == ("a.example.com", "b.example.org")
    assert found.listeners == ("one", "two")


@pytest.mark.parametrize(
    ("wide", "narrow", "expected"),
    [
        ("*.example.com", "a.example.com", True),
        ("*.example.com", "a.b.example.com", True),
        ("*.example.com", "*.b.example.com", True),
        ("*.example.com", "example.com", False),
        ("*.example.com", "badexample.com", False),
        ("a.example.com", "a.example.com", True),
        ("a.example.com", "*.example.com", False),
    ],
)
def test_covering(wide, narrow, expected):
    assert covers(wide, narrow) is expected
    assert intersect([narrow], wide) == ([narrow] if expected else [wide] if covers(narrow, wide) else [])


@pytest.mark.parametrize(
    ("wanted", "listeners", "reason", "said"),
    [
        (route(["a.example.com"]), [listener(hostname="b.example.com")], "NoMatchingListenerHostname", "b.example.com"),
        (route(sectionName="https"), [listener()], "NoMatchingParent", "no listener https; it has http (port 80)"),
        (route(port=81), [listener()], "NoMatchingParent", "port 81"),
        (route(namespace="other"), [listener(allowedRoutes={})], "NotAllowedByListeners", "namespace other"),
        (
            route(namespace="other"),
            [listener(allowedRoutes={"namespaces": {"from": "Selector", "selector": {"matchLabels": {"team": "a"}}}})],
            "NotAllowedByListeners",
            "namespace other",
        ),
        (route(), [listener(allowedRoutes={"kinds": [{"kind": "TCPRoute"}]})], "NotAllowedByListeners", "HTTPRoute"),
        (route(), [listener("https", 443, "HTTPS")], "NotAllowedByListeners", "HTTPRoute"),
        (route(name="nowhere"), [listener()], "NoMatchingParent", "there is no Gateway default/nowhere"),
    ],
)
def test_a_route_that_is_not_taken_is_told_why(wanted, listeners, reason, said):
    found = one_of(wanted, *listeners)
    assert (found.accepted, found.reason, found.hosts) == (False, reason, ())
    assert said in found.message


@pytest.mark.parametrize(
    "allowed",
    [
        {"namespaces": {"from": "All"}},
        {"namespaces": {"from": "Selector", "selector": {"matchLabels": {"team": "b"}}}},
        {"namespaces": {"from": "Selector", "selector": {"matchExpressions": [{"key": "team", "operator": "Exists"}]}}},
        {"namespaces": {"from": "All"}, "kinds": [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute"}]},
    ],
)
def test_listeners_choose_their_namespaces(allowed):
    assert one_of(route(namespace="other"), listener(allowedRoutes=allowed)).accepted


def test_gateways_of_other_controllers_and_parents_of_other_kinds_are_left_alone():
    assert attach(route(), gateway("gate", listener(), class_name="istio")) == []
    assert attach(route(kind="Service", group=""), gateway("gate", listener())) == []


def test_a_parent_in_the_routes_own_namespace_needs_no_namespace():
    mine = http_route("r", namespace="other", parentRefs=[{"name": "gate"}])
    [found] = attach(mine, gateway("gate", listener(allowedRoutes={}), namespace="other"))
    assert found.accepted and found.gateway == ("other", "gate")


def test_every_parent_is_told_for_itself():
    both = http_route("r", parentRefs=[{"name": "gate"}, {"name": "gate", "sectionName": "nope"}])
    assert [one.accepted for one in attach(both, gateway("gate", listener()))] == [True, False]
