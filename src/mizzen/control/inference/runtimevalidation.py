"""What makes a ServingRuntime ambiguous or unsafe. Source: reference of the KServe control plane, section 3.9."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from mizzen.apis.meta import Mapping, given
from mizzen.apis.serving.v1alpha1 import RuntimeWorkerSpec, ServingRuntime, ServingRuntimeSpec, SupportedModelFormat
from mizzen.apis.serving.v1beta1.component import PREDICTOR_CONTAINER
from mizzen.control.inference.multinode import SIZE_FIELDS, gpu_problems, known_gpus, size_problems


def runtime_problem(new: Mapping, old: Mapping | None, others: Sequence[Mapping]) -> str:
    """The first rule that a runtime breaks, or empty.

    Args:
        others: the other runtimes of the same scope.

    Raises:
        msgspec.ValidationError: ``new`` does not have a runtime's shape.
    """
    runtime = msgspec.convert(new, ServingRuntime)
    if runtime.spec.disabled:
        return ""
    before = _decoded(old)
    known = [found for found in map(_decoded, others) if found is not None]
    return next(_problems(runtime.spec, before.spec if before else None, known), "")


def _decoded(manifest: Mapping | None) -> ServingRuntime | None:
    """A stored runtime as its type. One that was stored by older rules and does not fit is not compared with."""
    try:
        return msgspec.convert(manifest, ServingRuntime) if manifest is not None else None
    except msgspec.ValidationError:
        return None


def _problems(
    spec: ServingRuntimeSpec, before: ServingRuntimeSpec | None, others: Sequence[ServingRuntime]
) -> Iterator[str]:
    yield from _own_priorities(spec)
    for other in others:
        yield from _shared_priorities(spec, other)
    worker = given(spec.worker_spec)
    if before is not None and before.worker_spec and worker is None:
        yield "spec.workerSpec: cannot be removed from a runtime"
    for path, containers in (("", spec.containers), ("workerSpec.", worker.containers if worker else ())):
        for place, container in enumerate(containers):
            if "PYTHONPATH" in _variables(container):
                yield f"spec.{path}containers[{place}].env: PYTHONPATH may not be set"
    if worker is not None:
        yield from _multi_node_problems(spec, worker)


def _multi_node_problems(spec: ServingRuntimeSpec, worker: RuntimeWorkerSpec) -> Iterator[str]:
    if len(worker.containers) > 1:
        yield "spec.workerSpec.containers: only one container is allowed"
    known = known_gpus(spec.annotations or {})
    for place, container in enumerate(spec.containers):
        if container.get("name") != PREDICTOR_CONTAINER:
            continue
        for variable, field in SIZE_FIELDS.items():
            if variable in _variables(container):
                yield f"spec.containers[{place}].env: {variable} is set by spec.workerSpec.{field}, not as a variable"
        yield from gpu_problems(f"spec.containers[{place}]", container, known)
    for place, container in enumerate(worker.containers):
        yield from gpu_problems(f"spec.workerSpec.containers[{place}]", container, known)
    sizes = given(worker.pipeline_parallel_size), given(worker.tensor_parallel_size)
    yield from size_problems("spec.workerSpec", list(zip(SIZE_FIELDS.values(), sizes, strict=True)))


def _variables(container: Mapping) -> set[str]:
    return {entry.get("name", "") for entry in container.get("env") or ()}


def _automatic(spec: ServingRuntimeSpec) -> list[SupportedModelFormat]:
    return [supported for supported in spec.supported_model_formats or () if supported.auto_select]


def _own_priorities(spec: ServingRuntimeSpec) -> Iterator[str]:
    chosen: dict[str, int] = {}
    for supported in _automatic(spec):
        priority = given(supported.priority)
        if priority is not None and chosen.setdefault(supported.name, priority) != priority:
            yield f"spec.supportedModelFormats: {supported.name} has entries of different priority"


def _shared_priorities(spec: ServingRuntimeSpec, other: ServingRuntime) -> Iterator[str]:
    theirs = other.spec
    mine, also = set(spec.protocol_versions or ()), set(theirs.protocol_versions or ())
    if theirs.disabled or bool(theirs.multi_model) != bool(spec.multi_model) or not mine & also:
        return
    taken = {
        (found.name.lower(), found.version or "", given(found.priority))
        for found in _automatic(theirs)
        if given(found.priority) is not None
    }
    for supported in _automatic(spec):
        key = (supported.name.lower(), supported.version or "", given(supported.priority))
        if key in taken:
            yield (
                f"spec.supportedModelFormats: {other.name} serves {supported.name} {supported.version or ''} with the "
                f"same priority {key[2]} already; choose another, so that it is clear which is picked"
            )
