"""The pieces that path items are put together from, so that each route says only what is its own."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

# Every route may say these; what a status means is the same for all (:mod:`mizzen.serve.errors`).
_ERRORS = {
    400: "the request cannot be read as what its protocol asks for",
    404: "there is no such model, or no such version of it",
    413: "the body is larger than the server takes",
    500: "the model failed",
    501: "the model, or the server, cannot do this",
    503: "the model cannot answer now; `Retry-After` says when to try again if it is only busy",
    504: "the answer did not come in the time that the request gave it",
}

MODEL = {
    "name": "model",
    "in": "path",
    "required": True,
    "description": "The model's name, percent-encoded.",
    "schema": {"type": "string", "minLength": 1},
}
VERSION = {
    "name": "version",
    "in": "path",
    "required": True,
    "description": "One of its versions.",
    "schema": {"type": "string", "minLength": 1},
}


def ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def json(schema: Json, **more: Any) -> Json:
    """Content that is JSON."""
    return {"application/json": {"schema": schema, **more}}


def answer(description: str, schema: Json, **headers: str) -> Json:
    """A response in JSON. ``headers`` are names, with ``_`` for ``-``, and what they say."""
    found: Json = {"description": description, "content": json(schema)}
    if headers:
        found["headers"] = {
            name.replace("_", "-"): {"description": text, "schema": {"type": "string"}}
            for name, text in headers.items()
        }
    return found


def operation(
    name: str,
    tag: str,
    summary: str,
    answered: Json,
    *errors: int,
    parameters: tuple[Json, ...] = (),
    body: Json | None = None,
    body_required: bool = True,
    description: str = "",
    error: str = "Error",
) -> Json:
    """One method of a path.

    Args:
        name: unique among all operations.
        answered: the response of status 200.
        errors: the statuses that it may have beside; all others come under ``default``.
        body: the request's content by media types.
        error: the schema of what is answered with any other status.
    """
    found: Json = {"operationId": name, "tags": [tag], "summary": summary}
    if description:
        found["description"] = description
    if parameters:
        found["parameters"] = list(parameters)
    if body is not None:
        found["requestBody"] = {"required": body_required, "content": body}
    found["responses"] = {
        "200": answered,
        **{str(status): {"description": _ERRORS[status], "content": json(ref(error))} for status in errors},
        "default": {"description": "what else may go wrong, in the same words", "content": json(ref(error))},
    }
    return found
