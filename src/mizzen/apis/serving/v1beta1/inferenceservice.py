"""InferenceService: what is to be served, and in its status what became of it."""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec
from msgspec import UNSET

from mizzen.apis.meta import ATOMIC_LIST, Object, Opt, ResourceDef, Schema, field_schema
from mizzen.apis.serving import GROUP
from mizzen.apis.serving.v1beta1.component import ExplainerSpec, PredictorSpec, TransformerSpec
from mizzen.apis.serving.v1beta1.status import InferenceServiceStatus

INFERENCE_SERVICE = ResourceDef(
    group=GROUP, version="v1beta1", kind="InferenceService", plural="inferenceservices", short_names=("isvc",)
)


class Canary(Schema):
    """A second predictor that gets a share of the traffic; what it leaves out is as in the stable one.

    Attributes:
        predictor: the second predictor, which needs a name of its own.
        traffic_percent: its share of the requests, 0 to 100.
    """

    predictor: PredictorSpec
    traffic_percent: Annotated[int, field_schema(format="int32", minimum=0, maximum=100)]


class InferenceServiceSpec(Schema):
    """What is to be served.

    Attributes:
        predictor: what answers requests: a model with its format, a framework shorthand, or a container of your own.
        transformer: a container that changes requests before the predictor gets them, and answers after; not served
            yet.
        explainer: a container that says why the predictor answered as it did; not served yet.
        canary: further predictors, each with a share of the requests; not served yet.
    """

    predictor: PredictorSpec
    transformer: Opt[TransformerSpec] = UNSET
    explainer: Opt[ExplainerSpec] = UNSET
    canary: Annotated[Opt[list[Canary]], ATOMIC_LIST] = UNSET


class InferenceService(Object, kw_only=True):
    """A model, served: what to serve, and in its status where it answers or why it does not.

    Attributes:
        spec: what is to be served.
        status: where the service answers, or why it does not.
    """

    PRINTER_COLUMNS: ClassVar[tuple[tuple[str, str, str], ...]] = (
        ("URL", "string", ".status.url"),
        ("Ready", "string", ".status.conditions[?(@.type=='Ready')].status"),
        ("Prev", "integer", ".status.components.predictor.traffic[?(@.tag=='prev')].percent"),
        ("Latest", "integer", ".status.components.predictor.traffic[?(@.latestRevision==true)].percent"),
        ("PrevRolledoutRevision", "string", ".status.components.predictor.traffic[?(@.tag=='prev')].revisionName"),
        (
            "LatestReadyRevision",
            "string",
            ".status.components.predictor.traffic[?(@.latestRevision==true)].revisionName",
        ),
        ("Age", "date", ".metadata.creationTimestamp"),
    )

    spec: InferenceServiceSpec
    status: InferenceServiceStatus = msgspec.field(default_factory=InferenceServiceStatus)
