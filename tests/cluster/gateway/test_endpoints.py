"""Who answers for a Service, who gets the next request, and what is said when nobody does."""

import pytest

from gateway_objects import service, slice_of
from mizzen.cluster.gateway.action import Backend
from mizzen.cluster.gateway.endpoints import Endpoints
from mizzen.cluster.gateway.errors import Unavailable

IRIS = Backend("default", "iris", 80)


def endpoints(one=None, *slices):
    found = Endpoints()
    found.put_service(one or service("iris", 80))
    for each in slices:
        found.put_slice("iris", each)
    return found


def everyone(found, backend=IRIS):
    return {(one.host, one.port) for one in (found.pick(backend, 0.0) for _ in range(200))}


def test_ports_by_number_and_by_name_lead_to_the_pods_ports():
    one = service("iris", {"port": 80, "name": "http"}, {"port": 9000, "name": "grpc"})
    found = endpoints(
        one,
        slice_of("iris", ["127.1.0.1"], 8080, port_name="http"),
    )
    grpc = slice_of("iris", ["127.1.0.1"], 8081, port_name="grpc")
    grpc.metadata.name = "second"
    found.put_slice("iris", grpc)
    assert everyone(found) == everyone(found, IRIS._replace(port="http")) == {("127.1.0.1", 8080)}
    assert everyone(found, IRIS._replace(port=9000)) == {("127.1.0.1", 8081)}


def test_only_ready_endpoints_are_asked():
    found = endpoints(None, slice_of("iris", ["127.1.0.1", "127.1.0.2"], 8080))
    mixed = slice_of("iris", ["127.1.0.3", "127.1.0.4"], 8080)
    mixed.metadata.name = "mixed"
    mixed.endpoints[0].conditions.ready = False
    mixed.endpoints[1].conditions.ready = True
    found.put_slice("iris", mixed)
    assert everyone(found) == {("127.1.0.1", 8080), ("127.1.0.2", 8080), ("127.1.0.4", 8080)}


def test_pods_that_leave_but_serve_are_better_than_nobody():
    leaving = slice_of("iris", ["127.1.0.1"], 8080, ready=False, serving=True, terminating=True)
    found = endpoints(None, leaving)
    assert everyone(found) == {("127.1.0.1", 8080)}
    new = slice_of("iris", ["127.1.0.2"], 8080)
    new.metadata.name = "new"
    found.put_slice("iris", new)
    assert everyone(found) == {("127.1.0.2", 8080)}


def test_the_less_busy_of_two_gets_the_request():
    found = endpoints(None, slice_of("iris", ["127.1.0.1", "127.1.0.2"], 8080))
    busy = found.pick(IRIS, 0.0)
    busy.under_way = 1
    assert all(found.pick(IRIS, 0.0) is not busy for _ in range(50))


def test_requests_under_way_spread():
    found = endpoints(None, slice_of("iris", [f"127.1.0.{n}" for n in range(1, 11)], 8080))
    seen = set()
    for _ in range(1000):
        one = found.pick(IRIS, 0.0)
        one.under_way += 1
        seen.add(one)
    loads = [one.under_way for one in seen]
    assert len(loads) == 10
    # Taken at random, the busiest of ten would have some 18 more than its share; of two the better, hardly 3.
    assert max(loads) <= 110


def test_who_refused_is_left_aside_for_a_moment_but_asked_when_nobody_else_is_there():
    found = endpoints(None, slice_of("iris", ["127.1.0.1", "127.1.0.2"], 8080))
    bad = found.pick(IRIS, 10.0)
    bad.failed(10.0)
    assert all(found.pick(IRIS, 10.1) is not bad for _ in range(50))
    good = found.pick(IRIS, 10.1)
    assert found.pick(IRIS, 10.1, [good]) is bad
    assert {found.pick(IRIS, 12.0) for _ in range(100)} == {good, bad}
    with pytest.raises(Unavailable, match="none of its 2 ready endpoints answers"):
        found.pick(IRIS, 10.1, [good, bad])


def test_an_endpoint_stays_the_same_while_a_slice_names_it():
    found = endpoints(None, slice_of("iris", ["127.1.0.1"], 8080))
    one = found.pick(IRIS, 0.0)
    one.under_way = 5
    found.put_slice("iris", slice_of("iris", ["127.1.0.1", "127.1.0.2"], 8080))
    other = found.pick(IRIS, 0.0)
    assert other is not one
    assert found.pick(IRIS, 0.0, [other]) is one
    found.put_slice("iris", slice_of("iris", ["127.1.0.2"], 8080))
    found.put_slice("iris", slice_of("iris", ["127.1.0.1"], 8080))
    assert found.pick(IRIS, 0.0).under_way == 0


def test_a_headless_service_answers_on_its_pods_ports():
    one = service("iris", {"port": 80, "targetPort": 8080}, clusterIP="None")
    found = endpoints(one, slice_of("iris", ["127.1.0.1"], 8080))
    assert everyone(found, IRIS._replace(port=8080)) == {("127.1.0.1", 8080)}
    assert everyone(found) == {("127.1.0.1", 8080)}
    with pytest.raises(Unavailable, match="no port 81"):
        found.pick(IRIS._replace(port=81), 0.0)


def gone():
    found = endpoints(None, slice_of("iris", ["127.1.0.1"], 8080))
    found.remove_service("default", "iris")
    return found


@pytest.mark.parametrize(
    ("found", "backend", "said"),
    [
        (Endpoints(), IRIS, "there is no service iris in namespace default"),
        (gone(), IRIS, "there is no service iris in namespace default"),
        (endpoints(service("iris", {"port": 81, "name": "web"}, 82)), IRIS, "has no port 80; its ports: 81 (web), 82"),
        (endpoints(), IRIS, "no pod runs for it"),
        (endpoints(None, slice_of("iris", ["127.1.0.1"], 8080, ready=False)), IRIS, "its only pod is not ready"),
        (
            endpoints(None, slice_of("iris", ["127.1.0.1", "127.1.0.2"], 8080, ready=False)),
            IRIS,
            "none of its 2 pods is ready",
        ),
        (endpoints(service("iris", 80, type="ExternalName", externalName="example.com")), IRIS, "ExternalName"),
    ],
)
def test_nobody_is_there_for_a_reason(found, backend, said):
    with pytest.raises(Unavailable) as refused:
        found.pick(backend, 0.0)
    assert said in str(refused.value)


def test_slices_and_services_come_and_go_in_any_order():
    found = Endpoints()
    found.put_slice("iris", slice_of("iris", ["127.1.0.1"], 8080))
    assert not found.has_service("default", "iris")
    found.put_service(service("iris", 80))
    assert found.has_port(IRIS) and not found.has_port(IRIS._replace(port=81))
    assert everyone(found) == {("127.1.0.1", 8080)}
    found.remove_slice("default", "iris", "iris-abcde")
    found.remove_slice("default", "iris", "never-seen")
    with pytest.raises(Unavailable):
        found.pick(IRIS, 0.0)
    found.remove_service("default", "iris")
    found.remove_service("default", "never-seen")
    assert found._services == {}
