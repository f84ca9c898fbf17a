"""What is not done, and how that is said: in `errorDetails` as ONAP says it, in `errors` with places.

Java's runtime answers what Spring refuses with the exception's class and text. Clients print that and some compare it,
so those are kept; what a person can do about it goes into ``errors``, one entry a problem.
"""

from __future__ import annotations

import logging

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from mizzen.acm.runtime.service import Refused
from mizzen.acm.tosca.problems import NOT_READABLE, Problem, Unreadable
from mizzen.errors import MizzenError

_LOG = logging.getLogger(__name__)

_SPRING = "org.springframework.web."
_MISMATCH = f"{_SPRING}method.annotation.MethodArgumentTypeMismatchException"


def refused(status: int, details: str, message: str = "", hint: str = "", path: str = "") -> Refused:
    """With one problem that has no line.

    Args:
        message: for a person; nothing where ``details`` says it well.
    """
    problems = [Problem(path, None, None, message, hint)] if message else []
    return Refused(status, details, problems)


def mismatch(name: str, type: str, why: str, message: str, hint: str) -> Refused:
    """A path's or query's value that is not of its type."""
    details = (
        f"{_MISMATCH} Method parameter '{name}': Failed to convert value of type 'java.lang.String' to required "
        f"type '{type}'; {why}"
    )
    return refused(400, details, message, hint, name)


def unreadable(detail: str, message: str, hint: str = "", path: str = "") -> Refused:
    """A body that cannot be taken in."""
    return refused(400, f"{NOT_READABLE} {detail}", message, hint, path)


def unsupported(content_type: str) -> Refused:
    said = f"Content-Type '{content_type}' is not supported" if content_type else "Content-Type is not present"
    return refused(
        415,
        f"{_SPRING}HttpMediaTypeNotSupportedException {said}",
        said + ".",
        "Send application/json or application/yaml, and say which in Content-Type.",
    )


def not_acceptable() -> Refused:
    return refused(
        406,
        f"{_SPRING}HttpMediaTypeNotAcceptableException No acceptable representation",
        "Accept names nothing that the runtime can answer in.",
        "Accept application/json or application/yaml.",
    )


def too_large(limit: int) -> Refused:
    size = f"{limit / 1024 / 1024:g} MB" if limit >= 1024 * 1024 else f"{limit} bytes"
    return refused(
        413,
        f"The body is larger than {size}, which is the most that is read.",
        f"The body is larger than {size}.",
        "Keep models and manifests elsewhere, and name their place in the document.",
    )


def answer(refusal: Refused) -> Response:
    """Errors are JSON, whatever was asked for: a client that cannot read one can still log it."""
    told: dict[str, object] = {"errorDetails": refusal.details}
    if refusal.problems:
        told["errors"] = msgspec.to_builtins(refusal.problems)
    return Response(msgspec.json.encode(told), refusal.status, media_type="application/json")


async def of_refusal(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return answer(error)


async def of_unreadable(request: Request, error: Exception) -> Response:
    assert isinstance(error, Unreadable)
    return answer(Refused(error.status, error.details, error.problems))


async def of_routing(request: Request, error: Exception) -> Response:
    """What the router refuses: a path that is none, a verb that a path does not take."""
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "")
        verbs = ", ".join(sorted(verb.strip() for verb in allowed.split(",") if verb.strip() not in ("", "HEAD")))
        details = f"{_SPRING}HttpRequestMethodNotSupportedException Request method '{request.method}' is not supported"
        found = answer(refused(405, details, f"{request.method} is not for this path.", f"It takes {verbs}."))
        found.headers["Allow"] = verbs
        return found
    if error.status_code == 404:
        path = request.url.path.lstrip("/")
        details = f"{_SPRING}servlet.resource.NoResourceFoundException No static resource {path}."
        hint = "The paths are told at /onap/policy/clamp/acm/v3/api-docs."
        return answer(refused(404, details, f"There is nothing at /{path}.", hint))
    return answer(Refused(error.status_code, error.detail))


async def of_defect(request: Request, error: Exception) -> Response:
    """What nobody has foreseen: a sentence where there is one, and otherwise where to read on."""
    if isinstance(error, MizzenError):
        return answer(Refused(500, f"{type(error).__module__}.{type(error).__qualname__} {error}"))
    number = request.scope.get("mizzen.request", "")
    _LOG.error("Request %s %s %s failed", number, request.method, request.url.path, exc_info=error)
    said = f"{type(error).__qualname__}: the runtime's log tells of request {number}"
    return answer(Refused(500, said))


HANDLERS = {
    Refused: of_refusal,
    Unreadable: of_unreadable,
    HTTPException: of_routing,
    MizzenError: of_defect,
}
