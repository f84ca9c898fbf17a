"""Create, update, patch and apply, as requests ask for them.

What is read here is what a body and its options demand: that versions and uids match, that a patch is of a kind we
know, that an apply creates what is not there. What becomes of the object after that is the pipeline's.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from mizzen.cluster.apiserver import apply, decode, patch
from mizzen.cluster.apiserver import metadata as meta
from mizzen.cluster.apiserver.intake import clean, type_problem
from mizzen.cluster.apiserver.pipeline import Outcome, Pipeline, offloaded
from mizzen.cluster.apiserver.requests import WriteOptions, invalid_options
from mizzen.cluster.apiserver.resources import Object, Resource
from mizzen.cluster.apiserver.store import Key
from mizzen.kube.errors import ApiError, Cause, bad_request, conflict, invalid, invalid_value

_ATTEMPTS = 5


class Body(msgspec.Struct, frozen=True):
    """A request body as it came."""

    data: bytes
    content_type: str

    async def decoded(self, options: WriteOptions) -> decode.Decoded:
        """The mapping it holds. Raises 400 or 415."""
        find = options.validation != "Ignore"
        return await offloaded(
            len(self.data), lambda: decode.decode(self.data, self.content_type, find_duplicates=find)
        )


async def create(pipeline: Pipeline, resource: Resource, namespace: str, body: Body, options: WriteOptions) -> Outcome:
    """Store a new object. Raises what :meth:`Pipeline.create` raises, and 400 or 415 for the body."""
    decoded = await body.decoded(options)
    _settle(decoded.value, resource, namespace)
    return await pipeline.create(
        resource, namespace, decoded.value, options, size=len(body.data), duplicates=decoded.duplicates
    )


async def update(
    pipeline: Pipeline,
    resource: Resource,
    namespace: str,
    name: str,
    body: Body,
    options: WriteOptions,
    subresource: str = "",
) -> Outcome:
    """Replace an object or its status. Raises what :meth:`Pipeline.change` raises, and 409 for an outdated body."""
    decoded = await body.decoded(options)
    value = decoded.value
    metadata = _settle(value, resource, namespace, name)

    def replaced(old: Object) -> Object:
        uid, version = metadata.get("uid"), metadata.get("resourceVersion")
        if uid and uid != old["metadata"]["uid"]:
            found = old["metadata"]["uid"]
            why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {found}"
            raise conflict(resource.definition, name, why)
        if version and version != old["metadata"]["resourceVersion"]:
            raise conflict(resource.definition, name)
        if not version and not resource.unconditional_update:
            cause = invalid_value("metadata.resourceVersion", "0x0", "must be specified for an update")
            raise invalid(resource.definition, name, [cause])
        return value

    return await pipeline.change(
        resource,
        namespace,
        name,
        replaced,
        options,
        subresource=subresource,
        size=len(body.data),
        duplicates=decoded.duplicates,
    )


async def patch_object(
    pipeline: Pipeline,
    resource: Resource,
    namespace: str,
    name: str,
    body: Body,
    options: WriteOptions,
    subresource: str = "",
) -> Outcome:
    """Patch an object or its status, in any of the four ways. A server-side apply creates what is not there."""
    if decode.media_type(body.content_type).startswith("application/apply-patch"):
        return await _apply(pipeline, resource, namespace, name, body, options, subresource)
    if options.force is not None:
        raise _bad_option("FieldValueForbidden", "force", "Forbidden: may not be specified for non-apply patch")

    def patched(old: Object) -> Object:
        new = patch.patched(
            old, body.data, body.content_type, resource.node, resource.definition, custom=resource.custom
        )
        metadata = _settle(new, resource, namespace, name)
        version, uid = metadata.get("resourceVersion"), metadata.get("uid")
        if version and version != old["metadata"]["resourceVersion"]:
            raise conflict(resource.definition, name)
        if uid and uid != old["metadata"]["uid"]:
            raise invalid(resource.definition, name, [invalid_value("metadata.uid", uid, "field is immutable")])
        return new

    return await pipeline.change(
        resource, namespace, name, patched, options, subresource=subresource, size=len(body.data)
    )


async def _apply(
    pipeline: Pipeline,
    resource: Resource,
    namespace: str,
    name: str,
    body: Body,
    options: WriteOptions,
    subresource: str,
) -> Outcome:
    if not options.manager_given:
        raise _bad_option("FieldValueRequired", "fieldManager", "Required value: is required for apply patch")
    decoded = await body.decoded(options)
    config, size = decoded.value, len(body.data)
    wanted, given = resource.definition.api_version, config.get("apiVersion") or ""
    if given != wanted or not config.get("kind"):
        raise bad_request(
            f"Incorrect version specified in apply patch. Specified patch version: {given}, expected: {wanted}"
        )
    metadata = _settle(config, resource, namespace, name)
    if metadata.get("managedFields"):
        raise bad_request("metadata.managedFields must be nil")
    warnings = await offloaded(size, lambda: clean(config, resource, options.validation, decoded.duplicates))
    applied = _applied(pipeline, resource, config, options, subresource)

    for _ in range(_ATTEMPTS):
        outcome = await _apply_to_existing(pipeline, resource, namespace, name, applied, options, subresource, size)
        if outcome is None:
            outcome = await _apply_to_nothing(pipeline, resource, namespace, config, applied, options, size)
        if outcome is not None:
            outcome.warnings = warnings + outcome.warnings
            return outcome
    raise conflict(resource.definition, name)


def _applied(
    pipeline: Pipeline, resource: Resource, config: Object, options: WriteOptions, subresource: str
) -> Callable[[Object], Object]:
    version = config["metadata"].get("resourceVersion")

    def applied(live: Object) -> Object:
        if version and version != live.get("metadata", {}).get("resourceVersion"):
            raise conflict(resource.definition, config["metadata"]["name"])
        return apply.apply(
            live,
            config,
            node=resource.node,
            manager=options.manager,
            api_version=resource.definition.api_version,
            force=bool(options.force),
            subresource=subresource,
            has_status=resource.has_status,
            now=pipeline.now(),
        )

    return applied


async def _apply_to_existing(
    pipeline: Pipeline,
    resource: Resource,
    namespace: str,
    name: str,
    applied: Callable[[Object], Object],
    options: WriteOptions,
    subresource: str,
    size: int,
) -> Outcome | None:
    """The outcome, or ``None`` if there is nothing yet to apply to."""
    ignoring = msgspec.structs.replace(options, validation="Ignore")
    try:
        return await pipeline.change(
            resource, namespace, name, applied, ignoring, subresource=subresource, size=size, managed=True
        )
    except ApiError as error:
        place = Key(resource.storage, namespace if resource.definition.namespaced else "", name)
        if error.reason == "NotFound" and not subresource and pipeline.store.get(place) is None:
            return None
        raise


async def _apply_to_nothing(
    pipeline: Pipeline,
    resource: Resource,
    namespace: str,
    config: Object,
    applied: Callable[[Object], Object],
    options: WriteOptions,
    size: int,
) -> Outcome | None:
    """The outcome, or ``None`` if somebody else has created the object meanwhile."""
    uid = config["metadata"].get("uid")
    if uid:
        why = f"uid mismatch: the provided object specified uid {uid}, and no existing object was found"
        raise conflict(resource.definition, config["metadata"]["name"], why)
    value = await offloaded(size, lambda: applied({}))
    managed = value["metadata"].pop("managedFields", [])
    ignoring = msgspec.structs.replace(options, validation="Ignore")
    try:
        return await pipeline.create(resource, namespace, value, ignoring, size=size, managed=managed)
    except ApiError as error:
        if error.reason == "AlreadyExists":
            return None
        raise


def _settle(value: Object, resource: Resource, namespace: str, name: str = "") -> Object:
    """Make type and place of a body those of the URL; returns its metadata. Raises 400, or 422 for a custom kind."""
    problem = type_problem(value, resource)
    if problem is not None:
        raise problem
    meta.settle_type(value, resource)
    metadata = meta.metadata_of(value)
    meta.settle_place(metadata, resource, namespace, name)
    return metadata


def _bad_option(reason: str, field: str, message: str) -> ApiError:
    return invalid_options("PatchOptions", [Cause(reason, field, message)])
