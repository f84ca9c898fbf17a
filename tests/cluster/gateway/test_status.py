"""What is said about the objects that are served: conditions, reasons, and when a time changes."""

import msgspec
import pytest

from gateway_objects import gateway, http_route, listener, ref
from mizzen.cluster.gateway import status
from mizzen.cluster.gateway.attachment import CONTROLLER, Attachment

NOW, BEFORE = "2026-02-01T00:00:00Z", "2026-01-01T00:00:00Z"


def by_type(found):
    return {one["type"]: one for one in found}


def attached(route, *, parent=0, **more):
    reference = route.spec.parent_refs[parent]
    return Attachment(parent=reference, gateway=("default", reference.name), **{"listeners": ("http",), **more})


def said(route, attachments, stored=None, problem="", services=True, ports=True):
    return status.route_status(route, stored or {}, attachments, problem, lambda *_: services, lambda _: ports, NOW)[
        "parents"
    ]


def test_an_ingress_is_told_where_the_gateway_is():
    found = status.ingress_status("127.0.0.1", 8080)
    where = {"ip": "127.0.0.1", "ports": [{"port": 8080, "protocol": "TCP"}]}
    assert found == {"loadBalancer": {"ingress": [where]}}
    assert status.ingress_status("gate.example.com", 1)["loadBalancer"]["ingress"][0]["hostname"] == "gate.example.com"


def test_a_route_that_is_served():
    route = http_route("r", {"backendRefs": [ref("iris")]})
    route.metadata.generation = 3
    [parent] = said(route, [attached(route)])
    assert parent["controllerName"] == CONTROLLER
    assert parent["parentRef"] == {"name": "gate", "namespace": "default"}
    found = by_type(parent["conditions"])
    assert {kind: (one["status"], one["reason"]) for kind, one in found.items()} == {
        "Accepted": ("True", "Accepted"),
        "ResolvedRefs": ("True", "ResolvedRefs"),
    }
    assert all(one["observedGeneration"] == 3 and one["lastTransitionTime"] == NOW for one in found.values())


@pytest.mark.parametrize(
    ("reference", "services", "ports", "reason", "text"),
    [
        (ref("iris"), False, False, "BackendNotFound", "no Service iris"),
        (ref("iris", 81), True, False, "BackendNotFound", "no port 81"),
        (ref("iris", kind="Bucket"), True, True, "InvalidKind", "Bucket"),
        (ref("iris", namespace="other"), True, True, "RefNotPermitted", "ReferenceGrant"),
    ],
)
def test_a_backend_that_is_missing(reference, services, ports, reason, text):
    route = http_route("r", {"backendRefs": [reference]})
    [parent] = said(route, [attached(route)], services=services, ports=ports)
    found = by_type(parent["conditions"])
    assert found["Accepted"]["status"] == "True"
    assert (found["ResolvedRefs"]["status"], found["ResolvedRefs"]["reason"]) == ("False", reason)
    assert text in found["ResolvedRefs"]["message"]


def test_a_route_that_is_not_taken_and_one_that_cannot_be_served():
    route = http_route("r")
    refused = attached(route, listeners=(), reason="NotAllowedByListeners", message="no")
    accepted = by_type(said(route, [refused])[0]["conditions"])["Accepted"]
    assert (accepted["status"], accepted["reason"], accepted["message"]) == ("False", "NotAllowedByListeners", "no")
    accepted = by_type(said(route, [attached(route)], problem="spec.rules[0]: no")[0]["conditions"])["Accepted"]
    assert (accepted["status"], accepted["reason"], accepted["message"]) == (
        *("False", "UnsupportedValue", "spec.rules[0]: no"),
    )


def test_what_others_say_about_their_parents_stays_and_what_we_said_about_former_ones_goes():
    route = http_route("r")
    theirs = {"parentRef": {"name": "istio"}, "controllerName": "istio.io/gateway", "conditions": [{"type": "Odd"}]}
    former = {"parentRef": {"name": "former"}, "controllerName": CONTROLLER, "conditions": []}
    found = said(route, [attached(route)], stored={"parents": [theirs, former]})
    assert [one["parentRef"]["name"] for one in found] == ["istio", "gate"]
    assert found[0] == theirs
    assert said(route, [], stored={"parents": [former]}) == []


def test_a_time_changes_with_its_status_only():
    route = http_route("r", {"backendRefs": [ref("iris")]})
    first = said(route, [attached(route)])
    for condition in first[0]["conditions"]:
        condition["lastTransitionTime"] = BEFORE
    same = said(route, [attached(route)], stored={"parents": first})
    assert same == first
    changed = by_type(said(route, [attached(route)], stored={"parents": first}, services=False)[0]["conditions"])
    assert changed["Accepted"]["lastTransitionTime"] == BEFORE
    assert changed["ResolvedRefs"]["lastTransitionTime"] == NOW


def test_two_parents_have_their_own_times():
    route = http_route("r", parentRefs=[{"name": "gate"}, {"name": "gate", "sectionName": "b"}])
    both = [attached(route), attached(route, parent=1)]
    first = said(route, both)
    first[0]["conditions"][0]["lastTransitionTime"] = BEFORE
    again = said(route, both, stored={"parents": first})
    assert [one["conditions"][0]["lastTransitionTime"] for one in again] == [BEFORE, NOW]


def test_a_gateway_and_its_listeners():
    one = gateway("gate", listener("http"), listener("https", 443, "HTTPS"))
    found = status.gateway_status(one, {}, "127.0.0.1", {"http": 7}, NOW)
    assert found["addresses"] == [{"type": "IPAddress", "value": "127.0.0.1"}]
    conditions = by_type(found["conditions"])
    assert (conditions["Accepted"]["status"], conditions["Accepted"]["reason"]) == ("True", "ListenersNotValid")
    assert "HTTPS" in conditions["Accepted"]["message"]
    assert conditions["Programmed"]["status"] == "True"
    http, https = found["listeners"]
    assert (http["name"], http["attachedRoutes"], http["supportedKinds"][0]["kind"]) == ("http", 7, "HTTPRoute")
    assert {kind: each["status"] for kind, each in by_type(http["conditions"]).items()} == {
        "Accepted": "True",
        "Programmed": "True",
        "ResolvedRefs": "True",
        "Conflicted": "False",
    }
    assert (https["attachedRoutes"], https["supportedKinds"]) == (0, [])
    refused = by_type(https["conditions"])["Accepted"]
    assert (refused["status"], refused["reason"]) == ("False", "UnsupportedProtocol")
    assert status.gateway_status(one, found, "127.0.0.1", {"http": 7}, "later") == found


def test_a_gateway_without_a_listener_that_can_be_served():
    found = status.gateway_status(gateway("gate", listener("tls", 443, "TLS")), {}, "127.0.0.1", {}, NOW)
    conditions = by_type(found["conditions"])
    assert (conditions["Accepted"]["status"], conditions["Programmed"]["status"]) == ("False", "False")


def test_what_is_said_can_be_read_as_the_types_have_it():
    """The API checks it against a schema that is made from these types."""
    from mizzen.apis.gateway import GatewayClassStatus, GatewayStatus
    from mizzen.apis.httproute import HTTPRouteStatus
    from mizzen.apis.networking import IngressStatus

    route = http_route("r", {"backendRefs": [ref("iris")]})
    msgspec.convert({"parents": said(route, [attached(route)])}, HTTPRouteStatus)
    msgspec.convert(status.gateway_status(gateway("gate", listener()), {}, "127.0.0.1", {}, NOW), GatewayStatus)
    msgspec.convert(status.class_status({}, 1, NOW), GatewayClassStatus)
    msgspec.convert(status.ingress_status("127.0.0.1", 80), IngressStatus)
