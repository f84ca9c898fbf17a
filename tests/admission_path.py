"""The path of a write through schema and admission, without an API server: what is stored, or why nothing is."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

from inference_objects import Shelf, installed
from mizzen.apis.meta import ResourceDef
from mizzen.apis.schema import Node
from mizzen.apis.serving.v1alpha1 import CLUSTER_SERVING_RUNTIME, SERVING_RUNTIME
from mizzen.apis.serving.v1beta1.inferenceservice import INFERENCE_SERVICE
from mizzen.cluster.apiserver import schema
from mizzen.control.inference.admission import ADMITTERS
from mizzen.control.inference.manifests import crds
from mizzen.kube.admission import AdmissionRequest

KINDS = {
    (resource.api_version, resource.kind): resource
    for resource in (INFERENCE_SERVICE, SERVING_RUNTIME, CLUSTER_SERVING_RUNTIME)
}


class Refused(Exception):
    """Nothing is stored; ``code`` is the HTTP status."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


@cache
def node_of(kind: str, group: str) -> Node:
    found = next(one for one in crds() if (one["spec"]["names"]["kind"], one["spec"]["group"]) == (kind, group))
    return Node(found["spec"]["versions"][0]["schema"]["openAPIV3Schema"])


def write(
    manifest: dict[str, Any], reader: Shelf | None = None, old: dict[str, Any] | None = None
) -> tuple[dict[str, Any], list[str]]:
    """What a manifest is stored as, and the warnings for the client: unknown fields, and what the rules say.

    Raises:
        Refused: with the code and the words of the API.
    """
    resource = KINDS.get((manifest.get("apiVersion", ""), manifest.get("kind", "")))
    if resource is None:
        raise Refused(404, f"{manifest.get('apiVersion')} {manifest.get('kind')} is not served")
    reader = reader or installed()
    found = copy.deepcopy(manifest)
    warnings = _taken_in(found, resource)
    for admitter in sorted(ADMITTERS, key=lambda one: not one.mutates):
        if not admitter.mutates:
            causes = schema.validate(found, node_of(resource.kind, resource.group))
            if causes:
                raise Refused(422, "; ".join(f"{cause['field']}: {cause['message']}" for cause in causes))
        request = AdmissionRequest(
            operation="UPDATE" if old else "CREATE",
            resource=resource,
            namespace=found["metadata"].get("namespace", ""),
            name=found["metadata"].get("name", ""),
            object=found,
            old_object=old,
        )
        if not admitter.concerns(request):
            continue
        response = admitter.admit(request, reader)
        if not response.allowed:
            raise Refused(response.code, response.message)
        warnings += response.warnings
        if response.object is not None:
            found = copy.deepcopy(response.object)
            _taken_in(found, resource)
    return found, warnings


def _taken_in(found: dict[str, Any], resource: ResourceDef) -> list[str]:
    node = node_of(resource.kind, resource.group)
    schema.drop_nulls(found, node)
    unknown = schema.prune(found, node)
    schema.set_defaults(found, node)
    return [f'unknown field "{path}"' for path in unknown]
