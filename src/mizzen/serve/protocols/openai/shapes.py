"""What goes out over the wire, field by field as OpenAI names them. What a kind of answer does not have is left out."""

from __future__ import annotations

import codecs
from collections.abc import Sequence

from msgspec import UNSET, Struct, UnsetType

from mizzen.serve.generation import model


class Usage(Struct):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int

    @classmethod
    def of(cls, counted: list[model.Usage]) -> Usage:
        """All prompts of a request together."""
        prompt, completion = sum(one.prompt for one in counted), sum(one.completion for one in counted)
        return cls(prompt, completion, prompt + completion)


class TextLogprobs(Struct):
    """Of a text completion: parallel lists."""

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None]
    text_offset: list[int]


class ChatAlternative(Struct):
    token: str
    logprob: float
    bytes: list[int]


class ChatToken(Struct):
    token: str
    logprob: float | None
    bytes: list[int]
    top_logprobs: list[ChatAlternative]


class ChatLogprobs(Struct):
    content: list[ChatToken]


class TextChoice(Struct):
    index: int
    text: str
    logprobs: TextLogprobs | UnsetType | None = UNSET
    finish_reason: str | None = None


class Completion(Struct):
    """A text completion, and a part of one in a stream."""

    id: str
    object: str
    created: int
    model: str
    choices: list[TextChoice]
    usage: Usage | UnsetType | None = UNSET


class AnswerMessage(Struct):
    role: str
    content: str


class ChatChoice(Struct):
    index: int
    message: AnswerMessage
    logprobs: ChatLogprobs | UnsetType = UNSET
    finish_reason: str | None = None


class Delta(Struct):
    role: str | UnsetType = UNSET
    content: str | UnsetType = UNSET


class ChatPart(Struct):
    index: int
    delta: Delta
    logprobs: ChatLogprobs | None = None
    finish_reason: str | None = None


class ChatCompletion(Struct):
    id: str
    object: str
    created: int
    model: str
    choices: list[ChatChoice]
    usage: Usage | UnsetType = UNSET


class ChatChunk(Struct):
    """A part of a chat completion, in a stream."""

    id: str
    object: str
    created: int
    model: str
    choices: list[ChatPart]
    usage: Usage | UnsetType | None = UNSET


class VectorUsage(Struct):
    prompt_tokens: int
    total_tokens: int


class Vector(Struct):
    object: str
    index: int
    embedding: list[float] | str


class Embeddings(Struct):
    id: str
    object: str
    created: int
    model: str
    data: list[Vector]
    usage: VectorUsage


class Document(Struct):
    text: str


class Ranked(Struct):
    index: int
    document: Document
    relevance_score: float


class Ranking(Struct):
    id: str
    model: str
    usage: VectorUsage
    results: list[Ranked]


class Model(Struct):
    id: str
    object: str
    created: int
    owned_by: str


class Models(Struct):
    object: str
    data: list[Model]


class Offsets:
    """Where each token of an answer begins in its text, in characters; a character may be of several tokens."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._length = 0

    def of(self, token: model.Token) -> int:
        """To be asked token by token."""
        began = self._length
        self._length += len(self._decoder.decode(token.bytes))
        return began


def text_logprobs(tokens: Sequence[model.Token], offsets: Offsets) -> TextLogprobs:
    """Log-probabilities of a text completion."""
    return TextLogprobs(
        [_legible(token) for token in tokens],
        [token.logprob for token in tokens],
        [
            None
            if token.logprob is None
            else {**{_legible(one): one.logprob for one in token.top}, _legible(token): token.logprob}
            for token in tokens
        ],
        [offsets.of(token) for token in tokens],
    )


def _legible(token: model.Token | model.Alternative) -> str:
    """A token's text; parts of characters would all read the same, so OpenAI writes their bytes."""
    if "\ufffd" not in token.text:
        return token.text
    return "bytes:" + "".join(f"\\x{byte:02x}" for byte in token.bytes)


def chat_logprobs(tokens: Sequence[model.Token]) -> ChatLogprobs:
    """Log-probabilities of a chat completion."""
    return ChatLogprobs(
        [
            ChatToken(
                token.text,
                token.logprob,
                list(token.bytes),
                [ChatAlternative(one.text, one.logprob, list(one.bytes)) for one in token.top],
            )
            for token in tokens
        ]
    )
