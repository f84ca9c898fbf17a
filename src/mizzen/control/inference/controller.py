"""The InferenceService controller: the one room of this package that talks to the API.

One look at a service: find its runtime, render its children, apply those that differ, delete those that are no longer
rendered, and write the status that the observed children add up to. Source: reference of the KServe control plane, 4.1.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

import msgspec

from mizzen.apis.apps import DEPLOYMENT, Deployment
from mizzen.apis.core import CONFIG_MAP, POD, SERVICE, ConfigMap, Pod, Service
from mizzen.apis.httproute import HTTP_ROUTE, HTTPRoute
from mizzen.apis.merge import json_merge_diff
from mizzen.apis.meta import Mapping, Object
from mizzen.apis.networking import INGRESS, Ingress
from mizzen.apis.serving.v1alpha1 import (
    CLUSTER_SERVING_RUNTIME,
    SERVING_RUNTIME,
    ClusterServingRuntime,
    ServingRuntime,
)
from mizzen.apis.serving.v1beta1.inferenceservice import INFERENCE_SERVICE, InferenceService
from mizzen.apis.serving.v1beta1.status import InferenceServiceStatus
from mizzen.control.inference import config as settings
from mizzen.control.inference import ingress, podhealth, runtimes, standard, storage
from mizzen.control.inference import status as statuses
from mizzen.control.inference.podspec import PodSpecError
from mizzen.control.inference.support import ignored, unsupported
from mizzen.errors import MizzenError
from mizzen.kube.children import apply_child
from mizzen.kube.client import Client
from mizzen.kube.controller import Controller, controlled_by
from mizzen.kube.errors import ApiError
from mizzen.kube.events import EventRecorder, Reference
from mizzen.kube.informer import Change, Informer, Key
from mizzen.kube.times import now

log = logging.getLogger(__name__)

# The kinds of CRDs that the controller watches, beside what every cluster has.
WATCHED = (INFERENCE_SERVICE, SERVING_RUNTIME, CLUSTER_SERVING_RUNTIME, HTTP_ROUTE)

STOP_ANNOTATION = "serving.kserve.io/stop"
NO_UPDATE_ANNOTATION = "serving.kserve.io/disable-auto-update"

# Seconds after which an object is offered again that the API refused, for a quota or a policy that may have changed.
_REFUSED_AGAIN = 60.0


class Plan(msgspec.Struct, kw_only=True):
    """What one look at a service decided, before anything is written. The routes wait for the predictor."""

    mode: settings.Mode
    config: settings.Config
    runtime: runtimes.Selected | None = None
    children: list[Mapping] = []
    routes: list[Mapping] = []
    problem: statuses.Problem | None = None


class InferenceServices:
    """Informers and reconcile function of the controller. Make one, then :meth:`run` it.

    Args:
        gateway_api: whether the API serves HTTPRoutes; only then are they watched.
    """

    def __init__(self, client: Client, *, gateway_api: bool = True) -> None:
        self._client = client
        self._recorder = EventRecorder(client, "inferenceservice-controller")
        by_label = standard.INFERENCE_SERVICE_LABEL
        self._services = Informer(client, INFERENCE_SERVICE)
        self._runtimes = Informer(client, SERVING_RUNTIME)
        self._cluster_runtimes = Informer(client, CLUSTER_SERVING_RUNTIME)
        self._config_maps = Informer(
            client, CONFIG_MAP, namespace=settings.NAMESPACE, field_selector=f"metadata.name={settings.NAME}"
        )
        self._deployments = Informer(client, DEPLOYMENT, label_selector=by_label)
        self._endpoints = Informer(client, SERVICE, label_selector=by_label)
        self._ingresses = Informer(client, INGRESS)
        self._routes = Informer(client, HTTP_ROUTE) if gateway_api else None
        self._pods = Informer(client, POD, label_selector=by_label, indexes={"service": _service_of})
        self._controller = Controller("inferenceservice", self.reconcile)
        self._watch()

    def _watch(self) -> None:
        watches = self._controller.watches
        watches(self._services)
        for children in self._children():
            watches(children, controlled_by(self._services))
        watches(self._pods, _services_of_pod)
        watches(self._runtimes, self._users_of_runtime)
        watches(self._cluster_runtimes, self._users_of_runtime)
        watches(self._config_maps, lambda _: self._services.keys())

    def _children(self) -> list[Informer]:
        routes = [self._routes] if self._routes else []
        return [self._deployments, self._endpoints, self._ingresses, *routes]

    async def run(self, ready: Callable[[], None] = lambda: None) -> None:
        """Watch and reconcile until cancelled. ``ready`` is called when all informers have their first list."""
        informers = [
            *self._children(),
            self._services,
            self._runtimes,
            self._cluster_runtimes,
            self._config_maps,
            self._pods,
        ]
        async with asyncio.TaskGroup() as group:
            for informer in informers:
                group.create_task(informer.run())
            group.create_task(self._recorder.run())
            for informer in informers:
                await informer.synced.wait()
            ready()
            group.create_task(self._controller.run())

    async def reconcile(self, namespace: str, name: str) -> float | None:
        """Bring one InferenceService's world in line and its status up to date."""
        isvc = self._services.get(namespace, name, InferenceService)
        if isvc is None or isvc.metadata.deletion_timestamp:
            return None  # the garbage collector removes the children with their owner
        if isvc.metadata.annotation(NO_UPDATE_ANNOTATION) == "true" and _is_ready(isvc.status):
            return None
        if isvc.metadata.annotation(STOP_ANNOTATION).lower() == "true":
            await self._prune(isvc, [])
            config = self._config_or_default()
            mode = settings.deployment_mode(isvc.status.deployment_mode or "", isvc.metadata.annotations or {}, config)
            await self._write(isvc, statuses.stopped(isvc, mode, now()))
            return None
        plan = self._plan(isvc)
        refused = False
        if plan.problem is None:
            refused = await self._apply(isvc, plan, plan.children)
        observed = self._observe(isvc, plan.config)
        if plan.problem is None and self._is_routed(observed):
            refused = await self._apply(isvc, plan, plan.routes)
            observed = msgspec.structs.replace(observed, routes=self._observed_routes(isvc, plan.config))
        if plan.problem is None:
            await self._prune(isvc, [*plan.children, *plan.routes])
        status = statuses.compute(
            isvc,
            plan.mode,
            plan.config,
            observed=observed,
            runtime=plan.runtime,
            problem=plan.problem,
            ignored=ignored(isvc),
            now=now(),
        )
        await self._write(isvc, status)
        return _REFUSED_AGAIN if refused else None

    def _plan(self, isvc: InferenceService) -> Plan:
        annotations = isvc.metadata.annotations or {}
        recorded = isvc.status.deployment_mode or ""
        try:
            config = self._config()
        except settings.ConfigError as error:
            mode = settings.deployment_mode(recorded, annotations, settings.Config())
            problem = statuses.Problem(reason="InvalidConfiguration", message=str(error), elsewhere=True)
            return Plan(mode=mode, config=settings.Config(), problem=problem)
        plan = Plan(mode=settings.deployment_mode(recorded, annotations, config), config=config)
        missing = unsupported(isvc, plan.mode)
        if missing:
            plan.problem = statuses.Problem(reason="NotSupported", message="; ".join(missing))
            return plan
        if config.ingress.enable_gateway_api and self._routes is None:
            message = f"the config map asks for HTTPRoutes (enableGatewayApi), and the API serves no {HTTP_ROUTE.group}"
            plan.problem = statuses.Problem(reason="InvalidConfiguration", message=message, elsewhere=True)
            return plan
        try:
            self._render(isvc, plan)
        except runtimes.SelectionError as error:
            plan.problem = statuses.Problem(reason=error.reason, message=str(error), failure=error.reason)
        except PodSpecError as error:
            reason = "InvalidPredictorSpec"
            plan.problem = statuses.Problem(reason=reason, message=str(error), failure=reason)
        except MizzenError as error:
            plan.problem = statuses.Problem(reason="ReconcileFailed", message=str(error))
        return plan

    def _render(self, isvc: InferenceService, plan: Plan) -> None:
        predictor = isvc.spec.predictor
        if predictor.model:
            plan.runtime = runtimes.select(
                predictor,
                self._runtimes.all(ServingRuntime, isvc.namespace),
                self._cluster_runtimes.all(ClusterServingRuntime),
            )
        source = storage.source_uri(predictor)
        resolved = standard.Resolved(isvc=isvc, config=plan.config, runtime=plan.runtime, source=source)
        deployment, service = standard.render(resolved)
        for name in (isvc.name, standard.predictor_name(isvc)):
            ingress.host(name, isvc, plan.config)  # the status names both, routed or not
        plan.routes = ingress.render(isvc, plan.config, service)
        plan.children = [deployment, service]

    def _config(self) -> settings.Config:
        found = self._config_maps.get(settings.NAMESPACE, settings.NAME, ConfigMap)
        return settings.parse_config((found.data if found else None) or {})

    def _config_or_default(self) -> settings.Config:
        try:
            return self._config()
        except settings.ConfigError:
            return settings.Config()

    async def _apply(self, isvc: InferenceService, plan: Plan, children: Sequence[Mapping]) -> bool:
        """Apply what differs; whether the API refused an object, which is then the plan's problem."""
        for child in children:
            informer = self._informer(child["kind"])
            live = informer.object(isvc.namespace, child["metadata"]["name"])
            try:
                applied = await apply_child(self._client, informer.resource, child, live)
            except ApiError as error:
                if error.code not in (400, 403, 422):
                    raise
                self._say(isvc, "Warning", "InternalError", str(error))
                plan.problem = statuses.Problem(reason="ReconcileFailed", message=str(error))
                return True
            if applied is not None:
                informer.accept(applied)
        return False

    def _observe(self, isvc: InferenceService, config: settings.Config) -> statuses.Observed:
        name = standard.predictor_name(isvc)
        pods = [
            self._pods.get(*key, Pod)
            for key in self._pods.by_index("service", f"{isvc.namespace}/{isvc.name}")
            if not self._is_leaving(key)
        ]
        deployment = self._deployments.get(isvc.namespace, name, Deployment)
        template = deployment.spec.template if deployment is not None else {}
        newest = sorted((pod for pod in pods if pod is not None), key=lambda pod: pod.name)
        newest.sort(
            key=lambda pod: (pod.metadata.creation_timestamp or "", podhealth.is_made_from(pod, template)), reverse=True
        )
        return statuses.Observed(
            deployment=deployment,
            service=self._endpoints.get(isvc.namespace, name, Service),
            routes=self._observed_routes(isvc, config),
            pods=newest,
            internal=ingress.is_internal(isvc, config),
        )

    def _is_leaving(self, key: Key) -> bool:
        entry = self._pods.entry(*key)
        return entry is None or entry.deleting

    def _observed_routes(
        self, isvc: InferenceService, config: settings.Config
    ) -> list[tuple[str, HTTPRoute | Ingress | None]]:
        if config.ingress.enable_gateway_api and self._routes is not None:
            predictor = self._routes.get(isvc.namespace, f"{isvc.name}-predictor", HTTPRoute)
            return [
                ("Predictor", predictor),
                ("InferenceService", self._routes.get(isvc.namespace, isvc.name, HTTPRoute)),
            ]
        return [("Predictor", self._ingresses.get(isvc.namespace, isvc.name, Ingress))]

    def _is_routed(self, observed: statuses.Observed) -> bool:
        """Whether it is time for routes: the predictor is ready, or was; those that exist are kept true."""
        ready = observed.deployment is not None and statuses.is_available(observed.deployment)
        return ready or any(route is not None for _, route in observed.routes)

    async def _prune(self, isvc: InferenceService, kept: Sequence[Mapping]) -> None:
        """Delete the children that are controlled by the service and no longer rendered."""
        wanted = {(child["kind"], child["metadata"]["name"]) for child in kept}
        for informer in self._children():
            for child in informer.owned_by(isvc.uid, Object):
                if (informer.resource.kind, child.name) in wanted or child.metadata.deletion_timestamp:
                    continue
                try:
                    await self._client.delete(informer.resource, child.name, child.namespace, uid=child.uid)
                except ApiError as error:
                    if error.code not in (404, 409):
                        raise

    async def _write(self, isvc: InferenceService, status: InferenceServiceStatus) -> None:
        before = msgspec.to_builtins(isvc.status)
        after = msgspec.to_builtins(status)
        if before == after:
            return
        patch = {"status": json_merge_diff(before, after)}
        try:
            written = await self._client.patch(
                INFERENCE_SERVICE, isvc.name, isvc.namespace, patch, subresource="status"
            )
        except ApiError as error:
            if error.code == 404:
                return  # deleted meanwhile
            raise
        self._services.accept(written)
        self._tell(isvc, status)

    def _tell(self, isvc: InferenceService, status: InferenceServiceStatus) -> None:
        was, is_now = _is_ready(isvc.status), _is_ready(status)
        if is_now and not was:
            self._say(isvc, "Normal", "InferenceServiceReady", f"InferenceService [{isvc.name}] is Ready")
        elif was and not is_now:
            # "Stopped" is only to be known, and that it is false is no reason.
            false = [one.type for one in status.conditions or () if one.status == "False" and one.severity != "Info"]
            message = f"InferenceService [{isvc.name}] is no longer Ready because of: {', '.join(false)}"
            self._say(isvc, "Warning", "InferenceServiceNotReady", message)
        failure = _last_failure(status)
        if failure and failure != _last_failure(isvc.status):
            self._say(isvc, "Warning", *failure)

    def _say(self, isvc: InferenceService, kind: str, reason: str, message: str) -> None:
        about = Reference(
            api_version=INFERENCE_SERVICE.api_version,
            kind=INFERENCE_SERVICE.kind,
            name=isvc.name,
            namespace=isvc.namespace,
            uid=isvc.uid,
        )
        self._recorder.record(about, "Normal" if kind == "Normal" else "Warning", reason, message)

    def _informer(self, kind: str) -> Informer:
        return next(informer for informer in self._children() if informer.resource.kind == kind)

    def _users_of_runtime(self, change: Change) -> list[Key]:
        """The services that run on a changed runtime, and those that still look for one."""
        name = change.key[1]
        found = []
        everywhere = self._services.keys()
        for key in everywhere:
            isvc = self._services.get(*key, InferenceService)
            if isvc is None:
                continue
            model = isvc.status.model_status
            unserved = model.transition_status == "InvalidSpec" if model else False
            if unserved or name in (isvc.status.serving_runtime_name, isvc.status.cluster_serving_runtime_name):
                found.append(key)
        return found


def _last_failure(status: InferenceServiceStatus) -> tuple[str, str] | None:
    """Reason and message of what last went wrong with the model; which pod it was does not matter."""
    info = status.model_status.last_failure_info if status.model_status else None
    return (info.reason or "ModelLoadFailed", info.message or "") if info else None


def _is_ready(status: InferenceServiceStatus) -> bool:
    return any(c.type == statuses.HAPPY and c.status == "True" for c in status.conditions or ())


def _service_of(pod: Mapping) -> list[str]:
    metadata = pod["metadata"]
    name = (metadata.get("labels") or {}).get(standard.INFERENCE_SERVICE_LABEL)
    return [f"{metadata.get('namespace')}/{name}"] if name else []


def _services_of_pod(change: Change) -> list[Key]:
    names = {entry.labels.get(standard.INFERENCE_SERVICE_LABEL, "") for entry in change.entries}
    return [(change.key[0], name) for name in names if name]
