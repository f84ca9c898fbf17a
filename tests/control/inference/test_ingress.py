"""How a service is reached from outside (reference of the KServe control plane, sections 4.3 and 4.4)."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from inference_objects import custom, isvc, model, runtime
from mizzen.apis.httproute import HTTPRoute
from mizzen.apis.networking import Ingress
from mizzen.control.inference import ingress
from mizzen.control.inference.config import Config, parse_config
from mizzen.control.inference.ingress import IngressError, host, is_internal, route_problem, url
from mizzen.control.inference.runtimes import select
from mizzen.control.inference.standard import Resolved, render

OWNER = {
    "apiVersion": "serving.kserve.io/v1beta1",
    "kind": "InferenceService",
    "name": "iris",
    "uid": "uid-iris",
    "controller": True,
    "blockOwnerDeletion": True,
}


def configured(**fields: Any) -> Config:
    return parse_config({"ingress": json.dumps(fields)})


def gateway(**fields: Any) -> Config:
    return configured(enableGatewayApi=True, **fields)


def routes(service, config):
    predictor = service.spec.predictor
    selected = select(predictor, [], [runtime()]) if predictor.model else None
    children = render(Resolved(isvc=service, config=config, runtime=selected))
    return ingress.render(service, config, children[1])


def test_kserves_golden_of_a_classic_ingress():
    service = isvc(annotations={"a": "b", "kubectl.kubernetes.io/last-applied-configuration": "{}"})
    path = {
        "path": "/",
        "pathType": "Prefix",
        "backend": {"service": {"name": "iris-predictor", "port": {"number": 80}}},
    }
    assert routes(service, configured(ingressClassName="mizzen")) == [
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "Ingress",
            "metadata": {
                "name": "iris",
                "namespace": "default",
                "ownerReferences": [OWNER],
                "annotations": {
                    "a": "b",
                    "serving.kserve.io/deploymentMode": "Standard",
                    "modelFormat": "sklearn",
                },
            },
            "spec": {
                "ingressClassName": "mizzen",
                "rules": [
                    {"host": "iris-default.example.com", "http": {"paths": [path]}},
                    {"host": "iris-predictor-default.example.com", "http": {"paths": [path]}},
                ],
            },
        }
    ]


def test_without_a_class_the_cluster_decides():
    assert "ingressClassName" not in routes(isvc(), Config())[0]["spec"]


def rule(match: dict[str, Any], port: int = 80, timeout: str | None = "60s") -> dict[str, Any]:
    headers = [{"name": "KServe-Isvc-Name", "value": "iris"}, {"name": "KServe-Isvc-Namespace", "value": "default"}]
    found: dict[str, Any] = {
        "matches": [match],
        "filters": [{"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": headers}}],
        "backendRefs": [
            {
                "group": "",
                "kind": "Service",
                "name": "iris-predictor",
                "namespace": "default",
                "port": port,
                "weight": 1,
            }
        ],
    }
    return found | ({"timeouts": {"request": timeout}} if timeout else {})


EVERYTHING = {"path": {"type": "RegularExpression", "value": "^/.*$"}}


def test_kserves_golden_of_routes_on_a_gateway():
    found = routes(isvc(labels={"team": "a"}), gateway(additionalIngressDomains=["additional.example.com"]))
    parent = {
        "group": "gateway.networking.k8s.io",
        "kind": "Gateway",
        "namespace": "kserve",
        "name": "kserve-ingress-gateway",
    }
    common = {
        "namespace": "default",
        "ownerReferences": [OWNER],
        "labels": {"team": "a"},
        "annotations": {"serving.kserve.io/deploymentMode": "Standard"},
    }
    assert found == [
        {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "HTTPRoute",
            "metadata": {"name": "iris-predictor"} | common,
            "spec": {
                "parentRefs": [parent],
                "hostnames": ["iris-predictor-default.example.com"],
                "rules": [rule(EVERYTHING)],
            },
        },
        {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "HTTPRoute",
            "metadata": {"name": "iris"} | common,
            "spec": {
                "parentRefs": [parent],
                "hostnames": ["iris-default.example.com", "iris-default.additional.example.com"],
                "rules": [rule(EVERYTHING)],
            },
        },
    ]


@pytest.mark.parametrize(
    ("fields", "setting", "timeout"),
    [
        ({}, {}, "60s"),
        ({"timeout": 30}, {}, "30s"),
        ({"timeout": 0}, {}, "0s"),
        ({"timeout": 30}, {"disableHTTPRouteTimeout": True}, None),
    ],
)
def test_how_long_a_request_may_take(fields, setting, timeout):
    for route in routes(isvc(predictor=model(predictor=fields)), gateway(**setting)):
        assert route["spec"]["rules"] == [rule(EVERYTHING, timeout=timeout)]


def test_labels_and_annotations_that_routes_do_not_carry():
    config = parse_config(
        {
            "ingress": '{"enableGatewayApi": true}',
            "inferenceService": '{"serviceLabelDisallowedList": ["l"], "serviceAnnotationDisallowedList": ["a"]}',
        }
    )
    never = {
        "autoscaling.knative.dev/min-scale": "1",
        "autoscaling.knative.dev/max-scale": "1",
        "internal.serving.kserve.io/storage-initializer-sourceuri": "x",
        "kubectl.kubernetes.io/last-applied-configuration": "{}",
        "modelFormat": "x",
        "a": "x",
    }
    service = isvc(
        labels={"networking.knative.dev/visibility": "x", "l": "x", "kept": "x"}, annotations=never | {"kept": "x"}
    )
    for route in routes(service, config):
        assert route["metadata"]["labels"] == {"kept": "x"}
        assert route["metadata"]["annotations"] == {"kept": "x", "serving.kserve.io/deploymentMode": "Standard"}


@pytest.mark.parametrize(
    ("template", "more", "hosts"),
    [
        (None, ["a.com", "b.com"], ["iris-default.example.com", "iris-default.a.com", "iris-default.b.com"]),
        (None, ["example.com", "a.com", "a.com"], ["iris-default.example.com", "iris-default.a.com"]),
        (None, ["not a host", "a.com"], ["iris-default.example.com", "iris-default.a.com"]),
        ("{{.Name}}.{{.Namespace}}.{{.IngressDomain}}", ["a.com"], ["iris.default.example.com", "iris.default.a.com"]),
        ("{{.Name}}.fixed.org", ["a.com"], ["iris.fixed.org"]),
    ],
)
def test_the_hosts_of_the_service(template, more, hosts):
    setting = {"additionalIngressDomains": more} | ({"domainTemplate": template} if template else {})
    assert routes(isvc(), gateway(**setting))[1]["spec"]["hostnames"] == hosts


def test_the_predictors_route_keeps_its_name():
    found = routes(isvc(predictor=model(predictor={"name": "v2"})), gateway())
    assert [route["metadata"]["name"] for route in found] == ["iris-predictor", "iris"]
    assert found[0]["spec"]["hostnames"] == ["iris-predictor-default.example.com"]
    assert {one["name"] for route in found for r in route["spec"]["rules"] for one in r["backendRefs"]} == {
        "iris-v2-predictor"
    }


@pytest.mark.parametrize(
    ("template", "path"), [("/serving/{{ .Namespace }}/{{ .Name }}", "/serving/default/iris"), ("/", "/")]
)
def test_a_service_under_a_path(template, path):
    predictor, whole = routes(isvc(), gateway(pathTemplate=template))
    assert len(predictor["spec"]["rules"]) == 1
    assert whole["spec"]["hostnames"] == ["iris-default.example.com", "example.com"]
    everything, under_path = whole["spec"]["rules"]
    assert everything == rule(EVERYTHING)
    expected = rule({"path": {"type": "PathPrefix", "value": path}})
    rewrite = {
        "type": "URLRewrite",
        "urlRewrite": {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}},
    }
    assert under_path == expected | {"filters": [*expected["filters"], rewrite]}


@pytest.mark.parametrize(
    ("ports", "rest", "grpc"),
    [
        ([("http1", 8080), ("grpc-port", 9000)], 80, 9000),
        ([("h2c", 9000), ("http1", 8080)], 8080, 80),
        ([("h2c", 9000)], None, None),
        ([("http1", 8080), ("metrics", 9000)], None, None),
    ],
)
def test_grpc_has_a_rule_of_its_own_where_both_are_spoken(ports, rest, grpc):
    declared = [{"name": name, "containerPort": port} for name, port in ports]
    service = isvc(predictor=custom({"name": "kserve-container", "image": "i", "ports": declared}))
    expected = [rule(EVERYTHING)]
    if rest:
        match = {
            "path": {"type": "RegularExpression", "value": r"^/inference\.GRPCInferenceService/.*$"},
            "headers": [{"type": "RegularExpression", "name": "content-type", "value": "^application/grpc.*"}],
        }
        expected = [rule(match, grpc), rule(EVERYTHING, rest)]
    for route in routes(service, gateway()):
        assert route["spec"]["rules"] == expected


@pytest.mark.parametrize(
    ("labels", "config", "internal"),
    [
        ({}, Config(), False),
        ({"networking.kserve.io/visibility": "cluster-local"}, Config(), True),
        ({"networking.kserve.io/visibility": "other"}, Config(), False),
        ({"networking.knative.dev/visibility": "cluster-local"}, Config(), False),
        ({}, configured(ingressDomain="svc.cluster.local"), True),
        ({}, configured(disableIngressCreation=True), True),
        ({}, gateway(disableIngressCreation=True), True),
    ],
)
def test_services_without_routes(labels, config, internal):
    service = isvc(labels=labels)
    assert is_internal(service, config) is internal
    assert bool(routes(service, config)) is not internal


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{ .Name }}-{{ .Namespace }}.{{ .IngressDomain }}", "iris-default.example.com"),
        ("{{.Name}}.{{.Namespace}}.{{.IngressDomain}}", "iris.default.example.com"),
        ('{{.Name}}.{{ index .Annotations "team.org/zone" }}.{{ .Labels.team }}.org', "iris.z1.a.org"),
        ("fixed.example.com", "fixed.example.com"),
    ],
)
def test_the_host_follows_the_template(template, expected):
    service = isvc(labels={"team": "a"}, annotations={"team.org/zone": "z1"})
    assert host("iris", service, configured(domainTemplate=template)) == expected
    assert url(service, configured(domainTemplate=template, urlScheme="https")) == f"https://{expected}"


@pytest.mark.parametrize(
    ("template", "word"),
    [
        ("{{ .Host }}", ".Host"),
        ("{{ .Labels.absent }}.com", "<no value>.com"),
        ("{{ .Name }}_x.com", "iris_x.com"),
        ("-{{ .Name }}.com", "-iris.com"),
        ("{{ .Name }}..com", "iris..com"),
        ("{{ .Name }}." + "a" * 64 + ".com", "63"),
        ("{{ .Name }}:8080", "iris:8080"),
    ],
)
def test_a_template_that_makes_no_host(template, word):
    with pytest.raises(IngressError) as caught:
        host("iris", isvc(), configured(domainTemplate=template))
    assert word in str(caught.value)


def ingress_with(**status: Any) -> Ingress:
    return msgspec.convert({"metadata": {"name": "iris"}, "status": status}, Ingress)


def http_route(*parents: list[tuple[str, str, int | None]], generation: int = 1) -> HTTPRoute:
    """A route whose parents report conditions as (type, status, observed generation)."""
    reported = [
        {
            "parentRef": {"name": "g"},
            "controllerName": "c",
            "conditions": [
                {
                    "type": kind,
                    "status": status,
                    "reason": f"{kind}Reason",
                    "message": "words",
                    "lastTransitionTime": "t",
                }
                | ({"observedGeneration": seen} if seen else {})
                for kind, status, seen in conditions
            ],
        }
        for conditions in parents
    ]
    metadata = {"name": "iris", "generation": generation}
    return msgspec.convert({"metadata": metadata, "status": {"parents": reported}}, HTTPRoute)


GOOD = [("Accepted", "True", None), ("ResolvedRefs", "True", None)]


@pytest.mark.parametrize(
    ("route", "reason"),
    [
        (None, "Predictor Deployment NotReady"),
        (ingress_with(), "IngressNotServed"),
        (ingress_with(loadBalancer={}), "IngressNotServed"),
        (ingress_with(loadBalancer={"ingress": []}), "IngressNotServed"),
        (ingress_with(loadBalancer={"ingress": [{"hostname": "localhost"}]}), None),
        (http_route(), "ParentStatusNotAvailable"),
        (http_route(GOOD), None),
        (http_route(GOOD, [("Accepted", "False", None)]), "AcceptedReason"),
        (http_route([("Accepted", "True", None), ("ResolvedRefs", "False", None)]), "ResolvedRefsReason"),
        (http_route([("Accepted", "True", 2)], generation=2), None),
        (http_route([("Accepted", "True", 1)], generation=2), "ParentStatusNotAvailable"),
    ],
)
def test_whether_a_route_is_live(route, reason):
    problem = route_problem(route, "Predictor")
    assert (problem[0] if problem else None) == reason
    if problem and not isinstance(route, Ingress):
        assert problem[1].startswith("Predictor")
