"""From a decoded body to an object of its kind: types checked, unknown fields reported and removed, defaults set.

All of it is a function on values, so a large object can go through it in a thread. A built-in kind refuses a wrong
type as malformed (400), as its typed decoder would; a custom resource is validated against its schema later (422).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from mizzen.apis.quantity import QuantityError
from mizzen.cluster.apiserver import metadata as meta
from mizzen.cluster.apiserver import schema
from mizzen.cluster.apiserver.resources import Object, Resource
from mizzen.kube.errors import ApiError, Cause, bad_request, invalid

Validation = Literal["Strict", "Warn", "Ignore"]


def take_in(
    value: Object, resource: Resource, validation: Validation = "Ignore", duplicates: Sequence[str] = ()
) -> list[str]:
    """Make ``value`` a complete object of its kind, in place; returns warnings for the client.

    Raises:
        ApiError: 400 for a wrong type, and for unknown or duplicate fields where the client asked to be strict.
    """
    warnings = clean(value, resource, validation, duplicates)
    schema.set_defaults(value, resource.node)
    try:
        resource.default(value)
    except QuantityError as error:
        raise bad_request(str(error)) from error
    return warnings


def clean(value: Object, resource: Resource, validation: Validation, duplicates: Sequence[str] = ()) -> list[str]:
    """Refuse wrong types and remove nulls and unknown fields, in place, as the configuration of an apply needs it.

    Returns warnings for the client. Raises as :func:`take_in`.
    """
    meta.metadata_of(value)
    if resource.custom:
        error = schema.type_error(value["metadata"], meta.node())
        error = f"metadata: {error}" if error else None
    else:
        error = schema.type_error(value, resource.node)
    if error:
        raise bad_request(
            f"{resource.definition.kind} in version {resource.definition.version!r} is malformed: {error}"
        )
    schema.drop_nulls(value, resource.node)
    unknown = schema.prune(value, resource.node)
    found = [f'unknown field "{path}"' for path in unknown] + [f'duplicate field "{path}"' for path in duplicates]
    if found and validation == "Strict":
        raise bad_request(f"strict decoding error: {', '.join(found)}")
    return found if validation == "Warn" else []


def refuse_if_wrong(value: Object, old: Object | None, resource: Resource, subresource: str = "") -> None:
    """Raise 422 with every cause if a complete object breaks its schema or the rules of its kind."""
    causes: list[Cause] = []
    if subresource != "status":
        causes += meta.causes(value["metadata"], resource)
        if old is not None:
            causes += meta.update_causes(value["metadata"], old["metadata"])
    if resource.custom:
        causes += schema.validate(value, resource.node)
    elif subresource != "status":
        # A status is written by those who implement the kind, who may leave out what the schema calls required.
        # What is a duplicate in a built-in list is for its kind to say: `env` may hold a name twice.
        judged = {key: part for key, part in value.items() if key != "status"}
        causes += [c for c in schema.validate(judged, resource.node) if c["reason"] != "FieldValueDuplicate"]
    # The rules of a kind may count on what the schema promises.
    if not causes and subresource != "status":
        causes += resource.validate(value)
        if old is not None:
            causes += resource.validate_update(value, old, subresource)
    if causes:
        raise invalid(resource.definition, value["metadata"].get("name") or "", causes)


def type_problem(value: Object, resource: Resource) -> ApiError | None:
    """The 422 for a custom object whose apiVersion or kind is not that of the path."""
    if not resource.custom:
        return None
    wanted = resource.definition
    causes = [
        Cause("FieldValueInvalid", field, f'Invalid value: "{value[field]}": must be {expected}')
        for field, expected in (("apiVersion", wanted.api_version), ("kind", wanted.kind))
        if value.get(field) not in (None, "", expected)
    ]
    metadata = value.get("metadata")
    name = metadata.get("name") or "" if isinstance(metadata, dict) else ""
    return invalid(wanted, name, causes) if causes else None
