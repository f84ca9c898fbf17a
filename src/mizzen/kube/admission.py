"""Admission: what may still change or refuse an object between its arrival and its storage.

An :class:`Admitter` is a function on values. The embedded API server calls it in process, on a real cluster a webhook
calls it with the same values, so a rule is written once and tested without a server. Its only window on the world is a
:class:`Reader`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Protocol

import msgspec

from mizzen.apis.meta import ResourceDef

Operation = Literal["CREATE", "UPDATE", "DELETE"]


class Reader(Protocol):
    """Reads the newest stored objects, by value: do not change what it returns."""

    def get(self, resource: ResourceDef, name: str, namespace: str = "") -> dict[str, Any] | None: ...

    def list(self, resource: ResourceDef, namespace: str = "") -> list[dict[str, Any]]: ...


class AdmissionRequest(msgspec.Struct, kw_only=True):
    """One write as admission sees it: after decoding and defaulting, before validation and storage.

    ``object`` is absent on DELETE, ``old_object`` on CREATE. ``subresource`` is empty for the object itself.
    """

    operation: Operation
    resource: ResourceDef
    namespace: str
    name: str
    object: dict[str, Any] | None = None
    old_object: dict[str, Any] | None = None
    subresource: str = ""
    dry_run: bool = False
    user: str = ""


class AdmissionResponse(msgspec.Struct, kw_only=True):
    """What an admitter decided.

    Attributes:
        allowed: whether the write goes on.
        object: the object to go on with, when the admitter changed it; ``None`` leaves it as it is.
        message: why it is refused, for the person who wrote it.
        code: the HTTP status of a refusal.
        reason: the Status reason of a refusal.
        warnings: sentences that go back to the client beside a success.
    """

    allowed: bool = True
    object: dict[str, Any] | None = None
    message: str = ""
    code: int = 403
    reason: str = "Forbidden"
    warnings: list[str] = []


class Admitter(msgspec.Struct, frozen=True, kw_only=True):
    """A named admission rule and what it applies to.

    All that ``mutates`` run first, in order; then the object is defaulted and validated against its schema again; then
    the others run, which may only refuse.
    """

    name: str
    resources: tuple[ResourceDef, ...]
    operations: tuple[Operation, ...] = ("CREATE", "UPDATE")
    mutates: bool = False
    admit: Callable[[AdmissionRequest, Reader], AdmissionResponse]

    def concerns(self, request: AdmissionRequest) -> bool:
        """Whether this rule has a say in the request. Sub-resources are never its business."""
        if request.subresource or request.operation not in self.operations:
            return False
        return any(
            resource.group == request.resource.group and resource.plural == request.resource.plural
            for resource in self.resources
        )
