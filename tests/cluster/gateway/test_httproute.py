"""HTTPRoutes as routes: matching, precedence, filters, weights, and what is refused in words."""

import pytest

from gateway_objects import http_route, matching, ref
from mizzen.cluster.gateway.action import HeaderEdits, PathEdit, Redirect, Rewrite
from mizzen.cluster.gateway.errors import Unsupported
from mizzen.cluster.gateway.httproute import compile_http_route, duration, origin
from mizzen.cluster.gateway.routes import Table

HOST = "a.example.com"


def table(*routes, hosts=(HOST,)):
    found = Table()
    for one in routes:
        found.put(origin(one), compile_http_route(one, hosts))
    return found


def asked(found, path="/", method=b"GET", headers=(), host=HOST):
    route = found.resolve(host.encode(), method, path.encode(), list(headers))
    return None if route is None else route.action.targets[0].backend.service


def to(name, *matches, **more):
    return {"matches": list(matches), "backendRefs": [ref(name)], **more}


@pytest.mark.parametrize(
    ("match", "request_", "taken"),
    [
        (matching("/v1"), {"path": "/v1/models"}, True),
        (matching("/v1"), {"path": "/v1beta"}, False),
        (matching("/v1", "Exact"), {"path": "/v1"}, True),
        (matching("/v1", "Exact"), {"path": "/v1/"}, False),
        # A pattern has to match the whole path, as in Envoy.
        (matching("^/.*$", "RegularExpression"), {"path": "/any/thing"}, True),
        (matching("/v1", "RegularExpression"), {"path": "/v1/models"}, False),
        (matching(r"^/v1/models/[\w-]+:explain$", "RegularExpression"), {"path": "/v1/models/a-b:explain"}, True),
        (matching(r"^/v1/models/[\w-]+:explain$", "RegularExpression"), {"path": "/v1/models/a-b:predict"}, False),
        (matching(r"^/v1$", "RegularExpression"), {"path": "/v1?x=/v2"}, True),
        (matching(method="POST"), {"method": b"POST"}, True),
        (matching(method="POST"), {"method": b"GET"}, False),
        (matching(headers=[{"name": "X-Canary", "value": "yes"}]), {"headers": [(b"x-canary", b"yes")]}, True),
        (matching(headers=[{"name": "X-Canary", "value": "yes"}]), {"headers": [(b"x-canary", b"Yes")]}, False),
        (matching(headers=[{"name": "X-Canary", "value": "yes"}]), {}, False),
        (
            matching(headers=[{"name": "a", "value": "1"}, {"name": "b", "value": "2"}]),
            {"headers": [(b"a", b"1")]},
            False,
        ),
        (
            matching(headers=[{"name": "content-type", "value": "^application/grpc.*", "type": "RegularExpression"}]),
            {"headers": [(b"content-type", b"application/grpc+proto")]},
            True,
        ),
        (matching(headers=[{"name": "a", "value": "1,2"}]), {"headers": [(b"a", b"1"), (b"a", b"2")]}, True),
        (matching(queryParams=[{"name": "v", "value": "a b"}]), {"path": "/x?u=1&v=a+b"}, True),
        (matching(queryParams=[{"name": "v", "value": "a b"}]), {"path": "/x?v=a%20b"}, True),
        (matching(queryParams=[{"name": "v", "value": "2"}]), {"path": "/x?V=2"}, False),
        (matching(queryParams=[{"name": "v", "value": "2"}]), {"path": "/x"}, False),
        ({}, {"path": "/any"}, True),
    ],
)
def test_conditions(match, request_, taken):
    assert asked(table(http_route("one", to("one", match))), **request_) == ("one" if taken else None)


def test_a_rule_without_matches_takes_everything():
    assert asked(table(http_route("one", {"backendRefs": [ref("one")]})), "/any") == "one"


def test_precedence_within_a_route_goes_by_what_is_most_specific_and_then_by_place():
    found = table(
        http_route(
            "one",
            to("root", matching("/")),
            to("pattern", matching("^/v2/.*$", "RegularExpression")),
            to("short", matching("/v1")),
            to("long", matching("/v1/models")),
            to("long-again", matching("/v1/models")),
            to("exact", matching("/v1/models", "Exact")),
            to("post", matching("/v1/models", method="POST")),
            to("header", matching("/v1/models", headers=[{"name": "a", "value": "1"}])),
            to("headers", matching("/v1/models", headers=[{"name": "a", "value": "1"}, {"name": "b", "value": "1"}])),
            to("query", matching("/v1/models", queryParams=[{"name": "q", "value": "1"}])),
        )
    )
    a, b = (b"a", b"1"), (b"b", b"1")
    assert asked(found, "/") == "root"
    assert asked(found, "/v2/x") == "pattern"
    assert asked(found, "/v1/x") == "short"
    assert asked(found, "/v1/models/iris") == "long"
    assert asked(found, "/v1/models") == "exact"
    assert asked(found, "/v1/models/iris", method=b"POST", headers=[a]) == "post"
    assert asked(found, "/v1/models/iris", headers=[a]) == "header"
    assert asked(found, "/v1/models/iris?q=1", headers=[a, b]) == "headers"
    assert asked(found, "/v1/models/iris?q=1") == "query"


def test_the_explainer_is_asked_before_the_predictor_as_kserve_renders_them():
    explain = to("explainer", matching(r"^/v1/models/[\w-]+:explain$", "RegularExpression"))
    rest = to("predictor", matching("^/.*$", "RegularExpression"))
    found = table(http_route("iris", explain, rest))
    assert asked(found, "/v1/models/iris:explain", b"POST") == "explainer"
    assert asked(found, "/v1/models/iris:predict", b"POST") == "predictor"


def test_a_path_prefix_comes_before_a_pattern_that_takes_everything():
    rest = to("all", matching("^/.*$", "RegularExpression"))
    found = table(http_route("iris", rest, to("prefixed", matching("/serving/default/iris"))))
    assert asked(found, "/serving/default/iris/v1/models") == "prefixed"


def test_of_two_routes_the_older_is_asked_first():
    young = http_route("a", to("young"), created="2026-02-01T00:00:00Z")
    old = http_route("b", to("old"), created="2026-01-01T00:00:00Z")
    assert asked(table(young, old)) == asked(table(old, young)) == "old"


def test_wildcards_stand_for_any_number_of_labels():
    found = table(http_route("one", to("one")), hosts=["*.example.com"])
    assert asked(found, host="a.example.com") == asked(found, host="b.a.example.com") == "one"
    assert asked(found, host="example.com") is None


def test_filters_are_read():
    [route] = compile_http_route(
        http_route(
            "one",
            to(
                "one",
                matching("/old"),
                filters=[
                    {
                        "type": "RequestHeaderModifier",
                        "requestHeaderModifier": {
                            "set": [{"name": "KServe-Isvc-Name", "value": "iris"}],
                            "add": [{"name": "X-A", "value": "1"}],
                            "remove": ["X-B"],
                        },
                    },
                    {"type": "ResponseHeaderModifier", "responseHeaderModifier": {"remove": ["Server"]}},
                    {
                        "type": "URLRewrite",
                        "urlRewrite": {
                            "hostname": "b.example.com",
                            "path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/new"},
                        },
                    },
                ],
                timeouts={"request": "1m30s"},
            ),
        ),
        [HOST],
    )
    assert route.action.request == HeaderEdits(
        set=((b"kserve-isvc-name", b"iris"),), add=((b"x-a", b"1"),), remove=(b"x-b",)
    )
    assert route.action.response == HeaderEdits(remove=(b"server",))
    assert route.action.rewrite == Rewrite(host=b"b.example.com", path=PathEdit(b"/new", 4))
    assert route.action.timeout == 90


# The Gateway API's own table of ReplacePrefixMatch.
@pytest.mark.parametrize(
    ("prefix", "replacement", "path", "result"),
    [
        ("/foo", "/xyz", "/foo/bar", "/xyz/bar"),
        ("/foo", "/xyz/", "/foo/bar", "/xyz/bar"),
        ("/foo/", "/xyz", "/foo/bar", "/xyz/bar"),
        ("/foo/", "/xyz/", "/foo/bar", "/xyz/bar"),
        ("/foo", "/xyz", "/foo", "/xyz"),
        ("/foo", "/xyz", "/foo/", "/xyz/"),
        ("/foo", "", "/foo/bar", "/bar"),
        ("/foo", "", "/foo/", "/"),
        ("/foo", "", "/foo", "/"),
        ("/foo", "/", "/foo/", "/"),
        ("/foo", "/", "/foo", "/"),
        ("/", "/xyz", "/bar", "/xyz/bar"),
    ],
)
def test_a_prefix_is_replaced(prefix, replacement, path, result):
    filters = [
        {
            "type": "URLRewrite",
            "urlRewrite": {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": replacement}},
        }
    ]
    [route] = compile_http_route(http_route("one", to("one", matching(prefix), filters=filters)), [HOST])
    assert route.action.rewrite.apply(b"h", path.encode() + b"?q=/foo") == (b"h", result.encode() + b"?q=/foo")


@pytest.mark.parametrize(
    ("redirect", "location"),
    [
        ({"scheme": "https"}, b"https://a.example.com/p?q=1"),
        ({"hostname": "b.example.com", "statusCode": 301}, b"http://b.example.com:8080/p?q=1"),
        ({"port": 80}, b"http://a.example.com/p?q=1"),
        ({"port": 8443, "scheme": "https"}, b"https://a.example.com:8443/p?q=1"),
        ({"path": {"type": "ReplaceFullPath", "replaceFullPath": "/new"}}, b"http://a.example.com:8080/new?q=1"),
        ({"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/new"}}, b"http://a.example.com:8080/new?q=1"),
    ],
)
def test_redirects(redirect, location):
    rule = {"matches": [matching("/p")], "filters": [{"type": "RequestRedirect", "requestRedirect": redirect}]}
    [route] = compile_http_route(http_route("one", rule), [HOST])
    found = route.action.redirect
    assert isinstance(found, Redirect)
    assert found.status == redirect.get("statusCode", 302)
    assert found.location(b"a.example.com:8080", b"/p?q=1") == location


def test_weights_share_the_requests():
    refs = [ref("stable", weight=90), ref("canary", weight=10), ref("off", weight=0)]
    [route] = compile_http_route(http_route("one", {"backendRefs": refs}), [HOST])
    counts = {"stable": 0, "canary": 0, "off": 0}
    for _ in range(20_000):
        counts[route.action.choose().backend.service] += 1
    assert counts["off"] == 0
    # 20,000 draws at 10 % have a standard deviation of 42.
    assert 1700 < counts["canary"] < 2300


def test_nothing_with_any_weight_is_nothing():
    [route] = compile_http_route(http_route("one", {"backendRefs": [ref("off", weight=0)]}), [HOST])
    assert route.action.choose() is None
    [route] = compile_http_route(http_route("one", {"matches": [matching()]}), [HOST])
    assert route.action.choose() is None


def test_a_backend_may_change_fields_of_its_own():
    edits = {"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "R", "value": "rev-1"}]}}
    [route] = compile_http_route(http_route("one", {"backendRefs": [ref("one", filters=[edits])]}), [HOST])
    assert route.action.targets[0].request == HeaderEdits(set=((b"r", b"rev-1"),))


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        (ref("b", kind="Bucket", group="storage.example.com"), "Bucket.storage.example.com"),
        (ref("b", namespace="elsewhere"), "ReferenceGrant"),
        (ref("b", None), "names no port"),
    ],
)
def test_a_backend_that_cannot_be_served_says_why_and_leaves_the_others(reference, said):
    [route] = compile_http_route(http_route("one", {"backendRefs": [ref("good"), reference]}), [HOST])
    good, bad = route.action.targets
    assert good.backend is not None
    assert bad.backend is None and said in bad.problem


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (to("one", matching("(", "RegularExpression")), r"spec.rules[0].matches[0].path.value: '(' is no regular"),
        (to("one", matching("/", "Glob")), "spec.rules[0].matches[0].path.type: 'Glob'"),
        (to("one", matching(headers=[{"name": "a", "value": "[", "type": "RegularExpression"}])), "headers[0].value"),
        (to("one", filters=[{"type": "RequestMirror", "requestMirror": {}}]), "spec.rules[0].filters[0].type"),
        (to("one", filters=[{"type": "ExtensionRef"}]), "'ExtensionRef' is not served"),
        (to("one", timeouts={"request": "soon"}), "spec.rules[0].timeouts.request: 'soon'"),
        (to("one", retry={"attempts": 2}), "spec.rules[0].retry: this is not served"),
        (to("one", sessionPersistence={"type": "Cookie"}), "sessionPersistence: this is not served"),
        (to("one", filters=[{"type": "RequestRedirect", "requestRedirect": {}}]), "leaves nothing for backendRefs"),
        (
            to(
                "one",
                matching("/a", "Exact"),
                filters=[
                    {
                        "type": "URLRewrite",
                        "urlRewrite": {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}},
                    }
                ],
            ),
            "needs a match of type PathPrefix",
        ),
        (
            to(
                "one",
                filters=[
                    {
                        "type": "RequestHeaderModifier",
                        "requestHeaderModifier": {"set": [{"name": "Host", "value": "x"}]},
                    }
                ],
            ),
            "use a URLRewrite with a hostname",
        ),
        (
            to(
                "one",
                filters=[{"type": "RequestHeaderModifier", "requestHeaderModifier": {"remove": ["Content-Length"]}}],
            ),
            "'content-length' cannot be changed",
        ),
    ],
)
def test_what_cannot_be_done_is_refused_with_its_place(rule, said):
    with pytest.raises(Unsupported) as refused:
        compile_http_route(http_route("one", rule), [HOST])
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("60s", 60), ("1m30s", 90), ("500ms", 0.5), ("1h", 3600), ("1s500ms", 1.5), ("0s", None), ("", None)],
)
def test_durations(text, seconds):
    assert duration(text, "f") == seconds


def test_the_shorter_of_both_timeouts_counts():
    both = to("one", timeouts={"request": "60s", "backendRequest": "5s"})
    only = to("one", timeouts={"backendRequest": "5s"})
    off = to("one", timeouts={"request": "0s", "backendRequest": "0s"})
    found = [compile_http_route(http_route("r", rule), [HOST])[0].action.timeout for rule in (both, only, off)]
    assert found == [5, 5, None]


@pytest.mark.parametrize("text", ["60", "s", "-1s", "1.5s", "1s ", "1d"])
def test_what_is_no_duration(text):
    with pytest.raises(Unsupported, match="f: "):
        duration(text, "f")
