"""How an InferenceService is reached from outside in Standard mode: an Ingress, or HTTPRoutes on a Gateway.

Source: reference of the KServe control plane, sections 4.3 and 4.4. Hosts come from the domain template of the config
map. Whoever serves the route writes its status, and only that makes the service's IngressReady true.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from mizzen.apis.httproute import HTTP_ROUTE, HTTPRoute
from mizzen.apis.meta import Mapping, given, given_or, owner_reference
from mizzen.apis.networking import INGRESS, Ingress
from mizzen.apis.serving.v1beta1.inferenceservice import INFERENCE_SERVICE, InferenceService
from mizzen.control.inference import gotemplate
from mizzen.control.inference.config import Config
from mizzen.control.inference.standard import NEVER_PROPAGATED, predictor_name
from mizzen.errors import MizzenError

VISIBILITY_LABEL = "networking.kserve.io/visibility"

_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_KNATIVE_VISIBILITY_LABEL = "networking.knative.dev/visibility"
_GRPC_PATH = r"^/inference\.GRPCInferenceService/.*$"
_GRPC_CONTENT = {"type": "RegularExpression", "name": "content-type", "value": "^application/grpc.*"}
_DEFAULT_TIMEOUT = 60
_HOST = re.compile(r"(?=.{1,253}$)[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*")


class IngressError(MizzenError):
    """A domain template that makes no host name."""


def is_internal(isvc: InferenceService, config: Config) -> bool:
    """Whether nothing outside the cluster is to reach the service, or routes are made by somebody else."""
    return (
        isvc.metadata.label(VISIBILITY_LABEL) == "cluster-local"
        or config.ingress.ingress_domain == "svc.cluster.local"
        or config.ingress.disable_ingress_creation
    )


def host(name: str, isvc: InferenceService, config: Config) -> str:
    """The host of the service (``name`` is its own) or of one of its components.

    Raises:
        IngressError: the template of the config map fails, or makes no valid host.
    """
    values = {
        "Name": name,
        "Namespace": isvc.namespace,
        "IngressDomain": config.ingress.ingress_domain,
        "Labels": isvc.metadata.labels or {},
        "Annotations": isvc.metadata.annotations or {},
    }
    try:
        found = gotemplate.render(config.ingress.domain_template, values)
    except gotemplate.TemplateError as error:
        raise IngressError(f"config map inferenceservice-config, key ingress, domainTemplate: {error}") from error
    if not _HOST.fullmatch(found):
        raise IngressError(
            f"the domain template {config.ingress.domain_template!r} makes {found!r} of {name}, which is no host name "
            "(labels of at most 63 lower-case letters, digits and '-')"
        )
    return found


def url(isvc: InferenceService, config: Config) -> str:
    return f"{config.ingress.url_scheme}://{host(isvc.name, isvc, config)}"


def render(isvc: InferenceService, config: Config, service: Mapping) -> list[Mapping]:
    """The objects that route to a predictor that is ready: one Ingress, or the HTTPRoutes. None when internal.

    Args:
        service: the predictor's Service as rendered; its ports decide whether gRPC has a rule of its own.

    Raises:
        IngressError: the templates of the config map make no valid host.
    """
    if is_internal(isvc, config):
        return []
    if config.ingress.enable_gateway_api:
        rules = _rules(isvc, config, service)
        return [_predictor_route(isvc, config, rules), _service_route(isvc, config, rules)]
    return [_ingress(isvc, config)]


def _ingress(isvc: InferenceService, config: Config) -> Mapping:
    backend = predictor_name(isvc)
    hosts = [host(isvc.name, isvc, config), host(backend, isvc, config)]
    spec: Mapping = {"rules": [_ingress_rule(found, backend) for found in hosts]}
    if config.ingress.ingress_class_name:
        spec["ingressClassName"] = config.ingress.ingress_class_name
    return {
        "apiVersion": INGRESS.api_version,
        "kind": INGRESS.kind,
        "metadata": _metadata(isvc.name, isvc)
        | {"annotations": _without(isvc.metadata.annotations or {}, (_LAST_APPLIED,))},
        "spec": spec,
    }


def _ingress_rule(name: str, backend: str) -> Mapping:
    service = {"service": {"name": backend, "port": {"number": 80}}}
    return {"host": name, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": service}]}}


def _predictor_route(isvc: InferenceService, config: Config, rules: list[Mapping]) -> Mapping:
    # The name and the host stay when a predictor of another name is promoted.
    name = f"{isvc.name}-predictor"
    return _route(name, [host(name, isvc, config)], rules, isvc, config)


def _service_route(isvc: InferenceService, config: Config, rules: list[Mapping]) -> Mapping:
    main, domain = host(isvc.name, isvc, config), config.ingress.ingress_domain
    hosts = [main]
    if main.endswith(f".{domain}"):
        prefix = main.removesuffix(domain)
        more = [prefix + other for other in config.ingress.additional_ingress_domains]
        hosts = list(dict.fromkeys([main, *(found for found in more if _HOST.fullmatch(found))]))
    if config.ingress.path_template:
        hosts.append(domain)
        rules = [*rules, _path_rule(isvc, config)]
    return _route(isvc.name, hosts, rules, isvc, config)


def _route(name: str, hosts: list[str], rules: list[Mapping], isvc: InferenceService, config: Config) -> Mapping:
    namespace, gateway = config.ingress.gateway
    lists = config.inference_service
    never_labels = (_KNATIVE_VISIBILITY_LABEL, *lists.service_label_disallowed_list)
    never_annotations = (*NEVER_PROPAGATED, *lists.service_annotation_disallowed_list)
    return {
        "apiVersion": HTTP_ROUTE.api_version,
        "kind": HTTP_ROUTE.kind,
        "metadata": _metadata(name, isvc)
        | {
            "labels": _without(isvc.metadata.labels or {}, never_labels),
            "annotations": _without(isvc.metadata.annotations or {}, never_annotations),
        },
        "spec": {
            "parentRefs": [{"group": HTTP_ROUTE.group, "kind": "Gateway", "namespace": namespace, "name": gateway}],
            "hostnames": hosts,
            "rules": rules,
        },
    }


def _rules(isvc: InferenceService, config: Config, service: Mapping) -> list[Mapping]:
    """One rule for all requests, or two for a Service that speaks gRPC on one port and something else on another."""
    everything = {"path": {"type": "RegularExpression", "value": "^/.*$"}}
    ports = service["spec"]["ports"]
    grpc = next((port for port in ports if "h2c" in port.get("appProtocol", "")), None)
    rest = next((port for port in ports if "appProtocol" not in port), None)
    if grpc is None or rest is None:
        return [_rule(everything, 80, isvc, config)]
    called = {"path": {"type": "RegularExpression", "value": _GRPC_PATH}, "headers": [_GRPC_CONTENT]}
    return [_rule(called, grpc["port"], isvc, config), _rule(everything, rest["port"], isvc, config)]


def _path_rule(isvc: InferenceService, config: Config) -> Mapping:
    """The service under a path of the ingress domain.

    KServe writes this rule without a rewrite (Q14); the server would see a path that it does not know.
    """
    path = config.ingress.path(isvc.name, isvc.namespace) or "/"
    rule = _rule({"path": {"type": "PathPrefix", "value": path}}, 80, isvc, config)
    rewrite = {
        "type": "URLRewrite",
        "urlRewrite": {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}},
    }
    return rule | {"filters": [*rule["filters"], rewrite]}


def _rule(match: Mapping, port: int, isvc: InferenceService, config: Config) -> Mapping:
    headers = [
        {"name": "KServe-Isvc-Name", "value": isvc.name},
        {"name": "KServe-Isvc-Namespace", "value": isvc.namespace},
    ]
    rule: Mapping = {
        "matches": [match],
        "filters": [{"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": headers}}],
        "backendRefs": [
            {
                "group": "",
                "kind": "Service",
                "name": predictor_name(isvc),
                "namespace": isvc.namespace,
                "port": port,
                "weight": 1,
            }
        ],
    }
    if not config.ingress.disable_http_route_timeout:
        rule["timeouts"] = {"request": f"{given_or(isvc.spec.predictor.timeout, _DEFAULT_TIMEOUT)}s"}
    return rule


def _metadata(name: str, isvc: InferenceService) -> Mapping:
    return {
        "name": name,
        "namespace": isvc.namespace,
        "ownerReferences": [owner_reference(isvc, INFERENCE_SERVICE)],
    }


def _without(found: Mapping, never: Sequence[str]) -> Mapping:
    return {key: value for key, value in found.items() if key not in never}


def route_problem(route: HTTPRoute | Ingress | None, component: str) -> tuple[str, str] | None:
    """Reason and message why a route is not live yet, or ``None`` when whoever serves it says that it is."""
    if route is None:
        return f"{component} Deployment NotReady", f"{component} route is not created yet"
    if isinstance(route, Ingress):
        balancer = given(route.status.load_balancer)
        if balancer is None or not balancer.ingress:
            return "IngressNotServed", f"no gateway has taken up the Ingress {route.name} yet"
        return None
    parents = given(route.status.parents) or []
    generation = given(route.metadata.generation) or 0
    if not parents:
        return "ParentStatusNotAvailable", f"{component} HTTPRoute is not taken up by its Gateway yet"
    for parent in parents:
        for condition in parent.conditions or ():
            if condition.status == "False":
                return condition.reason, f"{component} HTTPRoute: {condition.message}"
            if given_or(condition.observed_generation, generation) < generation:
                return "ParentStatusNotAvailable", f"{component} HTTPRoute has changed and its Gateway has not followed"
    return None
