"""The table itself: changes of one object, caching, Services' names, and hosts of any shape."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_objects import backend, ingress, rule, service
from mizzen.cluster.gateway import ingress as ingresses
from mizzen.cluster.gateway import service as services
from mizzen.cluster.gateway.routes import Origin, Table, is_authority, split_authority


def put(table, one):
    if one.kind == "Service":
        table.put(services.origin(one), services.compile_service(one))
    else:
        table.put(ingresses.origin(one), ingresses.compile_ingress(one))


def asked(table, host, path="/"):
    route = table.resolve(host.encode(), b"GET", path.encode(), [])
    return None if route is None else str(route.action.choose().backend)


def simple(name, *hosts, to=None):
    return ingress(name, *(rule(host, ("/", "Prefix", backend(to or name))) for host in hosts))


def test_a_change_of_one_object_is_seen_at_once_and_nowhere_else():
    table = Table()
    for number in range(1000):
        put(table, simple(f"m{number}", f"m{number}.example.com", f"m{number}-predictor.example.com"))
    assert len(table) == 2000
    for number in (0, 500, 999):
        assert asked(table, f"m{number}.example.com") == f"default/m{number}:80"
        assert asked(table, f"m{number}-predictor.example.com") == f"default/m{number}:80"
    put(table, simple("m500", "m500.example.com", "renamed.example.com", to="other"))
    assert asked(table, "m500.example.com") == "default/other:80"
    assert asked(table, "renamed.example.com") == "default/other:80"
    assert asked(table, "m500-predictor.example.com") is None
    table.remove(Origin("Ingress", "default", "m499"))
    assert asked(table, "m499.example.com") is None
    assert asked(table, "m498.example.com") == "default/m498:80"
    assert Origin("Ingress", "default", "m499") not in table
    assert Origin("Ingress", "default", "m498") in table


def test_an_object_that_no_longer_asks_for_anything_is_forgotten():
    table = Table()
    put(table, simple("one", "a.example.com"))
    put(table, ingress("one"))
    assert len(table) == 0
    table.remove(Origin("Ingress", "default", "one"))
    table.remove(Origin("Ingress", "default", "never seen"))


def test_lookups_do_not_sort_or_search_again():
    """A thousand hosts cost one host's lookup no more than two do: the table keeps what it has found."""
    table = Table()
    for number in range(1000):
        put(table, simple(f"m{number}", f"m{number}.example.com"))
    first = table.routes_of(b"m7.example.com")
    assert table.routes_of(b"m7.example.com") is first


def test_hosts_that_clients_make_up_do_not_fill_the_memory():
    table = Table()
    put(table, simple("one", "a.example.com"))
    for number in range(25_000):
        assert table.resolve(b"x%d.example.org" % number, b"GET", b"/", []) is None
    assert len(table._seen) <= 10_000
    assert asked(table, "a.example.com") == "default/one:80"


# Services


@pytest.mark.parametrize(
    ("host", "port"),
    [
        ("iris.models", 80),
        ("iris.models.svc", 80),
        ("iris.models.svc.cluster.local", 80),
        ("IRIS.models.svc.cluster.local.", 80),
        ("iris.models.svc.cluster.local:80", 80),
        ("iris.models:9000", 9000),
        # The gateway's own port stands for the default, unless the service has that very port.
        ("iris.models:18080", 80),
        ("iris.models:81", None),
        ("iris", None),
        ("iris.models.svc.example.org", None),
        ("iris.default", None),
    ],
)
def test_services_by_their_names(host, port):
    table = Table(own_port=18080)
    put(table, service("iris", 80, {"port": 9000, "name": "grpc"}, {"port": 53, "protocol": "UDP"}, namespace="models"))
    assert asked(table, host) == (None if port is None else f"models/iris:{port}")


def test_a_service_that_has_the_gateways_own_port_is_meant_by_it():
    table = Table(own_port=8080)
    put(table, service("iris", 80, 8080))
    assert asked(table, "iris.default:8080") == "default/iris:8080"


def test_a_headless_service_is_known_by_its_pods_ports_too():
    table = Table()
    put(table, service("iris", {"port": 80, "targetPort": 8080}, clusterIP="None"))
    assert asked(table, "iris.default:80") == "default/iris:80"
    assert asked(table, "iris.default:8080") == "default/iris:8080"


def test_what_somebody_wants_a_name_to_mean_comes_before_the_service_of_that_name():
    table = Table()
    put(table, service("iris", 80))
    put(table, ingress("one", rule("iris.default", ("/v2", "Prefix", backend("other")))))
    assert asked(table, "iris.default", "/v2/models") == "default/other:80"
    assert asked(table, "iris.default", "/v1/models") == "default/iris:80"
    put(table, ingress("two", rule("iris.default", ("/", "Prefix", backend("all")))))
    assert asked(table, "iris.default", "/v1/models") == "default/all:80"


# Hosts


@pytest.mark.parametrize(
    ("authority", "expected"),
    [
        (b"example.com", ("example.com", None)),
        (b"Example.COM:8080", ("example.com", 8080)),
        (b"example.com.:8080", ("example.com", 8080)),
        (b"example.com:", ("example.com", None)),
        (b"[::1]", ("[::1]", None)),
        (b"[::1]:80", ("[::1]", 80)),
        (b"", ("", None)),
    ],
)
def test_an_authority_is_a_host_and_perhaps_a_port(authority, expected):
    assert is_authority(authority)
    assert split_authority(authority) == expected


@pytest.mark.parametrize(
    "authority",
    [
        *(
            b"a b",
            b"a/b",
            b"a,b",
            b"user@a",
            b"a:b",
            b"a:123456",
            b"::1",
            b"[::1",
            b"a\tb",
            b"\xc3\xa9.com",
            b"a#b",
            b"a?b",
        ),
        *(b"a%20b", b'a"b', b"a\\b", b"<a>"),
    ],
)
def test_what_is_no_host_has_no_route_even_where_every_host_has_one(authority):
    table = Table()
    put(table, ingress("any", rule(None, ("/", "Prefix", backend("any"))), defaultBackend=backend("default")))
    assert not is_authority(authority)
    assert table.resolve(authority, b"GET", b"/", []) is None


HOSTS = st.sampled_from(["a.example.com", "b.example.com", "*.example.com", "x.a.example.com", None])
CHANGES = st.lists(
    st.tuples(st.sampled_from("pqrs"), st.lists(HOSTS, max_size=3, unique=True)), min_size=1, max_size=12
)


@given(CHANGES, st.sampled_from(["a.example.com", "c.example.com", "x.a.example.com", "y.x.a.example.com", "z"]))
def test_a_table_that_was_changed_step_by_step_answers_as_one_made_at_once(changes, host):
    stepwise, last = Table(), {}
    for name, hosts in changes:
        one = simple(name, *hosts)
        put(stepwise, one)
        stepwise.resolve(host.encode(), b"GET", b"/", [])
        last[name] = one
    fresh = Table()
    for one in last.values():
        put(fresh, one)
    assert asked(stepwise, host) == asked(fresh, host)
    assert len(stepwise) == len(fresh)


@given(st.binary(max_size=40))
def test_no_bytes_make_a_lookup_fail(authority):
    table = Table()
    put(table, simple("one", "*.example.com", None))
    table.resolve(authority, b"GET", b"/", [])
