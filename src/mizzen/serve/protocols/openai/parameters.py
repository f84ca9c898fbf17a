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

from mizzen.serve.codecs.bodies import decode_json
from mizzen.serve.generation.model import Chat, GenerationRequest, InvalidRequest, Prompt, Sampling, Signal
from mizzen.serve.protocols.openai import prompts
from mizzen.serve.protocols.openai.prompts import MOST_INPUTS

S = TypeVar("S", bound=Struct)
T = TypeVar("T", bound="Generation")

# More than this in one request is a mistake or an attack; OpenAI's own bounds, or above them.
MOST_ANSWERS = 128
MOST_STOPS = 16

Penalty = Annotated[float, Meta(ge=-2, le=2)]
Count = Annotated[int, Meta(ge=0)]
# A thread cannot wait as long as a float can say.
Seconds = Annotated[float, Meta(gt=0, le=1e9)]
# What is checked by hand, for the sake of what is said, is told of in the schema.
Stop = Annotated[str, Meta(extra_json_schema={"minLength": 1})]
Bias = Annotated[float, Meta(ge=-100, le=100)]
Biases = Annotated[dict[str, Bias], Meta(extra_json_schema={"propertyNames": {"pattern": "^[0-9]{1,10}$"}})]

Notes = dict[str, tuple[Any, ...]]

ANY = object()

# Fields that change nothing, by the values that they may have.
_NOTES: Notes = {
    "user": (ANY,),
    "metadata": (ANY,),
    "safety_identifier": (ANY,),
    "prompt_cache_key": (ANY,),
    "service_tier": ("auto", "default"),
    "store": (False,),
}
COMPLETION_NOTES = {**_NOTES, "best_of": (1,), "suffix": ("",)}
CHAT_NOTES = {
    **_NOTES,
    "tools": ([],),
    "tool_choice": ("none",),
    "functions": ([],),
    "function_call": ("none",),
    "parallel_tool_calls": (ANY,),
    "modalities": (["text"],),
    "response_format": ({"type": "text"},),
}
VECTOR_NOTES: Notes = {"user": (ANY,)}

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
    include_obfuscation: Annotated[bool, Meta(extra_json_schema={"const": False})] = False


class Generation(Struct, kw_only=True):
    """What both kinds of completion have. The second group of fields is vLLM's, and ``timeout`` (seconds) our own."""

    model: str
    stream: bool = False
    stream_options: StreamOptions | None = None
    n: Annotated[int, Meta(ge=1, le=MOST_ANSWERS)] = 1
    stop: Stop | Annotated[list[Stop], Meta(extra_json_schema={"maxItems": MOST_STOPS})] = []
    max_tokens: Count | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(gt=0, le=1)] | None = None
    presence_penalty: Penalty = 0.0
    frequency_penalty: Penalty = 0.0
    logit_bias: Biases = {}
    seed: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None = None

    top_k: Annotated[int, Meta(ge=-1)] | None = None
    min_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    repetition_penalty: Annotated[float, Meta(gt=0)] | None = None
    min_tokens: Count = 0
    ignore_eos: bool = False
    stop_token_ids: list[int] = []
    timeout: Seconds | None = None

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
    prompt: prompts.Prompts
    echo: bool = False
    logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None

    def requests(self) -> list[GenerationRequest]:
        """One for each prompt.

        Raises:
            InvalidRequest
        """
        found = prompts.prompts(self.prompt, "prompt")
        if len(found) * self.n > MOST_INPUTS:
            raise InvalidRequest(f"{len(found)} prompts and n={self.n} are more than {MOST_INPUTS} answers", "prompt")
        return [
            self.request(prompt, max_tokens=self.max_tokens, logprobs=self.logprobs, echo=self.echo) for prompt in found
        ]


class ChatFields(Generation, kw_only=True):
    messages: prompts.Messages
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
        chat = Chat(prompts.messages(self.messages), self.add_generation_prompt, self.chat_template_kwargs)
        return [self.request(chat, max_tokens=most, logprobs=self.top_logprobs if self.logprobs else None)]


class EmbeddingFields(Struct, kw_only=True):
    model: str
    input: prompts.Prompts
    encoding_format: Annotated[str, Meta(extra_json_schema={"enum": ["float", "base64"]})] = "float"
    timeout: Seconds | None = None

    def texts(self) -> list[Any]:
        """What is to be embedded: texts or lists of token ids.

        Raises:
            InvalidRequest
        """
        if self.encoding_format not in ("float", "base64"):
            raise InvalidRequest(
                f"encoding_format is float or base64, not {self.encoding_format!r}", "encoding_format", "invalid_value"
            )
        return prompts.prompts(self.input, "input")


class RerankFields(Struct, kw_only=True):
    model: str
    query: str
    documents: prompts.Documents
    top_n: Annotated[int, Meta(ge=1)] | None = None
    timeout: Seconds | None = None

    def texts(self) -> list[str]:
        """The documents; each a text, or an object with a ``text``.

        Raises:
            InvalidRequest
        """
        return prompts.documents(self.documents)


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
    return _checked(_convert(fields, CompletionFields, COMPLETION_NOTES))


def chat(fields: dict[str, Any]) -> ChatFields:
    """Raises:
    InvalidRequest
    """
    return _checked(_convert(fields, ChatFields, CHAT_NOTES))


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
    return _convert(fields, EmbeddingFields, VECTOR_NOTES)


def rerank(fields: dict[str, Any]) -> RerankFields:
    """Raises:
    InvalidRequest
    """
    return _convert(fields, RerankFields, VECTOR_NOTES)


def _convert(fields: dict[str, Any], kind: type[S], notes: Notes) -> S:
    known = kind.__struct_fields__
    for name, value in fields.items():
        if name in known:
            continue
        allowed = notes.get(name)
        if allowed is not None and any(one is ANY or _same(one, value) for one in allowed):
            continue
        if allowed is not None or name in _UNSUPPORTED:
            raise InvalidRequest(f"{name} is not supported by this server", name, "unsupported_parameter")
        raise InvalidRequest(f"Unrecognized request argument supplied: {name}", name, "unknown_parameter")
    try:
        return msgspec.convert(fields, kind)
    except msgspec.ValidationError as error:
        raise _explained(str(error)) from None


def _same(one: Any, value: Any) -> bool:
    return bool(one == value) and isinstance(one, bool) == isinstance(value, bool)  # to Python 0 is False


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
        if not (token.isascii() and token.isdecimal() and len(token) <= 10):
            raise InvalidRequest(f"logit_bias: {token!r} is no token id", "logit_bias", "invalid_value")
    return fields
