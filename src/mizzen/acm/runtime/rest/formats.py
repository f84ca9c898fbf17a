"""JSON and YAML, in and out: which of them a request brings, which it wants, and the values in either."""

from __future__ import annotations

from typing import Any

import msgspec
import yaml
from starlette.requests import Request
from starlette.responses import Response

from mizzen.acm.runtime.rest.refusals import not_acceptable, too_large, unreadable, unsupported
from mizzen.acm.runtime.service import Created

JSON = "application/json"
YAML = "application/yaml"

# An order has three short members; who sends more means something else.
_LARGEST_ORDER = 64 * 1024
# A client that still sends does not read: what it sends beyond the limit is thrown away up to here, then cut off.
_DRAINED = 32 * 1024 * 1024


def wanted(request: Request) -> str:
    """The media type of the answer, by ``Accept``; of equals, JSON.

    Raises:
        Refused: 406.
    """
    given = request.headers.get("accept", "").strip()
    if not given:
        return JSON
    weights = {one: _weight(given, one) for one in (JSON, YAML)}
    best = max(weights, key=lambda one: weights[one])
    if weights[best] <= 0:
        raise not_acceptable()
    return best


def _weight(accept: str, media_type: str) -> float:
    """The quality that ``Accept`` gives to a media type; what names it most exactly decides."""
    exactness, weight = -1, 0.0
    for part in accept.split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        name = name.lower()
        if name == media_type:
            exact = 2
        elif name == "application/*":
            exact = 1
        elif name == "*/*":
            exact = 0
        else:
            continue
        if exact > exactness:
            exactness, weight = exact, _quality(parameters)
    return weight


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "q":
            try:
                return min(max(float(value), 0.0), 1.0)
            except ValueError:
                return 0.0
    return 1.0


def given(request: Request) -> str:
    """The media type of the body.

    Raises:
        Refused: 415.
    """
    said = request.headers.get("content-type", "")
    name = said.partition(";")[0].strip().lower()
    if name not in (JSON, YAML):
        raise unsupported(said)
    return name


def respond(request: Request, value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    media_type = wanted(request)
    return Response(encode(value, media_type), status, headers, media_type)


def created(request: Request, made: Created) -> Response:
    """What POST answers: 201 for something new, 200 for a change."""
    return respond(
        request, made.body, 201 if made.created else 200, {"Location": made.location} if made.created else None
    )


def encode(value: Any, media_type: str) -> bytes:
    if media_type == JSON:
        return msgspec.json.encode(value)
    return yaml.dump(
        msgspec.to_builtins(value), Dumper=_Plain, allow_unicode=True, sort_keys=False, encoding="utf-8", width=120
    )


class _Plain(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """Each value written out: anchors would be a surprise in what is a JSON value."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


async def body(request: Request, limit: int) -> bytes:
    """The whole body.

    Raises:
        Refused: 413, and 400 for none at all.
    """
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size <= limit:
            parts.append(part)
        elif size > _DRAINED:
            break
    if size > limit:
        raise too_large(limit)
    if not size:
        raise unreadable("Required request body is missing", "The request has no body.", "Send a document.")
    return b"".join(parts)


async def order(request: Request) -> dict[str, Any]:
    """The body of a request that gives an order: a small mapping.

    Raises:
        Refused
    """
    media_type = given(request)
    text = await body(request, _LARGEST_ORDER)
    try:
        value = msgspec.json.decode(text) if media_type == JSON else _yaml(text)
    except (msgspec.DecodeError, yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        kind = "JSON" if media_type == JSON else "YAML"
        detail = str(error).replace("\n", " ")
        raise unreadable(f"{kind} parse error: {detail}", f"The body is no {kind}: {detail}.") from None
    if not isinstance(value, dict):
        raise unreadable(
            "JSON parse error: Cannot deserialize value",
            "The body is no mapping.",
            'Send one, such as {"primeOrder": "PRIME"}.',
        )
    return value


def _yaml(text: bytes) -> Any:
    """Without anchors: nobody needs them in an order, and they are how a short text becomes a large value."""
    decoded = text.decode()
    if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(decoded, Loader=yaml.SafeLoader)):
        raise ValueError("an order takes no aliases")
    return yaml.safe_load(decoded)
