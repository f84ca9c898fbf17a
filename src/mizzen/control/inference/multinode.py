"""The rules of a predictor or runtime that spans several nodes, and which GPU resources are known to them.

Source: reference of the KServe control plane, section 3.3, rule 4, and section 3.9.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from mizzen.apis.meta import given
from mizzen.apis.podspec import ContainerFields, inline
from mizzen.apis.serving.v1beta1.inferenceservice import InferenceService
from mizzen.apis.serving.v1beta1.model import ModelSpec
from mizzen.control.inference.scaling import AUTOSCALER_ANNOTATION

GPU_ANNOTATION = "serving.kserve.io/gpu-resource-types"
# Both sizes are fields of a workerSpec, and become variables of the containers from there.
SIZE_FIELDS = {"PIPELINE_PARALLEL_SIZE": "pipelineParallelSize", "TENSOR_PARALLEL_SIZE": "tensorParallelSize"}

_GPUS = ("nvidia.com/gpu", "amd.com/gpu", "intel.com/gpu", "habana.ai/gaudi")
_PLAIN_RESOURCES = ("cpu", "memory", "storage", "ephemeral-storage")


def known_gpus(annotations: Mapping[str, str]) -> tuple[str, ...]:
    """The names of GPU resources: the usual ones, and those that an annotation adds as a JSON list."""
    try:
        more = msgspec.json.decode(annotations.get(GPU_ANNOTATION) or "[]", type=list[str])
    except msgspec.DecodeError:
        more = []
    return (*_GPUS, *more)


def gpu_problems(path: str, container: Mapping[str, Any], known: Sequence[str]) -> Iterator[str]:
    """The resources of a container that are neither plain ones nor known GPUs."""
    resources = container.get("resources") or {}
    for kind in ("limits", "requests"):
        for name in resources.get(kind) or ():
            if name not in known and name not in _PLAIN_RESOURCES:
                yield (
                    f"{path}.resources.{kind}: {name} is no known GPU resource; known are {', '.join(known)}, "
                    f"and more can be named in the annotation {GPU_ANNOTATION}"
                )


def size_problems(path: str, sizes: Sequence[tuple[str, int | None]]) -> Iterator[str]:
    for field, size in sizes:
        if size is not None and size < 1:
            yield f"{path}.{field}: {size} is too small; at least 1"


def multi_node_problems(isvc: InferenceService) -> Iterator[str]:
    """What is wrong with a predictor's ``workerSpec`` and with what stands beside it, first problem first."""
    predictor = isvc.spec.predictor
    worker = given(predictor.worker_spec)
    if worker is None:
        return
    path = "spec.predictor.workerSpec"
    if len(worker.containers or ()) > 1:
        yield f"{path}.containers: only one container is allowed"
    known = known_gpus(isvc.metadata.annotations or {})
    model = given(predictor.model)
    if model is not None:
        yield from _model_problems(model, known, path)
        if isvc.metadata.annotation(AUTOSCALER_ANNOTATION) != "none":
            yield f"metadata.annotations[{AUTOSCALER_ANNOTATION}]: must be none for a predictor with a workerSpec"
    sizes = given(worker.pipeline_parallel_size), given(worker.tensor_parallel_size)
    yield from size_problems(path, list(zip(SIZE_FIELDS.values(), sizes, strict=True)))
    for place, container in enumerate(worker.containers or ()):
        yield from gpu_problems(f"{path}.containers[{place}]", container, known)


def _model_problems(model: ModelSpec, known: Sequence[str], worker: str) -> Iterator[str]:
    server = inline(model, ContainerFields)
    named = {entry.get("name") for entry in server.get("env") or ()}
    for variable, field in SIZE_FIELDS.items():
        if variable in named:
            yield f"spec.predictor.model.env: {variable} is set by {worker}.{field}, not as a variable"
    yield from gpu_problems("spec.predictor.model", server, known)
    uri = model.storage_uri or ""
    if not uri:
        yield "spec.predictor.model.storageUri: several nodes need a storageUri that all of them can read"
    elif not uri.startswith(("pvc://", "oci://")):
        yield f"spec.predictor.model.storageUri: {uri!r}: several nodes need pvc:// or oci:// storage"
