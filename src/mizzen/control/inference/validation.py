"""What makes an InferenceService impossible: the rules of KServe's webhook, with the field named in every refusal.

Source: reference of the KServe control plane, section 3.3, in its order; the first broken rule is reported. Whether a
manifest is accepted is what KServe's users rely on; the sentences are ours. One rule is added: the name must leave room
for the names made from it (Q7).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from mizzen.apis.meta import Mapping, given
from mizzen.apis.podspec import ContainerFields, inline
from mizzen.apis.serving.v1beta1.component import (
    PREDICTOR_CONTAINER,
    TRANSFORMER_CONTAINER,
    ArtExplainer,
    ComponentFields,
    PredictorSpec,
)
from mizzen.apis.serving.v1beta1.inferenceservice import InferenceService
from mizzen.apis.serving.v1beta1.model import FRAMEWORKS, FrameworkSpec
from mizzen.control.inference.config import MODE_ANNOTATION, normalised_mode
from mizzen.control.inference.multinode import multi_node_problems
from mizzen.control.inference.scaling import AUTOSCALER_ANNOTATION, AUTOSCALER_CLASSES, scaling_problem
from mizzen.errors import MizzenError

_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_RESOURCE_ID = re.compile(r"kbs:///[\w-]+/[\w-]+/[\w.-]+", re.ASCII)
_LOGGER_MODES = ("all", "request", "response")
# The name of every component becomes the label app=isvc.<component>, whose value has 63 characters at most.
_LONGEST_COMPONENT = 63 - len("isvc.")


class Refusal(MizzenError):
    """An InferenceService that cannot be meant. The message names the field and what would be right."""


def validate(new: InferenceService, old: InferenceService | None = None) -> list[str]:
    """Check a manifest after defaulting.

    Args:
        old: what is stored now, on an update.

    Returns:
        Warnings for the user.

    Raises:
        Refusal: the first rule that is broken.
    """
    if old is not None and not old.metadata.deletion_timestamp:
        _check_update(new, old)
    for problem in _problems(new):
        raise Refusal(problem)
    return list(_warnings(new))


def _check_update(new: InferenceService, old: InferenceService) -> None:
    recorded = old.status.deployment_mode or ""
    wanted = new.metadata.annotation(MODE_ANNOTATION)
    if recorded and wanted and normalised_mode(recorded) != normalised_mode(wanted):
        raise Refusal(
            f"metadata.annotations[{MODE_ANNOTATION}]: the deployment mode is {recorded} since the service was created "
            f"and cannot become {wanted}; delete the service and create it anew"
        )
    if (new.spec.predictor.name or "") != (old.spec.predictor.name or ""):
        before, after = storage_uri(old.spec.predictor), storage_uri(new.spec.predictor)
        if before == after:
            raise Refusal(
                f"spec.predictor.name: renaming the predictor promotes a new model, but the model is still {after!r}"
            )


def _problems(isvc: InferenceService) -> Iterator[str]:
    name = isvc.name
    if not _NAME.fullmatch(name):
        yield (
            f"metadata.name: {name!r} is not usable as part of a host name: use lower-case letters, digits and '-', "
            f"start with a letter and end with a letter or digit (regex {_NAME.pattern})"
        )
    yield from _length_problems(isvc)
    annotations = isvc.metadata.annotations or {}
    autoscaler = annotations.get(AUTOSCALER_ANNOTATION, "none")
    if autoscaler not in AUTOSCALER_CLASSES:
        yield (
            f"metadata.annotations[{AUTOSCALER_ANNOTATION}]: [{autoscaler}] is no autoscaler class; "
            f"use one of {', '.join(AUTOSCALER_CLASSES)}"
        )
    yield from _blocked_variables(isvc)
    yield from multi_node_problems(isvc)
    yield from _model_container_problems(isvc.spec.predictor)
    for path, component in components(isvc):
        yield from _storage_problems(path, component)
    yield from _confidential_problems(isvc.spec.predictor)
    for path, component in components(isvc):
        yield from _implementation_problems(path, component)
        yield from _extension_problems(path, component)
        yield from scaling_problem(isvc, path, component)
    yield from _canary_problems(isvc)


def _length_problems(isvc: InferenceService) -> Iterator[str]:
    """Names that leave no room for those of the objects made from them (Q7)."""
    own = isvc.spec.predictor.name or ""
    made = {"metadata.name": f"{isvc.name}-predictor"}
    if own:
        made["spec.predictor.name"] = f"{isvc.name}-{own}-predictor"
    if isvc.spec.transformer:
        made["metadata.name"] = f"{isvc.name}-transformer"
    for path, component in made.items():
        room = _LONGEST_COMPONENT - len(component)
        if room < 0:
            written = own if path.startswith("spec") else isvc.name
            yield (
                f"{path}: {written!r} may have at most {len(written) + room} characters and has {len(written)}, "
                f"because {component} has to be a label and a host name"
            )


def components(isvc: InferenceService) -> list[tuple[str, ComponentFields]]:
    """The components that are there, each with its path in the manifest."""
    found: list[tuple[str, ComponentFields]] = [("spec.predictor", isvc.spec.predictor)]
    if isvc.spec.transformer:
        found.append(("spec.transformer", isvc.spec.transformer))
    if isvc.spec.explainer:
        found.append(("spec.explainer", isvc.spec.explainer))
    return found


def implementations(component: ComponentFields) -> list[str]:
    """The fields that say what a component runs; exactly one is right. A custom container counts by its name."""
    names = (*FRAMEWORKS, "model") if isinstance(component, PredictorSpec) else ("art",)
    found = [name for name in names if given(getattr(component, name, None)) is not None]
    containers = component.containers or []
    if isinstance(component, PredictorSpec):
        found += ["containers" for container in containers if container.get("name") == PREDICTOR_CONTAINER]
    if containers and (not found or not isinstance(component, PredictorSpec)):
        found.append("containers")
    return found


def storage_uri(component: ComponentFields) -> str:
    """Where a component's one model is, or empty. A custom container names it in its variable ``STORAGE_URI``."""
    named: FrameworkSpec | ArtExplainer | None
    if not isinstance(component, PredictorSpec):
        named = given(getattr(component, "art", None))
        first = (component.containers or [{}])[0]
        return (named.storage_uri or "") if named is not None else env_value(first, "STORAGE_URI")
    for name in (*FRAMEWORKS, "model"):
        named = given(getattr(component, name))
        if named is not None:
            return named.storage_uri or ""
    for container in component.containers or ():
        if container.get("name") == PREDICTOR_CONTAINER:
            return env_value(container, "STORAGE_URI")
    return ""


def env_value(container: Mapping, name: str) -> str:
    """The literal value of an environment variable of a container, or empty."""
    for entry in container.get("env") or ():
        if entry.get("name") == name:
            return str(entry.get("value") or "")
    return ""


def _framework_containers(component: ComponentFields, path: str) -> Iterator[tuple[str, Mapping]]:
    names = (*FRAMEWORKS, "model") if isinstance(component, PredictorSpec) else ("art",)
    for name in names:
        framework = given(getattr(component, name, None))
        if framework is not None:
            yield f"{path}.{name}", inline(framework, ContainerFields)


def _all_containers(component: ComponentFields, path: str) -> Iterator[tuple[str, Mapping]]:
    for key, containers in (("containers", component.containers), ("initContainers", component.init_containers)):
        for place, container in enumerate(containers or ()):
            yield f"{path}.{key}[{place}]", container
    yield from _framework_containers(component, path)
    worker = given(component.worker_spec) if isinstance(component, PredictorSpec) else None
    if worker is not None:
        for key, containers in (("containers", worker.containers), ("initContainers", worker.init_containers)):
            for place, container in enumerate(containers or ()):
                yield f"{path}.workerSpec.{key}[{place}]", container


def _blocked_variables(isvc: InferenceService) -> Iterator[str]:
    for path, component in components(isvc):
        for place, container in _all_containers(component, path):
            if any(entry.get("name") == "PYTHONPATH" for entry in container.get("env") or ()):
                yield f"{place}.env: PYTHONPATH may not be set: it would let a manifest replace the server's own code"


def _model_container_problems(predictor: PredictorSpec) -> Iterator[str]:
    for place, container in enumerate(predictor.containers or ()):
        variables = {entry.get("name") for entry in container.get("env") or ()}
        if container.get("name") == TRANSFORMER_CONTAINER and "STORAGE_URI" in variables:
            yield f"spec.predictor.containers[{place}].env: {TRANSFORMER_CONTAINER} may not carry STORAGE_URI"
    for path, container in _framework_containers(predictor, "spec.predictor"):
        if container.get("name"):
            yield f"{path}.name: the container of a model is named {PREDICTOR_CONTAINER}; leave the field out"


def _storage_problems(path: str, component: ComponentFields) -> Iterator[str]:
    uris = given(getattr(component, "storage_uris", None))
    if not uris:
        return
    if storage_uri(component):
        yield f"{path}.storageUris: the model is given by storageUri already; use one of the two"
    mounts = []
    for place, entry in enumerate(uris):
        mount = entry.mount_path or "/mnt/models"
        if not entry.uri:
            yield f"{path}.storageUris[{place}].uri: empty"
        if mount == "/" or not mount.startswith("/") or ".." in mount:
            yield f"{path}.storageUris[{place}].mountPath: {mount!r} must be an absolute path below /, without .."
        mounts.append((entry.uri, PurePosixPath(mount)))
    downloaded = [mount for uri, mount in mounts if not uri.startswith("pvc://")]
    if len(downloaded) < 2:
        return
    parents = [set(mount.parents) | {mount} for mount in downloaded]
    if set.intersection(*parents) <= {PurePosixPath("/")}:
        yield f"{path}.storageUris: the mount paths need a common parent below /"
    claims = [mount for uri, mount in mounts if uri.startswith("pvc://")]
    if len(claims) != len(set(claims)):
        yield f"{path}.storageUris: two claims are mounted at the same path"


def _confidential_problems(predictor: PredictorSpec) -> Iterator[str]:
    for name in (*FRAMEWORKS, "model"):
        framework: FrameworkSpec | None = given(getattr(predictor, name))
        confidential = given(framework.confidential) if framework is not None else None
        if framework is None or confidential is None or not confidential.enabled:
            continue
        path = f"spec.predictor.{name}"
        if not framework.storage_uri:
            yield f"{path}.confidential: needs {path}.storageUri"
        if confidential.resource_id and not _RESOURCE_ID.fullmatch(confidential.resource_id):
            yield f"{path}.confidential.resourceId: must read kbs:///<repository>/<type>/<tag>"


def _implementation_problems(path: str, component: ComponentFields) -> Iterator[str]:
    found = implementations(component)
    if len(found) != 1:
        allowed = [*FRAMEWORKS, "model", "containers"] if isinstance(component, PredictorSpec) else ["containers"]
        allowed += ["art"] if path.endswith("explainer") else []
        what = f"has {len(found)} ({', '.join(found)})" if found else "has none"
        yield f"{path}: exactly one of {', '.join(allowed)} says what runs; this one {what}"
    containers = component.containers or []
    if found == ["containers"] and isinstance(component, PredictorSpec):
        transformer = [c for c in containers if c.get("name") == TRANSFORMER_CONTAINER]
        chosen = (transformer or containers)[0]
        protocol = env_value(chosen, "PROTOCOL")
        if protocol and protocol not in ("v1", "v2"):
            yield f"{path}.containers: the variable PROTOCOL is {protocol!r}; use v1 or v2"
    art = given(getattr(component, "art", None))
    storage = given(art.storage) if art is not None else None
    kind = (storage.parameters or {}).get("type") if storage is not None else None
    if kind and kind not in ("s3", "hdfs", "webhdfs"):
        yield f"{path}.art.storage.parameters.type: {kind!r}; use s3, hdfs or webhdfs"


def _extension_problems(path: str, component: ComponentFields) -> Iterator[str]:
    for field, value in (
        ("containerConcurrency", given(component.container_concurrency)),
        ("minReplicas", given(component.min_replicas)),
        ("maxReplicas", given(component.max_replicas)),
    ):
        if value is not None and value < 0:
            yield f"{path}.{field}: {value} is below 0"
    least, most = component.min_replicas or 0, component.max_replicas or 0
    if most and least > most:
        yield f"{path}.minReplicas: {least} is more than maxReplicas, which is {most}"
    logger = given(component.logger)
    if logger is None:
        return
    if logger.mode and logger.mode not in _LOGGER_MODES:
        yield f"{path}.logger.mode: {logger.mode!r}; use one of {', '.join(_LOGGER_MODES)}"
    storage = given(logger.storage)
    if storage is not None and not (storage.path and storage.parameters and storage.key):
        yield f"{path}.logger.storage: needs path, parameters and key"


def _canary_problems(isvc: InferenceService) -> Iterator[str]:
    canaries = given(isvc.spec.canary)
    if not canaries:
        return
    if isvc.metadata.annotation(MODE_ANNOTATION) != "Standard":
        yield f"spec.canary: needs the deployment mode Standard (annotation {MODE_ANNOTATION})"
    stable = isvc.spec.predictor
    if given(stable.model) is None and not storage_uri(stable):
        yield "spec.canary: the stable predictor needs a model"
    least = given(stable.min_replicas)
    names = {stable.name or ""}
    for place, canary in enumerate(canaries):
        path = f"spec.canary[{place}]"
        predictor = canary.predictor
        if not predictor.name:
            yield f"{path}.predictor.name: a canary needs a name of its own"
        elif predictor.name in names:
            yield f"{path}.predictor.name: {predictor.name!r} is taken"
        names.add(predictor.name or "")
        if not 0 <= canary.traffic_percent <= 100:
            yield f"{path}.trafficPercent: {canary.traffic_percent} is not between 0 and 100"
        yield from _implementation_problems(f"{path}.predictor", predictor)
        yield from _extension_problems(f"{path}.predictor", predictor)
        for field, value in (
            ("workerSpec", predictor.worker_spec),
            ("maxReplicas", predictor.max_replicas),
            ("scaleTarget", predictor.scale_target),
            ("scaleMetric", predictor.scale_metric),
            ("autoScaling", predictor.auto_scaling),
        ):
            if value:
                yield f"{path}.predictor.{field}: a canary scales with the stable predictor and may not set this"
        if (predictor.min_replicas or 0) > (1 if least is None else least):
            yield f"{path}.predictor.minReplicas: more than the stable predictor's"
    if sum(canary.traffic_percent for canary in canaries) > 100:
        yield "spec.canary: the traffic percents add up to more than 100"


def _warnings(isvc: InferenceService) -> Iterator[str]:
    model = given(isvc.spec.predictor.model)
    confidential = given(model.confidential) if model is not None else None
    if model is not None and confidential is not None and confidential.enabled:
        for scheme in ("oci://", "pvc://"):
            if (model.storage_uri or "").startswith(scheme):
                yield f"spec.predictor.model.confidential: a model in {scheme} storage is not decrypted on download"
