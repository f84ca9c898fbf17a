"""What a model is asked about: prompts, the turns of a conversation, documents.

Each may have several forms, and is read by hand so that an error can say which entry is wrong and why. What the
published document says of it stands beside, as a part of its type.
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from mizzen.serve.generation.model import InvalidRequest, Message

# More than this in one request is a mistake or an attack; OpenAI's own bound.
MOST_INPUTS = 2048

_ROLES = ("system", "developer", "user", "assistant")
_TEXT = {"type": "string"}
_TOKENS = {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 2**31 - 1}, "minItems": 1}
_PART = {
    "type": "object",
    "required": ["type", "text"],
    "properties": {"type": {"const": "text"}, "text": _TEXT},
}
_MESSAGE = {
    "type": "object",
    "required": ["role", "content"],
    "properties": {
        "role": {"enum": list(_ROLES)},
        "content": {"anyOf": [_TEXT, {"type": "array", "items": _PART, "minItems": 1}]},
        "name": {"type": ["string", "null"]},
    },
    "additionalProperties": {"enum": [None, "", []]},
}

Prompts = Annotated[
    Any,
    Meta(
        description="A text, token ids, or a list of either.",
        extra_json_schema={
            "anyOf": [
                _TEXT,
                _TOKENS,
                {"type": "array", "items": {"anyOf": [_TEXT, _TOKENS]}, "minItems": 1, "maxItems": MOST_INPUTS},
            ]
        },
    ),
]
Messages = Annotated[
    list[Annotated[Any, Meta(extra_json_schema=_MESSAGE)]],
    Meta(description="The conversation so far.", extra_json_schema={"minItems": 1}),
]
_DOCUMENT = {"anyOf": [_TEXT, {"type": "object", "required": ["text"], "properties": {"text": _TEXT}}]}
Documents = Annotated[
    list[Annotated[Any, Meta(extra_json_schema=_DOCUMENT)]],
    Meta(description="What is to be put in order.", extra_json_schema={"minItems": 1, "maxItems": MOST_INPUTS}),
]


def prompts(value: Any, name: str) -> list[Any]:
    """A text, token ids, or a list of either, as a list.

    Args:
        name: the field's.

    Raises:
        InvalidRequest
    """
    if isinstance(value, str) or (isinstance(value, list) and value and all(map(_is_token, value))):
        return [value]
    if not isinstance(value, list) or not value:
        raise InvalidRequest(f"{name} is a text, token ids, or a list of either, and not empty", name, "invalid_type")
    if len(value) > MOST_INPUTS:
        raise InvalidRequest(f"{name} has {len(value)} entries; at most {MOST_INPUTS} are taken", name, "invalid_value")
    for at, one in enumerate(value):
        if not isinstance(one, str) and not (isinstance(one, list) and one and all(map(_is_token, one))):
            raise InvalidRequest(f"{name}[{at}] is neither a text nor token ids", f"{name}[{at}]", "invalid_type")
    return value


def _is_token(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31


def messages(values: list[Any]) -> tuple[Message, ...]:
    """The turns of a conversation.

    Raises:
        InvalidRequest
    """
    if not values:
        raise InvalidRequest("messages is empty", "messages", "invalid_value")
    return tuple(_message(value, f"messages[{at}]") for at, value in enumerate(values))


def _message(value: Any, where: str) -> Message:
    if not isinstance(value, dict):
        raise InvalidRequest(f"{where} is no object", where, "invalid_type")
    value = {name: one for name, one in value.items() if one is not None}
    for name, one in value.items():
        if name not in ("role", "content", "name") and one not in ("", []):
            raise InvalidRequest(
                f"{where}.{name} is not supported by this server", f"{where}.{name}", "unsupported_parameter"
            )
    role = value.get("role")
    if role not in _ROLES:
        raise InvalidRequest(
            f"{where}.role is system, developer, user or assistant, not {role!r}", f"{where}.role", "invalid_value"
        )
    name = value.get("name")
    if name is not None and not isinstance(name, str):
        raise InvalidRequest(f"{where}.name is no text", f"{where}.name", "invalid_type")
    return Message(role, _content(value.get("content"), f"{where}.content"), name)


def _content(value: Any, where: str) -> str:
    if isinstance(value, str):
        return value
    if not isinstance(value, list) or not value:
        raise InvalidRequest(f"{where} is neither a text nor a list of parts", where, "invalid_type")
    texts = []
    for at, part in enumerate(value):
        kind = part.get("type") if isinstance(part, dict) else None
        if kind != "text" or not isinstance(part.get("text"), str):
            what = f"parts of type {kind!r} are not supported, text is" if kind != "text" else "its text is missing"
            raise InvalidRequest(f"{where}[{at}]: {what}", f"{where}[{at}]", "unsupported_parameter")
        texts.append(part["text"])
    return "\n".join(texts)


def documents(values: list[Any]) -> list[str]:
    """The documents; each a text, or an object with a ``text``.

    Raises:
        InvalidRequest
    """
    found: list[str] = []
    for at, one in enumerate(values):
        text = one.get("text") if isinstance(one, dict) else one
        if not isinstance(text, str):
            raise InvalidRequest(f"documents[{at}] is no text", f"documents[{at}]", "invalid_type")
        found.append(text)
    if not 0 < len(found) <= MOST_INPUTS:
        raise InvalidRequest(f"documents has {len(found)} entries; 1 to {MOST_INPUTS} are taken", "documents")
    return found
