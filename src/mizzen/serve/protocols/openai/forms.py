"""The two forms in which generated text goes out: text completions and chat completions, whole or in a stream."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

from msgspec import UNSET, Struct, UnsetType

from mizzen.serve.codecs.bodies import make_id
from mizzen.serve.generation import model
from mizzen.serve.generation.model import Chunk, Token
from mizzen.serve.protocols.openai.shapes import (
    AnswerMessage,
    ChatChoice,
    ChatChunk,
    ChatCompletion,
    ChatPart,
    Completion,
    Delta,
    Offsets,
    TextChoice,
    Usage,
    chat_logprobs,
    text_logprobs,
)


class Choice:
    """One answer as it grows.

    Attributes:
        begun: whether anything of it has gone out.
        offsets: where its tokens begin in its text.
        finish: why it ended; None while it has not.
    """

    def __init__(self, index: int) -> None:
        self.index = index
        self.texts: list[str] = []
        self.tokens: list[Token] = []
        self.begun = False
        self.offsets = Offsets()
        self.finish: str | None = None

    @property
    def text(self) -> str:
        return "".join(self.texts)


class Form(ABC):
    """Args:
    model: as the request called it.
    logprobs: whether they are asked for.
    include_usage: whether a stream ends with the number of tokens.
    """

    def __init__(self, model: str, logprobs: bool, include_usage: bool) -> None:
        self.model = model
        self.logprobs = logprobs
        self.include_usage = include_usage
        self.created = int(time.time())
        self.id = f"{self.prefix}-{make_id()}"

    prefix: str

    @abstractmethod
    def whole(self, choices: list[Choice], usage: list[model.Usage] | None) -> Struct:
        """The answer in one piece."""

    @abstractmethod
    def parts(self, choice: Choice, chunk: Chunk) -> Iterator[Struct]:
        """What a chunk adds to a stream."""

    @abstractmethod
    def counted(self, usage: list[model.Usage]) -> Struct:
        """The stream's last part: no choices, but the number of tokens."""


def _usage(usage: list[model.Usage] | None) -> Usage | UnsetType:
    return UNSET if usage is None else Usage.of(usage)


class TextForm(Form):
    """``/completions``."""

    prefix = "cmpl"

    def _body(self, choices: list[TextChoice], usage: Any = UNSET) -> Completion:
        return Completion(self.id, "text_completion", self.created, self.model, choices, usage)

    def whole(self, choices: list[Choice], usage: list[model.Usage] | None) -> Completion:
        made = [
            TextChoice(
                choice.index,
                choice.text,
                text_logprobs(choice.tokens, choice.offsets) if self.logprobs else UNSET,
                choice.finish,
            )
            for choice in choices
        ]
        return self._body(made, _usage(usage))

    def parts(self, choice: Choice, chunk: Chunk) -> Iterator[Completion]:
        if not (chunk.text or chunk.tokens or chunk.finish):
            return
        logprobs = None
        if self.logprobs and chunk.tokens:
            logprobs = text_logprobs(chunk.tokens, choice.offsets)
        part = TextChoice(choice.index, chunk.text, logprobs, chunk.finish)
        yield self._body([part], None if self.include_usage else UNSET)

    def counted(self, usage: list[model.Usage]) -> Completion:
        return self._body([], Usage.of(usage))


class ChatForm(Form):
    """``/chat/completions``."""

    prefix = "chatcmpl"

    def _part(self, choices: list[ChatPart], usage: Any) -> ChatChunk:
        return ChatChunk(self.id, "chat.completion.chunk", self.created, self.model, choices, usage)

    def whole(self, choices: list[Choice], usage: list[model.Usage] | None) -> ChatCompletion:
        made = [
            ChatChoice(
                choice.index,
                AnswerMessage("assistant", choice.text),
                chat_logprobs(choice.tokens) if self.logprobs else UNSET,
                choice.finish,
            )
            for choice in choices
        ]
        return ChatCompletion(self.id, "chat.completion", self.created, self.model, made, _usage(usage))

    def parts(self, choice: Choice, chunk: Chunk) -> Iterator[ChatChunk]:
        usage = None if self.include_usage else UNSET
        if not choice.begun:
            choice.begun = True
            yield self._part([ChatPart(choice.index, Delta("assistant", ""))], usage)
        if not (chunk.text or chunk.tokens or chunk.finish):
            return
        logprobs = chat_logprobs(chunk.tokens) if self.logprobs and chunk.tokens else None
        delta = Delta(content=chunk.text) if chunk.text or not chunk.finish else Delta()
        yield self._part([ChatPart(choice.index, delta, logprobs, chunk.finish)], usage)

    def counted(self, usage: list[model.Usage]) -> ChatChunk:
        return self._part([], Usage.of(usage))
