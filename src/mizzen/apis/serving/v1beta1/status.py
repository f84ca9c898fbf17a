"""What became of an InferenceService: where it and its parts answer, where its model stands, and what failed."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import UNSET

from mizzen.apis.conditions import Condition
from mizzen.apis.meta import ATOMIC_LIST, Int32, Opt, Schema, field_schema


class Address(Schema):
    """Where something answers.

    Attributes:
        url: the URL.
        name: what tells several addresses apart.
        ca_certs: certificates, in PEM, of the authorities to trust there.
        audience: who a token for this address must be meant for.
    """

    url: Opt[str] = UNSET
    name: Opt[str] = UNSET
    ca_certs: Opt[str] = msgspec.field(name="CACerts", default=UNSET)
    audience: Opt[str] = UNSET


class TrafficTarget(Schema):
    """The share of the requests that one revision gets.

    Attributes:
        configuration_name: the Knative configuration whose newest revision is meant.
        revision_name: the revision.
        latest_revision: whether this is the newest revision.
        percent: its share, 0 to 100.
        tag: a name under which the revision can be reached by itself.
        url: where the revision answers by itself.
    """

    configuration_name: Opt[str] = UNSET
    revision_name: Opt[str] = UNSET
    latest_revision: Opt[bool] = UNSET
    percent: Opt[int] = UNSET
    tag: Opt[str] = UNSET
    url: Opt[str] = UNSET


class ComponentStatus(Schema):
    """Where a predictor, transformer or explainer stands. Revisions are there with Knative only.

    Attributes:
        latest_ready_revision: the newest revision that is ready.
        latest_created_revision: the newest revision.
        previous_rolledout_revision: the revision that got all requests before the latest one.
        latest_rolledout_revision: the latest revision that got all requests.
        traffic: how requests are shared among revisions.
        url: where the component answers.
        rest_url: where it answers requests of REST.
        grpc_url: where it answers requests of gRPC.
        address: where it answers inside the cluster.
    """

    latest_ready_revision: Opt[str] = UNSET
    latest_created_revision: Opt[str] = UNSET
    previous_rolledout_revision: Opt[str] = UNSET
    latest_rolledout_revision: Opt[str] = UNSET
    traffic: Opt[list[TrafficTarget]] = UNSET
    url: Opt[str] = UNSET
    rest_url: Opt[str] = UNSET
    grpc_url: Opt[str] = UNSET
    address: Opt[Address] = UNSET


_STATES = ["", "Pending", "Standby", "Loading", "Loaded", "FailedToLoad"]


class ModelStates(Schema):
    """The state of the model that answers, and of the one that is to take its place.

    Attributes:
        active_model_state: that of the model that answers now.
        target_model_state: that of the model that is wanted; empty if it is the same.
    """

    active_model_state: Annotated[Opt[str], field_schema(default="Pending", enum=_STATES)] = UNSET
    target_model_state: Annotated[Opt[str], field_schema(default="", enum=_STATES)] = UNSET


class FailureInfo(Schema):
    """What failed last.

    Attributes:
        location: the pod or other place where it failed.
        reason: one word for it, for programs.
        message: what happened, for people.
        model_revision_name: the revision of the model that failed.
        time: when it failed, RFC 3339.
        exit_code: the exit code of the container that ended.
    """

    location: Opt[str] = UNSET
    reason: Annotated[
        Opt[str],
        field_schema(
            enum=[
                "ModelLoadFailed",
                "RuntimeUnhealthy",
                "RuntimeDisabled",
                "NoSupportingRuntime",
                "RuntimeNotRecognized",
                "InvalidPredictorSpec",
            ]
        ),
    ] = UNSET
    message: Opt[str] = UNSET
    model_revision_name: Opt[str] = UNSET
    time: Opt[str] = UNSET
    exit_code: Int32 = UNSET


class ModelCopies(Schema):
    """How many pods hold the model.

    Attributes:
        failed_copies: how many could not load it.
        total_copies: how many have it loaded.
    """

    failed_copies: Annotated[Opt[int], field_schema(default=0)] = UNSET
    total_copies: Opt[int] = UNSET


class ModelStatus(Schema):
    """Where the model stands: the state that answers now, the one that is wanted, and what failed last.

    Attributes:
        transition_status: how the change to the wanted model goes.
        states: the state of the model that answers, and of the one that is wanted.
        last_failure_info: what failed last.
        copies: how many pods hold the model.
    """

    transition_status: Annotated[
        Opt[str],
        field_schema(default="UpToDate", enum=["", "UpToDate", "InProgress", "BlockedByFailedLoad", "InvalidSpec"]),
    ] = UNSET
    states: Opt[ModelStates] = UNSET
    last_failure_info: Opt[FailureInfo] = UNSET
    copies: Opt[ModelCopies] = UNSET


class CanaryStatus(Schema):
    """Where one canary stands.

    Attributes:
        name: the name of the canary's predictor.
        ready: whether it answers.
        traffic_percent: its share of the requests, 0 to 100.
        model_status: where its model stands.
    """

    name: str
    ready: bool
    traffic_percent: int
    model_status: Opt[ModelStatus] = UNSET


class InferenceServiceStatus(Schema):
    """Where the service answers, or why it does not.

    Attributes:
        observed_generation: the generation of the spec that this status is about.
        conditions: Ready, and what it depends on; each with a reason and a message while it is not True.
        annotations: notes of the controller.
        url: where the service answers from outside the cluster.
        address: where the service answers inside the cluster.
        components: where each part stands: predictor, transformer, explainer.
        model_status: where the model stands.
        canary_statuses: where each canary stands; not served yet.
        deployment_mode: how the service is run; fixed when it is created.
        serving_runtime_name: the ServingRuntime that is used.
        cluster_serving_runtime_name: the ClusterServingRuntime that is used.
    """

    observed_generation: Opt[int] = UNSET
    conditions: Opt[list[Condition]] = UNSET
    annotations: Opt[dict[str, str]] = UNSET
    url: Opt[str] = UNSET
    address: Opt[Address] = UNSET
    components: Opt[dict[str, ComponentStatus]] = UNSET
    model_status: Opt[ModelStatus] = UNSET
    canary_statuses: Annotated[Opt[list[CanaryStatus]], ATOMIC_LIST] = UNSET
    deployment_mode: Opt[str] = UNSET
    serving_runtime_name: Opt[str] = UNSET
    cluster_serving_runtime_name: Opt[str] = UNSET
