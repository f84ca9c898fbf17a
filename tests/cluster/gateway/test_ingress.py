"""Ingress objects as routes: whose request goes where."""

import pytest

from gateway_objects import backend, ingress, rule
from mizzen.cluster.gateway.ingress import compile_ingress, origin
from mizzen.cluster.gateway.routes import Table


def table(*ingresses):
    found = Table()
    for one in ingresses:
        found.put(origin(one), compile_ingress(one))
    return found


def asked(found, host, path="/", method=b"GET"):
    """The name of the Service that a request goes to, or None."""
    route = found.resolve(host.encode(), method, path.encode(), [])
    return None if route is None else route.action.choose().backend.service


# Kubernetes' own table of examples, "Ingress: path types".
@pytest.mark.parametrize(
    ("kind", "path", "request_path", "taken"),
    [
        ("Prefix", "/", "/anything/at/all", True),
        ("Exact", "/foo", "/foo", True),
        ("Exact", "/foo", "/bar", False),
        ("Exact", "/foo", "/foo/", False),
        ("Exact", "/foo/", "/foo", False),
        ("Prefix", "/foo", "/foo", True),
        ("Prefix", "/foo", "/foo/", True),
        ("Prefix", "/foo/", "/foo", True),
        ("Prefix", "/foo/", "/foo/", True),
        ("Prefix", "/aaa/bb", "/aaa/bbb", False),
        ("Prefix", "/aaa/bbb", "/aaa/bbb", True),
        ("Prefix", "/aaa/bbb/", "/aaa/bbb", True),
        ("Prefix", "/aaa/bbb", "/aaa/bbb/", True),
        ("Prefix", "/aaa/bbb", "/aaa/bbb/ccc", True),
        ("Prefix", "/aaa/bbb", "/aaa/bbbxyz", False),
        ("Prefix", "/aaa/bbb", "/aaa/bbb?ccc", True),
        ("ImplementationSpecific", "/aaa", "/aaa/bbb", True),
        ("ImplementationSpecific", "", "/aaa/bbb", True),
    ],
)
def test_paths(kind, path, request_path, taken):
    found = table(ingress("one", rule("a.example.com", (path, kind, backend("one")))))
    assert asked(found, "a.example.com", request_path) == ("one" if taken else None)


@pytest.mark.parametrize(
    ("host", "service"),
    [
        ("exact.example.com", "exact"),
        ("EXACT.Example.COM", "exact"),
        ("exact.example.com:8080", "exact"),
        ("exact.example.com.", "exact"),
        ("other.example.com", "wildcard"),
        # An Ingress wildcard stands for one label.
        ("two.labels.example.com", "any"),
        ("example.com", "any"),
        ("127.0.0.1:8080", "any"),
        ("[::1]:8080", "any"),
        ("", "any"),
    ],
)
def test_the_most_specific_host_decides(host, service):
    found = table(
        ingress("any", rule(None, ("/", "Prefix", backend("any")))),
        ingress("wild", rule("*.example.com", ("/", "Prefix", backend("wildcard")))),
        ingress("exact", rule("exact.example.com", ("/", "Prefix", backend("exact")))),
    )
    assert asked(found, host) == service


def test_the_longest_path_wins_and_an_exact_one_before_it():
    found = table(
        ingress(
            "one",
            rule(
                "a.example.com",
                ("/", "Prefix", backend("root")),
                ("/v1", "Prefix", backend("v1")),
                ("/v1/models", "Prefix", backend("models")),
                ("/v1/models", "Exact", backend("list")),
            ),
        )
    )
    paths = ["/", "/v2", "/v1", "/v1/x", "/v1/models", "/v1/models/", "/v1/models/iris"]
    assert [asked(found, "a.example.com", path) for path in paths] == [
        *("root", "root", "v1", "v1", "list", "models", "models")
    ]


def test_a_known_host_without_a_path_for_the_request_has_no_route_even_if_a_wildcard_would():
    found = table(
        ingress("wild", rule("*.example.com", ("/", "Prefix", backend("wildcard")))),
        ingress("one", rule("a.example.com", ("/v1", "Prefix", backend("one")))),
    )
    assert asked(found, "a.example.com", "/v2") is None


def test_a_default_backend_takes_what_nobody_else_does():
    found = table(
        ingress("default", defaultBackend=backend("default")),
        ingress("one", rule("a.example.com", ("/v1", "Prefix", backend("one")))),
    )
    assert asked(found, "a.example.com", "/v1") == "one"
    assert asked(found, "a.example.com", "/v2") == "default"
    assert asked(found, "unheard.of", "/") == "default"


def test_the_older_of_two_that_want_the_same_has_it():
    young = ingress("a", rule("a.example.com", ("/", "Prefix", backend("young"))), created="2026-02-01T00:00:00Z")
    old = ingress("b", rule("a.example.com", ("/", "Prefix", backend("old"))), created="2026-01-01T00:00:00Z")
    for order in ([young, old], [old, young]):
        found = table(*order)
        assert asked(found, "a.example.com") == "old"
        found.remove(origin(old))
        assert asked(found, "a.example.com") == "young"


def test_ports_by_number_and_by_name():
    one = ingress(
        "one", rule("a.example.com", ("/n", "Prefix", backend("s", 8080)), ("/w", "Prefix", backend("s", "web")))
    )
    assert [route.action.targets[0].backend.port for route in compile_ingress(one)] == [8080, "web"]


def test_a_backend_that_is_no_service_is_said():
    one = ingress("one", rule("a.example.com", ("/", "Prefix", {"resource": {"kind": "Bucket", "name": "b"}})))
    [target] = compile_ingress(one)[0].action.targets
    assert target.backend is None and "resource" in target.problem


def test_a_rule_without_paths_leaves_its_host_to_the_default_backend():
    assert asked(table(ingress("one", {"host": "a.example.com"}, defaultBackend=backend("d"))), "a.example.com") == "d"
