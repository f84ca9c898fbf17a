"""What makes a ServingRuntime ambiguous or unsafe. Source: reference of the KServe control plane, section 3.9."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from mizzen.apis.meta import Mapping, given
from mizzen.apis.serving.v1alpha1 import ServingRuntime, ServingRuntimeSpec, SupportedModelFormat
from mizzen.apis.serving.v1beta1 import PREDICTOR_CONTAINER


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
    before = msgspec.convert(old, ServingRuntime).spec if old is not None else None
    known = [msgspec.convert(other, ServingRuntime) for other in others]
    return next(_problems(runtime.spec, before, known), "")


def _problems(
    spec: ServingRuntimeSpec, before: ServingRuntimeSpec | None, others: Sequence[ServingRuntime]
) -> Iterator[str]:
    yield from _own_priorities(spec)
    for other in others:
        yield from _shared_priorities(spec, other)
    worker = given(spec.worker_spec)
    if before is not None and before.worker_spec and worker is None:
        yield "spec.workerSpec: cannot be removed from a runtime"
    for place, container in enumerate(spec.containers):
        for entry in container.get("env") or ():
            if entry.get("name") == "PYTHONPATH":
                yield f"spec.containers[{place}].env: PYTHONPATH may not be set"
    if worker is None:
        return
    if len(worker.containers) > 1:
        yield "spec.workerSpec.containers: only one container is allowed"
    for field, size in (
        ("pipelineParallelSize", given(worker.pipeline_parallel_size)),
        ("tensorParallelSize", given(worker.tensor_parallel_size)),
    ):
        if size is not None and size < 1:
            yield f"spec.workerSpec.{field}: {size} is too small; at least 1"
    for container in spec.containers:
        names = {entry.get("name") for entry in container.get("env") or ()}
        if container.get("name") == PREDICTOR_CONTAINER and names & {"PIPELINE_PARALLEL_SIZE", "TENSOR_PARALLEL_SIZE"}:
            yield "spec.containers: the parallel sizes are set in spec.workerSpec, not as variables"


def _automatic(spec: ServingRuntimeSpec) -> list[SupportedModelFormat]:
    return [supported for supported in spec.supported_model_formats or () if supported.auto_select]


def _own_priorities(spec: ServingRuntimeSpec) -> Iterator[str]:
    chosen: dict[str, int | None] = {}
    for supported in _automatic(spec):
        priority = given(supported.priority)
        if supported.name in chosen and chosen[supported.name] != priority:
            yield f"spec.supportedModelFormats: {supported.name} has entries of different priority"
        chosen[supported.name] = priority


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
