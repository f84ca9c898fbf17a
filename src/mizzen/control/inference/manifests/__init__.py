"""What an installation needs to know before its first InferenceService: CRDs, shipped runtimes, the config map.

The YAML files beside this one are ordinary manifests; the CRDs are made from the types.
"""

from __future__ import annotations

from importlib import resources
from typing import Any

import yaml

from mizzen import __version__
from mizzen.apis.crd import crd
from mizzen.apis.gateway import GATEWAY, GATEWAY_CLASS, Gateway, GatewayClass
from mizzen.apis.httproute import HTTP_ROUTE, HTTPRoute
from mizzen.apis.meta import Mapping
from mizzen.apis.serving import v1alpha1
from mizzen.apis.serving.v1beta1.inferenceservice import INFERENCE_SERVICE, InferenceService


def crds() -> list[Mapping]:
    """The CRDs of the kinds the InferenceService controller works with, the Gateway API's routes included."""
    return [
        crd(InferenceService, INFERENCE_SERVICE),
        crd(v1alpha1.ServingRuntime, v1alpha1.SERVING_RUNTIME, status=False),
        crd(v1alpha1.ClusterServingRuntime, v1alpha1.CLUSTER_SERVING_RUNTIME, status=False),
        crd(GatewayClass, GATEWAY_CLASS),
        crd(Gateway, GATEWAY),
        crd(HTTPRoute, HTTP_ROUTE),
    ]


def objects() -> list[Mapping]:
    """The shipped objects in the order in which to apply them, after the CRDs."""
    found: list[Mapping] = []
    for name in ("config.yaml", "runtimes.yaml"):
        text = resources.files(__package__).joinpath(name).read_text()
        documents: list[Any] = list(yaml.safe_load_all(text.replace("$VERSION", __version__)))
        found += [document for document in documents if document]
    return found
