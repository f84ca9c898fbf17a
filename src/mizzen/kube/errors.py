"""The API's own error: a ``Status`` object with a code, a reason and a message.

The server raises :class:`ApiError` and sends it; the client receives it and raises the same. The wordings are those of
kube-apiserver, because tools match on them (reference: the Kubernetes API, section 1).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mizzen.apis.meta import ResourceDef
from mizzen.errors import MizzenError


class ApiError(MizzenError):
    """A request that the API refused.

    Attributes:
        code: the HTTP status.
        reason: the machine-readable word, such as ``NotFound`` or ``Conflict``.
        message: the sentence for a person.
        details: what it is about: ``name``, ``group``, ``kind``, ``causes``, ``retryAfterSeconds``.
    """

    def __init__(self, code: int, reason: str, message: str, details: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details

    @property
    def status(self) -> dict[str, Any]:
        """The error as the ``Status`` object that goes over the wire."""
        body: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
        }
        if self.details is not None:
            body["details"] = self.details
        body["code"] = self.code
        return body

    @classmethod
    def from_status(cls, status: dict[str, Any], code: int = 500) -> ApiError:
        """The error that a ``Status`` object carries; ``code`` stands in where it names none."""
        return cls(
            int(status.get("code") or code),
            str(status.get("reason") or ""),
            str(status.get("message") or "the API answered without a message"),
            status.get("details"),
        )


class Cause(dict[str, str]):
    """One reason why an object is invalid: ``reason`` (``FieldValueRequired``, ...), ``message`` and ``field``."""

    def __init__(self, reason: str, field: str, message: str) -> None:
        super().__init__(reason=reason, message=message, field=field)


def required(field: str, text: str = "") -> Cause:
    return Cause("FieldValueRequired", field, "Required value" + (f": {text}" if text else ""))


def invalid_value(field: str, value: object, text: str) -> Cause:
    return Cause("FieldValueInvalid", field, f"Invalid value: {_quoted(value)}: {text}")


def unsupported(field: str, value: object, supported: Sequence[str]) -> Cause:
    known = ", ".join(f'"{word}"' for word in supported)
    return Cause("FieldValueNotSupported", field, f"Unsupported value: {_quoted(value)}: supported values: {known}")


def duplicate(field: str, value: object) -> Cause:
    return Cause("FieldValueDuplicate", field, f"Duplicate value: {_quoted(value)}")


def forbidden_field(field: str, text: str) -> Cause:
    return Cause("FieldValueForbidden", field, f"Forbidden: {text}")


def _quoted(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    return f'"{value}"' if isinstance(value, str) else str(value)


def _about(resource: ResourceDef, name: str, kind: str | None = None) -> dict[str, Any]:
    details = {"name": name, "group": resource.group, "kind": kind or resource.plural}
    return {key: value for key, value in details.items() if value}


def bad_request(message: str) -> ApiError:
    return ApiError(400, "BadRequest", message)


def not_found(resource: ResourceDef, name: str) -> ApiError:
    return ApiError(404, "NotFound", f'{resource.qualified} "{name}" not found', _about(resource, name))


def already_exists(resource: ResourceDef, name: str) -> ApiError:
    return ApiError(409, "AlreadyExists", f'{resource.qualified} "{name}" already exists', _about(resource, name))


def conflict(resource: ResourceDef, name: str, why: str = "") -> ApiError:
    """A write against a version that is no longer the newest, or ``why`` else it cannot be fulfilled."""
    why = why or "the object has been modified; please apply your changes to the latest version and try again"
    message = f'Operation cannot be fulfilled on {resource.qualified} "{name}": {why}'
    return ApiError(409, "Conflict", message, _about(resource, name))


def invalid(resource: ResourceDef, name: str, causes: Sequence[Cause]) -> ApiError:
    """An object that breaks its schema or its kind's rules, with every cause listed."""
    kind = f"{resource.kind}.{resource.group}" if resource.group else resource.kind
    lines = [f"{cause['field']}: {cause['message']}" if cause["field"] else cause["message"] for cause in causes]
    text = lines[0] if len(lines) == 1 else f"[{', '.join(lines)}]"
    details = _about(resource, name, resource.kind) | {"causes": list(causes)}
    return ApiError(422, "Invalid", f'{kind} "{name}" is invalid: {text}', details)


def forbidden(message: str, resource: ResourceDef | None = None, name: str = "") -> ApiError:
    return ApiError(403, "Forbidden", message, _about(resource, name) if resource else None)


def gone(message: str = "The provided resource version is too old.") -> ApiError:
    """A list or watch from a version that the server no longer remembers."""
    return ApiError(410, "Expired", message)
