"""Server-side apply: many managers, one object, and for each the fields it cares about.

A manager sends the fields it has an opinion on. They are merged into the stored object by the grain of the schema;
what the manager applied before and does not name any more goes, unless somebody else owns it; what another manager
owns with a different value is a conflict, refused with the list of them all or taken over by force. The steps are
those of the design that Kubernetes documents as server-side apply, over :mod:`mizzen.cluster.apiserver.typed`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import orjson

from mizzen.apis.schema import Node
from mizzen.cluster.apiserver import lastapplied
from mizzen.cluster.apiserver.fieldsets import FieldSet, field_element, rendered
from mizzen.cluster.apiserver.managedfields import (
    APPLY,
    BEFORE_FIRST_APPLY,
    UPDATE,
    Entry,
    Managers,
    Scope,
    after_update,
    changes_in,
    decode_stored,
    owned_by_all,
    update_managed_fields,
    with_entries,
)
from mizzen.cluster.apiserver.typed import Changes, fields_of, merged, pruned
from mizzen.kube.errors import ApiError, Cause, bad_request

__all__ = ["FieldSet", "apply", "update_managed_fields"]

# Every configuration names its object. Nobody owns the name, but it keeps the metadata around it.
_IDENTITY = FieldSet({field_element("metadata"): {field_element("name"): {}}})


def apply(
    live: dict[str, Any] | None,
    config: dict[str, Any],
    *,
    node: Node,
    manager: str,
    api_version: str,
    force: bool,
    subresource: str = "",
    now: str,
    has_status: bool = False,
) -> dict[str, Any]:
    """The object after ``manager`` applied ``config``, ``metadata.managedFields`` included.

    The result shares nothing with the arguments. It is equal to ``live`` if the apply changed nothing (the times of
    the entries included), and still has to be defaulted and validated otherwise.

    Args:
        live: the stored object; ``None`` or empty creates it.
        config: what the manager has an opinion on, with apiVersion, kind and the object's name.
        node: the schema of the kind.
        manager: the field manager.
        api_version: the version that the request's path names.
        force: whether to take over what others own.
        subresource: ``status`` applies the status alone; empty applies the object.
        now: the time of the request, RFC 3339.
        has_status: whether the kind has a status sub-resource, so that applying the object never touches the status.

    Raises:
        ApiError: 409 with a cause for each conflict; 400 for a configuration that cannot be applied.
    """
    _check(config, api_version)
    scope = Scope(subresource, has_status)
    applied = _without_nulls(_applicable(config, scope), node)
    fields, mistakes = fields_of(_owned_part(applied, scope), node)
    if mistakes:
        raise _unfit(config, mistakes)

    managers = _managers(live, node, api_version, scope, now)
    own = Entry(manager, APPLY, api_version, subresource, now, fields)
    previous = managers.pop(own.identity, None)

    result: dict[str, Any] = merged(live or {}, applied, node)
    if previous is not None:
        result = pruned(result, node, previous.fields, owned_by_all(managers) | fields | _IDENTITY)
    found = changes_in(scope, live, result, node)
    if not force:
        _refuse_conflicts(managers, found, live, manager, api_version, node)
    managers = {
        identity: msgspec.structs.replace(entry, fields=entry.fields - found.taken - found.removed)
        for identity, entry in managers.items()
    }
    if _is_repetition(own, previous, found):
        own.time = previous.time if previous is not None else now
    managers[own.identity] = own
    if manager == lastapplied.MANAGER and not subresource:
        result = lastapplied.synchronised(result, config)
    value: dict[str, Any] = orjson.loads(orjson.dumps(with_entries(result, managers)))
    return value


def _check(config: Mapping[str, Any], api_version: str) -> None:
    given = config.get("apiVersion") or ""
    if given != api_version:
        text = f"Incorrect version specified in apply patch. Specified patch version: {given}, expected: {api_version}"
        raise bad_request(text)
    if not config.get("kind"):
        raise bad_request("Object 'Kind' is missing in the apply patch")
    metadata = config.get("metadata")
    if not isinstance(metadata, dict):
        raise bad_request("the apply patch needs metadata, as a mapping")
    if metadata.get("managedFields"):
        raise bad_request("metadata.managedFields must be nil")


def _applicable(config: dict[str, Any], scope: Scope) -> dict[str, Any]:
    """The part of a configuration that this request can write. What it may not is ignored, not refused."""
    if scope.subresource == "status":
        return {"status": config["status"]} if "status" in config else {}
    applied = dict(config)
    if scope.has_status and not scope.subresource:
        applied.pop("status", None)
    if isinstance(applied.get("metadata"), dict):
        applied["metadata"] = {key: value for key, value in applied["metadata"].items() if key != "managedFields"}
    return applied


def _owned_part(applied: dict[str, Any], scope: Scope) -> dict[str, Any]:
    part = scope.of(applied)
    if not part.get("metadata"):
        part.pop("metadata", None)
    return part


def _without_nulls(value: Any, node: Node | None) -> Any:
    """A null in a configuration says nothing about a field, unless null is a value there."""
    if isinstance(value, dict):
        found = {key: (child, node.child(key) if node is not None else None) for key, child in value.items()}
        return {
            key: _without_nulls(child, below)
            for key, (child, below) in found.items()
            if child is not None or (below is not None and below.nullable)
        }
    if isinstance(value, list):
        items = node.items if node is not None else None
        return [_without_nulls(item, items) for item in value]
    return value


def _unfit(config: Mapping[str, Any], mistakes: list[str]) -> ApiError:
    metadata = config.get("metadata") or {}
    place = "/".join(str(metadata[key]) for key in ("namespace", "name") if metadata.get(key))
    group_version, kind = config.get("apiVersion"), config.get("kind")
    found = mistakes[0] if len(mistakes) == 1 else "errors:\n" + "\n".join(f"  {mistake}" for mistake in mistakes)
    return bad_request(f"failed to create typed patch object ({place}; {group_version}, Kind={kind}): {found}")


def _managers(live: dict[str, Any] | None, node: Node, api_version: str, scope: Scope, now: str) -> Managers:
    """Who owns what before the apply. What no entry explains was there before anybody applied."""
    managers = decode_stored(live)
    if not live or managers:
        return managers
    own = Entry(BEFORE_FIRST_APPLY, UPDATE, api_version, scope.subresource, now, FieldSet())
    return after_update({}, changes_in(scope, None, live, node), own)


def _refuse_conflicts(
    managers: Managers, found: Changes, live: dict[str, Any] | None, manager: str, api_version: str, node: Node
) -> None:
    conflicts = {identity: entry.fields & found.taken for identity, entry in managers.items()}
    if manager == lastapplied.MANAGER and any(conflicts.values()):
        allowed = lastapplied.unchanged_since(live or {}, node, api_version)
        conflicts = {identity: fields - allowed for identity, fields in conflicts.items()}
    listed = sorted(
        (
            (_named(managers[identity]), rendered(path))
            for identity, fields in conflicts.items()
            for path in fields.paths()
        )
    )
    if not listed:
        return
    causes = [Cause("FieldManagerConflict", path, f"conflict with {name}") for name, path in listed]
    if len(listed) == 1:
        text = f"Apply failed with 1 conflict: conflict with {listed[0][0]}: {listed[0][1]}"
    else:
        lines: list[str] = []
        for name in dict.fromkeys(name for name, _ in listed):
            lines.append(f"conflicts with {name}:")
            lines += [f"- {path}" for other, path in listed if other == name]
        text = f"Apply failed with {len(listed)} conflicts: " + "\n".join(lines)
    raise ApiError(409, "Conflict", text, {"causes": causes})


def _named(entry: Entry) -> str:
    name = f'"{entry.manager}"'
    if entry.subresource:
        name += f' with subresource "{entry.subresource}"'
    return f"{name} using {entry.api_version}" if entry.operation == UPDATE else name


def _is_repetition(own: Entry, previous: Entry | None, found: Changes) -> bool:
    """Whether an apply said what it had said before, and the object was already so."""
    if previous is None or found.taken or found.removed:
        return False
    return own.fields == previous.fields and own.api_version == previous.api_version
