"""What a request's body may say. Whatever is not done here is refused by name; nothing is passed over in silence.

Three tables: the fields of the structures below are heeded; some of OpenAI's others are taken where they ask for what
is so anyway, or are notes for the server's owner; all else is an error that names the field.
"""

from __future__ import annotations

import re
import time
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Struct

from mizzen.serve.codecs import decode_json
from mizzen.serve.generation import Chat, GenerationRequest, InvalidRequest, Message, Prompt, Sampling, Signal

S = TypeVar("S", bound=Struct)
T = TypeVar("T", bound="Generation")

# More than this in one request is a mistake or an attack; OpenAI's own bounds, or above them.
MOST_ANSWERS = 128
MOST_STOPS = 16
MOST_INPUTS = 2048

Penalty = Annotated[float, Meta(ge=-2, le=2)]
Count = Annotated[int, Meta(ge=0)]

_ANY = object()

# Fields that change nothing, by the values that they may have.
_NOTES: dict[str, tuple[Any, ...]] = {
    "user": (_ANY,),
    "metadata": (_ANY,),
    "safety_identifier": (_ANY,),
    "prompt_cache_key": (_ANY,),
    "service_tier": ("auto", "default"),
    "store": (False,),
}
_COMPLETION_NOTES = {**_NOTES, "best_of": (1,), "suffix": ("",)}
_CHAT_NOTES = {
    **_NOTES,
    "tools": ([],),
    "tool_choice": ("none",),
    "functions": ([],),
    "function_call": ("none",),
    "parallel_tool_calls": (_ANY,),
    "modalities": (["text"],),
    "response_format": ({"type": "text"},),
}

# Fields of OpenAI's that are known and not done, so that the answer can say so.
_UNSUPPORTED = {
    "audio",
    "moderation",
    "prediction",
    "prompt_cache_options",
    "prompt_cache_retention",
    "reasoning_effort",
    "verbosity",
    "web_search_options",
}

_PATH = re.compile(r"^(.*?) - at `\$\.?(.*)`$", re.DOTALL)


class StreamOptions(Struct, forbid_unknown_fields=True):
    include_usage: bool = False
    include_obfuscation: bool = False


class Generation(Struct, kw_only=True):
    """What both kinds of completion have. The second group of fields is vLLM's, and ``timeout`` (seconds) our own."""

    model: str
    stream: bool = False
    stream_options: StreamOptions | None = None
    n: Annotated[int, Meta(ge=1, le=MOST_ANSWERS)] = 1
    stop: str | list[str] = []
    max_tokens: Count | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(gt=0, le=1)] | None = None
    presence_penalty: Penalty = 0.0
    frequency_penalty: Penalty = 0.0
    logit_bias: dict[str, Annotated[float, Meta(ge=-100, le=100)]] = {}
    seed: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None = None

    top_k: Annotated[int, Meta(ge=-1)] | None = None
    min_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    repetition_penalty: Annotated[float, Meta(gt=0)] | None = None
    min_tokens: Count = 0
    ignore_eos: bool = False
    stop_token_ids: list[int] = []
    timeout: Annotated[float, Meta(gt=0)] | None = None

    @property
    def include_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage

    def request(self, prompt: Prompt, **more: Any) -> GenerationRequest:
        """What is asked of the model, for one prompt."""
        top_k = None if self.top_k is None else max(self.top_k, 0)
        return GenerationRequest(
            prompt=prompt,
            sampling=Sampling(
                self.temperature,
                self.top_p,
                top_k,
                self.min_p,
                self.presence_penalty,
                self.frequency_penalty,
                self.repetition_penalty,
                {int(token): bias for token, bias in self.logit_bias.items()},
                self.seed,
            ),
            n=self.n,
            min_tokens=self.min_tokens,
            stop=(self.stop,) if isinstance(self.stop, str) else tuple(self.stop),
            stop_tokens=tuple(self.stop_token_ids),
            ignore_eos=self.ignore_eos,
            signal=Signal(None if self.timeout is None else time.monotonic() + self.timeout),
            **more,
        )


class CompletionFields(Generation, kw_only=True):
    prompt: Any
    echo: bool = False
    logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None

    def requests(self) -> list[GenerationRequest]:
        """One for each prompt.

        Raises:
            InvalidRequest
        """
        found = _prompts(self.prompt, "prompt")
        if len(found) * self.n > MOST_INPUTS:
            raise InvalidRequest(f"{len(found)} prompts and n={self.n} are more than {MOST_INPUTS} answers", "prompt")
        return [
            self.request(prompt, max_tokens=self.max_tokens, logprobs=self.logprobs, echo=self.echo) for prompt in found
        ]


class ChatFields(Generation, kw_only=True):
    messages: list[Any]
    max_completion_tokens: Count | None = None
    logprobs: bool = False
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] = 0
    add_generation_prompt: bool = True
    chat_template_kwargs: dict[str, Any] = {}

    def requests(self) -> list[GenerationRequest]:
        """The one there is.

        Raises:
            InvalidRequest
        """
        if self.top_logprobs and not self.logprobs:
            raise InvalidRequest("top_logprobs is for requests with logprobs: true", "top_logprobs")
        most = self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens
        chat = Chat(_messages(self.messages), self.add_generation_prompt, self.chat_template_kwargs)
        return [self.request(chat, max_tokens=most, logprobs=self.top_logprobs if self.logprobs else None)]


class EmbeddingFields(Struct, kw_only=True):
    model: str
    input: Any
    encoding_format: str = "float"
    timeout: Annotated[float, Meta(gt=0)] | None = None

    def texts(self) -> list[Any]:
        """What is to be embedded: texts or lists of token ids.

        Raises:
            InvalidRequest
        """
        if self.encoding_format not in ("float", "base64"):
            raise InvalidRequest(
                f"encoding_format is float or base64, not {self.encoding_format!r}", "encoding_format", "invalid_value"
            )
        return _prompts(self.input, "input")


class RerankFields(Struct, kw_only=True):
    model: str
    query: str
    documents: list[Any]
    top_n: Annotated[int, Meta(ge=1)] | None = None
    timeout: Annotated[float, Meta(gt=0)] | None = None

    def texts(self) -> list[str]:
        """The documents; each a text, or an object with a ``text``.

        Raises:
            InvalidRequest
        """
        found: list[str] = []
        for at, one in enumerate(self.documents):
            text = one.get("text") if isinstance(one, dict) else one
            if isinstance(text, str):
                found.append(text)
            else:
                raise InvalidRequest(f"documents[{at}] is no text", f"documents[{at}]", "invalid_type")
        if not 0 < len(found) <= MOST_INPUTS:
            raise InvalidRequest(f"documents has {len(found)} entries; 1 to {MOST_INPUTS} are taken", "documents")
        return found


def read(body: bytes) -> dict[str, Any]:
    """The fields of a body, nulls left out, which mean what a missing field means.

    Raises:
        InvalidInput: it is no JSON object.
    """
    value = decode_json(body)
    if not isinstance(value, dict):
        raise InvalidRequest("the body must be a JSON object")
    return {name: one for name, one in value.items() if one is not None}


def model(fields: dict[str, Any]) -> str:
    """The model that a request names.

    Raises:
        InvalidRequest
    """
    name = fields.get("model")
    if name is None:
        raise InvalidRequest("you must name a model: the field model is missing", "model", "missing_required_parameter")
    if not isinstance(name, str):
        raise InvalidRequest("model must be a text", "model", "invalid_type")
    return name


def completion(fields: dict[str, Any]) -> CompletionFields:
    """Raises:
    InvalidRequest
    """
    return _checked(_convert(fields, CompletionFields, _COMPLETION_NOTES))


def chat(fields: dict[str, Any]) -> ChatFields:
    """Raises:
    InvalidRequest
    """
    return _checked(_convert(fields, ChatFields, _CHAT_NOTES))


def embedding(fields: dict[str, Any]) -> EmbeddingFields:
    """Raises:
    InvalidRequest
    """
    if "dimensions" in fields:
        raise InvalidRequest(
            "dimensions is not supported: the model's vectors have the length they have",
            "dimensions",
            "unsupported_parameter",
        )
    return _convert(fields, EmbeddingFields, {"user": (_ANY,)})


def rerank(fields: dict[str, Any]) -> RerankFields:
    """Raises:
    InvalidRequest
    """
    return _convert(fields, RerankFields, {"user": (_ANY,)})


def _convert(fields: dict[str, Any], kind: type[S], notes: dict[str, tuple[Any, ...]]) -> S:
    known = kind.__struct_fields__
    for name, value in fields.items():
        if name in known:
            continue
        allowed = notes.get(name)
        if allowed is not None and any(one is _ANY or one == value for one in allowed):
            continue
        if allowed is not None or name in _UNSUPPORTED:
            raise InvalidRequest(f"{name} is not supported by this server", name, "unsupported_parameter")
        raise InvalidRequest(f"Unrecognized request argument supplied: {name}", name, "unknown_parameter")
    try:
        return msgspec.convert(fields, kind)
    except msgspec.ValidationError as error:
        raise _explained(str(error)) from None


def _explained(text: str) -> InvalidRequest:
    found = _PATH.match(text)
    said, path = (found[1], found[2]) if found else (text, "")
    missing = re.search(r"required field `(\w+)`", said)
    if missing:
        name = f"{path}.{missing[1]}" if path else missing[1]
        return InvalidRequest(f"{name} is missing", name, "missing_required_parameter")
    unknown = re.search(r"unknown field `(\w+)`", said)
    if unknown:
        name = f"{path}.{unknown[1]}" if path else unknown[1]
        return InvalidRequest(f"Unrecognized request argument supplied: {name}", name, "unknown_parameter")
    said = said.replace("`", "").replace("Expected", "expected")
    code = "invalid_value" if re.search(r"[<>]=?", said) else "invalid_type"
    return InvalidRequest(f"{path or 'the body'}: {said}", path or None, code)


def _checked(fields: T) -> T:
    if fields.stream_options is not None:
        if not fields.stream:
            raise InvalidRequest("stream_options is for requests with stream: true", "stream_options")
        if fields.stream_options.include_obfuscation:
            raise InvalidRequest(
                "include_obfuscation is not supported by this server",
                "stream_options.include_obfuscation",
                "unsupported_parameter",
            )
    stops = [fields.stop] if isinstance(fields.stop, str) else fields.stop
    if not all(stops) or len(stops) > MOST_STOPS:
        what = f"has {len(stops)} texts, more than {MOST_STOPS}" if all(stops) else "holds an empty text"
        raise InvalidRequest(f"stop {what}", "stop", "invalid_value")
    for token in fields.logit_bias:
        if not token.isdecimal():
            raise InvalidRequest(f"logit_bias: {token!r} is no token id", "logit_bias", "invalid_value")
    return fields


def _prompts(value: Any, name: str) -> list[Any]:
    """A text, token ids, or a list of either, as a list."""
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


def _messages(values: list[Any]) -> tuple[Message, ...]:
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
    if role not in ("system", "developer", "user", "assistant"):
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
