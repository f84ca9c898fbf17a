"""How an InferenceService is reached from outside in Standard mode: an Ingress, or HTTPRoutes on a Gateway.

Source: reference of the KServe control plane, sections 4.3 and 4.4. Hosts come from the domain template of the config
map. Whoever serves the route writes its status, and only that makes the service's IngressReady true.
"""

from __future__ import annotations

import re

from mizzen.apis.meta import Mapping, given, owner_reference
from mizzen.apis.networking import HTTP_ROUTE, INGRESS, HTTPRoute, Ingress
from mizzen.apis.serving.v1beta1 import INFERENCE_SERVICE, InferenceService
from mizzen.control.inference import gotemplate
from mizzen.control.inference.config import Config
from mizzen.control.inference.standard import predictor_name
from mizzen.errors import MizzenError

VISIBILITY_LABEL = "networking.kserve.io/visibility"

_NEVER_ON_ROUTES = ("kubectl.kubernetes.io/last-applied-configuration",)
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


def render(isvc: InferenceService, config: Config) -> list[Mapping]:
    """The objects that route to a predictor that is ready: one Ingress, or the HTTPRoutes. None when internal."""
    if is_internal(isvc, config):
        return []
    if config.ingress.enable_gateway_api:
        return [_predictor_route(isvc, config), _service_route(isvc, config)]
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
        "metadata": _metadata(isvc.name, isvc) | {"annotations": _annotations(isvc)},
        "spec": spec,
    }


def _ingress_rule(name: str, backend: str) -> Mapping:
    service = {"service": {"name": backend, "port": {"number": 80}}}
    return {"host": name, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": service}]}}


def _predictor_route(isvc: InferenceService, config: Config) -> Mapping:
    # The name and the host stay when a predictor of another name is promoted.
    name = f"{isvc.name}-predictor"
    return _route(name, [host(name, isvc, config)], [], isvc, config)


def _service_route(isvc: InferenceService, config: Config) -> Mapping:
    main = host(isvc.name, isvc, config)
    prefix = main.removesuffix(config.ingress.ingress_domain)
    more = [prefix + domain for domain in config.ingress.additional_ingress_domains]
    hosts = list(dict.fromkeys([main, *(found for found in more if _HOST.fullmatch(found))]))
    rules = []
    if config.ingress.path_template:
        hosts.append(config.ingress.ingress_domain)
        values = {"Name": isvc.name, "Namespace": isvc.namespace}
        path = gotemplate.render(config.ingress.path_template, values).rstrip("/")
        # KServe writes this rule without a rewrite (Q14); the server would see a path it does not know.
        rewrite = {
            "type": "URLRewrite",
            "urlRewrite": {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}},
        }
        rule = _rule({"type": "PathPrefix", "value": path}, isvc, config)
        rules.append(rule | {"filters": [*rule["filters"], rewrite]})
    return _route(isvc.name, hosts, rules, isvc, config)


def _route(name: str, hosts: list[str], more: list[Mapping], isvc: InferenceService, config: Config) -> Mapping:
    namespace, gateway = config.ingress.gateway
    never = config.inference_service.service_label_disallowed_list
    labels = {key: value for key, value in (isvc.metadata.labels or {}).items() if key not in never}
    parent = {"group": HTTP_ROUTE.group, "kind": "Gateway", "namespace": namespace, "name": gateway}
    return {
        "apiVersion": HTTP_ROUTE.api_version,
        "kind": HTTP_ROUTE.kind,
        "metadata": _metadata(name, isvc)
        | {
            "labels": labels,
            "annotations": _annotations(isvc, config.inference_service.service_annotation_disallowed_list),
        },
        "spec": {
            "parentRefs": [parent],
            "hostnames": hosts,
            "rules": [_rule({"type": "RegularExpression", "value": "^/.*$"}, isvc, config), *more],
        },
    }


def _rule(path: Mapping, isvc: InferenceService, config: Config) -> Mapping:
    headers = [
        {"name": "KServe-Isvc-Name", "value": isvc.name},
        {"name": "KServe-Isvc-Namespace", "value": isvc.namespace},
    ]
    rule: Mapping = {
        "matches": [{"path": path}],
        "filters": [{"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": headers}}],
        "backendRefs": [
            {
                "group": "",
                "kind": "Service",
                "name": predictor_name(isvc),
                "namespace": isvc.namespace,
                "port": 80,
                "weight": 1,
            }
        ],
    }
    if not config.ingress.disable_http_route_timeout:
        rule["timeouts"] = {"request": f"{given(isvc.spec.predictor.timeout) or _DEFAULT_TIMEOUT}s"}
    return rule


def _metadata(name: str, isvc: InferenceService) -> Mapping:
    return {
        "name": name,
        "namespace": isvc.namespace,
        "ownerReferences": [owner_reference(isvc, INFERENCE_SERVICE)],
    }


def _annotations(isvc: InferenceService, never: list[str] | None = None) -> dict[str, str]:
    left_out = {*_NEVER_ON_ROUTES, *(never or ())}
    return {key: value for key, value in (isvc.metadata.annotations or {}).items() if key not in left_out}


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
    if not parents:
        return "ParentStatusNotAvailable", f"{component} HTTPRoute is not taken up by its Gateway yet"
    for parent in parents:
        for condition in parent.conditions or ():
            if condition.status == "False":
                return condition.reason, f"{component} HTTPRoute: {condition.message}"
    return None
