"""What an InferenceService says about itself, read off its children: a pure function of what was observed.

Source: reference of the KServe control plane, sections 1.6 and 1.7. Three things are told that KServe keeps to itself:
why a predictor is not ready is said in the pod's own words; a new pod that keeps crashing counts as a failed load while
the old one still answers; and ``observedGeneration`` is the service's own.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import UNSET

from mizzen.apis.apps import Deployment
from mizzen.apis.conditions import Condition, ConditionSet
from mizzen.apis.core import ContainerStatus, Pod, Service, StatusCondition
from mizzen.apis.httproute import HTTPRoute
from mizzen.apis.meta import Opt, given
from mizzen.apis.networking import Ingress
from mizzen.apis.serving.v1beta1.component import PREDICTOR_CONTAINER
from mizzen.apis.serving.v1beta1.inferenceservice import InferenceService
from mizzen.apis.serving.v1beta1.status import (
    Address,
    ComponentStatus,
    FailureInfo,
    InferenceServiceStatus,
    ModelCopies,
    ModelStates,
    ModelStatus,
)
from mizzen.control.inference import ingress, podhealth
from mizzen.control.inference.config import Config, Mode
from mizzen.control.inference.runtimes import Selected
from mizzen.control.inference.standard import DEFAULT_PORT, predictor_name
from mizzen.control.inference.storage import INITIALIZER

HAPPY = "Ready"
DEPENDENTS = ("PredictorReady", "IngressReady")


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """Why nothing could be rendered.

    Attributes:
        failure: a reason of ``modelStatus.lastFailureInfo``, or empty.
        elsewhere: whether the fault is not the service's own; then it is not held against one that still answers.
    """

    reason: str
    message: str
    failure: str = ""
    elsewhere: bool = False


class Observed(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the children. ``pods`` are the predictor's, newest first, ties by name."""

    deployment: Deployment | None = None
    service: Service | None = None
    routes: Sequence[tuple[str, HTTPRoute | Ingress | None]] = ()
    pods: Sequence[Pod] = ()
    internal: bool = False


def compute(
    isvc: InferenceService,
    mode: Mode,
    config: Config,
    *,
    observed: Observed,
    runtime: Selected | None,
    problem: Problem | None,
    ignored: Sequence[str] = (),
    now: str,
) -> InferenceServiceStatus:
    """The status to write.

    Args:
        problem: why the spec could not be rendered; the children observed are then those of an earlier spec.
        ignored: fields that were accepted and have no effect.
        now: RFC 3339, for conditions that change.
    """
    before = isvc.status
    conditions = ConditionSet(HAPPY, DEPENDENTS, before.conditions or (), now)
    conditions.initialise()
    status = InferenceServiceStatus(
        deployment_mode=mode,
        observed_generation=before.observed_generation,
        url=before.url,
        address=before.address,
        components=dict(before.components or {}) or UNSET,
        model_status=before.model_status or ModelStatus(),
        serving_runtime_name=before.serving_runtime_name,
        cluster_serving_runtime_name=before.cluster_serving_runtime_name,
    )
    conditions.mark("Stopped", "False")
    _mark_ignored(conditions, ignored)
    if runtime is None and problem is None:
        status.serving_runtime_name = status.cluster_serving_runtime_name = UNSET
    elif runtime is not None:
        status.serving_runtime_name = UNSET if runtime.cluster else runtime.name
        status.cluster_serving_runtime_name = runtime.name if runtime.cluster else UNSET
    _mark_predictor(conditions, observed, problem)
    if problem is None:
        if conditions.is_true("PredictorReady"):
            address = f"http://{ingress.host(predictor_name(isvc), isvc, config)}"
            components = status.components or {}
            status.components = components | {"predictor": _with_url(components.get("predictor"), address)}
        _mark_ingress(conditions, observed, status, isvc, config)
        predictor = conditions.get("PredictorReady")
        if predictor is not None and predictor.status == "False":
            # Marked once more, so that Ready tells the cause and not its effect on the route.
            conditions.mark(predictor.type, "False", predictor.reason or "", predictor.message or "")
    status.model_status = _model_status(
        before.model_status or ModelStatus(), observed, problem, ready=conditions.is_ready
    )
    # Of a spec that cannot be applied no child says anything: the answer to its generation is that it is not ready.
    # While an earlier spec still answers there is no such answer yet, and Ready is the earlier one's.
    answered = _has_observed(observed.deployment) if problem is None else not conditions.is_true("PredictorReady")
    if answered:
        status.observed_generation = isvc.metadata.generation
    status.conditions = conditions.sorted()
    return status


def stopped(isvc: InferenceService, mode: Mode, now: str) -> InferenceServiceStatus:
    """The status of a service whose annotation asks it to stop: everything is gone but the reason."""
    kept = [c for c in isvc.status.conditions or () if c.type in (HAPPY, *DEPENDENTS, "Stopped")]
    conditions = ConditionSet(HAPPY, DEPENDENTS, kept, now)
    conditions.initialise()
    for dependent in DEPENDENTS:
        conditions.mark(dependent, "False", "Stopped", "the service is stopped by its annotation")
    conditions.mark("Stopped", "True", "Stopped", "the annotation serving.kserve.io/stop is true")
    return InferenceServiceStatus(
        deployment_mode=mode,
        observed_generation=isvc.metadata.generation,
        conditions=conditions.sorted(),
    )


def _mark_ignored(conditions: ConditionSet, ignored: Sequence[str]) -> None:
    if not ignored:
        conditions.clear("AutoscalingActive")
        return
    message = f"{', '.join(ignored)}: autoscaling is not supported yet; the predictor runs minReplicas pods"
    conditions.mark("AutoscalingActive", "False", "NotSupported", message)


def _with_url(component: ComponentStatus | None, url: str) -> ComponentStatus:
    component = msgspec.structs.replace(component) if component else ComponentStatus()
    component.url = url
    return component


def _mark_predictor(conditions: ConditionSet, observed: Observed, problem: Problem | None) -> None:
    found = _deployment_condition(observed.deployment)
    answers = found.status == "True" and conditions.is_true("PredictorReady")
    if problem is not None and problem.elsewhere and answers:
        conditions.mark("ConfigurationValid", "False", problem.reason, problem.message)
        return
    conditions.clear("ConfigurationValid")
    if problem is not None:
        # What an earlier spec started may still answer; then it stays ready and modelStatus tells of the new spec.
        if not problem.failure or not answers:
            conditions.mark("PredictorReady", "False", problem.reason, problem.message)
        return
    if found.status != "True":
        words = next((trouble for trouble in map(podhealth.trouble, observed.pods) if trouble), None)
        if words is not None:
            found = Condition(type="", status=found.status, reason=words.reason, message=words.message)
    conditions.mark("PredictorReady", found.status, found.reason or "", found.message or "")


def is_available(deployment: Deployment) -> bool:
    """Whether the predictor counts as ready by its Deployment alone, which is when routes to it are made."""
    return _deployment_condition(deployment).status == "True"


def _deployment_condition(deployment: Deployment | None) -> Condition:
    """A component's readiness from its Deployment's conditions; later rules override earlier ones."""
    result = Condition(type="", status="False")
    if deployment is None:
        return result
    available = deployment.status.condition("Available")
    progressing = deployment.status.condition("Progressing")
    failure = deployment.status.condition("ReplicaFailure")

    def take(status: str, source: StatusCondition | None) -> None:
        result.status = status
        result.reason = source.reason if source else UNSET
        result.message = source.message if source else UNSET

    is_available = available is not None and available.status == "True"
    if is_available:
        take("True", available)
    if progressing is not None:
        if progressing.status == "False" and progressing.message:
            take("False", progressing)
        elif progressing.status == "True" and progressing.reason == "NewReplicaSetAvailable":
            take("True", progressing)
        elif progressing.status == "True" and not is_available:
            take("Unknown", progressing)
    if available is not None and available.status == "False":
        take("False", available)
    if failure is not None and failure.status == "True":
        take("False", failure)
    return result


def _mark_ingress(
    conditions: ConditionSet,
    observed: Observed,
    status: InferenceServiceStatus,
    isvc: InferenceService,
    config: Config,
) -> None:
    if not observed.internal:
        if not conditions.is_true("PredictorReady") and not any(route for _, route in observed.routes):
            predictor = conditions.get("PredictorReady")
            why = f": {predictor.message}" if predictor is not None and predictor.message else ""
            reason = "Predictor ingress not created"
            conditions.mark("IngressReady", "False", reason, f"the predictor is not ready{why}")
            return
        for component, route in observed.routes:
            trouble = ingress.route_problem(route, component)
            if trouble is not None:
                conditions.mark("IngressReady", "False", *trouble)
                return
    conditions.mark("IngressReady", "True")
    status.url = ingress.url(isvc, config)
    status.address = Address(url=_address(isvc, observed.service))


def _address(isvc: InferenceService, service: Service | None) -> str:
    """The URL inside the cluster. A headless Service has no port of its own, so its pods' port is named."""
    url = f"http://{predictor_name(isvc)}.{isvc.namespace}.svc.cluster.local"
    if service is None or not service.spec.is_headless:
        return url
    ports = [port for port in service.spec.ports or () if "h2c" not in (port.app_protocol or "")]
    return f"{url}:{(ports[0].target_port if ports else None) or DEFAULT_PORT}"


def _has_observed(deployment: Deployment | None) -> bool:
    if deployment is None:
        return False
    return (given(deployment.status.observed_generation) or 0) >= (given(deployment.metadata.generation) or 0)


def _model_status(before: ModelStatus, observed: Observed, problem: Problem | None, *, ready: bool) -> ModelStatus:
    status = msgspec.structs.replace(before)
    states = before.states
    active = (states.active_model_state if states else "") or ""
    if problem is not None:
        if problem.failure:
            _fail(status, active, problem.failure, problem.message, exit_code=None)
            status.transition_status = "InvalidSpec"
        return status
    running = sum(1 for pod in observed.pods if pod.status.phase == "Running" and pod.is_ready)
    status.copies = ModelCopies(failed_copies=0, total_copies=running)
    if not observed.pods:
        _wait(status, active, "Pending")
        return status
    pod = observed.pods[0]
    initializer = _container(pod.status.init_container_statuses, INITIALIZER)
    server = _container(pod.status.container_statuses, PREDICTOR_CONTAINER)
    failed = podhealth.failure(initializer)
    if failed is None and initializer is not None and initializer.state.running:
        if not initializer.last_state.terminated:
            _wait(status, active, "Loading")
        return status
    if failed is None and (podhealth.is_backing_off(server) or not ready):
        failed = podhealth.failure(server)
    if failed is not None:
        _fail(status, active, "ModelLoadFailed", failed.message, failed.exit_code)
    elif ready:
        status.states = ModelStates(active_model_state="Loaded", target_model_state="Loaded")
        status.transition_status = "UpToDate"
    elif server is not None:
        _wait(status, active, "Pending")
    return status


def _wait(status: ModelStatus, active: str, target: str) -> None:
    status.states = ModelStates(active_model_state=active, target_model_state=target)
    status.transition_status = "InProgress"


def _fail(status: ModelStatus, active: str, reason: str, message: str, exit_code: int | None) -> None:
    status.states = ModelStates(active_model_state=active, target_model_state="FailedToLoad")
    status.transition_status = "BlockedByFailedLoad"
    status.last_failure_info = FailureInfo(
        reason=reason, message=message, exit_code=UNSET if exit_code is None else exit_code
    )


def _container(statuses: Opt[list[ContainerStatus]], name: str) -> ContainerStatus | None:
    return next((status for status in statuses or () if status.name == name), None)
