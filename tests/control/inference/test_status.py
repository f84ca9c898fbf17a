"""What a service says about itself (reference of the KServe control plane, sections 1.6, 1.7 and 4.10).

Where the pods know why the predictor is not ready, their words stand in the place of the Deployment's.
"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference_objects import (
    AVAILABLE,
    NOW,
    PROGRESSED,
    PROGRESSING,
    UNAVAILABLE,
    container_status,
    deployment,
    isvc,
    model,
    pod,
    runtime,
)
from mizzen.apis.core import Service
from mizzen.apis.httproute import HTTPRoute
from mizzen.apis.merge import json_merge, json_merge_diff
from mizzen.apis.networking import Ingress
from mizzen.apis.serving.v1beta1.status import InferenceServiceStatus
from mizzen.control.inference.config import Config, parse_config
from mizzen.control.inference.runtimes import Selected, select
from mizzen.control.inference.status import Observed, Problem, compute, is_available, stopped

LATER = "2026-01-01T13:00:00Z"
SERVED = msgspec.convert(
    {"metadata": {"name": "iris"}, "status": {"loadBalancer": {"ingress": [{"ip": "1"}]}}}, Ingress
)
UNSERVED = msgspec.convert({"metadata": {"name": "iris"}}, Ingress)
READY_POD = pod(ready=True, phase="Running", containers=[container_status(ready=True, running={"startedAt": NOW})])
FAILED = {"exitCode": 1, "reason": "Error", "message": "no such model"}
CRASHING = {"reason": "CrashLoopBackOff"}
INITIALIZER = "storage-initializer"


def service(cluster_ip: str = "10.0.0.1", *ports: dict[str, Any]) -> Service:
    return msgspec.convert(
        {"metadata": {"name": "iris-predictor"}, "spec": {"clusterIP": cluster_ip, "ports": ports}}, Service
    )


def chosen(cluster: bool = True) -> Selected:
    predictor = isvc().spec.predictor
    return select(predictor, [] if cluster else [runtime(cluster=False)], [runtime()] if cluster else [])


def observed(*pods, of=None, routes=(("Predictor", SERVED),), of_service=None, **more) -> Observed:
    return Observed(deployment=of, service=of_service or service(), routes=routes, pods=pods, **more)


LIVE = observed(READY_POD, of=deployment(AVAILABLE, PROGRESSED))


def computed(of=None, *, before=None, problem=None, config=None, ignored=(), now=NOW, generation=1, **fields):
    """The status after one look; ``before`` is the status that the service had."""
    found = isvc(**fields)
    found.metadata.generation = generation
    if before is not None:
        found.status = before
    return compute(
        found,
        "Standard",
        config or Config(),
        observed=of or Observed(),
        runtime=None if problem else chosen(),
        problem=problem,
        ignored=ignored,
        now=now,
    )


def condition(status: InferenceServiceStatus, kind: str):
    return next((found for found in status.conditions or () if found.type == kind), None)


def said(status: InferenceServiceStatus, kind: str) -> tuple[str, str, str]:
    found = condition(status, kind)
    return (found.status, found.reason or "", found.message or "") if found else ("", "", "")


def states(status: InferenceServiceStatus) -> tuple[str, str, str]:
    found = status.model_status
    of = found.states
    return (of.active_model_state, of.target_model_state, found.transition_status) if of else ("", "", "")


QUOTA = ("ReplicaFailure", "True", "FailedCreate", "exceeded quota")
STUCK = ("Progressing", "False", "ProgressDeadlineExceeded", "has timed out")
SILENT = ("Progressing", "False", "ProgressDeadlineExceeded", "")
COMING = ("Progressing", "True", "NewReplicaSetCreated", "Created new replica set")


@pytest.mark.parametrize(
    ("conditions", "status", "reason"),
    [
        pytest.param([], "False", "", id="0: nothing is known"),
        pytest.param([AVAILABLE], "True", "MinimumReplicasAvailable", id="1: available"),
        pytest.param([AVAILABLE, STUCK], "False", "ProgressDeadlineExceeded", id="2: stuck"),
        pytest.param([AVAILABLE, SILENT], "True", "MinimumReplicasAvailable", id="2: stuck and silent"),
        pytest.param([PROGRESSED], "True", "NewReplicaSetAvailable", id="3: progressed"),
        pytest.param([AVAILABLE, PROGRESSED], "True", "NewReplicaSetAvailable", id="3: available and progressed"),
        pytest.param([COMING], "Unknown", "NewReplicaSetCreated", id="4: coming"),
        pytest.param([AVAILABLE, COMING], "True", "MinimumReplicasAvailable", id="4: coming while available"),
        pytest.param([UNAVAILABLE, COMING], "False", "MinimumReplicasUnavailable", id="5: not available"),
        pytest.param([UNAVAILABLE, PROGRESSED], "False", "MinimumReplicasUnavailable", id="5: after progress"),
        pytest.param([UNAVAILABLE, QUOTA], "False", "FailedCreate", id="6: replicas fail"),
        pytest.param([AVAILABLE, PROGRESSED, QUOTA], "False", "FailedCreate", id="6: replicas fail while available"),
        pytest.param(
            [AVAILABLE, ("ReplicaFailure", "False", "x", "")], "True", "MinimumReplicasAvailable", id="6: none fails"
        ),
    ],
)
def test_the_predictor_is_as_ready_as_its_deployment(conditions, status, reason):
    found = deployment(*conditions)
    assert said(computed(observed(of=found)), "PredictorReady")[:2] == (status, reason)
    assert is_available(found) is (status == "True")


def test_a_predictor_without_a_deployment():
    assert said(computed(), "PredictorReady") == ("False", "", "")


def test_the_pods_own_words_come_first_while_the_predictor_is_not_ready():
    crashing = pod(containers=[container_status(waiting=CRASHING, last=FAILED)])
    status, reason, message = said(computed(observed(crashing, of=deployment(UNAVAILABLE))), "PredictorReady")
    assert (status, reason) == ("False", "CrashLoopBackOff")
    assert "no such model" in message
    # An older pod that crashes says nothing against those that answer.
    status, reason, _ = said(computed(observed(crashing, of=deployment(AVAILABLE))), "PredictorReady")
    assert (status, reason) == ("True", "MinimumReplicasAvailable")


def test_a_service_that_answers():
    found = computed(LIVE)
    assert {kind: said(found, kind)[0] for kind in ("Ready", "PredictorReady", "IngressReady", "Stopped")} == {
        "Ready": "True",
        "PredictorReady": "True",
        "IngressReady": "True",
        "Stopped": "False",
    }
    assert condition(found, "Stopped").severity == "Info"
    assert not condition(found, "Ready").severity
    assert found.url == "http://iris-default.example.com"
    assert found.address.url == "http://iris-predictor.default.svc.cluster.local"
    assert found.components["predictor"].url == "http://iris-predictor-default.example.com"
    assert states(found) == ("Loaded", "Loaded", "UpToDate")
    assert found.model_status.copies.total_copies == 1
    assert found.deployment_mode == "Standard"
    assert found.cluster_serving_runtime_name == "kserve-sklearnserver"
    assert found.observed_generation == 1


def test_kserves_golden_of_a_predictor_without_pods():
    found = computed(observed(of=deployment(AVAILABLE)))
    assert states(found) == ("", "Pending", "InProgress")
    assert said(found, "Ready")[0] == "True"


@pytest.mark.parametrize(
    ("routes", "status", "reason"),
    [
        ([("Predictor", SERVED)], "True", ""),
        ([("Predictor", UNSERVED)], "False", "IngressNotServed"),
        ([("Predictor", None)], "False", "Predictor Deployment NotReady"),
        ([("Predictor", SERVED), ("InferenceService", None)], "False", "InferenceService Deployment NotReady"),
    ],
)
def test_the_ingress_is_ready_when_somebody_serves_it(routes, status, reason):
    found = computed(observed(READY_POD, of=deployment(AVAILABLE), routes=routes))
    assert said(found, "IngressReady")[:2] == (status, reason)
    assert said(found, "Ready")[0] == status
    assert bool(found.url) is (status == "True")


def test_no_route_before_the_predictor_is_ready():
    found = computed(observed(of=deployment(UNAVAILABLE), routes=[("Predictor", None)]))
    assert said(found, "IngressReady")[:2] == ("False", "Predictor ingress not created")
    assert not found.url
    assert not found.address
    assert not found.components


def test_a_route_stays_while_the_predictor_comes_back():
    first = computed(LIVE)
    second = computed(observed(of=deployment(UNAVAILABLE)), before=first, now=LATER)
    assert said(second, "PredictorReady")[0] == "False"
    assert said(second, "IngressReady")[0] == "True"
    assert said(second, "Ready")[0] == "False"
    assert (second.url, second.address, second.components) == (first.url, first.address, first.components)


def test_an_internal_service_has_a_url_at_once():
    found = computed(observed(of=deployment(UNAVAILABLE), routes=[("Predictor", None)], internal=True))
    assert said(found, "IngressReady")[0] == "True"
    assert found.url == "http://iris-default.example.com"
    assert said(found, "Ready")[0] == "False"


@pytest.mark.parametrize(
    ("of", "address"),
    [
        (service("10.0.0.1", {"port": 80, "targetPort": 8080}), ""),
        (service("None", {"port": 80, "targetPort": 8080}), ":8080"),
        (service("None", {"port": 80, "targetPort": 8888, "name": "http1"}), ":8888"),
        (
            service(
                "None",
                {"port": 80, "targetPort": 9000, "name": "h2c", "appProtocol": "kubernetes.io/h2c"},
                {"port": 81, "targetPort": 8081, "name": "http1"},
            ),
            ":8081",
        ),
        (service("None", {"port": 80, "targetPort": 9000, "appProtocol": "kubernetes.io/h2c"}), ":8080"),
        (service("None"), ":8080"),
    ],
)
def test_the_address_of_a_headless_service_names_its_pods_port(of, address):
    found = computed(observed(READY_POD, of=deployment(AVAILABLE), of_service=of))
    assert found.address.url == f"http://iris-predictor.default.svc.cluster.local{address}"


def test_urls_follow_the_config_map():
    config = parse_config({"ingress": '{"domainTemplate": "{{.Name}}.{{.Namespace}}.x.org", "urlScheme": "https"}'})
    found = computed(LIVE, config=config)
    assert found.url == "https://iris.default.x.org"
    assert found.components["predictor"].url == "http://iris-predictor.default.x.org"


RUNNING = {"startedAt": NOW}
WAITING = {"reason": "PodInitializing"}


@pytest.mark.parametrize(
    ("pods", "expected", "failure"),
    [
        pytest.param([], ("", "Pending", "InProgress"), None, id="3: no pods"),
        pytest.param(
            [
                pod(
                    init=[container_status(INITIALIZER, running=RUNNING)],
                    containers=[container_status(waiting=WAITING)],
                )
            ],
            ("", "Loading", "InProgress"),
            None,
            id="4: the model is being brought",
        ),
        pytest.param(
            [pod(init=[container_status(INITIALIZER, running=RUNNING, last=FAILED)])],
            ("", "", ""),
            None,
            id="4b: once more, so nothing is said yet",
        ),
        pytest.param(
            [pod(init=[container_status(INITIALIZER, terminated=FAILED)])],
            ("", "FailedToLoad", "BlockedByFailedLoad"),
            ("ModelLoadFailed", "no such model", 1),
            id="5: the model could not be brought",
        ),
        pytest.param(
            [pod(init=[container_status(INITIALIZER, waiting=CRASHING, last=FAILED)])],
            ("", "FailedToLoad", "BlockedByFailedLoad"),
            ("ModelLoadFailed", "no such model", 1),
            id="6: the model cannot be brought",
        ),
        pytest.param(
            [
                pod(
                    init=[container_status(INITIALIZER, terminated={"exitCode": 0})],
                    containers=[container_status(terminated=FAILED)],
                )
            ],
            ("", "FailedToLoad", "BlockedByFailedLoad"),
            ("ModelLoadFailed", "no such model", 1),
            id="8: the server ended",
        ),
        pytest.param(
            [pod(containers=[container_status(waiting=CRASHING, last=FAILED)])],
            ("", "FailedToLoad", "BlockedByFailedLoad"),
            ("ModelLoadFailed", "no such model", 1),
            id="8: the server keeps ending",
        ),
        pytest.param(
            [pod(containers=[container_status(running=RUNNING)])],
            ("", "Pending", "InProgress"),
            None,
            id="9: the server starts",
        ),
        pytest.param([pod(containers=[container_status("other")])], ("", "", ""), None, id="9: no server yet"),
        pytest.param(
            [
                pod("new", containers=[container_status(running=RUNNING)]),
                pod("old", containers=[container_status(terminated=FAILED)]),
            ],
            ("", "Pending", "InProgress"),
            None,
            id="only the newest pod is looked at",
        ),
    ],
)
def test_where_the_model_stands(pods, expected, failure):
    found = computed(observed(*pods, of=deployment(UNAVAILABLE, PROGRESSING)))
    assert states(found) == expected
    info = found.model_status.last_failure_info
    assert ((info.reason, info.message, info.exit_code) if info else None) == failure


def test_only_pods_that_run_and_are_ready_are_copies():
    pods = [
        READY_POD,
        pod("b", ready=True, phase="Pending"),
        pod("c", ready=False, phase="Running"),
        pod("d", ready=True, phase="Running"),
    ]
    found = computed(observed(*pods, of=deployment(AVAILABLE)))
    assert (found.model_status.copies.total_copies, found.model_status.copies.failed_copies) == (2, 0)


def test_a_new_pod_that_crashes_is_told_of_while_the_old_one_answers():
    crashing = pod("new", containers=[container_status(waiting=CRASHING, last=FAILED)])
    found = computed(observed(crashing, READY_POD, of=deployment(AVAILABLE)), before=computed(LIVE), now=LATER)
    assert said(found, "Ready")[0] == "True"
    assert states(found) == ("Loaded", "FailedToLoad", "BlockedByFailedLoad")
    assert found.model_status.last_failure_info.message == "no such model"


def test_a_failure_is_remembered_after_recovery():
    crashing = pod(containers=[container_status(waiting=CRASHING, last=FAILED)])
    failed = computed(observed(crashing, of=deployment(UNAVAILABLE)))
    found = computed(LIVE, before=failed, now=LATER)
    assert states(found) == ("Loaded", "Loaded", "UpToDate")
    assert found.model_status.last_failure_info == failed.model_status.last_failure_info
    assert said(found, "Ready")[0] == "True"


NOT_FOUND = Problem(reason="RuntimeNotRecognized", message="there is no x", failure="RuntimeNotRecognized")
UNSUPPORTED = Problem(reason="NotSupported", message="spec.predictor.logger is not supported yet")


def test_a_spec_that_nobody_can_serve():
    found = computed(problem=NOT_FOUND)
    assert said(found, "PredictorReady") == ("False", "RuntimeNotRecognized", "there is no x")
    assert said(found, "Ready") == ("False", "RuntimeNotRecognized", "there is no x")
    assert said(found, "IngressReady")[0] == "Unknown"
    assert states(found) == ("", "FailedToLoad", "InvalidSpec")
    assert found.model_status.last_failure_info.reason == "RuntimeNotRecognized"
    assert not found.model_status.last_failure_info.exit_code
    assert found.observed_generation == 1


def test_a_spec_that_asks_for_what_is_not_built():
    found = computed(problem=UNSUPPORTED)
    assert said(found, "Ready") == ("False", "NotSupported", "spec.predictor.logger is not supported yet")
    assert not found.model_status.last_failure_info
    assert found.observed_generation == 1


def test_an_edit_that_nobody_can_serve_leaves_what_answers_ready():
    found = computed(LIVE, before=computed(LIVE), problem=NOT_FOUND, now=LATER, generation=2)
    assert said(found, "Ready")[0] == "True"
    assert states(found) == ("Loaded", "FailedToLoad", "InvalidSpec")
    assert found.observed_generation == 1, "Ready is the earlier spec's"


def test_when_what_answered_goes_too_the_edit_is_to_blame():
    gone = observed(of=deployment(UNAVAILABLE))
    found = computed(gone, before=computed(LIVE), problem=NOT_FOUND, now=LATER, generation=2)
    assert said(found, "Ready")[:2] == ("False", "RuntimeNotRecognized")
    assert found.observed_generation == 2


BROKEN_CONFIG = Problem(reason="InvalidConfiguration", message="key ingress", elsewhere=True)


def test_a_fault_elsewhere_is_told_and_not_held_against_what_answers():
    found = computed(LIVE, before=computed(LIVE), problem=BROKEN_CONFIG, now=LATER)
    assert said(found, "Ready")[0] == "True"
    assert said(found, "ConfigurationValid") == ("False", "InvalidConfiguration", "key ingress")
    mended = computed(LIVE, before=found, now=LATER)
    assert "ConfigurationValid" not in {condition.type for condition in mended.conditions}


def test_a_fault_elsewhere_keeps_a_new_service_waiting():
    found = computed(problem=BROKEN_CONFIG)
    assert said(found, "Ready") == ("False", "InvalidConfiguration", "key ingress")


def test_ready_tells_the_cause_and_not_its_effect_on_the_route():
    unscheduled = {"type": "PodScheduled", "status": "False", "message": "no nodes available"}
    waiting = pod(phase="Pending", conditions=[unscheduled])
    found = computed(observed(waiting, of=deployment(UNAVAILABLE), routes=(("Predictor", None),)))
    assert "no nodes available" in said(found, "Ready")[2]
    assert said(found, "IngressReady")[1] == "Predictor ingress not created"
    assert "no nodes available" in said(found, "IngressReady")[2]


def test_what_is_not_supported_is_told_whatever_answers():
    problem = UNSUPPORTED
    found = computed(LIVE, before=computed(LIVE), problem=problem, now=LATER, generation=2)
    assert said(found, "Ready") == ("False", problem.reason, problem.message)
    assert found.observed_generation == 2, "a client that waits for this generation is told"
    assert found.url, "what was told of routes stays"


@pytest.mark.parametrize("problem", [NOT_FOUND, UNSUPPORTED])
def test_a_problem_that_is_solved_is_forgotten(problem):
    found = computed(LIVE, before=computed(problem=problem), now=LATER, generation=2)
    of = LIVE.deployment
    assert of is not None
    assert said(found, "Ready")[0] == "True"
    assert states(found)[2] == "UpToDate"
    assert found.observed_generation == 2


def test_a_problem_says_nothing_with_a_template_that_makes_no_host():
    config = parse_config({"ingress": '{"domainTemplate": "{{ .Labels.absent }}"}'})
    found = computed(LIVE, before=computed(LIVE), problem=NOT_FOUND, config=config, now=LATER)
    assert said(found, "Ready")[0] == "True"


@pytest.mark.parametrize(
    ("of", "generation"),
    [
        (deployment(AVAILABLE, generation=3, observed=3), 5),
        (deployment(AVAILABLE, generation=3, observed=2), 4),
        (deployment(AVAILABLE, generation=3, observed=0), 4),
        (None, 4),
    ],
)
def test_the_generation_is_observed_when_the_deployment_has_followed(of, generation):
    before = computed(LIVE, generation=4)
    assert before.observed_generation == 4
    assert computed(observed(of=of), before=before, generation=5, now=LATER).observed_generation == generation


@pytest.mark.parametrize("cluster", [True, False])
def test_one_of_two_fields_names_the_runtime(cluster):
    found = isvc(status={"servingRuntimeName": "old", "clusterServingRuntimeName": "older"})
    status = compute(found, "Standard", Config(), observed=LIVE, runtime=chosen(cluster), problem=None, now=NOW)
    names = (status.serving_runtime_name or "", status.cluster_serving_runtime_name or "")
    assert names == (("", "kserve-sklearnserver") if cluster else ("kserve-sklearnserver", ""))


def test_a_predictor_of_containers_has_no_runtime():
    found = isvc(status={"clusterServingRuntimeName": "old"})
    status = compute(found, "Standard", Config(), observed=LIVE, runtime=None, problem=None, now=NOW)
    assert not status.serving_runtime_name
    assert not status.cluster_serving_runtime_name


def test_fields_without_effect_are_told_and_forgotten():
    found = computed(LIVE, ignored=["spec.predictor.maxReplicas"])
    status, reason, message = said(found, "AutoscalingActive")
    assert (status, reason) == ("False", "NotSupported")
    assert message.startswith("spec.predictor.maxReplicas")
    assert condition(found, "AutoscalingActive").severity == "Info"
    assert said(found, "Ready")[0] == "True"
    assert condition(computed(LIVE, before=found), "AutoscalingActive") is None


def test_a_service_that_is_stopped():
    live = isvc()
    live.status = computed(LIVE, ignored=["spec.predictor.maxReplicas"])
    live.metadata.generation = 2
    found = stopped(live, "Standard", LATER)
    assert [(c.type, c.status, c.reason or "") for c in found.conditions] == [
        ("IngressReady", "False", "Stopped"),
        ("PredictorReady", "False", "Stopped"),
        ("Ready", "False", "Stopped"),
        ("Stopped", "True", "Stopped"),
    ]
    assert condition(found, "Stopped").severity == "Info"
    assert msgspec.to_builtins(found).keys() == {"conditions", "deploymentMode", "observedGeneration"}
    assert found.observed_generation == 2
    live.status = found
    assert stopped(live, "Standard", "2026-01-01T14:00:00Z") == found, "nothing more to say"


def test_a_service_that_goes_on():
    live = isvc()
    found = computed(LIVE, before=stopped(live, "Standard", NOW), now=LATER)
    assert said(found, "Stopped")[:2] == ("False", "")
    assert said(found, "Ready")[0] == "True"
    assert found.url


def route(*conditions: tuple[str, str]) -> HTTPRoute:
    reported = [{"type": k, "status": s, "reason": k, "message": "m", "lastTransitionTime": NOW} for k, s in conditions]
    parents = [{"parentRef": {"name": "g"}, "controllerName": "c", "conditions": reported}]
    return msgspec.convert({"metadata": {"name": "iris"}, "status": {"parents": parents}}, HTTPRoute)


PODS = st.sampled_from(
    [
        READY_POD,
        pod(init=[container_status(INITIALIZER, running=RUNNING)]),
        pod(init=[container_status(INITIALIZER, terminated=FAILED)]),
        pod(containers=[container_status(waiting=CRASHING, last=FAILED)]),
        pod(containers=[container_status(running=RUNNING)]),
    ]
)
ROUTES = st.sampled_from([None, SERVED, UNSERVED, route(("Accepted", "True")), route(("Accepted", "False"))])
LOOKS = st.tuples(
    st.builds(
        lambda pods, of, one, internal: observed(*pods, of=of, routes=[("Predictor", one)], internal=internal),
        st.lists(PODS, max_size=2),
        st.sampled_from([None, deployment(AVAILABLE), deployment(UNAVAILABLE, PROGRESSING), deployment(PROGRESSED)]),
        ROUTES,
        st.booleans(),
    ),
    st.sampled_from([None, None, NOT_FOUND, UNSUPPORTED]),
)


@given(st.lists(LOOKS, min_size=1, max_size=4))
def test_one_more_look_at_the_same_world_has_nothing_to_say(looks):
    before = None
    for place, (of, problem) in enumerate(looks):
        before = computed(of, before=before, problem=problem, now=f"2026-01-01T12:00:{place:02}Z")
    of, problem = looks[-1]
    assert computed(of, before=before, problem=problem, now=LATER) == before


@given(st.lists(LOOKS, min_size=1, max_size=4))
def test_ready_sums_up_and_urls_are_told_of_routes_that_are_served(looks):
    before = None
    for place, (of, problem) in enumerate(looks):
        before = computed(of, before=before, problem=problem, now=f"2026-01-01T12:00:{place:02}Z")
        dependents = [said(before, kind)[0] for kind in ("PredictorReady", "IngressReady")]
        assert (said(before, "Ready")[0] == "True") == (dependents == ["True", "True"])
        assert said(before, "Ready")[0] != "False" or "False" in dependents
        if said(before, "Ready")[0] == "True":
            assert before.url
            assert before.address.url
            assert before.components["predictor"].url


@given(LOOKS, LOOKS)
def test_the_patch_of_a_status_makes_the_new_one_of_the_old(first, second):
    old = computed(first[0], problem=first[1])
    new = computed(second[0], before=old, problem=second[1], now=LATER)
    old_text, new_text = msgspec.to_builtins(old), msgspec.to_builtins(new)
    assert json_merge(old_text, json_merge_diff(old_text, new_text)) == new_text


def test_a_service_by_another_name_of_its_predictor():
    found = computed(LIVE, predictor=model(predictor={"name": "v2"}))
    assert found.address.url == "http://iris-v2-predictor.default.svc.cluster.local"
    assert found.components["predictor"].url == "http://iris-v2-predictor-default.example.com"
