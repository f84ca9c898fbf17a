"""What the OpenAPI document says of these routes, made of the structures that requests are read into and answers are
written from, so that it cannot say anything else than what is done.

The schemas' names begin with ``OpenAI.``, as other protocols have models and errors, too.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from mizzen.serve.openapi.parts import MODEL, Json, answer, json, operation, ref
from mizzen.serve.protocols.openai import shapes
from mizzen.serve.protocols.openai.errors import Refusal
from mizzen.serve.protocols.openai.parameters import (
    ANY,
    CHAT_NOTES,
    COMPLETION_NOTES,
    VECTOR_NOTES,
    ChatFields,
    CompletionFields,
    EmbeddingFields,
    Notes,
    RerankFields,
)

_TAG = "OpenAI"
_PREFIX = "OpenAI."
_REFUSAL = f"{_PREFIX}{Refusal.__name__}"
_ASKED = (400, 404, 413, 500, 501, 503, 504)
_PASSED_ON = (
    "Where the model is on a server of its own, the request is passed on as it is, and that server's answer is the "
    "answer: it may take more, and say more."
)


class _Asked(NamedTuple):
    """A path that asks a model something.

    Attributes:
        name: of the operation.
        said: what the answer is.
        notes: the fields beside those of ``fields`` that are taken, and with which values.
        part: what the events of a stream are, where there are streams.
    """

    name: str
    summary: str
    said: str
    fields: type[Struct]
    notes: Notes
    answered: type[Struct]
    example: Json
    part: type[Struct] | None = None


_ASKING = {
    "completions": _Asked(
        "complete",
        "Have texts continued",
        "the texts",
        CompletionFields,
        COMPLETION_NOTES,
        shapes.Completion,
        {"model": "llm", "prompt": "Once upon a time", "max_tokens": 32},
        shapes.Completion,
    ),
    "chat/completions": _Asked(
        "chat",
        "Have a conversation answered",
        "what comes next in it",
        ChatFields,
        CHAT_NOTES,
        shapes.ChatCompletion,
        {"model": "llm", "messages": [{"role": "user", "content": "Hello!"}], "max_tokens": 32},
        shapes.ChatChunk,
    ),
    "embeddings": _Asked(
        "embed",
        "Turn texts into vectors",
        "a vector for each text, in their order",
        EmbeddingFields,
        VECTOR_NOTES,
        shapes.Embeddings,
        {"model": "encoder", "input": ["Hello!", "Good morning!"]},
    ),
    "rerank": _Asked(
        "rerank",
        "Put documents in order of how well they answer a query",
        "the best first",
        RerankFields,
        VECTOR_NOTES,
        shapes.Ranking,
        {"model": "encoder", "query": "What is a mizzen?", "documents": ["A mast.", "A fish."]},
    ),
}

_LISTING: dict[str, tuple[type[Struct], Json]] = {
    "models": (
        shapes.Models,
        operation(
            "listModelsOpenAI",
            _TAG,
            "The models that can be asked here",
            answer("those that are ready", ref(f"{_PREFIX}Models")),
            error=_REFUSAL,
        ),
    ),
    "models/{model}": (
        shapes.Model,
        operation(
            "modelOpenAI",
            _TAG,
            "Can this model answer?",
            answer("it can", ref(f"{_PREFIX}Model")),
            404,
            503,
            parameters=(MODEL,),
            error=_REFUSAL,
        ),
    ),
}


def paths(routes: Iterable[tuple[str, str, str]]) -> dict[str, Json]:
    """The path items of routes, each of which is a method, a template, and the path below ``/v1`` that it is."""
    found: dict[str, Json] = {}
    told: set[str] = set()
    for verb, template, path in routes:
        made = _LISTING[path][1] if path in _LISTING else _asking(_ASKING[path], "BelowV1" if path in told else "")
        told.add(path)
        found[template] = {verb.lower(): made}
    return found


def _asking(asked: _Asked, suffix: str) -> Json:
    answered = answer(asked.said, _ref(asked.answered))
    if asked.part is not None:
        answered["description"] += "; piece by piece with `stream`, the last event being `[DONE]`"
        answered["content"]["text/event-stream"] = {"schema": _event(asked.part)}
    return operation(
        asked.name + suffix,
        _TAG,
        asked.summary,
        answered,
        *_ASKED,
        body=json(_ref(asked.fields), example=asked.example),
        description=_PASSED_ON,
        error=_REFUSAL,
    )


def _event(part: type[Struct]) -> Json:
    """An event of a stream. OpenAPI 3.2 will call this ``itemSchema``; before, ``schema`` is commonly read so."""
    said = {
        "type": "string",
        "contentMediaType": "application/json",
        "contentSchema": {"anyOf": [_ref(part), ref(_REFUSAL)]},
    }
    return {
        "type": "object",
        "description": "A server-sent event. An error that is met on the way is an event, too, and the last.",
        "required": ["data"],
        "properties": {"data": {"anyOf": [{"const": "[DONE]"}, said]}},
    }


def _ref(kind: type[Struct]) -> Json:
    return ref(_PREFIX + kind.__name__)


def schemas(known: set[str]) -> dict[str, Json]:
    """The schemas that the path items of paths below ``/v1`` refer to, by their names."""
    asked = [one for path, one in _ASKING.items() if path in known]
    kinds: list[type[Struct]] = [Refusal, *(kind for path, (kind, _) in _LISTING.items() if path in known)]
    for one in asked:
        kinds += [one.fields, one.answered, *([one.part] if one.part is not None else ())]
    _, found = msgspec.json.schema_components(
        list(dict.fromkeys(kinds)), ref_template=f"#/components/schemas/{_PREFIX}{{name}}"
    )
    for one in asked:
        _complete(found[one.fields.__name__], one.notes)
    return {_PREFIX + name: schema for name, schema in found.items()}


def _complete(schema: Json, notes: Notes) -> None:
    """Say what else is taken: null for what need not be said, and fields that change nothing."""
    fields = schema["properties"]
    for name, field in fields.items():
        if name not in schema["required"]:
            fields[name] = _or_null(field)
    for name, allowed in notes.items():
        fields[name] = {} if ANY in allowed else {"enum": [*allowed, None]}
    schema["additionalProperties"] = {"type": "null"}


def _or_null(field: Json) -> Json:
    field = dict(field)
    told: Json = {name: field.pop(name) for name in ("default", "description") if name in field}
    choices: list[Any] = list(field["anyOf"]) if set(field) == {"anyOf"} else [field]
    if {"type": "null"} not in choices:
        choices.append({"type": "null"})
    return {"anyOf": choices, **told}
