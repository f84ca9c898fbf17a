"""What an InferenceService asks for that this version does not do.

Such a service is stored, as KServe would store it, and says so in its status instead of running without a part of what
was asked for. Each room that gets built takes its lines out of here.
"""

from __future__ import annotations

from collections.abc import Iterator

from mizzen.apis.meta import given
from mizzen.apis.serving.v1beta1.inferenceservice import InferenceService
from mizzen.apis.serving.v1beta1.model import FRAMEWORKS
from mizzen.control.inference.config import MODE_ANNOTATION, Mode
from mizzen.control.inference.validation import storage_uri
from mizzen.storage.errors import StorageError
from mizzen.storage.hosts import service_of

# Those of mizzen.storage, but for claims: there is nobody yet to make the volumes of a claim.
STORAGE_SCHEMES = ("file", "http", "https", "s3", "gs", "hf")
_SUPPORTED = f"a local path, {', '.join(f'{scheme}://' for scheme in STORAGE_SCHEMES)}"


def unsupported(isvc: InferenceService, mode: Mode) -> list[str]:
    """One sentence for each field that stands in the way, the field first; empty when there is none."""
    return list(_sentences(isvc, mode))


def _sentences(isvc: InferenceService, mode: Mode) -> Iterator[str]:
    predictor = isvc.spec.predictor
    if mode != "Standard":
        yield f"metadata.annotations[{MODE_ANNOTATION}]: the deployment mode {mode} is not supported yet, only Standard"
    for field, value in (
        ("spec.transformer", isvc.spec.transformer),
        ("spec.explainer", isvc.spec.explainer),
        ("spec.canary", isvc.spec.canary or None),
        ("spec.predictor.canaryTrafficPercent", predictor.canary_traffic_percent),
        ("spec.predictor.logger", predictor.logger),
        ("spec.predictor.batcher", predictor.batcher),
        ("spec.predictor.workerSpec", predictor.worker_spec),
        ("spec.predictor.storageUris", predictor.storage_uris),
        ("spec.predictor.storageContainerName", predictor.storage_container_name),
    ):
        if given(value) is not None:
            yield f"{field} is not supported yet"
    model = given(predictor.model)
    if model is not None and given(model.storage) is not None:
        yield "spec.predictor.model.storage is not supported yet; use storageUri"
    confidential = given(model.confidential) if model is not None else None
    if confidential is not None and confidential.enabled:
        yield "spec.predictor.model.confidential is not supported yet"
    uri = storage_uri(predictor)
    if missing := _unsupported_storage(uri):
        named = next((name for name in (*FRAMEWORKS, "model") if given(getattr(predictor, name)) is not None), "")
        field = f"spec.predictor.{named}.storageUri" if named else "spec.predictor.containers: STORAGE_URI"
        yield f"{field}: {missing} is not supported yet; supported are {_SUPPORTED}"


def _unsupported_storage(uri: str) -> str:
    """What kind of address it is, if none that a model can be fetched from; else empty."""
    scheme, separator, _ = uri.partition("://")
    if not separator:
        return ""
    scheme = scheme.lower()
    if scheme not in STORAGE_SCHEMES:
        return f"{scheme}://"
    try:
        files = scheme in ("http", "https") and service_of(uri, {}) == "azure files"
    except StorageError:
        return ""  # no host: the initializer says so
    return "Azure Files" if files else ""


def ignored(isvc: InferenceService) -> list[str]:
    """Fields that are accepted and have no effect yet, while the service runs without them."""
    predictor = isvc.spec.predictor
    found = []
    for field, value in (
        ("maxReplicas", predictor.max_replicas),
        ("scaleTarget", predictor.scale_target),
        ("scaleMetric", predictor.scale_metric),
        ("autoScaling", predictor.auto_scaling),
    ):
        wanted = given(value)
        if wanted is None or (field == "maxReplicas" and wanted in (0, predictor.min_replicas or 1)):
            continue
        found.append(f"spec.predictor.{field}")
    return found
