"""Values from paths and queries, with what is said when one cannot be what it should be."""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import StrEnum
from typing import Any, TypeVar
from uuid import UUID

from starlette.requests import Request

from mizzen.acm.runtime.rest.refusals import mismatch, refused, unreadable
from mizzen.acm.runtime.service import Page

E = TypeVar("E", bound=StrEnum)

_UUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\Z")
_LARGEST = 2**31 - 1

# Where Java has its enumerations: refusals name them so.
_CONCEPTS = "org.onap.policy.clamp.models.acm.concepts."
_INSTANTIATION = "org.onap.policy.clamp.models.acm.messages.rest.instantiation."
_JAVA = {
    "PrimeOrder": "org.onap.policy.clamp.models.acm.messages.rest.commissioning.PrimeOrder",
    "DeployOrder": f"{_INSTANTIATION}DeployOrder",
    "LockOrder": f"{_INSTANTIATION}LockOrder",
    "SubOrder": f"{_INSTANTIATION}SubOrder",
    "DeployState": f"{_CONCEPTS}DeployState",
    "StateChangeResult": f"{_CONCEPTS}StateChangeResult",
}


def uuid(name: str, text: str) -> UUID:
    """Raises: Refused"""
    if not _UUID.match(text):
        why = "UUID string too large" if len(text) > 36 else f"Invalid UUID string: {text}"
        raise mismatch(name, "java.util.UUID", why, f"{name} is no UUID: {text!r}.", "Copy the id from a list.")
    return UUID(text)


def in_path(request: Request, name: str) -> UUID:
    return uuid(name, request.path_params[name])


def in_query(request: Request, name: str) -> UUID | None:
    text = request.query_params.get(name, "")
    return uuid(name, text) if text else None


def uuids(request: Request, name: str) -> list[UUID]:
    return [uuid(name, text) for text in _listed(request, name)]


def enums(request: Request, name: str, kind: type[E]) -> list[E]:
    """Java's runtime finds these too late for anything but a 500; the status is kept, the way out is said."""
    found = []
    for text in _listed(request, name):
        try:
            found.append(kind(text))
        except ValueError:
            details = f"java.lang.IllegalArgumentException No enum constant {_JAVA[kind.__name__]}.{text}"
            raise refused(500, details, f"{name} cannot be {text!r}.", f"It is {_choice(kind)}.", name) from None
    return found


def _listed(request: Request, name: str) -> Iterable[str]:
    for given in request.query_params.getlist(name):
        for text in given.split(","):
            if text.strip():
                yield text.strip()


def page(request: Request) -> Page:
    return Page(page=_count(request, "page", 0), size=_count(request, "size", 1))


def _count(request: Request, name: str, least: int) -> int | None:
    text = request.query_params.get(name, "")
    if not text:
        return None
    hint = f"It is a whole number, {least} or more."
    # Not int() alone: that also reads underscores, blanks and the digits of other scripts.
    if not re.fullmatch(r"[+-]?[0-9]{1,10}", text) or abs(int(text)) > _LARGEST:
        raise mismatch(
            name, "java.lang.Integer", f'For input string: "{text}"', f"{name} is no number: {text!r}.", hint
        )
    if int(text) < least:
        raise mismatch(name, "java.lang.Integer", f'For input string: "{text}"', f"{name} is too small: {text}.", hint)
    return int(text)


def of_body(body: dict[str, Any], name: str, kind: type[E]) -> E | None:
    """A member of an order; None where it is absent or null.

    Raises:
        Refused
    """
    value = body.get(name)
    if value is None:
        return None
    try:
        return kind(value)
    except ValueError:
        java = _JAVA[kind.__name__]
        names = ", ".join(kind)
        detail = (
            f'JSON parse error: Cannot deserialize value of type `{java}` from String "{value}": not one of the '
            f"values accepted for Enum class: [{names}]"
        )
        raise unreadable(detail, f"{name} cannot be {value!r}.", f"It is {_choice(kind)}.", name) from None


def _choice(kind: type[StrEnum]) -> str:
    *most, last = kind
    return f"{', '.join(most)} or {last}"
