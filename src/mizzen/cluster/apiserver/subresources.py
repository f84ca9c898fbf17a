"""Sub-resources that are more than a part of their object: scale, binding, eviction, finalize.

Each reads its own small body and changes the object through the pipeline, so that versions, managed fields and
watchers see it like any other write. Exec, attach and port-forward will be streams beside the pod's log.
"""

from __future__ import annotations

from typing import Any

import orjson

from mizzen.apis.meta import ResourceDef
from mizzen.apis.schema import builtin
from mizzen.cluster.apiserver import decode, patch, schema
from mizzen.cluster.apiserver.pipeline import Outcome, Pipeline
from mizzen.cluster.apiserver.requests import WriteOptions
from mizzen.cluster.apiserver.resources import Object, Resource, at
from mizzen.cluster.apiserver.writes import Body
from mizzen.kube.errors import bad_request, conflict, invalid, invalid_value, required

SCALE = ResourceDef(group="autoscaling", version="v1", kind="Scale", plural="scales")


def scale_of(resource: Resource, data: bytes) -> Object:
    """The ``autoscaling/v1`` Scale of an object."""
    assert resource.scaling is not None
    value = orjson.loads(data)
    metadata = value["metadata"]
    scaling = resource.scaling
    fields = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    status: Object = {"replicas": at(value, *scaling.status_replicas) or 0}
    selector = scaling.selector(value)
    if selector:
        status["selector"] = selector
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {field: metadata[field] for field in fields if field in metadata},
        "spec": {"replicas": at(value, *scaling.spec_replicas) or 0},
        "status": status,
    }


async def write_scale(
    pipeline: Pipeline,
    resource: Resource,
    namespace: str,
    name: str,
    body: Body,
    options: WriteOptions,
    *,
    patches: bool,
) -> Outcome:
    """Replace or patch the Scale of an object; the outcome's bytes are the Scale's.

    Raises:
        ApiError: as for any change; 409 if the Scale names another version, 422 for a negative count.
    """
    assert resource.scaling is not None
    path = resource.scaling.spec_replicas

    def scaled(value: Object) -> Object:
        scale = scale_of(resource, orjson.dumps(value))
        if patches:
            node = builtin("autoscaling", "v1", "Scale")
            wanted = patch.patched(scale, body.data, body.content_type, node, SCALE, custom=False)
        else:
            wanted = decode.decode(body.data, body.content_type).value
        replicas = _replicas_of(wanted, name)
        version = at(wanted, "metadata", "resourceVersion")
        if version and version != value["metadata"]["resourceVersion"]:
            raise conflict(resource.definition, name)
        target = value
        for key in path[:-1]:
            target = target.setdefault(key, {})
        target[path[-1]] = replicas
        return value

    outcome = await pipeline.change(resource, namespace, name, scaled, options, subresource="scale")
    outcome.data = orjson.dumps(scale_of(resource, outcome.data))
    return outcome


def _replicas_of(scale: Object, name: str) -> int:
    error = schema.type_error(scale, builtin("autoscaling", "v1", "Scale"))
    if error:
        raise bad_request(f"Scale is malformed: {error}")
    if scale.get("kind") not in (None, "", "Scale"):
        raise bad_request(f"the body is of kind {scale['kind']}, but /scale takes a Scale")
    replicas = at(scale, "spec", "replicas") or 0
    if replicas < 0:
        why = "must be greater than or equal to 0"
        raise invalid(SCALE, name, [invalid_value("spec.replicas", replicas, why)])
    return int(replicas)


async def bind(
    pipeline: Pipeline, resource: Resource, namespace: str, name: str, body: Body, options: WriteOptions
) -> Outcome:
    """Assign a pod to the node that a Binding names.

    Raises:
        ApiError: 409 if the pod is assigned already or about to go, 422 if no node is named.
    """
    binding = (await body.decoded(options)).value
    node = at(binding, "target", "name")
    kind = at(binding, "target", "kind")
    if not node or kind not in (None, "", "Node"):
        causes = [required("target.name")] if not node else [invalid_value("target.kind", kind, "must be Node")]
        raise invalid(ResourceDef(group="", version="v1", kind="Binding", plural="bindings"), name, causes)

    def bound(pod: Object) -> Object:
        metadata = pod["metadata"]
        given = at(binding, "metadata", "uid")
        if given and given != metadata["uid"]:
            raise conflict(resource.definition, name, f"uid {given} is not that of the pod, {metadata['uid']}")
        assigned = pod["spec"].get("nodeName")
        if metadata.get("deletionTimestamp"):
            raise conflict(resource.definition, name, f"pod {name} is being deleted, cannot be assigned to a host")
        if assigned:
            raise conflict(resource.definition, name, f'pod {name} is already assigned to node "{assigned}"')
        pod["spec"]["nodeName"] = node
        status = pod.setdefault("status", {})
        kept = [found for found in status.get("conditions") or () if found.get("type") != "PodScheduled"]
        scheduled = {
            "type": "PodScheduled",
            "status": "True",
            "lastProbeTime": None,
            "lastTransitionTime": pipeline.now(),
        }
        status["conditions"] = [*kept, scheduled]
        annotations = at(binding, "metadata", "annotations")
        if annotations:
            metadata["annotations"] = {**(metadata.get("annotations") or {}), **annotations}
        return pod

    return await pipeline.change(resource, namespace, name, bound, options, subresource="binding")


async def finalize(pipeline: Pipeline, resource: Resource, name: str, body: Body, options: WriteOptions) -> Outcome:
    """Replace a namespace's ``spec.finalizers``; without any, a namespace that is being deleted goes."""
    given = (await body.decoded(options)).value
    finalizers = at(given, "spec", "finalizers") or []
    if not isinstance(finalizers, list) or not all(isinstance(item, str) for item in finalizers):
        raise bad_request("spec.finalizers must be a list of texts")

    def finalized(namespace: Object) -> Object:
        version = at(given, "metadata", "resourceVersion")
        if version and version != namespace["metadata"]["resourceVersion"]:
            raise conflict(resource.definition, name)
        namespace["spec"] = {**(namespace.get("spec") or {}), "finalizers": finalizers}
        return namespace

    return await pipeline.change(resource, "", name, finalized, options, subresource="finalize")


def created_status() -> dict[str, Any]:
    """The Status that answers a sub-resource which is an act, not an object."""
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}
