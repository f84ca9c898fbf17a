"""Routes from Ingress objects (``networking.k8s.io/v1``).

All of them are taken, whatever their class: the embedded cluster has no other controller. ``ImplementationSpecific``
is read as ``Prefix``. A default backend gets what nothing else takes, as the API's documentation has it: requests for
hosts that nobody names, and for paths that the host's own rules leave out.
"""

from __future__ import annotations

from mizzen.apis.meta import given, given_or
from mizzen.apis.networking import INGRESS, Ingress, IngressBackend, IngressPath
from mizzen.cluster.gateway.action import Action, Backend, Target, to
from mizzen.cluster.gateway.condition import Condition
from mizzen.cluster.gateway.routes import Origin, Route


def origin(ingress: Ingress) -> Origin:
    return Origin(INGRESS.kind, ingress.namespace, ingress.name)


def compile_ingress(ingress: Ingress) -> list[Route]:
    """The routes that an Ingress asks for."""
    own = origin(ingress)
    created = given_or(ingress.metadata.creation_timestamp, "")
    routes: list[Route] = []
    for rule in given(ingress.spec.rules) or ():
        host = given_or(rule.host, "")
        http = given(rule.http)
        for path in http.paths if http is not None else ():
            routes.append(
                Route(
                    origin=own,
                    action=_action(ingress.namespace, path.backend),
                    host=host,
                    one_label=True,
                    condition=_condition(path),
                    created=created,
                    order=len(routes),
                )
            )
    default = given(ingress.spec.default_backend)
    if default is not None:
        action = _action(ingress.namespace, default)
        routes.append(Route(origin=own, action=action, host=None, created=created, order=len(routes)))
    return routes


def _condition(path: IngressPath) -> Condition:
    value = given_or(path.path, "") or "/"
    if given(path.path_type) == "Exact":
        return Condition(path_type="exact", path=value.encode())
    return Condition(path=value.rstrip("/").encode())


def _action(namespace: str, backend: IngressBackend) -> Action:
    service = given(backend.service)
    if service is None:
        return _refused("its backend is a resource, and only Services are served")
    port = given(service.port.number) or given(service.port.name)
    if not port:
        return _refused(f"its backend names no port of Service {service.name}")
    return to(Backend(namespace, service.name, port))


def _refused(problem: str) -> Action:
    return Action(targets=(Target(backend=None, problem=problem),))
