"""Which runtime serves a model: named by the user, or picked by format, protocol and priority.

Source: reference of the KServe control plane, section 2.2.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from mizzen.apis.meta import given_or
from mizzen.apis.serving.v1alpha1 import ClusterServingRuntime, ServingRuntime, ServingRuntimeSpec, SupportedModelFormat
from mizzen.apis.serving.v1beta1.component import PredictorSpec
from mizzen.apis.serving.v1beta1.model import ModelSpec
from mizzen.control.inference import servertypes
from mizzen.errors import MizzenError

Runtime = ServingRuntime | ClusterServingRuntime

_PROTOCOL_RANK = {"v1": 1, "v2": 2, "grpc-v1": 3, "grpc-v2": 4}
_NO_RANK = 5


class SelectionError(MizzenError):
    """No runtime can serve the model. ``reason`` is the one of ``status.modelStatus.lastFailureInfo``."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Selected(msgspec.Struct, frozen=True, kw_only=True):
    """The runtime that serves a model, and the protocol it speaks to it."""

    name: str
    cluster: bool
    spec: ServingRuntimeSpec
    annotations: dict[str, str]
    protocol: str

    @property
    def server_type(self) -> str:
        return servertypes.server_type(self.name, self.annotations)


def select(
    predictor: PredictorSpec,
    namespaced: Sequence[ServingRuntime],
    cluster: Sequence[ClusterServingRuntime],
) -> Selected:
    """The runtime for the predictor's model.

    Args:
        predictor: with its ``model`` filled in.
        namespaced: the ServingRuntimes of the service's namespace.
        cluster: all ClusterServingRuntimes.

    Raises:
        SelectionError: with the reason RuntimeNotRecognized, RuntimeDisabled or NoSupportingRuntime, and in words what
            was asked for and what there is.
    """
    model = predictor.model
    assert model
    if not model.model_format or not model.model_format.name:
        raise SelectionError("NoSupportingRuntime", "spec.predictor.model.modelFormat.name is missing: which format?")
    if model.runtime:
        return _named(model, namespaced, cluster)
    protocol = model.protocol_version or "v1"
    multi_node = bool(predictor.worker_spec)
    for scope in (namespaced, cluster):
        found = [runtime for runtime in scope if _eligible(runtime, model, protocol, multi_node)]
        if found:
            return _selected(_by_preference(found, model)[0], model)
    raise SelectionError("NoSupportingRuntime", _why_none(model, protocol, [*namespaced, *cluster]))


def _named(
    model: ModelSpec, namespaced: Sequence[ServingRuntime], cluster: Sequence[ClusterServingRuntime]
) -> Selected:
    scopes: Iterable[Runtime] = [*namespaced, *cluster]
    runtime = next((runtime for runtime in scopes if runtime.name == model.runtime), None)
    if runtime is None:
        known = ", ".join(sorted({r.name for r in [*namespaced, *cluster]})) or "none"
        raise SelectionError(
            "RuntimeNotRecognized",
            f"spec.predictor.model.runtime names {model.runtime!r}, and there is no ServingRuntime or "
            f"ClusterServingRuntime of that name (there are: {known})",
        )
    if runtime.spec.disabled:
        raise SelectionError("RuntimeDisabled", f"the runtime {model.runtime!r} is disabled (spec.disabled)")
    protocols = runtime.spec.protocol_versions or []
    if model.protocol_version and not _speaks(runtime, model.protocol_version):
        raise SelectionError(
            "NoSupportingRuntime",
            f"the runtime {model.runtime!r} does not speak protocol {model.protocol_version}, "
            f"only {', '.join(protocols)}",
        )
    if not _format_matches(runtime, model, auto_only=False):
        formats = ", ".join(_format_key(f.name, f.version or "") for f in runtime.spec.supported_model_formats or ())
        raise SelectionError(
            "NoSupportingRuntime",
            f"the runtime {model.runtime!r} does not serve models of format {_wanted(model)}, only {formats or 'none'}",
        )
    return _selected(runtime, model)


def _selected(runtime: Runtime, model: ModelSpec) -> Selected:
    annotations = dict(runtime.metadata.annotations or {})
    ranked = sorted(runtime.spec.protocol_versions or (), key=lambda p: _PROTOCOL_RANK.get(p, _NO_RANK))
    usual = servertypes.default_protocol(servertypes.server_type(runtime.name, annotations))
    return Selected(
        name=runtime.name,
        cluster=isinstance(runtime, ClusterServingRuntime),
        spec=runtime.spec,
        annotations=annotations,
        protocol=model.protocol_version or usual or (ranked[0] if ranked else ""),
    )


def _eligible(runtime: Runtime, model: ModelSpec, protocol: str, multi_node: bool) -> bool:
    spec = runtime.spec
    return (
        not spec.disabled
        and not spec.multi_model
        and bool(spec.worker_spec) == multi_node
        and _speaks(runtime, protocol)
        and _format_matches(runtime, model, auto_only=True)
    )


def _speaks(runtime: Runtime, protocol: str) -> bool:
    protocols = runtime.spec.protocol_versions or []
    return not protocols or protocol in protocols


def _format_key(name: str, version: str) -> str:
    return f"{name}:{version}" if version else name


def _wanted(model: ModelSpec) -> str:
    wanted = model.model_format
    return _format_key(wanted.name, wanted.version or "") if wanted else ""


def _format_matches(runtime: Runtime, model: ModelSpec, *, auto_only: bool) -> bool:
    served: set[str] = set()
    for supported in runtime.spec.supported_model_formats or ():
        if supported.auto_select or not auto_only:
            served |= {supported.name, _format_key(supported.name, supported.version or "")}
    return _wanted(model) in served


def _by_preference(found: list[Runtime], model: ModelSpec) -> list[Runtime]:
    """Best first: by priority, then by the lowest protocol rank, then the newest, then by name."""
    found = sorted(found, key=lambda runtime: runtime.name)
    found.sort(key=lambda runtime: runtime.metadata.creation_timestamp or "", reverse=True)
    found.sort(key=_rank)
    return sorted(found, key=lambda runtime: _priority(runtime, model))


def _rank(runtime: Runtime) -> int:
    ranks = [_PROTOCOL_RANK.get(protocol, _NO_RANK) for protocol in runtime.spec.protocol_versions or ()]
    return min(ranks, default=_NO_RANK)


def _priority(runtime: Runtime, model: ModelSpec) -> float:
    """A sort key: the greater the priority of the first entry for the model's format, the smaller; none comes last."""
    wanted = model.model_format.name if model.model_format else ""
    formats: Iterable[SupportedModelFormat] = runtime.spec.supported_model_formats or ()
    entry = next((supported for supported in formats if supported.name == wanted), None)
    priority = given_or(entry.priority, 0) if entry else 0
    return -priority if priority else float("inf")


def _why_none(model: ModelSpec, protocol: str, runtimes: Sequence[Runtime]) -> str:
    """What stood in the way, from the nearest miss outwards."""
    wanted = _wanted(model)
    same_format = [r for r in runtimes if not r.spec.disabled and _format_matches(r, model, auto_only=False)]
    if same_format:
        offers = "; ".join(
            f"{r.name} speaks {', '.join(r.spec.protocol_versions or ()) or 'any protocol'}"
            + (
                ""
                if _format_matches(r, model, auto_only=True)
                else " but must be named in spec.predictor.model.runtime"
            )
            for r in same_format
        )
        return f"no runtime serves models of format {wanted} with protocol {protocol} by itself: {offers}"
    formats = sorted(
        {
            _format_key(supported.name, supported.version or "")
            for runtime in runtimes
            if not runtime.spec.disabled
            for supported in runtime.spec.supported_model_formats or ()
        }
    )
    return (
        f"no runtime serves models of format {wanted} (spec.predictor.model.modelFormat); "
        f"the runtimes here serve: {', '.join(formats) or 'nothing'}"
    )
