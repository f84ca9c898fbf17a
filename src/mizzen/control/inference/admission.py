"""KServe's admission rules as admitters: the same functions behind the embedded API and, later, behind webhooks.

InferenceServices are defaulted, then validated; runtimes are validated; pods of an InferenceService get their model.
"""

from __future__ import annotations

import msgspec

from mizzen.apis.core import CONFIG_MAP, POD
from mizzen.apis.meta import Mapping
from mizzen.apis.serving.v1alpha1 import CLUSTER_SERVING_RUNTIME, SERVING_RUNTIME
from mizzen.apis.serving.v1beta1.inferenceservice import INFERENCE_SERVICE, InferenceService
from mizzen.control.inference import config as settings
from mizzen.control.inference import storage
from mizzen.control.inference.credentials import CredentialsError, credentials
from mizzen.control.inference.defaults import defaulted
from mizzen.control.inference.runtimevalidation import runtime_problem
from mizzen.control.inference.standard import INFERENCE_SERVICE_LABEL
from mizzen.control.inference.validation import Refusal, validate
from mizzen.kube.admission import AdmissionRequest, AdmissionResponse, Admitter, Reader


def _config(reader: Reader) -> settings.Config:
    found = reader.get(CONFIG_MAP, settings.NAME, settings.NAMESPACE)
    return settings.parse_config((found or {}).get("data") or {})


def default_inference_service(request: AdmissionRequest, reader: Reader) -> AdmissionResponse:
    assert request.object is not None
    try:
        config = _config(reader)
    except settings.ConfigError as error:
        return AdmissionResponse(allowed=False, message=str(error), code=500, reason="InternalError")
    return AdmissionResponse(object=defaulted(request.object, config, request.old_object))


def validate_inference_service(request: AdmissionRequest, reader: Reader) -> AdmissionResponse:
    new, old = _decoded(request.object), _decoded(request.old_object)
    if new is None or new.metadata.deletion_timestamp:
        return AdmissionResponse()
    try:
        return AdmissionResponse(warnings=validate(new, old))
    except Refusal as refusal:
        return _refused(f"InferenceService {request.name or new.name!r}", refusal)


def _decoded(manifest: Mapping | None) -> InferenceService | None:
    """The manifest as its type. One that was stored by older rules and does not fit is not compared with."""
    try:
        return msgspec.convert(manifest, InferenceService) if manifest is not None else None
    except msgspec.ValidationError:
        return None


def validate_runtime(request: AdmissionRequest, reader: Reader) -> AdmissionResponse:
    assert request.object is not None
    cluster = request.resource.plural == CLUSTER_SERVING_RUNTIME.plural
    resource = CLUSTER_SERVING_RUNTIME if cluster else SERVING_RUNTIME
    others = [
        runtime
        for runtime in reader.list(resource, "" if cluster else request.namespace)
        if runtime["metadata"]["name"] != request.name
    ]
    try:
        problem = runtime_problem(request.object, request.old_object, others)
    except msgspec.ValidationError:
        return AdmissionResponse()  # the schema's own refusal says more
    if problem:
        return _refused(f"{resource.kind} {request.name!r}", problem)
    return AdmissionResponse()


def bring_model(request: AdmissionRequest, reader: Reader) -> AdmissionResponse:
    assert request.object is not None
    labels = (request.object.get("metadata") or {}).get("labels") or {}
    if INFERENCE_SERVICE_LABEL not in labels:
        return AdmissionResponse()
    try:
        config = _config(reader)
        if not storage.is_brought(request.object):
            return AdmissionResponse()
        granted = credentials(request.object, request.namespace, config, reader)
        return AdmissionResponse(object=storage.with_model(request.object, config, granted))
    except (settings.ConfigError, storage.StorageError, CredentialsError) as error:
        return AdmissionResponse(allowed=False, message=str(error), code=500, reason="InternalError")


def _refused(what: str, why: object) -> AdmissionResponse:
    return AdmissionResponse(allowed=False, message=f"{what} is refused: {why}", code=400, reason="BadRequest")


ADMITTERS = (
    Admitter(
        name="inferenceservice.kserve-webhook-server.defaulter",
        resources=(INFERENCE_SERVICE,),
        mutates=True,
        admit=default_inference_service,
    ),
    Admitter(
        name="inferenceservice.kserve-webhook-server.validator",
        resources=(INFERENCE_SERVICE,),
        admit=validate_inference_service,
    ),
    Admitter(
        name="servingruntime.kserve-webhook-server.validator",
        resources=(SERVING_RUNTIME, CLUSTER_SERVING_RUNTIME),
        admit=validate_runtime,
    ),
    Admitter(
        name="inferenceservice.kserve-webhook-server.pod-mutator",
        resources=(POD,),
        operations=("CREATE",),
        mutates=True,
        admit=bring_model,
    ),
)
