"""How objects end: preconditions, propagation policy, grace period, finalizers, and only then removal.

The order of the steps is the API's own (reference: the Kubernetes API, section 5). The dependents of an object are the
garbage collector's business, an API client like any other; here is only what it reads: the finalizers that a policy
asks for, and the time of deletion.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import orjson

from mizzen.cluster.apiserver import decode
from mizzen.cluster.apiserver import metadata as meta
from mizzen.cluster.apiserver.admission import Admission
from mizzen.cluster.apiserver.pipeline import Pipeline, is_held
from mizzen.cluster.apiserver.requests import Query, WriteOptions, dry_run_causes, invalid_options
from mizzen.cluster.apiserver.resources import Object, Resource
from mizzen.cluster.apiserver.store import Key
from mizzen.kube.admission import AdmissionRequest
from mizzen.kube.errors import Cause, bad_request, conflict, not_found

_POLICIES = ("Background", "Foreground", "Orphan")


class DeleteOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How to delete. ``policy`` is one of Background, Foreground and Orphan, or empty; ``grace`` in seconds."""

    grace: int | None = None
    policy: str = ""
    uid: str = ""
    revision: str = ""
    dry_run: bool = False
    user: str = ""


def delete_options(query: Query, body: bytes, content_type: str, user: str) -> DeleteOptions:
    """The options of a DELETE, from its body and, where that is silent, from its query.

    Raises:
        ApiError: 400 for a body that cannot be read, 422 for values that do not exist.
    """
    given = decode.decode(body, content_type).value if body.strip() else {}
    grace = given.get("gracePeriodSeconds", query.get("gracePeriodSeconds"))
    policy = given.get("propagationPolicy") or query.get("propagationPolicy") or ""
    orphan = given.get("orphanDependents", query.get("orphanDependents"))
    dry_run = given.get("dryRun") or [text for text in (query.get("dryRun"),) if text]
    conditions = given.get("preconditions") or {}
    causes: list[Cause] = []
    if orphan is not None and policy:
        text = "Invalid value: may not be set together with propagationPolicy"
        causes.append(Cause("FieldValueInvalid", "orphanDependents", text))
    if policy and policy not in _POLICIES:
        known = ", ".join(f'"{name}"' for name in _POLICIES)
        text = f'Unsupported value: "{policy}": supported values: {known}'
        causes.append(Cause("FieldValueNotSupported", "propagationPolicy", text))
    if not isinstance(dry_run, list) or not isinstance(conditions, dict):
        raise bad_request("DeleteOptions: dryRun is a list and preconditions is an object")
    for value in dry_run:
        causes += dry_run_causes(value)
    if causes:
        raise invalid_options("DeleteOptions", causes)
    if orphan is not None:
        policy = "Orphan" if str(orphan).lower() == "true" else "Background"
    return DeleteOptions(
        grace=_seconds(grace),
        policy=policy,
        uid=conditions.get("uid") or "",
        revision=conditions.get("resourceVersion") or "",
        dry_run=bool(dry_run),
        user=user,
    )


class Ended(msgspec.Struct, frozen=True):
    """What a DELETE came to. ``data`` is the object's last or present state; ``gone`` says that it is removed."""

    data: bytes
    gone: bool
    uid: str


class Deletion:
    """Deletes objects through the pipeline's store."""

    def __init__(self, pipeline: Pipeline, admission: Admission) -> None:
        self._pipeline = pipeline
        self._admission = admission

    async def delete(
        self, resource: Resource, namespace: str, name: str, options: DeleteOptions, warnings: list[str]
    ) -> Ended:
        """Delete an object, or begin to.

        Raises:
            ApiError: 404; 409 for a precondition; 403 if a rule refuses.
        """
        key = Key(resource.storage, namespace if resource.definition.namespaced else "", name)
        async with self._pipeline.store.exclusive(key) as turn:
            if turn.current is None:
                raise not_found(resource.definition, name)
            data = resource.present(turn.current.data)
            value: Object = orjson.loads(data)
            uid = value["metadata"]["uid"]
            _check_preconditions(value["metadata"], resource, options)
            resource.check_delete(value)
            self._admission.check(self._request(value, resource, options), warnings)
            begun = meta.is_ending(value["metadata"])
            if not begun:
                _apply_policy(value["metadata"], options.policy)
            changed = self._mark(value, resource, options)
            write = WriteOptions(dry_run=options.dry_run)
            if not is_held(value, resource):
                return Ended(await self._pipeline.removed(turn, value, resource, write), True, uid)
            if changed and options.dry_run:
                return Ended(orjson.dumps(value), False, uid)
            if changed:
                entry = await turn.put(resource.stored(value), freeing=True)
                data = resource.present(entry.data)
            return Ended(data, False, uid)

    def _mark(self, value: Object, resource: Resource, options: DeleteOptions) -> bool:
        """Set when the object is to be gone; returns whether that changed anything."""
        metadata = value["metadata"]
        grace = resource.grace(value, options.grace)
        before = metadata.get("deletionGracePeriodSeconds")
        if meta.is_ending(metadata):
            # A second request may only hurry.
            if before is None or grace >= before:
                return False
            began = datetime.fromisoformat(metadata["deletionTimestamp"]) - timedelta(seconds=before)
            metadata["deletionTimestamp"] = _text(began + timedelta(seconds=grace))
            metadata["deletionGracePeriodSeconds"] = grace
            return True
        now = datetime.fromisoformat(self._pipeline.now())
        metadata["deletionTimestamp"] = _text(now + timedelta(seconds=grace))
        metadata["deletionGracePeriodSeconds"] = grace
        if "generation" in metadata:
            metadata["generation"] += 1
        resource.ending(value)
        return True

    def _request(self, value: Object, resource: Resource, options: DeleteOptions) -> AdmissionRequest:
        return AdmissionRequest(
            operation="DELETE",
            resource=resource.definition,
            namespace=value["metadata"].get("namespace") or "",
            name=value["metadata"]["name"],
            old_object=value,
            dry_run=options.dry_run,
            user=options.user,
        )


def deleted_status(resource: Resource, name: str, uid: str) -> dict[str, Any]:
    """The Status that answers a completed DELETE."""
    details = {"name": name, "group": resource.definition.group, "kind": resource.definition.plural, "uid": uid}
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": {key: value for key, value in details.items() if value},
    }


def _check_preconditions(metadata: dict[str, Any], resource: Resource, options: DeleteOptions) -> None:
    for field, wanted, found in (
        ("UID", options.uid, metadata["uid"]),
        ("ResourceVersion", options.revision, metadata["resourceVersion"]),
    ):
        if wanted and wanted != found:
            why = (
                f"the {field} in the precondition ({wanted}) does not match the {field} in record ({found})."
                " The object might have been deleted and then recreated"
                if field == "UID"
                else f"the {field} in the precondition ({wanted}) does not match the {field} in record ({found})."
                " The object might have been modified"
            )
            raise conflict(resource.definition, metadata["name"], why)


def _apply_policy(metadata: dict[str, Any], policy: str) -> None:
    """Ask the garbage collector for what the policy wants, by its finalizers."""
    if not policy:
        return
    wanted = {"Foreground": meta.FOREGROUND, "Orphan": meta.ORPHAN}.get(policy)
    kept = [f for f in metadata.get("finalizers") or () if f not in (meta.FOREGROUND, meta.ORPHAN) or f == wanted]
    if wanted and wanted not in kept:
        kept.append(wanted)
    if kept:
        metadata["finalizers"] = kept
    else:
        metadata.pop("finalizers", None)


def _seconds(value: Any) -> int | None:
    if value is None or value == "":
        return None
    try:
        return max(int(value), 0)
    except (TypeError, ValueError):
        raise bad_request(f'gracePeriodSeconds: "{value}" is not a whole number') from None


def _text(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
